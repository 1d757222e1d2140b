import { createHash, randomUUID } from "node:crypto";
import { createReadStream, linkSync, readFileSync, unlinkSync } from "node:fs";
import { type FileHandle, open, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { makeFolder } from "../folders.js";
import { bytes as inUnits } from "../units.js";
import { cacheDirectory } from "./cache.js";
import { CutOff } from "./gguf.js";

/** Where a file is fetched from. */
export interface Address {
  /** Without user and password. */
  url: URL;
  /** A header for the host of `url` and for no other. */
  authorization?: string;
  /** As messages name it, without anything secret. */
  shown: string;
}

/** The version of a file as its server states it; the same version means the same bytes. */
export interface Version {
  bytes?: number;
  etag?: string;
  modified?: string;
  /** Stated by a hub; what came must have it. */
  sha256?: string;
}

export interface Transfer {
  /** Aborted when the user stops: what has come is kept, and the next try goes on from there. */
  signal?: AbortSignal;
  /** Bytes held and expected; the latter undefined where the server does not say. */
  progress?: (bytes: number, total: number | undefined) => void;
  /** Milliseconds in which at least `leastBytes` must come. */
  patience?: number;
  /** Milliseconds before the second try; three times as many before each further one. */
  pause?: number;
}

/**
 * Throws a BenchError for a file that is not what it should be, with a `CutOff` for one that is not whole yet. Gives the bytes
 * that a whole one has by its own header, where that says so.
 */
export type FileCheck = (path: string) => Promise<number | undefined>;

/** A server that sends less in `patience` than a modem did is given up. */
const leastBytes = 16_384;
const defaultPatience = 60_000;
const defaultPause = 500;
/** Tries in a row that bring nothing new, and tries at all. */
const idleTries = 5;
const mostTries = 100;
const mostRedirects = 10;
/** Bytes that may follow what a header tells of: padding, or what a writer left there. */
const slack = 1 << 20;
/** Bytes that a file of unknown length leaves free on the disk. */
const leastRoom = 256 << 20;
/** Bytes that a header, with the largest vocabularies, does not exceed. */
const largestHeader = 256 << 20;
/** After so long, in milliseconds, a partial file that nobody writes to belongs to nobody. */
const abandonedAfter = 300_000;

/** A try that may be repeated. */
class Interrupted extends Error {
  readonly hint: string | undefined;
  /** Milliseconds that the server asks for. */
  readonly wait: number | undefined;
  /** Worth another try only where something came before: nobody listens there, or there is no network. */
  readonly unheard: boolean;

  constructor(message: string, more: { hint?: string; wait?: number | undefined; unheard?: boolean } = {}) {
    super(message);
    this.hint = more.hint;
    this.wait = more.wait;
    this.unheard = more.unheard ?? false;
  }
}

export function downloadError(address: Address, reason: string, hint?: string, cause?: unknown): BenchError {
  return new BenchError("model-download", `${address.shown} could not be fetched: ${reason.replace(/\.$/, "")}.`, {
    hint: hint ?? "Check the name and the network, or download the file and give its path.",
    cause,
  });
}

// ---- Asking

const huggingFace = "https://huggingface.co/";

/** The hub's address: `MODEL_ENDPOINT` (llama.cpp's name) or `HF_ENDPOINT` (Hugging Face's), for those who use a mirror. */
export function hubEndpoint(): URL {
  return endpoint("MODEL_ENDPOINT") ?? endpoint("HF_ENDPOINT") ?? new URL(huggingFace);
}

function endpoint(name: string): URL | undefined {
  const given = process.env[name];
  if (!given) return undefined;
  if (!/^https?:/i.test(given) || !URL.canParse(given))
    throw new BenchError("config", `${name} is no address`, {
      hint: `Write it as https://HOST, or unset it: models then come from ${new URL(huggingFace).host}.`,
    });
  const { origin, pathname } = new URL(given);
  return new URL(pathname.endsWith("/") ? pathname : `${pathname}/`, origin);
}

/** Hugging Face, or what the user says stands in for it. */
export function isHub(url: URL): boolean {
  return url.origin === hubEndpoint().origin || takesToken(url);
}

/**
 * Whether a token for Hugging Face belongs to this server: its own, and the mirror of `HF_ENDPOINT`, as for Hugging Face's own
 * client. `MODEL_ENDPOINT` may name a hub of another kind, which has tokens of its own.
 */
function takesToken(url: URL): boolean {
  return [new URL(huggingFace).origin, endpoint("HF_ENDPOINT")?.origin].includes(url.origin);
}

/** `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or the file that `hf auth login` writes. */
function hubToken(address: Address): string | undefined {
  const { env } = process;
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  let token = env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN;
  try {
    token ||= readFileSync(env.HF_TOKEN_PATH || join(home, "token"), "utf8");
  } catch {
    // Not logged in.
  }
  token = token?.trim();
  if (token && !/^[\x21-\x7e]+$/.test(token))
    throw downloadError(address, "the token for Hugging Face holds characters that no token has", "Set HF_TOKEN anew.");
  return token || undefined;
}

/** The answer to a request, and what is known of the file. */
interface Answer {
  response: Response;
  version: Version;
  /** A hub's token was sent. */
  withToken: boolean;
}

/**
 * Asks, and asks a hub again with its token where it says 401 or 403. The caller reads or cancels the body.
 *
 * Redirects are followed by hand: a token or password goes to the host that the user named. Once an answer leads to
 * another scheme, host or port it is left behind for good.
 */
async function ask(address: Address, init: { method?: "HEAD"; headers?: Record<string, string>; signal: AbortSignal }) {
  const answer = await follow(address, init, address.authorization);
  const { response } = answer;
  const asksForToken = [401, 403].includes(response.status) && takesToken(new URL(response.url));
  if (!asksForToken || address.authorization || !takesToken(address.url)) return answer;
  const token = hubToken(address);
  if (!token) return answer;
  await response.body?.cancel();
  return { ...(await follow(address, init, `Bearer ${token}`)), withToken: true };
}

async function follow(
  address: Address,
  { method = "GET", headers, signal }: { method?: string; headers?: Record<string, string>; signal: AbortSignal },
  secret: string | undefined,
): Promise<Answer> {
  let { url } = address;
  let authorization = secret;
  const linked: Version = {};
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const response = await fetch(url, {
      method,
      redirect: "manual",
      signal,
      headers: {
        "user-agent": "gguf-bench",
        "accept-encoding": "identity",
        ...headers,
        ...definite({ authorization }),
      },
    }).catch((cause) => {
      signal.throwIfAborted();
      throw unreachable(address, url, cause);
    });
    // The hub states digest and size itself, before it sends to where the bytes are.
    if (url.origin === address.url.origin) {
      const [etag, size] = [response.headers.get("x-linked-etag"), response.headers.get("x-linked-size")];
      if (etag) linked.etag ??= tag(etag);
      if (size && /^\d+$/.test(size)) linked.bytes ??= Number(size);
      const digest = tag(etag ?? (isHub(url) && response.ok ? (response.headers.get("etag") ?? "") : ""));
      if (/^[0-9a-f]{64}$/i.test(digest)) linked.sha256 ??= digest.toLowerCase();
    }
    const done = ![301, 302, 303, 307, 308].includes(response.status) || (method === "HEAD" && linked.etag);
    if (done) return { response, version: { ...versionOf(response), ...linked }, withToken: false };
    await response.body?.cancel();
    const location = response.headers.get("location") ?? "";
    if (!location || !URL.canParse(location, url.href)) throw downloadError(address, "its server redirects to nowhere");
    const next = new URL(location, url);
    if (!/^https?:$/.test(next.protocol))
      throw downloadError(address, `its server redirects to a ${next.protocol} address, which is not followed`);
    next.username = "";
    next.password = "";
    if (next.origin !== url.origin) authorization = undefined;
    url = next;
  }
  throw downloadError(address, `its server redirects more than ${mostRedirects} times`);
}

