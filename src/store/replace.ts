import fs from "node:fs";
import path from "node:path";
import type { StoredEvent } from "../events.js";
import { makeFolder } from "../folders.js";
import { unwritable, writeAll } from "./files.js";
import { isAbandoned, releaseLock, takeLock } from "./lock.js";
import { checkedEvents, repair, unreadable } from "./reading.js";
import { syncFolder, type TokenEnds, TokenWriter, type UnkeptEvent } from "./tokens.js";

/**
 * Puts other events in the place of those of a run's folder, which is made if it is missing. `next` is given what is there, reads
 * it to its end before it returns, and gives what is to be there; a sample of it has its values per token, or has them where they are. New values go behind those that
 * are there, and the events get their name when all is on the disk: whenever the process ends, the folder holds the old run or
 * the new one. Throws when another process has it open.
 */
export function replaceEvents(folder: string, next: (there: Iterable<StoredEvent>) => Iterable<UnkeptEvent>): void {
  const isNew = !fs.existsSync(folder);
  makeFolder(path.join(folder, "tokens"), "name another one with --out");
  const abandoned = isAbandoned(folder);
  const lock = lockOf(folder, isNew);
  const file = path.join(folder, "events.jsonl");
  // Under the lock it is nobody else's; what a kill left is written over.
  const draft = `${file}.new`;
  try {
    repair(folder);
    let ends: TokenEnds = new Map();
    const there = function* (): Generator<StoredEvent> {
      if (fs.existsSync(file)) ({ ends } = yield* checkedEvents(folder, abandoned));
    };
    const events = next(there());
    const tokens = new TokenWriter(folder, ends);
    try {
      writeEvents(draft, events, tokens);
      tokens.sync();
      fs.renameSync(draft, file);
      syncFolder(folder);
    } finally {
      tokens.close();
    }
  } catch (error) {
    if (isNew) forget(folder);
    else forget(draft);
    throw unreadable(error, file);
  } finally {
    releaseLock(lock);
  }
}

/** Where it cannot be written, folders that were made for the run go; never what another process has put into them. */
function lockOf(folder: string, isNew: boolean): string {
  try {
    return takeLock(folder);
  } catch (error) {
    if (isNew)
      try {
        for (const empty of [path.join(folder, "tokens"), folder]) fs.rmdirSync(empty);
      } catch {
        // They stay, empty or another's.
      }
    throw error;
  }
}

/** What could not be finished; a disk that lets nothing be removed hides no other fault. */
function forget(place: string): void {
  try {
    fs.rmSync(place, { recursive: true, force: true });
  } catch {
    // It stays: the next one writes over it.
  }
}

function writeEvents(file: string, events: Iterable<UnkeptEvent>, tokens: TokenWriter): void {
  const open = fs.openSync(file, "w");
  try {
    for (const event of events) {
      const line = Buffer.from(`${JSON.stringify(tokens.keep(event))}\n`);
      try {
        writeAll(open, line);
      } catch (cause) {
        throw unwritable(file, cause);
      }
    }
    fs.fdatasyncSync(open);
  } finally {
    fs.closeSync(open);
  }
}
