import { lstat, readdir, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { isFile } from "../folders.js";
import { addressWithoutSecrets } from "../secrets.js";
import { cacheDirectory, fileIdentity, recall, remember } from "./cache.js";
import {
  type Address,
  currentVersion,
  downloadError,
  type FileCheck,
  fetchedVersion,
  fetchFile,
  fetchJson,
  hubEndpoint,
  isHub,
  sameVersion,
  type Transfer,
} from "./download.js";
import { readPart } from "./gguf.js";

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

export interface SourceFolders {
  /** Where relative paths start: the benchmark file's folder, or the working directory. */
  baseDir: string;
  /** `--models-dir`: looked into after `baseDir`. */
  modelsDir?: string;
  /** Told as bytes of a download come. */
  fetching?: (state: Fetching) => void;
  /** Aborted when the user stops: a download ends at once, and what has come is kept. */
  signal?: AbortSignal;
  /** `matrix`: the file may be an importance matrix of before GGUF. */
  expect?: "gguf" | "matrix";
}

/** Schemes that the benchmark files of this project will know; named so that nobody looks for a folder `ms:`. */
const LATER = ["ms", "wisemodel", "ollama"];

/**
 * The file that a model string means: a path (absolute, or relative to the benchmark file, then to the models' folder;
 * `.gguf` may be left out; a split model by any part or by its stem), `hf:owner/repo:quant`, `hf:owner/repo/file.gguf`
 * or `https://…`, both downloaded into the user's cache. A split model resolves to its first part.
 *
 * Throws a BenchError: `model-missing`, `model-source` (a scheme that is not known), `model-download` or `disk`; the
 * signal's reason when it is aborted.
 */
export async function resolveModel(model: string, folders: SourceFolders): Promise<{ path: string }> {
  const scheme = model.match(/^([a-z][a-z0-9+.-]+):/i)?.[1]?.toLowerCase();
  if (isRemote(model)) return { path: await download(model, folders) };
  if (scheme && LATER.includes(scheme))
    throw new BenchError(
      "model-source",
      `"${addressWithoutSecrets(model)}": models from ${scheme}: cannot be fetched yet.`,
      {
        hint: "Download the GGUF file and give its path, or use hf:owner/repo:quant or https://…",
      },
    );
  if (scheme && scheme !== "file")
    throw new BenchError(
      "model-source",
      `"${addressWithoutSecrets(model)}": no source of models is named ${scheme}:.`,
      {
        hint: "A model is a path, hf:owner/repo:quant, hf:owner/repo/file.gguf or https://…",
      },
    );
  return { path: await find(scheme === "file" ? model.replace(/^file:(\/\/)?/, "") : model, folders) };
}

/** A file that is still to be fetched. */
export interface Unfetched {
  /** Without anything secret. */
  name: string;
  /** Of all its parts; absent when its server does not say. */
  bytes?: number;
}

/** What `resolveModel` would give, without fetching anything. Servers are asked for the version that they have. */
export async function locateModel(
  model: string,
  folders: SourceFolders,
): Promise<{ path: string } | { unfetched: Unfetched }> {
  if (!isRemote(model)) return resolveModel(model, folders);
  const transfer = transferOf(folders);
  const files = await remoteFiles(model, transfer);
  let missing = 0;
  for (const file of files)
    if (!(await isHere(file, folders))) missing += (await currentVersion(file.address, transfer))?.bytes ?? Number.NaN;
  if (missing === 0) return { path: files[0]!.target };
  const [{ address }] = files as [Remote];
  return { unfetched: { name: lastPart(address.url) || address.shown, ...(missing > 0 ? { bytes: missing } : {}) } };
}

/** Whether a model is fetched, rather than found on this machine. */
export function isRemote(model: string): boolean {
  return /^(hf|huggingface|https?):/i.test(model);
}

async function find(given: string, { baseDir, modelsDir }: SourceFolders): Promise<string> {
  const path = given.replace(/^~(?=\/)/, homedir());
  const places = isAbsolute(path) ? [path] : [resolve(baseDir, path), ...(modelsDir ? [resolve(modelsDir, path)] : [])];
  for (const place of places) {
    for (const candidate of [place, `${place}.gguf`]) if (await isFile(candidate)) return firstPart(candidate);
    const split = await splitStart(place.replace(/\.gguf$/, ""));
    if (split) return split;
  }
  const folder = await firstFolder(places);
  if (folder) {
    const models = (await ggufFiles(folder)).slice(0, 5);
    throw new BenchError("model-missing", `${folder} is a folder, not a model file.`, {
      hint: models.length > 0 ? `Name one of its models: ${models.join(", ")}.` : "It holds no .gguf file.",
    });
  }
  for (const place of places)
    if ((await lstat(place).catch(() => undefined))?.isSymbolicLink())
      throw new BenchError("model-missing", `${place} is a link to a file that is not there.`, {
        hint: "Mend the link, or name the file itself.",
      });
  throw new BenchError("model-missing", `There is no model ${places.join(" nor ")}.`, {
    hint: await suggestion(places),
  });
}

async function firstFolder(places: string[]): Promise<string | undefined> {
  for (const place of places) if ((await stat(place).catch(() => undefined))?.isDirectory()) return place;
  return undefined;
}

const PART = /-\d{5}-of-(\d{5})\.gguf$/;

/** A split model is opened by its first part. A first part that is missing is the reader's to complain of. */
async function firstPart(path: string): Promise<string> {
  const first = path.replace(PART, "-00001-of-$1.gguf");
  return (await isFile(first)) ? first : path;
}

async function splitStart(stem: string): Promise<string | undefined> {
  const parts = (await ggufFiles(dirname(stem))).filter(
    (name) => name.startsWith(`${basename(stem)}-`) && PART.test(name) && name.replace(PART, "") === basename(stem),
  );
  return parts.length > 0 ? join(dirname(stem), parts[0]!) : undefined;
}

async function ggufFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => name.endsWith(".gguf")).sort();
}

