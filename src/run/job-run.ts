import type { EngineName } from "../backends/backend.js";
import { definite } from "../definite.js";
import type { Failure } from "../errors.js";
import { type Event, type Instead, memoryItem } from "../events.js";
import type { EngineWarning, MeasureReply, OpenedEngine } from "../executors/index.js";
import type { Job } from "../plan/index.js";
import type { JobProgress } from "../replay.js";

export function* said(warnings: readonly EngineWarning[]): Generator<Event> {
  for (const warning of warnings) yield { ...warning, at: Date.now() };
}

/** The state of one job in this session. */
export class JobRun {
  readonly items: Set<string>;
  over = false;
  #seconds = 0;
  #peakMemory: number;
  /** How many models the process held when it took most memory. */
  #models = 1;
  #engine: EngineName | undefined;
  #instead: Instead | undefined;
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
    this.#engine = {
      version,
      library,
      ...definite({ build, environment }),
    };
  }

  tookMemory(bytes: number | undefined, models = 1): void {
    if (bytes === undefined || bytes <= this.#peakMemory) return;
    this.#peakMemory = bytes;
    this.#models = models;
  }

  *begin(): Generator<Event> {
    if (this.#begun) return;
    this.#begun = true;
    yield { type: "job-started", at: Date.now(), job: this.job.record.id, done: this.items.size };
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
      ...definite({ dataset: data }),
      done: [...this.items],
      ...(item === undefined ? {} : { only: [item] }),
    });
    for await (const reply of replies) {
      if (reply.type === "measured") yield* this.keep(reply);
      else if (reply.type === "progress") yield { ...reply, job: id };
      else if (reply.type === "warning") yield* said([reply]);
      else if (reply.type === "instead")
        this.#instead = { settings: reply.settings, ...definite({ method: reply.method }) };
      else if (reply.type === "complete") {
        this.tookMemory(reply.peakMemory);
        this.#seconds += (performance.now() - started) / 1000;
        if (item === undefined) yield* this.end();
      }
    }
  }

  *keep({ type: _, job: __, ...measured }: Extract<MeasureReply, { type: "measured" }>): Generator<Event> {
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
    const [items, engine, instead] = [this.items.size, this.#engine, this.#instead];
    yield {
      type: "job-done",
      at: Date.now(),
      job: id,
      items,
      seconds: this.#seconds,
      ...definite({ engine, instead }),
    };
  }

  *fail(failure: Failure): Generator<Event> {
    this.over = true;
    yield { type: "job-failed", at: Date.now(), job: this.job.record.id, failure };
  }
}
