import { isDistance, isExact, metric, prominences, variantMetrics } from "../metrics.js";
import { isPrincipal } from "./figures.js";
import { isReference, type LiveState } from "./state.js";

// Which columns of the matrix are shown, and how wide they are.

/** Metrics that belong to the variant rather than to one measurement; they stand once, whichever job measured them. */
const ofVariant = variantMetrics.map(({ name }) => name);
/** Known from the file before anything is measured, and looked for. */
const ofFile = variantMetrics
  .filter(({ fact, prominence }) => fact !== undefined && prominence > prominences.last)
  .map(({ name }) => name);

export interface MatrixColumn {
  metric: string;
  /** Index into `LiveState.measurements`; undefined for what belongs to the variant. */
  measurement: number | undefined;
  /** What the metric differs by from the reference's, rather than its value. */
  isChange: boolean;
  label: string;
  valueWidth: number;
  /** Width of ` ± error`; 0 if it is not shown. */
  errorWidth: number;
  /** Shows the mark of its job: the first shown column of a measurement. */
  marked: boolean;
  /** Blank characters before it. */
  gap: number;
}

export interface MatrixLayout {
  nameWidth: number;
  columns: MatrixColumn[];
  /** Columns that are not shown. */
  hidden: number;
  /** The page that is shown; see `layout`. */
  page: number;
}

const gap = 2;
export const groupGap = 3;
/** Least room for a measurement's name above its columns. */
const headWidth = 11;
export const markWidth = 2;

/**
 * Which columns fit into `width`. Widths hang on the metrics, not on the values, so that nothing moves while the figures
 * grow.
 *
 * `page` 0 is the overview: what a person looks for first, one figure per measurement, then its change, then its error, then size, then the
 * rest. Page n leaves the order of reading as it is and begins with its n-th column, so that every column can be reached;
 * a page beyond the one that shows the last column is that one.
 */
export function layout(state: LiveState, width: number, page = 0): MatrixLayout {
  const natural = state.rows.reduce((most, row) => Math.max(most, roughWidth(row.variant.name)), "variant".length);
  const least = Math.min(natural, Math.max(12, Math.floor(width * 0.3)));
  const all = allColumns(state);
  const room = width - least;
  const from = page === 0 ? -1 : Math.min(page, lastPage(state, all, room)) - 1;
  const chosen = from < 0 ? overview(state, all, room) : inOrder(state, all.slice(from), room);
  const { columns, width: taken } = arrange(state, chosen);
  return {
    nameWidth: Math.min(natural, Math.max(least, width - taken)),
    columns,
    hidden: all.length - columns.length,
    page: from + 1,
  };
}

/** The page that a key leads to: the next to the left or right that looks different, or the same at the end. */
export function turnPage(state: LiveState, width: number, page: number, step: 1 | -1): number {
  const look = (at: number) => {
    const { columns, page } = layout(state, width, at);
    return {
      page,
      shown: columns.map(({ metric, measurement, isChange }) => `${measurement} ${metric} ${isChange}`).join(),
    };
  };
  const now = look(page);
  for (let next = now.page + step; next >= 0; next += step) {
    const there = look(next);
    if (there.page !== next) break;
    if (there.shown !== now.shown) return next;
  }
  return now.page;
}

/** The first page that shows the last column; 0 where the overview leaves nothing out. */
function lastPage(state: LiveState, all: MatrixColumn[], room: number): number {
  if (overview(state, all, room).length === all.length) return 0;
  for (const column of all) column.errorWidth = 0;
  let start = all.length;
  while (start > 0 && arrange(state, all.slice(start - 1)).width <= room) start--;
  return Math.min(start, all.length - 1) + 1;
}

/** As many columns as fit, from the first on, then their errors. */
function inOrder(state: LiveState, offered: MatrixColumn[], room: number): MatrixColumn[] {
  const fitting = new Fitting(state, offered, room);
  for (const column of offered) if (!fitting.show(column)) break;
  for (const column of offered) fitting.showError(column);
  return fitting.columns();
}

function overview(state: LiveState, offered: MatrixColumn[], room: number): MatrixColumn[] {
  const fitting = new Fitting(state, offered, room);
  const isRate = (column: MatrixColumn) => metric(column.metric).per === "repetition";
  const principal = offered.filter((column) => isPrincipal(column.metric) && !column.isChange);
  const changes = offered.filter(({ isChange }) => isChange);
  const others = offered.filter((column) => !isPrincipal(column.metric));
  const early = others.filter((column) => metric(column.metric).prominence > prominences.last);
  for (const column of principal) fitting.show(column);
  // A change beside a later figure alone would look like that of the first.
  const ofQuality = changes.filter((column) => !isRate(column));
  const areTold = ofQuality.every((column) => fitting.show(column));
  for (const column of principal) if (!isRate(column)) fitting.showError(column);
  let sized = true;
  for (const column of early) {
    // Bits per weight do not stand in for the size when there is room for only one of them.
    const ofFacts = metric(column.metric).fact !== undefined;
    if (ofFacts && !sized) continue;
    const shown = fitting.show(column);
    if (ofFacts) sized = shown;
  }
  if (areTold) for (const column of changes) fitting.show(column);
  for (const column of principal) fitting.showError(column);
  for (const column of early) fitting.showError(column);
  for (const column of others) fitting.show(column);
  for (const column of others) fitting.showError(column);
  return fitting.columns();
}

