// Texts and questions whose truth is known, for the simulations of intervals.

/** Consecutive chunks that hang together: a first-order autoregression with variance 1. @param {number} n @param {number} rho @param {() => number} normal */
export function autoregression(n, rho, normal) {
  let last = normal();
  return Array.from({ length: n }, () => {
    const value = last;
    last = rho * last + Math.sqrt(1 - rho * rho) * normal();
    return value;
  });
}

/** @type {Map<number, number[]>} */
const weightsOf = new Map();
const memory = 1500;

/** Long memory: fractional noise (1 − B)^−d with variance 1, from its last 1500 shocks. @param {number} n @param {number} d @param {() => number} normal */
export function fractional(n, d, normal) {
  let weights = weightsOf.get(d);
  if (!weights) {
    weights = [1];
    for (let k = 1; k < memory; k++) weights.push((weights[k - 1] * (k - 1 + d)) / k);
    const size = Math.sqrt(weights.reduce((sum, one) => sum + one * one, 0));
    weights = weights.map((one) => one / size);
    weightsOf.set(d, weights);
  }
  const shocks = Array.from({ length: n + memory }, normal);
  return Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < memory; k++) sum += weights[k] * shocks[i + memory - k];
    return sum;
  });
}

/**
 * Documents of about 6 chunks that no card marks, with an effect each; a share `odd` of them is 15 times as far off.
 * @param {number} n @param {() => number} normal @param {() => number} next @param {number} odd
 */
export function unmarked(n, normal, next, odd) {
  /** @type {number[]} */
  const values = [];
  while (values.length < n) {
    const effect = normal() + (next() < odd ? 15 : 0);
    const length = 1 + Math.floor(-6 * Math.log(next()));
    for (let i = 0; i < length && values.length < n; i++) values.push(effect + 0.5 * normal());
  }
  return values;
}

/**
 * What a chunk costs more, in units of its spread, and the mean of that over all text.
 * @typedef {{ truth: number, chunks: (n: number, normal: () => number, next: () => number) => number[] }} World
 */

/** Worlds in which the intervals keep what they say from 32 chunks on. @type {Record<string, World>} */
export const reachable = {
  "independent, normal": { truth: 0, chunks: (n, normal) => Array.from({ length: n }, normal) },
  "independent, t with 3 degrees of freedom": {
    truth: 0,
    chunks: (n, normal) =>
      Array.from({ length: n }, () => normal() / Math.sqrt((normal() ** 2 + normal() ** 2 + normal() ** 2) / 3)),
  },
  "AR(1) 0.3": { truth: 0, chunks: (n, normal) => autoregression(n, 0.3, normal) },
  "AR(1) 0.5": { truth: 0, chunks: (n, normal) => autoregression(n, 0.5, normal) },
};

/** Worlds in which they do not. @type {Record<string, World>} */
export const unreachable = {
  "lognormal(1)": { truth: Math.exp(0.5), chunks: (n, normal) => Array.from({ length: n }, () => Math.exp(normal())) },
  "lognormal(1.5)": {
    truth: Math.exp(1.125),
    chunks: (n, normal) => Array.from({ length: n }, () => Math.exp(1.5 * normal())),
  },
  "AR(1) 0.8 + equal noise": {
    truth: 0,
    chunks: (n, normal) => autoregression(n, 0.8, normal).map((one) => one + normal()),
  },
  "AR(1) 0.95 + twice the noise": {
    truth: 0,
    chunks: (n, normal) => autoregression(n, 0.95, normal).map((one) => one + 2 * normal()),
  },
  "AR(1) 0.95 + 4 times the noise": {
    truth: 0,
    chunks: (n, normal) => autoregression(n, 0.95, normal).map((one) => one + 4 * normal()),
  },
  "fractional, d = 0.2": { truth: 0, chunks: (n, normal) => fractional(n, 0.2, normal) },
  "fractional, d = 0.35": { truth: 0, chunks: (n, normal) => fractional(n, 0.35, normal) },
  "documents of 6 chunks, not marked": { truth: 0, chunks: (n, normal, next) => unmarked(n, normal, next, 0) },
  "the same, 3 % of them far off": { truth: 0.45, chunks: (n, normal, next) => unmarked(n, normal, next, 0.03) },
};

/** @param {number[]} values @param {number} [weight] */
export const observed = (values, weight = 1) => values.map((value, i) => ({ item: String(i), value, weight }));

/** A and B on one text: what is hard is hard for both, and what B costs more is the world's. @param {World} world @param {number} n @param {() => number} normal @param {() => number} next */
export function twoVariants({ chunks, truth }, n, normal, next) {
  const hard = autoregression(n, 0.5, normal).map((one) => 3 + 0.4 * one);
  const cost = chunks(n, normal, next);
  return {
    a: observed(hard, 255),
    b: observed(
      hard.map((one, i) => one + 0.02 + 0.03 * cost[i]),
      255,
    ),
    truth: Math.expm1(0.02 + 0.03 * truth),
  };
}

/**
 * Documents of lengths lognormal(1) around `length` chunks, with an effect each.
 * @param {number} documents @param {number} length @param {() => number} normal
 */
export function marked(documents, length, normal) {
  const clusters = new Map();
  /** @type {number[]} */
  const values = [];
  for (let document = 0; document < documents; document++) {
    const size = Math.max(1, Math.round(length * Math.exp(normal())));
    const effect = normal();
    for (let chunk = 0; chunk < size; chunk++) {
      clusters.set(String(values.length), `document ${document}`);
      values.push(0.05 + 0.1 * effect + 0.05 * normal());
    }
  }
  return { clusters, values, truth: 0.05 };
}

/** Per cent of draws for which `holds`. @param {number} draws @param {(draw: number) => boolean} holds */
export function percentage(draws, holds) {
  let count = 0;
  for (let draw = 0; draw < draws; draw++) if (holds(draw)) count++;
  return (100 * count) / draws;
}

/** @param {{ low: number, high: number }} interval @param {number} truth */
export const covers = ({ low, high }, truth) => low <= truth && truth <= high;
