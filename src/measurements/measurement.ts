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
  /** Measure these items alone (one turn of an interleaved job); all that are left where absent. */
  only?: ReadonlySet<string>;
  /** Whether the user wants it to end: to be asked where no item comes for long. */
  stopped(): Promise<boolean>;
  /** Called often; also the sign of life that the watchdog waits for. */
  progress(done: number, total: number, unit: string): void;
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
  /** Interleaved jobs take turns, one item each, over the variants: drift of the machine then hits all alike. */
  readonly interleaved: boolean;
  /** Lock-step jobs measure several variants against the reference in one process, which evaluates it once for all. */
  readonly lockStep: boolean;
  /** Whether the result depends on the machine, so that another machine makes another job. */
  readonly machineBound: boolean;
  metrics(settings: Settings, data?: Dataset): string[];
  /**
   * Tokens of context that the settings ask for, for the memory estimate and the refusal of what the model cannot hold;
   * `trained`: the context that the model was trained for, where that is known.
   */
  context(settings: Settings, data?: Dataset, trained?: number): { context: number; parallel: number; rows: number };
  /** Known items, in order, where they are known before the data is read (interleaved jobs); each ends with its repetition. */
  items?(settings: Settings): string[];
  /** Yields each item once, in the same order and batches whatever `done` holds. */
  measure(context: MeasureContext<Settings>): AsyncGenerator<Measured & { variant?: string }>;
}
