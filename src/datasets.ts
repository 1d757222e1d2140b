import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { BenchError } from "./errors.js";
import { several } from "./harmless.js";
import type { ReferenceData } from "./references/index.js";
import { YamlFile } from "./yaml.js";

/** A text to measure likelihood on. */
export interface TextDataset {
  kind: "text";
  name: string;
  path: string;
  sha256: string;
  bytes: number;
  text: string;
  /** UTF-8 offsets at which a document begins, ascending; absent where the card says nothing of documents. */
  documents?: number[];
  /** Set where the data differ from the card: other bytes than published, say. */
  note?: string;
}

export interface ChoiceItem {
  id: string;
  /** The text that all options continue. */
  context: string;
  options: string[];
  /** Index of the right option. */
  gold: number;
  /** What the question hangs together with others by: its subject, say. */
  cluster?: string;
}

/** Questions with options that continue a context. */
export interface ChoiceDataset {
  kind: "choice";
  name: string;
  path: string;
  /** Of the questions' file; of both digests where a file of examples goes before every question. */
  sha256: string;
  bytes: number;
  items: ChoiceItem[];
  /** Between context and option, one blank for most. */
  delimiter: string;
  /** Accuracy of guessing. */
  chance: number;
  note?: string;
}

export type Dataset = TextDataset | ChoiceDataset | ReferenceData;

const fileName = z.string().min(1).describe("A file in the dataset's folder.");

const common = {
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]*$/, "a name has small letters, digits, dots and dashes")
    .describe("What benchmark files call it; also the name of the card's folder."),
  title: z.string().describe("What it is, for people."),
  source: z.string().describe("Where a copy comes from."),
  licence: z.string().describe("Licence of the data."),
  folder: z.string().optional().describe("Folder inside the data directory; by default the name."),
  file: fileName.describe("The file that is measured."),
  files: z
    .record(fileName, z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: z.int().positive() }))
    .default({})
    .describe("The published files; other bytes are measured all the same, and said."),
};

const textCard = z.strictObject({
  kind: z.literal("text"),
  ...common,
  documents: z
    .string()
    .refine((pattern) => isPattern(pattern), "this is no regular expression")
    .optional()
    .describe("A regular expression; a line that it matches begins a document. Chunks of one document hang together."),
});

const choiceCommon = {
  kind: z.literal("choice"),
  ...common,
  delimiter: z.string().default(" ").describe("Between the context and each option."),
  chance: z.number().gt(0).lt(1).optional().describe("Accuracy of guessing; by default one in the number of options."),
};

const sixLines = z.strictObject({
  ...choiceCommon,
  format: z.literal("hellaswag-text").describe("Six lines a task: context, index of the right ending, four endings."),
});

const rows = z.strictObject({
  ...choiceCommon,
  format: z.enum(["csv", "jsonl"]).describe("One question a row, columns by name."),
  prompt: z.string().describe("The context, with {column} where a column's text goes."),
  options: z.array(z.string()).min(2).describe("The columns that hold the options, in order."),
  answer: z.string().describe("The column that says the right option: its letter, its column's name, or its text."),
  cluster: z
    .string()
    .optional()
    .describe("The column that says which questions hang together, such as their subject; by default none do."),
  continueWith: z
    .enum(["text", "letter"])
    .default("text")
    .describe("What follows the context: each option's text, or A, B, C …, where the prompt shows the options."),
  examples: z
    .strictObject({ file: fileName, count: z.int().positive().optional(), separator: z.string().default("\n\n") })
    .optional()
    .describe("Solved questions of the same form that go before every question."),
});

const outline = z.looseObject({ kind: z.enum(["text", "choice"]) });

/** What `datasets/<name>/card.yaml` says: which data, whose, under which licence, in which form. */
export type DatasetCard = z.infer<typeof textCard> | z.infer<typeof sixLines> | z.infer<typeof rows>;
type RowsCard = z.infer<typeof rows>;

export interface DatasetFolders {
  /** `--data-dir`: `<data-dir>/<folder>/<file>` is looked for first; cards of the user's own may lie there, too. */
  dataDir?: string;
  /** Where relative paths start: the benchmark file's folder, or the working directory. */
  baseDir: string;
}