/** Columns chosen one by one, each only if all of them still fit. */
class Fitting {
  readonly #shown = new Set<MatrixColumn>();

  constructor(
    readonly state: LiveState,
    readonly offered: MatrixColumn[],
    readonly room: number,
  ) {
    for (const column of offered) column.errorWidth = 0;
  }

  columns(): MatrixColumn[] {
    return this.offered.filter((column) => this.#shown.has(column));
  }

  show(column: MatrixColumn): boolean {
    this.#shown.add(column);
    if (!this.#fits()) this.#shown.delete(column);
    return this.#shown.has(column);
  }

  showError(column: MatrixColumn): void {
    if (!this.#shown.has(column)) return;
    column.errorWidth = column.isChange ? 0 : errorWidth(column.metric);
    if (!this.#fits()) column.errorWidth = 0;
  }

  #fits(): boolean {
    return arrange(this.state, this.columns()).width <= this.room;
  }
}

/** Every column there is, in the order of reading: the file, the measurements as listed, what else the engine told. */
function allColumns(state: LiveState): MatrixColumn[] {
  const blank = { errorWidth: 0, marked: false, gap };
  const column = (name: string, measurement: number | undefined, isChange = false): MatrixColumn => {
    const of = metric(name);
    const label = of.scale === "percent" ? `${of.label} %` : of.label;
    return { ...blank, metric: name, measurement, isChange, label: isChange ? "" : label, valueWidth: 0 };
  };
  const isCompared = state.rows.some((row) => isReference(state, row));
  const withChange = (name: string, measurement: number) =>
    isCompared && isPrincipal(name) && !isDistance(metric(name))
      ? [column(name, measurement), column(name, measurement, true)]
      : [column(name, measurement)];
  const measured = new Set(state.measurements.flatMap(({ metrics }) => metrics));
  if (state.rows.some((row) => row.variant.facts)) for (const name of ofFile) measured.add(name);
  for (const { name, opened } of variantMetrics)
    if (opened && state.rows.some((row) => row[opened] !== undefined)) measured.add(name);
  return [
    ...ofFile.filter((name) => measured.has(name)).map((name) => column(name, undefined)),
    ...state.measurements.flatMap(({ metrics }, index) =>
      metrics.filter((name) => !ofVariant.includes(name)).flatMap((name) => withChange(name, index)),
    ),
    ...ofVariant.filter((name) => measured.has(name) && !ofFile.includes(name)).map((n) => column(n, undefined)),
  ];
}

/** Gaps, marks and room for the head, which hang on the neighbours. */
function arrange(state: LiveState, columns: MatrixColumn[]): { columns: MatrixColumn[]; width: number } {
  let last: number | undefined = -1;
  for (const column of columns) {
    const first = column.measurement !== last;
    column.marked = first && column.measurement !== undefined;
    column.gap = first ? groupGap : gap;
    column.valueWidth = column.isChange
      ? changeWidth(column.metric)
      : Math.max(column.label.length, valueWidth(column.metric));
    last = column.measurement;
  }
  for (const [index, column] of columns.entries()) {
    if (column.measurement === undefined || columns[index + 1]?.measurement === column.measurement || !column.marked)
      continue;
    const unit = metric(column.metric).unit === "tok/s" ? " tok/s" : "";
    const name = roughWidth(state.measurements[column.measurement]!.name + unit);
    const missing = Math.min(name, headWidth) - (markWidth + column.valueWidth + column.errorWidth);
    if (missing > 0) column.valueWidth += missing;
  }
  return { columns, width: columns.reduce((sum, column) => sum + columnWidth(column), 0) };
}

/** With its gap and its mark. */
export function columnWidth(column: MatrixColumn): number {
  return column.gap + (column.marked ? markWidth : 0) + column.valueWidth + column.errorWidth;
}

/** `+0.38 %?`, `(−0.42pt)` */
const changeWidth = (name: string) => (metric(name).scale === "percent" ? 9 : 8);

function valueWidth(name: string): number {
  return metric(name).width;
}

function errorWidth(name: string): number {
  const of = metric(name);
  if (isExact(of)) return 0;
  // ` ±` and the figure
  return 2 + 6 + ((of.errorDigits ?? of.digits) - of.digits);
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
