import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { usualName } from "../metrics.js";
import { certainValue, type Further, oneSided, pAtLeast, pAtMost } from "../stats/comparison.js";
import { holm } from "../stats/family.js";
import type { Series } from "../stats/series.js";
import { nearest } from "../yaml.js";
import { exactCheck, isExactly } from "./exact.js";
import { type LimitTest, limitForm, type Subject } from "./limits.js";
import { outlook } from "./outlook.js";
import { partner } from "./partner.js";
import { dependencesOf, labelOf } from "./results.js";
import type { Rule } from "./rules.js";
import { comparedIn } from "./verdicts.js";
import { probability, untold } from "./words.js";

export type Outcome = "passed" | "failed" | "undecided";

/** One rule asked of one variant. */
export interface Check {
  rule: string;
  variant: string;
  measurement: string;
  metric: string;
  outcome: Outcome;
  /** The answer: what was found, and what follows. */
  sentence: string;
  /** Sentences that a reader of the answer should know. */
  notes?: string[];
  /** Items that should decide what is undecided, on top of those there are; absent when no number can be promised. */
  more?: Further;
}

export interface Gate {
  outcome: Outcome;
  checks: Check[];
}

/**
 * Asks every rule of every variant of the run that it fits.
 *
 * A check fails only if the data show harm beyond its limit, passes only if they exclude it, and is undecided otherwise.
 * Failures are adjusted over all checks together (Holm), so that the chance of any false alarm of the whole gate stays
 * under 5 % (2.5 % by the formula; `test/judge/gate.test.ts` counts them on autocorrelated chunks). What cannot be compared
 * or was not measured is undecided, never passed.
 */
export function gate(run: Series[], baseline: Series[], rules: Rule[]): Gate {
  const pairs = run.flatMap((series): [Series[], Series[]][] => {
    const before = partner(series, baseline, run);
    return typeof before === "string" ? [] : [[[before], [series]]];
  });
  const levels = dependencesOf(comparedIn(run), false);
  const against = { run, baseline, dependences: dependencesOf(pairs, true), levels };
  const asked = rules.flatMap((rule) => {
    const found = run.flatMap((series) => questionsOf(rule, series, against));
    if (found.length === 0)
      throw new BenchError("rule", `the rule "${rule.text}" fits nothing in the run`, { hint: unfit(rule, run) });
    return found;
  });
  const open = asked.filter((one) => "comparison" in one);
  const adjusted = holm(open.map((one) => ({ p: certainty(one) === undefined ? harmShown(one) : Number.NaN })));
  const family = Math.max(1, adjusted.filter(({ p }) => !Number.isNaN(p)).length);
  const checks = asked.map((one) =>
    "comparison" in one ? answered(one, adjusted[open.indexOf(one)]!.adjusted, family) : one,
  );
  const outcomes = checks.map(({ outcome }) => outcome);
  return {
    checks,
    outcome: outcomes.includes("failed") ? "failed" : outcomes.includes("undecided") ? "undecided" : "passed",
  };
}

/** The remedy for a rule that fits nothing: the metrics that there are. */
function unfit({ measurement }: Rule, run: Series[]): string {
  const names = [...new Set(run.map(({ job }) => job.measurement))];
  if (measurement === undefined || names.includes(measurement))
    return `the run has ${[...new Set(run.flatMap(({ job }) => job.metrics))].join(", ")}`;
  return `The part before the dot names a measurement. ${nearest(measurement, names)}`;
}

// ---- The question

type Named = Pick<Check, "rule" | "variant" | "measurement" | "metric">;
type OpenCheck = Named & LimitTest;

