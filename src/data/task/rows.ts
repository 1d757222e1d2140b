import type { BenchError } from "../../errors.js";
import { readUtf8 } from "../files.js";
import { csvRows } from "./csv.js";
import { jsonLines, jsonList } from "./json.js";
import { parquetRows } from "./parquet.js";
import { sixLineRows } from "./six-lines.js";

/** A row of a table: its cells by the names of their columns, and where it stands, as it follows the file's path in a message. */
export interface TaskRow {
  /** `:3` for a line, `, row 3` where there are none. */
  at: string;
  cells: Record<string, unknown>;
}

/** Makes the error for a row: what is wrong there, and the remedy. */
export type Refusal = (what: string, hint?: string) => BenchError;

export const formats = ["csv", "jsonl", "json", "parquet", "hellaswag-text"] as const;
export type TaskFormat = (typeof formats)[number];

/** A file's rows, and the digest of the bytes that they were read from. */
export interface TaskTable {
  rows: TaskRow[];
  sha256: string;
  bytes: number;
  /** What separates the cells of a CSV file where commas do not: semicolons or tabs. */
  separator?: "semicolons" | "tabs";
}

type OfText = (path: string, text: string, columns: string[] | undefined) => TaskRow[];

const ofText: Record<Exclude<TaskFormat, "parquet" | "csv">, OfText> = {
  jsonl: jsonLines,
  json: jsonList,
  "hellaswag-text": sixLineRows,
};

/** All rows of a file, in order. Throws a BenchError with the path and the place. */
export async function readTable(path: string, format: TaskFormat, columns?: string[]): Promise<TaskTable> {
  if (format === "parquet") return parquetRows(path);
  const { text, sha256, bytes } = await readUtf8(path);
  if (format === "csv") return { ...csvRows(path, text, columns), sha256, bytes };
  return { rows: ofText[format](path, text, columns), sha256, bytes };
}
