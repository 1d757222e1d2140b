import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { addressWithoutSecrets } from "../secrets.js";
import { decoded, type ModelAddress, type Wanted } from "./addresses.js";
import { cacheDirectory, fileIdentity, keptSha256, recall, remember } from "./cache.js";
import {
  type Address,
  currentVersion,
  downloadError,
  type FileCheck,
  fetchedVersion,
  fetchFile,
  sameVersion,
  type Transfer,
  type Version,
} from "./download/index.js";
import { readPart } from "./gguf.js";
import type { RepositoryFile } from "./hubs/index.js";
import {
  addressAt,
  fewer,
  fileOfQuantization,
  lastFileOfQuantization,
  listFiles,
  passable,
  type ServedRepository,
  servedRepository,
  together,
} from "./repository.js";
import { partNames, splitName } from "./split.js";

/** How far a download is. */
export interface Fetching {
  /** The file's address without secrets. */
  name: string;
  bytes: number;
  /** Unknown where the server does not say. */
  total?: number;
  /** Which of how many files of a split model, from 1. */
  file: number;
  files: number;
}

/** What a download is told, and tells. */
export interface FetchOptions extends Pick<Transfer, "signal" | "patience" | "pause"> {
  /** Told as bytes of a download come. */
  fetching?: (state: Fetching) => void;
  /** Told what the user should know of a download: a server that was passed over, a damaged file. A sentence. */
  warning?: (message: string) => void;
  /** `matrix`: the file may be an importance matrix of before GGUF; `data`: whatever is no web page. */
  expect?: "gguf" | "matrix" | "data";
  /** Servers that hold what Hugging Face holds, asked in turn when it fails. */
  mirrors?: readonly string[];
}

/** A file that is to be fetched: the servers that have it, in turn, and where it belongs in the cache. */
export interface Remote {
  addresses: Address[];
  target: string;
}

