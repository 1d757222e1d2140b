// The program of an engine process: opens one variant and measures what it is asked to, until its parent is gone.

import { type Engine, has, partNames, type VariantSpec, type Windows } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import { definite } from "../definite.js";
import { toFailure } from "../errors.js";
import type { Measured } from "../events.js";
import { dieWithParent } from "../llama/library.js";
import { measurements } from "../measurements/index.js";
import { recordReference } from "../measurements/recording.js";
import { cacheDirectory } from "../models/cache.js";
import { UnchangedFiles } from "../models/unchanged.js";
import { findForm } from "../references/index.js";
import { liveRows } from "../references/live.js";
import type { ReferenceRows } from "../references/rows.js";
import { scratchRows } from "../references/scratch.js";
import type { ToEngine, ToParent } from "./child.js";
import type { MeasureRequest, TogetherRequest } from "./executor.js";

dieWithParent();
// The most likely backend is loaded while the parent still makes its plan.
void findBackend("llama");

let engine: Engine | undefined;
/** Name of the variant that was opened first. */
let first = "";
/** The engines that are measured together, by variant name. */
const others = new Map<string, Engine>();
/** The source of the reference's rows for the other engines. */
let rows: ReferenceRows | undefined;
/** Whose turn it is, if models take turns in memory. */
let atTurn: string | undefined;
/** Bytes, by variant name: the largest resident set of its turns during the measurement at hand. */
const peaks = new Map<string, number>();
let stopping = false;

const send = (message: ToParent) => process.send!(message);
/** Lets messages in: decoding blocks the event loop. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** State of the current measurement. */
let textName: string | undefined;

/** By variant name: its files as the plan read them. */
const opened = new Map<string, UnchangedFiles>();

async function openVariant(variant: VariantSpec): Promise<Engine> {
  const files = new UnchangedFiles().addModel(variant);
  await files.check();
  const engine = await (await findBackend(variant.backend)).open(variant, {
    doing: (step) => send({ type: "doing", step: step === "tokenizing" ? `tokenizing ${textName ?? "a text"}` : step }),
    warning: (message) => send({ type: "warning", variant: variant.name, message }),
  });
  // Another file may have come while it was loaded.
  await files.check();
  opened.set(variant.name, files);
  return engine;
}

/** No figure leaves the process when a file that it rests on has changed. */
async function checkFiles(...more: UnchangedFiles[]): Promise<void> {
  for (const files of [...opened.values(), ...more]) await files.check();
}

function keepPeak(): number {
  const peak = engine?.peakMemory() ?? 0;
  if (atTurn !== undefined) peaks.set(atTurn, Math.max(peaks.get(atTurn) ?? 0, peak));
  return peak;
}

/** The largest resident set of each variant that is open beside others: that of the process, less what the others hold. */
function keepPeaks(peak: number): void {
  const open = [...others, [first, engine] as const].map(([name, one]) => ({ name, held: one?.heldMemory?.() }));
  if (others.size === 0 || open.some(({ held }) => held === undefined)) return;
  const all = open.reduce((sum, { held }) => sum + held!, 0);
  for (const { name, held } of open) peaks.set(name, Math.max(peaks.get(name) ?? 0, peak - all + held!));
}

/** Gives the variant of this name its turn in memory, or the one that was opened first. */
function turns(first: VariantSpec, waiting: VariantSpec[]) {
  let current = first;
  return async (name?: string): Promise<Windows> => {
    const next = name === undefined ? first : waiting.find((one) => one.name === name)!;
    if (!engine || next !== current) {
      keepPeak();
      await engine?.close();
      engine = undefined;
      engine = await openVariant(next);
      engine.peakMemory(); // from here on
      current = next;
      atTurn = next.name;
      send({ type: "opened-variant", variant: next.name, facts: engine.facts });
    }
    return windowsOf(engine, next);
  };
}

