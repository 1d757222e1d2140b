import { exitCodes } from "../errors.js";
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
  const events = readEvents(run);
  await writeTables(run, events);
  say(stdout, conclusion(run, events, { width: stdout.columns }));
  return exitCodes.allMeasured;
}
