import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BenchError } from "./errors.js";
import type { Event, StoredEvent, TokenValues } from "./events.js";

/** Bytes of one value, by the kind of array; the name in the file says which it is. */
const elementBytes = { Float64Array: 8, Float32Array: 4, Int32Array: 4 } as const;

/**
 * The folder of a run: `events.jsonl`, one event a line, and `tokens/<job>.<name>.bin` beside it.
 *
 * An event is on disk before `append` returns, and the per-token values of a sample before its event; so whatever kills
 * the process leaves whole events, at most a torn last line, and token files that are at most too long.
 */
export class Store {
  readonly #events: number;
  readonly #tokens = new Map<string, { file: number; bytes: number }>();
  readonly #lock: string;
  #size: number;

  private constructor(
    readonly folder: string,
    /** Everything stored so far, of all sessions. */
    readonly events: StoredEvent[],
    lock: string,
  ) {
    this.#lock = lock;
    this.#events = fs.openSync(path.join(folder, "events.jsonl"), "a");
    this.#size = fs.fstatSync(this.#events).size;
  }

  /** Opens or makes a run's folder for writing; repairs a torn last line. Throws when another process has it open. */
  static open(folder: string): Store {
    try {
      fs.mkdirSync(path.join(folder, "tokens"), { recursive: true });
    } catch (cause) {
      throw new BenchError("folder", `the run's folder ${folder} cannot be made: ${(cause as Error).message}`, {
        hint: "name another one with --out",
        cause,
      });
    }
    const lock = takeLock(folder);
    try {
      repair(folder);
      return new Store(folder, readEvents(folder), lock);
    } catch (error) {
      fs.rmSync(lock, { force: true });
      throw error;
    }
  }

  /** By job id: which items are there, and whether the job is done. */
  done(): Map<string, { items: Set<string>; complete: boolean }> {
    const jobs = new Map<string, { items: Set<string>; complete: boolean }>();
    const job = (id: string) => {
      const found = jobs.get(id) ?? { items: new Set<string>(), complete: false };
      jobs.set(id, found);
      return found;
    };
    for (const event of this.events) {
      if (event.type === "samples") job(event.job).items.add(event.item);
      if (event.type === "job-done") job(event.job).complete = true;
    }
    return jobs;
  }

  /** Writes an event through to the disk; `progress` is for the eye alone. */
  append(event: Event): void {
    if (event.type === "progress") return;
    const stored = event.type === "samples" ? this.#keepTokens(event) : event;
    const line = Buffer.from(`${JSON.stringify(stored)}\n`);
    try {
      writeAll(this.#events, line);
      fs.fdatasyncSync(this.#events);
    } catch (cause) {
      // What was half written would make the next line unreadable.
      fs.ftruncateSync(this.#events, this.#size);
      throw new BenchError(
        "disk",
        `${path.join(this.folder, "events.jsonl")} cannot be written: ${(cause as Error).message}`,
        {
          hint: "make room on the disk and run the same command again; nothing that was measured is lost",
          cause,
        },
      );
    }
    this.#size += line.length;
    this.events.push(stored);
  }

  #keepTokens(event: Extract<Event, { type: "samples" }>): StoredEvent {
    const { tokens, ...rest } = event;
    if (!tokens) return rest;
    const places: Record<string, [number, number]> = {};
    for (const [name, values] of Object.entries(tokens)) places[name] = this.#writeTokens(event.job, name, values);
    return { ...rest, tokens: places };
  }

  #writeTokens(job: string, name: string, values: TokenValues): [number, number] {
    const key = `${job}.${name}`;
    const size = elementBytes[values.constructor.name as keyof typeof elementBytes];
    let open = this.#tokens.get(key);
    if (!open) {
      const file = fs.openSync(path.join(this.folder, "tokens", `${key}.bin`), "a+");
      // Values whose event was never written are cut off.
      const bytes = this.#endOfTokens(job, name) * size;
      if (fs.fstatSync(file).size < bytes)
        throw new BenchError(
          "run-damaged",
          `${path.join(this.folder, "tokens", `${key}.bin`)} is shorter than events.jsonl says`,
          {
            hint: "put the file back, or measure into another folder with --out",
          },
        );
      fs.ftruncateSync(file, bytes);
      open = { file, bytes };
      this.#tokens.set(key, open);
    }
    try {
      writeAll(open.file, Buffer.from(values.buffer, values.byteOffset, values.byteLength));
      fs.fdatasyncSync(open.file);
    } catch (cause) {
      fs.ftruncateSync(open.file, open.bytes);
      throw new BenchError("disk", `the per-token values of ${job} cannot be written: ${(cause as Error).message}`, {
        hint: "make room on the disk and run the same command again; nothing that was measured is lost",
        cause,
      });
    }
    const place: [number, number] = [open.bytes / size, values.length];
    open.bytes += values.byteLength;
    return place;
  }

  #endOfTokens(job: string, name: string): number {
    let end = 0;
    for (const event of this.events)
      if (event.type === "samples" && event.job === job && event.tokens?.[name])
        end = Math.max(end, event.tokens[name][0] + event.tokens[name][1]);
    return end;
  }

