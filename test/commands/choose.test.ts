import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { beforeAll, describe, expect, test } from "vitest";
import { commands } from "../../dist/index.js";
import { eventsOf, type Made } from "../judge/ladders.js";
import { temporaryFolder } from "../support.js";

// Commands about runs that are there already.
const folder = temporaryFolder();

const f16 = { name: "F16", bytes: 270e6, reference: true, speed: 40 };
const q8 = { name: "Q8_0", bytes: 145e6, cost: 0.0002, speed: 60 };
const q2 = { name: "Q2_K", bytes: 88e6, cost: 0.4, speed: 90 };
const foreign = { name: "other", bytes: 100e6, cost: 0.1, tokenizer: "u" };

function written(name: string, variants: Made[], chunks = 32): string {
  const made = eventsOf(variants, { kinds: ["perplexity", "speed"], spread: 0.1, chunks });
  const out = join(folder, name);
  mkdirSync(out);
  // Ids as in a run.
  const names = variants.flatMap((one) => ["perplexity", "speed"].map((kind) => `${one.name} ${kind}`));
  const lines = made.map((event) => `${JSON.stringify(event)}\n`).join("");
  const id = (i: number) => i.toString(16).padStart(16, "0");
  writeFileSync(
    join(out, "events.jsonl"),
    names.reduce((text, one, i) => text.replaceAll(`"${one}"`, `"${id(i)}"`), lines),
  );
  return out;
}

let ladder: string;
let later: string;
beforeAll(() => {
  ladder = written("ladder", [f16, q8, q2, foreign]);
  later = written("later", [f16, { ...q8, cost: 0.03 }, q2]);
});

async function said(
  call: (where: { stdout: PassThrough; stderr: PassThrough; env: NodeJS.ProcessEnv }) => Promise<number>,
) {
  const stdout = new PassThrough();
  const code = await call({ stdout, stderr: new PassThrough(), env: {} });
  return { code, text: String(stdout.read() ?? "") };
}

describe("choose", () => {
  const choose = (asked: object) =>
    said((where) => commands.choose({ run: ladder, ...asked } as Parameters<typeof commands.choose>[0], where));

  test("exit codes say whether there is such a file", async () => {
    const found = await choose({ maxSize: 90e6 });
    expect(found).toEqual({
      code: 0,
      text: expect.stringMatching(/^Best of the files at most 90\.0 MB: Q2_K \(88\.0 MB/),
    });
    expect((await choose({ maxSize: 1e6 })).code).toBe(3);
    const few = written("few", [f16, { ...q2, cost: 0.008 }], 2);
    expect((await choose({ run: few, margin: 0.01 })).code).toBe(4);
    expect(await choose({})).toEqual({ code: 0, text: expect.stringContaining("not shown to be worse than F16") });
  });

  test("a run that another process measures is told from one that was stopped", async () => {
    const now = written("now", [f16, q8]);
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    const of = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ")[19];
    const lock = (pid: number, started: string | undefined) =>
      writeFileSync(join(now, "lock"), JSON.stringify({ pid, started, host: hostname() }));
    const stderr = new PassThrough();
    const told = async () => {
      await commands.choose({ run: now }, { stdout: new PassThrough(), stderr, env: {} });
      return String(stderr.read() ?? "");
    };
    try {
      lock(child.pid!, of(child.pid!));
      expect(await told()).toMatch(/now is being measured now by another process; this is what it has so far:\n$/);
      lock(child.pid!, "1");
      expect(await told()).toBe("");
    } finally {
      child.kill();
    }
  });

  test("--json gives the name", async () => {
    const { text } = await choose({ maxSize: 90e6, json: true });
    expect(JSON.parse(text)).toMatchObject({ outcome: "found", variant: "Q2_K" });
  });
});

describe("compare", () => {
  const compare = (a: string, b: string, metrics?: string[]) =>
    said((where) => commands.compare({ a, b, metrics } as Parameters<typeof commands.compare>[0], where));

  test("a line per metric: A, B, difference, interval, verdict; a sentence for what differs alone", async () => {
    const { text } = await compare(`${ladder}:F16`, `${ladder}:Q2_K`, ["perplexity", "tg"]);
    const [, table, sentences] = text.split("\n\n");
    expect(table!.split("\n").map((line) => line.trim().split(/ {2,}/))).toEqual([
      ["F16", "Q2_K", "difference", "95 % CI"],
      [
        "PPL",
        "31.84",
        expect.stringMatching(/^47\.\d+$/),
        expect.stringMatching(/^\+49/),
        expect.stringMatching(/ % *$/),
        "worse",
      ],
      [
        "tg128",
        expect.stringMatching(/ tok\/s$/),
        expect.stringMatching(/ tok\/s$/),
        expect.stringMatching(/^\+12\d/),
        expect.any(String),
        "better",
      ],
    ]);
    expect(sentences).toMatch(/^- Q2_K loses to F16 on PPL by 49\.\d % .*\n- Q2_K beats F16 on tg128 by 12\d/);
    const same = await compare(`${ladder}:F16`, `${ladder}:Q8_0`, ["perplexity"]);
    expect(same.text).toMatch(/ (equivalent|\w+, too small to matter)$/m);
  });

  test("runs of several variants: the variants are lines, the runs columns", async () => {
    const { text } = await compare(ladder, later, ["perplexity"]);
    expect(text).toMatch(/^variant +.*ladder +.*later +difference/m);
    expect(text).toMatch(/^F16 +PPL +31\.838 +31\.838 .* identical$/m);
    expect(text).toMatch(/^Q8_0 +PPL .* \+3\.0 % .* worse$/m);
    expect(text).toMatch(/^- Q8_0 \(.*later\) loses to Q8_0 \(.*ladder\) on PPL by 3\.0 %/m);
  });

  test("a name of a metric that people use is among those that may have been meant", async () => {
    const { hint } = await compare(`${ladder}:F16`, `${ladder}:Q2_K`, ["pppl"]).catch((error) => error);
    expect(hint).toMatch(/^Did you mean `ppl`\? /);
  });

  test("speeds that other processes disturbed in one run are told so", async () => {
    const busy = written("busy", [f16, q8]);
    const file = join(busy, "events.jsonl");
    const lines = readFileSync(file, "utf8").replaceAll(/"foreign":[\d.]+/g, '"foreign":0.9');
    writeFileSync(
      file,
      lines.includes('"foreign"')
        ? lines
        : lines.replaceAll(/("type":"samples",)(?=[^\n]*"metric":"tg128")/g, '$1"foreign":0.9,'),
    );
    const { text } = await compare(`${busy}:F16`, `${busy}:Q8_0`, ["tg"]);
    expect(text).toMatch(/likely (better|worse) †/);
    expect(text).toMatch(
      / likely [\d.]+ % (faster|slower) \(95 % CI .*not certain beside other processes; 8 repetitions\) †\./s,
    );
    expect(text.match(/other processes used/g)).toHaveLength(1);
    expect(text.replaceAll("\n", " ")).toMatch(
      /†: other processes used up to 0\.9 CPU cores while these were timed; .* so none is certain: three sessions \(--again\) show what they do/,
    );
  });

  test("what cannot be compared is said, and what can be is compared instead", async () => {
    const { text } = await compare(`${ladder}:F16`, `${ladder}:other`, ["perplexity"]);
    expect(text).toMatch(/^bits\/byte /m);
    expect(text).toMatch(/PPL is not compared: the tokenizers differ/);
  });
});
