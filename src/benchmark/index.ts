// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, resolve } from "node:path";
import { z } from "zod";
import type { Settings } from "../backends/backend.js";
import { backendNames, backendOf, settingsOf } from "../backends/index.js";
import { findCards, findDatasets, findKind } from "../data/index.js";
import { BenchError } from "../errors.js";
import { harmless, several } from "../harmless.js";
import type { Measurement } from "../measurements/measurement.js";
import { usualName } from "../metrics.js";
import { beginsAsGguf, isAddress, namedModels } from "../models/folder.js";
import { addressWithoutSecrets } from "../secrets.js";
import { readBytes, writtenBytes } from "../units.js";
import { explain, jsonSchema, nearest, YamlFile, type YamlPath } from "../yaml.js";

/** One variant of a benchmark file, axes expanded, placeholders filled in. */
export interface VariantConfig {
  name: string;
  /** Path or URI, placeholders filled in; `resolveModel` finds the file. */
  model: string;
  /** The type to make of the model first, with an importance matrix perhaps. */
  quantize?: { type: string; imatrix?: string };
  backend: string;
  reference: boolean;
  /** The variant that this one is compared with, where it is not the reference. */
  against?: string;
  lora: { path: string; scale: number }[];
  tags: Record<string, string>;
  /** What the variant says or `defaults` for it, without the defaults of the backend. */
  settings: Settings;
}

export interface MeasurementConfig {
  /** The name in the file, unique. */
  name: string;
  /** perplexity, speed, choice … */
  kind: string;
  /** What names its data, in the keys of their kind; none for a measurement without data. */
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
  /** Where relative paths start: the file's folder, or the working directory. */
  baseDir: string;
  /** What the user should know of how the flags were read, a sentence each. */
  notes?: string[];
}

/** The members of the family of measurements, by name. */
// biome-ignore lint/suspicious/noExplicitAny: the settings of each member are its own
export type Measurements = Record<string, Measurement<any>>;

export interface ReadOptions {
  measurements: Measurements;
  /** What `${models}` stands for. */
  modelsDir?: string;
  /** What `${data}` stands for. */
  dataDir?: string;
  /** What other placeholders stand for; by default the process's own. */
  env?: NodeJS.ProcessEnv;
}

// ---- The form of the file: errors, defaults and the JSON Schema come from these alone.

/** Seconds: what a timer of Node's holds, 2³¹ − 1 ms, rounded down. */
const MAX_TIMEOUT = 2_000_000;
/** The settings of all backends: of two that share a name, the form of the first. */
const settingsShape = Object.assign(
  {},
  ...backendNames.toReversed().map((name) => settingsOf(name).shape),
) as z.ZodRawShape;

/** Any of them, in `defaults`: each variant takes those that its backend has. */
const anySettings = z.strictObject(settingsShape);

const scalar = z.union([z.string(), z.number(), z.boolean()]);

const adapter = z.union([
  z.string().min(1),
  z.strictObject({ path: z.string().min(1), scale: z.number().min(-1000).max(1000).default(1) }),
]);

const matrixSchema = z
  .object({
    exclude: z.array(z.record(z.string(), scalar)).optional().describe("Combinations to leave out."),
  })
  .catchall(z.array(scalar).min(1).describe("An axis is a list, `quant: [Q8_0, Q4_K_M]`."))
  .describe("Axes, each a list: one variant per combination. ${axis} stands for its value, in the name too.");

