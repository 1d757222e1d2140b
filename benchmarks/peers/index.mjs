#!/usr/bin/env node
// npm run bench:peers: gguf-bench against llama.cpp's own tools, in interleaved pairs, with a verdict on every target.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { sizes as allSizes, comparisons } from "./comparisons.mjs";
import { BusyError, interleavedPairs, loadLimit, quietRun, ToolError } from "./pairs.mjs";
import { killRun } from "./process.mjs";
import { tools as findTools, repository } from "./tools.mjs";

const usage = `npm run bench:peers -- [options]

  --only NAME       these comparisons alone, such as ppl or ppl:Q8_0; repeatable
  --pairs N         interleaved pairs per comparison (default 5, fewer only with --quick)
  --quick           tiny sizes, one pair: shows that all works; times and memory are not judged
  --allow-load      measure although others use the machine; the figures are marked and times not judged
  --threads N       CPU threads of both sides (default 2)
  --models DIR      the ladder smollm2-F16.gguf, -Q8_0, -Q4_K_M (for divergence also -Q4_K_M-im, -Q2_K, -Q2_K-im)
                    (default $GGUF_BENCH_MODELS, else ~/.cache/gguf-bench-ladder)
  --peers PREFIX    bin/ with llama-perplexity and llama-server, same-library/ with llama-perplexity and llama-bench
                    (default ~/.cache/bench-peers)
  --data-dir DIR    wikitext-2/, hellaswag/, winogrande/, ceval/ and gsm8k/ (default $GGUF_BENCH_DATA, else ../shared/datasets)
  --out FILE        all raw pairs, the machine and the verdicts as JSON

Comparisons: ${comparisons.map(({ name }) => name).join(" ")}

Memory is VmHWM summed over the processes of each side, so what our two Node processes share counts twice.
Exit codes: 0 all targets met · 1 a target missed · 2 something could not be judged or measured`;

const { values: options } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    pairs: { type: "string" },
    quick: { type: "boolean", default: false },
    "allow-load": { type: "boolean", default: false },
    threads: { type: "string", default: "2" },
    models: {
      type: "string",
      default: process.env.GGUF_BENCH_MODELS ?? path.join(os.homedir(), ".cache/gguf-bench-ladder"),
    },
    peers: { type: "string", default: path.join(os.homedir(), ".cache/bench-peers") },
    "data-dir": { type: "string", default: process.env.GGUF_BENCH_DATA ?? path.join(repository, "../shared/datasets") },
    out: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const log = (line) => process.stderr.write(`${line}\n`);
const stop = (sentence) => {
  log(`bench:peers: ${sentence}`);
  process.exit(2);
};

if (options.help) {
  console.log(usage);
  process.exit(0);
}

const { quick, "allow-load": allowLoad } = options;
const sizes = quick ? allSizes.quick : allSizes.full;
const pairCount = Number(options.pairs ?? sizes.pairs);
if (!Number.isInteger(pairCount) || pairCount < (quick ? 1 : 5))
  stop(
    `--pairs ${options.pairs}: ${quick ? "a whole number" : "fewer than 5 pairs prove nothing; give more, or --quick"}.`,
  );
const threads = Number(options.threads);
if (!Number.isInteger(threads) || threads < 1)
  stop(`--threads ${options.threads}: a whole number from 1 on is expected.`);
const wanted = options.only ?? [""];
const chosen = comparisons.filter(({ name }) => wanted.some((only) => name.startsWith(only)));
const unknown = wanted.find((only) => !comparisons.some(({ name }) => name.startsWith(only)));
if (unknown !== undefined) stop(`--only ${unknown}: there are ${comparisons.map(({ name }) => name).join(", ")}.`);

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "gguf-bench-peers-"));
process.on("exit", () => fs.rmSync(temporary, { recursive: true, force: true }));
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.on(signal, () => {
    killRun();
    process.exit(130);
  });

const places = { models: options.models, peers: options.peers, dataDir: options["data-dir"] };
const tools = findTools({ ...absolute(places), threads, temporary });
if (!fs.existsSync(tools.cli)) stop("there is no dist/cli.js; `npm run build` first.");

const report = {
  at: new Date().toISOString(),
  command: process.argv.slice(2),
  machine: machine(),
  versions: versions(),
  settings: { quick, allowLoad, pairs: pairCount, threads, loadLimit, sizes },
  comparisons: [],
};

for (const comparison of chosen) {
  const missing = missingFor(comparison);
  log(`${comparison.name}: ${comparison.title}`);
  if (missing.length > 0) {
    log(`  not measured: there is no ${missing.join(", no ")}`);
    report.comparisons.push({ name: comparison.name, title: comparison.title, missing, rows: [] });
    continue;
  }
  const result = await measured(comparison);
  report.comparisons.push(result);
  if (result.failure) log(`  ${result.failure}`);
  if (result.busy) break; // the next would wait as long, and in vain
}

console.log(table(report.comparisons));
if (options.out) fs.writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
process.exitCode = exitCode(report.comparisons);

