import { isShare, metric } from "../metrics.js";
import { formatValue, isPrincipal } from "./figures.js";
import { type Cell, figure, type Row, type State, type Status } from "./state.js";

/** How a piece of a line is meant; the drawing turns it into colour or leaves it. Never the only carrier of a meaning. */
export type Tone = "plain" | "quiet" | "running" | "done" | "failed" | "warning";

export interface Piece {
  text: string;
  tone: Tone;
}

export interface Glyphs {
  status: Record<Status, string>;
  warning: string;
  full: string;
  empty: string;
  plusMinus: string;
  unknown: string;
  separator: string;
  rowKeys: string;
  columnKeys: string;
}

export const unicode: Glyphs = {
  status: { waiting: "·", running: "▶", done: "✓", failed: "✗", impossible: "–" },
  warning: "!",
  full: "█",
  empty: "░",
  plusMinus: "±",
  unknown: "—",
  separator: " · ",
  rowKeys: "↑↓",
  columnKeys: "←→",
};

/** For terminals that do not speak UTF-8. */
export const ascii: Glyphs = {
  status: { waiting: ".", running: ">", done: "+", failed: "x", impossible: "-" },
  warning: "!",
  full: "#",
  empty: ".",
  plusMinus: "+-",
  unknown: "?",
  separator: ", ",
  rowKeys: "j k",
  columnKeys: "h l",
};

/** Metrics that belong to the variant rather than to one measurement; they stand once, whichever job measured them. */
const ofVariant = new Set(["size", "bpw", "parameters", "load_time", "peak_memory"]);
/** Known from the file before anything is measured. */
const ofFile = ["size", "bpw"];

export interface Column {
  metric: string;
  /** Index into `State.measurements`; undefined for what belongs to the variant. */
  measurement: number | undefined;
  label: string;
  valueWidth: number;
  /** Of ` ± error`; 0 where it is not shown. */
  errorWidth: number;
  /** Shows the mark of its job: the first shown column of a measurement. */
  marked: boolean;
  /** Blank characters before it. */
  gap: number;
}

export interface Layout {
  nameWidth: number;
  columns: Column[];
  /** Columns that did not fit. */
  hidden: number;
}

const gap = 2;
const groupGap = 3;
/** A measurement's name has at least this much room above its columns. */
const headWidth = 11;
const markWidth = 2;

/**
 * Which columns fit into `width`, by what a person looks for first: one figure per measurement, then its error, then
 * size, then the rest. Widths hang on the metrics, not on the values, so that nothing moves while the figures grow.
 * `skip` leaves out the first columns, to look at those that did not fit.
 */
export function layout(state: State, width: number, skip = 0): Layout {
  const natural = state.rows.reduce((most, row) => Math.max(most, roughWidth(row.variant.name)), "variant".length);
  const least = Math.min(natural, Math.max(12, Math.floor(width * 0.3)));
  const all = allColumns(state);
  const offered = all.slice(Math.min(skip, Math.max(0, all.length - 1)));
  const shown = new Set<Column>();
  const used = () =>
    arrange(
      state,
      offered.filter((column) => shown.has(column)),
    ).width;

  const wish = (apply: () => void, undo: () => void) => {
    apply();
    if (least + used() > width) undo();
  };
  const show = (column: Column) =>
    wish(
      () => shown.add(column),
      () => shown.delete(column),
    );
  const showError = (column: Column) => {
    if (!shown.has(column)) return;
    wish(
      () => {
        column.errorWidth = errorWidth(column.metric);
      },
      () => {
        column.errorWidth = 0;
      },
    );
  };

  const isRate = (column: Column) => metric(column.metric).aggregation === "rate";
  const principal = offered.filter((column) => isPrincipal(column.metric));
  const others = offered.filter((column) => !isPrincipal(column.metric));
  const early = (column: Column) => !/^(bits_per_character|parameters|load_time)$/.test(column.metric);
  for (const column of principal) show(column);
  for (const column of principal) if (!isRate(column)) showError(column);
  for (const column of others) if (early(column)) show(column);
  for (const column of principal) showError(column);
  for (const column of others) if (early(column)) showError(column);
  for (const column of others) show(column);
  for (const column of others) showError(column);

  const { columns, width: taken } = arrange(
    state,
    offered.filter((column) => shown.has(column)),
  );
  return { nameWidth: Math.min(natural, Math.max(least, width - taken)), columns, hidden: all.length - columns.length };
}

