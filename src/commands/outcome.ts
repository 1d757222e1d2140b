import path from "node:path";
import { BenchError, exitCodes } from "../errors.js";
import { type Facts, writeReports } from "../reports/index.js";
import type { Table } from "../reports/table.js";
import { type Terminal, text, wrap } from "../reports/text.js";

/** Writes all tables of a run; where the disk is full, says how to make them later. */
export async function writeTables(folder: string, facts: Facts): Promise<void> {
  try {
    await writeReports(folder, facts);
  } catch (cause) {
    if (!(cause instanceof BenchError) || cause.code !== "disk") throw cause;
    throw new BenchError("disk", cause.message, {
      hint: `make room, then \`gguf-bench report ${folder}\` makes the tables; nothing that was measured is lost`,
      cause,
    });
  }
}

/** The end of a run on the screen: the table, the verdicts, and which files hold more. */
export function conclusion(
  folder: string,
  facts: Facts,
  { width = 80, height, stopped = false }: Terminal & { stopped?: boolean } = {},
): string {
  const resume = stopped ? "Stopped; the same command goes on where it ended.\n" : "";
  // A run that failed altogether has said why; grids of nothing would bury it.
  if (!isMeasured(facts.table)) return `${resume || "Nothing was measured.\n"}`;
  const { submissions } = facts;
  const closing = [
    `Tables: ${path.join(folder, "table.md")}; to read and to send: report.html`,
    ...(submissions.size > 0 ? [`Answers to send in: ${[...submissions.keys()].join(", ")}`] : []),
  ].map((line) => wrap(line, width));
  // The line of the prompt is the screen's, too.
  const taken = closing.join("\n").split("\n").length + (stopped ? 3 : 2);
  const said = text(facts, { width, height: height && height - taken });
  return `${said}\n${closing.join("\n")}\n${resume}`;
}

/** Sizes and other facts of the file alone do not count. */
const isMeasured = ({ rows, columns }: Table) =>
  rows.some(({ cells }) =>
    cells.some(
      (cell, i) =>
        columns[i]!.measurement !== "model" &&
        (cell.state === "measured" || (cell.state === "unfinished" && cell.n > 0)),
    ),
  );

/** The exit code of a run; cells that cannot be measured do not count. */
export function exitCode({ table }: Facts, stopped: boolean): number {
  if (stopped) return exitCodes.stopped;
  const { rows, columns } = table;
  // Facts of the file alone do not count.
  const states = rows.flatMap((row) =>
    row.cells.flatMap((cell, i) => {
      if (columns[i]!.measurement === "model") return [];
      return [cell.state === "measured" && cell.summary.broken !== undefined ? "failed" : cell.state];
    }),
  );
  if (!states.includes("measured")) return exitCodes.badInput;
  return states.includes("failed") || states.includes("unfinished") ? exitCodes.someFailed : exitCodes.allMeasured;
}