export interface FoundDataset {
  card: DatasetCard;
  /** The card's own folder. */
  cardDir: string;
  /** The measured file; absent where the data are not on this machine. */
  path?: string;
}

// The package's own folder: two levels above dist/datasets.js, wherever that is installed.
const packaged = join(dirname(dirname(fileURLToPath(import.meta.url))), "datasets");

/** All datasets that have a card, in the package, in the data directory and in `extra` folders of cards; by name. */
export async function findDatasets(options: { dataDir?: string; extra?: string[] } = {}): Promise<FoundDataset[]> {
  const found = new Map<string, FoundDataset>();
  // A card of the user's own wins over one of the same name in the package.
  for (const root of [packaged, ...(options.dataDir ? [options.dataDir] : []), ...(options.extra ?? [])]) {
    const names = await readdir(root).catch(() => []);
    for (const name of names.sort()) {
      const dataset = await locate(join(root, name), options.dataDir);
      if (dataset) found.set(dataset.card.name, dataset);
    }
  }
  return [...found.values()].sort((a, b) => (a.card.name < b.card.name ? -1 : 1));
}

async function locate(cardDir: string, dataDir: string | undefined): Promise<FoundDataset | undefined> {
  const card = await readCard(join(cardDir, "card.yaml"));
  if (!card) return undefined;
  const path = await locateFile(card, card.file, cardDir, dataDir);
  return { card, cardDir, ...(path ? { path } : {}) };
}

function places(card: DatasetCard, file: string, cardDir: string, dataDir: string | undefined): string[] {
  return [...(dataDir ? [join(dataDir, card.folder ?? card.name, file)] : []), join(cardDir, file)];
}

async function locateFile(card: DatasetCard, file: string, cardDir: string, dataDir: string | undefined) {
  for (const path of places(card, file, cardDir, dataDir)) if (await isFile(path)) return path;
  return undefined;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

/** A card, or undefined where there is none; a card with a fault is an error that names the line. */
async function readCard(path: string): Promise<DatasetCard | undefined> {
  if (!(await isFile(path))) return undefined;
  const file = await YamlFile.read(path, "dataset-card");
  const { kind, format } = file.check(outline, file.value, []);
  if (kind === "text") return file.check(textCard, file.value, []);
  return format === "hellaswag-text" ? file.check(sixLines, file.value, []) : file.check(rows, file.value, []);
}

/**
 * The data that a benchmark file names: a dataset with a card, or a path (a text: any UTF-8 file; questions: a folder
 * with a card). `file` measures another file of the same form.
 *
 * Throws a BenchError: `dataset-unknown`, `dataset-missing`, `dataset-card`, `dataset-invalid`.
 */
export async function resolveDataset(
  nameOrPath: string,
  options: DatasetFolders & { kind: "text" | "choice"; file?: string },
): Promise<Dataset> {
  const { kind, dataDir, baseDir, file } = options;
  const known = await findDatasets(dataDir ? { dataDir } : {});
  let found = known.find(({ card }) => card.name === nameOrPath);
  if (!found) {
    const path = resolve(baseDir, nameOrPath);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isDirectory()) found = await locate(path, dataDir);
    else if (stats && kind === "text") return readText(basename(path), path);
    if (!found) throw unknownDataset(nameOrPath, path, kind, known);
  }
  const { card, cardDir } = found;
  if (card.kind !== kind)
    throw new BenchError(
      "dataset-unknown",
      `${card.name} is a ${card.kind} dataset, but ${kind === "text" ? "a text" : "questions with options"} is needed.`,
      { hint: listKnown(known, kind) },
    );
  const path = file ? await otherFile(file, found, options) : found.path;
  if (!path) throw missingData(found, card.file, dataDir);
  if (card.kind === "text") return readText(card.name, path, card);
  return card.format === "hellaswag-text" ? readSixLines(card, path) : readRows(card, path, cardDir, dataDir);
}

