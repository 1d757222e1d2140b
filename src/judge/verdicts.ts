import { definite } from "../definite.js";
import { several } from "../harmless.js";
import { metric as describe, leadsAmong } from "../metrics.js";
import type { Run } from "../replay/index.js";
import type { Comparison } from "../stats/comparison.js";
import { type Family, inFamily, uncertainOverall } from "../stats/family.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { answersOf, type Pair, sentenceOf } from "./answers.js";
import { imatrixFlag } from "./comparable.js";
import { type Ladder, laddersOf } from "./ladder.js";
import { type Asked, askedOf } from "./pairs.js";
import { byMetric, keyOf, type MeasuredPair, pooledOf } from "./pooled.js";
import { dependencesOf, leftOut, type Result, resultsOf, type WantedMetric } from "./results.js";
import { isSameFile } from "./same.js";
import { verdict } from "./verdict.js";

/** Which differences of a run are real, in words and as data. */
export interface Verdicts {
  questions: Question[];
  /** The cost of each file against the one that it was made from; one ladder for every variant that others are held against. */
  ladders: Ladder[];
  /** Sentences about the whole run. */
  notes: string[];
}

/** `Does the importance matrix help?`, with one pair per quantization, say. */
export interface Question {
  title: string;
  /** The variant that all others of this question are held against: what does it cost? */
  base?: string;
  /** The mean over the pairs and how many of them show it, one sentence per metric. */
  answers: string[];
  pairs: Pair[];
  /** The mean over the pairs, one per metric of a measurement that several of them have; `refused`: why there is none. */
  pooled: Result[];
}

/** Every variant against its reference, and the pairs that tags make. */
export function verdictsFrom(run: Run): Verdicts {
  const all = seriesFrom(run);
  const { asked, seriesOf } = askedIn(all);
  const { questions, notes } = verdictsOver(asked, seriesOf);
  return { questions, ladders: laddersOf(run, all, questions), notes };
}

/** All that the report of a run compares, from its series: `beside` for who compares two of its variants. */
export function comparedIn(all: Series[]): [Series[], Series[]][] {
  const { asked, seriesOf } = askedIn(all);
  return asked.flatMap(({ pairs }) => pairs.map(([a, b]): [Series[], Series[]] => [seriesOf(a), seriesOf(b)]));
}

function askedIn(all: Series[]) {
  const versions = new Map(all.map(({ variant }) => [variant.name, variant.tags.version]));
  // The distance between two versions does not measure what quantization cost.
  const series = all.filter(
    ({ job }) => job.against === undefined || versions.get(job.against) === versions.get(job.variant),
  );
  const variants = [...new Map(all.map(({ variant }) => [variant.name, variant])).values()];
  const seriesOf = (name: string) => series.filter(({ variant }) => variant.name === name);
  return { asked: askedOf(variants), seriesOf };
}

/**
 * The answers to questions, with the variants' series wherever they come from. `metrics`: instead of the leading ones; `beside`:
 * all comparisons on the same texts, where more are made than these, for how a text hangs together is one thing for all of them; `complete`:
 * what only one of a pair has, or is not finished, is among the results, refused.
 */
export function verdictsOver(
  asked: Asked[],
  seriesOf: (variant: string, side: "a" | "b") => Series[],
  {
    across = false,
    metrics,
    beside = [],
    complete = false,
    shown = (variant) => variant,
  }: {
    across?: boolean;
    metrics?: string[];
    beside?: [Series[], Series[]][];
    complete?: boolean;
    shown?: (variant: string, side: "a" | "b") => string;
  } = {},
): Omit<Verdicts, "ladders"> {
  const wanted: WantedMetric = metrics
    ? (name) => metrics.includes(name)
    : (name, job) => leadsAmong(name, job.metrics);
  const flags = new Set<string>();
  const lines: Line[] = [];
  const own = asked.flatMap(({ pairs }) =>
    pairs.map(([a, b]): [Series[], Series[]] => [seriesOf(a, "a"), seriesOf(b, "b")]),
  );
  const dependences = dependencesOf(beside.length > 0 ? beside : own, across);
  const measured = asked.map(({ pairs, without = () => false }) =>
    pairs.map(([a, b]): MeasuredPair => {
      const [first, second] = [seriesOf(a, "a"), seriesOf(b, "b")];
      for (const one of [...first, ...second]) {
        const flag = imatrixFlag(one);
        if (flag) flags.add(flag);
      }
      if (a !== b && isOneModel(first, second)) flags.add(`${shown(b, "b")} is the same file as ${shown(a, "a")}.`);
      const asks: WantedMetric = (metric, job) => wanted(metric, job) && !without(metric);
      const results = resultsOf(first, second, asks, { across, dependences });
      return { a: first, b: second, results: [...results, ...(complete ? leftOut(first, second, asks) : [])] };
    }),
  );
  const common = notesInCommon(measured.flat());
  const questions = asked.map(({ title, base, pairs, says }, question): Question => {
    const of = measured[question]!;
    const pooled = says ? pooledOf(of, dependences) : [];
    const all = of.flatMap(({ results }) => results);
    const variantOf = new Map(of.flatMap(({ results }, i) => results.map((one) => [one, pairs[i]![1]] as const)));
    lines.push(
      ...adjust(all, pooled).map((line) => ({
        ...line,
        title,
        names: line.results.map((one) => variantOf.get(one)!),
      })),
    );
    const made = pairs.map(([a, b], i): Pair => {
      const { results } = of[i]!;
      return { a, b, results, sentence: sentenceOf(shown(a, "a"), shown(b, "b"), results, common.strings) };
    });
    return {
      title,
      ...definite({ base }),
      pairs: made,
      pooled,
      answers: says ? answersOf(made, pooled, says) : [],
    };
  });
  return { questions, notes: [...flags, ...common.told, ...overallNote(lines)] };
}

