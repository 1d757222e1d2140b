import { describe, expect, test } from "vitest";
import { dependenceOf } from "../../../dist/stats/blocks.js";
import { compare, level, residualsOf } from "../../../dist/stats/estimate.js";
import { normals, random } from "../../draws.mjs";
import { autoregression, covers, observed, percentage, twoVariants, type World } from "./worlds.mjs";

const draws = 2000;
const report = (what: string, figure: number) => console.log(`      ${what}: ${figure.toFixed(1)} %`);

/** An autocorrelation that is estimated, and is none below 0, only ever widens the interval of independent chunks. */
const atMost = (rho: number) => (rho === 0 ? 97 : 96.5);

const cells = [32, 64, 200].flatMap((chunks) => [0, 0.3, 0.5].map((rho) => [chunks, rho] as const));
const autoregressive = (rho: number): World => ({ truth: 0, chunks: (n, normal) => autoregression(n, rho, normal) });

describe("95 % intervals over chunks that hang together cover the truth in 93.5 to 96.5 % of 2000 draws", () => {
  test.each(cells)("a difference of PPL, %i chunks, AR(1) %d", (chunks, rho) => {
    const [normal, next] = [normals(chunks + 1000 * rho), random(1)];
    const share = percentage(draws, () => {
      const { a, b, truth } = twoVariants(autoregressive(rho), chunks, normal, next);
      return covers(compare("perplexity", a, b), truth);
    });
    report(`difference, ${chunks} chunks, AR(1) ${rho}`, share);
    expect(share).toBeGreaterThan(93.5);
    expect(share).toBeLessThan(atMost(rho));
  });

  test.each(cells)("a PPL by itself, %i chunks, AR(1) %d", (chunks, rho) => {
    const normal = normals(chunks + 1000 * rho + 1);
    const share = percentage(draws, () => {
      const items = observed(
        autoregression(chunks, rho, normal).map((one) => 3 + 0.4 * one),
        255,
      );
      return covers(level("perplexity", items), Math.exp(3));
    });
    report(`level, ${chunks} chunks, AR(1) ${rho}`, share);
    expect(share).toBeGreaterThan(93.5);
    expect(share).toBeLessThan(atMost(rho));
  });
});

describe("one autocorrelation over six comparisons with one reference, whose noise they share", () => {
  test.each(cells.filter(([chunks]) => chunks < 200))("%i chunks, AR(1) %d", (chunks, rho) => {
    const normal = normals(chunks + 1000 * rho + 2);
    const variants = 6;
    const truth = Math.expm1(0.02);
    let [alone, together, wide] = [0, 0, 0];
    for (let draw = 0; draw < 2000; draw++) {
      const noise = autoregression(chunks, rho, normal);
      const a = observed(
        noise.map((one) => 3 + 0.02 * one),
        255,
      );
      const others = Array.from({ length: variants }, () =>
        observed(
          autoregression(chunks, rho, normal).map((one) => 3.02 + 0.02 * one),
          255,
        ),
      );
      const dependence = dependenceOf(others.map((b) => residualsOf("perplexity", a, b)!));
      for (const b of others) {
        const [own, shared] = [compare("perplexity", a, b), compare("perplexity", a, b, { dependence })];
        if (covers(own, truth)) alone++;
        if (covers(shared, truth)) together++;
        wide += (shared.high - shared.low) / (own.high - own.low);
      }
    }
    const all = 2000 * variants;
    report(`shared, ${chunks} chunks, AR(1) ${rho}`, (100 * together) / all);
    report("  each its own", (100 * alone) / all);
    report("  width of the shared one's interval against its own", (100 * wide) / all);
    expect((100 * together) / all).toBeGreaterThan(93.5);
    expect((100 * together) / all).toBeLessThan(atMost(rho));
    // What is independent costs less.
    if (rho === 0) expect(wide / all).toBeLessThan(1);
  });
});

describe("too few chunks for blocks: six comparisons of KLD share an autocorrelation that they hardly show", () => {
  const pairs = [
    [0, 1],
    [0, 2],
    [0, 3],
    [2, 4],
    [4, 5],
    [3, 5],
  ] as const;
  test.each([8, 12].flatMap((chunks) => [0, 0.3].map((rho) => [chunks, rho] as const)))(
    "%i chunks, AR(1) %d",
    (chunks, rho) => {
      const normal = normals(chunks + 1000 * rho + 3);
      let [covered, plain] = [0, 0];
      for (let draw = 0; draw < draws; draw++) {
        const common = autoregression(chunks, rho, normal).map((one) => 0.6 * one);
        const variants = Array.from({ length: 6 }, () =>
          observed(autoregression(chunks, rho, normal).map((one, i) => 0.02 * Math.exp(common[i]! + 0.3 * one))),
        );
        const compared = pairs.map(([a, b]) => [variants[a]!, variants[b]!] as const);
        const dependence = dependenceOf(compared.map(([a, b]) => residualsOf("kld", a, b)!));
        for (const [a, b] of compared) {
          if (covers(compare("kld", a, b, { dependence }), 0)) covered++;
          if (covers(compare("kld", a, b, { dependence: { lag1: 0, drift: 1 } }), 0)) plain++;
        }
      }
      const percent = (count: number) => (100 * count) / (draws * pairs.length);
      report(`KLD of two variants, ${chunks} chunks, AR(1) ${rho}`, percent(covered));
      report("  with chunks as independent draws", percent(plain));
      expect(percent(covered)).toBeGreaterThan(93.5);
      expect(percent(covered)).toBeLessThan(96.5);
      if (rho > 0) expect(percent(plain)).toBeLessThan(91);
    },
  );
});
