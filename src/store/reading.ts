import { isUtf8 } from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import { BenchError, messageOf, systemCode } from "../errors.js";
import { checkedEvent, type JobRecord, type StoredEvent, type StoredSamples } from "../events.js";
import { Consistency } from "./consistency.js";
import { contradictionIn } from "./contradiction.js";
import { damage, unwritable } from "./files.js";
import { isAbandoned } from "./lock.js";
import { allTokens, hasTokens, noteEnds, type TokenEnds } from "./tokens.js";

/**
 * The events of a run, one after another, read-only: each checked, and held against the token files that it speaks of. A torn
 * last line is passed over. An item may have been measured twice: see `replay`, which says what all of them say.
 *
 * Throws a BenchError: `run-missing`, `run-damaged`, or `run-foreign` for what another version wrote.
 */
export function* readEvents(folder: string): Generator<StoredEvent, void> {
  yield* checkedEvents(folder, isAbandoned(folder));
}

/**
 * As `readEvents`. `abandoned`: the last writer may have lost its power, so that writes after its last sync may be on the disk in
 * part; the events then end before the first that is not whole. Returns in bytes where the events end, and the values of each token file.
 */
export function* checkedEvents(
  folder: string,
  abandoned: boolean,
): Generator<StoredEvent, { end: number; ends: TokenEnds }> {
  const file = path.join(folder, "events.jsonl");
  const ends: TokenEnds = new Map();
  const translated = translator();
  const consistency = new Consistency();
  const check = checker(file);
  const checkItem = itemChecker(folder);
  let number = 0;
  let end = 0;
  try {
    const doubtful = abandoned ? unsyncedFrom(file) : Infinity;
    for (const line of linesOf(file)) {
      number++;
      const checked = checkedEvent(parsed(line));
      if (end >= doubtful && (checked.fault || !hasTokens(folder, checked.event))) break;
      const event = check(checked, number);
      end += line.length + 1;
      noteEnds(ends, folder, event);
      consistency.see(event, number);
      const current = translated(event);
      checkItem(current, number);
      yield current;
    }
  } catch (error) {
    if (systemCode(error) === "ENOENT" && fs.existsSync(path.join(folder, "tokens"))) return { end, ends };
    throw unreadable(error, file);
  }
  const fault = consistency.fault(() => samplesIn(file));
  if (fault) throw new BenchError("run-damaged", `${file}:${fault.line} ${fault.reason}`, { hint: lineHint });
  return { end, ends };
}

/**
 * Holds what items say against what lies beside it, see `contradictionIn`, and throws for what cannot be true: an edited file would
 * be told as a result.
 */
function itemChecker(folder: string): (event: StoredEvent, line: number) => void {
  const jobs = new Map<string, JobRecord>();
  return (event, line) => {
    if (event.type === "started" || event.type === "planned") for (const job of event.jobs) jobs.set(job.id, job);
    if (event.type !== "samples") return;
    const told = () => {
      const { measurement, variant } = jobs.get(event.job) ?? {};
      const job = measurement === undefined ? `job ${event.job}` : `${measurement} of ${variant}`;
      return `${path.join(folder, "events.jsonl")}:${line}, ${job}, item ${event.item}`;
    };
    const contradiction = contradictionIn(event, allTokens(folder, event));
    if (contradiction !== undefined)
      throw new BenchError("run-contradiction", `${told()}: ${contradiction}`, { hint: lineHint });
  };
}

/** Lets an event through, and throws where its line is none; it then knows which version wrote the file. */
function checker(file: string): (checked: ReturnType<typeof checkedEvent>, line: number) => StoredEvent {
  let version: string | undefined;
  return ({ fault, event }, line) => {
    if (fault?.foreign && version !== undefined)
      throw new BenchError(
        "run-foreign",
        `${file}:${line} ${fault.reason}, which this version does not know; gguf-bench ${version} wrote it`,
        { hint: `read it with that version or a later one: npx gguf-bench@${version}` },
      );
    if (fault) throw new BenchError("run-damaged", `${file}:${line} ${fault.reason}`, { hint: lineHint });
    if (event.type === "started") version = event.provenance.versions["gguf-bench"];
    return event;
  };
}

/**
 * The events of a run that another process may be writing: `read` gives all that are there, and called again those that came
 * since. It costs a look at the file's size when nothing came. Throws as `readEvents`.
 */
export class Follower {
  readonly #file: string;
  readonly #check: ReturnType<typeof checker>;
  readonly #checkItem: ReturnType<typeof itemChecker>;
  /** Bytes and lines read so far, whole lines alone; undefined before the first. */
  #read: { bytes: number; lines: number } | undefined;

  constructor(readonly folder: string) {
    this.#file = path.join(folder, "events.jsonl");
    this.#check = checker(this.#file);
    this.#checkItem = itemChecker(folder);
  }