/** Every column there is, in the order of reading: the file, the measurements as listed, what else the engine told. */
function allColumns(state: State): Column[] {
  const blank = { errorWidth: 0, marked: false, gap };
  const column = (name: string, measurement: number | undefined): Column => {
    const of = metric(name);
    const label = isShare(of) ? `${of.label} %` : of.label;
    return {
      ...blank,
      metric: name,
      measurement,
      label,
      valueWidth: Math.max(label.length, valueWidth(name)),
    };
  };
  const measured = new Set(state.measurements.flatMap(({ metrics }) => metrics));
  if (state.rows.some((row) => row.variant.facts)) for (const name of ofFile) measured.add(name);
  if (state.rows.some((row) => row.loadSeconds !== undefined)) measured.add("load_time");
  return [
    ...ofFile.filter((name) => measured.has(name)).map((name) => column(name, undefined)),
    ...state.measurements.flatMap(({ metrics }, index) =>
      metrics.filter((name) => !ofVariant.has(name)).map((name) => column(name, index)),
    ),
    ...[...ofVariant].filter((name) => measured.has(name) && !ofFile.includes(name)).map((n) => column(n, undefined)),
  ];
}

/** Gaps, marks and room for the head, which hang on the neighbours. */
function arrange(state: State, columns: Column[]): { columns: Column[]; width: number } {
  let last: number | undefined = -1;
  for (const column of columns) {
    const first = column.measurement !== last;
    column.marked = first && column.measurement !== undefined;
    column.gap = first ? groupGap : gap;
    column.valueWidth = Math.max(column.label.length, valueWidth(column.metric));
    last = column.measurement;
  }
  for (const [index, column] of columns.entries()) {
    if (column.measurement === undefined || columns[index + 1]?.measurement === column.measurement || !column.marked)
      continue;
    const name = roughWidth(state.measurements[column.measurement]!.name);
    const missing = Math.min(name, headWidth) - (markWidth + column.valueWidth + column.errorWidth);
    if (missing > 0) column.valueWidth += missing;
  }
  return { columns, width: columns.reduce((sum, column) => sum + columnWidth(column), 0) };
}

/** With its gap and its mark. */
export function columnWidth(column: Column): number {
  return column.gap + (column.marked ? markWidth : 0) + column.valueWidth + column.errorWidth;
}

function valueWidth(name: string): number {
  const { unit, aggregation } = metric(name);
  if (unit === "B") return 10;
  if (aggregation === "perplexity" || aggregation === "rate") return 8;
  return 6;
}

function errorWidth(name: string): number {
  const { aggregation } = metric(name);
  if (["single", "maximum", "count"].includes(aggregation)) return 0;
  // ` ±` and the figure
  return 2 + (aggregation === "perplexity" ? 7 : aggregation === "rate" ? 6 : 6);
}

export interface Head {
  text: string;
  /** The first metric below it. */
  over: string;
  gap: number;
  width: number;
}

/** The names of the measurements above their columns, and the shared unit where there is one to state. */
export function groupHeads(state: State, columns: Column[]): Head[] {
  const heads: Head[] = [];
  for (let index = 0; index < columns.length; ) {
    const first = columns[index]!;
    let width = 0;
    const units = new Set<string>();
    let next = index;
    for (; next < columns.length && columns[next]!.measurement === first.measurement; next++) {
      width += columnWidth(columns[next]!);
      units.add(metric(columns[next]!.metric).unit);
    }
    const unit = units.size === 1 && units.has("tok/s") ? " tok/s" : "";
    const name = first.measurement === undefined ? "" : state.measurements[first.measurement]!.name + unit;
    heads.push({ over: first.metric, text: name, gap: first.gap, width: width - first.gap });
    index = next;
  }
  return heads;
}

