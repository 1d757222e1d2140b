import type { EngineFacts, VariantSpec } from "../backends/backend.js";
import { now } from "../clock.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import type { Event } from "../events.js";
import type { Executor, OpenedEngine, OpenedVariant } from "../executors/index.js";
import type { Job, Plan } from "../plan/index.js";
import { bytes as told } from "../units.js";
import { said } from "./job-run.js";
import { jobsOf, type Step } from "./schedule.js";

/** The name of an engine: a variant that two backends open has two. */
export const engineOf = ({ record: { variant, backend } }: Job): string => JSON.stringify([variant, backend]);

/** An engine that is open, or is being opened. */
interface Entry {
  /** What it loaded, see `Job.load`. */
  load: string;
  bytes: number;
  /** The backend that opened it. */
  backend: string;
  engine?: OpenedEngine;
  /** What it is now: variants and how they were opened. */
  is?: string;
  /** The step that uses it. */
  holder: Step | undefined;
  /** Variants of which it was told that they were opened here. */
  told: Set<string>;
}

/** What a step wants to measure with. */
export interface EngineRequest {
  spec: VariantSpec;
  load: string;
  /** What the engine needs for all that it will be asked. */
  bytes: number;
  /** Opened beside it, in the same process. */
  others?: VariantSpec[];
  scratch?: { limit?: number };
}

/**
 * Open engines, as many as memory allows; of those that nobody uses, the one used least recently goes first. An engine becomes
 * another variant of the same load, so the weights stay in memory as long as a step is left that wants them.
 */
export class Engines {
  /** In the order of use. */
  #entries: Entry[] = [];
  /** By load: the steps that are left. */
  #left = new Map<string, Set<Step>>();

  constructor(
    private readonly plan: Plan,
    private readonly executor: Executor,
  ) {}

  /** The steps that are left, those that run included: what they want stays open. */
  expect(steps: readonly Step[]): void {
    const loads = new Map(this.plan.jobs.map((job) => [job.record.id, loadsOf(job)]));
    this.#left = new Map();
    for (const step of steps)
      for (const load of new Set(jobsOf(step).flatMap((id) => loads.get(id) ?? [])))
        this.#left.set(load, (this.#left.get(load) ?? new Set()).add(step));
  }

  /** The engine, which is the step's until `end`; a step that runs beside it closes another one. */
  async *open(wanted: EngineRequest, step: Step): AsyncGenerator<Event, OpenedEngine> {
    const { spec, load, bytes, others = [], scratch } = wanted;
    this.#entries = this.#entries.filter(({ engine }) => engine === undefined || engine.alive);
    const is = JSON.stringify([spec, others, scratch]);
    const free = this.#entries.filter(({ engine, holder }) => engine && (holder === undefined || holder === step));
    const found = free.find((entry) => entry.is === is) ?? free.find((entry) => entry.load === load);
    const entry: Entry = found ?? { load, bytes, backend: spec.backend, holder: step, told: new Set() };
    // Put last, for the list is in the order of use.
    this.#entries = [...this.#entries.filter((one) => one !== entry), entry];
    const options = { timeout: this.plan.timeout, others, memory: bytes, ...definite({ scratch }) };
    const held = entry.holder;
    Object.assign(entry, { holder: step, bytes, backend: spec.backend });
    try {
      if (entry.is === is) return entry.engine!;
      await this.#makeRoom(entry);
      if (entry.engine) await entry.engine.become(spec, options);
      else entry.engine = await this.executor.open(spec, options);
      entry.is = is;
    } catch (error) {
      entry.holder = held;
      if (!entry.engine?.alive) this.#entries = this.#entries.filter((one) => one !== entry);
      throw error;
    }
    const { engine } = entry;
    for (const one of [{ variant: spec.name, facts: engine.facts }, ...engine.others]) yield* this.opened(one, engine);
    yield* said(engine.warnings);
    return engine;
  }

  /** Says, the first time in a process, that a variant was opened there. */
  *opened({ variant, facts }: Pick<OpenedVariant, "variant" | "facts">, engine: OpenedEngine): Generator<Event> {
    const { told, backend } = this.#entries.find((entry) => entry.engine === engine) ?? {};
    if (!told || backend === undefined || told.has(variant)) return;
    told.add(variant);
    yield* toldOpened(this.plan, { variant, backend }, facts);
  }

  /** Closes what only this step wanted. */
  async end(step: Step): Promise<void> {
    for (const steps of this.#left.values()) steps.delete(step);
    for (const entry of this.#entries) if (entry.holder === step) entry.holder = undefined;
    await this.#close((entry) => !this.#left.get(entry.load)?.size);
  }

  /** Closes all that nobody uses but what has this load. */
  async releaseIdle(load?: string): Promise<void> {
    await this.#close((entry) => entry.load !== load);
  }

  async #makeRoom(wanted: Entry): Promise<void> {
    for (const entry of [...this.#entries]) {
      const used = this.#entries.reduce((sum, { bytes }) => sum + bytes, 0);
      if (used <= this.plan.memoryLimit) return;
      if (entry !== wanted && (entry.holder === undefined || entry.holder === wanted.holder))
        await this.#close((one) => one === entry, true);
    }
  }

  async #close(which: (entry: Entry) => boolean, own = false): Promise<void> {
    const closing = this.#entries.filter((entry) => (own || entry.holder === undefined) && which(entry));
    this.#entries = this.#entries.filter((entry) => !closing.includes(entry));
    for (const { engine } of closing) await engine?.close();
  }
}

const loadsOf = ({ load, reference }: Job) => [load, ...(reference ? [reference.load] : [])];

/**
 * One event per variant that is this one but for its name. A variant of a server is opened by its own backend: the engine that
 * measures its file in this process has another load time, and is named by its jobs.
 */
function* toldOpened(
  { jobs, variants }: Plan,
  { variant, backend }: { variant: string; backend: string },
  engine: EngineFacts,
): Generator<Event> {
  const here = jobs.flatMap(({ record }) => (record.backend === backend ? [record] : []));
  const own = new Set(here.flatMap((record) => (record.variant === variant ? [record.id] : [])));
  const alike = here.flatMap((record) => (own.has(record.id) ? [record.variant] : []));
  const names = new Set([variant, ...alike]);
  for (const one of variants)
    if (one.backend === backend && names.has(one.name)) yield { type: "opened", at: now(), variant: one.name, engine };
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
