import { loadKey, type Part, type SettingsFacts, type VariantSpec } from "../backends/backend.js";
import type { MeasurementConfig } from "../benchmark/index.js";
import type { Dataset } from "../data/index.js";
import { definite } from "../definite.js";
import type { JobRecord } from "../events.js";
import { seconds } from "../measurements/cost.js";
import { measurementOn } from "../measurements/index.js";
import type { Cost } from "../measurements/measurement.js";
import { estimateMemory, type MemoryEstimate } from "../models/memory.js";
import { type Computed, identify } from "./identity.js";
import { reasonAgainst } from "./possible.js";
import type { Inspected, Route } from "./variants.js";

/** Tokens of one decode call, and of those the ones computed at once: they shape the last digits of a decode. */
export type Shape = Pick<SettingsFacts, "batch" | "ubatch">;

/** A variant × a measurement, with all that is needed to run it. */
export interface Job {
  /** The part of it that is kept in events. */
  record: JobRecord;
  /** Whether the id is final: it is not before all that decides it is fetched. */
  identified: boolean;
  spec: VariantSpec;
  /** What an engine loads for it: one that has loaded the same can become this variant. */
  load: string;
  /** The reference that is opened beside the variant, if the job is measured together with others. */
  reference?: { spec: VariantSpec; load: string; shape: Shape; memory?: MemoryEstimate };
  shape: Shape;
  data?: Dataset;
  /** Absent where the model could not be read. */
  memory?: MemoryEstimate;
  /** Processor threads that compute; absent when the engine takes every core, or a graphics card that it shares with no other. */
  threads?: number;
}

/** Data, and the digest of them as models are asked. */
export interface AskedData {
  dataset: Dataset;
  sha256: string;
}

/** A variant on the way by which a job measures it. */
export type Routed = Omit<Inspected, "routes" | "cells"> & Route;

/**
 * The way that has all the parts which these settings need, the variant's own backend before others; else other settings by
 * which the measurement can be made there. When there is none, the variant's own backend, of which the plan then says what it
 * lacks.
 */
function routed(
  { routes, ...inspected }: Inspected,
  { kind, on, settings }: MeasurementConfig,
): { variant: Routed; settings: MeasurementConfig["settings"] } {
  const { needs, instead } = measurementOn(kind, on);
  for (let way: typeof settings | undefined = settings; way !== undefined; way = instead?.(way)) {
    const parts: readonly Part[] = needs(way);
    const route = routes.find((one) => parts.every((part) => one.parts.includes(part)));
    if (route) return { variant: { ...inspected, ...route }, settings: way };
  }
  return { variant: { ...inspected, ...routes[0] }, settings };
}

export function makeJob(
  said: MeasurementConfig,
  inspected: Inspected,
  reference: Inspected | undefined,
  asked: AskedData | undefined,
): Job {
  const data = asked?.dataset;
  const measurement = measurementOn(said.kind, said.on);
  const { variant, settings } = routed(inspected, said);
  const config = { ...said, settings };
  const { backend, record, place } = variant;
  const together = measurement.mode.kind === "together" && reference;
  const against = together ? routed(reference, config).variant : undefined;
  // The reference against itself in another batch shape: how far the same model is from itself.
  const { otherShape, batch, ubatch } = backend.settingsFacts(variant.spec.settings);
  const spec = against?.record === record ? { ...variant.spec, settings: otherShape } : variant.spec;
  const trained = record.facts?.contextLength;
  const cost: Cost = measurement.cost(config.settings, data, definite({ batch, ubatch, trained }));
  const { context, parallel, rows } = cost;
  const impossible = reasonAgainst(config, variant, against, context, data);
  const memoryOf = ({ record: { facts }, spec, backend }: Routed) => {
    const settings = backend.settingsFacts(spec.settings);
    return facts && !settings.elsewhere ? estimateMemory(facts, { context, parallel, rows, ...settings }) : undefined;
  };
  const identity = identify(
    definite({
      variant: computed(variant, spec, measurement.machineBound),
      against: against && computed(against, against.spec, measurement.machineBound),
      backend: backend.name,
      kind: config.kind,
      rule: measurement.rule,
      settings: config.settings,
      dataset: asked?.sha256,
    }),
    place,
    measurement,
  );
  const { threads } = backend.settingsFacts(spec.settings);
  const estimate = impossible ? undefined : seconds(spec.facts, backend.settingsFacts(spec.settings), cost);
  const opened = (one: Routed) =>
    definite({ spec: one.spec, load: loadOf(one, one.spec), shape: shapeOf(one, one.spec), memory: memoryOf(one) });
  return {
    record: definite({
      ...identity,
      variant: spec.name,
      backend: backend.name,
      measurement: config.name,
      kind: config.kind,
      dataset: data?.name ?? "",
      datasetSha256: asked?.dataset.sha256,
      askedSha256: asked?.sha256,
      rule: measurement.rule,
      settings: config.settings,
      mode: measurement.mode.kind,
      method: measurement.method?.(settings) ?? variant.method,
      task: data?.task,
      metrics: measurement.metrics(config.settings, data),
      against: against?.record.name,
      impossible,
      estimate,
    }),
    identified: variant.weights !== undefined && (!against || against.weights !== undefined),
    ...opened({ ...variant, spec }),
    ...definite({
      reference: against && opened(against),
      data,
      // A graphics card computes for one engine at a time.
      threads: place.engine.gpu ? undefined : threads,
    }),
  };
}

/** A variant that shares its load with none has one of its own. */
const loadOf = ({ backend }: Routed, spec: VariantSpec) => loadKey(backend, spec) ?? JSON.stringify(spec);

function shapeOf({ backend }: Routed, { settings }: VariantSpec): Shape {
  const { batch, ubatch } = backend.settingsFacts(settings);
  return { batch, ubatch };
}

/** A variant as the identity has it: files by their bytes, whatever they are called. Threads count for speed alone. */
function computed(
  { backend, weights }: Routed,
  { name, model, lora = [], settings }: VariantSpec,
  fast: boolean,
): Computed {
  const { digits, threads } = backend.settingsFacts(settings);
  return {
    // Two variants of one model may be unread for reasons of their own: an adapter, an importance matrix.
    model: weights ?? `unread ${name} ${model}`,
    lora: lora.map(({ sha256, scale }) => ({ sha256, scale })),
    settings: fast ? { ...digits, threads } : digits,
  };
}
