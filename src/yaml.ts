import { readFile, stat } from "node:fs/promises";
import {
  type Document,
  type DocumentOptions,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParseOptions,
  parseDocument,
  type SchemaOptions,
  stringify,
  visit,
} from "yaml";
import { z } from "zod";
import { BenchError, type ErrorCode } from "./errors.js";
import { several } from "./harmless.js";
import { commandWithoutSecrets } from "./secrets.js";

/** Keys and indexes that lead from the root of a file to a value. */
export type YamlPath = readonly (string | number)[];

// People write a few kilobytes; a parser's worst cases grow with the square of this.
const MAX_BYTES = 250_000;
// Far above what people write, far below what a file of nested aliases grows to.
const MAX_ALIASES = 1000;
const MAX_DEPTH = 50;

/** How a file is to be read where YAML's readers differ. */
export interface YamlDialect {
  /**
   * As PyYAML reads it: YAML 1.1, where `no` is false, and of two keys of one name the last. A value with the tag `!function`,
   * which names Python code, is the map `{ "!function": NAME }`.
   */
  python?: boolean;
}

const pythonOptions: ParseOptions & DocumentOptions & SchemaOptions = {
  version: "1.1",
  uniqueKeys: false,
  customTags: (tags) => [
    { tag: "!function", resolve: (name: string) => ({ "!function": name }) },
    // YAML 1.1 also has `y` and `n`, PyYAML has not.
    {
      tag: "tag:yaml.org,2002:bool",
      default: true,
      test: /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/,
      resolve: (word: string) => /^(yes|true|on)$/i.test(word),
    },
    // Dates stay the texts that they are.
    ...tags.filter((tag) => typeof tag === "string" || !/:(bool|timestamp)$/.test(tag.tag)),
  ],
};

/** Data as somebody wrote them, whose faults are BenchErrors that name the place, what is wrong, and the remedy. */
export abstract class Written {
  /** Plain data. */
  abstract readonly value: unknown;

  protected abstract errorAt(path: YamlPath, message: string, options: FaultOptions): BenchError;

  /** Grows from the beginning to the end: faults are told in its order. */
  protected abstract position(path: YamlPath, at: "key" | "value"): number;

  readonly #places = new WeakMap<BenchError, number>();
  readonly #kinds = new WeakMap<BenchError, string>();

  /** The error for a value, or for the key before it. */
  fault(path: YamlPath, message: string, options: FaultOptions = {}): BenchError {
    const error = this.errorAt(path, message, options);
    this.#places.set(error, this.position(path, options.at ?? "value"));
    if (options.once !== undefined) this.#kinds.set(error, options.once);
    return error;
  }

  /** Several faults as one error: the first in the order of the data, with the others. */
  joined(faults: readonly BenchError[]): BenchError {
    const all = faults.flatMap((one) => [one, ...one.others]);
    const place = (one: BenchError) => this.#places.get(one) ?? Infinity;
    const inOrder = all.toSorted((a, b) => place(a) - place(b) || 0);
    const kind = (one: BenchError) => this.#kinds.get(one) ?? one.message;
    // The first of a kind stays.
    const [first, ...others] = [
      ...new Map(inOrder.toReversed().map((one) => [kind(one), one])).values(),
    ].toReversed() as [BenchError, ...BenchError[]];
    if (others.length === 0) return first;
    const { code, message, hint, cause } = first;
    const error = new BenchError(code, message, { hint, cause, others });
    this.#places.set(error, place(first));
    return error;
  }

