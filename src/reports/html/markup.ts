import { harmless } from "../../harmless.js";

/** HTML that is safe to put into a page: made by `html` alone, or by a renderer whose text is escaped already. */
export class Markup {
  constructor(readonly text: string) {}
}

/** What may stand in a template: markup as it is, lists one after another, text escaped, nothing where there is nothing. */
export type Content = Markup | string | number | undefined | Content[];

/** A template in which every text from outside becomes inert: no tag, no attribute, no character that hides or turns others round. */
export function html(parts: TemplateStringsArray, ...contents: Content[]): Markup {
  return new Markup(parts.map((part, i) => part + rendered(contents[i])).join(""));
}

function rendered(content: Content): string {
  if (content === undefined) return "";
  if (content instanceof Markup) return content.text;
  if (Array.isArray(content)) return content.map(rendered).join("");
  return escaped(String(content));
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Sentences over many variants are longer than a message may be. */
const escaped = (text: string) => harmless(text, { length: 20_000 }).replace(/[&<>"']/g, (one) => entities[one]!);
