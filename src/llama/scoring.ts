import fs from "node:fs";
import { Worker } from "node:worker_threads";
import { BenchError } from "../errors.js";
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
  maximum(at: number, count: number): number;
  index_of(at: number, count: number, value: number): number;
  sum_exp(at: number, count: number, maximum: number): number;
  exp_row(at: number, into: number, count: number, maximum: number): void;
  cross(exp: number, at: number, other: number, count: number, otherMaximum: number): number;
}

let compiled: object | undefined;

/** An instance of scoring.wat with room for `rows` rows, each padded to a multiple of 8. */
function scoringInstance(vocabulary: number, rows: number) {
  compiled ??= new WebAssembly.Module(fs.readFileSync(new URL("./scoring.wasm", import.meta.url)));
  const scoring = new WebAssembly.Instance(compiled).exports as ScoringExports;
  const padded = Math.ceil(vocabulary / 8) * 8;
  const missing = rows * padded * 4 - scoring.memory.buffer.byteLength;
  if (missing > 0) scoring.memory.grow(Math.ceil(missing / 65536));
  const buffers = Array.from({ length: rows }, (_, row) =>
    new Float32Array(scoring.memory.buffer, row * padded * 4, padded).fill(-Infinity),
  );
  return { scoring, padded, buffers };
}

/** The same in WASM SIMD, for rows of `vocabulary` logits; see scoring.wat. */
export function simdScorer(vocabulary: number): RowScorer {
  const { scoring, padded, buffers } = scoringInstance(vocabulary, 1);
  return (row, token) => {
    buffers[0]!.set(row);
    const most = scoring.maximum(0, padded);
    return Math.log(scoring.sum_exp(0, padded, most)) + most - row[token]!;
  };
}

/** A broken file loads and decodes like any other; only its logits tell. */
export function finite(nll: number): number {
  if (Number.isFinite(nll)) return nll;
  throw new BenchError("not-finite", `the model's log-probabilities are no numbers (${-nll})`, {
    hint: "the file's weights may be damaged, or a value overflows: try flashAttention: off, or an f32 KV cache",
  });
}

/** What one scored token says of two models. */
export interface RowDivergence {
  /** Negative log-likelihood in nats under the variant, and under the reference. */
  nll: number;
  nllReference: number;
  /** Kullback-Leibler divergence of the variant from the reference, in nats: sum of p_ref · ln(p_ref / p_variant). */
  kld: number;
  /** The most likely token of each; the lower id on a tie. */
  top: number;
  topReference: number;
}

/** The same for the tokens of a window, one array each. */
export function emptyDivergence(tokens: number) {
  return {
    nll: new Float64Array(tokens),
    nllReference: new Float64Array(tokens),
    kld: new Float64Array(tokens),
    top: new Int32Array(tokens),
    topReference: new Int32Array(tokens),
  };
}

/** Throws where a model's log-probabilities are no numbers. */
export function keepDivergence(into: ReturnType<typeof emptyDivergence>, row: number, found: RowDivergence): void {
  into.nll[row] = finite(found.nll);
  into.nllReference[row] = finite(found.nllReference);
  into.kld[row] = found.kld;
  into.top[row] = found.top;
  into.topReference[row] = found.topReference;
}

/** A reference's row against the same row of each of its variants. */
export type RowComparer = (
  reference: Float32Array,
  variants: readonly Float32Array[],
  token: number,
) => RowDivergence[];

/** The definition, in plain JS and doubles. */
export function plainComparer(): RowComparer {
  const logSumExp = (row: Float32Array) => {
    let maximum = -Infinity;
    let top = 0;
    for (const [i, logit] of row.entries())
      if (logit > maximum) {
        maximum = logit;
        top = i;
      }
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - maximum);
    return { log: Math.log(sum) + maximum, top };
  };
  return (reference, variants, token) => {
    const r = logSumExp(reference);
    return variants.map((variant) => {
      const v = logSumExp(variant);
      let kld = 0;
      for (let i = 0; i < reference.length; i++) {
        const logP = reference[i]! - r.log;
        // p ln p tends to 0 with p.
        if (logP > -Infinity) kld += Math.exp(logP) * (logP - (variant[i]! - v.log));
      }
      return {
        nll: v.log - variant[token]!,
        nllReference: r.log - reference[token]!,
        kld,
        top: v.top,
        topReference: r.top,
      };
    });
  };
}

