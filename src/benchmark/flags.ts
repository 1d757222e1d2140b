import { resolve } from "node:path";
import { type DataKind, dataKinds, findKind, taskFile } from "../data/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { usualName } from "../metrics.js";
import { isAddress, namedModels } from "../models/folder.js";
import { addressWithoutSecrets } from "../secrets.js";
import { type FaultOptions, nearest, Written, type YamlPath } from "../yaml.js";
import type { Benchmark, MeasurementForm, Measurements, ReadOptions } from "./benchmark.js";
import { readWritten } from "./file.js";
import { formFor, formsOf, nameable, settingKeys, settingsShape } from "./form.js";
import { measurementOf, otherName } from "./measurements.js";
import { literal } from "./placeholders.js";

/** A key of a benchmark file as a flag: `templateKwargs` is `--template-kwargs`. */
export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Values by the names that a benchmark file has for them: settings of the engine or of a measurement, what names data. */
export type Flags = Record<string, unknown>;

export interface QuickOptions extends ReadOptions {
  /** Paths, folders, patterns or URIs; a variant is named by its file name without `.gguf`. */
  models: string[];
  /** Names of measurements or of datasets of questions; perplexity by default. */
  measures?: string[];
  /** `{ text: "book.txt", chunks: 16, threads: 4 }`: each goes wherever a key of its name may stand. */
  flags?: Flags;
}

/** Those of some options that are flags and are given. */
export function flagsOf(options: object, measurements: Measurements): Flags {
  const known = new Set([
    ...Object.keys(settingsShape),
    ...Object.values(dataKinds).flatMap(({ keys }) => Object.keys(keys)),
    ...Object.values(measurements).flatMap(formsOf).flatMap(settingKeys),
  ]);
  return Object.fromEntries(Object.entries(options).filter(([name, value]) => known.has(name) && value !== undefined));
}

/**
 * The benchmark that models and flags ask for: they are written down as a file would have them, and go through its reader.
 * Throws a BenchError with code `config` that names the flag.
 */
export async function quickBenchmark(options: QuickOptions): Promise<Benchmark> {
  const { measurements: family, measures = ["perplexity"], flags: given = {} } = options;
  if (options.models.length === 0)
    throw new BenchError("config", "Nothing to measure: no model is given.", {
      hint: "Name models or a benchmark file: `gguf-bench run *.gguf --text book.txt`.",
    });
  const flags = flagsOf(given, family);
  const stray = Object.keys(given).find((name) => given[name] !== undefined && !Object.hasOwn(flags, name));
  if (stray !== undefined)
    throw new BenchError("config", `There is no flag --${stray}.`, { hint: nearest(stray, Object.keys(flags)) });

  const settings = taken(flags, Object.keys(settingsShape));
  const entries: Record<string, Flags> = {};
  const baseDir = process.cwd();
  for (const name of measures.map(usualName)) {
    const kind = await measurementOf(name, {}, { ...options, baseDir });
    // A name that means nothing is the reader's to refuse.
    const said = typeof kind === "object" ? {} : taken(flags, keysOf(formFor(family[kind]!, flags)));
    // A task of another program's has a name of its own.
    const { named } = (typeof kind === "string" && findKind(family[kind]!.data)) || {};
    const foreign = named && !Object.hasOwn(family, name) ? await taskFile(name, { ...options, baseDir }) : undefined;
    if (foreign && named) entries[nameable(foreign.name)] = { [named]: literal(name), ...said };
    else entries[name] = said;
  }
  const { models, notes } = await namedModels(options.models, options);
  const names = variantNames(models);
  const variants = models.map((model, index) => [literal(names[index]!), { model: literal(model) }]);
  const written = new WrittenFlags({
    defaults: settings,
    variants: Object.fromEntries(variants),
    measurements: entries,
  });
  const benchmark = await readWritten(written, { name: titleOf(names, measures), baseDir }, options);
  const used = new Set([settings, ...Object.values(entries)].flatMap((one) => Object.keys(one)));
  const idle = Object.keys(flags).find((flag) => !used.has(flag));
  const takers = Object.keys(family).filter(
    (kind) => idle !== undefined && !measures.includes(kind) && keysOf(formFor(family[kind]!, flags)).includes(idle),
  );
  if (idle)
    throw new BenchError("config", `--${idle} has no meaning for ${measures.join(", ")}.`, {
      hint:
        takers.length > 0
          ? `Leave --${idle} out, or ask for both: --measure ${takers[0]}, too.`
          : `Leave --${idle} out.`,
    });
  const titled = (some: string[]) => titleOf(some, measures);
  return { ...benchmark, titled, ...(notes.length > 0 ? { notes } : {}) };
}

