import { describe, expect, test } from "vitest";
import { verdict } from "../../dist/judge/verdict.js";
import { type Comparison, type Observation, oneSided, pAtMost } from "../../dist/stats/comparison.js";
import { compare, level } from "../../dist/stats/estimate.js";
import { holm, inFamily } from "../../dist/stats/family.js";
import { normals, random } from "../draws.mjs";

/** Consecutive chunks that hang together: a first-order autoregression with variance 1. */
function autoregression(n: number, rho: number, normal: () => number): number[] {
  let last = normal();
  return Array.from({ length: n }, () => {
    const value = last;
    last = rho * last + Math.sqrt(1 - rho * rho) * normal();
    return value;
  });
}

const observed = (values: number[], weight = 1): Observation[] =>
  values.map((value, i) => ({ item: String(i), value, weight }));

/** Per cent of draws for which `holds`. */
function percentage(draws: number, holds: (draw: number) => boolean): number {
  let count = 0;
  for (let draw = 0; draw < draws; draw++) if (holds(draw)) count++;
  return (100 * count) / draws;
}

const covers = ({ low, high }: Pick<Comparison, "low" | "high">, truth: number) => low <= truth && truth <= high;
const report = (what: string, figure: number) => console.log(`      ${what}: ${figure.toFixed(1)} %`);

describe("95 % intervals of a PPL difference cover the truth in 93.5 to 96.5 % of 3000 draws", () => {
  const draws = 3000;
  const tokens = 16;
  const truth = Math.expm1(0.02);

  /** One text: what a chunk costs (shared), what B adds to it (autocorrelated), what every token adds. */
  function drawn(normal: () => number, chunks: number, rho: number) {
    const difficulty = autoregression(chunks, 0.5, normal).map((one) => 3 + 0.4 * one);
    const extra = autoregression(chunks, rho, normal).map((one) => 0.02 + 0.03 * one);
    const perToken = extra.map((mean) => Array.from({ length: tokens }, () => mean + 0.1 * normal()));
    const cost = perToken.map((chunk, i) => difficulty[i]! + chunk.reduce((sum, one) => sum + one, 0) / tokens);
    return { a: observed(difficulty, tokens), b: observed(cost, tokens), perToken: perToken.flat() };
  }

  /** What tools print that take every token as an independent draw. */
  function tokenInterval(values: number[]) {
    const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
    const squares = values.reduce((sum, one) => sum + (one - mean) ** 2, 0);
    const half = 1.96 * Math.sqrt(squares / (values.length - 1) / values.length);
    return { low: Math.expm1(mean - half), high: Math.expm1(mean + half) };
  }

  test.each([
    [16, 0.3],
    [32, 0.3],
    [64, 0],
    [64, 0.3],
    [64, 0.5],
    [200, 0.5],
  ])("%i chunks, autocorrelation %d", (chunks, rho) => {
    const normal = normals(chunks + 1000 * rho);
    let byToken = 0;
    const share = percentage(draws, () => {
      const { a, b, perToken } = drawn(normal, chunks, rho);
      if (covers(tokenInterval(perToken), truth)) byToken++;
      return covers(compare("perplexity", a, b), truth);
    });
    report(`${chunks} chunks, autocorrelation ${rho}`, share);
    report("  the same with tokens as independent draws", (100 * byToken) / draws);
    expect(share).toBeGreaterThan(93.5);
    expect(share).toBeLessThan(96.5);
    // An interval that passes whatever it is given would prove nothing.
    expect((100 * byToken) / draws).toBeLessThan(93.5);
  });

  test("the stated detectable difference is seen four times in five", () => {
    const normal = normals(80);
    const sizes = Array.from({ length: 500 }, () => {
      const { a, b } = drawn(normal, 48, 0.3);
      return compare("perplexity", a, b).detectable;
    });
    const stated = Math.log1p(sizes.reduce((sum, one) => sum + one, 0) / sizes.length);
    const seen = percentage(2000, () => {
      const { a, b } = drawn(normal, 48, 0.3);
      const moved = b.map((one) => ({ ...one, value: one.value - 0.02 + stated }));
      return compare("perplexity", a, moved).p < 0.05;
    });
    report("seen of the stated detectable difference", seen);
    expect(seen).toBeGreaterThan(79);
    expect(seen).toBeLessThan(90);
  });

  test("equivalent is said of a difference as large as the margin in at most 2.5 %, and of none in most", () => {
    const normal = normals(81);
    const margin = 0.03;
    const said = (difference: number) =>
      percentage(draws, () => {
        const { a, b } = drawn(normal, 64, 0.3);
        const moved = b.map((one) => ({ ...one, value: one.value - 0.02 + Math.log1p(difference) }));
        const { kind, ...verdicts } = verdict(compare("perplexity", a, moved), margin);
        return kind === "equivalent" || ("within" in verdicts && verdicts.within);
      });
    const [wrong, right] = [said(margin), said(0)];
    report("called smaller than the margin, as large as it", wrong);
    report("  the same without a difference", right);
    // Three standard errors of 3000 draws above 2.5.
    expect(wrong).toBeLessThan(3.4);
    expect(right).toBeGreaterThan(80);
  });
});

