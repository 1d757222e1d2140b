import { planOf, type Run } from "../../replay/index.js";
import { type LongRow, longRows } from "../csv.js";
import type { Format } from "./format.js";

/** table-long.csv with types: for DuckDB, pandas, Polars. */
export const parquet: Format = {
  name: "parquet",
  meaning: "table-long.csv with types, for DuckDB and pandas",
  binary: true,
  render: async ({ facts, variants }) => {
    const rows = longRows(facts.table, facts.divergences).filter(({ variant }) => variants.includes(variant));
    const texts = ["variant", "backend", "measurement", "dataset", "metric"] as const;
    return {
      content: await written([
        ...texts.map((name) => ({ name, type: "STRING" as const, data: rows.map((row) => row[name]) })),
        ...(["value", "error", "low", "high"] as const).map((name) =>
          doubles(
            name,
            rows.map((row) => row[name]),
          ),
        ),
        { name: "n", type: "INT32", data: rows.map(({ n }) => n) },
        { name: "unit", type: "STRING", data: rows.map(({ unit }) => unit) },
      ]),
      notes: [],
    };
  },
};

/**
 * The raw values behind the figures, one row per chunk, question or repetition: what any statistic of one's own needs. The events hold them
 * too, but an event is one line of many kinds, and of a job that was taken up again the last word counts.
 */
export const parquetSamples: Format = {
  name: "parquet-samples",
  meaning: "the raw values, one row per chunk, question or repetition",
  binary: true,
  render: async ({ run, variants }) => {
    const rows = samplesOf(run).filter(({ variant }) => variants.includes(variant));
    const texts = ["variant", "measurement", "dataset", "metric", "item", "cluster"] as const;
    return {
      content: await written([
        ...texts.map((name) => ({ name, type: "STRING" as const, data: rows.map((row) => row[name]) })),
        ...(["value", "weight"] as const).map((name) =>
          doubles(
            name,
            rows.map((row) => row[name]),
          ),
        ),
      ]),
      notes: [],
    };
  },
};

/** Of jobs that are through: a part of one is no sample of the whole. */
function samplesOf(run: Run) {
  return planOf(run).jobs.flatMap(({ id, variant, measurement, dataset }) => {
    const result = run.jobs.get(id)!;
    if (result.state !== "done") return [];
    const { clusters } = result;
    return result.metrics.flatMap((metric) =>
      result.samples(metric).map(({ item, value, weight }) => ({
        ...{ variant, measurement, dataset, metric, item, value, weight },
        cluster: clusters?.get(item),
      })),
    );
  });
}

type Columns = Parameters<typeof import("hyparquet-writer").parquetWriteBuffer>[0]["columnData"];

/** NaN is what is not known, as in the CSV files. */
const doubles = (name: string, values: (LongRow["error"] | null)[]) => ({
  name,
  type: "DOUBLE" as const,
  data: values.map((value) => (Number.isFinite(value) ? value : undefined)),
});

async function written(columnData: Columns): Promise<Uint8Array> {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}
