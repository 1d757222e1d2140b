import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { asInBaseline, baselineText, readBaseline } from "../baseline.js";
import { type QuickOptions, quickBenchmark, readBenchmark, sortArguments } from "../benchmark/index.js";
import { BenchError, exitCodes, toFailure } from "../errors.js";
import type { Event, StoredEvent } from "../events.js";
import { childExecutor, type Executor, localPlace } from "../executors/index.js";
import { harmless, harmlessJson, harmlessLines, several } from "../harmless.js";
import { type Asked, gate, parseRule, verdictsFrom, verdictsOver } from "../judge/index.js";
import { measurements } from "../measurements/index.js";
import { isMeantBy, usualName } from "../metrics.js";
import { checkType, quantizedName, quantizeFile } from "../models/quantize.js";
import { type Fetching, isRemote, resolveModel } from "../models/sources.js";
import { describePlan, makePlan, type Plan } from "../plan/index.js";
import { writeReports } from "../reports/index.js";
import { junit } from "../reports/junit.js";
import { type Table, tableFrom } from "../reports/table.js";
import { text, wrap } from "../reports/text.js";
import { run } from "../run/index.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { readEvents, Store, writeWhole } from "../store/index.js";
import { onLost, say } from "../terminal.js";
import { openView, type StopKind, type View } from "../tui/index.js";
import { bytes as inUnits } from "../units.js";
import { nearest } from "../yaml.js";
import { type RecordOptions, recordFile } from "./reference.js";

export interface RunCommand extends Omit<QuickOptions, "measurements" | "models"> {
  /** A benchmark file, or models; what each is shows by its ending or content. */
  named?: string[];
  /** A benchmark file of whatever name; without one, `models` and `named` say what is measured. */
  file?: string;
  /** Models, whatever they are named. */
  models?: string[];
  /** The variant that others are compared with; by default the one with the most bits per weight. */
  reference?: string;
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
  /** Where engines run; closed at the end. */
  executor?: Executor;
}

/** Measures what a benchmark file or the flags ask for, and writes the tables. Returns the exit code. */
export async function runCommand(options: RunCommand): Promise<number> {
  const executor = options.dryRun ? undefined : (options.executor ?? childExecutor());
  const stop = stopper(
    () => executor?.stop(),
    () => void executor?.close(),
  );
  if (executor) onLost(() => stop.signal.aborted || stop.ask("graceful"));
  try {
    const asked = await askedOf(options);
    const benchmark = await benchmarkOf(asked);
    const downloads = downloadView(() => viewOf(options, stop.ask), stop.signal);
    const plan = await downloads.during(
      makePlan(benchmark, {
        command: options.command ?? [],
        versions: versions(),
        place: executor?.place ?? localPlace,
        ...(options.only ? { only: options.only } : {}),
        ...(options.exclude ? { exclude: options.exclude } : {}),
        ...(options.reference === undefined ? {} : { reference: options.reference }),
        downloads: { ...downloads.told, dryRun: !executor },
      }),
    );
    if (!plan) return exitCodes.stopped;
    if (!executor) {
      say(describePlan(plan));
      return foreseenCode(plan);
    }
    const folder = options.out ?? path.join("reports", asked.file ? plan.name : quickName(plan));
    const store = Store.open(folder);
    if (!options.json) say(supersededNote(store, plan));
    if (!options.json) say(plan.notes.map((note) => `${harmless(note)}\n`).join(""));
    const view = await viewOf(options, stop.ask);
    try {
      for (const event of store.events) if (!options.json) view.handle(event, { earlier: true });
      for await (const event of run(plan, { executor, done: store.done(), signal: stop.signal })) {
        store.append(event);
        view.handle(event);
      }
    } catch (error) {
      // What went wrong first is what is told; the tables can be made again.
      if (store.isInPlace()) await writeReports(folder, store.events).catch(() => {});
      throw error;
    } finally {
      await view.close();
      store.close();
    }
    await writeTables(folder, store.events);
    if (!options.json) say(conclusion(folder, store.events, stop.signal.aborted));
    return exitCode(store.events, stop.signal.aborted);
  } finally {
    stop.end();
    await executor?.close();
  }
}