/** The labels, each above its values. */
export function columnHeads(columns: Column[]): string {
  return columns
    .map(
      (column) =>
        " ".repeat(column.gap + (column.marked ? markWidth : 0)) +
        column.label.padStart(column.valueWidth) +
        " ".repeat(column.errorWidth),
    )
    .join("");
}

/** One variant's figures; one sentence instead where nothing of it can be measured for one and the same reason. */
export function rowPieces(row: Row, columns: Column[], glyphs: Glyphs): Piece[] {
  const reason = sharedReason(row);
  if (reason !== undefined) {
    const failed = row.cells.some((cell) => cell?.status === "failed");
    const mark = glyphs.status[failed ? "failed" : "impossible"];
    return [{ text: `${" ".repeat(groupGap)}${mark} ${reason}`, tone: failed ? "failed" : "quiet" }];
  }
  const pieces: Piece[] = [];
  for (const column of columns) {
    const cell = column.measurement === undefined ? undefined : row.cells[column.measurement];
    pieces.push({ text: " ".repeat(column.gap), tone: "plain" });
    if (column.marked)
      pieces.push({ text: (cell ? glyphs.status[cell.status] : " ").padEnd(markWidth), tone: markTone(cell) });
    pieces.push({ text: content(row, cell, column, glyphs), tone: valueTone(cell) });
  }
  return pieces;
}

function content(row: Row, cell: Cell | undefined, column: Column, glyphs: Glyphs): string {
  const whole = column.valueWidth + column.errorWidth;
  const of = metric(column.metric);
  if (column.measurement === undefined) {
    const value = variantValue(row, column.metric);
    return (value === undefined ? "" : formatValue(of, value, column.valueWidth)).padStart(whole);
  }
  if (!cell) return " ".repeat(whole);
  if (cell.status === "failed" && column.marked) return "failed".padEnd(whole);
  const known = figure(cell, column.metric);
  if (!known || cell.status === "failed" || cell.status === "impossible") return " ".repeat(whole);
  const value = formatValue(of, known.value, column.valueWidth).padStart(column.valueWidth);
  if (column.errorWidth === 0) return value;
  const spread =
    known.error === undefined
      ? ""
      : ` ${glyphs.plusMinus}${formatValue(of, known.error, column.errorWidth - 1 - glyphs.plusMinus.length)}`;
  return value + spread.padEnd(column.errorWidth);
}

/** From the file where it says so, else as measured; the largest where several jobs measured it. */
function variantValue(row: Row, name: string): number | undefined {
  const { facts } = row.variant;
  if (facts && name === "size") return facts.bytes;
  if (facts && name === "bpw") return facts.bpw;
  if (name === "load_time" && row.loadSeconds !== undefined) return row.loadSeconds;
  let value: number | undefined;
  for (const cell of row.cells) {
    const known = cell && figure(cell, name);
    if (known && (value === undefined || known.value > value)) value = known.value;
  }
  return value;
}

function sharedReason(row: Row): string | undefined {
  let reason: string | undefined;
  for (const cell of row.cells) {
    if (!cell) continue;
    if ((cell.status !== "failed" && cell.status !== "impossible") || cell.accumulators.size > 0) return undefined;
    if (reason !== undefined && reason !== cell.reason) return undefined;
    reason = cell.reason;
  }
  return reason;
}

function markTone(cell: Cell | undefined): Tone {
  if (!cell || cell.status === "waiting" || cell.status === "impossible") return "quiet";
  return cell.status;
}

function valueTone(cell: Cell | undefined): Tone {
  if (!cell || cell.status === "done") return "plain";
  if (cell.status === "waiting" || cell.status === "impossible") return "quiet";
  return cell.status;
}

/** Terminal cells of a text, near enough to choose a column's width by; the drawing cuts to it by exact widths. */
export function roughWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/.test(
      character,
    )
      ? 2
      : /\p{Extended_Pictographic}/u.test(character)
        ? 2
        : 1;
  return width;
}
