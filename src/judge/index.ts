// The door of the wing that judges: what may be compared, what a comparison says, and whether rules hold.

export type { Pair } from "./answers.js";
export { changesFrom, type ToldChange } from "./changes.js";
export { type Comparability, comparability, imatrixFlag } from "./comparable.js";
export { type Check, type Gate, gate } from "./gate.js";
export { isSameSize, type Ladder, type LadderStep } from "./ladder.js";
export type { Asked } from "./pairs.js";
export { beatenIn, comparedOver } from "./pareto.js";
export { changeOf, lossAtLeast, lossAtMost, type Mark, markedVerdict, markOf } from "./reading.js";
export { type Dependences, dependencesOf, type Result } from "./results.js";
export { parseRule, type Rule } from "./rules.js";
export { differenceIn, isAtChance, isUndecided, shownIn, type Verdict, verdict } from "./verdict.js";
export { comparedIn, type Question, type Verdicts, verdictsFrom, verdictsOver } from "./verdicts.js";
export {
  clause,
  detectableOf,
  isDetectable,
  isIdentical,
  marginsOf,
  mark,
  markInFiles,
  tabulated,
  winner,
} from "./words.js";