  *read(): Generator<StoredEvent, void> {
    if (!this.#read) {
      const events = checkedEvents(this.folder, isAbandoned(this.folder));
      let lines = 0;
      let next = events.next();
      for (; !next.done; next = events.next()) {
        lines++;
        yield next.value;
      }
      this.#read = { bytes: next.value.end, lines };
      return;
    }
    try {
      const { size } = fs.statSync(this.#file);
      if (size < this.#read.bytes)
        throw new BenchError("file-changed", `${this.#file} became shorter while it was read`, {
          hint: "another process mends or replaced it; give the same command again",
        });
      if (size === this.#read.bytes) return;
      for (const line of linesOf(this.#file, this.#read.bytes)) {
        const event = this.#check(checkedEvent(parsed(line)), this.#read.lines + 1);
        this.#checkItem(event, this.#read.lines + 1);
        this.#read.lines++;
        this.#read.bytes += line.length + 1;
        yield event;
      }
    } catch (error) {
      throw unreadable(error, this.#file);
    }
  }
}

function* samplesIn(file: string): Generator<{ line: number; event: StoredSamples }> {
  let line = 0;
  for (const text of linesOf(file)) {
    line++;
    const { event } = checkedEvent(parsed(text));
    if (event?.type === "samples") yield { line, event };
  }
}

/**
 * Where the last line that ends in a blank begins: all before it was synced when it was written. Infinity in a run of an
 * earlier version, which synced every line.
 */
function unsyncedFrom(name: string): number {
  const file = openFile(name, "r");
  try {
    const { size } = fs.fstatSync(file);
    const mark = lastOf(file, Buffer.from(" \n"), size);
    return mark < 0 ? Infinity : lastOf(file, Buffer.from("\n"), mark) + 1;
  } finally {
    fs.closeSync(file);
  }
}

/** Opens a file but no pipe, for that would wait for a writer. The system refuses a folder. */
function openFile(name: string, flags: "r" | "r+"): number {
  const stats = fs.statSync(name);
  if (!stats.isFile() && !stats.isDirectory())
    throw new BenchError("run-damaged", `${name} is a pipe, a socket or a device, not a file of events`, {
      hint: damage,
    });
  return fs.openSync(name, flags);
}

/** Where these bytes last begin before a place; -1 if they do not. */
function lastOf(file: number, bytes: Buffer, before: number): number {
  const piece = Buffer.alloc(1 << 16);
  for (let end = before; end > 0; end = Math.max(0, end - piece.length) + (end > piece.length ? bytes.length - 1 : 0)) {
    const from = Math.max(0, end - piece.length);
    const read = fs.readSync(file, piece, 0, end - from, from);
    const at = piece.subarray(0, read).lastIndexOf(bytes);
    if (at >= 0) return from + at;
  }
  return -1;
}

const lineHint =
  "the file was edited or damaged; take the line out and run the same command again, or measure into another folder with --out";

/** Any failure to read a run's file as one sentence. */
export function unreadable(error: unknown, file: string): unknown {
  const [code, message] = [systemCode(error), messageOf(error)];
  if (error instanceof BenchError || code === undefined) return error;
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
  if (/^(ENOSPC|EDQUOT|EROFS)$/.test(code)) return unwritable(file, error);
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

/** Bytes. No event is nearly as long, and JavaScript cannot hold a text of twice the size. */
const longestLine = 256 * 1024 * 1024;

/** The lines of a file from a byte on that have a line end, without it. Each is valid until the next is asked for. */
function* linesOf(name: string, at = 0): Generator<Buffer> {
  const file = openFile(name, "r");
  try {
    const piece = Buffer.allocUnsafe(1 << 20);
    let before: Buffer[] = [];
    let length = 0;
    let place = at;
    const more = () => fs.readSync(file, piece, 0, piece.length, place);
    for (let bytes = more(); bytes > 0; bytes = more()) {
      place += bytes;
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
 * Translates events of earlier versions. They kept facts of an item in its `detail`. Version 0.1 called the mean per token `acc`:
 * it is `acc_token` now, and `acc` the sum. Version 0.1 also counted a question that was not asked as a wrong answer.
 */
function translator(): (event: StoredEvent) => StoredEvent {
  const old = new Set<string>();
  const newer = (metric: string) => (metric === "acc" ? "acc_token" : metric);
  const isOld = ({ rule, metrics }: JobRecord) => rule === undefined && metrics.includes("acc");
  return (event) => {
    if (event.type === "started" && event.jobs.some(isOld)) {
      const jobs = event.jobs.map((job) => {
        if (!isOld(job)) return job;
        old.add(job.id);
        return { ...job, metrics: job.metrics.map(newer) };
      });
      return { ...event, jobs };
    }
    if (event.type !== "samples") return event;
    const facts = withFacts(event);
    if (!old.has(event.job)) return facts;
    if (event.detail?.unanswerable === true)
      return {
        ...facts,
        samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
        unanswerable: "it did not fit into the context",
      };
    return { ...facts, samples: event.samples.map((sample) => ({ ...sample, metric: newer(sample.metric) })) };
  };
}

/** The event with the facts from its detail as fields. */
function withFacts(event: StoredSamples): StoredSamples {
  if (!event.detail) return event;
  const { cluster, foreign, unanswerable, alone, models } = event.detail;
  if (typeof cluster === "string") event.cluster ??= cluster;
  if (typeof foreign === "number") event.foreign ??= foreign;
  if (typeof unanswerable === "string") event.unanswerable ??= unanswerable;
  if (alone === true) event.alone ??= alone;
  if (typeof models === "number") event.models ??= models;
  return event;
}

/** Cuts off a last line without its end, which a kill in the middle of a write leaves. */
export function repair(folder: string): void {
  const name = path.join(folder, "events.jsonl");
  if (!fs.existsSync(name)) return;
  const file = openFile(name, "r+");
  try {
    const { size } = fs.fstatSync(file);
    const end = lastOf(file, Buffer.from("\n"), size) + 1;
    if (end < size) fs.ftruncateSync(file, end);
  } finally {
    fs.closeSync(file);
  }
}
