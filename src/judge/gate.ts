import { BenchError } from "../errors.js";
import { several } from "../harmless.js";
import {
  metric as describe,
  isDistance,
  isMeantBy,
  judgeable,
  leadsAmong,
  type Metric,
  meant,
  usualName,
  variantMetrics,
} from "../metrics.js";
import {
  type Comparison,
  certainValue,
  detectableHarm,
  furtherItems,
  type Observation,
  oneSided,
  pAtLeast,
  pAtMost,
} from "../stats/comparison.js";
import { compare, level } from "../stats/estimate.js";
import { holm } from "../stats/family.js";
import type { Series } from "../stats/series.js";
import { nearest } from "../yaml.js";
import { comparability } from "./comparable.js";
import { amount, changed, flipped, interval, isShare, itemsOf, probability, untold } from "./words.js";

/** `perplexity: +0.5%`, read. */
export interface Rule {
  /** As the user wrote it. */
  text: string;
  /** Asked of this measurement alone. */
  measurement?: string;
  /** A metric's name; `pp` and `tg` stand for all prompt and all generation speeds; `flips` for changed answers. */
  metric: string;
  limit: Limit;
}

type Limit =
  /** How far it may move to the worse from the baseline: a share of the baseline's value, or in the metric's unit. */
  | { kind: "change"; size: number; relative: boolean }
  /** What it may be at the worst, whatever the baseline. */
  | { kind: "level"; size: number }
  /** How many times the noise floor, the reference's distance from itself. */
  | { kind: "floor"; times: number }
  /** The share of answers that may change, whichever way. */
  | { kind: "flips"; size: number };

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
  /** Items that would decide what is undecided, on top of those there are; absent where no number would. */
  more?: number;
}

export interface Gate {
  outcome: Outcome;
  checks: Check[];
}

/** Reads a rule; throws a BenchError that says what is wrong with it and how it is written. */
export function parseRule(text: string): Rule {
  const match = text.match(/^\s*(?:(.+)\.)?([\w@]+)\s*:\s*([+\-−]?)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%|x(?:\s*floor)?)?\s*$/);
  if (!match)
    throw fault(
      text,
      "is no rule",
      "write METRIC: LIMIT, such as `perplexity: +0.5%`, `acc: -2%`, `tg: -5%`, `kld: 0.01`, `flips: 2%`",
    );
  const [, measurement, said = "", sign = "", digits = "", unit = ""] = match;
  const metric = usualName(said);
  const number = Number(digits);
  const rule = (limit: Limit): Rule => ({ text: text.trim(), ...(measurement ? { measurement } : {}), metric, limit });
  if (metric === "flips") {
    if (sign !== "" || unit !== "%" || number > 100)
      throw fault(text, "does not say a share of answers", "write `flips: 2%`: at most 2 % of the answers may change");
    return rule({ kind: "flips", size: number / 100 });
  }
  const described = describedBy(metric, text);
  const { better } = described;
  if (better === "neither")
    throw fault(text, `asks of ${metric}, of which neither less nor more is better`, "take another metric");
  if (unit.startsWith("x")) {
    if (!(isDistance(described) && described.leads === true) || sign !== "")
      throw fault(text, "sets against the noise floor what has none", "write `kld: 3x floor`");
    return rule({ kind: "floor", times: number });
  }
  if (sign === "") {
    if (unit === "%" && !isShare(described.name))
      throw fault(
        text,
        `does not say of what ${number} % are`,
        `write \`${said}: ${harmSign(described)}${number}%\` for a change against the baseline`,
      );
    return rule({ kind: "level", size: unit === "%" ? number / 100 : number });
  }
  if ((sign === "+") !== (better === "lower"))
    throw fault(
      text,
      `allows ${metric} to get better, for ${better} is better`,
      `the harm is written \`${said}: ${harmSign(described)}${digits}${unit}\``,
    );
  const relative = unit === "%" && !isShare(described.name);
  return rule({ kind: "change", size: unit === "%" ? number / 100 : number, relative });
}

