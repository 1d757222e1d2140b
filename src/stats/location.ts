import { oneSided } from "./bases/basis.js";
import { clusteredError } from "./blocks.js";
import { normalQuantile, tQuantile } from "./distributions.js";

/** Where values lie, and how sure that is on each side. */
export interface Location {
  estimate: number;
  /** Standard errors towards smaller and larger values: a t quantile times these reaches to the ends of the interval. */
  below: number;
  above: number;
  freedom: number;
}

/** From so many values on single ones that are far off are not to decide. */
const enoughForRanks = 10;

/**
 * The centre of independent values.
 *
 * Below ten it is their mean with a t interval. From ten on it is the estimate of Hodges and Lehmann, the median of the means of
 * all pairs (each value with itself, too), with the interval of Wilcoxon's signed-rank test: from the pairs' mean of rank k + 1 to
 * that of rank k + 1 from above, where P(W ≤ k) ≤ 2.5 % (Hollander, Wolfe & Chicken 2014, 3.1–3.3). It is as short as t's where
 * values are normal, and much shorter where some are far off. The ranks themselves give no p below 2/2ⁿ, too large for a family of thirty;
 * so each side has the standard error by which a t of n − 1 degrees of freedom ends where the ranks' interval ends, and p and
 * interval cannot contradict each other.
 */
export function location(values: readonly number[]): Location {
  const n = values.length;
  const sorted = values.toSorted((a, b) => a - b);
  if (n >= enoughForRanks && Number.isFinite(sorted[0]! + sorted.at(-1)!)) {
    const pairs = (n * (n + 1)) / 2;
    const end = criticalRank(n) + 1;
    const estimate = (pairMean(sorted, Math.floor((pairs + 1) / 2)) + pairMean(sorted, Math.ceil((pairs + 1) / 2))) / 2;
    const quantile = tQuantile(1 - oneSided, n - 1);
    const below = (estimate - pairMean(sorted, end)) / quantile;
    const above = (pairMean(sorted, pairs + 1 - end) - estimate) / quantile;
    // Where most values are the same one, ranks show no spread though there is some.
    if (below > 0 && above > 0) return { estimate, below, above, freedom: n - 1 };
  }
  const estimate = meanOf(values);
  const { error, freedom } = clusteredError(values.map((value) => (value - estimate) / n));
  return { estimate, below: error, above: error, freedom };
}

export const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The mean of a pair that has this rank among all, 1 for the smallest; by halving the range that holds it. */
function pairMean(sorted: readonly number[], rank: number): number {
  let [from, to] = [sorted[0]!, sorted.at(-1)!];
  for (let step = 0; step < 64; step++) {
    const middle = (from + to) / 2;
    if (middle <= from || middle >= to) break;
    if (pairsUpTo(sorted, middle) >= rank) to = middle;
    else from = middle;
  }
  return pairsUpTo(sorted, from) >= rank ? from : to;
}

/** How many pairs, each value with itself too, have a mean of at most `limit`. */
function pairsUpTo(sorted: readonly number[], limit: number): number {
  let count = 0;
  let j = sorted.length - 1;
  for (let i = 0; i < sorted.length; i++) {
    while (j >= 0 && (sorted[i]! + sorted[j]!) / 2 > limit) j--;
    // Partners from i on, so that no pair counts twice.
    if (j < i) break;
    count += j - i + 1;
  }
  return count;
}

/** Up to so many values the law of the ranks' sum is computed; beyond, it is as good as normal. */
const mostExact = 60;
const criticalRanks = new Map<number, number>();

/** The largest k with P(W ≤ k) ≤ 2.5 %, for the sum W of the ranks of n values' positive ones, if their centre is 0. */
function criticalRank(n: number): number {
  const known = criticalRanks.get(n);
  if (known !== undefined) return known;
  const found = n > mostExact ? normalRank(n) : exactRank(n);
  criticalRanks.set(n, found);
  return found;
}

function exactRank(n: number): number {
  const most = (n * (n + 1)) / 2;
  let chances = new Float64Array(most + 1);
  chances[0] = 1;
  for (let rank = 1; rank <= n; rank++) {
    const next = new Float64Array(most + 1);
    for (let sum = 0; sum <= most; sum++) next[sum] = (chances[sum]! + (sum >= rank ? chances[sum - rank]! : 0)) / 2;
    chances = next;
  }
  let [k, total] = [-1, chances[0]!];
  while (total <= oneSided) total += chances[++k + 1]!;
  return k;
}

const normalRank = (n: number) =>
  Math.floor((n * (n + 1)) / 4 - 0.5 + normalQuantile(oneSided) * Math.sqrt((n * (n + 1) * (2 * n + 1)) / 24));
