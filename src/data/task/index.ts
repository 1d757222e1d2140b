import { stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { definite } from "../../definite.js";
import { sha256, sha256OfFile } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { several } from "../../harmless.js";
import type { TaskFacts } from "../../task.js";
import { nearest } from "../../yaml.js";
import type { FoundDataset } from "../cards.js";
import { type DataFolders, type Dataset, measuredFile } from "../data.js";
import { difference, folderOf, locateFile, missingData, noted, otherFile, subjectFiles } from "../files.js";
import type { Style, TaskCard, TaskSaid } from "./card.js";
import { hasNoText, valueAt } from "./cells.js";
import { cleaned, cleanedRows } from "./clean.js";
import { type Example, filled, framed, styleOf, type TaskPrompt } from "./prompts.js";
import { formats, type Refusal, readTable, type TaskFormat, type TaskRow } from "./rows.js";
import { filesOf, type TaskSubject } from "./subjects.js";

export { checkTask, type Style, type TaskCard, type TaskSaid, taskKeys, taskShape } from "./card.js";
export { filledAt, hasNoText, isBlank, listAt, textAt, twinOf, valueAt, valuesAt } from "./cells.js";
export { type Example, styleOf, type TaskPrompt } from "./prompts.js";
export type { Refusal, TaskRow } from "./rows.js";
export { sixLineColumns } from "./six-lines.js";

/** A row of a file, its texts cleaned, and how it is refused. */
export interface TaskQuestion {
  row: TaskRow;
  refused: Refusal;
}

export interface HowToSolve {
  style: Style;
  /** The file does not say what is right. */
  keyless: boolean;
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

/** The questions of a task, in the order of its subjects and rows. */
export interface TaskData<Solution> extends Omit<Dataset, "kind"> {
  style: Style;
  task: TaskFacts;
  items: TaskItem<Solution>[];
}

/** A file's questions, or why they cannot be asked. */
interface ReadFileOf<Solution> {
  subject?: TaskSubject;
  digests: string[];
  bytes: number;
  keyless: boolean;
  shots: number;
  items: TaskItem<Solution>[];
  remarks: Record<string, number>;
  differences: string[];
}

/**
 * Reads the questions that an entry names. A subject that cannot be asked is left out, and the note says why, while others can.
 * Throws a BenchError with the place or the path, and the remedy.
 */
export async function readTask<Solution>(
  found: FoundDataset<TaskCard>,
  said: TaskSaid,
  folders: DataFolders,
  reader: TaskReader<Solution>,
): Promise<TaskData<Solution>> {
  const { card } = found;
  const style = styleOf(card, said);
  const { split, pattern, path, files, strangers } = await measuredFiles(found, said, folders);
  const examples = await exampleFiles(found, said, folders);
  const others = await otherSplits(found, split, folders);
  const read: ReadFileOf<Solution>[] = [];
  const faults: { subject: TaskSubject; fault: BenchError }[] = [];
  const absent: string[] = [];
  // Only splits that nobody measures by default may come without answers.
  const mayBeKeyless = split !== undefined && split !== (card.split ?? split);
  for (const { subject: own, path } of files) {
    const subject = own && { ...own, title: style.titles[own.name] ?? own.title };
    if (path === undefined) absent.push(subject!.name);
    else
      try {
        await refuseOtherSplit(path, subject, others);
        read.push(await readFileOf({ card, style, reader, pattern, mayBeKeyless }, path, subject, examples));
      } catch (fault) {
        if (!(fault instanceof BenchError) || !subject) throw fault;
        faults.push({ subject, fault });
      }
  }
  const kept = read.some(({ keyless }) => !keyless) ? read.filter(({ keyless }) => !keyless) : read;
  if (kept.length === 0) throw noneLeft(card, faults);
  const unkeyed = read.filter((one) => !kept.includes(one)).map(({ subject }) => subject!.name);
  const digests = kept.flatMap((one) => one.digests);
  const titled = kept.flatMap(({ subject }) => (subject && subject.title !== subject.name ? [subject] : []));
  const groups = groupsOf(kept.flatMap(({ subject }) => subject ?? []));
  return {
    name: card.name,
    path,
    sha256: digests.length === 1 ? digests[0]! : sha256(digests.join("")),
    bytes: kept.reduce((sum, { bytes }) => sum + bytes, 0),
    style,
    items: kept.flatMap(({ items }) => items),
    task: definite({
      split,
      style: style.name,
      shots: kept[0]!.shots,
      groups: Object.keys(groups).length > 0 ? groups : undefined,
      titles: titled.length > 0 ? Object.fromEntries(titled.map(({ name, title }) => [name, title])) : undefined,
    }),
    ...noted([
      ...differing(kept.flatMap(({ differences }) => differences)),
      ...remarked(kept.map(({ remarks }) => remarks)),
      absent.length > 0 && `left out, for they have no file: ${several(absent, 5)}`,
      unkeyed.length > 0 &&
        `left out, for their files have no answers as those of the others have: ${several(unkeyed, 5)}`,
      strangers.length > 0 && `left out, for they are not on the card: ${several(strangers, 5)}`,
      ...faults.map(({ subject, fault }) => `${subject.name} is left out: ${fault.message.replace(/\.$/, "")}`),
      kept[0]!.keyless && `the split ${split} comes without answers: no accuracy can be told`,
    ]),
  };
}

/** What is measured: the files, one of each subject, and how the card names them. */
async function measuredFiles(found: FoundDataset<TaskCard>, said: TaskSaid, folders: DataFolders) {
  const { card, cardDir } = found;
  if (said.file !== undefined) {
    const stray = (["split", "subjects"] as const).find((key) => said[key] !== undefined);
    if (stray)
      throw new BenchError(
        "dataset-unknown",
        `\`file\` and \`${stray}\` are both given: a file is measured as it is.`,
        {
          hint: "Keep one of them.",
        },
      );
    const path = await otherFile(said.file, found, folders);
    return { split: undefined, pattern: undefined, path, files: [{ subject: undefined, path }], strangers: [] };
  }
  const splits = Object.keys(card.splits ?? {});
  if (said.split !== undefined && !splits.includes(said.split))
    throw new BenchError("dataset-unknown", `${card.name} has no split "${said.split}".`, {
      hint: splits.length > 0 ? nearest(said.split, splits) : `It has one file, ${card.file}.`,
    });
  const split = said.split ?? card.split ?? splits[0];
  const pattern = (split === undefined ? card.file : card.splits?.[split])!;
  const { files, strangers } = await filesOf(found, pattern, said, folders);
  const folder = await folderOf(card, pattern, cardDir, folders.dataDir);
  return { split, pattern, path: files[0]?.subject ? join(folder!, pattern) : files[0]!.path!, files, strangers };
}

/** Where examples come from, and how many of them; undefined where there are none. `shots` undefined: all of the file. */
interface ExampleFiles {
  shots: number | undefined;
  pattern: string;
  /** By subject, or that of all. */
  pathOf(subject: TaskSubject | undefined): string | undefined;
}

async function exampleFiles(
  found: FoundDataset<TaskCard>,
  said: TaskSaid,
  { dataDir }: DataFolders,
): Promise<ExampleFiles | undefined> {
  const { card, cardDir } = found;
  const { split, file, count } = card.examples ?? {};
  const shots = said.shots ?? card.shots ?? count ?? (file === undefined ? 0 : undefined);
  if (shots === 0) return undefined;
  const pattern = file ?? card.splits?.[split ?? ""];
  if (pattern === undefined)
    throw new BenchError(
      "dataset-unknown",
      `${shots} examples are asked for, and the card of ${card.name} names none.`,
      {
        hint: "`examples: { split: dev }` in a card says where they come from.",
      },
    );
  if (!pattern.includes("{subject}")) {
    const path = await locateFile(card, pattern, cardDir, dataDir);
    if (path === undefined) throw missingData(found, pattern, dataDir);
    return { shots, pattern, pathOf: () => path };
  }
  const folder = await folderOf(card, pattern, cardDir, dataDir);
  if (folder === undefined) throw missingData(found, pattern, dataDir);
  const paths = await subjectFiles(folder, pattern);
  return { shots, pattern, pathOf: (subject) => subject && paths.get(subject.name) };
}

/** The files of the other splits, by subject. */
async function otherSplits(
  { card, cardDir }: FoundDataset<TaskCard>,
  split: string | undefined,
  { dataDir }: DataFolders,
) {
  const found: { pattern: string; paths: Map<string, string> }[] = [];
  for (const [name, pattern] of split === undefined ? [] : Object.entries(card.splits ?? {})) {
    if (name === split || pattern === card.splits?.[split ?? ""]) continue;
    const folder = await folderOf(card, pattern, cardDir, dataDir);
    if (folder === undefined) continue;
    const paths = pattern.includes("{subject}")
      ? await subjectFiles(folder, pattern)
      : new Map([["", join(folder, pattern)]]);
    found.push({ pattern, paths });
  }
  return found;
}

/** Questions of another split under this one's name would be measured as this one's. */
async function refuseOtherSplit(
  path: string,
  subject: TaskSubject | undefined,
  others: Awaited<ReturnType<typeof otherSplits>>,
) {
  const { size } = await stat(path);
  for (const { paths } of others) {
    const other = paths.get(subject?.name ?? "");
    if (other === undefined || (await stat(other)).size !== size) continue;
    if ((await sha256OfFile(other)) === (await sha256OfFile(path)))
      throw new BenchError("dataset-invalid", `${path} is the same as ${other}, which is of another split.`, {
        hint: "Get the file anew.",
      });
  }
}

interface HowToRead<Solution> {
  card: TaskCard;
  style: Style;
  reader: TaskReader<Solution>;
  /** The card's name of the files; undefined for another file. */
  pattern: string | undefined;
  mayBeKeyless: boolean;
}

async function readFileOf<Solution>(
  how: HowToRead<Solution>,
  path: string,
  subject: TaskSubject | undefined,
  source: ExampleFiles | undefined,
): Promise<ReadFileOf<Solution>> {
  const { card, reader, style, pattern = measuredFile(card) } = how;
  const solved = source && (await examplesOf(how, source, path, subject));
  const { rows, empty, ...read } = await readRows(card, style, path);
  const { key } = reader;
  const keyless = key !== undefined && how.mayBeKeyless && rows.every(({ row }) => hasNoText(valueAt(row.cells, key)));
  const solutions = reader.solve(rows, {
    style,
    keyless,
    cleaned: (texts) => cleaned(texts, style.clean.options, path),
  });
  const texts = textsOf(rows, style, subject, path);
  const frame = framed(style, subject, solved?.examples ?? []);
  const named = subject ? pattern.replaceAll("{subject}", subject.name) : pattern;
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
    remarks: { "rows without any text, left out": empty, ...reader.remarks?.(items) },
    differences: [difference(card, path, read, named), solved?.difference].flatMap((one) => one ?? []),
  };
}

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
  const { rows, sha256, bytes } = await readRows(card, style, path);
  const first = rows.slice(0, shots);
  if (shots !== undefined && first.length < shots)
    throw new BenchError("dataset-invalid", `${path} has ${first.length} examples, fewer than ${shots}.`);
  const solutions = reader.solve(first, {
    style,
    keyless: false,
    cleaned: (texts) => cleaned(texts, style.clean.options, path),
  });
  const texts = textsOf(first, style, subject, path);
  const named = pattern.replaceAll("{subject}", subject?.name ?? "{subject}");
  return {
    examples: solutions.map((solution, i) =>
      reader.example({ text: texts[i]!, refused: first[i]!.refused }, solution, style),
    ),
    sha256,
    difference: difference(card, path, { sha256, bytes }, named),
  };
}

