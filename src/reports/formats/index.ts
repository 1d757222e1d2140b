import { BenchError } from "../../errors.js";
import { nearest } from "../../yaml.js";
import { biggerIsBetter, smallerIsBetter } from "./action-benchmark.js";
import { bencher } from "./bencher.js";
import { csv } from "./csv.js";
import { evalResults } from "./eval-results.js";
import type { Format } from "./format.js";
import { html } from "./html.js";
import { json } from "./json.js";
import { md } from "./md.js";
import { modelIndex } from "./model-index.js";
import { parquet, parquetSamples } from "./parquet.js";

export type { Format, Material, Rendered } from "./format.js";

/** The card's own forms, then those of other programs. A new one: a file beside these, and an entry. */
export const formats: readonly Format[] = [
  ...[md, csv, html, json],
  ...[modelIndex, evalResults, smallerIsBetter, biggerIsBetter, bencher, parquet, parquetSamples],
];

/** Throws a BenchError for a name that no format has. */
export function findFormat(name: string): Format {
  const plain = (text: string) => text.toLowerCase();
  const found = formats.find((format) => plain(format.name) === plain(name));
  if (found) return found;
  throw new BenchError("config", `--format ${name}: there is no such format`, {
    hint: nearest(
      name,
      formats.map((format) => format.name),
    ),
  });
}