const SPLIT_NAME = /-(\d{5})-of-(\d{5})\.gguf$/;
const SPLIT_NAME_WITHIN = /-(\d{5})-of-(\d{5})\.gguf(?=$|\?…$|#|@| at )/;
const MOST_PARTS = 1000;

/** An address that leads to a server. */
export type RemoteAddress = Extract<ModelAddress, { kind: "web" | "hub" }>;

/**
 * The files of a model that is fetched: one, or the parts of a split one in order. `known`: the repository's list of files,
 * where the caller has it.
 */
export async function remoteFiles(
  model: string,
  address: RemoteAddress,
  options: FetchOptions,
  known?: RepositoryFile[],
): Promise<Remote[]> {
  if (address.kind === "web") return webFiles(model, address);
  const place = servedRepository(address.hub, address.repository, model, options.mirrors);
  return hubFiles(place, address.wanted, transferOf(options), known);
}

function webFiles(model: string, { url, authorization, hub }: Extract<ModelAddress, { kind: "web" }>): Remote[] {
  const one = { url, shown: addressWithoutSecrets(model), ...definite({ authorization, hub: hub?.access }) };
  return namesOf(lastPart(url), one).map((name) => {
    const part = new URL(url);
    part.pathname = part.pathname.replace(SPLIT_NAME, name.match(SPLIT_NAME)?.[0] ?? "$&");
    return remote([{ ...one, url: part, shown: renamed(one.shown, name) }]);
  });
}

async function hubFiles(
  place: ServedRepository,
  wanted: Wanted,
  transfer: Transfer,
  known?: RepositoryFile[],
): Promise<Remote[]> {
  const file = "file" in wanted ? wanted.file : await fileOfQuantization(place, wanted.quant, transfer);
  const plain = placed(place, file);
  if (!place.hub.listFirst) return plain;
  const listed = known ?? (await listFiles(place, transfer).catch((error) => offline(error, plain, transfer)));
  return listed ? placed(place, file, listed) : plain;
}

/** Where the list cannot be had, a file that is in the cache will do; throws for one that is not. */
async function offline(error: unknown, files: readonly Remote[], { signal }: Transfer): Promise<undefined> {
  signal?.throwIfAborted();
  const fault = passable(error);
  if (!(await areKept(files))) throw fault;
}

/** The files of a model whose file in a repository is known, with what its list states of them. */
function placed(place: ServedRepository, file: string, listed?: RepositoryFile[]): Remote[] {
  const { hub, repository, endpoints } = place;
  const folder = file.slice(0, file.lastIndexOf("/") + 1);
  const first = addressAt(place, endpoints[0]!, 0);
  return namesOf(file.slice(folder.length), first).map((name) => {
    const path = `${folder}${name}`;
    const entry = listed?.find((one) => one.path === path);
    if (listed && !entry)
      throw downloadError(
        first,
        `${hub.title} has no file ${path} there`,
        "Check the name, with capitals and folders.",
      );
    const stated = entry ? { stated: definite({ bytes: entry.bytes, sha256: entry.sha256 }) } : {};
    return remote(
      endpoints.map((at, server) => {
        const address = addressAt(place, hub.file(at, repository, path), server);
        return { ...address, shown: renamed(address.shown, name), ...stated };
      }),
    );
  });
}

async function areKept(files: readonly Remote[]): Promise<boolean> {
  for (const { target } of files) if (!(await fetchedVersion(target))) return false;
  return true;
}

/** Whether the cache has a model, whatever its servers have by now: none is asked. */
export async function isKept(model: string, address: RemoteAddress, options: FetchOptions): Promise<boolean> {
  if (address.kind === "web") return areKept(webFiles(model, address));
  const place = servedRepository(address.hub, address.repository, model, options.mirrors);
  const { wanted } = address;
  const file = "file" in wanted ? wanted.file : await lastFileOfQuantization(place, wanted.quant);
  return file !== undefined && areKept(placed(place, file));
}

/** The names of a model's files by that of one of them. */
function namesOf(name: string, address: Address): string[] {
  const split = splitName(name);
  if (!split) return [name];
  if (split.count === 0 || split.count > MOST_PARTS)
    throw downloadError(address, `a model of ${split.count} parts is not fetched`, "Check the name.");
  return partNames(split);
}

/** An address as it is shown, with the name of another part. */
function renamed(shown: string, name: string): string {
  const part = name.match(SPLIT_NAME)?.[0];
  return part === undefined ? shown : shown.replace(SPLIT_NAME_WITHIN, part);
}

/**
 * The place of an address in the cache: a folder named after host and path, for people, and by a digest of the whole
 * address, so that two addresses never share a file. The parts of a split model lie in one folder. Mirrors hold what the first
 * server does, and its address stands for theirs.
 */
export function remote(addresses: Address[], root = modelsFolder()): Remote {
  const { url, authorization } = addresses[0]!;
  const user = authorization ? Buffer.from(authorization.slice(6), "base64").toString().split(":")[0] : "";
  const whole = `${url.protocol}//${user}@${url.host}${url.pathname.replace(SPLIT_NAME, "-of-$2.gguf")}${url.search}`;
  const digest = sha256(whole).slice(0, 16);
  const folder = url.pathname.split("/").slice(1, -1).map(decoded).join("_");
  const place = `${tame(folder)}${folder ? "-" : ""}${digest}`;
  return { addresses, target: join(root, tame(url.host), place, tame(lastPart(url)) || "model") };
}

/** Where models are kept. */
export const modelsFolder = () => join(cacheDirectory(), "models");

function lastPart(url: URL): string {
  return decoded(url.pathname.split("/").at(-1)!);
}

/** The name of a file on its way. */
export function nameOf({ addresses: [first] }: Remote): string {
  return lastPart(first!.url) || first!.shown;
}

/** A name that every file system takes; its end tells more than its beginning. */
function tame(name: string): string {
  const letters = [...name.normalize("NFC").replace(/[^\p{L}\p{N}._-]/gu, "_")].slice(-60).join("");
  return letters.replace(/^\.+/, (dots) => "_".repeat(dots.length));
}

export const transferOf = ({ signal, patience, pause }: FetchOptions): Transfer =>
  definite({ signal, patience, pause });
const checkOf = ({ expect = "gguf" }: FetchOptions): FileCheck =>
  ({ gguf: checkGguf, matrix: checkMatrix, data: checkData })[expect];

/** What the first server that answers says of a file. */
export async function versionNow({ addresses }: Remote, options: FetchOptions): Promise<Version | undefined> {
  for (const address of addresses) {
    const version = address.stated ?? (await currentVersion(address, transferOf(options)));
    if (version) return version;
  }
  return undefined;
}

/** Whether the cache has a file that its servers say they still have, or say nothing of. */
export async function isHere(file: Remote, options: FetchOptions): Promise<boolean> {
  const there = await fetchedVersion(file.target);
  if (!there) return false;
  const now = await versionNow(file, options);
  return (!now || sameVersion(there, now)) && (await isSound(file.target, checkOf(options)));
}

/**
 * Fetches what is not in the cache. What is there is used while its server says that it still has the same, or says nothing;
 * another version is fetched, and takes the place of the one before when it has come whole. Returns the first file's path.
 */
export async function fetchRemote(files: readonly Remote[], options: FetchOptions): Promise<string> {
  for (const [index, file] of files.entries()) {
    if (await isHere(file, options)) continue;
    const { target } = file;
    // A damaged file must not pass for the one that it was.
    const sound = await stat(target).then(
      () => isSound(target, checkOf(options)),
      () => true,
    );
    if (!sound) {
      if (await fetchedVersion(target))
        options.warning?.(`${target} was damaged since it was fetched, and is fetched anew`);
      await rm(target, { force: true }).catch(() => {});
    }
    await fromMirrors(file, index, files.length, options);
  }
  return files[0]!.target;
}

/** From the first server that has it; another that was passed over is told, with its reason. */
async function fromMirrors(file: Remote, index: number, count: number, options: FetchOptions): Promise<void> {
  const name = nameOf(file);
  const faults: BenchError[] = [];
  const servers = { endpoints: file.addresses };
  // What one server states of a file binds the others: theirs may state nothing, or hold something else.
  const binding = file.addresses.length > 1 ? await versionNow(file, options) : undefined;
  const known =
    binding?.sha256 === undefined ? {} : { stated: definite({ bytes: binding.bytes, sha256: binding.sha256 }) };
  for (const [server, address] of file.addresses.entries()) {
    let toldAt = 0;
    try {
      await fetchFile({ ...address, ...known }, file.target, checkOf(options), {
        ...fewer(servers, server, transferOf(options)),
        progress: (bytes, total) => {
          if (performance.now() - toldAt < BETWEEN_TELLINGS && bytes !== total && toldAt > 0) return;
          toldAt = performance.now();
          options.fetching?.({ ...{ name, bytes, file: index + 1, files: count }, ...definite({ total }) });
        },
      });
      if (faults.length > 0) options.warning?.(`${faults[0]!.message} It came from ${address.url.host} instead`);
      return;
    } catch (error) {
      options.signal?.throwIfAborted();
      faults.push(passable(error));
    }
  }
  throw together(faults);
}

/** Milliseconds: bytes come in thousands of pieces a second. */
const BETWEEN_TELLINGS = 500;

/** Whether a file in the cache has its form, and the bytes with which it came. */
async function isSound(path: string, check: FileCheck): Promise<boolean> {
  const identity = [fileIdentity(await stat(path, { bigint: true }))];
  const key = `${path} is as it came`;
  if (await recall<boolean>(key, identity)) return true;
  const formed = await check(path).then(
    () => true,
    () => false,
  );
  const came = (await fetchedVersion(path))?.sha256;
  const sound = formed && (came === undefined || (await keptSha256(path)) === came);
  if (sound) await remember(key, identity, true);
  return sound;
}

async function checkGguf(path: string): Promise<number | undefined> {
  const { end, sized } = await readPart(path);
  return sized ? end : undefined;
}

/** Importance matrices of before GGUF have no mark of their own: what is no page will do. */
async function checkMatrix(path: string): Promise<number | undefined> {
  return checkGguf(path).catch((error) => {
    if (!(error instanceof BenchError) || error.code !== "model-not-gguf" || /page|text|empty/.test(error.message))
      throw error;
    return undefined;
  });
}

/** Data have no mark of their own, but the page that a server sends in place of a file has one. */
async function checkData(path: string): Promise<undefined> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0);
    if (bytesRead === 0) throw new BenchError("dataset-invalid", `${path} is empty`);
    if (/^\s*<(!doctype\s+html|html)/i.test(buffer.toString("latin1", 0, bytesRead)))
      throw new BenchError("dataset-invalid", `${path} is a web page, not the file`);
  } finally {
    await file.close();
  }
}
