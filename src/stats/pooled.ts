import { metric as describe } from "../metrics.js";
import { type Comparison, natural, type Observation } from "./comparison.js";
import { type CompareOptions, compare, comparedOn, type Scale } from "./estimate.js";

/** The values of two variants under one metric, over the same items as those of the other pairs. */
export interface ObservedPair {
  a: Observation[];
  b: Observation[];
}

/**
 * The mean effect of several pairs: of the differences of ln PPL, of the log ratios of KLD, of the changes of accuracy. One
 * test over the items that all pairs share, whose pieces (chunks, blocks, documents, subjects) are those of a single pair.
 *
 * With the figure g(m) of a weighted mean m, pair j of k:
 *
 *     effect = 1/k · Σ_j g(m_bj) − g(m_aj),   residual of item i = 1/k · Σ_j r_bij − r_aij,   r = g′(m) · w(v − m) / Σw
 *
 * What the pairs have in common, through a variant or a text, is in the residuals, and so in the error. The interval is that of
 * other text for just these pairs: what other pairs would give, it does not say.
 *
 * A change of accuracy is that of a question's share of pairs that answer it right, tested as `compare` does scores.
 *
 * Undefined where the pairs have no mean: no shared items, or a distance of 0, which has no ratio.
 */
export function pooled(name: string, pairs: ObservedPair[], options: CompareOptions = {}): Comparison | undefined {
  const sides = shared(pairs, options.paired ?? true);
  const all = sides.flat(2);
  const scale = comparedOn(name, all);
  const isBroken = all.some(({ value, weight }) => !Number.isFinite(value + weight));
  const isBelow0 = describe(name).aggregation === "positive-mean" && !scale.log;
  if (all.length === 0 || isBroken || isBelow0) return undefined;
  const [a, b] = sides.map((series) => standIn(scale, series));
  const found = compare(name, a!, b!, options);
  return found.n > 0 ? found : undefined;
}

/** The items of all pairs, in one order; those of A and of B are the same where they are paired. */
function shared(pairs: ObservedPair[], paired: boolean): [a: Observation[][], b: Observation[][]] {
  const [a, b] = [pairs.map((pair) => pair.a), pairs.map((pair) => pair.b)];
  if (!paired) return [inCommon(a), inCommon(b)];
  const both = inCommon([...a, ...b]);
  return [both.slice(0, a.length), both.slice(a.length)];
}

/** The items that all series have, in the order of the text. */
function inCommon([first = [], ...others]: Observation[][]): Observation[][] {
  const known = others.map((series) => new Map(series.map((one) => [one.item, one])));
  const items = natural(first.filter(({ item }) => known.every((one) => one.has(item))));
  return [items, ...known.map((one) => items.map(({ item }) => one.get(item)!))];
}

/** One series with the mean figure of several, and the mean of their residuals in every item. */
function standIn(scale: Scale, series: Observation[][]): Observation[] {
  const means = series.map((items) => {
    const weights = items.reduce((sum, { weight }) => sum + weight, 0);
    return items.reduce((sum, { weight, value }) => sum + weight * scale.of(value), 0) / weights;
  });
  const middle = scale.inverse(means.reduce((sum, mean) => sum + scale.g(mean), 0) / means.length);
  const [slopes, slope] = [means.map((mean) => scale.slope(mean)), scale.slope(middle) * means.length];
  return series[0]!.map(({ item, weight }, i) => {
    const residual = means.reduce((sum, mean, j) => sum + slopes[j]! * (scale.of(series[j]![i]!.value) - mean), 0);
    return { item, weight, value: middle + residual / slope };
  });
}