/** One line where results of an earlier session no longer count, because their identity is another one now. */
function supersededNote(store: Store, { jobs, provenance }: Plan): string {
  const before = store.events.findLast((event) => event.type === "started");
  if (!before) return "";
  const done = store.done();
  const now = new Map(jobs.map(({ record }) => [`${record.variant}/${record.measurement}`, record.id]));
  const kept = before.jobs.filter(({ id }) => done.get(id)?.complete);
  const anew = kept.filter(({ variant, measurement }) => {
    const id = now.get(`${variant}/${measurement}`);
    return id !== undefined && !done.get(id)?.complete;
  });
  if (anew.length === 0) return "";
  const own = "gguf-bench";
  const [then, version] = [before.provenance.versions[own], provenance.versions[own]];
  const changed = then === version ? `${own} itself` : `${own} itself (${then} then, ${version} now)`;
  return `${anew.length} of ${kept.length} results in ${harmless(store.folder)} are measured anew: the model, the data, the settings or ${changed} changed since.\n`;
}

async function writeTables(folder: string, events: StoredEvent[]): Promise<void> {
  try {
    await writeReports(folder, events);
  } catch (cause) {
    if (!(cause instanceof BenchError) || cause.code !== "disk") throw cause;
    throw new BenchError("disk", cause.message, {
      hint: `make room, then \`gguf-bench report ${folder}\` makes the tables; nothing that was measured is lost`,
      cause,
    });
  }
}

/** Makes all tables of a run again from its events; no model is needed. */
export async function reportCommand(folder: string): Promise<number> {
  const events = readEvents(folder);
  await writeTables(folder, events);
  say(conclusion(folder, events, false));
  return exitCodes.allMeasured;
}

/** Compares two runs, or two variants (`RUN:VARIANT`), and says what is different. */
export async function compareCommand(
  a: string,
  b: string,
  { metrics, json }: { metrics?: string[]; json?: boolean } = {},
) {
  const [first, second] = [sideOf(a), sideOf(b)];
  const across = first.path !== second.path;
  const names = (side: typeof first) => [...new Set(side.series.map(({ variant }) => variant.name))];
  const verdicts = verdictsOver(
    [pairsOf(first, second, names)],
    (name, side) => (side === "a" ? first : second).series.filter(({ variant }) => variant.name === name),
    {
      across,
      ...(metrics ? { metrics: metricsOf([...first.series, ...second.series], metrics) } : {}),
      shown: (name, side) => (across ? `${name} (${(side === "a" ? first : second).path})` : name),
    },
  );
  const lines = verdicts.questions.flatMap(({ title, pairs }) => [
    title,
    ...pairs.map(({ sentence }) => `- ${harmless(sentence)}`),
  ]);
  say(json ? `${harmlessJson(verdicts, 2)}\n` : `${[...lines, ...verdicts.notes].join("\n")}\n`);
  return exitCodes.allMeasured;
}

/** The metrics that are meant, as the runs have them: `ppl` is perplexity, `tg` every generation speed. */
function metricsOf(series: Series[], asked: string[]): string[] {
  const known = [...new Set(series.flatMap(({ observations }) => [...observations.keys()]))];
  return asked.flatMap((name) => {
    const usual = usualName(name);
    const meant = known.filter((one) => isMeantBy(usual, one));
    if (meant.length > 0) return meant;
    throw new BenchError("config", `--metric ${name}: neither side has a metric of that name`, {
      hint: nearest(usual, known),
    });
  });
}

/** Writes what a later run is held against: a text to keep in git. */
export async function baselineCommand(folder: string, { out }: { out?: string } = {}): Promise<number> {
  const content = baselineText(readEvents(folder));
  if (out === undefined) say(content);
  else writeWhole(out, content);
  return exitCodes.allMeasured;
}

