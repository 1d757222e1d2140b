import type { Event } from "../events.js";
import { harmless } from "../harmless.js";
import { isTally, metric } from "../metrics.js";
import { counted, duration } from "../units.js";
import { formatFigure, isPrincipal, oneOf } from "./figures.js";
import {
  describePreparation,
  figure,
  initialState,
  type LiveJob,
  type LiveState,
  reduce,
  resumed,
  tick,
} from "./state.js";
import { timeLeft } from "./time-left.js";
import type { View } from "./view.js";

/** Progress is told no more often than this. */
const interval = 10_000;

interface PlainOptions {
  write(text: string): void;
  now?: () => number;
}

/** The run as lines, for logs and pipes: one for each thing that happened, none that takes anything back. */
export function startPlain({ write, now = Date.now }: PlainOptions): View {
  let state = initialState();
  let toldAt = now();

  const line = (text: string) => {
    toldAt = now();
    write(`${harmless(text)}\n`);
  };
  const measurable = () => state.cells.size - state.counts.impossible;
  /** Jobs whose end was told. */
  const ended = new Set<string>();
  const name = (cell: LiveJob) =>
    `[${state.counts.before + ended.size}/${measurable()}] ${cell.job.variant} ${cell.job.measurement}`;

  const begin = () => {
    const { counts } = state;
    const parts = [counted(state.rows.length, "variant"), counted(measurable(), "job")];
    if (counts.before > 0) parts.push(`${counts.before} done before`);
    line(`${state.name}: ${parts.join(", ")}`);
    impossible();
  };

  /** Cells that turned out to be impossible, each once. */
  const told = new Set<string>();
  const impossible = () => {
    for (const note of state.notes.values()) {
      // A job that failed in the plan is reported when its turn comes.
      if (note.kind !== "impossible") continue;
      const where = [note.variant, note.measurements.join(", ")].filter(Boolean).join(" ");
      const times = note.count > 1 ? ` (${counted(note.count, "job")})` : "";
      const text = `not possible: ${where}: ${note.message}${times}`;
      if (!told.has(text)) line(text);
      told.add(text);
    }
  };

  const progress = () => {
    const cell = state.current;
    if (!cell || now() - toldAt < interval || cell.done === cell.total) return;
    const { total, jobs } = timeLeft(state);
    const done = Math.floor(cell.done);
    const count = cell.total === undefined ? `${done}` : `${done}/${cell.total}`;
    const left = jobs.get(cell);
    const parts = [`${count} ${cell.total === 1 ? oneOf(cell) : cell.unit}`, ...figures(cell)];
    if (left !== undefined) parts.push(`${duration(left / 1000)} left`);
    const whole = total.milliseconds > 0 ? `; in total ${total.known} ${duration(total.milliseconds / 1000)} left` : "";
    line(`${name(cell)}: ${parts.join(", ")}${whole}`);
  };

  const fetching = (before: LiveState["fetching"]) => {
    const { since, bytes, total } = state.fetching!;
    const begins = before?.since !== since;
    if (begins || bytes === total || now() - toldAt >= interval) line(describePreparation(state));
  };

  const quantizing = (before: LiveState["quantizing"]) => {
    const begins = before?.name !== state.quantizing!.name;
    if (begins || now() - toldAt >= interval) line(describePreparation(state));
  };

  const tell = (event: Event) => {
    if (event.type === "started") return begin();
    if (event.type === "planned") {
      for (const note of event.notes) line(note);
      return impossible();
    }
    if (event.type === "warning") {
      const job = event.job === undefined ? undefined : state.cells.get(event.job);
      const where = job ? `${name(job)}: ` : event.variant === undefined ? "" : `${event.variant}: `;
      return line(`warning: ${where}${event.message}`);
    }
    if (event.type === "finished") {
      const { done, failed, before } = state.counts;
      const parts = [`${done} measured${before > 0 ? ` (${before} before)` : ""}`];
      if (failed > 0) parts.push(`${failed} failed`);
      const took = duration((state.now - state.startedAt) / 1000);
      const how = event.outcome === "stopped" ? "stopped; the same command continues" : "finished";
      return line(`${how}: ${parts.join(", ")} of ${counted(measurable(), "job")} in ${took}`);
    }
    if (!("job" in event)) return;
    const cell = state.cells.get(event.job);
    if (!cell) return;
    if (event.type === "job-done" || event.type === "job-failed") ended.add(event.job);
    if (event.type === "job-started")
      line(`${name(cell)}: started${event.done > 0 ? `, ${counted(event.done, oneOf(cell))} done before` : ""}`);
    else if (event.type === "job-done") {
      const found = figures(cell).join(", ") || noFigure(cell);
      line(`${name(cell)}: ${found} (${extent(cell, event.items)}, ${event.seconds.toFixed(1)} s)`);
    } else if (event.type === "job-failed") {
      const hint = event.failure.hint ? ` (${event.failure.hint})` : "";
      line(`${name(cell)}: failed: ${event.failure.message}${hint}`);
    } else progress();
  };

  return {
    resume(run) {
      state = resumed(run);
    },
    handle(event) {
      tick(state, now());
      const before = { fetching: state.fetching, quantizing: state.quantizing };
      state = reduce(state, event);
      if (event.type === "fetching") return fetching(before.fetching);
      if (event.type === "quantizing") return quantizing(before.quantizing);
      tell(event);
    },
    close: async () => {},
  };
}

/** The principal figures of a job; all of them if none is principal. */
function figures(cell: LiveJob): string[] {
  const principal = cell.job.metrics.filter(isPrincipal);
  const texts: string[] = [];
  for (const name of principal.length > 0 ? principal : cell.job.metrics) {
    const known = figure(cell, name);
    if (known)
      texts.push(`${metric(name).label} ${formatFigure(name, known)}${known.broken ? `: ${known.broken}` : ""}`);
  }
  return texts;
}

/** The basis of the figures: `32 chunks`, `3 of 4 questions` where one could not be asked, `5 repetitions` of each test. */
function extent(cell: LiveJob, items: number): string {
  const counts = cell.job.metrics.flatMap((name) => (isTally(metric(name)) ? [] : (figure(cell, name)?.n ?? 0)));
  const n = Math.max(0, ...counts);
  const { per } = metric(cell.job.metrics[0]!);
  if (per === "repetition") return counted(n, "repetition");
  const all = counted(items, oneOf(cell));
  return per === "question" && n < items ? `${n} of ${all}` : all;
}

const noFigure = ({ job }: LiveJob) =>
  job.metrics.some((name) => metric(name).per === "question") ? "no question could be asked" : "no figure";
