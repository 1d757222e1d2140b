import type { EngineFacts } from "./backends/backend.js";
import type { Failure } from "./errors.js";
import type { ModelFacts } from "./models/gguf.js";

/**
 * One raw value: never an aggregate. `item` (chunk index, question id, repetition) is what pairs two variants.
 * The value of a likelihood metric is a mean over `weight` units (nats per token with weight = tokens), so that
 * the weighted mean over all samples is the mean over all units.
 */
export interface Sample {
  metric: string;
  value: number;
  weight: number;
  /** Mean of the squared per-unit values, where there are several units: their variance needs no per-token file. */
  square?: number;
}

/** Per-token values that go beside the events as binary files, `<job>.<name>.bin`, little-endian. */
export type TokenValues = Float64Array | Float32Array | Int32Array;

/** What a measurement yields for one item, all or nothing. */
export interface Measured {
  item: string;
  samples: Sample[];
  /** Per-token arrays by name (`nll`: Float64, nats). */
  tokens?: Record<string, TokenValues>;
  /** What the eye or a later statistic wants of this item: option scores, the prediction, foreign load … */
  detail?: Record<string, unknown>;
}

/** A job as the plan made it; everything that a table needs to name it. */
export interface JobRecord {
  /**
   * Hash of all that determines the result: model and adapters by their bytes, the data as asked, settings, the version of
   * the scoring rule, the engine, the processor (and the whole machine, for speed).
   */
  id: string;
  variant: string;
  backend: string;
  /** The name in the benchmark file, e.g. `perplexity` or `perplexity-zh`. */
  measurement: string;
  /** The member of the family of measurements: perplexity, speed, choice … */
  kind: string;
  dataset: string;
  /** Of the file. */
  datasetSha256?: string;
  /** Of the data as models are asked, which a dataset's card decides too; absent in runs of version 0.1. */
  askedSha256?: string;
  /** Settings with defaults filled in. */
  settings: Record<string, unknown>;
  /** The metrics that this job will give. */
  metrics: string[];
  /** The variant that a lock-step job compares with; the job's own variant where it measures the noise floor. */
  against?: string;
  /** Why this cell cannot be measured; neither an error nor a gap. */
  impossible?: string;
  /** Seconds that the plan guesses; wrong by a factor that is about the same for all jobs of a machine. */
  estimate?: number;
}

/** A variant as the plan resolved it. */
export interface VariantRecord {
  name: string;
  /** As the user wrote it. */
  model: string;
  backend: string;
  reference: boolean;
  /** Compared with this variant rather than with the reference. */
  against?: string;
  tags: Record<string, string>;
  settings: Record<string, unknown>;
  /** Absent where the model could not be read. */
  facts?: ModelFacts;
  /** Why nothing of this variant can be measured. */
  failure?: Failure;
}

/** Where the figures come from. */
export interface Provenance {
  command: string[];
  versions: Record<string, string>;
  machine: Machine;
  engine: { version: string; library: string; origin: string };
  datasets: { name: string; path: string; sha256: string; bytes: number; note?: string }[];
}

export interface Machine {
  cpu: string;
  /** Logical processors that this process may use. */
  cpus: number;
  memoryBytes: number;
  os: string;
  arch: string;
  gpus: string[];
}

/**
 * What a run says, in order; the store keeps every event but `progress`, the view folds them, the statistics fold them.
 * `at` is milliseconds since the epoch.
 */
export type Event =
  | {
      type: "started";
      at: number;
      name: string;
      variants: VariantRecord[];
      jobs: JobRecord[];
      /** Which measurements the user asked for, in order, with the settings as given. */
      measurements: { name: string; kind: string; settings: Record<string, unknown> }[];
      provenance: Provenance;
    }
  | { type: "opened"; at: number; variant: string; engine: EngineFacts }
  | { type: "job-started"; at: number; job: string; done: number }
  | ({ type: "samples"; job: string } & Measured)
  | { type: "progress"; job: string; done: number; total: number; unit: string }
  | { type: "job-done"; at: number; job: string; items: number; seconds: number }
  | { type: "job-failed"; at: number; job: string; failure: Failure }
  | { type: "warning"; at: number; message: string; variant?: string; job?: string }
  | { type: "finished"; at: number; outcome: "complete" | "stopped" };

/** Kept on disk: `tokens` became positions in the binary files (`[offset, count]` in values). */
export type StoredEvent =
  | Exclude<Event, { type: "samples" } | { type: "progress" }>
  | {
      type: "samples";
      job: string;
      item: string;
      samples: Sample[];
      tokens?: Record<string, [offset: number, count: number]>;
      detail?: Record<string, unknown>;
    };
