import { describe, expect, test } from "vitest";
import { type Basis, baseOf } from "../../dist/stats/bases/index.js";
import { oneSided } from "../../dist/stats/comparison.js";
import { normals, random } from "../draws.mjs";

const [normal, uniform] = [normals(5), random(6)];
const rule = { limit: 0.02, rises: true, family: 1 };

/** Items of one run, as many as asked for, the first ones always the same; and what a comparison makes of them. */
interface Drawn {
  basis: (n: number) => Basis;
}

/**
 * Of those that `n` items leave open: the mean chance with which `factor` times as many were to decide, and the share that they do decide, with
 * its Monte-Carlo error.
 */
function foretold(draw: () => Drawn, n: number, factor: number, draws = 3000) {
  const isOpen = (basis: Basis) => {
    const base = baseOf(basis);
    return base.atMost(basis, rule.limit) >= oneSided && base.atLeast(basis, rule.limit) >= oneSided;
  };
  let [open, chance, decided] = [0, 0, 0];
  for (let i = 0; i < draws; i++) {
    const { basis } = draw();
    const now = basis(n);
    if (!isOpen(now)) continue;
    open++;
    chance += baseOf(now).decides(now, rule)(factor);
    if (!isOpen(basis(n * factor))) decided++;
  }
  const share = decided / open;
  return { chance: chance / open, share, error: Math.sqrt((share * (1 - share)) / open) };
}

const growing = (next: () => number) => {
  const values: number[] = [];
  return (n: number) => {
    while (values.length < n) values.push(next());
    return values.slice(0, n);
  };
};
const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;

function measured(truth: number, spread: number): Drawn {
  const items = growing(() => truth + spread * normal());
  return {
    basis(n) {
      const values = items(n);
      const estimate = mean(values);
      const variance = values.reduce((sum, one) => sum + (one - estimate) ** 2, 0) / (n - 1);
      return { kind: "t", link: "identity", estimate, error: Math.sqrt(variance / n), freedom: n - 1 };
    },
  };
}

function counted(truth: number): Drawn {
  const items = growing(() => (uniform() < truth ? 1 : 0));
  return { basis: (n) => ({ kind: "share", count: n * mean(items(n)), n }) };
}

/** Of the answers `rate` flip, by `truth` more to right than to wrong. */
function flipped(truth: number, rate: number): Drawn {
  const items = growing(() => {
    const drawn = uniform();
    return drawn < (rate + truth) / 2 ? 1 : drawn < rate ? -1 : 0;
  });
  return {
    basis(n) {
      const count = (change: number) => items(n).filter((one) => one === change).length;
      return { kind: "score", flips: { n, toRight: count(1), toWrong: count(-1) } };
    },
  };
}

/** Neither is the law that is assumed. */
const laws: [name: string, next: () => number, isFar: boolean][] = [
  ["anywhere from none to twice the limit", () => 2 * rule.limit * uniform(), false],
  // Fewer lie about the limit: then more is decided than is told.
  ["none in one of two", () => (uniform() < 0.5 ? 0 : -rule.limit * Math.log(1 - uniform())), true],
];

describe.each(laws)("the truth %s", (_, next, isFar) => {
  test.each<[name: string, draw: () => Drawn, n: number, factor: number]>([
    ["4 items, each as far off as five limits", () => measured(next(), 0.1), 4, 8],
    ["16 items", () => measured(next(), 0.08), 16, 8],
    ["100 items", () => measured(next(), 0.08), 100, 8],
    ["100 questions", () => counted(next()), 100, 8],
    ["400 questions", () => counted(next()), 400, 4],
    ["200 questions, 6 % of them flip", () => flipped(next(), 0.06), 200, 8],
  ])("%s: the chance that so many times more decide is as told", (name, draw, n, factor) => {
    const { chance, share, error } = foretold(draw, n, factor, 1200);
    console.log(
      `      ${name}, × ${factor}: ${(100 * chance).toFixed(1)} % told, ${(100 * share).toFixed(1)} ± ${(100 * error).toFixed(1)} % decide`,
    );
    // The law that is assumed has tails beyond none and twice the limit, which even truths have not: up to 9 % too much is told.
    expect(chance - share).toBeLessThan(0.1 + 2 * error);
    expect(share - chance).toBeLessThan((isFar ? 0.25 : 0.1) + 2 * error);
  });
});

test("the chance grows with the items and the distance, and falls with the checks it is among", () => {
  const at = (estimate: number, family = 1) => {
    const basis: Basis = { kind: "t", link: "identity", estimate, error: 0.01, freedom: 15 };
    return baseOf(basis).decides(basis, { ...rule, family });
  };
  expect(at(0.03)(1)).toBe(0);
  expect(at(0.03)(4)).toBeGreaterThan(at(0.03)(2));
  expect(at(0.035)(4)).toBeGreaterThan(at(0.03)(4));
  expect(at(0.035, 10)(4)).toBeLessThan(at(0.035)(4));
  // Harm must be shown among all checks, its absence by itself.
  expect(at(0.005, 10)(16)).toBeGreaterThan(at(0.035, 10)(16));
});
