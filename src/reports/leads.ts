import { acrossTokenizers, prominences } from "../metrics.js";
import { type Column, modelFacts, type Table } from "./table.js";

/** The columns that a reader looks for first: the principal figure of a measurement, and a second where one does not say all. */
export interface Leads {
  lead: number;
  /** Speed has two, of generating and of reading; where tokenizers differ, perplexity stands behind the bits per byte. */
  second?: number;
}

/** By measurement, as indices into `columns`; `columns` are those of the table, or what was made of them. */
export function leadsOf(table: Table, columns: readonly Column[] = table.columns): Map<string, Leads> {
  const foreign = new Set(
    table.rows.flatMap(({ cells }) =>
      cells.flatMap((cell, i) => (cell.state === "measured" && cell.foreign ? [table.columns[i]!.measurement] : [])),
    ),
  );
  const leads = new Map<string, Leads>();
  for (const measurement of new Set(columns.map((column) => column.measurement))) {
    if (measurement === modelFacts || measurement === "") continue;
    const of = columns.flatMap((column, i) => (column.measurement === measurement && !column.metric.beside ? [i] : []));
    const metricAt = (i: number) => columns[i]!.metric;
    const [usual, ...others] = of
      .filter((i) => metricAt(i).prominence >= prominences.prompt)
      .sort((i, j) => metricAt(j).prominence - metricAt(i).prominence || i - j);
    const across = foreign.has(measurement) ? of.find((i) => metricAt(i).name === acrossTokenizers) : undefined;
    const lead = across ?? usual ?? of[0];
    const second =
      across !== undefined
        ? usual
        : others.find((i) => metricAt(i).family !== undefined && metricAt(i).family !== metricAt(usual!).family);
    if (lead !== undefined) leads.set(measurement, { lead, ...(second === undefined ? {} : { second }) });
  }
  return leads;
}
