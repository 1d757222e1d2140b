import type { Comparison, Observation } from "../stats/comparison.js";
import type { Series } from "../stats/series.js";

/**
 * Whether nothing is left to chance: the same weights, engine, settings and data, and the same values. Two models that happen to
 * give the same answers might differ in others; one model asked twice does not.
 */
export function isSame(name: string, a: Series, b: Series): boolean {
  if (a.job.id !== b.job.id) return false;
  const values = (one: Series): Observation[] => one.observations.get(name) ?? [];
  const before = new Map(values(a).map(({ item, value }) => [item, value]));
  const common = values(b).filter(({ item }) => before.has(item));
  return common.length > 0 && common.every(({ item, value }) => before.get(item) === value);
}

/** Of models that cannot be read nobody knows. */
export function isSameFile({ variant: a }: Series, { variant: b }: Series): boolean {
  return a.facts?.sha256 !== undefined && a.facts.sha256 === b.facts?.sha256;
}

/** The comparison of what is the same, see `isSame`: there is no difference, and no error. */
export function withoutChance(comparison: Comparison): Comparison {
  const { needed: _, ...rest } = comparison;
  return {
    ...rest,
    ...{ difference: 0, low: 0, high: 0, p: 1, detectable: 0, warnings: [] },
    basis: { kind: "t", link: "identity", estimate: 0, error: 0, freedom: Math.max(1, comparison.n - 1) },
  };
}
