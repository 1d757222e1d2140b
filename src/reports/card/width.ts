import type { CardColumn } from "./card.js";

/** What GitHub and Hugging Face show of a table without scrolling, in pixels, on a narrow page. */
const page = 720;
/** The padding of a cell on both sides, and its border. */
const padding = 27;

/** Pixels of a character in the fonts of both at 16 px, a little above rather than below. */
function wide(character: string, bold: boolean): number {
  const width = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]/u.test(character)
    ? 16
    : /[mwMWQ@%]/.test(character)
      ? 14.5
      : /\p{Lu}/u.test(character)
        ? 11
        : /[.,:;'il|\s]/.test(character)
          ? 5
          : 9.6;
  return width * (bold ? 1.06 : 1);
}

/** Of the longest part that no browser breaks. */
const narrowest = (text: string, bold = false) =>
  Math.max(
    0,
    ...text.split(/ |(?<=-)/).map((part) => [...part].reduce((sum, character) => sum + wide(character, bold), 0)),
  );

/**
 * The columns of each table that fits the page: one table where all fit, else several below each other, each of which begins with
 * the first column. Indices into `columns`.
 */
export function fitting(
  columns: readonly Pick<CardColumn, "head">[],
  rows: readonly (readonly string[])[],
): number[][] {
  const widths = columns.map(
    ({ head }, i) => padding + Math.max(narrowest(head, true), ...rows.map((cells) => narrowest(cells[i] ?? ""))),
  );
  const first = widths[0] ?? 0;
  const tables: number[][] = [[0]];
  let used = first;
  for (let i = 1; i < columns.length; i++) {
    if (used + widths[i]! > page && tables.at(-1)!.length > 1) {
      tables.push([0]);
      used = first;
    }
    tables.at(-1)!.push(i);
    used += widths[i]!;
  }
  return tables;
}