  /**
   * Data of the schema with its defaults. `value` is what stands at `path`, with placeholders filled in perhaps;
   * `elsewhere` has hints for keys that are known, but not here.
   */
  check<Schema extends z.ZodType>(
    schema: Schema,
    value: unknown,
    path: YamlPath,
    elsewhere: Record<string, string> = {},
  ): z.output<Schema> {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const name = path.at(-1) ?? "the file";
    const found = result.error.issues
      .flatMap(oneByOne)
      .map((issue) => explain(issue, schema, value, { elsewhere, name }));
    // A key that is missing is often there under a name that is not known: that is the one to speak of.
    const mapOf = ({ path }: Explanation) => JSON.stringify(path.slice(0, -1));
    const misnamed = new Set(found.filter(({ fault }) => fault === "unknown").map(mapOf));
    const told = found.filter((one) => one.fault !== "missing" || !misnamed.has(mapOf(one)));
    throw this.joined(told.map((one) => this.fault([...path, ...one.path], one.message, one)));
  }
}

/** All that is wrong with data whose parts are read by themselves. */
export class Faults {
  readonly #found: BenchError[] = [];

  constructor(readonly file: Written) {}

  get any(): boolean {
    return this.#found.length > 0;
  }

  /** What the part gives; undefined where it throws a fault of the data. */
  of<T>(part: () => Promise<T>): Promise<T | undefined>;
  of<T>(part: () => T): T | undefined;
  of<T>(part: () => T | Promise<T>): T | undefined | Promise<T | undefined> {
    try {
      const given = part();
      return given instanceof Promise ? given.catch((error) => this.#keep(error)) : given;
    } catch (error) {
      return this.#keep(error);
    }
  }

  #keep(error: unknown): undefined {
    if (!(error instanceof BenchError)) throw error;
    this.#found.push(error);
  }

  /** All of them as one error. */
  joined(): BenchError {
    return this.file.joined(this.#found);
  }
}

export interface FaultOptions {
  hint?: string | undefined;
  at?: "key" | "value";
  /** Of several faults with this word the first is told alone. */
  once?: string;
}

/** A YAML file; its faults name file:line:column. */
export class YamlFile extends Written {
  readonly value: unknown;
  readonly #path: string;
  readonly #code: ErrorCode;
  readonly #document: Document;
  readonly #lines: LineCounter;

  private constructor(path: string, code: ErrorCode, text: string, { python = false }: YamlDialect) {
    super();
    this.#path = path;
    this.#code = code;
    this.#lines = new LineCounter();
    this.#document = parseDocument(text, {
      ...{ lineCounter: this.#lines, prettyErrors: false, merge: true },
      ...(python ? pythonOptions : {}),
    });
    const fault = this.#document.errors[0] ?? this.#document.warnings[0];
    if (fault) {
      const { line, col } = this.#lines.linePos(fault.pos[0]);
      const bare = /[{,][^"'\n]*\$\{/.test(text.split("\n")[line - 1] ?? "");
      const what = fault.message.includes("call stack")
        ? "it is nested too deeply."
        : fault.code === "MULTIPLE_DOCS"
          ? "a second document begins here; a file of settings is one."
          : sentence(fault.message);
      throw new BenchError(code, `${path}:${line}:${col}: ${what}`, {
        hint: bare
          ? `Within { } a value with \${…} needs quotation marks: { model: "\${models}/a.gguf" }.`
          : fault.code === "DUPLICATE_KEY"
            ? "Rename or remove one of the two."
            : "Look at indentation, colons and quotation marks there.",
      });
    }
    visit(this.#document, {
      Pair: (_, { key }) => {
        if (isScalar(key)) return;
        const { line, col } = this.#lines.linePos(rangeStart(key) ?? 0);
        throw new BenchError(code, `${path}:${line}:${col}: a key must be text.`, {
          hint: 'Put it into "quotation marks".',
        });
      },
    });
    try {
      this.value = this.#document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (cause) {
      throw new BenchError(code, `${path} cannot be read: its aliases (*name) unfold to too much.`, { cause });
    }
    this.#checkShape(this.value, []);
  }

