import { baselineText } from "../baseline.js";
import { exitCodes } from "../errors.js";
import { replay } from "../replay/index.js";
import { readEvents, writeWhole } from "../store/index.js";
import { say } from "../terminal.js";
import type { Surroundings } from "./command.js";
import { checkRun } from "./folder.js";

export interface BaselineCommand {
  /** A run's folder. */
  run: string;
  /** A file; by default the text goes to stdout. */
  out?: string;
}

/** Writes the text that later runs are compared with, to keep in git. */
export async function baselineCommand({ run, out }: BaselineCommand, { stdout }: Surroundings): Promise<number> {
  checkRun(run);
  const content = baselineText(replay(readEvents(run)));
  if (out === undefined) say(stdout, content);
  else writeWhole(out, content);
  return exitCodes.allMeasured;
}
