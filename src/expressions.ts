import { createContext, Script } from "node:vm";
import { z } from "zod";
import { BenchError } from "./errors.js";

/** Milliseconds that an expression may take; an honest one reads hundreds of megabytes in that time. */
const patience = 5_000;

/** Letters in front, as Python writes them: `(?s)` lets a dot match the end of a line. */
const leadingFlags = /^\(\?([ims]+)\)/;

/**
 * A regular expression of a card or of another program's task: JavaScript's, which also takes what Python's writes otherwise,
 * flags in front and a backslash before a character that needs none.
 */
function compiled(pattern: string, flags: string): { source: string; flags: string } {
  const leading = pattern.match(leadingFlags);
  const source = pattern.slice(leading?.[0].length ?? 0);
  const all = [...new Set(`${flags}${leading?.[1] ?? ""}`)].join("");
  // What JavaScript refuses under `u`: by its code a character is the same inside brackets and outside.
  const escaped = source.replace(/\\([^\p{L}\p{Nd}^$\\.*+?()[\]{}|/])/gu, (_, one: string) => codeOf(one));
  return { source: escaped, flags: all };
}

const codeOf = (character: string) => `\\u{${character.codePointAt(0)!.toString(16)}}`;

export function isExpression(pattern: string): boolean {
  try {
    const { source, flags } = compiled(pattern, "gu");
    new RegExp(source, flags);
    return true;
  } catch {
    return false;
  }
}

export const expressionForm = z.string().min(1).refine(isExpression, "this is no regular expression");

/** One match: its place in the text, the whole of it, and what each pair of brackets holds. */
export interface ExpressionMatch {
  index: number;
  found: string;
  groups: readonly (string | undefined)[];
}

const room = createContext({ source: "", flags: "", text: "" });
const search = new Script("Array.from(text.matchAll(new RegExp(source, flags)), (match) => [match.index, ...match])");

/**
 * All matches in a text. Expressions come from others, and some take longer than the sun will shine: they are given a clock.
 * Throws a BenchError with code `dataset-card` when it runs out; `where`: whose expression it is, and what it reads.
 */
export function matchesOf(
  pattern: string,
  text: string,
  where: { key: string; text: string },
  flags = "gu",
): ExpressionMatch[] {
  Object.assign(room, compiled(pattern, flags), { text });
  let found: [number, string, ...(string | undefined)[]][];
  try {
    found = search.runInContext(room, { timeout: patience });
  } catch (cause) {
    const shown = pattern.length > 40 ? `${pattern.slice(0, 40)}…` : pattern;
    throw new BenchError(
      "dataset-card",
      `The card's expression \`${where.key}: ${shown}\` finds no end in ${where.text}.`,
      { hint: "Write it without a repetition inside a repetition, such as (a+)+.", cause },
    );
  } finally {
    room.text = "";
  }
  return Array.from(found, ([index, whole, ...groups]) => ({ index, found: whole, groups }));
}

/** What stands in place of what: a text, or all that an expression matches. */
export const replacementForm = z.union([
  z.strictObject({ replace: z.string().min(1), with: z.string().default("") }),
  z.strictObject({ pattern: expressionForm, with: z.string().default("") }),
]);

export type Replacement = z.output<typeof replacementForm>;

/** The text with each replacement made in turn, everywhere, and as it is written: `$1` is no group. */
export function replaced(text: string, replacements: readonly Replacement[], where: { key: string; text: string }) {
  for (const one of replacements) {
    if ("replace" in one) {
      text = text.replaceAll(one.replace, () => one.with);
      continue;
    }
    let [out, from] = ["", 0];
    for (const { index, found } of matchesOf(one.pattern, text, where)) {
      out += text.slice(from, index) + one.with;
      from = index + found.length;
    }
    text = out + text.slice(from);
  }
  return text;
}
