import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { CsvError, parse } from "csv-parse/sync";
import { z } from "zod";
import { BenchError } from "../errors.js";
import { several } from "../harmless.js";
import type { ReferenceData } from "../references/index.js";
import { nearest, YamlFile } from "../yaml.js";

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

const answerForms = ["letter", "index", "number", "column", "text"] as const;
type AnswerForm = (typeof answerForms)[number];

const distinctNames = z
  .array(z.string())
  .refine((names) => new Set(names).size === names.length, "it names a column twice");

const rows = z.strictObject({
  ...choiceCommon,
  format: z.enum(["csv", "jsonl"]).describe("One question a row, columns by name."),
  prompt: z.string().describe("The context, with {column} where a column's text goes."),
  columns: distinctNames.min(3).optional().describe("The columns' names in order, for a CSV file without a head line."),
  options: z
    .union([distinctNames.min(2), z.string()])
    .describe("The columns that hold the options, in order; or, in JSONL, the one column that holds a list of them."),
  answer: z.string().describe("The column that says which option is right."),
  answerIs: z
    .enum(answerForms)
    .optional()
    .describe(
      "What stands there: `letter` (A, B …), `index` (from 0), `number` (from 1), `column` (the option's column) or `text` (the option itself). Needed where an answer could be two of them.",
    ),
  cluster: z
    .string()
    .optional()
    .describe("The column that says which questions hang together, such as their subject; by default none do."),
  continueWith: z
    .enum(["text", "letter"])
    .default("text")
    .describe("What follows the context: each option's text, or A, B, C …, where the prompt shows the options."),
  heading: z.string().default("").describe("What stands once before the examples and the question."),
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

// The package's own folder: two levels above dist/data/, wherever that is installed.
const packaged = fileURLToPath(new URL("../../datasets", import.meta.url));

/** A card that cannot be used, under the name of its folder. */
export interface BrokenCard {
  name: string;
  fault: BenchError;
}

interface FindOptions {
  dataDir?: string;
  extra?: string[];
}

/**
 * All datasets that have a card, in the package, in the data directory and in `extra` folders of cards; by name. One bad card
 * is one bad dataset: it hides a dataset of its folder's name, which is not what the user meant, and no other.
 */
export async function readDatasets(
  options: FindOptions = {},
): Promise<{ found: FoundDataset[]; broken: BrokenCard[] }> {
  const found = new Map<string, FoundDataset>();
  const broken = new Map<string, BrokenCard>();
  // A card of the user's own wins over one of the same name in the package.
  for (const root of [packaged, ...(options.dataDir ? [options.dataDir] : []), ...(options.extra ?? [])]) {
    const names = await readdir(root).catch(() => []);
    for (const name of names.sort()) {
      try {
        const dataset = await locate(join(root, name), options.dataDir);
        if (!dataset) continue;
        found.set(dataset.card.name, dataset);
        broken.delete(dataset.card.name);
      } catch (cause) {
        const unread = `${join(root, name, "card.yaml")} cannot be read: ${(cause as Error).message}.`;
        broken.set(name, { name, fault: cause instanceof BenchError ? cause : new BenchError("dataset-card", unread) });
        found.delete(name);
      }
    }
  }
  const sorted = <One>(all: Map<string, One>) => [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
  return { found: sorted(found), broken: sorted(broken) };
}

export async function findDatasets(options: FindOptions = {}): Promise<FoundDataset[]> {
  return (await readDatasets(options)).found;
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
  const { found: known, broken } = await readDatasets(dataDir ? { dataDir } : {});
  const fault = broken.find(({ name }) => name === nameOrPath)?.fault;
  if (fault) throw fault;
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
      { hint: listKnown(known, kind, card.name) },
    );
  const path = file ? await otherFile(file, found, options) : found.path;
  if (!path) throw missingData(found, card.file, dataDir);
  if (card.kind === "text") return readText(card.name, path, card);
  return card.format === "hellaswag-text" ? readSixLines(card, path) : readRows(card, path, cardDir, dataDir);
}

function unknownDataset(name: string, path: string, kind: "text" | "choice", known: FoundDataset[]): BenchError {
  const what = kind === "text" ? `There is no text "${name}": no file ${path}` : `There are no questions "${name}"`;
  return new BenchError("dataset-unknown", `${what}${kind === "text" ? " and" : ":"} no dataset of that name.`, {
    hint: listKnown(known, kind, name),
  });
}

function listKnown(known: FoundDataset[], kind: "text" | "choice", wanted: string): string {
  const names = known.filter(({ card }) => card.kind === kind).map(({ card }) => card.name);
  return `${nearest(wanted, names)}${kind === "text" ? " A path of any UTF-8 text file will do as well." : ""}`;
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
  const documents = card?.kind === "text" && card.documents ? documentStarts(read.text, card, path) : undefined;
  return { kind: "text", name, path, ...read, ...(documents ? { documents } : {}), ...noted(notes) };
}

/** Milliseconds that a card's expression may take; an honest one reads hundreds of megabytes in that time. */
const patience = 5_000;

/**
 * Cards come from others, and some expressions take longer than the sun will shine. The engine's own, with a clock beside
 * it: one that cannot backtrack would read the same expression in another way.
 */
function documentStarts(text: string, { documents: pattern }: z.infer<typeof textCard>, path: string): number[] {
  let indexes: number[];
  try {
    indexes = runInNewContext(
      "Array.from(text.matchAll(new RegExp(pattern, 'gmu')), ({ index }) => index)",
      { text, pattern },
      { timeout: patience },
    );
  } catch (cause) {
    throw new BenchError(
      "dataset-card",
      `The card's expression \`documents: ${excerpt(pattern!)}\` finds no end in ${path}.`,
      { hint: "Write it without a repetition inside a repetition, such as (a+)+.", cause },
    );
  }
  const starts: number[] = [];
  let [bytes, from] = [0, 0];
  for (const index of indexes) {
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

/** Lines without their ends (LF, CR LF or CR), a byte order mark or blank lines at the end. */
function lines(text: string): string[] {
  const all = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  while (all.length > 0 && isBlank(all.at(-1)!)) all.pop();
  return all;
}

const isBlank = (text: string) => text.trim() === "";

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
    if (!/^[0-3]$/.test(gold.trim()))
      throw new BenchError("dataset-invalid", `${path}:${6 * index + 2}: "${excerpt(gold)}" is no index from 0 to 3.`);
    const empty = options.findIndex(isBlank);
    if (empty >= 0) throw new BenchError("dataset-invalid", `${path}:${6 * index + 3 + empty}: the ending is empty.`);
    const twin = twinOf(options);
    if (twin) throw new BenchError("dataset-invalid", `${path}:${6 * index + 3 + twin}: the ending is there twice.`);
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
  const { name, delimiter } = card;
  const read = await readUtf8(path);
  const notes = [difference(card, path, read)];
  let before = card.heading;
  let digest = read.sha256;
  if (card.examples) {
    const { file, count, separator } = card.examples;
    const examplesPath = await locateFile(card, file, cardDir, dataDir);
    if (!examplesPath) throw missingData({ card, cardDir }, file, dataDir);
    const examples = await readUtf8(examplesPath);
    const solved = questions(card, examplesPath, examples.text).items.slice(0, count);
    if (count && solved.length < count)
      throw new BenchError("dataset-invalid", `${examplesPath} has ${solved.length} examples, fewer than ${count}.`);
    before += solved.map((item) => item.context + delimiter + item.options[item.gold]! + separator).join("");
    digest = sha256(digest + examples.sha256);
    notes.push(difference({ ...card, file }, examplesPath, examples));
  }
  const asked = questions(card, path, read.text);
  const items = asked.items.map((item) => ({ ...item, context: before + item.context }));
  const chance = card.chance ?? items.reduce((sum, { options }) => sum + 1 / options.length, 0) / items.length;
  notes.push(...asked.notes);
  const { bytes } = read;
  return { kind: "choice", name, path, sha256: digest, bytes, items, delimiter, chance, ...noted(notes) };
}

/** The rows as questions, and what a reader should know of them. */
function questions(card: RowsCard, path: string, text: string): { items: ChoiceItem[]; notes: string[] } {
  const all = card.format === "csv" ? csvRows(path, text, card.columns) : jsonRows(path, text);
  // Spreadsheets write the lines below a table as `,,,`.
  const table = all.filter(({ cells }) => Object.values(cells).some((value) => !hasNoText(value)));
  if (table.length === 0) throw new BenchError("dataset-invalid", `${path} holds no questions.`);
  let forms: AnswerForm[] = card.answerIs ? [card.answerIs] : [...answerForms];
  let twins = 0;
  const items = table.map(({ line, cells }, index) => {
    const refused = (what: string, hint?: string) =>
      new BenchError("dataset-invalid", `${path}:${line}: ${what}`, hint === undefined ? {} : { hint });
    const cell = (column: string) => asText(cells, column, refused);
    const filled = (column: string) => {
      const value = cell(column);
      if (isBlank(value)) throw refused(`column "${excerpt(column)}" is empty.`);
      return value;
    };
    const texts = typeof card.options === "string" ? listOf(cells, card.options, refused) : card.options.map(filled);
    const twin = twinOf(texts);
    const right = rightOption(card, filled(card.answer).trim(), texts, forms, refused);
    forms = right.forms;
    // Published benchmarks have a few; where letters are asked for, they stay different answers.
    if (twin && (card.continueWith === "text" || forms.every((form) => form === "text")))
      throw refused(`the option "${excerpt(texts[twin]!)}" is there twice.`);
    if (twin) twins++;
    let asked = false;
    const context = card.prompt.replace(/\{([^{}]+)\}/g, (_, column) => {
      const value = cell(column);
      asked ||= !isBlank(value);
      return value;
    });
    if (!asked && /\{[^{}]+\}/.test(card.prompt)) throw refused("the question is empty.");
    return {
      id: String(index),
      context,
      options: card.continueWith === "letter" ? texts.map((_, option) => letter(option)) : texts,
      gold: right.gold,
      ...(card.cluster ? { cluster: filled(card.cluster) } : {}),
    };
  });
  const skipped = all.length - table.length;
  const notes = [
    skipped > 0 && `rows without any text, left out: ${skipped}`,
    twins > 0 && `questions with two options alike: ${twins}`,
  ].filter((note) => note !== false);
  return { items, notes };
}

type Refusal = (what: string, hint?: string) => BenchError;

const hasNoText = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === "string" && isBlank(value));

/** A cell as text: numbers, true and false as they are written. */
function asText(cells: Record<string, unknown>, column: string, refused: Refusal): string {
  if (!Object.hasOwn(cells, column)) {
    const names = Object.keys(cells).map((name) => excerpt(name));
    throw refused(
      `there is no column "${excerpt(column)}".`,
      `Its columns: ${several(names)}. A CSV file without a head line needs \`columns:\` in its card.`,
    );
  }
  const value = cells[column];
  if (["string", "number", "boolean"].includes(typeof value)) return String(value);
  const what = value === null ? "nothing" : Array.isArray(value) ? "a list" : "a map";
  throw refused(
    `column "${excerpt(column)}" holds ${what}, not text.`,
    Array.isArray(value) ? `A list of options is named alone: \`options: ${excerpt(column)}\`.` : undefined,
  );
}

/** The options where one column holds them all. */
function listOf(cells: Record<string, unknown>, column: string, refused: Refusal): string[] {
  const value = cells[column];
  if (!Array.isArray(value)) {
    asText(cells, column, refused);
    throw refused(`column "${excerpt(column)}" holds text, not a list.`, "Name the columns of the options in order.");
  }
  if (value.length < 2) throw refused(`column "${excerpt(column)}" holds ${value.length} options; 2 are needed.`);
  return value.map((one, i) => {
    const text = asText({ [column]: one }, column, refused);
    if (isBlank(text)) throw refused(`option ${i + 1} is empty.`);
    return text;
  });
}

/** The second of two options alike but for blanks at their ends. */
function twinOf(options: string[]): number | undefined {
  const bare = options.map((option) => option.trim());
  const twin = bare.findIndex((option, i) => bare.indexOf(option) < i);
  return twin < 0 ? undefined : twin;
}

/**
 * The option that an answer means, and the readings under which all answers so far mean one. An answer that two of them take
 * to different options is refused: a guess for each row anew turned keys from 1 into keys from 0 without a word.
 */
function rightOption(card: RowsCard, answer: string, texts: string[], forms: AnswerForm[], refused: Refusal) {
  const readings = new Map<AnswerForm, number>();
  for (const form of card.answerIs ? [card.answerIs] : answerForms) {
    const option = readAnswer(form, card, answer, texts);
    if (option !== undefined) readings.set(form, option);
  }
  const [first] = readings;
  const shown = `the answer "${excerpt(answer)}"`;
  if (!first)
    throw card.answerIs
      ? refused(`${shown} is no ${meanings[card.answerIs]}.`, `The card says answerIs: ${card.answerIs}.`)
      : refused(
          `${shown} is none of the options.`,
          "An answer is an option's letter, its number, its column's name or its text.",
        );
  const [form, gold] = first;
  const other = [...readings].find(([, option]) => option !== gold);
  if (other)
    throw refused(
      `${shown} means option ${letter(gold)} as ${meanings[form]}, ${letter(other[1])} as ${meanings[other[0]]}.`,
      `Say which in the card: \`answerIs: ${form}\` or \`answerIs: ${other[0]}\`.`,
    );
  const left = forms.filter((one) => readings.has(one));
  if (left.length === 0)
    throw refused(
      `${shown} is a ${meanings[form]}, but those before were each a ${meanings[forms[0]!]}.`,
      `Say which in the card: \`answerIs:\` ${answerForms.join(", ")}.`,
    );
  return { gold, forms: left };
}

const meanings: Record<AnswerForm, string> = {
  letter: "letter",
  index: "number from 0",
  number: "number from 1",
  column: "column's name",
  text: "text of an option",
};

function readAnswer(form: AnswerForm, { options }: RowsCard, answer: string, texts: string[]): number | undefined {
  const counted = (from: number) => (/^\d{1,4}$/.test(plain) ? Number(plain) - from : -1);
  // Full-width letters and digits are the same ones.
  const plain = answer.normalize("NFKC");
  const found = {
    letter: () => texts.findIndex((_, option) => letter(option) === plain.toUpperCase()),
    index: () => counted(0),
    number: () => counted(1),
    column: () => (typeof options === "string" ? -1 : options.findIndex((column) => column.trim() === answer)),
    text: () => texts.findIndex((text) => text.trim() === answer),
  }[form]();
  return found >= 0 && found < texts.length ? found : undefined;
}

/** A … Z, AA … : as spreadsheets name columns. */
function letter(option: number): string {
  const last = String.fromCharCode(65 + (option % 26));
  return option < 26 ? last : letter(Math.floor(option / 26) - 1) + last;
}

interface Row {
  line: number;
  cells: Record<string, unknown>;
}

function jsonRows(path: string, text: string): Row[] {
  return lines(text).flatMap((line, index) => {
    if (isBlank(line)) return [];
    let cells: unknown;
    try {
      cells = JSON.parse(line);
    } catch {
      // said below
    }
    if (typeof cells !== "object" || cells === null || Array.isArray(cells))
      throw new BenchError("dataset-invalid", `${path}:${index + 1}: the line is not a JSON object.`, {
        hint: "JSONL has one object a line; one list of them all becomes that with jq -c '.[]' FILE.",
      });
    const twice = repeatedKey(line);
    if (twice !== undefined)
      throw new BenchError("dataset-invalid", `${path}:${index + 1}: column "${excerpt(twice)}" is there twice.`);
    return [{ line: index + 1, cells: cells as Record<string, unknown> }];
  });
}

/** A key that an object's outermost level has twice: JSON.parse keeps the last without a word. */
function repeatedKey(object: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token, key] of object.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (key !== undefined && depth === 1) {
      const name = JSON.parse(key) as string;
      if (seen.has(name)) return name;
      seen.add(name);
    } else if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
  }
  return undefined;
}