/** The same in WASM SIMD. The reference's exponentials are computed once for all variants. */
export function simdComparer(vocabulary: number): RowComparer {
  const { scoring, padded, buffers } = scoringInstance(vocabulary, 3);
  const [reference, exponentials, variant] = [0, padded * 4, padded * 8];
  return (row, others, token) => {
    buffers[0]!.set(row);
    const mostR = scoring.maximum(reference, padded);
    const topReference = scoring.index_of(reference, padded, mostR);
    const sumR = scoring.sum_exp(reference, padded, mostR);
    const logR = Math.log(sumR);
    scoring.exp_row(reference, exponentials, padded, mostR);
    return others.map((other) => {
      buffers[2]!.set(other);
      const most = scoring.maximum(variant, padded);
      const log = Math.log(scoring.sum_exp(variant, padded, most));
      return {
        nll: log + most - other[token]!,
        nllReference: logR + mostR - row[token]!,
        kld: scoring.cross(exponentials, reference, variant, padded, most) / sumR - logR + log,
        top: scoring.index_of(variant, padded, most),
        topReference,
      };
    });
  };
}

/** What the threads share: control words, then the tokens and the results of the block at hand. */
interface Shared {
  control: Int32Array;
  /** Addresses of the rows: of the one model that is scored, or of the reference and its variants. */
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
  readonly #threads: Worker[] = [];
  readonly #shared: Shared;

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
      const worker = new Worker(new URL("./scoring-worker.js", import.meta.url), {
        workerData: { vocabulary, shared: this.#shared },
        // A worker holds no more than three rows; the engine's memory is the model's.
        resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
      });
      worker.unref();
      this.#threads.push(worker);
    }
  }

  /** NLL in nats of `tokens[i]` under row i. */
  score(pointer: Pointer, tokens: ArrayLike<number>): Float64Array {
    this.#block([pointer], tokens);
    return Float64Array.from({ length: tokens.length }, (_, row) => this.#shared.results[row * columns]!);
  }

  /** Rows of a reference against the same rows of its variants: `[variant][row]`. */
  compare(reference: Pointer, variants: readonly Pointer[], tokens: ArrayLike<number>): RowDivergence[][] {
    this.#block([reference, ...variants], tokens);
    return variants.map((_, variant) =>
      Array.from({ length: tokens.length }, (_, row) => {
        const at = (row * variants.length + variant) * columns;
        const [nll, nllReference, kld, top, topReference] = this.#shared.results.subarray(at, at + columns);
        return { nll: nll!, nllReference: nllReference!, kld: kld!, top: top!, topReference: topReference! };
      }),
    );
  }

  #block(models: readonly Pointer[], tokens: ArrayLike<number>): void {
    const { control, pointers } = this.#shared;
    pointers.set(models);
    Atomics.store(control, MODELS, models.length);
    this.#shared.tokens.set(tokens);
    // A worker that woke late from the block before may look in at any moment: the data stand before the counters, the
    // end before the start, so that whatever it takes is a row of this block.
    Atomics.store(control, ROWS, tokens.length);
    Atomics.store(control, NEXT_ROW, 0);
    Atomics.add(control, GENERATION, 1);
    Atomics.notify(control, GENERATION);
    this.#worker.takeRows();
    // All rows are taken; some worker may still be at its last one.
    for (let running = Atomics.load(control, RUNNING); running > 0; running = Atomics.load(control, RUNNING))
      Atomics.wait(control, RUNNING, running);
  }

  /** NLL in nats of several tokens under one and the same row. */
  scoreOne(pointer: Pointer, row: number, tokens: readonly number[]): number[] {
    return this.#worker.scoreOne(pointer, row, tokens);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((worker) => worker.terminate()));
  }
}

/** One thread's part in the scoring of blocks. */
class BlockWorker {
  readonly #scorer: RowScorer;
  #comparer: RowComparer | undefined;

  constructor(
    readonly vocabulary: number,
    readonly shared: Shared,
  ) {
    this.#scorer = simdScorer(vocabulary);
  }

  /** Takes row after row until none is left: whoever is faster does more. */
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
          const { nll, nllReference, kld, top, topReference } = found;
          results.set([nll, nllReference, kld, top, topReference], (row * variants.length + v) * columns);
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
export function serveScoring(vocabulary: number, shared: Shared): never {
  const worker = new BlockWorker(vocabulary, shared);
  const { control } = shared;
  let seen = 0;
  for (;;) {
    Atomics.wait(control, GENERATION, seen);
    seen = Atomics.load(control, GENERATION);
    // Counted in before it looks for a row: the caller leaves only when nobody is counted in and no row is left.
    Atomics.add(control, RUNNING, 1);
    if (Atomics.load(control, NEXT_ROW) < Atomics.load(control, ROWS)) worker.takeRows();
    Atomics.sub(control, RUNNING, 1);
    Atomics.notify(control, RUNNING);
  }
}
