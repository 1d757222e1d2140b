import stringWidth from "string-width";
import { harmless } from "../harmless.js";
import { type Heading, type Layout, layoutOf } from "./layout.js";
import type { Table } from "./table.js";

const gap = "  ";
/** Longer names are cut, lest one of them take the room of the figures. */
const longestName = 32;

/**
 * The table for a terminal. Columns that do not fit beside each other go into a further block below, with the
 * variants' names repeated: nothing is cut but long names.
 */
export function text(table: Table, width = 80): string {
  const { columns, rows, footnotes } = layoutOf(table);
  const shown = columns.map((_, index) => index).filter((index) => !columns[index]!.minor);
  const pick = (line: string[]) => shown.map((index) => line[index]!);
  const cells = rows.map(pick).map(([name, ...rest]) => [cut(name!, Math.min(longestName, width)), ...rest]);
  const layout = { columns: shown.map((index) => columns[index]!), rows: cells };
  const notes = [
    ...footnotes.map((note, index) => `[${index + 1}] ${note}`),
    ...table.notes.map((note) => harmless(note)),
  ];
  return `${[...blocks(layout, width), ...(notes.length > 0 ? [notes.map((note) => wrap(note, width)).join("\n")] : [])].join("\n\n")}\n`;
}

function blocks({ columns, rows }: Pick<Layout, "columns" | "rows">, width: number): string[] {
  const widths = columns.map(({ text }, index) =>
    Math.max(stringWidth(text), ...rows.map((row) => stringWidth(row[index]!))),
  );
  const groups: number[][] = [];
  let room = 0;
  for (let index = 1; index < columns.length; index++) {
    const needed = gap.length + widths[index]!;
    if (groups.length === 0 || needed > room) {
      groups.push([]);
      room = width - widths[0]!;
    }
    groups.at(-1)!.push(index);
    room -= needed;
  }
  return groups.map((group) => {
    const line = (cells: string[]) =>
      [0, ...group]
        .map((index) => pad(cells[index]!, widths[index]!, columns[index]!.align))
        .join(gap)
        .trimEnd();
    return [line(columns.map(({ text }) => text)), ...rows.map(line)].join("\n");
  });
}

function pad(text: string, width: number, align: Heading["align"]): string {
  const blank = " ".repeat(Math.max(0, width - stringWidth(text)));
  return align === "right" ? blank + text : text + blank;
}

function cut(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let kept = "";
  for (const character of text) {
    if (stringWidth(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** Between words; a word longer than the line stays whole, for it may be a path to copy. */
export function wrap(text: string, width: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && stringWidth(line) + 1 + stringWidth(word) > width) lines.push(`    ${word}`);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join("\n");
}