const harmSign = ({ better }: Metric) => (better === "lower" ? "+" : "-");

function fault(rule: string, what: string, hint: string): BenchError {
  return new BenchError("rule", `the rule "${rule.trim()}" ${what}`, { hint });
}

/** The metric, or one of its family, for what can be known of it before anything is measured. */
function describedBy(name: string, text: string): Metric {
  const found = meant(name);
  if (found) return found;
  throw fault(text, `asks of "${name}", which is no metric`, nearest(name, [...judgeable(), "flips", "ppl"]));
}

/**
 * Asks every rule of every variant of the run that it fits.
 *
 * A check fails only where the data show the harm beyond its limit, passes only where they exclude it, and is undecided
 * otherwise. Failures are adjusted over all checks together (Holm), so that the chance of any false alarm of the
 * whole gate stays under 5 % (2.5 % by the formula; `test/judge/gate.test.ts` counts them on autocorrelated chunks). What cannot be compared or was not measured is undecided, never passed.
 */
export function gate(run: Series[], baseline: Series[], rules: Rule[]): Gate {
  const asked = rules.flatMap((rule) => {
    const found = run.flatMap((series) => questionsOf(rule, series, run, baseline));
    if (found.length === 0)
      throw new BenchError("rule", `the rule "${rule.text}" fits nothing in the run`, {
        hint: unfit(rule, run),
      });
    return found;
  });
  const tested = asked.filter((one) => "comparison" in one);
  const adjusted = holm(tested.map((one) => ({ p: certainty(one) === undefined ? harmShown(one) : Number.NaN })));
  const family = Math.max(1, adjusted.filter(({ p }) => !Number.isNaN(p)).length);
  const checks = asked.map((one) =>
    "comparison" in one ? judged(one, adjusted[tested.indexOf(one)]!.adjusted, family) : one,
  );
  const outcomes = checks.map(({ outcome }) => outcome);
  return {
    checks,
    outcome: outcomes.includes("failed") ? "failed" : outcomes.includes("undecided") ? "undecided" : "passed",
  };
}

/** What there would have been for a rule that fits nothing. */
function unfit({ measurement }: Rule, run: Series[]): string {
  const names = [...new Set(run.map(({ job }) => job.measurement))];
  if (measurement === undefined || names.includes(measurement)) return `the run has ${available(run)}`;
  return `The part before the dot names a measurement. ${nearest(measurement, names)}`;
}

/** A check whose answer is a matter of statistics. */
interface Question extends Pick<Check, "rule" | "variant" | "measurement" | "metric"> {
  label: string;
  comparison: Comparison;
  /** On the comparison's scale; harm lies beyond it on the side that `rises` says. */
  limit: number;
  rises: boolean;
  /** `PPL changed by 0.3 %`, with its interval. */
  found: string;
  /** `the 0.5 % allowed` */
  allowed: string;
  /** chunks, answers, repetitions */
  items: string;
  /** Same model, data, settings, engine, and the same answers: then the answers to other questions are the same, too. */
  same?: boolean;
  /** Items of the noise floor, where the limit is a multiple of it. */
  floorOf?: number;
  notes: string[];
}

function questionsOf(rule: Rule, series: Series, run: Series[], baseline: Series[]): (Question | Check)[] {
  const { measurement } = series.job;
  if (rule.measurement !== undefined && ![rule.measurement, usualName(rule.measurement)].includes(measurement))
    return [];
  const exact = exactValues(rule.metric, series, run);
  if (exact !== undefined) return exactCheck(rule, series, exact, run, baseline);
  const names = metricsOf(rule, series);
  return names.map((name) => {
    const common = {
      rule: rule.text,
      variant: series.variant.name,
      measurement: series.job.measurement,
      metric: name,
    };
    const open = (why: string): Check => ({
      ...common,
      outcome: "undecided",
      sentence: `${series.variant.name}: ${describe(name).label} is undecided: ${why}`,
    });
    if (series.broken !== undefined) return open(`broken: ${series.broken}.`);
    if (series.missing !== undefined) return open(`${series.missing.replace(/\.$/, "")}.`);
    const own = series.observations.get(name) ?? [];
    if (own.some(({ value }) => !Number.isFinite(value)))
      return {
        ...common,
        outcome: "failed",
        sentence: `${series.variant.name}: ${describe(name).label} is not a number: the model computes infinities or NaN.`,
      };
    const question = questionOf(rule, name, series, own, run, baseline);
    return typeof question === "string" ? open(question) : { ...common, ...question };
  });
}

