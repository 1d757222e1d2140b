import { lstat, readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { BenchError } from "../errors.js";
import { isFile } from "../folders.js";
import { harmless } from "../harmless.js";
import { partNamed, splitName } from "./split.js";

/** Where files on this machine are looked for. */
export interface ModelFolders {
  /** Where relative paths start: the benchmark file's folder, or the working directory. */
  baseDir: string;
  /** `--models-dir`: looked into after `baseDir`. */
  modelsDir?: string;
}

/**
 * The file that a path means: absolute, or relative to the benchmark file, then to the models' folder; `.gguf` may be left
 * out; a split model by any part or by its stem is its first part. Throws a BenchError `model-missing`.
 */
export async function findFile(given: string, { baseDir, modelsDir }: ModelFolders): Promise<string> {
  const path = given.replace(/^~(?=\/)/, homedir());
  const places = isAbsolute(path) ? [path] : [resolve(baseDir, path), ...(modelsDir ? [resolve(modelsDir, path)] : [])];
  for (const place of places) {
    for (const candidate of [place, `${place}.gguf`]) if (await isFile(candidate)) return firstPart(candidate);
    const split = await splitStart(place.replace(/\.gguf$/, ""));
    if (split) return split;
  }
  const folder = await firstFolder(places);
  if (folder) {
    const models = (await ggufFiles(folder)).slice(0, 5);
    throw new BenchError("model-missing", `${folder} is a folder, not a model file.`, {
      hint: models.length > 0 ? `Name one of its models: ${models.join(", ")}.` : "It holds no .gguf file.",
    });
  }
  for (const place of places)
    if ((await lstat(place).catch(() => undefined))?.isSymbolicLink())
      throw new BenchError("model-missing", `${place} is a link to a file that is not there.`, {
        hint: "Mend the link, or name the file itself.",
      });
  throw new BenchError("model-missing", `There is no model ${places.join(" nor ")}.`, {
    hint: await suggestion(places),
  });
}

async function firstFolder(places: string[]): Promise<string | undefined> {
  for (const place of places) if ((await stat(place).catch(() => undefined))?.isDirectory()) return place;
  return undefined;
}

/** A split model is opened by its first part. A first part that is missing is the reader's to complain of. */
async function firstPart(path: string): Promise<string> {
  const split = splitName(path);
  if (!split) return path;
  const first = partNamed(split, 1);
  return (await isFile(first)) ? first : path;
}

async function splitStart(stem: string): Promise<string | undefined> {
  const parts = (await ggufFiles(dirname(stem))).filter((name) => splitName(name)?.stem === basename(stem));
  return parts.length > 0 ? join(dirname(stem), parts[0]!) : undefined;
}

async function ggufFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const models = entries.filter((entry) => entry.name.endsWith(".gguf") && !entry.isDirectory());
  return models.map(({ name }) => name).sort();
}

/** What there is where the model was looked for, names most alike first. */
async function suggestion(places: string[]): Promise<string> {
  const wanted = basename(places[0]!).replace(/\.gguf$/, "");
  const there: string[] = [];
  for (const folder of new Set(places.map(dirname))) {
    if (!(await firstFolder([folder]))) continue;
    there.push(...(await ggufFiles(folder)));
  }
  if (there.length === 0) return "No .gguf file is there; give the path, or the models' folder with --models-dir.";
  const alike = [...new Set(there)].sort((a, b) => likeness(b, wanted) - likeness(a, wanted));
  const meant = likeness(alike[0]!, wanted) >= 0.75 ? `Did you mean ${alike[0]}? ` : "";
  return `${meant}There: ${alike
    .slice(0, 4)
    .map((name) => harmless(name, { length: 60 }))
    .join(", ")}${alike.length > 4 ? ` and ${alike.length - 4} more` : ""}.`;
}

/** Share of pairs of neighbouring letters that two names have in common (Dice's coefficient). */
function likeness(a: string, b: string): number {
  const pairs = (name: string) => new Set(Array.from(name.slice(1), (_, i) => name.slice(i, i + 2).toLowerCase()));
  const [left, right] = [pairs(a.replace(/\.gguf$/, "")), pairs(b)];
  return (2 * [...left].filter((pair) => right.has(pair)).length) / (left.size + right.size || 1);
}