test("documents as clusters: coverage where all chunks of a document share an effect", () => {
  const normal = normals(5);
  const share = percentage(3000, () => {
    const clusters = new Map<string, string>();
    const values: number[] = [];
    for (let document = 0; document < 24; document++) {
      const effect = normal();
      for (let chunk = 0; chunk <= document % 4; chunk++) {
        clusters.set(String(values.length), `document ${document}`);
        values.push(0.05 + 0.1 * effect + 0.05 * normal());
      }
    }
    const zeros = observed(values.map(() => 0));
    return covers(compare("bits_per_byte", zeros, observed(values), { clusters }), 0.05);
  });
  report("24 documents of 1 to 4 chunks", share);
  expect(share).toBeGreaterThan(93.5);
  expect(share).toBeLessThan(96.5);
});

describe("a mean KLD scatters by factors: its interval on the log scale", () => {
  // What a chunk costs, lognormal; 0.15 is what quantizations of SmolLM2 show, 0.5 what a damaged layer does.
  const drawn = (normal: () => number, chunks: number, spread: number, rho: number) =>
    observed(
      autoregression(chunks, rho, normal).map((one) => 0.01 * Math.exp(spread * one)),
      255,
    );
  const truth = (spread: number) => 0.01 * Math.exp(spread ** 2 / 2);

  test.each([
    [16, 0.15, 0.3],
    [32, 0.15, 0.3],
    [64, 0.5, 0.3],
  ])("%i chunks, spread %d, autocorrelation %d: covers", (chunks, spread, rho) => {
    const normal = normals(chunks + 100 * spread + rho);
    const share = percentage(3000, () => covers(level("kld", drawn(normal, chunks, spread, rho)), truth(spread)));
    report(`${chunks} chunks, spread ${spread}, autocorrelation ${rho}`, share);
    expect(share).toBeGreaterThan(93.5);
    expect(share).toBeLessThan(96.5);
  });

  test("a wide spread and few chunks: nearer to its level than mean ± error, on both sides", () => {
    const normal = normals(77);
    const missed = { log: [0, 0], linear: [0, 0] };
    const draws = 3000;
    for (let draw = 0; draw < draws; draw++) {
      const items = drawn(normal, 16, 1, 0);
      // A mean of nats that may be negative has its interval on the plain scale.
      for (const [scale, { low, high }] of [
        ["log", level("kld", items)],
        ["linear", level("ln_ppl_ratio", items)],
      ] as const) {
        if (low > truth(1)) missed[scale][0]!++;
        if (high < truth(1)) missed[scale][1]!++;
      }
    }
    const percent = ([above, below]: number[]) => [(100 * above!) / draws, (100 * below!) / draws];
    const [log, linear] = [percent(missed.log), percent(missed.linear)];
    for (const [i, side] of ["above", "below"].entries()) {
      report(`truth missed, interval all ${side} it, log`, log[i]!);
      report(`  the same, linear`, linear[i]!);
      expect(Math.abs(log[i]! - 2.5)).toBeLessThan(Math.abs(linear[i]! - 2.5));
    }
    expect(log[0]).toBeLessThan(2.5);
  });

  test.each([
    [8, 0.24],
    [16, 0.15],
    [64, 0.15],
  ])(
    "%i chunks, spread %d, as high as a floor of 4 chunks: false alarms of that rule stay under 5 %",
    (chunks, spread) => {
      const normal = normals(78 + chunks);
      const alarms = percentage(3000, () => {
        const floor = drawn(normal, 4, 0.24, 0.3).map((one) => ({ ...one, value: one.value / truth(0.24) }));
        const own = drawn(normal, chunks, spread, 0.3).map((one) => ({ ...one, value: one.value / truth(spread) }));
        return pAtMost(compare("kld", floor, own, { floor: true }), 0) < oneSided;
      });
      report(`${chunks} chunks, spread ${spread}: false alarms of the rule against the floor`, alarms);
      expect(alarms).toBeLessThanOrEqual(5);
    },
  );
});

