import { randomUUID } from "node:crypto";
import { type BenchError, type Failure, fromFailure } from "../../errors.js";
import type { MeasureReply, TakenMemory } from "../executor.js";
import type { Dispatcher } from "./dispatch.js";
import { type Assignment, itemKey, type Letter } from "./messages.js";
import type { Parcel } from "./parcels.js";

/** Milliseconds that workers may take for the items at hand when the run is stopped. */
const stopPatience = 4000;

/** Letters that wait here, with the values per token of each; the rest waits in Redis until these are read. */
const mostUnread = 500;

/** The parts of one request, from when they are sent until all are done. */
export class SplitRequest {
  readonly #id = randomUUID();
  /** By assignment: the worker that has it. */
  readonly #open = new Map<string, string | undefined>();
  readonly #known: Set<string>;
  readonly #parcels: readonly Parcel[];
  readonly #ended: () => void;
  readonly #stop = new AbortController();
  readonly #inbox: Letter[] = [];
  #wake = () => {};
  /** Lets whoever waits for room in the inbox go on. */
  #makeRoom = () => {};
  #refusal: BenchError | undefined;
  #count = 0;
  #over = false;
  #ending = false;

  constructor(
    private readonly dispatcher: Dispatcher,
    {
      known = new Set(),
      parcels = [],
      ended,
    }: {
      /** Keys of the items that need not be measured. */
      known?: Set<string>;
      parcels?: readonly Parcel[];
      ended(): void;
    },
  ) {
    this.#known = known;
    this.#parcels = parcels;
    this.#ended = ended;
  }

  async send(
    queue: string,
    work: Omit<Assignment, "id" | "run" | "group">,
    options: { first?: boolean } = {},
  ): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    this.#count++;
    const id = `${this.#id}.${this.#count}`;
    this.#open.set(id, undefined);
    const assignment = { ...work, id, run: this.dispatcher.run, group: this.#id };
    const sent = {
      ...{ queue, assignment, parcels: this.#parcels, done: () => this.#known },
      heard: (letter: Letter) => this.#hear(letter),
      refused: (error: BenchError) => {
        this.#refusal ??= error;
        this.#wake();
      },
    };
    try {
      await this.dispatcher.send(sent, { ...options, signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** What workers say of the parts, until `end` or a stop. Throws a BenchError for what a worker refused, or could not do. */
  async *letters(): AsyncGenerator<Letter> {
    while (!this.#over) {
      const letter = this.#inbox.shift();
      if (this.#inbox.length < mostUnread) this.#makeRoom();
      if (letter?.told.type === "failed") throw failureOf(letter.told.failure, letter.worker);
      if (letter) yield letter;
      else if (this.#refusal) throw this.#refusal;
      else if (this.#stop.signal.aborted && [...this.#open.values()].every((worker) => worker === undefined)) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  /** Each item once, whoever measured it how often; ends after `complete`, which is of all parts. A stop ends it without. */
  async *replies(): AsyncGenerator<MeasureReply> {
    let all: TakenMemory & { each?: Record<string, TakenMemory> } = {};
    /** By part. */
    const progress = new Map<string, { done: number; total: number }>();
    for await (const { assignment, worker, told } of this.letters()) {
      switch (told.type) {
        case "measured": {
          const key = itemKey(told.job, told.item);
          if (this.#known.has(key)) break;
          this.#known.add(key);
          yield told;
          break;
        }
        case "progress":
          progress.set(assignment, told);
          yield { ...told, ...this.#through([...progress.values()]), where: worker };
          break;
        case "opened-variant":
          yield { ...told, facts: { ...told.facts, worker } };
          break;
        case "warning":
        case "instead":
          yield told;
          break;
        case "complete": {
          const { type, items, ...taken } = told;
          // Letters get lost with a Redis that keeps nothing.
          if (!items.every((item) => this.#known.has(item))) {
            this.#open.set(assignment, undefined);
            await this.dispatcher.again(assignment);
            break;
          }
          all = larger(all, taken);
          await this.close(assignment);
          if (this.#open.size > 0) break;
          yield { type, ...all };
          return;
        }
      }
    }
  }

  /** How far the parts are together; those that are not begun are taken to be as large as the others. */
  #through(begun: { done: number; total: number }[]): { done: number; total: number } {
    const sum = (key: "done" | "total") => begun.reduce((all, one) => all + one[key], 0);
    return { done: sum("done"), total: Math.round((sum("total") * this.#count) / begun.length) };
  }

  stop(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    void this.dispatcher.cancel(this.#id);
    setTimeout(() => {
      this.#over = true;
      this.#wake();
      this.#makeRoom();
    }, stopPatience).unref();
    this.#wake();
  }

  /** This part is done. */
  async close(assignment: string): Promise<void> {
    this.#open.delete(assignment);
    await this.dispatcher.end(assignment);
  }

  /** Ends with all parts; those that are not done are taken back. */
  async end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    this.#over = true;
    this.#wake();
    this.#makeRoom();
    this.#ended();
    if (this.#open.size > 0) await this.dispatcher.cancel(this.#id);
    await this.dispatcher.forget(this.#id, this.#open.keys());
    this.#open.clear();
  }

  async #hear(letter: Letter): Promise<void> {
    const { assignment, worker, told } = letter;
    if (!this.#open.has(assignment)) return;
    if (told.type === "taken") this.#open.set(assignment, worker);
    if (told.type === "stopped" || told.type === "declined") this.#open.set(assignment, undefined);
    this.#inbox.push(letter);
    this.#wake();
    if (this.#inbox.length >= mostUnread && !this.#over)
      await new Promise<void>((resolve) => {
        this.#makeRoom = resolve;
      });
  }
}

/** A path or a want of memory is its worker's. */
const failureOf = (failure: Failure, worker: string) =>
  fromFailure({ ...failure, message: `${worker}: ${failure.message}` });

type Whole = TakenMemory & { each?: Record<string, TakenMemory> };

/** The most that any of the parts took. */
function larger(a: Whole, b: Whole): Whole {
  const most = (one: number | undefined, other: number | undefined) => Math.max(one ?? 0, other ?? 0);
  const memory = (one: TakenMemory = {}, other: TakenMemory = {}): TakenMemory => {
    const [peakMemory, cacheBytes] = [most(one.peakMemory, other.peakMemory), most(one.cacheBytes, other.cacheBytes)];
    return { ...(peakMemory > 0 ? { peakMemory } : {}), ...(cacheBytes > 0 ? { cacheBytes } : {}) };
  };
  const names = new Set([...Object.keys(a.each ?? {}), ...Object.keys(b.each ?? {})]);
  const each = Object.fromEntries([...names].map((name) => [name, memory(a.each?.[name], b.each?.[name])]));
  return { ...memory(a, b), ...(names.size > 0 ? { each } : {}) };
}