/** Comma-separated values as RFC 4180 has them; the head line names the columns unless `columns` does. */
function csvRows(path: string, text: string, columns: string[] | undefined): Row[] {
  const data = Buffer.from(text.replace(/^\ufeff/, ""));
  // The parser counts the lines at a row's end, and CR LF inside quotes as two.
  let [end, line] = [0, 1];
  const advance = (to: number) => {
    for (; end < to; end++) if (data[end] === 10 || (data[end] === 13 && data[end + 1] !== 10)) line++;
  };
  const toRow = () => {
    while (data[end] === 10 || data[end] === 13) advance(end + 1);
    return line;
  };
  const found: { line: number; cells: string[] }[] = [];
  try {
    parse(data, {
      relax_column_count: true,
      record_delimiter: ["\r\n", "\n", "\r"],
      skip_empty_lines: true,
      on_record: (cells: string[], { bytes }) => {
        found.push({ line: toRow(), cells });
        advance(bytes);
        return null;
      },
    });
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const open = cause.code === "CSV_QUOTE_NOT_CLOSED";
    throw new BenchError(
      "dataset-invalid",
      `${path}:${toRow()}: ${open ? "a quotation mark opens a cell and none closes it" : "a quotation mark stands where none may"}.`,
      { hint: 'A cell that holds one stands in quotation marks, and each inside it is doubled: "5"" pipe".', cause },
    );
  }
  const at = columns ? -1 : found.findIndex(({ cells }) => !cells.every(isBlank));
  const head = columns ?? found[at]?.cells.map((name) => name.trim()) ?? [];
  const twice = head.find((name, i) => name !== "" && head.indexOf(name) < i);
  if (twice !== undefined)
    throw new BenchError("dataset-invalid", `${path}:${found[at]?.line}: column "${excerpt(twice)}" is there twice.`);
  return found.slice(at + 1).map(({ line, cells }) => {
    if (cells.length !== head.length && !cells.every(isBlank))
      throw new BenchError(
        "dataset-invalid",
        `${path}:${line}: the row has ${cells.length} cells, ${columns ? "the card's columns are" : "its head"} ${head.length}.`,
      );
    return { line, cells: Object.fromEntries(head.map((name, index) => [name, cells[index] ?? ""])) };
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
