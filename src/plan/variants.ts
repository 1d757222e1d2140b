import type { Backend, VariantSpec } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import type { Benchmark, MeasurementConfig, VariantConfig } from "../benchmark/index.js";
import { BenchError, type Failure, toFailure } from "../errors.js";
import type { VariantRecord } from "../events.js";
import type { Place } from "../executors/index.js";
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
}

/** Finds and reads a variant's model. One that cannot be read has its failure in the record. */
export async function inspect(
  config: VariantConfig,
  { baseDir, modelsDir }: Benchmark,
  downloads: Pick<SourceFolders, "fetching" | "signal" | "dryRun"> | undefined,
): Promise<Pick<Inspected, "spec" | "record" | "backend">> {
  const backend = await findBackend(config.backend);
  const asked = config.lora.map(({ path, scale }) => ({ path: addressWithoutSecrets(path), scale }));
  const record: VariantRecord = {
    name: config.name,
    model: addressWithoutSecrets(config.model),
    backend: config.backend,
    reference: config.reference,
    ...(config.against ? { against: config.against } : {}),
    tags: config.tags,
    settings: { ...config.settings, ...(asked.length > 0 ? { lora: asked } : {}) },
  };
  const spec = { name: config.name, backend: config.backend, settings: config.settings };
  try {
    const { model, facts, lora } = await backend.inspect(config, {
      baseDir,
      ...(modelsDir ? { modelsDir } : {}),
      ...downloads,
    });
    // The path as the user wrote it, and which file that was.
    const found = lora.map(({ sha256 }, i) => ({ ...asked[i], sha256: sha256.slice(0, 12) }));
    const settings = { ...record.settings, ...(found.length > 0 ? { lora: found } : {}) };
    return { backend, spec: { ...spec, model, lora, facts }, record: { ...record, settings, facts } };
  } catch (error) {
    downloads?.signal?.throwIfAborted();
    const failure = inspectionFailure(record.model, error);
    return { backend, spec: { ...spec, model: config.model, lora: [] }, record: { ...record, failure } };
  }
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
