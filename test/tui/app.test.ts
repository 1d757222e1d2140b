import { EventEmitter } from "node:events";
import { stripVTControlCharacters } from "node:util";
import { renderToString } from "ink";
import { render } from "ink-testing-library";
import { createElement } from "react";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Event } from "../../dist/events.js";
import type { ToldChange } from "../../dist/judge/index.js";
import { metric } from "../../dist/metrics.js";
import { App, type AppProps } from "../../dist/tui/app.js";
import { layout } from "../../dist/tui/columns.js";
import { formatValue } from "../../dist/tui/figures.js";
import { type KeyName, keysIn, look } from "../../dist/tui/keys.js";
import { startView } from "../../dist/tui/live.js";
import { ascii, unicode } from "../../dist/tui/matrix.js";
import { compared, initialState, type LiveState, reduce, tick } from "../../dist/tui/state.js";
import { jobId, ladder, started, variant, wholeRun } from "./recorded.mjs";

const T = 1_700_000_000_000;
const sizes = [
  [80, 24],
  [200, 60],
] as const;

/** The state after the first `count` events of a run. */
function stateAfter(
  count: number,
  variants = ladder,
  options: object = {},
  impossible: Record<string, string> = {},
): LiveState {
  let state = reduce(initialState(), started(T, variants, { impossible }) as Event);
  let now = T;
  let seen = 0;
  for (const [pause, event] of wholeRun(variants, options)) {
    if (seen++ === count) break;
    now += pause;
    if ("job" in event && impossible[event.job as string]) continue;
    state = reduce(tick(state, now), { ...event, at: now } as Event);
  }
  return state;
}

function frame(state: LiveState, columns: number, rows: number, props: Partial<AppProps> = {}): string[] {
  const looking = { row: 0, follow: true, page: 0, stopping: undefined };
  const plain = { state, looking, columns, lines: rows - 1, colour: false, glyphs: unicode };
  return renderToString(createElement(App, { ...plain, ...props }), { columns }).split("\n");
}

/** Terminal cells; enough for the characters in these tests. */
const widthOf = (line: string) =>
  [...line].reduce((sum, c) => sum + (/[\u2e80-\u9fff\uff00-\uff60]/.test(c) ? 2 : 1), 0);

function expectFits(lines: string[], columns: number, rows: number): void {
  expect(lines.length).toBeLessThanOrEqual(rows - 1);
  for (const line of lines) expect(widthOf(line), line).toBeLessThanOrEqual(columns);
}

