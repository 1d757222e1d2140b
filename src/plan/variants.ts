import type { Backend, VariantSpec } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import type { Benchmark, MeasurementConfig, VariantConfig } from "../benchmark/index.js";
import { definite } from "../definite.js";
import { BenchError, type Failure, toFailure } from "../errors.js";
import type { VariantRecord } from "../events.js";
import type { Place } from "../executors/index.js";
import type { Missing, ModelSource } from "../models/preparation.js";
import type { SourceFolders } from "../models/sources.js";
import { addressWithoutSecrets } from "../secrets.js";

/** A variant with its model found, and what is to be measured on it. */
export interface Inspected {
  spec: VariantSpec;
  record: VariantRecord;
  backend: Backend;
  /** Where it would be opened. */
  place: Place;
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
}

/**
 * Finds and reads a variant's model. One that cannot be read has its failure in the record, as has one that could not be
 * prepared: `prepared` holds why, by variant, and after it nothing may be missing.
 */
export async function inspect(
  config: VariantConfig,
  { baseDir, modelsDir, mirrors }: Benchmark,
  { signal, prepared }: { signal?: AbortSignal; prepared?: ReadonlyMap<string, Failure> },
): Promise<Omit<Inspected, "place" | "cells">> {
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
    settings: { ...config.settings, ...(asked.length > 0 ? { lora: asked } : {}) },
  };
  const spec: VariantSpec = { name, backend: config.backend, settings: config.settings, model, lora: [] };
  const source: ModelSource = { model, lora, ...definite({ elsewhere, quantize }) };
  const folders = { baseDir, ...definite({ modelsDir, mirrors }) };
  try {
    const failure = prepared?.get(name);
    if (failure) return { backend, spec, record: { ...record, failure } };
    const found = await backend.locate(source, { ...folders, ...definite({ signal }) });
    if (found.state === "missing") {
      if (prepared) throw notPrepared(record.model);
      const { missing, weights, lora: read = [] } = found;
      const preparation = { variant: name, backend: config.backend, source, folders, missing };
      return { backend, spec: { ...spec, lora: read }, record, preparation, ...definite({ weights }) };
    }
    const { facts, weights, from } = found;
    // The path as the user wrote it, and which file that was.
    const adapters = found.lora.map(({ sha256 }, i) => ({ ...asked[i], sha256: sha256.slice(0, 12) }));
    const settings = { ...record.settings, ...(adapters.length > 0 ? { lora: adapters } : {}) };
    return {
      backend,
      spec: { ...spec, model: found.model, lora: found.lora, facts },
      record: { ...record, settings, facts, ...definite({ from }) },
      weights,
    };
  } catch (error) {
    signal?.throwIfAborted();
    return { backend, spec, record: { ...record, failure: inspectionFailure(record.model, error) } };
  }
}

/** Another program may have removed what was made, or a server may have another version by now. */
function notPrepared(model: string): BenchError {
  return new BenchError("model-not-fetched", `${model} is not here any more: it was removed or changed meanwhile`, {
    hint: "run the same command again",
  });
}

/** What a file holds that no reader foresaw is that variant's fault alone, and told without a stack. */
function inspectionFailure(model: string, error: unknown): Failure {
  if (error instanceof BenchError) return toFailure(error);
  const [reason = ""] = String(error instanceof Error ? error.message : error).split("\n");
  return toFailure(
    new BenchError("model-damaged", `${model} cannot be inspected: ${reason.slice(0, 120)}`, {
      hint: "its header may be damaged: copy or download it again",
    }),
  );
}