/** The comparison that a rule asks for, or why there is none. */
function questionOf(
  { limit }: Rule,
  name: string,
  series: Series,
  own: Observation[],
  run: Series[],
  baseline: Series[],
): Omit<Question, "rule" | "variant" | "measurement" | "metric"> | string {
  const { label, better, per } = describe(name);
  const rises = better === "lower";
  const items = per === "question" ? "answers" : itemsOf({ metric: name });
  const clusters = series.clusters ? { clusters: series.clusters } : {};
  const common = { label, items, rises, notes: [] as string[] };

  if (limit.kind === "level") {
    const comparison = level(name, own, clusters);
    return {
      ...common,
      comparison,
      limit: limit.size,
      found: `${label} is ${amount(comparison, comparison.difference)}${interval(comparison)}`,
      allowed: `the ${written(limit, name)} ${rises ? "allowed" : "asked for"}`,
    };
  }
  if (limit.kind === "floor") {
    const { measurement, against } = series.job;
    const floor = run.find(
      ({ job }) => job.measurement === measurement && job.against === job.variant && job.variant === against,
    );
    const noise = floor?.observations.get(name);
    if (!noise) return "the noise floor was not measured; the reference must be among the variants.";
    // The floor is measured on fewer chunks, and its size is the same in all of them.
    const comparison = compare(name, scaled(noise, limit.times), own, { floor: true, ...clusters });
    const told = { metric: name, scale: "absolute" as const };
    const size = (times: number) => amount(told, comparison.a * times);
    return {
      ...common,
      comparison,
      limit: 0,
      floorOf: noise.length,
      found: `${label} is ${amount(told, comparison.b)}${interval({ ...level(name, own, clusters), ...told })}`,
      allowed: `${limit.times} times the noise floor of ${size(1 / limit.times)}`,
    };
  }

  const before = partner(series, baseline, run);
  if (typeof before === "string") return before;
  if (before.broken !== undefined) return `the baseline is broken: ${before.broken}.`;
  if (before.missing !== undefined) return `the baseline has no figure: ${before.missing}.`;
  const { refused, paired, notes } = comparability(name, before, series, { across: true });
  if (refused !== undefined) return refused;
  const old = before.observations.get(name);
  if (!old) return "the baseline does not have it; make it again with this measurement.";

  const sameJob = before.job.id === series.job.id;
  if (limit.kind === "flips") {
    const { flips } = compare(name, old, own);
    if (!flips) return "answers are compared one by one, and the baseline has other questions.";
    const count = flips.toRight + flips.toWrong;
    const comparison = level(name, changes(old, own), clusters);
    return {
      ...common,
      rises: true,
      comparison,
      limit: limit.size,
      same: sameJob && count === 0,
      found: `${flipped(flips)}${interval(comparison)}`,
      allowed: `the ${written(limit, name)} allowed`,
      notes,
    };
  }
  const signed = rises ? limit.size : -limit.size;
  const plain = compare(name, old, own, { paired, ...clusters });
  const told = {
    ...common,
    same: sameJob && plain.flips !== undefined && plain.flips.toRight + plain.flips.toWrong === 0,
    found: `${label} ${changed(plain)}`,
    allowed: `the ${written(limit, name)} allowed`,
    notes: [...notes, ...plain.warnings],
  };
  if (limit.relative === (plain.scale === "relative")) return { ...told, comparison: plain, limit: signed };
  // A share of a figure that is compared by its difference: then B is set against that multiple of A.
  if (limit.relative)
    return {
      ...told,
      comparison: compare(name, scaled(old, 1 + signed), own, { paired, ...clusters }),
      limit: 0,
    };
  return { ...told, comparison: plain, limit: signed / plain.a };
}

