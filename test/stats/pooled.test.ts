import { describe, expect, test } from "vitest";
import type { Observation } from "../../dist/stats/comparison.js";
import { compare } from "../../dist/stats/estimate.js";
import { holm, inFamily, uncertainOverall } from "../../dist/stats/family.js";
import { pooled } from "../../dist/stats/pooled.js";
import { normals, random } from "../draws.mjs";

const items = (values: number[], weight: (i: number) => number = () => 1): Observation[] =>
  values.map((value, i) => ({ item: `chunk ${i}`, value, weight: weight(i) }));

const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;

describe("the mean over pairs", () => {
  const normal = normals(1);
  const n = 20;
  const lengths = (i: number) => 100 + 10 * (i % 3);
  const text = Array.from({ length: n }, () => 3 + 0.4 * normal());
  const variant = (cost: number) => text.map((nll) => nll + cost * (1 + 0.5 * normal()));
  const pairs = [0.02, 0.1, 0.4].map((cost) => ({
    a: items(variant(cost), lengths),
    b: items(variant(cost / 2), lengths),
  }));

  test("PPL: the geometric mean of the ratios, its error from the mean residuals, as by hand", () => {
    const found = pooled("perplexity", pairs)!;
    const total = text.reduce((sum, _, i) => sum + lengths(i), 0);
    const changes = text.map((_, i) => mean(pairs.map(({ a, b }) => b[i]!.value - a[i]!.value)));
    const effect = changes.reduce((sum, one, i) => sum + (lengths(i) * one) / total, 0);
    expect(found.difference).toBeCloseTo(Math.expm1(effect), 12);
    const logs = pairs.map(({ a, b }) => Math.log1p(compare("perplexity", a, b).difference));
    expect(effect).toBeCloseTo(mean(logs), 12);
    const residuals = changes.map((one, i) => (lengths(i) * (one - effect)) / total);
    const squares = residuals.reduce((sum, one) => sum + one * one, 0);
    if (found.block === 1)
      expect(found.basis.kind === "t" && found.basis.error).toBeCloseTo(Math.sqrt((squares * n) / (n - 1)), 4);
    expect(found).toMatchObject({ n, paired: true, scale: "relative" });
  });

  test("KLD: the mean of the log ratios by the delta method, residuals added item by item", () => {
    const distances = [0.01, 0.2, 1].map((size) => ({
      a: items(Array.from({ length: n }, () => size * Math.exp(0.5 * normal()))),
      b: items(Array.from({ length: n }, () => 0.6 * size * Math.exp(0.5 * normal()))),
    }));
    const found = pooled("kld", distances)!;
    const logs = distances.map(({ a, b }) => Math.log1p(compare("kld", a, b).difference));
    expect(Math.log1p(found.difference)).toBeCloseTo(mean(logs), 12);
    const ratios = (of: Observation[]) => of.map(({ value }) => value / mean(of.map((one) => one.value)) - 1);
    const residuals = Array.from({ length: n }, (_, i) =>
      mean(distances.map(({ a, b }) => (ratios(b)[i]! - ratios(a)[i]!) / n)),
    );
    const squares = residuals.reduce((sum, one) => sum + one * one, 0);
    if (found.block === 1)
      expect(found.basis.kind === "t" && found.basis.error).toBeCloseTo(Math.sqrt((squares * n) / (n - 1)), 12);
  });

  test("of one pair it is that pair, of a pair twice, too", () => {
    for (const metric of ["perplexity", "bits_per_byte", "kld"]) {
      const { a, b } = pairs[0]!;
      const alone = compare(metric, a, b);
      for (const of of [
        [{ a, b }],
        [
          { a, b },
          { a, b },
        ],
      ]) {
        const found = pooled(metric, of)!;
        for (const key of ["difference", "low", "high", "p", "a", "b"] as const)
          expect(found[key], `${metric} ${key}`).toBeCloseTo(alone[key], 10);
      }
    }
  });

  test("is over the items that all pairs share", () => {
    const short = { a: pairs[1]!.a.slice(3), b: pairs[1]!.b.slice(0, 15) };
    const found = pooled("perplexity", [pairs[0]!, short])!;
    expect(found.n).toBe(12);
    const cut = pairs.slice(0, 2).map(({ a, b }) => ({ a: a.slice(3, 15), b: b.slice(3, 15) }));
    expect(found).toEqual(pooled("perplexity", cut));
  });

  test("without shared items, with a distance of 0 or with what is no number there is none", () => {
    const [one] = pairs;
    const elsewhere = (of: Observation[]) => of.map((item) => ({ ...item, item: `other ${item.item}` }));
    expect(pooled("perplexity", [one!, { a: elsewhere(one!.a), b: elsewhere(one!.b) }])).toBeUndefined();
    const zero = items(text.map((_, i) => (i === 3 ? 0 : 0.1)));
    expect(pooled("kld", [{ a: zero, b: zero }, one!])).toBeUndefined();
    expect(pooled("perplexity", [one!, { a: items(text.map(() => Number.NaN)), b: one!.b }])).toBeUndefined();
  });

  test("the same variants are certainly the same", () => {
    const same = pairs.map(({ a }) => ({ a, b: a }));
    expect(pooled("perplexity", same)).toMatchObject({ difference: 0, low: 0, high: 0, p: 1 });
  });
});

