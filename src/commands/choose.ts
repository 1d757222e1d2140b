import { exitCodes } from "../errors.js";
import { harmless, harmlessJson } from "../harmless.js";
import { replay } from "../replay/index.js";
import { areWishes, chosenFrom, recommendedIn, type Wishes } from "../reports/choice.js";
import { factsFrom } from "../reports/index.js";
import { wrap } from "../reports/text.js";
import { readEvents } from "../store/index.js";
import { say } from "../terminal.js";
import type { Surroundings } from "./command.js";
import { runOf } from "./folder.js";

export interface ChooseCommand extends Wishes {
  /** A run's folder; by default that of the latest run. */
  run?: string | undefined;
  /** The choice as JSON on stdout. */
  json?: boolean;
}

const codes = {
  found: exitCodes.allMeasured,
  none: exitCodes.gateFailed,
  undecided: exitCodes.gateUndecided,
};

/** Says which file of a run to take, in two or three sentences; no model is needed. */
export async function chooseCommand(asked: ChooseCommand, where: Surroundings): Promise<number> {
  const { stdout } = where;
  const folder = runOf(asked.run, where);
  const facts = factsFrom(replay(readEvents(folder)), folder);
  const choice = areWishes(asked) ? chosenFrom(facts, asked) : recommendedIn(facts);
  const lines = choice.sentences.map((line) => wrap(harmless(line, { length: 2000 }), stdout.columns || 80));
  say(stdout, asked.json ? `${harmlessJson(choice, 2)}\n` : `${lines.join("\n")}\n`);
  return codes[choice.outcome];
}