/** `model-F16 +3 perplexity`: what a reader calls a question without a file. */
function titleOf([first = "", ...others]: string[], measures: string[]): string {
  const more = others.length > 0 ? [`+${others.length}`] : [];
  // A task that is a file goes by its name, as in every place that others read.
  const asked = measures.map((one) => one.split(/[/\\]/).at(-1) || one);
  return nameable([first, ...more, ...asked].join(" ").replace(/[/\\]/g, "-"));
}

/** Keys of an entry of the measurement, without the one that names the measurement. */
function keysOf(measurement: MeasurementForm): string[] {
  return [...Object.keys(findKind(measurement.data)?.keys ?? {}), ...settingKeys(measurement)];
}

/** The flags of these names, as a file would have them. */
function taken(flags: Flags, names: string[]): Flags {
  const own = Object.entries(flags).filter(([name]) => names.includes(name));
  return Object.fromEntries(own.map(([name, value]) => [name, typeof value === "string" ? literal(value) : value]));
}

/** Keys that say which measurement an entry of a file is: `--measure` says it. */
const naming = new Set(["measurement", ...Object.values<DataKind>(dataKinds).flatMap(({ named }) => named ?? [])]);

/** Examples in a hint, from the form of a file into that of flags. */
function asFlags(hint: string): string {
  return hint
    .replace(otherName, "For example")
    .replace(/`([\w-]+): \{(\w+): ([^`}]+)\}`/g, "`--measure $1 --$2 $3`")
    .replace(/`(\w+): ([^`{]+)`/g, (_, key, value) => `\`--${naming.has(key) ? "measure" : key} ${value}\``);
}

/** Flags in the form of a benchmark file; its faults name the flag. */
class WrittenFlags extends Written {
  constructor(readonly value: Record<string, Record<string, unknown>>) {
    super();
  }

  protected errorAt(path: YamlPath, message: string, { hint }: FaultOptions): BenchError {
    const [room, name, own] = path;
    // Beyond its name a flag has no place.
    const key = room === "defaults" ? name : own;
    const flag = flagOf(String(key));
    const about =
      message === `\`${key}\` is missing.` ? `--measure ${name} needs ${flag}.` : message.replace(`\`${key}\``, flag);
    const said =
      key !== undefined
        ? about
        : room === "measurements"
          ? `--measure ${name}: ${message}`
          : `--model ${name}: ${message}`;
    return new BenchError("config", said, definite({ hint: hint && asFlags(hint) }));
  }

  /** Flags have no order that counts. */
  protected position(): number {
    return 0;
  }
}

/**
 * File names without `.gguf` and without the number of a part; where two are alike, with as many folders as it takes to tell
 * them apart. What an address holds besides its path may be secret: a digest stands for it where the path does not tell.
 */
function variantNames(models: string[]): string[] {
  const name = (model: string, depth: number) => {
    const path = addressWithoutSecrets(model)
      .replace(/\?…$/, "")
      // Of a server's model, its name there; of the only one, the server's address.
      .replace(/^openai:(?:.*#(?=.)|(.*?)(?:\/v1)?\/*#?$)/i, "$1")
      .replace(/^[a-z][a-z0-9+.-]+:\/*/i, "")
      .replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "");
    return nameable(path.split(/[/\\]/).slice(-depth).join("/"));
  };
  const places = models.map((model) => (isAddress(model) ? model : resolve(model)));
  return models.map((model, index) => {
    if (places.indexOf(places[index]!) < index)
      throw new BenchError("config", `--model ${addressWithoutSecrets(model)} is given twice.`, {
        hint: "Leave one of them out.",
      });
    const alike = (depth: number) =>
      models.some((other) => other !== model && name(other, depth) === name(model, depth));
    let depth = 1;
    while (depth < 50 && alike(depth)) depth++;
    if (depth < 50) return name(model, depth);
    return `${name(model, 1)}-${sha256(model).slice(0, 6)}`;
  });
}
