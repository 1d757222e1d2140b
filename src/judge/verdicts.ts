import { definite } from "../definite.js";
import { metric as describe, leadsAmong } from "../metrics.js";
import type { Run } from "../replay/index.js";
import { inFamily, uncertainOverall } from "../stats/family.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { answersOf, type Pair, sentenceOf } from "./answers.js";
import { imatrixFlag } from "./comparable.js";
import { type Ladder, laddersOf } from "./ladder.js";
import { type Asked, askedOf } from "./pairs.js";
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
  /** Counts over the pairs, one sentence per metric. */
  answers: string[];
  pairs: Pair[];
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
      ...definite({ base }),
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

/** The lines with a difference that would not hold if the mean error over all answers of the report were to be 5 %. */
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
