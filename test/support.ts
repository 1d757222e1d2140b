import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { type Backend, contextsOf } from "../dist/backends/backend.js";
import type { ChoiceItem } from "../dist/data/index.js";
import type { StoredEvent } from "../dist/events.js";
import type { ModelSource } from "../dist/models/preparation.js";
import { random } from "./draws.mjs";
import { randomLlama } from "./models/random-llama.js";

const root = fileURLToPath(new URL("..", import.meta.url));
export const cli = join(root, "dist", "cli.js");

/** A folder that goes when the test file is through. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "gguf-bench-test-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** The command line as users have it, but with a cache of its own. */
export function start(args: string[], options: SpawnOptions & { nodeArgs?: string[] } = {}): Started {
  const { nodeArgs = [], env, ...rest } = options;
  const child = spawn(process.execPath, [...nodeArgs, cli, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    ...rest,
    env: { ...process.env, NO_COLOR: "1", ...env },
  });
  const read = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const)
    child[stream]?.setEncoding("utf8").on("data", (text: string) => {
      read[stream] += text;
    });
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...read }));
  });
  return { child, ended, output: read };
}

export interface Started {
  child: ChildProcess;
  ended: Promise<Outcome>;
  /** What it has said so far. */
  output: { stdout: string; stderr: string };
}

export function bench(args: string[], options: SpawnOptions & { nodeArgs?: string[] } = {}): Promise<Outcome> {
  return start(args, options).ended;
}

/** A model that is here, as a backend finds it. */
export async function here(backend: Backend, source: ModelSource, baseDir: string, settings = {}) {
  const found = await backend.locate(source, { baseDir }, settings);
  if (found.state !== "ready") throw new Error(`${source.model} is to be made first`);
  return found;
}

export const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function until(what: string, condition: () => boolean, seconds = 30): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !condition(); await sleep(10))
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`);
}

/** Stored events, whole lines only. */
export function eventsOf(folder: string): StoredEvent[] {
  const file = join(folder, "events.jsonl");
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

/** The last word on every variant and measurement: its failure's message, or "done". */
export function verdicts(events: StoredEvent[]): Record<string, string> {
  const started = events.findLast((event) => event.type === "started" || event.type === "planned")!;
  return Object.fromEntries(
    started.jobs.map((job) => {
      const last = events.findLast(
        (event) => (event.type === "job-done" || event.type === "job-failed") && event.job === job.id,
      );
      const said =
        last?.type === "job-failed" ? last.failure.message : last ? "done" : (job.impossible ?? "never begun");
      return [`${job.variant} ${job.measurement}`, said];
    }),
  );
}

/** A benchmark file of these variants and measurements, each a line of YAML. */
export function writeMatrix(
  folder: string,
  name: string,
  variants: Record<string, string>,
  measured: string[],
): string {
  const path = join(folder, `${name}.yaml`);
  const lines = Object.entries(variants).map(([variant, said]) => `  ${variant}: {${said}}\n`);
  writeFileSync(path, `variants:\n${lines.join("")}measurements:\n${measured.map((one) => `  ${one}\n`).join("")}`);
  return path;
}

/** Processes that one has started, not those that they have; none of one that is gone. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/).filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Rows of table-long.csv that do not depend on the clock or on memory: what every run of a matrix must agree on. */
export function qualityRows(folder: string): string[] {
  const rows = readFileSync(join(folder, "table-long.csv"), "utf8").trimEnd().split("\n");
  return rows.filter((row) => {
    const [, , measurement, , metric] = row.split(",");
    return measurement !== "speed" && metric !== "load_time" && metric !== "peak_memory";
  });
}

/** English, Chinese, accents and emoji, and no two parts alike: `count` characters. */
export function someText(count: number, seed = 1): string {
  const next = random(seed);
  const words = "the of and model weight café naïve 模型 量化 困惑度 🦙 🧮 to in = 3.14 (x) \n".split(" ");
  let out = "";
  while (out.length < count) out += `${words[Math.floor(next() * words.length)]} `;
  // No half of a character at the end: no text in UTF-8 has one, and a server refuses it.
  return out.slice(0, count).replace(/[\ud800-\udbff]$/, "");
}

/** Questions in the six lines of llama.cpp's --hellaswag. */
export function someQuestions(count: number, seed = 2): string {
  const next = random(seed);
  const word = () =>
    ["cat", "dog", "runs", "sleeps", "猫", "quickly", "home", "🦙", "reads", "a book"][Math.floor(next() * 10)];
  const phrase = (words: number) => Array.from({ length: words }, word).join(" ");
  return Array.from({ length: count }, (_, i) => [
    `Question ${i}: ${phrase(6)}`,
    Math.floor(next() * 4),
    // Distinct by their numbers; some are a single token, some long.
    ...[0, 1, 2, 3].map((option) => (option === 0 ? "x" : `${phrase(1 + Math.floor(next() * 6))} ${option}`)),
  ])
    .flat()
    .map((line) => `${line}\n`)
    .join("");
}

export function writeRandomLlama(
  folder: string,
  name: string,
  options: Parameters<typeof randomLlama>[0] = {},
): string {
  const path = join(folder, `${name}.gguf`);
  writeFileSync(path, randomLlama(options));
  return path;
}

/** The first of these files that is there, looked for from the repository's root. */
function found(...paths: (string | undefined)[]): string | undefined {
  return paths.filter((path) => path !== undefined).find((path) => existsSync(path));
}

/** A model that says something, where the machine has it. */
export const smollm2 = found(
  process.env.GGUF_BENCH_TEST_MODEL,
  join(root, "../shared/models/smollm2-135m-instruct-Q4_1.gguf"),
);
export const wikitext = found(
  process.env.GGUF_BENCH_TEST_TEXT,
  join(root, "../shared/datasets/wikitext-2/wiki.test.raw"),
);
/** C-Eval's folder of splits. */
export const ceval = found(process.env.GGUF_BENCH_TEST_CEVAL, join(root, "../shared/datasets/ceval"));
const peers = process.env.BENCH_PEERS ?? join(homedir(), ".cache", "bench-peers");
/** llama-perplexity linked to the libraries that the package ships. */
export const llamaPerplexity = found(join(peers, "same-library", "llama-perplexity"));
/** llama-perplexity as it was built for this processor, and its libraries. */
export const native = found(join(peers, "bin", "llama-perplexity"))
  ? { llamaPerplexity: join(peers, "bin", "llama-perplexity"), libraries: join(peers, "lib") }
  : undefined;
/** llama.cpp's server, built for this processor. */
export const llamaServer = found(join(peers, "bin", "llama-server"));
/** What llama.cpp printed elsewhere, and where the models that it was asked of may be: smollm2-F16.gguf … */
export const golden = found(join(root, "../shared/golden/smollm2"));
export const ladder = process.env.GGUF_BENCH_MODELS ?? join(homedir(), ".cache", "gguf-bench-ladder");

/** The text that all options of a question continue. */
export function contextOf(item: ChoiceItem): string {
  const [context, ...others] = contextsOf(item);
  if (context !== undefined && others.length === 0) return context;
  throw new Error(`question ${item.id} has no single context`);
}