/** Holds a run against a baseline by rules, a sentence each. */
export async function gateCommand(
  folder: string,
  { baseline, rules, junit: file }: { baseline?: string; rules: string[]; junit?: string },
): Promise<number> {
  const parsed = rules.map(parseRule);
  const before = baseline === undefined ? [] : seriesAt(baseline);
  const now = seriesAt(folder).map(asInBaseline);
  const result = gate(now, before.map(asInBaseline), parsed);
  if (file !== undefined) writeWhole(file, junit(result));
  const marks = { passed: "pass", failed: "FAIL", undecided: "open" };
  const lines = result.checks.map(({ rule, outcome, sentence }) => harmless(`${marks[outcome]}  ${rule}  ${sentence}`));
  say(`${lines.join("\n")}\n\nGate: ${result.outcome}.\n`);
  return { passed: exitCodes.allMeasured, failed: exitCodes.gateFailed, undecided: exitCodes.gateUndecided }[
    result.outcome
  ];
}

/** A run's folder, or a baseline's file. */
function seriesAt(place: string): Series[] {
  return existsSync(place) && statSync(place).isDirectory() ? seriesFrom(readEvents(place)) : readBaseline(place);
}

/** `RUN` or `RUN:VARIANT`; a folder may have a colon in its name, a variant too. */
function sideOf(text: string): { path: string; variant?: string; series: Series[] } {
  const at = existsSync(text)
    ? -1
    : Array.from(text.matchAll(/:/g), ({ index }) => index).find((i) => existsSync(text.slice(0, i)));
  const path = at === undefined || at < 0 ? text : text.slice(0, at);
  const variant = path === text ? undefined : text.slice(path.length + 1);
  const all = existsSync(path) ? seriesAt(path) : seriesFrom(readEvents(path));
  const series = variant === undefined ? all : all.filter((one) => one.variant.name === variant);
  if (series.length === 0)
    throw new BenchError("config", `${path} has no variant named "${variant}"`, {
      hint: nearest(variant ?? "", [...new Set(all.map((one) => one.variant.name))]),
    });
  return { path, series, ...(variant === undefined ? {} : { variant }) };
}

/** One variant each, or the variants of the same name; two runs of one variant each are a pair whatever its name. */
function pairsOf(
  a: ReturnType<typeof sideOf>,
  b: ReturnType<typeof sideOf>,
  names: (side: ReturnType<typeof sideOf>) => string[],
): Asked {
  const [first, second] = [names(a), names(b)];
  const told = (side: typeof a) => [side.path, side.variant ?? []].flat().join(":");
  const title = `${told(a)} → ${told(b)}`;
  if (a.path === b.path && (a.variant === undefined || b.variant === undefined))
    throw new BenchError("config", "a run compared with itself", {
      hint: "name two of its variants: RUN:VARIANT RUN:VARIANT",
    });
  if (first.length === 1 && second.length === 1) return { title, pairs: [[first[0]!, second[0]!]] };
  const shared = first.filter((name) => second.includes(name));
  if (shared.length === 0)
    throw new BenchError("config", `no variant of ${a.path} is one of ${b.path}`, {
      hint: `name one of each, RUN:VARIANT: ${several(first)} · ${several(second)}`,
    });
  return { title, pairs: shared.map((name) => [name, name]) };
}

/** Makes quantizations of one model file, named after it. A file that is there already is left alone. */
export async function quantizeCommand(
  model: string,
  {
    types,
    imatrix,
    out,
    modelsDir,
    allowRequantize: requantize = false,
  }: { types: string[]; imatrix?: string; out?: string; modelsDir?: string; allowRequantize?: boolean },
): Promise<number> {
  const folders = { baseDir: process.cwd(), ...(modelsDir ? { modelsDir } : {}), fetching: await downloadLines() };
  const { path: source } = await resolveModel(model, folders);
  const fetched = imatrix && isRemote(imatrix);
  const matrix = fetched ? (await resolveModel(imatrix, { ...folders, expect: "matrix" })).path : imatrix;
  for (const type of types.map(checkType)) {
    const quantization = { type, requantize, ...(matrix ? { imatrix: matrix } : {}) };
    const output = path.join(
      out ?? (isRemote(model) ? "." : path.dirname(source)),
      quantizedName(source, quantization),
    );
    const there = existsSync(output);
    const began = performance.now();
    if (!there) {
      // A model of several GB takes minutes.
      if (process.stderr.isTTY) process.stderr.write(harmless(`${output} …`));
      await quantizeFile(source, output, quantization).finally(() => {
        if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
      });
    }
    const took = there ? "was there" : `${((performance.now() - began) / 1000).toFixed(1)} s`;
    say(`${output}  ${inUnits(statSync(output).size)}  ${took}\n`);
  }
  return exitCodes.allMeasured;
}

