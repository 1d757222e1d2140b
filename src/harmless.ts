/**
 * Characters that a terminal obeys, that turn the order of others round, or that nobody sees: controls (C0, DEL, C1), halves of
 * surrogate pairs, line and paragraph separators, bidirectional controls, tags, fillers and other invisible ones. The two joiners
 * and the variation selectors stay, for Persian and emoji are written with them.
 */
const harmful =
  /(?!\u200c|\u200d|[\ufe00-\ufe0f])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\ufff9-\ufffb]/gu;
/** The frames of a stack, which are no part of a sentence. */
const frames = /\n {4}at .*/s;
const lineEnds = /\r\n|[\t\n\v\f\r\u0085\u2028\u2029]/g;
/** No script puts this many marks on one letter; they would be drawn over the lines above. */
const piledMarks = /(\p{M}{6})\p{M}+/gu;

/** As long as a message may be: a few lines of a terminal. */
const longest = 600;

/**
 * Text from outside (names, paths, cells, logs, messages that quote them) as one line that is safe to print. Line ends and tabs
 * become blanks, every other harmful character becomes �, and the frames of a stack are left out. If the text is longer than
 * `length` characters, `…` replaces its middle: a message names its subject at the start and the fault at the end.
 */
export function harmless(text: string, { length = longest }: { length?: number } = {}): string {
  const line = text.replace(frames, "").replace(lineEnds, " ").replace(harmful, "\ufffd").replace(piledMarks, "$1");
  if (line.length <= length) return line;
  const characters = [...line.slice(0, length), ...line.slice(-length)];
  const end = Math.floor(length * 0.4);
  return `${characters.slice(0, length - end - 1).join("")}…${characters.slice(-end).join("")}`;
}

/** `harmless` for what a server answered: nothing of what is no text, such as the bytes of a file. */
export function readable(text: string, { length }: { length: number }): string {
  const line = harmless(text.trim(), { length });
  return line.includes("\ufffd") ? "" : line;
}

/** `harmless` for text of several lines that this program wrote; its line ends stay. */
export function harmlessLines(text: string): string {
  return text
    .split("\n")
    .map((line) => harmless(line, { length: Infinity }))
    .join("\n");
}

/** JSON that no terminal obeys: all harmful characters are escaped, not only C0 as JSON asks. */
export function harmlessJson(value: unknown, indent?: number): string {
  const escaped = (character: string) =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`);
  return JSON.stringify(value, null, indent).replace(harmful, (found) =>
    found === "\n" ? found : escaped(found).join(""),
  );
}

/** A name that is cut cannot be pasted: no file system takes much longer ones. */
const longestName = 255;

/** Names in a sentence: `a, b, c`, and beyond `most` of them how many more there are. */
export function several(names: readonly string[], most = 12): string {
  const shown = names.slice(0, most).map((name) => harmless(name, { length: longestName }));
  return shown.join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");
}
