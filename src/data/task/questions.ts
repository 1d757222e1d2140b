import { basename, dirname, extname, join, posix } from "node:path";
import { definite } from "../../definite.js";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { isFile } from "../../folders.js";
import { measuredFile } from "../data.js";
import { difference } from "../files.js";
import type { Style, TaskCard } from "./card.js";
import { hasNoText, valueAt } from "./cells.js";
import { cleaned, cleanedRows } from "./clean.js";
import type { ExampleFiles } from "./files.js";
import { type Example, filled, framed, type TaskPrompt } from "./prompts.js";
import { formats, type Refusal, readTable, type TaskFormat, type TaskRow, type TaskTable } from "./rows.js";
import type { TaskSubject } from "./subjects.js";

/** A row of a file, its texts cleaned, and how it is refused. */
export interface TaskQuestion {
  row: TaskRow;
  refused: Refusal;
}

export interface HowToSolve {
  style: Style;
  /** Whether the data do not say what is right in a row. */
  keyless(row: TaskRow): boolean;
  /** Texts as the card has them cleaned under `options`. */
  cleaned(texts: string[]): string[];
}

/** A question with its columns filled in, without what goes before it, and how it is refused. */
export interface FilledQuestion {
  text: string;
  refused: Refusal;
}

/** What a kind of task makes of rows. */
export interface TaskReader<Solution> {
  /** The column that says what is right; undefined where the card names none. */
  key: string | undefined;
  /** What is right in each question of a file, in order. */
  solve(questions: TaskQuestion[], how: HowToSolve): Solution[];
  /** A solved question as it goes before others. */
  example(asked: FilledQuestion, solution: Solution, style: Style): Example;
  /** Whether a column of a prompt asks something; those of options do not. By default all do. */
  asks?(column: string): boolean;
  /** How often there is something that a reader of the figures should know, by a phrase. */
  remarks?(questions: { text: string; solution: Solution }[]): Record<string, number>;
}

/** A question of a task. */
export interface TaskItem<Solution> extends FilledQuestion {
  /** `<subject>/<row>`, or `<row>` where there are no subjects; rows count from 0 in their file. */
  id: string;
  /** Its subject. */
  cluster?: string;
  row: TaskRow;
  /** The whole prompt that such a text becomes. */
  framed(text: string): TaskPrompt;
  solution: Solution;
}

/** A file's questions. */
export interface SubjectQuestions<Solution> {
  subject?: TaskSubject;
  digests: string[];
  bytes: number;
  /** No row says what is right. */
  keyless: boolean;
  shots: number;
  items: TaskItem<Solution>[];
  remarks: Record<string, number>;
  differences: string[];
}

export interface HowToRead<Solution> {
  card: TaskCard;
  style: Style;
  reader: TaskReader<Solution>;
  /** The card's name of the files; undefined for another file. */
  pattern: string | undefined;
  /** Whether the file may do without the column that says what is right. */
  mayBeKeyless: boolean;
}

/** Reads the questions of one file, with the examples that go before them. */
export async function readQuestions<Solution>(
  how: HowToRead<Solution>,
  path: string,
  subject: TaskSubject | undefined,
  source: ExampleFiles | undefined,
): Promise<SubjectQuestions<Solution>> {
  const { card, reader, style, pattern = measuredFile(card) } = how;
  const solved = source && (await examplesOf(how, source, path, subject));
  const named = subject ? pattern.replaceAll("{subject}", subject.name) : pattern;
  const { rows, empty, ...read } = await readRows(card, style, path, named);
  const { key } = reader;
  const keyOf = ({ cells }: TaskRow) => (key === undefined ? undefined : valueAt(cells, key));
  // A column that no row has is a mistake in the card.
  const mayLack = key !== undefined && (how.mayBeKeyless || rows.some(({ row }) => keyOf(row) !== undefined));
  const isKeyless = (row: TaskRow) => mayLack && hasNoText(keyOf(row));
  const unkeyed = rows.filter(({ row }) => isKeyless(row)).length;
  const keyless = unkeyed === rows.length;
  const solutions = reader.solve(rows, {
    style,
    keyless: isKeyless,
    cleaned: (texts) => cleaned(texts, style.clean.options, path),
  });
  const texts = textsOf(rows, style, subject, path, reader.asks);
  const frame = framed(style, subject, solved?.examples ?? []);
  const items = rows.map(({ row, refused }, index) => ({
    id: subject ? `${subject.name}/${index}` : String(index),
    ...(subject ? { cluster: subject.name } : {}),
    row,
    text: texts[index]!,
    refused,
    framed: frame,
    solution: solutions[index]!,
  }));
  return {
    ...definite({ subject }),
    digests: [read.sha256, ...(solved ? [solved.sha256] : [])],
    bytes: read.bytes,
    keyless,
    shots: solved?.examples.length ?? 0,
    items,
    remarks: {
      "rows without any text, left out": empty,
      "questions without a key, asked and not graded": keyless ? 0 : unkeyed,
      ...separated([read.separator, solved?.separator]),
      [askedAgain]: repeated(items.map(({ text, solution }) => [text, solution])),
      ...reader.remarks?.(items),
    },
    differences: [...read.differences, ...(solved?.differences ?? [])],
  };
}

