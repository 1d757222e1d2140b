import { readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { BenchError } from "../errors.js";
import { cacheDirectory } from "./cache.js";

export interface SourceFolders {
  /** Where relative paths start: the benchmark file's folder, or the working directory. */
  baseDir: string;
  /** `--models-dir`: looked into after `baseDir`. */
  modelsDir?: string;
  /** Told of a download's bytes; most of the time nothing is downloaded. */
  progress?: (downloaded: number, total: number) => void;
}

/** Schemes that the benchmark files of this project will know; named so that nobody looks for a folder `ms:`. */
const LATER = ["ms", "wisemodel", "ollama"];

/**
 * The file that a model string means: a path (absolute, or relative to the benchmark file, then to the models' folder;
 * `.gguf` may be left out; a split model by any part or by its stem), `hf:owner/repo:quant`, `hf:owner/repo/file.gguf`
 * or `https://…`, both downloaded into the user's cache once. A split model resolves to its first part.
 *
 * Throws a BenchError: `model-missing`, `model-source` (a scheme that is not known) or `model-download`.
 */
export async function resolveModel(model: string, folders: SourceFolders): Promise<{ path: string }> {
  const scheme = model.match(/^([a-z][a-z0-9+.-]+):/i)?.[1]?.toLowerCase();
  if (scheme === "hf" || scheme === "huggingface" || scheme === "https" || scheme === "http")
    return { path: await download(model, folders.progress) };
  if (scheme && LATER.includes(scheme))
    throw new BenchError("model-source", `"${model}": models from ${scheme}: cannot be fetched yet.`, {
      hint: "Download the GGUF file and give its path, or use hf:owner/repo:quant or https://…",
    });
  if (scheme && scheme !== "file")
    throw new BenchError("model-source", `"${model}": no source of models is named ${scheme}:.`, {
      hint: "A model is a path, hf:owner/repo:quant, hf:owner/repo/file.gguf or https://…",
    });
  return { path: await find(scheme === "file" ? model.replace(/^file:(\/\/)?/, "") : model, folders) };
}

async function find(given: string, { baseDir, modelsDir }: SourceFolders): Promise<string> {
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
  throw new BenchError("model-missing", `There is no model ${places.join(" nor ")}.`, {
    hint: await suggestion(places),
  });
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

async function firstFolder(places: string[]): Promise<string | undefined> {
  for (const place of places) if ((await stat(place).catch(() => undefined))?.isDirectory()) return place;
  return undefined;
}

const PART = /-\d{5}-of-(\d{5})\.gguf$/;

/** A split model is opened by its first part. A first part that is missing is the reader's to complain of. */
async function firstPart(path: string): Promise<string> {
  const first = path.replace(PART, "-00001-of-$1.gguf");
  return (await isFile(first)) ? first : path;
}

async function splitStart(stem: string): Promise<string | undefined> {
  const parts = (await ggufFiles(dirname(stem))).filter(
    (name) => name.startsWith(`${basename(stem)}-`) && PART.test(name) && name.replace(PART, "") === basename(stem),
  );
  return parts.length > 0 ? join(dirname(stem), parts[0]!) : undefined;
}

async function ggufFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith(".gguf")).sort();
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
  return `There: ${alike.slice(0, 4).join(", ")}${alike.length > 4 ? ` and ${alike.length - 4} more` : ""}.`;
}

/** Share of pairs of neighbouring letters that two names have in common (Dice's coefficient). */
function likeness(a: string, b: string): number {
  const pairs = (name: string) => new Set(Array.from(name.slice(1), (_, i) => name.slice(i, i + 2).toLowerCase()));
  const [left, right] = [pairs(a.replace(/\.gguf$/, "")), pairs(b)];
  return (2 * [...left].filter((pair) => right.has(pair)).length) / (left.size + right.size || 1);
}

// A server that sends nothing for so long is given up; the downloader itself would try for hours.
const PATIENCE = 60_000;

async function download(uri: string, progress: SourceFolders["progress"]): Promise<string> {
  const { resolveModelFile } = await import("node-llama-cpp");
  const directory = join(cacheDirectory(), "models");
  const cached = await resolveModelFile(uri, { directory, cli: false, download: false }).catch(() => undefined);
  if (cached) return cached;

  const silence = new AbortController();
  let timer = setTimeout(() => {}, 0);
  const givenUp = new Promise<never>((_, reject) => {
    silence.signal.addEventListener("abort", () => reject(silence.signal.reason), { once: true });
  });
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error(`nothing came for ${PATIENCE / 1000} s`)), PATIENCE);
  };
  try {
    heard();
    await fetch(server(uri), { method: "HEAD", signal: silence.signal });
    const fetched = resolveModelFile(uri, {
      directory,
      cli: false,
      signal: silence.signal,
      // What has come is kept: the next try goes on from there.
      deleteTempFileOnCancel: false,
      onProgress: ({ downloadedSize, totalSize }) => {
        heard();
        progress?.(downloadedSize, totalSize);
      },
    });
    return await Promise.race([fetched, givenUp]);
  } catch (cause) {
    const said = deepest(cause).replace(/\s+/g, " ").replace(/\.$/, "");
    const reason = UNREACHABLE.test(said) ? "its server cannot be reached" : said;
    throw new BenchError("model-download", `${uri} could not be fetched: ${reason}.`, {
      hint: "Check the name and the network, or download the file and give its path.",
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** The address that tells whether there is a network at all. */
function server(uri: string): string {
  if (/^https?:/i.test(uri)) return uri;
  return process.env.MODEL_ENDPOINT || process.env.HF_ENDPOINT || "https://huggingface.co/";
}

const UNREACHABLE = /fetch failed|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|ETIMEDOUT|bad port/;

/** The innermost cause says what happened: "fetch failed" says nothing. */
function deepest(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return deepest(error.cause);
  if (error instanceof AggregateError && error.errors.length > 0) return deepest(error.errors[0]);
  return error.message;
}