/** A limit as the user gave it, with its unit. */
function written(limit: Exclude<Limit, { kind: "floor" }>, name: string): string {
  const { unit, label } = describe(name);
  const relative = limit.kind === "change" && limit.relative;
  if (!relative && !isShare(name)) return unit === "1" ? `${limit.size} ${label}` : `${limit.size} ${unit}`;
  const percent = Number((100 * limit.size).toPrecision(10));
  return limit.kind === "change" && !relative ? `${percent} points` : `${percent} %`;
}

/** 1 where an answer is another than before. */
function changes(old: Observation[], own: Observation[]): Observation[] {
  const before = new Map(old.map(({ item, value }) => [item, value]));
  return own.flatMap((one) =>
    before.has(one.item) ? [{ ...one, value: one.value === before.get(one.item) ? 0 : 1 }] : [],
  );
}

const scaled = (items: Observation[], factor: number) => items.map((one) => ({ ...one, value: one.value * factor }));

function metricsOf({ metric, limit }: Rule, { job }: Series): string[] {
  if (limit.kind === "flips")
    return job.metrics.filter((name) => describe(name).per === "question" && leadsAmong(name, job.metrics));
  // The noise floor is what others are held against.
  if (limit.kind === "floor" && job.against === job.variant) return [];
  return job.metrics.filter((name) => isMeantBy(metric, name));
}

/** The baseline's series of the same variant and measurement; the only variant of both, whatever their names. */
function partner(series: Series, baseline: Series[], run: Series[]): Series | string {
  const names = (list: Series[]) => [...new Set(list.map(({ variant }) => variant.name))];
  const [own, old] = [names(run), names(baseline)];
  const name = own.length === 1 && old.length === 1 ? old[0]! : series.variant.name;
  const found = baseline.find(
    ({ variant, job }) => variant.name === name && job.measurement === series.job.measurement,
  );
  if (found) return found;
  return old.includes(name)
    ? `the baseline has no ${series.job.measurement} of ${name}.`
    : `the baseline has no variant named ${name}, only ${several(old)}.`;
}

function available(run: Series[]): string {
  return [...new Set(run.flatMap(({ job }) => job.metrics))].join(", ");
}

// ---- What is exact needs no statistics

/** Facts of the file, and the largest memory: by variant, told once. */
function exactValues(metric: string, { variant, job }: Series, run: Series[]): number | undefined {
  if (!variantMetrics.some(({ name }) => name === metric)) return undefined;
  if (run.find((one) => one.variant.name === variant.name)?.job.measurement !== job.measurement) return Number.NaN;
  const own = run.filter((one) => one.variant.name === variant.name);
  return exactValue(metric, own);
}

function exactValue(metric: string, own: Series[]): number {
  const { fact: field } = describe(metric);
  const fact = field && own[0]?.variant.facts?.[field];
  if (fact !== undefined) return fact;
  return Math.max(...own.flatMap(({ observations }) => (observations.get(metric) ?? []).map(({ value }) => value)));
}

