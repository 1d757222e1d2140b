import { z } from "zod";
import { isMeantBy, meant } from "../../metrics.js";
import { YamlFile } from "../../yaml.js";

const text = z.string().min(1);

/** How many of the metric's unit a published figure is; a time per token is the inverse of a rate. */
export const publishedUnits: Record<string, { toMetric(figure: number): number; fromMetric(figure: number): number }> =
  {
    "1": scaled(1),
    nat: scaled(1),
    bit: scaled(1),
    "%": scaled(0.01),
    MB: scaled(1e6),
    GB: scaled(1e9),
    MiB: scaled(2 ** 20),
    GiB: scaled(2 ** 30),
    "tok/s": scaled(1),
    "ms/token": { toMetric: (figure) => 1000 / figure, fromMetric: (figure) => 1000 / figure },
  };

function scaled(factor: number) {
  return { toMetric: (figure: number) => figure * factor, fromMetric: (figure: number) => figure / factor };
}

const column = z.strictObject({
  head: text,
  metric: text
    .refine((name) => meant(name) !== undefined, "no metric is named so")
    .optional()
    .describe("As rules name it; by default the principal figure of the task."),
  data: z.array(text).min(1).optional().describe("The datasets that it is of; of several, the mean."),
  split: text.optional(),
  shots: z.int().min(0).optional(),
  unit: z.enum(Object.keys(publishedUnits)),
  digits: z.int().min(0).max(9).describe("After the point, as published: what is rounded away is allowed for."),
  compare: z
    .enum(["value", "change"])
    .describe("The figures themselves; or, where text or machine differ, their change against the table's reference."),
});

const publishedTable = z.strictObject({
  title: text,
  of: text.optional().describe("The model that all rows are of; else each row names its own."),
  conditions: text.describe("How it was measured, as far as that is stated."),
  reference: text.optional().describe("The row that changes are told against."),
  columns: z.record(text, column),
  rows: z
    .array(
      z.strictObject({
        name: text.describe("As published: the model, or the file."),
        quant: text.optional().describe("The type as files name it, where rows are quantizations of one model."),
        imatrix: z.boolean().default(false).describe("Whether an importance matrix weighed in it."),
        figures: z.record(text, z.number()),
      }),
    )
    .min(1),
});

/** Figures that others published, with their source. */
const publishedForm = z.strictObject({
  $comment: text.optional(),
  source: z.strictObject({
    title: text,
    url: z.url({ protocol: /^https?$/ }),
    revision: text.optional(),
    files: z.array(text).optional(),
  }),
  tables: z.record(text, publishedTable),
});

export type Published = z.output<typeof publishedForm>;
export type PublishedTable = z.output<typeof publishedTable>;
export type PublishedColumn = z.output<typeof column>;
export type PublishedRow = PublishedTable["rows"][number];

/** Throws a BenchError that names file and line: no such file, no such form, a figure of a column that is not there. */
export async function readPublished(path: string): Promise<Published> {
  const file = await YamlFile.read(path, "config");
  const published = file.check(publishedForm, file.value, []);
  for (const [name, { columns, rows, reference }] of Object.entries(published.tables)) {
    rows.forEach(({ figures }, row) => {
      for (const key of Object.keys(figures))
        if (!Object.hasOwn(columns, key))
          throw file.fault(["tables", name, "rows", row, "figures", key], `the table has no column "${key}".`, {
            at: "key",
          });
    });
    if (reference !== undefined && !rows.some((row) => row.name === reference))
      throw file.fault(["tables", name, "reference"], `the table has no row "${reference}".`);
  }
  return published;
}

/** Whether a measured metric is the one that a column is of. */
export const isColumnOf = ({ metric }: PublishedColumn, name: string, leads: boolean): boolean =>
  metric === undefined ? leads : isMeantBy(metric, name);
