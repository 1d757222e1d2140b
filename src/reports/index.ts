import { join } from "node:path";
import { type Verdicts, verdictsFrom } from "../judge/index.js";
import type { Run } from "../replay/index.js";
import { writeWhole } from "../store/index.js";
import { comparisonsCsv, longCsv, tasksCsv, wideCsv } from "./csv.js";
import { type Divergence, divergencesFrom } from "./divergence.js";
import { markdown } from "./markdown.js";
import { runJson } from "./run-json.js";
import { type Short, shortFrom } from "./short.js";
import { submissions } from "./submission.js";
import { type Table, tableFrom } from "./table.js";
import { type TaskReport, tasksFrom } from "./tasks.js";

/** The files of a run folder that are made from its events. */
const files: Record<string, (facts: Facts) => string | undefined> = {
  "table.md": ({ table, verdicts, divergences, tasks }) => markdown(table, verdicts, divergences, tasks),
  "table.csv": ({ table }) => wideCsv(table),
  "table-long.csv": ({ table, divergences }) => longCsv(table, divergences),
  "comparisons.csv": ({ verdicts }) => comparisonsCsv(verdicts),
  "tasks.csv": ({ tasks }) => (tasks.length > 0 ? tasksCsv(tasks) : undefined),
  "run.json": ({ table }) => runJson(table),
};

/** All that reports are made of: computed once, however many draw it. */
export interface Facts {
  table: Table;
  verdicts: Verdicts;
  /** What a person looks at first. */
  short: Short;
  divergences: Divergence[];
  tasks: TaskReport[];
  /** Files of answers to questions without keys, by name. */
  submissions: ReadonlyMap<string, string>;
}

/** `folder`: of the run, for the per-token values. Throws a BenchError where nothing was started, or where values are damaged. */
export function factsFrom(run: Run, folder: string): Facts {
  const [table, verdicts] = [tableFrom(run), verdictsFrom(run)];
  return {
    table,
    verdicts,
    short: shortFrom(run, table, verdicts),
    divergences: divergencesFrom(folder, run),
    tasks: tasksFrom(run),
    submissions: submissions(run),
  };
}

/**
 * Writes all reports of a run: the same events give the same bytes, no clock and no machine is asked.
 * Each file is there whole or not at all, whenever the process ends. The folder must be there. Returns the paths.
 */
export async function writeReports(folder: string, facts: Facts): Promise<string[]> {
  const rendered = Object.entries(files).map(([name, render]) => [name, render(facts)] as const);
  const paths: string[] = [];
  for (const [name, text] of [...rendered, ...facts.submissions]) {
    if (text === undefined) continue;
    const path = join(folder, name);
    writeWhole(path, text);
    paths.push(path);
  }
  return paths;
}
