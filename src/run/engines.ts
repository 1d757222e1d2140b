import type { EngineFacts } from "../backends/backend.js";
import { BenchError } from "../errors.js";
import type { Event } from "../events.js";
import type { Executor, OpenedEngine } from "../executors/index.js";
import type { Job, Plan } from "../plan/index.js";
import { bytes as told } from "../units.js";
import { said } from "./job-run.js";

/** The name of an engine: a variant that two backends open has two. */
export const engineOf = ({ record: { variant, backend } }: Job): string => JSON.stringify([variant, backend]);

/** Open engines, by `engineOf`, as many as memory allows. The first to close is the least recently used of those that no step holds. */
export class Engines {
  /** In the order of use. `engine` is absent while the engine is being opened. */
  readonly #open = new Map<string, { bytes: number; engine?: OpenedEngine }>();
  readonly #held = new Set<string>();

  constructor(
    private readonly plan: Plan,
    private readonly executor: Executor,
  ) {}

  /** Keeps an engine open until `letGo`, so that a step beside it does not close it. */
  hold(name: string): void {
    this.#held.add(name);
  }

  letGo(name: string): void {
    this.#held.delete(name);
  }

  get(name: string): OpenedEngine | undefined {
    return this.#open.get(name)?.engine;
  }

  /** `bytes`: memory that the engine needs for all jobs of its step. */
  async *open(job: Job, bytes: number): AsyncGenerator<Event> {
    const { record, spec } = job;
    const name = engineOf(job);
    const found = this.#open.get(name);
    // Inserted anew, because the order of the map is the order of use.
    this.#open.delete(name);
    if (found?.engine?.alive) {
      this.#open.set(name, found);
      return;
    }
    let used = [...this.#open.values()].reduce((sum, one) => sum + one.bytes, bytes);
    const entry: { bytes: number; engine?: OpenedEngine } = { bytes };
    const others = [...this.#open];
    this.#open.set(name, entry);
    try {
      for (const [other, one] of others) {
        if (used <= this.plan.memoryLimit) break;
        if (this.#held.has(other)) continue;
        used -= one.bytes;
        await this.release(other);
      }
      entry.engine = await this.executor.open(spec, { timeout: this.plan.timeout });
    } catch (error) {
      this.#open.delete(name);
      throw error;
    }
    yield* toldOpened(this.plan, record.variant, entry.engine.facts);
    yield* said(entry.engine.warnings);
  }

  async release(name: string): Promise<void> {
    const found = this.#open.get(name);
    this.#open.delete(name);
    await found?.engine?.close();
  }

  /** Closes all engines that no step holds. */
  async releaseIdle(): Promise<void> {
    for (const name of [...this.#open.keys()]) if (!this.#held.has(name)) await this.release(name);
  }
}

/** One event for the variant and for each that differs from it in its name only. */
export function* toldOpened({ jobs }: Plan, variant: string, engine: EngineFacts): Generator<Event> {
  const own = new Set(jobs.flatMap((job) => (job.record.variant === variant ? [job.record.id] : [])));
  const alike = jobs.flatMap((job) => (own.has(job.record.id) ? [job.record.variant] : []));
  for (const name of new Set([variant, ...alike])) yield { type: "opened", at: Date.now(), variant: name, engine };
}

/** Why a job cannot run within `limit` bytes of memory. A reference and its variants may take turns, so each must fit by itself. */
export function outOfMemory({ record: { variant }, memory, reference }: Job, limit: number): BenchError | undefined {
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
