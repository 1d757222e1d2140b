import { describe, expect, test } from "vitest";
import type { StoredEvent } from "../../dist/events.js";
import { replay } from "../../dist/replay/index.js";
import { compared } from "../../dist/reports/compared.js";
import { factsFrom } from "../../dist/reports/index.js";
import { screenTable } from "../../dist/reports/screen-table.js";
import { figureIn } from "../../dist/reports/table.js";
import { running } from "../../dist/stats/summary.js";
import { normals, random } from "../draws.mjs";
import { eventsOf } from "./ladders.js";

const names = ["F16", "Q8_0", "Q4_K_M", "Q2_K"];
const sessionOf = (repetition: number, sessions: number) => 1 + (repetition % sessions);

/** A run of speed alone, with these repetitions by variant, shared out over some sessions. */
function factsOf(speeds: number[][], sessions = 1) {
  const made = eventsOf(
    speeds.map((_, i) => ({ name: names[i]!, reference: i === 0, bytes: 9e7 / (i + 1), tags: { quant: names[i]! } })),
    { kinds: ["speed"] },
  );
  const samples = speeds.flatMap((values, i): StoredEvent[] => [
    ...values.map((value, item): StoredEvent => {
      const session = sessionOf(item, sessions);
      return {
        ...{ type: "samples", job: `${names[i]} speed`, item: String(item) },
        samples: [{ metric: "tg128", value, weight: 1 }],
        ...(session > 1 ? { cluster: `session ${session}` } : {}),
      };
    }),
    { type: "job-done", at: 1, job: `${names[i]} speed`, items: values.length, seconds: 1 },
  ]);
  return factsFrom(replay([made[0]!, ...samples]), "");
}

/** A number as it is printed, from the least to the most that rounds to it. */
function printed(text: string): [least: number, most: number] {
  const plain = text.replace("−", "-");
  const decimals = (/\.(\d+)/.exec(plain)?.[1] ?? "").length;
  const zeros = decimals === 0 ? (/[1-9](0+)$/.exec(plain)?.[1] ?? "").length : 0;
  const half = 0.5000001 * 10 ** (zeros - decimals);
  return [Number(plain) - half, Number(plain) + half];
}

/** The quotient that a printed difference tells: `+15.1 %`, `×3.1`. */
function factorIn(difference: string): [least: number, most: number] {
  const [least, most] = printed(/[−\d.]+/.exec(difference)![0]);
  return difference.includes("×") ? [least, most] : [1 + least / 100, 1 + most / 100];
}

const overlap = ([a, b]: [number, number], [c, d]: [number, number]) => a <= d && c <= b;

/** Every place that tells two speeds beside each other, held against their quotient. */
function check(speeds: number[][], sessions = 1) {
  const facts = factsOf(speeds, sessions);
  const [reference] = facts.short.rows;
  for (const [i, { variant, cells, against }] of facts.short.rows.entries()) {
    const [{ cell, comparison, change, figure }] = cells as [(typeof cells)[number]];
    const own = figureIn(cell)!.value;
    const live = running("tg128");
    for (const [item, value] of speeds[i]!.entries())
      live.add({ value, weight: 1, run: `session ${sessionOf(item, sessions)}` });
    expect(live.summary().value / own).toBeCloseTo(1, 12);
    if (against === undefined) continue;
    const { a, b, difference, low, high, n, needed } = comparison!;
    if (needed === undefined) {
      expect(b / a - 1).toBeCloseTo(difference, 9);
      expect(low <= difference && difference <= high, `${low} ${difference} ${high}`).toBe(true);
    }
    expect(change).toBeDefined();
    const base = reference!.cells[0]!;
    const notes = cell.state === "measured" ? cell.notes.map(({ text }) => text).join() : "";
    if (speeds[0]!.length === speeds[i]!.length) {
      expect(a / figureIn(base.cell)!.value).toBeCloseTo(1, 12);
      expect(b / own).toBeCloseTo(1, 12);
      expect(notes).not.toContain("both have");
      const [x, y] = [printed(base.figure), printed(figure)];
      expect(overlap([y[0] / x[1], y[1] / x[0]], factorIn(change!)), `${base.figure} ${figure} ${change}`).toBe(true);
    } else expect(notes).toContain(`the change is that of the ${n} repetitions that both have, of `);
    const pair = facts.verdicts.questions[0]!.pairs.find((one) => one.b === variant.name)!;
    const text = compared(
      { title: "", sides: [pair.a, pair.b], pairs: [pair], shown: (name) => name },
      Number.POSITIVE_INFINITY,
    );
    const line = text.split("\n").find((one) => one.startsWith("tg128"))!;
    const [, first, second, told] = /^tg128 +([\d.]+) tok\/s +([\d.]+) tok\/s +(\S+(?: %)?)/.exec(line)!;
    const [x, y] = [printed(first!), printed(second!)];
    expect(overlap([y[0] / x[1], y[1] / x[0]], factorIn(told!)), line).toBe(true);
    if (first !== second) expect(Number(second) > Number(first), line).toBe(factorIn(told!)[1] > 1);
  }
  return facts;
}

