import { harmless } from "../harmless.js";
import { isShare, type Metric } from "../metrics.js";
import type { Summary } from "../stats/summary.js";
import { byteScale } from "../units.js";
import { absence, type Cell, type Column, joinMemory, type Table } from "./table.js";

/** What a person reads, as strings that are not escaped yet; Markdown and the terminal only draw it. */
export interface Layout {
  columns: Heading[];
  /** One string per column; the first is the variant's name. */
  rows: string[][];
  /** What the marks `[1]`, `[2]` … in the cells say, in order. */
  footnotes: string[];
}

export interface Heading {
  text: string;
  align: "left" | "right";
  /** Left out where there is little room: it follows from other columns or matters to few. */
  minor: boolean;
}

type Figure = Pick<Summary, "value" | "error" | "low" | "high">;

/** One column as a person wants it; a metric gives none, one or two of them. */
interface View {
  heading: string;
  minor: boolean;
  /** Index of the table's column. */
  index: number;
  /** Footnotes stand at the first view of a metric. */
  leads: boolean;
  digits: number;
  errorDigits: number;
  /** From the metric's unit to the one shown. */
  convert(summary: Summary): Figure;
  after(summary: Summary): string;
}

/** The main table: one row per variant. */
export function layoutOf(table: Table): Layout {
  const { columns, rows } = joinMemory(table);
  const views = viewsOf(columns, rows);
  const footnotes: string[] = [];
  const mark = (note: string) => {
    if (!footnotes.includes(note)) footnotes.push(note);
    return ` [${footnotes.indexOf(note) + 1}]`;
  };
  return {
    columns: [
      variantHeading,
      ...views.map(({ heading, minor }) => ({ text: heading, align: "right" as const, minor })),
    ],
    rows: rows.map(({ variant, cells }) => [
      harmless(variant.name) + (variant.reference ? " (reference)" : ""),
      ...views.map((view) => {
        const cell = cells[view.index]!;
        if (cell.state !== "measured") return standIn(cell, mark);
        const marks = view.leads ? cell.notes.map((note) => mark(harmless(note))) : [];
        return plusMinus(view, cell.summary) + marks.join("");
      }),
    ]),
    footnotes,
  };
}

/** The 95 % intervals, for the metrics that have them: what the ± of other tools does not say. */
export function intervalsOf({ columns, rows }: Table): Layout {
  const views = viewsOf(columns, rows).filter(
    ({ leads, index }) => leads && rows.some(({ cells }) => summaryIn(cells[index]!)?.low !== undefined),
  );
  return {
    columns: [
      variantHeading,
      ...views.map(({ heading }) => ({ text: heading, align: "right" as const, minor: false })),
    ],
    rows: rows
      .map(({ variant, cells }) => [
        harmless(variant.name),
        ...views.map((view) => range(view, summaryIn(cells[view.index]!))),
      ])
      .filter(([, ...ranges]) => ranges.some((text) => text !== "")),
    footnotes: [],
  };
}

const variantHeading: Heading = { text: "variant", align: "left", minor: false };

const summaryIn = (cell: Cell) => (cell.state === "measured" ? cell.summary : undefined);

const words = { failed: "failed", impossible: "n/a", unfinished: "unfinished", absent: "" };

function standIn(cell: Exclude<Cell, { state: "measured" }>, mark: (note: string) => string): string {
  const why = absence(cell);
  const hint = cell.state === "failed" && cell.failure.hint ? ` ${harmless(cell.failure.hint)}` : "";
  return words[cell.state] + (why === undefined ? "" : mark(why + hint));
}

function plusMinus({ convert, after, digits, errorDigits }: View, summary: Summary): string {
  const { value, error } = convert(summary);
  return value.toFixed(digits) + (error === undefined ? "" : ` ± ${error.toFixed(errorDigits)}`) + after(summary);
}

function range({ convert, digits }: View, summary: Summary | undefined): string {
  if (!summary) return "";
  const { low, high } = convert(summary);
  return low === undefined || high === undefined ? "" : `${low.toFixed(digits)} … ${high.toFixed(digits)}`;
}

function viewsOf(columns: Column[], rows: Table["rows"]): View[] {
  return columns.flatMap((column, index) => {
    const summaries = rows.flatMap(({ cells }) => summaryIn(cells[index]!) ?? []);
    return columnViews(column, summaries).map((view, position) => ({
      minor: false,
      digits: column.metric.digits,
      errorDigits: view.digits ?? column.metric.digits,
      convert: (summary: Summary) => summary,
      after: () => "",
      ...view,
      index,
      leads: position === 0,
    }));
  });
}

function columnViews(
  { metric, measurement, name }: Column,
  summaries: Summary[],
): (Partial<View> & { heading: string })[] {
  const label = name === metric.name ? metric.label : `${harmless(measurement)} ${metric.label}`;
  if (metric.name === "parameters") return [];
  if (metric.unit === "B") return [bytesView(label, summaries)];
  switch (metric.aggregation) {
    case "perplexity":
      // The ± has one digit more, as llama-perplexity prints it.
      return [{ heading: label, errorDigits: metric.digits + 1 }];
    case "ratio":
      return [{ heading: label, minor: true }];
    case "proportion":
      return [{ ...countedShareView(label, metric, summaries), minor: metric.name === "acc_token" }];
    case "rate":
      return [{ heading: `${label} ${metric.unit}` }, { heading: `${label} ms/token`, minor: true, convert: perToken }];
    default:
      if (isShare(metric)) return [shareView(label, metric)];
      return [metric.unit === "s" ? { heading: `${label} s`, minor: true } : { heading: label }];
  }
}

function bytesView(label: string, summaries: Summary[]) {
  const { unit, digits, factor } = byteScale(summaries.map(({ value }) => value));
  return { heading: `${label} ${unit}`, digits, convert: scaled(factor) };
}

const shareView = (label: string, { digits }: Metric) => ({
  heading: `${label} %`,
  digits: digits - 2,
  convert: scaled(100),
});

/** How many questions there were stands in the head where it is the same for all. */
function countedShareView(label: string, metric: Metric, summaries: Summary[]) {
  const counts = [...new Set(summaries.map(({ n }) => n))];
  const [n] = counts;
  const view = shareView(label, metric);
  return counts.length === 1
    ? { ...view, heading: `${view.heading} (n = ${n})` }
    : { ...view, after: (summary: Summary) => ` (n = ${summary.n})` };
}

const times = (number: number | undefined, factor: number) => (number === undefined ? undefined : number * factor);

const scaled =
  (factor: number) =>
  ({ value, error, low, high }: Figure): Figure => ({
    value: value * factor,
    error: times(error, factor),
    low: times(low, factor),
    high: times(high, factor),
  });

/**
 * Milliseconds per token from tokens per second r: 1000 / r, its error by the delta method 1000 / r² times that of r,
 * its interval the other's ends turned round.
 */
function perToken({ value, error, low, high }: Figure): Figure {
  return {
    value: 1000 / value,
    error: times(error, 1000 / value ** 2),
    low: high === undefined ? undefined : 1000 / high,
    high: low === undefined ? undefined : 1000 / low,
  };
}
