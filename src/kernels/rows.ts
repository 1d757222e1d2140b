import fs from "node:fs";
import { BenchError } from "../errors.js";

/** Negative log-likelihood in nats of `token` under a row of logits. */
export type RowScorer = (row: Float32Array, token: number) => number;

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

/** An instance of rows.wat with room for `rows` rows, each padded to a multiple of 8. */
function scoringInstance(vocabulary: number, rows: number) {
  compiled ??= new WebAssembly.Module(fs.readFileSync(new URL("./rows.wasm", import.meta.url)));
  const scoring = new WebAssembly.Instance(compiled).exports as ScoringExports;
  const padded = Math.ceil(vocabulary / 8) * 8;
  const missing = rows * padded * 4 - scoring.memory.buffer.byteLength;
  if (missing > 0) scoring.memory.grow(Math.ceil(missing / 65536));
  const buffers = Array.from({ length: rows }, (_, row) =>
    new Float32Array(scoring.memory.buffer, row * padded * 4, padded).fill(-Infinity),
  );
  return { scoring, padded, buffers };
}

/** In WASM SIMD, for rows of `vocabulary` logits; see rows.wat. `test/kernels/definitions.ts` has the definition. */
export function simdScorer(vocabulary: number): RowScorer {
  const { scoring, padded, buffers } = scoringInstance(vocabulary, 1);
  return (row, token) => {
    buffers[0]!.set(row);
    const most = scoring.maximum(0, padded);
    return Math.log(scoring.sum_exp(0, padded, most)) + most - row[token]!;
  };
}

/** The most likely token of a row, the lower id on a tie, in WASM SIMD. */
export function simdTop(vocabulary: number): (row: Float32Array) => number {
  const { scoring, padded, buffers } = scoringInstance(vocabulary, 1);
  return (row) => {
    buffers[0]!.set(row);
    return scoring.index_of(0, padded, finite(scoring.maximum(0, padded)));
  };
}

/** A broken file loads and decodes like any other; only its logits tell. */
export function finite(nll: number): number {
  if (Number.isFinite(nll)) return nll;
  throw new BenchError("not-finite", `the model's log-probabilities are no numbers (${-nll})`, {
    hint: "the file's weights may be damaged, or a value overflows: try flashAttention: off, or an f32 KV cache",
  });
}

/** One position of a variant against its reference. With p, q the probabilities of reference and variant. */
export interface RowComparison {
  /** Negative log-likelihood in nats of the token that follows, under each. */
  nll: number;
  nllReference: number;
  /** The most likely token of each; the lower id on a tie. */
  top: number;
  topReference: number;
  /** Σ p ln(p/q) in nats; or what is known of it, one value for each of the source's metrics. */
  divergence: number[];
}

/** A reference's row against the same row of each of its variants. */
export type RowComparer = (
  reference: Float32Array,
  variants: readonly Float32Array[],
  token: number,
) => RowComparison[];

/** In WASM SIMD. The reference's exponentials are computed once for all variants. */
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
        top: scoring.index_of(variant, padded, most),
        topReference,
        divergence: [scoring.cross(exponentials, reference, variant, padded, most) / sumR - logR + log],
      };
    });
  };
}
