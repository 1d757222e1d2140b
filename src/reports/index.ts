import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../folders.js";
import { writeWhole } from "../store/index.js";
import { comparisonsCsv, longCsv, tasksCsv, wideCsv } from "./csv.js";
import type { Facts } from "./facts.js";
import { page } from "./html/index.js";
import { markdown } from "./markdown.js";
import { drawn, type PlacedSvg } from "./plots/index.js";
import { runJson } from "./run-json.js";

export { type Facts, factsFrom } from "./facts.js";

/** The files of a run folder that are made from its events. */
const files: Record<string, (facts: Facts) => string | undefined> = {
  "table.md": markdown,
  "table.csv": ({ table }) => wideCsv(table),
  "table-long.csv": ({ table, divergences }) => longCsv(table, divergences),
  "comparisons.csv": ({ verdicts }) => comparisonsCsv(verdicts),
  "tasks.csv": ({ tasks }) => (tasks.length > 0 ? tasksCsv(tasks) : undefined),
  "run.json": ({ table }) => runJson(table),
};

/** Names in a run's folder that a report writes over; of the pictures in `plots` it removes those of an earlier report. */
export const reportNames: readonly string[] = [...Object.keys(files), "report.html", "plots"];

/**
 * Writes all reports of a run: the same events give the same bytes, no clock and no machine is asked.
 * Each file is there whole or not at all, whenever the process ends. The folder must be there. Returns the paths.
 */
export async function writeReports(folder: string, facts: Facts): Promise<string[]> {
  const rendered = Object.entries(files).map(([name, render]): [string, string | undefined] => [name, render(facts)]);
  const pictures = await drawn(facts);
  rendered.push(["report.html", page(facts, pictures)]);
  const paths: string[] = [];
  for (const [name, text] of [...rendered, ...facts.submissions]) {
    if (text === undefined) continue;
    const path = join(folder, name);
    writeWhole(path, text);
    paths.push(path);
  }
  return [...paths, ...writePictures(join(folder, "plots"), pictures)];
}

/** Pictures of an earlier report that this one does not have go. */
function writePictures(folder: string, pictures: PlacedSvg[]): string[] {
  const names = new Set(pictures.map(({ name }) => `${name}.svg`));
  if (names.size > 0) makeFolder(folder, "name another one with --out");
  if (existsSync(folder))
    for (const name of readdirSync(folder))
      if (/^[a-z]+(-[a-z0-9]+)*\.svg$/.test(name) && !names.has(name)) rmSync(join(folder, name), { force: true });
  return pictures.map(({ name, file }) => {
    const path = join(folder, `${name}.svg`);
    writeWhole(path, file);
    return path;
  });
}
