import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { beginsAsGguf, isAddress } from "../models/folder.js";
import { addressWithoutSecrets } from "../secrets.js";
import { nearest } from "../yaml.js";
import type { ReadOptions } from "./benchmark.js";
import { shippedBenchmark, shippedBenchmarks } from "./shipped.js";

/** The arguments of `run`, sorted: one benchmark file, or models (files, folders, patterns, addresses). */
export interface Arguments {
  file?: string;
  models: string[];
}

const takes =
  "`gguf-bench run` takes one benchmark file (.yaml, .yml, .json), or models: .gguf files, folders, hf:owner/repo:quant.";

/**
 * Sorts the arguments by ending and content; a name that no file has may be that of a benchmark that comes with the program. Throws
 * a BenchError with code `config` for what is none of these.
 */
export async function sortArguments(
  named: string[],
  { modelsDir, models: flagged = [] }: Pick<ReadOptions, "modelsDir"> & { models?: string[] } = {},
): Promise<Arguments> {
  const given: string[] = [];
  for (const one of named) given.push((await shippedFor(one, modelsDir)) ?? one);
  const isFile = (one: string) => !isAddress(one) && /\.(ya?ml|json)$/i.test(one);
  const files = given.filter(isFile);
  const models = given.filter((one) => !isFile(one));
  for (const one of models) await checkModelArgument(one, modelsDir);
  const first = [...flagged, ...models][0];
  if (files.length > 1) throw fault(`run takes one benchmark file, not ${files.length}: ${files.join(", ")}.`, takes);
  if (files.length === 1 && first !== undefined)
    throw fault(
      `${files[0]} is a benchmark file, ${addressWithoutSecrets(first)} a model: run takes one or the other.`,
      "Name the model under `variants:` of the file, or leave the file out.",
    );
  return definite({ file: files[0], models });
}

/** The benchmark that is meant by a name; undefined for what is there, or may be a model. */
async function shippedFor(one: string, modelsDir: string | undefined): Promise<string | undefined> {
  const found = isAddress(one) ? undefined : shippedBenchmark(one);
  if (found === undefined) return undefined;
  const places = [one, ...(modelsDir === undefined ? [] : [resolve(modelsDir, one)])];
  const there = await Promise.all(places.map((place) => stat(place).catch(() => undefined)));
  return there.some((stats) => stats !== undefined) ? undefined : found;
}

/** Passes whatever may be a model; a file of another kind is told what it would be good for. */
async function checkModelArgument(one: string, modelsDir: string | undefined): Promise<void> {
  if (one.trim() === "" || isAddress(one) || /\.gguf$/i.test(one) || /[*?]/.test(one)) return;
  for (const place of [one, ...(modelsDir === undefined ? [] : [resolve(modelsDir, one)])]) {
    const stats = await stat(place).catch(() => undefined);
    if (stats?.isDirectory() || (stats?.isFile() && (await beginsAsGguf(place)))) return;
    if (stats) throw fault(`${one} is neither a model nor a benchmark file.`, purposeOf(one));
    // A model may be named without its ending, a split one without its parts.
    const names = await readdir(dirname(place)).catch((): string[] => []);
    if (names.some((name) => /^(-\d{5}-of-\d{5})?\.gguf$/i.test(name.replace(basename(place), "")))) return;
  }
  // A name without an ending or a folder may be meant for one of the benchmarks.
  const name = /^[\w-]+$/.test(one) ? nearest(one, shippedBenchmarks()) : "";
  const beside = (await readdir(dirname(one)).catch((): string[] => [])).filter((entry) => !entry.startsWith("."));
  const [like] =
    nearest(basename(one), beside, (entry) => join(dirname(one), entry)).match(/^Did you mean .*?\?/) ?? [];
  throw fault(`There is no file ${one}.`, /^Did you mean/.test(name) ? name : (like ?? takes));
}

function purposeOf(path: string): string {
  if (/\.(csv|tsv)$/i.test(path))
    return `Questions are given with --measure: \`gguf-bench run MODEL.gguf --measure ${path}\`.`;
  if (/\.jsonl$/i.test(path)) return `Questions need a card: ${questionsNeed}`;
  if (/\.(txt|raw|md)$/i.test(path))
    return `A text is given with --text: \`gguf-bench run MODEL.gguf --text ${path}\`.`;
  if (/\.kld$/i.test(path)) return `A stored reference is given with --measure divergence --base ${path}.`;
  return takes;
}

/** The remedy for a file of questions without a card. */
export const questionsNeed =
  "put them into a folder DATA/NAME with a card.yaml, as datasets/demo-facts-en has one, and write --data-dir DATA --measure NAME.";

function fault(message: string, hint: string): BenchError {
  return new BenchError("config", message, { hint });
}
