import { CsvError, parse } from "csv-parse/sync";
import { BenchError } from "../../errors.js";
import { excerpt } from "../files.js";
import { isBlank } from "./cells.js";
import type { TaskRow } from "./rows.js";

/** Comma-separated values as RFC 4180 has them; the head line names the columns unless `columns` does. */
export function csvRows(path: string, text: string, columns: string[] | undefined): TaskRow[] {
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
    return { at: `:${line}`, cells: Object.fromEntries(head.map((name, index) => [name, cells[index] ?? ""])) };
  });
}
