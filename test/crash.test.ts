import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { random } from "./draws.mjs";
import {
  ceval,
  eventsOf,
  qualityRows,
  sleep,
  smollm2,
  someQuestions,
  someText,
  start,
  temporaryFolder,
  writeRandomLlama,
} from "./support.js";

// kill −9 at any moment, the same command again, as often as it takes: the tables are those of the uninterrupted run.
// KILLS=30 kills the runs of real engines that often, too.
const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(60));

/** All that a run folder holds of the quality: rows of the tables and per-token values. */
function quality(out: string) {
  const tokens = readdirSync(join(out, "tokens")).sort();
  const wide = readFileSync(join(out, "table.csv"), "utf8")
    .trimEnd()
    .split("\n")
    .map((row) => row.split(","));
  const kept = wide[0]!.map((name) => !/^(pp|tg)\d|^load_time|peak_memory/.test(name));
  return {
    long: qualityRows(out),
    wide: wide.map((row) => row.filter((_, i) => kept[i]).join(",")),
    tokens: tokens.map((name) => `${name} ${readFileSync(join(out, "tokens", name)).toString("base64")}`),
    items: eventsOf(out).flatMap((event) =>
      event.type === "samples" && event.item !== "peak_memory" ? [`${event.job} ${event.item}`] : [],
    ),
  };
}

/** `fresh`: each campaign has a cache of its own, in which nothing is fetched or quantized yet. */
async function survives(
  name: string,
  file: string,
  kills: number,
  seed: number,
  { fresh = false, dataDir = "" } = {},
): Promise<void> {
  const env = (out: string) => (fresh ? { env: { GGUF_BENCH_CACHE: `${out}-cache` } } : {});
  const data = dataDir ? ["--data-dir", dataDir] : [];
  const command = (out: string) => ["run", file, "--plain", "--out", out, ...data];
  const reference = join(folder, `${name}-whole`);
  const began = Date.now();
  const whole = await start(command(reference), env(reference)).ended;
  expect({ code: whole.code, stderr: whole.stderr }).toEqual({ code: 0, stderr: "" });
  const wall = Date.now() - began;
  const expected = quality(reference);
  expect(new Set(expected.items).size).toBe(expected.items.length);

  const next = random(seed);
  let killed = 0;
  let inside = 0;
  for (let campaign = 0; killed < kills; campaign++) {
    const out = join(folder, `${name}-${campaign}`);
    for (;;) {
      const before = eventsOf(out).filter((event) => event.type === "samples").length;
      const { child, ended } = start(command(out), env(out));
      // Later and later, so that a campaign ends; but the moment is the clock's, not the program's.
      const timer = setTimeout(() => child.kill("SIGKILL"), killed < kills ? next() * wall : 1e9);
      const outcome = await ended;
      clearTimeout(timer);
      if (outcome.signal === "SIGKILL") {
        killed++;
        if (eventsOf(out).filter((event) => event.type === "samples").length > before) inside++;
        continue;
      }
      expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: "" });
      break;
    }
    const got = quality(out);
    expect(got.long).toEqual(expected.long);
    expect(got.wide).toEqual(expected.wide);
    expect(got.tokens.length).toBe(expected.tokens.length);
    expect(got.tokens.every((file, i) => file === expected.tokens[i])).toBe(true);
    // Every item once: nothing lost, nothing measured twice, but for rounds of timings that a kill cut: they are timed anew as a whole.
    const isTimed = (item: string) => / (pp|tg)\d/.test(item);
    const once = got.items.filter((item, i) => !isTimed(item) || got.items.indexOf(item) === i);
    expect(once.sort()).toEqual([...expected.items].sort());
  }
  process.stdout.write(`${name}: ${killed} kills, ${inside} of them after new samples\n`);
  expect(inside).toBeGreaterThan(0);
}

const file = (name: string, yaml: string) => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.yaml`), yaml);
  return join(folder, `${name}.yaml`);
};
const kills = Number(process.env.KILLS ?? 0);

/** Three subjects of a task whose questions stand behind five solved ones of their own subject. */
function writeTask(to: string): void {
  for (const [subject, count] of [
    ["cats", 14],
    ["dogs", 9],
    ["owls", 12],
  ] as const) {
    const row = (i: number, split: string) =>
      `${split} ${i}: how many ${subject}?,${i},${i + 1} or so,about ${i + 2},${i + 3},${"ABCD"[(i * 7) % 4]}`;
    for (const [split, rows] of [
      ["dev", 5],
      ["val", count],
    ] as const) {
      mkdirSync(join(to, split), { recursive: true });
      const lines = Array.from({ length: rows }, (_, i) => row(i, split));
      writeFileSync(join(to, split, `${subject}.csv`), `question,A,B,C,D,answer\n${lines.join("\n")}\n`);
    }
  }
  writeFileSync(
    join(to, "card.yaml"),
    `name: sums
