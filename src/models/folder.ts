import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { BenchError } from "../errors.js";
import { byNumber } from "../units.js";

/** One model of several that a user named, and sentences about files that were left out. */
interface NamedModels {
  /** As given, folders and patterns unfolded, a split model once, by its first part. */
  models: string[];
  notes: string[];
}

const PART = /-\d{5}-of-(\d{5})\.gguf$/i;

/**
 * The models that paths, folders, patterns (`*.gguf`, for shells that leave them as they are) and addresses name. Files
 * that only accompany a model (importance matrices, adapters, vision projectors) are left out beside models, and said.
 *
 * Throws a BenchError with code `config` for a folder or a pattern without any model.
 */
export async function namedModels(named: string[], { modelsDir }: { modelsDir?: string } = {}): Promise<NamedModels> {
  if (named.some((one) => one.trim() === ""))
    throw new BenchError("config", "A model without a name is given.", {
      hint: "A variable of the shell may be empty; name a GGUF file or a folder of them.",
    });
  const unfolded: string[] = [];
  for (const one of named) unfolded.push(...(await unfold(one, modelsDir, named.length > 1)));
  const whole = unfolded.map((path) => path.replace(PART, "-00001-of-$1.gguf"));
  // Parts of one model are one model; a model that is named twice is for the caller to refuse.
  const once = whole.filter((path, index) => !PART.test(path) || whole.indexOf(path) === index);
  const roles = await Promise.all(once.map((path) => companion(path, modelsDir)));
  const models = once.filter((_, index) => roles[index] === undefined);
  if (models.length > 0)
    return {
      models,
      notes: once.flatMap((path, index) => (roles[index] ? [`left out: ${path}, ${roles[index]}`] : [])),
    };
  const folder = named.find((one) => !once.includes(one));
  if (folder !== undefined && once.length > 0)
    throw new BenchError("config", `${folder} holds no model: ${basename(once[0]!)} is ${roles[0]}`, {
      hint: "Name a GGUF model, or a folder of them.",
    });
  return { models: once, notes: [] };
}

/** True for what is looked up elsewhere than among files: `hf:owner/repo:quant`, `https://…`, `mock:…`. */
export function isAddress(model: string): boolean {
  return /^[a-z][a-z0-9+.-]+:/i.test(model);
}

/** The places where a relative path may be: the working directory, then the models' folder. */
function placesOf(path: string, modelsDir: string | undefined): string[] {
  return [path, ...(modelsDir === undefined ? [] : [resolve(modelsDir, path)])];
}

/** `among`: it is one of several, and a folder without models is one variant that cannot be read. */
async function unfold(named: string, modelsDir: string | undefined, among: boolean): Promise<string[]> {
  if (isAddress(named)) return [named];
  for (const place of placesOf(named, modelsDir)) {
    const stats = await stat(place).catch(() => undefined);
    if (stats?.isFile()) return [named];
    if (!stats?.isDirectory()) continue;
    const entries = await readdir(place);
    const models = entries.filter((name) => /\.gguf$/i.test(name)).sort(byNumber);
    if (models.length > 0) return models.map((name) => join(place, name));
    if (among) return [named];
    const inner = await firstWithModels(entries.map((name) => join(place, name)));
    throw new BenchError("config", `${named} holds no .gguf file.`, {
      hint: inner ? `Name the folder itself: ${inner}.` : "Name a GGUF model, or a folder of them.",
    });
  }
  const pattern = basename(named);
  if (!/[*?]/.test(pattern)) return [named];
  const wanted = new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  );
  for (const place of placesOf(dirname(named), modelsDir)) {
    const names = (await readdir(place).catch(() => [] as string[])).filter(
      (name) => wanted.test(name) && /\.gguf$/i.test(name),
    );
    if (names.length > 0) return names.sort(byNumber).map((name) => join(place, name));
  }
  throw new BenchError("config", `No model file is like ${named}.`, {
    hint: "Name models by their paths, or their folder.",
  });
}

async function firstWithModels(folders: string[]): Promise<string | undefined> {
  for (const folder of folders)
    if ((await readdir(folder).catch(() => [] as string[])).some((name) => /\.gguf$/i.test(name))) return folder;
  return undefined;
}

/** The kind of a GGUF file that only accompanies models, by its own header; undefined for models. */
async function companion(path: string, modelsDir: string | undefined): Promise<string | undefined> {
  if (isAddress(path)) return undefined;
  for (const place of placesOf(path, modelsDir)) {
    const head = await headOf(place);
    if (!head?.subarray(0, 4).equals(Buffer.from("GGUF"))) continue;
    const type = textAfter(head, "general.type");
    if (type === "imatrix") return "an importance matrix";
    if (type === "adapter" || textAfter(head, "adapter.type") !== undefined)
      return "an adapter (it goes into a benchmark file: `lora:`)";
    if (type === "mmproj" || textAfter(head, "general.architecture") === "clip") return "a vision projector";
    return undefined;
  }
  return undefined;
}

/** True where a file begins as a GGUF does, whatever its name. */
export async function beginsAsGguf(path: string): Promise<boolean> {
  return (await headOf(path, 4))?.toString("latin1") === "GGUF";
}

/** llama.cpp writes the general keys first; the vocabulary's megabytes come later. */
async function headOf(path: string, length = 65_536): Promise<Buffer | undefined> {
  // A pipe would keep its reader waiting.
  if (!(await stat(path).catch(() => undefined))?.isFile()) return undefined;
  const file = await open(path).catch(() => undefined);
  if (!file) return undefined;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}

/** The value of a text key: its name, type 8 in 32 bits, the length in 64 bits, the text. */
function textAfter(head: Buffer, key: string): string | undefined {
  const start = Buffer.alloc(8 + key.length + 4);
  start.writeBigUInt64LE(BigInt(key.length), 0);
  start.write(key, 8, "latin1");
  start.writeUInt32LE(8, 8 + key.length);
  const at = head.indexOf(start);
  const from = at + start.length;
  if (at < 0 || from + 8 > head.length) return undefined;
  const length = Number(head.readBigUInt64LE(from));
  return length > 64 ? undefined : head.toString("utf8", from + 8, from + 8 + length);
}
