import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { changesFrom } from "../../dist/judge/index.js";
import { replay } from "../../dist/replay/index.js";
import { figureOf } from "../../dist/reports/digits.js";
import { shortTable as pageTable } from "../../dist/reports/html/short-table.js";
import { factsFrom } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { screenTable } from "../../dist/reports/screen-table.js";
import { shortTable } from "../../dist/reports/short-table.js";
import { text, wrap } from "../../dist/reports/text.js";
import { coloured, isColoured, say } from "../../dist/terminal.js";
import { eventsOf, type Made, type MadeRun } from "../judge/ladders.js";

const kinds = ["perplexity", "divergence", "hellaswag", "speed"] as const;
const f16 = { name: "F16", bytes: 270e6, reference: true };
const q8 = { name: "Q8_0", bytes: 145e6, cost: 0.0002, kld: 0.0005, speed: 90, quant: "Q8_0" };
const q4 = { name: "Q4_K_M", bytes: 105e6, cost: 0.03, kld: 0.02, speed: 110, flips: [2, 3] as [number, number] };
const q4im = { ...q4, name: "Q4_K_M-im", bytes: 105.0002e6, cost: 0.008, kld: 0.009 };
const q2 = { name: "Q2_K", bytes: 88e6, cost: 0.86, kld: 0.9, speed: 120, flips: [2, 90] as [number, number] };

const short = (variants: Made[], run: Partial<MadeRun> = {}) =>
  factsFrom(replay(eventsOf(variants, { kinds, questions: 400, spread: 0.1, ...run })), "").short;

describe("the short table", () => {
  const made = short([f16, q8, q4, q4im, q2]);
  const row = (name: string) => made.rows.find(({ variant }) => variant.name === name)!;
  const cell = (name: string, label: string) =>
    row(name).cells[made.columns.findIndex((one) => one.metric.label === label)]!;

  test("a column for the principal figure of each measurement, an arrow to the better side", () => {
    expect(made.columns.map(({ over, head, unit }) => [over, head, unit])).toEqual([
      ["", "PPL ↓", ""],
      ["", "KLD ↓", "nat"],
      ["hellaswag", "acc ↑", "%"],
      ["", "tg128 ↑", "tok/s"],
    ]);
    expect(made.rows.map(({ variant, cells }) => [variant.name, cells.length])).toEqual(
      ["F16", "Q8_0", "Q4_K_M", "Q4_K_M-im", "Q2_K"].map((name) => [name, 4]),
    );
  });

  test("changes against the reference, with a mark in each cell and one over all quality", () => {
    expect(made.reference).toBe("F16");
    expect(row("F16")).toMatchObject({ mark: "reference", bytes: 270e6 });
    expect(row("F16").cells.map(({ change }) => change)).toEqual([undefined, undefined, undefined, undefined]);
    expect(cell("F16", "KLD").figure).toBe("—");
    expect(row("Q8_0")).toMatchObject({ against: "F16", mark: "≈" });
    expect(row("Q8_0").saved).toBeCloseTo(0.463, 3);
    expect(cell("Q8_0", "PPL")).toMatchObject({ change: expect.stringMatching(/^\+0\.0\d %$/), mark: "≈" });
    expect(cell("Q8_0", "KLD")).toMatchObject({ mark: "≈", figure: expect.stringMatching(/^0\.000[45]/) });
    expect(cell("Q8_0", "KLD").change).toBeUndefined();
    expect(cell("Q8_0", "tg128")).toMatchObject({ change: "×1.8", mark: "better" });
    expect(row("Q2_K").mark).toBe("much worse");
    expect(cell("Q2_K", "acc")).toMatchObject({ change: "−22 points", mark: "much worse" });
  });

  test("the live view is given the changes that stand there, and no others", () => {
    const run = replay(eventsOf([f16, q8, q4, q4im, q2], { kinds, questions: 400, spread: 0.1 }));
    const told = (text: string | undefined) => text !== undefined;
    const here = made.rows.flatMap(({ variant, against, cells }) =>
      cells.flatMap(({ change, mark }, i) => {
        const { measurement, metric } = made.columns[i]!;
        return told(change)
          ? [{ variant: variant.name, against, measurement, metric: metric.name, text: change, mark }]
          : [];
      }),
    );
    const given = changesFrom(run).filter(
      ({ metric, text }) => made.columns.some((one) => one.metric.name === metric) && text !== undefined,
    );
    const sorted = (all: { variant: string; metric: string }[]) =>
      all.toSorted((a, b) => `${a.variant} ${a.metric}`.localeCompare(`${b.variant} ${b.metric}`));
    expect(here.length).toBeGreaterThan(10);
    expect(sorted(given)).toEqual(sorted(here as typeof given));
  });

  test("a file that another beats in size and quality is named with its better", () => {
    expect(row("Q4_K_M").beatenBy).toBe("Q4_K_M-im");
    expect(made.rows.flatMap(({ beatenBy }) => beatenBy ?? [])).toEqual(["Q4_K_M-im"]);
    expect(made.conclusions).toContain("Beaten by a file that is no larger and better: Q4_K_M by Q4_K_M-im.");
    // Worse in one figure, it beats none.
    const mixed = short([f16, { ...q4, flips: [90, 2] }, q4im]);
    expect(mixed.rows.flatMap(({ beatenBy }) => beatenBy ?? [])).toEqual([]);
    // A larger file beats none either, however good.
    const larger = short([f16, q4, { ...q4im, bytes: 110e6 }]);
    expect(larger.rows.flatMap(({ beatenBy }) => beatenBy ?? [])).toEqual([]);
  });

  test("the conclusions say how much", () => {
    expect(made.conclusions[0]).toMatch(
      /^Smallest file not shown to be worse than F16: Q8_0 \(46 % smaller, PPL \+0\.0\d %, hellaswag acc ±0 points, tg128 1\.8× faster\)\.$/,
    );
    expect(made.conclusions[1]).toMatch(
      /^Smallest shown to lose less than 1 % of F16's PPL: Q4_K_M-im \(61 % smaller, PPL \+0\.8\d? %/,
    );
  });

  test("without a reference there is no change and no ladder; nothing is empty without a reason", () => {
    const alone = short([{ ...f16, reference: false }, q8]);
    expect(alone.reference).toBeUndefined();
    expect(alone.rows.flatMap(({ mark, cells }) => [mark, ...cells.map(({ change }) => change)])).toEqual(
      Array(10).fill(undefined),
    );
    const states = short([f16, { ...q8, end: "failed" }, { ...q4, end: "unfinished" }, { ...q2, end: "not a number" }]);
    const figures = states.rows.map(({ cells }) => cells[0]!.figure);
    expect(figures.slice(1)).toEqual(["failed", "3 chunks", "broken"]);
    for (const { cells } of states.rows.slice(1)) expect(cells[0]!.change).toBeUndefined();
  });
});

