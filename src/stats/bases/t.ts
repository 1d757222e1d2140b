import { tQuantile, tTail } from "../distributions.js";
import { power, reach } from "../power.js";
import { predictive, spreadAbout } from "../predictive.js";
import { type Base, oneSided } from "./basis.js";

/**
 * An estimate with a standard error, which scatters by Student's t. `link`: from a difference as reported to the scale on
 * which the estimate is a mean.
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
  fixed?: Fixed;
}

/** The part of an error that more items of B do not make smaller: that of a noise floor, or of how much runs differ. */
export interface Fixed {
  error: number;
  freedom: number;
  of: "floor" | "runs";
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

  decides(basis, asked) {
    const { link, estimate, sides, per, fixed: part } = basis;
    const limit = links[link](asked.limit);
    const above = estimate - limit;
    const error = sides ? (above > 0 ? sides.below : sides.above) : basis.error;
    // Where the autocorrelation of items had to be estimated, too, their error is about half as well known, see `detectable`. Runs have
    // none, and a floor's error is on the wide side already.
    const freedom = Math.max(1, per || part ? basis.freedom : basis.freedom / 2);
    const { size = link === "log" ? 1 : Math.abs(limit) } = asked;
    const later = predictive({ distance: asked.rises ? above : -above, error, freedom, spread: spreadAbout(size) });
    return (factor, fixed = 1) => {
      const then = grown(basis, factor, fixed);
      const critical = (level: number) => tQuantile(1 - level, then.freedom);
      const share = basis.error === 0 ? 1 : then.error / basis.error;
      return later(share, { harm: critical(oneSided / asked.family), none: critical(oneSided) });
    };
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

/** The error of `factor` times as many items, with `times` as many behind its fixed part. */
function grown({ error, freedom, fixed }: T, factor: number, times: number): Pick<T, "error" | "freedom"> {
  const ofPieces = (count: number, more: number) => (count + 1) * more - 1;
  if (!fixed) return { error: error / Math.sqrt(factor), freedom: ofPieces(Math.max(1, freedom), factor) };
  // Of two parts, each of its own freedom (Satterthwaite 1946): the first is what is left of the whole without the other.
  const [y, all] = [fixed.error ** 2, error ** 2];
  const x = Math.max(0, all - y);
  const ofX = x === 0 ? Infinity : x ** 2 / Math.max(1e-300, all ** 2 / freedom - y ** 2 / fixed.freedom);
  const [own, other] = [x / factor, y / times];
  const sum = own + other;
  const spread = own ** 2 / ofPieces(ofX, factor) + other ** 2 / ofPieces(fixed.freedom, times);
  return { error: Math.sqrt(sum), freedom: Math.max(1, sum ** 2 / spread) };
}

/** `P(T > t)`; without any spread the data are certain. */
export function tailOf(t: number, freedom: number): number {
  if (t === Infinity) return 0;
  return Number.isNaN(t) || t === -Infinity ? 1 : tTail(t, freedom);
}
