import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve, sep } from "node:path";
import { definite } from "../../definite.js";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { isFile } from "../../folders.js";
import { several } from "../../harmless.js";
import type { DataFolders } from "../data.js";
import { readTable, type TaskFormat, type TaskRow } from "../task/rows.js";

/** A dataset as other programs name it: on the Hub, or files by the name of a format. */
export interface SourceNamed {
  /** `owner/name` on the Hub, or json, csv or parquet. */
  path: string;
  /** Of several in one dataset. */
  config?: string | undefined;
  /** Files, or those of each split; `*` stands for any part of a name. */
  files?: unknown;
  /** Columns of a CSV file without a head line. */
  columns?: string[] | undefined;
  /** The file that names it: relative paths start in its folder. */
  by: string;
}

/** The rows of one split, and what they were read from. */
export interface SourceRows {
  rows: TaskRow[];
  /** The first file. */
  path: string;
  /** Of all files' bytes. */
  sha256: string;
  bytes: number;
  /** Columns whose numbers are floats for Python, also where they are whole. */
  floats: string[];
  /** What separates the cells of CSV files where commas do not. */
  separator?: string;
}

/** Names that the Hub takes for the same split. */
const splitWords: Record<string, string[]> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "val", "dev"],
  test: ["test", "testing", "eval", "evaluation"],
};

const formats: Record<string, TaskFormat> = {
  ...{ ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".parquet": "parquet" },
};

const builders = ["json", "csv", "parquet"];

/** Reads a split. Throws a BenchError: the data are not here, and how to get them; or what of a file is wrong. */
export async function readSplit(source: SourceNamed, split: string, folders: DataFolders): Promise<SourceRows> {
  const paths = builders.includes(source.path)
    ? await namedFiles(source, split, folders)
    : await hubFiles(source, split, folders);
  const tables = [];
  for (const path of paths) tables.push(await table(path, source));
  const [only] = tables;
  const rows = tables.flatMap((one) => one.rows);
  if (rows.length === 0) throw new BenchError("dataset-invalid", `${paths[0]} holds no rows.`);
  const isCsv = paths.some((path) => path.endsWith(".csv"));
  const typed = isCsv ? withTypes(rows) : rows;
  return {
    rows: typed,
    path: paths[0]!,
    sha256: tables.length === 1 ? only!.sha256 : sha256(tables.map((one) => one.sha256).join("")),
    bytes: tables.reduce((sum, one) => sum + one.bytes, 0),
    floats: floatColumns(typed, isCsv ? rows : []),
    ...definite({ separator: tables.find(({ separator }) => separator)?.separator }),
  };
}

/** A `.json` file has one list, or an object a line. */
async function table(path: string, { columns }: SourceNamed) {
  const format = formats[extname(path).toLowerCase()];
  if (format === undefined)
    throw new BenchError("dataset-invalid", `${path}: its rows cannot be read by its ending.`, {
      hint: "Files end in .jsonl, .json, .csv or .parquet.",
    });
  if (format !== "json") return readTable(path, format, format === "csv" ? columns : undefined);
  try {
    return await readTable(path, "json");
  } catch (fault) {
    return await readTable(path, "jsonl").catch(() => {
      throw fault;
    });
  }
}

/** Files that the task names itself. */
async function namedFiles({ path: builder, files, by }: SourceNamed, split: string, { baseDir, dataDir }: DataFolders) {
  const bySplit = typeof files === "object" && files !== null && !Array.isArray(files);
  // Files without a split are that of training, as the Hub's library has it.
  const listed = bySplit ? (files as Record<string, unknown>)[split] : split === "train" ? files : undefined;
  if (listed === undefined || listed === null) {
    const known = bySplit ? Object.keys(files as object) : files === undefined ? [] : ["train"];
    throw new BenchError("dataset-unknown", `${by}: \`data_files\` name no file of the split "${split}".`, {
      hint:
        known.length > 0 ? `They name ${several(known)}.` : `For example \`data_files: {${split}: rows.${builder}}\`.`,
    });
  }
  const found: string[] = [];
  for (const one of [listed].flat()) {
    const named = String(one);
    if (/^[a-z]+:\/\//i.test(named))
      throw new BenchError("dataset-missing", `${by}: ${named} is not fetched: a task names files of this machine.`, {
        hint: `Get ${basename(named)}, put it beside the task, and name it there.`,
      });
    // Other programs take a path from the working directory, wherever the task and the benchmark are.
    const roots = [dirname(by), baseDir, process.cwd(), ...(dataDir ? [dataDir] : [])];
    const places = [...new Set(roots.map((root) => resolve(root, named)))];
    const here = await Promise.all(places.map(filesLike));
    const first = here.find((paths) => paths.length > 0);
    if (!first)
      throw new BenchError("dataset-missing", `${by} names the file ${named}, which is not there.`, {
        hint: `Looked for: ${places.join(", ")}.`,
      });
    found.push(...first);
  }
  return found;
}

/** The file, or those whose names fit the pattern, in order. */
async function filesLike(path: string): Promise<string[]> {
  if (!basename(path).includes("*")) return (await isFile(path)) ? [path] : [];
  const form = new RegExp(`^${basename(path).split("*").map(escaped).join(".*")}$`, "s");
  const names = await readdir(dirname(path)).catch((): string[] => []);
  return names
    .filter((name) => form.test(name))
    .sort()
    .map((name) => join(dirname(path), name));
}

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** A copy of a dataset of the Hub's: the folder of its name in the data directory; `.`: that of the task's own file, and no other. */
async function hubFiles({ path: name, config, by }: SourceNamed, split: string, { dataDir }: DataFolders) {
  const own = name.split("/").at(-1)!;
  const named = dataDir ? [join(dataDir, name), join(dataDir, own), join(dataDir, own.toLowerCase())] : [];
  // The Hub's own eval.yaml lies in the dataset's folder, and names no dataset: the data directory holds those of others.
  const roots = name === "." ? [dirname(by)] : named;
  for (const root of roots) {
    const all = await tablesIn(root);
    if (all.length === 0) continue;
    const within = config === undefined ? all : inConfig(all, config);
    const files = ofSplit(within, split);
    if (files.length > 0) return files.map((one) => join(root, one));
    const another =
      config !== undefined && within.length === 0
        ? `Files of ${config} belong in ${join(root, config)}.`
        : "Another split: --split NAME.";
    throw new BenchError(
      "dataset-missing",
      `${root} holds no file of ${config ? `${config}, ` : ""}split "${split}".`,
      { hint: `It holds ${several(all, 6)}. ${another}` },
    );
  }
  if (name === ".")
    throw new BenchError("dataset-missing", `${dirname(by)} holds no data beside ${basename(by)}.`, {
      hint: "An eval.yaml is read in its dataset's folder: get the dataset whole, and name the file there.",
    });
  throw new BenchError(
    "dataset-missing",
    `The data ${name} are not here: ${dataDir ? `there is no folder ${roots[0]}` : "no --data-dir is given"}.`,
    { hint: `Get a copy: hf download ${name} --repo-type dataset --local-dir ${join(dataDir ?? "DATA_DIR", name)}` },
  );
}

/** Tables in a folder and those within, as paths from it, in order. */
async function tablesIn(root: string, most = 20_000): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  const here = entries.slice(0, most).filter((one) => one.isFile() && formats[extname(one.name).toLowerCase()]);
  return here
    .map((one) => relative(root, join(one.parentPath, one.name)).split(sep).join("/"))
    .filter((path) => !/(^|\/)\./.test(path))
    .sort();
}