/** Begins the note on `repeated` questions. */
export const askedAgain = "questions that are asked again, each counted";

/** How many questions are, with all that is known of them but their ids, the same as one before. */
export const repeated = (questions: readonly unknown[]): number =>
  questions.length - new Set(questions.map((one) => sha256(JSON.stringify(one)))).size;

/** How many files have cells that commas do not separate. */
const separated = (files: TaskTable["separator"][]): Record<string, number> =>
  Object.fromEntries(
    files.flatMap((by) =>
      by ? [[`files whose cells are separated by ${by}`, files.filter((one) => one === by).length]] : [],
    ),
  );

/** The solved questions that go before those of a file. */
async function examplesOf<Solution>(
  { card, reader, style }: HowToRead<Solution>,
  { shots, pattern, pathOf }: ExampleFiles,
  measured: string,
  subject: TaskSubject | undefined,
) {
  const path = pathOf(subject);
  if (path === undefined)
    throw new BenchError(
      "dataset-missing",
      `there is no ${pattern.replace("{subject}", subject?.name ?? "{subject}")} with its examples`,
    );
  if (path === measured)
    throw new BenchError("dataset-invalid", `${path} has the examples: its questions would show their own answers.`, {
      hint: "Measure another split, or give no examples: `shots: 0`.",
    });
  const named = pattern.replaceAll("{subject}", subject?.name ?? "{subject}");
  const { rows, sha256, separator, differences } = await readRows(card, style, path, named);
  const first = rows.slice(0, shots);
  if (shots !== undefined && first.length < shots)
    throw new BenchError("dataset-invalid", `${path} has ${first.length} examples, fewer than ${shots}.`);
  const solutions = reader.solve(first, {
    style,
    keyless: () => false,
    cleaned: (texts) => cleaned(texts, style.clean.options, path),
  });
  const texts = textsOf(first, style, subject, path, reader.asks);
  return {
    differences,
    examples: solutions.map((solution, i) =>
      reader.example({ text: texts[i]!, refused: first[i]!.refused }, solution, style),
    ),
    ...definite({ sha256, separator }),
  };
}

/** A table whose ending names another form than the card's is of that form. */
function formatOf(path: string, usual: TaskFormat): TaskFormat {
  const named = formats.find((one) => extname(path) === `.${one}`);
  return usual === "hellaswag-text" ? usual : (named ?? usual);
}

/**
 * The rows of a file that hold anything: spreadsheets write the lines below a table as `,,,`. Of a file in parts, those of all parts.
 * `named`: what the card calls the file.
 */
async function readRows(card: TaskCard, style: Style, path: string, named: string) {
  const paths = await partsOf(path);
  const rows: TaskQuestion[] = [];
  const tables: TaskTable[] = [];
  for (const part of paths) {
    const table = await readTable(part, formatOf(part, card.format), card.columns);
    const full = table.rows.filter(({ cells }) => Object.values(cells).some((value) => !hasNoText(value)));
    for (const row of cleanedRows(full, style.clean, part)) {
      const refused: Refusal = (what, hint) =>
        new BenchError("dataset-invalid", `${part}${row.at}: ${what}`, definite({ hint }));
      rows.push({ row, refused });
    }
    tables.push(table);
  }
  if (rows.length === 0) throw new BenchError("dataset-invalid", `${path} holds no questions.`);
  const isNamed = basename(path) === basename(named);
  const digests = tables.map(({ sha256 }) => sha256);
  return {
    rows,
    empty: tables.reduce((sum, table) => sum + table.rows.length, -rows.length),
    sha256: digests.length === 1 ? digests[0]! : sha256(digests.join("")),
    bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0),
    ...definite({ separator: tables.find(({ separator }) => separator)?.separator }),
    differences: tables.flatMap(
      (table, i) =>
        difference(card, paths[i]!, table, isNamed ? posix.join(posix.dirname(named), basename(paths[i]!)) : named) ??
        [],
    ),
  };
}

/**
 * The files that a split is in. The Hub cuts large ones into parts: one that is named by its first part,
 * `test-00000-of-00002.parquet`, is in all of them. Any other path is a file by itself.
 */
async function partsOf(path: string): Promise<string[]> {
  const [, start, count, end] = basename(path).match(/^(.*-)0{5}-of-(\d{5})(\.\w+)$/s) ?? [];
  const parts = Array.from(
    { length: Number(count ?? 0) },
    (_, i) => `${start}${String(i).padStart(5, "0")}-of-${count}${end}`,
  );
  if (parts.length < 2) return [path];
  const paths = parts.map((name) => join(dirname(path), name));
  for (const [i, part] of paths.entries())
    if (!(await isFile(part)))
      throw new BenchError("dataset-missing", `${path} is one of ${paths.length} parts, and ${parts[i]} is not here.`, {
        hint: "Get the other parts, too: a split is measured as a whole.",
      });
  return paths;
}

function textsOf(
  rows: TaskQuestion[],
  { prompt, clean }: Style,
  subject: TaskSubject | undefined,
  path: string,
  asks: TaskReader<unknown>["asks"],
) {
  return cleaned(
    rows.map(({ row, refused }) => filled(prompt, row, subject, refused, asks)),
    clean.prompt,
    path,
  );
}
