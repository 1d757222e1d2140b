import { metric as describe, isDistance } from "../metrics.js";
import type { Run } from "../replay/index.js";
import { changeOf, markOf } from "./reading.js";
import type { Result } from "./results.js";
import { isAtChance } from "./verdict.js";
import { verdictsFrom } from "./verdicts.js";

/** How a variant's figure differs from its reference's, as the tables of the run tell it. */
export interface ToldChange {
  variant: string;
  /** The reference. */
  against: string;
  measurement: string;
  metric: string;
  /** `+0.9 %`, `−2.1 points`, `×2.1` */
  text: string;
}

/** `?` where nothing can be told of a change, `chance` where both figures may be guessed; a distance is a change itself. */
function untold(result: Result): string | undefined {
  if (isDistance(describe(result.metric)) || markOf(result) !== "?") return undefined;
  return isAtChance(result.verdict!) ? "chance" : "?";
}

/** The changes against the reference of all that is measured so far: what a report of the run would tell now. */
export function changesFrom(run: Run): ToldChange[] {
  const { ladders, questions } = verdictsFrom(run);
  return ladders.flatMap(({ base, isVoid }) => {
    if (isVoid) return [];
    const pairs = questions.find((question) => question.base === base)?.pairs ?? [];
    return pairs.flatMap(({ b: variant, results }) =>
      results.flatMap((result) => {
        const text = result.verdict && (changeOf(result) ?? untold(result));
        const { measurement, metric } = result;
        return text === undefined ? [] : [{ variant, against: base, measurement, metric, text }];
      }),
    );
  });
}
