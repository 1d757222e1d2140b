import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BenchError, messageOf, systemCode, writeRemedy } from "../errors.js";

/**
 * A file that names its owner: two writers would mix their events. It is stale, and taken over, once that process is gone,
 * so that a killed run can go on at once.
 */
export function takeLock(folder: string): string {
  const lock = path.join(folder, "lock");
  const own = `${lock}.${randomBytes(6).toString("hex")}`;
  try {
    const owner: Owner = { pid: process.pid, started: processStart(process.pid), host: os.hostname() };
    try {
      fs.writeFileSync(own, JSON.stringify(owner));
    } catch (cause) {
      throw new BenchError("folder", `the run's folder ${folder} cannot be written to: ${messageOf(cause)}`, {
        hint: `${writeRemedy(cause)}, or name another folder with --out`,
        cause,
      });
    }
    for (let tries = 0; tries < 5; tries++) {
      if (claim(lock, own)) return lock;
      const owner = readLock(lock);
      if (isHeld(owner)) {
        const elsewhere = owner.host !== os.hostname();
        throw new BenchError(
          "run-locked",
          `another process (${owner.pid} on ${owner.host}) is measuring into ${folder}`,
          {
            hint: elsewhere
              ? `if nothing runs on ${owner.host} any more, remove ${lock}; else wait, or name another folder with --out`
              : "wait for it, stop it, or name another folder with --out",
          },
        );
      }
      clearStale(lock, own);
    }
    throw new BenchError("run-locked", `${folder} is being opened by several processes at once`, {
      hint: `try again; if that does not help, remove ${lock} and ${lock}.clearing`,
    });
  } finally {
    fs.rmSync(own, { force: true });
  }
}

/** Gives a file the lock's name, unless there is one: the only step that must be atomic. */
function claim(lock: string, own: string): boolean {
  try {
    fs.linkSync(own, lock);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
  }
  // A file system without links.
  try {
    fs.writeFileSync(lock, fs.readFileSync(own), { flag: "wx" });
    return true;
  } catch (cause) {
    if (systemCode(cause) === "EEXIST") return false;
    throw new BenchError("folder", `${lock} cannot be made: ${messageOf(cause)}`, {
      hint: "name another folder with --out",
      cause,
    });
  }
}

/**
 * Removes a lock that nobody holds. A second lock file lets only one process do so at a time. It reads the lock again first, for
 * another process may have cleared it and locked anew meanwhile: a lock that is held must never disappear.
 */
function clearStale(lock: string, own: string): void {
  const clearing = `${lock}.clearing`;
  if (!claim(clearing, own)) {
    const other = readLock(clearing);
    if (other && !isHeld(other)) fs.rmSync(clearing, { force: true }); // killed while it cleared
    return;
  }
  try {
    const owner = readLock(lock);
    // If the lock is gone, another process may take it at any moment.
    if (owner && !isHeld(owner)) fs.rmSync(lock, { force: true });
  } finally {
    fs.rmSync(clearing, { force: true });
  }
}

interface Owner {
  pid: number;
  started: string;
  host: string;
}

/** Undefined if there is none; `damaged` if it names no process: it was never written to its end, or not by us. */
function readLock(lock: string): Owner | "damaged" | undefined {
  // A link that leads nowhere counts as a lock.
  const stats = fs.lstatSync(lock, { throwIfNoEntry: false });
  if (!stats) return undefined;
  if (stats.isDirectory())
    throw new BenchError("run-locked", `${lock} is a folder where the lock of the run should be`, {
      hint: "remove it, or name another folder with --out",
    });
  try {
    const owner: Partial<Owner> | null = JSON.parse(fs.readFileSync(lock, "utf8"));
    const { pid, started, host } = owner ?? {};
    if (Number.isSafeInteger(pid) && pid! > 0 && typeof started === "string" && typeof host === "string")
      return { pid: pid!, started, host };
  } catch (error) {
    // Removed since it was looked at.
    if (systemCode(error) === "ENOENT" && !stats.isSymbolicLink()) return undefined;
  }
  return "damaged";
}

const isHeld = (owner: ReturnType<typeof readLock>): owner is Owner => owner instanceof Object && isRunning(owner);

function isRunning({ pid, started, host }: Owner): boolean {
  if (host !== os.hostname()) return true; // cannot know: a shared folder
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemCode(error) === "ESRCH") return false;
  }
  return processStart(pid) === started;
}

/** When a process began, so that a number given to another process later is not taken for the owner. */
function processStart(pid: number): string {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    // The 22nd field, counted after the name, which may hold blanks and parentheses; the third is Z for a dead one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "dead" : (fields[19] ?? "");
  } catch {
    return "";
  }
}

/** Lets others write. One that cannot be removed (a disk that became read-only) is stale once this process is gone. */
export function releaseLock(lock: string): void {
  try {
    fs.rmSync(lock, { force: true });
  } catch {
    // What made it so has been told.
  }
}

/** Whether a process has a run's folder open for writing. */
export function isLocked(folder: string): boolean {
  try {
    return isHeld(readLock(path.join(folder, "lock")));
  } catch {
    return false;
  }
}

/** Whether the last process that wrote into a run's folder ended without a word: it was killed, or the power went. */
export function isAbandoned(folder: string): boolean {
  const lock = path.join(folder, "lock");
  try {
    return !fs.lstatSync(lock).isDirectory() && !isHeld(readLock(lock));
  } catch {
    return false;
  }
}
