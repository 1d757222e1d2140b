import type { Limit } from "../power.js";

/**
 * All that can be asked of the data of one comparison, summed up as plain data `B`. A limit, a difference and a
 * harm are on the scale on which the comparison is reported; p are one-sided unless they say otherwise.
 */
export interface Base<B> {
  /** p of "it is at most `limit`": small when the data show more. */
  atMost(basis: B, limit: number): number;
  /** p of "it is at least `limit`": small when the data show less. */
  atLeast(basis: B, limit: number): number;
  /** The value itself, when nothing is left to chance: every item shows the same. */
  certain(basis: B): number | undefined;
  /** Independent pieces that the error rests on; `clusters` of them as the comparison counts. */
  pieces(basis: B, clusters: number): number;
  /** The smallest difference from none that a two-sided test at `level` finds with 80 % power; NaN where none is tested. */
  detectable(basis: B, level: number): number;
  /**
   * The chance that a test against the limit on `factor` times as many items, of which those that there are stay the first, decides on
   * which side the truth lies: over all that the truth and the scatter of items may be after these data, see `predictive.ts`.
   * `fixed`: times as many behind the part of the error that more items leave as it is.
   */
  decides(basis: B, limit: Limit): (factor: number, fixed?: number) => number;
  /** The value that would have failed the limit with 80 % power, all other checks adjusted for. */
  harm(basis: B, limit: Limit): number;
}

/** Level of every two-sided test, and of each of the two one-sided tests whose 95 % interval is shown. */
export const alpha = 0.05;
/** Level of each one-sided test. At α/2 it decides exactly when the 95 % interval lies wholly on one side of the limit. */
export const oneSided = alpha / 2;

/** The level of the test that decides if this is the truth: harm has to be shown among all checks, its absence by itself. */
export const levelAt = (truth: number, { limit, rises, family }: Limit) =>
  (rises ? truth > limit : truth < limit) ? oneSided / family : oneSided;