async function measured(comparison) {
  const discarded = [];
  const how = { allowLoad, log, discarded };
  const { name, title } = comparison;
  warmFiles(name.split(":")[1]);
  try {
    const { rows, ...raw } = await comparison.run({
      tools,
      sizes,
      quick,
      temporary,
      interleaved: (ours, peer, count = pairCount) => interleavedPairs({ ours, peer, count, ...how }),
      memory: (side) => quietRun(side, { ...how, allowLoad: true, pss: true }),
      any: (side) => quietRun(side, { ...how, allowLoad: true }),
    });
    const runs = [...raw.pairs, ...(raw.prebuilt ?? [])].flatMap(({ ours, peer }) => [ours, peer]);
    const disturbed = runs.some((run) => run.disturbed);
    return { name, title, disturbed, rows: rows.map((row) => judged(row, disturbed)), ...raw, discarded };
  } catch (error) {
    if (!(error instanceof BusyError || error instanceof ToolError)) throw error;
    return { name, title, rows: [], discarded, failure: error.message, busy: error instanceof BusyError };
  }
}

/** Both sides shall find the model and the texts in the page cache, the first run as well. */
function warmFiles(quant) {
  const files = [tools.model(quant), tools.wiki, tools.cli, tools.perplexityTool.same, tools.perplexityTool.native];
  for (const file of files) if (fs.existsSync(file)) fs.readFileSync(file);
}

/** A row with its verdict; what a target says of a disturbed or a tiny run would be worth nothing. */
function judged({ show, ...row }, disturbed) {
  const shown = row.value === undefined ? "" : show(row.value);
  const range = row.range && row.range[0] !== row.range[1] ? ` (${row.range.map(show).join("–")})` : "";
  const { least = Number.NEGATIVE_INFINITY, most } = row.target ?? {};
  const verdict = () => {
    if (!row.target) return "";
    if (row.kind !== "result" && quick) return "not judged: quick";
    if (row.kind === "time" && disturbed) return "not judged: disturbed";
    return row.value >= least && row.value <= most ? "met" : "MISSED";
  };
  return { ...row, shown: shown + range, verdict: verdict() };
}

function missingFor({ name, needs, models = [name.split(":")[1]] }) {
  const files = {
    ...{ same: tools.perplexityTool.same, native: tools.perplexityTool.native, bench: tools.benchTool },
    ...{ server: tools.serverTool, hellaswag: tools.hellaswagFile, gsm8k: tools.gsm8kFile },
    ...{ winogrande: tools.winograndeFile, ceval: tools.cevalFolder },
  };
  const needed = models.map(tools.model);
  // Its libraries are links into node_modules, which go nowhere once that folder is gone.
  if (needs.includes("same") || needs.includes("bench")) needed.push(tools.sharedLibraryLink);
  for (const need of needs) needed.push(files[need]);
  if (!["hellaswag", "bench", "gsm8k", "winogrande", "ceval"].some((own) => needs.includes(own)))
    needed.push(tools.wiki);
  return needed.filter((file) => !fs.existsSync(file));
}

function table(results) {
  const head = ["comparison", "quantity", "ours", "peer", "ours : peer (range)", "target", "verdict"];
  const lines = results.flatMap(({ name, rows, missing, failure, disturbed }) => {
    const label = disturbed ? `${name} *` : name;
    if (missing) return [[label, "not measured", "", "", "", "", "tools or data missing"]];
    if (failure) return [[label, "not measured", "", "", "", "", "failed, see above"]];
    return rows.map((row) => [
      label,
      row.quantity,
      row.ours ?? "",
      row.peer ?? "",
      row.shown,
      row.target?.text ?? "",
      row.verdict,
    ]);
  });
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => [...line[column]].length)));
  const drawn = [head, ...lines].map((line) =>
    line
      .map((cell, column) => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - [...cell].length)))
      .join("  ")
      .trimEnd(),
  );
  const notes = results.flatMap(({ name, rows }) =>
    rows.filter(({ note }) => note).map(({ quantity, note }) => `${name}, ${quantity}: ${note}`),
  );
  if (results.some(({ disturbed }) => disturbed))
    notes.push(
      `* others took more than ${loadLimit} cores of the machine during a run: its times and speeds say little`,
    );
  return [...drawn, "", ...notes].join("\n");
}

function exitCode(results) {
  const verdicts = results.flatMap(({ rows }) => rows.map(({ verdict }) => verdict));
  if (verdicts.includes("MISSED")) return 1;
  const open = results.some(({ missing, failure }) => missing || failure) || verdicts.includes("not judged: disturbed");
  return open ? 2 : 0;
}

function machine() {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim(),
    cpus: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    os: `${os.type()} ${os.release()}`,
    arch: os.arch(),
  };
}

function versions() {
  const own = JSON.parse(fs.readFileSync(path.join(repository, "package.json"), "utf8"));
  const said = (command, args) => {
    try {
      return execFileSync("sh", ["-c", '"$@" 2>&1', "sh", command, ...args], {
        cwd: repository,
        encoding: "utf8",
      }).trim();
    } catch {
      return undefined;
    }
  };
  const peer = (tool) => (fs.existsSync(tool) ? said(tool, ["--version"])?.split("\n").join("; ") : undefined);
  return {
    "gguf-bench": own.version,
    commit: said("git", ["describe", "--always", "--dirty"]),
    node: process.versions.node,
    "node-llama-cpp": own.peerDependencies["node-llama-cpp"],
    "llama-perplexity": peer(tools.perplexityTool.same),
    "native llama-perplexity": peer(tools.perplexityTool.native),
  };
}

function absolute(folders) {
  return Object.fromEntries(Object.entries(folders).map(([name, folder]) => [name, path.resolve(folder)]));
}
