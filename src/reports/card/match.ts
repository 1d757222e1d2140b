import type { JobRecord } from "../../events.js";
import { harmless } from "../../harmless.js";
import { metric as describe, leadsAmong } from "../../metrics.js";
import { modelFacts, type Row, type Table } from "../table.js";
import { fileOf } from "./columns.js";
import { isColumnOf, type PublishedColumn, type PublishedRow, type PublishedTable } from "./published.js";

const plain = (name: string) =>
  ` ${name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim()} `;

/** The longest of these models' names whose words a variant's name, address or file has in it. */
export const modelOf = (row: Row, models: readonly string[]): string | undefined =>
  models.filter((model) => bears(row, model)).sort((a, b) => b.length - a.length)[0];

function bears(row: Row, model: string): boolean {
  const { name, model: address, from = "", facts } = row.variant;
  return [name, address, from, fileOf(row) ?? "", facts?.name ?? ""].some((text) => plain(text).includes(plain(model)));
}

/** By type and importance matrix where rows are quantizations, else by the longest name of a model that the variant bears. */
export function rowFor(row: Row, { rows }: PublishedTable): PublishedRow | undefined {
  const { facts } = row.variant;
  const byQuant = rows.find(
    ({ quant, imatrix }) => quant !== undefined && quant === facts?.quant && imatrix === (facts.imatrix !== undefined),
  );
  if (byQuant) return byQuant;
  const models = rows.filter(({ quant }) => quant === undefined);
  const model = modelOf(
    row,
    models.map(({ name }) => name),
  );
  return models.find(({ name }) => name === model);
}

export interface MeasuredColumn {
  key: string;
  head: string;
  column: PublishedColumn;
  metric: string;
  /** The measurements that it is the mean of. */
  measurements: string[];
}

/** The measured columns that a published one is of: one for each text, test of speed or style of a task. */
export function columnsFor({ started, columns }: Table, key: string, column: PublishedColumn): MeasuredColumn[] {
  const jobs = new Map(started.jobs.map((job) => [job.measurement, job]));
  const of = (dataset: string | undefined) =>
    columns.filter(({ measurement, metric }) => {
      const job = jobs.get(measurement);
      if (measurement === modelFacts) return dataset === undefined && column.metric === metric.name;
      return (
        job !== undefined &&
        isAskedAs(job, column, dataset) &&
        isColumnOf(column, metric.name, leadsAmong(metric.name, job.metrics))
      );
    });
  const [first, ...others] = (column.data ?? [undefined]).map(of);
  if (!first || others.some((found) => found.length === 0)) return [];
  return first.map(({ measurement, metric, name }) => ({
    key,
    column,
    metric: metric.name,
    measurements: [measurement, ...others.map(([one]) => one!.measurement)],
    head: `${column.data === undefined && first.length > 1 && name !== metric.name ? `${harmless(measurement)} ` : ""}${headOf(column, metric.name, first.length)}`,
  }));
}

function headOf({ head, metric, unit, compare }: PublishedColumn, name: string, count: number): string {
  const label = metric !== name && count > 1 ? describe(name).label : head;
  const shown = unit === "1" || unit === "bit" ? label : `${label} ${unit}`;
  return compare === "change" ? `${shown} (Δ)` : shown;
}

const isAskedAs = (
  { dataset, task }: JobRecord,
  { split, shots, data }: PublishedColumn,
  wanted: string | undefined,
) =>
  data === undefined
    ? task === undefined
    : dataset === wanted &&
      (split === undefined || task?.split === split) &&
      (shots === undefined || (task?.shots ?? 0) === shots);