kind: choice
title: How many
source: https://example.org
licence: MIT
splits: {dev: "dev/{subject}.csv", val: "val/{subject}.csv"}
split: val
format: csv
options: [A, B, C, D]
answer: answer
answerIs: letter
shots: 5
examples: {split: dev}
style: texts
styles:
  texts: {heading: "On {subject}.\\n\\n", prompt: "{question}"}
  letters: {heading: "On {subject}.\\n", prompt: "{question}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\nAnswer:", continueWith: letter}
`,
  );
}

describe("killed and run again", () => {
  it("the mock", { timeout: 600_000 }, async () => {
    const matrix = file(
      "mock",
      `
variants:
  a: {model: "mock:seed=1,delay=0.02", threads: 1, reference: true}
  b: {model: "mock:seed=1,damage=0.1,delay=0.02", threads: 1}
measurements:
  perplexity: {text: text.txt, context: 64}
  short: {measurement: perplexity, text: text.txt, context: 32, chunks: 40}
  long: {measurement: perplexity, text: text.txt, context: 5000}
  hellaswag: {file: questions.txt}
  speed: {prompt: 8, generate: 2, repetitions: 3}
`,
    );
    await survives("mock", matrix, kills || 25, 1);
  });

  it("llama.cpp with random weights", { timeout: 900_000 }, async () => {
    for (const seed of [1, 2]) writeRandomLlama(folder, `random-${seed}`, { seed });
    const matrix = file(
      "llama",
      `
defaults: {threads: 1}
variants:
  a: {model: random-1.gguf, reference: true}
  b: {model: random-2.gguf}
measurements:
  perplexity: {text: text.txt, context: 128}
  hellaswag: {file: questions.txt}
`,
    );
    await survives("llama", matrix, kills || 6, 2);
  });

  it("a task of subjects, five solved questions before each", { timeout: 900_000 }, async () => {
    writeTask(join(folder, "sums"));
    const matrix = file(
      "task",
      `
defaults: {threads: 1}
variants:
  a: {model: random-1.gguf, reference: true}
  b: {model: random-2.gguf}
measurements:
  sums: {dataset: ./sums}
  letters: {measurement: choice, dataset: ./sums, style: letters}
`,
    );
    for (const seed of [1, 2]) writeRandomLlama(folder, `random-${seed}`, { seed });
    await survives("task", matrix, kills || 10, 5);
  });

  it.skipIf(!smollm2 || !ceval || !kills)(
    `C-Eval with five shots on SmolLM2 (where KILLS is set${ceval ? "" : "; its data are not here"})`,
    { timeout: 3_600_000 },
    async () => {
      // As many subjects and questions as take seconds.
      const matrix = file(
        "ceval",
        `
variants:
  model: {model: ${JSON.stringify(smollm2)}}
measurements:
  ceval: {shots: 5, subjects: [discrete_mathematics, middle_school_geography], limit: 12}
`,
      );
      await survives("ceval", matrix, kills, 6, { dataDir: dirname(ceval!) });
    },
  );

  it("models that are fetched and quantized on the way", { timeout: 900_000 }, async () => {
    const bytes = readFileSync(writeRandomLlama(folder, "far", { seed: 3 }));
    // A slow server: kills fall into the download, too.
    const server = createServer(async (request, response) => {
      const from = Number(request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, {
        etag: '"far"',
        "content-length": bytes.length - from,
        ...(from > 0 ? { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
      });
      const piece = Math.ceil(bytes.length / 40);
      if (request.method !== "HEAD")
        for (let at = from; at < bytes.length && !response.destroyed; at += piece) {
          response.write(bytes.subarray(at, at + piece));
          await sleep(50);
        }
      response.end();
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    writeRandomLlama(folder, "near", { seed: 1 });
    const matrix = file(
      "prepared",
      `
defaults: {threads: 1}
variants:
  near: {model: near.gguf, reference: true}
  small: {model: near.gguf, quantize: Q8_0}
  far: {model: "http://127.0.0.1:${(server.address() as AddressInfo).port}/far.gguf"}
measurements:
  perplexity: {text: text.txt, context: 128, chunks: 8}
  divergence: {text: text.txt, context: 128, chunks: 8, floor: 0}
  hellaswag: {file: questions.txt, limit: 20}
`,
    );
    try {
      await survives("prepared", matrix, kills || 6, 4, { fresh: true });
    } finally {
      server.close().closeAllConnections();
    }
  });

  it.skipIf(!smollm2 || !kills)("llama.cpp with SmolLM2 (where KILLS is set)", { timeout: 3_600_000 }, async () => {
    const matrix = file(
      "smollm2",
      `
variants:
  model: {model: ${JSON.stringify(smollm2)}}
measurements:
  perplexity: {text: text.txt, context: 256, chunks: 8}
  hellaswag: {file: questions.txt, limit: 20}
`,
    );
    await survives("smollm2", matrix, kills, 3);
  });
});
