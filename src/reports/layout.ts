import type { VariantRecord } from "../events.js";
import { harmless } from "../harmless.js";
import { isTally, type Metric, prominences } from "../metrics.js";
import type { Summary } from "../stats/summary.js";
import { byteScale } from "../units.js";
import { signed } from "./digits.js";
import { Footnotes, floorOf, notedIn, sharedMarks, type Telling, without } from "./footnotes.js";
import { leadsOf } from "./leads.js";
import {
  type Cell,
  type Column,
  figureIn,
  joinMemory,
  modelFacts,
  type Table,
  withoutAlike,
  withoutTwins,
} from "./table.js";

/** A table for people, as strings that are not escaped yet; Markdown and the terminal only draw it. */
export interface Layout {
  columns: Heading[];
  /** One string per column; the first is the variant's name. */
  rows: string[][];
  /** Notes to the cells, each with its mark: `[1] …`, `† …`. */
  footnotes: string[];
}

export interface Heading {
  text: string;
  align: "left" | "right";
  /** Left out where there is little room: it follows from other columns or matters to few. */
  minor: boolean;
}

type ShownFigure = Pick<Summary, "value" | "error" | "low" | "high">;

/** One column as a person wants it; a metric gives none, one or two of them. */
interface ColumnView {
  /** The label without what it belongs to, and that: `acc %` below `facts-en`, `tok/s` below `tg128`. */
  label: string;
  over: string;
  /** The number that all figures of the column rest on: `(n = 240)`; or empty. */
  basis: string;
  heading: string;
  minor: boolean;
  /** Index of the table's column. */
  index: number;
  /** Footnotes stand at the first view of a metric. */
  leads: boolean;
  digits: number;
  errorDigits: number;
  /** From the metric's unit to the one shown. */
  convert(summary: Summary): ShownFigure;
  after(summary: Summary): string;
}

/** The main table with its parts apart: where there is little room, some of them are left out. */
export interface Grid {
  columns: GridColumn[];
  rows: { variant: VariantRecord; cells: GridCell[] }[];
  /** With their marks: `[1] …`, `† …`. */
  footnotes: string[];
}

export interface GridColumn extends Pick<ColumnView, "label" | "over" | "heading" | "minor" | "basis"> {
  /** The order in which a reader looks: 0 for the size, 1 for the first figure of each measurement, 2 for its second. */
  rank: number;
  /** Marks of notes that concern all its figures. */
  marks: string;
}

export interface GridCell {
  /** The figure, or what stands in its place. */
  text: string;
  /** Its ±. */
  error: string;
  after: string;
  marks: string;
  isFigure: boolean;
}

/** The main table: one row per variant. */
export function layoutOf(table: Table): Layout {
  const { columns, rows, footnotes } = gridOf(table);
  return {
    columns: [
      variantHeading,
      ...columns.map(({ heading, minor, marks }) => ({ text: heading + marks, align: "right" as const, minor })),
    ],
    rows: rows.map(({ variant, cells }) => [
      harmless(variant.name) + (variant.reference && rows.length > 1 ? " (reference)" : ""),
      ...cells.map(({ text, error, after, marks }) => text + error + after + marks),
    ]),
    footnotes,
  };
}

export function gridOf(table: Table): Grid {
  const shown = withoutTwins(withoutAlike(joinMemory(table)));
  const { columns, rows } = shown;
  const views = viewsOf(columns, rows);
  const ranks = ranksOf(shown, columns, views);
  const footnotes = new Footnotes();
  const drawn = rows.map(({ variant, cells }) => {
    const told = new Set<string>();
    // A failure of a variant as a whole is told in the column that a reader looks at first.
    const order = views.map((_, i) => i).sort((a, b) => ranks[a]! - ranks[b]! || a - b);
    const found = new Map<number, GridCell>();
    for (const i of order) {
      const view = views[i]!;
      const cell = cells[view.index]!;
      const ofFile = columns[view.index]!.measurement === modelFacts;
      found.set(
        i,
        drawCell(cell, view, {
          footnotes,
          told,
          ofFile,
          metric: columns[view.index]!.metric,
          floor: floorOf(cells, columns, view.index, variant),
          variant: harmless(variant.name),
        }),
      );
    }
    return { variant, cells: views.map((_, i) => found.get(i)!) };
  });
  const shared = views.map((_, i) => sharedMarks(drawn.map(({ cells }) => cells[i]!)));
  const { marks, lines } = footnotes.numbered(drawn.flatMap(({ cells }) => cells.map((cell) => cell.marks)));
  return {
    columns: views.map(({ label, over, basis, heading, minor }, i) => ({
      label,
      over,
      basis,
      heading,
      minor,
      rank: ranks[i]!,
      marks: marks(shared[i]!),
    })),
    rows: drawn.map(({ variant, cells }) => ({
      variant,
      cells: cells.map((cell, i) => ({ ...cell, marks: marks(without(cell.marks, shared[i]!)) })),
    })),
    footnotes: lines,
  };
}

interface Drawing extends Telling {
  footnotes: Footnotes;
}

const empty: GridCell = { text: "", error: "", after: "", marks: "", isFigure: false };

function drawCell(cell: Cell, view: ColumnView, { footnotes, ...telling }: Drawing): GridCell {
  // An unfinished metric counts once.
  if (cell.state === "unfinished" && !view.leads) return empty;
  const { instead, notes } = notedIn(cell, telling);
  const marks = view.leads ? notes.map((note) => footnotes.add(note)).join("") : "";
  if (instead !== undefined || cell.state !== "measured") return { ...empty, text: instead ?? "", marks };
  const { value, error } = view.convert(cell.summary);
  return {
    text: signed(value.toFixed(view.digits)),
    error: error === undefined ? "" : ` ± ${error.toFixed(view.errorDigits)}`,
    after: view.after(cell.summary),
    marks,
    isFigure: true,
  };
}