describe("accuracy", () => {
  /** `n` questions; A is right in `right`, B differs: `gain` of the wrong become right, `loss` of the right wrong. */
  function answers(next: () => number, n: number, right: number, gain: number, loss: number) {
    const a = Array.from({ length: n }, () => (next() < right ? 1 : 0));
    const b = a.map((one) => (one === 1 ? (next() < loss ? 0 : 1) : next() < gain ? 1 : 0));
    return { a: observed(a), b: observed(b) };
  }

  test.each([
    [100, 0.6, 0.1, 0.12],
    [200, 0.5, 0.06, 0.03],
    [400, 0.7, 0.1, 0.02],
  ])("score interval, %i questions", (n, right, gain, loss) => {
    const next = random(n);
    const truth = (1 - right) * gain - right * loss;
    const share = percentage(2500, () => {
      const { a, b } = answers(next, n, right, gain, loss);
      return covers(compare("acc", a, b), truth);
    });
    report(`paired accuracies, ${n} questions`, share);
    expect(share).toBeGreaterThan(93.5);
    expect(share).toBeLessThan(97);
  });

  test("the score test errs at most in 5 %, and sees what it says it sees", () => {
    const next = random(9);
    const wrong = percentage(2000, () => {
      const { a, b } = answers(next, 200, 0.5, 0.1, 0.1);
      return compare("acc", a, b).p < 0.05;
    });
    const { detectable } = compare(
      "acc",
      observed([...Array(200).keys()].map((i) => i % 2)),
      observed([...Array(200).keys()].map((i) => (i < 20 ? 1 - (i % 2) : i % 2))),
    );
    // A tenth of the answers flips, as there; the balance moves by the stated difference.
    const seen = percentage(2000, () => {
      const gain = 0.1 + detectable;
      const { a, b } = answers(next, 200, 0.5, gain, 0.1 - detectable);
      return compare("acc", a, b).p < 0.05;
    });
    report("false differences of the score test", wrong);
    report("seen of the stated detectable change", seen);
    expect(wrong).toBeLessThanOrEqual(5);
    expect(seen).toBeGreaterThan(76);
    expect(seen).toBeLessThan(86);
  });

  test("subjects as clusters: the score interval over their design effect covers, the plain score interval does not", () => {
    const [next, normal] = [random(3), normals(4)];
    let plain = 0;
    const share = percentage(2000, () => {
      const clusters = new Map<string, string>();
      const [a, b]: [number[], number[]] = [[], []];
      for (let subject = 0; subject < 20; subject++) {
        // Some subjects gain, some lose.
        const change = Math.max(-0.45, Math.min(0.45, 0.15 * normal()));
        for (let question = 0; question < 25; question++) {
          clusters.set(String(a.length), `subject ${subject}`);
          a.push(next() < 0.5 ? 1 : 0);
          b.push(next() < 0.5 + change ? 1 : 0);
        }
      }
      if (covers(compare("acc", observed(a), observed(b)), 0)) plain++;
      return covers(compare("acc", observed(a), observed(b), { clusters }), 0);
    });
    report("20 subjects of 25 questions", share);
    report("  the same without clusters", plain / 20);
    expect(share).toBeGreaterThan(93.5);
    expect(share).toBeLessThan(96.5);
    expect(plain / 20).toBeLessThan(93.5);
  });
});

