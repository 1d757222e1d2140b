import { changeOf, verdictsFrom } from "../judge/index.js";
import type { Run } from "../replay/index.js";

/** A change that the short table tells, without the rest of the table: `Short.rows[].cells[].change`. */
export interface ToldChange {
  variant: string;
  against: string;
  measurement: string;
  metric: string;
  text: string;
}

/** The changes against the reference of all that is measured so far: what a report of the run would tell now. */
export function changesFrom(run: Run): ToldChange[] {
  const { ladders, questions } = verdictsFrom(run);
  return ladders.flatMap(({ base, isVoid }) => {
    if (isVoid) return [];
    const pairs = questions.find((question) => question.base === base)?.pairs ?? [];
    return pairs.flatMap(({ b: variant, results }) =>
      results.flatMap((result) => {
        const text = result.verdict && changeOf(result);
        const { measurement, metric } = result;
        return text === undefined ? [] : [{ variant, against: base, measurement, metric, text }];
      }),
    );
  });
}
