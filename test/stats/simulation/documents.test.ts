import { expect, test } from "vitest";
import type { Comparison } from "../../../dist/stats/comparison.js";
import { compare, level } from "../../../dist/stats/estimate.js";
import { normals } from "../../draws.mjs";
import { covers, marked, observed, percentage } from "./worlds.mjs";

/** Where nothing can be told, no interval misses. */
const holds = (found: Comparison, truth: number) => found.needed !== undefined || covers(found, truth);
const report = (what: string, figure: number) => console.log(`      ${what}: ${figure.toFixed(1)} %`);

test.each([8, 12, 24])(
  "%i documents of lengths lognormal(1): the interval covers in 93.5 to 96.5 per cent of 3000",
  (documents) => {
    const normal = normals(documents);
    let levels = 0;
    const share = percentage(3000, () => {
      const { clusters, values, truth } = marked(documents, 3, normal);
      const items = observed(values);
      const shifted = items.map((one) => ({ ...one, value: 1 + one.value }));
      if (holds(level("perplexity", shifted, { clusters }), Math.exp(1 + truth))) levels++;
      return holds(compare("bits_per_byte", observed(values.map(() => 0)), items, { clusters }), truth);
    });
    report(`${documents} documents`, share);
    report("  a PPL by itself", levels / 30);
    for (const one of [share, levels / 30]) {
      expect(one).toBeGreaterThan(93.5);
      expect(one).toBeLessThan(96.5);
    }
  },
);

test.each([5, 6, 7])("%i documents are pieces, too: blocks of chunks would not cover", (documents) => {
  const normal = normals(documents);
  let blocks = 0;
  const share = percentage(2000, () => {
    const { clusters, values, truth } = marked(documents, 8, normal);
    const [zeros, items] = [observed(values.map(() => 0)), observed(values)];
    if (holds(compare("bits_per_byte", zeros, items), truth)) blocks++;
    return holds(compare("bits_per_byte", zeros, items, { clusters }), truth);
  });
  report(`${documents} documents`, share);
  report("  the same by blocks of chunks", blocks / 20);
  expect(share).toBeGreaterThan(93.5);
  expect(share).toBeLessThan(97.5);
  expect(blocks / 20).toBeLessThan(85);
});
