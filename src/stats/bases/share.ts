import { binomialAtLeast, binomialAtMost } from "../distributions.js";
import { harmFor, itemsFor } from "../power.js";
import { type Base, oneSided } from "./basis.js";

/** `count` of `n`, by the exact binomial law; both over the design effect of the items' groups, and so not whole. */
export interface Share {
  kind: "share";
  count: number;
  n: number;
}

export const share: Base<Share> = {
  atMost: ({ count, n }, limit) => binomialAtLeast(count, n, limit),

  atLeast: ({ count, n }, limit) => binomialAtMost(count, n, limit),

  certain: () => undefined,

  pieces: (_, clusters) => clusters,

  detectable: () => Number.NaN,

  needed({ n: effective }, n, found, { limit, rises, family }) {
    const beyond = rises ? found > limit : found < limit;
    const [side, level] = beyond ? [rises, oneSided / family] : [!rises, oneSided];
    return itemsFor(n, (factor) => powerAgainst(effective * factor, limit, found, side, level));
  },

  harm({ n }, asked) {
    const { limit, rises, family } = asked;
    return harmFor(asked, (harm) => powerAgainst(n, limit, harm, rises, oneSided / family));
  },
};

/** The chance that the exact test of `limit` fails when the share is `harm`. */
function powerAgainst(n: number, limit: number, harm: number, rises: boolean, level: number): number {
  if (harm < 0) return 0;
  // The first count that fails.
  let count = Math.round(n * limit);
  if (rises) {
    while (count <= n && binomialAtLeast(count, n, limit) >= level) count++;
    return binomialAtLeast(count, n, harm);
  }
  while (count >= 0 && binomialAtMost(count, n, limit) >= level) count--;
  return binomialAtMost(count, n, harm);
}
