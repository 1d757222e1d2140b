// The door of the wing that judges: what may be compared, what a comparison says, and whether rules hold.
export { type Comparability, comparability, imatrixFlag } from "./comparable.js";
export { type Check, type Gate, gate } from "./gate.js";
export { parseRule, type Rule } from "./rules.js";
export { type Verdict, verdict } from "./verdict.js";
export {
  type Asked,
  type Pair,
  type Question,
  type Result,
  type Verdicts,
  verdictsFrom,
  verdictsOver,
} from "./verdicts.js";
export { isDetectable, isIdentical, marginsOf, mark, tabulated } from "./words.js";
