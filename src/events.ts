import { z } from "zod";
import type { EngineFacts, EngineName } from "./backends/backend.js";
import type { Failure } from "./errors.js";
import { several } from "./harmless.js";
import type { Machine } from "./machine.js";
import { impossibleIn, isMetric } from "./metrics.js";
import type { ModelFacts } from "./models/gguf.js";
import type { Quantizing } from "./models/quantize.js";
import type { Fetching } from "./models/sources.js";
import type { Share } from "./share.js";
import type { TaskFacts } from "./task.js";

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

/** A token that a model sees unlike its reference, in the text that it stands in. */
export interface TokenInText {
  /** From 0, among the scored ones of its item. */
  place: number;
  /** Between the two models' predictions, nat. */
  distance: number;
  /** The text before it, some 40 characters. */
  before: string;
  /** The token that follows, and those that the two models had taken for the most likely. */
  token: string;
  reference: string;
  variant: string;
}

/** Facts of an item that statistics and notes read beside its samples. */
export interface ItemFacts {
  /** The group that the item hangs together with: the same for items of one document, one subject, or one session after the first. */
  cluster?: string;
  /** CPU cores that other processes used while it was timed. */
  foreign?: number;
  /** Why the question was not asked. */
  unanswerable?: string;
  /** Each option was scored by itself, without a prefix that they share. */
  alone?: true;
  /** Models that the process held at once, of a peak of memory. */
  models?: number;
  /** How many items the data have, where the settings ask for a part of them. */
  of?: number;
  /** Digest of the token ids that the item is made of: items of two variants with the same one are the same piece of work. */
  ids?: string;
  /** Of a question with options, as indices of them: which one the model takes for right, unless it names none; and which one is. */
  prediction?: number;
  gold?: number;
  /** Where the question lists its options in an order of its own: which option stands first, second … */
  order?: number[];
  /** Of each option: the sum of the log-probabilities of its tokens, in nats. */
  scores?: number[];
  /** The tokens that are farthest from the reference's predictions, for the eye. */
  worst?: TokenInText[];
}

/** The result of a measurement for one item, all or nothing. */
export interface Measured extends ItemFacts {
  item: string;
  samples: Sample[];
  /** Per-token arrays by name (`nll`: Float64, nats). */
  tokens?: Record<string, TokenValues>;
  /** For the eye alone: the text of an answer, say. */
  detail?: Record<string, unknown>;
}

/** A job as the plan made it; everything that a table needs to name it. */
export interface JobRecord {
  /** Digest of all that determines the result: of the question and the place. */
  id: string;
  /**
   * Digest of what is asked, whichever machine answers: model and adapters by their bytes, the data as asked, settings, the
   * version of the scoring rule. Absent, as `place`, in runs of version 0.1.
   */
  question?: string;
  /** Digest of where it is asked: the engine and the processor (and the whole machine, for speed). */
  place?: string;
  variant: string;
  backend: string;
  /** The name in the benchmark file, e.g. `perplexity` or `perplexity-zh`. */
  measurement: string;
  /** The member of the family of measurements: perplexity, speed, choice … */
  kind: string;
  dataset: string;
  /** sha256 of the file. */
  datasetSha256?: string;
  /** sha256 of the data as models are asked, which a dataset's card decides too; absent in runs of version 0.1. */
  askedSha256?: string;
  /** The version of the scoring rule; absent in runs of version 0.1, which is 1. */
  rule?: number;
  /** Settings with defaults filled in. */
  settings: Record<string, unknown>;
  /**
   * Whether it is measured by itself, beside others perhaps, or item by item in turns with other variants, or together with
   * them in one process. Absent in runs of version 0.1.
   */
  mode?: "alone" | "turns" | "together";
  /** How it is measured, when that is not the plain way on the variant's own backend: a phrase that stands beside its figures. */
  method?: string;
  /** Of questions: what their task is. Absent in runs of version 0.1. */
  task?: TaskFacts;
  /** The metrics that this job will give. */
  metrics: string[];
  /** The variant that a lock-step job compares with; the job's own variant where it measures the noise floor. */
  against?: string;
  /** Why this cell cannot be measured; neither an error nor a gap. */
  impossible?: string;
  /** In a shard: the part of it that this run measures, or that it measures none of it. Absent: all of it. */
  share?: Share | "none";
  /** Seconds that the plan guesses; wrong by a factor that is about the same for all jobs of a machine. */
  estimate?: number;
}

