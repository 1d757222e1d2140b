import type { EngineName } from "../backends/backend.js";
import { now } from "../clock.js";
import { definite } from "../definite.js";
import type { Failure } from "../errors.js";
import { type Event, type Instead, keptItem, memoryItem } from "../events.js";
import type { EngineWarning, MeasureReply, OpenedEngine, TakenMemory } from "../executors/index.js";
import type { Job } from "../plan/index.js";
import type { JobProgress } from "../replay/index.js";
import type { Share } from "../share.js";

export function* said(warnings: readonly EngineWarning[]): Generator<Event> {
  for (const warning of warnings) yield { ...warning, at: now() };
}

/** The state of one job while the command runs. */
export class JobRun {
  /** Of what is timed: those of the session. */
  readonly items: Set<string>;
  /** Items of other sessions. */
  readonly #others: number;
  readonly #session: number;
  over = false;
  #seconds = 0;
  #taken: Required<TakenMemory>;
  /** How many models the process held when it took most memory. */
  #models = 1;
  #engine: EngineName | undefined;
  #instead: Instead | undefined;
  #begun = false;
  /** Items of all shares. */
  #whole: number | undefined;

  constructor(
    readonly job: Job,
    earlier: JobProgress | undefined,
    session: number,
  ) {
    this.#session = job.record.mode === "turns" ? session : 1;
    this.#others = earlier?.others ?? 0;
    this.items = new Set(earlier?.items);
    this.items.delete(memoryItem);
    this.#taken = { peakMemory: earlier?.peakMemory ?? 0, cacheBytes: earlier?.cacheBytes ?? 0 };
  }

  measuredBy({ version, library, build, environment, rounding }: EngineName): void {
    this.#engine = {
      version,
      library,
      ...definite({ build, environment, rounding }),
    };
  }

  /** The part of it that is measured, if it is one. */
  get share(): Share | undefined {
    const { share } = this.job.record;
    return share === "none" ? undefined : share;
  }

  tellWhole(items: number | undefined): void {
    this.#whole = items ?? this.#whole;
  }

  tookMemory({ peakMemory = 0, cacheBytes = 0 }: TakenMemory, models = 1): void {
    const { peakMemory: before, cacheBytes: cache } = this.#taken;
    if (peakMemory > before) this.#models = models;
    this.#taken = { peakMemory: Math.max(peakMemory, before), cacheBytes: Math.max(cacheBytes, cache) };
  }

  *begin(): Generator<Event> {
    if (this.#begun) return;
    this.#begun = true;
    yield { type: "job-started", at: now(), job: this.job.record.id, done: this.items.size };
  }

  /** Measures `item`, or all that is left if it is absent, and yields what the engine says. Ends the job when all of it is measured. */
  async *measure(engine: OpenedEngine, item?: string): AsyncGenerator<Event> {
    const { record, data } = this.job;
    const { id, kind, settings } = record;
    const started = performance.now();
    this.measuredBy(engine.facts);
    const replies = engine.measure({
      kind,
      settings,
      ...definite({ dataset: data, share: this.share }),
      // One whose turn has come is measured, also when it was before.
      done: [...this.items].filter((one) => one !== item),
      ...(item === undefined ? {} : { only: [item] }),
    });
    for await (const reply of replies) {
      if (reply.type === "measured") yield* this.keep(reply);
      else if (reply.type === "progress") yield { ...reply, job: id };
      else if (reply.type === "warning") yield* said([reply]);
      else if (reply.type === "instead")
        this.#instead = { settings: reply.settings, ...definite({ method: reply.method }) };
      else if (reply.type === "complete") {
        this.tookMemory(reply);
        this.tellWhole(reply.whole?.[""]);
        this.#seconds += (performance.now() - started) / 1000;
        if (item === undefined) yield* this.end();
      }
    }
  }

  *keep({ type: _, job: __, ...measured }: Extract<MeasureReply, { type: "measured" }>): Generator<Event> {
    this.items.add(measured.item);
    const later = this.#session > 1 ? { cluster: `session ${this.#session}` } : {};
    const item = keptItem(this.#session, measured.item);
    yield { type: "samples", job: this.job.record.id, ...measured, item, ...later };
  }

  *end(seconds = 0): Generator<Event> {
    if (this.over || !this.#begun) return;
    this.over = true;
    this.#seconds += seconds;
    const { id } = this.job.record;
    const { peakMemory, cacheBytes } = this.#taken;
    const samples = Object.entries({ peak_memory: peakMemory, kv_cache: cacheBytes }).flatMap(([metric, value]) =>
      value > 0 ? [{ metric, value, weight: 1 }] : [],
    );
    if (samples.length > 0)
      yield {
        type: "samples",
        job: id,
        item: memoryItem,
        samples,
        ...(this.#models > 1 ? { models: this.#models } : {}),
      };
    const [items, engine, instead] = [this.items.size + this.#others, this.#engine, this.#instead];
    const { share } = this;
    yield {
      ...(share ? { type: "share-done", share, ...definite({ whole: this.#whole }) } : { type: "job-done" }),
      at: now(),
      job: id,
      items,
      seconds: this.#seconds,
      ...definite({ engine, instead }),
    };
  }

  *fail(failure: Failure): Generator<Event> {
    this.over = true;
    yield { type: "job-failed", at: now(), job: this.job.record.id, failure };
  }
}
