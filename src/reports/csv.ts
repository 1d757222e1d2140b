import { stringify } from "csv-stringify/sync";
import { harmless } from "../harmless.js";
import { detectableOf, isDetectable, markInFiles, type Verdicts } from "../judge/index.js";
import { countsLeftOut, metric as describe, isExact, type Metric } from "../metrics.js";
import { besideChance } from "../stats/chance.js";
import type { Summary } from "../stats/summary.js";
import type { Divergence } from "./divergence.js";
import { absence, type Cell, type Column, figureIn, joinMemory, type Row, type Table } from "./table.js";
import type { TaskReport } from "./tasks.js";

/** A file that Excel opens by a double click is read in the system's code page unless it begins with this. */
const byteOrderMark = "\ufeff";

/**
 * Numbers are written in the shortest form that reads back as the same double, nothing as an empty cell.
 * A text that a spreadsheet would compute (`=1+1`) gets an apostrophe before it: variant names come from files that
 * others made, and a table is the thing that people open by a double click. `run.json` has the name as it is.
 */
export const csvOf = (heads: readonly string[], records: readonly unknown[][]): string =>
  stringify([heads, ...records], {
    escape_formulas: true,
    cast: { boolean: String, string: (text) => harmless(text) },
  });

/** The same for spreadsheets: six digits at most of what is no whole number, and marked as UTF-8 where a letter of it is not ASCII. */
export function sheetOf(heads: readonly string[], records: readonly unknown[][]): string {
  const rounded = (value: unknown) =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const text = csvOf(
    heads,
    records.map((record) => record.map(rounded)),
  );
  return /[^\x00-\x7f]/.test(text) ? byteOrderMark + text : text;
}

/** A figure in the long table: in the metric's own unit, all digits. */
export type LongRow = Pick<Summary, "metric" | "value" | "unit" | "n"> &
  Partial<Pick<Summary, "error" | "low" | "high">> & {
    variant: string;
    backend: string;
    measurement: string;
    dataset: string;
  };

/** One row per measured variant × measurement × metric, then what the per-token values add to a divergence. */
export function longRows({ rows, columns }: Table, divergences: Divergence[] = []): LongRow[] {
  const measured = rows.flatMap(({ variant, cells }) =>
    columns.flatMap(({ measurement, dataset, metric }, index) => {
      const summary = figureIn(cells[index]);
      if (!summary) return [];
      const { value, error, low, high, n, unit } = summary;
      const of = { variant: variant.name, backend: variant.backend, measurement, dataset };
      return [{ ...of, metric: metric.name, value, error, low, high, n, unit }];
    }),
  );
  const perToken = divergences.flatMap(({ job, variant, n, figures }) =>
    figures
      .filter(({ metric }) => !job.metrics.includes(metric))
      .map(({ metric, value, error }) => ({
        ...{ variant: job.variant, backend: variant.backend, measurement: job.measurement, dataset: job.dataset },
        ...{ metric, value, error, n, unit: describe(metric).unit },
      })),
  );
  return [...measured, ...perToken];
}

const longHeads = [
  "variant",
  "backend",
  "measurement",
  "dataset",
  "metric",
  "value",
  "error",
  "low",
  "high",
  "n",
  "unit",
] as const;

/** For pandas, DuckDB and scripts. */
export function longCsv(table: Table, divergences: Divergence[] = []): string {
  return csvOf(
    longHeads,
    longRows(table, divergences).map((row) => longHeads.map((head) => row[head])),
  );
}

/** One row per variant, value and error of every metric, and what is missing in words: for spreadsheets. */
export function wideCsv(table: Table): string {
  const { columns, rows } = joinMemory(table);
  const facts = columns.flatMap(({ metric }, i) => (metric.fact === undefined ? [] : [i]));
  const measured = columns.flatMap(({ metric }, i) => (metric.fact === undefined ? [i] : []));
  const headsOf = (indices: number[]) =>
    indices.flatMap((i) => {
      const { name, metric } = columns[i]!;
      const unit = sheetUnit(metric);
      return isExact(metric) ? [name + unit] : [name + unit, `${name} error${unit}`];
    });
  const figuresOf = ({ cells }: Row, indices: number[]) =>
    indices.flatMap((i) => {
      const { metric } = columns[i]!;
      const summary = figureIn(cells[i]);
      const [value, error] = [summary?.value, summary?.error].map((number) => inSheet(metric, number));
      return isExact(metric) ? [value] : [value, error];
    });
  const records = rows.map((row) => {
    const { name, facts: of, model, backend } = row.variant;
    return [
      ...[name, of?.quant, ...figuresOf(row, facts), ...figuresOf(row, measured)],
      ...[status(row, columns), disturbed(row, columns)],
      ...[of && of.imatrix !== undefined, of?.architecture, backend, of?.files[0]?.split(/[/\\]/).at(-1), model],
    ];
  });
  const before = ["variant", "quant", ...headsOf(facts), ...headsOf(measured), "status", "disturbed"];
  return sheetOf([...before, "imatrix", "architecture", "backend", "file", "model"], records);
}

/** The unit in the head of a column; none where the metric's name says it. */
function sheetUnit({ scale, unit }: Metric): string {
  if (scale === "bytes") return " MB";
  if (scale === "percent") return " %";
  return unit === "1" || unit === "bit" ? "" : ` ${unit}`;
}

