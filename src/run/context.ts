import type { Failure } from "../errors.js";
import type { Event } from "../events.js";
import type { Executor } from "../executors/index.js";
import type { Plan } from "../plan/index.js";
import type { Engines } from "./engines.js";
import type { JobRun } from "./job-run.js";

/** State shared by the steps of a run. */
export interface RunContext {
  /** Completed in place by each preparation. */
  readonly plan: Plan;
  executor: Executor;
  engines: Engines;
  /** By job id. */
  runs: ReadonlyMap<string, JobRun>;
  /** Why a variant cannot be read, by its name, or an engine not be opened, by `engineOf`. */
  failed: Map<string, Failure>;
  /** Fetches or quantizes what a variant lacks, and completes the plan. */
  prepare(variant: string): AsyncGenerator<Event>;
  signal: AbortSignal;
}
