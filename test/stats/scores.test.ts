import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Comparison, Observation } from "../../dist/stats/comparison.js";
import { compare, level } from "../../dist/stats/estimate.js";
import { macroMean } from "../../dist/stats/macro.js";
import { summarize } from "../../dist/stats/summary.js";
import { normals, random } from "../draws.mjs";

/**
 * Scores that a model of 135 million weights really had: mc2 on all of TruthfulQA, as Q8_0 and as Q4_K_M, and F1 of the words of
 * 400 answers to questions of ARC-Easy, most of which are 0.
 */
const real = JSON.parse(readFileSync(new URL("item-scores.json", import.meta.url), "utf8")) as Record<string, number[]>;

const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
const covers = ({ low, high }: Pick<Comparison, "low" | "high">, truth: number) => low <= truth && truth <= high;
const observed = (values: number[]): Observation[] => values.map((value, i) => ({ item: String(i), value, weight: 1 }));

/** Per cent of draws for which `holds`. */
function percentage(draws: number, holds: () => boolean): number {
  let count = 0;
  for (let draw = 0; draw < draws; draw++) if (holds()) count++;
  return (100 * count) / draws;
}

const report = (what: string, figure: number) => process.stdout.write(`      ${what}: ${figure.toFixed(1)} %\n`);

/** The textbook's interval, for comparison. */
function student(values: number[]) {
  const n = values.length;
  const m = mean(values);
  const half = (1.99 * Math.sqrt(values.reduce((sum, one) => sum + (one - m) ** 2, 0) / (n - 1))) / Math.sqrt(n);
  return { low: m - half, high: m + half };
}

type Draw = (next: () => number) => number;
const resampled =
  (values: number[]): Draw =>
  (next) =>
    values[Math.floor(next() * values.length)]!;
/** Beta(a, b) of whole a and b: the a-th smallest of a + b − 1 uniform numbers. */
const beta =
  (a: number, b: number): Draw =>
  (next) =>
    Array.from({ length: a + b - 1 }, next).sort((x, y) => x - y)[a - 1]!;
const mixed =
  (share: number, of: number, other: Draw): Draw =>
  (next) =>
    next() < share ? of : other(next);

describe("95 % intervals of a mean score cover the truth, also where most scores are 0", () => {
  const draws = 1000;
  // Means of the mixtures: share × value + (1 − share) × a / (a + b).
  test.each<[string, number, Draw, number]>([
    ["mc2 of a real model", mean(real["mc2 Q8_0"]!), resampled(real["mc2 Q8_0"]!), 94],
    ["F1 of a real model, 92 % of them 0", mean(real["f1 Q8_0"]!), resampled(real["f1 Q8_0"]!), 90],
    ["90 % 0, else Beta(2, 2)", 0.05, mixed(0.9, 0, beta(2, 2)), 93.5],
    ["97 % 0, else Beta(2, 2)", 0.015, mixed(0.97, 0, beta(2, 2)), 93.5],
    ["80 % 1, else Beta(2, 5)", 0.8 + 0.2 * (2 / 7), mixed(0.8, 1, beta(2, 5)), 93.5],
    ["half 0, half 1", 0.5, mixed(0.5, 0, () => 1), 93.5],
  ])("%s", (name, truth, draw, least) => {
    for (const n of [20, 50, 200]) {
      const next = random(n);
      let byStudent = 0;
      const share = percentage(draws, () => {
        const values = Array.from({ length: n }, () => draw(next));
        if (covers(student(values), truth)) byStudent++;
        return covers(level("f1", observed(values)), truth);
      });
      report(`${name}, n = ${n} (t interval ${((100 * byStudent) / draws).toFixed(1)} %)`, share);
      expect(share).toBeGreaterThan(least);
    }
  });

  test("twenty scores of 0 do not show that all are", () => {
    expect(level("f1", observed(Array(20).fill(0)))).toMatchObject({ low: 0, high: expect.closeTo(0.168, 1) });
  });

  test("subjects that differ widen it; subjects that are alike by chance do not narrow it", () => {
    const normal = normals(3);
    const draw = (sd: number) => {
      const clusters = new Map<string, string>();
      const values = Array.from({ length: 20 }, () => {
        const effect = 0.5 + sd * normal();
        return Array.from({ length: 15 }, () => Math.min(1, Math.max(0, effect + 0.2 * normal())));
      }).flat();
      for (const i of values.keys()) clusters.set(String(i), `subject ${Math.floor(i / 15)}`);
      return { values, clusters };
    };
    const share = percentage(1000, () => {
      const { values, clusters } = draw(0.1);
      return covers(level("f1", observed(values), { clusters }), 0.5);
    });
    report("20 subjects with a standard deviation of 0.1", share);
    expect(share).toBeGreaterThan(93.5);
    const { values, clusters } = draw(0);
    const [alone, grouped] = [level("f1", observed(values)), level("f1", observed(values), { clusters })];
    expect(grouped.high - grouped.low).toBeGreaterThanOrEqual(alone.high - alone.low - 1e-12);
  });
});

