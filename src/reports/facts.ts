import { type Verdicts, verdictsFrom } from "../judge/index.js";
import type { Run } from "../replay/index.js";
import { type Series, seriesFrom } from "../stats/series.js";
import { type Divergence, divergencesFrom } from "./divergence.js";
import { type Short, shortFrom } from "./short.js";
import { submissions } from "./submission.js";
import { type Table, tableFrom } from "./table.js";
import { type TaskReport, tasksFrom } from "./tasks.js";

/** All that reports are made of: computed once, however many draw it. */
export interface Facts {
  table: Table;
  verdicts: Verdicts;
  /** What a person looks at first. */
  short: Short;
  divergences: Divergence[];
  tasks: TaskReport[];
  /** Item by item, for what is drawn in the order of measuring. */
  series: Series[];
  /** Files of answers to questions without keys, by name. */
  submissions: ReadonlyMap<string, string>;
}

/** `folder`: of the run, for the per-token values. Throws a BenchError where nothing was started, or where values are damaged. */
export function factsFrom(run: Run, folder: string): Facts {
  const [table, verdicts, series] = [tableFrom(run), verdictsFrom(run), seriesFrom(run)];
  return {
    table,
    verdicts,
    short: shortFrom(series, table, verdicts),
    divergences: divergencesFrom(folder, run),
    tasks: tasksFrom(run),
    series,
    submissions: submissions(run),
  };
}
