import { createHash } from "node:crypto";
import { finite, simdTop } from "./rows.js";

/** Uniform numbers in (0, 1) that depend on the name alone. */
export function uniforms(name: string): () => number {
  let state = createHash("sha256").update(name).digest().readUInt32LE(0);
  // Mulberry32: 32 bits of state are plenty for thousands of draws.
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
}

/** The next token by a row of logits; `next` gives uniform numbers. */
export type TokenChooser = (logits: Float32Array, next: () => number) => number;

/** At temperature 0 the most likely token, the lower id on a tie; else one drawn with probability ∝ exp(logit / temperature). */
export function tokenChooser(vocabulary: number, temperature: number): TokenChooser {
  const top = simdTop(vocabulary);
  if (temperature === 0) return top;
  const weights = new Float64Array(vocabulary);
  return (logits, next) => {
    const most = logits[top(logits)]!;
    let sum = 0;
    for (let i = 0; i < vocabulary; i++) sum += weights[i] = Math.exp((logits[i]! - most) / temperature);
    let left = next() * finite(sum);
    for (let i = 0; i < vocabulary; i++) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    // What rounding left over is the last one's.
    return weights.findLastIndex((weight) => weight > 0);
  };
}
