// The program of an engine process: opens one variant and measures what it is asked to, until its parent is gone.

import {
  type Backend,
  type Engine,
  has,
  loadKey,
  type Part,
  partNames,
  type VariantSpec,
  type Windows,
} from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import { pausesFromNow } from "../clock.js";
import { definite } from "../definite.js";
import { BenchError, toFailure } from "../errors.js";
import type { Measured } from "../events.js";
import { dieWithParent } from "../llama/library.js";
import { freeMemory, giveWayForMemory } from "../machine.js";
import { measurementOn } from "../measurements/index.js";
import { recordReference } from "../measurements/recording.js";
import { cacheDirectory } from "../models/cache.js";
import { UnchangedFiles } from "../models/unchanged.js";
import { findForm } from "../references/index.js";
import { liveRows } from "../references/live.js";
import type { ReferenceRows } from "../references/rows.js";
import { scratchRows } from "../references/scratch.js";
import { leaveSignalsToParent } from "../terminal.js";
import type { ToEngine, ToParent } from "./child.js";
import type { MeasureRequest, TakenMemory, TogetherRequest } from "./executor.js";
import { selfTest } from "./self-test.js";

dieWithParent();
leaveSignalsToParent();
giveWayForMemory();
// The most likely backend is loaded while the parent still makes its plan.
void findBackend("llama");

/** What is open now. */
interface Opened {
  /** Of the variant that was opened first, or of the one at its turn. */
  engine?: Engine;
  first: VariantSpec;
  /** The engines that are measured together, by variant name. */
  others: Map<string, Engine>;
  /** By variant name: its files as the plan read them. */
  files: Map<string, UnchangedFiles>;
  /** The source of the reference's rows for the other engines. */
  rows?: ReferenceRows;
  /** Whose turn it is, if models take turns in memory. */
  atTurn?: string;
  /** Parts of the first variant that went through the self-test. */
  tested: Set<Part>;
}

let now: Opened | undefined;
/** By variant name: what its turns, or its part, took during the measurement at hand. */
const taken = new Map<string, TakenMemory>();
let stopping = false;
/** By job: items of all shares of the measurement at hand. */
const wholes = new Map<string, number>();
/** Questions that came for the next measurement. */
let items: unknown[] | undefined;

const send = (message: ToParent) => process.send!(message);
/** Lets messages in: decoding blocks the event loop. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Loads, see `loadKey`, that took the time of a pause, too. */
const slowLoads = new Set<string>();

/** State of the current measurement. */
let textName: string | undefined;

async function openVariant(variant: VariantSpec, all: Opened["files"]): Promise<Engine> {
  const files = new UnchangedFiles().addModel(variant);
  await files.check();
  const paused = pausesFromNow();
  const engine = await (await findBackend(variant.backend)).open(variant, {
    doing: (step) => send({ type: "doing", step: step === "tokenizing" ? `tokenizing ${textName ?? "a text"}` : step }),
    warning: (message) => send({ type: "warning", variant: variant.name, message }),
  });
  // Engines of one load have its time in common.
  const load = await loadOf(variant);
  const pause = await paused();
  if (pause) {
    if (load !== undefined) slowLoads.add(load);
    const message = `its load time is not told: ${pause} meanwhile`;
    send({ type: "warning", variant: variant.name, message });
  }
  if (pause || (load !== undefined && slowLoads.has(load))) delete engine.facts.loadSeconds;
  // Another file may have come while it was loaded.
  await files.check();
  all.set(variant.name, files);
  return engine;
}

/** No figure leaves the process when a file that it rests on has changed. */
async function checkFiles(...more: UnchangedFiles[]): Promise<void> {
  for (const files of [...(now?.files.values() ?? []), ...more]) await files.check();
}

/** What was taken since the last call; it is also that of the variant at turn. */
function takeMemory({ engine, atTurn }: Opened): TakenMemory {
  const found = definite({ peakMemory: engine?.peakMemory(), cacheBytes: engine?.takeCacheBytes?.() });
  if (atTurn !== undefined) keep(atTurn, found);
  return found;
}

function keep(name: string, { peakMemory, cacheBytes }: TakenMemory): void {
  const before = taken.get(name);
  const larger = (a: number | undefined, b: number | undefined) => (a === undefined ? b : Math.max(a, b ?? 0));
  taken.set(
    name,
    definite({
      peakMemory: larger(peakMemory, before?.peakMemory),
      cacheBytes: larger(cacheBytes, before?.cacheBytes),
    }),
  );
}

/**
 * What each of several open variants took: of the process's peak, all but what the others hold. Weights that some have in common
 * are there once, and each has them.
 */
