import { expect, test } from "vitest";
import { type Cell, cells, harmSeen, promises } from "./promises.mjs";

const told = (what: string, share: number) => console.log(`      ${what}: ${(100 * share).toFixed(0)} %`);
const cell = (name: string, n: number, place: string): Cell =>
  cells.find((one) => one.name === name && one.n === n && one.place === place)!;

/** Rules, and items that are measured first: few against the limit, or many. */
const asked: [name: string, n: number, draws: number][] = [
  ["perplexity", 16, 1000],
  ["perplexity", 64, 200],
  ["flips", 400, 200],
  ["acc", 200, 400],
  ["acc", 400, 300],
  ["tg, runs", 3, 250],
  ["tg, runs", 5, 250],
  ["kld", 8, 250],
  ["kld", 64, 250],
];

// `node test/judge/promises.mjs` prints the whole table.
test.each(asked)(
  "%s, %i items: what should decide does in four of five, the truth anywhere from no harm to twice the limit",
  (name, n, draws) => {
    const { kept, promised } = promises(cell(name, n, "anywhere"), draws, { brief: true });
    const share = kept / promised;
    const error = Math.sqrt((share * (1 - share)) / promised);
    told(`${name} ${n}, ${promised} promises, ± ${(100 * error).toFixed(0)}`, share);
    expect(promised).toBeGreaterThan(100);
    // 75 to 90 %, and two Monte-Carlo errors.
    expect(share).toBeGreaterThan(0.75 - 2 * error);
    expect(share).toBeLessThan(0.9 + 2 * error);
  },
  100_000,
);

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
