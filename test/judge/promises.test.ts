import { expect, test } from "vitest";
import { type Cell, cells, harmSeen, promises } from "./promises.mjs";

const told = (what: string, share: number) => console.log(`      ${what}: ${(100 * share).toFixed(0)} %`);
const cell = (name: string, n: number, place: string): Cell =>
  cells.find((one) => one.name === name && one.n === n && one.place === place)!;

/** Rules, and items that are measured first; in the last two, the error of the estimate is as large as the limit. */
const asked: [name: string, n: number, draws?: number][] = [
  ["perplexity", 64],
  ["flips", 400],
  ["acc", 400],
  ["tg, runs", 5],
  ["kld", 64],
  ["perplexity", 16, 500],
  ["acc", 200, 400],
];

// `node test/judge/promises.mjs` prints the whole table.
test("the further items that should decide do so in four of five, the truth anywhere from no harm to twice the limit", () => {
  let [promised, kept] = [0, 0];
  for (const [name, n, draws = 160] of asked) {
    const found = promises(cell(name, n, "anywhere"), draws, { brief: true });
    told(`${name} ${n}, ${found.promised} promises`, found.kept / found.promised);
    expect(found.promised).toBeGreaterThan(15);
    // Three standard errors of 20 promises below 80 %.
    expect(found.kept / found.promised).toBeGreaterThan(0.53);
    promised += found.promised;
    kept += found.kept;
  }
  told("together", kept / promised);
  expect(kept / promised).toBeGreaterThan(0.75);
  expect(kept / promised).toBeLessThan(0.95);
}, 400_000);

test.each([
  ["perplexity", 16, 1],
  ["flips", 200, 1],
  ["acc", 200, 1],
  ["tg, runs", 5, 4],
])("%s, %i items, %i variants: the harm that would have failed with 80 % probability does", (name, n, variants) => {
  const { size, seen } = harmSeen(cell(name, n, "no harm"), 120, variants);
  told(`a harm of ${(100 * size).toFixed(2)} % is seen`, seen / 100);
  // Two standard errors of 120 draws are 7 %.
  expect(seen).toBeGreaterThan(71);
  expect(seen).toBeLessThan(95);
});
