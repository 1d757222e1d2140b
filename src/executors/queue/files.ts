import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { BenchError } from "../../errors.js";
import { keptSha256 } from "../../models/cache.js";
import { cachedModels } from "../../models/cached.js";
import { readModelFacts } from "../../models/gguf.js";
import { isRemote, resolveModel } from "../../models/sources.js";
import { partNames, splitName } from "../../models/split.js";
import type { NamedFile } from "./messages.js";

/** Where a worker looks for files, and from where it fetches them. */
export interface FileSources {
  /** Folders, with all below them. */
  folders: readonly string[];
  /** How the addresses begin that files are fetched from: `https://huggingface.co/`, `hf:`. */
  allowed: readonly string[];
  signal?: AbortSignal;
}

/** Deeper than people put models. */
const deepest = 6;

/**
 * The file with these bytes, wherever it lies in the folders or in the cache and whatever it is called there; of a split model the
 * first part. Only files that are as large are read. Undefined where none has them.
 */
export async function findNamed(wanted: NamedFile, { folders }: FileSources): Promise<string | undefined> {
  const cached = (await cachedModels()).flatMap(({ kind, path }) => (kind === "partial" ? [] : path));
  const candidates: string[] = [];
  for (const path of [...cached, ...(await filesBelow(folders))])
    if ((await bytesOf(path, wanted.parts)) === wanted.bytes) candidates.push(path);
  // The same name first: reading a large file takes minutes.
  candidates.sort((a, b) => Number(b.endsWith(wanted.name)) - Number(a.endsWith(wanted.name)));
  for (const path of candidates) if (await isNamed(path, wanted)) return path;
  return undefined;
}

/** Whether these bytes lie there now. A file that has not changed is not read again. */
export const isNamed = async (path: string, { parts, sha256 }: NamedFile): Promise<boolean> =>
  (await digestOf(path, parts)) === sha256;

/** Fetches the file into the cache. Throws a BenchError where no address of it is allowed, or what comes is another file. */
export async function fetchNamed(wanted: NamedFile, sources: FileSources): Promise<string> {
  const [address] = allowedOf(wanted, sources);
  if (address === undefined) throw new BenchError("model-missing", `${wanted.name} is not here`);
  const { path } = await resolveModel(address, { baseDir: "/", ...(sources.signal ? { signal: sources.signal } : {}) });
  if (!(await isNamed(path, wanted)))
    throw new BenchError("model-download", `${address} holds another file than the run measures`);
  return path;
}

/** The addresses that the worker may fetch it from. */
export const allowedOf = ({ sources }: NamedFile, { allowed }: FileSources): string[] =>
  sources.filter((one) => isRemote(one) && !/^http:/i.test(one) && allowed.some((start) => one.startsWith(start)));

async function digestOf(path: string, parts: number): Promise<string | undefined> {
  try {
    return parts > 1 ? (await readModelFacts(path)).sha256 : await keptSha256(path);
  } catch {
    return undefined; // no model, or gone meanwhile
  }
}

/** Of all parts; undefined for what is no file, or has another number of parts. */
async function bytesOf(path: string, parts: number): Promise<number | undefined> {
  const split = splitName(path);
  if ((split?.count ?? 1) !== parts) return undefined;
  if (parts > 1 && split?.number !== 1) return undefined;
  const all = parts > 1 && split ? partNames(split) : [path];
  const sizes = await Promise.all(
    all.map((one) =>
      stat(one).then(
        (found) => (found.isFile() ? found.size : Number.NaN),
        () => Number.NaN,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function filesBelow(folders: readonly string[], depth = 0): Promise<string[]> {
  const found: string[] = [];
  for (const folder of folders)
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && depth < deepest) found.push(...(await filesBelow([path], depth + 1)));
      // A link leads where its owner put it, as a folder of models on another disk.
      else if (entry.isFile() || entry.isSymbolicLink()) found.push(path);
    }
  return found;
}
