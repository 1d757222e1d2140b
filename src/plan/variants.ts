import type { Backend, EngineChoice, Part, Settings, VariantSpec } from "../backends/backend.js";
import { findBackend, withPaths } from "../backends/index.js";
import type { Benchmark, MeasurementConfig, VariantConfig } from "../benchmark/index.js";
import { definite } from "../definite.js";
import { BenchError, type Failure, toFailure } from "../errors.js";
import type { VariantRecord } from "../events.js";
import type { Place } from "../executors/index.js";
import { thisMachine } from "../machine.js";
import type { Missing, ModelSource } from "../models/preparation.js";
import type { SourceFolders } from "../models/sources.js";
import { addressWithoutSecrets, commandWithoutSecrets } from "../secrets.js";

/** A way to open a variant: by its own backend, or by one that opens the model's own file in this process. */
export interface Route {
  backend: Backend;
  /** The parts that the engine will have. */
  parts: readonly Part[];
  spec: VariantSpec;
  /** Where it would be opened. */
  place: Place;
  /** How it is measured, when that is not by the variant's own backend: a phrase. */
  method?: string;
}

/** A variant with its model found, and what is to be measured on it. */
export interface Inspected {
  record: VariantRecord;
  /** The variant's own backend first. */
  routes: [Route, ...Route[]];
  cells: MeasurementConfig[];
  /** Digest of what decides the weights; absent for a model that cannot be read, or not before it is fetched. */
  weights?: string;
  /** Present while something of it is to be fetched or made. */
  preparation?: Preparation;
}

/** How to make what a variant lacks. */
export interface Preparation {
  variant: string;
  backend: string;
  source: ModelSource;
  folders: Pick<SourceFolders, "baseDir" | "modelsDir" | "mirrors">;
  missing: Missing[];
  /** What is done first: a quantization is made of what was fetched. */
  work: "fetch" | "quantize";
}

/** A preparation that was made, or why it could not be. */
export interface Prepared {
  work: Preparation["work"];
  failure?: Failure;
}

export interface InspectOptions {
  /** Where an engine would be opened: asked of the executor that opens them. */
  place(variant: Pick<VariantSpec, "backend" | "model" | "settings">): Promise<Place>;
  signal?: AbortSignal;
  prepared?: Prepared;
}

/**
 * Finds and reads a variant's model, and asks where it would be opened. One that cannot be read has its failure in the record,
 * as has one that could not be prepared; after a preparation, nothing may be missing that it was to bring.
 */
export async function inspect(
  config: VariantConfig,
  { baseDir, modelsDir, mirrors }: Benchmark,
  { place: placeOf, signal, prepared }: InspectOptions,
): Promise<Omit<Inspected, "cells">> {
  const backend = await findBackend(config.backend);
  const { name, quantize, model, elsewhere, lora } = config;
  const asked = lora.map(({ path, scale }) => ({ path: addressWithoutSecrets(path), scale }));
  const record: VariantRecord = {
    name,
    model: addressWithoutSecrets(model),
    backend: config.backend,
    reference: config.reference,
    ...definite({ against: config.against }),
    tags: config.tags,
    settings: { ...withoutSecrets(config.settings), ...(asked.length > 0 ? { lora: asked } : {}) },
  };
  const opened = withPaths(config.backend, config.settings, baseDir);
  const spec: VariantSpec = { name, backend: config.backend, settings: opened, model, lora: [] };
  const { parts } = backend;
  let route: Route = { backend, parts, spec, place: { engine: unreached, machine: thisMachine() } };
  const source: ModelSource = { model, lora, ...definite({ elsewhere, quantize }) };
  const folders = { baseDir, ...definite({ modelsDir, mirrors }) };
  try {
    route = { ...route, place: await placeOf(spec) };
    signal?.throwIfAborted();
    const failure = prepared?.failure;
    if (failure) return { routes: [route], record: { ...record, failure } };
    const found = await backend.locate(source, { ...folders, ...definite({ signal }) }, opened);
    if (found.state === "missing") {
      const { missing, weights, lora: read = [] } = found;
      const work = missing.some(({ kind }) => kind === "fetch") ? "fetch" : "quantize";
      if (prepared && (work === "fetch" || prepared.work === "quantize")) throw notPrepared(record.model);
      const preparation: Preparation = { variant: name, backend: config.backend, source, folders, missing, work };
      const waiting: Route = { ...route, spec: { ...spec, lora: read } };
      return { routes: [waiting], record, preparation, ...definite({ weights }) };
    }
    const { facts, weights, from } = found;
    // The path as the user wrote it, and which file that was.
    const adapters = found.lora.map(({ sha256 }, i) => ({ ...asked[i], sha256: sha256.slice(0, 12) }));
    const settings = { ...record.settings, ...(adapters.length > 0 ? { lora: adapters } : {}) };
    const located: VariantSpec = { ...spec, model: found.model, lora: found.lora, ...definite({ facts, from }) };
    const own: Route = { ...route, spec: located, parts: found.parts ?? parts };
    return {
      routes: [own, ...(await routeThrough(own, placeOf))],
      record: { ...record, settings, ...definite({ facts, from }) },
      weights,
    };
  } catch (error) {
    signal?.throwIfAborted();
    return { routes: [route], record: { ...record, failure: inspectionFailure(record.model, error) } };
  }
}

/** As they may be written down: addresses of servers may hold a password, and commands that start them a key. */
function withoutSecrets(settings: Settings): Settings {
  const entries = (of: object) => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, told(value)]));
  const isText = (value: unknown) => typeof value === "string";
  const told = (value: unknown): unknown => {
    if (typeof value === "string") return addressWithoutSecrets(value);
    if (Array.isArray(value)) return value.every(isText) ? commandWithoutSecrets(value).command : value.map(told);
    return typeof value === "object" && value !== null ? entries(value) : value;
  };
  return entries(settings);
}

/** The engine of a server that could not be asked. */
const unreached: EngineChoice = { version: "", library: "", origin: "not reached", gpu: false };

/** The way by which another backend opens the model's own file, where that file is on this machine. */
async function routeThrough({ backend, spec }: Route, placeOf: InspectOptions["place"]): Promise<Route[]> {
  const { through } = backend;
  const [file] = spec.facts?.files ?? [];
  const settings = through?.settings(spec.settings);
  if (!through || file === undefined || settings === undefined) return [];
  const inside = { ...spec, backend: through.backend, model: file, settings };
  return [
    {
      backend: await findBackend(through.backend),
      parts: through.parts,
      spec: inside,
      place: await placeOf(inside),
      method: through.method,
    },
  ];
}

/** Another program may have removed what was made, or a server may have another version by now. */
function notPrepared(model: string): BenchError {
  return new BenchError("model-not-fetched", `${model} is not here any more: it was removed or changed meanwhile`, {
    hint: "run the same command again",
  });
}

/** An error that no reader of the file foresaw fails that variant alone, and is told without a stack. */
function inspectionFailure(model: string, error: unknown): Failure {
  if (error instanceof BenchError) return toFailure(error);
  const [reason = ""] = String(error instanceof Error ? error.message : error).split("\n");
  return toFailure(
    new BenchError("model-damaged", `${model} cannot be inspected: ${reason.slice(0, 120)}`, {
      hint: "its header may be damaged: copy or download it again",
    }),
  );
}