function keepEach({ engine, first, others }: Opened, { peakMemory, cacheBytes }: TakenMemory): void {
  if (others.size === 0) return;
  keep(first.name, definite({ cacheBytes }));
  for (const [name, one] of others) keep(name, definite({ cacheBytes: one.takeCacheBytes?.() }));
  const open = [...others, [first.name, engine] as const].map(([name, one]) => ({ name, held: one?.heldMemory?.() }));
  if (peakMemory === undefined || open.some(({ held }) => held === undefined)) return;
  const weights = new Map(open.map(({ held }) => [held!.shared.key, held!.shared.bytes]));
  const all = [...weights.values(), ...open.map(({ held }) => held!.own)].reduce((sum, bytes) => sum + bytes, 0);
  for (const { name, held } of open) keep(name, { peakMemory: peakMemory - all + held!.own + held!.shared.bytes });
}

/** Forgets what was taken so far. */
function takeAll(opened: Opened): void {
  takeMemory(opened);
  for (const one of opened.others.values()) one.takeCacheBytes?.();
  taken.clear();
}

/** Opens variants in place of those that are open, which are closed only then: what they have in common stays in memory. */
async function open({ variant, others: beside, scratch }: Extract<ToEngine, { type: "open" }>): Promise<void> {
  const next: Opened = { first: variant, others: new Map(), files: new Map(), tested: new Set() };
  try {
    next.engine = await openVariant(variant, next.files);
    if (scratch) {
      next.atTurn = variant.name;
      next.rows = scratchRows({
        ...{ reference: windowsOf(next.engine, variant), open: turns(next, beside), folder: cacheDirectory() },
        ...definite({ limit: scratch.limit }),
      });
    } else {
      const windows = new Map<string, Windows>();
      for (const other of beside) {
        const opened = await openVariant(other, next.files);
        next.others.set(other.name, opened);
        windows.set(other.name, windowsOf(opened, other));
        send({ type: "opened-variant", variant: other.name, facts: opened.facts });
      }
      if (next.engine.windows) next.rows = liveRows(next.engine.windows, windows);
    }
  } catch (error) {
    await close(next);
    throw error;
  }
  const before = now;
  now = next;
  await close(before);
  send({ type: "opened", facts: next.engine.facts });
}

async function close(opened: Opened | undefined): Promise<void> {
  for (const one of [...(opened?.others.values() ?? []), opened?.engine]) await one?.close();
}

/** Gives the variant of this name its turn in memory, or the one that was opened first. */
function turns(opened: Opened, waiting: VariantSpec[]) {
  let current = opened.first;
  return async (name?: string): Promise<Windows> => {
    const next = name === undefined ? opened.first : waiting.find((one) => one.name === name)!;
    const before = opened.engine;
    if (!before || next !== current) {
      takeMemory(opened);
      const stays = (await loadOf(next)) === (await loadOf(current));
      delete opened.engine;
      if (!stays) await before?.close();
      opened.engine = await openVariant(next, opened.files);
      if (stays) await before?.close();
      opened.engine.peakMemory(); // from here on
      current = next;
      opened.atTurn = next.name;
      send({ type: "opened-variant", variant: next.name, facts: opened.engine.facts });
    }
    return windowsOf(opened.engine!, next);
  };
}

const loadOf = async (variant: VariantSpec) => loadKey(await findBackend(variant.backend), variant);

type Through = NonNullable<Backend["through"]>;

function windowsOf(engine: Engine, { name, backend }: VariantSpec): Windows {
  if (engine.windows) return engine.windows;
  throw new Error(`${name}: ${backend} gives no ${partNames.windows}`);
}

const lacking = (engine: Engine, parts: readonly Part[]) =>
  parts.flatMap((part) => (engine[part] ? [] : partNames[part])).join(", no ");

/** The engine, once the parts that it claims were tested as far as they are needed now. */
async function believed(opened: Opened, parts: readonly Part[]): Promise<Engine> {
  const { first, tested } = opened;
  const { claims = [], through } = await findBackend(first.backend);
  for (const part of parts) {
    const engine = opened.engine!;
    if (!claims.includes(part) || !engine[part] || tested.has(part)) continue;
    tested.add(part);
    const beside = through && (await openedBeside(first, through));
    const reason = await selfTest(engine, part, beside);
    await beside?.close();
    if (reason === undefined) continue;
    opened.engine = without(engine, part);
    send({ type: "warning", variant: first.name, message: `its ${partNames[part]} are not believed: ${reason}` });
  }
  return opened.engine!;
}

