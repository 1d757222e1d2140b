// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is the placeholder of benchmark files
import { existsSync } from "node:fs";
import { basename, dirname, extname, resolve } from "node:path";
import { z } from "zod";
import { definite } from "../definite.js";
import { harmless } from "../harmless.js";
import { readBytes } from "../units.js";
import { Faults, type Written, YamlFile } from "../yaml.js";
import type { Benchmark, ReadOptions } from "./benchmark.js";
import { fileSchema, fileShape, MAX_NAME, unchecked } from "./form.js";
import { readMeasurements } from "./measurements.js";
import { fill, folders, placeholders } from "./placeholders.js";
import { readVariants } from "./variants.js";

/**
 * Reads a benchmark file. Placeholders are filled in this order: the axes of a variant's matrix, `${models}` and
 * `${data}` (the two folders), the environment; `$${x}` stands for a literal `${x}`.
 *
 * Throws a BenchError with code `config` that names file:line:column, what is wrong, and the remedy.
 */
export async function readBenchmark(path: string, options: ReadOptions): Promise<Benchmark> {
  const file = await YamlFile.read(path, "config");
  return readWritten(file, { name: basename(path, extname(path)), baseDir: dirname(resolve(path)) }, options);
}

const taskHint = "A task of lm-eval's or of the Hub's is no benchmark: `gguf-bench run MODEL.gguf --measure FILE`.";

/** Keys of files that are taken for a benchmark. */
const taskHints = Object.fromEntries(
  ["task", "group", "include", "tasks", "dataset_path"].map((key) => [key, taskHint]),
);

/** The one reader, of files and of flags: `name` and `baseDir` stand for what the written data do not say. */
export async function readWritten(
  file: Written,
  { name: otherwise, baseDir }: Pick<Benchmark, "name" | "baseDir">,
  options: ReadOptions,
): Promise<Benchmark> {
  // Values with placeholders are checked once these are filled in.
  const { shape } = fileSchema;
  const outline = z.strictObject({ ...shape, ...unchecked(fileShape) });
  const faults = new Faults(file);
  faults.of(() => file.check(outline.describe(fileSchema.description!), file.value, [], taskHints));
  // What is wrong with one part keeps no other from being read.
  const { variants, measurements, ...rest } = keysIn(file.value);
  const filled = faults.of(() => fill(rest, placeholders(file, options), [])) ?? {};
  const head = faults.of(() => file.check(z.object(fileShape), filled, []));
  const { name = otherwise } = head ?? {};
  faults.of(() => checkRunName(file, name));
  faults.of(() => checkPublished(file, head?.published, baseDir));
  // As they are said: what a backend takes by default is no setting of a variant.
  const defaults = keysIn(filled.defaults);
  const [each, all] = [variants, measurements].map((one) => entriesOf.safeParse(one).data);
  const made = each && faults.of(() => readVariants(file, each, defaults, options));
  const asked = all && (await faults.of(() => readMeasurements(file, all, { ...options, baseDir })));
  if (faults.any || !head || !made || !asked) throw faults.joined();
  return definite({
    name,
    description: head.description,
    published: head.published,
    variants: made,
    measurements: asked,
    mirrors: head.mirrors,
    timeout: head.timeout,
    memoryLimit: inBytes(head.memoryLimit),
    scratchLimit: inBytes(head.scratchLimit),
    ...folders(options),
    baseDir,
  });
}

/** The values of a file's keys, whatever they are; none where it is no map. */
const keysIn = (value: unknown): Record<string, unknown> => entriesOf.safeParse(value).data ?? {};
const entriesOf = z.record(z.string(), z.unknown());

/** The run's folder in reports/ has this name. */
function checkRunName(file: Written, name: string): void {
  if (/[/\\]|^\.+$/.test(name) || harmless(name, { length: MAX_NAME }) !== name)
    throw file.fault(["name"], "this cannot be the name of a run, which is that of its folder.", {
      hint: `Write \`name:\` with 1 to ${MAX_NAME} characters that can be seen, without slashes.`,
    });
}

function checkPublished(file: Written, published: string | undefined, baseDir: string): void {
  if (published === undefined || existsSync(resolve(baseDir, published))) return;
  throw file.fault(["published"], `there is no file ${resolve(baseDir, published)}.`, {
    hint: "It is looked for from this file's folder.",
  });
}

function inBytes(limit: number | string | undefined): number | undefined {
  return typeof limit === "string" ? readBytes(limit) : limit;
}