function unknownDataset(name: string, path: string, kind: "text" | "choice", known: FoundDataset[]): BenchError {
  const what = kind === "text" ? `There is no text "${name}": no file ${path}` : `There are no questions "${name}"`;
  return new BenchError("dataset-unknown", `${what}${kind === "text" ? " and" : ":"} no dataset of that name.`, {
    hint: listKnown(known, kind),
  });
}

function listKnown(known: FoundDataset[], kind: "text" | "choice"): string {
  const names = known.filter(({ card }) => card.kind === kind).map(({ card }) => card.name);
  return `Known: ${several(names) || "none"}.${kind === "text" ? " A path of any UTF-8 text file will do as well." : ""}`;
}

function missingData({ card, cardDir }: FoundDataset, file: string, dataDir: string | undefined): BenchError {
  const folder = card.folder ?? card.name;
  const tried = places(card, file, cardDir, dataDir).join(" nor ");
  return new BenchError("dataset-missing", `The data of ${card.name} are not here: there is no ${tried}.`, {
    hint:
      `Get ${file} from ${card.source} (${card.licence}) and put it at ${join(dataDir ?? "DATA_DIR", folder, file)}` +
      (dataDir ? "." : ", then give --data-dir DATA_DIR."),
  });
}

/** A file given instead of the card's: a path, or the name of a file beside the card's own. */
async function otherFile(file: string, { card, cardDir }: FoundDataset, { baseDir, dataDir }: DatasetFolders) {
  const candidates = [resolve(baseDir, file), ...(isAbsolute(file) ? [] : places(card, file, cardDir, dataDir))];
  for (const path of candidates) if (await isFile(path)) return path;
  throw new BenchError("dataset-missing", `There is no file ${candidates.join(" nor ")} of ${card.name}.`);
}

interface ReadFile {
  text: string;
  sha256: string;
  bytes: number;
}

// Above it a text no longer fits into one JavaScript string.
const LARGEST = 512 * 1024 * 1024 - 1024;

/** A file's text, byte for byte: a byte order mark and CR LF stay in it. */
async function readUtf8(path: string): Promise<ReadFile> {
  const { size } = await stat(path);
  if (size > LARGEST)
    throw new BenchError("dataset-invalid", `${path} has ${size} bytes; at most ${LARGEST} can be read.`, {
      hint: "Cut it: the first few megabytes are enough for a perplexity.",
    });
  const data = await readFile(path);
  if (data.length === 0) throw new BenchError("dataset-invalid", `${path} is empty.`);
  if (!isUtf8(data)) {
    const utf16 = (data[0] === 0xff && data[1] === 0xfe) || (data[0] === 0xfe && data[1] === 0xff);
    throw new BenchError("dataset-invalid", `${path} is not UTF-8${utf16 ? " but UTF-16" : " text"}.`, {
      hint: `If it is text: iconv -f ${utf16 ? "UTF-16" : "GB18030"} -t UTF-8 FILE${utf16 ? "" : " (name its own encoding)"}.`,
    });
  }
  return { text: data.toString("utf8"), sha256: sha256(data), bytes: data.length };
}

function sha256(data: Buffer | string): string {
  return createHash("sha256").update(data).digest("hex");
}

async function readText(name: string, path: string, card?: DatasetCard): Promise<TextDataset> {
  const read = await readUtf8(path);
  const notes = [
    card && difference(card, path, read),
    read.text.startsWith("\ufeff") && "it starts with a byte order mark, which is measured as part of the text",
    read.text.includes("\r\n") && "its lines end with CR LF, which is measured as part of the text",
  ];
  const documents = card?.kind === "text" && card.documents ? documentStarts(read.text, card.documents) : undefined;
  return { kind: "text", name, path, ...read, ...(documents ? { documents } : {}), ...noted(notes) };
}

function documentStarts(text: string, pattern: string): number[] {
  const starts: number[] = [];
  let [bytes, from] = [0, 0];
  for (const { index } of text.matchAll(new RegExp(pattern, "gmu"))) {
    bytes += Buffer.byteLength(text.slice(from, index));
    from = index;
    starts.push(bytes);
  }
  return starts;
}

function isPattern(pattern: string): boolean {
  try {
    new RegExp(pattern, "gmu");
    return true;
  } catch {
    return false;
  }
}

