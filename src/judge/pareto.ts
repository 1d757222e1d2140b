import { metric as describe } from "../metrics.js";
import type { Series } from "../stats/series.js";
import type { Pair } from "./answers.js";
import { isOfSpeed } from "./reading.js";
import { differenceIn } from "./verdict.js";
import { comparedIn, verdictsOver } from "./verdicts.js";

/** These pairs as one question, so that the chance of a false difference among all of them stays at 5 % for each metric. */
export function comparedOver(series: Series[], pairs: [a: string, b: string][]): Pair[] {
  if (pairs.length === 0) return [];
  const seriesOf = (name: string) => series.filter(({ variant }) => variant.name === name);
  const { questions } = verdictsOver([{ title: "", pairs }], seriesOf, { beside: comparedIn(series) });
  return questions.flatMap((question) => question.pairs);
}

/**
 * Pareto by exclusion, of pairs in which the second file is no larger: those where it is as good or better in every figure of quality
 * that was asked for, and shown to be better in one.
 */
export function beatenIn(
  series: Series[],
  pairs: [loser: string, winner: string][],
): [loser: string, winner: string][] {
  return comparedOver(series, pairs)
    .filter(isBeaten)
    .map(({ a, b }) => [a, b]);
}

function isBeaten({ results }: Pair): boolean {
  const quality = results.filter((result) => !isOfSpeed(result));
  const isWorse = ({ metric, comparison }: (typeof quality)[number]) =>
    !comparison || (describe(metric).better === "lower" ? comparison.b > comparison.a : comparison.b < comparison.a);
  return (
    quality.some(({ verdict }) => verdict && differenceIn(verdict)?.direction === "better") && !quality.some(isWorse)
  );
}
