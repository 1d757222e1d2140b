import type { z } from "zod";
import type { Capability, Engine } from "../backends/backend.js";
import type { Dataset } from "../data/index.js";
import type { Measured } from "../events.js";

/** A variant that is measured with others against one reference. */
export interface LockStepVariant {
  name: string;
  /** Its engine. Where models take turns, the one that was open before is closed, the reference's too. */
  open(): Promise<Engine>;
  done: ReadonlySet<string>;
  /** The reference itself, opened in another batch shape: what it shows is the noise floor. */
  floor: boolean;
}

export interface MeasureContext<Settings> {
  /** Of the variant; of the reference in a lock-step measurement. */
  engine: Engine;
  /** In a lock-step measurement: who is measured against the reference. */
  variants: LockStepVariant[];
  /** There where not all models fit into memory together, so that one at a time is open: gives the reference its turn. */
  openReference?(): Promise<Engine>;
  /** Bytes that a temporary file may take. */
  scratchLimit?: number;
  settings: Settings;
  /** Absent for measurements without data. */
  dataset?: Dataset;
  /** Items that the run already holds. */
  done: ReadonlySet<string>;
  /** Measure these items alone (one turn of a job); all that are left where absent. */
  only?: ReadonlySet<string>;
  /** Whether the user wants it to end: to be asked where no item comes for long. */
  stopped(): Promise<boolean>;
  /** Called often; also the sign of life that the watchdog waits for. */
  progress(done: number, total: number, unit: string): void;
}

/** How the jobs of a measurement are scheduled. */
export type Mode<Settings> =
  /** Each job by itself, in the engine of its variant. */
  | { kind: "alone" }
  /**
   * Item by item in turns over the variants, while nothing else is measured: drift of the machine then hits all alike.
   * `items`: all of a job, in order; each ends with its repetition.
   */
  | { kind: "turns"; items(settings: Settings): string[] }
  /** All variants of one reference in one process with it: each chunk is evaluated once by the reference for all of them. */
  | { kind: "together" };

/** What a job takes, as far as it is known before a model is opened. */
export interface Cost {
  /** Tokens that are decoded many at once, and one by one. */
  prompt: number;
  generated: number;
  /** What the engine holds: tokens of context, sequences of so many tokens side by side, rows of logits. */
  context: number;
  parallel: number;
  rows: number;
}

/** What can be measured on an opened variant. Knows no concrete backend, no store and no screen. */
export interface Measurement<Settings = Record<string, unknown>> {
  readonly name: string;
  /**
   * The version of its scoring rule, part of every job's identity: to be raised by one whenever the same model, data and
   * settings would give another figure than before, so that a run never mixes the two.
   */
  readonly rule: number;
  /** Settings in a benchmark file, defaults included. */
  readonly settings: z.ZodType<Settings>;
  readonly needs: readonly Capability[];
  readonly data: "text" | "choice" | "reference" | "none";
  readonly mode: Mode<Settings>;
  /** Whether the result depends on the machine, so that another machine makes another job. */
  readonly machineBound: boolean;
  metrics(settings: Settings, data?: Dataset): string[];
  /**
   * For the plan's guess of time and memory, and the refusal of a context that the model cannot hold. `trained`: the context
   * that the model was trained for, if known.
   */
  cost(settings: Settings, data?: Dataset, trained?: number): Cost;
  /** Yields each item once, in the same order and batches whatever `done` holds. */
  measure(context: MeasureContext<Settings>): AsyncGenerator<Measured & { variant?: string }>;
}
