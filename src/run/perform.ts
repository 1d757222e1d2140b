import { toFailure } from "../errors.js";
import type { Event } from "../events.js";
import type { RunContext } from "./context.js";
import { engineOf, outOfMemory } from "./engines.js";
import type { JobRun } from "./job-run.js";
import type { Step } from "./schedule.js";
import { measureTogether } from "./together.js";

/** Performs a step; a job that fails is one failed cell. */
export async function* perform(step: Step, context: RunContext): AsyncGenerator<Event> {
  const { engines, runs, signal } = context;
  const jobRuns = step.jobs.map((id) => runs.get(id)!);
  switch (step.kind) {
    case "alone": {
      const name = engineOf(jobRuns[0]!.job);
      engines.hold(name);
      for (const jobRun of jobRuns) if (!signal.aborted) yield* attempt(jobRun, context, { bytes: step.memory });
      engines.letGo(name);
      if (!context.kept.has(name)) await engines.release(name);
      break;
    }
    case "turns":
      for (const jobRun of jobRuns) if (!signal.aborted) yield* jobRun.begin();
      for (const { job, item } of step.turns) {
        const jobRun = runs.get(job)!;
        if (signal.aborted || jobRun.over) continue;
        yield* attempt(jobRun, context, { bytes: jobRun.job.memory?.total ?? 0, item });
      }
      for (const jobRun of jobRuns) if (!signal.aborted) yield* jobRun.end();
      break;
    case "together":
      await engines.releaseIdle();
      yield* measureTogether(
        jobRuns,
        step.riders.map((id) => runs.get(id)!),
        context,
      );
      // A rider that got no items from the shared decode is measured by itself.
      for (const id of step.riders) yield* byItself(runs.get(id)!, context);
  }
}

async function* byItself(jobRun: JobRun, context: RunContext): AsyncGenerator<Event> {
  if (jobRun.over || context.signal.aborted) return;
  const name = engineOf(jobRun.job);
  context.engines.hold(name);
  yield* attempt(jobRun, context, { bytes: jobRun.job.memory?.total ?? 0 });
  context.engines.letGo(name);
  if (!context.kept.has(name)) await context.engines.release(name);
}

/** Opens the variant if it is not open, and measures. A variant that cannot be opened fails all its jobs at once. */
async function* attempt(
  jobRun: JobRun,
  { engines, plan, failed, signal }: RunContext,
  { bytes, item }: { bytes: number; item?: string },
): AsyncGenerator<Event> {
  const { job } = jobRun;
  const name = engineOf(job);
  const known = failed.get(job.record.variant) ?? failed.get(name);
  if (known) return yield* jobRun.fail(known);
  try {
    yield* jobRun.begin();
    const tooLarge = outOfMemory(job, plan.memoryLimit);
    if (tooLarge) throw tooLarge;
    yield* engines.open(job, bytes);
  } catch (error) {
    if (signal.aborted) return;
    const failure = toFailure(error);
    // Another job of the variant may need less memory; a model that cannot be loaded is not tried again.
    if (failure.code !== "out-of-memory") failed.set(name, failure);
    return yield* jobRun.fail(failure);
  }
  try {
    yield* jobRun.measure(engines.get(name)!, item);
  } catch (error) {
    if (signal.aborted) return;
    yield* jobRun.fail(toFailure(error));
  }
}
