import { isUtf8 } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BenchError } from "../errors.js";
import {
  type Event,
  faultOf,
  type ItemFacts,
  memoryItem,
  type StoredEvent,
  type TokenPlace,
  type TokenValues,
} from "../events.js";
import { makeFolder } from "../folders.js";

type Kind = "Float64Array" | "Float32Array" | "Int32Array";

/** Bytes of one value. */
const elementBytes: Record<Kind, number> = { Float64Array: 8, Float32Array: 4, Int32Array: 4 };

/** How per-token values are kept, by their name, and which are possible; Float32 for all other names. */
const tokenKinds: Record<string, { kind: Kind; least: number; most: number }> = {
  // A probability may come out above 1 by a rounding.
  nll: { kind: "Float64Array", least: -1e-3, most: Infinity },
  nll_reference: { kind: "Float64Array", least: -1e-3, most: Infinity },
  delta_p: { kind: "Float32Array", least: -1.001, most: 1.001 },
  top: { kind: "Int32Array", least: 0, most: Infinity },
  top_reference: { kind: "Int32Array", least: 0, most: Infinity },
};
const someKind = { kind: "Float32Array" as Kind, least: -Infinity, most: Infinity };
const kindOf = (name: string) => (Object.hasOwn(tokenKinds, name) ? tokenKinds[name]! : someKind);

const tokenFile = (folder: string, job: string, name: string) => path.join(folder, "tokens", `${job}.${name}.bin`);

/** What an earlier session left of a job. */
export interface Kept {
  /** Of its measurement; memory is none. */
  items: Set<string>;
  complete: boolean;
  /** Bytes. */
  peakMemory?: number;
}

/**
 * The folder of a run: `events.jsonl`, one event a line, and `tokens/<job>.<name>.bin` beside it.
 *
 * An event is on disk before `append` returns, and the per-token values of a sample before its event; so whatever kills
 * the process leaves whole events, at most a torn last line, and token files that are at most too long.
 */
export class Store {
  readonly #events: number;
  readonly #file: string;
  readonly #tokens = new Map<string, { file: number; bytes: number }>();
  /** By token file, in bytes: where its values end. */
  readonly #ends: Map<string, number>;
  readonly #lock: string;
  #size: number;

  private constructor(
    readonly folder: string,
    /** Everything stored so far, of all sessions. */
    readonly events: StoredEvent[],
    lock: string,
  ) {
    this.#lock = lock;
    this.#file = path.join(folder, "events.jsonl");
    this.#ends = tokenEnds(folder, events);
    this.#events = fs.openSync(this.#file, "a");
    this.#size = fs.fstatSync(this.#events).size;
  }

  /** Opens or makes a run's folder for writing; repairs a torn last line. Throws when another process has it open. */
  static open(folder: string): Store {
    makeFolder(path.join(folder, "tokens"), "name another one with --out");
    const lock = takeLock(folder);
    try {
      repair(folder);
      return new Store(folder, readEvents(folder), lock);
    } catch (error) {
      fs.rmSync(lock, { force: true });
      throw unreadable(error, path.join(folder, "events.jsonl"));
    }
  }

  /** By job id. */
  done(): Map<string, Kept> {
    const jobs = new Map<string, Kept>();
    const job = (id: string) => {
      const found = jobs.get(id) ?? { items: new Set<string>(), complete: false };
      jobs.set(id, found);
      return found;
    };
    for (const event of this.events) {
      if (event.type === "samples") {
        if (event.item === memoryItem) job(event.job).peakMemory = event.samples[0]?.value ?? 0;
        else job(event.job).items.add(event.item);
      }
      if (event.type === "job-done") job(event.job).complete = true;
    }
    return jobs;
  }

