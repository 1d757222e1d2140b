import type { EngineFacts, EngineName } from "../backends/backend.js";
import { BenchError, type Failure, toFailure } from "../errors.js";
import { type Event, memoryItem } from "../events.js";
import type { EngineWarning, Executor, MeasureReply, OpenedEngine } from "../executors/index.js";
import { measurements } from "../measurements/index.js";
import type { Mode } from "../measurements/measurement.js";
import { type Job, lockStepGroups, memoryTogether, type Plan } from "../plan/index.js";
import type { JobProgress } from "../replay.js";
import { bytes as told } from "../units.js";

export interface RunOptions {
  executor: Executor;
  /** By job id. */
  done: ReadonlyMap<string, JobProgress>;
  /** Ends the run after the item at hand. */
  signal: AbortSignal;
}

/**
 * Runs a plan and says what happens. Knows neither store nor screen: whoever consumes the events keeps them.
 *
 * First the jobs of each variant one after another, in one engine process per variant; then the jobs that take turns, item by
 * item over all variants, every second round in reverse, with as many engines open as fit into memory. A job that fails is one failed cell.
 */
export async function* run(plan: Plan, options: RunOptions): AsyncGenerator<Event> {
  // A model is opened for each way of measuring, and warned of each time.
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

async function* events(plan: Plan, { executor, done, signal }: RunOptions): AsyncGenerator<Event> {
  const { name, variants, measurements: asked, provenance } = plan;
  const jobs = plan.jobs.map(({ record }) => record);
  yield { type: "started", at: Date.now(), name, variants, jobs, measurements: asked, provenance };
  for (const { name: variant, facts } of variants)
    for (const message of facts?.notes ?? []) yield { type: "warning", at: Date.now(), variant, message };
  const engines = new Engines(plan, executor);
  // Variants that differ in nothing but their names have their jobs in common.
  const first = new Map(plan.jobs.toReversed().map((job) => [job.record.id, job]));
  const left = plan.jobs.filter(
    (job) => first.get(job.record.id) === job && !job.record.impossible && !done.get(job.record.id)?.complete,
  );
  const failed = new Map(
    plan.variants.flatMap((variant) => (variant.failure ? [[variant.name, variant.failure]] : [])),
  );
  const runs = new Map<Job, JobRun>();
  for (const job of left) runs.set(job, new JobRun(job, done.get(job.record.id)));
  const scheduled = (kind: Mode<unknown>["kind"]) =>
    left.filter((job) => measurements[job.record.kind]!.mode.kind === kind);
  const alone = scheduled("alone");
  const turns = scheduled("turns");

  for (const [i, job] of alone.entries()) {
    if (signal.aborted) break;
    yield* attempt(runs.get(job)!, engines, failed, signal);
    // An engine is kept for its next job, or for its turns later on where memory allows.
    const next = alone[i + 1];
    if (
      next?.record.variant !== job.record.variant &&
      !turns.some((turn) => turn.record.variant === job.record.variant)
    )
      await engines.release(job.record.variant);
  }
  for (const kind of new Set(turns.map((job) => job.record.measurement))) {
    const group = turns.filter((job) => job.record.measurement === kind);
    const { mode } = measurements[group[0]!.record.kind]!;
    const items = mode.kind === "turns" ? mode.items(group[0]!.record.settings) : [];
    for (const job of group) if (!signal.aborted) yield* runs.get(job)!.begin();
    // There and back: a machine that slows down steadily does so for none of them more than for the others.
    for (const item of items)
      for (const job of repetitionOf(item) % 2 === 0 ? group : group.toReversed()) {
        const jobRun = runs.get(job)!;
        if (signal.aborted || jobRun.over || jobRun.items.has(item)) continue;
        yield* attempt(jobRun, engines, failed, signal, item);
      }
    for (const job of group) if (!signal.aborted) yield* runs.get(job)!.end();
  }
  await engines.releaseAll();
  for (const group of lockStepGroups(left)) {
    if (signal.aborted) break;
    const jobRuns = group.map((job) => runs.get(job)!);
    yield* sideBySide(jobRuns, executor, plan, failed, signal);
  }
  yield { type: "finished", at: Date.now(), outcome: signal.aborted ? "stopped" : "complete" };
}

/** The number at the end of such an item's name. */
const repetitionOf = (item: string) => Number(item.match(/\d+$/)?.[0] ?? 0);

/**
 * Measures jobs against one reference: in lock-step where all models fit into memory, else in turns. Where one of several
 * takes the process down, each is tried alone, so that only it fails.
 */
async function* sideBySide(
  group: JobRun[],
  executor: Executor,
  plan: Plan,
  failed: Map<string, Failure>,
  signal: AbortSignal,
): AsyncGenerator<Event> {
  const ready: JobRun[] = [];
  for (const jobRun of group) {
    const known = failed.get(jobRun.job.record.variant) ?? outOfMemory(jobRun.job, plan.memoryLimit);
    if (known) yield* jobRun.fail(known instanceof BenchError ? toFailure(known) : known);
    else {
      yield* jobRun.begin();
      ready.push(jobRun);
    }
  }
  const [first] = ready;
  if (!first) return;
  const byVariant = new Map(ready.map((jobRun) => [jobRun.job.record.variant, jobRun]));
  const opened = new Set<string>();
  /** Where the reference is measured against itself, its first engine speaks for both. */
  function* tellOpened(variant: string, facts: EngineFacts): Generator<Event> {
    byVariant.get(variant)?.measuredBy(facts);
    if (opened.has(variant)) return;
    opened.add(variant);
    yield* toldOpened(plan, variant, facts);
  }
  let engine: OpenedEngine | undefined;
  try {
    const reference = first.job.reference!.spec;
    const inTurns = memoryTogether(ready.map(({ job }) => job)) > plan.memoryLimit;
    const others = ready.map(({ job }) => job.spec);
    engine = await executor.open(reference, { timeout: plan.timeout, others, inTurns });
    yield* tellOpened(reference.name, engine.facts);
    for (const { variant, facts } of engine.others) yield* tellOpened(variant, facts);
    yield* said(engine.warnings);
    const { record, data } = first.job;
    const { kind, settings } = record;
    const started = performance.now();
    const replies = engine.measure({
      kind,
      settings,
      ...(data ? { dataset: data } : {}),
      done: [],
      variants: ready.map(({ job, items }) => ({
        name: job.record.variant,
        done: [...items],
        floor: job.record.variant === job.record.against,
      })),
      ...(plan.scratchLimit === undefined ? {} : { scratchLimit: plan.scratchLimit }),
    });
    for await (const reply of replies) {
      if (reply.type === "progress") for (const { job } of ready) yield { ...reply, job: job.record.id };
      else if (reply.type === "warning") yield* said([reply]);
      else if (reply.type === "measured") yield* byVariant.get(reply.variant!)!.keep(reply);
      else if (reply.type === "opened-variant") yield* tellOpened(reply.variant, reply.facts);
      else
        for (const jobRun of ready) {
          const own = reply.peaks?.[jobRun.job.record.variant];
          // Models side by side share one process, and its memory.
          jobRun.tookMemory(own ?? reply.peakMemory, own === undefined ? 1 + others.length : 1);
          yield* jobRun.end((performance.now() - started) / 1000 / ready.length);
        }
    }
  } catch (error) {
    if (signal.aborted) return;
    if (ready.length === 1) yield* first.fail(toFailure(error));
    else for (const jobRun of ready) if (!jobRun.over) yield* sideBySide([jobRun], executor, plan, failed, signal);
  } finally {
    await engine?.close();
  }
}

function* said(warnings: readonly EngineWarning[]): Generator<Event> {
  for (const warning of warnings) yield { ...warning, at: Date.now() };
}

/** One event per variant that is this one but for its name. */
function* toldOpened({ jobs }: Plan, variant: string, engine: EngineFacts): Generator<Event> {
  const own = new Set(jobs.flatMap((job) => (job.record.variant === variant ? [job.record.id] : [])));
  const alike = jobs.flatMap((job) => (own.has(job.record.id) ? [job.record.variant] : []));
  for (const name of new Set([variant, ...alike])) yield { type: "opened", at: Date.now(), variant: name, engine };
}

/** The state of one job in this session. */
class JobRun {
  readonly items: Set<string>;
  over = false;
  #seconds = 0;
  #peakMemory: number;
  /** Models that the process held when it took most memory. */
  #models = 1;
  #engine: EngineName | undefined;
  #begun = false;

  constructor(
    readonly job: Job,
    earlier: JobProgress | undefined,
  ) {
    this.items = new Set(earlier?.items);
    this.items.delete(memoryItem);
    this.#peakMemory = earlier?.peakMemory ?? 0;
  }

  measuredBy({ version, library, build, environment }: EngineName): void {
    this.#engine = { version, library, ...(build ? { build } : {}), ...(environment ? { environment } : {}) };
  }

  tookMemory(bytes: number, models = 1): void {
    if (bytes <= this.#peakMemory) return;
    this.#peakMemory = bytes;
    this.#models = models;
  }

  *begin(): Generator<Event> {
    if (this.#begun) return;
    this.#begun = true;
    yield { type: "job-started", at: Date.now(), job: this.job.record.id, done: this.items.size };
  }

  /** What an engine says while it measures `item`, or all that is left. Ends the job when the engine says it is complete. */
  async *measure(engine: OpenedEngine, item?: string): AsyncGenerator<Event> {
    const { record, data } = this.job;
    const { id, kind, settings } = record;
    const started = performance.now();
    this.measuredBy(engine.facts);
    const replies = engine.measure({
      kind,
      settings,
      ...(data ? { dataset: data } : {}),
      done: [...this.items],
      ...(item === undefined ? {} : { only: [item] }),
    });
    for await (const reply of replies) {
      if (reply.type === "measured") yield* this.keep(reply);
      else if (reply.type === "progress") yield { ...reply, job: id };
      else if (reply.type === "warning") yield* said([reply]);
      else if (reply.type === "complete") {
        this.tookMemory(reply.peakMemory);
        this.#seconds += (performance.now() - started) / 1000;
        if (item === undefined) yield* this.end();
      }
    }
  }

  *keep({ type: _, variant: __, ...measured }: Extract<MeasureReply, { type: "measured" }>): Generator<Event> {
    this.items.add(measured.item);
    yield { type: "samples", job: this.job.record.id, ...measured };
  }

  *end(seconds = 0): Generator<Event> {
    if (this.over || !this.#begun) return;
    this.over = true;
    this.#seconds += seconds;
    const { id } = this.job.record;
    if (this.#peakMemory > 0)
      yield {
        type: "samples",
        job: id,
        item: memoryItem,
        samples: [{ metric: "peak_memory", value: this.#peakMemory, weight: 1 }],
        ...(this.#models > 1 ? { models: this.#models } : {}),
      };
    const [items, engine] = [this.items.size, this.#engine];
    yield { type: "job-done", at: Date.now(), job: id, items, seconds: this.#seconds, ...(engine ? { engine } : {}) };
  }

  *fail(failure: Failure): Generator<Event> {
    this.over = true;
    yield { type: "job-failed", at: Date.now(), job: this.job.record.id, failure };
  }
}

/** Opens the variant where it is not open, and measures. A variant that cannot be opened fails all its jobs at once. */
async function* attempt(
  jobRun: JobRun,
  engines: Engines,
  failed: Map<string, Failure>,
  signal: AbortSignal,
  item?: string,
): AsyncGenerator<Event> {
  const { job } = jobRun;
  const known = failed.get(job.record.variant);
  if (known) return yield* jobRun.fail(known);
  try {
    yield* jobRun.begin();
    engines.fits(job);
    yield* engines.open(job);
  } catch (error) {
    if (signal.aborted) return;
    const failure = toFailure(error);
    // Another job of the variant may need less memory; what cannot be loaded is not tried again.
    if (failure.code !== "out-of-memory") failed.set(job.record.variant, failure);
    return yield* jobRun.fail(failure);
  }
  try {
    yield* jobRun.measure(engines.get(job.record.variant)!, item);
  } catch (error) {
    if (signal.aborted) return;
    yield* jobRun.fail(toFailure(error));
  }
}

/** The reason why a job cannot run in so much memory, in bytes. A reference and its variants may take turns: each must fit. */
function outOfMemory({ record: { variant }, memory, reference }: Job, limit: number): BenchError | undefined {
  const models = [
    { name: variant, memory },
    { name: `the reference ${reference?.spec.name}`, memory: reference?.memory },
  ];
  const tooLarge = models.find((model) => (model.memory?.total ?? 0) > limit);
  if (!tooLarge?.memory) return undefined;
  const { total, weights, kv, compute, logits } = tooLarge.memory;
  const parts = `weights ${told(weights)}, KV cache ${told(kv)}, computation ${told(compute + logits)}`;
  return new BenchError(
    "out-of-memory",
    `${tooLarge.name} needs about ${told(total)} of memory (${parts}); ${told(limit)} may be used`,
    { hint: "take a smaller quantization or context, free memory, or raise `memoryLimit`" },
  );
}

/** Open engines, as many as memory allows; who was used least recently goes first. */
class Engines {
  readonly #open = new Map<string, { engine: OpenedEngine; bytes: number }>();

  constructor(
    private readonly plan: Plan,
    private readonly executor: Executor,
  ) {}

  /** Throws where the job alone would not fit. */
  fits(job: Job): void {
    const failure = outOfMemory(job, this.plan.memoryLimit);
    if (failure) throw failure;
  }

  get(variant: string): OpenedEngine | undefined {
    return this.#open.get(variant)?.engine;
  }

  async *open({ record: { variant }, spec, memory }: Job): AsyncGenerator<Event> {
    const found = this.#open.get(variant);
    if (found?.engine.alive) {
      // Re-inserted, for the order of the map is the order of use.
      this.#open.delete(variant);
      this.#open.set(variant, found);
      return;
    }
    this.#open.delete(variant);
    const bytes = memory?.total ?? 0;
    let used = [...this.#open.values()].reduce((sum, one) => sum + one.bytes, bytes);
    for (const [other, one] of this.#open) {
      if (used <= this.plan.memoryLimit) break;
      await this.release(other);
      used -= one.bytes;
    }
    const engine = await this.executor.open(spec, { timeout: this.plan.timeout });
    this.#open.set(variant, { engine, bytes });
    yield* toldOpened(this.plan, variant, engine.facts);
    yield* said(engine.warnings);
  }

  async release(variant: string): Promise<void> {
    const found = this.#open.get(variant);
    this.#open.delete(variant);
    await found?.engine.close();
  }

  async releaseAll(): Promise<void> {
    for (const variant of [...this.#open.keys()]) await this.release(variant);
  }
}
