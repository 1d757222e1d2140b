import { tQuantile, tTail } from "../distributions.js";
import { power, reach } from "../power.js";
import { type Base, oneSided } from "./basis.js";

/**
 * An estimate with a standard error, which scatters by Student's t. `link`: from a difference as reported to the scale on
 * which the estimate is a mean. `floor`: the part of the error that comes from a noise floor, which more items of B do not
 * make smaller.
 */
export interface T {
  kind: "t";
  link: Link;
  estimate: number;
  error: number;
  freedom: number;
  /** Errors towards smaller and larger values, where they differ; `error` then is their mean. */
  sides?: { below: number; above: number };
  /** One piece more is a whole run; absent: an item. */
  per?: "run";
  floor?: number;
}

export type Link = "log1p" | "log" | "identity";

/** From the reported scale to that of the estimate. What is below nothing is infinitely far on a log scale. */
const links: Record<Link, (reported: number) => number> = {
  identity: (reported) => reported,
  log: (reported) => Math.log(Math.max(0, reported)),
  log1p: (reported) => Math.log1p(Math.max(-1, reported)),
};

/** And back. */
export const reported: Record<Link, (estimate: number) => number> = {
  identity: (estimate) => estimate,
  log: Math.exp,
  log1p: Math.expm1,
};

export const t: Base<T> = {
  atMost: (basis, limit) => tailOf(beyond(basis, limit), basis.freedom),

  atLeast: (basis, limit) => tailOf(-beyond(basis, limit), basis.freedom),

  certain: ({ link, estimate, error, freedom }) => (error === 0 && freedom >= 1 ? reported[link](estimate) : undefined),

  // So few runs that nothing is certain never come as pieces.
  pieces: ({ per }, clusters) => (per === "run" ? Infinity : clusters),

  detectable({ link, error, freedom }, level) {
    if (freedom < 1 || !Number.isFinite(error)) return Infinity;
    // A standard error from few clusters is too small on average by about 1/(4 · freedom), and by as much again when their
    // autocorrelation had to be estimated: here it promises power.
    const widened = error * (1 + 1 / (2 * freedom));
    const found = (tQuantile(1 - level / 2, freedom) + tQuantile(power, freedom)) * widened;
    return link === "log1p" ? Math.expm1(found) : found;
  },

  needed({ link, estimate, error, freedom, floor = 0 }, n, _, { limit, family }) {
    // The error falls with the root of the number, but for the noise floor's part of it.
    const own = error ** 2 - floor ** 2;
    const far = (estimate - links[link](limit)) / reach(oneSided / family, Math.max(1, freedom));
    const allowed = far ** 2 - floor ** 2;
    return allowed > 0 ? (n * own) / allowed : Infinity;
  },

  harm({ link, error, freedom }, { limit, rises, family }) {
    const step = (rises ? 1 : -1) * reach(oneSided / family, Math.max(1, freedom)) * error;
    // A limit below what a log scale can hold has no step beyond it.
    return link === "identity"
      ? limit + step
      : link === "log"
        ? limit * Math.exp(step)
        : Math.expm1(Math.log1p(limit) + step);
  },
};

/** How far the estimate lies above a limit, in standard errors. */
function beyond({ link, estimate, error, sides }: T, limit: number): number {
  const distance = estimate - links[link](limit);
  return distance / (sides ? (distance > 0 ? sides.below : sides.above) : error);
}

/** `P(T > t)`; without any spread the data are certain. */
export function tailOf(t: number, freedom: number): number {
  if (t === Infinity) return 0;
  return Number.isNaN(t) || t === -Infinity ? 1 : tTail(t, freedom);
}
