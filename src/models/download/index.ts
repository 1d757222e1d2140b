import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rm, stat, writeFile } from "node:fs/promises";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { addressWithoutSecrets } from "../../secrets.js";
import { CutOff } from "../gguf.js";
import { type Address, BadFile, bad, Interrupted, type Transfer, type Version } from "./address.js";
import { type Came, checkRoom, claimPart, onDisk, readVersion, release, settle } from "./disk.js";
import { ask, deepest, refuse, sameVersion } from "./http.js";
import { persist } from "./patience.js";

export { type Access, type Address, BadFile, BadToken, downloadError, type Transfer, type Version } from "./address.js";
export { fetchedFrom, fetchedVersion } from "./disk.js";
export { currentVersion, fetchJson, fetchPages, fetchRange, sameVersion } from "./http.js";

/**
 * Throws a BenchError for a file that is not what it should be, with a `CutOff` for one that is not whole yet. Gives the bytes
 * that a whole one has by its own header, where that says so.
 */
export type FileCheck = (path: string) => Promise<number | undefined>;

/** Bytes that may follow what a header tells of: padding, or what a writer left there. */
const slack = 1 << 20;
/** Bytes that a file of unknown length leaves free on the disk. */
const leastRoom = 256 << 20;
/** Bytes that a header, with the largest vocabularies, does not exceed. */
const largestHeader = 256 << 20;

/**
 * Fetches a file to `target`, whole and checked or not at all. One that `check` refuses is removed, one that goes on beyond
 * its own end is stopped there. It is written beside its place; what is left of an interrupted try, of this
 * process or another, is gone on with where the server can send the rest of the same bytes.
 *
 * Throws a BenchError `model-download` or `disk`, and the signal's reason when it is aborted.
 */
export async function fetchFile(address: Address, target: string, check: FileCheck, transfer: Transfer): Promise<void> {
  const part = await onDisk(address, () => claimPart(target));
  let keep = true;
  try {
    await receive(address, part, check, transfer);
    await onDisk(address, () => settle(part, target));
    keep = false;
  } catch (error) {
    // A full disk needs its room back, and a bad file is good for nothing.
    keep = !(error instanceof BenchError) || (error.code === "model-download" && !(error.cause instanceof BadFile));
    throw error;
  } finally {
    if (keep) await release(part, target);
    else for (const file of [part, `${part}.json`]) await rm(file, { force: true }).catch(() => {});
  }
}

/** One file on its way. */
interface Receiving extends Transfer {
  address: Address;
  part: string;
  check: FileCheck;
  /** Bytes that were held at any time: what comes again is nothing new. */
  most: number;
  /** Bytes of an earlier try are part of it. */
  resumed: boolean;
}

/** The record beside a partial file. */
interface Begun extends Version {
  /** Asks for the rest only if the file is still the same. */
  ifRange?: string;
}

type Heard = (bytes: number, fresh?: boolean) => void;

async function receive(address: Address, part: string, check: FileCheck, transfer: Transfer): Promise<void> {
  for (let again = false; ; again = true) {
    const file: Receiving = { ...transfer, address, part, check, most: 0, resumed: false };
    const version = await persist(address, transfer, (signal, heard) => attempt(file, signal, heard));
    try {
      const sha256 = await verify(file, version);
      return await onDisk(address, async () => {
        const { size } = await stat(part);
        const came: Came = { ...version, bytes: size, sha256, from: addressWithoutSecrets(address.url.href) };
        await writeFile(`${part}.json`, JSON.stringify(came));
      });
    } catch (error) {
      // The partial file may hold other bytes, whatever the server says, so the download starts again.
      if (!file.resumed || again) throw error;
      await rm(`${part}.json`, { force: true });
    }
  }
}

/** One request for what is missing, written as it comes. Throws `Interrupted` where another try may bring the rest. */
async function attempt(file: Receiving, signal: AbortSignal, heard: Heard): Promise<Version> {
  const { address, part } = file;
  const begun: Begun | undefined = await readVersion(part);
  const held = begun ? ((await stat(part).catch(() => undefined))?.size ?? 0) : 0;
  if (held > 0 && held === begun?.bytes) {
    file.resumed = true;
    return begun;
  }
  const from = begun?.ifRange || begun?.sha256 ? held : 0;
  const condition = begun?.ifRange && !begun.sha256 ? { "if-range": begun.ifRange } : {};
  const answer = await ask(address, { headers: from > 0 ? { range: `bytes=${from}-`, ...condition } : {}, signal });
  const { response, version } = answer;
  const startAnew = async (reason: string) => {
    await response.body?.cancel();
    await rm(`${part}.json`, { force: true });
    return new Interrupted(reason);
  };
  if (response.status === 416) throw await startAnew("its server does not have the rest of what has come (416)");
  await refuse(address, response, answer.withToken);
  const plain = (response.headers.get("content-encoding") ?? "identity") === "identity";
  const start = response.status === 200 ? 0 : firstByte(response);
  if (start !== 0 && (start !== from || !plain || !sameVersion(begun!, version)))
    throw await startAnew("its server sends another part of the file than was asked for");
  const length = response.headers.get("content-length");
  if (plain && length && version.bytes !== undefined && start + Number(length) !== version.bytes) {
    await response.body?.cancel();
    throw bad(address, `its server sends ${start + Number(length)} bytes of a file of ${version.bytes}`);
  }
  const etag = response.headers.get("etag");
  const ifRange = etag && !etag.startsWith("W/") ? etag : response.headers.get("last-modified");
  file.resumed = start > 0;
  await write(file, response, start, { ...version, ...(ifRange && plain ? { ifRange } : {}) }, heard);
  return version;
}

