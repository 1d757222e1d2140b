import { definite } from "../definite.js";
import { harmless } from "../harmless.js";
import { isDistance } from "../metrics.js";
import { type Colour, coloured } from "../terminal.js";
import { byteScale, counted } from "../units.js";
import { labelOf } from "./conclusions.js";
import { Footnotes, floorOf, notedIn, sharedMarks, without } from "./footnotes.js";
import { shortNames, widthOf } from "./names.js";
import { isUntold, type Short, type ShortCell, type ShortColumn, type ShortMark, type ShortRow } from "./short.js";
import { savedShare, wordOf } from "./short-table.js";
import { type Cell, figureIn, type Table } from "./table.js";

/** The short table as a terminal shows it. */
export interface ScreenTable {
  block: string;
  /** The block without these rows. */
  without(variants: ReadonlySet<string>): string;
  /** Its heads once more, for where they are far above the last rows. */
  heads: string;
  /** Notes to the figures that are shown, with their marks. */
  notes: string[];
  /** Names as the table has them. */
  shown(name: string): string;
}

/**
 * The short table in `width` cells; `whole`: no name is cut, whatever the width, for there is no screen. The size and the change of each measurement get room first, then the figures themselves, second
 * figures, and ±. Names get shorter and columns closer until all changes fit beside each other; if that is not enough, those of the
 * last measurements are left to table.md.
 */
export function screenTable(
  facts: { table: Table; short: Short },
  width: number,
  { colours = false, whole = false } = {},
): ScreenTable {
  const all = new Set(facts.short.columns.keys());
  const paper = { width, colours, whole };
  const first = drawnWith(facts, all, paper);
  // Notes to figures that found no room stand in table.md; the others are numbered without them.
  const { prefix, shown, heads, lines, notes } =
    first.columns.size < all.size ? drawnWith(facts, first.columns, paper) : first;
  const { missed } = first;
  const top = [...(prefix ? [`All names begin with ${prefix}`, ""] : []), ...heads];
  const { rows } = facts.short;
  return {
    block: [...top, ...lines].join("\n"),
    without: (variants) => [...top, ...lines.filter((_, i) => !variants.has(rows[i]!.variant.name))].join("\n"),
    heads: heads.join("\n"),
    notes: [...notes, ...(missed > 0 ? [`${counted(missed, "more column")}: table.md`] : [])],
    shown: (name) => shown.get(name) ?? harmless(name),
  };
}

/** How long names may be and how close columns stand, the best to read first. */
const manners = [
  ...[32, 24].map((most) => ({ most, tight: false })),
  ...[32, 24, 18, 14].map((most) => ({ most, tight: true })),
];

interface Paper {
  width: number;
  colours: boolean;
  whole?: boolean;
}

function drawnWith(facts: { table: Table; short: Short }, only: ReadonlySet<number>, paper: Paper) {
  const { short } = facts;
  const noted = notesOf(facts, only);
  const names = short.rows.map(({ variant }) => variant.name);
  const longest = widest(names);
  const drawn = ({ most, tight }: (typeof manners)[number]) => {
    const { prefix, shown } = shortNames(names, paper.whole ? longest : most);
    // Whole names take no room from the figures.
    const width = paper.width + (paper.whole ? Math.max(0, longest - most) : 0);
    const columns = fitted(short, noted, { ...paper, width, tight, only }, (name) => shown.get(name)!);
    return { prefix, shown, notes: noted.lines, ...columns };
  };
  let best = drawn(manners[0]!);
  for (const manner of manners.slice(1)) if (best.missed > 0) best = drawn(manner);
  return best;
}

// ---- Notes

/** The notes to the figures of the short table. */
interface Notes {
  /** By row and column: marks, and what stands instead of a figure. */
  cells: { marks: string; instead?: string }[][];
  lines: string[];
}

/**
 * `only`: of these columns. A note to all figures of a column names it, for marks take room. One with a sign of its own keeps it at the
 * figures: none that is at chance, or was timed beside other processes, stands as a result.
 */
