import { definite } from "../definite.js";
import type { VariantRecord } from "../events.js";
import {
  beatenIn,
  changeOf,
  isAtChance,
  isSameSize,
  type LadderStep,
  type Mark,
  markOf,
  type Result,
  type Verdict,
  type Verdicts,
} from "../judge/index.js";
import { metric as describe, isQuality, type Metric } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import type { Series } from "../stats/series.js";
import { conclusionsFrom } from "./conclusions.js";
import { figureOf, unfinishedText, unitOf } from "./digits.js";
import { leadsOf } from "./leads.js";
import { type Cell, type Column, figureIn, type Table } from "./table.js";

/**
 * What a person looks at first: a row per variant, the size and the principal figure of each measurement, its change against
 * the reference. Plain data, computed once in `Facts.short`.
 */
export interface Short {
  /** The variant that changes are told against; absent where there is none, or where rows have several: see `ShortRow.against`. */
  reference?: string;
  columns: ShortColumn[];
  /** In the order of the plan. */
  rows: ShortRow[];
  /** One to five sentences: the conclusions, the variants by their full names. */
  conclusions: string[];
}

export interface ShortColumn {
  measurement: string;
  metric: Metric;
  /** `PPL ↓`: the arrow says which way is better. */
  head: string;
  /** `%`, `tok/s`, `nat`, or nothing. */
  unit: string;
  /** The measurement's name, where it is not that of its kind (a task), or several give that metric; else empty. */
  over: string;
  /** A second figure of its measurement, such as the speed of reading: for where there is room. */
  second: boolean;
}

export interface ShortRow {
  variant: VariantRecord;
  bytes?: number;
  /** The variant that this one's changes are told against; absent for a reference and where there is none. */
  against?: string;
  /** Share of the reference's bytes that is saved. */
  saved?: number;
  /** One per column. */
  cells: ShortCell[];
  /** Over all quality figures together, as the ladder has it. */
  mark?: ShortMark;
  /** Another variant that is no larger and in no figure worse, and shown better in one: Pareto by exclusion. */
  beatenBy?: string;
}

/** `≈` equivalent or within the margin; `?` not decided. Colours and signs are the drawer's. */
export type ShortMark = Mark | "reference";

export interface ShortCell {
  /** As in the full table: state, summary, notes. */
  cell: Cell;
  /** `31.03`, digits from its error; what stands there instead where there is no figure (`failed`, `n/a`, `12 chunks`). */
  figure: string;
  /** `0.15` */
  error?: string;
  /** `+0.9 %`, `−2.1 points`, `×2.1`; absent for the reference and where nothing was compared. */
  change?: string;
  mark?: ShortMark;
  comparison?: Comparison;
  verdict?: Verdict;
  /** A speed beside which other processes computed, this one's or the reference's. */
  disturbed?: true;
}

/** Whether a change was asked for and nothing can be told of it; figures at chance have a sign of their own. */
export const isUntold = ({ change, mark, verdict }: ShortCell): boolean =>
  change === undefined && mark === "?" && verdict !== undefined && !isAtChance(verdict);

/** `series`: of the run of which `table` and `verdicts` are made. */
export function shortFrom(series: Series[], table: Table, verdicts: Verdicts): Short {
  const places = [...leadsOf(table)].flatMap(([, { lead, second }]) => [
    { at: lead, second: false },
    ...(second === undefined ? [] : [{ at: second, second: true }]),
  ]);
  const told = places.filter(({ at }) => table.rows.some(({ cells }) => cells[at]!.state !== "absent"));
  const columns = told.map(({ at, second }) => columnOf(table, table.columns[at]!, second));
  const bases = new Set(verdicts.ladders.map(({ base }) => base));
  const rows = table.rows.map(({ variant, cells }): ShortRow => {
    const ladder = verdicts.ladders.find(({ steps }) => steps.some((step) => step.variant === variant.name));
    const step = ladder?.steps.find((one) => one.variant === variant.name);
    const results = ladder && !ladder.isVoid ? resultsFor(verdicts, ladder.base, variant.name) : [];
    return {
      variant,
      ...definite({ bytes: variant.facts?.bytes, against: ladder?.base, saved: step?.saved }),
      cells: told.map(({ at }) => {
        const base = table.rows.find((one) => one.variant.name === ladder?.base)?.cells[at];
        return cellOf(cells[at]!, base, table.columns[at]!, results);
      }),
      ...definite({ mark: step ? standings[step.standing] : bases.has(variant.name) ? "reference" : undefined }),
    };
  });
  for (const [loser, winner] of beatenIn(series, candidates(columns, rows))) {
    const row = rows.find(({ variant }) => variant.name === loser)!;
    const better = (name: string | undefined) => rows.find(({ variant }) => variant.name === name)?.bytes ?? Infinity;
    // Of several, the smallest.
    if (better(winner) < better(row.beatenBy)) row.beatenBy = winner;
  }
  const [reference, ...others] = bases;
  const short = { ...definite({ reference: others.length === 0 ? reference : undefined }), columns, rows };
  return { ...short, conclusions: conclusionsFrom(short, verdicts) };
}

