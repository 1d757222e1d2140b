import { now } from "../clock.js";
import { definite } from "../definite.js";
import type { Failure } from "../errors.js";
import type { Event, SpeedSession, VariantRecord } from "../events.js";
import type { Executor } from "../executors/index.js";
import { physicalCores } from "../machine.js";
import type { Plan } from "../plan/index.js";
import type { JobProgress } from "../replay/index.js";
import type { RunContext } from "./context.js";
import { Engines } from "./engines.js";
import { JobRun } from "./job-run.js";
import { perform } from "./perform.js";
import { prepare } from "./prepare.js";
import { jobsOf, type Step, schedule } from "./schedule.js";
import { sideBySide } from "./side-by-side.js";

export { type Step, schedule, stepForm } from "./schedule.js";
export { nextTiming } from "./timing.js";

export interface RunOptions {
  executor: Executor;
  /** By job id. */
  done: ReadonlyMap<string, JobProgress>;
  /** The session of speed; by default the first. */
  timing?: SpeedSession;
  /** Ends the run after the items at hand, or after some seconds without them. */
  signal: AbortSignal;
  /** How many steps may run side by side; by default as many as the cores have threads for. */
  parallel?: number;
}

/**
 * Runs a plan and yields what happens. It knows neither store nor screen: the caller keeps the events. Steps run side by side as
 * far as cores and memory allow, so the events of several jobs mix; those of one job come in order. Models are fetched and quantized
 * on the way; each time the plan is completed, and told again.
 */
export async function* run(plan: Plan, options: RunOptions): AsyncGenerator<Event> {
  // A model may be opened several times; its warnings are told once.
  const told = new Set<string>();
  for await (const event of events(plan, options)) {
    if (event.type === "warning" && event.variant !== undefined) {
      const warning = `${event.variant}: ${event.message}`;
      if (told.has(warning)) continue;
      told.add(warning);
    }
    yield event;
  }
}

async function* events(
  first: Plan,
  { executor, done, signal, parallel = Infinity, timing = { session: 1, again: false } }: RunOptions,
): AsyncGenerator<Event> {
  // Completed in place: all that belongs to the run looks at this one.
  const plan = { ...first };
  const { name, variants, measurements: asked, provenance, memoryLimit: memory } = plan;
  const jobs = plan.jobs.map(({ record }) => record);
  const session = timing.session > 1 ? timing : {};
  const shard = definite({ shard: plan.shard });
  yield { type: "started", at: now(), name, variants, jobs, measurements: asked, provenance, ...shard, ...session };
  yield* notesOf(variants);

  const engines = new Engines(plan, executor);
  const runs = new Map<string, JobRun>();
  const failed = new Map<string, Failure>();
  /** Job ids, and preparations. */
  const begun = new Set<string>();
  const running = new Set<Step>();
  let waiting: Step[] = [];
  const scheduleAnew = () => {
    for (const { name, failure } of plan.variants) if (failure) failed.set(name, failure);
    for (const job of plan.jobs.toReversed())
      if (!begun.has(job.record.id)) runs.set(job.record.id, new JobRun(job, done.get(job.record.id), timing.session));
    waiting = [...schedule(plan, done, { begun, session: timing.session })].filter(
      (step) => step.kind !== "prepare" || !begun.has(nameOf(step)),
    );
    engines.expect([...running, ...waiting]);
  };
  async function* completed(variant: string): AsyncGenerator<Event> {
    const preparation = plan.preparations.find((one) => one.variant === variant)!;
    const failure = yield* prepare(preparation, signal);
    if (signal.aborted) return;
    const whole = await plan.completed(variant, failure).catch((error) => {
      if (!signal.aborted) throw error;
    });
    if (!whole) return;
    const notes = whole.notes.filter((note) => !plan.notes.includes(note));
    // Less memory is free while engines are open.
    Object.assign(plan, whole, { memoryLimit: memory });
    const records = plan.jobs.map(({ record }) => record);
    yield { type: "planned", at: now(), variants: plan.variants, jobs: records, notes };
    yield* notesOf(plan.variants.filter((one) => one.name === variant));
    scheduleAnew();
  }
  scheduleAnew();
  const context: RunContext = { plan, executor, engines, runs, failed, prepare: completed, signal };
  const next = (beside: readonly Step[]) => {
    // Steps that other machines perform need neither cores nor memory of this one.
    const { steps } = executor.capacity ?? {};
    const limits =
      steps === undefined
        ? { memory, parallel, cores: physicalCores() }
        : { memory: Infinity, parallel: Math.min(parallel, steps), cores: Infinity };
    const step = chosen(waiting, beside, limits);
    if (!step) return undefined;
    for (const name of step.kind === "prepare" ? [nameOf(step)] : jobsOf(step)) begun.add(name);
    waiting = waiting.filter((one) => one !== step);
    running.add(step);
    return step;
  };
  async function* performed(step: Step): AsyncGenerator<Event> {
    yield* perform(step, context);
    running.delete(step);
  }
  async function* happened(): AsyncGenerator<Event> {
    for await (const happening of executor.happenings?.() ?? []) yield { ...happening, at: now() };
  }
  yield* sideBySide(next, performed, signal, happened());
  await engines.releaseIdle();
  yield { type: "finished", at: now(), outcome: signal.aborted ? "stopped" : "complete" };
}

/** Tells a preparation from others, and from all jobs. */
const nameOf = ({ variant, work }: Extract<Step, { kind: "prepare" }>) => `${work} ${variant}`;

function* notesOf(variants: readonly VariantRecord[]): Generator<Event> {
  for (const { name: variant, facts } of variants)
    for (const message of facts?.notes ?? []) yield { type: "warning", at: now(), variant, message };
}

/**
 * The step to begin: what is to be prepared goes before what can be measured, and either overtakes the other where it has to wait.
 * Turns, which take the whole machine, wait until nothing is to be prepared.
 */
function chosen(waiting: readonly Step[], running: readonly Step[], limits: Limits): Step | undefined {
  const isPreparation = ({ kind }: Step) => kind === "prepare";
  const preparation = waiting.find(isPreparation);
  const preparing = preparation !== undefined || running.some(isPreparation);
  const measuring = waiting.find(({ kind }) => kind !== "prepare" && !(kind === "turns" && preparing));
  return [preparation, measuring].find((step) => step && fits(step, running, limits));
}

interface Limits {
  /** Bytes. */
  memory: number;
  /** Steps. */
  parallel: number;
  /** Threads. */
  cores: number;
}

/** Whether a step may begin beside those that run. One that takes turns times its work, so it runs alone. */
export function fits(step: Step, running: readonly Step[], { memory, parallel, cores }: Limits): boolean {
  if (running.length === 0) return true;
  const all = [...running, step];
  const preparing = all.filter(({ kind }) => kind === "prepare").length;
  return (
    preparing <= 1 &&
    all.length - preparing <= parallel &&
    all.every(({ kind }) => kind !== "turns") &&
    all.reduce((sum, { threads = cores }) => sum + Math.min(threads, cores), 0) <= cores &&
    all.reduce((sum, one) => sum + one.memory, 0) <= memory
  );
}