function notesOf({ table, short }: { table: Table; short: Short }, only: ReadonlySet<number>): Notes {
  const footnotes = new Footnotes();
  const { columns, rows } = short;
  const plain: Notes["lines"] = [];
  const drawn = rows.map(({ variant, cells }, at) => {
    const told = new Set<string>();
    return cells.map(({ cell }, i) => {
      if (!only.has(i)) return { isFigure: false, marks: "" };
      const { measurement, metric } = columns[i]!;
      const place = table.columns.findIndex((one) => one.measurement === measurement && one.metric === metric);
      const floor = floorOf(table.rows[at]!.cells, table.columns, place, variant);
      if (floor !== undefined) plain.push(floor);
      const { instead, notes } = notedIn(cell, {
        told,
        ofFile: false,
        metric,
        floor: undefined,
        variant: harmless(variant.name),
      });
      return {
        isFigure: instead === undefined,
        ...definite({ instead }),
        marks: notes.map((note) => footnotes.add(note)).join(""),
      };
    });
  });
  const shared = columns.map((_, i) => footnotes.unsigned(sharedMarks(drawn.map((cells) => cells[i]!))));
  const { marks, lines } = footnotes.numbered(
    drawn.flatMap((cells) => cells.map((cell, i) => without(cell.marks, shared[i]!))),
  );
  const cells = drawn.map((row) => row.map((cell, i) => ({ ...cell, marks: marks(without(cell.marks, shared[i]!)) })));
  const about = new Map<string, string[]>();
  for (const [i, column] of columns.entries())
    for (const line of footnotes.numbered([shared[i]!]).lines) {
      const text = line.slice(line.indexOf(" ") + 1);
      about.set(text, [...(about.get(text) ?? []), labelOf(column)]);
    }
  const ofColumns = Array.from(about, ([text, labels]) => `${labels.join(", ")}: ${text}`);
  return { cells, lines: [...plain, ...ofColumns, ...lines] };
}

// ---- Columns

/** What a column shows: the change alone, the figure with it, the ± too. */
type Level = 0 | 1 | 2;

/** A column with its width, as lines of one width. */
interface ColumnText {
  head: [over: string, label: string];
  cells: string[];
  /** By cell; said by words and signs, too. */
  colours?: (Colour | undefined)[];
  width: number;
}

/** The table's heads and rows; how many measurements found no room; the columns that did. */
function fitted(
  { columns, rows }: Short,
  noted: Notes,
  { width, colours, tight, only }: Paper & { tight: boolean; only: ReadonlySet<number> },
  shown: (name: string) => string,
) {
  const gap = tight ? " " : "  ";
  const names = rows.map(
    ({ variant, mark }) =>
      shown(variant.name) + (mark === "reference" || (variant.reference && rows.length > 1) ? " (ref)" : ""),
  );
  const name = drawnLeft(["", "variant"], names);
  const size = sizesOf(rows);
  const bare = withoutChange({ columns, rows });
  const levels = columns.map((column, i) => {
    const cells = rows.map((row, at) => ({ ...row.cells[i]!, ...noted.cells[at]![i]! }));
    const isBare = bare.has(column.metric.label);
    return ([0, 1, 2] as Level[]).map((level) => drawnFigures(column, cells, { level, tight, isBare }));
  });
  const facts = { quality: qualityOf(rows), saved: savedOf(rows), bits: bitsOf(rows) };
  const chosen = new Map<number, Level>();
  const beside = new Set<keyof typeof facts>();
  const taken = () => [
    name,
    ...(size ? [size] : []),
    ...(beside.has("saved") ? [facts.saved!] : []),
    ...(beside.has("bits") ? [facts.bits!] : []),
    ...(beside.has("quality") ? [facts.quality!] : []),
    ...[...chosen].sort(([a], [b]) => a - b).map(([i, level]) => levels[i]![level]!),
  ];
  const fits = () => taken().reduce((sum, one) => sum + gap.length + one.width, -gap.length) <= width;
  const wish = (some: number[], level: Level) => {
    const before = some.map((i) => [i, chosen.get(i)] as const);
    for (const i of some) chosen.set(i, level);
    if (fits()) return;
    for (const [i, was] of before)
      if (was === undefined) chosen.delete(i);
      else chosen.set(i, was);
  };
  // Columns of one metric look alike.
  const wishAlike = (some: number[], level: Level) => {
    for (const label of new Set(some.map((i) => columns[i]!.metric.label)))
      wish(
        some.filter((i) => chosen.has(i) && columns[i]!.metric.label === label),
        level,
      );
  };
  const wishFor = (fact: keyof typeof facts) => {
    if (facts[fact] && beside.add(fact) && !fits()) beside.delete(fact);
  };
  const isEmpty = (i: number) => levels[i]![0]!.cells.every((cell) => cell.trim() === "");
  const places = columns.map((_, i) => i).filter((i) => only.has(i) && !isEmpty(i));
  const [leads, seconds] = [places.filter((i) => !columns[i]!.second), places.filter((i) => columns[i]!.second)];
  for (const i of leads) wish([i], 0);
  const missed = leads.length - chosen.size;
  if (missed === 0 && !tight) {
    wishFor("quality");
    wishAlike(leads, 1);
    wishFor("saved");
    // Of a few answers the ± says more than any other figure.
    wishAlike(
      leads.filter((i) => columns[i]!.metric.per === "question"),
      2,
    );
    for (const i of seconds) wish([i], 0);
    wishAlike(seconds, 1);
    wishAlike(leads, 2);
    wishFor("bits");
    wishAlike(seconds, 2);
  }
  const drawn = taken();
  const line = (parts: string[]) => parts.join(gap).trimEnd();
  const heads = ([0, 1] as const).map((row) => line(drawn.map(({ head }) => head[row]))).filter((head) => head !== "");
  const cellIn = (i: number) => (column: ColumnText) => {
    const colour = colours ? column.colours?.[i] : undefined;
    return colour ? coloured(column.cells[i]!, colour) : column.cells[i]!;
  };
  return {
    heads,
    lines: rows.map((_, i) => line(drawn.map(cellIn(i)))),
    missed,
    columns: new Set(chosen.keys()),
  };
}

