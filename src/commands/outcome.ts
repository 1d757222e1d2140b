import path from "node:path";
import { BenchError, exitCodes, writeRemedy } from "../errors.js";
import { areWishes, chosenFrom, type Wishes } from "../reports/choice.js";
import { type Facts, writeReports } from "../reports/index.js";
import { widthOf } from "../reports/names.js";
import { resuming, type Table } from "../reports/table.js";
import { type Terminal, text } from "../reports/text.js";
import { isColoured, say } from "../terminal.js";
import type { Surroundings } from "./command.js";

/** Writes all tables of a run; where the disk is full, says how to make them later. */
export async function writeTables(folder: string, facts: Facts): Promise<void> {
  try {
    await writeReports(folder, facts);
  } catch (cause) {
    if (!(cause instanceof BenchError) || cause.code !== "disk") throw cause;
    throw new BenchError("disk", cause.message, {
      hint: `${writeRemedy(cause.cause)}, then \`gguf-bench report ${folder}\` makes the tables; nothing that was measured is lost`,
      cause,
    });
  }
}

/** The end of a run on the screen: the table, the verdicts, and which files hold more. */
export function sayConclusion(
  folder: string,
  facts: Facts,
  { stdout, env }: Surroundings,
  { stopped = false, wishes = {} }: { stopped?: boolean; wishes?: Wishes } = {},
): void {
  // A terminal may say that it is 0 columns wide, and mean that it does not know.
  const [width, height] = [stdout.columns || 80, stdout.rows || undefined];
  const colours = isColoured(stdout, env);
  const whole = !stdout.isTTY;
  say(stdout, conclusion(folder, facts, { width, height, colours, whole, stopped, wishes }), { colours });
}

function conclusion(
  folder: string,
  facts: Facts,
  { width, height, colours, whole, stopped, wishes }: Terminal & { stopped: boolean; wishes: Wishes },
): string {
  const resume = stopped ? "Stopped; the same command continues.\n" : "";
  // A run that failed altogether has said why; grids of nothing would bury it.
  if (!isMeasured(facts.table)) return `${resume || "Nothing was measured.\n"}`;
  const { submissions } = facts;
  const tables = `To read and to send: report.html. Tables: ${path.join(folder, "table.md")}`;
  const closing = [
    // A path that is broken cannot be copied.
    widthOf(tables) > (width ?? Infinity)
      ? `To read and to send: report.html. Tables: table.md. Both in ${folder}`
      : tables,
    ...(submissions.size > 0 ? [`Answers to send in: ${[...submissions.keys()].join(", ")}`] : []),
  ];
  const chosen = chosenIn(facts, wishes);
  const notes = facts.table.notes.map((note) => (stopped ? note.replace(resuming, "") : note));
  const shown = { ...facts, table: { ...facts.table, notes } };
  return `${text(shown, { width, height: height && height - (stopped ? 1 : 0), colours, whole, chosen, closing })}${resume}`;
}

/** The file that is as wished, in sentences; where the wish is about something that was not measured, that. */
function chosenIn(facts: Facts, wishes: Wishes): string[] {
  if (!areWishes(wishes)) return [];
  try {
    return chosenFrom(facts, wishes).sentences;
  } catch (error) {
    if (error instanceof BenchError) return [error.message, error.hint ?? ""].filter(Boolean);
    throw error;
  }
}

/** Sizes and other facts of the file alone do not count. */
export const isMeasured = ({ rows, columns }: Table) =>
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
