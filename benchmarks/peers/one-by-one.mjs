#!/usr/bin/env node
// The questions of a task, answered one prompt at a time: what a runner without shared prefixes and batches does.
//
//   node benchmarks/peers/one-by-one.mjs --model FILE --dataset ceval [--subjects a,b] [--limit N] [--data-dir DIR]
//     [--server URL]    asks a llama-server that runs, one prompt at a time, by the bias on one token
//     [--together]      as the product does, for the two to be compared
//     [--count] counts tokens alone   [--threads N] [--ubatch N] [--shots N]
//
// Prints JSON: the answers, and the seconds that they took; or the tokens of one prompt for each question beside those that
// the product decodes for all.
import { parseArgs } from "node:util";
import { findBackend } from "../../dist/backends/index.js";
import { cells } from "../../dist/backends/option-cut.js";
import { byTokens } from "../../dist/backends/options.js";
import { dataKinds } from "../../dist/data/index.js";

const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    dataset: { type: "string" },
    subjects: { type: "string" },
    shots: { type: "string" },
    limit: { type: "string", default: "1000000" },
    "data-dir": { type: "string" },
    server: { type: "string" },
    together: { type: "boolean", default: false },
    count: { type: "boolean", default: false },
    threads: { type: "string", default: "2" },
    ubatch: { type: "string", default: "512" },
  },
});

const entry = {
  dataset: options.dataset,
  ...(options.subjects ? { subjects: options.subjects.split(",") } : {}),
  ...(options.shots ? { shots: Number(options.shots) } : {}),
};
const folders = { baseDir: process.cwd(), ...(options["data-dir"] ? { dataDir: options["data-dir"] } : {}) };
const { items, delimiter } = await dataKinds.choice.resolve(entry, folders);
const questions = items
  .slice(0, Number(options.limit))
  .map((item) => ({ ...item, delimiter, ...(item.cluster === undefined ? {} : { group: item.cluster }) }));

const settings = { threads: Number(options.threads), ubatch: Number(options.ubatch) };
const llama = await findBackend("llama");
const inProcess = () => llama.open({ name: "v", model: options.model, backend: "llama", settings });
const engine = options.server ? await served() : await inProcess();

async function served() {
  const backend = await findBackend("openai");
  const settings = { url: options.server, concurrency: 1 };
  return backend.open({ name: "v", model: "", backend: "openai", settings });
}

const answers = [];
const started = performance.now();
const used = process.cpuUsage();
const asked = { done: new Set(), progress() {} };
if (options.count) {
  // Nothing is decoded.
} else if (options.together) for await (const one of engine.options.score(questions, asked)) answers.push(one);
else
  for (const { group: _, ...question } of questions)
    for await (const one of engine.options.score([question], asked)) answers.push(one);
const seconds = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(used).user / 1e6;

const gold = new Map(items.map((item) => [item.id, item.gold]));
const first = (scores) => scores.indexOf(Math.max(...scores));
process.stdout.write(
  `${JSON.stringify({
    seconds,
    cpu,
    ...(options.count ? { tokens: await tokens() } : {}),
    answers: answers.map(({ id, unanswerable, options }) => {
      const scores = options.map(({ sum }) => sum);
      return { id, ...(unanswerable ? { unanswerable } : { scores, prediction: first(scores) }), gold: gold.get(id) };
    }),
  })}\n`,
);
await engine.close();
process.exit(0);

/** Of one prompt for each question, and of what is decoded for all. */
async function tokens() {
  let decoded = 0;
  let alone = 0;
  let start;
  const known = new Map();
  const tokenize = (text) => {
    if (!known.has(text)) known.set(text, engine.windows.tokenize(text, true));
    return known.get(text);
  };
  const counting = (shared) => ({
    batch: { tokens: Number(options.ubatch), options: 64 },
    trainedContext: 0,
    chats: false,
    converse: () => Promise.reject(new Error("conversations are not counted")),
    tokenize,
    score: async (requests, _, begun = new Int32Array(0)) => {
      if (shared && begun !== start) decoded += begun.length;
      start = begun;
      if (shared) decoded += cells(requests);
      else alone += cells(requests);
      return requests.map(({ prefix, scoreFrom, options, skip }) =>
        options.map(({ length }, i) => new Float64Array(prefix.length - scoreFrom + length - (skip?.[i] ?? 0))),
      );
    },
  });
  for await (const _ of byTokens(counting(true)).score(questions, asked));
  for (const { group: _, ...question } of questions)
    for await (const __ of byTokens(counting(false)).score([question], asked));
  return { decoded, alone };
}
