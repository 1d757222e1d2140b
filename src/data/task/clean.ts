import { z } from "zod";
import { replaced, replacementForm } from "../../expressions.js";
import { withCell } from "./cells.js";
import type { TaskRow } from "./rows.js";

const step = z.union([replacementForm, z.enum(["trim", "capitalize"])]);

/**
 * What is done to a text, in order: `replace` a text or all that a `pattern` matches, `trim` the blanks and line ends around it as
 * Python's strip does,
 * `capitalize` it as Python does: the first letter large, all others small.
 */
const cleaningSteps = z.array(step);
type CleaningSteps = z.output<typeof cleaningSteps>;

/** By column; `prompt` stands for the question with its columns filled in, `options` for each option. */
export const cleaning = z.record(z.string(), cleaningSteps);
export type Cleaning = z.output<typeof cleaning>;

/** Texts after each step. Throws a BenchError for an expression that finds no end; `path`: the file that they are from. */
export function cleaned(texts: string[], steps: CleaningSteps = [], path: string): string[] {
  return steps.reduce((now, step) => {
    if (step === "trim") return now.map(trimmed);
    if (step === "capitalize") return now.map(capitalize);
    return now.map((text) => replaced(text, [step], { key: "clean", text: path }));
  }, texts);
}

/** Rows with the texts of their columns cleaned. */
export function cleanedRows(
  rows: TaskRow[],
  { prompt: _, options: __, ...columns }: Cleaning,
  path: string,
): TaskRow[] {
  return Object.entries(columns).reduce((now, [column, steps]) => {
    const texts: string[] = [];
    for (const row of now)
      withCell(row, column, (text) => {
        texts.push(text);
        return text;
      });
    const done = cleaned(texts, steps, path).values();
    return now.map((row) => withCell(row, column, () => done.next().value!));
  }, rows);
}

function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("").toLowerCase();
}

/** Unlike here, Python takes the separators of ASCII and NEL for blanks, and a byte order mark for none. */
const blanks = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`;
const around = new RegExp(`^${blanks}+|${blanks}+$`, "g");
const trimmed = (text: string) => text.replace(around, "");