  /** An alias to its own parent makes data without an end, a tag other things than data, `__proto__` a map with keys that it lacks. */
  #checkShape(value: unknown, path: YamlPath): void {
    if (path.length > MAX_DEPTH)
      throw this.fault(path, "this is nested too deeply, or an alias (*name) holds itself.", {
        hint: `There are at most ${MAX_DEPTH} maps and lists within each other.`,
      });
    if (
      typeof value === "object" &&
      value !== null &&
      ![Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value))
    )
      throw this.fault(path, "this is neither text nor a number, list or map.", { hint: "Leave the tag (!!…) out." });
    if (Array.isArray(value)) for (const [i, one] of value.entries()) this.#checkShape(one, [...path, i]);
    else if (typeof value === "object" && value !== null)
      for (const [key, one] of Object.entries(value)) {
        if (key === "__proto__") throw this.fault([...path, key], "`__proto__` cannot be a key.", { at: "key" });
        this.#checkShape(one, [...path, key]);
      }
  }

  /** Throws a BenchError with the given code: no such file, too large, not YAML. */
  static async read(path: string, code: ErrorCode, dialect: YamlDialect = {}): Promise<YamlFile> {
    const stats = await stat(path).catch((cause) => {
      throw new BenchError(code, `There is no file ${path}.`, { cause });
    });
    if (!stats.isFile()) throw new BenchError(code, `${path} is not a file.`);
    if (stats.size > MAX_BYTES)
      throw new BenchError(code, `${path} has ${stats.size} bytes; a file of settings has at most ${MAX_BYTES}.`);
    return new YamlFile(path, code, decode(await readFile(path), path, code), dialect);
  }

  protected errorAt(path: YamlPath, message: string, { hint, at = "value" }: FaultOptions): BenchError {
    const { line, col } = this.#lines.linePos(this.position(path, at));
    return new BenchError(this.#code, `${this.#path}:${line}:${col}: ${message}`, hint === undefined ? {} : { hint });
  }

  /** Offset in the text; of a path that leads into an alias or a merged map, the last place that is written. */
  protected position(path: YamlPath, at: "key" | "value"): number {
    let node: unknown = this.#document.contents;
    let offset = rangeStart(node) ?? 0;
    for (const [depth, step] of path.entries()) {
      if (isMap(node)) {
        const pair = node.items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === String(step));
        if (!pair) break;
        const last = depth === path.length - 1;
        offset = (last && at === "value" ? rangeStart(pair.value) : undefined) ?? rangeStart(pair.key) ?? offset;
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(step)];
        offset = rangeStart(node) ?? offset;
      } else break;
    }
    return offset;
  }
}

/** Other encodings would be read as other letters, without a word. */
function decode(bytes: Buffer, path: string, code: ErrorCode): string {
  const wide =
    (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff) || bytes.includes(0);
  try {
    // One kind of line end, so that lines are counted as editors do.
    if (!wide) return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r\n?/g, "\n");
  } catch {
    // Told below.
  }
  throw new BenchError(code, `${path} is ${wide ? "UTF-16, or no text at all" : "not UTF-8 text"}.`, {
    hint: "Save it as UTF-8.",
  });
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