/** Writes the distributions of a model over a text to a file, for `--measure stored-divergence`. */
export async function referenceCommand(model: string, options: RecordOptions): Promise<number> {
  const executor = childExecutor();
  const stop = stopper(
    () => void executor.close(),
    () => void executor.close(),
  );
  try {
    const shown = process.stderr.isTTY ? "\r" : "";
    let told = -1;
    const downloads = { fetching: await downloadLines(), signal: stop.signal };
    const { head, bytes, peakMemory } = await recordFile(model, { ...options, downloads }, executor, (done, total) => {
      const percent = Math.floor((100 * done) / total);
      // A line for every tenth, where lines stay.
      const step = shown ? percent : Math.floor(percent / 10);
      if (step === told) return;
      told = step;
      process.stderr.write(
        `${shown}${harmless(options.out)}: ${Math.floor(done)} of ${total} chunks, ${percent} %${shown ? "" : "\n"}`,
      );
    });
    if (shown) process.stderr.write("\n");
    const { form, context, chunks, vocabulary, top } = head;
    say(
      `${options.out}  ${inUnits(bytes)}, ${form}${top ? `, top ${top}` : ""}: ${chunks} chunks of ${context} tokens, vocabulary ${vocabulary}; peak memory ${inUnits(peakMemory)}\n`,
    );
    return exitCodes.allMeasured;
  } catch (error) {
    if (stop.signal.aborted) return exitCodes.stopped;
    throw error;
  } finally {
    stop.end();
    await executor.close();
  }
}

/** The options with the arguments sorted: a benchmark file alone, or models. Says which flags a file leaves no room for. */
async function askedOf(options: RunCommand): Promise<RunCommand> {
  const { named = [], models = [] } = options;
  const sorted = await sortArguments(named, { ...folders(options), models });
  const file = options.file ?? sorted.file;
  if (file === undefined) return { ...options, models: [...models, ...sorted.models] };
  const { measures, text, base, context, chunks, threads, prompt, generate, repetitions, limit } = options;
  const quick = { measure: measures, text, base, context, chunks, threads, prompt, generate, repetitions, limit };
  const idle = Object.entries(quick).find(([, value]) => value !== undefined)?.[0];
  if (idle !== undefined)
    throw new BenchError("config", `--${idle} has no meaning beside a benchmark file: ${file} says what is measured`, {
      hint:
        idle === "measure"
          ? `--only ${measures![0]} measures that alone`
          : `leave --${idle} out, or set it in the file`,
    });
  return { ...options, file };
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
  const ids = jobs.map(({ record }) => [record.id, record.variant, record.measurement].join(" "));
  return `quick-${createHash("sha256").update(ids.join("\n")).digest("hex").slice(0, 8)}`;
}

const folders = ({ modelsDir, dataDir }: RunCommand) => ({
  ...(modelsDir ? { modelsDir } : {}),
  ...(dataDir ? { dataDir } : {}),
});

const require = createRequire(import.meta.url);

