import { definite } from "../definite.js";
import type { JobRecord } from "../events.js";
import { metric as describe, isChange, isMeantBy, leadsAmong } from "../metrics.js";
import { besideChance, chanceOf } from "../stats/chance.js";
import type { Comparison, Observation } from "../stats/comparison.js";
import { compare, level } from "../stats/estimate.js";
import { clustersIn, type Series } from "../stats/series.js";
import { comparability, isWhole } from "./comparable.js";
import { loadApart } from "./disturbance.js";
import { partner } from "./partner.js";
import { type Dependences, driftNote, labelOf } from "./results.js";
import { asPrinted } from "./rounding.js";
import type { RuleLimit } from "./rules.js";
import { isSame, withoutChance } from "./same.js";
import { amount, changed, flipped, interval, isShare, itemsOf } from "./words.js";

/** A limit set against data: what is to be decided by statistics. */
export interface LimitTest {
  label: string;
  comparison: Comparison;
  /** On the comparison's scale; harm lies beyond it on the side that `rises` says. */
  limit: number;
  rises: boolean;
  /** As of `Limit`, where the limit does not tell. */
  size?: number;
  /** `PPL rose by 0.3 %`, with its interval. */
  found: string;
  /** `the 0.5 % allowed` */
  allowed: string;
  /** chunks, questions, repetitions */
  items: string;
  /** How many of them there are, and how many more the data have (Infinity: as many as one likes); `left` is absent when that is not known. */
  n: number;
  left?: number;
  /** What has them: a text, a task. */
  source: string;
  /** The baseline has no more of them either. */
  both?: boolean;
  /** Nothing is left to chance, see `isSame`. */
  same?: boolean;
  /** The variant is no distance at all from its reference: within any limit. */
  none?: boolean;
  /** Items of the noise floor, when the limit is a multiple of it. */
  floorOf?: number;
  notes: string[];
}

/** A metric of a series, and all that it may be held against. */
export interface Subject {
  name: string;
  series: Series;
  own: Observation[];
  run: Series[];
  baseline: Series[];
  dependences: Dependences;
  /** Those of the run's own report. */
  levels: Dependences;
}

/** A kind of limit that a rule can set. */
interface LimitForm<L> {
  /** The metrics of a job that a rule on `asked` is about. */
  metrics(asked: string, job: JobRecord): string[];
  /** The test to be decided; or why there is none, as the end of a sentence. */
  test(limit: L, subject: Subject): LimitTest | string;
}

const forms: { [Kind in RuleLimit["kind"]]: LimitForm<Extract<RuleLimit, { kind: Kind }>> } = {
  level: {
    metrics: meantIn,
    test({ size }, subject) {
      const { name, series, own } = subject;
      const common = commonOf(name, series, subject.run);
      const { label, rises } = common;
      const dependence = isChange(describe(name)) ? subject.levels(series.job.measurement, name) : undefined;
      const comparison = level(name, own, { ...clustersOf(series), ...definite({ dependence }) });
      const chance = chanceOf(series.job, name);
      const guessed = chance !== undefined && size <= chance;
      return {
        ...common,
        comparison,
        limit: size,
        found: `${label} is ${amount(comparison, comparison.difference)}${interval(comparison)}`,
        allowed: `the ${isShare(name) ? percent(size) : inUnit(size, name)} ${rises ? "allowed" : "asked for"}`,
        notes: [
          ...(guessed ? [`Guessing alone gives ${percent(chance)} of ${label}.`] : []),
          ...driftNote(label, comparison, series),
        ],
      };
    },
  },

  floor: {
    // The noise floor is what others are held against.
    metrics: (asked, job) => (job.against === job.variant ? [] : meantIn(asked, job)),
    test({ times }, { name, series, own, run }) {
      const { measurement, against } = series.job;
      const floor = run.find(
        ({ job }) => job.measurement === measurement && job.against === job.variant && job.variant === against,
      );
      const noise = floor?.observations.get(name);
      if (!noise) return "the noise floor was not measured; the reference must be among the variants.";
      const common = commonOf(name, series, run);
      const clusters = clustersOf(series);
      // The floor is measured on fewer chunks, and its size is the same in all of them.
      const comparison = compare(name, scaled(noise, times), own, { floor: true, ...clusters });
      const told = { metric: name, scale: "absolute" as const };
      const none = own.every(({ value }) => value === describe(name).identical);
      return {
        ...common,
        comparison,
        none,
        limit: 0,
        size: comparison.scale === "relative" ? 1 : comparison.a,
        floorOf: noise.length,
        found: `${common.label} is ${amount(told, comparison.b)}${interval({ ...level(name, own, clusters), ...told })}`,
        allowed: `${times} times the noise floor of ${amount(told, comparison.a * (1 / times))}`,
      };
    },
  },

  flips: {
    metrics: (_, { metrics }) =>
      metrics.filter((name) => describe(name).per === "question" && leadsAmong(name, metrics)),
    test({ size }, subject) {
      const before = beforeOf(subject);
      if (typeof before === "string") return before;
      const { name, own, series } = subject;
      const { flips, paired } = compare(name, before.old, own);
      if (!paired) return "answers are compared one by one, and the baseline has other questions.";
      if (!flips) return `its answers have scores between right and wrong: set a limit on ${name}.`;
      const comparison = level(name, changes(before.old, own), clustersOf(series));
      const common = commonOf(name, series, subject.run, before);
      const { measurement, kind } = series.job;
      const of = measurement === kind ? "" : `${measurement}: `;
      return {
        ...common,
        rises: true,
        comparison,
        limit: size,
        same: before.same,
        found: `${of}${flipped(flips)}${interval(comparison)}`,
        allowed: `the ${percent(size)} allowed`,
        notes: before.notes,
      };
    },
  },

  change: {
    metrics: meantIn,
    test({ size, relative }, subject) {
      const before = beforeOf(subject);
      if (typeof before === "string") return before;
      const { name, own, series } = subject;
      const { old, same, notes, paired, before: earlier } = before;
      const common = commonOf(name, series, subject.run, before);
      const signed = common.rises ? size : -size;
      const clusters = clustersIn(earlier, series);
      const dependence = subject.dependences(series.job.measurement, name);
      const how = { paired, ...definite({ clusters, dependence }) };
      const compared = compare(name, old, own, how);
      const plain = same ? withoutChance(compared) : asPrinted(compared, earlier, series);
      const apart = loadApart(name, compared, earlier, series);
      if (apart !== undefined) return apart;
      const chance = chanceOf(series.job, name);
      const isGuessed = (items: Observation[]) => besideChance(level(name, items, definite({ clusters })), chance!);
      if (!same && chance !== undefined && [old, own].every(isGuessed))
        return `neither run is shown to do better than guessing (${percent(chance)}).`;
      const allowed = relative ? percent(size) : isShare(name) ? points(size) : inUnit(size, name);
      const told = {
        ...common,
        same,
        found: `${common.label} ${changed(plain)}`,
        allowed: `the ${allowed} allowed`,
        notes: [...notes, ...plain.warnings, ...driftNote(common.label, plain, series)],
      };
      if (relative === (plain.scale === "relative")) return { ...told, comparison: plain, limit: signed };
      if (!relative) return { ...told, comparison: plain, limit: signed / plain.a };
      // A share of a figure that is compared by its difference: then B is set against that multiple of A.
      const comparison = compare(name, scaled(old, 1 + signed), own, how);
      return { ...told, comparison, limit: 0, size: size * Math.abs(plain.a) };
    },
  },
};