describe("frames", () => {
  for (const [columns, rows] of sizes)
    it(`fit ${columns}×${rows} at every stage of a run`, () => {
      for (const count of [0, 1, 2, 3, 20, 40, 400, 800, 1200, 1400, 1e6])
        expectFits(frame(stateAfter(count), columns, rows), columns, rows);
    });

  it("show a download before the run has started", () => {
    let state = initialState();
    for (const second of [0, 10])
      state = reduce(state, {
        ...{ type: "fetching", at: T + second * 1000, name: "model-Q4_K_M.gguf" },
        ...{ bytes: 1e6 + second * 5e6, total: 251e6, file: 1, files: 1 },
      } as Event);
    for (const [columns, rows] of sizes) {
      const lines = frame(state, columns, rows);
      expectFits(lines, columns, rows);
      expect(lines.join("\n")).toContain("fetching model-Q4_K_M.gguf: 51.0 MB of 251.0 MB, 5.0 MB/s, 40 s left");
    }
  });

  it("show running values with their error and what is left", async () => {
    const lines = frame(stateAfter(24), 80, 24);
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("golden/running-80x24.txt");
    expect(lines.find((line) => line.startsWith("SmolLM2-135M-F16"))).toMatch(/▶ +\d+\.\d{4} ±\d+\.\d{4}/);
    expect(lines.find((line) => line.startsWith("▶"))).toMatch(/11\/16 chunks +2 s left/);
  });

  it("use the room of a large terminal for more columns", async () => {
    const lines = frame(stateAfter(800), 200, 60);
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("golden/running-200x60.txt");
    for (const head of ["bits/byte", "size", "BPW", "peak memory", "acc_norm"]) expect(lines[4]).toContain(head);
  });

  it("show changes beside their figures where there is room, and which variant is the reference", () => {
    const variants = ladder.map((one, i) => ({ ...one, reference: i === 0 }));
    const told = (name: string, measurement: string, metric: string, text: string, more: Partial<ToldChange> = {}) => ({
      ...{ variant: name, against: ladder[0]!.name },
      ...{ measurement, metric, text, mark: "worse" as const, ...more },
    });
    const q8 = "SmolLM2-135M-Q8_0";
    const state = compared(stateAfter(1e6, variants), [
      told(q8, "perplexity", "perplexity", "−0.42 %"),
      told(q8, "hellaswag", "acc", "−12 points"),
      told(q8, "speed", "tg128", "×1.8"),
      told("SmolLM2-135M-Q4_K_M", "perplexity", "perplexity", "+0.38 %", { mark: "?" }),
      told("SmolLM2-135M-Q4_K_M", "hellaswag", "acc", "−0.42 points", { mark: "?" }),
      told("SmolLM2-135M-Q4_K_M", "speed", "tg128", "×1.2", { mark: "likely better", disturbed: true }),
      told("SmolLM2-135M-Q4_K_M-im", "perplexity", "perplexity", "+0.05 %", { mark: "≈" }),
      { ...told("SmolLM2-135M-Q4_K_M-im", "hellaswag", "acc", "", { mark: "?" }), guessed: true },
      told("SmolLM2-135M-Q2_K", "perplexity", "perplexity", "+1234567890 %"),
    ]);
    const rows = (columns: number, props = {}) => {
      const lines = frame(state, columns, 24, props);
      expectFits(lines, columns, 24);
      return [lines[4]!, ...lines.filter((line) => /^SmolLM2/.test(line))];
    };
    const [heads, f16, second] = rows(120);
    expect(heads).toMatch(/PPL +Δ +pp512 .*acc % +Δ/);
    expect(f16).toMatch(/✓ +\d+\.\d{4} .*ref /);
    expect(second).toMatch(/✓ +\d+\.\d{4}(?: ±\d\.\d{4})? +−0\.42 % .* −12 pt$/);
    expect(rows(200)[2]).toMatch(/×1\.8/);
    // As the tables mark them: not decided, likely, too small to matter, at chance, timed beside others.
    const marked = (columns: number, props = {}) => rows(columns, props).filter((line) => line.includes("Q4_K_M"));
    expect(marked(120)[0]).toMatch(/ \+0\.38 %\? .* −0\.42 pt\?$/);
    expect(marked(200)[0]).toMatch(/ \(×1\.2\) † /);
    expect(marked(120)[1]).toMatch(/ \+0\.05 %≈ .* °$/);
    expect(marked(200, { glyphs: ascii })[0]).toMatch(/ \(x1\.2\) \* /);
    expect(rows(120).find((line) => line.includes("Q2_K"))).not.toContain("1234567890");
    expect(rows(120, { glyphs: ascii })[2]).toMatch(/ -0\.42 % .* -12 pt$/);
    expect(rows(120, { glyphs: ascii })[0]).toMatch(/PPL +diff/);
    // No room for all of quality at 80 columns: the first has its change, and nothing beside speed.
    expect(rows(80)[0]!.split("Δ").length).toBeLessThanOrEqual(2);
    const looking = { row: 0, follow: true, page: 0, stopping: undefined, over: "cell", cell: { row: 1, column: 0 } };
    expect(frame(state, 80, 24, { looking } as Partial<AppProps>).join("\n")).toContain(
      `−0.42 % against ${ladder[0]!.name}`,
    );
    const page = (row: number, column: number) =>
      frame(state, 120, 24, { looking: { ...looking, cell: { row, column } } } as Partial<AppProps>).join("\n");
    expect(page(2, 0)).toContain(`+0.38 % against ${ladder[0]!.name}, not decided`);
    expect(page(2, 1)).toContain(`×1.2 † against ${ladder[0]!.name}, likely`);
    expect(page(3, 2)).toContain(`nothing is told against ${ladder[0]!.name}: not shown to be above chance`);
  });

  it("tell speeds to five digits, whatever their size", () => {
    const speeds = [24523.114, 1567.463, 180.1234, 34.0345, 0.97412].map((one) => formatValue(metric("tg128"), one));
    expect(speeds).toEqual(["24523", "1567.5", "180.12", "34.03", "0.97"]);
    // With their points below each other.
    let state = reduce(initialState(), started(T, ladder) as Event);
    for (const [name, value] of [
      [ladder[0]!.name, 24523.114],
      [ladder[1]!.name, 1567.463],
      [ladder[2]!.name, 180.1234],
    ] as const) {
      const samples = [{ metric: "pp512", value, weight: 1 }];
      state = reduce(state, { type: "samples", job: jobId(name, "speed"), item: "pp512/0", samples } as Event);
    }
    const rows = frame(state, 100, 24).filter((line) => /^SmolLM2/.test(line));
    const ends = ["24523", "1567", "180"].map((whole, i) => rows[i]!.indexOf(whole) + whole.length);
    expect(new Set(ends).size).toBe(1);
    expect(ends[0]).toBeGreaterThan(30);
  });

  it("stand still while figures grow: no column moves", () => {
    const positions = [24, 400, 800, 1200].map((count) => frame(stateAfter(count), 80, 24)[4]);
    expect(new Set(positions).size).toBe(1);
  });

  it("say what failed and why, and what cannot be", async () => {
    const variants = [
      ...ladder.slice(0, 3),
      variant("cut-short", {
        failure: {
          code: "truncated",
          message: "cut-short.gguf ends after 41 of 272 tensors",
          hint: "download it again",
        },
      }),
    ];
    const broken = {
      "SmolLM2-135M-Q8_0": { code: "out-of-memory", message: "the engine process was killed for want of memory" },
    };
    const state = stateAfter(
      470,
      variants,
      { broken },
      { [jobId("SmolLM2-135M-F16", "speed")]: "ollama gives no timing" },
    );
    const lines = frame(state, 80, 24);
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("golden/failures-80x24.txt");
    expectFits(lines, 80, 24);
  });

  it("cut long and wide names in the middle, so that the quantization stays in sight", () => {
    const variants = [
      variant("Llama-3-Chinese-8B-Instruct-v3-with-a-name-that-never-ends-Q4_K_M-im"),
      variant("羊驼中文大模型指令精调版本三第三版量化模型-Q2_K"),
      variant("emoji 🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙 Q8_0"),
    ];
    const lines = frame(stateAfter(30, variants), 80, 24);
    expectFits(lines, 80, 24);
    expect(lines[5]).toContain("Q4_K_M-im");
    expect(lines[6]).toContain("Q2_K");
    const marks = [5, 6, 7].map((index) => widthOf(lines[index]!.replace(/🦙/g, "中").split(/[▶·✓]/)[0]!));
    expect(new Set(marks).size).toBe(1);
  });

  it("keep the running row in sight of 30, and say which rows these are", () => {
    const many = Array.from({ length: 30 }, (_, index) => variant(`variant-${String(index + 1).padStart(2, "0")}`));
    for (const [columns, rows] of sizes) {
      const state = stateAfter(8200, many);
      const name = state.current!.variant.name;
      const lines = frame(state, columns, rows);
      expectFits(lines, columns, rows);
      expect(lines.some((line) => line.startsWith(`${name} `))).toBe(true);
    }
    const lines = frame(stateAfter(8200, many), 80, 24);
    expect(lines.join("\n")).toMatch(/↑↓ rows \(\d+ to \d+ of 30\)/);
  });

  it("degrade down to a line", () => {
    for (let rows = 2; rows < 24; rows++) expectFits(frame(stateAfter(30), 80, rows), 80, rows);
    for (const columns of [20, 40, 60]) expectFits(frame(stateAfter(30), columns, 24), columns, 24);
    expect(frame(stateAfter(30), 80, 2)[0]).toContain("smollm2");
  });

  it("have no control characters without colour, and none but ASCII where the terminal knows no more", () => {
    expect(frame(stateAfter(30), 80, 24).join("\n")).not.toMatch(/\u001b/);
    const bytes = frame(stateAfter(30), 80, 24, { glyphs: ascii }).slice(0, -1).join("");
    expect(bytes).toMatch(/^[\u0020-\u007e]*$/);
  });

  it("have one line for variants that take turns, and the size before bits per weight", () => {
    const all = [...wholeRun(ladder)].length;
    for (const left of [62, 40, 20, 8, 2]) {
      const lines = frame(stateAfter(all - left), 80, 24);
      expectFits(lines, 80, 24);
      expect(lines.filter((line) => line.startsWith("▶"))).toEqual([
        expect.stringMatching(/^▶ speed, 6 variants in turns +[█░]+ +\d+\/30 repetitions/),
      ]);
    }
    for (let columns = 30; columns < 200; columns++) {
      const [heads = ""] = frame(stateAfter(800), columns, 24).filter((line) => line.startsWith("variant"));
      if (heads.includes("BPW")) expect(heads).toMatch(/size +BPW/);
    }
  });

  it("speak of one job and one chunk in the singular", () => {
    const of = [{ name: "perplexity", kind: "perplexity", settings: {} }];
    const events = [...wholeRun([variant("alone")], { of, items: { perplexity: 1 } })].slice(0, 2);
    let state = reduce(initialState(), started(T, [variant("alone")], { of }) as Event);
    for (const [, event] of events) state = reduce(state, { ...event, at: T } as Event);
    const progress = { type: "progress", job: jobId("alone", "perplexity"), done: 0, total: 1, unit: "chunks" };
    const said = frame(reduce(state, progress as Event), 80, 24).join("\n");
    expect(said).toContain("0/1 job ");
    expect(said).toMatch(/0\/1 chunk /);
  });

  it("say how to go on while they stop", () => {
    const looking = { row: 0, follow: true, page: 0, stopping: "graceful" } as const;
    const lines = frame(stateAfter(24), 80, 24, { looking });
    expect(lines.at(-2)).toBe("Stopping: up to 3 s for the current chunk. The same command continues.");
    expect(lines.at(-1)).toContain("q stop now");
  });
});