/** Behind a change; a bracket before it is closed there. */
const signs: Partial<Record<ShortMark, string>> = { "≈": " ≈", "?": " ?", "likely better": ")", "likely worse": ")" };

type NotedCell = ShortCell & Notes["cells"][number][number];

/**
 * Metrics of which some figures have no change beside the reference's. With room for one number, their columns show figures: changes
 * and figures under one head would be read as one kind.
 */
function withoutChange({ columns, rows }: Pick<Short, "columns" | "rows">): Set<string> {
  const isBare = (i: number) =>
    rows.some(
      ({ mark, cells }) =>
        mark !== "reference" && cells[i]!.change === undefined && figureIn(cells[i]!.cell) !== undefined,
    );
  return new Set(columns.flatMap(({ metric }, i) => (isBare(i) ? [metric.label] : [])));
}

function drawnFigures(
  column: ShortColumn,
  cells: NotedCell[],
  { level, tight, isBare }: { level: Level; tight: boolean; isBare: boolean },
): ColumnText {
  const { metric } = column;
  const heads = headsOf(column);
  const opened = (text: string, { change, mark }: NotedCell) =>
    change !== undefined && mark?.startsWith("likely") ? `(${text}` : text;
  const changes = cells.map((cell) => opened((cell.change ?? "").replace(/ points$/, " pt"), cell));
  const isTold = changes.some((change) => change !== "");
  const isBrief = level === 0 && isDistance(metric);
  const figures = cells.map(({ instead, figure, cell }) => instead ?? (isBrief ? twoDigits(cell) : figure));
  const blocks =
    level === 0 && isTold && !isBare
      ? [right(changes.map((change, i) => change || figures[i]!))]
      : [
          right(pointed(figures, cells).map((text, i) => (level === 0 ? opened(text, cells[i]!) : text))),
          ...(level === 2 ? [left(cells.map(({ error }) => (error === undefined ? "" : `± ${error}`)))] : []),
          ...(isTold && level > 0 ? [right(changes)] : []),
        ];
  const numbers = cells.map((_, i) =>
    blocks
      .map((block) => block[i]!)
      .filter((text) => text !== "")
      .join(" "),
  );
  const tails = left(
    cells.map((cell) => {
      const isPlain = cell.change === undefined && !isDistance(metric) && !isUntold(cell);
      return signIn(cell.mark, isPlain, tight) + cell.marks;
    }),
  );
  const tail = widest(tails);
  // Heads stand above the figures, and where they are wider above the signs too.
  const width = Math.max(widest(numbers) + tail, ...heads.map(widthOf));
  const head = (text: string) => padEnd(padStart(text, width - tail), width);
  return {
    head: [head(heads[0]), head(heads[1])],
    cells: numbers.map((text, i) => padStart(text, width - tail) + tails[i]!),
    colours: cells.map(({ mark }) => colourOf(mark)),
    width,
  };
}

/** A distance has no change, and its sign is its own; so is that of a change of which nothing can be told. */
function signIn(mark: ShortMark | undefined, isPlain: boolean, tight: boolean): string {
  const sign = (mark !== undefined && !isPlain && signs[mark]) || "";
  return tight ? sign.trim() : sign;
}