/** How a job was measured, when the engine turned out to lack what the plan took it to have. */
export interface Instead {
  settings: Record<string, unknown>;
  method?: string;
}

/** A variant as the plan resolved it. */
export interface VariantRecord {
  name: string;
  /** As the user wrote it; of several addresses the first. */
  model: string;
  /** The address that its file came from; absent where it was not fetched, and in runs of version 0.1. */
  from?: string;
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
  datasets: DataRecord[];
  /** Where relative paths of entries start, and where data were looked for first. Absent in runs of version 0.1. */
  folders?: { baseDir: string; dataDir?: string };
  /** The file of figures that others published, as the benchmark file names it. */
  published?: string;
}

/** Data that were read. `entries`: the measurements on them, where the note of other data of the same name is another. */
export interface DataRecord {
  name: string;
  path: string;
  sha256: string;
  bytes: number;
  note?: string;
  entries?: string[];
}

/** What a reader should know of the data, a phrase each. */
export const notesOfData = ({ datasets }: Pick<Provenance, "datasets">): string[] =>
  datasets.flatMap(({ name, note, entries = [name] }) => (note === undefined ? [] : [`${several(entries)}: ${note}`]));

/** A job, or its share, of which all was measured. */
interface JobEnded {
  at: number;
  job: string;
  items: number;
  seconds: number;
  engine?: EngineName;
  instead?: Instead;
}

/**
 * The events of a run, in order; the store keeps every event but `progress`, `fetching` and `quantizing`, the view
 * folds them, the statistics fold them.
 * `at` is milliseconds since the epoch.
 */
export type Event =
  | {
      type: "started";
      at: number;
      name: string;
      variants: VariantRecord[];
      jobs: JobRecord[];
      /**
       * Which measurements the user asked for, in order, with the settings as given; `group`: the entry of which it is a part, one
       * of several texts, and `bySize` whether the mean over these weighs each by its questions; `data`: what the entry says of its data, by the keys of their kind.
       */
      measurements: {
        name: string;
        group?: string;
        bySize?: true;
        kind: string;
        settings: Record<string, unknown>;
        data?: Record<string, unknown>;
      }[];
      provenance: Provenance;
      /** Which shard of its plan the run is, if it is one. */
      shard?: Share;
      /** Runs that were joined: of a session of one of them, a name of that; of the plan of all, `true`. */
      merged?: string | true;
      /** What is timed now, see `SpeedSession`; absent in the first session. */
      session?: number;
      again?: boolean;
    }
  /** The plan as it is since a variant was fetched or quantized: it takes the place of what `started` said. `notes`: new ones. */
  | { type: "planned"; at: number; variants: VariantRecord[]; jobs: JobRecord[]; notes: string[] }
  | { type: "opened"; at: number; variant: string; engine: EngineFacts }
  | { type: "job-started"; at: number; job: string; done: number }
  | ({ type: "samples"; job: string } & Measured)
  /** `where`: the name of who measures, where that is not this machine. */
  | { type: "progress"; job: string; done: number; total: number; unit: string; where?: string }
  /** A download on its way. */
  | ({ type: "fetching"; at: number } & Fetching)
  /** A quantization that is being made. */
  | ({ type: "quantizing"; at: number } & Quantizing)
  /** `engine`: what measured it, whichever job had opened it; absent in runs of version 0.1. */
  | ({ type: "job-done" } & JobEnded)
  /** A share of a job is there; `whole`: items of all shares, if they are known. */
  | ({ type: "share-done"; share: Share; whole?: number } & JobEnded)
  | { type: "job-failed"; at: number; job: string; failure: Failure }
  /** `worker`: it is about one of those that measure, or their queue, and not about figures. */
  | { type: "warning"; at: number; message: string; variant?: string; job?: string; worker?: string }
  /** What happens to those who measure that is no reason to worry. */
  | { type: "note"; at: number; message: string }
  | { type: "finished"; at: number; outcome: "complete" | "stopped" };

