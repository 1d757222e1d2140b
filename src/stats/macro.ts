import { definite } from "../definite.js";
import { metric as describe } from "../metrics.js";
import { oneSided } from "./bases/basis.js";
import { tQuantile } from "./distributions.js";
import type { Summary } from "./summary.js";

/**
 * The mean of one metric's figures over several data, whose pieces are independent. Each counts alike whatever its size, or, with
 * `bySize`, by its number of items: with shares hᵢ, 1/k or nᵢ/Σn, `error`: √(Σ (hᵢ·errorᵢ)²). The interval is put together from those of the figures, which need not be symmetric:
 * `mean ∓ √(Σ (hᵢ·(valueᵢ − endᵢ))²)` (the method of variance estimates recovery; Zou & Donner 2008, "Construction of confidence
 * limits about effect measures"). It is over other pieces of the same data, for of other data nothing is known.
 *
 * `drawn`: the data are a sample of what could have been asked (subjects of a task), as `designOf` takes them. Then the error is
 * at least their standard deviation over √k (they count alike then), and the interval reaches at least as far as Student's t with k − 1 degrees of freedom.
 */
export function macroMean(
  summaries: readonly [Summary, ...Summary[]],
  { drawn = false, bySize = false }: { drawn?: boolean; bySize?: boolean } = {},
): Summary {
  const k = summaries.length;
  const sum = (of: (one: Summary) => number | undefined) =>
    summaries.reduce((total, one) => total + (of(one) ?? Number.NaN), 0);
  const all = sum(({ n }) => n);
  const share = ({ n }: Summary) => (bySize ? n / all : 1 / k);
  const value = sum((one) => one.value * share(one));
  const between = drawn ? Math.sqrt(sum((one) => (one.value - value) ** 2) / (k - 1) / k) : 0;
  const reach = between > 0 ? between * tQuantile(1 - oneSided, k - 1) : 0;
  const spread = (of: (one: Summary) => number | undefined, least: number) => {
    const found = Math.max(least, Math.sqrt(sum((one) => ((of(one) ?? Number.NaN) * share(one)) ** 2)));
    return Number.isFinite(found) ? found : undefined;
  };
  const below = spread(({ value, low }) => (low === undefined ? undefined : value - low), reach);
  const above = spread(({ value, high }) => (high === undefined ? undefined : high - value), reach);
  const [{ metric, unit }] = summaries;
  const [least, most] = describe(metric).range;
  return {
    metric,
    unit,
    value,
    error: spread(({ error }) => error, between),
    low: below === undefined ? undefined : Math.max(least, value - below),
    high: above === undefined ? undefined : Math.min(most, value + above),
    n: all,
    warnings: [],
    ...definite({ broken: summaries.find(({ broken }) => broken !== undefined)?.broken }),
  };
}
