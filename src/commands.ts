import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { type QuickOptions, quickBenchmark, readBenchmark } from "./config.js";
import { BenchError, exitCodes, toFailure } from "./errors.js";
import type { Event, StoredEvent } from "./events.js";
import { childExecutor } from "./executors/index.js";
import { measurements } from "./measurements/index.js";
import { checkType, quantizeFile } from "./models/quantize.js";
import { resolveModel } from "./models/sources.js";
import { describePlan, makePlan, type Plan } from "./plan.js";
import { writeReports } from "./reports/index.js";
import { tableFrom } from "./reports/table.js";
import { text } from "./reports/text.js";
import { run } from "./run.js";
import { readEvents, Store } from "./store.js";
import { openView, type View } from "./tui/index.js";

export interface RunCommand extends Omit<QuickOptions, "measurements" | "models"> {
  /** A benchmark file; without one, `models` says what is measured. */
  file?: string;
  models?: string[];
  /** The run's folder; by default named after the benchmark, in `reports/`. */
  out?: string;
  only?: string[];
  exclude?: string[];
  dryRun?: boolean;
  /** Bytes that engines may use. */
  memoryLimit?: number;
  /** Seconds without a sign of life after which a job is given up. */
  timeout?: number;
  /** Events as JSON lines on stdout. */
  json?: boolean;
  /** Lines even on a terminal. */
  plain?: boolean;
  /** As typed, for the provenance. */
  command?: string[];
}

/** Measures what a benchmark file or the flags ask for, and writes the tables. Returns the exit code. */
export async function runCommand(options: RunCommand): Promise<number> {
  const executor = options.dryRun ? undefined : childExecutor();
  try {
    const benchmark = await benchmarkOf(options);
    const plan = await makePlan(benchmark, {
      command: options.command ?? [],
      versions: versions(),
      ...(options.only ? { only: options.only } : {}),
      ...(options.exclude ? { exclude: options.exclude } : {}),
    });
    if (!executor) {
      process.stdout.write(describePlan(plan));
      return exitCodes.allMeasured;
    }
    const folder = options.out ?? path.join("reports", options.file ? plan.name : quickName(plan));
    const store = Store.open(folder);
    const stop = stopper(
      () => executor.stop(),
      () => void executor.close(),
    );
    const view = options.json
      ? jsonLines()
      : await openView({ onStop: stop.ask, ...(options.plain ? { plain: true } : {}) });
    try {
      for (const event of store.events) if (!options.json) view.handle(event);
      for await (const event of run(plan, { executor, done: store.done(), signal: stop.signal })) {
        store.append(event);
        view.handle(event);
      }
    } catch (error) {
      // What went wrong first is what is told; the tables can be made again.
      await writeReports(folder, store.events).catch(() => {});
      throw error;
    } finally {
      await view.close();
      stop.end();
      store.close();
    }
    await writeTables(folder, store.events);
    if (!options.json) process.stdout.write(conclusion(folder, store.events, stop.signal.aborted));
    return exitCode(store.events, stop.signal.aborted);
  } finally {
    await executor?.close();
  }
}

async function writeTables(folder: string, events: StoredEvent[]): Promise<void> {
  try {
    await writeReports(folder, events);
  } catch (cause) {
    if (!(cause instanceof Error && "syscall" in cause)) throw cause;
    throw new BenchError("disk", `the tables in ${folder} cannot be written: ${cause.message}`, {
      hint: `make room, then \`gguf-bench report ${folder}\` makes them; nothing that was measured is lost`,
      cause,
    });
  }
}

/** Makes all tables of a run again from its events; no model is needed. */
export async function reportCommand(folder: string): Promise<number> {
  const events = readEvents(folder);
  await writeTables(folder, events);
  process.stdout.write(conclusion(folder, events, false));
  return exitCodes.allMeasured;
}

