import { metric } from "../metrics.js";
import { fractionOf } from "../share.js";
import { besides, type LiveJob, type LiveState, share } from "./state.js";

/** Milliseconds left: `about` rests on measured jobs, `roughly` on the plan's estimates too, `over` is a lower bound. */
interface TimeLeft {
  milliseconds: number;
  known: "about" | "roughly" | "over";
}

/**
 * The time left, in total and for each job that runs. A job has its own pace as soon as it has done anything. Before that it
 * has the pace of the same measurement on the other variants, scaled by parameters, or by bytes when tokens are generated
 * one by one, because reading the weights then takes the time. For a measurement that no variant has begun, the plan's
 * estimate counts, times the factor by which the estimates of the other jobs were wrong. What was measured lately counts more:
 * a machine that others use, too, has another pace in an hour.
 */
export function timeLeft(state: LiveState): { total: TimeLeft; jobs: Map<LiveJob, number> } {
  const jobs = new Map<LiveJob, number>();
  const total: TimeLeft = { milliseconds: 0, known: "about" };
  // Jobs that run side by side share the wall time: each of them takes as many times longer as there are.
  const beside = besides(state).length;
  const guessed = { took: 0, estimate: 0 };
  const columns = state.measurements.map((_, column) => ({ size: sizeOf(state, column), time: 0, work: 0 }));
  for (const cell of state.cells.values()) {
    const pace = paceOf(cell);
    const column = columns[cell.column]!;
    if (!pace) continue;
    const weight = 2 ** (-age(state, cell) / halfLife(state));
    column.time += weight * pace.milliseconds;
    column.work += weight * pace.share * column.size(cell);
    const estimate = estimateOf(cell);
    if (estimate === undefined) continue;
    guessed.took += weight * pace.milliseconds;
    guessed.estimate += weight * pace.share * estimate;
  }
  for (const cell of state.cells.values()) {
    if (cell.status !== "waiting" && cell.status !== "running") continue;
    const { size, time, work } = columns[cell.column]!;
    const own = paceOf(cell);
    let whole = own ? own.milliseconds / own.share : work > 0 ? (time / work) * size(cell) : undefined;
    if (whole === undefined) {
      const estimate = estimateOf(cell);
      if (estimate === undefined || guessed.estimate === 0) {
        total.known = "over";
        continue;
      }
      whole = (guessed.took / guessed.estimate) * estimate;
      if (total.known === "about") total.known = "roughly";
    }
    // The time since the last report counts, else the figure would stand still and then jump.
    const since = cell === state.current ? state.now - state.reportedAt : 0;
    const left = Math.max(0, whole * (1 - (share(state, cell) ?? 0)) - since);
    total.milliseconds += left;
    if (cell.status === "running") jobs.set(cell, cell.job.mode === "alone" ? left * beside : left);
  }
  return { total, jobs };
}

/** Milliseconds since a job was worked on; one of an earlier session is as old as this one. */
const age = ({ now, startedAt }: LiveState, { pace }: LiveJob) => now - Math.max(startedAt, pace.at);

/** Milliseconds after which a pace counts half. */
const halfLife = ({ now, startedAt }: LiveState) => Math.max(30_000, (now - startedAt) / 8);

/** Time spent and the share of the job done in it; undefined before anything is done. */
function paceOf(cell: LiveJob): { milliseconds: number; share: number } | undefined {
  const { from, busy, seconds, before } = cell.pace;
  if (cell.total === undefined || from === undefined) return undefined;
  const bought = (cell.done - from) / cell.total;
  // An earlier session left nothing but the seconds of the session that ended the job.
  const milliseconds = before ? (seconds ?? 0) * 1000 : busy;
  return bought > 0 && milliseconds > 0 ? { milliseconds, share: Math.min(1, bought) } : undefined;
}

/** The plan's, in seconds, of what is measured here. */
const estimateOf = ({ job }: LiveJob) => job.estimate && job.estimate * fractionOf(job.share);

/** The relative size of the jobs of a measurement, by their variants, all alike if one is unknown, and by their shares. */
function sizeOf(state: LiveState, column: number): (cell: LiveJob) => number {
  const part = ({ job }: LiveJob) => fractionOf(job.share);
  const bytes = state.measurements[column]!.metrics.some((name) => metric(name).memoryBound);
  const of = (cell: LiveJob) => (bytes ? cell.variant.facts?.bytes : cell.variant.facts?.parameters);
  for (const cell of state.cells.values())
    if (cell.column === column && cell.status !== "failed" && !of(cell)) return part;
  return (cell) => (of(cell) ?? 1) * part(cell);
}
