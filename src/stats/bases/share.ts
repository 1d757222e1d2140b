import { binomialAtLeast, binomialAtMost, binomialLow } from "../distributions.js";
import { harmFor, type Limit } from "../power.js";
import { aboutLimit, type Base, levelAt } from "./basis.js";

/** `count` of `n`, by the exact binomial law; both over the design effect of the items' groups, and so not whole. */
export interface Proportion {
  kind: "share";
  count: number;
  n: number;
}

export const share: Base<Proportion> = {
  atMost: ({ count, n }, limit) => binomialAtLeast(count, n, limit),

  atLeast: ({ count, n }, limit) => binomialAtMost(count, n, limit),

  certain: () => undefined,

  pieces: (_, clusters) => clusters,

  detectable: () => Number.NaN,

  // Jeffreys' interval: Clopper and Pearson's would hold far more than half.
  half: ({ count, n }, limit = 0) =>
    aboutLimit({ low: binomialLow(count + 0.5, n, 0.25), high: binomialLow(count + 0.5, n, 0.75) }, limit),

  power: ({ n }, factor, truth, limit) => powerAgainst(n * factor, truth, limit),

  harm: ({ n }, asked) => harmFor(asked, (harm) => powerAgainst(n, harm, asked)),
};

/** The chance that the exact test of the limit finds on which side of it this share lies. */
function powerAgainst(n: number, truth: number, asked: Limit): number {
  if (truth < 0) return 0;
  const { limit } = asked;
  const level = levelAt(truth, asked);
  // The first count that is significant.
  let count = Math.round(n * limit);
  if (truth > limit) {
    while (count <= n && binomialAtLeast(count, n, limit) >= level) count++;
    return binomialAtLeast(count, n, truth);
  }
  while (count >= 0 && binomialAtMost(count, n, limit) >= level) count--;
  return binomialAtMost(count, n, truth);
}