describe("two speeds, their difference and their × are of one kind wherever they are told", () => {
  test.each([
    ["tg16", 142.9, 146.1, 151.1, 69, 95, 119, 39.0, 41.3, 66.6, 32, 79.5, 169],
    ["pp64", 203.9, 782.9, 525.4, 894.2, 1201.2, 489.4, 466.3, 591.1, 120.9, 276.2, 829.8, 614.4],
    ["tg16, not decided", 39.0, 41.3, 66.6, 142.9, 146.1, 151.1, 68.8, 94.9, 119.1, 75.6, 107.1, 81],
  ])("%s of three repetitions on a busy machine, as it was recorded", (_, ...values) => {
    check([0, 3, 6, 9].map((from) => values.slice(from, from + 3)));
  });

  test("one as drawn of any length, spread, step and outlier, in one session or several", () => {
    const [next, normal] = [random(1), normals(2)];
    const pick = <One>(...of: One[]) => of[Math.floor(next() * of.length)]!;
    for (let draw = 0; draw < 60; draw++) {
      const n = pick(1, 2, 3, 5, 9, 10, 12, 20, 31);
      const isUneven = draw % 4 === 0;
      const [noise, drift, jump, far] = [pick(0.001, 0.02, 0.3, 1), pick(0, 0.5), pick(0, 0.3, 1), pick(0, 0.1)];
      const pace = Array.from(
        { length: n + 9 },
        (_, i) => Math.exp(-drift * (i / n)) * (next() < 0.3 ? 1 - jump / 2 : 1),
      );
      const speeds = names.map((_, variant) =>
        Array.from({ length: isUneven ? n + Math.floor(9 * next()) : n }, (_, i) => {
          const odd = next() < far ? 0.3 : 1;
          return 50 * (1 + variant) ** 0.5 * pace[i]! * odd * Math.exp(noise * normal());
        }),
      );
      check(speeds, pick(1, 1, 2, 3, 4));
    }
  });

  test("of repetitions that one alone has, the change says so", () => {
    const facts = check([
      [50, 51, 49, 50, 50, 52],
      [60, 61, 59],
    ]);
    const { notes } = screenTable(facts, 100);
    expect(notes.join("\n")).toContain("the change is that of the 3 repetitions that both have, of 6");
  });

  test("too few repetitions for an interval: the quotient stands with ?, the figures with the digits that it needs", () => {
    const facts = check([
      [412, 380.2],
      [910.1, 842.3],
    ]);
    expect(facts.short.rows[1]!.cells[0]).toMatchObject({ change: "×2.2", mark: "?", verdict: { kind: "unknown" } });
    expect(screenTable(facts, 100).block).toContain("×2.2 ?");
    const [pair] = facts.verdicts.questions[0]!.pairs;
    const text = compared({ title: "", sides: ["F16", "Q8_0"], pairs: [pair!], shown: (name) => name });
    expect(text).toMatch(/^tg128 +396 tok\/s +876 tok\/s +\+121 % +cannot tell$/m);
  });
});