/** Makes quantizations of one model file, named after it. A file that is there already is left alone. */
export async function quantizeCommand(
  model: string,
  { types, imatrix, out, modelsDir }: { types: string[]; imatrix?: string; out?: string; modelsDir?: string },
): Promise<number> {
  const { path: source } = await resolveModel(model, { baseDir: process.cwd(), ...(modelsDir ? { modelsDir } : {}) });
  const stem = path.basename(source, ".gguf").replace(/-(F16|BF16|F32)$/i, "");
  for (const type of types.map(checkType)) {
    const output = path.join(out ?? path.dirname(source), `${stem}-${type}${imatrix ? "-im" : ""}.gguf`);
    const there = existsSync(output);
    if (!there) await quantizeFile(source, output, { type, ...(imatrix ? { imatrix } : {}) });
    process.stdout.write(`${output}  ${(statSync(output).size / 1e6).toFixed(1)} MB${there ? " (was there)" : ""}\n`);
  }
  return exitCodes.allMeasured;
}

async function benchmarkOf(options: RunCommand) {
  const benchmark = options.file
    ? await readBenchmark(options.file, { measurements, ...folders(options) })
    : await quickBenchmark({ ...options, models: options.models ?? [], measurements });
  return {
    ...benchmark,
    ...(options.memoryLimit ? { memoryLimit: options.memoryLimit } : {}),
    ...(options.timeout ? { timeout: options.timeout } : {}),
  };
}

/** The same question has the same folder, so that the same command goes on. */
function quickName({ jobs }: Plan): string {
  const ids = jobs.map(({ id, variant, measurement }) => [id, variant, measurement].join(" "));
  return `quick-${createHash("sha256").update(ids.join("\n")).digest("hex").slice(0, 8)}`;
}

const folders = ({ modelsDir, dataDir }: RunCommand) => ({
  ...(modelsDir ? { modelsDir } : {}),
  ...(dataDir ? { dataDir } : {}),
});

const require = createRequire(import.meta.url);

export function versions(): Record<string, string> {
  const own = require("../package.json") as { version: string; dependencies: Record<string, string> };
  return {
    "gguf-bench": own.version,
    node: process.versions.node,
    "node-llama-cpp": own.dependencies["node-llama-cpp"]!,
    koffi: own.dependencies.koffi!,
  };
}

/** First ask: end after the item at hand. Second: at once. */
function stopper(graceful: () => void, now: () => void) {
  const controller = new AbortController();
  const ask = (kind: "graceful" | "now") => {
    const again = controller.signal.aborted;
    controller.abort();
    if (again || kind === "now") now();
    else graceful();
  };
  const onSignal = () => ask("graceful");
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const end = () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  return { signal: controller.signal, ask, end };
}

function jsonLines(): View {
  const write = (event: Event | StoredEvent) => {
    const { tokens: _, ...shown } = event as Event & { tokens?: unknown };
    process.stdout.write(`${JSON.stringify(shown)}\n`);
  };
  return { handle: write, close: async () => {} };
}

function conclusion(folder: string, events: StoredEvent[], stopped: boolean): string {
  const width = process.stdout.columns ?? 80;
  const files = `\nTables: ${path.join(folder, "table.md")}, table.csv, table-long.csv; where they come from: run.json\n`;
  const resume = stopped ? "Stopped; the same command goes on where it ended.\n" : "";
  return `${text(tableFrom(events), width)}${files}${resume}`;
}

/** What scripts are told: see `exitCodes`. Cells that cannot be measured do not count. */
function exitCode(events: StoredEvent[], stopped: boolean): number {
  if (stopped) return exitCodes.stopped;
  const { rows, columns } = tableFrom(events);
  // What a file says of itself was not measured.
  const states = rows.flatMap((row) =>
    row.cells.flatMap((cell, i) => (columns[i]!.measurement === "model" ? [] : [cell.state])),
  );
  if (!states.includes("measured")) return exitCodes.badInput;
  return states.includes("failed") || states.includes("unfinished") ? exitCodes.someFailed : exitCodes.allMeasured;
}

/** One sentence and a remedy for what the user can mend; a stack for all else. */
export function sayError(error: unknown): string {
  const { code, message, hint } = toFailure(error);
  if (error instanceof BenchError) return `gguf-bench: ${message}${hint ? `\n  ${hint}` : ""}\n`;
  return `gguf-bench: a fault of the program (${code}):\n${message}\n`;
}
