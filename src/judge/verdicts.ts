import type { JobRecord, VariantRecord } from "../events.js";
import { metric as describe, isDistance, leadsAmong } from "../metrics.js";
import type { Run } from "../replay.js";
import type { Comparison } from "../stats/comparison.js";
import { compare, level } from "../stats/estimate.js";
import { inFamily, uncertainOverall } from "../stats/family.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { comparability, imatrixFlag } from "./comparable.js";
import { type Verdict, verdict } from "./verdict.js";
import { clause, distance, winner } from "./words.js";

/** Which differences of a run are real, in words and as data. */
export interface Verdicts {
  questions: Question[];
  /** Sentences about the whole run. */
  notes: string[];
}

/** `Does the importance matrix help?`, with one pair per quantization, say. */
export interface Question {
  title: string;
  /** The variant that all others of this question are held against: what does it cost? */
  base?: string;
  /** Counts over the pairs, one sentence per metric. */
  answers: string[];
  pairs: Pair[];
}

/** B held against A. */
export interface Pair {
  a: string;
  b: string;
  results: Result[];
  /** The whole pair in one sentence. */
  sentence: string;
}

export interface Result {
  measurement: string;
  dataset: string;
  metric: string;
  /** `PPL`; with the measurement's name before it when several give that metric. */
  label: string;
  /** Absent when it was refused. */
  comparison?: Comparison;
  verdict?: Verdict;
  refused?: string;
  notes: string[];
}

/** Every variant against its reference, and the pairs that tags make. */
export function verdictsFrom(run: Run): Verdicts {
  const all = seriesFrom(run);
  const versions = new Map(all.map(({ variant }) => [variant.name, variant.tags.version]));
  // The distance between two versions does not measure what quantization cost.
  const series = all.filter(
    ({ job }) => job.against === undefined || versions.get(job.against) === versions.get(job.variant),
  );
  const variants = [...new Map(all.map(({ variant }) => [variant.name, variant])).values()];
  return verdictsOver(questionsOf(variants), (name) => series.filter(({ variant }) => variant.name === name));
}

/** Whether a metric of a job is compared. */
type Wanted = (metric: string, job: JobRecord) => boolean;

/** A question before it is answered. */
export interface Asked {
  title: string;
  pairs: [a: string, b: string][];
  /** See `Question`. */
  base?: string;
  /** Makes the sentence per metric: `helps`, `better`. */
  verb?: string;
  /** Whether a metric does not bear on this question. */
  without?: (metric: string) => boolean;
}

export function verdictsOver(
  asked: Asked[],
  seriesOf: (variant: string, side: "a" | "b") => Series[],
  {
    across = false,
    metrics,
    shown = (variant) => variant,
  }: { across?: boolean; metrics?: string[]; shown?: (variant: string, side: "a" | "b") => string } = {},
): Verdicts {
  const wanted: Wanted = metrics ? (name) => metrics.includes(name) : (name, job) => leadsAmong(name, job.metrics);
  const flags = new Set<string>();
  const lines: Line[] = [];
  const questions = asked.map(({ title, base, pairs, verb, without = () => false }): Question => {
    const compared = pairs.map(([a, b]) => {
      const [first, second] = [seriesOf(a, "a"), seriesOf(b, "b")];
      for (const one of [...first, ...second]) {
        const flag = imatrixFlag(one);
        if (flag) flags.add(flag);
      }
      return resultsOf(first, second, (metric, job) => wanted(metric, job) && !without(metric), across);
    });
    lines.push(...adjust(compared.flat()).map((results) => ({ title, results })));
    const made = pairs.map(([a, b], i): Pair => {
      const results = compared[i]!;
      return { a, b, results, sentence: sentenceOf(shown(a, "a"), shown(b, "b"), results) };
    });
    return {
      title,
      ...(base === undefined ? {} : { base }),
      pairs: made,
      answers: verb ? answersOf(made, verb) : [],
    };
  });
  return { questions, notes: [...flags, ...overallNote(lines)] };
}

/** The comparisons behind one line of an answer. */
interface Line {
  title: string;
  results: Result[];
}

/** Lines of which something would not hold, were the whole report to err in 5 % at most on average over its answers. */
function overallNote(lines: Line[]): string[] {
  const families = lines.map(({ results }) => results.map(({ comparison }) => comparison!));
  const uncertain = new Set(uncertainOverall(families));
  const named = lines.flatMap(({ title, results }) => {
    const count = results.filter(({ comparison }) => uncertain.has(comparison!)).length;
    return count > 0 ? [`${count} of ${results[0]!.label} (${title})`] : [];
  });
  if (named.length === 0) return [];
  return [
    `Each line errs in 5 % at most; over all ${lines.length} lines together these differences are less certain: ${named.join(", ")}.`,
  ];
}

/**
 * The pairs of one question under one metric of one measurement are a family: just those behind one line of its answer.
 * Other measurements and questions do not change their verdicts.
 */
