import { afterAll, describe, expect, it } from "vitest";
import { address } from "../../dist/llama/library.js";
import { plainComparer, plainScorer, ScoringPool, simdComparer, simdScorer } from "../../dist/llama/scoring.js";
import { normals, random } from "../draws.js";

const next = random(7);
const normal = normals(8);
const row = (size: number, spread: number, shift = 0) =>
  Float32Array.from({ length: size }, () => shift + spread * normal());
const plain = plainScorer();

describe("scoring.wasm against the definition in plain JS", () => {
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

describe("a reference against its variants, in scoring.wasm and by the definition in plain JS", () => {
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
          const { nll, nllReference, kld, top, topReference } = found[v]!;
          expect([top, topReference], `${size} ${spread} ${v}`).toEqual([wanted.top, wanted.topReference]);
          const off = [nll - wanted.nll, nllReference - wanted.nllReference, kld - wanted.kld];
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
      expect(compare(reference, [both], 1)[0]!.kld).toBeCloseTo(definition(reference, [both], 1)[0]!.kld, 6);
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
      expect(second!.kld).toBeCloseTo(0, 9);
    }
  });
});

describe("the scoring pool", () => {
  const vocabulary = 259;
  const most = 64;
  const logits = Float32Array.from({ length: most * vocabulary }, () => 5 * normal());
  const other = Float32Array.from({ length: most * vocabulary }, () => 5 * normal());
  const pools: ScoringPool[] = [];
  afterAll(() => Promise.all(pools.map((pool) => pool.close())));
  const single = simdScorer(vocabulary);

  for (const threads of [1, 2, 3])
    it(`${threads} threads: a thousand blocks of changing sizes, every row scored and none twice`, () => {
      const pool = new ScoringPool(vocabulary, most, threads);
      pools.push(pool);
      for (let block = 0; block < 1000; block++) {
        const source = block % 2 ? logits : other;
        const rows = 1 + Math.floor(next() * most);
        const tokens = Array.from({ length: rows }, () => Math.floor(next() * vocabulary));
        const wanted = tokens.map((token, i) => single(source.subarray(i * vocabulary, (i + 1) * vocabulary), token));
        expect([...pool.score(address(source), tokens)]).toEqual(wanted);
        // Sometimes the workers are given the time to fall asleep, sometimes the next block meets them half awake.
        if (block % 50 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
      }
    });

  it("a reference and three variants, on three threads as on one", () => {
    const compare = simdComparer(vocabulary);
    const pool = new ScoringPool(vocabulary, most, 3, 3);
    pools.push(pool);
    const models = [0.1, 1, 2].map((noise) => logits.map((logit) => logit + noise * normal()));
    for (let block = 0; block < 200; block++) {
      const rows = 1 + Math.floor(next() * most);
      const count = 1 + Math.floor(next() * 3);
      const tokens = Array.from({ length: rows }, () => Math.floor(next() * vocabulary));
      const found = pool.compare(address(logits), models.slice(0, count).map(address), tokens);
      expect(found.length).toBe(count);
      for (const [i, token] of tokens.entries()) {
        const [reference, ...variants] = [logits, ...models.slice(0, count)].map((all) =>
          all.subarray(i * vocabulary, (i + 1) * vocabulary),
        );
        expect(found.map((variant) => variant[i])).toEqual(compare(reference!, variants, token));
      }
    }
  });

  it("several tokens under one row", () => {
    const pool = new ScoringPool(vocabulary, most, 1);
    pools.push(pool);
    const at = 5;
    const part = logits.subarray(at * vocabulary, (at + 1) * vocabulary);
    const scored = pool.scoreOne(address(logits), at, [0, 100, 258]);
    scored.forEach((value, i) => {
      expect(value).toBeCloseTo(plain(part, [0, 100, 258][i]!), 6);
    });
    expect(pool.scoreOne(address(logits), at, [])).toEqual([]);
  });
});
