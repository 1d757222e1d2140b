import type { EngineSettings } from "./backends/backend.js";

/** One variant of a benchmark file, axes expanded, placeholders filled in. */
export interface VariantConfig {
  name: string;
  /** Path or URI, as resolved against the file's folder, `--models-dir` and the environment. */
  model: string;
  backend: string;
  reference: boolean;
  lora: { path: string; scale: number }[];
  tags: Record<string, string>;
  settings: EngineSettings;
}

export interface MeasurementConfig {
  /** The name in the file, unique. */
  name: string;
  /** perplexity, speed, choice … */
  kind: string;
  /** Dataset name or path, for measurements with data. */
  dataset?: string;
  /** Checked by the measurement's own schema, defaults filled in. */
  settings: Record<string, unknown>;
}

/** A benchmark file, read, checked, defaults filled in. */
export interface Benchmark {
  name: string;
  variants: VariantConfig[];
  measurements: MeasurementConfig[];
  /** Seconds without a sign of life after which a job is given up. */
  timeout: number;
  /** Bytes that engines may use; default: what the machine has free. */
  memoryLimit?: number;
  dataDir?: string;
  modelsDir?: string;
}
