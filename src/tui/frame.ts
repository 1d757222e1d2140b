import { feederOf, type LiveJob, type LiveState } from "./state.js";
import type { StopKind } from "./view.js";

/** The part of the run that the user looks at; the run's own state is in `LiveState`. */
export interface Looking {
  /** First row shown. */
  row: number;
  /** Keeps the running row in sight until the user scrolls. */
  follow: boolean;
  /** The row that Enter opens; none until a key moves it while a run is measured. */
  cursor?: number | undefined;
  /** Page of the matrix's columns; 0: what a person looks for first. */
  page: number;
  stopping: StopKind | undefined;
  /** What stands in the place of the matrix. */
  over?: "keys" | "cell" | undefined;
  /** The cell that was opened last; `column`: of `LiveState.measurements`. */
  cell?: { row: number; column: number };
  /** The run is another process's, which no key stops. */
  onlooking?: boolean;
}

/** The number of lines of each part. The matrix comes first, but failures keep at least a few lines. */
export function divide(state: LiveState, looking: Looking, lines: number) {
  const bar = lines >= 6;
  const heads = lines >= 8 && state.rows.length > 0;
  const blanks = lines >= 14;
  const preparing = state.fetching || state.quantizing ? 1 : 0;
  const running = lines >= 5 && !state.outcome && (state.cells.size > 0 || preparing > 0) ? 1 : 0;
  const footer = footerLines(looking, lines);
  const fixed = 1 + (bar ? 1 : 0) + (heads ? 2 : 0) + (blanks ? 3 : 0) + footer;
  const free = Math.max(0, lines - fixed - running);
  const wanted = state.notes.size;
  const least = Math.min(wanted, Math.floor(free / 4), 3);
  const rows = Math.max(Math.min(state.rows.length, free - least - (blanks && least > 0 ? 1 : 0)), 0);
  const notes = Math.max(0, Math.min(wanted, free - rows - (blanks ? 1 : 0)));
  // The lines that are left show jobs that run at the same time, one below the other.
  const more = Math.max(0, free - rows - notes - (blanks ? 1 : 0));
  const others = Math.max(0, preparing + runningTogether(state).length - 1);
  return { bar, heads, blanks, rows, notes, running: running === 0 ? 0 : running + Math.min(others, more, 7) };
}

/** Jobs that run: those that take turns as one group, with those that the same decode feeds behind them, and every other one by itself. */
export function runningTogether(state: LiveState): LiveJob[][] {
  const groups = new Map<string | number, LiveJob[]>();
  const fed: [LiveJob, LiveJob][] = [];
  const keyOf = ({ inTurns, column, job }: LiveJob) => (inTurns ? column : job.id);
  for (const cell of state.active) {
    const feeder = feederOf(state, cell);
    if (feeder) fed.push([feeder, cell]);
    else groups.set(keyOf(cell), [...(groups.get(keyOf(cell)) ?? []), cell]);
  }
  for (const [feeder, cell] of fed) groups.get(keyOf(feeder))?.push(cell);
  return [...groups.values()];
}

/** The last lines of a frame, which stand at the bottom of the terminal. */
export function footerLines(looking: Looking, lines: number): number {
  return lines < 3 ? 0 : looking.stopping ? 2 : 1;
}

/** Keeps the running row in sight, a little below the top so that what was just finished stays visible. */
export function firstRow(state: LiveState, looking: Looking, shown: number): number {
  const last = Math.max(0, state.rows.length - shown);
  if (!looking.follow) {
    const { row, cursor = row } = looking;
    return Math.min(Math.max(0, Math.min(cursor, Math.max(row, cursor - shown + 1))), last);
  }
  const current = state.current ? state.rows.findIndex((row) => row.cells.includes(state.current)) : -1;
  if (current < 0) return Math.min(Math.max(0, looking.row), last);
  return Math.min(Math.max(0, current - Math.floor(shown / 2)), last);
}
