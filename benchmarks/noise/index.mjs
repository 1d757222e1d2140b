#!/usr/bin/env node
// npm run bench:noise: one build measures one model again and again; how often does the gate, or `compare`, see a change?
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const usage = `npm run bench:noise -- [options]

  --model FILE    (default ~/.cache/gguf-bench-ladder/smollm2-Q8_0.gguf)
  --pairs N       pairs of runs, one after the other (default 100); those that are there already are kept
  --out DIR       where the runs are (default reports/noise)
  --judge         measure nothing: judge the runs that are there
  --cli FILE      the build that measures (default dist/cli.js)

Each run: 4 chunks of perplexity and 5 repetitions of 32 tokens, on one thread. The first run of a pair is the baseline of the
second. Sessions: three runs in a row are held against the next three, as sessions of one run each.`;

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: path.join(os.homedir(), ".cache/gguf-bench-ladder/smollm2-Q8_0.gguf") },
    pairs: { type: "string", default: "100" },
    out: { type: "string", default: "reports/noise" },
    judge: { type: "boolean", default: false },
    cli: { type: "string", default: new URL("../../dist/cli.js", import.meta.url).pathname },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  process.stdout.write(`${usage}\n`);
  process.exit(0);
}

const pairs = Number(options.pairs);
const folder = (/** @type {number} */ pair, /** @type {string} */ side) =>
  path.join(options.out, `${String(pair).padStart(3, "0")}${side}`);

/** @param {string} cli @param {string[]} args */
function bench(cli, ...args) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [cli, ...args], { encoding: "utf8" });
  if (status === 1 || status === null) throw new Error(`gguf-bench ${args.join(" ")}: ${stderr}`);
  return { stdout, status };
}

const settings =
  "--measure perplexity,speed --text demo-en -c 128 --chunks 4 --threads 1 --prompt 0 --generate 32 --plain";

if (!options.judge)
  for (let pair = 0; pair < pairs; pair++)
    for (const side of ["a", "b"]) {
      const out = folder(pair, side);
      if (fs.existsSync(path.join(out, "run.json"))) continue;
      bench(options.cli, "run", options.model, ...settings.split(" "), "--out", out);
    }