describe("the short table on a screen", () => {
  test.each([80, 72, 64, 56])(
    "%i wide, a column without room for both shows figures where some have no change",
    (width) => {
      const facts = factsFrom(replay(eventsOf([f16, q8, q4, q2], { kinds, questions: 400, spread: 0.1 })), "");
      const at = facts.short.columns.findIndex(({ metric }) => metric.label === "acc");
      delete facts.short.rows[1]!.cells[at]!.change;
      facts.short.rows[2]!.cells[at]!.mark = "likely worse";
      const { block } = screenTable(facts, width);
      const lines = block.split("\n");
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
      for (const { variant, cells } of facts.short.rows) {
        const line = lines.find((one) => one.startsWith(`${variant.name} `))!;
        const { figure, change } = cells[at]!;
        if (line.includes(" pt")) expect(change && line).toContain(figure);
        expect(line.split("(ref)").at(-1)!.split("(").length).toBe(line.split("(ref)").at(-1)!.split(")").length);
      }
    },
  );

  test("an unfinished speed shows its repetitions so far, of which the others would tell the same, and what disturbed them", () => {
    const events = eventsOf([f16, q8], { kinds, questions: 400, spread: 0.1 }).map((event) =>
      event.type === "samples" && event.job === "Q8_0 speed" ? { ...event, foreign: 1.5 } : event,
    );
    const stopped = events.slice(0, events.findLastIndex(({ type }) => type === "samples") + 1);
    const facts = factsFrom(replay(stopped), "");
    const speed = facts.short.columns.findIndex(({ metric }) => metric.label === "tg128");
    const { figure, cell, change } = facts.short.rows[1]!.cells[speed]!;
    expect(cell.state).toBe("unfinished");
    expect(figure).toMatch(/^9\d(\.\d+)? \(n = \d+\)$/);
    expect(change).toBeUndefined();
    const { block, notes } = screenTable(facts, 100);
    expect(block).toContain(`${figure} †`);
    expect(notes.slice(1)).toEqual([expect.stringMatching(/^† other processes used 1\.5 CPU cores/)]);
    expect(markdown(facts)).toContain(`${figure} †`);
    const once = replay(
      stopped.filter((event) => event.type !== "samples" || event.job !== "Q8_0 speed" || event.item === "0"),
    );
    expect(factsFrom(once, "").short.rows[1]!.cells[speed]!.figure).toMatch(/^9\d\.\d \(n = 1\)$/);
  });

  test("the legend says what is much", () => {
    const { footnotes } = shortTable(short([f16, q8, q2]));
    expect(footnotes).toEqual([
      expect.stringContaining("what matters: from PPL 0.5 %, acc 1 point; much: ten times that"),
    ]);
  });

  test("on a screen too low for all, the legend gives way before the heads are far above", () => {
    const facts = factsFrom(replay(eventsOf([f16, q8, q4, q2], { kinds, questions: 400, spread: 0.1 })), "");
    const shown = (height: number) => text(facts, { width: 80, height });
    const heights = Array.from({ length: 30 }, (_, i) => i + 8).filter(
      (height) => !shown(height).split("\n").slice(-height).join("\n").includes("what matters"),
    );
    expect(heights.length).toBeGreaterThan(0);
    // It stands above the table then.
    for (const height of heights) expect(shown(height)).toMatch(/much: ten\s+times that/);
    for (const height of heights) expect(shown(height).match(/^variant /gm)).toHaveLength(1);
  });

  test("a change of which nothing can be told has its sign: on the screen, in table.md and on the page", () => {
    const facts = factsFrom(replay(eventsOf([f16, q8, q4, q2], { kinds, questions: 400, spread: 0.1 })), "");
    const at = facts.short.columns.findIndex(({ metric }) => metric.label === "tg128");
    const cell = facts.short.rows[1]!.cells[at]!;
    delete cell.change;
    Object.assign(cell, { mark: "?", verdict: { kind: "unknown", needed: 5 } });
    const speed = cell.figure;
    for (const width of [80, 120])
      expect(screenTable(facts, width).block).toMatch(new RegExp(`^Q8_0 .*${speed.replace(".", "\\.")}.* \\?`, "m"));
    expect(shortTable(facts.short).rows[1]!.slice(-2)).toEqual([speed, "?"]);
    facts.short.rows[2]!.cells[at]!.mark = "likely better";
    expect(pageTable(facts).text).toMatch(/<span class="change good">×\d\.\d likely<\/span>/);
    expect(pageTable(facts).text).toContain(
      `${speed} <span class="soft">± ${cell.error}</span><span class="change soft">?</span>`,
    );
  });

  test("a file of the same size is said to be, and a distance too small to matter has its sign everywhere", () => {
    const facts = factsFrom(replay(eventsOf([f16, { ...q8, bytes: f16.bytes }, q4], { kinds })), "");
    const [, same] = shortTable(facts.short).rows;
    expect(same![2]).toBe("same");
    expect(same!.find((cell) => cell.startsWith("0.000"))).toMatch(/^0\.000\d+ ≈$/);
    expect(screenTable(facts, 120).block).toMatch(/^Q8_0 +270\.0 +same .*0\.000\d+ ≈/m);
    expect(pageTable(facts).text).toMatch(/same size[\s\S]*0\.000\d+ <span class="soft">± 0\.0\d+<\/span> ≈/);
    expect(screenTable(facts, 200).block).not.toMatch(/\de-\d/);
  });

  test("where there is no screen, names stand whole, and all columns that 80 cells hold beside short ones", () => {
    const long = "this-is-a-very-long-name-of-eighty-characters-that-a-user-would-give-to-it";
    const named = [f16, q8, q4].map((one) => ({ ...one, name: one.name === "F16" ? "F16" : `${long}-${one.name}` }));
    const facts = factsFrom(replay(eventsOf(named, { kinds })), "");
    const said = text(facts, { whole: true });
    expect(said).toMatch(new RegExp(`${long}-Q8_0\\s+\\(46 % smaller`));
    expect(said).not.toContain("…o");
    for (const head of ["PPL", "KLD", "acc", "tg128"])
      expect(screenTable(facts, 80, { whole: true }).heads).toContain(head);
  });

  test("a path that fits the line is not broken for an indent", () => {
    const path = `reports/${"x".repeat(70)}`;
    expect(wrap(`Tables: ${path}`, 80)).toBe(`Tables:\n${path}`);
    expect(wrap(`Tables: ${path.slice(0, 76)}`, 80)).toBe(`Tables:\n    ${path.slice(0, 76)}`);
  });
});

