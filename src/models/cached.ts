import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError, messageOf } from "../errors.js";
import { cacheDirectory, isKeeping, keptDigest } from "./cache.js";
import { fetchedFrom, fetchedVersion } from "./download/index.js";
import { isRunning, thisProcess } from "./owner.js";
import { quantizedFolder } from "./quantize.js";
import { modelsFolder } from "./remote.js";

/** A model that is kept in the user's cache: a download, whole or not, or a quantization that was made here. */
export interface CachedModel {
  kind: "download" | "partial" | "quantization";
  /** The file's name; of a split model that of the first part. */
  name: string;
  /** The folder that it has for itself. */
  folder: string;
  /** The file to measure; of a split model the first. */
  path: string;
  /** Of all its files. */
  bytes: number;
  /** Milliseconds since the epoch: when a command last asked for it, or when it came. */
  usedAt: number;
  /** The address that it came from, without secrets. */
  from?: string;
  /** Of the file's bytes, where they were read before; of a split model, of its parts' digests joined. */
  sha256?: string;
  /** Why it must stay: a phrase. */
  inUse?: string;
}

/** After so long, in milliseconds, a process of another machine is no longer thought to use a file. */
const foreignUse = 86_400_000;
const mark = /^\.used-(\w+-\d+)$/;

/** Notes beside a file of the cache that this process uses it, for `cachedModels`; nothing for other files. */
export async function markUsed(path: string): Promise<void> {
  if (!isKeeping() || ![modelsFolder(), quantizedFolder()].some((root) => path.startsWith(root + sep))) return;
  const folder = dirname(path);
  // A cache that cannot be written serves all the same.
  await writeFile(join(folder, `.used-${thisProcess}`), "").catch(() => {});
  for (const name of await readdir(folder).catch(() => [])) {
    const owner = name.match(mark)?.[1];
    if (owner !== undefined && isRunning(owner) === false)
      await rm(join(folder, name), { force: true }).catch(() => {});
  }
}

/** All models of the cache, the least recently used first. */
export async function cachedModels(): Promise<CachedModel[]> {
  const found: CachedModel[] = [];
  for (const host of await foldersIn(modelsFolder()))
    for (const folder of await foldersIn(host)) found.push(...(await modelIn(folder, "download")));
  for (const folder of await foldersIn(quantizedFolder())) found.push(...(await modelIn(folder, "quantization")));
  return found.sort((a, b) => a.usedAt - b.usedAt);
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

async function modelIn(folder: string, kind: "download" | "quantization"): Promise<CachedModel[]> {
  const names = (await readdir(folder)).sort();
  const stats = new Map<string, { size: number; mtimeMs: number }>();
  for (const name of names) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) stats.set(name, found);
  }
  const marks = names.filter((name) => mark.test(name));
  const files = [...stats.keys()].filter((name) => !mark.test(name) && !/\.(json|sha256)$/.test(name));
  const whole = files.filter((name) => !name.endsWith(".part"));
  if (files.length === 0) return [];
  const path = join(folder, whole[0] ?? files[0]!);
  const at = (name: string) => stats.get(name)?.mtimeMs ?? 0;
  const digests = await Promise.all(
    whole.map(async (name) => (await fetchedVersion(join(folder, name)))?.sha256 ?? keptDigest(join(folder, name))),
  );
  const known = digests.filter((digest) => digest !== undefined);
  const digest = known.length < whole.length ? undefined : known.length === 1 ? known[0] : sha256(known.join(""));
  return [
    definite({
      kind: whole.length > 0 ? kind : ("partial" as const),
      // host-pid-uuid.part
      name: basename(path).replace(/\.\w+-\d+-[0-9a-f]+\.part$/, ""),
      folder,
      path,
      bytes: [...stats].reduce((sum, [, { size }]) => sum + size, 0),
      usedAt: Math.max(...files.map(at), ...marks.map(at)),
      from: await fetchedFrom(path),
      sha256: whole.length > 0 ? digest : undefined,
      inUse: usedBy(marks, at) ?? writtenBy(files, at),
    }),
  ];
}

function usedBy(marks: string[], at: (name: string) => number): string | undefined {
  for (const name of marks) {
    const [, owner = ""] = name.match(mark) ?? [];
    const running = isRunning(owner) ?? Math.abs(Date.now() - at(name)) < foreignUse;
    if (running && owner !== thisProcess) return `in use by process ${owner.split("-")[1]}`;
  }
  return undefined;
}

/** After so long without a change, in milliseconds, a file that no process is named in is not being made any more. */
const stillMade = 300_000;

function writtenBy(files: string[], at: (name: string) => number): string | undefined {
  for (const name of files.filter((one) => one.endsWith(".part"))) {
    const [, owner] = name.match(/\.(\w+-\d+)-[0-9a-f]+\.part$/) ?? [];
    if (owner !== undefined && isRunning(owner)) return `being fetched by process ${owner.split("-")[1]}`;
    if (owner === undefined && Math.abs(Date.now() - at(name)) < stillMade) return "being made";
  }
  return undefined;
}

/** Which models go: those not used for so long, and of the rest the least recently used, until they take no more than `keep`. */
export function superfluous(
  models: readonly CachedModel[],
  { unusedFor, keep, now = Date.now() }: { unusedFor?: number; keep?: number; now?: number },
): CachedModel[] {
  const going = new Set(models.filter(({ usedAt }) => unusedFor !== undefined && now - usedAt > unusedFor));
  let left = models.reduce((sum, model) => sum + (going.has(model) ? 0 : model.bytes), 0);
  for (const model of models) {
    if (keep === undefined || left <= keep) break;
    if (going.has(model) || model.inUse) continue;
    going.add(model);
    left -= model.bytes;
  }
  return [...going];
}

/** Removes models; returns those that stay, because a process has them in use, each with the reason. */
export async function removeModels(models: readonly CachedModel[]): Promise<CachedModel[]> {
  const open = openFiles(cacheDirectory());
  const staying: CachedModel[] = [];
  for (const model of models) {
    const user = [...open].find(([path]) => path.startsWith(model.folder + sep))?.[1];
    const inUse = model.inUse ?? (user === undefined ? undefined : `open in process ${user}`);
    if (inUse) staying.push({ ...model, inUse });
    else
      await rm(model.folder, { recursive: true, force: true }).catch((cause) => {
        throw new BenchError("disk", `${model.folder} cannot be removed: ${messageOf(cause)}`, {
          hint: "check that you may write there",
          cause,
        });
      });
  }
  return staying;
}

/** Files below a folder that processes have open or mapped, by path, where the system tells (Linux). */
function openFiles(folder: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of listed("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    if (pid === process.pid) continue;
    for (const fd of listed(`/proc/${pid}/fd`)) {
      const path = tried(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
      if (path?.startsWith(folder + sep)) found.set(path, pid);
    }
    for (const line of tried(() => readFileSync(`/proc/${pid}/maps`, "utf8"))?.split("\n") ?? []) {
      const path = line.slice(line.indexOf("/"));
      if (path.startsWith(folder + sep)) found.set(path, pid);
    }
  }
  return found;
}

const listed = (folder: string) => tried(() => readdirSync(folder)) ?? [];

function tried<Result>(action: () => Result): Result | undefined {
  try {
    return action();
  } catch {
    return undefined; // Another user's process, or one that has ended.
  }
}
