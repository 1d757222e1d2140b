import zlib from "node:zlib";
import { type UnzipFileInfo, unzipSync } from "fflate";
import { definite } from "../../definite.js";
import { BenchError, messageOf } from "../../errors.js";
import { isWithin } from "../data.js";

/** A file in an archive. */
interface Packed {
  /** Its place in the archive's directory. */
  index: number;
  /** Where it goes, below the folder that the archive is unpacked into. */
  path: string;
  bytes: number;
  crc: number;
}

const mostFiles = 5_000;
/** Bytes of one file, and of all of them. */
const largestFile = 1 << 30;
const mostBytes = 4 * (1 << 30);
/** Texts become a tenth at best. An archive that grows more, beyond what fits anywhere, was made to fill disks. */
const mostGrowth = 100;
const harmlessBytes = 64 << 20;
/** Bytes that are in memory at once, besides the archive and as far as one file is not larger. */
const group = 64 << 20;

/** What a card says of an archive's files. */
export interface Unpacking {
  /** Folders at the beginning of paths that are left out. */
  strip?: number | undefined;
  /** Paths, `*` for anything; absent for all. */
  only?: readonly string[] | undefined;
}

/**
 * The files of a zip archive, one after another, all of them checked before the first. Folders, hidden files and what macOS adds
 * are passed over.
 *
 * Throws a BenchError `dataset-invalid` for an archive that is damaged, encrypted or empty, for a path that leads out of its folder,
 * for a link, for a dataset's card, and for one that would grow beyond bounds.
 */
export function* unpacked(
  archive: Uint8Array,
  name: string,
  unpacking: Unpacking = {},
): Generator<{ path: string; data: Uint8Array }> {
  const entries = entriesOf(archive, name, unpacking);
  for (let at = 0; at < entries.length; ) {
    const some: Packed[] = [];
    for (let bytes = 0; at < entries.length && (some.length === 0 || bytes + entries[at]!.bytes <= group); at++) {
      some.push(entries[at]!);
      bytes += entries[at]!.bytes;
    }
    const wanted = new Map(some.map((entry) => [entry.index, entry]));
    const names = new Map<string, Packed>();
    let index = 0;
    const files = whole(name, () =>
      unzipSync(archive, {
        filter: ({ name }) => {
          const entry = wanted.get(index++);
          if (entry) names.set(name, entry);
          return entry !== undefined;
        },
      }),
    );
    for (const [inArchive, { path, bytes, crc }] of names) {
      const data = files[inArchive];
      if (!data || data.length !== bytes || (crc32 && crc32(data) !== crc))
        throw refused(name, `${path} in it is damaged`, again);
      yield { path, data };
    }
  }
}

// Not in the first releases of Node 20.
const crc32: ((data: Uint8Array) => number) | undefined = zlib.crc32;

const again = "The same command fetches it anew.";

function refused(name: string, reason: string, hint?: string): BenchError {
  return new BenchError("dataset-invalid", `the archive ${name} is not unpacked: ${reason}`, definite({ hint }));
}

function whole<Result>(name: string, action: () => Result): Result {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof BenchError) throw cause;
    throw refused(name, `it is no zip archive, or damaged (${messageOf(cause)})`, again);
  }
}

/** The files that are wanted, in the archive's order. */
function entriesOf(archive: Uint8Array, name: string, { strip = 0, only }: Unpacking): Packed[] {
  const all: (UnzipFileInfo & Attributes)[] = [];
  whole(name, () => {
    const attributes = attributesOf(archive);
    unzipSync(archive, {
      filter: (file) => {
        const own = attributes.next();
        if (own.done) throw refused(name, "its directory is damaged", again);
        if (all.push({ ...file, ...own.value }) > mostFiles)
          throw refused(name, `it holds more than ${mostFiles} files`);
        return false;
      },
    });
  });
  const wanted = only && new RegExp(`^(?:${only.map(pattern).join("|")})$`, "u");
  const entries: Packed[] = [];
  const paths = new Set<string>();
  let total = 0;
  for (const [index, { name: inArchive, originalSize: bytes, compression, link, encrypted, crc }] of all.entries()) {
    const bare = inArchive.replace(/\/$/, "");
    if (!isWithin(bare)) throw refused(name, `the path "${inArchive}" leads out of its folder, or is none`);
    if (bare !== inArchive) continue; // a folder
    if (bare.split("/").some((part) => part.startsWith(".") || part === "__MACOSX")) continue;
    if (wanted && !wanted.test(bare)) continue;
    const path = bare.split("/").slice(strip).join("/");
    if (path === "") continue;
    if (link) throw refused(name, `${bare} in it is a link`);
    if (encrypted) throw refused(name, `${bare} in it is encrypted`);
    if (compression !== 0 && compression !== 8) throw refused(name, `${bare} in it is packed in a way of its own`);
    // One in the data directory would take the place of the card that says what is fetched.
    if (/(^|\/)card\.yaml$/i.test(path)) throw refused(name, `${bare} in it is a dataset's card, not data`);
    if (paths.has(path.toLowerCase())) throw refused(name, `${bare} is in it twice`);
    paths.add(path.toLowerCase());
    total += bytes;
    if (bytes > largestFile || total > mostBytes || total > Math.max(harmlessBytes, mostGrowth * archive.length))
      throw refused(name, "it would grow beyond what data are");
    entries.push({ index, path, bytes, crc });
  }
  if (entries.length === 0)
    throw refused(name, "it holds none of the files", "Its card says which with `only` and `strip`.");
  return entries;
}

const pattern = (path: string) => path.replace(/[.+^${}()|[\]\\?]/g, "\\$&").replaceAll("*", ".*");

/** Facts of a file in an archive that fflate does not tell. */
interface Attributes {
  link: boolean;
  encrypted: boolean;
  crc: number;
}

/** By the archive's central directory (PKWARE's APPNOTE, 4.3.12), in its order. */
function* attributesOf(archive: Uint8Array): Generator<Attributes> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  let end = archive.length - 22;
  while (end > 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  for (let at = view.getUint32(end + 16, true); view.getUint32(at, true) === 0x02014b50; ) {
    const [madeBy, flags, mode] = [view.getUint8(at + 5), view.getUint16(at + 8, true), view.getUint16(at + 40, true)];
    const unix = madeBy === 3 || madeBy === 19;
    yield {
      link: unix && (mode & 0xf000) === 0xa000,
      encrypted: (flags & 1) === 1,
      crc: view.getUint32(at + 16, true),
    };
    const lengths = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    at += 46 + lengths[0]! + lengths[1]! + lengths[2]!;
  }
}