/** First byte of a 206 answer; NaN if the answer does not say. */
function firstByte({ headers }: Response): number {
  return Number(headers.get("content-range")?.match(/^bytes (\d+)-\d+\/(?:\d+|\*)$/)?.[1] ?? Number.NaN);
}

async function write(file: Receiving, response: Response, start: number, version: Begun, heard: Heard): Promise<void> {
  const { address, part, check, progress } = file;
  const { bytes: total } = version;
  let handle: FileHandle | undefined;
  let at = start;
  // Where the length is unknown: when the file is next looked at for its end, and the disk for its room.
  let lookAt = 1 << 20;
  let limit = Number.POSITIVE_INFINITY;
  let roomAt = start;
  try {
    await onDisk(address, async () => {
      handle = await open(part, start > 0 ? "r+" : "w");
      await checkRoom(address, part, (total ?? 0) - start);
      await writeFile(`${part}.json`, JSON.stringify(version));
    });
    progress?.(at, total);
    for await (const chunk of bodyOf(response)) {
      if (at + chunk.length > (total ?? limit))
        throw bad(
          address,
          `its server sends more than ${total === undefined ? "the model holds" : `the ${total} bytes of the file`}`,
        );
      if (total === undefined && at >= roomAt) {
        await onDisk(address, () => checkRoom(address, part, leastRoom));
        roomAt = at + leastRoom / 4;
      }
      await onDisk(address, () => writeAll(handle!, chunk, at));
      at += chunk.length;
      heard(chunk.length, at > file.most);
      file.most = Math.max(file.most, at);
      progress?.(at, total);
      // A web page need not be fetched to its end.
      const begins = at >= 1024 && at - chunk.length < 1024;
      if (!begins && (total !== undefined || at < lookAt)) continue;
      let fault: unknown;
      const end = await check(part).catch((error) => {
        fault = error;
        return error instanceof BenchError && error.cause instanceof CutOff ? error.cause.end : undefined;
      });
      if (fault instanceof BenchError && fault.code === "model-not-gguf") throw notKept(file, fault);
      if (total === undefined && typeof end === "number") limit = end + slack;
      if (begins) continue;
      if (fault instanceof BenchError && at >= largestHeader && fault.code !== "model-truncated")
        throw notKept(file, fault);
      lookAt *= 2;
    }
    await onDisk(address, () => handle!.datasync());
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    throw error;
  } finally {
    await handle?.close();
  }
  if (total !== undefined && at < total)
    throw new Interrupted(`its server ended after ${at} of ${total} bytes`, { hint: resume });
}

const resume = "Run the same command again: it goes on with what has come.";

async function* bodyOf(response: Response): AsyncGenerator<Uint8Array> {
  try {
    if (response.body) yield* response.body;
  } catch (cause) {
    const { code, message } = deepest(cause);
    throw new Interrupted(`the connection was cut (${code ?? message})`, { hint: resume });
  }
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; )
    done += (await handle.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
}

/** The sha256 of what came, which is the file that the hub names, and of the form that is expected; throws where it is not. */
async function verify(file: Receiving, { bytes, sha256 }: Version): Promise<string> {
  const { address, part, check, signal } = file;
  const { size } = await stat(part);
  if (bytes !== undefined && size !== bytes) throw bad(address, `${size} bytes came of ${bytes}`);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(part, {
    highWaterMark: 1 << 20,
    ...definite({ signal }),
  }))
    hash.update(chunk);
  const came = hash.digest("hex");
  if (sha256 !== undefined && came !== sha256)
    throw bad(address, "what came does not have the sha256 that the hub states");
  await check(part).catch((error) => {
    throw error instanceof BenchError ? notKept(file, error) : error;
  });
  return came;
}

/** The finding of a check, in terms of the address. */
function notKept({ address, part }: Receiving, { message, hint }: BenchError): BenchError {
  const reason = message.replaceAll(part, "what came");
  return bad(address, reason, `${hint ? `${hint} ` : ""}What came is not kept: the same command fetches it anew.`);
}
