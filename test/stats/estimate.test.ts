import { describe, expect, test } from "vitest";
import type { JobRecord, VariantRecord } from "../../dist/events.js";
import { comparability, imatrixFlag } from "../../dist/judge/comparable.js";
import { verdict } from "../../dist/judge/verdict.js";
import { clause } from "../../dist/judge/words.js";
import { scoreInterval, scoreP } from "../../dist/stats/bases/score.js";
import { blockedError } from "../../dist/stats/blocks.js";
import { oneSided, pAtLeast, pAtMost } from "../../dist/stats/comparison.js";
import { compare, level, share } from "../../dist/stats/estimate.js";
import { holm, inFamily, uncertainOverall } from "../../dist/stats/family.js";
import type { Series } from "../../dist/stats/series.js";
import { random } from "../draws.mjs";

const items = (values: number[], weight = 1) => values.map((value, i) => ({ item: String(i), value, weight }));
const answers = (n: number, toRight: number, toWrong: number) => ({
  a: items(Array.from({ length: n }, (_, i) => (i < toRight ? 0 : i < toRight + toWrong ? 1 : i % 2))),
  b: items(Array.from({ length: n }, (_, i) => (i < toRight ? 1 : i < toRight + toWrong ? 0 : i % 2))),
});

describe("compare", () => {
  test("perplexity: a ratio, from differences of paired chunks", () => {
    const a = items([3, 3.5, 2.9, 3.3, 3.1, 3.6], 255);
    const b = a.map((one, i) => ({ ...one, value: one.value + 0.02 + (i % 2) * 0.001 }));
    const found = compare("perplexity", a, b);
    expect(found).toMatchObject({ scale: "relative", n: 6, paired: true, block: 1 });
    expect(found.difference).toBeCloseTo(Math.exp(0.0205) - 1, 12);
    expect(found.low).toBeGreaterThan(0.0195);
    expect(found.high).toBeLessThan(0.022);
    // The same chunks unpaired drown in what chunks differ by anyway.
    expect(compare("perplexity", a, b, { paired: false }).p).toBeGreaterThan(0.5);
    expect(found.p).toBeLessThan(0.001);
  });

  test("t against R: t.test(c(.1,.3,.2,.5,.4), mu = 0) has p 0.01325 and the interval 0.1037 … 0.4963", () => {
    const found = compare("tg128", items([1, 1, 1, 1, 1]), items([0.1, 0.3, 0.2, 0.5, 0.4].map(Math.exp)));
    expect(found.p).toBeCloseTo(0.01325, 4);
    expect([Math.log1p(found.low), Math.log1p(found.high)].map((one) => one.toFixed(4))).toEqual(["0.1037", "0.4963"]);
  });

  test("the score test of equal accuracies is McNemar's without a correction: z = (10 − 2) / √12", () => {
    // scipy.stats.norm.sf(8 / 12**0.5) * 2
    expect(scoreP({ n: 100, toRight: 10, toWrong: 2 })).toBeCloseTo(0.02092134, 7);
    expect(scoreP({ n: 100, toRight: 0, toWrong: 0 })).toBe(1);
  });

  test("the score interval without any flip is ±z²/(n + z²), as its formula gives by hand", () => {
    const { low, high } = scoreInterval({ n: 200, toRight: 0, toWrong: 0 });
    const z2 = 1.959964 ** 2;
    expect(high).toBeCloseTo(z2 / (200 + z2), 6);
    expect(low).toBeCloseTo(-z2 / (200 + z2), 6);
  });

  test("accuracy says flips both ways", () => {
    const { a, b } = answers(200, 2, 1);
    const found = compare("acc", a, b);
    expect(found.p).toBeCloseTo(0.5637, 4);
    expect(found).toMatchObject({ difference: 0.005, flips: { n: 200, toRight: 2, toWrong: 1 } });
    expect(clause(found)).toMatch(
      /^\+0\.50 points \(95 % CI .*; 3 answers of 200 flipped, 2 to right, 1 to wrong\): no difference shown \(detectable: \d\.\d points\)$/,
    );
  });

  test("the same data are identical, and equivalent within anything", () => {
    const a = items([1, 2, 3, 4]);
    const found = compare("kld", a, a);
    expect(found).toMatchObject({ difference: 0, low: 0, high: 0, p: 1 });
    expect(clause(found)).toBe("identical");
    expect(verdict(found, 1e-9)).toEqual({ kind: "equivalent", margin: 1e-9 });
  });

  test("equivalent is what the interval beside it shows: all of it within the margin", () => {
    const a = items(Array.from({ length: 12 }, () => 3));
    const b = items(Array.from({ length: 12 }, (_, i) => 3 + (i % 2 === 0 ? 0.004 : -0.0035)));
    const found = compare("perplexity", a, b);
    const high = Math.max(found.high, 1 / (1 + found.low) - 1);
    expect(verdict(found, high * 1.01)).toMatchObject({ kind: "equivalent" });
    expect(verdict(found, high * 0.99)).toMatchObject({ kind: "undistinguished" });
  });

  test("the same for an accuracy in subjects", () => {
    // Few subjects, one of them odd.
    const changed = [3, 1, 0, 1, 0, 2, 9, 1];
    const asked = changed.flatMap((right, subject) =>
      Array.from({ length: 20 }, (_, i) => ({
        subject: `subject ${subject}`,
        a: i < 5 ? 1 : 0,
        b: i < 5 + right ? 1 : 0,
      })),
    );
    const clusters = new Map(asked.map(({ subject }, i) => [String(i), subject]));
    const [a, b] = [items(asked.map(({ a }) => a)), items(asked.map(({ b }) => b))];
    const found = compare("acc", a, b, { clusters });
    expect(found).toMatchObject({ n: 160, clusters: 8, flips: { toRight: 17, toWrong: 0 } });
    expect(found.high - found.low).toBeGreaterThan(1.5 * (compare("acc", a, b).high - compare("acc", a, b).low));
    expect(pAtLeast(found, found.high)).toBeCloseTo(oneSided, 6);
    expect(pAtMost(found, found.low)).toBeCloseTo(oneSided, 6);
  });

  test("a difference may be there and yet be smaller than what matters", () => {
    const a = items([3, 3, 3, 3, 3, 3]);
    const b = items([3.001, 3.0011, 3.0012, 3.001, 3.0011, 3.0009]);
    expect(verdict(compare("perplexity", a, b), 0.005)).toEqual({
      kind: "different",
      direction: "worse",
      within: true,
    });
    expect(verdict(compare("perplexity", a, b))).toEqual({ kind: "different", direction: "worse", within: false });
  });

  test("items of one alone are left out and counted; no common item at all is said", () => {
    const found = compare("kld", items([1, 2, 3, 4]), items([1, 2, 4]));
    expect(found.n).toBe(3);
    expect(found.warnings[0]).toBe("1 item is in one of the two alone and left out; 3 are compared.");
    const strangers = items([1, 2, 3]).map((one) => ({ ...one, item: `x${one.item}` }));
    expect(compare("kld", items([1, 2, 4]), strangers)).toMatchObject({ paired: false });
  });

  test("one item, and values that are no numbers, give no verdict", () => {
    expect(verdict(compare("kld", items([1]), items([2])))).toEqual({ kind: "unknown", needed: 10 });
    const broken = compare("perplexity", items([1, 2]), items([1, Number.NaN]));
    expect(broken.warnings).toEqual(["1 values are not numbers: the model computes infinities or NaN."]);
    expect(verdict(broken).kind).toBe("undistinguished");
  });

  test("the order in which items came does not matter", () => {
    const a = items([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]);
    const b = items([2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5]);
    expect(compare("kld", a.toReversed(), b)).toEqual(compare("kld", a, b.toReversed()));
  });

  test("what cannot be negative has an interval above 0, and is so many times a noise floor", () => {
    const few = [0.001, 0.0012, 0.0009, 0.0011];
    const many = [0.004, 0.009, 0.003, 0.02, 0.005, 0.002, 0.006, 0.004, 0.003, 0.005];
    const own = level("kld", items(many));
    expect(own.difference).toBeCloseTo(0.0061, 12);
    expect(own.low).toBeGreaterThan(0);
    expect(own.high / own.difference).toBeCloseTo(own.difference / own.low, 12);
    const times = compare("kld", items(few), items(many), { floor: true });
    expect(times).toMatchObject({ scale: "relative", paired: false, warnings: [] });
    expect(times.difference).toBeCloseTo(0.0061 / 0.00105 - 1, 12);
    // A chunk at 0 has no logarithm.
    const zero = level("kld", items([0, 0.001, 0.003, 0.002]));
    expect(zero.low).toBe(0);
    expect(compare("kld", items(few), items([0, 0, 0, 0]), { floor: true }).scale).toBe("absolute");
  });

  describe("no interval reaches past what B can be, as far as A's own interval says", () => {
    const range = { acc: [0, 1], same_top: [0, 1], delta_p: [-1, 1], perplexity: [1, Infinity] } as const;
    const drawn = (seed: number) => {
      const next = random(seed);
      return Array.from({ length: 3 + Math.floor(9 * next()) }, () => next());
    };
    const values: Record<keyof typeof range, (share: number, near: number) => number> = {
      acc: (share, near) => (share < near ? 1 : 0),
      same_top: (share, near) => Math.min(1, near + share),
      delta_p: (share, near) => Math.max(-1, 2 * share - 1 - near),
      perplexity: (share, near) => share * near,
    };

    test.each(Object.entries(range))("%s", (name, [least, most]) => {
      let limited = 0;
      for (let seed = 0; seed < 300; seed++) {
        const [near, other] = [[0.02, 0.5, 0.98][seed % 3]!, [0.98, 0.02, 0.5][Math.floor(seed / 3) % 3]!];
        const made = (shares: number[], at: number) =>
          items(
            shares.map((share) => values[name as keyof typeof range](share, at)),
            name === "acc" ? 1 : 100,
          );
        const a = made(drawn(seed), near);
        const b = made(drawn(seed + (seed % 2 ? 0 : 1e4)), other);
        const found = compare(name, a, b, { paired: seed % 5 > 0 });
        const own = level(name, found.paired ? a.slice(0, b.length) : a);
        const [low, high] = own.needed === undefined ? [own.low, own.high] : [least, most];
        const change = (from: number, to: number) => (found.scale === "relative" ? to / from - 1 : to - from);
        if (found.needed !== undefined || Number.isNaN(found.low)) continue;
        expect(found.low).toBeGreaterThanOrEqual(change(high, least));
        expect(found.high).toBeLessThanOrEqual(change(low, most));
        expect(found.low).toBeLessThanOrEqual(found.difference);
        expect(found.high).toBeGreaterThanOrEqual(found.difference);
        // The test that is not limited, and the interval, agree on which side of none it lies.
        if (found.p > 0.06) expect([found.low <= 0, found.high >= 0]).toEqual([true, true]);
        if (found.low === change(high, least) || found.high === change(low, most)) limited++;
      }
      expect(limited).toBeGreaterThan(0);
    });

    test("two subjects, one of them all wrong now: at most as much better as A leaves room for", () => {
      const subject = (i: number) => (i < 120 ? "people" : "two_steps");
      const clusters = new Map(Array.from({ length: 200 }, (_, i) => [String(i), subject(i)]));
      const all = items(Array.from({ length: 200 }, () => 1));
      const found = compare("acc", all, items(Array.from({ length: 200 }, (_, i) => (i < 93 ? 0 : 1))), { clusters });
      expect(found.high).toBeCloseTo(1 - level("acc", all, { clusters }).low, 12);
      expect(found.high).toBeLessThan(0.02);
      expect(found.low).toBeLessThan(-0.465);
    });
  });

  test("root mean squares by the delta method", () => {
    const found = level("delta_p_rms", items([0.04, 0.05, 0.06, 0.05]));
    expect(found.difference).toBeCloseTo(Math.sqrt(0.05), 12);
    const plain = level("ln_ppl_ratio", items([0.04, 0.05, 0.06, 0.05]));
    const errors = [found, plain].map(({ basis }) => (basis.kind === "t" ? basis.error : 0));
    expect(errors[0]).toBeCloseTo(errors[1]! / (2 * Math.sqrt(0.05)), 12);
  });

  test("shares with the exact binomial law: 3 of 100, R's binom.test gives 0.00623 … 0.08518", () => {
    const found = share("acc", 3, 100);
    expect([found.low.toFixed(5), found.high.toFixed(5)]).toEqual(["0.00623", "0.08518"]);
    expect(pAtMost(found, 0.005)).toBeLessThan(0.05);
    expect(pAtLeast(found, 0.1)).toBeLessThan(0.05);
  });

  test("Holm: R's p.adjust(c(.01, .04, .03), 'holm') is .03 .06 .06; what has no p does not count", () => {
    const adjusted = holm([{ p: 0.01 }, { p: Number.NaN }, { p: 0.04 }, { p: 0.03 }]).map((one) => one.adjusted);
    expect(adjusted.map((p) => Number(p.toFixed(10)))).toEqual([0.03, Number.NaN, 0.06, 0.06]);
  });
});

