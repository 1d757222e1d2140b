import type { ToldChange } from "../judge/index.js";
import { type Metric, metric } from "../metrics.js";
import { columnWidth, groupGap, type MatrixColumn, markWidth } from "./columns.js";
import { formatValue, isFloor, isTold } from "./figures.js";
import { changeIn, figure, isReference, type LiveJob, type LiveState, type LiveVariant, type Status } from "./state.js";

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
  /** The head of a column of changes, and the signs before and in a change. */
  delta: string;
  minus: string;
  times: string;
  /** Signs of changes: too small to matter; at chance; of a speed that was timed beside other processes. */
  same: string;
  guessed: string;
  disturbed: string;
  unknown: string;
  separator: string;
  rowKeys: string;
  columnKeys: string;
  /** Behind the name of the row that Enter opens. */
  cursor: string;
  /** From the lowest to the highest. */
  bars: string;
}

export const unicode: Glyphs = {
  status: { waiting: "·", running: "▶", done: "✓", failed: "✗", impossible: "–" },
  warning: "!",
  full: "█",
  empty: "░",
  plusMinus: "±",
  delta: "Δ",
  minus: "−",
  times: "×",
  same: "≈",
  guessed: "°",
  disturbed: "†",
  unknown: "—",
  separator: " · ",
  rowKeys: "↑↓",
  columnKeys: "←→",
  cursor: "◂",
  bars: "▁▂▃▄▅▆▇█",
};

/** For terminals that do not speak UTF-8. */
export const ascii: Glyphs = {
  status: { waiting: ".", running: ">", done: "+", failed: "x", impossible: "-" },
  warning: "!",
  full: "#",
  empty: ".",
  plusMinus: "+-",
  delta: "diff",
  minus: "-",
  times: "x",
  same: "~",
  guessed: "c",
  disturbed: "*",
  unknown: "?",
  separator: ", ",
  rowKeys: "j k",
  columnKeys: "h l",
  cursor: "<",
  bars: "_.:-=+*#",
};

interface Head {
  text: string;
  /** The first metric below it. */
  over: string;
  gap: number;
  width: number;
}

/** The names of the measurements above their columns, and the shared unit where there is one to state. */
export function groupHeads(state: LiveState, columns: MatrixColumn[]): Head[] {
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
export function columnHeads(columns: MatrixColumn[], glyphs: Glyphs): string {
  return columns
    .map(
      (column) =>
        " ".repeat(column.gap + (column.marked ? markWidth : 0)) +
        (column.isChange ? glyphs.delta : column.label).padStart(column.valueWidth) +
        " ".repeat(column.errorWidth),
    )
    .join("");
}

/** One variant's figures; one sentence instead where nothing of it can be measured for one and the same reason. */
export function rowPieces(state: LiveState, row: LiveVariant, columns: MatrixColumn[], glyphs: Glyphs): Piece[] {
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
    const text = column.isChange ? change(state, row, cell, column, glyphs) : content(row, cell, column, glyphs);
    pieces.push({ text, tone: valueTone(cell) });
  }
  return pieces;
}

/** The same with the cursor's sign in the gap before the first column. */
export function pointedAt([first, ...others]: Piece[], { cursor }: Glyphs): Piece[] {
  const sign = ` ${cursor}`;
  return first ? [{ ...first, text: sign + first.text.slice(sign.length) }, ...others] : [];
}

