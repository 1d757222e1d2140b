import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { z } from "zod";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { expressionForm, matchesOf } from "../expressions.js";
import { findDataset, namesLike } from "./cards.js";
import { cardKeys, type DataKind, type Dataset } from "./data.js";
import { difference, missingData, noted, readUtf8 } from "./files.js";

/** A text to measure likelihood on. */
export interface TextDataset extends Dataset {
  kind: "text";
  text: string;
  /** UTF-8 offsets at which a document begins, ascending; absent if the card says nothing of documents. */
  documents?: number[];
}

const textCard = z.strictObject({
  kind: z.literal("text"),
  ...cardKeys,
  documents: expressionForm
    .optional()
    .describe("A regular expression; a line that it matches begins a document. Chunks of one document hang together."),
});

type TextCard = z.output<typeof textCard>;

const keys = {
  text: z
    .string()
    .min(1)
    .meta({ description: "A dataset's name, or the path of any UTF-8 text.", examples: ["demo-en", "wikitext-2"] }),
};

const carded = { name: "text", noun: "a text", card: () => textCard };

export const text: DataKind<TextDataset, { text: string }> = {
  ...carded,
  keys,
  several: { key: "texts", one: "text" },

  async resolve({ text: named }, folders) {
    const found = await findDataset(named, carded, folders);
    if (found) {
      if (!found.path) throw missingData(found, found.card.file, folders.dataDir);
      return readText(found.card.name, found.path, found.card);
    }
    const path = resolve(folders.baseDir, named);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isFile()) return readText(basename(path), path);
    if (stats)
      throw new BenchError(
        "dataset-unknown",
        `${path} is ${stats.isDirectory() ? "a folder" : "no regular file"}, not a text.`,
        {
          hint: "Name a UTF-8 text file, or a dataset.",
        },
      );
    throw new BenchError(
      "dataset-unknown",
      `There is no text "${named}": no file ${path} and no dataset of that name.`,
      {
        hint: `${await namesLike(named, "text", folders)} A path of any UTF-8 text file will do as well.`,
      },
    );
  },

  *asked({ name: _, path: __, note: ___, bytes: ____, text: _____, ...asked }) {
    yield asked;
  },
};

async function readText(name: string, path: string, card?: TextCard): Promise<TextDataset> {
  const read = await readUtf8(path);
  const notes = [
    card && difference(card, path, read),
    read.text.startsWith("\ufeff") && "it starts with a byte order mark, which is measured as part of the text",
    read.text.includes("\r\n") && "its lines end with CR LF, which is measured as part of the text",
  ];
  const documents = card?.documents ? documentStarts(read.text, card, path) : undefined;
  return definite({ kind: "text" as const, name, path, ...read, documents, ...noted(notes) });
}

function documentStarts(text: string, { documents: pattern }: TextCard, path: string): number[] {
  const starts: number[] = [];
  let [bytes, from] = [0, 0];
  for (const { index } of matchesOf(pattern!, text, { key: "documents", text: path }, "gmu")) {
    bytes += Buffer.byteLength(text.slice(from, index));
    from = index;
    starts.push(bytes);
  }
  return starts;
}
