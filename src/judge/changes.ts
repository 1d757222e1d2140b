import { definite } from "../definite.js";
import { metric as describe, isDistance } from "../metrics.js";
import type { Run } from "../replay/index.js";
import { changeOf, type Mark, markOf } from "./reading.js";
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
  /** `+0.9 %`, `−2.1 points`, `×2.1`; absent where nothing can be told. */
  text?: string;
  mark: Mark;
  /** One of the figures is not shown to be above chance. */
  guessed?: true;
  /** A speed beside which other processes computed. */
  disturbed?: true;
}

/** As the tables have it; nothing of a distance, which is a change itself. */
function toldOf(result: Result): Pick<ToldChange, "text" | "mark" | "guessed" | "disturbed"> | undefined {
  const [text, mark] = [changeOf(result), markOf(result)];
  if (!result.verdict || (text === undefined && (isDistance(describe(result.metric)) || mark !== "?")))
    return undefined;
  const yes = (fact: boolean) => (fact ? (true as const) : undefined);
  return {
    mark,
    ...definite({ text, guessed: yes(isAtChance(result.verdict)), disturbed: yes(result.foreign !== undefined) }),
  };
}

/** The changes against the reference of all that is measured so far: what a report of the run would tell now. */
export function changesFrom(run: Run): ToldChange[] {
  const { ladders, questions } = verdictsFrom(run);
  return ladders.flatMap(({ base, isVoid }) => {
    if (isVoid) return [];
    const pairs = questions.find((question) => question.base === base)?.pairs ?? [];
    return pairs.flatMap(({ b: variant, results }) =>
      results.flatMap((result) => {
        const told = toldOf(result);
        const { measurement, metric } = result;
        return told === undefined ? [] : [{ variant, against: base, measurement, metric, ...told }];
      }),
    );
  });
}
