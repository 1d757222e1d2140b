import fs from "node:fs";
import { Worker } from "node:worker_threads";
import { floatsAt, type Pointer } from "./library.js";

/** Negative log-likelihood in nats of `token` under a row of logits. */
export type RowScorer = (row: Float32Array, token: number) => number;

/** The definition, in plain JS and doubles: what the tests hold the fast one against. */
export function plainScorer(): RowScorer {
  return (row, token) => {
    let maximum = -Infinity;
    for (const logit of row) if (logit > maximum) maximum = logit;
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - maximum);
    return Math.log(sum) + maximum - row[token]!;
  };
}

// Node's types leave the global WebAssembly to the DOM's; this much of it is used here.
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
};

interface ScoringExports {
  memory: { buffer: ArrayBuffer; grow(pages: number): number };
  maximum(count: number): number;
  sum_exp(count: number, maximum: number): number;
}

let compiled: object | undefined;

/** The same in WASM SIMD, for rows of `vocabulary` logits; see scoring.wat. */
export function simdScorer(vocabulary: number): RowScorer {
  compiled ??= new WebAssembly.Module(fs.readFileSync(new URL("./scoring.wasm", import.meta.url)));
  const { memory, maximum, sum_exp } = new WebAssembly.Instance(compiled).exports as ScoringExports;
  const padded = Math.ceil(vocabulary / 8) * 8;
  const missing = padded * 4 - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  const buffer = new Float32Array(memory.buffer, 0, padded).fill(-Infinity);
  return (row, token) => {
    buffer.set(row);
    const most = maximum(padded);
    return Math.log(sum_exp(padded, most)) + most - row[token]!;
  };
}

/** What the threads share: control words, then the tokens and the results of the block at hand. */
interface Shared {
  control: Int32Array;
  pointer: BigUint64Array;
  tokens: Int32Array;
  results: Float64Array;
}

const GENERATION = 0;
const NEXT_ROW = 1;
const ROWS = 2;
const RUNNING = 3;

/**
 * Scores blocks of rows on the calling thread and `threads − 1` workers, which read the logits where llama.cpp left them.
 * The caller waits: decoding and scoring both want all cores, so overlapping them gains nothing on a CPU, and on a GPU
 * the scoring of a block takes a small part of its decode.
 */
export class ScoringPool {
  readonly #scorer: RowScorer;
  readonly #workers: Worker[] = [];
  readonly #shared: Shared;

  constructor(
    private readonly vocabulary: number,
    maximumRows: number,
    threads: number,
  ) {
    this.#scorer = simdScorer(vocabulary);
    const shared = (bytes: number) => new SharedArrayBuffer(bytes);
    this.#shared = {
      control: new Int32Array(shared(16)),
      pointer: new BigUint64Array(shared(8)),
      tokens: new Int32Array(shared(4 * maximumRows)),
      results: new Float64Array(shared(8 * maximumRows)),
    };
    for (let i = 1; i < threads; i++) {
      const worker = new Worker(new URL("./scoring-worker.js", import.meta.url), {
        workerData: { vocabulary, shared: this.#shared },
        // A worker holds no more than one row; the engine's memory is the model's.
        resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
      });
      worker.unref();
      this.#workers.push(worker);
    }
  }

  /** NLL in nats of `tokens[i]` under row i. The result is a copy. */
  score(pointer: Pointer, tokens: ArrayLike<number>): Float64Array {
    const { control, results } = this.#shared;
    this.#shared.pointer[0] = pointer;
    this.#shared.tokens.set(tokens);
    // A worker that woke late from the block before may look in at any moment: the data stand before the counters, the
    // end before the start, so that whatever it takes is a row of this block.
    Atomics.store(control, ROWS, tokens.length);
    Atomics.store(control, NEXT_ROW, 0);
    Atomics.add(control, GENERATION, 1);
    Atomics.notify(control, GENERATION);
    takeRows(this.#shared, this.vocabulary, this.#scorer);
    // All rows are taken; some worker may still be at its last one.
    for (let running = Atomics.load(control, RUNNING); running > 0; running = Atomics.load(control, RUNNING))
      Atomics.wait(control, RUNNING, running);
    return results.slice(0, tokens.length);
  }

  /** NLL in nats of several tokens under one and the same row. */
  scoreOne(pointer: Pointer, row: number, tokens: readonly number[]): number[] {
    const start = pointer + BigInt(row * this.vocabulary * 4);
    const logits = floatsAt(start, this.vocabulary);
    const [first] = tokens;
    if (first === undefined) return [];
    const nll = this.#scorer(logits, first);
    return tokens.map((token) => nll + logits[first]! - logits[token]!);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** Takes row after row until none is left: whoever is faster does more. */
function takeRows(shared: Shared, vocabulary: number, scorer: RowScorer): void {
  const { control, pointer, tokens, results } = shared;
  const rows = control[ROWS]!;
  const logits = floatsAt(pointer[0]!, rows * vocabulary);
  for (let row = Atomics.add(control, NEXT_ROW, 1); row < rows; row = Atomics.add(control, NEXT_ROW, 1))
    results[row] = scorer(logits.subarray(row * vocabulary, (row + 1) * vocabulary), tokens[row]!);
}

/** The life of a worker: wait for a block, help with it, wait again. */
export function serveScoring(vocabulary: number, shared: Shared): never {
  const scorer = simdScorer(vocabulary);
  const { control } = shared;
  let seen = 0;
  for (;;) {
    Atomics.wait(control, GENERATION, seen);
    seen = Atomics.load(control, GENERATION);
    // Counted in before it looks for a row: the caller leaves only when nobody is counted in and no row is left.
    Atomics.add(control, RUNNING, 1);
    if (Atomics.load(control, NEXT_ROW) < Atomics.load(control, ROWS)) takeRows(shared, vocabulary, scorer);
    Atomics.sub(control, RUNNING, 1);
    Atomics.notify(control, RUNNING);
  }
}
