import stringWidth from "string-width";
import { harmless } from "../harmless.js";

/** Terminal cells that a text takes: two for a Chinese character, none for a combining accent. */
export const widthOf = (text: string) => stringWidth(text);

/** Short forms of names. */
interface ShortNames {
  /** The beginning of all names, left out of each; empty if nothing was left out. */
  prefix: string;
  shown: Map<string, string>;
}

/** A prefix shorter than this is no burden. */
const leastPrefix = 8;

/**
 * Names of at most `width` cells, two different names never alike. Quantizations of one model differ at the end, so what
 * they all begin with goes first, as a whole word; what is still too long is cut in the middle, or around the place where
 * it differs from a name that would look the same.
 */
export function shortNames(names: string[], width: number, { strip = true } = {}): ShortNames {
  const different = [...new Set(names)];
  const prefix = strip && different.some((name) => widthOf(name) > width) ? sharedPrefix(different) : "";
  const rests = new Map(different.map((name) => [name, harmless(name.slice(prefix.length))]));
  const shown = new Map(Array.from(rests, ([name, rest]) => [name, cutMiddle(rest, width)]));
  for (const alike of groupsOf(shown)) {
    const start = sharedLength(alike.map((name) => rests.get(name)!));
    for (const name of alike) shown.set(name, window(rests.get(name)!, start, width));
  }
  // Names that differ in several hidden places: numbered, for nothing shorter tells them apart.
  const taken = new Set<string>();
  for (const [name, text] of shown) {
    let unique = text;
    for (let i = 2; taken.has(unique); i++) unique = `${cutMiddle(text, width - `~${i}`.length)}~${i}`;
    taken.add(unique);
    shown.set(name, unique);
  }
  return { prefix: harmless(prefix), shown };
}

/** Names that are shown by one text. */
function groupsOf(shown: Map<string, string>): string[][] {
  const groups = new Map<string, string[]>();
  for (const [name, text] of shown) groups.set(text, [...(groups.get(text) ?? []), name]);
  return [...groups.values()].filter((group) => group.length > 1);
}

/** Up to the last hyphen that all have in common: no word, no `Q4_K_M` is torn, and no name vanishes. */
function sharedPrefix(names: string[]): string {
  if (names.length < 2) return "";
  const length = sharedLength(names);
  const prefix = names[0]!.slice(0, length).match(/^.*[-/: ]/su)?.[0] ?? "";
  return prefix.length >= leastPrefix && names.every((name) => name.length > prefix.length) ? prefix : "";
}

function sharedLength(names: string[]): number {
  const [first = "", ...others] = names;
  let length = 0;
  for (const { segment } of graphemes(first)) {
    if (!others.every((name) => name.startsWith(segment, length))) break;
    length += segment.length;
  }
  return length;
}

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
const graphemes = (text: string) => [...segmenter.segment(text)];

/** The beginning and the end, for both tell: `Meta-Llama-3.1…Q4_K_M`. */
export function cutMiddle(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const room = Math.max(0, width - 1);
  const tail = taken(graphemes(text).reverse(), Math.floor(room / 2)).reverse();
  const head = taken(graphemes(text), room - widthOf(tail.join("")));
  return `${head.join("")}…${tail.join("")}`;
}

/** The text from `start` on, a little of what is before it with it where there is room. */
function window(text: string, start: number, width: number): string {
  const rest = text.slice(start);
  if (widthOf(rest) + 1 <= width) {
    const before = taken(graphemes(text.slice(0, start)), width - 1 - widthOf(rest));
    return `${before.join("")}…${rest}`;
  }
  return `…${taken(graphemes(rest), width - 2).join("")}…`;
}

/** As many as fit. */
function taken(segments: Intl.SegmentData[], width: number): string[] {
  const kept: string[] = [];
  let used = 0;
  for (const { segment } of segments) {
    used += widthOf(segment);
    if (used > width) break;
    kept.push(segment);
  }
  return kept;
}