function windowsOf(engine: Engine, { name, backend }: VariantSpec): Windows {
  if (engine.windows) return engine.windows;
  throw new Error(`${name}: ${backend} gives no ${partNames.windows}`);
}

/** The items that this request yields. */
function measured({
  kind,
  settings,
  dataset,
  done,
  only,
  together,
}: MeasureRequest): AsyncGenerator<Measured & { job?: string }> {
  const measurement = measurements[kind]!;
  const asked = {
    settings,
    data: dataset,
    stopped: async () => {
      await turn();
      return stopping;
    },
    progress: (count: number, total: number, unit: string) => send({ type: "progress", done: count, total, unit }),
  };
  if ("compare" in measurement) {
    const { jobs = [], riders = [] } = together ?? {};
    const open = (all: TogetherRequest[]) => all.map((job) => ({ ...job, done: new Set(job.done) }));
    return measurement.compare({ ...asked, rows: rows!, jobs: open(jobs), riders: open(riders) });
  }
  if (!has(engine!, measurement.needs)) throw new Error(`${kind} needs what this engine lacks`);
  return measurement.measure({
    ...asked,
    engine: engine!,
    done: new Set(done),
    ...(only ? { only: new Set(only) } : {}),
  });
}

async function handle(message: ToEngine): Promise<void> {
  switch (message.type) {
    case "open": {
      const { variant, others: beside, scratch } = message;
      engine = await openVariant(variant);
      first = variant.name;
      if (scratch) {
        atTurn = variant.name;
        rows = scratchRows({
          ...{ reference: windowsOf(engine, variant), open: turns(variant, beside), folder: cacheDirectory() },
          ...definite({ limit: scratch.limit }),
        });
      } else {
        const windows = new Map<string, Windows>();
        for (const other of beside) {
          const opened = await openVariant(other);
          others.set(other.name, opened);
          windows.set(other.name, windowsOf(opened, other));
          send({ type: "opened-variant", variant: other.name, facts: opened.facts });
        }
        if (engine.windows) rows = liveRows(engine.windows, windows);
      }
      send({ type: "opened", facts: engine.facts });
      break;
    }
    case "measure": {
      const { dataset } = message.request;
      textName = dataset?.name;
      const stored = new UnchangedFiles();
      if (dataset?.kind === "reference") stored.add(dataset.path, dataset.sha256);
      engine!.peakMemory(); // from here on
      peaks.clear();
      for await (const item of measured(message.request)) {
        await checkFiles(stored);
        send({ type: "measured", ...item });
        await turn();
        if (stopping) break;
      }
      await checkFiles(stored);
      const peakMemory = keepPeak();
      keepPeaks(peakMemory);
      send(
        stopping
          ? { type: "stopped" }
          : { type: "complete", peakMemory, ...(peaks.size === 0 ? {} : { peaks: Object.fromEntries(peaks) }) },
      );
      break;
    }
    case "record": {
      const { text, settings, form, path, ...known } = message.request;
      textName = text.name;
      engine!.peakMemory(); // from here on
      await recordReference(engine!.windows!, {
        text,
        settings,
        create: (plan) => findForm(form).create(path, { ...plan, ...known }),
        progress: (count, total) => send({ type: "progress", done: count, total, unit: "chunks" }),
      });
      await checkFiles();
      send({ type: "complete", peakMemory: engine!.peakMemory() });
      break;
    }
    case "stop":
      stopping = true;
      break;
    case "close":
      for (const one of [...others.values(), engine]) await one?.close();
      process.disconnect();
  }
}

process.on("message", (message: ToEngine) => {
  handle(message).catch(async (error) => {
    // A file that changed says more than what became of its computation.
    const told = await checkFiles().then(
      () => error,
      (changed) => changed,
    );
    send({ type: "failed", failure: toFailure(told) });
  });
});
process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group of processes; the parent decides what becomes of the engines.
process.on("SIGINT", () => {});
