import type { Layout } from "../layout.js";
import { type Content, html, type Markup } from "./markup.js";

/** A wide table scrolls by itself, by keyboard too, and not the page with it. */
export function scrolling(label: string, table: Markup): Markup {
  return html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${table}</div>`;
}

/** A table of strings; its first column names the rows. */
export function tableOf({ columns, rows }: Layout, caption: string): Markup {
  const side = columns.map(({ align }) => (align === "right" ? "number" : "text"));
  const cell = (text: string, i: number) =>
    i === 0 ? html`<th scope="row">${text}</th>` : html`<td class="${side[i]}">${text}</td>`;
  return scrolling(
    caption,
    html`<table><caption>${caption}</caption><thead><tr>${columns.map(({ text }, i) => html`<th scope="col" class="${side[i]}">${text}</th>`)}</tr></thead><tbody>${rows.map((row) => html`<tr>${row.map(cell)}</tr>`)}</tbody></table>`,
  );
}

/** What is there for those who look for it. */
export function folded(summary: Content, content: Content, open = false): Markup {
  return open
    ? html`<details open><summary>${summary}</summary>${content}</details>`
    : html`<details><summary>${summary}</summary>${content}</details>`;
}

export const listOf = (lines: Content[]): Content =>
  lines.length > 0 ? html`<ul>${lines.map((line) => html`<li>${line}</li>`)}</ul>` : undefined;

/** A sentence of ours in which `code` is marked. */
export const marked = (text: string): Content =>
  text.split(/(`[^`]+`)/).map((part) => (/^`.+`$/.test(part) ? html`<code>${part.slice(1, -1)}</code>` : part));
