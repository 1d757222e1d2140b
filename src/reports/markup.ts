import { harmless } from "../harmless.js";
import type { Layout } from "./layout.js";

// GitHub's Markdown, as reports and cards are written in it.

/** Padded, so that it reads as a table before it is rendered, too. */
export function draw({ columns, rows }: Layout): string {
  const lines = [columns.map(({ text }) => text), ...rows].map((line) => line.map(inert));
  const widths = columns.map((_, index) => Math.max(3, ...lines.map((line) => line[index]!.length)));
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const [head, ...body] = lines.map((line) =>
    row(line.map((text, i) => (columns[i]!.align === "right" ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))),
  );
  const rule = row(
    widths.map((width, i) => (columns[i]!.align === "right" ? `${"-".repeat(width - 1)}:` : "-".repeat(width))),
  );
  return [head, rule, ...body].join("\n");
}

export const bullets = (lines: string[]) => lines.map((line) => `- ${line}`).join("\n");

/** As a shell reads it. */
export const inShell = (argument: string) =>
  /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;

/** A fence longer than any inside, so that the text cannot end it. */
export function fenced(text: string): string {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}sh\n${text}\n${fence}`;
}

/**
 * Text from outside as inert text in a table cell: no HTML, no markup, no end of the cell, no link, and nobody is called: an empty
 * comment breaks what GitHub makes a mention, an issue or a link of, even where it is escaped. Underscores inside a word are left
 * alone, for GitHub does not read them as emphasis and `Q4_K_M` stays legible.
 */
export const inert = (text: string) => escaped(harmless(text));

export function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replace(/[\\`*|~[\]$]/g, "\\$&")
    .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, "\\_")
    .replace(/^(?=[-+#]+(\s|$))|(?<=^\d+)(?=[.)](\s|$))/, "\\")
    .replace(/[@#](?=[\p{L}\p{N}])|:(?=\/\/)|(?<=www)\.|(?<=GH)-(?=\d)/giu, "$&<!-- -->");
}
