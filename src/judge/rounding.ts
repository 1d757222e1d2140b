import { metric as describe, isLogarithmic } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import type { Series } from "../stats/series.js";
import { amount } from "./words.js";

/**
 * A comparison of perplexities in the digits that are known, where an engine tells mean log-likelihoods in few of them, and a sentence
 * that says so.
 */
export function asPrinted(comparison: Comparison, a: Series, b: Series): Comparison {
  const { metric, scale } = comparison;
  const nats = (a.engine?.rounding ?? 0) + (b.engine?.rounding ?? 0);
  if (nats === 0 || !isLogarithmic(describe(metric)) || scale !== "relative") return comparison;
  // To first order a relative difference of perplexities is a difference of means in nats.
  const step = 10 ** Math.ceil(Math.log10(nats));
  const round = (value: number) =>
    Number.isFinite(value) ? Number((Math.round(value / step) * step).toPrecision(12)) : value;
  const told = `Their engine tells ${describe(metric).label} in few digits: a difference below ${amount(comparison, step)} is not seen.`;
  return {
    ...comparison,
    ...{ difference: round(comparison.difference), low: round(comparison.low), high: round(comparison.high) },
    warnings: [...comparison.warnings, told],
  };
}
