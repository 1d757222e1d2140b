import { definite } from "../definite.js";
import type { Command, Surroundings } from "./command.js";
import type { RunCommand } from "./run.js";

export type { BaselineCommand } from "./baseline.js";
export type { Surroundings } from "./command.js";
export type { CompareCommand } from "./compare.js";
export type { DoctorCommand } from "./doctor.js";
export type { GateCommand } from "./gate.js";
export type { ListCommand } from "./list.js";
export type { QuantizeCommand } from "./quantize.js";
export type { ReferenceCommand } from "./reference.js";
export type { ReportCommand } from "./report.js";
export type { RunCommand } from "./run.js";

/** A command whose code is loaded when it is called, so that `--help` answers at once. */
const command =
  <Asked>(load: () => Promise<Command<Asked>>) =>
  async (asked: Asked, where: Surroundings = process) =>
    (await load())(asked, where);

/** All that the command line does, by the names typed there. Each returns the exit code. */
export const commands = {
  /** Starts the first engine process before this one loads its own code, because they use different cores. */
  run: async (asked: RunCommand, where: Surroundings = process) => {
    const executor = asked.dryRun
      ? undefined
      : (asked.executor ?? (await import("../executors/child.js")).childExecutor());
    return (await import("./run.js")).runCommand(definite({ ...asked, executor }), where);
  },
  report: command(async () => (await import("./report.js")).reportCommand),
  compare: command(async () => (await import("./compare.js")).compareCommand),
  gate: command(async () => (await import("./gate.js")).gateCommand),
  baseline: command(async () => (await import("./baseline.js")).baselineCommand),
  quantize: command(async () => (await import("./quantize.js")).quantizeCommand),
  reference: command(async () => (await import("./reference.js")).referenceCommand),
  list: command(async () => (await import("./list.js")).listCommand),
  doctor: command(async () => (await import("./doctor.js")).doctorCommand),
};
