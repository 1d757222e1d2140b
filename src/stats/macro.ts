import { definite } from "../definite.js";
import type { Summary } from "./summary.js";

/**
 * The mean of one metric's figures over several data, each of which counts alike whatever its size; their pieces are independent.
 * `error`: √(Σ errorᵢ²) / k. The interval is put together from those of the figures, which need not be symmetric:
 * `mean ∓ √(Σ (valueᵢ − endᵢ)²) / k` (the method of variance estimates recovery; Zou & Donner 2008, "Construction of confidence
 * limits about effect measures"). It is over other pieces of the same data, for of other data nothing is known.
 */
export function macroMean(summaries: readonly [Summary, ...Summary[]]): Summary {
  const k = summaries.length;
  const sum = (of: (one: Summary) => number | undefined) =>
    summaries.reduce((total, one) => total + (of(one) ?? Number.NaN), 0);
  const value = sum((one) => one.value) / k;
  const spread = (of: (one: Summary) => number | undefined) => {
    const found = Math.sqrt(sum((one) => (of(one) ?? Number.NaN) ** 2)) / k;
    return Number.isFinite(found) ? found : undefined;
  };
  const below = spread(({ value, low }) => (low === undefined ? undefined : value - low));
  const above = spread(({ value, high }) => (high === undefined ? undefined : high - value));
  const [{ metric, unit }] = summaries;
  return {
    metric,
    unit,
    value,
    error: spread(({ error }) => error),
    low: below === undefined ? undefined : value - below,
    high: above === undefined ? undefined : value + above,
    n: sum(({ n }) => n),
    warnings: [],
    ...definite({ broken: summaries.find(({ broken }) => broken !== undefined)?.broken }),
  };
}
