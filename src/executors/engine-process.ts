// The program of an engine process: opens one variant and measures what it is asked to, until its parent is gone.

import {
  type Backend,
  type Engine,
  has,
  type Part,
  partNames,
  type VariantSpec,
  type Windows,
} from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import { definite } from "../definite.js";
import { BenchError, toFailure } from "../errors.js";
import type { Measured } from "../events.js";
import { dieWithParent } from "../llama/library.js";
import { freeMemory } from "../machine.js";
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
import { selfTest } from "./self-test.js";

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

/** By variant name: as it was asked to be opened. */
const specs = new Map<string, VariantSpec>();
/** Parts of the first variant that went through the self-test. */
const tested = new Set<Part>();

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
  specs.set(variant.name, variant);
  return engine;
}

/** No figure leaves the process when a file that it rests on has changed. */
async function checkFiles(...more: UnchangedFiles[]): Promise<void> {
  for (const files of [...opened.values(), ...more]) await files.check();
}

function keepPeak(): number | undefined {
  const peak = engine?.peakMemory();
  if (atTurn !== undefined && peak !== undefined) peaks.set(atTurn, Math.max(peaks.get(atTurn) ?? 0, peak));
  return peak;
}

/** The largest resident set of each variant that is open beside others: that of the process, less what the others hold. */
function keepPeaks(peak: number | undefined): void {
  const open = [...others, [first, engine] as const].map(([name, one]) => ({ name, held: one?.heldMemory?.() }));
  if (peak === undefined || others.size === 0 || open.some(({ held }) => held === undefined)) return;
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

type Through = NonNullable<Backend["through"]>;

function windowsOf(engine: Engine, { name, backend }: VariantSpec): Windows {
  if (engine.windows) return engine.windows;
  throw new Error(`${name}: ${backend} gives no ${partNames.windows}`);
}

const lacking = (engine: Engine, parts: readonly Part[]) =>
  parts.flatMap((part) => (engine[part] ? [] : partNames[part])).join(", no ");

/** The engine, once the parts that it claims were tested as far as they are needed now. */
async function believed(parts: readonly Part[]): Promise<Engine> {
  const spec = specs.get(first);
  const { claims = [], through } = spec ? await findBackend(spec.backend) : {};
  for (const part of parts) {
    if (!claims.includes(part) || !engine![part] || tested.has(part)) continue;
    tested.add(part);
    const beside = spec && through && (await openedBeside(spec, through));
    const reason = await selfTest(engine!, part, beside);
    await beside?.close();
    if (reason === undefined) continue;
    engine = without(engine!, part);
    send({ type: "warning", variant: first, message: `its ${partNames[part]} are not believed: ${reason}` });
  }
  return engine!;
}

/** The share of the free memory that a second copy of the model may take. */
const sparedMemory = 0.5;

/** The same file in this process, where it is here and small enough to be there twice. */
async function openedBeside(spec: VariantSpec, { backend, settings }: Through): Promise<Engine | undefined> {
  const [model] = spec.facts?.files ?? [];
  if (model === undefined || spec.facts!.bytes > sparedMemory * freeMemory()) return undefined;
  const inside = { ...spec, backend, model, settings: settings(spec.settings) };
  return (await findBackend(backend)).open(inside).catch(() => undefined);
}

/** The engine less a part. */
function without(whole: Engine, part: Part): Engine {
  const parts = Object.keys(partNames).flatMap((name) => {
    const one = name as Part;
    return one === part || !whole[one] ? [] : [[one, whole[one]]];
  });
  return {
    ...Object.fromEntries(parts),
    facts: whole.facts,
    peakMemory: () => whole.peakMemory(),
    close: () => whole.close(),
  };
}

/** The items that this request yields. */
async function* measured({
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
    yield* measurement.compare({ ...asked, rows: rows!, jobs: open(jobs), riders: open(riders) });
    return;
  }
  // A server may have less than it claimed.
  let way: typeof settings | undefined = settings;
  let asking = await believed(measurement.needs(settings));
  while (way !== undefined && !has(asking, measurement.needs(way))) {
    way = measurement.instead?.(way);
    if (way !== undefined) asking = await believed(measurement.needs(way));
  }
  if (way === undefined)
    throw new BenchError("engine-lacks", `this engine gives no ${lacking(asking, measurement.needs(settings))}`, {
      hint: "the warning beside its name says why",
    });
  if (way !== settings) send({ type: "instead", settings: way, ...definite({ method: measurement.method?.(way) }) });
  yield* measurement.measure({
    ...asked,
    settings: way,
    engine: asking,
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
      if (dataset?.reread) stored.add(dataset.path, dataset.sha256);
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
          : {
              type: "complete",
              ...definite({ peakMemory }),
              ...(peaks.size === 0 ? {} : { peaks: Object.fromEntries(peaks) }),
            },
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
      send({ type: "complete", ...definite({ peakMemory: engine!.peakMemory() }) });
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
