import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gguf } from "@huggingface/gguf";
import { describe, expect, it } from "vitest";
import { random } from "./draws.mjs";
import { bench, eventsOf, someText, temporaryFolder, writeRandomLlama } from "./support.js";

// Files that were damaged at random or on purpose: whatever they hold, the main process stays, in bounded time, with one sentence.
// Every draw hangs on a seed; FUZZ=7 takes another one.
const seed = Number(process.env.FUZZ ?? 1);
const reader = fileURLToPath(new URL("fuzz.mjs", import.meta.url));
const folder = temporaryFolder();
const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Cs}/u;

interface Read {
  name: string;
  milliseconds: number;
  failure?: { code: string; message: string; hint?: string; stack?: string; foreseen: boolean };
}

/** Reads all of a folder in one process; a death or a hang names the one that it happened at. */
function readAll(kind: string, path: string): Read[] {
  const { stdout, signal, status, stderr } = spawnSync(process.execPath, [reader, kind, path], {
    encoding: "utf8",
    timeout: 100_000,
    maxBuffer: 2 ** 28,
  });
  const lines = stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  expect({ at: lines.at(-1)?.begun, signal, status, stderr }).toEqual({
    at: undefined,
    signal: null,
    status: 0,
    stderr: "",
  });
  return lines.filter((line) => line.name !== undefined);
}

function expectSentences(read: Read[]): void {
  const bad = read.filter(({ milliseconds, failure }) => {
    const said = failure ? [failure.message, failure.hint ?? ""] : [];
    const plain = said.every((one) => one.length < 700 && !control.test(one) && !one.includes("\n"));
    return milliseconds > 10_000 || !plain || failure?.foreseen === false;
  });
  expect(bad).toEqual([]);
}

const pick = <Value>(next: () => number, values: readonly Value[]): Value =>
  values[Math.floor(next() * values.length)]!;
const hostile = [
  "\u001b[2J",
  "\u0007",
  "\u202e",
  "\u2028",
  "__proto__",
  "constructor",
  "=1+1",
  "../../x",
  "\u0000",
  "\ud800",
];

/** A few changes between two places. */
function damaged(bytes: Buffer, from: number, to: number, next: () => number): Buffer {
  let out = Buffer.from(bytes);
  const at = () => Math.max(0, Math.min(out.length - 1, from + Math.floor(next() * (to - from))));
  for (let times = 1 + Math.floor(next() * 3); times > 0; times--)
    pick(next, [
      () => (out[at()]! ^= 1 << Math.floor(next() * 8)),
      () => (out[at()] = pick(next, [0, 1, 0x7f, 0x80, 0xff])),
      () => {
        const place = at();
        out.fill(pick(next, [0, 0xff]), place, Math.min(out.length, place + 4));
      },
      () => {
        const place = at();
        if (place + 8 <= out.length)
          out.writeBigUInt64LE(pick(next, [0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n, 2n ** 64n - 1n]), place);
      },
      () => out.write(pick(next, hostile), at()),
      () => {
        const place = at();
        const length = Math.floor(next() * 24);
        out = Buffer.concat([out.subarray(0, place), out.subarray(place + length)]);
      },
      () => {
        const place = at();
        const more = Buffer.from(pick(next, hostile).repeat(1 + Math.floor(next() * 5)));
        out = Buffer.concat([out.subarray(0, place), more, out.subarray(place)]);
      },
      () => {
        if (next() < 0.3) out = out.subarray(0, at());
      },
    ])();
  return out;
}

