import { harmlessJson } from "../../harmless.js";
import type { Format } from "./format.js";

/** The card for a program: each figure with its unit, interval and number of items, all digits. */
export const json: Format = {
  name: "json",
  meaning: "a program",
  ofCard: true,
  render: ({ card: { columns, rows, legend, notes, provenance, command, published } }) => {
    const record = {
      columns: columns.map(({ name, head, better }) => ({ name, head, better })),
      rows: rows.map(({ variant, file, quant, cells }) => ({
        ...{ variant, file, quant },
        figures: Object.fromEntries(
          cells.flatMap(({ plusMinus: _, end: __, marks: ___, text, ...figure }, i) =>
            columns[i]!.align === "left" ? [] : [[columns[i]!.name, figure.value === undefined ? { text } : figure]],
          ),
        ),
      })),
      ...{ legend, notes, provenance, command },
      ...(published.length > 0 ? { published } : {}),
    };
    return { content: `${harmlessJson(record, 2)}\n`, notes: [] };
  },
};