  /** Writes an event through to the disk; `progress` and `fetching` are for the eye alone. */
  append(event: Event): void {
    if (event.type === "progress" || event.type === "fetching") return;
    this.#checkPlace();
    const stored = event.type === "samples" ? this.#keepTokens(event) : event;
    const line = Buffer.from(`${JSON.stringify(stored)}\n`);
    try {
      writeAll(this.#events, line);
      fs.fdatasyncSync(this.#events);
    } catch (cause) {
      // What was half written would make the next line unreadable.
      cutBack(this.#events, this.#size);
      throw unwritable(this.#file, cause);
    }
    this.#size += line.length;
    this.events.push(stored);
  }

  /** An open file can be written to wherever its name went: into a folder that was moved, or into nothing. */
  #checkPlace(): void {
    if (this.isInPlace()) return;
    throw new BenchError(
      "run-moved",
      `the run's folder ${this.folder} was moved or deleted while it was measured into`,
      {
        hint: "put it back, or name the place where it is with --out: the same command then goes on",
      },
    );
  }

  /** Whether what is written goes to the folder that bears the run's name. */
  isInPlace(): boolean {
    const [open, named] = [fs.fstatSync(this.#events), fs.statSync(this.#file, { throwIfNoEntry: false })];
    return named !== undefined && named.ino === open.ino && named.dev === open.dev;
  }

  #keepTokens(event: Extract<Event, { type: "samples" }>): StoredEvent {
    const { tokens, ...rest } = event;
    if (!tokens) return rest;
    const places: Record<string, TokenPlace> = {};
    for (const [name, values] of Object.entries(tokens)) places[name] = this.#writeTokens(event.job, name, values);
    return { ...rest, tokens: places };
  }

  #writeTokens(job: string, name: string, values: TokenValues): TokenPlace {
    const kind = values.constructor.name as Kind;
    if (kind !== kindOf(name).kind) throw new Error(`the values "${name}" are ${kind}, not ${kindOf(name).kind}`);
    const place = tokenFile(this.folder, job, name);
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    let open = this.#tokens.get(place);
    try {
      if (!open) {
        open = { file: fs.openSync(place, "a+"), bytes: this.#ends.get(place) ?? 0 };
        this.#tokens.set(place, open);
        // Values whose event was never written are cut off.
        fs.ftruncateSync(open.file, open.bytes);
      }
      writeAll(open.file, bytes);
      fs.fdatasyncSync(open.file);
    } catch (cause) {
      if (open) cutBack(open.file, open.bytes);
      throw unwritable(place, cause);
    }
    const offset = open.bytes / elementBytes[kind];
    open.bytes += values.byteLength;
    return [offset, values.length, digest(bytes)];
  }

  close(): void {
    fs.closeSync(this.#events);
    for (const { file } of this.#tokens.values()) fs.closeSync(file);
    fs.rmSync(this.#lock, { force: true });
  }
}

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 12);

function writeAll(file: number, data: Buffer): void {
  for (let done = 0; done < data.length; ) done += fs.writeSync(file, data, done);
}

function cutBack(file: number, bytes: number): void {
  try {
    fs.ftruncateSync(file, bytes);
  } catch {
    // A disk that fails altogether; a reader passes over what is torn.
  }
}

function unwritable(file: string, cause: unknown): BenchError {
  return new BenchError("disk", `${file} cannot be written: ${(cause as Error).message}`, {
    hint: "make room on the disk and run the same command again; nothing that was measured is lost",
    cause,
  });
}

/** Writes a file whole or not at all, so that no half of one is ever taken for it. Throws a BenchError that names it. */
export function writeWhole(file: string, content: string): void {
  let draft = "";
  try {
    const there = fs.statSync(file, { throwIfNoEntry: false });
    if (there && !there.isFile() && !there.isDirectory()) {
      fs.writeFileSync(file, content); // a pipe, a terminal
      return;
    }
    const target = there ? fs.realpathSync(file) : file;
    draft = `${target}.${randomBytes(6).toString("hex")}.part`;
    fs.writeFileSync(draft, content);
    fs.renameSync(draft, target);
  } catch (cause) {
    if (draft) fs.rmSync(draft, { force: true });
    throw new BenchError("disk", `${file} cannot be written: ${(cause as Error).message.replace(draft, file)}`, {
      hint: "check that its folder is there, that there is room, and that you may write there",
      cause,
    });
  }
}

const damage = "put the file back as it was, or measure into another folder with --out";

/**
 * The events of a run, read-only: each checked, and the token files that they speak of, by their sizes. A torn last line is passed
 * over. Should an item have been measured twice, the later one counts; the end of a job some items of which are missing counts as
 * not told, and the same command measures them.
 *
 * Throws a BenchError: `run-missing`, `run-damaged`, or `run-foreign` for what another version wrote.
 */
export function readEvents(folder: string): StoredEvent[] {
  const file = path.join(folder, "events.jsonl");
  const events: StoredEvent[] = [];
  let version: string | undefined;
  let number = 0;
  try {
    for (const line of linesOf(file)) {
      number++;
      const event = parsed(line);
      const fault = event === undefined ? undefined : faultOf(event);
      if (event === undefined)
        throw new BenchError("run-damaged", `${file}:${number} is not an event`, { hint: lineHint });
      if (fault?.foreign && version !== undefined)
        throw new BenchError(
          "run-foreign",
          `${file}:${number} ${fault.reason}, which this version does not know; gguf-bench ${version} wrote it`,
          { hint: `read it with that version or a later one: npx gguf-bench@${version}` },
        );
      if (fault) throw new BenchError("run-damaged", `${file}:${number} ${fault.reason}`, { hint: lineHint });
      if ((event as StoredEvent).type === "started")
        version = (event as Extract<StoredEvent, { type: "started" }>).provenance.versions["gguf-bench"];
      events.push(event as StoredEvent);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && fs.existsSync(path.join(folder, "tokens"))) return [];
    throw unreadable(error, file);
  }
  const whole = withoutDoubles(inOurWords(events));
  checkSizes(tokenEnds(folder, whole));
  return whole;
}

const lineHint =
  "the file was edited or damaged; take the line out and run the same command again, or measure into another folder with --out";

/** Any failure to read a run's file as one sentence. */
function unreadable(error: unknown, file: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof BenchError || typeof code !== "string") return error;
  const folder = path.dirname(file);
  if (code === "ENOENT" || code === "ENOTDIR") {
    const what =
      fs.existsSync(folder) && !fs.statSync(folder).isDirectory() ? "is a file, not a run's folder" : undefined;
    return new BenchError(
      "run-missing",
      what ? `${folder} ${what}` : `${folder} holds no run: there is no events.jsonl`,
      {
        hint: "name a folder in reports/, as `gguf-bench list` shows them",
      },
    );
  }
  if (code === "EISDIR")
    return new BenchError("run-damaged", `${file} is a folder, not a file of events`, { hint: damage });
  return new BenchError("run-damaged", `${file} cannot be read: ${message}`, { hint: damage, cause: error });
}

function parsed(line: Buffer): unknown {
  if (!isUtf8(line)) return undefined;
  try {
    return JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** No event comes near it; a text of twice the size is more than JavaScript can hold. */
const longestLine = 256 * 1024 * 1024;

/** The lines of a file that have an end, without it. Each is valid until the next is asked for. */
function* linesOf(name: string): Generator<Buffer> {
  const file = fs.openSync(name, "r");
  try {
    const piece = Buffer.allocUnsafe(1 << 20);
    let before: Buffer[] = [];
    let length = 0;
    for (let bytes = fs.readSync(file, piece); bytes > 0; bytes = fs.readSync(file, piece)) {
      const read = piece.subarray(0, bytes);
      let from = 0;
      for (let end = read.indexOf(10); end >= 0; end = read.indexOf(10, from)) {
        const rest = read.subarray(from, end);
        yield before.length > 0 ? Buffer.concat([...before, rest]) : rest;
        before = [];
        length = 0;
        from = end + 1;
      }
      length += read.length - from;
      if (length > longestLine)
        throw new BenchError("run-damaged", `${name} has a line of more than ${longestLine} bytes`, { hint: damage });
      before.push(Buffer.from(read.subarray(from)));
    }
  } finally {
    fs.closeSync(file);
  }
}

/**
 * What earlier versions wrote in other words. Facts of an item stood in its detail. Version 0.1 called the mean per token `acc`,
 * which is `acc_token` now, as `acc` is the sum; and it counted a question that was not asked as a wrong answer.
 */
function inOurWords(events: StoredEvent[]): StoredEvent[] {
  const old = new Set<string>();
  const newer = (metric: string) => (metric === "acc" ? "acc_token" : metric);
  return events.map((event) => {
    if (event.type === "started" && event.jobs.some(({ kind, rule }) => kind === "choice" && rule === undefined)) {
      const jobs = event.jobs.map((job) => {
        if (job.kind !== "choice" || job.rule !== undefined) return job;
        old.add(job.id);
        return { ...job, metrics: job.metrics.map(newer) };
      });
      return { ...event, jobs };
    }
    if (event.type !== "samples") return event;
    const facts = { ...factsIn(event.detail), ...event };
    if (!old.has(event.job)) return facts;
    if (event.detail?.unanswerable === true)
      return {
        ...facts,
        samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
        unanswerable: "it did not fit into the context",
      };
    return { ...facts, samples: event.samples.map((sample) => ({ ...sample, metric: newer(sample.metric) })) };
  });
}

/** The facts that an item's detail holds. */
function factsIn({ cluster, foreign, unanswerable, alone, models }: Record<string, unknown> = {}): ItemFacts {
  return {
    ...(typeof cluster === "string" ? { cluster } : {}),
    ...(typeof foreign === "number" ? { foreign } : {}),
    ...(typeof unanswerable === "string" ? { unanswerable } : {}),
    ...(alone === true ? { alone } : {}),
    ...(typeof models === "number" ? { models } : {}),
  };
}

function withoutDoubles(events: StoredEvent[]): StoredEvent[] {
  const jobs = new Map<string, { items: Map<string, number>; resumed: boolean }>();
  const dropped = new Set<number>();
  for (const [at, event] of events.entries()) {
    if (!("job" in event) || event.job === undefined) continue;
    const job = jobs.get(event.job) ?? { items: new Map<string, number>(), resumed: false };
    jobs.set(event.job, job);
    if (event.type === "samples") {
      const earlier = job.items.get(event.item);
      if (earlier !== undefined) dropped.add(earlier);
      job.items.set(event.item, at);
    } else if (event.type === "job-started") {
      // Version 0.1 counted the memory as an item when it went on with such a job.
      job.resumed ||= job.items.has(memoryItem);
    } else if (event.type === "job-done") {
      const memory = job.items.has(memoryItem) && !job.resumed ? 1 : 0;
      if (job.items.size - memory < event.items) dropped.add(at);
    }
  }
  return dropped.size > 0 ? events.filter((_, at) => !dropped.has(at)) : events;
}

/** Where the values end that events speak of, in bytes, by token file. */
function tokenEnds(folder: string, events: readonly StoredEvent[]): Map<string, number> {
  const ends = new Map<string, number>();
  for (const event of events) {
    if (event.type !== "samples" || !event.tokens) continue;
    for (const [name, [offset, count]] of Object.entries(event.tokens)) {
      const file = tokenFile(folder, event.job, name);
      ends.set(file, Math.max(ends.get(file) ?? 0, (offset + count) * elementBytes[kindOf(name).kind]));
    }
  }
  return ends;
}

/** A file may be longer, by what was written last before a kill. */
function checkSizes(ends: Map<string, number>): void {
  for (const [file, end] of ends) {
    const size = fs.statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) throw new BenchError("run-damaged", `${file} is missing`, { hint: damage });
    if (size < end)
      throw new BenchError("run-damaged", `${file} is shorter than events.jsonl says: ${size} of ${end} bytes`, {
        hint: damage,
      });
  }
}

/**
 * The per-token values of one sample. `kind` must be the one they were written with. Throws a BenchError, `run-damaged`, for values
 * that are not there or are not the ones that were written.
 */
export function readTokens<Values extends TokenValues = Float64Array>(
  folder: string,
  job: string,
  name: string,
  [offset, count, sha256]: TokenPlace,
  kind: new (count: number) => Values = Float64Array as never,
): Values {
  const place = tokenFile(folder, job, name);
  const values = new kind(count);
  const bytes = new Uint8Array(values.buffer);
  let read = 0;
  try {
    const file = fs.openSync(place, "r");
    try {
      const from = offset * values.BYTES_PER_ELEMENT;
      for (let got = 1; got > 0 && read < bytes.length; read += got)
        got = fs.readSync(file, bytes, read, bytes.length - read, from + read);
    } finally {
      fs.closeSync(file);
    }
  } catch (cause) {
    throw new BenchError("run-damaged", `${place} cannot be read: ${(cause as Error).message}`, {
      hint: damage,
      cause,
    });
  }
  const { least, most } = kindOf(name);
  const possible = (value: number) => Number.isFinite(value) && value >= least && value <= most;
  if (read < bytes.length)
    throw new BenchError("run-damaged", `${place} is shorter than events.jsonl says`, { hint: damage });
  if (sha256 === undefined ? !(values as Float64Array).every(possible) : digest(bytes) !== sha256)
    throw new BenchError(
      "run-damaged",
      `${place} holds other values than were measured, from byte ${offset * values.BYTES_PER_ELEMENT} on`,
      { hint: damage },
    );
  return values;
}

/** A kill in the middle of a write leaves a last line without its end. */
function repair(folder: string): void {
  const name = path.join(folder, "events.jsonl");
  if (!fs.existsSync(name)) return;
  const file = fs.openSync(name, "r+");
  try {
    const { size } = fs.fstatSync(file);
    const piece = Buffer.alloc(1 << 16);
    let end = size;
    for (let last = -1; end > 0 && last < 0; ) {
      const from = Math.max(0, end - piece.length);
      const bytes = fs.readSync(file, piece, 0, end - from, from);
      last = piece.subarray(0, bytes).lastIndexOf(10);
      end = from + last + 1;
    }
    if (end < size) fs.ftruncateSync(file, end);
  } finally {
    fs.closeSync(file);
  }
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
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
  }
  // A file system without links.
  try {
    fs.writeFileSync(lock, fs.readFileSync(own), { flag: "wx" });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new BenchError("folder", `${lock} cannot be made: ${(cause as Error).message}`, {
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

/** Undefined where there is none; `damaged` where it names no process: never written to its end, or not by us. */
function readLock(lock: string): Owner | "damaged" | undefined {
  // A link to nowhere is there, too.
  const stats = fs.lstatSync(lock, { throwIfNoEntry: false });
  if (!stats) return undefined;
  if (stats.isDirectory())
    throw new BenchError("run-locked", `${lock} is a folder where the lock of the run should be`, {
      hint: "remove it, or name another folder with --out",
    });
  try {
    const owner = JSON.parse(fs.readFileSync(lock, "utf8")) as Partial<Owner> | null;
    const { pid, started, host } = owner ?? {};
    if (Number.isSafeInteger(pid) && pid! > 0 && typeof started === "string" && typeof host === "string")
      return { pid: pid!, started, host };
  } catch (error) {
    // Removed since it was looked at.
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && !stats.isSymbolicLink()) return undefined;
  }
  return "damaged";
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