/** In which way a file is not the one that the card describes. */
function difference(card: DatasetCard, path: string, { sha256, bytes }: { sha256: string; bytes: number }) {
  const published = card.files[basename(path)];
  if (published?.sha256 === sha256) return undefined;
  const name = basename(path);
  if (published) return `${name} differs from the published data: sha256 ${sha256.slice(0, 12)}…, ${bytes} bytes`;
  if (name === card.file) return undefined; // the card states no digest
  return `${name} was measured instead of ${card.file}: sha256 ${sha256.slice(0, 12)}…, ${bytes} bytes`;
}

function noted(notes: (string | false | undefined)[]): { note?: string } {
  const said = notes.filter(Boolean);
  return said.length > 0 ? { note: said.join("; ") } : {};
}

/** Lines without their ends, a byte order mark or empty lines at the end. */
function lines(text: string): string[] {
  return text
    .replace(/^\ufeff/, "")
    .replace(/[\r\n]+$/, "")
    .split(/\r?\n/);
}

/** The form of llama.cpp's `--hellaswag`: context, index of the right ending, four endings; ids count from 0. */
async function readSixLines(card: z.infer<typeof sixLines>, path: string): Promise<ChoiceDataset> {
  const read = await readUtf8(path);
  const all = lines(read.text);
  if (all.length % 6 !== 0)
    throw new BenchError("dataset-invalid", `${path} has ${all.length} lines, which is not a multiple of 6.`, {
      hint: "Each task has six lines: context, index of the right ending (0 to 3), four endings.",
    });
  const items = Array.from({ length: all.length / 6 }, (_, index): ChoiceItem => {
    const [context, gold, ...options] = all.slice(6 * index, 6 * index + 6) as [string, string, ...string[]];
    if (!/^[0-3]$/.test(gold))
      throw new BenchError("dataset-invalid", `${path}:${6 * index + 2}: "${excerpt(gold)}" is no index from 0 to 3.`);
    const empty = options.indexOf("");
    if (empty >= 0) throw new BenchError("dataset-invalid", `${path}:${6 * index + 3 + empty}: the ending is empty.`);
    return { id: String(index), context, options, gold: Number(gold) };
  });
  const { sha256, bytes } = read;
  const { name, delimiter, chance = 1 / 4 } = card;
  return {
    kind: "choice",
    name,
    path,
    sha256,
    bytes,
    items,
    delimiter,
    chance,
    ...noted([difference(card, path, read)]),
  };
}

