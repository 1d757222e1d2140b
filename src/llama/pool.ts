import { once } from "node:events";
import { parentPort, Worker } from "node:worker_threads";
import { type RowComparer, type RowComparison, type RowScorer, simdComparer, simdScorer } from "../kernels/rows.js";
import { floatsAt, type Pointer } from "./library.js";

/** Memory shared by the threads: control words, then the tokens and the results of the block at hand. */
interface SharedMemory {
  control: Int32Array;
  /** Addresses of rows: those of the one scored model, or those of the reference and its variants. */
  pointers: BigUint64Array;
  tokens: Int32Array;
  /** `columns` values a row, or a row and variant; the first is the NLL. */
  results: Float64Array;
}

const GENERATION = 0;
const NEXT_ROW = 1;
const ROWS = 2;
const RUNNING = 3;
const MODELS = 4;

const columns = 5;

/**
 * Scores blocks of rows on the calling thread and `threads − 1` workers, which read the logits where llama.cpp left them.
 * The caller waits: decoding and scoring both want all cores, so overlapping them gains nothing on a CPU, and on a GPU
 * the scoring of a block takes a small part of its decode.
 */
export class ScoringPool {
  readonly #worker: BlockWorker;
  readonly #threads: { worker: Worker; loaded: Promise<unknown> }[] = [];
  readonly #shared: SharedMemory;

  /** `variants`: how many are compared with a reference at once. */
  constructor(
    vocabulary: number,
    maximumRows: number,
    threads: number,
    readonly variants = 0,
  ) {
    const shared = (bytes: number) => new SharedArrayBuffer(bytes);
    this.#shared = {
      control: new Int32Array(shared(20)),
      pointers: new BigUint64Array(shared(8 * (1 + variants))),
      tokens: new Int32Array(shared(4 * maximumRows)),
      results: new Float64Array(shared(8 * columns * maximumRows * Math.max(1, variants))),
    };
    this.#worker = new BlockWorker(vocabulary, this.#shared);
    for (let i = 1; i < threads; i++) {
      const worker = new Worker(new URL("./pool-worker.js", import.meta.url), {
        workerData: { vocabulary, shared: this.#shared },
        // A worker holds no more than three rows; the engine's memory is the model's.
        resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
      });
      const loaded = Promise.race([once(worker, "message"), once(worker, "exit")]).catch(() => {});
      worker.unref();
      this.#threads.push({ worker, loaded });
    }
  }

  /** NLL in nats of `tokens[i]` under row i. */
  score(pointer: Pointer, tokens: ArrayLike<number>): Float64Array {
    this.#block([pointer], tokens);
    return Float64Array.from({ length: tokens.length }, (_, row) => this.#shared.results[row * columns]!);
  }

  /** Rows of a reference against the same rows of its variants: `[variant][row]`. */
  compare(reference: Pointer, variants: readonly Pointer[], tokens: ArrayLike<number>): RowComparison[][] {
    this.#block([reference, ...variants], tokens);
    return variants.map((_, variant) =>
      Array.from({ length: tokens.length }, (_, row) => {
        const at = (row * variants.length + variant) * columns;
        const [nll, nllReference, kld, top, topReference] = this.#shared.results.subarray(at, at + columns);
        return { nll: nll!, nllReference: nllReference!, top: top!, topReference: topReference!, divergence: [kld!] };
      }),
    );
  }

  #block(models: readonly Pointer[], tokens: ArrayLike<number>): void {
    const { control, pointers } = this.#shared;
    pointers.set(models);
    Atomics.store(control, MODELS, models.length);
    this.#shared.tokens.set(tokens);
    // A worker that woke late from the block before may look in at any moment. So the data are written before the counters, and
    // the end before the start: any row that it takes is one of this block.
    Atomics.store(control, ROWS, tokens.length);
    Atomics.store(control, NEXT_ROW, 0);
    Atomics.add(control, GENERATION, 1);
    Atomics.notify(control, GENERATION);
    this.#worker.takeRows();
    // All rows are taken, but a worker may still be at its last one.
    for (let running = Atomics.load(control, RUNNING); running > 0; running = Atomics.load(control, RUNNING))
      Atomics.wait(control, RUNNING, running);
  }

  /** NLL in nats of several tokens under one and the same row. */
  scoreOne(pointer: Pointer, row: number, tokens: readonly number[]): number[] {
    return this.#worker.scoreOne(pointer, row, tokens);
  }

  /** A thread that ends while it loads a native module takes the process down, so each is waited for first. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker, loaded }) => loaded.then(() => worker.terminate())));
  }
}

/** One thread's part in the scoring of blocks. */
class BlockWorker {
  readonly #scorer: RowScorer;
  #comparer: RowComparer | undefined;

  constructor(
    readonly vocabulary: number,
    readonly shared: SharedMemory,
  ) {
    this.#scorer = simdScorer(vocabulary);
  }

  /** Takes row after row until none is left: a faster thread takes more of them. */
  takeRows(): void {
    const { control, pointers, tokens, results } = this.shared;
    const rows = Atomics.load(control, ROWS);
    const models = Array.from(pointers.subarray(0, Atomics.load(control, MODELS)), (pointer) =>
      floatsAt(pointer, rows * this.vocabulary),
    );
    if (models.length > 1) this.#comparer ??= simdComparer(this.vocabulary);
    for (let row = Atomics.add(control, NEXT_ROW, 1); row < rows; row = Atomics.add(control, NEXT_ROW, 1)) {
      const [first, ...variants] = models.map((logits) =>
        logits.subarray(row * this.vocabulary, (row + 1) * this.vocabulary),
      );
      const token = tokens[row]!;
      if (variants.length === 0) results[row * columns] = this.#scorer(first!, token);
      else
        for (const [v, found] of this.#comparer!(first!, variants, token).entries()) {
          const { nll, nllReference, top, topReference, divergence } = found;
          results.set([nll, nllReference, divergence[0]!, top, topReference], (row * variants.length + v) * columns);
        }
    }
  }

  scoreOne(pointer: Pointer, row: number, tokens: readonly number[]): number[] {
    const [first] = tokens;
    if (first === undefined) return [];
    const logits = floatsAt(pointer + BigInt(row * this.vocabulary * 4), this.vocabulary);
    const nll = this.#scorer(logits, first);
    return tokens.map((token) => nll + logits[first]! - logits[token]!);
  }
}

/** The life of a worker: wait for a block, help with it, wait again. */
export function serveScoring(vocabulary: number, shared: SharedMemory): never {
  parentPort?.postMessage("loaded");
  const worker = new BlockWorker(vocabulary, shared);
  const { control } = shared;
  let seen = 0;
  for (;;) {
    Atomics.wait(control, GENERATION, seen);
    seen = Atomics.load(control, GENERATION);
    // A worker counts itself in before it looks for a row: the caller leaves only when none is counted in and no row is left.
    Atomics.add(control, RUNNING, 1);
    if (Atomics.load(control, NEXT_ROW) < Atomics.load(control, ROWS)) worker.takeRows();
    Atomics.sub(control, RUNNING, 1);
    Atomics.notify(control, RUNNING);
  }
}
