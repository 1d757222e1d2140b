import { binomialAtLeast, binomialAtMost, normalQuantile, normalTail } from "./distributions.js";

/** What became of the same questions under another variant; the questions that both got right or both got wrong say nothing. */
export interface Flips {
  /** All questions. */
  n: number;
  /** Wrong before, right now. */
  toRight: number;
  toWrong: number;
}

/**
 * Exact McNemar test: were the accuracies equal, each flip would go either way like a fair coin.
 * `p = min(1, 2 · P(X ≤ min(flips to right, flips to wrong)))`, X ~ Binomial(flips, ½) (McNemar 1947; Agresti 2013, 11.1).
 */
export function mcnemar({ toRight, toWrong }: Flips): number {
  const flips = toRight + toWrong;
  return Math.min(1, 2 * binomialAtMost(Math.min(toRight, toWrong), flips, 0.5));
}

/**
 * Score test of a difference of paired proportions (Tango 1998, Statistics in Medicine 17:891): z for "the accuracy
 * changed by `delta`", the nuisance probability at its maximum likelihood under that. Unlike Wald's it holds its level
 * with few flips, and with none.
 */
export function scoreZ({ n, toRight, toWrong }: Flips, delta: number): number {
  const a = 2 * n;
  const b = -toRight - toWrong + (2 * n - toRight + toWrong) * delta;
  const c = -toWrong * delta * (1 - delta);
  const q = (Math.sqrt(Math.max(0, b * b - 4 * a * c)) - b) / (2 * a);
  const variance = n * (2 * q + delta * (1 - delta));
  const numerator = toRight - toWrong - n * delta;
  if (numerator === 0) return 0;
  return numerator / Math.sqrt(Math.max(variance, Number.MIN_VALUE));
}

/** One-sided p of "the accuracy rose by at most `delta`". */
export const scoreTail = (flips: Flips, delta: number) => normalTail(scoreZ(flips, delta));

/** The differences that the score test does not reject at 5 %. */
export function scoreInterval(flips: Flips): { low: number; high: number } {
  const z = normalQuantile(0.975);
  const middle = (flips.toRight - flips.toWrong) / flips.n;
  return {
    low: middle <= -1 ? -1 : bisect(-1, middle, (delta) => scoreZ(flips, delta) > z),
    high: middle >= 1 ? 1 : bisect(middle, 1, (delta) => scoreZ(flips, delta) > -z),
  };
}

/**
 * The smallest change of accuracy that the exact McNemar test at `level` sees with a probability of 80 %, if as many questions
 * flip as did here (or as many as the change needs by itself). Power by summing over the number of flips
 * (Connor 1987, made exact); Infinity where not even all questions flipping one way would do.
 */
export function detectableChange({ n, toRight, toWrong }: Flips, level: number): number {
  const rate = (toRight + toWrong) / n;
  const enough = (delta: number) => powerOfMcnemar(n, Math.max(rate, delta), delta, level) >= 0.8;
  return enough(1) ? bisect(0, 1, (delta) => !enough(delta), 14) : Infinity;
}

function powerOfMcnemar(n: number, rate: number, delta: number, level: number): number {
  const right = (rate + delta) / (2 * rate);
  const spread = 5 * Math.sqrt(n * rate * (1 - rate)) + 5;
  const [least, most] = [Math.max(0, Math.floor(n * rate - spread)), Math.min(n, Math.ceil(n * rate + spread))];
  let power = 0;
  let below = binomialAtMost(least - 1, n, rate);
  for (let flips = least; flips <= most; flips++) {
    const upTo = binomialAtMost(flips, n, rate);
    const critical = criticalFlips(flips, level);
    if (critical >= 0) power += (upTo - below) * binomialAtLeast(flips - critical, flips, right);
    below = upTo;
  }
  return power;
}

const criticals = new Map<number, number[]>();

/** The largest number of flips the other way that is still significant; −1 where none is. Grows by at most one per flip. */
function criticalFlips(flips: number, level: number): number {
  const known = criticals.get(level) ?? [];
  criticals.set(level, known);
  for (let count = known.length; count <= flips; count++) {
    const before = known[count - 1] ?? -1;
    known.push(2 * binomialAtMost(before + 1, count, 0.5) <= level ? before + 1 : before);
  }
  return known[flips]!;
}

/** Where a condition that holds at the lower end ceases to hold. */
function bisect(low: number, high: number, holds: (x: number) => boolean, steps = 30): number {
  let [from, to] = [low, high];
  for (let i = 0; i < steps; i++) {
    const middle = (from + to) / 2;
    if (holds(middle)) from = middle;
    else to = middle;
  }
  return (from + to) / 2;
}
