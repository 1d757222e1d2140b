import type { JobRecord, SpeedSession } from "../events.js";
import type { Plan } from "../plan/index.js";
import { isOver, isTimed, type Run } from "../replay/index.js";

/**
 * The session of speed that a plan measures next, beside what the run has. One that was begun goes on until each of its jobs is
 * there or has failed, so that a killed command and the same one again make one session; so do one of which all failed and the same
 * one again. Then `again` begins another one of all that is timed; without it there is another one only of jobs that none has: timed
 * now, they did not take turns with the others.
 */
export function nextTiming(run: Run, { jobs }: Pick<Plan, "jobs">, again = false): SpeedSession {
  const last = run.timing;
  const isLeft = ({ impossible, ...record }: JobRecord) => isTimed(record) && impossible === undefined;
  const isStillPlanned = ({ id, variant, measurement }: JobRecord) =>
    jobs.some(({ record, identified }) =>
      identified ? record.id === id : record.variant === variant && record.measurement === measurement,
    );
  const begun = (run.plan?.jobs ?? []).filter((record) => isLeft(record) && isStillPlanned(record));
  if (begun.some(({ id }) => !isOver(run.jobs.get(id)!, last))) return last;
  // Until one job is whole the session goes on, even where all of them failed, as they do when their server is gone.
  const isWholeSomewhere = [...run.jobs.values()].some(
    ({ record, sessions }) => record && isTimed(record) && sessions.has(last.session),
  );
  if (!isWholeSomewhere) return last;
  if (again) return { session: last.session + 1, again: true };
  const isNew = jobs.some(({ record }) => isLeft(record) && !run.jobs.get(record.id)?.done);
  return isNew ? { session: last.session + 1, again: false } : last;
}
