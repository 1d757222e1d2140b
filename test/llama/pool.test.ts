import { afterAll, describe, expect, it } from "vitest";
import { simdComparer, simdScorer } from "../../dist/kernels/rows.js";
import { address } from "../../dist/llama/library.js";
import { ScoringPool } from "../../dist/llama/pool.js";
import { normals, random } from "../draws.mjs";
import { plainScorer } from "../kernels/definitions.js";

const next = random(7);
const normal = normals(8);
const plain = plainScorer();

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