/** A table whose ending names another form than the card's is of that form. */
function formatOf(path: string, usual: TaskFormat): TaskFormat {
  const named = formats.find((one) => extname(path) === `.${one}`);
  return usual === "hellaswag-text" ? usual : (named ?? usual);
}

/** The rows of a file that hold anything: spreadsheets write the lines below a table as `,,,`. */
async function readRows(card: TaskCard, style: Style, path: string) {
  const { rows: all, sha256, bytes } = await readTable(path, formatOf(path, card.format), card.columns);
  const full = all.filter(({ cells }) => Object.values(cells).some((value) => !hasNoText(value)));
  if (full.length === 0) throw new BenchError("dataset-invalid", `${path} holds no questions.`);
  const rows = cleanedRows(full, style.clean, path).map(
    (row): TaskQuestion => ({
      row,
      refused: (what, hint) => new BenchError("dataset-invalid", `${path}${row.at}: ${what}`, definite({ hint })),
    }),
  );
  return { rows, empty: all.length - full.length, sha256, bytes };
}

function textsOf(rows: TaskQuestion[], { prompt, clean }: Style, subject: TaskSubject | undefined, path: string) {
  return cleaned(
    rows.map(({ row, refused }) => filled(prompt, row, subject, refused)),
    clean.prompt,
    path,
  );
}