describe("keys", () => {
  const many = Array.from({ length: 30 }, (_, index) => variant(`variant-${index + 1}`));
  const state = stateAfter(3, many);
  const press = (...keys: KeyName[]) =>
    keys.reduce((looking, key) => look(looking, key, state, 23, 80), {
      row: 0,
      follow: true,
      page: 0,
      stopping: undefined,
    } as ReturnType<typeof look>);

  it("scroll and stop at the ends", () => {
    expect(press("down", "down", "up")).toMatchObject({ row: 0, cursor: 1, follow: false });
    expect(press("up")).toMatchObject({ row: 0, cursor: 0 });
    // The rows move when the cursor would leave them.
    const shown = press("page-down").cursor!;
    expect(press("page-down")).toMatchObject({ row: 1 });
    expect(press("page-down", "page-down", "page-up")).toMatchObject({ cursor: Math.min(29, 2 * shown) - shown });
    expect(press("end")).toMatchObject({ cursor: 29 });
    const end = press("end").row;
    expect(end).toBe(30 - shown);
    expect(press("end", "down").row).toBe(end);
    expect(press("end", "home").row).toBe(0);
    expect(press("down", "follow")).toMatchObject({ follow: true, cursor: undefined });
  });

  it("Enter opens the row of the cursor, and the frame shows where it is", () => {
    const looking = press("down", "down", "down", "open");
    expect(looking).toMatchObject({ over: "cell", cell: { row: 3 } });
    const back = look(looking, "back", state, 23, 80);
    const lines = frame(state, 80, 24, { looking: back });
    expectFits(lines, 80, 24);
    expect(lines.filter((line) => line.includes("◂"))).toEqual([expect.stringMatching(/^variant-4 +◂/)]);
    expect(lines.at(-1)).toContain("Enter one row");
    // Without a cursor it is the job at work.
    expect(press("open")).toMatchObject({ cell: { row: 0 } });
    expect(frame(state, 80, 24, { looking: back, glyphs: ascii }).join("\n")).toMatch(/^variant-4 +</m);
  });

  it("→ and ← change what is shown at each press, and reach every column", () => {
    const done = stateAfter(1e6);
    const shown = (columns: number, page: number) => layout(done, columns, page).columns.map(({ metric }) => metric);
    const everything = shown(1000, 0);
    const turn = (key: "left" | "right", page: number, columns: number) =>
      look({ row: 0, follow: true, page, stopping: undefined }, key, done, 23, columns).page;
    for (const columns of [40, 60, 80, 100, 120, 160, 200]) {
      const seen = new Set(shown(columns, 0));
      let page = 0;
      for (let next = turn("right", page, columns); next !== page; next = turn("right", page, columns)) {
        expect(shown(columns, next)).not.toEqual(shown(columns, page));
        page = next;
        for (const metric of shown(columns, page)) seen.add(metric);
      }
      expect([columns, [...everything].filter((metric) => !seen.has(metric))]).toEqual([columns, []]);
      for (let next = turn("left", page, columns); next !== page; next = turn("left", page, columns)) {
        expect(shown(columns, next)).not.toEqual(shown(columns, page));
        page = next;
      }
      expect(page).toBe(0);
    }
  });

  it("columns come back when there is room for them again", () => {
    const done = stateAfter(1e6);
    const heads = (columns: number, page: number) =>
      frame(done, columns, 24, { looking: { row: 0, follow: true, page, stopping: undefined } })[4];
    // Scrolled to the end of a narrow terminal, then made wider.
    for (const page of [3, 8, 50]) {
      expect(heads(250, page)).toBe(heads(250, 0));
      expect(heads(120, 50)).toContain("peak memory");
      expect(layout(done, 120, page).page).toBeLessThanOrEqual(layout(done, 80, page).page);
    }
  });

  it("stop gracefully, then at once", () => {
    expect(press("stop").stopping).toBe("graceful");
    expect(press("stop", "stop").stopping).toBe("now");
  });

  it("reach the view from the terminal", async () => {
    const keys: KeyName[] = [];
    const view = render(
      createElement(App, {
        state,
        looking: press(),
        columns: 80,
        lines: 23,
        colour: false,
        glyphs: unicode,
        onKey: (key) => keys.push(key),
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const typed of ["j", "\u001b[B", "k", "\u001b[A", "q", "\u0003"]) {
      view.stdin.write(typed);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    view.unmount();
    expect(keys).toEqual(["down", "down", "up", "up", "stop", "stop"]);
  });

  it("that come in one read are one after another; pasted text is none, but Ctrl-C in it is", () => {
    for (const both of ["\u0003\u0003", "qq", "q\u0003", "\u0003q"]) expect(keysIn(both)).toEqual(["stop", "stop"]);
    expect(keysIn("jjk")).toEqual(["down", "down", "up"]);
    for (const pasted of ["quit, quickly", "gguf-bench run q.yaml\r", "q ", "模型", "\u0000", "constructor", ""])
      expect(keysIn(pasted)).toEqual([]);
    expect(keysIn("a pasted q\u0003\u0003")).toEqual(["stop", "stop"]);
    // An arrow whose Escape came by itself.
    expect([...keysIn("[A"), ...keysIn("OB"), ...keysIn("[F")]).toEqual(["up", "down", "end"]);
  });
});

/** A terminal that keeps the screen that was painted on it. */
class Terminal extends EventEmitter {
  isTTY = true;
  written = "";
  lines: string[] = [];
  constructor(
    public columns: number,
    public rows: number,
  ) {
    super();
  }
  write(text: string): boolean {
    this.written += text;
    if (text.includes("\u001b[2J")) this.lines = [];
    for (const [, row, content] of text.matchAll(
      /\u001b\[(\d+);1H\u001b\[2K([^\n]*?)(?=\u001b\[\d+;1H|\u001b\[\?2026l|$)/g,
    ))
      this.lines[Number(row) - 1] = stripVTControlCharacters(content!);
    return true;
  }
}

describe("the view on a terminal", () => {
  const environment = { ...process.env };
  beforeEach(() => {
    process.env.NO_COLOR = "1";
  });
  afterEach(() => {
    process.env = { ...environment };
  });
  const open = (terminal: Terminal) =>
    startView({
      onStop() {},
      stdout: terminal as never,
      stdin: Object.assign(new EventEmitter(), { isTTY: false }) as never,
    });
  const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  it("paints only what changed, follows a resize and gives the terminal back", async () => {
    const terminal = new Terminal(80, 24);
    const view = open(terminal);
    view.handle(started(Date.now(), ladder) as Event);
    await sleep(250);
    expect(terminal.lines[0]).toContain("smollm2");
    expect(terminal.lines[22]).toContain("q stop");
    expectFits(terminal.lines, 80, 24);

    terminal.written = "";
    view.handle({ type: "warning", at: Date.now(), message: "busy" });
    await sleep(1500);
    expect(terminal.written).toContain("busy");
    expect(terminal.written).not.toContain("\u001b[2J");
    expect(terminal.written).not.toContain("SmolLM2-135M-Q8_0");

    Object.assign(terminal, { columns: 200, rows: 60 });
    terminal.emit("resize");
    await sleep(250);
    expect(terminal.lines.join("\n")).toContain("bits/byte");
    expect(terminal.lines[58]).toContain("q stop");

    Object.assign(terminal, { columns: 60, rows: 12 });
    terminal.emit("resize");
    await sleep(250);
    expectFits(terminal.lines, 60, 12);

    expect(terminal.written).not.toMatch(/\u001b\[[0-9;]*m/);
    await view.close();
    expect(terminal.written.endsWith("\u001b[?7h\u001b[?25h\u001b[?1049l")).toBe(true);
    const { length } = terminal.written;
    await sleep(300);
    expect(terminal.written.length).toBe(length);
    expect(terminal.listenerCount("resize")).toBe(0);
  });

  it("never erases the scrollback", async () => {
    const terminal = new Terminal(80, 50);
    const view = open(terminal);
    view.handle(started(Date.now(), ladder) as Event);
    await sleep(200);
    Object.assign(terminal, { rows: 10 });
    terminal.emit("resize");
    await sleep(200);
    await view.close();
    expect(terminal.written).not.toContain("\u001b[3J");
  });

  it("draws at most ten frames a second, however many events come", async () => {
    const terminal = new Terminal(80, 24);
    const view = open(terminal);
    view.handle(started(Date.now(), ladder) as Event);
    await sleep(200);
    terminal.written = "";
    const began = performance.now();
    for (const [, event] of [...wholeRun(ladder)].slice(0, 300)) {
      view.handle({ ...event, at: Date.now() } as Event);
      await sleep(3);
    }
    const frames = terminal.written.split("\u001b[?2026h").length - 1;
    expect(frames).toBeLessThanOrEqual(1 + ((performance.now() - began) / 1000) * 10);
    await view.close();
  });
});
