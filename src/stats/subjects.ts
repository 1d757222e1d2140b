import type { ItemSample } from "../replay/index.js";
import { fewestPieces } from "./family.js";
import { macroMean } from "./macro.js";
import { type Summary, summarize } from "./summary.js";

/** The figure of a task by subjects. */
export interface BySubject {
  /** The mean of the subjects' figures, each of which counts alike. */
  macro: Summary;
  /** All questions of a group's subjects together. */
  groups: { name: string; subjects: number; summary: Summary }[];
  /** In the order of the items. */
  subjects: { name: string; summary: Summary }[];
}

/** More subjects are passages or authors, of which nobody asks by name. */
const mostSubjects = 100;

/** Undefined where the questions are not of several subjects. `groups`: their subjects, some of which may not be measured. */
export function bySubject(
  metric: string,
  samples: readonly ItemSample[],
  clusters: ReadonlyMap<string, string> | undefined,
  groups: Readonly<Record<string, string[]>> = {},
): BySubject | undefined {
  if (!clusters) return undefined;
  const found = new Map<string, ItemSample[]>();
  for (const sample of samples) {
    const subject = clusters.get(sample.item);
    if (subject === undefined) return undefined;
    const of = found.get(subject);
    if (of) of.push(sample);
    else found.set(subject, [sample]);
  }
  if (found.size < 2 || found.size > mostSubjects) return undefined;
  const subjects = Array.from(found, ([name, of]) => ({ name, summary: summarize(metric, of) }));
  const [first, ...others] = subjects.map(({ summary }) => summary);
  return {
    macro: macroMean([first!, ...others], { drawn: found.size >= fewestPieces }),
    subjects,
    groups: Object.entries(groups).flatMap(([name, of]) => {
      const measured = of.filter((subject) => found.has(subject));
      if (measured.length === 0) return [];
      const together = measured.flatMap((subject) => found.get(subject)!);
      const summary = summarize(metric, together, { clusters });
      return [{ name, subjects: measured.length, summary }];
    }),
  };
}