function exactCheck(rule: Rule, series: Series, value: number, run: Series[], baseline: Series[]): Check[] {
  if (!Number.isFinite(value)) return [];
  const { label, better } = describe(rule.metric);
  const common = { rule: rule.text, variant: series.variant.name, measurement: "model", metric: rule.metric };
  const say = (harm: boolean, sentence: string): Check[] => [
    { ...common, outcome: harm ? "failed" : "passed", sentence: `${series.variant.name}: ${sentence}` },
  ];
  if (rule.limit.kind === "level") {
    const harm = better === "lower" ? value > rule.limit.size : value < rule.limit.size;
    return say(harm, `${label} is ${value}, ${harm ? "beyond" : "within"} the ${rule.limit.size} allowed.`);
  }
  const before = partner(series, baseline, run);
  const old =
    typeof before === "string"
      ? Number.NaN
      : exactValue(
          rule.metric,
          baseline.filter(({ variant }) => variant.name === before.variant.name),
        );
  if (!Number.isFinite(old) || rule.limit.kind !== "change")
    return [
      { ...common, outcome: "undecided", sentence: `${series.variant.name}: ${label}: the baseline does not have it.` },
    ];
  const { size, relative } = rule.limit;
  const change = (better === "lower" ? 1 : -1) * (relative ? value / old - 1 : value - old);
  return say(
    change > size,
    `${label} went from ${old} to ${value}, ${change > size ? "beyond" : "within"} ${rule.text}.`,
  );
}

// ---- The answer

/** Small where the data show harm beyond the limit. */
function harmShown({ comparison, limit, rises }: Question): number {
  return rises ? pAtMost(comparison, limit) : pAtLeast(comparison, limit);
}

/** Small where the data exclude it. */
function harmExcluded({ comparison, limit, rises }: Question): number {
  return rises ? pAtLeast(comparison, limit) : pAtMost(comparison, limit);
}

/**
 * Item by item the same number leaves nothing to chance. Answers that happen to be the same do: others might flip, unless
 * model, engine and questions are the same, too.
 */
function certainty({ comparison, limit, rises, same }: Question): Outcome | undefined {
  if (same) return "passed";
  if (comparison.needed !== undefined) return "undecided";
  const value = certainValue(comparison);
  if (value === undefined) return undefined;
  return (rises ? value > limit : value < limit) ? "failed" : "passed";
}

function judged(question: Question, adjusted: number, family: number): Check {
  const { rule, variant, measurement, metric, found, allowed, items, notes } = question;
  const { needed } = question.comparison;
  if (needed !== undefined) {
    const sentence = [`${variant}: ${question.label}: ${untold(question.comparison, needed)}.`, ...notes].join(" ");
    return {
      ...{ rule, variant, measurement, metric, sentence },
      outcome: "undecided",
      more: Math.max(1, needed - question.comparison.n),
    };
  }
  const sure = certainty(question);
  const excluded = harmExcluded(question);
  const outcome = sure ?? (adjusted < oneSided ? "failed" : excluded < oneSided ? "passed" : "undecided");
  const p = (value: number, name: string) => (sure === undefined ? ` (${name} ${probability(value)})` : "");
  const more = outcome === "undecided" ? furtherItems(question.comparison, { ...question, family }) : undefined;
  const { floorOf } = question;
  const decisive =
    more === undefined && floorOf !== undefined
      ? `the noise floor was measured on ${floorOf} ${items} alone: measure it on ${4 * floorOf} (floor: ${4 * floorOf})`
      : more === undefined
        ? "no number of samples that is worth its time decides, so near is it to the limit"
        : `about ${more} more ${more === 1 ? items.slice(0, -1) : items} would decide`;
  // One side of the limit, but not surely enough for one of so many checks.
  const narrow = harmShown(question) < oneSided ? ` (Holm p ${probability(adjusted)} over ${family} checks)` : "";
  const answer = {
    failed: `beyond ${allowed}${p(adjusted, family > 1 ? "Holm p" : "p")}`,
    passed: `within ${allowed}${p(excluded, "p")}`,
    undecided: `whether that is within ${allowed} is open${narrow}; ${decisive}${seen(question, family)}`,
  }[outcome];
  return {
    ...{ rule, variant, measurement, metric, outcome },
    sentence: [`${variant}: ${found}: ${answer}.`, ...notes].join(" "),
    ...(more === undefined ? {} : { more }),
  };
}

function seen(question: Question, family: number): string {
  const harm = detectableHarm(question.comparison, { ...question, family });
  if (!Number.isFinite(harm) || question.limit === 0) return "";
  return `, and ${amount(question.comparison, Math.abs(harm))} would have failed four times in five`;
}
