import { isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { isFile } from "../folders.js";
import type { FoundDataset } from "./cards.js";
import type { Card, DataFolders } from "./data.js";

/** Where a file of a dataset may be, best first. */
function places(card: Card, file: string, cardDir: string, dataDir: string | undefined): string[] {
  return [...(dataDir ? [join(dataDir, card.folder ?? card.name, file)] : []), join(cardDir, file)];
}

export async function locateFile(card: Card, file: string, cardDir: string, dataDir: string | undefined) {
  for (const path of places(card, file, cardDir, dataDir)) if (await isFile(path)) return path;
  return undefined;
}

/** The error for a file of a dataset that is not on this machine: where it comes from, and where it belongs. */
export function missingData({ card, cardDir }: FoundDataset, file: string, dataDir: string | undefined): BenchError {
  const folder = card.folder ?? card.name;
  const tried = places(card, file, cardDir, dataDir).join(" nor ");
  return new BenchError("dataset-missing", `The data of ${card.name} are not here: there is no ${tried}.`, {
    hint:
      `Get ${file} from ${card.source} (${card.licence}) and put it at ${join(dataDir ?? "DATA_DIR", folder, file)}` +
      (dataDir ? "." : ", then give --data-dir DATA_DIR."),
  });
}

/** A file given instead of the card's: a path, or the name of a file beside the card's own. */
export async function otherFile(file: string, { card, cardDir }: FoundDataset, { baseDir, dataDir }: DataFolders) {
  const candidates = [resolve(baseDir, file), ...(isAbsolute(file) ? [] : places(card, file, cardDir, dataDir))];
  for (const path of candidates) if (await isFile(path)) return path;
  throw new BenchError("dataset-missing", `There is no file ${candidates.join(" nor ")} of ${card.name}.`);
}

/** A file of data as it was read: its text byte for byte, and the digest of those bytes. */
interface ReadFile {
  text: string;
  sha256: string;
  bytes: number;
}

// Above it a text no longer fits into one JavaScript string.
const LARGEST = 512 * 1024 * 1024 - 1024;

/** A file's text, byte for byte: a byte order mark and CR LF stay in it. */
export async function readUtf8(path: string): Promise<ReadFile> {
  const { size } = await stat(path);
  if (size > LARGEST)
    throw new BenchError("dataset-invalid", `${path} has ${size} bytes; at most ${LARGEST} can be read.`, {
      hint: "Cut it: the first few megabytes are enough for a perplexity.",
    });
  const data = await readFile(path);
  if (data.length === 0) throw new BenchError("dataset-invalid", `${path} is empty.`);
  if (data.toString("latin1", 0, 4) === "GGUF")
    throw new BenchError("dataset-invalid", `${path} is a GGUF file, not a text.`, {
      hint: "Models go before the options.",
    });
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

/** In which way a file is not the one that the card describes. */
export function difference(card: Card, path: string, { sha256, bytes }: { sha256: string; bytes: number }) {
  const published = card.files[basename(path)];
  if (published?.sha256 === sha256) return undefined;
  const name = basename(path);
  if (published) return `${name} differs from the published data: sha256 ${sha256.slice(0, 12)}…, ${bytes} bytes`;
  if (name === card.file) return undefined; // the card states no digest
  return `${name} was measured instead of ${card.file}: sha256 ${sha256.slice(0, 12)}…, ${bytes} bytes`;
}

export function noted(notes: (string | false | undefined)[]): { note?: string } {
  const said = notes.filter(Boolean);
  return said.length > 0 ? { note: said.join("; ") } : {};
}

/** The beginning of a text, as a message quotes it. */
export function excerpt(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