const tag = (etag: string) => etag.replace(/^W\//, "").replace(/^"|"$/g, "");

function versionOf({ headers }: Response): Version {
  const [etag, modified] = [headers.get("etag"), headers.get("last-modified")];
  const length = headers.get("content-range")?.match(/\/(\d+)$/)?.[1] ?? headers.get("content-length");
  const encoded = (headers.get("content-encoding") ?? "identity") !== "identity";
  return {
    ...(etag ? { etag: tag(etag) } : {}),
    ...definite({ modified: modified ?? undefined }),
    ...(length && /^\d+$/.test(length) && !encoded ? { bytes: Number(length) } : {}),
  };
}

/** Whether a server would send the same bytes, as far as it says. */
export function sameVersion(a: Version, b: Version): boolean {
  return (["etag", "bytes", "modified"] as const).every(
    (key) => a[key] === undefined || b[key] === undefined || a[key] === b[key] || (key === "modified" && !!a.etag),
  );
}

/** The version on the server now; undefined if it does not answer within `patience` ms. */
export async function currentVersion(address: Address, { signal, patience }: Transfer): Promise<Version | undefined> {
  const late = AbortSignal.timeout(patience ?? 10_000);
  try {
    const { response, version } = await ask(address, {
      method: "HEAD",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    await response.body?.cancel();
    return response.ok || version.sha256 ? version : undefined;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

/** A JSON document, of at most a megabyte. */
export async function fetchJson(address: Address, agent: string, transfer: Transfer): Promise<unknown> {
  return persist(address, transfer, async (signal, heard) => {
    const { response, withToken } = await ask(address, { headers: { "user-agent": agent }, signal });
    await refuse(address, response, withToken);
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      heard(chunk.length);
      text += decoder.decode(chunk, { stream: true });
      if (text.length > 1 << 20) throw downloadError(address, "its server sends no list of files");
    }
    try {
      return JSON.parse(text);
    } catch {
      throw downloadError(address, "its server sends no list of files");
    }
  });
}

// ---- Answers that bring no file

/** Throws for every answer that holds nothing of the file. */
async function refuse(address: Address, response: Response, withToken: boolean): Promise<void> {
  const { status } = response;
  // Not where it redirects to.
  const hub = isHub(new URL(response.url));
  if (status === 200 || status === 206) return;
  await response.body?.cancel();
  const later = "Run the same command again later: what has come is kept.";
  if (status === 401 && hub)
    throw downloadError(
      address,
      withToken ? "the hub refuses the token (401)" : "the hub asks for a token, or has no such repository (401)",
      withToken
        ? "Check the name, and that the token of HF_TOKEN is valid; a gated model's terms are accepted on its page."
        : takesToken(address.url)
          ? "Check the name. For a gated or private model accept its terms on its page and set HF_TOKEN=hf_… (from huggingface.co/settings/tokens)."
          : "Check the name. HF_TOKEN goes to huggingface.co and to the host of HF_ENDPOINT alone, not to that of MODEL_ENDPOINT.",
    );
  if (status === 403 && hub)
    throw downloadError(
      address,
      "the hub gives no access (403)",
      `Accept the model's terms on its page${withToken ? ", with the account that HF_TOKEN belongs to." : " and set HF_TOKEN=hf_… (from huggingface.co/settings/tokens)."}`,
    );
  if (status === 401 || status === 403 || status === 407)
    throw downloadError(
      address,
      `its server gives no access (${status})`,
      address.authorization
        ? "Check user and password in the address."
        : "The address may have expired. User and password go before its host, USER:PASSWORD@HOST, and are shown nowhere.",
    );
  if (status === 404 || status === 410)
    throw downloadError(
      address,
      `its server has no such file (${status})`,
      "Check the name, with capitals and folders.",
    );
  if (status === 429)
    throw new Interrupted("its server has too many requests (429)", {
      hint: `${later}${hub && !withToken ? " A token in HF_TOKEN raises the hub's limit." : ""}`,
      wait: retryAfter(response),
    });
  if (status === 408 || status === 425 || status >= 500)
    throw new Interrupted(`its server fails (${status})`, { hint: later, wait: retryAfter(response) });
  throw downloadError(address, `its server answers ${status}`);
}

/** Seconds or a date, as milliseconds from now. */
function retryAfter({ headers }: Response): number | undefined {
  const said = headers.get("retry-after") ?? headers.get("ratelimit")?.match(/;t=(\d+)/)?.[1];
  if (!said) return undefined;
  const wait = /^\d+$/.test(said) ? Number(said) * 1000 : Date.parse(said) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

/** Why there was no answer: what a second try may mend, or what it will not. */
function unreachable(address: Address, url: URL, cause: unknown): Error {
  const { code = "", message } = deepest(cause);
  const host = url.hostname;
  const elsewhere = url.origin === address.url.origin ? "" : `, to which its server redirects`;
  if (code === "ENOTFOUND")
    return downloadError(
      address,
      `the host ${host}${elsewhere} is not known`,
      "Check the name and the network.",
      cause,
    );
  if (/CERT|SIGNATURE|ISSUER|SELF_SIGNED/.test(code))
    return downloadError(
      address,
      `the certificate of ${host}${elsewhere} is not trusted (${code})`,
      "Check the address; a certificate of your own network is named in NODE_EXTRA_CA_CERTS.",
      cause,
    );
  if (/^(ERR_SSL|EPROTO)/.test(code))
    return downloadError(address, `${host}${elsewhere} does not speak TLS as expected (${code})`, undefined, cause);
  if (/^(HPE_|UND_ERR_(INVALID|HEADERS_OVERFLOW))/.test(code))
    return downloadError(address, `its server does not speak HTTP as expected (${code})`, undefined, cause);
  const unheard =
    /^(ECONNREFUSED|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL)$/.test(code) || message === "bad port";
  return new Interrupted(`its server${elsewhere && ` redirects to ${host}, which`} cannot be reached`, { unheard });
}

/** The innermost cause says what happened: "fetch failed" says nothing. */
function deepest(error: unknown): { code?: string; message: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  if (error instanceof AggregateError && error.errors.length > 0) return deepest(error.errors[0]);
  if (error.cause instanceof Error) return deepest(error.cause);
  return error;
}

// ---- Patience

/**
 * Tries until it works: a few times in a row without anything new, and while bytes come. Both a silent and an
 * ever-interrupted server come to an end. `attempt` tells each byte that came, and whether it was new.
 */
async function persist<Result>(
  address: Address,
  { signal, patience = defaultPatience, pause = defaultPause }: Transfer,
  attempt: (signal: AbortSignal, heard: (bytes: number, fresh?: boolean) => void) => Promise<Result>,
): Promise<Result> {
  const silence = new AbortController();
  const either = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
  const giveUp = () => silence.abort();
  let timer = setTimeout(giveUp, patience);
  let since = 0;
  let idle = 0;
  let ever = false;
  const heard = (bytes: number, fresh = true) => {
    since += bytes;
    ever = true;
    if (fresh) idle = 0;
    if (since < leastBytes) return;
    since = 0;
    clearTimeout(timer);
    timer = setTimeout(giveUp, patience);
  };
  const silent = (last?: Interrupted) =>
    last
      ? downloadError(address, last.message, last.hint)
      : downloadError(
          address,
          `its server ${since > 0 ? "sent next to nothing" : "was silent"} for ${Math.round(patience / 1000)} s`,
          "Run the same command again later: what has come is kept.",
        );
  let last: Interrupted | undefined;
  try {
    for (let tries = 1; ; tries++) {
      idle++;
      try {
        return await attempt(either, heard);
      } catch (error) {
        signal?.throwIfAborted();
        if (silence.signal.aborted) throw silent();
        if (!(error instanceof Interrupted)) throw error;
        last = error;
      }
      if (idle >= idleTries || tries >= mostTries || (last.unheard && !ever)) throw silent(last);
      const wait = Math.max(last.wait ?? 0, pause * 3 ** (idle - 1));
      if (last.wait !== undefined && last.wait > patience)
        throw downloadError(
          address,
          `${last.message} and asks to wait for ${Math.ceil(last.wait / 1000)} s`,
          last.hint,
        );
      await sleep(wait, undefined, { signal: either }).catch(() => {
        signal?.throwIfAborted();
        throw silent(last);
      });
    }
  } finally {
    clearTimeout(timer);
  }
}

// ---- Files

/** The version of a file that was fetched whole; undefined if the file is missing or was changed since. */
export async function fetchedVersion(target: string): Promise<Version | undefined> {
  const version = await readVersion(target);
  const stats = await stat(target).catch(() => undefined);
  return version && stats?.isFile() && stats.size === version.bytes ? version : undefined;
}

async function readVersion(file: string): Promise<Version | undefined> {
  try {
    const read = JSON.parse(await readFile(`${file}.json`, "utf8"));
    return typeof read === "object" && read !== null ? read : undefined;
  } catch {
    return undefined;
  }
}

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

/** Why a file that came is not kept. */
class BadFile extends Error {}

function bad(address: Address, reason: string, hint = "It is not kept: the same command fetches it anew."): BenchError {
  return downloadError(address, reason, hint, new BadFile(reason));
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
      await verify(file, version);
      return await onDisk(address, async () => {
        const { size } = await stat(part);
        await writeFile(`${part}.json`, JSON.stringify({ ...version, bytes: size }));
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

/** Whether what came is the file that the hub names, and of the form that is expected. */
async function verify(file: Receiving, { bytes, sha256 }: Version): Promise<void> {
  const { address, part, check, signal } = file;
  const { size } = await stat(part);
  if (bytes !== undefined && size !== bytes) throw bad(address, `${size} bytes came of ${bytes}`);
  if (sha256 !== undefined) {
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(part, {
      highWaterMark: 1 << 20,
      ...definite({ signal }),
    }))
      hash.update(chunk);
    if (hash.digest("hex") !== sha256) throw bad(address, "what came does not have the sha256 that the hub states");
  }
  await check(part).catch((error) => {
    throw error instanceof BenchError ? notKept(file, error) : error;
  });
}

/** The finding of a check, in terms of the address. */
function notKept({ address, part }: Receiving, { message, hint }: BenchError): BenchError {
  const reason = message.replaceAll(part, "what came");
  return bad(address, reason, `${hint ? `${hint} ` : ""}What came is not kept: the same command fetches it anew.`);
}

// ---- The disk

/** Does something with files; what the disk refuses is told with the folder that the user can change. */
async function onDisk<Result>(address: Address, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (cause instanceof BenchError || !code) throw cause;
    throw /ENOSPC|EDQUOT/.test(code) ? noRoom(address, cause) : unwritable(address, code, cause);
  }
}

const folderHint = "or name another folder in GGUF_BENCH_CACHE.";

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
async function checkRoom(address: Address, part: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(dirname(part));
  // Some network file systems do not say.
  if (blocks === 0) return;
  if (bytes > bavail * bsize)
    throw noRoom(address, undefined, `: ${inUnits(bytes)} are to come, ${inUnits(bavail * bsize)} are free`);
}

/** Identifies this process; the owner of a partial file can be checked only on the machine that made it. */
const host = sha256(hostname()).slice(0, 6);
const unowned = "0-0";

/**
 * A partial file that belongs to this process alone: one that nobody writes to any more, or a new one. Taking is a rename,
 * which one process wins; so no lock is needed, and processes that fetch the same file at once do so side by side.
 */
async function claimPart(target: string): Promise<string> {
  makeFolder(dirname(target), "GGUF_BENCH_CACHE names another one");
  const own = partName(target, `${host}-${process.pid}`);
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
  const [machine, pid] = owner.split("-");
  const { mtimeMs } = await stat(part).catch(() => ({ mtimeMs: Date.now() }));
  if (owner === unowned || Date.now() - mtimeMs > abandonedAfter) return true;
  if (machine !== host) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Leaves a partial file to whoever comes next. */
async function release(part: string, target: string): Promise<void> {
  const free = partName(target, unowned);
  // The part last: whoever takes it finds what belongs to it.
  await rename(`${part}.json`, `${free}.json`).catch(() => {});
  await rename(part, free).catch(() => {});
}

/**
 * Puts a checked file into its place. What is known of it comes first, so that no file stands there without. A link takes no
 * place that is taken: another process may have put the same file there meanwhile, and read it, which a rename would pull away.
 */
async function settle(part: string, target: string): Promise<void> {
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