function adjust(results: Result[]): Result[][] {
  const families = new Map<string, Result[]>();
  for (const result of results) {
    if (!result.comparison || result.verdict) continue;
    const key = JSON.stringify([result.measurement, result.metric]);
    families.set(key, [...(families.get(key) ?? []), result]);
  }
  for (const family of families.values()) {
    const margin = describe(family[0]!.metric).margin?.size;
    const adjusted = inFamily(
      family.map(({ comparison }) => comparison!),
      margin,
    );
    family.forEach((result, i) => {
      result.comparison = adjusted[i]!;
      result.verdict = verdict(adjusted[i]!, margin);
    });
  }
  return [...families.values()];
}

// ---- Which pairs

/** The traits that tell variants apart, from their tags or their files. */
interface Traits {
  version: string;
  quant: string;
  imatrix: boolean;
  /** All that must be alike in a pair. */
  rest: string;
}

function traitsOf({ tags, facts, backend, settings }: VariantRecord): Traits {
  const { version = "", quant = facts?.quant ?? "", imatrix, ...others } = tags;
  const said = imatrix === undefined ? undefined : !["false", "no", "none", "off", "0", ""].includes(imatrix);
  return {
    version,
    quant,
    imatrix: said ?? facts?.imatrix !== undefined,
    rest: JSON.stringify([Object.entries(others).sort(), backend, settings]),
  };
}

/** The same model's file: so said by tags, or by its name and number of weights, which quantization keeps. */
const sameModel = (a: VariantRecord, b: VariantRecord) =>
  (a.tags.imatrix !== undefined && b.tags.imatrix !== undefined) ||
  (a.facts?.architecture === b.facts?.architecture &&
    a.facts?.parameters === b.facts?.parameters &&
    a.facts?.name === b.facts?.name);

function questionsOf(variants: VariantRecord[]): Asked[] {
  const named = variants.map((variant) => ({ variant, traits: traitsOf(variant) }));
  const reference = variants.find((variant) => variant.reference);
  const bases = new Map<string, [string, string][]>();
  for (const { name, against = baseOf(name, named, reference) } of variants)
    if (against !== undefined && against !== name && variants.some((variant) => variant.name === against))
      bases.set(against, [...(bases.get(against) ?? []), [against, name]]);

  const pairs = (fits: (a: (typeof named)[number], b: (typeof named)[number]) => boolean) =>
    named.flatMap((a) =>
      named.flatMap((b) => (fits(a, b) ? [[a.variant.name, b.variant.name] as [string, string]] : [])),
    );
  const matrix = pairs(
    (a, b) =>
      !a.traits.imatrix &&
      b.traits.imatrix &&
      a.traits.quant !== "" &&
      a.traits.quant === b.traits.quant &&
      a.traits.version === b.traits.version &&
      a.traits.rest === b.traits.rest &&
      sameModel(a.variant, b.variant),
  );
  const versions = [...new Set(named.map(({ traits }) => traits.version))]
    .filter((version) => version !== "")
    .sort(natural);
  const steps = versions.slice(1).map(
    (version, i): Asked => ({
      title: `Is ${version} better than ${versions[i]}?`,
      verb: "better",
      // A distance from v1 does not say which is better.
      without: (metric) => isDistance(describe(metric)),
      pairs: pairs(
        (a, b) =>
          a.traits.version === versions[i] &&
          b.traits.version === version &&
          a.traits.quant === b.traits.quant &&
          a.traits.imatrix === b.traits.imatrix &&
          a.traits.rest === b.traits.rest,
      ),
    }),
  );
  const all: Asked[] = [
    {
      title: "Does the importance matrix help?",
      verb: "helps",
      // The same kernels compute the same number of weights.
      without: (metric) => describe(metric).per === "repetition",
      pairs: matrix,
    },
    ...steps,
    ...Array.from(bases, ([base, list]): Asked => ({ title: `What does it cost against ${base}?`, base, pairs: list })),
  ];
  return all.filter((question) => question.pairs.length > 0);
}

/** The reference; for another version than the reference's, the one of its own with the most bits per weight. */
function baseOf(
  name: string,
  named: { variant: VariantRecord; traits: Traits }[],
  reference: VariantRecord | undefined,
): string | undefined {
  if (!reference) return undefined;
  const versionOf = (wanted: string) => named.find(({ variant }) => variant.name === wanted)!.traits.version;
  if (versionOf(name) === versionOf(reference.name)) return reference.name;
  const own = named.filter(({ traits }) => traits.version === versionOf(name));
  return own.toSorted((a, b) => (b.variant.facts?.bpw ?? 0) - (a.variant.facts?.bpw ?? 0))[0]!.variant.name;
}

const natural = (a: string, b: string) => a.localeCompare(b, "en", { numeric: true });

// ---- One pair

