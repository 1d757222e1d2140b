import { betaQuantile, binomialAtLeast, binomialAtMost } from "../distributions.js";
import { harmFor, type Limit } from "../power.js";
import { type Base, levelAt, oneSided } from "./basis.js";

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

  decides({ count, n }, asked) {
    const { limit, rises, family } = asked;
    const truths = likely(count, n, limit);
    const [above, below] = rises ? [oneSided / family, oneSided] : [oneSided, oneSided / family];
    return (factor) => {
      const [total, more] = [n * factor, n * (factor - 1)];
      // With at most, and with at least, so many among the further items the test decides.
      const most = lastWhere(more, (k) => binomialAtMost(count + k, total, limit) < below);
      const least = 1 + lastWhere(more, (k) => binomialAtLeast(count + k, total, limit) >= above);
      const decided = truths.map((truth) => binomialAtMost(most, more, truth) + binomialAtLeast(least, more, truth));
      return decided.reduce((sum, one) => sum + one, 0) / truths.length;
    };
  },

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

/** A truth is looked for in so many places. */
const places = 40;

/**
 * What the share may be after these data, in equally likely places. Before them, the truth is taken to have a beta distribution with the
 * limit as its mean, worth as many items as have one flip, or one wrong answer, at the limit. At 0 and 1 it is Jeffreys'.
 */
function likely(count: number, n: number, limit: number): number[] {
  const worth = 1 / Math.min(limit, 1 - limit);
  const [a, b] = Number.isFinite(worth) ? [limit * worth, (1 - limit) * worth] : [0.5, 0.5];
  return Array.from({ length: places }, (_, i) => betaQuantile((i + 0.5) / places, a + count, b + n - count));
}

/** The last whole number from 0 to `most` at which a condition holds, which no later one meets again; −1 when it holds at none. */
function lastWhere(most: number, holds: (k: number) => boolean): number {
  let [yes, no] = [-1, Math.floor(most) + 1];
  while (no - yes > 1) {
    const middle = Math.floor((yes + no) / 2);
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}