function groupsOf(subjects: TaskSubject[]): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const { name, groups: own } of subjects)
    for (const group of own) groups[group] = [...(groups[group] ?? []), name];
  return groups;
}

/** Of many files that differ from the published ones, how many. */
function differing(differences: string[]): string[] {
  if (differences.length < 3) return differences;
  const names = differences.map((one) => one.split(" ")[0]!);
  return [`${differences.length} files differ from the published data: ${several(names, 5)}`];
}

/** Counts of all files together. */
function remarked(counts: Record<string, number>[]): string[] {
  const sums = new Map<string, number>();
  for (const [phrase, count] of counts.flatMap(Object.entries<number>))
    sums.set(phrase, (sums.get(phrase) ?? 0) + count);
  return [...sums].filter(([, count]) => count > 0).map(([phrase, count]) => `${phrase}: ${count}`);
}

/** The one error where no subject can be asked. */
function noneLeft({ name }: TaskCard, faults: { subject: TaskSubject; fault: BenchError }[]): BenchError {
  const [{ fault }, ...others] = faults as [(typeof faults)[number], ...typeof faults];
  if (others.length === 0) return fault;
  return new BenchError(
    "dataset-invalid",
    `None of ${faults.length} subjects of ${name} can be measured. ${fault.message}`,
    definite({ hint: fault.hint, cause: fault }),
  );
}
