import { several } from "../../harmless.js";
import { excerpt } from "../files.js";
import type { Refusal, TaskRow } from "./rows.js";

/** Lines without their ends (LF, CR LF or CR), a byte order mark or blank lines at the end. */
export function lines(text: string): string[] {
  const all = text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/);
  while (all.length > 0 && isBlank(all.at(-1)!)) all.pop();
  return all;
}

/** What to do about a row that lacks a text. */
export const mendOrRemove = "Mend the row, or take it out of the file.";

export const isBlank = (text: string) => text.trim() === "";

/** The second of two options alike but for blanks at their ends. */
export function twinOf(options: string[]): number | undefined {
  const bare = options.map((option) => option.trim());
  const twin = bare.findIndex((option, i) => bare.indexOf(option) < i);
  return twin < 0 ? undefined : twin;
}

/** The options that all questions have: letters, or yes and no; one that has fewer has the first of them. Undefined where they differ. */
export function sameOptions(items: readonly { options: string[] }[]): string[] | undefined {
  const longest = items.reduce<string[]>((most, { options }) => (options.length > most.length ? options : most), []);
  const same = items.every(({ options }) => options.every((option, i) => option === longest[i]));
  return same && items.length > 1 && new Set(longest).size === longest.length ? longest : undefined;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * What a row holds at a path: a column's name, `question.stem` into maps, `choices[0]` into a list, `choices[].text` for the
 * text of each in a list. A column of the whole name comes first. Undefined where there is none.
 */
export function valueAt(cells: TaskRow["cells"], path: string): unknown {
  if (Object.hasOwn(cells, path)) return cells[path];
  return follow(cells, path.match(/[^.[\]]+|\[\d*\]/g) ?? []);
}

function follow(value: unknown, [step, ...rest]: string[]): unknown {
  if (step === undefined) return value;
  if (step === "[]") return Array.isArray(value) ? value.map((one) => follow(one, rest)) : undefined;
  if (step.startsWith("[")) return Array.isArray(value) ? follow(value[Number(step.slice(1, -1))], rest) : undefined;
  return isRecord(value) && Object.hasOwn(value, step) ? follow(value[step], rest) : undefined;
}

/** Whether a cell says nothing: an empty one, or none. */
export const hasNoText = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === "string" && isBlank(value));

/** A cell as text: numbers, true and false as they are written. */
export function textAt({ cells }: TaskRow, path: string, refused: Refusal): string {
  const value = valueAt(cells, path);
  if (value === undefined) throw missing(cells, path, refused);
  return asText(value, path, refused);
}

/** The same, of a cell that must not be empty. */
export function filledAt(row: TaskRow, path: string, refused: Refusal): string {
  const value = textAt(row, path, refused);
  if (isBlank(value)) throw refused(`column "${excerpt(path)}" is empty.`, mendOrRemove);
  return value;
}

function missing(cells: TaskRow["cells"], path: string, refused: Refusal) {
  const names = Object.keys(cells).map((name) => excerpt(name));
  return refused(
    `there is no column "${excerpt(path)}".`,
    names.length === 1
      ? "Its line has a single cell: cells are separated by commas, semicolons or tabs."
      : `Its columns: ${several(names)}. A CSV file without a head line needs \`columns:\` in its card.`,
  );
}

function asText(value: unknown, path: string, refused: Refusal): string {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    throw refused(
      `column "${excerpt(path)}" holds a number of more digits than JSON readers keep.`,
      "Write it in quotes, as a text.",
    );
  if (["string", "number", "boolean"].includes(typeof value)) return String(value);
  const what = value === null ? "nothing" : Array.isArray(value) ? "a list" : "a map";
  throw refused(
    `column "${excerpt(path)}" holds ${what}, not text.`,
    Array.isArray(value) ? `A list of options is named alone: \`options: ${excerpt(path)}\`.` : undefined,
  );
}

/** The texts of a list, or the keys of a map. None is empty. */
export function listAt(row: TaskRow, path: string, refused: Refusal, what = "option"): string[] {
  const value = valueAt(row.cells, path);
  const listed = isRecord(value) ? Object.keys(value) : value;
  const number = isRecord(value) ? Object.keys(value).find((key) => /^\d+$/.test(key)) : undefined;
  if (number !== undefined)
    throw refused(
      `column "${excerpt(path)}" is a map with the key "${excerpt(number)}": JSON readers put numbers first.`,
      "Give its texts as a list, whose order is kept.",
    );
  if (!Array.isArray(listed)) {
    textAt(row, path, refused);
    throw refused(`column "${excerpt(path)}" holds text, not a list.`, "Name the columns of the options in order.");
  }
  return listed.map((one, i) => {
    if (one === undefined) throw refused(`${what} ${i + 1} of "${excerpt(path)}" is not there.`);
    const text = asText(one, path, refused);
    if (isBlank(text)) throw refused(`${what} ${i + 1} is empty.`, mendOrRemove);
    return text;
  });
}

/** The values of a list, or those of a map, as they are. */
export function valuesAt({ cells }: TaskRow, path: string, refused: Refusal): unknown[] {
  const value = valueAt(cells, path);
  if (value === undefined) throw missing(cells, path, refused);
  const listed = isRecord(value) ? Object.values(value) : value;
  if (!Array.isArray(listed)) throw refused(`column "${excerpt(path)}" holds text, not a list.`);
  return listed;
}

/** A row whose cell at a path is another one; the row itself where there is no such cell. */
export function withCell({ at, cells }: TaskRow, path: string, change: (text: string) => string): TaskRow {
  const steps = Object.hasOwn(cells, path) ? [path] : (path.match(/[^.[\]]+|\[\d*\]/g) ?? []);
  return { at, cells: changed(cells, steps, change) as TaskRow["cells"] };
}

function changed(value: unknown, [step, ...rest]: string[], change: (text: string) => string): unknown {
  if (step === undefined) {
    if (Array.isArray(value)) return value.map((one) => changed(one, [], change));
    return typeof value === "string" ? change(value) : value;
  }
  if (step.startsWith("[") && Array.isArray(value))
    return value.map((one, i) => (step === "[]" || step === `[${i}]` ? changed(one, rest, change) : one));
  if (isRecord(value) && Object.hasOwn(value, step)) return { ...value, [step]: changed(value[step], rest, change) };
  return value;
}