function sentence(message: string): string {
  const line = message.split("\n")[0]!.trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

/** A fault for each key that is not known. */
const oneByOne = (issue: z.core.$ZodIssue): z.core.$ZodIssue[] =>
  issue.code === "unrecognized_keys" ? issue.keys.map((key) => ({ ...issue, keys: [key] })) : [issue];

interface Explanation {
  fault: "unknown" | "missing" | "wrong";
  path: (string | number)[];
  at: "key" | "value";
  message: string;
  hint?: string;
}

/** A JSON Schema as far as it is read here. */
export interface SchemaForm {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: SchemaForm[];
  properties?: Record<string, SchemaForm>;
  required?: string[];
  additionalProperties?: SchemaForm | false;
  items?: SchemaForm;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minItems?: number;
  minLength?: number;
  pattern?: string;
  description?: string;
  examples?: unknown[] | undefined;
  default?: unknown;
}

export function jsonSchema(schema: z.ZodType): SchemaForm {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as SchemaForm;
}

/**
 * A fault that zod found, in words; the expectation is read from the schema itself. `name` is what the whole value
 * is called, `elsewhere` has hints for keys that are known, but not here.
 */
function explain(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  value: unknown,
  { elsewhere = {}, name = "this" }: { elsewhere?: Record<string, string>; name?: string | number } = {},
): Explanation {
  const path = issue.path.filter((step) => typeof step !== "symbol");
  if (issue.code === "invalid_union") {
    // The alternative that fits in kind says more than "none of these".
    const fits = (kinds: string[]) =>
      issue.errors.find((one) => !one.some(({ code, path }) => kinds.includes(code!) && path.length === 0));
    const meant =
      fits(["invalid_type", "invalid_union", "invalid_value"]) ??
      fits(["invalid_type", "invalid_union"]) ??
      fits(["invalid_type"]);
    const inner = meant?.find(({ code }) => code === "unrecognized_keys") ?? meant?.[0];
    if (inner) return explain({ ...inner, path: [...path, ...inner.path] }, schema, value, { elsewhere, name });
  }
  const form = formAt(jsonSchema(schema), path);
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys[0]!;
    const outside = path.findLastIndex((_, depth) =>
      keysOf(formAt(jsonSchema(schema), path.slice(0, depth))).includes(unknown),
    );
    const hint =
      outside >= 0
        ? `\`${unknown}\` stands beside \`${path[outside]}\`, not in it.`
        : (Object.hasOwn(elsewhere, unknown) && elsewhere[unknown]) || nearest(unknown, keysOf(form));
    return {
      fault: "unknown",
      path: [...path, unknown],
      at: "key",
      message: `there is no key \`${unknown}\` here.`,
      hint,
    };
  }
  const key = path.at(-1) ?? name;
  const given = path.reduce<unknown>((at, step) => (at as Record<string | number, unknown> | undefined)?.[step], value);
  const remedy = [form && example(key, form), form?.description].filter(Boolean).join(" ");
  const own = issue.code === "custom" && typeof issue.params?.hint === "string" ? issue.params.hint : remedy;
  const hint = own === "" ? {} : { hint: own };
  if (given === undefined) return { fault: "missing", path, at: "key", message: `\`${key}\` is missing.`, ...hint };
  const what = typeof key === "number" ? `item ${key + 1}` : key.includes(" ") ? key : `\`${key}\``;
  const expected = form && issue.code !== "custom" ? expectation(form, given) : undefined;
  const message = expected
    ? `${what} must be ${expected}, not ${shown(given)}${form?.minItems && Array.isArray(given) && given.length > 0 ? ` of ${given.length}` : ""}.`
    : `${what}: ${sentence(issue.message)}`;
  return { fault: "wrong", path, at: "value", message, ...hint };
}

function keysOf(form: SchemaForm | undefined): string[] {
  return Object.keys(form?.properties ?? {}).concat(...(form?.anyOf ?? []).map(keysOf));
}

function formAt(form: SchemaForm | undefined, path: (string | number)[]): SchemaForm | undefined {
  if (form === undefined || path.length === 0) return form;
  const [step, ...rest] = path;
  if (form.anyOf) return form.anyOf.map((one) => formAt(one, path)).find((one) => one !== undefined);
  if (typeof step === "number") return formAt(form.items, rest);
  const { properties = {}, additionalProperties } = form;
  return formAt(Object.hasOwn(properties, step!) ? properties[step!] : additionalProperties || undefined, rest);
}