describe("damaged models", () => {
  const models = join(folder, "models");
  mkdirSync(models);
  const whole = writeRandomLlama(folder, "whole");
  const engines = 48;
  const each = 130;
  let accepted: string[] = [];

  it("520 of them: the header is read or refused", async () => {
    const bytes = readFileSync(whole);
    const { tensorDataOffset } = await gguf(whole, { allowLocalFile: true });
    const table = bytes.indexOf("token_embd.weight") - 8;
    const regions = {
      header: [0, 24],
      metadata: [24, table],
      tensors: [table, Number(tensorDataOffset)],
      data: [Number(tensorDataOffset), bytes.length],
    } as const;
    const next = random(seed);
    for (const [region, [from, to]] of Object.entries(regions))
      for (let i = 0; i < each; i++)
        writeFileSync(join(models, `${region}-${String(i).padStart(3, "0")}.gguf`), damaged(bytes, from, to, next));
    const read = readAll("gguf", models);
    expect(read.length).toBe(4 * each);
    expectSentences(read);
    accepted = read.flatMap(({ name, failure }) => (failure ? [] : [name]));
    expect(accepted.length).toBeGreaterThan(engines);
  });

  it(`${engines} of them that have a sound header through engines, in one run: a crash costs a cell`, async () => {
    writeFileSync(join(folder, "text.txt"), someText(6000));
    const names = Array.from({ length: engines }, (_, i) => accepted[Math.floor((i * accepted.length) / engines)]!);
    const variants = [
      `  whole: {model: ${whole}}`,
      ...names.map((name) => `  ${name}: {model: ${join(models, name)}}`),
    ];
    writeFileSync(
      join(folder, "fuzz.yaml"),
      `timeout: 30\nvariants:\n${variants.join("\n")}\nmeasurements: {perplexity: {text: text.txt, context: 64, chunks: 1}}\n`,
    );
    const out = join(folder, "engines");
    const { code, signal, stdout, stderr } = await bench(["run", join(folder, "fuzz.yaml"), "--plain", "--out", out], {
      timeout: 170_000,
    });
    expect({ signal, stderr }).toEqual({ signal: null, stderr: "" });
    expect([0, 2]).toContain(code);
    expect(stdout).not.toMatch(control);
    expect(stdout).not.toMatch(/\n\s+at /);
    const events = eventsOf(out);
    expect(events.at(-1)).toMatchObject({ type: "finished", outcome: "complete" });
    const failures = events.flatMap((event) => (event.type === "job-failed" ? [event.failure] : []));
    expect(failures.filter(({ code }) => code === "internal")).toEqual([]);
    const crashes = failures.filter(({ code }) => code === "engine-crashed").length;
    const measured = events.filter(({ type }) => type === "job-done").length;
    console.log(
      `${names.length} damaged models: ${measured - 1} measured, ${failures.length} failed, of which ${crashes} crashes of an engine were contained`,
    );
    // The sound one among them is measured.
    const sound = events
      .findLast((event) => event.type === "started")!
      .jobs.find(({ variant }) => variant === "whole")!;
    expect(events.some((event) => event.type === "job-done" && event.job === sound.id)).toBe(true);
  });
});

/** A text with lines doubled, dropped, swapped and cut, and values that belong nowhere. */
function garbled(text: string, next: () => number): Buffer {
  const values = [
    "null",
    "[]",
    "{}",
    "-1",
    ".inf",
    "1e999",
    "''",
    '"\\e[2J"',
    "&a [*a]",
    "*a",
    "true",
    "!!binary aGk=",
    "99999999999999999999",
    "- x",
    "{a: {b: [}}",
  ];
  const lines = text.split("\n");
  for (let times = 1 + Math.floor(next() * 4); times > 0; times--) {
    const at = Math.floor(next() * lines.length);
    pick(next, [
      () => lines.splice(at, 1),
      () => lines.splice(at, 0, lines[at] ?? ""),
      () =>
        lines.splice(
          at,
          0,
          `${pick(next, ["", "  ", "    "])}${pick(next, [...hostile, "x", "variants", "prompt"])}: ${pick(next, values)}`,
        ),
      () => (lines[at] = (lines[at] ?? "").replace(/:.*/, `: ${pick(next, values)}`)),
      () => (lines[at] = `${lines[at] ?? ""}${pick(next, hostile)}`),
    ])();
  }
  const bytes = Buffer.from(lines.join("\n"));
  return next() < 0.5 || bytes.length === 0 ? bytes : damaged(bytes, 0, bytes.length, next);
}

it("220 damaged benchmark files", () => {
  const files = join(folder, "benchmarks");
  mkdirSync(files);
  const text = `name: some
timeout: 60
memoryLimit: 4 GB
defaults: {threads: 2}
variants:
  "a-\${q}":
    model: "m-\${q}.gguf"
    matrix: {q: [Q8_0, Q4_K_M], exclude: [{q: Q8_0}]}
    tags: {version: 2}
    lora: [{path: x.gguf, scale: 0.5}]
  b: {model: "mock:seed=1", reference: true, batch: 64}
measurements:
  perplexity: {text: t.txt, context: 64, chunks: 3}
  divergence: {text: t.txt}
  speed:
  demo-facts-en: {limit: 5}
`;
  const next = random(seed + 1);
  for (let i = 0; i < 220; i++) writeFileSync(join(files, `b${i}.yaml`), garbled(text, next));
  const read = readAll("benchmark", files);
  expect(read.length).toBe(220);
  expectSentences(read);
});

