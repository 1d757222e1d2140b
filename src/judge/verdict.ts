import { metric as describe } from "../metrics.js";
import { alpha, type Comparison, oneSided, pOfEquivalence } from "../stats/comparison.js";

/** Shown to be there; `within`: and shown to be smaller than the margin that matters. */
export interface Different {
  kind: "different";
  direction: "better" | "worse" | "higher" | "lower";
  within: boolean;
}

/** Shown to be smaller than the margin: the 95 % interval lies within it (two one-sided tests, Schuirmann 1987, at 2.5 %). */
export interface Equivalent {
  kind: "equivalent";
  /** In the metric's unit, or a share of A: see `isRelative`. */
  margin: number;
}

export type Verdict =
  | Different
  | Equivalent
  /** The 95 % interval shows it by itself; among `among` comparisons, or from so few pieces, it is not certain. */
  | { kind: "likely"; what: Different | Equivalent; among?: number }
  /** Neither is shown; a difference of `detectable` would have been found with 80 % power. */
  | { kind: "undistinguished"; detectable: number }
  /** Too few items for any answer; `needed` of them could begin to tell. */
  | { kind: "unknown"; needed: number }
  /** Neither is shown to be better than guessing, which gives `chance`: nothing is claimed. */
  | { kind: "chance"; chance: number }
  /** A distance from the reference, which is not tested: its interval lies within, around or beyond the margin. `floor`: the reference's distance from itself. */
  | { kind: "size"; place: "within" | "around" | "beyond"; margin: number; floor: number };

/** The verdict of a comparison at 5 %. `margin`: the difference that begins to matter, see `isRelative`. */
export function verdict(comparison: Comparison, margin?: number): Verdict {
  if (comparison.needed !== undefined) return { kind: "unknown", needed: comparison.needed };
  const { p, adjusted = p, family = 0 } = comparison;
  const alone = margin === undefined ? Number.NaN : pOfEquivalence(comparison, margin);
  const equivalence = comparison.adjustedEquivalence ?? alone;
  const { better } = describe(comparison.metric);
  const rose = comparison.difference > 0;
  const different = (within: boolean): Different => ({
    kind: "different",
    direction: better === "neither" ? (rose ? "higher" : "lower") : rose === (better === "higher") ? "better" : "worse",
    within,
  });
  const equivalent: Equivalent = { kind: "equivalent", margin: margin ?? Number.NaN };
  const among = family > 1 ? { among: family } : {};
  if (adjusted < alpha) return different(equivalence < oneSided);
  if (equivalence < oneSided) return equivalent;
  if (p < alpha) return { kind: "likely", what: different(alone < oneSided), ...among };
  if (alone < oneSided) return { kind: "likely", what: equivalent, ...among };
  return { kind: "undistinguished", detectable: comparison.detectable };
}

/** The difference or equivalence that the interval shows, whether or not it is certain. */
export function shownIn(said: Verdict): { sure: boolean; what: Different | Equivalent } | undefined {
  if (said.kind === "likely") return { sure: false, what: said.what };
  return said.kind === "different" || said.kind === "equivalent" ? { sure: true, what: said } : undefined;
}

/** The difference among what is shown. */
export function differenceIn(said: Verdict, sure = true): Different | undefined {
  const shown = shownIn(said);
  return shown?.sure === sure && shown.what.kind === "different" ? shown.what : undefined;
}

/** Neither a difference nor equivalence is shown, by data that could have. */
export const isUndistinguished = ({ kind }: Verdict): boolean => kind === "undistinguished";

/** Both figures are no better than guessing. */
export const isAtChance = ({ kind }: Verdict): boolean => kind === "chance";

/** A distance from the reference that lies within the margin. */
export const isWithinMargin = (said: Verdict): boolean => said.kind === "size" && said.place === "within";

/** Nothing is claimed: neither shown nor likely, too few items, or two figures at chance. */
export const isUndecided = ({ kind }: Verdict): boolean =>
  kind === "undistinguished" || kind === "unknown" || kind === "chance";