describe("accuracy: the mean change of a question", () => {
  test("opposite changes of pairs cancel, equal ones add up", () => {
    const next = random(3);
    const right = Array.from({ length: 300 }, () => (next() < 0.6 ? 1 : 0));
    const flipped = (share: number) => right.map((one) => (next() < share ? 1 - one : one));
    const [worse, other] = [flipped(0.2), flipped(0.2)];
    const both = pooled("acc", [
      { a: items(right), b: items(worse) },
      { a: items(right), b: items(other) },
    ])!;
    const alone = [worse, other].map((one) => compare("acc", items(right), items(one)));
    expect(both.difference).toBeCloseTo(mean(alone.map(({ difference }) => difference)), 10);
    // Two independent sets of flips tell more than one.
    expect(both.high - both.low).toBeLessThan(0.85 * (alone[0]!.high - alone[0]!.low));
    expect(Number.isFinite(both.detectable)).toBe(true);
    const cancelled = pooled("acc", [
      { a: items(right), b: items(worse) },
      { a: items(worse), b: items(right) },
    ])!;
    expect(cancelled.difference).toBeCloseTo(0, 12);
  });
});

describe("the mean in a family: as much weight as all pairs together", () => {
  test("weighted Holm by hand", () => {
    const adjusted = holm([{ p: 0.01, weight: 2 }, { p: 0.02 }, { p: 0.03 }]).map((one) => one.adjusted);
    // 4/2 · 0.01; then 2/1 · 0.02; then 0.03, and no less than before.
    expect(adjusted.map((p) => Number(p.toFixed(10)))).toEqual([0.02, 0.04, 0.04]);
  });

  test("once it is shown the pairs have the whole 5 %; while it is not, half", () => {
    const one = compare("bits_per_byte", items([1, 2, 3, 4, 5, 6]), items([2, 1, 4, 3, 6, 5]));
    const family = (mean: number) =>
      inFamily({ pairs: [0.02, 0.5].map((p) => ({ ...one, p })), pooled: { ...one, p: mean } });
    expect(family(0.001).pairs[0]!.adjusted).toBeCloseTo(0.04, 10);
    expect(family(0.5).pairs[0]!.adjusted).toBeCloseTo(0.08, 10);
    expect(family(0.02).pooled!.adjusted).toBeCloseTo(0.04, 10);
    expect(family(0.001).pairs[0]!.family).toBe(2);
    // The same test with less of the 5 % sees less.
    expect(family(0.5).pairs[0]!.detectable).toBeGreaterThan(family(0.001).pairs[0]!.detectable);
    const doubted = (...means: number[]) =>
      uncertainOverall(means.map(family)).map((found) => [found.p, Number(found.adjusted!.toFixed(10))]);
    // Simes with weights: 0.002 · 4/2 is below 5 % · 1/3; the pair's 0.04 is not, the mean's own 0.004 is.
    expect(doubted(0.002, 0.6, 0.7)).toEqual([[0.02, 0.04]]);
    // 0.02 · 4/3 is not: none is selected.
    expect(doubted(0.02, 0.6, 0.7)).toEqual([
      [0.02, 0.04],
      [0.02, 0.04],
    ]);
    expect(doubted(0.02)).toEqual([]);
  });
});
