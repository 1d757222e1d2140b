import { harmless } from "../harmless.js";
import type { Check, Gate } from "../judge/index.js";
import { counted } from "../units.js";
import { wrap } from "./text.js";

const marks = { passed: "pass", failed: "FAIL", undecided: "open" };

/** The answers of a gate: a line for each check, what a reader should know of them once, and the outcome. */
export function gateText({ checks, outcome }: Gate, width = Infinity): string {
  const lines = checks.map(({ rule, outcome, sentence }) => harmless(`${marks[outcome]}  ${rule}  ${sentence}`));
  return [lines, notesOf(checks), [`Gate: ${outcome} (${tally(checks)}).`]]
    .filter((part) => part.length > 0)
    .map((part) => part.map((line) => wrap(line, width, 6)).join("\n"))
    .join("\n\n");
}

/** Each note once, with the variants that it is about unless it is about all. */
function notesOf(checks: Check[]): string[] {
  const about = new Map<string, Set<string>>();
  for (const { variant, notes = [] } of checks)
    for (const note of notes) about.set(note, (about.get(note) ?? new Set()).add(variant));
  const all = new Set(checks.map(({ variant }) => variant)).size;
  return Array.from(about, ([note, variants]) =>
    harmless(variants.size < all ? `Note (${[...variants].join(", ")}): ${note}` : `Note: ${note}`),
  );
}

/** `6 checks`; `2 of 6 checks`, those that failed or are undecided as the outcome says; `1 of 6 checks, 2 undecided`. */
function tally(checks: Check[]): string {
  const count = (wanted: Check["outcome"]) => checks.filter(({ outcome }) => outcome === wanted).length;
  const [failed, open] = [count("failed"), count("undecided")];
  const all = counted(checks.length, "check");
  if (failed + open === 0) return all;
  if (failed === 0) return `${open} of ${all}`;
  return open === 0 ? `${failed} of ${all}` : `${failed} of ${all}, ${open} undecided`;
}