/**
 * Where the per-token values of one sample lie in their file, in values, and the first 12 hexadecimal digits of the sha256 of
 * their bytes; runs of version 0.1 have no digest.
 */
export type TokenPlace = [offset: number, count: number, sha256?: string];

/** The samples of an item as they are on disk: `tokens` are places in the binary files. */
export interface StoredSamples extends Omit<Measured, "tokens"> {
  type: "samples";
  job: string;
  tokens?: Record<string, TokenPlace>;
}

/** An event as it is on disk. */
export type StoredEvent = Exclude<Event, { type: "samples" | "progress" | "fetching" | "quantizing" }> | StoredSamples;

/** The command starts: the plan, and where the figures come from. */
export type Started = Extract<Event, { type: "started" }>;

/** The item under which a job's peak memory is kept, beside the items of its measurement. */
export const memoryItem = "peak_memory";

/**
 * Speed is timed in sessions, apart in time: the machine's pace changes from one to the next. `again`: the session times once more
 * what earlier ones have timed; else it times what none has.
 */
export interface SpeedSession {
  session: number;
  again: boolean;
}

const ofSession = /^session (\d+)\/(.*)$/;

/** An item of a session as it is kept, beside those of the first, which bear their own names. */
export const keptItem = (session: number, item: string) => (session > 1 ? `session ${session}/${item}` : item);

/** The session of a kept item, and the item's own name. */
export function itemOf(kept: string): { session: number; item: string } {
  const [, session, item] = kept.match(ofSession) ?? [];
  return session === undefined ? { session: 1, item: kept } : { session: Number(session), item: item! };
}

// ---- What a stored event must look like. Readers then trust its type; what they do not read is not looked at.

const text = z.string();
const count = z.int().min(0);
const time = z.number().min(0).max(8.64e15);
/** JSON knows no NaN: it is kept as null. */
const amount = z.number().nullable();
const record = z.record(z.string(), z.unknown());
/** Part of file names. */
const jobId = z.string().regex(/^[\w-]{1,64}$/, "is no job's id");
const metricName = z
  .string()
  .refine(isMetric, { error: ({ input }) => `has a metric "${input}"`, params: { foreign: true } });
const failure = z.looseObject({ code: text, message: text, hint: text.optional() });

const facts = z.looseObject({
  files: z.array(text),
  sha256: text,
  ...Object.fromEntries(
    ["bytes", "tensorBytes", "parameters", "bpw", "contextLength", "vocabulary", "layers"].map((key) => [
      key,
      z.number().min(0).nullable(),
    ]),
  ),
  quant: text,
  architecture: text,
  name: text,
  tokenizerSha256: text,
  imatrix: z.looseObject({ file: text, dataset: text, chunks: amount }).optional(),
});

const variantForm = z.looseObject({
  name: text,
  model: text,
  from: text.optional(),
  backend: text,
  reference: z.boolean(),
  against: text.optional(),
  tags: z.record(z.string(), text),
  settings: record,
  facts: facts.optional(),
  failure: failure.optional(),
});

const shareForm = z.object({ part: z.int().min(1), of: z.int().min(1), through: z.int().min(1).optional() });

const jobForm = z.looseObject({
  id: jobId,
  question: text.optional(),
  place: text.optional(),
  variant: text,
  backend: text,
  measurement: text,
  kind: text,
  dataset: text,
  datasetSha256: text.optional(),
  askedSha256: text.optional(),
  rule: count.optional(),
  mode: z.enum(["alone", "turns", "together"]).optional(),
  method: text.optional(),
  settings: record,
  metrics: z.array(metricName),
  against: text.optional(),
  impossible: text.optional(),
  share: z.union([shareForm, z.literal("none")]).optional(),
});

