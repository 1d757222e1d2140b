#!/usr/bin/env node
// npm run bench:noise: one build measures one model again and again; how often does the gate, or `compare`, see a change?
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { readSeries } from "../../dist/baseline.js";
import { comparability, loadApart } from "../../dist/judge/index.js";
import { compare, share } from "../../dist/stats/estimate.js";
import { location } from "../../dist/stats/location.js";
import { clustersIn } from "../../dist/stats/series.js";

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

const finished = [...Array(pairs).keys()].filter((pair) =>
  ["a", "b"].every((side) => fs.existsSync(path.join(folder(pair, side), "run.json"))),
);
const hasSpeed = (/** @type {number} */ pair) => ["a", "b"].every((side) => speedOf(pair, side).missing === undefined);
const here = finished.filter(hasSpeed);
if (here.length < finished.length)
  process.stdout.write(
    `left out, because a run has no speed: ${finished.length - here.length} of ${finished.length} pairs\n`,
  );
const own = new URL("../../dist/cli.js", import.meta.url).pathname;
const outcomes = /** @type {const} */ ({ 0: "passed", 3: "failed", 4: "undecided" });

/** Counts by what each of some pairs gave. @param {string} what @param {(string | undefined)[]} found */
function told(what, found) {
  const counts = new Map();
  for (const one of found) counts.set(one, (counts.get(one) ?? 0) + 1);
  const alarms = counts.get("failed") ?? counts.get("different") ?? 0;
  const { low, high } = share("acc", alarms, found.length);
  const range = `${(100 * low).toFixed(1)} … ${(100 * high).toFixed(1)} %`;
  const others = [...counts].map(([name, count]) => `${name} ${count}`).sort();
  process.stdout.write(`${what}: false alarms ${alarms} of ${found.length} (95 % CI ${range}); ${others.join(", ")}\n`);
}

/** @param {number} pair @param {string} rule */
function gated(pair, rule) {
  const baseline = path.join(options.out, "baseline.jsonl");
  bench(own, "baseline", folder(pair, "a"), "--out", baseline);
  const { status } = bench(own, "gate", folder(pair, "b"), "--baseline", baseline, "--rule", rule);
  return outcomes[/** @type {0 | 3 | 4} */ (status)];
}

for (const rule of ["tg: -3%", "perplexity: +0%"])
  told(
    `one run against the next, ${rule}`,
    here.map((pair) => gated(pair, rule)),
  );

const speeds = new Map(
  here.flatMap((pair) => ["a", "b"].map((side) => /** @type {const} */ ([`${pair}${side}`, speedOf(pair, side)]))),
);

/** @param {number} pair @param {string} side */
function speedOf(pair, side) {
  const found = readSeries(folder(pair, side)).find(({ job }) => job.kind === "speed");
  if (!found) throw new Error(`${folder(pair, side)} has no speed`);
  return found;
}

/** Runs as the sessions of one. @param {string[]} names */
function together(names) {
  const all = names.map((name) => /** @type {NonNullable<ReturnType<typeof speedOf>>} */ (speeds.get(name)));
  const [first] = all;
  if (!first) throw new Error("no runs");
  const clusters = new Map();
  const observations = all.flatMap((one, session) =>
    (one.observations.get("tg32") ?? []).map((each) => {
      const item = `${session}/${each.item}`;
      clusters.set(item, `session ${session}`);
      return { ...each, item };
    }),
  );
  const loads = all.map((one) => one.foreign ?? 0);
  const foreign = loads.reduce((sum, one) => sum + one, 0) / all.length;
  return { ...first, foreign, loads, clusters, observations: new Map([["tg32", observations]]) };
}

/** @param {string[]} a @param {string[]} b @param {boolean} quiet whether what others did is left out */
function compared(a, b, quiet = false) {
  const [one, other] = [a, b].map((names) => ({ ...together(names), ...(quiet ? { foreign: 0, loads: [0] } : {}) }));
  const { refused, paired } = comparability("tg32", one, other, { across: true });
  if (refused !== undefined) return "refused";
  const runs = clustersIn(one, other);
  const found = compare("tg32", one.observations.get("tg32") ?? [], other.observations.get("tg32") ?? [], {
    paired,
    ...(runs ? { clusters: runs } : {}),
  });
  if (Number.isNaN(found.p)) return "cannot tell";
  if (found.p >= 0.05) return "no difference";
  return loadApart("tg32", found, one, other) === undefined
    ? "different"
    : "likely, not certain beside other processes";
}

const threes = [...Array(Math.floor(here.length / 3)).keys()].map((i) => [3 * i, 3 * i + 1, 3 * i + 2]);
const named = (/** @type {number[]} */ places, /** @type {string} */ side) =>
  places.map((place) => `${here[place]}${side}`);
told(
  "compare, one run against the next",
  here.map((pair) => compared([`${pair}a`], [`${pair}b`])),
);
told(
  "  the same with no eye for other processes",
  here.map((pair) => compared([`${pair}a`], [`${pair}b`], true)),
);
told(
  "compare, three runs against three, interleaved",
  threes.map((places) => compared(named(places, "a"), named(places, "b"))),
);
told(
  "compare, three runs against the next three",
  threes.slice(1).map((places, i) => compared(named(threes[i] ?? [], "a"), named(places, "b"))),
);
const logs = [...speeds.values()].map((one) => {
  const values = (one.observations.get("tg32") ?? []).map(({ value }) => Math.log(value));
  return { centre: location(values).estimate, foreign: one.foreign ?? 0 };
});
const spread = (/** @type {number[]} */ values) => {
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
  return Math.sqrt(values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (values.length - 1));
};
process.stdout.write(
  `${logs.length} runs: from ${Math.exp(Math.min(...logs.map(({ centre }) => centre))).toFixed(1)} to ${Math.exp(Math.max(...logs.map(({ centre }) => centre))).toFixed(1)} tok/s, standard deviation ${(100 * spread(logs.map(({ centre }) => centre))).toFixed(0)} %; other processes used ${(logs.reduce((sum, { foreign }) => sum + foreign, 0) / logs.length).toFixed(1)} of ${os.cpus().length} cores\n`,
);