/** The share of the free memory that a second copy of the model may take. */
const sparedMemory = 0.5;

/** The same file in this process, where it is here and small enough to be there twice. */
async function openedBeside(spec: VariantSpec, { backend, settings }: Through): Promise<Engine | undefined> {
  const [model] = spec.facts?.files ?? [];
  if (model === undefined || spec.facts!.bytes > sparedMemory * freeMemory()) return undefined;
  const own = settings(spec.settings);
  if (own === undefined) return undefined;
  const inside = { ...spec, backend, model, settings: own };
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
    takeCacheBytes: () => whole.takeCacheBytes?.(),
    close: () => whole.close(),
  };
}

/** The same; what depends on the machine and was measured while this process did not run all the time is measured again. */
async function* withoutPauses(request: MeasureRequest, opened: Opened): ReturnType<typeof measured> {
  if (!measurementOn(request.kind, request.dataset?.kind).machineBound) return yield* measured(request, opened);
  for (let only = request.only; ; ) {
    const dropped: string[] = [];
    let paused = pausesFromNow();
    for await (const item of measured({ ...request, ...definite({ only }) }, opened)) {
      const pause = await paused();
      if (pause) {
        dropped.push(item.item);
        const message = `a timing was dropped and made again: ${pause} meanwhile`;
        send({ type: "warning", variant: opened.first.name, message });
      } else yield item;
      paused = pausesFromNow();
    }
    if (dropped.length === 0) return;
    only = dropped;
  }
}

/** The items that this request yields. */
async function* measured(
  { kind, settings, dataset, done, only, share, together }: MeasureRequest,
  opened: Opened,
): AsyncGenerator<Measured & { job?: string }> {
  const measurement = measurementOn(kind, dataset?.kind);
  const asked = {
    settings,
    data: dataset,
    ...(share ? { share, whole: (items: number, job = "") => void wholes.set(job, items) } : {}),
    stopped: async () => {
      await turn();
      return stopping;
    },
    progress: (count: number, total: number, unit: string) => send({ type: "progress", done: count, total, unit }),
  };
  if ("compare" in measurement) {
    const { jobs = [], riders = [] } = together ?? {};
    const open = (all: TogetherRequest[]) => all.map((job) => ({ ...job, done: new Set(job.done) }));
    yield* measurement.compare({ ...asked, rows: opened.rows!, jobs: open(jobs), riders: open(riders) });
    return;
  }
  // A server may have less than it claimed.
  let way: typeof settings | undefined = settings;
  let asking = await believed(opened, measurement.needs(settings));
  while (way !== undefined && !has(asking, measurement.needs(way))) {
    way = measurement.instead?.(way);
    if (way !== undefined) asking = await believed(opened, measurement.needs(way));
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
    case "open":
      await open(message);
      break;
    case "items":
      // Those of a request that was given up before it was complete are forgotten.
      if (message.from === 0 || !items) items = [];
      for (const item of message.items) items.push(item);
      break;
    case "measure": {
      const request = items
        ? { ...message.request, dataset: Object.assign(message.request.dataset!, { items }) }
        : message.request;
      items = undefined;
      const { dataset } = request;
      const opened = now!;
      textName = dataset?.name;
      const stored = new UnchangedFiles();
      if (dataset?.reread) stored.add(dataset.path, dataset.sha256);
      wholes.clear();
      takeAll(opened); // from here on
      for await (const item of withoutPauses(request, opened)) {
        await checkFiles(stored);
        send({ type: "measured", ...item });
        await turn();
        if (stopping) break;
      }
      await checkFiles(stored);
      const all = takeMemory(opened);
      keepEach(opened, all);
      send(
        stopping
          ? { type: "stopped" }
          : {
              ...{ type: "complete", ...all },
              ...(taken.size === 0 ? {} : { each: Object.fromEntries(taken) }),
              ...(wholes.size === 0 ? {} : { whole: Object.fromEntries(wholes) }),
            },
      );
      break;
    }
    case "record": {
      const { text, settings, form, path, ...known } = message.request;
      const opened = now!;
      textName = text.name;
      takeAll(opened); // from here on
      await recordReference(opened.engine!.windows!, {
        text,
        settings,
        create: (plan) => findForm(form).create(path, { ...plan, ...known }),
        progress: (count, total) => send({ type: "progress", done: count, total, unit: "chunks" }),
      });
      await checkFiles();
      send({ type: "complete", ...takeMemory(opened) });
      break;
    }
    case "stop":
      stopping = true;
      break;
    case "close":
      await close(now);
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