const variantShape = {
  model: z
    .string()
    .min(1)
    .meta({
      description: "A path (from this file's folder, then --models-dir), hf:owner/repo:quant or https://…",
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
const variantSchemas = Object.fromEntries(
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

const fileShape = {
  name: z.string().min(1).optional().describe("By default the file's name."),
  description: z.string().optional(),
  defaults: anySettings.default({}).describe("Engine settings of all variants."),
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

const fileSchema = z
  .strictObject({
    ...fileShape,
    variants: entries.describe("What is measured: a name, then `model:` and settings."),
    measurements: entries.describe("What is measured on each: a name, then settings."),
  })
  .describe("A benchmark file is a map with `variants:` and `measurements:`.");

const kindKey = z.string().optional().describe("Which measurement this is, where the entry's name does not say it.");

/** What an entry of `measurements:` may say: its own keys and the measurement's settings, which are checked apart. */
function entrySchema(measurement: Measurement<unknown>) {
  const settings = unchecked(jsonSchema(measurement.settings).properties ?? {});
  return z.strictObject({ measurement: kindKey, ...findKind(measurement.data)?.keys, ...settings });
}

function settingKeys(measurement: Measurement<unknown>): string[] {
  return Object.keys(jsonSchema(measurement.settings).properties ?? {});
}

/** The JSON Schema of benchmark files, for editors. */
export function benchmarkSchema(measurements: Measurements): object {
  const file = jsonSchema(fileSchema);
  const variant = jsonSchema(z.strictObject({ ...variantShape, ...settingsShape, matrix: matrixSchema.optional() }));
  const entry = (name: string, measurement: Measurement<unknown>, named: boolean) => {
    const own = jsonSchema(entrySchema(measurement));
    const settings = jsonSchema(measurement.settings);
    const kind = named ? { measurement: { ...own.properties?.measurement, const: name } } : {};
    const required = [...(own.required ?? []), ...(settings.required ?? []), ...(named ? ["measurement"] : [])];
    return {
      type: required.length > 0 ? "object" : ["object", "null"],
      properties: { ...own.properties, ...settings.properties, ...kind },
      ...(required.length > 0 ? { required } : {}),
      additionalProperties: false,
    };
  };
  const members = Object.entries(measurements);
  const schema = withPlaceholders({
    ...file,
    title: "A benchmark file of gguf-bench",
    properties: {
      ...file.properties,
      variants: { ...file.properties?.variants, minProperties: 1, additionalProperties: variant },
      measurements: {
        ...file.properties?.measurements,
        minProperties: 1,
        properties: Object.fromEntries(
          members.flatMap(([name, one]) => {
            const own = entry(name, one, false);
            return name === "perplexity" ? [[name, own] as const, ["ppl", own] as const] : [[name, own] as const];
          }),
        ),
        // An entry of any other name says its kind, or is named like a dataset of questions.
        additionalProperties: {
          anyOf: members.map(([name, one]) => entry(name, one, findKind(one.data)?.named === undefined)),
        },
      },
    },
  });
  return { $schema: "https://json-schema.org/draft/2020-12/schema", ...(schema as object) };
}

/** Wherever a number, a choice or true/false is expected, a placeholder may stand. */
function withPlaceholders(form: unknown): unknown {
  if (Array.isArray(form)) return form.map(withPlaceholders);
  if (typeof form !== "object" || form === null) return form;
  const { $schema: _, ...own } = Object.fromEntries(
    Object.entries(form).map(([key, value]) => [key, key === "$schema" ? undefined : withPlaceholders(value)]),
  );
  if (!("enum" in own) && !["integer", "number", "boolean"].includes(own.type as string)) return own;
  const { description, default: fallback, examples, ...bare } = own;
  const said = Object.fromEntries(
    Object.entries({ description, default: fallback, examples }).filter(([, v]) => v !== undefined),
  );
  return { ...said, anyOf: [bare, { type: "string", pattern: "\\$\\{.+\\}" }] };
}

const MAX_VARIANTS = 10_000;
const MAX_NAME = 250;

/**
 * Reads a benchmark file. Placeholders are filled in this order: the axes of a variant's matrix, `${models}` and
 * `${data}` (the two folders), the environment; `$${x}` stands for a literal `${x}`.
 *
 * Throws a BenchError with code `config` that names file:line:column, what is wrong, and the remedy.
 */
export async function readBenchmark(path: string, options: ReadOptions): Promise<Benchmark> {
  const file = await YamlFile.read(path, "config");
  // What placeholders may stand in is checked once they are filled in.
  const { variants: each, measurements: named } = fileSchema.shape;
  const outline = z.strictObject({ ...unchecked(fileShape), variants: each, measurements: named });
  const { variants, measurements, ...rest } = file.check(outline.describe(fileSchema.description!), file.value, []);
  const filled = fill(rest, placeholders(file, options), []);
  const head = file.check(z.strictObject(fileShape), filled, []);
  // As they are said: what a backend takes by default is no setting of a variant.
  const { defaults } = z.object({ defaults: z.record(z.string(), z.unknown()).default({}) }).parse(filled);
  const name = head.name ?? basename(path, extname(path));
  // The run's folder in reports/ has this name.
  if (/[/\\]|^\.+$/.test(name) || harmless(name, { length: MAX_NAME }) !== name)
    throw file.fault(["name"], "this cannot be the name of a run, which is that of its folder.", {
      hint: `Write \`name:\` with 1 to ${MAX_NAME} characters that can be seen, without slashes.`,
    });
  return {
    name,
    ...(head.description === undefined ? {} : { description: head.description }),
    variants: readVariants(file, variants, defaults, options),
    measurements: await readMeasurements(file, measurements, options),
    timeout: head.timeout,
    ...(head.memoryLimit === undefined ? {} : { memoryLimit: inBytes(head.memoryLimit) }),
    ...(head.scratchLimit === undefined ? {} : { scratchLimit: inBytes(head.scratchLimit) }),
    ...folders(options),
    baseDir: dirname(resolve(path)),
  };
}

function unchecked(keys: object): Record<string, z.ZodOptional<z.ZodUnknown>> {
  return Object.fromEntries(Object.keys(keys).map((key) => [key, z.unknown().optional()]));
}

/** The two folders, absolute: they were given from the working directory, not from the file's folder. */
function folders({ dataDir, modelsDir }: ReadOptions): { dataDir?: string; modelsDir?: string } {
  return {
    ...(dataDir === undefined ? {} : { dataDir: resolve(dataDir) }),
    ...(modelsDir === undefined ? {} : { modelsDir: resolve(modelsDir) }),
  };
}

function inBytes(limit: number | string): number {
  return typeof limit === "number" ? limit : readBytes(limit)!;
}

// ---- Placeholders

/** The value of a placeholder that stands within a text or is the `whole` value; throws where it has none. */
type Lookup = (name: string, path: YamlPath, whole: boolean) => Scalar;
type Scalar = string | number | boolean;

const PLACEHOLDER = /\$(\$?)\{([^{}]*)\}/g;

function placeholders(file: YamlFile, options: ReadOptions, axes: Record<string, Scalar> = {}): Lookup {
  const { env = process.env } = options;
  const { modelsDir, dataDir } = folders(options);
  const dirs: Record<string, string | undefined> = { models: modelsDir, data: dataDir };
  return (name, path, whole) => {
    if (Object.hasOwn(axes, name)) return axes[name]!;
    if (Object.hasOwn(dirs, name)) {
      if (dirs[name] !== undefined) return dirs[name];
      throw file.fault(path, `\${${name}} is not known.`, { hint: `Say where that is: --${name}-dir DIR.` });
    }
    const set = Object.hasOwn(env, name) ? env[name] : undefined;
    if (set !== undefined) return whole ? typed(set) : set;
    const known = Object.keys(axes).length > 0 ? `, or one of the axes ${several(Object.keys(axes))}` : "";
    throw file.fault(path, `\${${name}} is not set in the environment.`, {
      hint: `Set it (${name}=… gguf-bench run …)${known}. A literal \${${name}} is written $\${${name}}.`,
    });
  };
}

/** Data with its placeholders filled in. A value that is nothing but a placeholder takes the type of what it stands for. */
function fill<Data>(data: Data, lookup: Lookup, path: YamlPath): Data {
  return fillAny(data, lookup, path) as Data;
}

function fillAny(data: unknown, lookup: Lookup, path: YamlPath): unknown {
  if (typeof data === "string") {
    const whole = data.match(/^\$\{([^{}]*)\}$/);
    if (whole) return lookup(whole[1]!, path, true);
    return data.replace(PLACEHOLDER, (all, escaped, name) =>
      escaped ? all.slice(1) : String(lookup(name, path, false)),
    );
  }
  if (Array.isArray(data)) return data.map((one, index) => fillAny(one, lookup, [...path, index]));
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, fillAny(value, lookup, [...path, key])]));
}

/** As YAML would read it, so that a number from the environment is a number. */
function typed(value: string): Scalar {
  if (value === "true" || value === "false") return value === "true";
  return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
}

// ---- Variants

const variantOutline = z
  .looseObject({ matrix: matrixSchema.optional() })
  .describe("A variant is a map, `NAME: {model: FILE.gguf}`.");

/** One combination of axes of an entry of `variants:`. */
interface Combination {
  key: string;
  path: YamlPath;
  body: Record<string, unknown>;
  axes: Record<string, Scalar>;
}

function readVariants(
  file: YamlFile,
  entries: Record<string, unknown>,
  defaults: Settings,
  options: ReadOptions,
): VariantConfig[] {
  const variants: VariantConfig[] = [];
  const names = new Set<string>();
  const pathTo = new Map<string, YamlPath>();
  let hasReference = false;
  for (const combination of combinations(file, entries, placeholders(file, options))) {
    const variant = readVariant(file, combination, defaults, options);
    const fault = (message: string, hint: string) => file.fault(combination.path, message, { hint, at: "key" });
    if (names.has(variant.name))
      throw fault(
        `two variants are named "${variant.name}".`,
        "Put an axis into the name, such as ${quant}, or rename one.",
      );
    if (variant.reference && hasReference)
      throw fault(`"${variant.name}" is a second reference.`, "One variant is what all others are compared with.");
    if (variant.reference) hasReference = true;
    names.add(variant.name);
    if (variant.against !== undefined) pathTo.set(variant.against, [...combination.path, "reference"]);
    variants.push(variant);
  }
  for (const { against } of variants)
    if (against !== undefined && !names.has(against))
      throw file.fault(pathTo.get(against)!, `there is no variant "${against}" to compare with.`, {
        hint: nearest(against, [...names]),
      });
  if (variants.length === 0)
    throw file.fault(["variants"], "there are no variants.", {
      hint: "For example `Q4_K_M: {model: model-Q4_K_M.gguf}`.",
    });
  return variants;
}

/** All variants to be, counted before any is made. */
function combinations(file: YamlFile, entries: Record<string, unknown>, lookup: Lookup): Combination[] {
  const matrices = Object.entries(entries).map(([key, entry]) => {
    const path = ["variants", key];
    const { matrix, ...body } = file.check(variantOutline, entry, path);
    const { exclude = [], ...axes } = fill(matrix ?? {}, lookup, [...path, "matrix"]);
    for (const axis of Object.keys(axes)) {
      checkAxis(file, axis, key, body);
      const values = (axes as Record<string, Scalar[]>)[axis]!;
      const twice = values.findIndex((value, index) => values.indexOf(value) < index);
      if (twice >= 0)
        throw file.fault(
          [...path, "matrix", axis, twice],
          `the axis \`${axis}\` has ${JSON.stringify(values[twice])} twice.`,
        );
    }
    for (const [index, excluded] of exclude.entries())
      for (const axis of Object.keys(excluded))
        if (!Object.hasOwn(axes, axis))
          throw file.fault([...path, "matrix", "exclude", index, axis], `there is no axis \`${axis}\`.`, {
            hint: nearest(axis, Object.keys(axes)),
            at: "key",
          });
    return { key, path, body, axes: axes as Record<string, Scalar[]>, exclude };
  });
  const count = matrices.reduce(
    (total, { axes }) => total + Object.values(axes).reduce((product, values) => product * values.length, 1),
    0,
  );
  if (count > MAX_VARIANTS)
    throw file.fault(["variants"], `the matrix makes ${count} variants, more than ${MAX_VARIANTS}.`, {
      hint: "Shorten its axes, or split the file.",
      at: "key",
    });
  return matrices.flatMap(({ key, path, body, axes, exclude }) => {
    let made: Record<string, Scalar>[] = [{}];
    for (const [axis, values] of Object.entries(axes))
      made = made.flatMap((one) => values.map((value) => ({ ...one, [axis]: value })));
    const kept = made.filter(
      (one) => !exclude.some((out) => Object.entries(out).every(([axis, v]) => one[axis] === v)),
    );
    return kept.map((axes) => ({ key, path, body, axes }));
  });
}

/** An axis must make a difference, or all its variants would be one. */
function checkAxis(file: YamlFile, axis: string, key: string, body: Record<string, unknown>): void {
  const path = ["variants", key, "matrix", axis];
  if (!/^[A-Za-z_][\w-]*$/.test(axis) || axis === "models" || axis === "data")
    throw file.fault(path, `an axis cannot be named \`${axis}\`.`, { hint: "Letters, digits, - and _.", at: "key" });
  const sets = Object.hasOwn(settingsShape, axis) && body[axis] === undefined;
  if (!sets && !JSON.stringify(body).includes(`\${${axis}}`))
    throw file.fault(path, `the axis \`${axis}\` is used nowhere but in the name.`, {
      hint: `Put \${${axis}} into the model or a setting; an axis named like a setting, such as threads, sets it by itself.`,
      at: "key",
    });
}

/** A name stands in tables, on the screen and in commands: what is not seen there as it is would make two names look alike. */
function checkName(file: YamlFile, path: YamlPath, name: string): void {
  if (name.trim() === name && name !== "" && name.length <= MAX_NAME && harmless(name) === name) return;
  throw file.fault(path, name.length > MAX_NAME ? "this name is too long." : `"${name}" cannot be a name.`, {
    hint: `A name has 1 to ${MAX_NAME} characters that can be seen, without blanks around it.`,
    at: "key",
  });
}

function readVariant(
  file: YamlFile,
  { key, path, body, axes }: Combination,
  defaults: Settings,
  options: ReadOptions,
): VariantConfig {
  const lookup = placeholders(file, options, axes);
  const unnamed = Object.entries(axes).filter(([axis]) => !key.includes(`\${${axis}}`));
  const parts = unnamed.map(([axis, value]) => (typeof value === "string" ? `-${value}` : `-${axis}=${value}`));
  const name = addressWithoutSecrets(`${String(fill(key, lookup, path))}${parts.join("")}`);
  checkName(file, path, name);
  const settingAxes = Object.fromEntries(Object.entries(axes).filter(([axis]) => Object.hasOwn(settingsShape, axis)));
  const filled = { ...settingAxes, ...fill(body, lookup, path) };
  const backend = backendNamed(file, path, filled);
  file.check(variantSchemas[backend]!, filled, path, {
    context: "The context belongs to a measurement: `perplexity: {text: wikitext-2, context: 512}`.",
    ...settingsElsewhere(backend),
  });
  const { model, quantize, imatrix, reference, lora, tags } = z.object(variantShape).parse(filled);
  if (imatrix !== undefined && quantize === undefined)
    throw file.fault([...path, "imatrix"], "an importance matrix without a type to quantize to.", {
      hint: "Add `quantize: Q4_K_M`, say; a file that is quantized already says itself which matrix was used.",
      at: "key",
    });
  const adapters = lora === undefined ? [] : Array.isArray(lora) ? lora : [lora];
  return {
    name,
    model,
    ...(quantize === undefined ? {} : { quantize: { type: quantize, ...(imatrix === undefined ? {} : { imatrix }) } }),
    backend,
    reference: reference === true,
    ...(typeof reference === "string" ? { against: reference } : {}),
    lora: adapters.map((one) => (typeof one === "string" ? { path: one, scale: 1 } : one)),
    tags: Object.fromEntries(
      Object.entries({ ...axes, ...tags }).map(([tag, value]) => [tag, addressWithoutSecrets(String(value))]),
    ),
    settings: said({ ...defaults, ...filled }, settingsOf(backend)),
  };
}

function backendNamed(file: YamlFile, path: YamlPath, { backend, model }: Record<string, unknown>): string {
  if (typeof backend !== "string") return backendOf(String(model));
  if (backendNames.includes(backend)) return backend;
  throw file.fault([...path, "backend"], `there is no backend "${backend}".`, { hint: nearest(backend, backendNames) });
}

/** Hints for the settings that only other backends have. */
function settingsElsewhere(backend: string): Record<string, string> {
  const others = backendNames.filter((name) => name !== backend);
  return Object.fromEntries(
    others.flatMap((other) =>
      Object.keys(settingsOf(other).shape).map((key) => [
        key,
        `\`${key}\` is a setting of the backend ${other}; this variant runs on ${backend}.`,
      ]),
    ),
  );
}

/** The settings that were given, without the defaults of the others. */
function said(given: Record<string, unknown>, { shape }: z.ZodObject): Settings {
  return Object.fromEntries(
    Object.entries(given).filter(([key, value]) => Object.hasOwn(shape, key) && value !== undefined),
  );
}

// ---- Measurements

const entryOutline = z.looseObject({}).describe("A measurement has settings, `perplexity: {text: wikitext-2}`.");

async function readMeasurements(
  file: YamlFile,
  entries: Record<string, unknown>,
  options: ReadOptions,
): Promise<MeasurementConfig[]> {
  const family = options.measurements;
  if (Object.keys(entries).length === 0)
    throw file.fault(["measurements"], "nothing is measured.", {
      hint: "For example `perplexity: {text: wikitext-2}`.",
    });
  const read: MeasurementConfig[] = [];
  for (const [name, raw] of Object.entries(entries)) {
    const path = ["measurements", name];
    checkName(file, path, name);
    const entry = file.check(entryOutline, fill(raw ?? {}, placeholders(file, options), path), path);
    const said = entry.measurement;
    if (said !== undefined && !Object.hasOwn(family, usualName(String(said))))
      throw file.fault([...path, "measurement"], `there is no measurement "${said}".`, {
        hint: nearest(String(said), Object.keys(family)),
      });
    const meant = await measurementOf(name, entry, options);
    if (typeof meant === "object") throw file.fault(path, meant.message, { hint: meant.hint, at: "key" });
    const kind = meant;
    const measurement = family[kind]!;
    file.check(entrySchema(measurement), entry, path, engineHints);
    const given = settingKeys(measurement).filter((key) => entry[key] !== undefined);
    const settings = Object.fromEntries(given.map((key) => [key, entry[key]]));
    read.push({
      name,
      kind,
      data: dataSaid(measurement, name, entry),
      settings: file.check(measurement.settings, settings, path) as Record<string, unknown>,
    });
  }
  return read;
}

const engineHints = Object.fromEntries(
  Object.keys(settingsShape).map((key) => [
    key,
    `\`${key}\` is an engine setting: it goes into a variant or \`defaults\`.`,
  ]),
);

/** What names the data, in the keys of their kind. */
function dataSaid({ data }: Measurement<unknown>, name: string, entry: Record<string, unknown>) {
  const { keys = {}, named } = findKind(data) ?? {};
  const said = Object.entries(entry).filter(([key, value]) => Object.hasOwn(keys, key) && value !== undefined);
  return { ...(named === undefined ? {} : { [named]: name }), ...Object.fromEntries(said) };
}

interface Misnamed {
  message: string;
  hint: string;
}

/** The measurement that an entry is, by what it says, by its own name or by the dataset that it names; or why it is none. */
async function measurementOf(name: string, entry: Record<string, unknown>, options: ReadOptions) {
  const family = options.measurements;
  const keyOf = (measurement: string) => findKind(family[measurement]!.data)?.named;
  const usual = usualName(String(entry.measurement ?? name));
  if (entry.measurement !== undefined || Object.hasOwn(family, usual)) {
    const key = keyOf(usual);
    if (key === undefined || entry[key] !== undefined) return usual;
    const meant = await byDataset(name, options);
    return typeof meant === "object" ? meant : usual;
  }
  const said = Object.keys(family).find((one) => entry[keyOf(one) ?? "measurement"] !== undefined);
  if (said === undefined) return byDataset(name, options);
  const meant = await byDataset(String(entry[keyOf(said)!]), options);
  return typeof meant === "object" ? said : meant;
}

/** The measurement that needs data of the kind which the dataset of this name is; or why there is none. */
async function byDataset(name: string, { measurements, dataDir }: ReadOptions): Promise<string | Misnamed> {
  const cards = await findCards(dataDir === undefined ? {} : { dataDir });
  const card = cards.find((one) => one.name === name)?.read;
  if (card && "fault" in card) throw card.fault;
  const kind = card && findKind(card.kind);
  const needing = Object.keys(measurements).find((one) => kind && measurements[one]!.data === kind.name);
  if (kind?.named !== undefined && needing !== undefined) return needing;
  if (/\.(csv|jsonl|tsv)$|[/\\]/i.test(name))
    return {
      message: `${name} is a file or a folder; questions go by the name on their card.`,
      hint: capital(questionsNeed),
    };
  const named = (data: string) => findKind(data)?.named;
  const tasks = cards.flatMap(({ name, read }) => ("kind" in read && named(read.kind) ? [name] : []));
  if (kind && needing !== undefined)
    return {
      message: `"${name}" is ${kind.noun}, not a measurement.`,
      hint: `For example \`${needing}: {${Object.keys(kind.keys)[0]}: ${name}}\`.`,
    };
  const own = Object.hasOwn(measurements, name) ? findKind(measurements[name]!.data) : undefined;
  if (own?.named)
    return { message: `\`${own.named}\` is missing: it names ${own.noun}.`, hint: `Known: ${several(tasks)}.` };
  const known = [...Object.keys(measurements).filter((one) => !named(measurements[one]!.data)), ...tasks];
  return {
    message: `there is no measurement and no dataset of questions named "${name}".`,
    hint: `${nearest(name, known)} An entry of another name says \`measurement:\`.`,
  };
}

// ---- Arguments

/** What the arguments of `run` name: one benchmark file, or models (files, folders, patterns, addresses). */
export interface Arguments {
  file?: string;
  models: string[];
}

const takes =
  "`gguf-bench run` takes one benchmark file (.yaml, .yml, .json), or models: .gguf files, folders, hf:owner/repo:quant.";

/** Sorts the arguments by ending and content. Throws a BenchError with code `config` for what is neither. */
export async function sortArguments(
  given: string[],
  { modelsDir, models: flagged = [] }: Pick<ReadOptions, "modelsDir"> & { models?: string[] } = {},
): Promise<Arguments> {
  const isFile = (one: string) => !isAddress(one) && /\.(ya?ml|json)$/i.test(one);
  const files = given.filter(isFile);
  const models = given.filter((one) => !isFile(one));
  for (const one of models) await checkModelArgument(one, modelsDir);
  const first = [...flagged, ...models][0];
  if (files.length > 1)
    throw flagFault(`run takes one benchmark file, not ${files.length}: ${files.join(", ")}.`, takes);
  if (files.length === 1 && first !== undefined)
    throw flagFault(
      `${files[0]} is a benchmark file, ${addressWithoutSecrets(first)} a model: run takes one or the other.`,
      "Name the model under `variants:` of the file, or leave the file out.",
    );
  return { ...(files.length === 1 ? { file: files[0]! } : {}), models };
}

/** Passes whatever may be a model; a file of another kind is told what it would be good for. */
async function checkModelArgument(one: string, modelsDir: string | undefined): Promise<void> {
  if (one.trim() === "" || isAddress(one) || /\.gguf$/i.test(one) || /[*?]/.test(one)) return;
  for (const place of [one, ...(modelsDir === undefined ? [] : [resolve(modelsDir, one)])]) {
    const stats = await stat(place).catch(() => undefined);
    if (stats?.isDirectory() || (stats?.isFile() && (await beginsAsGguf(place)))) return;
    if (stats) throw flagFault(`${one} is neither a model nor a benchmark file.`, purposeOf(one));
    // A model may be named without its ending, a split one without its parts.
    const names = await readdir(dirname(place)).catch(() => [] as string[]);
    if (names.some((name) => /^(-\d{5}-of-\d{5})?\.gguf$/i.test(name.replace(basename(place), "")))) return;
  }
  throw flagFault(`There is no file ${one}.`, takes);
}

function purposeOf(path: string): string {
  if (/\.(csv|jsonl|tsv)$/i.test(path)) return `Questions need a card: ${questionsNeed}`;
  if (/\.(txt|raw|md)$/i.test(path))
    return `A text is given with --text: \`gguf-bench run MODEL.gguf --text ${path}\`.`;
  if (/\.kld$/i.test(path)) return `A stored reference is given with --measure stored-divergence --base ${path}.`;
  return takes;
}

const questionsNeed =
  "put them into a folder DATA/NAME with a card.yaml, as datasets/demo-facts-en has one, and write --data-dir DATA --measure NAME.";

const capital = (sentence: string) => sentence.charAt(0).toUpperCase() + sentence.slice(1);

// ---- Without a file

export interface QuickOptions extends ReadOptions {
  /** Paths, folders, patterns or URIs; a variant is named by its file name without `.gguf`. */
  models: string[];
  /** Names of measurements or of datasets of questions; perplexity by default. */
  measures?: string[];
  text?: string;
  /** A stored reference. */
  base?: string;
  context?: number;
  chunks?: number;
  threads?: number;
  prompt?: number;
  generate?: number;
  repetitions?: number;
  limit?: number;
}

/** The same Benchmark from command-line flags. Throws a BenchError with code `config` that names the flag. */
export async function quickBenchmark(options: QuickOptions): Promise<Benchmark> {
  const { measures = ["perplexity"], text, base, threads, measurements: family } = options;
  if (options.models.length === 0)
    throw flagFault(
      "Nothing to measure: no model is given.",
      "Name models or a benchmark file: `gguf-bench run *.gguf --text book.txt`.",
    );
  checkFlags(anySettings, threads === undefined ? {} : { threads });
  const settings = said({ threads }, anySettings);
  const { context, chunks, prompt, generate, repetitions, limit } = options;
  const flags = Object.entries({ text, base, context, chunks, prompt, generate, repetitions, limit }).filter(
    ([, value]) => value !== undefined,
  );

  const read: MeasurementConfig[] = [];
  const used = new Set<string>();
  for (const name of new Set(measures.map(usualName))) {
    const meant = Object.hasOwn(family, name) ? name : await byDataset(name, options);
    if (typeof meant === "object") throw flagFault(`--measure ${name}: ${meant.message}`, meant.hint);
    const kind = meant;
    const measurement = family[kind]!;
    const needsText = measurement.data === "text";
    if (needsText && text === undefined) throw flagFault(`--measure ${name} needs a text.`, await textsHint(options));
    const needsBase = measurement.data === "reference";
    if (needsBase && base === undefined)
      throw flagFault(`--measure ${name} needs a stored reference.`, "Add --base FILE, see `gguf-bench reference`.");
    const keys = settingKeys(measurement);
    const own = flags.filter(([flag]) => keys.includes(flag));
    for (const flag of [...own.map(([flag]) => flag), ...(needsText ? ["text"] : []), ...(needsBase ? ["base"] : [])])
      used.add(flag);
    read.push({
      name,
      kind,
      data: dataSaid(measurement, name, { text, base }),
      settings: checkFlags(measurement.settings, Object.fromEntries(own)) as Record<string, unknown>,
    });
  }
  const idle = flags.find(([flag]) => !used.has(flag))?.[0];
  if (idle) throw flagFault(`--${idle} has no meaning for ${measures.join(", ")}.`, `Leave --${idle} out.`);

  const { models, notes } = await namedModels(options.models, options);
  const names = variantNames(models);
  const common = { lora: [], tags: {}, settings };
  return {
    name: "quick",
    variants: models.map((model, index) => ({
      name: names[index]!,
      model,
      backend: backendOf(model),
      reference: false,
      ...common,
    })),
    measurements: read,
    timeout: fileShape.timeout.parse(undefined),
    ...folders(options),
    baseDir: process.cwd(),
    ...(notes.length > 0 ? { notes } : {}),
  };
}

/** A published text where this machine has one; demo-en is shipped. */
async function textsHint({ dataDir }: ReadOptions): Promise<string> {
  const here = (await findDatasets(dataDir === undefined ? {} : { dataDir })).filter(({ path }) => path !== undefined);
  const name = here.some(({ card }) => card.name === "wikitext-2") ? "wikitext-2" : "demo-en";
  return `Add --text FILE (any UTF-8 text), or --text ${name}.`;
}

function checkFlags(schema: z.ZodType, value: Record<string, unknown>): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = explain(result.error.issues[0]!, schema, value);
  throw flagFault(message.replace(`\`${path[0]}\``, `--${path[0]}`));
}

function flagFault(message: string, hint?: string): BenchError {
  return new BenchError("config", message, hint === undefined ? {} : { hint });
}

/**
 * File names without `.gguf` and without the number of a part; where two are alike, with as many folders as it takes to tell
 * them apart. What an address holds besides its path may be secret: a digest stands for it where the path does not tell.
 */
function variantNames(models: string[]): string[] {
  const name = (model: string, depth: number) =>
    addressWithoutSecrets(model)
      .replace(/\?…$/, "")
      .replace(/^[a-z][a-z0-9+.-]+:\/*/i, "")
      .replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "")
      .split(/[/\\]/)
      .slice(-depth)
      .join("/");
  const places = models.map((model) => (isAddress(model) ? model : resolve(model)));
  return models.map((model, index) => {
    if (places.indexOf(places[index]!) < index)
      throw flagFault(`--model ${addressWithoutSecrets(model)} is given twice.`, "Leave one of them out.");
    const alike = (depth: number) =>
      models.some((other) => other !== model && name(other, depth) === name(model, depth));
    let depth = 1;
    while (depth < 50 && alike(depth)) depth++;
    if (depth < 50) return name(model, depth);
    return `${name(model, 1)}-${createHash("sha256").update(model).digest("hex").slice(0, 6)}`;
  });
}
