/** What Python's `str.split()` and `str.strip()` take for a blank: not quite JavaScript's `\s`. */
const blanks = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const runs = new RegExp(`[${blanks}]+`, "g");
const first = new RegExp(`^[${blanks}]+`);
const last = new RegExp(`(?<![${blanks}])[${blanks}]+$`);

/** As `str.split()`: by runs of blanks, without empty parts. */
export const splitAtBlanks = (text: string): string[] => text.split(runs).filter((part) => part !== "");

export const withoutBlanks = (text: string): string => text.replace(runs, "");

/** As `str.strip()`. */
export const stripped = (text: string): string => strippedLeft(strippedRight(text));

export const strippedLeft = (text: string): string => text.replace(first, "");

export const strippedRight = (text: string): string => text.replace(last, "");

/** Python's `string.punctuation`. */
export const asciiPunctuation = /[!-/:-@[-`{-~]/g;

/** As `round()`: a half goes to the even neighbour. */
export function roundedToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