describe("accuracy in subjects of very unequal size: the score interval over their design effect", () => {
  /** What became of questions in subjects: `flip` of the answers change, all to wrong or both ways. */
  function drawn(
    next: () => number,
    normal: () => number,
    subjects: number,
    flip: number,
    oneWay: boolean,
    spread = 0,
  ) {
    const clusters = new Map<string, string>();
    const [a, b]: [number[], number[]] = [[], []];
    for (let subject = 0; subject < subjects; subject++) {
      const size = Math.max(3, Math.round(25 * Math.exp(normal())));
      const shift = spread * normal();
      for (let question = 0; question < size; question++) {
        clusters.set(String(a.length), `subject ${subject}`);
        const [gain, loss] = oneWay ? [0, flip] : [(flip + shift) / 2, (flip - shift) / 2];
        const at = next();
        const change = at < gain ? 1 : at < Math.max(0, gain) + loss ? -1 : 0;
        const before = change === 0 ? question % 2 : change === 1 ? 0 : 1;
        a.push(before);
        b.push(before + change);
      }
    }
    return { clusters, a: observed(a), b: observed(b), flipped: observed(a.map((one, i) => (one === b[i] ? 0 : 1))) };
  }

  test.each([
    [5, 0.005, false, 0],
    [5, 0.01, true, 0],
    [5, 0.1, false, 0.05],
    [10, 0.01, false, 0],
    [10, 0.04, true, 0],
    [10, 0.1, false, 0.05],
    [52, 0.01, true, 0],
    [52, 0.04, false, 0],
    [52, 0.1, false, 0.05],
  ])("%i subjects, %d flips, one way: %s, spread of subjects %d", (subjects, flip, oneWay, spread) => {
    const [next, normal] = [random(subjects + 1000 * flip), normals(subjects + 1)];
    const truth = oneWay ? -flip : 0;
    const draws = 2000;
    let [rejected, widthless, equivalent, flips] = [0, 0, 0, 0];
    const share = percentage(draws, () => {
      const { clusters, a, b, flipped } = drawn(next, normal, subjects, flip, oneWay, spread);
      const found = compare("acc", a, b, { clusters });
      if (found.p < 0.05) rejected++;
      if (found.high - found.low < 0.002) widthless++;
      if (verdict(found, 0.01).kind === "equivalent") equivalent++;
      if (covers(level("acc", flipped, { clusters }), flip)) flips++;
      return covers(found, truth);
    });
    report(`covers, ${subjects} subjects, ${100 * flip} % flips${oneWay ? " one way" : ""}`, share);
    report("  the share of flips", (100 * flips) / draws);
    if (!oneWay) report("  false differences", (100 * rejected) / draws);
    // Few subjects and few flips are told with more room than they need; three standard errors below 95.
    expect(share).toBeGreaterThan(93.4);
    expect((100 * flips) / draws).toBeGreaterThan(93.4);
    if (!oneWay) expect((100 * rejected) / draws).toBeLessThan(6.6);
    expect(widthless).toBe(0);
    // A point lost is not within the point that matters.
    if (oneWay && flip >= 0.01) expect((100 * equivalent) / draws).toBeLessThanOrEqual(2.5);
  });

  test.each([
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
    [2, 0],
  ])("1300 questions in 52 subjects, %i to right and %i to wrong: as plain answers would say", (toRight, toWrong) => {
    const before = Array.from({ length: 1300 }, (_, i) => i % 2);
    const after = before.map((one, i) => {
      const subject = Math.floor(i / 25);
      if (i % 25 > 1) return one;
      return (one === 0 && subject < 2 * toRight && i % 2 === 0) || (one === 1 && subject < 2 * toWrong)
        ? 1 - one
        : one;
    });
    const clusters = new Map(before.map((_, i) => [String(i), `subject ${Math.floor(i / 25)}`]));
    const found = compare("acc", observed(before), observed(after), { clusters });
    expect(found.low).toBeGreaterThan(-0.01);
    expect(found.high).toBeLessThan(0.01);
    expect(found.high - found.low).toBeGreaterThan(0.004);
  });
});

describe("two KLDs by the log ratio of their means", () => {
  test.each([
    [8, 0.6, 0.3],
    [16, 0.6, 0.3],
    [32, 0.4, 0.2],
  ])(
    "%i chunks, spread in common %d, own %d: nearer to its level than their difference, and it sees more",
    (n, common, own) => {
      const normal = normals(n + 100 * common);
      const draws = 3000;
      let [plain, seen, plainSeen] = [0, 0, 0];
      const truth = 0.5;
      const share = percentage(draws, () => {
        const shared = Array.from({ length: n }, () => common * normal());
        const values = (mean: number) =>
          observed(
            shared.map((one) => mean * Math.exp(one + own * normal())),
            255,
          );
        const [a, b] = [values(0.02), values(0.03)];
        const found = compare("kld", a, b);
        // A mean of nats that may be negative is compared by its difference.
        const difference = compare("ln_ppl_ratio", a, b);
        const mean = Math.exp((common ** 2 + own ** 2) / 2);
        if (covers(difference, 0.01 * mean)) plain++;
        if (found.p < 0.05) seen++;
        if (difference.p < 0.05) plainSeen++;
        return covers(found, truth);
      });
      report(`${n} chunks: covers`, share);
      report("  the difference", (100 * plain) / draws);
      report("  sees the 50 %", (100 * seen) / draws);
      report("  the difference sees it", (100 * plainSeen) / draws);
      expect(share).toBeGreaterThan(93);
      expect(share).toBeLessThan(98);
      expect(seen).toBeGreaterThanOrEqual(plainSeen);
    },
  );
});

