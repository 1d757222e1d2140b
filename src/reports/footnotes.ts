import { harmless, several } from "../harmless.js";
import { isDistance, type Metric } from "../metrics.js";
import { percent } from "../units.js";
import { unfinishedText } from "./digits.js";
import type { Cell, Column, Note } from "./table.js";

/**
 * Notes by their marks. Those that say the same of other numbers are one, with the range of the numbers: twenty times
 * "other processes used … cores" would bury all else. Where a note says what it is about, its numbers are those of just that.
 */
export class Footnotes {
  readonly #kinds = new Map<string, Kind>();

  /** The text that stands in the cell until all notes are known. */
  add({ text, mark, of, exact }: Note): string {
    const template = of || exact ? text : text.replace(loneNumber, "\u0000");
    const { variant, measurement } = { variant: undefined, measurement: undefined, ...of };
    const key = measurement === undefined ? template : `${template}\u0003${measurement}`;
    const kind = this.#kinds.get(key) ?? { mark, template, numbers: [], variants: new Set(), measurement };
    this.#kinds.set(key, kind);
    if (variant !== undefined) kind.variants.add(variant);
    kind.numbers.push(text.match(loneNumber) ?? []);
    return `\u0001${key}\u0002`;
  }

  /** Those of `marks` that are numbers: a sign is of a kind of note, and has one line however many columns bear it. */
  unsigned(marks: string): string {
    return marksIn(marks)
      .filter((mark) => this.#kinds.get(mark.slice(1, -1))?.mark === undefined)
      .join("");
  }

  /** Numbers in the order of reading. */
  numbered(cells: string[]): { marks(text: string): string; lines: string[] } {
    const order = [...new Set(cells.flatMap((text) => Array.from(text.matchAll(held), ([, key]) => key!)))];
    let last = 0;
    const names = new Map(order.map((key) => [key, this.#kinds.get(key)!.mark ?? `[${++last}]`]));
    const told = new Map<string, string[]>();
    for (const key of order) {
      let position = 0;
      const { template, numbers, variants, measurement } = this.#kinds.get(key)!;
      const text = template.replace(/\u0000/g, () => {
        const at = position++;
        return spanned(numbers.map((one) => one[at]!));
      });
      const who = variants.size > 0 ? `${several([...variants])}${measurement ? " in " : ""}` : "";
      const line = `${names.get(key)} ${who}\u0000${text}`;
      told.set(line, [...(told.get(line) ?? []), ...(measurement === undefined ? [] : [measurement])]);
    }
    // What is the same of several measurements is told once.
    const lines = Array.from(told, ([line, measurements]) => {
      const [before, text] = line.split("\u0000");
      const of = `${before}${several(measurements)}`;
      return of.endsWith(" ") ? `${of}${text}` : `${of}: ${text}`;
    });
    // Two notes of one mark are about the same cell.
    const marks = (text: string) =>
      [...new Set(Array.from(text.matchAll(held), ([, key]) => ` ${names.get(key!)}`))].join("");
    return { marks, lines };
  }
}

/** Notes that are told as one. */
interface Kind {
  mark: string | undefined;
  /** The text, NUL for each number of which there may be several. */
  template: string;
  numbers: string[][];
  variants: Set<string>;
  measurement: string | undefined;
}

/** Not those inside a name or a path: `Q4_K_M`, `v1-F16`, `/data/7/x`. */
const loneNumber = /(?<![\p{L}\p{N}_./\\-])\d+(?:\.\d+)?(?![\p{L}\p{N}_/\\-]|\.\p{L})/gu;
const held = /\u0001([^\u0002]*)\u0002/g;

/** `4`, `4 and 8`, `0.3 to 6.9` */
function spanned(numbers: string[]): string {
  const different = [...new Set(numbers)].sort((a, b) => Number(a) - Number(b));
  if (different.length > 2) return `${different[0]} to ${different.at(-1)}`;
  return different.join(" and ");
}

const marksIn = (text: string): string[] => text.match(held) ?? [];

/** A mark that every figure of a column has moves to its head. */
export function sharedMarks(cells: { isFigure: boolean; marks: string }[]): string {
  const figures = cells.filter(({ isFigure }) => isFigure);
  const [first, ...others] = figures.map((cell) => marksIn(cell.marks));
  if (figures.length < 3) return "";
  return first!.filter((mark) => others.every((marks) => marks.includes(mark))).join("");
}

export const without = (marks: string, shared: string) =>
  marksIn(marks)
    .filter((mark) => !shared.includes(mark))
    .join("");

/** What stands in a cell instead of a figure, and the notes to it. */
export interface Noted {
  /** `failed`, `n/a`; undefined where the cell has a figure. */
  instead?: string;
  notes: Note[];
}

/** What a row has told already, and what it may tell. */
export interface Telling {
  /** Failures that this row has told already. */
  told: Set<string>;
  /** A fact of the file: its failure is the measurements', too. */
  ofFile: boolean;
  metric: Metric;
  /** The noise floor in words, where the cell holds it. */
  floor: string | undefined;
  variant: string;
}

/** A failure is told once in a row, and nothing that nobody asked for has a note. */
export function notedIn(cell: Cell, { told, ofFile, metric, floor, variant }: Telling): Noted {
  switch (cell.state) {
    case "absent":
      return { instead: "", notes: [] };
    case "failed": {
      const { message, hint } = cell.failure;
      if (ofFile || told.has(message)) return { instead: "", notes: [] };
      told.add(message);
      return {
        instead: "failed",
        notes: [{ text: `failed: ${harmless(message)} ${harmless(hint ?? "")}`.trim() }],
      };
    }
    case "impossible":
      return { instead: "n/a", notes: [{ text: `not possible: ${harmless(cell.reason)}` }] };
    case "unfinished":
      return { instead: unfinishedText(cell, metric), notes: cell.part?.notes ?? [] };
  }
  const { broken } = cell.summary;
  if (broken !== undefined)
    return { instead: "broken", notes: [{ mark: "‼", text: harmless(broken), of: { variant } }] };
  if (cell.floor) return { instead: "—", notes: floor === undefined ? [] : [{ text: floor }] };
  return { notes: cell.notes.map((note) => ({ ...note, text: harmless(note.text) })) };
}

/** `noise floor, v2-F16 against itself in another batch shape: KLD 9.1e-8, same top 99.803 %`, at the first of these columns. */
export function floorOf(
  cells: Cell[],
  columns: Column[],
  index: number,
  { name }: { name: string },
): string | undefined {
  const { measurement } = columns[index]!;
  const floors = cells.flatMap((cell, i) =>
    cell.state === "measured" && cell.floor && columns[i]!.measurement === measurement
      ? [{ summary: cell.summary, i }]
      : [],
  );
  if (floors[0]?.i !== index) return undefined;
  const told = floors.flatMap(({ summary, i }) => {
    const { metric } = columns[i]!;
    if (!isDistance(metric)) return [];
    if (metric.scale === "plain") return [`${metric.label} ${summary.value < 1e-9 ? "< 1e-9" : tiny(summary.value)}`];
    return metric.identical === 0 ? [] : [`${metric.label} ${percent(summary.value, metric.digits - 2)}`];
  });
  return `noise floor, ${harmless(name)} against itself in another batch shape: ${told.join(", ")}`;
}

const tiny = (value: number) => (value < 1e-4 ? value.toExponential(1) : value.toFixed(6));
