import { z } from "zod";
import type { EngineFacts } from "../../backends/backend.js";
import { BenchError, type Failure } from "../../errors.js";
import { checkedEvent, type TokenValues } from "../../events.js";
import { harmless } from "../../harmless.js";
import type { EngineWarning, MeasureReply, OpenedVariant } from "../executor.js";
import { workerName } from "./roster.js";

/** Bytes of an assignment's body. What is larger, such as a text, goes by its hash. */
const mostBody = 1 << 20;

const digest = z.string().regex(/^[0-9a-f]{64}$/, "is no sha256");
const name = z.string().max(500);
const id = z.string().regex(/^[\w.-]{1,100}$/, "is no id");
/** A path in an assignment would lead a worker to open it. */
const fileName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^/\\]+$/, "is a path, and files are named by their hash")
  .refine((it) => !/^\.+$/.test(it));

/** A file, by its bytes. `parts`: of a split model. `sources`: addresses to fetch it from. */
const fileForm = z.strictObject({
  sha256: digest,
  bytes: z.int().min(0),
  parts: z.int().min(1).max(1000),
  name: fileName,
  sources: z.array(z.string().max(2000)).max(8),
});
export type NamedFile = z.output<typeof fileForm>;

const variantForm = z.strictObject({
  name,
  backend: name,
  settings: z.record(name, z.unknown()),
  /** A file, or the name by which the backend itself knows the model. */
  model: z.union([z.strictObject({ file: fileForm }), z.strictObject({ known: name })]),
  lora: z.array(fileForm.extend({ scale: z.number() })).max(100),
});
export type SentVariant = z.output<typeof variantForm>;

const together = z.strictObject({ id, variant: name.optional(), floor: z.boolean().optional() });

/** Work for one worker, as plain data. Data and files are named by their hashes. */
const assignmentForm = z.strictObject({
  id,
  /** Which run asks, and which of its requests this is a part of. */
  run: id,
  group: id,
  /** A worker has all of these. */
  tags: z.array(name).max(50),
  /** For people: `perplexity of Q4_K_M, 3/12`. */
  shown: name,
  opening: z.strictObject({
    variant: variantForm,
    others: z.array(variantForm).max(1000),
    /** Seconds without a sign of life. */
    timeout: z.number().positive(),
    /** Bytes that the engine needs. */
    memory: z.number().min(0),
    scratch: z.strictObject({ limit: z.number().positive().exactOptional() }).optional(),
  }),
  /** Absent: the engine is opened, and its facts are told. */
  request: z
    .strictObject({
      kind: name,
      settings: z.record(name, z.unknown()),
      data: z.strictObject({ sha256: digest, file: fileForm.optional() }).optional(),
      only: z.array(z.string()).optional(),
      share: z.strictObject({ part: z.int().min(1), of: z.int().min(1) }).optional(),
      together: z.strictObject({ jobs: z.array(together), riders: z.array(together) }).optional(),
    })
    .optional(),
});
export type Assignment = z.output<typeof assignmentForm>;

/** Why a worker left an assignment to others; `ever`: whether that stays so. `failed`: it has tried. */
const declinedForm = z.strictObject({
  ...{ by: name, reason: name, ever: z.boolean(), failed: z.literal(true).exactOptional() },
});
export type LeftToOthers = z.output<typeof declinedForm>;

/** An assignment in the queue, with what became of it so far. */
const bodyForm = z.strictObject({
  assignment: assignmentForm,
  /** By the tokens of workers. */
  declined: z.record(name, declinedForm),
});
export type Body = z.output<typeof bodyForm>;

/** Throws a BenchError whose sentence says what is wrong with it. */
export function checkedBody(body: unknown): Body {
  const bytes = Buffer.byteLength(JSON.stringify(body) ?? "");
  const refused = (why: string) => new BenchError("server-refused", `the assignment ${why}`);
  if (bytes > mostBody) throw refused(`has ${Math.round(bytes / 1e6)} MB, and 1 MB is the most`);
  const { data, error } = bodyForm.safeParse(body);
  if (data) return data;
  const { path, message } = error.issues[0]!;
  throw refused(`is none: ${path.map(String).join(".").slice(0, 80) || "it"}: ${message.slice(0, 100)}`);
}

/** What a worker says of an assignment. */
export type WorkerReply =
  | Exclude<MeasureReply, { type: "complete" }>
  /** `items`: keys of all that the run was told of this part, so that it can tell whether it has them. */
  | (Extract<MeasureReply, { type: "complete" }> & { items: string[] })
  | { type: "taken" }
  | { type: "opened"; facts: EngineFacts; warnings: EngineWarning[]; others: OpenedVariant[] }
  | { type: "failed"; failure: Failure }
  | { type: "stopped" }
  /** This worker cannot take it, and leaves it to others. */
  | { type: "declined"; reason: string }
  /** Data of the assignment are no longer in Redis. */
  | { type: "lacks-data" };

