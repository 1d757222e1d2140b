import { expect, test } from "vitest";
import { comparedIn, verdictsOver } from "../../dist/judge/index.js";
import { dependenceOf } from "../../dist/stats/blocks.js";
import { compare, level, residualsOf } from "../../dist/stats/estimate.js";
import type { Series } from "../../dist/stats/series.js";
import { normals } from "../draws.mjs";

const names = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"];

/** A text without autocorrelation, whose chunks are hard for all variants alike. */
function run(seed: number, settings: Record<string, unknown> = {}, drift = 0, chunks = 40): Series[] {
  const normal = normals(seed);
  const hard = Array.from({ length: chunks }, () => 3 + 0.4 * normal());
  return names.map((name, at): Series => {
    const items = hard.map((value, i) => ({
      item: String(i),
      value: value + 0.01 * at + 0.02 * normal() + at * drift * Math.cos((Math.PI * i) / chunks),
      weight: 255,
    }));
    return {
      variant: { name, model: "m", backend: "llama", reference: at === 0, tags: {}, settings: {} },
      job: {
        ...{ id: name, variant: name, backend: "llama", measurement: "text", kind: "perplexity", dataset: "text" },
        ...{ settings, metrics: ["perplexity"] },
      },
      machine: { cpu: "c", cpus: 1 },
      file: "text.txt",
      observations: new Map([["perplexity", items]]),
    } as Series;
  });
}

const pairs = names.slice(1).map((name): [string, string] => ["F16", name]);
const judged = (series: Series[], asked = pairs, beside: [Series[], Series[]][] = []) =>
  verdictsOver(
    [{ title: "What does it cost?", pairs: asked }],
    (name) => series.filter((one) => one.variant.name === name),
    {
      beside,
    },
  );
const blocksOf = ({ questions }: ReturnType<typeof judged>) =>
  questions.flatMap((question) => question.pairs.flatMap(({ results }) => results.map((one) => one.comparison!.block)));

test("all comparisons on a text rest on the same blocks; one by one they would not", () => {
  let unlike = 0;
  for (let seed = 0; seed < 20; seed++) {
    const series = run(seed);
    expect(new Set(blocksOf(judged(series))).size).toBe(1);
    if (new Set(pairs.flatMap((pair) => blocksOf(judged(series, [pair])))).size > 1) unlike++;
  }
  expect(unlike).toBeGreaterThan(10);
});

test("two variants of a run are told as in its report", () => {
  for (let seed = 0; seed < 20; seed++) {
    const series = run(seed);
    const whole = judged(series).questions[0]!.pairs[3]!.results[0]!.comparison!;
    const beside = comparedIn(series);
    expect(beside).toHaveLength(pairs.length);
    const alone = judged(series, [pairs[3]!], beside).questions[0]!.pairs[0]!.results[0]!.comparison!;
    expect([alone.low, alone.high, alone.block]).toEqual([whole.low, whole.high, whole.block]);
  }
});

test("the mean of the autocorrelations decides, by hand", () => {
  const waves = Array.from({ length: 64 }, (_, i) => Math.sin(i / 5));
  const alternating = waves.map((_, i) => (i % 2 === 0 ? 1 : -1));
  const [one, other] = [dependenceOf([waves]).lag1, dependenceOf([alternating]).lag1];
  expect(one).toBe(0.9);
  expect(other).toBe(0);
  // −1 and what the waves have, before anything is cut at 0 and 0.9; each less its bias.
  const raw = (values: number[]) => {
    const squares = values.reduce((sum, value) => sum + value * value, 0);
    const lagged = values.slice(1).reduce((sum, value, i) => sum + value * values[i]!, 0);
    return lagged / squares + (1 + (4 * lagged) / squares) / values.length;
  };
  expect(dependenceOf([waves, waves, alternating]).lag1).toBeCloseTo((2 * raw(waves) + raw(alternating)) / 3, 12);
  expect(dependenceOf([])).toEqual({ lag1: 0, drift: 1 });
  expect(dependenceOf([[0, 0, 0, 0]])).toEqual({ lag1: 0, drift: 1 });
});

test("neighbours count for the chunks of a text alone", () => {
  const items = (values: number[]) => values.map((value, i) => ({ item: String(i), value, weight: 1 }));
  const [a, b] = [items([1, 2, 4, 3, 5, 2]), items([2, 2, 5, 3, 6, 1])];
  const residuals = residualsOf("perplexity", a, b)!;
  expect(residuals.reduce((sum, one) => sum + one, 0)).toBeCloseTo(0, 12);
  expect(residuals[0]).toBeCloseTo((1 - 1 / 3) / 6, 12);
  for (const metric of ["acc", "tg128"]) expect(residualsOf(metric, a, b)).toBeUndefined();
  const clusters = new Map(a.map(({ item }) => [item, `document ${item}`]));
  expect(residualsOf("perplexity", a, b, { clusters })).toBeUndefined();
  expect(residualsOf("perplexity", a, b, { paired: false })).toBeUndefined();
});

test("what drifts over a text is said once for all of it, unless the chunks are from all over it", () => {
  const said = (series: Series[]) => judged(series).notes.filter((note) => /far from each other/.test(note));
  expect(said(run(1, {}, 0.01, 128))).toEqual([
    "text PPL: Chunks far from each other are alike, too, so the interval may be too narrow: take chunks from all over the text (spread: N).",
  ]);
  expect(said(run(1, { spread: 128 }, 0.01, 128))).toEqual([]);
  expect(said(run(1, {}, 0, 128))).toEqual([]);
  const [first] = run(1, {}, 0.01, 128);
  expect(level("perplexity", first!.observations.get("perplexity")!).drifts).toBeUndefined();
  const line = Array.from({ length: 64 }, (_, i) => ({ item: String(i), value: i / 64 + (i % 3), weight: 1 }));
  expect(
    compare(
      "perplexity",
      line.map((one) => ({ ...one, value: 0 })),
      line,
    ).drifts,
  ).toBe(true);
});