/** Ranks of columns by the order in which a reader looks; if tokenizers differ, the figure that compares across them is first. */
function ranksOf(table: Table, columns: Column[], views: ColumnView[]): number[] {
  const leads = leadsOf(table, columns);
  return views.map(({ index, leads: isFirst, minor }) => {
    const { measurement, metric } = columns[index]!;
    const { lead, second } = { lead: undefined, second: undefined, ...leads.get(measurement) };
    if (metric.fact === "bytes") return 0;
    if (isFirst && index === lead) return 1;
    if (isFirst && index === second) return 2;
    const open = isTally(metric) && table.rows.some(({ cells }) => (figureIn(cells[index])?.value ?? 0) > 0);
    return open ? 2 : metric.fact !== undefined ? 3 : minor ? 5 : 4;
  });
}

/** The 95 % intervals, for the metrics that have them: what the ± of other tools does not say. */
export function intervalsOf({ columns, rows }: Table): Layout {
  const views = viewsOf(columns, rows).filter(
    ({ leads, index }) => leads && rows.some(({ cells }) => intervalIn(cells[index]!)?.low !== undefined),
  );
  return {
    columns: [
      variantHeading,
      ...views.map(({ heading }) => ({ text: heading, align: "right" as const, minor: false })),
    ],
    rows: rows
      .map(({ variant, cells }) => [
        harmless(variant.name),
        ...views.map((view) => range(view, intervalIn(cells[view.index]!))),
      ])
      .filter(([, ...ranges]) => ranges.some((text) => text !== "")),
    footnotes: [],
  };
}

const variantHeading: Heading = { text: "variant", align: "left", minor: false };

/** The noise floor's is none of the variant. */
const intervalIn = (cell: Cell) => (cell.state === "measured" && cell.floor ? undefined : figureIn(cell));

function range({ convert, digits }: ColumnView, summary: Summary | undefined): string {
  if (!summary) return "";
  const { low, high } = convert(summary);
  return low === undefined || high === undefined
    ? ""
    : `${signed(low.toFixed(digits))} … ${signed(high.toFixed(digits))}`;
}

function viewsOf(columns: Column[], rows: Table["rows"]): ColumnView[] {
  return columns.flatMap((column, index) => {
    const summaries = rows.flatMap(({ cells }) => figureIn(cells[index]!) ?? []);
    const shared = column.name === column.metric.name ? "" : harmless(column.measurement);
    return columnViews(column, summaries).map((view, position) => {
      const over = [shared, view.over ?? ""].filter(Boolean).join(" ");
      return {
        minor: false,
        digits: column.metric.digits,
        errorDigits: view.digits ?? column.metric.errorDigits ?? column.metric.digits,
        convert: (summary: Summary) => summary,
        after: () => "",
        basis: "",
        ...view,
        over,
        heading: [over, view.label, view.basis ?? ""].filter(Boolean).join(" "),
        index,
        leads: position === 0,
      };
    });
  });
}

type PartialView = Partial<ColumnView> & { label: string };

function columnViews({ metric }: Column, summaries: Summary[]): PartialView[] {
  const { label, per, scale, unit, prominence } = metric;
  const minor = prominence <= prominences.minor;
  if (scale === "count") return [];
  if (scale === "bytes") return [bytesView(label, summaries)];
  if (scale === "percent")
    return [{ ...(per === "question" ? countedShareView : shareView)(metric, summaries), minor }];
  if (per === "repetition") return [{ over: label, label: unit, digits: rateDigits(metric, summaries) }];
  return [{ label: unit === "s" ? `${label} s` : label, minor }];
}

/**
 * Five digits at most: of the thousands of tokens a second that a small model makes, no repetition repeats more. After the point no more
 * than the smallest error has two digits, but the least speed keeps two of its own.
 */
function rateDigits({ digits }: Metric, summaries: Summary[]): number {
  const largest = Math.max(1, ...summaries.map(({ value }) => value));
  const known = summaries.flatMap(({ value, error }) => (error !== undefined && error > 0 ? [value, error] : []));
  const asked = known.length > 0 ? 1 - Math.floor(Math.log10(Math.min(...known))) : digits;
  return Math.max(0, Math.min(digits, asked, 4 - Math.floor(Math.log10(largest))));
}

function bytesView(label: string, summaries: Summary[]): PartialView {
  const { unit, digits, factor } = byteScale(summaries.map(({ value }) => value));
  return { label: `${label} ${unit}`, digits, convert: scaled(factor) };
}

const shareView = ({ label, digits }: Metric): PartialView => ({
  label: `${label} %`,
  digits: digits - 2,
  convert: scaled(100),
});

/** How many questions there were stands in the head where it is the same for all. */
function countedShareView(metric: Metric, summaries: Summary[]): PartialView {
  const counts = [...new Set(summaries.map(({ n }) => n))];
  const view = shareView(metric);
  return counts.length === 1
    ? { ...view, basis: `(n = ${counts[0]})` }
    : { ...view, after: (summary: Summary) => ` (n = ${summary.n})` };
}

const times = (number: number | undefined, factor: number) => (number === undefined ? undefined : number * factor);

const scaled =
  (factor: number) =>
  ({ value, error, low, high }: ShownFigure): ShownFigure => ({
    value: value * factor,
    error: times(error, factor),
    low: times(low, factor),
    high: times(high, factor),
  });
