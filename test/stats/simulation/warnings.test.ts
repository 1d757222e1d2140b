import { describe, expect, test } from "vitest";
import { compare, level } from "../../../dist/stats/estimate.js";
import { normals, random } from "../../draws.mjs";
import { covers, marked, observed, percentage, reachable, twoVariants, unreachable } from "./worlds.mjs";

const report = (what: string, figure: number) => console.log(`      ${what}: ${figure.toFixed(1)} %`);
const draws = 600;

function rates(of: typeof reachable, name: string, chunks: number) {
  const [normal, next] = [normals(chunks + name.length), random(chunks)];
  let [few, drifts] = [0, 0];
  const coverage = percentage(draws, () => {
    const { a, b, truth } = twoVariants(of[name]!, chunks, normal, next);
    const found = compare("perplexity", a, b);
    if (found.needed !== undefined || found.warnings.some((warning) => /rests on/.test(warning))) few++;
    if (found.drifts) drifts++;
    return covers(found, truth);
  });
  const found = { coverage, few: (100 * few) / draws, drifts: (100 * drifts) / draws };
  report(`${name}, ${chunks} chunks: covers`, coverage);
  report("  told to rest on few pieces", found.few);
  report("  told to drift", found.drifts);
  return found;
}

describe("warnings where the interval keeps what it says", () => {
  test.each(Object.keys(reachable).flatMap((name) => [32, 64, 200].map((n) => [name, n] as const)))(
    "%s, %i chunks: one in twenty at most",
    (name, chunks) => {
      const { few, drifts } = rates(reachable, name, chunks);
      expect(few).toBe(0);
      expect(drifts).toBeLessThan(5);
    },
  );

  test.each([8, 12, 24])("%i documents: none", (documents) => {
    const normal = normals(documents + 100);
    const warned = percentage(500, () => {
      const { clusters, values } = marked(documents, 3, normal);
      const found = level("perplexity", observed(values.map((one) => 2 + one)), { clusters });
      return found.warnings.length > 0 || found.drifts === true;
    });
    expect(warned).toBe(0);
  });
});

describe("warnings where it cannot", () => {
  test("lognormal(1.5), 4 chunks: always", () => {
    const { coverage, few } = rates(unreachable, "lognormal(1.5)", 4);
    expect(coverage).toBeLessThan(80);
    expect(few).toBe(100);
  });

  // Of 16 to 64 chunks nobody can tell long memory from a short one.
  test.each([
    ["fractional, d = 0.35", 200, 40],
    ["AR(1) 0.95 + twice the noise", 200, 50],
    ["AR(1) 0.95 + twice the noise", 64, 8],
    ["AR(1) 0.8 + equal noise", 200, 15],
  ])("%s, %i chunks: drift is told in %i per cent or more", (name, chunks, least) => {
    const { coverage, drifts } = rates(unreachable, name, chunks);
    expect(coverage).toBeLessThan(93.5);
    expect(drifts).toBeGreaterThan(least);
  });
});