/** `prose-en` above `PPL ↓`, `tg128 ↑` above `tok/s`. */
function headsOf({ over, head, unit, metric }: ShortColumn): [string, string] {
  if (metric.per === "repetition") return [head, unit];
  const arrow = head.slice(metric.label.length);
  return [harmless(over), unit === "%" ? `${metric.label} %${arrow}` : head];
}

/** With the points below each other, whatever digits the errors leave. */
function pointed(figures: string[], cells: NotedCell[]): string[] {
  const decimals = figures.map((text) => text.length - `${text}.`.indexOf("."));
  const most = Math.max(0, ...decimals.filter((_, i) => cells[i]!.instead === undefined));
  return figures.map((text, i) => (cells[i]!.instead === undefined ? text + " ".repeat(most - decimals[i]!) : text));
}

/** Enough where its ± has no room. */
function twoDigits(cell: Cell): string {
  const value = figureIn(cell)?.value;
  if (value === undefined) return "";
  return value.toPrecision(2);
}

function sizesOf(rows: ShortRow[]): ColumnText | undefined {
  const { unit, factor, digits } = byteScale(rows.flatMap(({ bytes }) => bytes ?? []));
  const cells = rows.map(({ bytes }) => (bytes === undefined ? "" : (bytes * factor).toFixed(digits)));
  return drawnRight(["", `size ${unit}`], cells);
}

function savedOf(rows: ShortRow[]): ColumnText | undefined {
  const cells = rows.map(({ saved }) => (saved === undefined ? "" : savedShare(saved)));
  return drawnRight(["", "Δ"], cells);
}

function bitsOf(rows: ShortRow[]): ColumnText | undefined {
  return drawnRight(
    ["", "BPW"],
    rows.map(({ variant }) => variant.facts?.bpw.toFixed(2) ?? ""),
  );
}

function qualityOf(rows: ShortRow[]): ColumnText | undefined {
  const cells = rows.map(({ mark }) => wordOf(mark));
  if (cells.every((cell) => cell === "")) return undefined;
  return { ...drawnLeft(["", "quality"], cells), colours: rows.map(({ mark }) => colourOf(mark)) };
}

const colourOf = (mark: ShortMark | undefined): Colour | undefined => mark && colourOfMarks[mark];

const colourOfMarks: Partial<Record<ShortMark, Colour>> = {
  better: "good",
  "likely better": "good",
  "≈": "good",
  "likely worse": "doubtful",
  worse: "bad",
  "much worse": "worst",
};

const drawnLeft = (head: [string, string], cells: string[]): ColumnText => drawnAs(left, head, cells);

const drawnRight = (head: [string, string], cells: string[]): ColumnText | undefined =>
  cells.every((cell) => cell === "") ? undefined : drawnAs(right, head, cells);

function drawnAs(align: (texts: string[]) => string[], head: [string, string], cells: string[]): ColumnText {
  const [over, label, ...rest] = align([...head, ...cells]);
  return { head: [over!, label!], cells: rest, width: widthOf(label!) };
}

const padEnd = (text: string, width: number) => text + " ".repeat(Math.max(0, width - widthOf(text)));
const padStart = (text: string, width: number) => " ".repeat(Math.max(0, width - widthOf(text))) + text;
const widest = (texts: string[]) => Math.max(0, ...texts.map(widthOf));
const right = (texts: string[]) => texts.map((text) => padStart(text, widest(texts)));
const left = (texts: string[]) => texts.map((text) => padEnd(text, widest(texts)));

/** How many questions the accuracies of a measurement rest on: `200`, or `180 to 200` where variants differ. */
export interface QuestionCount {
  measurement: string;
  count: string;
  /** `hellaswag 200` */
  text: string;
}

export function questionsIn({ columns, rows }: Short): QuestionCount[] {
  return columns.flatMap(({ over, measurement, metric }, i) => {
    if (metric.per !== "question") return [];
    const counts = [...new Set(rows.flatMap(({ cells }) => figureIn(cells[i]!.cell)?.n ?? []))].sort((a, b) => a - b);
    const count = counts.length > 2 ? `${counts[0]} to ${counts.at(-1)}` : counts.join(" to ");
    return counts.length === 0 ? [] : [{ measurement, count, text: `${harmless(over || measurement)} ${count}` }];
  });
}
