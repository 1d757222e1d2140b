import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { BenchError, fromFailure, toFailure } from "../dist/errors.js";
import type { Event, StoredEvent } from "../dist/events.js";
import { harmless, harmlessJson, harmlessLines, several } from "../dist/harmless.js";
import { replay } from "../dist/replay/index.js";
import { comparisonsCsv, longCsv, wideCsv } from "../dist/reports/csv.js";
import { factsFrom } from "../dist/reports/index.js";
import { junit } from "../dist/reports/junit.js";
import { markdown } from "../dist/reports/markdown.js";
import { runJson } from "../dist/reports/run-json.js";
import { text } from "../dist/reports/text.js";
import { startPlain } from "../dist/tui/plain.js";
import { events } from "./reports/fixture.js";
import { bench, someText, temporaryFolder } from "./support.js";

/** What no output may hold: the line end is the one control that this program writes. */
const forbidden =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\u{e0001}]/u;
const loneSurrogate = /\p{Cs}/u;
const every =
  "\u0000\u0007\b\t\u001b[2J\u001b]0;title\u0007\u007f\u0085\u009b31m\u061c\u200b\u200e\u202e\u2028\u2029\u2066\u2069\ufeff\u{e0041}\ud800\r";

describe("harmless", () => {
  it("leaves what people write, in any script", () => {
    for (const one of [
      "Q4_K_M",
      "模型",
      "café",
      "naïve",
      "می‌خواهم",
      "👩‍💻",
      "❤️",
      "हिन्दी",
      "Việt",
      "🦙",
      "٣٫١٤",
      "한국어",
    ])
      expect(harmless(one)).toBe(one);
  });

  it("makes one line without anything that a terminal obeys or an eye misses", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (some) => {
        const line = harmless(`${some}${every}\n${some}`);
        expect(line).not.toMatch(forbidden);
        expect(line).not.toMatch(loneSurrogate);
        expect(line).not.toContain("\n");
        expect(harmless(line)).toBe(line);
      }),
    );
  });

  it("keeps the two ends of what is too long, and no torn character", () => {
    const long = harmless(`start ${"🦙".repeat(5000)} end`);
    expect(long.length).toBeLessThan(1300);
    expect(long).toMatch(/^start 🦙+…🦙+ end$/u);
    expect(harmless(`x${"\u0301".repeat(1000)}`).length).toBeLessThan(10);
  });

  it("leaves the frames of a stack out", () => {
    expect(harmless(new TypeError("so\nit is").stack!)).toBe("TypeError: so it is");
  });

  it("JSON stays the same value", () => {
    const value = { [every]: [every, "模型 👩‍💻", null, 1] };
    for (const indent of [undefined, 2]) {
      expect(JSON.parse(harmlessJson(value, indent))).toEqual(value);
      expect(harmlessJson(value, indent)).not.toMatch(forbidden);
    }
  });

  it("names in a sentence are a few", () => {
    expect(several(["a", "b"])).toBe("a, b");
    expect(several(Array.from({ length: 9998 }, (_, i) => `part-${i}`))).toMatch(/^part-0, .* and 9986 more$/);
    // Names as long as file systems take them stay whole, so that they can be pasted.
    expect(several(["c".repeat(255)])).toBe("c".repeat(255));
    expect(several([`a${"b".repeat(1000)}`]).length).toBeLessThan(260);
  });
});

describe("a message", () => {
  it("is one harmless line of bounded length, whatever it quotes", () => {
    const error = new BenchError("config", `${"x".repeat(20_000)}${every} is wrong`, {
      hint: `take ${every}\nor\n${every}`,
    });
    for (const one of [error, fromFailure(toFailure(error))]) {
      expect(one.message.length).toBeLessThan(700);
      expect(one.message).toMatch(/is wrong\.$/);
      for (const said of [one.message, one.hint!]) expect(said).not.toMatch(forbidden);
    }
  });

  it("of a fault of the program is a sentence, and its stack goes with it", () => {
    const failure = toFailure(new RangeError("Invalid array length"));
    expect(failure.message).toBe("RangeError: Invalid array length");
    expect(toFailure(fromFailure(failure)).stack).toBe(failure.stack);
  });
});

