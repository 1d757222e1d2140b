import { randomUUID } from "node:crypto";
import { linkSync, unlinkSync } from "node:fs";
import { readdir, readFile, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { BenchError } from "../../errors.js";
import { makeFolder } from "../../folders.js";
import { bytes as inUnits } from "../../units.js";
import { cacheDirectory, otherCache } from "../cache.js";
import { isRunning, thisProcess } from "../owner.js";
import type { Address, Version } from "./address.js";
import { sameVersion } from "./http.js";

/** After so long, in milliseconds, a partial file that nobody writes to belongs to nobody. */
const abandonedAfter = 300_000;

/** The record beside a file that came whole. */
export interface Came extends Version {
  bytes: number;
  /** Of the bytes that came. */
  sha256: string;
  /** The server's address, without secrets. */
  from: string;
}

/** The version of a file that was fetched whole; undefined if the file is missing or was changed since. */
export async function fetchedVersion(target: string): Promise<Version | undefined> {
  const version = await readVersion(target);
  const stats = await stat(target).catch(() => undefined);
  return version && stats?.isFile() && stats.size === version.bytes ? version : undefined;
}

/** The address that a file in the cache came from; undefined where no record says so. */
export async function fetchedFrom(target: string): Promise<string | undefined> {
  const { from }: Partial<Came> = (await readVersion(target)) ?? {};
  return typeof from === "string" ? from : undefined;
}

export async function readVersion(file: string): Promise<Version | undefined> {
  try {
    const read = JSON.parse(await readFile(`${file}.json`, "utf8"));
    return typeof read === "object" && read !== null ? read : undefined;
  } catch {
    return undefined;
  }
}

/** Does something with files; what the disk refuses is told with the folder that the user can change. */
export async function onDisk<Result>(address: Address, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (cause instanceof BenchError || !code) throw cause;
    throw /ENOSPC|EDQUOT/.test(code) ? noRoom(address, cause) : unwritable(address, code, cause);
  }
}

const folderHint = `or ${otherCache}.`;

function noRoom(address: Address, cause?: unknown, need?: string): BenchError {
  return new BenchError(
    "disk",
    `${address.shown} could not be fetched: no room in the cache ${cacheDirectory()}${need ?? ""}`,
    {
      hint: `Make room, ${folderHint}`,
      cause,
    },
  );
}

function unwritable(address: Address, code: string, cause: unknown): BenchError {
  return new BenchError(
    "disk",
    `${address.shown} could not be fetched: the cache ${cacheDirectory()} cannot be written to (${code})`,
    { hint: `Mend its rights, ${folderHint}`, cause },
  );
}

/** Throws before a disk is filled by a file that has no room on it. */
export async function checkRoom(address: Address, part: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(dirname(part));
  // Some network file systems do not say.
  if (blocks === 0) return;
  if (bytes > bavail * bsize)
    throw noRoom(address, undefined, `: ${inUnits(bytes)} are to come, ${inUnits(bavail * bsize)} are free`);
}

const unowned = "0-0";

/**
 * A partial file that belongs to this process alone: one that nobody writes to any more, or a new one. Taking is a rename,
 * which one process wins; so no lock is needed, and processes that fetch the same file at once do so side by side.
 */
export async function claimPart(target: string): Promise<string> {
  makeFolder(dirname(target), otherCache);
  const own = partName(target, thisProcess);
  for (const name of await readdir(dirname(target))) {
    const [, owner] = name.slice(basename(target).length).match(/^\.(\w+-\d+)-[0-9a-f]+\.part$/) ?? [];
    if (!name.startsWith(basename(target)) || !owner) continue;
    const found = join(dirname(target), name);
    if (!(await isAbandoned(found, owner))) continue;
    try {
      await rename(found, own);
    } catch {
      continue; // another process was faster
    }
    await rename(`${found}.json`, `${own}.json`).catch(() => {});
    break; // further ones wait for the next try
  }
  return own;
}

function partName(target: string, owner: string): string {
  return `${target}.${owner}-${randomUUID().slice(0, 8)}.part`;
}

async function isAbandoned(part: string, owner: string): Promise<boolean> {
  const { mtimeMs } = await stat(part).catch(() => ({ mtimeMs: Date.now() }));
  if (owner === unowned || Date.now() - mtimeMs > abandonedAfter) return true;
  return isRunning(owner) === false;
}

/** Leaves a partial file to whoever comes next. */
export async function release(part: string, target: string): Promise<void> {
  const free = partName(target, unowned);
  // The part last: whoever takes it finds what belongs to it.
  await rename(`${part}.json`, `${free}.json`).catch(() => {});
  await rename(part, free).catch(() => {});
}

/**
 * Puts a checked file into its place. What is known of it comes first, so that no file stands there without. A link takes no
 * place that is taken: another process may have put the same file there meanwhile, and read it, which a rename would pull away.
 */
export async function settle(part: string, target: string): Promise<void> {
  const before = await stat(target).catch(() => undefined);
  const [there, version] = [await fetchedVersion(target), await readVersion(part)];
  if (before && there && version && sameVersion(there, version)) return;
  if (before) await rm(target);
  await rename(`${part}.json`, `${target}.json`);
  try {
    // At once, for the second call changes the file's identity.
    linkSync(part, target);
    unlinkSync(part);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Not every file system knows links.
    if (code !== "EEXIST") await rename(part, target);
  }
}
