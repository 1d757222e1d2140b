import { toFailure } from "../errors.js";
import type { Event } from "../events.js";
import type { OpenedEngine } from "../executors/index.js";
import type { RunContext } from "./context.js";
import { engineOf, outOfMemory } from "./engines.js";
import type { JobRun } from "./job-run.js";
import type { Step } from "./schedule.js";
import { measureTogether } from "./together.js";

/** Performs a step; a job that fails is one failed cell. */
export async function* perform(step: Step, context: RunContext): AsyncGenerator<Event> {
  const { engines, runs, signal } = context;
  if (step.kind === "prepare") return yield* context.prepare(step.variant);
  const jobRuns = step.jobs.map((id) => runs.get(id)!);
  switch (step.kind) {
    case "alone":
      for (const jobRun of jobRuns) if (!signal.aborted) yield* attempt(jobRun, step, context, { bytes: step.memory });
      break;
    case "turns":
      for (const jobRun of jobRuns) if (!signal.aborted) yield* jobRun.begin();
      for (const { job, item } of step.turns) {
        const jobRun = runs.get(job)!;
        if (signal.aborted || jobRun.over) continue;
        yield* attempt(jobRun, step, context, { item });
      }
      for (const jobRun of jobRuns) if (!signal.aborted) yield* jobRun.end();
      break;
    case "together": {
      const riders = step.riders.map((id) => runs.get(id)!);
      yield* measureTogether(jobRuns, riders, step, context);
      // A rider that got no items from the shared decode is measured by itself.
      for (const jobRun of riders) if (!jobRun.over && !signal.aborted) yield* attempt(jobRun, step, context);
    }
  }
  await engines.end(step);
}

/** Opens the variant if it is not open, and measures. A variant that cannot be opened fails all its jobs at once. */
async function* attempt(
  jobRun: JobRun,
  step: Step,
  { engines, plan, failed, signal }: RunContext,
  { bytes = jobRun.job.memory?.total ?? 0, item }: { bytes?: number; item?: string } = {},
): AsyncGenerator<Event> {
  const { job } = jobRun;
  const name = engineOf(job);
  const known = failed.get(job.record.variant) ?? failed.get(name);
  if (known) return yield* jobRun.fail(known);
  let engine: OpenedEngine;
  try {
    yield* jobRun.begin();
    const tooLarge = outOfMemory(job, plan.memoryLimit);
    if (tooLarge) throw tooLarge;
    engine = yield* engines.open({ spec: job.spec, load: job.load, bytes }, step);
  } catch (error) {
    if (signal.aborted) return;
    const failure = toFailure(error);
    // Another job of the variant may need less memory; a model that cannot be loaded is not tried again.
    if (failure.code !== "out-of-memory") failed.set(name, failure);
    return yield* jobRun.fail(failure);
  }
  try {
    yield* jobRun.measure(engine, item);
  } catch (error) {
    if (signal.aborted) return;
    yield* jobRun.fail(toFailure(error));
  }
}
