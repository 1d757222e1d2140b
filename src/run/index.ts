import type { Event } from "../events.js";
import type { Executor } from "../executors/index.js";
import { physicalCores } from "../machine.js";
import type { Plan } from "../plan/index.js";
import type { JobProgress } from "../replay.js";
import type { RunContext } from "./context.js";
import { Engines } from "./engines.js";
import { JobRun } from "./job-run.js";
import { perform } from "./perform.js";
import { type Step, schedule } from "./schedule.js";
import { sideBySide } from "./side-by-side.js";

export { prepare } from "./prepare.js";
export { type Step, schedule, stepForm } from "./schedule.js";

export interface RunOptions {
  executor: Executor;
  /** By job id. */
  done: ReadonlyMap<string, JobProgress>;
  /** Ends the run after the items at hand, or after some seconds without them. */
  signal: AbortSignal;
  /** How many steps may run side by side; by default as many as the cores have threads for. */
  parallel?: number;
}

/**
 * Runs a plan and yields what happens. It knows neither store nor screen: the caller keeps the events. Steps run side by side as
 * far as cores and memory allow, so the events of several jobs mix; those of one job come in order.
 */
export async function* run(plan: Plan, options: RunOptions): AsyncGenerator<Event> {
  // A model may be opened several times; its warnings are told once.
  const told = new Set<string>();
  for await (const event of events(plan, options)) {
    if (event.type === "warning") {
      const warning = `${event.variant}: ${event.message}`;
      if (told.has(warning)) continue;
      told.add(warning);
    }
    yield event;
  }
}

async function* events(plan: Plan, { executor, done, signal, parallel = Infinity }: RunOptions): AsyncGenerator<Event> {
  const { name, variants, measurements: asked, provenance } = plan;
  if (plan.preparations.length > 0) throw new Error("a plan is run after its preparations, when it was made again");
  const jobs = plan.jobs.map(({ record }) => record);
  yield { type: "started", at: Date.now(), name, variants, jobs, measurements: asked, provenance };
  for (const { name: variant, facts } of variants)
    for (const message of facts?.notes ?? []) yield { type: "warning", at: Date.now(), variant, message };
  const steps = [...schedule(plan, done)];
  const context: RunContext = {
    plan,
    executor,
    engines: new Engines(plan, executor, steps),
    runs: new Map(plan.jobs.toReversed().map((job) => [job.record.id, new JobRun(job, done.get(job.record.id))])),
    failed: new Map(variants.flatMap((variant) => (variant.failure ? [[variant.name, variant.failure]] : []))),
    signal,
  };
  const limits = { memory: plan.memoryLimit, parallel, cores: physicalCores() };
  yield* sideBySide(steps, (step) => perform(step, context), {
    fits: (step, running) => fits(step, running, limits),
    signal,
  });
  await context.engines.releaseIdle();
  yield { type: "finished", at: Date.now(), outcome: signal.aborted ? "stopped" : "complete" };
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
  return (
    all.length <= parallel &&
    all.every(({ kind }) => kind !== "turns") &&
    all.reduce((sum, { threads = cores }) => sum + Math.min(threads, cores), 0) <= cores &&
    all.reduce((sum, one) => sum + one.memory, 0) <= memory
  );
}
