import { isUtf8 } from "node:buffer";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";
import { sha256 } from "../digest.js";
import { BenchError, messageOf } from "../errors.js";
import { isFile } from "../folders.js";
import { cacheDirectory } from "../models/cache.js";
import type { FoundDataset } from "./cards.js";
import { type Card, type DataFolders, measuredFile } from "./data.js";

/** The folders of a dataset, best first. */
function foldersFor(card: NamedCard, cardDir: string, dataDir: string | undefined): string[] {
  const own = card.folder ?? card.name;
  return [...new Set([...(dataDir ? [join(dataDir, own)] : []), cardDir, join(fetchedData(), own)])];
}

type NamedCard = Pick<Card, "name" | "folder">;

/** Where data are fetched to, unless a data directory is named: every run looks there, too. */
export const fetchedData = () => join(cacheDirectory(), "datasets");

/** Where a file of a dataset belongs, best first. */
function places(card: NamedCard, file: string, cardDir: string, dataDir: string | undefined): string[] {
  return foldersFor(card, cardDir, dataDir).map((folder) => join(folder, file));
}

/** Archives unpack into folders of their own: so deep, and in so many, a dataset's files are looked for. */
const [deepest, most] = [3, 500];

/**
 * The folder that a file of a dataset is in, or any file of a pattern with {subject}: one of the dataset's folders, or a folder
 * in it. Undefined if there is none.
 */
export async function folderOf(card: NamedCard, file: string, cardDir: string, dataDir: string | undefined) {
  const isThere = async (folder: string) =>
    file.includes("{subject}") ? (await subjectFiles(folder, file)).size > 0 : isFile(join(folder, file));
  for (const own of foldersFor(card, cardDir, dataDir)) {
    for (let [level, depth, left] = [[own], 0, most]; depth <= deepest && level.length > 0; depth++) {
      for (const folder of level) if (await isThere(folder)) return folder;
      level = (await Promise.all(level.map(foldersIn))).flat().slice(0, left);
      left -= level.length;
    }
  }
  return undefined;
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names = entries.filter((entry) => entry.isDirectory() && !/^[._]/.test(entry.name)).map(({ name }) => name);
  return names.sort().map((name) => join(folder, name));
}

export async function locateFile(card: NamedCard, file: string, cardDir: string, dataDir: string | undefined) {
  const folder = await folderOf(card, file, cardDir, dataDir);
  return folder === undefined ? undefined : join(folder, file);
}

/** Paths by the name that stands for {subject}. A name with a dot in front is a file that some system put there. */
export async function subjectFiles(folder: string, pattern: string): Promise<Map<string, string>> {
  const segments = pattern.split("/");
  const at = segments.findIndex((segment) => segment.includes("{subject}"));
  const parts = segments[at]!.split("{subject}").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const named = new RegExp(`^${parts.join("([^.].*)")}$`);
  const found = new Map<string, string>();
  for (const entry of await readdir(join(folder, ...segments.slice(0, at))).catch(() => [])) {
    const name = named.exec(entry)?.[1];
    if (name === undefined) continue;
    const path = join(folder, pattern.replaceAll("{subject}", name));
    if (await isFile(path)) found.set(name, path);
  }
  return found;
}

/** The error for a file of a dataset that is not on this machine: where it comes from, and where it belongs. */
export function missingData(
  { card, cardDir }: FoundDataset,
  file: string,
  dataDir: string | undefined,
  what = "data",
): BenchError {
  const folder = card.folder ?? card.name;
  const tried = places(card, file, cardDir, dataDir)
    .filter((path) => !path.startsWith(fetchedData()))
    .join(" nor ");
  const byHand =
    `get ${file} from ${card.source} (${card.licence}) and put it at ${join(dataDir ?? "DATA_DIR", folder, file)}` +
    (dataDir ? "." : ", then give --data-dir DATA_DIR.");
  const absent = `The ${what} of ${card.name} are not here:`;
  if (card.fetch)
    return new BenchError("dataset-missing", `${absent} \`gguf-bench fetch ${card.name}\` gets them`, {
      hint: `Or ${byHand}`,
    });
  return new BenchError("dataset-missing", `${absent} there is no ${tried}.`, { hint: byHand });
}

/** A file given instead of the card's: a path, or the name of a file beside the card's own. */
export async function otherFile(file: string, { card, cardDir }: FoundDataset, { baseDir, dataDir }: DataFolders) {
  const path = resolve(baseDir, file);
  if (await isFile(path)) return path;
  const beside = isAbsolute(file) ? undefined : await locateFile(card, file, cardDir, dataDir);
  if (beside !== undefined) return beside;
  const tried = [path, ...(isAbsolute(file) ? [] : places(card, file, cardDir, dataDir))].join(" nor ");
  throw new BenchError("dataset-missing", `There is no file ${tried} of ${card.name}.`);
}

/** A file of data as it was read: its text byte for byte, and the digest of those bytes. */
interface ReadFile {
  text: string;
  sha256: string;
  bytes: number;
}

