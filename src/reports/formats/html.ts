import { harmless } from "../../harmless.js";
import { type BesideTable, figureWithError, type ModelCard } from "../card/card.js";
import type { Format } from "./format.js";

/** A table to put into a page of one's own: no style, no script. */
export const html: Format = {
  name: "html",
  meaning: "a table for a page of one's own",
  ofCard: true,
  render: ({ card }) => ({ content: `${[main(card), ...card.published.map(beside)].join("\n")}\n`, notes: [] }),
};

function main({ files, columns, rows, legend, notes, provenance, command }: ModelCard): string {
  const heads = columns.map(({ head, align }) => cell("th", head, align, ' scope="col"'));
  const body = rows.map(({ cells }) =>
    cells.map((one, i) => {
      const shown = figureWithError(one, "\u00a0") + (one.marks ?? "");
      return i === 0 ? cell("th", shown, "left", ' scope="row"') : cell("td", shown, columns[i]!.align);
    }),
  );
  return [
    table(heads, body),
    ...[...(files === undefined ? [] : [`Files: ${files}`]), ...legend, ...notes].map(
      (note) => `<p>${inert(note)}</p>`,
    ),
    `<p><small>${provenance.map(inert).join(" · ")} · <code>${inert(command)}</code></small></p>`,
  ].join("\n");
}

function beside({ title, source, heads, rows, notes }: BesideTable): string {
  const lines = rows.flatMap(({ name, measured, published }) =>
    [
      [name, measured],
      ["published", published],
    ].map(([of, figures]) => [
      cell("th", String(of), "left", ' scope="row"'),
      ...(figures as string[]).map((text) => cell("td", text, "right")),
    ]),
  );
  const named = ["", ...heads].map((head, i) => cell("th", head, i === 0 ? "left" : "right", ' scope="col"'));
  const url = inert(new URL(source.url).href);
  const from = `Source: <a href="${url}">${url}</a>${source.revision === undefined ? "" : `, ${inert(source.revision)}`}`;
  const below = [...notes.map(inert), from].map((note) => `<p>${note}</p>`);
  return [`<h3>${inert(title)}</h3>`, table(named, lines), ...below].join("\n");
}

const table = (heads: string[], rows: string[][]) =>
  [
    "<table>",
    `<thead><tr>${heads.join("")}</tr></thead>`,
    "<tbody>",
    ...rows.map((cells) => `<tr>${cells.join("")}</tr>`),
    "</tbody>",
    "</table>",
  ].join("\n");

const cell = (tag: "td" | "th", text: string, align: "left" | "right", more = "") =>
  `<${tag}${more}${align === "right" ? ' align="right"' : ""}>${inert(text)}</${tag}>`;

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text from outside as text. */
const inert = (text: string) => harmless(text).replace(/[&<>"']/g, (character) => entities[character]!);
