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
