import { harmless } from "../harmless.js";
import { isSameSize, type Ladder, type LadderStep } from "../judge/index.js";
import { percent } from "../units.js";

/** `46 % smaller`, `same size`; empty where a size is not known. */
export function savedIn({ saved }: LadderStep): string {
  if (saved === undefined) return "";
  if (isSameSize(saved)) return "same size";
  return saved > 0 ? `${percent(saved)} smaller` : `${percent(-saved)} larger`;
}

const words: Partial<Record<LadderStep["standing"], string>> = {
  better: "better",
  worse: "worse",
  "much worse": "much worse",
  "probably worse": "probably worse",
  mixed: "worse in part, better in part",
};

/** `worse, PPL +0.9 %, KLD 0.009` */
export function stepText({ standing, figures, missing }: LadderStep): string {
  return [words[standing] ?? "", ...figures, missing === undefined ? "" : harmless(missing)].filter(Boolean).join(", ");
}

/** Which file to take, in one to three sentences. */
export function conclusionsOf(
  { base, steps, smallest, near, nearby, nearness, judged, unsound }: Ladder,
  shown: (name: string) => string,
): string[] {
  if (unsound !== undefined) return [unsound];
  if (judged === "nothing")
    return ["No quality was compared: perplexity, divergence or a task says what a smaller file costs."];
  if (judged === "none")
    return [`No file can be recommended: none has a figure that could be compared with ${shown(base)}'s.`];
  if (steps.every(({ saved }) => saved === undefined))
    return ["No smaller file can be recommended, because the sizes of these models are not known."];
  if (!steps.some(({ smaller }) => smaller)) return [`None of these files holds smaller weights than ${shown(base)}.`];
  const told = ({ variant, saved }: LadderStep) => `${shown(variant)} (${percent(saved!)} smaller)`;
  const nearest = `within ${nearness.limit} of ${shown(base)} in ${nearness.labels}`;
  if (judged === "distance")
    return [
      smallest
        ? `Smallest file that predicts as ${shown(base)} does, within ${nearby}: ${told(smallest)}`
        : `No smaller file is shown to predict as ${shown(base)} does, within ${nearby}`,
      "Only perplexity or a task says what is better or worse.",
    ];
  if (!smallest && !near) {
    const unknown = steps.some(({ standing }) => standing === "unknown" || standing === "absent");
    return [
      unknown
        ? "No smaller file can be recommended: each is shown to be worse, or too little was measured to tell."
        : "No smaller file can be recommended: each is shown to be worse.",
    ];
  }
  if (smallest && smallest === near)
    return [`Smallest file not shown to be worse, and shown to be ${nearest}: ${told(smallest)}`];
  return [
    smallest
      ? `Smallest file not shown to be worse: ${told(smallest)}${smallest.detectable ? `; a loss below ${smallest.detectable} would not have been detected` : ""}`
      : "Smallest file not shown to be worse: none",
    near ? `Smallest shown to be ${nearest}: ${told(near)}` : `None is shown to be ${nearest}`,
  ];
}