function excerpt(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** Questions of a table; a card of this form needs no source code. */
async function readRows(
  card: RowsCard,
  path: string,
  cardDir: string,
  dataDir: string | undefined,
): Promise<ChoiceDataset> {
  const { name, delimiter, chance = 1 / card.options.length } = card;
  const read = await readUtf8(path);
  const notes = [difference(card, path, read)];
  let before = "";
  let digest = read.sha256;
  if (card.examples) {
    const { file, count, separator } = card.examples;
    const examplesPath = await locateFile(card, file, cardDir, dataDir);
    if (!examplesPath) throw missingData({ card, cardDir }, file, dataDir);
    const examples = await readUtf8(examplesPath);
    const solved = questions(card, examplesPath, examples.text).slice(0, count);
    if (count && solved.length < count)
      throw new BenchError("dataset-invalid", `${examplesPath} has ${solved.length} examples, fewer than ${count}.`);
    before = solved.map((item) => item.context + delimiter + item.options[item.gold]! + separator).join("");
    digest = sha256(digest + examples.sha256);
    notes.push(difference({ ...card, file }, examplesPath, examples));
  }
  const items = questions(card, path, read.text).map((item) => ({ ...item, context: before + item.context }));
  const { bytes } = read;
  return { kind: "choice", name, path, sha256: digest, bytes, items, delimiter, chance, ...noted(notes) };
}

function questions(card: RowsCard, path: string, text: string): ChoiceItem[] {
  const table = card.format === "csv" ? csvRows(path, text) : jsonRows(path, text);
  if (table.length === 0) throw new BenchError("dataset-invalid", `${path} holds no questions.`);
  return table.map(({ line, cells }, index) => {
    const cell = (column: string) => {
      const value = cells[column];
      if (typeof value === "string" || typeof value === "number") return String(value);
      throw new BenchError("dataset-invalid", `${path}:${line}: there is no text in column "${column}".`, {
        hint: `Its columns: ${several(Object.keys(cells))}.`,
      });
    };
    const texts = card.options.map(cell);
    const gold = rightOption(card, cell(card.answer).trim(), texts);
    if (gold < 0)
      throw new BenchError(
        "dataset-invalid",
        `${path}:${line}: the answer "${cell(card.answer)}" is none of the options.`,
        {
          hint: "An answer is an option's letter, its column's name or its text.",
        },
      );
    return {
      id: String(index),
      context: card.prompt.replace(/\{([^{}]+)\}/g, (_, column) => cell(column)),
      options: card.continueWith === "letter" ? texts.map((_, option) => letter(option)) : texts,
      gold,
      ...(card.cluster ? { cluster: cell(card.cluster) } : {}),
    };
  });
}

function rightOption(card: RowsCard, answer: string, texts: string[]): number {
  const byLetter = texts.findIndex((_, option) => letter(option) === answer.toUpperCase());
  if (byLetter >= 0) return byLetter;
  const byColumn = card.options.indexOf(answer);
  return byColumn >= 0 ? byColumn : texts.indexOf(answer);
}

function letter(option: number): string {
  return String.fromCharCode(65 + option);
}

interface Row {
  line: number;
  cells: Record<string, unknown>;
}

function jsonRows(path: string, text: string): Row[] {
  return lines(text).flatMap((line, index) => {
    if (line.trim() === "") return [];
    let cells: unknown;
    try {
      cells = JSON.parse(line);
    } catch {
      // said below
    }
    if (typeof cells !== "object" || cells === null)
      throw new BenchError("dataset-invalid", `${path}:${index + 1}: the line is not a JSON object.`);
    return [{ line: index + 1, cells: cells as Record<string, unknown> }];
  });
}

/** Comma-separated values with a head line, as RFC 4180 has them: quoted cells may hold commas, quotes and line ends. */
function csvRows(path: string, text: string): Row[] {
  const found: { line: number; cells: string[] }[] = [];
  const cell = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r?\n|$)/y;
  const body = text.replace(/^\ufeff/, "");
  let line = 1;
  let row: string[] = [];
  while (cell.lastIndex < body.length || row.length > 0) {
    const match = cell.exec(body);
    if (!match) throw new BenchError("dataset-invalid", `${path}:${line}: a quotation mark stands where none may.`);
    const [whole, value, end] = match as unknown as [string, string, string];
    row.push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end !== ",") {
      if (row.length > 1 || row[0] !== "") found.push({ line, cells: row });
      row = [];
    }
    line += whole.split("\n").length - 1;
    if (end === "") break;
  }
  const [head, ...rest] = found;
  return rest.map(({ line, cells }) => {
    if (cells.length !== head!.cells.length)
      throw new BenchError(
        "dataset-invalid",
        `${path}:${line}: the row has ${cells.length} cells, its head ${head!.cells.length}.`,
      );
    return { line, cells: Object.fromEntries(head!.cells.map((name, index) => [name.trim(), cells[index]])) };
  });
}

/**
 * sha256 (64 hexadecimal digits) of the data as models are asked: what a file and its card make of each other. The name, the
 * path and the note of the data change no figure and are left out. Any other field counts, of items too.
 */
export function digestOf(dataset: Dataset): string {
  const hash = createHash("sha256");
  const add = (part: object) =>
    hash.update(`${JSON.stringify(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))}\n`);
  const { name: _, path: __, note: ___, bytes: ____, ...asked } = dataset;
  if (asked.kind === "choice") {
    // The questions stand for the file: the same ones in another form of file are the same.
    const { items, sha256: _____, ...rest } = asked;
    add(rest);
    for (const item of items) add(item);
  } else if (asked.kind === "text") {
    const { text: _____, ...rest } = asked;
    add(rest);
  } else add(asked);
  return hash.digest("hex");
}
