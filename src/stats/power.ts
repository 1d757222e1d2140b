import { tQuantile } from "./distributions.js";

/** The probability with which a difference that is called detectable is found, and promised items decide. */
export const power = 0.8;

/** A limit that a rule sets, on the scale on which the comparison is reported. */
export interface Limit {
  limit: number;
  /** Harm lies above the limit; below it otherwise. */
  rises: boolean;
  /** How many checks Holm's adjustment is over. */
  family: number;
  /** The harm that the rule is made for, on the scale of the estimate; absent: the limit's distance from none. */
  size?: number;
}

/**
 * How many standard errors the truth must lie beyond a limit for a one-sided test at `level` to find it. A standard error
 * from few pieces is too small on average by about 1/(4 · freedom).
 */
export const reach = (level: number, freedom: number) =>
  (tQuantile(1 - level, freedom) + tQuantile(power, freedom)) * (1 + 1 / (4 * freedom));

/** No more than this times as many items as there are can be promised to decide, from what so few have shown. */
const farthest = 100;

/** The items, `n` times a factor of at least 1, that decide with this chance; Infinity when no affordable number does. */
export function itemsFor(n: number, chanceAt: (factor: number) => number, chance: number): number {
  for (let factor = 1; factor <= farthest; factor *= 1.03) if (chanceAt(factor) >= chance) return n * factor;
  return Infinity;
}

/** From the limit outwards to the share, or change of a share, that a test finds; NaN when no share is far enough. */
export function harmFor({ limit, rises }: Limit, powerAt: (harm: number) => number): number {
  for (let size = 0.001; size < 1; size += 0.001) {
    const harm = rises ? limit + size : limit - size;
    if (harm < -1 || harm > 1) break;
    if (powerAt(harm) >= power) return harm;
  }
  return Number.NaN;
}