export function versions(): Record<string, string> {
  const own = require("../../package.json") as { version: string; dependencies: Record<string, string> };
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

async function viewOf({ json, plain }: RunCommand, onStop: (kind: StopKind) => void): Promise<View> {
  return json ? jsonLines() : openView({ onStop, ...(plain ? { plain: true } : {}) });
}

/** Tells of downloads by lines on stderr, where a command's answer goes to stdout. */
async function downloadLines(): Promise<(state: Fetching) => void> {
  const view = await openView({ plain: true, stdout: process.stderr, onStop: () => {} });
  return (state) => view.handle({ type: "fetching", at: Date.now(), ...state });
}

/** Shows the downloads of a task in a view of their own, which is opened when the first one begins. */
function downloadView(open: () => Promise<View>, signal: AbortSignal) {
  let view: Promise<View> | undefined;
  const fetching = (state: Fetching) => {
    view ??= open();
    void view.then(({ handle }) => handle({ type: "fetching", at: Date.now(), ...state }));
  };
  return {
    told: { fetching, signal },
    /** The task's result; undefined when the user stopped it. */
    during: async <Result>(task: Promise<Result>): Promise<Result | undefined> => {
      let close = () => {};
      const stopped = new Promise<undefined>((resolve) => {
        close = () => resolve(undefined);
        signal.addEventListener("abort", close, { once: true });
      });
      try {
        // A digest of many gigabytes, say, knows no stop.
        const result = await Promise.race([task, stopped]);
        if (!signal.aborted) return result;
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        signal.removeEventListener("abort", close);
        await (await view)?.close();
      }
      task.catch(() => {});
      process.stderr.write("Stopped; the same command goes on where it ended.\n");
      return undefined;
    },
  };
}

function jsonLines(): View {
  const write = (event: Event | StoredEvent) => {
    const { tokens: _, ...shown } = event as Event & { tokens?: unknown };
    say(`${harmlessJson(shown)}\n`);
  };
  return { handle: write, close: async () => {} };
}

function conclusion(folder: string, events: StoredEvent[], stopped: boolean): string {
  const width = process.stdout.columns ?? 80;
  const table = tableFrom(events);
  const resume = stopped ? "Stopped; the same command goes on where it ended.\n" : "";
  // A run that failed altogether has said why; grids of nothing would bury it.
  if (!isMeasured(table)) return `${resume || "Nothing was measured.\n"}`;
  const files = [
    `Tables: ${path.join(folder, "table.md")}`,
    "Beside it: table.csv, table-long.csv, comparisons.csv; where they come from: run.json",
  ];
  return `${text(table, width, verdictsFrom(events))}\n${files.map((line) => wrap(line, width)).join("\n")}\n${resume}`;
}

/** What a file says of itself was not measured. */
const isMeasured = ({ rows, columns }: Table) =>
  rows.some(({ cells }) =>
    cells.some(
      (cell, i) =>
        columns[i]!.measurement !== "model" &&
        (cell.state === "measured" || (cell.state === "unfinished" && cell.n > 0)),
    ),
  );

/** What a run of the plan would end with, as far as the files tell. */
function foreseenCode({ jobs, variants }: Plan): number {
  const failed = new Set(variants.flatMap(({ name, failure }) => (failure ? [name] : [])));
  if (!jobs.some(({ record }) => record.impossible === undefined && !failed.has(record.variant)))
    return exitCodes.badInput;
  return failed.size > 0 ? exitCodes.someFailed : exitCodes.allMeasured;
}

/** What scripts are told: see `exitCodes`. Cells that cannot be measured do not count. */
function exitCode(events: StoredEvent[], stopped: boolean): number {
  if (stopped) return exitCodes.stopped;
  const { rows, columns } = tableFrom(events);
  // What a file says of itself was not measured.
  const states = rows.flatMap((row) =>
    row.cells.flatMap((cell, i) => {
      if (columns[i]!.measurement === "model") return [];
      return [cell.state === "measured" && cell.summary.broken !== undefined ? "failed" : cell.state];
    }),
  );
  if (!states.includes("measured")) return exitCodes.badInput;
  return states.includes("failed") || states.includes("unfinished") ? exitCodes.someFailed : exitCodes.allMeasured;
}

/** One sentence and a remedy for what the user can mend; a stack for all else. */
export function sayError(error: unknown): string {
  const { code, message, hint, stack } = toFailure(error);
  if (code === "internal") return harmlessLines(`gguf-bench: a fault of the program (${code}):\n${stack ?? message}\n`);
  return harmlessLines(`gguf-bench: ${message}${hint ? `\n  ${hint}` : ""}\n`);
}
