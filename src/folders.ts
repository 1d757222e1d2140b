import fs from "node:fs";
import path from "node:path";
import { definite } from "./definite.js";
import { BenchError, messageOf, systemCode } from "./errors.js";

/**
 * Makes a folder and those above it; returns the outermost that was missing. Throws a BenchError if one cannot be made.
 * Node's own recursive mkdir loops for ever in /proc, where a folder that exists is reported as missing.
 */
export function makeFolder(folder: string, hint?: string): string | undefined {
  try {
    return make(folder);
  } catch (cause) {
    const why = messageOf(cause);
    throw new BenchError("folder", `the folder ${folder} cannot be made: ${why}`, {
      ...definite({ hint }),
      cause,
    });
  }
}

function make(folder: string): string | undefined {
  const missing: string[] = [];
  let there = path.resolve(folder);
  for (; !isThere(there); there = path.dirname(there)) missing.unshift(there);
  if (!fs.statSync(there).isDirectory()) {
    const shown = path.isAbsolute(folder) ? there : path.relative("", there);
    throw Object.assign(new Error(`${shown} is a file`), { code: "ENOTDIR", syscall: "mkdir", path: there });
  }
  for (const one of missing)
    try {
      fs.mkdirSync(one);
    } catch (error) {
      // Another process may have been faster.
      if (!fs.statSync(one, { throwIfNoEntry: false })?.isDirectory()) throw error;
    }
  return missing[0];
}

function isThere(place: string): boolean {
  try {
    return fs.statSync(place, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    // Under a file there is nothing.
    if (systemCode(error) === "ENOTDIR") return false;
    throw error;
  }
}

export async function isFile(path: string): Promise<boolean> {
  const stats = await fs.promises.stat(path).catch(() => undefined);
  return stats?.isFile() ?? false;
}

export async function isFolder(path: string): Promise<boolean> {
  const stats = await fs.promises.stat(path).catch(() => undefined);
  return stats?.isDirectory() ?? false;
}
