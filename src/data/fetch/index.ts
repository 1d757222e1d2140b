import { randomUUID } from "node:crypto";
import { lstat, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { sha256, sha256OfFile } from "../../digest.js";
import { BenchError, systemCode, writeRemedy } from "../../errors.js";
import { makeFolder } from "../../folders.js";
import { several } from "../../harmless.js";
import { isRunning, thisProcess } from "../../models/owner.js";
import { type FetchOptions, fetchRemote, type Remote } from "../../models/remote.js";
import { bytes as inUnits } from "../../units.js";
import { nearest } from "../../yaml.js";
import { findCards, openCard } from "../cards.js";
import { cardKeys, type DataFolders, isWithin } from "../data.js";
import { fetchedData, locateFile } from "../files.js";
import { isFree } from "./licence.js";
import { remoteData } from "./remote.js";
import { unpacked } from "./zip.js";

const { name, title, source, licence, folder, fetch } = cardKeys;
const form = z.looseObject({ name, title, source, licence, folder, fetch, file: z.string().optional() });

/** A dataset as far as fetching its data asks of its card. */
export type FetchCard = z.output<typeof form>;
type Fetchable = NonNullable<FetchCard["fetch"]>[number];

/** Data that lie on this machine, complete as far as the card says. */
export interface DataHere {
  folder: string;
  files: number;
  bytes: number;
}

/** A dataset's card, and its file where it needs no fetching: the package has it, or the user put it there. */
export interface FoundFetchable {
  card: FetchCard;
  path?: string;
}

/** The dataset of this name, or of the card in the folder of this path. Throws a BenchError `dataset-unknown`, or `dataset-card`. */
export async function findFetchable(nameOrPath: string, { baseDir, dataDir }: DataFolders): Promise<FoundFetchable> {
  const known = await findCards({ dataDir });
  const found = known.find((one) => one.name === nameOrPath) ?? (await openCard(resolve(baseDir, nameOrPath)));
  if (!found)
    throw new BenchError("dataset-unknown", `There is no dataset "${nameOrPath}"`, {
      hint: `${nearest(
        nameOrPath,
        known.map((one) => one.name),
      )} Models are fetched by address: hf:owner/repo:quant.`,
    });
  if ("fault" in found.read) throw found.read.fault;
  const { file } = found.read;
  const card = file.check(form, file.value, []);
  if (card.fetch) return { card };
  const path = card.file && (await locateFile(card, card.file, found.dir, dataDir));
  if (path) return { card, path };
  throw new BenchError("dataset-missing", `${card.name} cannot be fetched: its card names no files to fetch`, {
    hint: byHand(card, dataDir),
  });
}

/** How to get the data without this program; `card.source` is for people, but for that of the Hub there is a command. */
function byHand(card: FetchCard, dataDir: string | undefined): string {
  const place = join(dataDir ?? "DATA_DIR", folderOf(card));
  const onHub = /^https:\/\/huggingface\.co\/datasets\/([\w.-]+\/[\w.-]+)\/?$/.exec(card.source)?.[1];
  if (onHub) return `By hand (${card.licence}): hf download ${onHub} --repo-type dataset --local-dir ${place}`;
  return `Get it from ${card.source} (${card.licence}) and put it into ${place}.`;
}

const folderOf = (card: FetchCard) => card.folder ?? card.name;

/** Whether the data may be used by everybody for everything; others are fetched when the user has accepted their licence. */
export const needsAcceptance = (card: FetchCard) => card.fetch !== undefined && !isFree(card.licence);

/** The data of a card where `fetchData` would put them, if all are there. */
export async function dataHere(card: FetchCard, dataDir: string | undefined): Promise<DataHere | undefined> {
  const place = placeFor(card, dataDir);
  const record = await readRecord(place);
  for (const entry of card.fetch ?? []) if (!(await isHere(place, record, entry))) return undefined;
  return summed(place, record, card);
}

/**
 * Brings the data of a card into `<data-dir>/<folder>`, or into the user's cache, where every run looks. Archives are fetched
 * into the cache, unpacked beside the folder, and moved there when they are whole; what was there before and did not come from here
 * stays as it is. What is there already is not fetched again: no server is asked.
 *
 * Throws a BenchError: `model-download`, `dataset-invalid`, `disk`, `folder`; the signal's reason when it is aborted.
 */
export async function fetchData(
  card: FetchCard,
  dataDir: string | undefined,
  options: FetchOptions,
): Promise<DataHere> {
  const place = placeFor(card, dataDir);
  const record = await readRecord(place);
  const root = dirname(place);
  makeFolder(root, otherFolder);
  await removeAbandoned(root);
  const draft = join(root, `.${basename(place)}.${thisProcess}-${randomUUID().slice(0, 8)}.unpacking`);
  const archives: string[] = [];
  try {
    const files: Record<string, string[]> = {};
    for (const entry of card.fetch ?? []) {
      options.signal?.throwIfAborted();
      if (await isHere(place, record, entry)) continue;
      const remote = remoteData(entry.url, entry.sha256, options.mirrors);
      archives.push(remote.target);
      await onDisk(draft, async () => {
        files[keyOf(entry)] = await bring(entry, remote, draft, options).catch((fault: unknown) => {
          if (!(fault instanceof BenchError) || fault.code !== "model-download") throw fault;
          const hint = [fault.hint ?? [], byHand(card, dataDir)].flat().join(" ");
          throw new BenchError(fault.code, fault.message, { hint, cause: fault.cause });
        });
      });
    }
    const stays = await onDisk(place, () => settle(draft, place, record));
    if (stays.length > 0)
      options.warning?.(`${stays.length} files in ${place} are other ones and stay as they are: ${several(stays, 3)}`);
    for (const [key, paths] of Object.entries(files)) record[key] = await sizes(place, paths);
    await onDisk(place, () => writeRecord(place, record));
    for (const archive of archives) await rm(dirname(archive), { recursive: true, force: true });
    return summed(place, record, card);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Throws for a folder that leads out of the data directory: cards come from others, too. */
function placeFor(card: FetchCard, dataDir: string | undefined): string {
  const own = folderOf(card);
  if (!isWithin(own))
    throw new BenchError("dataset-card", `the card of ${card.name} names a folder outside the data directory: ${own}`);
  return resolve(dataDir ?? fetchedData(), own);
}

/** Fetches one file and puts it, or what is in it, into the draft of the folder. Returns their paths. */
async function bring(entry: Fetchable, remote: Remote, draft: string, options: FetchOptions): Promise<string[]> {
  const archive = await fetchRemote([remote], { ...options, expect: "data" });
  const shown = remote.addresses[0]!.shown;
  const data = await readFile(archive);
  const paths: string[] = [];
  const put = async (path: string, bytes: Uint8Array) => {
    options.signal?.throwIfAborted();
    const target = join(draft, path);
    makeFolder(dirname(target), otherFolder);
    await checkRoom(draft, bytes.length);
    await writeFile(target, bytes, { flag: "wx", flush: true });
    paths.push(path);
  };
  if (entry.unpack === undefined) await put(entry.to ?? basename(archive), data);
  else for (const { path, data: bytes } of unpacked(data, shown, entry)) await put(join(entry.to ?? "", path), bytes);
  return paths;
}

async function checkRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder);
  if (blocks > 0 && bytes > bavail * bsize)
    throw new BenchError("disk", `no room in ${dirname(folder)}: ${inUnits(bytes)} are to come`, {
      hint: "Make room, or name another folder with --data-dir.",
    });
}

/** What the user can do where a folder cannot be made. */
const otherFolder = "name another one with --data-dir";

async function onDisk<Result>(place: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (cause) {
    const code = systemCode(cause);
    if (cause instanceof BenchError || code === undefined || code === "ABORT_ERR") throw cause;
    const why =
      code === "EEXIST"
        ? "two files of its archives have one name"
        : `${dirname(place)} cannot be written to (${code})`;
    throw new BenchError("disk", `the data could not be kept: ${why}`, {
      hint: `${writeRemedy(cause)}, or name another folder with --data-dir`,
      cause,
    });
  }
}

/**
 * Puts a whole draft into its place: at once where there is none, else file by file. Returns the files that stay because they were not
 * put there by an earlier fetch and differ.
 */
async function settle(draft: string, place: string, record: FetchRecord): Promise<string[]> {
  if (!(await stat(draft).catch(() => undefined))) return [];
  try {
    // An empty folder in its place is replaced, any other is not.
    await rename(draft, place);
    return [];
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST", "EPERM"].includes(systemCode(error) ?? "")) throw error;
  }
  const fetched = new Map(Object.values(record).flatMap((files) => Object.entries(files)));
  const stays: string[] = [];
  for (const path of await filesBelow(draft)) {
    const [from, to] = [join(draft, path), join(place, path)];
    const there = await lstat(to).catch(() => undefined);
    if (there && !(there.isFile() && fetched.get(path) !== undefined)) {
      const same = there.isFile() && (await sha256OfFile(from)) === (await sha256OfFile(to));
      if (!same) stays.push(path);
      continue;
    }
    makeFolder(dirname(to), otherFolder);
    await rename(from, to);
  }
  return stays;
}

async function filesBelow(root: string): Promise<string[]> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

/** Drafts of processes that were killed. */
async function removeAbandoned(root: string): Promise<void> {
  for (const name of await readdir(root).catch(() => [])) {
    const owner = name.match(/^\..+\.(\w+-\d+)-[0-9a-f]{8}\.unpacking$/)?.[1];
    if (owner !== undefined && isRunning(owner) === false)
      await rm(join(root, name), { recursive: true, force: true }).catch(() => {});
  }
}

// ---- What was fetched into a folder, by the entry of a card

/** By entry: the bytes of each file by its path. */
type FetchRecord = Record<string, Record<string, number>>;
const recordForm = z.record(z.string(), z.record(z.string(), z.number()));
const recordName = ".fetched.json";

/** The same entry in two cards brings the same files. */
const keyOf = ({ url, ...entry }: Fetchable) =>
  sha256(JSON.stringify([[url].flat(), Object.entries(entry).sort()])).slice(0, 16);

async function readRecord(place: string): Promise<FetchRecord> {
  try {
    return recordForm.parse(JSON.parse(await readFile(join(place, recordName), "utf8")));
  } catch {
    return {};
  }
}

async function writeRecord(place: string, record: FetchRecord): Promise<void> {
  const draft = join(place, `${recordName}.${randomUUID()}`);
  makeFolder(place, otherFolder);
  await writeFile(draft, `${JSON.stringify(record, null, 1)}\n`);
  await rename(draft, join(place, recordName));
}

async function sizes(place: string, paths: readonly string[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const path of paths) found[path] = (await stat(join(place, path))).size;
  return found;
}

async function isHere(place: string, record: FetchRecord, entry: Fetchable): Promise<boolean> {
  const files = record[keyOf(entry)];
  if (!files) return false;
  for (const [path, bytes] of Object.entries(files)) {
    const there = await stat(join(place, path)).catch(() => undefined);
    if (there?.isFile() !== true || there.size !== bytes) return false;
  }
  return true;
}

function summed(folder: string, record: FetchRecord, card: FetchCard): DataHere {
  const own = (card.fetch ?? []).flatMap((entry) => Object.entries(record[keyOf(entry)] ?? {}));
  const files = new Map(own);
  return { folder, files: files.size, bytes: [...files.values()].reduce((sum, one) => sum + one, 0) };
}
