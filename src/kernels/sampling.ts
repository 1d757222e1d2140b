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

/**
 * Logits in which each token that stands in the prompt or the answer is less likely: divided by `penalty` where above 0, else
 * multiplied with it (Keskar et al. 2019, "CTRL", § 4.1, as transformers, vLLM and llama.cpp do it), once however often it stands
 * there. The row given is left as it is; the one returned is valid until the next call.
 */
export function repetitionPenalty(
  vocabulary: number,
  penalty: number,
): (logits: Float32Array, seen: Iterable<number>) => Float32Array {
  const row = new Float32Array(vocabulary);
  return (logits, seen) => {
    row.set(logits);
    for (const token of seen) {
      const logit = logits[token]!;
      row[token] = logit > 0 ? logit / penalty : logit * penalty;
    }
    return row;
  };
}

/** Which tokens may be drawn: the `topK` most likely ones, and of these the fewest whose probabilities come to `topP`. */
export interface Nucleus {
  topK?: number | undefined;
  topP?: number | undefined;
}

/**
 * At temperature 0 the most likely token, the lower id on a tie; else one drawn with probability ∝ exp(logit / temperature), the
 * temperature first, as transformers and vLLM do it, then `topK`, then `topP`.
 */
export function tokenChooser(
  vocabulary: number,
  temperature: number,
  { topK = 0, topP = 1 }: Nucleus = {},
): TokenChooser {
  const top = simdTop(vocabulary);
  if (temperature === 0) return top;
  const weights = new Float64Array(vocabulary);
  const bounded = (topK > 0 && topK < vocabulary) || topP < 1;
  return (logits, next) => {
    const most = logits[top(logits)]!;
    let sum = 0;
    for (let i = 0; i < vocabulary; i++) sum += weights[i] = Math.exp((logits[i]! - most) / temperature);
    finite(sum);
    const draw = next();
    if (bounded) return drawn(nucleus(weights, sum, topK > 0 ? topK : vocabulary, topP), weights, draw);
    let left = draw * sum;
    for (let i = 0; i < vocabulary; i++) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    // What rounding left over is the last one's.
    return weights.findLastIndex((weight) => weight > 0);
  };
}

/** The tokens that may be drawn, the most likely first; `sum`: of all weights, of which the largest is 1. */
function nucleus(weights: Float64Array, sum: number, topK: number, topP: number): number[] {
  // Sorting a whole vocabulary takes longer than a decode: almost always a few tokens are enough.
  for (let least = 1e-3; ; least *= 1e-3) {
    const all = least < 1e-30;
    const likely: number[] = [];
    for (const [token, weight] of weights.entries()) if (all || weight >= least) likely.push(token);
    likely.sort((a, b) => weights[b]! - weights[a]! || a - b);
    const kept = likely.slice(0, topK);
    // The probabilities are those among the topK.
    const whole = kept.length === topK || all;
    const total = topK < weights.length ? weightOf(kept, weights) : sum;
    if (topK < weights.length && !whole) continue;
    if (topP >= 1) return kept;
    let [count, held] = [0, 0];
    while (count < kept.length && held < topP * total) held += weights[kept[count++]!]!;
    if (held >= topP * total || all) return kept.slice(0, Math.max(1, count));
  }
}

const weightOf = (tokens: readonly number[], weights: Float64Array) =>
  tokens.reduce((sum, token) => sum + weights[token]!, 0);

function drawn(tokens: readonly number[], weights: Float64Array, draw: number): number {
  let left = draw * weightOf(tokens, weights);
  for (const token of tokens) {
    left -= weights[token]!;
    if (left < 0) return token;
  }
  return tokens.at(-1)!;
}
