import { CsvError, parse } from "csv-parse/sync";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { excerpt } from "../files.js";
import { isBlank } from "./cells.js";
import type { TaskRow } from "./rows.js";

/** Where spreadsheets write a decimal comma, they separate cells otherwise. */
const separators = { ",": undefined, ";": "semicolons", "\t": "tabs" } as const;
type Separator = keyof typeof separators;

/** The sign that splits the first row into cells: the comma, unless that leaves one cell, or other than the card's, and another does not. */
function separatorOf(text: string, columns: string[] | undefined): Separator {
  const counts = ([",", ";", "\t"] as const).map((delimiter): [Separator, number] => {
    let first: string[] = [];
    try {
      first = parse(text, { ...dialect, delimiter, to: 1 })[0] ?? [];
    } catch {
      // The reading of all rows tells what is wrong.
    }
    return [delimiter, first.length];
  });
  const splits = ([, cells]: [Separator, number]) => (columns ? cells === columns.length : cells > 1);
  return counts.find(splits)?.[0] ?? ",";
}

const dialect = {
  relax_column_count: true,
  relax_quotes: true,
  record_delimiter: ["\r\n", "\n", "\r"],
  skip_empty_lines: true,
};

/**
 * Comma-separated values, or cells separated by semicolons or tabs (`separator` says it); the head line names the columns unless `columns` does. As in Python's csv, a quotation mark inside a
 * cell that none opens is text (`5" pipe`). Text after the one that closes a cell is refused, though Python reads on there.
 */
export function csvRows(path: string, text: string, columns: string[] | undefined) {
  const bare = text.replace(/^\ufeff/, "");
  const data = Buffer.from(bare);
  const delimiter = separatorOf(bare.replace(/^([\s,;]*[\r\n])+/, ""), columns);
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
      ...dialect,
      delimiter,
      on_record: (cells: string[], { bytes }) => {
        found.push({ line: toRow(), cells });
        if (!isQuoted(cells, () => data.toString("utf8", end, bytes)))
          throw quotesFault(`${path}:${line}: text follows the quotation mark that closes a cell`);
        advance(bytes);
        return null;
      },
    });
  } catch (cause) {
    if (cause instanceof CsvError && cause.code === "CSV_QUOTE_NOT_CLOSED")
      throw quotesFault(`${path}:${toRow()}: a quotation mark opens a cell and none closes it`, cause);
    throw cause;
  }
  const at = columns ? -1 : found.findIndex(({ cells }) => !cells.every(isBlank));
  const head = columns ?? found[at]?.cells.map((name) => name.trim()) ?? [];
  const twice = head.find((name, i) => name !== "" && head.indexOf(name) < i);
  if (twice !== undefined)
    throw new BenchError("dataset-invalid", `${path}:${found[at]?.line}: column "${excerpt(twice)}" is there twice.`);
  const rows = found.slice(at + 1).map(({ line, cells }): TaskRow => {
    if (cells.length !== head.length && !cells.every(isBlank))
      throw new BenchError(
        "dataset-invalid",
        `${path}:${line}: the row has ${cells.length} cells, ${columns ? "the card's columns are" : "its head"} ${head.length}.`,
      );
    return { at: `:${line}`, cells: Object.fromEntries(head.map((name, index) => [name, cells[index] ?? ""])) };
  });
  return definite({ rows, separator: separators[delimiter] });
}

/** The parser gives a cell back as it was written, marks and all, when text follows the one that closes it. */
function isQuoted(cells: string[], written: () => string): boolean {
  if (!cells.some((cell) => cell.startsWith('"'))) return true;
  let rest = written();
  return cells.every((cell) => {
    const quoted = `"${cell.replaceAll('"', '""')}"`;
    const form = [quoted, ...(cell.startsWith('"') ? [] : [cell])].find((one) => rest.startsWith(one));
    rest = rest.slice((form?.length ?? 0) + 1);
    return form !== undefined;
  });
}

const quotesFault = (message: string, cause?: CsvError) =>
  new BenchError("dataset-invalid", `${message}.`, {
    hint: 'A cell that begins with one stands in quotation marks, and each inside it is doubled: """Yes"", she said".',
    cause,
  });
