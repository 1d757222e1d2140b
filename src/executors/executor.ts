import type { EngineChoice, EngineFacts, VariantSpec } from "../backends/backend.js";
import type { Dataset, TextDataset } from "../data/index.js";
import type { Instead, Measured } from "../events.js";
import type { Machine } from "../machine.js";
import type { ReferencePlan } from "../references/reference.js";
import type { Share } from "../share.js";

/** A job, or the items of it, to be measured now. */
export interface MeasureRequest {
  /** The member of the family of measurements. */
  kind: string;
  settings: Record<string, unknown>;
  dataset?: Dataset;
  /** Items that the run already holds. */
  done: string[];
  /** These items alone. */
  only?: string[];
  /**
   * The part of the items that is measured: chunks in whole batches, for each of the jobs `together`; questions by their
   * subjects. The parts of one `of`, joined, are the undivided job, digit by digit; a part may be empty. What takes turns has none.
   */
  share?: Share;
  /**
   * Of a measurement that is made on a reference and its variants together: its jobs, and those of another measurement
   * that the same decode feeds.
   */
  together?: { jobs: TogetherRequest[]; riders: TogetherRequest[] };
}

export interface TogetherRequest {
  /** Job id, which comes back with each item. */
  id: string;
  /** A variant that was opened beside the first one; absent: the first one itself. */
  variant?: string;
  done: string[];
  /** The first one in another batch shape. */
  floor?: boolean;
}

/** A reference to be written to a file. */
export interface RecordRequest extends Pick<ReferencePlan, "modelSha256" | "tokenizerSha256" | "textSha256" | "top"> {
  text: TextDataset;
  settings: { context: number; chunks?: number };
  /** The member of the family of references. */
  form: string;
  path: string;
}

export type MeasureReply =
  /** `job`: whose item it is, if several jobs are measured together. */
  | ({ type: "measured"; job?: string } & Measured)
  /** `where`: the name of who measures, where that is not this machine. */
  | { type: "progress"; done: number; total: number; unit: string; where?: string }
  | EngineWarning
  | OpenedVariant
  | MeasuredInstead
  /**
   * The last reply; `each`: the same of several variants, by name, as if the others were not there. `whole`: of a request with a
   * share, how many items all shares have together, by job of those measured together, else under an empty name.
   */
  | ({ type: "complete"; each?: Record<string, TakenMemory>; whole?: Record<string, number> } & TakenMemory);

/** What is measured after all, because the engine has less than the plan took it to have. */
export interface MeasuredInstead extends Instead {
  type: "instead";
}

/** What a request took, in bytes. */
export interface TakenMemory {
  /** The largest resident set of the process, where it can be seen. */
  peakMemory?: number;
  /** The largest KV cache of the engine, where it tells. */
  cacheBytes?: number;
}

/** A variant that was opened beside the first one, or in its turn. */
export interface OpenedVariant {
  type: "opened-variant";
  variant: string;
  facts: EngineFacts;
}

/** A warning for the reader of a variant's figures, a sentence without its full stop. */
export interface EngineWarning {
  type: "warning";
  variant: string;
  message: string;
}

/** A variant opened somewhere. */
export interface OpenedEngine {
  readonly facts: EngineFacts;
  /** Warnings that came while it was opened last. */
  readonly warnings: readonly EngineWarning[];
  /** Those that were opened beside it; where variants take turns, each is told when its turn comes. */
  readonly others: readonly OpenedVariant[];
  /** Ends after `complete`; a stop ends it after the item at hand, without. Throws a BenchError when it cannot go on, or was killed. */
  measure(request: MeasureRequest): AsyncIterable<MeasureReply>;
  /**
   * Opens another variant of the same load in the same process, and closes those that are open: what they have in common stays
   * in memory. Throws a BenchError when it cannot; while it is alive it is then what it was before.
   */
  become(variant: VariantSpec, options: OpenOptions): Promise<void>;
  /** Writes the distributions of a text's scored tokens to a file; ends after `complete`. */
  record(request: RecordRequest): AsyncIterable<MeasureReply>;
  /** False once the process behind it is gone. */
  readonly alive: boolean;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** Seconds without a sign of life after which the engine is killed. */
  timeout: number;
  /** Bytes that the engine needs, as far as the plan knows. */
  memory?: number;
  /** Opened in the same process, to be measured together. */
  others?: VariantSpec[];
  /**
   * Given if they and the variant do not fit into memory side by side: one at a time is open, and rows of the first one wait
   * in a temporary file of `limit` bytes.
   */
  scratch?: { limit?: number };
}

/** Where a job is measured: the build that computes, and the machine that it runs on. */
export interface Place {
  engine: EngineChoice;
  machine: Machine;
}

/** What happens to those who measure, a sentence without its end; `worker`: to which of them, or to their queue. */
export type Happening = { type: "warning"; message: string; worker?: string } | { type: "note"; message: string };

/** Where engines run. */
export interface Executor {
  /** Where an engine of this variant would be opened. Throws a BenchError when the server that computes cannot be asked. */
  place(variant: Pick<VariantSpec, "backend" | "model" | "settings">): Promise<Place>;
  /** Throws a BenchError `stopped` after a stop. */
  open(variant: VariantSpec, options: OpenOptions): Promise<OpenedEngine>;
  /** What it can do at once, where that is not what this machine's cores and memory allow. */
  readonly capacity?: { steps: number };
  /** Bytes that engines may use, where that is not the memory of this machine. */
  readonly memory?: number;
  /**
   * Who measures, once a plan has its places, and what happens to them until it is closed. Throws a BenchError when nothing can
   * be measured any more.
   */
  happenings?(): AsyncIterable<Happening>;
  /** Graceful: every engine ends after the item at hand, and is killed when that takes more than a few seconds. */
  stop(): void;
  /** At once: every engine is killed. */
  close(): Promise<void>;
}