export interface Letter {
  assignment: string;
  /** The worker's name, and what it took the assignment with. */
  worker: string;
  token: string;
  told: WorkerReply;
}

const said = (most: number) => z.string().overwrite((it) => harmless(it).slice(0, most));
const phrase = said(500);
const amount = z.number().exactOptional();
const facts = z.object({
  ...{ version: phrase, library: phrase, build: phrase.exactOptional(), rounding: amount },
  environment: z.record(phrase, phrase).exactOptional(),
  ...{ devices: z.array(phrase).exactOptional(), system: said(5000).exactOptional() },
  ...{ threads: amount, tensorBytes: amount, parameters: amount, vocabulary: amount, trainedContext: amount },
  ...{ addsBos: z.boolean().exactOptional(), conversationDay: phrase.exactOptional() },
  ...{ loadSeconds: amount, loadedFor: phrase.exactOptional() },
});
const warning = z.object({ type: z.literal("warning"), variant: phrase, message: said(5000) });
const openedVariant = z.object({ type: z.literal("opened-variant"), variant: phrase, facts });
const memory = { peakMemory: amount, cacheBytes: amount };
const letterForm: z.ZodType<Letter> = z.object({
  assignment: id,
  worker: workerName,
  token: name,
  told: z.union([
    z.custom<MeasuredItem>(isMeasured),
    z.discriminatedUnion("type", [
      z.object({ type: z.literal("progress"), done: z.number(), total: z.number(), unit: phrase }),
      warning,
      openedVariant,
      z.object({
        type: z.literal("instead"),
        settings: z.record(z.string(), z.unknown()),
        method: phrase.exactOptional(),
      }),
      z.object({
        ...{ type: z.literal("complete"), ...memory, items: z.array(z.string()) },
        each: z.record(z.string(), z.object(memory)).exactOptional(),
        whole: z.record(z.string(), z.number()).exactOptional(),
      }),
      z.object({ type: z.literal("taken") }),
      z.object({ type: z.literal("opened"), facts, warnings: z.array(warning), others: z.array(openedVariant) }),
      z.object({
        type: z.literal("failed"),
        failure: z.object({
          ...{ code: phrase, message: said(5000), hint: said(5000).exactOptional() },
          stack: z.string().max(20_000).exactOptional(),
        }),
      }),
      z.object({ type: z.literal("stopped") }),
      z.object({ type: z.literal("declined"), reason: phrase }),
      z.object({ type: z.literal("lacks-data") }),
    ]),
  ]),
});

/** The name of an item among those of all jobs that are measured together. */
export const itemKey = (job: string | undefined, item: string): string => JSON.stringify([job ?? "", item]);

export function itemOfKey(key: string): { job: string; item: string } {
  const [job, item] = JSON.parse(key);
  return { job, item };
}

const arrays = { Float64Array, Float32Array, Int32Array };
const isValues = (value: unknown): value is TokenValues => Object.values(arrays).some((kind) => value instanceof kind);

/** A letter as text. JSON has neither arrays of bytes nor numbers that are none. */
export function written(letter: Letter): string {
  return JSON.stringify(letter, (_, value: unknown) => {
    if (isValues(value)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
      return { "\0": Object.keys(arrays).find((kind) => value.constructor.name === kind), bytes };
    }
    return typeof value === "number" && !Number.isFinite(value) ? { "\0": "number", text: String(value) } : value;
  });
}

/** The way back; undefined for what is no letter of a worker. */
export function read(text: string): Letter | undefined {
  try {
    const value: unknown = JSON.parse(text, (_, value) => {
      const kind = value?.["\0"];
      if (kind === "number") return Number(value.text);
      if (!Object.hasOwn(arrays, String(kind))) return value;
      const bytes = Uint8Array.from(Buffer.from(String(value.bytes), "base64"));
      return new arrays[kind as keyof typeof arrays](bytes.buffer);
    });
    return letterForm.safeParse(value).data;
  } catch {
    return undefined;
  }
}

type MeasuredItem = Extract<WorkerReply, { type: "measured" }>;

/** Whether it is an item that the store would take. */
function isMeasured(told: unknown): told is MeasuredItem {
  if (typeof told !== "object" || told === null || !("type" in told) || told.type !== "measured") return false;
  const { type: _, job = "", tokens = {}, ...item }: { type: unknown; job?: unknown; tokens?: unknown } = told;
  if (typeof job !== "string" || typeof tokens !== "object" || tokens === null) return false;
  const named = Object.entries(tokens).every(([key, value]) => /^\w{1,40}$/.test(key) && isValues(value));
  return named && checkedEvent({ ...item, type: "samples", job: "job" }).fault === undefined;
}
