// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { z } from "zod";
import type { Settings } from "../backends/backend.js";
import { backendNames, settingsOf } from "../backends/index.js";
import { findKind } from "../data/index.js";
import { harmless } from "../harmless.js";
import { readBytes, writtenBytes } from "../units.js";
import { jsonSchema, type Written, type YamlPath } from "../yaml.js";
import type { MeasurementForm, Measurements } from "./benchmark.js";

// The forms of a benchmark file. Errors, defaults and the JSON Schema come from them alone.

/** Seconds: what a timer of Node's holds, 2³¹ − 1 ms, rounded down. */
const MAX_TIMEOUT = 2_000_000;

/** The settings of all backends: of two that share a name, the form of the first. */
export const settingsShape: z.ZodRawShape = Object.fromEntries(
  backendNames.toReversed().flatMap((name) => Object.entries(settingsOf(name).shape)),
);

/** Any of them, in `defaults`: each variant takes those that its backend has. */
const anySettings = z.strictObject(settingsShape);

const scalar = z.union([z.string(), z.number(), z.boolean()]);

const adapter = z.union([
  z.string().min(1),
  z.strictObject({ path: z.string().min(1), scale: z.number().min(-1000).max(1000).default(1) }),
]);

export const matrixSchema = z
  .object({
    exclude: z.array(z.record(z.string(), scalar)).optional().describe("Combinations to leave out."),
  })
  .catchall(z.array(scalar).min(1).describe("An axis is a list, `quant: [Q8_0, Q4_K_M]`."))
  .describe("Axes, each a list: one variant per combination. ${axis} stands for its value, in the name too.");

export const variantShape = {
  model: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).meta({
    description:
      "A path (from this file's folder, then --models-dir), hf:owner/repo:quant, ms:owner/repo:file.gguf, ollama:NAME or https://…; of a list the first that has it.",
    examples: ["${models}/model-Q4_K_M.gguf"],
  }),
  quantize: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        "Quantize the model to this type first, as llama-quantize does; the file is kept in the user's cache.",
      examples: ["Q4_K_M"],
    }),
  imatrix: z.string().min(1).optional().describe("The importance matrix for `quantize`, a file of llama-imatrix."),
  reference: z
    .union([z.boolean(), z.string().min(1)])
    .default(false)
    .describe(
      "true: the variant that the others are compared with; a name: the variant that this one is compared with.",
    ),
  backend: z
    .string()
    .min(1)
    .optional()
    .describe("Which backend runs it; by default llama, or what the model's scheme says."),
  lora: z
    .union([adapter, z.array(adapter)])
    .optional()
    .describe("LoRA adapters: a path (looked for as models are), or {path, scale}, or a list of them."),
  tags: z.record(z.string(), scalar).default({}).describe("Free labels, by which reports find pairs."),
};

/** A variant by its backend: of what it says, and of the settings that the backend has. */
export const variantSchemas = Object.fromEntries(
  backendNames.map((name) => [name, z.strictObject({ ...variantShape, ...settingsOf(name).shape })]),
);

/** Bytes; a text that says none, or more than a number holds, is no limit. */
const amount = z.union([
  z.int().positive(),
  z
    .string()
    .regex(writtenBytes)
    .refine((text) => (readBytes(text) ?? 1) > 0 && Number.isSafeInteger(readBytes(text) ?? 1), "no amount of memory."),
]);

export const fileShape = {
  name: z.string().min(1).optional().describe("By default the file's name."),
  description: z.string().optional(),
  published: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        "A file of figures that others published (from this file's folder): cards put them beside the run's.",
      examples: ["published.json"],
    }),
  defaults: anySettings.default({}).describe("Engine settings of all variants."),
  mirrors: z
    .array(z.string().min(1))
    .optional()
    .meta({
      description:
        "Servers that hold what Hugging Face holds, asked in turn when it fails; the user's token goes to none.",
      examples: [["https://hf-mirror.com"]],
    }),
  timeout: z
    .number()
    .positive()
    .max(MAX_TIMEOUT)
    .default(600)
    .describe("Seconds without a sign of life after which a job is given up."),
  memoryLimit: amount.optional().meta({
    description: 'What engines may use, in bytes or as "4 GB" or "4 GiB"; by default what the machine has free.',
    examples: ["4 GB"],
  }),
  scratchLimit: amount.optional().meta({
    description:
      "What the reference's logits may take on the disk while it and its variants take turns in memory, for want of room for both; by default 4 GB, and never more than half of what is free.",
    examples: ["20 GB"],
  }),
};

const entries = z.record(z.string(), z.unknown());

export const fileSchema = z
  .strictObject({
    ...fileShape,
    variants: entries.describe("What is measured: a name, then `model:` and settings."),
    measurements: entries.describe("What is measured on each: a name, then settings."),
  })
  .describe("A benchmark file is a map with `variants:` and `measurements:`.");

const kindKey = z.string().optional().describe("Which measurement this is, where the entry's name does not say it.");

/** The form of an entry of `measurements:`: its own keys, and the measurement's settings, which are checked apart. */
export function entrySchema(measurement: MeasurementForm) {
  const settings = unchecked(jsonSchema(measurement.settings).properties ?? {});
  return z.strictObject({ measurement: kindKey, ...findKind(measurement.data)?.keys, ...settings });
}

/** A measurement on each kind of data that it takes. */
export function formsOf(measurement: Measurements[string]): MeasurementForm[] {
  return [measurement, ...(measurement.also ?? [])];
}

/** The measurement on the kind of data that an entry, or flags, name; on its usual kind where they name none. */
export function formFor(measurement: Measurements[string], entry: Record<string, unknown>): MeasurementForm {
  const isNamed = (one: MeasurementForm) =>
    Object.keys(findKind(one.data)?.keys ?? {}).some((key) => entry[key] !== undefined);
  return formsOf(measurement).toReversed().find(isNamed) ?? measurement;
}

/** The keys of a measurement's own settings. */
export function settingKeys(measurement: MeasurementForm): string[] {
  return Object.keys(jsonSchema(measurement.settings).properties ?? {});
}

/** The same keys, whatever they hold: what placeholders may stand in is checked when they are filled in. */
export function unchecked(keys: object): Record<string, z.ZodOptional<z.ZodUnknown>> {
  return Object.fromEntries(Object.keys(keys).map((key) => [key, z.unknown().optional()]));
}

/** The settings that were given, without the defaults of the others. */
export function said(given: Record<string, unknown>, { shape }: z.ZodObject): Settings {
  return Object.fromEntries(
    Object.entries(given).filter(([key, value]) => Object.hasOwn(shape, key) && value !== undefined),
  );
}

/** Characters of a name. */
export const MAX_NAME = 250;

/** A name stands in tables, on the screen and in commands: what is not seen there as it is would make two names look alike. */
export function checkName(file: Written, path: YamlPath, name: string): void {
  if (name.trim() === name && name !== "" && name.length <= MAX_NAME && harmless(name) === name) return;
  throw file.fault(path, name.length > MAX_NAME ? "this name is too long." : `"${name}" cannot be a name.`, {
    hint: `A name has 1 to ${MAX_NAME} characters that can be seen, without blanks around it.`,
    at: "key",
  });
}

/** A name made of a text that may not be one. */
export function nameable(text: string): string {
  return harmless(text.trim(), { length: MAX_NAME }).trim() || "model";
}
