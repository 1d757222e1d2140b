import { metric } from "../metrics.js";
import { fractionOf } from "../share.js";
import { besides, costsNothing, type LiveJob, type LiveState, share } from "./state.js";

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
 * a machine that others use, too, has another pace in an hour. The plan's estimates count beside what little is measured at first, as
 * if `trusted` seconds of them had come true: a first item, or a first variant, may take many times as long as the others.
 */
export function timeLeft(state: LiveState): { total: TimeLeft; jobs: Map<LiveJob, number> } {
  const jobs = new Map<LiveJob, number>();
  const total: TimeLeft = { milliseconds: 0, known: "about" };
  // Jobs that run side by side share the wall time: each of them takes as many times longer as there are.
  const beside = besides(state).length;
  const trusted = trustedIn(state);
  const guessed = { took: 1000 * trusted, estimate: trusted };
  const columns = state.measurements.map((_, column) => ({
    ...{ size: sizeOf(state, column), time: 0, work: 0, estimate: 0 },
  }));
  for (const cell of state.cells.values()) {
    const pace = paceOf(cell);
    const column = columns[cell.column]!;
    if (!pace || costsNothing(state, cell)) continue;
    const weight = 2 ** (-age(state, cell) / halfLife(state));
    column.time += weight * pace.milliseconds;
    column.work += weight * pace.share * column.size(cell);
    const estimate = estimateOf(cell);
    if (estimate === undefined) continue;
    guessed.took += weight * pace.milliseconds;
    guessed.estimate += weight * pace.share * estimate;
    column.estimate += weight * pace.share * estimate;
  }
  if (guessed.estimate > 0 && guessed.estimate < 2 * trusted) total.known = "roughly";
  for (const cell of state.cells.values()) {
    if ((cell.status !== "waiting" && cell.status !== "running") || costsNothing(state, cell)) continue;
    const { size, time, work, estimate: measured } = columns[cell.column]!;
    const own = paceOf(cell);
    const estimate = estimateOf(cell);
    const planned =
      estimate === undefined || guessed.estimate === 0 ? undefined : (guessed.took / guessed.estimate) * estimate;
    const seen = own ? own.milliseconds / own.share : work > 0 ? (time / work) * size(cell) : undefined;
    const whole = own ? between(seen, own.share, planned, trustedShare) : between(seen, measured, planned, trusted);
    if (whole === undefined) {
      total.known = "over";
      continue;
    }
    if (seen === undefined && total.known === "about") total.known = "roughly";
    // The time since the last report counts, else the figure would stand still and then jump.
    const since = cell === state.current ? state.now - state.reportedAt : 0;
    const left = Math.max(0, whole * (1 - (share(state, cell) ?? 0)) - since);
    total.milliseconds += left;
    if (cell.status === "running") jobs.set(cell, cell.job.mode === "alone" ? left * beside : left);
  }
  return { total, jobs };
}

/** A job's own pace counts as much as the plan's guess of it when so much of it is done. */
const trustedShare = 0.2;

/** Seconds of the plan's estimates that are believed beside what is measured: a fifth of them, 40 at most. */
function trustedIn({ cells }: LiveState): number {
  let sum = 0;
  for (const cell of cells.values()) if (cell.status !== "impossible") sum += estimateOf(cell) ?? 0;
  return Math.min(40, sum / 5);
}

/** The mean of what is seen and what is planned by their weights; the one that is known where the other is not, or is 0. */
function between(seen: number | undefined, weight: number, planned: number | undefined, trust: number) {
  if (seen === undefined || !planned) return seen ?? planned;
  return (seen * weight + planned * trust) / (weight + trust);
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
