#!/usr/bin/env node
// What workers of a queue gain: 1, 2 and 4 of them on the mock, whose batches take a fixed time, and 1 and 2 of one thread on a
// real model. Needs the build and redis-server:
//   node benchmarks/scale/queue.mjs [--model model.gguf --text book.txt] [--chunks 32]
import { spawn } from "node:child_process";
import fs from "node:fs";
import { createServer } from "node:net";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { model: { type: "string" }, text: { type: "string" }, chunks: { type: "string", default: "32" } },
});
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "gguf-bench-queue-"));
const cli = new URL("../../dist/cli.js", import.meta.url).pathname;
const server = createServer().listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
await new Promise((resolve) => server.close(resolve));
const queue = `redis://127.0.0.1:${port}`;
const redis = spawn("redis-server", ["--port", String(port), "--save", ""], { stdio: "ignore" });
/** @type {import("node:child_process").ChildProcess[]} */
const workers = [];
const say = (/** @type {string[]} */ ...cells) => process.stdout.write(`| ${cells.join(" | ")} |\n`);

function end() {
  for (const worker of workers) worker.kill("SIGKILL");
  redis.kill();
  fs.rmSync(folder, { recursive: true, force: true });
}
// Workers and Redis would outlive a script that is stopped.
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => {
    end();
    process.exit(1);
  });

/** @param {string[]} args */
function start(...args) {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text) => {
    said += text;
  });
  return { child, ended: new Promise((resolve) => child.once("exit", resolve)), said: () => said };
}

/** @param {number} count */
async function haveWorkers(count) {
  while (workers.length < count) {
    const { child, said } = start(
      "worker",
      "--queue",
      queue,
      "--models",
      path.dirname(values.model ?? folder),
      "--threads",
      "1",
    );
    workers.push(child);
    while (!said().includes("waits for work")) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * Seconds of the only job, from its beginning to its end.
 * @param {string} file
 * @param {string} name
 */
async function secondsOf(file, name) {
  const out = path.join(folder, name);
  const { ended, said } = start("run", file, "--plain", "--out", out, "--queue", queue);
  if ((await ended) !== 0) throw new Error(said());
  const events = fs.readFileSync(path.join(out, "events.jsonl"), "utf8").trimEnd().split("\n");
  return events.map((line) => JSON.parse(line)).find(({ type }) => type === "job-done").seconds;
}

/**
 * @param {string} title
 * @param {number[]} counts
 * @param {string} variant
 * @param {string} measurement
 */
async function curve(title, counts, variant, measurement) {
  const file = path.join(folder, `${title}.yaml`);
  fs.writeFileSync(file, `name: scale\nvariants:\n  a: ${variant}\nmeasurements:\n  perplexity: ${measurement}\n`);
  let alone = 0;
  for (const count of counts) {
    await haveWorkers(count);
    const seconds = await secondsOf(file, `${title}-${count}`);
    alone ||= seconds;
    const load = os.loadavg()[0]?.toFixed(1) ?? "";
    say(title, String(count), seconds.toFixed(1), (alone / count / seconds).toFixed(2), load);
  }
}

try {
  say("", "workers", "s", "efficiency", "load");
  say("---", "---:", "---:", "---:", "---:");
  const text = path.join(folder, "text.txt");
  fs.writeFileSync(text, "x".repeat(64 * 240 - 1));
  const mock = `{ model: "mock:delay=0.25,bytes=2e9", batch: 64 }`;
  await curve("mock", [1, 2, 4], mock, `{ text: ${JSON.stringify(text)}, context: 64 }`);
  if (values.model && values.text) {
    for (const worker of workers.splice(0)) worker.kill("SIGKILL");
    const [model, book] = [values.model, values.text].map((one) => JSON.stringify(path.resolve(one)));
    await curve("llama.cpp", [1, 2], `{ model: ${model}, threads: 1 }`, `{ text: ${book}, chunks: ${values.chunks} }`);
  }
} finally {
  end();
}