function columnOf({ started }: Table, { measurement, name, metric }: Column, second: boolean): ShortColumn {
  const kind = started.jobs.find((job) => job.measurement === measurement)?.kind;
  const isPlain = name === metric.name && (measurement === kind || metric.per === "repetition");
  const arrow = { lower: " ↓", higher: " ↑", neither: "" }[metric.better];
  return {
    measurement,
    metric,
    head: `${metric.label}${arrow}`,
    unit: unitOf(metric),
    over: isPlain ? "" : measurement,
    second,
  };
}

const standings: Record<LadderStep["standing"], ShortMark> = {
  better: "better",
  equal: "≈",
  open: "?",
  unknown: "?",
  "probably worse": "likely worse",
  worse: "worse",
  "much worse": "much worse",
  mixed: "worse",
  absent: "none",
};

const resultsFor = ({ questions }: Verdicts, base: string, variant: string): Result[] =>
  questions.find((question) => question.base === base)?.pairs.find(({ b }) => b === variant)?.results ?? [];

function cellOf(cell: Cell, base: Cell | undefined, { measurement, metric }: Column, results: Result[]): ShortCell {
  const result = figureIn(cell) && results.find((one) => one.measurement === measurement && one.metric === metric.name);
  const compared =
    result?.comparison && result.verdict ? { mark: markOf(result), change: changeOf(result) } : undefined;
  return {
    cell: result?.comparison && compared?.change !== undefined ? partNoted(cell, base, result.comparison) : cell,
    ...shownIn(cell, metric),
    ...definite({
      ...compared,
      comparison: result?.comparison,
      verdict: result?.verdict,
      disturbed: result?.foreign === undefined ? undefined : (true as const),
    }),
  };
}

/** Of repetitions that only one of the two has, the figures know and their change does not: a note says so. */
function partNoted(cell: Cell, base: Cell | undefined, { metric, n, paired }: Comparison): Cell {
  const most = Math.max(figureIn(cell)?.n ?? 0, figureIn(base)?.n ?? 0);
  if (cell.state !== "measured" || describe(metric).per !== "repetition" || !paired || most <= n) return cell;
  const text = `the change is that of the ${n} repetitions that both have, of ${most}`;
  return { ...cell, notes: [...cell.notes, { text }] };
}

function shownIn(cell: Cell, metric: Metric): Pick<ShortCell, "figure" | "error"> {
  switch (cell.state) {
    case "measured":
      if (cell.summary.broken !== undefined) return { figure: "broken" };
      return cell.floor ? { figure: "—" } : figureOf(cell.summary);
    case "failed":
      return { figure: "failed" };
    case "impossible":
      return { figure: "n/a" };
    case "unfinished":
      return { figure: unfinishedText(cell, metric) };
    case "absent":
      return { figure: "" };
  }
}

/** Pairs of one ladder, or of the whole run where there is none, of which the second may beat the first by what the table shows. */
function candidates(columns: ShortColumn[], rows: ShortRow[]): [string, string][] {
  const asked = columns.flatMap(({ metric, second }, i) => (isQuality(metric) && !second ? [{ metric, i }] : []));
  const isLadder = rows.some(({ against }) => against !== undefined);
  const family = ({ variant, against }: ShortRow) => against ?? (isLadder ? variant.name : "");
  const valueIn = ({ cells }: ShortRow, i: number) => figureIn(cells[i]!.cell)?.value;
  const asGood = (a: ShortRow, b: ShortRow, { metric, i }: (typeof asked)[number]) => {
    const [x, y] = [valueIn(a, i), valueIn(b, i)];
    if (x === undefined || y === undefined) return x === undefined && y === undefined;
    return metric.better === "lower" ? y <= x : y >= x;
  };
  return rows.flatMap((a) =>
    rows.flatMap((b): [string, string][] => {
      if (a === b || a.bytes === undefined || b.bytes === undefined) return [];
      if (family(a) !== family(b) || a.mark === "reference" || b.mark === "reference") return [];
      const noLarger = b.bytes <= a.bytes || isSameSize(1 - b.bytes / a.bytes);
      return noLarger && asked.length > 0 && asked.every((one) => asGood(a, b, one))
        ? [[a.variant.name, b.variant.name]]
        : [];
    }),
  );
}
