import { harmless } from "../harmless.js";
import { type LeftOut, merge } from "../merge/index.js";
import { replay } from "../replay/index.js";
import { factsFrom } from "../reports/index.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import { counted } from "../units.js";
import type { Surroundings } from "./command.js";
import { checkPlace, sayIfMeasured } from "./folder.js";
import { exitCode, sayConclusion, writeTables } from "./outcome.js";

export interface MergeCommand {
  /** Folders of runs of one plan. */
  runs: string[];
  /** The folder of the run that they become; what is there already stays. */
  out: string;
}

/** Joins the parts of a run, which machines measured apart, and makes the tables. */
export async function mergeCommand({ runs, out }: MergeCommand, where: Surroundings): Promise<number> {
  const { stdout } = where;
  for (const folder of runs) sayIfMeasured(folder, where);
  checkPlace(out);
  const { leftOut, twice, close } = merge(runs, out);
  for (const one of leftOut) say(stdout, `${harmless(leftOutTold(one))}.\n`);
  if (twice > 0)
    say(
      stdout,
      `${counted(twice, "item")} measured more than once, and counted once${close > 0 ? `; ${close} with other last digits or words` : ""}.\n`,
    );
  const facts = factsFrom(replay(readEvents(out)), out);
  await writeTables(out, facts);
  sayConclusion(out, facts, where);
  return exitCode(facts, false);
}

function leftOutTold({ measurement, items, place, kept, timed }: LeftOut): string {
  const what = `${measurement}: ${counted(items, "item")}`;
  if (place !== kept) return `${what} of ${place} left out; the others are of ${kept}`;
  return timed
    ? `${what} left out, which another run timed; what two runs timed did not take turns`
    : `${what} left out, of another build or processor that is called ${place}, too`;
}
