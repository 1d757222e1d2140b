import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { normalQuantile, tQuantile } from "../../dist/stats/distributions.js";
import { running, summarize } from "../../dist/stats/summary.js";
import { normals } from "../draws.mjs";

const chunk = (nlls: number[], item = "0") => ({
  item,
  value: nlls.reduce((sum, nll) => sum + nll, 0) / nlls.length,
  weight: nlls.length,
  square: nlls.reduce((sum, nll) => sum + nll * nll, 0) / nlls.length,
});

/** The lines of llama.cpp's tools/perplexity/perplexity.cpp that make "Final estimate: PPL = … +/- …". */
function llamaPerplexity(tokens: number[]): { ppl: number; error: number } {
  let [nll, nll2] = [0, 0];
  for (const token of tokens) {
    nll += token;
    nll2 += token * token;
  }
  nll2 /= tokens.length;
  nll /= tokens.length;
  const ppl = Math.exp(nll);
  nll2 -= nll * nll;
  return { ppl, error: Math.sqrt(nll2 / (tokens.length - 1)) * ppl };
}

describe("perplexity", () => {
  test("is llama-perplexity's to the printed digits, ± included", () => {
    const draw = normals(1);
    const texts = Array.from({ length: 16 }, () => Array.from({ length: 255 }, () => Math.exp(1 + 0.7 * draw())));
    const expected = llamaPerplexity(texts.flat());
    const summary = summarize(
      "perplexity",
      texts.map((nlls, i) => ({ ...chunk(nlls), item: String(i) })),
    );
    expect(summary.value.toFixed(4)).toBe(expected.ppl.toFixed(4));
    expect(summary.error!.toFixed(5)).toBe(expected.error.toFixed(5));
    expect(summary.value / expected.ppl).toBeCloseTo(1, 12);
    expect(summary.error! / expected.error).toBeCloseTo(1, 10);
  });

  test("holds for chunks of any lengths", () => {
    const nll = fc.double({ min: 0, max: 30, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(fc.array(nll, { minLength: 1, maxLength: 20 }), { minLength: 2, maxLength: 12 }),
        (texts) => {
          const expected = llamaPerplexity(texts.flat());
          const { value, error } = summarize(
            "perplexity",
            texts.map((nlls, i) => chunk(nlls, String(i))),
          );
          expect(value / expected.ppl).toBeCloseTo(1, 10);
          // Where all tokens are alike the formula as it stands is rounding noise, even of a negative number.
          if (expected.error > 1e-5 * expected.ppl) expect(error! / expected.error).toBeCloseTo(1, 4);
        },
      ),
    );
  });

  test("one chunk has a ± and no interval, and says why", () => {
    const { error, low, warnings } = summarize("perplexity", [chunk([1, 2, 3])]);
    expect(error).toBeGreaterThan(0);
    expect(low).toBeUndefined();
    expect(warnings).toEqual([expect.stringContaining("10 or more")]);
  });

  test("samples without squares give a figure without ±", () => {
    const samples = [1, 2].map((value) => ({ item: String(value), value, weight: 10 }));
    expect(summarize("perplexity", samples)).toMatchObject({ value: Math.exp(1.5), error: undefined });
  });
});

/**
 * 32 chunks of tokens that follow each other (AR(1)) around a level of their chunk, skewed as losses are. How often does
 * an interval hold the true perplexity?
 */
test("the clustered interval covers the truth in 95 % of draws, the ± of independent tokens does not", () => {
  const draw = normals(20260102);
  const [chunks, tokens, draws] = [32, 48, 3000];
  const [between, memory, spread] = [0.25, 0.6, 0.4];
  // The log of a token's loss is normal with this variance, so that its mean is known.
  const truth = Math.exp(Math.exp((between ** 2 + spread ** 2) / 2));
  let [clustered, independent] = [0, 0];
  for (let i = 0; i < draws; i++) {
    const text: (ReturnType<typeof chunk> & { item: string })[] = [];
    for (let c = 0; c < chunks; c++) {
      const level = between * draw();
      let state = draw();
      const nlls = Array.from({ length: tokens }, () => {
        state = memory * state + Math.sqrt(1 - memory ** 2) * draw();
        return Math.exp(level + spread * state);
      });
      text.push(chunk(nlls, String(c)));
    }
    const { value, error, low, high } = summarize("perplexity", text);
    if (low! <= truth && truth <= high!) clustered++;
    if (Math.abs(value - truth) <= 1.96 * error!) independent++;
  }
  expect(clustered / draws).toBeGreaterThan(0.935);
  expect(clustered / draws).toBeLessThan(0.965);
  expect(independent / draws).toBeLessThan(0.8);
});