test("a line of an answer without a difference: some false one in at most 5 % of 2000 families (Holm)", () => {
  const [normal, next] = [normals(21), random(22)];
  const draws = 2000;
  let unadjusted = 0;
  const byLine = [0, 0, 0];
  const share = percentage(draws, () => {
    const difficulty = autoregression(64, 0.5, normal);
    const right = Array.from({ length: 100 }, () => next());
    // Six variants against one reference: perplexity, accuracy, speed; nothing of it is real.
    const variants = Array.from({ length: 7 }, () => ({
      perplexity: observed(
        autoregression(64, 0.3, normal).map((one, i) => 3 + 0.4 * difficulty[i]! + 0.02 * one),
        256,
      ),
      acc: observed(right.map((one) => (one + 0.2 * normal() < 0.5 ? 1 : 0))),
      tg128: observed(Array.from({ length: 5 }, () => 50 * Math.exp(0.01 * normal()))),
    }));
    const [reference, ...others] = variants;
    const family = others.flatMap((variant) =>
      (["perplexity", "acc", "tg128"] as const).map((metric) => compare(metric, reference![metric], variant[metric])),
    );
    if (family.some((one) => verdict(one).kind === "different")) unadjusted++;
    // What stands behind a line: six pairs, one metric.
    const lines = [0, 1, 2].map((metric) => inFamily({ pairs: family.filter((_, i) => i % 3 === metric) }).pairs);
    const said = lines.map((line) => line.some((one) => verdict(one).kind === "different"));
    said.forEach((one, metric) => {
      if (one) byLine[metric]!++;
    });
    return holm(family).some((one) => verdict(one).kind === "different");
  });
  for (const [metric, count] of byLine.entries()) {
    report(`lines of ${["PPL", "acc", "tg128"][metric]} with a false difference`, (100 * count) / draws);
    // Three standard errors of 2000 draws above 5.
    expect((100 * count) / draws).toBeLessThanOrEqual(6.4);
  }
  report("families with a false difference", share);
  report("  the same without the adjustment", (100 * unadjusted) / draws);
  expect(share).toBeLessThanOrEqual(5);
  expect((100 * unadjusted) / draws).toBeGreaterThan(20);
});

describe("what a comparison could have seen in a report of 30: seen four times in five", () => {
  const pieces = (normal: () => number, n: number, mean: number) =>
    observed(Array.from({ length: n }, () => mean + 0.1 * normal()));
  /** Four of the others differ for certain, the rest do not. */
  const others = (normal: () => number) =>
    Array.from({ length: 29 }, (_, i) =>
      compare("bits_per_byte", pieces(normal, 24, 0), pieces(normal, 24, i < 4 ? 1 : 0)),
    );
  const seen = (one: Comparison, rest: Comparison[]) =>
    verdict(inFamily({ pairs: [one, ...rest] }).pairs[0]!).kind === "different";

  test("a mean", () => {
    const normal = normals(31);
    const one = (difference: number) => compare("bits_per_byte", pieces(normal, 48, 0), pieces(normal, 48, difference));
    const sizes = Array.from(
      { length: 200 },
      () => inFamily({ pairs: [one(0), ...others(normal)] }).pairs[0]!.detectable,
    );
    const stated = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    const share = percentage(1000, () => seen(one(stated), others(normal)));
    const alone = percentage(1000, () => seen(one(one(0).detectable), others(normal)));
    report("seen of the stated difference", share);
    report("  of the one that a test by itself would see", alone);
    expect(share).toBeGreaterThan(77);
    expect(share).toBeLessThan(90);
    expect(alone).toBeLessThan(70);
  });

  test("an accuracy", () => {
    const [normal, next] = [normals(32), random(33)];
    const right = Array.from({ length: 300 }, (_, i) => i % 2);
    // A tenth of the answers flips; the balance moves by the difference.
    const one = (difference: number) =>
      compare(
        "acc",
        observed(right),
        observed(
          right.map((was) => {
            const flips = next() < (was === 1 ? 0.1 - difference : 0.1 + difference);
            return flips ? 1 - was : was;
          }),
        ),
      );
    const sizes = Array.from(
      { length: 100 },
      () => inFamily({ pairs: [one(0), ...others(normal)] }).pairs[0]!.detectable,
    );
    const stated = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    const share = percentage(1000, () => seen(one(stated), others(normal)));
    report("seen of the stated change", share);
    expect(share).toBeGreaterThan(75);
    expect(share).toBeLessThan(90);
  });
});
