import type { JobRecord } from "../../events.js";
import { harmless, several } from "../../harmless.js";
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

/** Which published rows stand beside which variants. */
export interface Matching {
  /** By the name of the variant. */
  pairs: ReadonlyMap<string, PublishedRow>;
  /** What stands beside nothing, and why: a sentence each. */
  notes: string[];
}

/**
 * Rows of quantizations stand beside variants of one model alone: of the published one where a variant bears its name, else of the run's
 * reference. `named`: variants that the user asked for, which may be of any model. Where several may be meant, none is.
 */
export function matchingOf(
  { rows, reference }: { rows: readonly Row[]; reference: string | undefined },
  of: PublishedTable,
  { models, named }: { models: readonly string[]; named?: ReadonlySet<string> | undefined },
): Matching {
  const pairs = new Map<string, PublishedRow>();
  const notes: string[] = [];
  const base = rows.find(({ variant }) => variant.name === reference);
  const isPublished = (row: Row) => modelOf(row, models) === of.of;
  const isBorne = of.of !== undefined && rows.some(isPublished);
  const may = (row: Row) => (isBorne ? isPublished(row) : base === undefined || canBeSame(row, base));
  const namesOf = (some: Row[]) =>
    several(
      some.map(({ variant }) => variant.name),
      6,
    );
  for (const published of of.rows) {
    const candidates = rows.filter((row) => rowFor(row, of) === published);
    if (published.quant === undefined) {
      for (const { variant } of candidates) pairs.set(variant.name, published);
      continue;
    }
    const asked = candidates.filter(({ variant }) => named?.has(variant.name));
    const possible = asked.length > 0 ? asked : candidates.filter(may);
    const alike = possible.filter((row) => base !== undefined && stemOf(row) === stemOf(base));
    const meant = alike.length > 0 ? alike : possible;
    // The same file under several settings is one.
    const isOne = new Set(meant.map(({ variant }) => variant.facts?.sha256)).size === 1;
    if (isOne) for (const { variant } of meant) pairs.set(variant.name, published);
    else if (meant.length > 1)
      notes.push(`Which is meant by ${published.name}, ${namesOf(meant)}, is not known: --variant NAME says it.`);
    const others = candidates.filter((row) => !meant.includes(row) && (!named || named.has(row.variant.name)));
    if (others.length > 0) notes.push(`Not beside ${published.name}: ${namesOf(others)}, of another model.`);
  }
  const missing = of.rows.filter(
    (row) => ![...pairs.values()].includes(row) && !rows.some((one) => rowFor(one, of) === row),
  );
  if (missing.length > 0)
    notes.push(
      `Published, and not measured here: ${several(
        missing.map(({ name }) => name),
        6,
      )}.`,
    );
  return { pairs, notes };
}

/** Whether nothing in two files says that they are of different models. */
function canBeSame({ variant: { facts: a } }: Row, { variant: { facts: b } }: Row): boolean {
  if (!a || !b) return true;
  const isNear = Math.abs(a.parameters - b.parameters) <= sameSize * b.parameters;
  return a.architecture === b.architecture && isNear && (!a.name || !b.name || plain(a.name) === plain(b.name));
}

/** Quantizations of one model have the same parameters, but for a tensor that some of them hold twice. */
const sameSize = 0.25;

/** The name of a variant's file without its quantization: what quantizations of one model have in common. */
function stemOf(row: Row): string {
  const { facts, name } = row.variant;
  const file = (fileOf(row) ?? name).replace(/\.gguf$/i, "");
  const at = facts ? file.toLowerCase().lastIndexOf(facts.quant.toLowerCase()) : -1;
  const bare = facts && at >= 0 ? file.slice(0, at) + file.slice(at + facts.quant.length) : file;
  return plain(bare.replace(/[-_.]im\b/i, ""));
}

/** By type and importance matrix where rows are quantizations, else by the longest name of a model that the variant bears. */
function rowFor(row: Row, { rows }: PublishedTable): PublishedRow | undefined {
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
