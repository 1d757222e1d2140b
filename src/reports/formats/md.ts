import { harmless } from "../../harmless.js";
import { type BesideTable, figureWithError, type ModelCard } from "../card/card.js";
import { fitting } from "../card/width.js";
import { bullets, draw, inert } from "../markup.js";
import type { Format } from "./format.js";

/** Markdown for a model card or a README. */
export const md: Format = {
  name: "md",
  meaning: "Markdown",
  ofCard: true,
  render: ({ card }) => ({
    content: `${[...parts(card), ...card.published.flatMap(beside)].join("\n\n")}\n`,
    notes: [],
  }),
};

/** An arrow alone on a line would say nothing. */
const headOf = (head: string) => head.replace(/ (?=[↓↑]$)/, "\u00a0");

/** A figure and its ± stay on one line. */
const unbroken = (text: string) => text.replaceAll(" ", "\u00a0");

function parts({ files, columns: of, rows, legend, notes, provenance, command }: ModelCard): string[] {
  const columns = of.map((column) => ({ ...column, head: headOf(column.head) }));
  const texts = rows.map(({ cells }) =>
    cells.map((cell, i) =>
      columns[i]!.align === "left" ? cell.text : unbroken(figureWithError(cell) + (cell.marks ?? "")),
    ),
  );
  return [
    ...fitting(columns, texts).map((indices) =>
      draw({
        columns: indices.map((i) => ({ text: columns[i]!.head, align: columns[i]!.align, minor: false })),
        rows: texts.map((cells) => indices.map((i) => cells[i]!)),
        footnotes: [],
      }),
    ),
    [...(files === undefined ? [] : [`Files: ${code(files)}.`]), ...legend.map(inert)].join(" "),
    bullets(notes.map(inert)),
    `<sub>${[...provenance.map(inert), code(command)].join(" · ")}</sub>`,
  ].filter((part) => part !== "");
}

function beside({ title, source, heads, rows, notes }: BesideTable): string[] {
  const lines = rows.flatMap(({ name, measured, published }) => [
    [name, ...measured.map(unbroken)],
    ["published", ...published.map(unbroken)],
  ]);
  const columns = ["", ...heads].map((text, i) => ({
    text,
    align: i === 0 ? ("left" as const) : ("right" as const),
    minor: false,
  }));
  const named = columns.map(({ text }) => ({ head: text }));
  return [
    `### ${inert(title)}`,
    ...fitting(named, lines).map((indices) =>
      draw({
        columns: indices.map((i) => columns[i]!),
        rows: lines.map((line) => indices.map((i) => line[i]!)),
        footnotes: [],
      }),
    ),
    ...notes.map(inert),
    `Source: <${new URL(source.url).href}>${source.revision === undefined ? "" : `, ${inert(source.revision)}`}`,
  ];
}

/** A code span that no text inside it can end. */
function code(inside: string): string {
  const text = harmless(inside);
  const longest = Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  const blank = text.startsWith("`") || text.endsWith("`") ? " " : "";
  return `${fence}${blank}${text}${blank}${fence}`;
}