/** The run of the fixture with something hostile in every text that is not a key of it. */
function poisoned(hostile: string): StoredEvent[] {
  const kept = new Set([
    "type",
    "metric",
    "metrics",
    "kind",
    "id",
    "job",
    "outcome",
    "item",
    "sha256",
    "code",
    "quant",
  ]);
  const poison = (value: unknown, key = ""): unknown =>
    kept.has(key)
      ? value
      : typeof value === "string"
        ? `${hostile}${value}${hostile}`
        : Array.isArray(value)
          ? value.map((one) => poison(one, key))
          : value instanceof Object
            ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, poison(one, name)]))
            : value;
  return events.map((event) => poison(event) as StoredEvent);
}

describe("a run with hostile text in every field", () => {
  const hostiles = { "controls and bidi": every, "10,000 characters": "模".repeat(10_000) };
  for (const [what, hostile] of Object.entries(hostiles)) {
    const run = poisoned(hostile);
    const facts = factsFrom(replay(run), "");
    const { table, verdicts } = facts;
    const check = { rule: hostile, variant: hostile, measurement: hostile, metric: "acc", sentence: hostile };
    const drawn: Record<string, () => string> = {
      "the table on the terminal": () => text(facts),
      "table.md": () => markdown(facts),
      "table.csv": () => wideCsv(table),
      "table-long.csv": () => longCsv(table),
      "comparisons.csv": () => comparisonsCsv(verdicts),
      "run.json": () => runJson(table),
      junit: () =>
        junit({
          outcome: "failed",
          checks: [
            { ...check, outcome: "failed" },
            { ...check, outcome: "passed" },
          ],
        }),
      lines: () => {
        let said = "";
        const view = startPlain({ write: (more) => (said += more), now: () => 0 });
        for (const event of run) view.handle({ ...event, at: 1 } as Event);
        return said;
      },
    };
    for (const [name, draw] of Object.entries(drawn))
      it(`${what}: ${name}`, () => {
        // Spreadsheets need the byte order mark at the beginning, and nowhere else.
        const said = draw().replace(/^\ufeff/, "");
        expect(said.length).toBeGreaterThan(100);
        expect(said).not.toMatch(forbidden);
        expect(said).not.toMatch(loneSurrogate);
        // run.json has the names as they are.
        if (name !== "run.json") for (const line of said.split("\n")) expect(line.length).toBeLessThan(30_000);
      });
  }

  const folder = temporaryFolder();
  const out = join(folder, "reports", "hostile");
  mkdirSync(join(out, "tokens"), { recursive: true });
  writeFileSync(
    join(out, "events.jsonl"),
    poisoned(every)
      .map((event) => `${JSON.stringify(event)}\n`)
      .join(""),
  );
  const data = join(folder, "data");
  mkdirSync(join(data, "bad"), { recursive: true });
  writeFileSync(
    join(data, "bad", "card.yaml"),
    'name: bad\nkind: text\nfile: none.txt\nlicense: "\\e[2J\\u202e"\nsource: "\\e[2J\\x9b\\u2028\\u202e"\nlanguage: en\n',
  );
  writeFileSync(join(folder, "t.txt"), someText(2000));
  const hostileYaml = String.raw`\e[2J\x07\x9b31m\u202e\u2028\x7f`;
  const files: Record<string, string> = {
    variant: `variants: {"a${hostileYaml}": {model: "mock:seed=1"}}\nmeasurements: {speed: {}}`,
    model: `variants: {a: {model: "none${hostileYaml}.gguf"}}\nmeasurements: {speed: {}}`,
    backend: `variants: {a: {model: x, backend: "${hostileYaml}"}}\nmeasurements: {speed: {}}`,
    measurement: `variants: {a: {model: "mock:seed=1"}}\nmeasurements: {"p${hostileYaml}": {measurement: speed}}`,
    text: `variants: {a: {model: "mock:seed=1"}}\nmeasurements: {perplexity: {text: "${hostileYaml}"}}`,
    key: `variants: {a: {model: "mock:seed=1", "${hostileYaml}": 1}}\nmeasurements: {speed: {}}`,
    placeholder: `variants: {a: {model: "\${${hostileYaml}}"}}\nmeasurements: {speed: {}}`,
    name: `name: "../${hostileYaml}"\nvariants: {a: {model: "mock:seed=1"}}\nmeasurements: {speed: {}}`,
    axis: `variants: {a: {model: "mock:seed=1", matrix: {"${hostileYaml}": [1]}}}\nmeasurements: {speed: {}}`,
    value: `variants: {a: {model: "m-\${q}.gguf", matrix: {q: ["${hostileYaml}", b]}}}\nmeasurements: {speed: {}}`,
    tag: `variants: {a: {model: "mock:seed=1", tags: {"${hostileYaml}": "${hostileYaml}"}}}\nmeasurements: {speed: {repetitions: 1}}`,
    setting: `variants: {a: {model: "mock:seed=1", gpu: "${hostileYaml}"}}\nmeasurements: {speed: {}}`,
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, `${name}.yaml`), content);

  const commands: Record<string, string[]> = {
    report: ["report", out],
    choose: ["choose", out, "--max-size", "1GB"],
    compare: ["compare", `${out}:${every.slice(1)}`, out],
    "compare --json": ["compare", "--json", `${out}:${every.slice(1)}F16`, `${out}:b${every.slice(1)}`],
    baseline: ["baseline", out],
    gate: ["gate", out, "--rule", "acc: 50%", "--rule", "size: 1", "--junit", join(folder, "junit.xml")],
    "gate, another rule": ["gate", out, "--rule", `${every.slice(1)}: +1%`],
    list: ["list", "--data-dir", data],
    doctor: ["doctor", "--data-dir", data],
    "a model": ["run", "--model", `none${every.slice(1)}.gguf`, "--measure", "speed", "--out", join(folder, "a")],
    "a measurement": ["run", "--model", "mock:seed=1", "--measure", every.slice(1)],
    "a flag": ["run", `--${every.slice(1)}`],
    "a command": [every.slice(1)],
    quantize: ["quantize", `none${every.slice(1)}.gguf`, "--types", every.slice(1)],
    reference: ["reference", "mock:seed=1", "--text", every.slice(1), "--out", "x"],
    ...Object.fromEntries(
      Object.keys(files).flatMap((name) => [
        [`a file's ${name}`, ["run", join(folder, `${name}.yaml`), "--out", join(folder, `run-${name}`)]],
        [`a file's ${name}, --dry-run`, ["run", join(folder, `${name}.yaml`), "--dry-run"]],
        [
          `a file's ${name}, --json`,
          ["run", join(folder, `${name}.yaml`), "--json", "--out", join(folder, `json-${name}`)],
        ],
      ]),
    ),
  };
  for (const [name, args] of Object.entries(commands))
    it(`the command line: ${name}`, async () => {
      const { stdout, stderr, code } = await bench(args, { cwd: folder });
      expect(stdout + stderr).not.toMatch(forbidden);
      expect(stdout + stderr).not.toMatch(/\n\s+at /);
      expect(stdout.length + stderr.length).toBeGreaterThan(10);
      expect(code).not.toBeNull();
      for (const line of stderr.split("\n")) expect(line.length).toBeLessThan(1500);
    });
});

test("nobody is called and nothing is linked by a name in table.md", () => {
  for (const [name, live] of [
    ["@octocat", /@octocat/],
    ["see https://evil.example/x", /https:\/\//],
    ["www.evil.example", /www\.evil/],
    ["me@evil.example", /me@evil/],
    ["#123", /#123/],
    ["GH-77", /GH-77/],
    ["$\\frac{1}{2}$", /(?<!\\)\$/],
    ["# head", /- # head|\| # head/],
  ] as const) {
    const run = replay(
      poisoned("").map((event) => JSON.parse(JSON.stringify(event).replaceAll("Q2_K", name.replaceAll("\\", "\\\\")))),
    );
    const said = markdown(factsFrom(run, ""));
    // The command is in a block of code, where nothing is live.
    expect(said.split("## Where the figures")[0], name).not.toMatch(live);
  }
});

test("lines stay lines", () => {
  expect(harmlessLines("a\u001b[2J\nb\n")).toBe("a�[2J\nb\n");
});
