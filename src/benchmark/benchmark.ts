import type { z } from "zod";
import type { Settings } from "../backends/backend.js";

/** One variant of a benchmark file, axes expanded, placeholders filled in. */
export interface VariantConfig {
  name: string;
  /** Path or URI, placeholders filled in; `resolveModel` finds the file. */
  model: string;
  /** Other addresses of the same model, tried in turn where the first does not have it. */
  elsewhere?: string[];
  /** The type to make of the model first, with an importance matrix perhaps. */
  quantize?: { type: string; imatrix?: string };
  backend: string;
  reference: boolean;
  /** The variant that this one is compared with, where it is not the reference. */
  against?: string;
  lora: { path: string; scale: number }[];
  tags: Record<string, string>;
  /** Settings said by the variant or by `defaults`, without the defaults of the backend. */
  settings: Settings;
}

export interface MeasurementConfig {
  /** The name in the file, unique. */
  name: string;
  /** The entry of the file that it is a part of, where that names several data: the mean over its parts is told under this name. */
  group?: string;
  /** That mean weighs each part by its questions; else the parts count alike. */
  bySize?: true;
  /** perplexity, speed, choice … */
  kind: string;
  /** The kind of data that it is measured on. */
  on: string;
  /** The keys that name its data, those of their kind; none for a measurement without data. */
  data: Record<string, unknown>;
  /** Checked by the measurement's own schema, defaults filled in. */
  settings: Record<string, unknown>;
}

/** A benchmark file, read, checked, defaults filled in. */
export interface Benchmark {
  name: string;
  description?: string;
  variants: VariantConfig[];
  measurements: MeasurementConfig[];
  /** Seconds without a sign of life after which a job is given up. */
  timeout: number;
  /** Bytes that engines may use; default: what the machine has free. */
  memoryLimit?: number;
  /** Bytes of a temporary file for the reference's logits, where models take turns in memory. */
  scratchLimit?: number;
  dataDir?: string;
  modelsDir?: string;
  /** Servers that hold what Hugging Face holds, asked in turn when it fails. */
  mirrors?: string[];
  /** Where relative paths start: the file's folder, or the working directory. */
  baseDir: string;
  /** A file of figures that others published, from `baseDir`. */
  published?: string;
  /** What a question without a file is called when these variants of it are measured. */
  titled?(variants: string[]): string;
  /** Notes on how the flags were read, a sentence each. */
  notes?: string[];
}

/** A measurement on one kind of data, as far as the reader asks it. */
export interface MeasurementForm {
  readonly settings: z.ZodType<Record<string, unknown>>;
  readonly data: string;
}

/** The family of measurements, by name, as far as the reader asks it; `also`: the same on data of other kinds. */
export type Measurements = Readonly<Record<string, MeasurementForm & { readonly also?: readonly MeasurementForm[] }>>;

export interface ReadOptions {
  measurements: Measurements;
  /** The folder that `${models}` stands for. */
  modelsDir?: string;
  /** The folder that `${data}` stands for. */
  dataDir?: string;
  /** Values of other placeholders; by default the process's own variables. */
  env?: NodeJS.ProcessEnv;
}