  close(): void {
    fs.closeSync(this.#events);
    for (const { file } of this.#tokens.values()) fs.closeSync(file);
    fs.rmSync(this.#lock, { force: true });
  }
}

function writeAll(file: number, data: Buffer): void {
  for (let done = 0; done < data.length; ) done += fs.writeSync(file, data, done);
}

/** The events of a run, read-only; a torn last line is passed over. */
export function readEvents(folder: string): StoredEvent[] {
  const file = path.join(folder, "events.jsonl");
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
      if (fs.existsSync(path.join(folder, "tokens"))) return [];
      throw new BenchError("run-missing", `${folder} holds no run: there is no events.jsonl`, {
        hint: "name a folder in reports/, as `gguf-bench list` shows them",
      });
    }
    throw cause;
  }
  const lines = text.split("\n");
  lines.pop(); // empty after a whole last line, torn otherwise
  return lines.map((line, i) => {
    try {
      return JSON.parse(line) as StoredEvent;
    } catch (cause) {
      throw new BenchError("run-damaged", `${file}:${i + 1} is not an event`, {
        hint: "the file was edited or damaged; take the line out, or measure into another folder with --out",
        cause,
      });
    }
  });
}

/** The per-token values of one sample. `kind` must be the one they were written with. */
export function readTokens<Values extends TokenValues = Float64Array>(
  folder: string,
  job: string,
  name: string,
  [offset, count]: [number, number],
  kind: new (count: number) => Values = Float64Array as never,
): Values {
  const values = new kind(count);
  const bytes = new Uint8Array(values.buffer);
  const file = fs.openSync(path.join(folder, "tokens", `${job}.${name}.bin`), "r");
  try {
    fs.readSync(file, bytes, 0, bytes.length, offset * values.BYTES_PER_ELEMENT);
  } finally {
    fs.closeSync(file);
  }
  return values;
}

/** A kill in the middle of a write leaves a last line without its end. */
function repair(folder: string): void {
  const file = path.join(folder, "events.jsonl");
  if (!fs.existsSync(file)) return;
  const data = fs.readFileSync(file);
  const end = data.lastIndexOf(10) + 1;
  if (end < data.length) fs.truncateSync(file, end);
}

/**
 * A file that names its owner: two writers would mix their events. It is stale, and taken over, once that process is gone,
 * so that a killed run can go on at once.
 */
function takeLock(folder: string): string {
  const lock = path.join(folder, "lock");
  const own = `${lock}.${randomBytes(6).toString("hex")}`;
  try {
    const owner: Owner = { pid: process.pid, started: processStart(process.pid), host: os.hostname() };
    try {
      fs.writeFileSync(own, JSON.stringify(owner));
    } catch (cause) {
      throw new BenchError("folder", `the run's folder ${folder} cannot be written to: ${(cause as Error).message}`, {
        hint: "make room or give the right to write, or name another folder with --out",
        cause,
      });
    }
    for (let tries = 0; tries < 5; tries++) {
      try {
        fs.linkSync(own, lock); // fails if there is one: the only step that must be atomic
        return lock;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const owner = readLock(lock);
      if (isHeld(owner))
        throw new BenchError(
          "run-locked",
          `another process (${owner.pid} on ${owner.host}) is measuring into ${folder}`,
          {
            hint: "wait for it, stop it, or name another folder with --out",
          },
        );
      clearStale(lock, own);
    }
    throw new BenchError("run-locked", `${folder} is being opened by several processes at once`, { hint: "try again" });
  } finally {
    fs.rmSync(own, { force: true });
  }
}

/**
 * Removes a lock that nobody holds. One process at a time does, and looks again first: another may have cleared it and
 * locked anew since it was read, and a lock that is held must never be away, not even for a moment.
 */
function clearStale(lock: string, own: string): void {
  const clearing = `${lock}.clearing`;
  try {
    fs.linkSync(own, clearing);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const other = readLock(clearing);
    if (other && !isHeld(other)) fs.rmSync(clearing, { force: true }); // killed while it cleared
    return;
  }
  try {
    const owner = readLock(lock);
    // Where there is none any more, the next moment may bring a new one.
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

/** Undefined where there is none. */
function readLock(lock: string): Owner | "damaged" | undefined {
  let text: string;
  try {
    text = fs.readFileSync(lock, "utf8");
  } catch {
    return undefined;
  }
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return "damaged"; // never written to its end
  }
}

const isHeld = (owner: ReturnType<typeof readLock>): owner is Owner => owner instanceof Object && isRunning(owner);

function isRunning({ pid, started, host }: Owner): boolean {
  if (host !== os.hostname()) return true; // cannot know: a shared folder
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
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
