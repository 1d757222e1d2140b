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
  const { aggregation } = describe(name);
  const scale = comparedOn(name, all);
  const broken = all.some(({ value, weight }) => !Number.isFinite(value + weight));
  const isBelow0 = aggregation === "positive-mean" && !scale.log;
  if (all.length === 0 || broken || isBelow0) return undefined;
  const [a, b] = sides.map((series) => standIn(scale, series));
  const found = compare(name, a!, b!, options);
  return found.n > 0 ? found : undefined;
}

/** The items of all pairs, in one order; those of A and of B are the same where they are paired. */
function shared(pairs: ObservedPair[], paired: boolean): [a: Observation[][], b: Observation[][]] {
  const common = (series: Observation[][]) => {
    const counts = new Map<string, number>();
    for (const { item } of series.flat()) counts.set(item, (counts.get(item) ?? 0) + 1);
    return (items: Observation[]) => natural(items.filter(({ item }) => counts.get(item) === series.length));
  };
  const [a, b] = [pairs.map((pair) => pair.a), pairs.map((pair) => pair.b)];
  const [ofA, ofB] = paired ? [common([...a, ...b]), common([...a, ...b])] : [common(a), common(b)];
  return [a.map(ofA), b.map(ofB)];
}

/** One series with the mean figure of several, and the mean of their residuals in every item. */
function standIn(scale: Scale, series: Observation[][]): Observation[] {
  const means = series.map((items) => {
    const weights = items.reduce((sum, { weight }) => sum + weight, 0);
    return items.reduce((sum, { weight, value }) => sum + weight * scale.of(value), 0) / weights;
  });
  const mean = (of: (index: number) => number) => series.reduce((sum, _, j) => sum + of(j), 0) / series.length;
  const middle = scale.inverse(mean((j) => scale.g(means[j]!)));
  const steepness = scale.slope(middle);
  return series[0]!.map(({ item, weight }, i) => {
    const residual = mean((j) => scale.slope(means[j]!) * (scale.of(series[j]![i]!.value) - means[j]!));
    return { item, weight, value: middle + residual / steepness };
  });
}