describe("95 % intervals of a difference of mean scores cover the truth", () => {
  const draws = 600;
  const pairs = real["mc2 Q8_0"]!.map((a, i) => [a, real["mc2 Q4_K_M"]![i]!] as const);
  const rare =
    (share: number, change: Draw): ((next: () => number) => readonly [number, number]) =>
    (next) => {
      const a = 0.5;
      return [a, next() < share ? a + change(next) : a];
    };
  test.each<[string, number, (next: () => number) => readonly [number, number], number]>([
    [
      "mc2, Q4_K_M less Q8_0",
      mean(pairs.map(([a, b]) => b - a)),
      (next) => pairs[Math.floor(next() * pairs.length)]!,
      93,
    ],
    ["2 % change, all to less", -0.02 * 0.3, rare(0.02, (next) => -0.1 - 0.4 * next()), 93],
    ["10 % change, both ways", 0, rare(0.1, (next) => next() - 0.5), 93],
    ["none changes in most draws", -0.002 * 0.25, rare(0.002, (next) => -0.5 * next()), 93],
  ])("%s", (name, truth, draw, least) => {
    for (const n of [50, 200]) {
      const next = random(n);
      const share = percentage(draws, () => {
        const drawn = Array.from({ length: n }, () => draw(next));
        const [a, b] = [0, 1].map((side) => observed(drawn.map((pair) => pair[side]!)));
        return covers(compare("f1", a!, b!), truth);
      });
      report(`${name}, n = ${n}`, share);
      expect(share).toBeGreaterThan(least);
    }
  });

  test("no change in twenty questions is not certain", () => {
    const same = observed(Array.from({ length: 20 }, (_, i) => (i % 3) / 3));
    const found = compare("f1", same, same);
    expect(found.low).toBeLessThan(-0.1);
    expect(found.high).toBeGreaterThan(0.1);
    expect(found.p).toBe(1);
  });

  test("scores of 0 and 1 are compared as answers are", () => {
    const next = random(9);
    const [a, b] = [0.6, 0.5].map((p) => observed(Array.from({ length: 300 }, () => (next() < p ? 1 : 0))));
    const [scores, answers] = [compare("f1", a!, b!), compare("acc", a!, b!)];
    expect(scores.low).toBeCloseTo(answers.low, 2);
    expect(scores.high).toBeCloseTo(answers.high, 2);
    expect(scores.difference).toBeCloseTo(answers.difference, 12);
  });
});

describe("the macro average", () => {
  test.each([
    [52, 26, 0.05],
    [52, 26, 0.15],
    [10, 30, 0.1],
    [5, 20, 0.1],
  ])("of %d subjects of about %d questions, whose accuracies scatter by %d, is covered", (subjects, size, sd) => {
    const [next, normal] = [random(subjects + size), normals(subjects)];
    const share = percentage(400, () => {
      const summaries = Array.from({ length: subjects }, () => {
        const p = 0.5 + sd * normal();
        const n = Math.max(4, Math.round(size * Math.exp(0.5 * normal())));
        return summarize("acc", observed(Array.from({ length: n }, () => (next() < p ? 1 : 0))));
      });
      const { low, high } = macroMean([summaries[0]!, ...summaries.slice(1)], { drawn: true });
      return covers({ low: low!, high: high! }, 0.5);
    });
    report(`${subjects} subjects, sd ${sd}`, share);
    // Three standard errors of 400 draws below 95.
    expect(share).toBeGreaterThan(91.7);
  });

  test("of tasks that count by their questions covers the accuracy of their questions", () => {
    const next = random(11);
    const tasks = [
      { n: 15, p: 0.25 },
      { n: 60, p: 0.9 },
      { n: 240, p: 0.55 },
    ];
    const truth = tasks.reduce((sum, { n, p }) => sum + n * p, 0) / tasks.reduce((sum, { n }) => sum + n, 0);
    const share = percentage(1000, () => {
      const [first, ...others] = tasks.map(({ n, p }) =>
        summarize("acc", observed(Array.from({ length: n }, () => (next() < p ? 1 : 0)))),
      );
      const { low, high } = macroMean([first!, ...others], { bySize: true });
      return covers({ low: low!, high: high! }, truth);
    });
    report("3 tasks by size", share);
    // Three standard errors of 1000 draws below 95.
    expect(share).toBeGreaterThan(92.9);
    expect(share).toBeLessThan(99);
  });

  test("of subjects that are all right leaves room for other questions, and ends at 1", () => {
    const perfect = summarize("acc", observed(Array(20).fill(1)));
    const { value, low, high } = macroMean([perfect, perfect, perfect], { drawn: true });
    expect([value, high]).toEqual([1, 1]);
    expect(low).toBeLessThan(0.95);
  });
});
