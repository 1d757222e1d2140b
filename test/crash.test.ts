import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { Crew } from "./crew.js";
import { blows, type Campaign, survives } from "./interruptions.js";
import { hasRedis } from "./redis.js";
import { ceval, sleep, smollm2, someQuestions, someText, temporaryFolder, writeRandomLlama } from "./support.js";

// Killed, stopped or bereft of its engine at any moment, the same command again, as often as it takes: the tables are those of the
// undisturbed run. KILLS=200 interrupts each matrix that often; -t "the mock" and others by their names.
const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(60));

const file = (name: string, yaml: string) => {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.yaml`), yaml);
  return join(folder, `${name}.yaml`);
};
const kills = Number(process.env.KILLS ?? 0);

/** Two models of random weights, measured in chunks of so many tokens. */
function randomModels(name: string, context: number): string {
  for (const seed of [1, 2]) writeRandomLlama(folder, `random-${seed}`, { seed });
  return file(
    name,
    `
defaults: {threads: 1}
variants:
  a: {model: random-1.gguf, reference: true}
  b: {model: random-2.gguf}
measurements:
  perplexity: {text: text.txt, context: ${context}}
  divergence: {text: text.txt, context: 128, chunks: 20, floor: 0}
  hellaswag: {file: questions.txt}
`,
  );
}

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

/** The main process, workers, their engines and Redis are struck. */
async function byWorkers(campaign: Campaign): Promise<void> {
  const crew = await new Crew(folder).start();
  try {
    const { redis, excuses } = crew;
    const { "engine killed": _, ...ofMain } = blows;
    await survives({
      ...{ ...campaign, blows: { ...ofMain, ...crew.blows }, more: ["--queue", redis.url] },
      ...{ ready: () => crew.ready(), excuses },
    });
    expect(crew.unforeseen).toEqual([]);
  } finally {
    await crew.end();
  }
}

describe("killed and run again", () => {
  it("the mock", { timeout: 3_600_000 }, async () => {
    const matrix = file(
      "mock",
      `
variants:
  a: {model: "mock:seed=1,delay=0.02", threads: 1, reference: true}
  b: {model: "mock:seed=1,damage=0.1,delay=0.02", threads: 1}
measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64, chunks: 60, floor: 0}
  short: {measurement: perplexity, text: text.txt, context: 32, chunks: 40}
  long: {measurement: perplexity, text: text.txt, context: 5000}
  hellaswag: {file: questions.txt}
  speed: {prompt: 8, generate: 2, repetitions: 3}
`,
    );
    await survives({ folder, name: "mock", file: matrix, strikes: kills || 25, seed: 1 });
  });

  it.skipIf(!hasRedis)("the mock, by workers of a queue", { timeout: 3_600_000 }, async () => {
    const matrix = file(
      "mock-queue",
      `
variants:
  a: {model: "mock:seed=1,delay=0.03,bytes=6e8", batch: 64, reference: true}
  b: {model: "mock:seed=1,damage=0.1,delay=0.03,bytes=6e8", batch: 64}
measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64, chunks: 60, floor: 0}
  hellaswag: {file: questions.txt}
  speed: {prompt: 8, generate: 2, repetitions: 3}
`,
    );
    await byWorkers({ folder, name: "mock-queue", file: matrix, strikes: kills || 8, seed: 7 });
  });

  it.skipIf(!hasRedis)("llama.cpp with random weights, by workers of a queue", { timeout: 3_600_000 }, async () => {
    const matrix = randomModels("llama-queue", 64);
    await byWorkers({ folder, name: "llama-queue", file: matrix, strikes: kills || 4, seed: 8 });
  });

  it("llama.cpp with random weights", { timeout: 3_600_000 }, async () => {
    const matrix = randomModels("llama", 128);
    await survives({ folder, name: "llama", file: matrix, strikes: kills || 6, seed: 2 });
  });

  it("a task of subjects, five solved questions before each", { timeout: 3_600_000 }, async () => {
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
    await survives({ folder, name: "task", file: matrix, strikes: kills || 10, seed: 5 });
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
      const more = ["--data-dir", dirname(ceval!)];
      await survives({ folder, name: "ceval", file: matrix, strikes: kills, seed: 6, more });
    },
  );

  it("models that are fetched and quantized on the way", { timeout: 3_600_000 }, async () => {
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
      await survives({ folder, name: "prepared", file: matrix, strikes: kills || 6, seed: 4, fresh: true });
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
    await survives({ folder, name: "smollm2", file: matrix, strikes: kills, seed: 3 });
  });
});
