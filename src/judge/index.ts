// The door of the wing that judges: what may be compared, what a comparison says, and whether rules hold.

export type { Pair } from "./answers.js";
export { type Comparability, comparability, imatrixFlag } from "./comparable.js";
export { type Check, type Gate, gate } from "./gate.js";
export { isSameSize, type Ladder, type LadderStep } from "./ladder.js";
export type { Asked } from "./pairs.js";
export { beatenIn } from "./pareto.js";
export { changeOf, type Mark, markOf } from "./reading.js";
export type { Result } from "./results.js";
export { parseRule, type Rule } from "./rules.js";
export { differenceIn, isUndecided, type Verdict, verdict } from "./verdict.js";
export { comparedIn, type Question, type Verdicts, verdictsFrom, verdictsOver } from "./verdicts.js";
export { isDetectable, isIdentical, marginsOf, mark, markInFiles, tabulated } from "./words.js";
