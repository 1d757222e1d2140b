import { sheetOf } from "../csv.js";
import type { Format } from "./format.js";

/** The card for a spreadsheet: each ± in a column of its own. */
export const csv: Format = {
  name: "csv",
  meaning: "a spreadsheet",
  ofCard: true,
  render: ({ card: { columns, rows } }) => {
    const withError = columns.map((_, i) => rows.some(({ cells }) => cells[i]!.plusMinus !== undefined));
    const heads = columns.flatMap(({ head }, i) => {
      const plain = head.replace(/ [↓↑]$/, "");
      return withError[i] ? [plain, `${plain} error`] : [plain];
    });
    const records = rows.map(({ cells }) =>
      cells.flatMap((cell, i) => (withError[i] ? [told(cell.text), told(cell.plusMinus)] : [told(cell.text)])),
    );
    return { content: sheetOf(heads, records), notes: [] };
  },
};

/** A figure as a number, whatever stands in its place as text. */
function told(text: string | undefined): string | number | undefined {
  if (text === undefined || text === "") return undefined;
  const number = Number(text.replace("−", "-").replace(/^\+|^×| [≈?]$/g, ""));
  return Number.isFinite(number) ? number : text;
}