describe("a report of many answers", () => {
  const one = compare("bits_per_byte", items([1, 2, 3, 4, 5, 6]), items([2, 1, 4, 3, 6, 5]));
  const family = (...ps: number[]) => inFamily({ pairs: ps.map((p) => ({ ...one, p })) });
  const doubted = (...families: number[][]) => uncertainOverall(families.map((ps) => family(...ps))).map(({ p }) => p);

  test("by hand: two of four families are selected, and tested at 2.5 %", () => {
    // Simes: 0.002, 0.02, 0.6, 0.9; the second is compared with 5 % · 2/4. Inside, 0.03 is not below it.
    expect(doubted([0.001, 0.03], [0.02], [0.6], [0.9])).toEqual([0.03]);
    // One of four: 5 % · 1/4.
    expect(doubted([0.001, 0.03], [0.04], [0.6], [0.9])).toEqual([0.03, 0.04]);
  });

  test("one answer alone has nothing to add, and where nothing is shown nothing is in doubt", () => {
    expect(doubted([0.001, 0.04])).toEqual([]);
    expect(doubted([0.2, 0.4], [0.3])).toEqual([]);
  });
});

describe("blocks", () => {
  test("chunks that alternate stay single, chunks that drift are joined", () => {
    const n = 120;
    const alternating = Array.from({ length: n }, (_, i) => (i % 2 ? 1 : -1));
    expect(blockedError(alternating)).toMatchObject({ block: 1, clusters: n });
    const waves = Array.from({ length: n }, (_, i) => Math.sin((2 * Math.PI * i) / 40));
    expect(blockedError(waves).block).toBeGreaterThan(5);
    expect(blockedError(waves).clusters).toBeGreaterThanOrEqual(8);
  });
});

