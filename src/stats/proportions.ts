import { binomialAtLeast, binomialAtMost, tQuantile, tTail } from "./distributions.js";

/** What became of the same questions under another variant; the questions that both got right or both got wrong say nothing. */
export interface Flips {
  /** All questions. */
  n: number;
  /** Wrong before, right now. */
  toRight: number;
  toWrong: number;
}

/** How much less the items of a few groups tell than as many independent ones. */
export interface Design {
  /** Items over this are what the groups are worth. */
  effect: number;
  groups: number;
  /** Of the t distribution that stands for the normal one; absent where the items count as independent. */
  freedom?: number;
}

/**
 * The design effect of values in groups (subjects of a task): the variance of their sum with the groups as pieces, over
 * that of independent items. With group sums s, sizes k, shares h = k/n, mean m:
 *
 *     V = G/(G−1) · Σ(s − m·k)² / (1 − Σh²),   V₀ = Σ(v − m)²,   effect = max(1, V/V₀),   freedom = 1/Σh² − 1
 *
 * Counts over the effect then go into a method for independent items, in the spirit of Eliasziw & Donner (1991) and
 * Obuchowski (1998): unlike a variance of groups alone it knows that what was seen in no group is not impossible.
 */
export function designOf(values: ArrayLike<number>, groupOf: (index: number) => string): Design {
  const n = values.length;
  const groups = new Map<string, { sum: number; size: number }>();
  let [sum, squares] = [0, 0];
  for (let i = 0; i < n; i++) {
    const group = groups.get(groupOf(i)) ?? { sum: 0, size: 0 };
    groups.set(groupOf(i), group);
    group.sum += values[i]!;
    group.size++;
    sum += values[i]!;
    squares += values[i]! ** 2;
  }
  const mean = sum / n;
  let [spread, shares] = [0, 0];
  for (const group of groups.values()) {
    spread += (group.sum - mean * group.size) ** 2;
    shares += (group.size / n) ** 2;
  }
  const independent = squares - n * mean * mean;
  const between = ((groups.size / (groups.size - 1)) * spread) / (1 - shares);
  const effect = groups.size > 1 && independent > 1e-9 ? between / independent : 1;
  if (effect <= 1) return { effect: 1, groups: groups.size };
  return { effect, groups: groups.size, freedom: Math.max(1, 1 / shares - 1) };
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

/** One-sided p of "the accuracy rose by at most `delta`"; `freedom` as of `Design`. */
export const scoreTail = (flips: Flips, delta: number, freedom?: number) => tTail(scoreZ(flips, delta), freedom);

/** Two-sided p of "the accuracies are equal": below 5 % just where `scoreInterval` excludes 0. */
export const scoreP = (flips: Flips, freedom?: number) => Math.min(1, 2 * tTail(Math.abs(scoreZ(flips, 0)), freedom));

/** The differences that the score test does not reject at 5 %. */
export function scoreInterval(flips: Flips, freedom?: number): { low: number; high: number } {
  const z = tQuantile(0.975, freedom);
  const middle = (flips.toRight - flips.toWrong) / flips.n;
  return {
    low: middle <= -1 ? -1 : bisect(-1, middle, (delta) => scoreZ(flips, delta) > z),
    high: middle >= 1 ? 1 : bisect(middle, 1, (delta) => scoreZ(flips, delta) > -z),
  };
}

/**
 * The smallest change of accuracy that the score test at `level` sees with a probability of 80 %, if as many questions
 * flip as did here (or as many as the change needs by itself). Power by summing over the number of flips (Connor 1987);
 * Infinity where not even all questions flipping one way would do.
 */
export function detectableChange({ n, toRight, toWrong }: Flips, level: number, freedom?: number): number {
  const rate = (toRight + toWrong) / n;
  const z = tQuantile(1 - level / 2, freedom);
  const enough = (delta: number) => powerOfScore(n, Math.max(rate, delta), delta, z) >= 0.8;
  return enough(1) ? bisect(0, 1, (delta) => !enough(delta), 14) : Infinity;
}

function powerOfScore(n: number, rate: number, delta: number, z: number): number {
  const right = (rate + delta) / (2 * rate);
  const spread = 5 * Math.sqrt(n * rate * (1 - rate)) + 5;
  const [least, most] = [Math.max(0, Math.floor(n * rate - spread)), Math.min(n, Math.ceil(n * rate + spread))];
  let power = 0;
  let below = binomialAtMost(least - 1, n, rate);
  for (let flips = least; flips <= most; flips++) {
    const upTo = binomialAtMost(flips, n, rate);
    const critical = criticalFlips(flips, z);
    if (critical >= 0) power += (upTo - below) * binomialAtLeast(flips - critical, flips, right);
    below = upTo;
  }
  return power;
}

/** The largest number of flips the other way that is still significant: `(flips − 2 · other) / √flips > z`; below 0 where none is. */
const criticalFlips = (flips: number, z: number) => Math.ceil((flips - z * Math.sqrt(flips)) / 2) - 1;

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
