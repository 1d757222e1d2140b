import { definite } from "../definite.js";
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
import { type Result, resultsOf, type WantedMetric } from "./results.js";
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
  const versions = new Map(all.map(({ variant }) => [variant.name, variant.tags.version]));
  // The distance between two versions does not measure what quantization cost.
  const series = all.filter(
    ({ job }) => job.against === undefined || versions.get(job.against) === versions.get(job.variant),
  );
  const variants = [...new Map(all.map(({ variant }) => [variant.name, variant])).values()];
  const { questions, notes } = verdictsOver(askedOf(variants), (name) =>
    series.filter(({ variant }) => variant.name === name),
  );
  return { questions, ladders: laddersOf(run, all, questions), notes };
}

/** The answers to questions, with the variants' series wherever they come from. `metrics`: instead of the leading ones. */
export function verdictsOver(
  asked: Asked[],
  seriesOf: (variant: string, side: "a" | "b") => Series[],
  {
    across = false,
    metrics,
    shown = (variant) => variant,
  }: { across?: boolean; metrics?: string[]; shown?: (variant: string, side: "a" | "b") => string } = {},
): Omit<Verdicts, "ladders"> {
  const wanted: WantedMetric = metrics
    ? (name) => metrics.includes(name)
    : (name, job) => leadsAmong(name, job.metrics);
  const flags = new Set<string>();
  const lines: Line[] = [];
  const questions = asked.map(({ title, base, pairs, says, without = () => false }): Question => {
    const measured = pairs.map(([a, b]): MeasuredPair => {
      const [first, second] = [seriesOf(a, "a"), seriesOf(b, "b")];
      for (const one of [...first, ...second]) {
        const flag = imatrixFlag(one);
        if (flag) flags.add(flag);
      }
      const results = resultsOf(first, second, (metric, job) => wanted(metric, job) && !without(metric), across);
      return { a: first, b: second, results };
    });
    const pooled = says ? pooledOf(measured) : [];
    const all = measured.flatMap(({ results }) => results);
    lines.push(...adjust(all, pooled).map((line) => ({ ...line, title })));
    const made = pairs.map(([a, b], i): Pair => {
      const { results } = measured[i]!;
      return { a, b, results, sentence: sentenceOf(shown(a, "a"), shown(b, "b"), results) };
    });
    return {
      title,
      ...definite({ base }),
      pairs: made,
      pooled,
      answers: says ? answersOf(made, pooled, says) : [],
    };
  });
  return { questions, notes: [...flags, ...overallNote(lines)] };
}

/** What is told in one line of an answer, of one metric: the mean over its pairs, and each of them. */
interface Line {
  title: string;
  results: Result[];
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
  const named = lines.flatMap(({ title, results, pooled }) => {
    const isDoubted = ({ comparison }: Result) => comparison !== undefined && uncertain.has(comparison);
    const count = results.filter(isDoubted).length;
    const parts = [...(pooled && isDoubted(pooled) ? ["the mean"] : []), ...(count > 0 ? [`${count}`] : [])];
    return parts.length > 0 ? [`${parts.join(" and ")} of ${results[0]!.label} (${title})`] : [];
  });
  if (named.length === 0) return [];
  return [
    `Each answer errs in 5 % at most; over all ${lines.length} answers together these differences are less certain: ${named.join(", ")}.`,
  ];
}

/**
 * The pairs of one question under one metric of one measurement and their mean are a family: just what stands in one line of its
 * answer. Other measurements and questions do not change their verdicts.
 */
function adjust(results: Result[], pooled: Result[]): Omit<Line, "title">[] {
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
