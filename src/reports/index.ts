import { join } from "node:path";
import { type Verdicts, verdictsFrom } from "../judge/index.js";
import type { Run } from "../replay.js";
import { writeWhole } from "../store/index.js";
import { comparisonsCsv, longCsv, wideCsv } from "./csv.js";
import { type Divergence, divergencesFrom } from "./divergence.js";
import { markdown } from "./markdown.js";
import { runJson } from "./run-json.js";
import { type Table, tableFrom } from "./table.js";

/** The files of a run folder that are made from its events. */
const files: Record<string, (table: Table, verdicts: Verdicts, divergences: Divergence[]) => string> = {
  "table.md": markdown,
  "table.csv": wideCsv,
  "table-long.csv": (table, _, divergences) => longCsv(table, divergences),
  "comparisons.csv": (_, verdicts) => comparisonsCsv(verdicts),
  "run.json": runJson,
};

/** All that reports are made of: computed once, however many draw it. */
export interface Facts {
  table: Table;
  verdicts: Verdicts;
  divergences: Divergence[];
}

/** `folder`: of the run, for the per-token values. Throws a BenchError where nothing was started, or where values are damaged. */
export function factsFrom(run: Run, folder: string): Facts {
  return { table: tableFrom(run), verdicts: verdictsFrom(run), divergences: divergencesFrom(folder, run) };
}

/**
 * Writes all reports of a run: the same events give the same bytes, no clock and no machine is asked.
 * Each file is there whole or not at all, whenever the process ends. The folder must be there. Returns the paths.
 */
export async function writeReports(folder: string, { table, verdicts, divergences }: Facts): Promise<string[]> {
  const paths: string[] = [];
  for (const [name, render] of Object.entries(files)) {
    const path = join(folder, name);
    writeWhole(path, render(table, verdicts, divergences));
    paths.push(path);
  }
  return paths;
}