/** One file under one engine's settings, whatever its names. */
const isOneModel = (a: Series[], b: Series[]) =>
  a.some((one) => b.some((other) => one.job.id === other.job.id && isSameFile(one, other)));

/** Notes that several pairs have are told once, of the whole report: `pp128, tg128: The interval rests on 3 repetitions; …`. */
function notesInCommon(pairs: MeasuredPair[]): { strings: ReadonlySet<string>; told: string[] } {
  const [seen, strings] = [new Set<string>(), new Set<string>()];
  for (const { results } of pairs) {
    const own = new Set(results.flatMap(({ comparison, notes }) => (comparison ? notes : [])));
    for (const note of own) (seen.has(note) ? strings : seen).add(note);
  }
  const byText = new Map<string, string[]>();
  for (const note of strings) {
    const [, label, text] = /^([^:]{1,60}): (.+)$/s.exec(note) ?? [undefined, undefined, note];
    byText.set(text!, [...(byText.get(text!) ?? []), ...(label === undefined ? [] : [label])]);
  }
  return {
    strings,
    told: Array.from(byText, ([text, labels]) => (labels.length > 0 ? `${labels.join(", ")}: ${text}` : text)),
  };
}

/** What is told in one line of an answer, of one metric: the mean over its pairs, and each of them. */
interface Line {
  title: string;
  results: Result[];
  /** By result: the variant that is B. */
  names: string[];
  pooled?: Result;
}

/**
 * The differences that hold in their own answer, but not at the level at which the mean error over all answers that show something
 * is 5 %.
 *
 * They keep their verdict, and are named here. Each answer errs in at most 5 %, so the mean over all that are shown does, too,
 * and who asks one question reads the same of it whatever else was measured. Who looks through many answers for what is
 * striking selects, and needs the other level: it depends on how many there are, and so it is said once, of the whole report.
 */
function overallNote(lines: Line[]): string[] {
  const families = lines.map(({ results, pooled }): Family => {
    const average = pooled?.comparison;
    return { pairs: results.map(({ comparison }) => comparison!), ...definite({ pooled: average }) };
  });
  const uncertain = new Set(uncertainOverall(families));
  const named = lines.flatMap(({ title, results, names, pooled }) => {
    for (const one of pooled ? [...results, pooled] : results)
      if (one.comparison && uncertain.has(one.comparison)) one.doubted = true;
    const doubted = names.filter((_, i) => results[i]!.doubted);
    const parts = [...(pooled?.doubted ? ["the mean"] : []), ...(doubted.length > 0 ? [several(doubted)] : [])];
    return parts.length > 0 ? [`${results[0]!.label} of ${parts.join(" and ")} (${title})`] : [];
  });
  if (named.length === 0) return [];
  return [
    `Each answer errs in 5 % at most. Over all ${lines.length} answers together these differences (*) are less certain: ${named.join("; ")}.`,
  ];
}

/**
 * The pairs of one question under one metric of one measurement and their mean are a family: just what stands in one line of its
 * answer. Other measurements and questions do not change their verdicts.
 */
function adjust(results: Result[], pooled: Result[]): Omit<Line, "title" | "names">[] {
  const open = results.filter(({ comparison, verdict }) => comparison && !verdict);
  return byMetric(open, (result) => result).map((line) => {
    const mean = pooled.find((one) => keyOf(one) === keyOf(line[0]!) && one.comparison);
    const margin = describe(line[0]!.metric).margin?.size;
    const adjusted = inFamily(
      { pairs: line.map(({ comparison }) => comparison!), ...definite({ pooled: mean?.comparison }) },
      margin,
    );
    const judge = (result: Result, comparison: Comparison) => {
      result.comparison = comparison;
      result.verdict = verdict(comparison, margin);
    };
    for (const [i, result] of line.entries()) judge(result, adjusted.pairs[i]!);
    if (mean) judge(mean, adjusted.pooled!);
    return { results: line, ...definite({ pooled: mean }) };
  });
}
