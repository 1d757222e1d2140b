import { harmless } from "../harmless.js";
import { widthOf } from "../reports/names.js";

/** Rows of cells as lines, each column as wide as its widest cell, indented by two. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const shown = rows.map((row) => row.map((cell) => harmless(cell)));
  const widths = shown.reduce<number[]>((most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, widthOf(cell))), []);
  return shown.map((row) =>
    `  ${row.map((cell, i) => cell + " ".repeat(widths[i]! - widthOf(cell))).join("  ")}`.trimEnd(),
  );
}
