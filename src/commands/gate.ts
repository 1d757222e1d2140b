import { asInBaseline, readSeries } from "../baseline.js";
import { exitCodes } from "../errors.js";
import { gate, parseRule } from "../judge/index.js";
import { gateText } from "../reports/gate.js";
import { junit } from "../reports/junit.js";
import { writeWhole } from "../store/index.js";
import { say } from "../terminal.js";
import type { Surroundings } from "./command.js";
import { checkRun } from "./folder.js";

export interface GateCommand {
  /** A run's folder, or a baseline's file. */
  run: string;
  /** A file that `baseline` wrote, or the folder of an earlier run; rules with a limit of their own need none. */
  baseline?: string;
  rules: string[];
  /** The file for the answers as JUnit XML. */
  junit?: string;
}

const codes = {
  passed: exitCodes.allMeasured,
  failed: exitCodes.gateFailed,
  undecided: exitCodes.gateUndecided,
};

/** Checks a run against a baseline by rules, with one sentence for each. */
export async function gateCommand(asked: GateCommand, { stdout }: Surroundings): Promise<number> {
  const rules = asked.rules.map(parseRule);
  const before = asked.baseline === undefined ? [] : readSeries(asked.baseline);
  checkRun(asked.run);
  const now = readSeries(asked.run).map(asInBaseline);
  const result = gate(now, before.map(asInBaseline), rules);
  if (asked.junit !== undefined) writeWhole(asked.junit, junit(result));
  say(stdout, `${gateText(result, stdout.columns || undefined)}\n`);
  return codes[result.outcome];
}