function questionsOf(
  rule: Rule,
  series: Series,
  against: Pick<Subject, "run" | "baseline" | "dependences" | "levels">,
): (OpenCheck | Check)[] {
  const { job, variant } = series;
  const { measurement } = job;
  if (rule.measurement !== undefined && ![rule.measurement, usualName(rule.measurement)].includes(measurement))
    return [];
  if (isExactly(rule.metric)) return exactCheck(rule, series, against.run, against.baseline);
  const form = limitForm(rule.limit);
  return form.metrics(rule.metric, job).map((name) => {
    const named: Named = { rule: rule.text, variant: variant.name, measurement, metric: name };
    const label = labelOf(name, series);
    const undecided = (why: string): Check => ({
      ...named,
      outcome: "undecided",
      sentence: `${variant.name}: ${label} is undecided: ${why}`,
    });
    const own = series.observations.get(name) ?? [];
    if (own.some(({ value }) => !Number.isFinite(value)))
      return {
        ...named,
        outcome: "failed",
        sentence: `${variant.name}: ${label} is not a number: the model computes infinities or NaN.`,
      };
    if (series.broken !== undefined) return undecided(`broken: ${series.broken}.`);
    if (series.missing !== undefined) return undecided(`${series.missing.replace(/\.$/, "")}.`);
    const test = form.test(rule.limit, { name, series, own, ...against });
    return typeof test === "string" ? undecided(test) : { ...named, ...test };
  });
}

// ---- The answer

/** Small when the data show harm beyond the limit. */
function harmShown({ comparison, limit, rises }: LimitTest): number {
  return rises ? pAtMost(comparison, limit) : pAtLeast(comparison, limit);
}

/** Small when the data exclude it. */
function harmExcluded({ comparison, limit, rises }: LimitTest): number {
  return rises ? pAtLeast(comparison, limit) : pAtMost(comparison, limit);
}

/**
 * Item by item the same number leaves nothing to chance. Answers that happen to be the same do: others might flip, unless model,
 * engine and questions are the same, too, see `isSame`.
 */
function certainty({ comparison, limit, rises, same, none }: LimitTest): Outcome | undefined {
  if (same) return "passed";
  if (comparison.needed !== undefined) return "undecided";
  if (none) return "passed";
  const value = certainValue(comparison);
  if (value === undefined) return undefined;
  return (rises ? value > limit : value < limit) ? "failed" : "passed";
}

/** The p of the limit itself: where it is below 5 %, the 95 % interval excludes the limit, as in reports. */
const twoSided = (p: number) => probability(Math.min(1, 2 * p));

function answered(question: OpenCheck, adjusted: number, family: number): Check {
  const { rule, variant, measurement, metric, found, allowed, label, comparison, notes } = question;
  const named = { rule, variant, measurement, metric, ...(notes.length > 0 ? { notes } : {}) };
  const { needed } = comparison;
  if (question.same) {
    const sentence = `${variant}: ${label}: the same model, engine and figures: nothing can have changed.`;
    return { ...named, outcome: "passed", sentence };
  }
  if (needed !== undefined)
    return { ...named, outcome: "undecided", sentence: `${variant}: ${label}: ${untold(comparison, needed)}.` };
  const sure = certainty(question);
  const excluded = harmExcluded(question);
  const p = (value: number, name: string) => (sure === undefined ? ` (${name} ${twoSided(value)})` : "");
  const head = `${variant}: ${found}:`;
  const outcome = sure ?? (adjusted < oneSided ? "failed" : excluded < oneSided ? "passed" : "undecided");
  if (outcome === "failed")
    return { ...named, outcome, sentence: `${head} beyond ${allowed}${p(adjusted, family > 1 ? "adjusted p" : "p")}.` };
  if (outcome === "passed") return { ...named, outcome, sentence: `${head} within ${allowed}${p(excluded, "p")}.` };
  // One side of the limit, but not surely enough for one of so many checks.
  const open =
    harmShown(question) < oneSided
      ? `likely beyond ${allowed}, not certain among ${family} tested checks (adjusted p ${twoSided(adjusted)})`
      : `undecided against ${allowed}`;
  const { sentence, more } = outlook(question, family);
  return {
    ...named,
    outcome,
    sentence: `${head} ${open}. ${sentence}`,
    ...definite({ more }),
  };
}