/** How a limit is set against data. */
export const limitForm = ({ kind }: RuleLimit) => forms[kind] as LimitForm<RuleLimit>;

function commonOf(name: string, series: Series, run: Series[], before?: Before) {
  const { observations, job } = series;
  const { better, per } = describe(name);
  const label = labelOf(name, series);
  const n = observations.get(name)?.length ?? 0;
  // Speed can be timed as often as one likes.
  const there = per === "repetition" ? Infinity : isWhole(job) ? n : (series.there ?? elsewhere(series, run));
  const left = there === undefined ? undefined : there - n;
  const notes: string[] = [];
  return {
    ...{ label, items: itemsOf({ metric: name }), n, rises: better === "lower", notes },
    source: per === "question" ? "task" : "text",
    ...definite({ left }),
    ...(before?.paired && before.old.length <= n ? { both: true } : {}),
  };
}

/** How many items the same data have, where another measurement of the run tells. */
function elsewhere({ job }: Series, run: Series[]): number | undefined {
  const isAlike = ({ job: other }: Series) =>
    other.variant === job.variant &&
    other.askedSha256 !== undefined &&
    other.askedSha256 === job.askedSha256 &&
    other.settings.context === job.settings.context;
  return run.find((one) => one.there !== undefined && isAlike(one))?.there;
}

const clustersOf = ({ clusters }: Series) => (clusters ? { clusters } : {});

function meantIn(asked: string, { metrics }: JobRecord): string[] {
  return metrics.filter((name) => isMeantBy(asked, name));
}

/** A baseline's values of the same metric of the same variant. */
interface Before {
  old: Observation[];
  /** Whether the same item is the same piece of work in both. */
  paired: boolean;
  notes: string[];
  /** See `isSame`. */
  same: boolean;
  before: Series;
}

/** Why there are none to compare is the end of a sentence. */
function beforeOf({ name, series, run, baseline }: Subject): Before | string {
  const before = partner(series, baseline, run);
  if (typeof before === "string") return before;
  if (before.broken !== undefined) return `the baseline is broken: ${before.broken}.`;
  if (before.missing !== undefined) return `the baseline has no figure: ${before.missing}.`;
  const { refused, paired, notes } = comparability(name, before, series, { across: true });
  // The check's sentence begins with the metric already.
  if (refused !== undefined) return refused.replace(`${describe(name).label} is not compared: `, "");
  const old = before.observations.get(name);
  if (!old) return "the baseline does not have it; make it again with this measurement.";
  return { old, paired, notes, same: paired && isSame(name, before, series), before };
}

/** 1 where an answer is another than before. */
function changes(old: Observation[], own: Observation[]): Observation[] {
  const before = new Map(old.map(({ item, value }) => [item, value]));
  return own.flatMap((one) =>
    before.has(one.item) ? [{ ...one, value: one.value === before.get(one.item) ? 0 : 1 }] : [],
  );
}

const scaled = (items: Observation[], factor: number) => items.map((one) => ({ ...one, value: one.value * factor }));

// Limits as the user gave them, with their unit.
const hundredths = (size: number) => Number((100 * size).toPrecision(10));
const percent = (size: number) => `${hundredths(size)} %`;
const points = (size: number) => `${hundredths(size)} ${hundredths(size) === 1 ? "point" : "points"}`;

function inUnit(size: number, name: string): string {
  const { unit, label } = describe(name);
  return `${size} ${unit === "1" ? label : unit}`;
}