const engineForm = z.looseObject({
  version: text,
  library: text,
  build: text.optional(),
  environment: z.record(z.string(), text).optional(),
  rounding: z.number().min(0).optional(),
});

const cells = { variants: z.array(variantForm), jobs: z.array(jobForm) };
const ofItsVariants = ({ variants, jobs }: { variants: { name: string }[]; jobs: { variant: string }[] }) => {
  const names = new Set(variants.map(({ name }) => name));
  return jobs.every(({ variant }) => names.has(variant));
};
const unnamed = "has a job of a variant that it does not name";

const jobEnded = {
  ...{ at: time, job: jobId, items: count, seconds: amount, engine: engineForm.optional() },
  instead: z.looseObject({ settings: record, method: text.optional() }).optional(),
};

const forms: Record<Exclude<StoredEvent["type"], "samples">, z.ZodType> = {
  started: z
    .looseObject({
      at: time,
      name: text,
      ...cells,
      measurements: z.array(
        z.looseObject({
          ...{ name: text, group: text.optional(), bySize: z.literal(true).optional() },
          ...{ kind: text, settings: record, data: record.optional() },
        }),
      ),
      provenance: z.looseObject({
        command: z.array(text),
        versions: z.record(z.string(), text),
        machine: z.looseObject({ cpu: text, cpus: z.number(), memoryBytes: z.number(), os: text, arch: text }),
        engine: engineForm,
        datasets: z.array(
          z.looseObject({
            name: text,
            path: text,
            sha256: text,
            bytes: z.number(),
            note: text.optional(),
            entries: z.array(text).optional(),
          }),
        ),
        folders: z.looseObject({ baseDir: text, dataDir: text.optional() }).optional(),
        published: text.optional(),
      }),
      shard: shareForm.optional(),
      merged: z.union([text, z.literal(true)]).optional(),
      session: z.int().min(1).optional(),
      again: z.boolean().optional(),
    })
    .refine(ofItsVariants, unnamed),
  planned: z.looseObject({ at: time, ...cells, notes: z.array(text) }).refine(ofItsVariants, unnamed),
  opened: z.looseObject({
    at: time,
    variant: text,
    engine: engineForm.extend({ loadSeconds: amount.optional(), threads: amount.optional() }),
  }),
  "job-started": z.looseObject({ at: time, job: jobId, done: count }),
  "job-done": z.looseObject(jobEnded),
  "share-done": z.looseObject({ ...jobEnded, share: shareForm, whole: count.optional() }),
  "job-failed": z.looseObject({ at: time, job: jobId, failure }),
  warning: z.looseObject({
    ...{ at: time, message: text },
    ...{ variant: text.optional(), job: jobId.optional(), worker: text.optional() },
  }),
  note: z.looseObject({ at: time, message: text }),
  finished: z.looseObject({ at: time, outcome: z.enum(["complete", "stopped"]) }),
};

/** Why a parsed line is no event; `foreign` where a later version may know what this one does not. */
export interface EventFault {
  reason: string;
  foreign: boolean;
}

/** A line of a file as an event, whose type can be trusted, or why it is none; `undefined` is a line that is no JSON. */
export function checkedEvent(
  value: unknown,
): { event: StoredEvent; fault?: never } | { fault: EventFault; event?: never } {
  const fault = faultOf(value);
  return fault ? { fault } : { event: value as StoredEvent };
}

/** Samples come by the hundred thousand, so they are checked by hand. */
function faultOf(value: unknown): EventFault | undefined {
  if (!isObject(value)) return own(value === undefined ? "is not an event" : "is no event");
  const { type } = value;
  if (typeof type !== "string") return own("is no event");
  if (type === "samples") return samplesFault(value);
  const form = Object.hasOwn(forms, type) ? forms[type as keyof typeof forms] : undefined;
  if (!form) return { reason: `is an event of the kind "${type.slice(0, 40)}"`, foreign: true };
  const { error } = form.safeParse(value);
  if (!error) return undefined;
  const [issue] = error.issues;
  const { path, message } = issue!;
  const foreign = issue!.code === "custom" && issue!.params?.foreign === true;
  if (foreign) return { reason: message, foreign };
  return own(
    path.length > 0
      ? `is no \`${type}\` event: ${path.join(".")}: ${message}`
      : `is no \`${type}\` event: it ${message}`,
  );
}

