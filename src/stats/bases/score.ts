import { binomialAtLeast, binomialAtMost, tQuantile, tTail } from "../distributions.js";
import { harmFor, type Limit, power } from "../power.js";
import { predictive, spreadAbout } from "../predictive.js";
import { alpha, type Base, levelAt, oneSided } from "./basis.js";

/** Answers to the same questions that changed under another variant; questions that both got right, or both wrong, say nothing. */
export interface Flips {
  /** All questions. */
  n: number;
  /** Wrong before, right now. */
  toRight: number;
  toWrong: number;
}

/** Answers that changed, by Tango's score test. Counts and freedom are those over the design effect of subjects. */
export interface Score {
  kind: "score";
  flips: Flips;
  /** As of `Design`; absent when the questions count as independent. */
  freedom?: number;
}

export const score: Base<Score> = {
  atMost: ({ flips, freedom }, limit) => scoreTail(flips, limit, freedom),

  atLeast: ({ flips, freedom }, limit) => 1 - scoreTail(flips, limit, freedom),

  certain: () => undefined,

  // One question is one piece, of which few can never be significant.
  pieces: ({ freedom }, clusters) => (freedom === undefined ? Infinity : clusters),

  detectable: ({ flips, freedom }, level) => detectableChange(flips, level, freedom),

  decides({ flips, freedom }, { limit, rises, family, size = Math.abs(limit) }) {
    const { distance, error } = fromLimit(flips, limit);
    // The rate of flips is known as well as its count is, whose variance is its mean.
    const counted = 2 * (flips.toRight + flips.toWrong) + 1;
    const later = predictive({
      ...{ distance: rises ? distance : -distance, error },
      freedom: Math.min(counted, freedom ?? Infinity),
      spread: spreadAbout(size),
    });
    const critical = (level: number) => tQuantile(1 - level, freedom);
    const tested = { harm: critical(oneSided / family), none: critical(oneSided) };
    return (factor) => later(1 / Math.sqrt(factor), tested);
  },

  harm: ({ flips, freedom }, asked) => harmFor(asked, (harm) => powerAgainst(flips, freedom, harm, asked)),
};

/** The chance that the score test of the limit finds on which side of it a true change lies. */
function powerAgainst({ n, toRight, toWrong }: Flips, freedom: number | undefined, truth: number, asked: Limit) {
  const { limit } = asked;
  // A change beyond the one that was seen comes on top of the answers that flipped already.
  const rate = Math.min(1, (toRight + toWrong) / n + Math.abs(truth - (toRight - toWrong) / n));
  const spread = (shift: number) => Math.sqrt(Math.max(0, rate - shift * shift) / n);
  const critical = tQuantile(1 - levelAt(truth, asked), freedom) * spread(limit);
  return tTail((critical - Math.abs(truth - limit)) / spread(truth), freedom);
}

/**
 * Score test of a difference of paired proportions (Tango 1998, Statistics in Medicine 17:891): z for "the accuracy
 * changed by `delta`", the nuisance probability at its maximum likelihood under that. Unlike Wald's it holds its level
 * with few flips, and with none.
 */
function scoreZ(flips: Flips, delta: number): number {
  const { distance, error } = fromLimit(flips, delta);
  return distance === 0 ? 0 : distance / error;
}

/** How far the change lies above `delta`, and its standard error if that is the truth. */
function fromLimit({ n, toRight, toWrong }: Flips, delta: number): { distance: number; error: number } {
  const a = 2 * n;
  const b = -toRight - toWrong + (2 * n - toRight + toWrong) * delta;
  const c = -toWrong * delta * (1 - delta);
  const q = (Math.sqrt(Math.max(0, b * b - 4 * a * c)) - b) / (2 * a);
  const variance = n * (2 * q + delta * (1 - delta));
  return { distance: (toRight - toWrong) / n - delta, error: Math.sqrt(Math.max(variance, Number.MIN_VALUE)) / n };
}

/** One-sided p of "the accuracy rose by at most `delta`"; `freedom` as of `Design`. */
const scoreTail = (flips: Flips, delta: number, freedom?: number) => tTail(scoreZ(flips, delta), freedom);

/** Two-sided p of "the accuracies are equal": below 5 % just where `scoreInterval` excludes 0. */
export const scoreP = (flips: Flips, freedom?: number) => Math.min(1, 2 * tTail(Math.abs(scoreZ(flips, 0)), freedom));

/** The differences that the score test does not reject at this two-sided level. */
export function scoreInterval(flips: Flips, freedom?: number, level = alpha): { low: number; high: number } {
  const z = tQuantile(1 - level / 2, freedom);
  const middle = (flips.toRight - flips.toWrong) / flips.n;
  return {
    low: middle <= -1 ? -1 : bisect(-1, middle, (delta) => scoreZ(flips, delta) > z),
    high: middle >= 1 ? 1 : bisect(middle, 1, (delta) => scoreZ(flips, delta) > -z),
  };
}

/**
 * The smallest change of accuracy that the score test at `level` finds with 80 % power, if as many questions
 * flip as did here (or as many as the change needs by itself). Power by summing over the number of flips (Connor 1987);
 * Infinity where not even all questions flipping one way would do.
 */
function detectableChange({ n, toRight, toWrong }: Flips, level: number, freedom?: number): number {
  const rate = (toRight + toWrong) / n;
  const z = tQuantile(1 - level / 2, freedom);
  // Questions over a design effect are not whole, those that flip are.
  const questions = Math.max(1, Math.round(n));
  const enough = (delta: number) => powerOfScore(questions, Math.max(rate, delta), delta, z) >= power;
  const find = () => (enough(1) ? bisect(0, 1, (delta) => !enough(delta), 14) : Infinity);
  return remembered(`${questions} ${rate} ${z}`, find);
}

/** It is most of what a comparison of answers takes, and the pairs of a report ask for few different ones. */
const found = new Map<string, number>();
const mostFound = 10_000;

function remembered(key: string, find: () => number): number {
  const known = found.get(key) ?? find();
  if (found.size >= mostFound) found.clear();
  found.set(key, known);
  return known;
}

function powerOfScore(n: number, rate: number, delta: number, z: number): number {
  const right = (rate + delta) / (2 * rate);
  const spread = 5 * Math.sqrt(n * rate * (1 - rate)) + 5;
  const [least, most] = [Math.max(0, Math.floor(n * rate - spread)), Math.min(n, Math.ceil(n * rate + spread))];
  let found = 0;
  let below = binomialAtMost(least - 1, n, rate);
  for (let flips = least; flips <= most; flips++) {
    const upTo = binomialAtMost(flips, n, rate);
    const critical = criticalFlips(flips, z);
    if (critical >= 0) found += (upTo - below) * binomialAtLeast(flips - critical, flips, right);
    below = upTo;
  }
  return found;
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