/** What a file is whose bytes begin so. */
const otherKinds = [
  { begins: "GGUF", is: "GGUF file", hint: "Models go before the options." },
  { begins: "PAR1", is: "Parquet file", hint: "Say `format: parquet` in its card, or give it the ending .parquet." },
  { begins: "PK\x03\x04", is: "zip archive", hint: "Unpack it first." },
  { begins: "\x1f\x8b", is: "gzip archive", hint: "Unpack it first." },
  { begins: "BZh91AY&SY", is: "bzip2 archive", hint: "Unpack it first." },
];

// Above it a text no longer fits into one JavaScript string.
const LARGEST = 512 * 1024 * 1024 - 1024;

/** All bytes of a file, at least one. */
export async function bytesOf(path: string): Promise<Buffer> {
  const fault = (cause: unknown) =>
    new BenchError("dataset-invalid", `${path} cannot be read: ${messageOf(cause)}`, { cause });
  const { size } = await stat(path).catch((cause) => Promise.reject(fault(cause)));
  if (size > LARGEST)
    throw new BenchError("dataset-invalid", `${path} has ${size} bytes; at most ${LARGEST} can be read.`, {
      hint: "Cut it: the first few megabytes are enough for a perplexity.",
    });
  const data = await readFile(path).catch((cause) => Promise.reject(fault(cause)));
  if (data.length === 0) throw new BenchError("dataset-invalid", `${path} is empty.`);
  return data;
}

/** A file's text, byte for byte: a byte order mark and CR LF stay in it. */
export async function readUtf8(path: string): Promise<ReadFile> {
  const data = await bytesOf(path);
  const other = otherKinds.find(({ begins }) => data.toString("latin1", 0, begins.length) === begins);
  if (other) throw new BenchError("dataset-invalid", `${path} is a ${other.is}, not a text.`, { hint: other.hint });
  if (!isUtf8(data)) throw notUtf8(path, data);
  const zero = data.indexOf(0);
  if (zero >= 0)
    throw new BenchError("dataset-invalid", `${path}:${lineOf(data, zero)}: byte ${zero} is 0, which no text holds.`, {
      hint: "If it is text: iconv -f UTF-16LE -t UTF-8 FILE (or UTF-16BE); else it is another kind of file.",
    });
  return { text: data.toString("utf8"), sha256: sha256(data), bytes: data.length };
}

/** Says where: one stray byte in megabytes is the usual case, and a conversion would spoil the rest. */
function notUtf8(path: string, data: Buffer): BenchError {
  if ((data[0] === 0xff && data[1] === 0xfe) || (data[0] === 0xfe && data[1] === 0xff))
    return new BenchError("dataset-invalid", `${path} is not UTF-8 but UTF-16.`, {
      hint: "If it is text: iconv -f UTF-16 -t UTF-8 FILE.",
    });
  // Decoding puts U+FFFD for what it cannot read; one that the file itself holds has its three bytes there.
  const text = data.toString("utf8");
  let [at, from] = [0, 0];
  for (;;) {
    const index = text.indexOf("\ufffd", from);
    at += Buffer.byteLength(text.slice(from, index));
    if (data.readUIntBE(at, Math.min(3, data.length - at)) !== 0xefbfbd) break;
    at += 3;
    from = index + 1;
  }
  const byte = `0x${data[at]!.toString(16).padStart(2, "0")}`;
  return new BenchError("dataset-invalid", `${path}:${lineOf(data, at)}: byte ${at} (${byte}) is not UTF-8 text.`, {
    hint: "Mend it if it stands alone; if all is in another encoding: iconv -f GB18030 -t UTF-8 FILE (name its own).",
  });
}

function lineOf(data: Buffer, offset: number): number {
  let line = 1;
  for (let at = data.indexOf(10); at >= 0 && at < offset; at = data.indexOf(10, at + 1)) line++;
  return line;
}

/** In which way a file is not the one that the card describes. `file`: the card's name for the one that it should be. */
export function difference(
  card: Card,
  path: string,
  { sha256, bytes }: { sha256: string; bytes: number },
  file = measuredFile(card),
) {
  const name = basename(path);
  const isOther = name !== basename(file);
  const published = (isOther ? undefined : card.files[file]) ?? card.files[name];
  if (published?.sha256 === sha256) return undefined;
  if (published) return `${name} differs from the published data: sha256 ${sha256.slice(0, 12)}…, ${bytes} bytes`;
  if (!isOther) return undefined; // the card states no digest
  return `${name} was measured instead of ${file}: sha256 ${sha256.slice(0, 12)}…, ${bytes} bytes`;
}

export function noted(notes: (string | false | undefined)[]): { note?: string } {
  const said = notes.filter(Boolean);
  return said.length > 0 ? { note: said.join("; ") } : {};
}

/** The beginning of a text, as a message quotes it. */
export function excerpt(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
