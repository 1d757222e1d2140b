import fs from "node:fs";
import path from "node:path";
import { BenchError } from "../errors.js";
import type { Event, StoredEvent } from "../events.js";
import { makeFolder } from "../folders.js";
import { cutBack, unwritable, writeAll } from "./files.js";
import { isAbandoned, releaseLock, takeLock } from "./lock.js";
import { checkedEvents, repair, unreadable } from "./reading.js";
import { syncFolder, TokenWriter } from "./tokens.js";

export { AnswerKeys, differing, differingScore } from "./consistency.js";
export { isLocked } from "./lock.js";
export { Follower, readEvents } from "./reading.js";
export { replaceEvents } from "./replace.js";
export { allTokens, readTokens, type UnkeptEvent } from "./tokens.js";
export { writeWhole } from "./whole.js";

/** Milliseconds after which writes are synced, all of them together. */
const group = 50;

/**
 * The folder of a run: `events.jsonl`, one event a line, and `tokens/<job>.<name>.bin` beside it.
 *
 * `append` writes before it returns, the per-token values of an item before its event. If the process is killed, the file has
 * whole events and at most a torn last line, and token files are at most too long.
 *
 * A sync takes milliseconds. It is done at once if the last one is more than 50 ms ago, else for all writes of these 50 ms together:
 * token files first, then the events. A loss of power loses these at most; until the sync the disk may hold any part of
 * them: an event without its values, or a hole between two events. Therefore the first line after each sync ends in a blank, which
 * says that all lines before it, and their values, are on the disk. If the last writer did not end properly, readers check all
 * from the last such line on, values included, and end before the first event that is not whole.
 */
export class Store {
  readonly #events: number;
  readonly #file: string;
  readonly #tokens: TokenWriter;
  readonly #lock: string;
  #size: number;
  /** Whether something was written since the last sync, and when that was, in milliseconds. */
  #isDirty = false;
  #syncedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #failure: BenchError | undefined;

  private constructor(
    readonly folder: string,
    tokens: TokenWriter,
    lock: string,
  ) {
    this.#lock = lock;
    this.#tokens = tokens;
    this.#file = path.join(folder, "events.jsonl");
    this.#events = fs.openSync(this.#file, "a");
    this.#size = fs.fstatSync(this.#events).size;
    fs.fsyncSync(this.#events);
    syncFolder(folder);
  }

  /**
   * Opens or makes a run's folder for writing, mends what a kill left torn, and tells `each` of all that is stored, of all
   * sessions. Throws when another process has it open.
   */
  static open(folder: string, each: (event: StoredEvent) => void = () => {}): Store {
    makeFolder(path.join(folder, "tokens"), "name another one with --out");
    const abandoned = isAbandoned(folder);
    const lock = takeLock(folder);
    const file = path.join(folder, "events.jsonl");
    try {
      repair(folder);
      const events = checkedEvents(folder, abandoned);
      let next = events.next();
      for (; !next.done; next = events.next()) each(next.value);
      const { end, ends } = next.value;
      const tokens = new TokenWriter(folder, ends);
      if (abandoned) {
        if (fs.existsSync(file)) fs.truncateSync(file, end);
        tokens.syncAll();
      }
      return new Store(folder, tokens, lock);
    } catch (error) {
      releaseLock(lock);
      throw unreadable(error, file);
    }
  }

  /** Writes an event and returns it as it is kept; undefined for an event that is only shown. */
  append(event: Event): StoredEvent | undefined {
    if (event.type === "progress" || event.type === "fetching" || event.type === "quantizing") return undefined;
    if (this.#failure) throw this.#failure;
    this.#checkPlace();
    const isFirst = !this.#isDirty;
    this.#isDirty = true;
    const stored = this.#tokens.keep(event);
    const line = Buffer.from(`${JSON.stringify(stored)}${isFirst ? " " : ""}\n`);
    try {
      writeAll(this.#events, line);
    } catch (cause) {
      // Half a line would make the next one unreadable.
      cutBack(this.#events, this.#size);
      throw unwritable(this.#file, cause);
    }
    this.#size += line.length;
    this.#syncSoon();
    return stored;
  }

  #syncSoon(): void {
    const pause = this.#syncedAt + group - performance.now();
    if (pause <= 0) {
      this.#sync();
      if (this.#failure) throw this.#failure;
    } else if (!this.#timer) this.#timer = setTimeout(() => this.#sync(), pause);
  }

  #sync(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isDirty) return;
    try {
      this.#tokens.sync();
      fs.fdatasyncSync(this.#events);
      this.#isDirty = false;
    } catch (cause) {
      this.#failure = unwritable(this.#file, cause);
    }
    this.#syncedAt = performance.now();
  }

  /** An open file takes writes even after its folder was moved or removed: then they would be lost. */
  #checkPlace(): void {
    if (this.isInPlace()) return;
    throw new BenchError("run-moved", `the run's folder ${this.folder} was moved or deleted during the run`, {
      hint: "put it back, or name the place where it is with --out: the same command then goes on",
    });
  }

  /** Whether the open file is still the one in the run's folder. */
  isInPlace(): boolean {
    const [open, named] = [fs.fstatSync(this.#events), fs.statSync(this.#file, { throwIfNoEntry: false })];
    return named !== undefined && named.ino === open.ino && named.dev === open.dev;
  }

  /** Syncs what is left, and lets others write. */
  close(): void {
    this.#sync();
    fs.closeSync(this.#events);
    this.#tokens.close();
    releaseLock(this.#lock);
    if (this.#failure) throw this.#failure;
  }
}
