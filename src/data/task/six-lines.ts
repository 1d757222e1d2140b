import { BenchError } from "../../errors.js";
import { excerpt } from "../files.js";
import { isBlank, lines, twinOf } from "./cells.js";
import type { TaskRow } from "./rows.js";

/** What a card says of the form of llama.cpp's `--hellaswag`: six lines a task. */
export const sixLineColumns = { prompt: "{context}", options: "endings", answer: "gold", answerIs: "index" } as const;

/** Context, index of the right ending, four endings. */
export function sixLineRows(path: string, text: string): TaskRow[] {
  const all = lines(text);
  if (all.length % 6 !== 0)
    throw new BenchError("dataset-invalid", `${path} has ${all.length} lines, which is not a multiple of 6.`, {
      hint: "Each task has six lines: context, index of the right ending (0 to 3), four endings.",
    });
  return Array.from({ length: all.length / 6 }, (_, index) => {
    const [context = "", gold = "", ...endings] = all.slice(6 * index, 6 * index + 6);
    const refused = (line: number, what: string) =>
      new BenchError("dataset-invalid", `${path}:${6 * index + line}: ${what}`);
    if (!/^[0-3]$/.test(gold.trim())) throw refused(2, `"${excerpt(gold)}" is no index from 0 to 3.`);
    const empty = endings.findIndex(isBlank);
    if (empty >= 0) throw refused(3 + empty, "the ending is empty.");
    const twin = twinOf(endings);
    if (twin) throw refused(3 + twin, "the ending is there twice.");
    return { at: `:${6 * index + 1}`, cells: { context, gold, endings } };
  });
}
