import { dirname, resolve } from "node:path";
import {
  type DataFolders,
  type DataKind,
  type FoundDataset,
  findKind,
  measuredFile,
  readDatasets,
  taskFile,
} from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { harmless } from "../harmless.js";
import { nearest } from "../yaml.js";
import { columns } from "./columns.js";

/** A split as far as its data are on this machine. */
interface Split {
  name: string | undefined;
  /** Questions by subject; under undefined those of a task without subjects. */
  counts?: Map<string | undefined, number>;
  keyless?: boolean;
  /** Why there are no counts. */
  fault?: BenchError;
}

/**
 * What there is to choose from in a dataset: its splits, styles, subjects and groups, with how many questions are here; or the
 * tasks of a file of another program's. Throws a BenchError for a name that no dataset has.
 */
export async function datasetLines(wanted: string, dataDir: string | undefined): Promise<string[]> {
  const folders = { baseDir: process.cwd(), ...definite({ dataDir }) };
  const dir = resolve(wanted);
  const { found, broken } = await readDatasets({ dataDir });
  const fault = broken.find(({ name }) => name === wanted)?.fault;
  if (fault) throw fault;
  const dataset = found.find(({ card }) => card.name === wanted) ?? (await inFolder(dir, dataDir));
  if (dataset) return carded(dataset, folders);
  const file = await taskFile(wanted, folders);
  if (file)
    return section(
      `${file.name}: tasks of another program`,
      file.tasks.map((task) => [task.dataset, kindOf(task)]),
    );
  const names = found.map(({ card }) => card.name);
  throw new BenchError("dataset-unknown", `there is no dataset "${wanted}".`, { hint: nearest(wanted, names) });
}

async function inFolder(dir: string, dataDir: string | undefined): Promise<FoundDataset | undefined> {
  const { found } = await readDatasets({ dataDir, extra: [dirname(dir)] });
  return found.find(({ cardDir }) => cardDir === dir);
}

function kindOf(task: { kind(): string }): string {
  try {
    return task.kind();
  } catch (fault) {
    if (!(fault instanceof BenchError)) throw fault;
    return fault.message;
  }
}

async function carded({ card, cardDir, path }: FoundDataset, folders: DataFolders): Promise<string[]> {
  const { name, title, kind, source, licence, splits = {}, split, styles = {}, style, subjects = {} } = card;
  const usual = (own: string, first: string | undefined) => (own === first ? "by default" : "");
  const here = path
    ? `at ${path}`
    : card.fetch
      ? `not here: \`gguf-bench fetch ${name}\` gets them`
      : `not here: get them from ${source}`;
  const facts = [
    ["kind", kind],
    ["source", source],
    ["licence", licence],
    ["data", here],
    ...(path && card.fetch ? [["fetch", `gguf-bench fetch ${name}`]] : []),
  ];
  const lines = section(`${name}: ${title}`, facts);
  const asked = findKind(kind);
  if (!asked?.shown) return lines;
  const names = Object.keys(splits);
  const read = await Promise.all(
    (names.length > 0 ? names : [undefined]).map((one) => readSplit(asked, cardDir, one, folders)),
  );
  lines.push(
    ...section(
      names.length > 0 ? "Splits (--split)" : "Questions",
      read.map((one) => [one.name ?? measuredFile(card), questionsOf(one), usual(one.name ?? "", split ?? names[0])]),
    ),
  );
  if (Object.keys(styles).length > 0)
    lines.push(
      ...section(
        "Styles (--style)",
        Object.keys(styles).map((one) => [one, usual(one, style)]),
      ),
    );
  if (card.examples)
    lines.push(
      `Solved examples before every question (--shots): ${card.shots ?? card.examples.count ?? 0} by default`,
      "",
    );
  return [...lines, ...subjectLines(subjects, read)];
}

function subjectLines(subjects: NonNullable<FoundDataset["card"]["subjects"]>, read: Split[]): string[] {
  const inFiles = read.flatMap(({ counts }) => [...(counts?.keys() ?? [])]).filter((one) => one !== undefined);
  const all = [...new Set([...Object.keys(subjects), ...inFiles])];
  if (all.length === 0) return [];
  const groups = new Map<string, string[]>();
  for (const one of all)
    for (const group of subjects[one]?.groups ?? []) groups.set(group, [...(groups.get(group) ?? []), one]);
  const counted = read.filter(({ counts }) => counts);
  const sums = (of: string[]) =>
    counted.map(({ counts }) => count(of.reduce((sum, one) => sum + (counts!.get(one) ?? 0), 0)));
  const head = ["", ...counted.map(({ name }) => name ?? "")];
  const groupRows = Array.from(groups, ([group, own]) => [
    group,
    ...sums(own),
    `${own.length} ${own.length === 1 ? "subject" : "subjects"}`,
  ]);
  const rows = all.map((one) => [
    one,
    ...sums([one]),
    [subjects[one]?.title ?? "", (subjects[one]?.groups ?? []).join(", ")].filter((text) => text !== "").join(" · "),
  ]);
  return [
    ...(groups.size > 0 ? section("Groups of subjects (--subjects)", [[...head, ""], ...groupRows]) : []),
    ...section("Subjects (--subjects)", [[...head, ""], ...rows]),
  ];
}

/** One split's questions, without examples. */
async function readSplit(
  kind: DataKind,
  dataset: string,
  split: string | undefined,
  folders: DataFolders,
): Promise<Split> {
  const name = split;
  try {
    const data = await kind.resolve({ dataset, shots: 0, ...definite({ split }) }, folders);
    const counts = new Map<string | undefined, number>();
    let keyless = true;
    for (const { id, right, answers } of kind.shown!(data)) {
      const subject = id.includes("/") ? id.slice(0, id.lastIndexOf("/")) : undefined;
      counts.set(subject, (counts.get(subject) ?? 0) + 1);
      if ((right ?? answers ?? []).length > 0) keyless = false;
    }
    return { name, counts, keyless };
  } catch (fault) {
    if (!(fault instanceof BenchError)) throw fault;
    return { name, fault };
  }
}

function questionsOf({ counts, keyless, fault }: Split): string {
  if (!counts) return fault?.code === "dataset-missing" ? "not here" : `cannot be read: ${fault?.message}`;
  const all = count([...counts.values()].reduce((sum, one) => sum + one, 0));
  return keyless ? `${all}, without their answers` : all;
}

const count = (number: number) => number.toLocaleString("en-US");

export function section(title: string, rows: string[][]): string[] {
  return [harmless(title, { length: 300 }), ...(rows.length > 0 ? columns(rows) : ["  none"]), ""];
}
