import type { z } from "zod";
import type { Engine, Part, Parts } from "../backends/backend.js";
import type { TextChunks } from "../backends/chunks.js";
import type { DataOf } from "../data/index.js";
import type { Measured } from "../events.js";
import type { ReferenceRows } from "../references/rows.js";
import type { Share } from "../share.js";

/** The type of the data of each kind; a measurement may need none. */
export type DataFor = DataOf & { none: undefined };

interface Asking<Settings, Kind extends keyof DataFor> {
  settings: Settings;
  data: DataFor[Kind];
  /** The part of the items that is measured, see `MeasureRequest`; all of them if absent. */
  share?: Share;
  /** To be told, where there is a `share`, how many items all shares have; of which job, if there are several. */
  whole?(items: number, job?: string): void;
  /** Whether the user wants it to end: to be asked if no item comes for long. */
  stopped(): Promise<boolean>;
  /** Called often; also the sign of life that the watchdog waits for. */
  progress(done: number, total: number, unit: string): void;
}

/** All that a job is measured with: an engine that has the parts which the measurement needs, settings, data. */
export interface MeasureContext<Settings, Kind extends keyof DataFor, Needs extends Part>
  extends Asking<Settings, Kind> {
  engine: Engine & Pick<Parts, Needs>;
  /** Items that the run already holds. */
  done: ReadonlySet<string>;
  /** Measure these items alone (one turn of a job); all that are left if absent. */
  only?: ReadonlySet<string>;
}

/** One of the jobs that are measured together. */
export interface TogetherJob {
  id: string;
  /** Name of a variant beside the reference; absent: the reference itself. */
  variant?: string;
  done: ReadonlySet<string>;
  /** The reference in another batch shape: what it shows is the noise floor. */
  floor?: boolean;
}

export interface TogetherContext<Settings, Kind extends keyof DataFor> extends Asking<Settings, Kind> {
  rows: ReferenceRows;
  /** Jobs of the measurement. */
  jobs: TogetherJob[];
  /** Jobs of another measurement whose items come out of the same decode. */
  riders: TogetherJob[];
}

/** Limits of an engine's work, as far as they are known before a model is opened; all in tokens. */
export interface EngineLimits {
  /** Tokens of one decode call, and tokens computed at once. */
  batch: number;
  ubatch: number;
  /** The context that the model was trained for, if known. */
  trained?: number;
}

/** The work of a job, as far as it is known before a model is opened. */
export interface Cost {
  /** Tokens that are decoded many at once, and one by one. */
  prompt: number;
  generated: number;
  /** Seconds that pass on any machine. */
  waits?: number;
  /** Held by the engine: tokens of context, sequences of so many tokens side by side, rows of logits. */
  context: number;
  parallel: number;
  rows: number;
}

interface DescribedSettings<Settings, Kind extends keyof DataFor, Needs extends Part> {
  readonly name: string;
  /**
   * The version of its scoring rule, part of every job's identity: to be raised by one whenever the same model, data and
   * settings would give another figure than before, so that a run never mixes the two.
   */
  readonly rule: number;
  /** Settings in a benchmark file, defaults included. */
  readonly settings: z.ZodType<Settings>;
  /** The parts of an engine that it is measured with. */
  needs(settings: Settings): readonly Needs[];
  /** Settings for an engine that lacks those parts; absent, or undefined, when there is no other way to measure. */
  instead?(settings: Settings): Settings | undefined;
  /** How these settings measure, when that is not the plain way: `by generation`. Stands beside every figure. */
  method?(settings: Settings): string | undefined;
  readonly data: Kind;
  /** The same measurement on data of other kinds: an entry that names such data is measured so. */
  // biome-ignore lint/suspicious/noExplicitAny: each has settings, data and needs of its own
  readonly also?: readonly Measurement<any, any, any>[];
  /** Whether the result depends on the machine, so that another machine makes another job. */
  readonly machineBound: boolean;
  metrics(settings: Settings, data?: DataFor[Kind]): string[];
  /**
   * For the plan's guess of time and memory, and the refusal of a context that the model cannot hold.
   */
  cost(settings: Settings, data: DataFor[Kind] | undefined, engine: EngineLimits): Cost;
  /** Why no item of the data can be measured by these settings, a sentence without its end. */
  unfit?(settings: Settings, data: DataFor[Kind]): string | undefined;
  /** What of the settings asks for more tokens of context than these, by name, where the rest would do with them. */
  beyond?(settings: Settings, context: number): string[];
}

/** Measured on one engine, of which there is one per variant. */
interface OnOneEngine<Settings, Kind extends keyof DataFor, Needs extends Part> {
  /**
   * How jobs are scheduled: `alone`, each by itself; or in `turns`, item by item over the variants while nothing else is
   * measured, so that drift of the machine hits all alike. `items`: all of a job, in order; each ends with its repetition.
   */
  readonly mode: { kind: "alone" } | { kind: "turns"; items(settings: Settings): string[] };
  /** The chunks whose likelihoods its items are, if they are that: then it need not decode what another one does. */
  likelihoods?(settings: Settings): TextChunks;
  /** Yields each item once, with the same digits whatever `done` holds. */
  measure(context: MeasureContext<Settings, Kind, Needs>): AsyncGenerator<Measured>;
}

/** Measured on all variants of one reference, which is evaluated once for all of them. */
interface OnManyEngines<Settings, Kind extends keyof DataFor> {
  readonly mode: {
    kind: "together";
    /** Whether the likelihoods of these chunks of the same text come out of the same decode: see `likelihoods`. */
    feeds(settings: Settings, chunks: TextChunks): boolean;
  };
  /** Yields each item of each job once, with the same digits whatever `done` holds. */
  compare(context: TogetherContext<Settings, Kind>): AsyncGenerator<Measured & { job: string }>;
}

/** Something that can be measured. It knows no concrete backend, no store and no screen. */
export type Measurement<
  Settings = Record<string, unknown>,
  Kind extends keyof DataFor = keyof DataFor,
  Needs extends Part = Part,
> = DescribedSettings<Settings, Kind, Needs> & (OnOneEngine<Settings, Kind, Needs> | OnManyEngines<Settings, Kind>);