/** Of a dataset with several parts, the files of one: in a folder of its name, or named after it. */
function inConfig(all: string[], config: string): string[] {
  const folder = all.filter((path) => path.split("/").slice(0, -1).includes(config));
  if (folder.length > 0) return folder;
  const named = all.filter((path) => basename(path).startsWith(config));
  if (named.length > 0 || config === "default") return named.length > 0 ? named : all;
  // The Hub's word for the part of no name of its own.
  return config === "main" ? all.filter((path) => !path.includes("/")) : [];
}

/** Files that name a split as a word of their path; of one file without any, the split of training. */
function ofSplit(all: string[], split: string): string[] {
  const words = Object.values(splitWords).find((one) => one.includes(split)) ?? [split];
  for (const wanted of [[split], words]) {
    const form = new RegExp(`(^|[-._ /0-9])(${wanted.map(escaped).join("|")})([-._ /0-9]|$)`, "i");
    const found = all.filter((path) => form.test(path));
    if (found.length > 0) return sameFormat(found);
  }
  return [];
}

/** Some datasets are there in two formats: one of them is read. */
function sameFormat(paths: string[]): string[] {
  const best = [".parquet", ".jsonl", ".ndjson", ".json", ".csv"].find((ending) =>
    paths.some((path) => path.toLowerCase().endsWith(ending)),
  );
  return paths.filter((path) => path.toLowerCase().endsWith(best ?? ""));
}

/** Cells of a CSV file as pandas types its columns: all whole numbers, all numbers, all true or false; else they are texts. */
function withTypes(rows: TaskRow[]): TaskRow[] {
  const columns = Object.keys(rows[0]!.cells);
  const readers = columns.map((column): [string, ((cell: string) => unknown) | undefined] => {
    const cells = rows.map(({ cells }) => String(cells[column] ?? "").trim());
    const filled = cells.filter((cell) => cell !== "");
    if (filled.length > 0 && filled.every((cell) => /^(true|false)$/i.test(cell)))
      return [column, filled.length === cells.length ? (cell) => /^true$/i.test(cell) : undefined];
    if (filled.length > 0 && filled.every((cell) => /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell)))
      return [column, (cell) => (cell === "" ? null : Number(cell))];
    return [column, undefined];
  });
  return rows.map(({ at, cells }) => ({
    at,
    cells: Object.fromEntries(
      readers.map(([column, read]) => {
        const cell = cells[column];
        if (read && typeof cell === "string") return [column, read(cell.trim())];
        // An empty cell is none.
        return [column, cell === "" ? null : cell];
      }),
    ),
  }));
}

/** Arrow has one type for a column: where one number has a fraction, or a CSV's cell is written with a point or missing, all are floats. */
function floatColumns(rows: TaskRow[], written: TaskRow[]): string[] {
  const columns = Object.keys(rows[0]?.cells ?? {});
  return columns.filter((column) => {
    const values = rows.map(({ cells }) => cells[column]);
    if (!values.some((value) => typeof value === "number")) return false;
    if (values.some((value) => typeof value === "number" && !Number.isInteger(value))) return true;
    if (written.length === 0) return false;
    return values.some((value) => value === null) || written.some(({ cells }) => /[.e]/i.test(String(cells[column])));
  });
}