function resultsOf(a: Series[], b: Series[], wanted: Wanted, across: boolean): Result[] {
  return a.flatMap((first) => {
    const second = b.find(({ job }) => job.measurement === first.job.measurement);
    if (!second) return [];
    if (first.missing !== undefined || second.missing !== undefined) return [];
    return first.job.metrics
      .filter((name) => wanted(name, first.job) && first.observations.has(name) && second.observations.has(name))
      .flatMap((name) => measuredPair(name, first, second, across));
  });
}

function measuredPair(name: string, a: Series, b: Series, across: boolean): Result[] {
  const { refused, instead, paired, notes } = comparability(name, a, b, { across });
  const { measurement, dataset, kind } = a.job;
  const { label, per } = describe(name);
  const result = {
    measurement,
    dataset,
    metric: name,
    label: measurement === kind || per === "repetition" ? label : `${measurement} ${label}`,
  };
  const noted = ({ warnings }: Comparison) => [...notes, ...warnings.map((warning) => `${result.label}: ${warning}`)];
  if (refused !== undefined) {
    const offered = instead && a.observations.has(instead) ? measuredPair(instead, a, b, across) : [];
    return [{ ...result, refused, notes: [] }, ...offered];
  }
  const [x, y] = [a.observations.get(name)!, b.observations.get(name)!];
  const clusters = a.clusters ?? b.clusters;
  const options = clusters ? { clusters } : {};
  // The reference's distance from itself is the noise floor, measured on fewer chunks; its size is the same in all of them.
  const floor = a.job.against !== undefined && a.job.against === a.job.variant;
  if (floor && isDistance(describe(name))) {
    const found = { ...level(name, y, options), a: level(name, x).b };
    return [{ ...result, comparison: found, verdict: sizeOf(name, found), notes: noted(found) }];
  }
  const comparison = compare(name, x, y, { paired: paired && !floor, ...options });
  if (comparison.n === 0)
    return [{ ...result, refused: `${result.label} is not compared: ${comparison.warnings.join(" ")}`, notes: [] }];
  return [{ ...result, comparison, notes: noted(comparison) }];
}

/** The place of a distance's interval: within the margin, around it, or beyond. */
function sizeOf(name: string, { low, high, a, needed }: Comparison): Verdict {
  if (needed !== undefined) return { kind: "unknown", needed };
  const margin = describe(name).margin?.size ?? Number.NaN;
  const [from, to] = [distance(name, low), distance(name, high)].sort((one, other) => one - other);
  return { kind: "size", place: from! > margin ? "beyond" : to! < margin ? "within" : "around", margin, floor: a };
}

function sentenceOf(a: string, b: string, results: Result[]): string {
  const compared = results.filter((result) => result.comparison);
  const refused = results.flatMap((result) => result.refused ?? []);
  const [lead, ...rest] = compared;
  const parts = lead
    ? [
        winner(lead.comparison!, lead.verdict!, lead.label, a, b) ??
          `${b} against ${a}, ${lead.label}: ${wording(lead)}`,
        ...rest.map((result) => `${result.label}: ${wording(result)}`),
      ]
    : [];
  const notes = [...new Set(compared.flatMap((result) => result.notes))];
  const first = parts.length > 0 ? `${parts.join("; ")}.` : `${b} against ${a}: nothing was compared.`;
  return [first, ...refused, ...notes].join(" ");
}

const wording = ({ comparison, verdict: said }: Result) => clause(comparison!, said!);

/** `PPL: helps at 2 of 3 (Q4_K_M-im, Q2_K-im), …` */
function answersOf(pairs: Pair[], verb: string): string[] {
  // Speed stands in the sentences; neither question is about it.
  const asked = pairs.flatMap(({ results }) => results).filter(({ metric }) => describe(metric).per !== "repetition");
  const labels = [...new Set(asked.map(({ label }) => label))];
  return labels.flatMap((label) => {
    const of = pairs.flatMap(({ b, results }) => {
      const result = results.find((one) => one.label === label && one.verdict);
      return result ? [{ b, said: result.verdict! }] : [];
    });
    if (of.length === 0) return [];
    const names = (direction: string, certain = true) =>
      of.flatMap(({ b, said }) => {
        const shown = certain ? said : said.kind === "likely" ? said.what : undefined;
        return shown?.kind === "different" && shown.direction === direction ? [b] : [];
      });
    const [better, worse] = [names("better"), names("worse")];
    const list = (some: string[]) => (some.length > 0 ? ` (${some.join(", ")})` : "");
    const told = (some: string[], words: string) => (some.length > 0 ? `, ${words} ${some.length}${list(some)}` : "");
    const harm = [
      told(names("better", false), "likely in"),
      told(worse, "the contrary in"),
      told(names("worse", false), "likely the contrary in"),
    ].join("");
    const all = of.length > 1 && better.length === of.length;
    const helped = all
      ? of.length === 2
        ? "both pairs"
        : `all ${of.length} pairs`
      : `${better.length} of ${of.length} pairs${list(better)}`;
    return [`${label}: ${verb} in ${helped}${harm}.`];
  });
}
