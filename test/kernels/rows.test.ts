import { describe, expect, it } from "vitest";
import { simdComparer, simdScorer } from "../../dist/kernels/rows.js";
import { normals } from "../draws.mjs";
import { plainComparer, plainScorer } from "./definitions.js";

const normal = normals(8);
const row = (size: number, spread: number, shift = 0) =>
  Float32Array.from({ length: size }, () => shift + spread * normal());
const plain = plainScorer();

describe("rows.wasm against the definition in plain JS", () => {
  it("rows of any size, multiples of eight or not", () => {
    let worst = 0;
    for (const size of [8, 9, 15, 16, 31, 257, 1000, 32_003, 49_152, 50_257, 129_999, 130_001]) {
      const scorer = simdScorer(size);
      for (const spread of [0.01, 1, 4, 20]) {
        const logits = row(size, spread, 10 * normal());
        for (const token of [0, size >> 1, size - 1]) {
          const difference = Math.abs(scorer(logits, token) - plain(logits, token));
          worst = Math.max(worst, difference);
        }
      }
    }
    // Single precision terms summed in doubles: far under the fourth decimal of any perplexity.
    expect(worst).toBeLessThan(3e-7);
  });

  it("extreme logits", () => {
    const size = 1003;
    const scorer = simdScorer(size);
    const flat = new Float32Array(size);
    expect(scorer(flat, 5)).toBeCloseTo(Math.log(size), 6);
    for (const peak of [50, 88, 1e4, 3e38]) {
      const logits = row(size, 1);
      logits[17] = peak;
      expect(scorer(logits, 17), `peak ${peak}`).toBeCloseTo(plain(logits, 17), 6);
      expect(scorer(logits, 18), `beside ${peak}`).toBeCloseTo(plain(logits, 18), 6);
    }
    for (const shift of [-1e4, 1e4]) {
      const logits = row(size, 3, shift);
      // At 1e4 a float has steps of 1e-3; both read the same floats.
      expect(scorer(logits, 3)).toBeCloseTo(plain(logits, 3), 6);
    }
  });

  it("tokens without any probability", () => {
    const size = 77;
    const scorer = simdScorer(size);
    const logits = row(size, 2);
    for (let i = 0; i < size; i += 2) logits[i] = -Infinity;
    expect(scorer(logits, 1)).toBeCloseTo(plain(logits, 1), 6);
    expect(scorer(logits, 2)).toBe(Infinity);
    const single = new Float32Array(size).fill(-Infinity);
    single[40] = -3;
    expect(scorer(single, 40)).toBe(0);
  });

  it("a NaN among the logits is not passed over", () => {
    for (const size of [64, 77]) {
      const scorer = simdScorer(size);
      for (let at = 0; at < size; at++) {
        const logits = row(size, 2);
        logits[at] = Number.NaN;
        expect(scorer(logits, (at + 1) % size), `${at} of ${size}`).toBeNaN();
      }
    }
  });

  it("a row leaves nothing behind for the next", () => {
    const scorer = simdScorer(1003);
    const [loud, quiet] = [row(1003, 1, 1000), row(1003, 1, -1000)];
    const before = scorer(quiet, 7);
    scorer(loud, 7);
    expect(scorer(quiet, 7)).toBe(before);
  });
});

describe("a reference against its variants, in rows.wasm and by the definition in plain JS", () => {
  const definition = plainComparer();

  it("rows of any size, near and far variants, all in one call", () => {
    let worst = 0;
    for (const size of [8, 9, 31, 257, 1000, 32_003, 130_001]) {
      const compare = simdComparer(size);
      for (const spread of [0.01, 1, 4, 20]) {
        const reference = row(size, spread, 10 * normal());
        const variants = [0, 0.001, 0.3, 3].map((noise) => reference.map((logit) => logit + noise * normal()));
        const found = compare(reference, variants, size >> 1);
        for (const [v, wanted] of definition(reference, variants, size >> 1).entries()) {
          const { nll, nllReference, top, topReference, divergence } = found[v]!;
          expect([top, topReference], `${size} ${spread} ${v}`).toEqual([wanted.top, wanted.topReference]);
          const off = [nll - wanted.nll, nllReference - wanted.nllReference, divergence[0]! - wanted.divergence[0]!];
          worst = Math.max(worst, ...off.map(Math.abs));
        }
      }
    }
    expect(worst).toBeLessThan(1e-6);
  });

  it("the first of equal logits is the top token; tokens without any probability count nothing", () => {
    for (const size of [8, 77, 1003]) {
      const compare = simdComparer(size);
      const reference = row(size, 2);
      for (let i = 0; i < size; i += 3) reference[i] = -Infinity;
      for (let at = 0; at + 1 < size; at++) {
        const variant = new Float32Array(size).fill(-1);
        variant[at] = variant[size - 1] = 3;
        expect(compare(reference, [variant], 1)[0]!.top, `${at} of ${size}`).toBe(at);
      }
      const both = reference.map((logit) => 1.1 * logit);
      expect(compare(reference, [both], 1)[0]!.divergence[0]!).toBeCloseTo(
        definition(reference, [both], 1)[0]!.divergence[0]!,
        6,
      );
    }
  });

  it("a NaN in a variant is not passed over, and the next variant is whole", () => {
    const compare = simdComparer(77);
    const reference = row(77, 2);
    for (let at = 0; at < 77; at++) {
      const broken = reference.slice();
      broken[at] = Number.NaN;
      const [first, second] = compare(reference, [broken, reference], (at + 1) % 77);
      expect(first!.nll, `${at}`).toBeNaN();
      expect(second!.divergence[0]).toBeCloseTo(0, 9);
    }
  });
});