const seriesForm = z.looseObject({
  variant: variantForm,
  job: jobForm,
  engine: engineForm.optional(),
  machine: z.looseObject({ cpu: text, cpus: z.number() }),
  file: text,
  foreign: z.number().min(0).optional(),
  loads: z.array(z.number().min(0)).optional(),
});

/** Why a line of a baseline does not introduce a variant and its measurement; undefined where it does. */
export function seriesFault(value: unknown): string | undefined {
  const [issue] = seriesForm.safeParse(value).error?.issues ?? [];
  return issue && `${issue.path.join(".") || "it"}: ${issue.message}`;
}

const own = (reason: string): EventFault => ({ reason, foreign: false });
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isAmount = (value: unknown): value is number | null => value === null || Number.isFinite(value);
const isJobId = (value: unknown) => typeof value === "string" && /^[\w-]{1,64}$/.test(value);

const isTokenInText = (value: unknown) =>
  isObject(value) &&
  isCount(value.place) &&
  Number.isFinite(value.distance) &&
  [value.before, value.token, value.reference, value.variant].every((one) => typeof one === "string");

/** The types of `ItemFacts`, none of which must be there. */
const factTypes = Object.entries({
  cluster: "string",
  foreign: "number",
  unanswerable: "string",
  alone: "boolean",
  models: "number",
  of: "number",
  ids: "string",
  prediction: "number",
  gold: "number",
});

function samplesFault(event: Record<string, unknown>): EventFault | undefined {
  const { job, item, samples, tokens, scores, order, worst, detail } = event;
  const no = (what: string) => own(`is no \`samples\` event: ${what}`);
  if (!isJobId(job)) return no("job is no job's id");
  if (typeof item !== "string") return no("item is no text");
  if (!Array.isArray(samples)) return no("samples is no list");
  for (const sample of samples) {
    if (!isObject(sample) || typeof sample.metric !== "string") return no("a sample names no metric");
    const { metric, value, weight, square } = sample;
    if (!isMetric(metric)) return { reason: `has a metric "${metric.slice(0, 40)}"`, foreign: true };
    if (!isAmount(value)) return no(`the value of ${metric} is no number`);
    if (typeof weight !== "number") return no(`the weight of ${metric} is no number`);
    if (square !== undefined && !isAmount(square)) return no(`the square of ${metric} is no number`);
    const impossible = impossibleIn(metric, value, weight, square);
    if (impossible !== undefined) return no(impossible);
  }
  for (const [name, type] of factTypes)
    if (event[name] !== undefined && typeof event[name] !== type) return no(`${name} is no ${type}`);
  if (scores !== undefined && !(Array.isArray(scores) && scores.every(isAmount)))
    return no("scores is no list of numbers");
  if (order !== undefined && !(Array.isArray(order) && order.every(isCount))) return no("order is no list of options");
  if (worst !== undefined && !(Array.isArray(worst) && worst.every(isTokenInText)))
    return no("worst is no list of tokens");
  if (detail !== undefined && !isObject(detail)) return no("detail is no map");
  if (tokens === undefined) return undefined;
  if (!isObject(tokens)) return no("tokens is no map");
  for (const [name, place] of Object.entries(tokens)) {
    if (!/^\w+$/.test(name)) return no("tokens has a name that is none");
    const [offset, length, sha256] = Array.isArray(place) ? place : [];
    if (!isCount(offset) || !isCount(length) || (sha256 !== undefined && typeof sha256 !== "string"))
      return no(`tokens.${name} is no place in a file`);
  }
  return undefined;
}