const inSheet = ({ scale }: Metric, value: number | undefined) =>
  value === undefined || !Number.isFinite(value)
    ? undefined
    : scale === "bytes"
      ? value / 1e6
      : scale === "percent"
        ? value * 100
        : value;

/** `complete`, or what is not there and why. What was measured decides it, never what else the machine did meanwhile. */
function status({ cells }: Row, columns: Column[]): string {
  const where = new Map<string, Set<string>>();
  cells.forEach((cell, index) => {
    const why = absence(cell) ?? unasked(cell) ?? guessed(cell);
    const measurement = columns[index]?.measurement;
    if (why && measurement) where.set(why, (where.get(why) ?? new Set()).add(measurement));
  });
  return Array.from(where, ([why, measurements]) => `${[...measurements].join(", ")} ${why}`).join("; ") || "complete";
}

/** The measurements that were timed beside other processes; empty where none was. */
function disturbed({ cells }: Row, columns: Column[]): string {
  const names = cells.flatMap((cell, i) =>
    cell.state === "measured" && cell.disturbed ? columns[i]!.measurement : [],
  );
  return [...new Set(names)].join(", ");
}

const guessed = (cell: Cell) => (cell.state === "measured" ? cell.guessed : undefined);

function unasked(cell: Cell): string | undefined {
  const count = cell.state === "measured" && countsLeftOut(describe(cell.summary.metric)) ? cell.summary.value : 0;
  return count > 0 ? `questions not asked: ${count}` : undefined;
}

/** One row per variant × task × part of it: averages, groups, subjects, and how answers are spread over the options. */
export function tasksCsv(tasks: TaskReport[]): string {
  const head =
    "variant,backend,measurement,dataset,split,style,shots,subjects,limit,part,name,metric,value,error,low,high,n,chance,place".split(
      ",",
    );
  const records = tasks.flatMap(({ measurement, dataset, facts, settings: { limit }, variants }) =>
    variants.flatMap(({ variant, figure, habit, tallies }) => {
      const { split, style, shots, subjects } = facts;
      const asked = [split, style, shots, subjects?.join("; "), limit];
      const of = [variant.name, variant.backend, measurement, dataset, ...asked];
      const row = (part: string, name: string, { metric, value, error, low, high, n }: Summary, chance?: number) => {
        const place = chance === undefined ? undefined : (besideChance({ low, high }, chance) ?? "above");
        return [...of, part, name, metric, value, error, low, high, n, chance, place];
      };
      const parts = figure?.parts;
      return [
        ...(figure ? [row("micro", "", figure.summary, figure.chance)] : []),
        ...(parts ? [row("macro", "", parts.macro, figure.chance)] : []),
        ...(parts?.groups ?? []).map(({ name, summary }) => row("group", name, summary, figure!.chance)),
        ...(parts?.subjects ?? []).map(({ name, summary }) => row("subject", name, summary, figure!.chance)),
        ...(habit?.corrected ? [row("micro", "", habit.corrected)] : []),
        ...(habit?.options ?? []).map((option, i) => [
          ...[...of, "answer", option, "share", habit!.predicted[i]! / habit!.n, undefined, undefined, undefined],
          ...[habit!.n, undefined, undefined],
        ]),
        ...tallies.map(({ metric, count }) => [
          ...[...of, "tally", "", metric.name, count, undefined, undefined, undefined, count, undefined, undefined],
        ]),
      ];
    }),
  );
  return csvOf(head, records);
}

/** One row per pair × measurement × metric: what was compared, or why it was not; for spreadsheets, each figure beside its unit. */
export function comparisonsCsv({ questions }: Pick<Verdicts, "questions">): string {
  const heads = [
    ...[
      "question",
      "a",
      "b",
      "measurement",
      "dataset",
      "metric",
      "verdict",
      "difference",
      "95 % CI low",
      "95 % CI high",
    ],
    ...["detectable", "unit of difference", "value_a", "value_b", "unit", "p", "p_adjusted", "n", "paired", "clusters"],
    ...["block", "to_right", "to_wrong", "notes"],
  ];
  const records = questions.flatMap(({ title, pairs }) =>
    pairs.flatMap(({ a, b, results }) =>
      results.map(({ measurement, dataset, metric: name, comparison: one, verdict, refused, notes }) => {
        const metric = describe(name);
        const relative = one?.scale === "relative";
        const change = (size: number | undefined) => inSheet(relative ? { ...metric, scale: "percent" } : metric, size);
        const detectable = one && isDetectable(one) ? detectableOf(one) : undefined;
        const unit = sheetUnit(metric).trim();
        return [
          ...[title, a, b, measurement, dataset, name, verdict ? markInFiles(verdict, one) : "refused"],
          ...[change(one?.difference), change(one?.low), change(one?.high), change(detectable)],
          one && (relative ? "%" : metric.scale === "percent" && one.scale === "absolute" ? "points" : unit),
          ...[inSheet(metric, one?.a), inSheet(metric, one?.b), unit],
          ...[finite(one?.p), finite(one?.adjusted), one?.n, one?.paired, one?.clusters, one?.block],
          ...[one?.flips?.toRight, one?.flips?.toWrong, [refused ?? [], ...notes].flat().join(" ")],
        ];
      }),
    ),
  );
  return sheetOf(heads, records);
}

const finite = (value: number | undefined) => (Number.isFinite(value) ? value : undefined);
