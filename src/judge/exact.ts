import { metric as describe, variantMetrics } from "../metrics.js";
import type { Series } from "../stats/series.js";
import { bytes, percent } from "../units.js";
import type { Check } from "./gate.js";
import { partner } from "./partner.js";
import type { Rule } from "./rules.js";

/** Whether rules on this metric compare exact numbers, without statistics: facts of the file, and the largest memory. */
export const isExactly = (metric: string) => variantMetrics.some(({ name }) => name === metric);

/** The check of an exact number. A variant has one, whatever its measurements: it is told with the first of them. */
export function exactCheck(rule: Rule, series: Series, run: Series[], baseline: Series[]): Check[] {
  const own = run.filter(({ variant }) => variant.name === series.variant.name);
  if (own[0]?.job.measurement !== series.job.measurement) return [];
  const value = exactValue(rule.metric, own);
  if (!Number.isFinite(value)) return [];
  const { label, better, scale } = describe(rule.metric);
  const shown = (amount: number) => (scale === "bytes" ? bytes(amount) : `${Number(amount.toPrecision(6))}`);
  const { name } = series.variant;
  const common = { rule: rule.text, variant: name, measurement: "model", metric: rule.metric };
  const say = (harm: boolean, sentence: string): Check[] => [
    { ...common, outcome: harm ? "failed" : "passed", sentence: `${name}: ${label} ${sentence}` },
  ];
  const { limit } = rule;
  if (!("relative" in limit)) {
    const size = "size" in limit ? limit.size : Number.NaN;
    const harm = better === "lower" ? value > size : value < size;
    // Sizes that round to the same are told to the byte.
    const told = shown(value) === shown(size) ? String : shown;
    return say(harm, `is ${told(value)}, ${harm ? "beyond" : "within"} the ${told(size)} allowed.`);
  }
  const old = valueBefore(rule.metric, series, run, baseline);
  if (!Number.isFinite(old))
    return [{ ...common, outcome: "undecided", sentence: `${name}: ${label}: the baseline does not have it.` }];
  const change = (better === "lower" ? 1 : -1) * (limit.relative ? value / old - 1 : value - old);
  const harm = change > limit.size;
  return say(
    harm,
    `went from ${shown(old)} to ${shown(value)} (${signed(value / old - 1)}), ${harm ? "beyond" : "within"} ${rule.text}.`,
  );
}

const signed = (share: number) => `${share < 0 ? "−" : "+"}${percent(Math.abs(share), 1)}`;

function valueBefore(metric: string, series: Series, run: Series[], baseline: Series[]): number {
  const before = partner(series, baseline, run);
  if (typeof before === "string") return Number.NaN;
  return exactValue(
    metric,
    baseline.filter(({ variant }) => variant.name === before.variant.name),
  );
}

function exactValue(metric: string, own: Series[]): number {
  const { fact: field } = describe(metric);
  const fact = field && own[0]?.variant.facts?.[field];
  if (fact !== undefined) return fact;
  return Math.max(...own.flatMap(({ observations }) => (observations.get(metric) ?? []).map(({ value }) => value)));
}