/** In words; how long it must be is said where it is of the right kind. */
function expectation(form: SchemaForm, given: unknown): string | undefined {
  if (form.anyOf) {
    const all = form.anyOf.map((one) => expectation({ ...one, examples: form.examples ?? one.examples }, given));
    return all.includes(undefined) ? undefined : [...new Set(all)].join(" or ");
  }
  if (Array.isArray(form.type)) return expectation({ ...form, anyOf: form.type.map((type) => ({ type })) }, given);
  if (form.enum) return `one of ${form.enum.join(", ")}`;
  if (form.const !== undefined) return `"${form.const}"`;
  const noun = {
    integer: "a whole number",
    number: "a number",
    string: "text",
    boolean: "true or false",
    array: "a list",
    object: "a map (lines of `key: value`)",
    null: "empty",
  }[String(form.type)];
  if (!noun) return undefined;
  if (
    (form.type === "array" && !Array.isArray(given)) ||
    (form.type === "string" && !form.pattern && typeof given !== "string")
  )
    return noun;
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, minItems = 0 } = form;
  if (form.pattern !== undefined) return form.examples ? `${noun} of the form shown` : `${noun} of a certain form`;
  if (minItems > 0) return `${noun} of at least ${minItems} ${minItems === 1 ? "item" : "items"}`;
  if (form.minLength) return `${noun} that is not empty`;
  if (isBound(minimum) && isBound(maximum)) return `${noun} from ${minimum} to ${maximum}`;
  const bounds = Object.entries({
    above: exclusiveMinimum,
    "of at least": minimum,
    below: exclusiveMaximum,
    "of at most": maximum,
  }).filter(([, bound]) => isBound(bound));
  return [noun, bounds.map(([word, bound]) => `${word} ${bound}`).join(" and ")].filter(Boolean).join(" ");
}

function isBound(bound: number | undefined): boolean {
  return bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
}

function example(key: string | number | undefined, form: SchemaForm): string | undefined {
  const value = form.examples?.[0] ?? form.default ?? form.enum?.[0];
  if (value === undefined || typeof value === "object" || typeof key !== "string") return undefined;
  return `For example \`${key}: ${value}\`.`;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object" && value !== null) return "a map";
  // It is cut below, and half an address no longer looks like one.
  const plain = typeof value === "string" ? commandWithoutSecrets([value]).command[0] : value;
  const text = value === null ? "empty" : typeof value === "number" ? String(value) : JSON.stringify(plain);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Plain data as YAML that readers of 1.1 and 1.2 take for the same: texts that 1.1 reads as dates are quoted, 1e-7 is written 1.0e-7. */
export function yamlText(value: unknown): string {
  return stringify(value, { version: "1.1", lineWidth: 0 }).replace(/^(.*: -?\d+)(e[-+]\d+)$/gm, "$1.0$2");
}

/** A hint that names the known word most like an unknown one, and the others; of many, those that are like it. */
export function nearest(word: string, known: string[], shownAs: (name: string) => string = (name) => name): string {
  if (known.length === 0) return "None is known here.";
  const bare = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const ranked = known
    .map((name) => ({ name, steps: distance(bare(word), bare(name)) }))
    .sort((a, b) => a.steps - b.steps);
  const closest = ranked[0]!;
  const isLike = ({ name, steps }: (typeof ranked)[number]) =>
    steps <= Math.max(1, Math.floor(name.length / 3)) && steps < name.length;
  // `Q8` is part of `model-Q8_0`, however many letters are missing.
  const whole = bare(word).length > 1 ? ranked.find(({ name }) => bare(name).includes(bare(word))) : undefined;
  const meant = isLike(closest) ? closest : whole;
  // Those that are like it, in the order that they have for who reads them.
  const like = new Set(ranked.slice(0, 6).map(({ name }) => name));
  const shown =
    known.length > 16 ? [...known.filter((name) => like.has(name)), ...known.filter((name) => !like.has(name))] : known;
  const all = `Known: ${several(shown.map(shownAs), known.length > 16 ? 6 : 16)}.`;
  return meant ? `Did you mean \`${shownAs(meant.name)}\`? ${all}` : all;
}

/** How many letters must change, come, go, or change places with their neighbour (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