function content(row: LiveVariant, cell: LiveJob | undefined, column: MatrixColumn, glyphs: Glyphs): string {
  const whole = column.valueWidth + column.errorWidth;
  const of = metric(column.metric);
  if (column.measurement === undefined) {
    const value = variantValue(row, column.metric);
    return (value === undefined ? "" : formatValue(of, value, column.valueWidth)).padStart(whole);
  }
  if (!cell) return " ".repeat(whole);
  if (cell.status === "failed" && column.marked) return "failed".padEnd(whole);
  const known = figure(cell, column.metric);
  if (known && isFloor(cell.job)) return glyphs.status.impossible.padStart(column.valueWidth).padEnd(whole);
  if (!known || cell.status === "failed" || cell.status === "impossible") return " ".repeat(whole);
  const value = pointed(of, formatValue(of, known.value, column.valueWidth), column.valueWidth);
  if (column.errorWidth === 0) return value;
  const spread = !isTold(of, known.error)
    ? ""
    : ` ${glyphs.plusMinus}${formatValue(of, known.error, column.errorWidth - 1 - glyphs.plusMinus.length)}`;
  return value + spread.padEnd(column.errorWidth);
}

/** Right-aligned; a speed with fewer digits after the point than others has its point below theirs, where there is room. */
function pointed({ per, digits }: Metric, text: string, width: number): string {
  const after = text.includes(".") ? text.length - text.indexOf(".") : 0;
  const blanks = per === "repetition" && text.length + digits + 1 - after <= width ? digits + 1 - after : 0;
  return (text + " ".repeat(Math.max(0, blanks))).padStart(width);
}

function change(
  state: LiveState,
  row: LiveVariant,
  cell: LiveJob | undefined,
  { metric, valueWidth }: MatrixColumn,
  glyphs: Glyphs,
): string {
  const known = cell && changeIn(state, cell, row.variant.name, metric);
  const text = known ? changeText(known, glyphs) : cell && isReference(state, row) ? "ref" : "";
  const fitted = [text, text.replace(/ (?=\S+$)/, ""), text.replaceAll(" ", ""), glyphs.unknown];
  return fitted.find(({ length }) => length <= valueWidth)!.padStart(valueWidth);
}

/** `+0.9 % ?`, `(×1.2) †`: a change as the tables mark it, with the signs that the terminal has; `°` where nothing is told at chance. */
export function changeText(
  { text, mark, guessed, disturbed }: Omit<ToldChange, "variant" | "against">,
  glyphs: Glyphs,
): string {
  if (guessed) return glyphs.guessed;
  if (text === undefined) return "?";
  const { minus, times, plusMinus, same } = glyphs;
  const shown = text
    .replace(/ points?$/, " pt")
    .replaceAll("−", minus)
    .replaceAll("×", times)
    .replaceAll("±", plusMinus);
  const signs = [...(mark === "?" ? ["?"] : mark === "≈" ? [same] : []), ...(disturbed ? [glyphs.disturbed] : [])];
  return [mark === "likely better" || mark === "likely worse" ? `(${shown})` : shown, ...signs].join(" ");
}

/** From the file where it says so, else as measured; the largest where several jobs measured it. */
function variantValue(row: LiveVariant, name: string): number | undefined {
  const { fact, opened } = metric(name);
  const known = fact && row.variant.facts?.[fact];
  if (known !== undefined) return known;
  if (opened && row[opened] !== undefined) return row[opened];
  let value: number | undefined;
  for (const cell of row.cells) {
    const one = cell && figure(cell, name);
    if (one && (value === undefined || one.value > value)) value = one.value;
  }
  return value;
}

function sharedReason(row: LiveVariant): string | undefined {
  let reason: string | undefined;
  for (const cell of row.cells) {
    if (!cell) continue;
    if ((cell.status !== "failed" && cell.status !== "impossible") || cell.accumulators.size > 0) return undefined;
    if (reason !== undefined && reason !== cell.reason) return undefined;
    reason = cell.reason;
  }
  return reason;
}

function markTone(cell: LiveJob | undefined): Tone {
  if (!cell || cell.status === "waiting" || cell.status === "impossible") return "quiet";
  return cell.status;
}

function valueTone(cell: LiveJob | undefined): Tone {
  if (!cell || cell.status === "done") return "plain";
  if (cell.status === "waiting" || cell.status === "impossible") return "quiet";
  return cell.status;
}
