import { exitCodes } from "../errors.js";
import { replay } from "../replay/index.js";
import { factsFrom } from "../reports/index.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import type { Surroundings } from "./command.js";
import { conclusion, writeTables } from "./outcome.js";

export interface ReportCommand {
  /** A run's folder. */
  run: string;
}

/** Makes all tables of a run again from its events; no model is needed. */
export async function reportCommand({ run }: ReportCommand, { stdout }: Surroundings): Promise<number> {
  const facts = factsFrom(replay(readEvents(run)), run);
  await writeTables(run, facts);
  say(stdout, conclusion(run, facts, { width: stdout.columns, height: stdout.rows }));
  return exitCodes.allMeasured;
}