describe("other aggregations", () => {
  test("ratio: weighted mean, clustered error by hand", () => {
    const samples = [
      { item: "0", value: 1, weight: 1 },
      { item: "1", value: 2, weight: 3 },
    ];
    // mean 7/4; residuals 1·(1 − 7/4) and 3·(2 − 7/4), n/(n − 1) = 2, Σw = 4
    const { value, error } = summarize("bits_per_byte", samples);
    expect(value).toBe(1.75);
    expect(error).toBeCloseTo(Math.sqrt(2 * (0.75 ** 2 + 0.75 ** 2)) / 4, 14);
  });

  test("proportion: the usual error, Clopper and Pearson's interval", () => {
    const samples = Array.from({ length: 200 }, (_, i) => ({ item: String(i), value: i < 107 ? 1 : 0, weight: 1 }));
    const { value, error, low, high, n } = summarize("acc", samples);
    expect([value, n]).toEqual([0.535, 200]);
    expect(error).toBeCloseTo(Math.sqrt((0.535 * 0.465) / 199), 14);
    // scipy.stats.binomtest(107, 200).proportion_ci(method="exact")
    expect([low, high]).toEqual([expect.closeTo(0.4632998578, 9), expect.closeTo(0.6056472647, 9)]);
  });

  test("proportion: all right is not certain", () => {
    const samples = Array.from({ length: 10 }, (_, i) => ({ item: String(i), value: 1, weight: 1 }));
    expect(summarize("acc", samples)).toMatchObject({
      value: 1,
      error: 0,
      high: 1,
      low: expect.closeTo(0.025 ** (1 / 10), 9),
    });
  });

  test("rate: geometric mean with its interval, and the standard deviation as llama-bench prints it", () => {
    const samples = [100, 102, 104].map((value, i) => ({ item: String(i), value, weight: 1 }));
    const logs = samples.map(({ value }) => Math.log(value));
    const mean = (logs[0]! + logs[1]! + logs[2]!) / 3;
    const error = Math.sqrt(logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / 2 / 3);
    const [value, factor] = [Math.exp(mean), Math.exp(tQuantile(0.975, 2) * error)];
    // llama-bench's arithmetic mean.
    expect(102 / value - 1).toBeLessThan(0.0002);
    expect(summarize("tg128", samples)).toEqual({
      metric: "tg128",
      value: expect.closeTo(value, 10),
      error: 2,
      low: expect.closeTo(value / factor, 10),
      high: expect.closeTo(value * factor, 10),
      n: 3,
      unit: "tok/s",
      warnings: [],
    });
    expect(summarize("tg128", samples.slice(0, 2))).toMatchObject({
      error: Math.sqrt(2),
      low: undefined,
      warnings: ["2 repetitions are too few for an interval: take 5"],
    });
    expect(summarize("tg128", samples.slice(0, 1))).toMatchObject({ error: undefined, low: undefined });
  });

  test("maximum and single", () => {
    const samples = [3, 5, 4].map((value, i) => ({ item: String(i), value, weight: 1 }));
    expect(summarize("peak_memory", samples)).toMatchObject({ value: 5, error: undefined, low: undefined, n: 3 });
    expect(summarize("size", samples.slice(0, 1)).value).toBe(3);
  });

  test("what is not a number spoils the figure instead of counting as 0", () => {
    const samples = [chunk([1, 2]), { ...chunk([1]), value: null as unknown as number }];
    expect(summarize("perplexity", samples)).toMatchObject({
      value: Number.NaN,
      low: undefined,
      warnings: [expect.stringContaining("1 of 2")],
    });
    expect(summarize("perplexity", [])).toMatchObject({ value: Number.NaN, n: 0 });
  });
});

test("the order of items changes no bit, and running ends where the batch does", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 20, noNaN: true }), { minLength: 1, maxLength: 30 }), (values) => {
      const samples = values.map((value, i) => ({ item: `c${i}`, value, weight: 1 + i, square: value * value + 1 }));
      const live = running("perplexity");
      for (const sample of samples) live.add(sample);
      const batch = summarize("perplexity", samples);
      expect(summarize("perplexity", samples.toReversed())).toEqual(batch);
      // The interval is made of the whole.
      const { low, high, warnings } = batch;
      expect({ ...live.summary(), low, high, warnings }).toEqual(batch);
    }),
  );
});

test("quantiles agree with SciPy", () => {
  for (const [p, freedom, expected] of [
    [0.975, 1, 12.706204736174694],
    [0.975, 15, 2.131449545559776],
    [0.95, 4, 2.1318467863266495],
    [0.975, 1000, 1.9623390808264083],
  ] as const)
    expect(tQuantile(p, freedom) / expected).toBeCloseTo(1, 9);
  expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
});

describe("an accuracy in groups", () => {
  /** So many questions of each subject, and so many of them right. */
  const told = (subjects: [size: number, right: number][]) => {
    const clusters = new Map<string, string>();
    const samples = subjects.flatMap(([size, right], subject) =>
      Array.from({ length: size }, (_, row) => {
        const item = `s${subject}/${row}`;
        clusters.set(item, `s${subject}`);
        return { item, value: row < right ? 1 : 0, weight: 1 };
      }),
    );
    return { grouped: summarize("acc", samples, { clusters }), alone: summarize("acc", samples) };
  };
  const many = (count: number, size: number, right: number) =>
    Array.from({ length: count }, (): [number, number] => [size, right]);

  test.each([
    ["one question of each subject", [...many(2, 1, 1), ...many(3, 1, 0)]],
    ["one right answer of one in each of eleven", [...many(1, 1, 1), ...many(10, 1, 0)]],
    ["no right answer", many(5, 4, 0)],
    ["one right answer", [...many(1, 4, 1), ...many(4, 4, 0)]],
    ["one wrong answer", [...many(1, 4, 3), ...many(4, 4, 4)]],
  ])("%s: they tell nothing of groups, so the questions count as independent", (_, subjects) => {
    const { grouped, alone } = told(subjects);
    expect(grouped).toEqual(alone);
  });

  test("fewer than five are no sample of groups: the interval is over other questions of just these", () => {
    const { grouped, alone } = told([
      [5, 0],
      [5, 2],
      [5, 5],
      [5, 5],
    ]);
    expect(grouped).toEqual(alone);
  });

  test("groups whose answers are all the same are worth no less than one question each", () => {
    const { grouped } = told([...many(4, 5, 5), ...many(16, 5, 0)]);
    const { alone } = told([...many(4, 1, 1), ...many(16, 1, 0)]);
    expect(grouped.low).toBeLessThan(alone.low!);
    expect(alone.low! - grouped.low!).toBeLessThan(0.02);
    expect(grouped.high! - alone.high!).toBeLessThan(0.04);
  });
});