it("220 damaged cards and their data", () => {
  const data = join(folder, "data");
  const card = `kind: choice
name: some
title: Some questions
source: nowhere
licence: MIT
format: csv
file: some.csv
prompt: "{question}"
options: [A, B]
answer: answer
continueWith: text
chance: 0.5
cluster: subject
`;
  const rows = `question,A,B,answer,subject\nWhat is it?,this,"that, or so",A,x\nAnd now?,one,two,B,y\n`;
  const next = random(seed + 2);
  for (let i = 0; i < 220; i++) {
    const place = join(data, `some-${i}`);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, "card.yaml"), i % 3 === 0 ? card : garbled(card, next));
    writeFileSync(join(place, "some.csv"), i % 3 === 1 ? rows : damaged(Buffer.from(rows), 0, rows.length, next));
  }
  const read = readAll("card", data);
  expect(read.length).toBe(220);
  expectSentences(read);
});

it("210 damaged run folders", async () => {
  const source = join(folder, "source");
  writeFileSync(join(folder, "text.txt"), someText(6000));
  writeFileSync(
    join(folder, "run.yaml"),
    "variants:\n  a: {model: 'mock:seed=1', reference: true}\n  b: {model: 'mock:seed=1,damage=0.3'}\nmeasurements:\n  perplexity: {text: text.txt, context: 64, chunks: 12}\n  divergence: {text: text.txt, context: 64, chunks: 12}\n  speed: {repetitions: 2}\n",
  );
  expect((await bench(["run", join(folder, "run.yaml"), "--out", source, "--plain"])).code).toBe(0);
  const runs = join(folder, "runs");
  const next = random(seed + 3);
  const events = readFileSync(join(source, "events.jsonl"));
  const tokens = readdirSync(join(source, "tokens"));
  const lines = [
    "null",
    "42",
    '"x"',
    "[]",
    "{}",
    '{"type":"started"}',
    '{"type":"samples","job":"__proto__","item":"0","samples":null}',
    '{"type":"job-done","job":7}',
    '{"type":"finished"}',
    '{"type":"later","at":1}',
  ];
  for (let i = 0; i < 210; i++) {
    const place = join(runs, `run-${String(i).padStart(3, "0")}`);
    cpSync(source, place, { recursive: true });
    const file = join(place, "events.jsonl");
    const token = join(place, "tokens", pick(next, tokens));
    const rewritten = (change: (text: string) => string) => writeFileSync(file, change(events.toString()));
    const spliced = (...change: [deleted: number, ...added: string[]]) =>
      rewritten((text) =>
        text
          .split("\n")
          .toSpliced(Math.floor(next() * 40), ...change)
          .join("\n"),
      );
    pick(next, [
      () => writeFileSync(file, damaged(events, 0, events.length, next)),
      () => spliced(1),
      () => spliced(0, pick(next, lines)),
      () =>
        rewritten((text) =>
          text.replaceAll(
            pick(next, ['"perplexity"', '"b"', '"nll"', '"value"', '"weight"', ":1,", "null"]),
            pick(next, ['"constructor"', '"__proto__"', "null", "-1", '"\\u001b[2J"', "1e999"]),
          ),
        ),
      () => writeFileSync(token, damaged(readFileSync(token), 0, readFileSync(token).length, next)),
      () => writeFileSync(token, readFileSync(token).subarray(0, Math.floor(next() * 200))),
      () =>
        writeFileSync(
          join(place, "lock"),
          pick(next, ["null", "", "[]", '{"pid":-1}', '{"pid":"x","started":1,"host":{}}', "x".repeat(1000)]),
        ),
    ])();
  }
  const read = readAll("run", runs);
  expect(read.length).toBe(210);
  expectSentences(read);
  // What the reports of damaged runs say reaches no terminal either.
  for (const name of read.filter(({ failure }) => !failure).map(({ name }) => name)) {
    const table = readFileSync(join(runs, name, "table.md"), "utf8");
    expect(table, name).not.toMatch(control);
  }
});
