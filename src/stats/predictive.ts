import { tTail } from "./distributions.js";

/** An estimate that is to be tested against a limit, as far as it is known today. */
export interface Estimated {
  /** From the limit to the estimate; above 0 on the side of harm. */
  distance: number;
  error: number;
  /** Degrees of freedom of the error. */
  freedom: number;
  /** How far the truth may lie from the limit before anything is measured: a standard deviation; Infinity when the data speak alone. */
  spread: number;
}

/** With how many standard errors from the limit a test says which side it is. */
export interface Critical {
  harm: number;
  none: number;
}

/**
 * How far a truth may lie from the limit of a rule that is made for harm of this size: the standard deviation of a normal distribution
 * that is as dense at the limit as if the truth lay anywhere from none to twice the limit. On a log scale the size is 1. A limit of none has
 * no size: then the data speak alone.
 */
export const spreadAbout = (size: number) => (size === 0 ? Infinity : size * Math.sqrt(2 / Math.PI));

/** A variance is looked for in so many places. */
const places = 32;

/**
 * The chance that an estimate decides when its error has shrunk to `share` of today's: Bayesian predictive power (Spiegelhalter,
 * Freedman & Blackburn 1986, "Monitoring clinical trials: conditional or predictive power?", Controlled Clinical Trials 7:8).
 * The power if today's estimate were the truth is too high where few items are measured, since of those that leave a limit open most
 * look farther from it than they are, and too low where many are.
 *
 * The truth is taken to be normal about the limit, `spread` wide, and the variance of today's estimate to be some v of the scaled
 * inverse χ² distribution that its error has. Today's items stay a part ρ = share² of all. With w = spread² / (spread² + v), the
 * later estimate is normal for each v:
 *
 *     mean = (ρ + (1 − ρ)w) · distance,   variance = (1 − ρ)(w(1 − ρ) + ρ) · v
 *
 * and is tested with an error to which today's contributes the part ρ, too.
 */
export function predictive({ distance, error, freedom, spread }: Estimated) {
  const scales = variances(freedom).map(({ ratio, density }) => {
    const v = error * error * ratio;
    const all = spread * spread + v;
    // A distance tells of the scatter, too, if the truth lies near the limit.
    const weight =
      spread === Infinity ? density : (density * Math.exp((-distance * distance) / (2 * all))) / Math.sqrt(all);
    return { ratio, v, drawn: spread === Infinity ? 1 : (spread * spread) / all, weight };
  });
  const weights = scales.reduce((sum, { weight }) => sum + weight, 0);
  return (share: number, { harm, none }: Critical): number => {
    const [old, young] = [share * share, 1 - share * share];
    let decided = 0;
    for (const { ratio, v, drawn, weight } of scales) {
      const mean = (old + young * drawn) * distance;
      const scatter = Math.sqrt(young * (young * drawn + old) * v);
      const later = share * error * Math.sqrt(old + young * ratio);
      const beyond = (edge: number) => (scatter === 0 ? Number(edge < 0) : tTail(edge / scatter));
      decided += weight * (beyond(harm * later - mean) + beyond(none * later + mean));
    }
    return decided / weights;
  };
}

/** What a variance may be, over the one found: the scaled inverse χ² distribution, by its density over the logarithm. */
function variances(freedom: number): { ratio: number; density: number }[] {
  if (!Number.isFinite(freedom)) return [{ ratio: 1, density: 1 }];
  const half = freedom / 2;
  const reach = 4 / Math.sqrt(half);
  // The upper end fades but as ratio^(−half).
  const [low, high] = [-reach, reach + 7 / half];
  return Array.from({ length: places }, (_, i) => {
    const x = low + ((high - low) * i) / (places - 1);
    return { ratio: Math.exp(x), density: Math.exp(half * (1 - x - Math.exp(-x))) };
  });
}