/** What there is where the model was looked for, names most alike first. */
async function suggestion(places: string[]): Promise<string> {
  const wanted = basename(places[0]!).replace(/\.gguf$/, "");
  const there: string[] = [];
  for (const folder of new Set(places.map(dirname))) {
    if (!(await firstFolder([folder]))) continue;
    there.push(...(await ggufFiles(folder)));
  }
  if (there.length === 0) return "No .gguf file is there; give the path, or the models' folder with --models-dir.";
  const alike = [...new Set(there)].sort((a, b) => likeness(b, wanted) - likeness(a, wanted));
  return `There: ${alike.slice(0, 4).join(", ")}${alike.length > 4 ? ` and ${alike.length - 4} more` : ""}.`;
}

/** Share of pairs of neighbouring letters that two names have in common (Dice's coefficient). */
function likeness(a: string, b: string): number {
  const pairs = (name: string) => new Set(Array.from(name.slice(1), (_, i) => name.slice(i, i + 2).toLowerCase()));
  const [left, right] = [pairs(a.replace(/\.gguf$/, "")), pairs(b)];
  return (2 * [...left].filter((pair) => right.has(pair)).length) / (left.size + right.size || 1);
}

// ---- Addresses

/** A file that is to be fetched, and where it belongs in the cache. */
interface Remote {
  address: Address;
  target: string;
}

