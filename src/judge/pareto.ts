import { metric as describe } from "../metrics.js";
import type { Run } from "../replay/index.js";
import { seriesFrom } from "../stats/series.js";
import type { Pair } from "./answers.js";
import { isOfSpeed } from "./reading.js";
import { differenceIn } from "./verdict.js";
import { verdictsOver } from "./verdicts.js";

/**
 * Pareto by exclusion, of pairs in which the second file is no larger: those where it is as good or better in every figure of quality
 * that was asked for, and shown to be better in one. All pairs are one question, so that the chance of a false one stays at 5 %.
 */
export function beatenIn(run: Run, pairs: [loser: string, winner: string][]): [loser: string, winner: string][] {
  if (pairs.length === 0) return [];
  const series = seriesFrom(run);
  const { questions } = verdictsOver([{ title: "", pairs }], (name) =>
    series.filter(({ variant }) => variant.name === name),
  );
  return questions.flatMap(({ pairs: compared }) =>
    compared.filter(isBeaten).map(({ a, b }): [string, string] => [a, b]),
  );
}

function isBeaten({ results }: Pair): boolean {
  const quality = results.filter((result) => !isOfSpeed(result));
  const isWorse = ({ metric, comparison }: (typeof quality)[number]) =>
    !comparison || (describe(metric).better === "lower" ? comparison.b > comparison.a : comparison.b < comparison.a);
  return (
    quality.some(({ verdict }) => verdict && differenceIn(verdict)?.direction === "better") && !quality.some(isWorse)
  );
}
