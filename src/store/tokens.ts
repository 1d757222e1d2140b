import fs from "node:fs";
import path from "node:path";
import { sha256 } from "../digest.js";
import { BenchError, messageOf, systemCode } from "../errors.js";
import type { Event, StoredEvent, StoredSamples, TokenPlace, TokenValues } from "../events.js";
import { cutBack, damage, unwritable, writeAll } from "./files.js";

type ArrayKind = "Float64Array" | "Float32Array" | "Int32Array";

/** Bytes of one value. */
const elementBytes: Record<ArrayKind, number> = { Float64Array: 8, Float32Array: 4, Int32Array: 4 };

/** By name: how per-token values are kept, and their range; values of any other name are Float32. */
const tokenKinds: Record<string, { kind: ArrayKind; least: number; most: number }> = {
  // A probability may come out above 1 by a rounding.
  nll: { kind: "Float64Array", least: -1e-3, most: Infinity },
  nll_reference: { kind: "Float64Array", least: -1e-3, most: Infinity },
  delta_p: { kind: "Float32Array", least: -1.001, most: 1.001 },
  top: { kind: "Int32Array", least: 0, most: Infinity },
  top_reference: { kind: "Int32Array", least: 0, most: Infinity },
};
const someKind: (typeof tokenKinds)[string] = { kind: "Float32Array", least: -Infinity, most: Infinity };
const kindOf = (name: string) => (Object.hasOwn(tokenKinds, name) ? tokenKinds[name]! : someKind);
const classes: Record<ArrayKind, new (count: number) => TokenValues> = { Float64Array, Float32Array, Int32Array };

const tokenFile = (folder: string, job: string, name: string) => path.join(folder, "tokens", `${job}.${name}.bin`);

const digest = (bytes: Uint8Array) => sha256(bytes).slice(0, 12);

/** An event whose values per token are perhaps not in their files yet. */
export type UnkeptEvent = StoredEvent | Extract<Event, { type: "samples" }>;

/** By token file, in bytes: where the values named by events end. */
export type TokenEnds = Map<string, number>;

export function noteEnds(ends: TokenEnds, folder: string, event: StoredEvent): void {
  if (event.type !== "samples" || !event.tokens) return;
  for (const [name, [offset, count]] of Object.entries(event.tokens)) {
    const file = tokenFile(folder, event.job, name);
    ends.set(file, Math.max(ends.get(file) ?? 0, (offset + count) * elementBytes[kindOf(name).kind]));
  }
}

/** Whether the values that an event names are there. */
export function hasTokens(folder: string, event: StoredEvent): boolean {
  if (event.type !== "samples") return true;
  try {
    for (const [name, place] of Object.entries(event.tokens ?? {}))
      readTokens(folder, event.job, name, place, classes[kindOf(name).kind]);
    return true;
  } catch {
    return false;
  }
}

/** All values per token of an item, each in the kind that it is kept in. Throws as `readTokens`. */
export function allTokens(folder: string, { job, tokens = {} }: StoredSamples): Record<string, TokenValues> {
  const read = ([name, place]: [string, TokenPlace]) =>
    [name, readTokens(folder, job, name, place, classes[kindOf(name).kind])] as const;
  return Object.fromEntries(Object.entries(tokens).map(read));
}

/** The token files of a run, open for writing. */
export class TokenWriter {
  readonly #folder: string;
  readonly #ends: TokenEnds;
  readonly #open = new Map<string, { file: number; bytes: number }>();
  /** Files written to since the last sync, and whether some of them are new. */
  readonly #touched = new Set<number>();
  #isNew = false;

  constructor(folder: string, ends: TokenEnds) {
    this.#folder = folder;
    this.#ends = ends;
  }

  /** An event as it is kept: values per token that are not in their files yet go there. */
  keep(event: UnkeptEvent): StoredEvent {
    if (event.type !== "samples") return event;
    const { tokens, ...rest } = event;
    if (!tokens) return rest;
    const places: Record<string, TokenPlace> = {};
    for (const [name, values] of Object.entries(tokens))
      places[name] = "buffer" in values ? this.write(event.job, name, values) : values;
    return { ...rest, tokens: places };
  }

  write(job: string, name: string, values: TokenValues): TokenPlace {
    const { kind } = kindOf(name);
    if (!(values instanceof classes[kind]))
      throw new Error(`the values "${name}" are ${values.constructor.name}, not ${kind}`);
    const place = tokenFile(this.#folder, job, name);
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    let open = this.#open.get(place);
    try {
      if (!open) {
        open = { file: fs.openSync(place, "a+"), bytes: this.#ends.get(place) ?? 0 };
        this.#open.set(place, open);
        this.#isNew = true;
        // Values whose event was never written are cut off.
        fs.ftruncateSync(open.file, open.bytes);
      }
      this.#touched.add(open.file);
      writeAll(open.file, bytes);
    } catch (cause) {
      if (open) cutBack(open.file, open.bytes);
      throw unwritable(place, cause);
    }
    const offset = open.bytes / elementBytes[kind];
    open.bytes += values.byteLength;
    return [offset, values.length, digest(bytes)];
  }

  /** Syncs what an earlier process wrote and may not have synced. */
  syncAll(): void {
    for (const place of this.#ends.keys()) {
      const file = fs.openSync(place, "r");
      this.#touched.add(file);
      this.sync();
      fs.closeSync(file);
    }
  }

  sync(): void {
    for (const file of this.#touched) fs.fdatasyncSync(file);
    this.#touched.clear();
    if (this.#isNew) syncFolder(path.join(this.#folder, "tokens"));
    this.#isNew = false;
  }

  close(): void {
    for (const { file } of this.#open.values()) fs.closeSync(file);
  }
}

/** Syncs the names in a folder, if the system can; elsewhere syncing its files is enough. */
export function syncFolder(folder: string): void {
  try {
    const open = fs.openSync(folder, "r");
    try {
      fs.fsyncSync(open);
    } finally {
      fs.closeSync(open);
    }
  } catch {}
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
    const what = systemCode(cause) === "ENOENT" ? "is missing" : `cannot be read: ${messageOf(cause)}`;
    throw new BenchError("run-damaged", `${place} ${what}`, { hint: damage, cause });
  }
  const { least, most } = kindOf(name);
  const possible = (value: number) => Number.isFinite(value) && value >= least && value <= most;
  if (read < bytes.length)
    throw new BenchError("run-damaged", `${place} is shorter than events.jsonl says`, { hint: damage });
  if (sha256 === undefined ? !Array.from<number>(values).every(possible) : digest(bytes) !== sha256)
    throw new BenchError(
      "run-damaged",
      `${place} holds other values than were measured, from byte ${offset * values.BYTES_PER_ELEMENT} on`,
      { hint: damage },
    );
  return values;
}
