import { stringify } from "csv-stringify/sync";
import { harmless } from "../harmless.js";
import { isDetectable, markInFiles, type Verdicts } from "../judge/index.js";
import { countsLeftOut, metric as describe, isExact } from "../metrics.js";
import { besideChance } from "../stats/chance.js";
import type { Summary } from "../stats/summary.js";
import { type Divergence, divergenceRows } from "./divergence.js";
import { absence, type Cell, type Column, figureIn, joinMemory, type Row, type Table } from "./table.js";
import type { TaskReport } from "./tasks.js";

/**
 * Numbers are written in the shortest form that reads back as the same double, nothing as an empty cell.
 * A text that a spreadsheet would compute (`=1+1`) gets an apostrophe before it: variant names come from files that
 * others made, and a table is the thing that people open by a double click. `run.json` has the name as it is.
 */
const write = (columns: string[], records: unknown[][]) =>
  stringify([columns, ...records], {
    escape_formulas: true,
    cast: { boolean: String, string: (text) => harmless(text) },
  });

/** One row per measured variant × measurement × metric: for pandas, DuckDB and scripts. */
export function longCsv({ rows, columns }: Table, divergences: Divergence[] = []): string {
  const head = "variant,backend,measurement,dataset,metric,value,error,low,high,n,unit".split(",");
  const records = rows.flatMap(({ variant, cells }) =>
    columns.flatMap(({ measurement, dataset, metric }, index) => {
      const summary = figureIn(cells[index]);
      if (!summary) return [];
      const { value, error, low, high, n, unit } = summary;
      return [[variant.name, variant.backend, measurement, dataset, metric.name, value, error, low, high, n, unit]];
    }),
  );
  return write(head, [...records, ...divergenceRows(divergences)]);
}

/** One row per variant, value and error of every metric, and what is missing in words: for spreadsheets. */
export function wideCsv(table: Table): string {
  const { columns, rows } = joinMemory(table);
  const head = columns.flatMap(({ name, metric }) => (isExact(metric) ? [name] : [name, `${name}_error`]));
  const records = rows.map((row) => [
    row.variant.name,
    row.variant.backend,
    row.variant.model,
    row.variant.facts?.architecture,
    row.variant.facts?.quant,
    row.variant.facts && row.variant.facts.imatrix !== undefined,
    ...columns.flatMap(({ metric }, index) => {
      const summary = figureIn(row.cells[index]);
      return isExact(metric) ? [summary?.value] : [summary?.value, summary?.error];
    }),
    status(row, columns),
  ]);
  return write(["variant", "backend", "model", "architecture", "quant", "imatrix", ...head, "status"], records);
}

/** `complete`, or what is not there and why. */
function status({ cells }: Row, columns: Column[]): string {
  const where = new Map<string, Set<string>>();
  cells.forEach((cell, index) => {
    const why = absence(cell) ?? unasked(cell) ?? guessed(cell);
    const measurement = columns[index]?.measurement;
    if (why && measurement) where.set(why, (where.get(why) ?? new Set()).add(measurement));
  });
  return Array.from(where, ([why, measurements]) => `${[...measurements].join(", ")} ${why}`).join("; ") || "complete";
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
  return write(head, records);
}

/** One row per pair × measurement × metric: what was compared, or why it was not. Shares stand as shares: 0.02 is 2 %. */
export function comparisonsCsv({ questions }: Pick<Verdicts, "questions">): string {
  const head =
    "question,a,b,measurement,dataset,metric,value_a,value_b,scale,difference,low,high,p,p_holm,n,paired,clusters,block,detectable,to_right,to_wrong,verdict,notes";
  const number = (value: number | undefined) => (Number.isFinite(value) ? value : undefined);
  const records = questions.flatMap(({ title, pairs }) =>
    pairs.flatMap(({ a, b, results }) =>
      results.map(({ measurement, dataset, metric, comparison: one, verdict, refused, notes }) => [
        ...[title, a, b, measurement, dataset, metric],
        ...[number(one?.a), number(one?.b), one?.scale, number(one?.difference), number(one?.low), number(one?.high)],
        ...[number(one?.p), number(one?.adjusted), one?.n, one?.paired, one?.clusters, one?.block],
        ...[one && isDetectable(one) ? one.detectable : undefined, one?.flips?.toRight, one?.flips?.toWrong],
        verdict ? markInFiles(verdict, one) : "refused",
        [refused ?? [], ...notes].flat().join(" "),
      ]),
    ),
  );
  return write(head.split(","), records);
}