/** The files of a model at `hf:…` or `https://…`: one, or the parts of a split one in order. */
async function remoteFiles(model: string, transfer: Transfer): Promise<Remote[]> {
  const shown = addressWithoutSecrets(model);
  const address = /^https?:/i.test(model) ? webAddress(model, shown) : await hubAddress(model, shown, transfer);
  const name = lastPart(address.url);
  const [, , count] = name.match(SPLIT_NAME) ?? [];
  if (!count) return [remote(address)];
  if (Number(count) === 0 || Number(count) > MOST_PARTS)
    throw downloadError(address, `a model of ${Number(count)} parts is not fetched`, "Check the name.");
  return Array.from({ length: Number(count) }, (_, index) => {
    const url = new URL(address.url);
    const number = String(index + 1).padStart(5, "0");
    url.pathname = url.pathname.replace(SPLIT_NAME, `-${number}-of-$2.gguf`);
    const own = address.shown.replace(SPLIT_NAME_WITHIN, `-${number}-of-$2.gguf`);
    return remote({ ...address, url, shown: own });
  });
}

const SPLIT_NAME = /-(\d{5})-of-(\d{5})\.gguf$/;
const SPLIT_NAME_WITHIN = /-(\d{5})-of-(\d{5})\.gguf(?=$|\?…$|#)/;
const MOST_PARTS = 1000;

/** User and password belong to the host of the address; a page of the hub stands for the file that it shows. */
function webAddress(model: string, shown: string): Address {
  if (!URL.canParse(model)) throw new BenchError("model-source", `"${shown}" is no address.`, { hint: ADDRESS_HINT });
  const url = new URL(model);
  const { username, password } = url;
  url.username = "";
  url.password = "";
  url.hash = "";
  if (url.hostname === "hf.co") url.hostname = "huggingface.co";
  if (isHub(url)) {
    url.pathname = url.pathname.replace(/^(\/[^/]+\/[^/]+)\/blob\//, "$1/resolve/");
    url.searchParams.delete("download");
  }
  if (/\.part\d+of\d+$/.test(url.pathname))
    throw new BenchError("model-source", `"${shown}" is a piece of a file that was cut by bytes.`, {
      hint: "Fetch all pieces, join them with `cat`, and give the path of the whole.",
    });
  const basic = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString("base64");
  return { url, shown, ...(username || password ? { authorization: `Basic ${basic}` } : {}) };
}

const ADDRESS_HINT = "A model is a path, hf:owner/repo:quant, hf:owner/repo/file.gguf or https://…";

/** `hf:owner/repo/folder/file.gguf#branch`, or `hf:owner/repo:quant`, of which the hub says which file it is. */
async function hubAddress(model: string, shown: string, transfer: Transfer): Promise<Address> {
  const [, owner, repo, file, branch = "main"] =
    model.match(/^[a-z]+:(?:\/\/)?([^/?#]+)\/([^/?#]+)(?:\/([^?#]+))?(?:#([^?]+))?$/i) ?? [];
  if (!owner || !repo || (repo.includes(":") && file))
    throw new BenchError("model-source", `"${shown}" is no file of a hub.`, { hint: ADDRESS_HINT });
  if (file) return { url: hubFile([owner, repo, "resolve", branch, ...file.split("/")]), shown };
  const [name, tag = "latest"] = repo.split(/:(.*)/s);
  const found = await quantFile(owner, name!, tag, shown, transfer);
  return { url: hubFile([owner, name!, "resolve", "main", ...found.split("/")]), shown };
}

function hubFile(parts: string[]): URL {
  return new URL(parts.map(encodeURIComponent).join("/"), hubEndpoint());
}

/** The file that a hub gives for a quantization, as llama.cpp asks for it; the last answer stands in for a hub that is not reached. */
async function quantFile(owner: string, repo: string, tag: string, shown: string, transfer: Transfer): Promise<string> {
  const url = hubFile(["v2", owner, repo, "manifests", tag]);
  try {
    // Only llama.cpp is told the file.
    const manifest = await fetchJson({ url, shown }, "llama-cpp", transfer);
    const name = (manifest as { ggufFile?: { rfilename?: unknown } } | null)?.ggufFile?.rfilename;
    if (typeof name !== "string" || !/^[^/\\]/.test(name) || name.split("/").includes(".."))
      throw new BenchError("model-download", `${shown} could not be fetched: the hub names no GGUF file for it.`, {
        hint: `Name the file itself: hf:${owner}/${repo}/FILE.gguf.`,
      });
    await remember(url.href, [], name);
    return name;
  } catch (error) {
    transfer.signal?.throwIfAborted();
    const before = await recall<string>(url.href, []);
    if (before !== undefined) return before;
    throw error;
  }
}

/**
 * The place of an address in the cache: a folder named after host and path, for people, and by a digest of the whole
 * address, so that two addresses never share a file. The parts of a split model lie in one folder.
 */
function remote(address: Address): Remote {
  const { url, authorization } = address;
  const user = authorization ? Buffer.from(authorization.slice(6), "base64").toString().split(":")[0] : "";
  const whole = `${url.protocol}//${user}@${url.host}${url.pathname.replace(SPLIT_NAME, "-of-$2.gguf")}${url.search}`;
  const digest = sha256(whole).slice(0, 16);
  const folder = url.pathname.split("/").slice(1, -1).map(decoded).join("_");
  const place = `${tame(folder)}${folder ? "-" : ""}${digest}`;
  return { address, target: join(cacheDirectory(), "models", tame(url.host), place, tame(lastPart(url)) || "model") };
}

function lastPart(url: URL): string {
  return decoded(url.pathname.split("/").at(-1)!);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** A name that every file system takes; its end tells more than its beginning. */
function tame(name: string): string {
  const letters = [...name.normalize("NFC").replace(/[^\p{L}\p{N}._-]/gu, "_")].slice(-60).join("");
  return letters.replace(/^\.+/, (dots) => "_".repeat(dots.length));
}

const transferOf = ({ signal }: SourceFolders): Transfer => (signal ? { signal } : {});
const checkOf = ({ expect = "gguf" }: SourceFolders) => (expect === "gguf" ? checkGguf : checkMatrix);

/** Whether the cache has a file that its server says it still has, or says nothing of. */
async function isHere({ address, target }: Remote, folders: SourceFolders): Promise<boolean> {
  const there = await fetchedVersion(target);
  if (!there) return false;
  const now = await currentVersion(address, transferOf(folders));
  return (!now || sameVersion(there, now)) && (await isSound(target, checkOf(folders)));
}

/**
 * Fetches what is not in the cache. What is there is used while the server says that it still has the same, or says
 * nothing; another version is fetched, and takes the place of the one before when it has come whole.
 */
async function download(model: string, folders: SourceFolders): Promise<string> {
  const transfer = transferOf(folders);
  const files = await remoteFiles(model, transfer);
  for (const [index, file] of files.entries()) {
    if (await isHere(file, folders)) continue;
    const { address, target } = file;
    // A damaged file must not pass for the one that it was.
    if (
      !(await stat(target).then(
        () => isSound(target, checkOf(folders)),
        () => true,
      ))
    )
      await rm(target, { force: true }).catch(() => {});
    const name = lastPart(address.url) || address.shown;
    let toldAt = 0;
    await fetchFile(address, target, checkOf(folders), {
      ...transfer,
      progress: (bytes, total) => {
        if (performance.now() - toldAt < BETWEEN_TELLINGS && bytes !== total && toldAt > 0) return;
        toldAt = performance.now();
        folders.fetching?.({
          ...{ name, bytes, file: index + 1, files: files.length },
          ...definite({ total }),
        });
      },
    });
  }
  return files[0]!.target;
}

/** Milliseconds: bytes come in thousands of pieces a second. */
const BETWEEN_TELLINGS = 500;

async function isSound(path: string, check: FileCheck): Promise<boolean> {
  const identity = [fileIdentity(await stat(path, { bigint: true }))];
  const key = `${path} is sound`;
  if (await recall<boolean>(key, identity)) return true;
  const sound = await check(path).then(
    () => true,
    () => false,
  );
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