describe("documents", () => {
  const drawn = (n: number) => items(Array.from({ length: n }, (_, i) => 3 + Math.sin(i)));
  const clusters = (n: number, length: number) =>
    new Map(Array.from({ length: n }, (_, i) => [String(i), `document ${Math.floor(i / length)}`]));

  test("are the clusters where there are eight or more", () => {
    const [a, b] = [items(Array(48).fill(3)), drawn(48)];
    expect(compare("perplexity", a, b, { clusters: clusters(48, 4) })).toMatchObject({ clusters: 12, block: 1 });
  });

  test("a few of them are left to the chunks' own autocorrelation", () => {
    const [a, b] = [items(Array(48).fill(3)), drawn(48)];
    expect(compare("perplexity", a, b, { clusters: clusters(48, 16) })).toEqual(compare("perplexity", a, b));
  });
});

describe("what may be compared", () => {
  const facts = {
    files: [],
    sha256: "a",
    bytes: 1,
    tensorBytes: 1,
    parameters: 1,
    bpw: 16,
    quant: "F16",
    architecture: "llama",
    name: "m",
    contextLength: 512,
    vocabulary: 1000,
    layers: 1,
    kvBytesPerToken: 1,
    tokenizerSha256: "t",
  };
  const series = (
    change: {
      job?: Partial<JobRecord>;
      facts?: Partial<NonNullable<VariantRecord["facts"]>>;
      variant?: Partial<VariantRecord>;
      rest?: Partial<Series>;
    } = {},
  ): Series => ({
    variant: {
      name: "v",
      model: "m.gguf",
      backend: "llama",
      reference: false,
      tags: {},
      settings: {},
      facts: { ...facts, ...change.facts },
      ...change.variant,
    },
    job: {
      id: "1",
      variant: "v",
      backend: "llama",
      measurement: "perplexity",
      kind: "perplexity",
      dataset: "wikitext-2",
      datasetSha256: "d1",
      settings: { context: 512, chunks: 16 },
      metrics: ["perplexity"],
      ...change.job,
    },
    engine: { version: "llama.cpp b1", library: "cpu.so" },
    machine: { cpu: "A", cpus: 2 },
    file: "wiki.test.raw",
    observations: new Map(),
    ...change.rest,
  });
  const plain = series();
  const refused = (name: string, other: Series, options?: { across?: boolean }) =>
    comparability(name, plain, other, options).refused;

  test("six mismatched pairs are refused, each in a sentence", () => {
    expect(refused("perplexity", series({ facts: { tokenizerSha256: "other" } }))).toBe(
      "PPL is not compared: the tokenizers differ, and figures per token need one tokenizer.",
    );
    expect(refused("perplexity", series({ facts: { vocabulary: 999 } }))).toMatch(
      /vocabularies of 1000 and 999 tokens/,
    );
    expect(refused("perplexity", series({ job: { settings: { context: 2048, chunks: 16 } } }))).toBe(
      "PPL is not compared: context 512 against 2048.",
    );
    expect(refused("perplexity", series({ job: { datasetSha256: "d2" } }))).toMatch(
      /the data differ \(wikitext-2 d1 against wikitext-2 d2\)/,
    );
    const other = { engine: { version: "llama.cpp b2", library: "cpu.so" } };
    expect(refused("perplexity", series({ facts: { sha256: "b" }, rest: other }))).toMatch(/another engine/);
    const written = (chatTemplateSha256: string, settings = {}) => {
      const job = { settings: { by: "generation", ...settings }, method: "by generation" };
      return series({ job, facts: { chatTemplateSha256 } });
    };
    const { refused: templates } = comparability("acc", written("x"), written("y"));
    expect(templates).toMatch(/chat templates differ/);
    const inWords = (chatTemplateSha256: string, job: object) => series({ job, facts: { chatTemplateSha256 } });
    for (const job of [
      { settings: {}, task: { templated: true } },
      { settings: { template: "model" }, task: {} },
    ])
      expect(comparability("f1", inWords("x", job), inWords("y", job)).refused).toMatch(/chat templates differ/);
    for (const job of [
      { settings: { template: "none" }, task: { templated: true } },
      { settings: {}, task: {} },
    ])
      expect(comparability("f1", inWords("x", job), inWords("y", job)).refused).toBeUndefined();
    const texts = [written("x", { template: "none" }), written("y", { template: "none" })] as const;
    expect(comparability("acc", ...texts).refused).toBeUndefined();
  });

  test("an answer that is written and one that is the most likely are two questions", () => {
    const [scored, written] = [
      series({ job: { settings: {} }, variant: { name: "scored" } }),
      series({ job: { settings: { by: "generation" }, method: "by generation" }, variant: { name: "written" } }),
    ];
    const said =
      "acc is not compared: it was measured by generation for written, and not so for scored, which are two questions.";
    expect(comparability("acc", scored, written).refused).toBe(said);
    expect(comparability("acc", written, scored, { across: true }).refused).toBe(said);
    const letter = series({ job: { settings: { by: "letter" }, method: "by letter" }, variant: { name: "letter" } });
    expect(comparability("acc", letter, written).refused).toContain(
      "measured by letter for letter, and by generation for written",
    );
  });

  test("a question that could be asked of one alone is compared for neither, and said", () => {
    const right = [1, 1, 0, 1, 0, 1, 1, 0].map((value, i) => ({ item: String(i), value, weight: 1 }));
    const unasked = [{ item: "0", value: 1, weight: 1 }];
    const asked = (observations: Series["observations"]) =>
      series({ job: { kind: "choice", measurement: "q" }, rest: { observations } });
    const a = asked(new Map([["acc", right]]));
    const b = asked(
      new Map([
        ["acc", right.slice(1)],
        ["unanswerable", unasked],
      ]),
    );
    expect(comparability("acc", a, b)).toMatchObject({
      paired: true,
      notes: ["acc: questions that could not be asked: 0 of v, 1 of v; those asked of both are compared."],
    });
    const found = compare("acc", right, right.slice(1));
    expect(found).toMatchObject({ n: 7, difference: 0, a: 4 / 7, b: 4 / 7 });
    expect(found.warnings[0]).toMatch(/left out; 7 are compared/);
    expect(comparability("acc", a, a).notes).toEqual([]);
  });

  test("speed on another machine is refused", () => {
    expect(refused("tg128", series({ rest: { machine: { cpu: "B", cpus: 8 } } }))).toMatch(
      /A against B is another machine/,
    );
  });

  test("bits per byte are offered where the tokenizers differ, unpaired", () => {
    const other = series({ facts: { tokenizerSha256: "other" } });
    expect(comparability("perplexity", plain, other).instead).toBe("bits_per_byte");
    expect(comparability("bits_per_byte", plain, other)).toEqual({
      paired: false,
      notes: [expect.stringContaining("compared unpaired")],
    });
  });

  test("the same model on another engine, and other engine settings, are marked", () => {
    const other = series({
      variant: { settings: { threads: 4 } },
      rest: { engine: { version: "llama.cpp b2", library: "cpu.so" } },
    });
    expect(comparability("perplexity", plain, other).notes).toEqual([
      "The engines differ: llama.cpp b1, cpu.so against llama.cpp b2, cpu.so.",
      "Engine settings differ: threads default against 4.",
    ]);
  });

  test("fewer chunks are no other measurement", () => {
    expect(comparability("perplexity", plain, series({ job: { settings: { context: 512, chunks: 8 } } }))).toEqual({
      paired: true,
      notes: [],
    });
  });

  test("an importance matrix made from the evaluation text, or its corpus, is flagged", () => {
    const made = (dataset: string) => imatrixFlag(series({ facts: { imatrix: { file: "i", dataset, chunks: 100 } } }));
    expect(made("/data/wiki.test.raw")).toMatch(/the text that is measured here: its figure flatters it/);
    expect(made("wikitext-2-raw/wiki.train.raw")).toMatch(/corpus that is measured here/);
    expect(made("calibration_datav3.txt")).toBeUndefined();
    expect(imatrixFlag(plain)).toBeUndefined();
  });
});
