import { z } from "zod";
import type { QuestionContext } from "../backends/backend.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { several } from "../harmless.js";
import { type FoundDataset, findDataset, namesLike } from "./cards.js";
import { cardKeys, type DataKind, type Dataset, fileName } from "./data.js";
import { difference, excerpt, locateFile, missingData, noted, otherFile, readUtf8 } from "./files.js";
import { csvRows, isBlank, jsonRows, lines } from "./rows.js";

/** A question, and what its options continue. */
export type ChoiceItem = {
  id: string;
  options: string[];
  /** Index of the right option; absent where the data hold no keys. */
  gold?: number;
  /** Of all right options, where several are. */
  right?: number[];
  /** The group of questions that hang together with it: its subject, say. */
  cluster?: string;
} & QuestionContext;

/** A question of which all options continue one text, with its key. */
type PlainItem = ChoiceItem & { context: string; gold: number };

/** Questions with options that continue a context. */
export interface ChoiceDataset extends Dataset {
  kind: "choice";
  /** sha256 of the questions' file; of both digests if a file of examples goes before every question. */
  sha256: string;
  items: ChoiceItem[];
  /** Between context and option, one blank for most. */
  delimiter: string;
  /** Accuracy of guessing. */
  chance: number;
  /** The probability of all right options together is scored, rather than whether the best option is one. */
  score?: "mass";
}

const choiceCommon = {
  kind: z.literal("choice"),
  ...cardKeys,
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

const rows = z
  .strictObject({
    ...choiceCommon,
    format: z.enum(["csv", "jsonl"]).describe("One question a row, columns by name."),
    prompt: z.string().describe("The context, with {column} where a column's text goes."),
    columns: distinctNames
      .min(3)
      .optional()
      .describe("The columns' names in order, for a CSV file without a head line."),
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
  })
  .refine(({ prompt }) => /\{[^{}]+\}/.test(prompt), {
    path: ["prompt"],
    message: "it shows no {column}: every question would be the same",
  })
  .refine(({ prompt, answer }) => !prompt.includes(`{${answer}}`), {
    path: ["prompt"],
    message: "it shows the column of the answer",
  });

type SixLinesCard = z.output<typeof sixLines>;
type RowsCard = z.output<typeof rows>;

const keys = {
  dataset: z.string().min(1).optional().describe("A dataset's name or folder; by default the entry's name."),
  file: z.string().min(1).optional().describe("Another file of the same form, measured instead of the dataset's."),
};

const carded = {
  name: "choice",
  noun: "a set of questions with options",
  card: (format: unknown): z.ZodType<SixLinesCard | RowsCard> => (format === "hellaswag-text" ? sixLines : rows),
};

export const choice: DataKind<ChoiceDataset, { dataset: string; file?: string }> = {
  ...carded,
  keys,
  named: "dataset",

  async resolve({ dataset: named, file }, folders) {
    const found = await findDataset(named, carded, folders);
    if (!found)
      throw new BenchError("dataset-unknown", `There are no questions "${named}": no dataset of that name.`, {
        hint: await namesLike(named, "choice", folders),
      });
    const { card } = found;
    const path = file ? await otherFile(file, found, folders) : found.path;
    if (!path) throw missingData(found, card.file, folders.dataDir);
    return card.format === "hellaswag-text"
      ? readSixLines(card, path)
      : readRows({ ...found, card }, path, folders.dataDir);
  },

  /** The questions stand for the file: the same ones in another form of file are the same. */
  *asked({ name: _, path: __, note: ___, bytes: ____, sha256: _____, items, ...asked }) {
    yield asked;
    yield* items;
  },
};

/** The form of llama.cpp's `--hellaswag`: context, index of the right ending, four endings; ids count from 0. */
async function readSixLines(card: SixLinesCard, path: string): Promise<ChoiceDataset> {
  const read = await readUtf8(path);
  const all = lines(read.text);
  if (all.length % 6 !== 0)
    throw new BenchError("dataset-invalid", `${path} has ${all.length} lines, which is not a multiple of 6.`, {
      hint: "Each task has six lines: context, index of the right ending (0 to 3), four endings.",
    });
  const items = Array.from({ length: all.length / 6 }, (_, index): PlainItem => {
    const [context = "", gold = "", ...options] = all.slice(6 * index, 6 * index + 6);
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

/** Questions of a table; a card of this form needs no source code. */
async function readRows(
  { card, cardDir }: FoundDataset<RowsCard>,
  path: string,
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
function questions(card: RowsCard, path: string, text: string): { items: PlainItem[]; notes: string[] } {
  const all = card.format === "csv" ? csvRows(path, text, card.columns) : jsonRows(path, text);
  // Spreadsheets write the lines below a table as `,,,`.
  const table = all.filter(({ cells }) => Object.values(cells).some((value) => !hasNoText(value)));
  if (table.length === 0) throw new BenchError("dataset-invalid", `${path} holds no questions.`);
  let forms: AnswerForm[] = card.answerIs ? [card.answerIs] : [...answerForms];
  let twins = 0;
  const keys = new Map<string, string>();
  let contradicted = 0;
  const items = table.map(({ line, cells }, index) => {
    const refused = (what: string, hint?: string) =>
      new BenchError("dataset-invalid", `${path}:${line}: ${what}`, definite({ hint }));
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
    const question = JSON.stringify([context, [...texts].sort()]);
    const known = keys.get(question);
    if (known !== undefined && known !== texts[right.gold]) contradicted++;
    keys.set(question, texts[right.gold]!);
    return definite({
      id: String(index),
      context,
      options: card.continueWith === "letter" ? texts.map((_, option) => letter(option)) : texts,
      gold: right.gold,
      cluster: card.cluster ? filled(card.cluster) : undefined,
    });
  });
  const skipped = all.length - table.length;
  const notes = [
    skipped > 0 && `rows without any text, left out: ${skipped}`,
    twins > 0 && `questions with two options alike: ${twins}`,
    contradicted > 0 && `questions that are asked again with another answer: ${contradicted}`,
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
      names.length === 1
        ? "Its line has a single cell: cells are separated by commas, not by tabs or semicolons."
        : `Its columns: ${several(names)}. A CSV file without a head line needs \`columns:\` in its card.`,
    );
  }
  const value = cells[column];
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    throw refused(
      `column "${excerpt(column)}" holds a number of more digits than JSON readers keep.`,
      "Write it in quotes, as a text.",
    );
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
      ? refused(
          `${shown} is no ${meanings[card.answerIs]}${counted.has(card.answerIs) ? ` of one of the ${texts.length} options` : ""}.`,
          `The card says answerIs: ${card.answerIs}.`,
        )
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

/** Readings that end with the last option. */
const counted = new Set<AnswerForm>(["letter", "index", "number"]);

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
