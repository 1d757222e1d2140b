// The program of an engine process: opens one variant and measures what it is asked to, until its parent is gone.
import type { Engine, VariantSpec } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import { toFailure } from "../errors.js";
import { dieWithParent } from "../llama/library.js";
import { measurements } from "../measurements/index.js";
import { recordReference } from "../measurements/recording.js";
import { findForm } from "../references/index.js";
import type { ToEngine, ToParent } from "./child.js";

dieWithParent();
// The most likely backend is loaded while the parent still makes its plan.
void findBackend("llama");

let engine: Engine | undefined;
/** By variant name, in lock-step measurements. */
const others = new Map<string, Engine>();
/** Where models take turns: gives the variant of this name its turn, or the one that was opened first. */
let takeTurn: ((name?: string) => Promise<Engine>) | undefined;
/** Whose turn it is. */
let atTurn: string | undefined;
/** Bytes, by variant name: the largest resident set of its turns during the measurement at hand. */
const peaks = new Map<string, number>();
let stopping = false;

const send = (message: ToParent) => process.send!(message);
/** Lets messages in: decoding blocks the event loop. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Of the measurement at hand. */
let textName: string | undefined;

async function openVariant(variant: VariantSpec): Promise<Engine> {
  return (await findBackend(variant.backend)).open(variant, {
    doing: (step) => send({ type: "doing", step: step === "tokenizing" ? `tokenizing ${textName ?? "a text"}` : step }),
    warning: (message) => send({ type: "warning", variant: variant.name, message }),
  });
}

function keepPeak(): number {
  const peak = engine?.peakMemory() ?? 0;
  if (atTurn !== undefined) peaks.set(atTurn, Math.max(peaks.get(atTurn) ?? 0, peak));
  return peak;
}

function turns(first: VariantSpec, waiting: VariantSpec[]) {
  let current = first;
  return async (name?: string): Promise<Engine> => {
    const next = name === undefined ? first : waiting.find((one) => one.name === name)!;
    if (engine && next === current) return engine;
    keepPeak();
    await engine?.close();
    engine = undefined;
    engine = await openVariant(next);
    engine.peakMemory(); // from here on
    current = next;
    atTurn = next.name;
    send({ type: "opened-variant", variant: next.name, facts: engine.facts });
    return engine;
  };
}

async function handle(message: ToEngine): Promise<void> {
  switch (message.type) {
    case "open": {
      engine = await openVariant(message.variant);
      if (message.inTurns) {
        takeTurn = turns(message.variant, message.others);
        atTurn = message.variant.name;
      } else
        for (const other of message.others) {
          const beside = await openVariant(other);
          others.set(other.name, beside);
          send({ type: "opened-variant", variant: other.name, facts: beside.facts });
        }
      send({ type: "opened", facts: engine.facts });
      break;
    }
    case "measure": {
      const { kind, settings, dataset, done, only, variants = [], scratchLimit } = message.request;
      textName = dataset?.name;
      engine!.peakMemory(); // from here on
      peaks.clear();
      const measured = measurements[kind]!.measure({
        engine: engine!,
        variants: variants.map(({ name, floor, done }) => ({
          ...{ name, floor, done: new Set(done) },
          open: async () => takeTurn?.(name) ?? others.get(name)!,
        })),
        ...(takeTurn ? { openReference: () => takeTurn!() } : {}),
        ...(scratchLimit === undefined ? {} : { scratchLimit }),
        settings,
        ...(dataset ? { dataset } : {}),
        done: new Set(done),
        ...(only ? { only: new Set(only) } : {}),
        stopped: async () => {
          await turn();
          return stopping;
        },
        progress: (count, total, unit) => send({ type: "progress", done: count, total, unit }),
      });
      for await (const item of measured) {
        send({ type: "measured", ...item });
        await turn();
        if (stopping) break;
      }
      const peakMemory = keepPeak();
      send(
        stopping
          ? { type: "stopped" }
          : { type: "complete", peakMemory, ...(takeTurn ? { peaks: Object.fromEntries(peaks) } : {}) },
      );
      break;
    }
    case "record": {
      const { text, settings, form, path, ...known } = message.request;
      textName = text.name;
      engine!.peakMemory(); // from here on
      await recordReference(engine!, {
        text,
        settings,
        create: (plan) => findForm(form).create(path, { ...plan, ...known }),
        progress: (count, total) => send({ type: "progress", done: count, total, unit: "chunks" }),
      });
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
  handle(message).catch((error) => send({ type: "failed", failure: toFailure(error) }));
});
process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole group of processes; the parent decides what becomes of the engines.
process.on("SIGINT", () => {});