describe("digits from the error", () => {
  test.each([
    ["perplexity", 1.8373, 0.02978, "1.837", "0.030"],
    ["perplexity", 27.1052, 1.50333, "27.1", "1.5"],
    ["kld", 0.854229, 0.048327, "0.854", "0.048"],
    ["kld", 0.00014912, 0.0000039, "0.000149", "0.000004"],
    ["kld", 7.1e-8, 3e-9, "7.1e-8", "3.0e-9"],
    ["tg128", 3357.28, 2472.11, "3400", "2500"],
    ["tg128", 50.5, 0.0996, "50.50", "0.10"],
    ["acc", 0.979167, 0.00921, "97.92", "0.92"],
    ["acc", 0.625, 0.183, "63", "18"],
    ["acc", 1, 0, "100", undefined],
    ["size", 94.4e6, undefined, "94.4", undefined],
    ["delta_p", -0.25672, 0.01, "−25.7", "1.0"],
  ])("%s %d ± %d", (metric, value, error, figure, shown) => {
    expect(figureOf({ metric, value, error })).toEqual(shown === undefined ? { figure } : { figure, error: shown });
  });
});

describe("colours at the end of a run", () => {
  const facts = factsFrom(replay(eventsOf([f16, q8, q4, q4im, q2], { kinds, questions: 400, spread: 0.1 })), "");
  const [plain, drawn] = [false, true].map((colours) => text(facts, { width: 100, colours }));
  const written = (lines: string, options = {}) => {
    let all = "";
    say({ write: (part: string) => (all += part) } as never, lines, options);
    return all;
  };

  test("repeat what words and signs say, and move nothing", () => {
    expect(stripVTControlCharacters(drawn!)).toBe(plain);
    const row = drawn!.split("\n").find((line) => line.startsWith("Q2_K "))!;
    expect(row).toContain("\x1b[1;31mmuch worse\x1b[0m");
    expect(row.split("\x1b[1;31m").length).toBeGreaterThan(2);
    expect(drawn!.split("\n").find((line) => line.startsWith("Q8_0 "))).toMatch(/\x1b\[32m\S+ \+0\.0\d % ≈\x1b\[0m/);
    expect(drawn!.split("\n").find((line) => line.startsWith("F16 "))).not.toContain("\x1b");
  });

  test("are on terminals that have them, and nowhere else; no other code gets there", () => {
    const env = { TERM: "xterm" };
    expect(isColoured({ isTTY: true } as never, env)).toBe(true);
    for (const [tty, over] of [
      [false, {}],
      [true, { NO_COLOR: "1" }],
      [true, { TERM: "dumb" }],
    ] as const)
      expect(isColoured({ isTTY: tty } as never, { ...env, ...over })).toBe(false);
    expect(written(drawn!, { colours: true })).toBe(drawn);
    expect(written(drawn!)).not.toContain("\x1b");
    const hostile = `${coloured(" a b ", "good")}\x1b]0;title\x07\x1b[2J\x1b[5m`;
    expect(written(hostile, { colours: true }).match(/\x1b/g)).toHaveLength(2);
    expect(written(hostile, { colours: true })).toContain(" \x1b[32ma b\x1b[0m ");
  });
});

describe("a screen that is too low for the rows", () => {
  const sizes = Array.from({ length: 12 }, (_, i): Made => {
    const worse = i >= 7;
    return {
      ...q4,
      name: `Q${i}`,
      bytes: (260 - 10 * i) * 1e6,
      cost: worse ? 0.3 + i / 50 : 0.01 + i / 500,
      kld: 0.01,
    };
  });
  // Larger than the last and no better.
  const beaten: Made = { ...q4, name: "QX", bytes: 255e6, cost: 0.28, kld: 0.02 };
  const facts = factsFrom(replay(eventsOf([f16, ...sizes, beaten], { kinds: ["perplexity"], spread: 0.1 })), "");
  const closing = ["Tables: x"];
  const whole = text(facts, { width: 80, closing });
  const rowsIn = (said: string) => said.split("\n").filter((line) => /^(F16|Q\w+) /.test(line)).length;

  test("files that nobody takes are folded into a line, and the table and the answer stand on it", () => {
    expect(rowsIn(whole)).toBe(14);
    const lengths = new Set<number>();
    for (let height = whole.split("\n").length - 1; height > 14; height--) {
      const said = text(facts, { width: 80, height, closing });
      const screen = said.split("\n").slice(-height).join("\n");
      if (!screen.includes("Left to table.md")) continue;
      lengths.add(rowsIn(screen));
      expect(screen).toMatch(/^variant /m);
      expect(screen).toMatch(/^F16 \(ref\)/m);
      expect(screen).toMatch(/Smallest|No smaller/);
      expect(screen).toMatch(/Left to table\.md \(PPL\): .*QX\s+\+\d/s);
      // Each file has a row or its place in the line.
      const folded = /Left to table\.md \(PPL\): (.*?)\nChanges/s.exec(screen)![1]!.split(",").length;
      expect(rowsIn(screen) + folded).toBe(14);
      expect(screen.trimEnd()).toMatch(/Tables: x$/);
    }
    expect(lengths.size).toBeGreaterThan(0);
  });
});
