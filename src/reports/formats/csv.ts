import type { CardCell } from "../card/card.js";
import { sheetOf } from "../csv.js";
import type { Format } from "./format.js";

/** The card for a spreadsheet: a column of figures holds numbers alone, each ± and each word has a column of its own beside it. */
export const csv: Format = {
  name: "csv",
  meaning: "a spreadsheet",
  ofCard: true,
  render: ({ card: { columns, rows, notes } }) => {
    const drawn = columns.flatMap(({ head, align }, i) => {
      const plain = head.replace(/ [↓↑]$/, "");
      const cells = rows.map((row) => row.cells[i]!);
      if (align === "left") return [{ head: plain, values: cells.map(({ text }) => text || undefined) }];
      return [
        { head: plain, values: cells.map(({ text }) => numberIn(text)) },
        { head: `${plain} error`, values: cells.map(({ plusMinus }) => numberIn(plusMinus)) },
        { head: `${plain} note`, values: cells.map((cell) => wordsOf(cell, notes)) },
      ].filter(({ values }, at) => at === 0 || values.some((value) => value !== undefined));
    });
    const records = rows.map((_, at) => drawn.map(({ values }) => values[at]));
    return {
      content: sheetOf(
        drawn.map(({ head }) => head),
        records,
      ),
      notes: [],
    };
  },
};

const signs: Record<string, string> = { "≈": "too little to matter", "?": "not decided", "(": "likely" };

/** Without the signs around it; undefined where a word stands in its place. */
function numberIn(text = ""): number | undefined {
  const bare = text
    .replace("−", "-")
    .replace(/^[(]|[)]$| [≈?]$/g, "")
    .replace(/^[+×±]/, "");
  return bare === "" || !Number.isFinite(Number(bare)) ? undefined : Number(bare);
}

/** What stands in place of a figure, or what is to be known of it; `notes`: those of the card, each after its sign. */
function wordsOf({ text, end, marks = "" }: CardCell, notes: readonly string[]): string | undefined {
  const sign = signs[text.at(-1) ?? ""] ?? signs[text[0] ?? ""];
  const word = sign ?? (numberIn(text) === undefined ? text : "");
  const told = marks
    .split(" ")
    .filter(Boolean)
    .map((mark) => notes.find((note) => note.startsWith(`${mark} `))?.slice(mark.length + 1) ?? mark);
  const bound = end === undefined ? "" : `95 % interval: ${end}`;
  return [word, bound, ...told].filter(Boolean).join("; ") || undefined;
}
