#!/usr/bin/env node
// npm run bench:scale: what a report of very many samples takes, and how fast a run's folder is written. Needs the build.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Store } from "../../dist/store/index.js";
import { runProcess } from "../peers/process.mjs";
import { generate } from "./generate.mjs";

const usage = `npm run bench:scale -- [options]

  --samples N,N   sizes of the runs (default 500000,1000000,5000000: 2.7 GB of disk)
  --folder DIR    where they are made (default a temporary folder, removed in the end)`;

const { values } = parseArgs({
  options: {
    samples: { type: "string", default: "500000,1000000,5000000" },
    folder: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(`${usage}\n`);
  process.exit(0);
}
const folder = values.folder ?? fs.mkdtempSync(path.join(os.tmpdir(), "gguf-bench-scale-"));
const say = (/** @type {string[]} */ ...cells) => process.stdout.write(`| ${cells.join(" | ")} |\n`);
const cli = new URL("../../dist/cli.js", import.meta.url).pathname;

try {
  say("samples", "MB of events", "wall s", "CPU s", "peak MB");
  say("---:", "---:", "---:", "---:", "---:");
  for (const size of values.samples.split(",").map(Number)) {
    const run = path.join(folder, String(size));
    const { samples, bytes } = generate(run, size);
    const { wall, user, system, peak, code, stderr } = await runProcess({
      command: process.execPath,
      args: [cli, "report", run],
    });
    if (code !== 0) throw new Error(stderr);
    const figures = [wall, user + system, peak / 1e6].map((value, i) => value.toFixed(i < 2 ? 1 : 0));
    say(samples.toLocaleString("en"), (bytes / 1e6).toFixed(0), ...figures);
    fs.rmSync(run, { recursive: true });
  }
  process.stdout.write("\n");
  say("appended", "events/s", "longest ms");
  say("---", "---:", "---:");
  // A question; a chunk of perplexity; a chunk of divergence, with the values of 255 tokens in six files.
  const names = ["nll", "nll_reference", "kld", "delta_p", "top", "top_reference"];
  for (const [name, kept, count] of /** @type {[string, string[], number][]} */ ([
    ["questions", [], 20_000],
    ["chunks", names.slice(0, 1), 5000],
    ["chunks of divergence", names, 2000],
  ]))
    say(name, ...append(path.join(folder, "appended"), kept, count));
} finally {
  if (values.folder === undefined) fs.rmSync(folder, { recursive: true, force: true });
}

/** @param {string} run @param {string[]} kept @param {number} count */
function append(run, kept, count) {
  const store = Store.open(run);
  const kinds = /** @type {Record<string, any>} */ ({
    nll: Float64Array,
    nll_reference: Float64Array,
    top: Int32Array,
    top_reference: Int32Array,
  });
  const began = performance.now();
  let longest = 0;
  for (let item = 0; item < count; item++) {
    const before = performance.now();
    store.append({
      type: "samples",
      job: "job",
      item: String(item),
      samples: ["acc", "acc_norm", "acc_token"].map((metric) => ({ metric, value: item % 2, weight: 1 })),
      ...(kept.length > 0
        ? { tokens: Object.fromEntries(kept.map((name) => [name, new (kinds[name] ?? Float32Array)(255)])) }
        : {}),
      detail: { scores: [-1.25, -2.5, -3.75, -5], tokens: [7, 7, 7, 7] },
    });
    longest = Math.max(longest, performance.now() - before);
  }
  store.close();
  const seconds = (performance.now() - began) / 1000;
  fs.rmSync(run, { recursive: true });
  return [Math.round(count / seconds).toLocaleString("en"), longest.toFixed(1)];
}
