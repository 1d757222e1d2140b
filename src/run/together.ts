import type { EngineFacts } from "../backends/backend.js";
import { definite } from "../definite.js";
import { BenchError, toFailure } from "../errors.js";
import type { Event } from "../events.js";
import { memoryTogether } from "../plan/index.js";
import type { RunContext } from "./context.js";
import { outOfMemory } from "./engines.js";
import { type JobRun, said } from "./job-run.js";
import type { Step } from "./schedule.js";

/**
 * Measures jobs against one reference: in lock-step if all models fit into memory, else in turns. If one of several crashes the
 * process, each is tried alone, so that only that one fails.
 */
export async function* measureTogether(
  group: JobRun[],
  riders: JobRun[],
  step: Step,
  context: RunContext,
): AsyncGenerator<Event> {
  const { engines, plan, failed, signal } = context;
  const ready: JobRun[] = [];
  for (const jobRun of group) {
    const known = failed.get(jobRun.job.record.variant) ?? outOfMemory(jobRun.job, plan.memoryLimit);
    if (known) yield* jobRun.fail(known instanceof BenchError ? toFailure(known) : known);
    else {
      yield* jobRun.begin();
      ready.push(jobRun);
    }
  }
  const [first] = ready;
  if (!first) return;
  const { against } = first.job.record;
  const reference = first.job.reference!;
  const specs = new Set([reference.spec, ...ready.map(({ job }) => job.spec)]);
  const fed = riders.filter(({ job, over }) => !over && specs.has(job.spec));
  for (const jobRun of fed) yield* jobRun.begin();
  const all = [...ready, ...fed];
  const byId = new Map(all.map((jobRun) => [jobRun.job.record.id, jobRun]));
  const measuredBy = (variant: string, facts: EngineFacts) => {
    for (const jobRun of all) if (jobRun.job.record.variant === variant) jobRun.measuredBy(facts);
  };
  try {
    const { spec, load } = reference;
    const memory = memoryTogether(ready.map(({ job }) => job));
    const inTurns = memory > plan.memoryLimit;
    const limit = plan.scratchLimit === undefined ? {} : { limit: plan.scratchLimit };
    const others = ready.map(({ job }) => job.spec);
    await engines.releaseIdle(load);
    const engine = yield* engines.open(
      { spec, load, bytes: inTurns ? step.memory : memory, others, ...(inTurns ? { scratch: limit } : {}) },
      step,
    );
    measuredBy(spec.name, engine.facts);
    for (const { variant, facts } of engine.others) measuredBy(variant, facts);
    const { record, data } = first.job;
    const { kind, settings } = record;
    const started = performance.now();
    const replies = engine.measure({
      kind,
      settings,
      ...definite({ dataset: data, share: first.share }),
      done: [],
      together: {
        jobs: ready.map(({ job: { record }, items }) => ({
          id: record.id,
          variant: record.variant,
          done: [...items],
          floor: record.variant === record.against,
        })),
        riders: fed.map(({ job: { record }, items }) => ({
          id: record.id,
          ...(record.variant === against ? {} : { variant: record.variant }),
          done: [...items],
        })),
      },
    });
    for await (const reply of replies) {
      if (reply.type === "progress") for (const { job } of all) yield { ...reply, job: job.record.id };
      else if (reply.type === "warning") yield* said([reply]);
      else if (reply.type === "measured") yield* byId.get(reply.job!)!.keep(reply);
      else if (reply.type === "opened-variant") {
        measuredBy(reply.variant, reply.facts);
        yield* engines.opened(reply, engine);
      } else if (reply.type === "complete")
        for (const jobRun of all) {
          const own = reply.each?.[jobRun.job.record.variant];
          // Models side by side share one process, and its memory.
          jobRun.tookMemory({ ...reply, ...own }, own?.peakMemory === undefined ? 1 + others.length : 1);
          jobRun.tellWhole(reply.whole?.[jobRun.job.record.id]);
          yield* jobRun.end((performance.now() - started) / 1000 / all.length);
        }
    }
  } catch (error) {
    if (signal.aborted) return;
    if (ready.length === 1) yield* first.fail(toFailure(error));
    else for (const jobRun of ready) if (!jobRun.over) yield* measureTogether([jobRun], [], step, context);
  }
}
