import { harmless } from "../harmless.js";
import { isSameSize } from "../judge/index.js";
import { isDistance, isQuality, type Metric } from "../metrics.js";
import { byteScale, percent } from "../units.js";
import { listed } from "./conclusions.js";
import type { Heading, Layout } from "./layout.js";
import { isUntold, type Short, type ShortCell, type ShortColumn, type ShortMark } from "./short.js";

/** The short table as strings that are not escaped yet: size, quality, and each principal figure with its change. */
export function shortTable(short: Short): Layout {
  const { rows } = short;
  const columns = short.columns.map((column, i) => ({ column, i })).filter(({ column }) => !column.second);
  const { unit, factor, digits } = byteScale(rows.flatMap(({ bytes }) => bytes ?? []));
  const isChanged = ({ i }: { i: number }) => rows.some(({ cells }) => cells[i]!.change !== undefined);
  const parts: { head: Heading; cells: string[] }[] = [
    {
      head: left("variant"),
      cells: rows.map(
        ({ variant, mark }) =>
          harmless(variant.name) +
          (mark === "reference" || (variant.reference && rows.length > 1) ? " (reference)" : ""),
      ),
    },
    {
      head: right(`size ${unit}`),
      cells: rows.map(({ bytes }) => (bytes === undefined ? "" : (bytes * factor).toFixed(digits))),
    },
    { head: right("Δ"), cells: rows.map(({ saved }) => (saved === undefined ? "" : savedShare(saved))) },
    { head: left("quality"), cells: rows.map(({ mark }) => wordOf(mark)) },
    ...columns.flatMap((one) => [
      {
        head: right(headOf(one.column)),
        cells: rows.map(({ cells }) =>
          [cells[one.i]!.figure, ...ownSign(one.column, cells[one.i]!), ...signsAt(cells[one.i]!)].join(" "),
        ),
      },
      ...(isChanged(one) ? [{ head: right("Δ"), cells: rows.map(({ cells }) => changeIn(cells[one.i]!)) }] : []),
    ]),
  ];
  const signs = [...new Set(columns.flatMap(({ i }) => rows.flatMap(({ cells }) => signsAt(cells[i]!))))];
  const told = parts.filter(({ cells }) => cells.some((cell) => cell !== ""));
  return {
    columns: told.map(({ head }) => head),
    rows: rows.map((_, i) => told.map(({ cells }) => cells[i]!)),
    footnotes: [...legendOf(short), ...(signs.length > 0 ? [`${signs.join(" ")} are told under the full table`] : [])],
  };
}

/** Signs of notes, as the full table has them: figures at chance, or timed beside other processes, are none to copy without. */
function signsAt({ cell }: ShortCell): string[] {
  const of = cell.state === "unfinished" ? cell.part : cell.state === "measured" ? cell : undefined;
  if (!of || of.summary.broken !== undefined) return [];
  return [...new Set(of.notes.flatMap(({ mark }) => mark ?? []))];
}

/** A distance is a change itself, and has its sign at the figure. */
export const ownSign = ({ metric }: Pick<ShortColumn, "metric">, { mark }: Pick<ShortCell, "mark">): string[] =>
  isDistance(metric) && (mark === "≈" || mark === "?") ? [mark] : [];

/** `−46 %`; `same` where it rounds to none. */
export const savedShare = (saved: number) =>
  isSameSize(saved) ? "same" : `${saved < 0 ? "+" : "−"}${percent(Math.abs(saved))}`;

const left = (text: string): Heading => ({ text, align: "left", minor: false });
const right = (text: string): Heading => ({ text, align: "right", minor: false });

/** A word over all quality figures; nothing for the reference, and where nothing was compared. */
export const wordOf = (mark: ShortMark | undefined) =>
  mark === undefined || mark === "reference" || mark === "none" ? "" : mark;

/** `prose-en PPL ↓`, `tg128 tok/s ↑` */
function headOf({ over, head, unit, metric }: ShortColumn): string {
  const arrow = head.slice(metric.label.length);
  return [harmless(over), metric.label, unit === "nat" ? "" : unit].filter(Boolean).join(" ") + arrow;
}

/** `+0.9 %`, `+0.05 % ≈`, `−0.4 points ?`, in brackets what is only likely; `?` alone where nothing can be told. */
function changeIn(cell: ShortCell): string {
  const { change, mark } = cell;
  if (change === undefined) return isUntold(cell) ? "?" : "";
  if (mark === "likely better" || mark === "likely worse") return `(${change})`;
  return mark === "≈" || mark === "?" ? `${change} ${mark}` : change;
}

/** How the signs in the cells are read, and what changes are told against; `isBrief`: without what matters, for low screens. */
export function legendOf(
  { reference, columns, rows }: Short,
  shown: (name: string) => string = harmless,
  { isBrief = false } = {},
): string[] {
  const bases = [...new Set(rows.flatMap(({ against }) => against ?? []))];
  const cells = rows.flatMap((row) => row.cells);
  if (bases.length === 0 || !cells.some(({ change }) => change !== undefined)) return [];
  const told = reference === undefined ? `${listed(bases.map(shown))}, each against its own` : shown(reference);
  const isShown = (cell: ShortCell) => cell.change !== undefined || cell.verdict?.kind === "size" || isUntold(cell);
  const has = (...marks: ShortMark[]) =>
    cells.some((cell) => cell.mark !== undefined && marks.includes(cell.mark) && isShown(cell));
  const explained = [
    ...(has("≈") ? ["≈ too small to matter"] : []),
    ...(has("?") ? ["? not decided"] : []),
    ...(has("likely better", "likely worse") ? ["( ) likely"] : []),
  ];
  const matter = isBrief ? "" : whatMatters({ columns, rows });
  return [[`Changes against ${told}`, ...explained, ...(matter ? [matter] : [])].join("; ")];
}

/** `what matters: from PPL 0.5 %; much: ten times that`, where a mark asks for it; else empty. */
export function whatMatters({ columns, rows }: Pick<Short, "columns" | "rows">): string {
  const isMuch = ({ mark }: { mark?: ShortMark }) => mark === "much worse";
  const asked = (i: number) =>
    rows.some(({ cells: of }) => of[i]!.mark === "≈" || of[i]!.mark === "?" || isMuch(of[i]!));
  const margins = new Set(columns.flatMap(({ metric }, i) => (isQuality(metric) && asked(i) ? marginIn(metric) : [])));
  const much = rows.some((row) => isMuch(row) || row.cells.some(isMuch)) ? "; much: ten times that" : "";
  return margins.size > 0 ? `what matters: from ${[...margins].join(", ")}${much}` : "";
}

/** `PPL 0.5 %`, `acc 1 point`; none of a distance, whose figure is no change. */
export function marginIn(metric: Metric): string[] {
  const { margin, label, scale } = metric;
  if (!margin || isDistance(metric)) return [];
  if (margin.relative) return [`${label} ${100 * margin.size} %`];
  if (scale !== "percent") return [`${label} ${margin.size}`];
  return [`${label} ${100 * margin.size === 1 ? "1 point" : `${100 * margin.size} points`}`];
}
