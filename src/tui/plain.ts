import { now as clockNow } from "../clock.js";
import type { Failure } from "../errors.js";
import type { Event } from "../events.js";
import { harmless } from "../harmless.js";
import { isTally, metric } from "../metrics.js";
import type { Run } from "../replay/index.js";
import { shareName } from "../share.js";
import { counted, duration } from "../units.js";
import { formatFigure, isFloor, isPrincipal, oneOf, placesOf } from "./figures.js";
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
export const startPlain = (options: PlainOptions): View => new PlainView(options);

class PlainView implements View {
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  #state = initialState();
  #toldAt: number;
  /** Jobs whose end was told. */
  readonly #ended = new Set<string>();
  /** Reasons of failures, and the first job that each befell. */
  readonly #failed = new Map<string, string>();
  /** Sentences on impossible cells, each told once. */
  readonly #impossible = new Set<string>();

  constructor({ write, now = clockNow }: PlainOptions) {
    this.#write = write;
    this.#now = now;
    this.#toldAt = now();
  }

  resume(run: Run): void {
    this.#state = resumed(run);
  }

  handle(event: Event): void {
    tick(this.#state, this.#now());
    const { fetching, quantizing } = this.#state;
    this.#state = reduce(this.#state, event);
    switch (event.type) {
      case "fetching":
        this.#fetching(fetching);
        break;
      case "quantizing":
        this.#quantizing(quantizing);
        break;
      case "started":
        this.#begin();
        break;
      case "planned":
        for (const note of event.notes) this.#line(note);
        this.#tellImpossible();
        break;
      case "warning":
        this.#warn(event);
        break;
      case "note":
        this.#line(event.message);
        break;
      case "finished":
        this.#finish(event.outcome);
        break;
      case "job-started":
      case "job-done":
      case "share-done":
      case "job-failed":
      case "samples":
      case "progress": {
        const cell = this.#state.cells.get(event.job);
        if (cell) this.#ofJob(cell, event);
      }
    }
  }

  async close(): Promise<void> {}

  #line(text: string): void {
    this.#toldAt = this.#now();
    this.#write(`${harmless(text)}\n`);
  }

  get #isDue(): boolean {
    return this.#now() - this.#toldAt >= interval;
  }

  get #measurable(): number {
    return this.#state.cells.size - this.#state.counts.impossible;
  }

  #name({ job }: LiveJob): string {
    const count = this.#state.counts.before + this.#ended.size;
    return `[${count}/${this.#measurable}] ${job.variant} ${job.measurement}`;
  }

  #begin(): void {
    const { name, rows, counts } = this.#state;
    const parts = [counted(rows.length, "variant"), counted(this.#measurable, "job")];
    if (counts.before > 0) parts.push(`${counts.before} done before`);
    this.#line(`${name}: ${parts.join(", ")}`);
    this.#tellImpossible();
  }

  #tellImpossible(): void {
    for (const note of this.#state.notes.values()) {
      // A job that failed in the plan is reported when its turn comes.
      if (note.kind !== "impossible") continue;
      const where = [note.variant, note.measurements.join(", ")].filter(Boolean).join(" ");
      const times = note.count > 1 ? ` (${counted(note.count, "job")})` : "";
      const text = `not possible: ${where}: ${note.message}${times}`;
      if (!this.#impossible.has(text)) this.#line(text);
      this.#impossible.add(text);
    }
  }

  #fetching(before: LiveState["fetching"]): void {
    const { since, bytes, total } = this.#state.fetching!;
    if (before?.since !== since || bytes === total || this.#isDue) this.#line(describePreparation(this.#state));
  }

  #quantizing(before: LiveState["quantizing"]): void {
    if (before?.name !== this.#state.quantizing!.name || this.#isDue) this.#line(describePreparation(this.#state));
  }

  #warn({ job, variant, message }: Extract<Event, { type: "warning" }>): void {
    const cell = job === undefined ? undefined : this.#state.cells.get(job);
    const where = cell ? `${this.#name(cell)}: ` : variant === undefined ? "" : `${variant}: `;
    this.#line(`warning: ${where}${message}`);
  }

  #finish(outcome: Extract<Event, { type: "finished" }>["outcome"]): void {
    const { counts, now, startedAt } = this.#state;
    const { done, failed, before } = counts;
    const parts = [`${done} measured${before > 0 ? ` (${before} before)` : ""}`];
    if (failed > 0) parts.push(`${failed} failed`);
    const took = duration((now - startedAt) / 1000);
    const how = outcome === "stopped" ? "stopped; the same command continues" : "finished";
    this.#line(`${how}: ${parts.join(", ")} of ${counted(this.#measurable, "job")} in ${took}`);
  }

  #ofJob(cell: LiveJob, event: Extract<Event, { job: string }>): void {
    if (event.type === "job-done" || event.type === "share-done" || event.type === "job-failed")
      this.#ended.add(event.job);
    if (event.type === "job-started")
      this.#line(
        `${this.#name(cell)}: started${event.done > 0 ? `, ${counted(event.done, oneOf(cell))} done before` : ""}`,
      );
    else if (event.type === "share-done")
      this.#line(
        `${this.#name(cell)}: part ${shareName(event.share)} is there (${counted(event.items, oneOf(cell))}, ${event.seconds.toFixed(1)} s)`,
      );
    else if (event.type === "job-done") {
      const found = figures(cell).join(", ") || noFigure(cell);
      this.#line(`${this.#name(cell)}: ${found} (${extent(cell, event.items)}, ${event.seconds.toFixed(1)} s)`);
    } else if (event.type === "job-failed") {
      this.#line(`${this.#name(cell)}: ${this.#failure(cell, event.failure)}`);
    } else this.#progress();
  }

  /**
   * The same reason is told once: a model that cannot be loaded fails in each of its measurements, and a text that is too short fails all
   * variants.
   */
  #failure({ job: { variant, measurement } }: LiveJob, { message, hint }: Failure): string {
    const told = (...of: string[]) => {
      const reason = JSON.stringify([...of, message]);
      const first = this.#failed.get(reason);
      if (first === undefined) this.#failed.set(reason, `${variant} ${measurement}`);
      return first;
    };
    const [ofVariant, ofMeasurement] = [told("variant", variant), told("measurement", measurement)];
    const first = ofVariant?.slice(variant.length + 1) ?? ofMeasurement;
    return first === undefined ? `failed: ${message}${hint ? ` (${hint})` : ""}` : `failed, as ${first} did`;
  }

  #progress(): void {
    const cell = this.#state.current;
    if (!cell || !this.#isDue || cell.done === cell.total) return;
    const { total, jobs } = timeLeft(this.#state);
    const done = Math.floor(cell.done);
    const count = cell.total === undefined ? `${done}` : `${done}/${cell.total}`;
    const left = jobs.get(cell);
    const parts = [`${count} ${cell.total === 1 ? oneOf(cell) : cell.unit}`, ...figures(cell)];
    if (left !== undefined) parts.push(`${duration(left / 1000)} left`);
    parts.push(...placesOf(cell));
    const whole = total.milliseconds > 0 ? `; in total ${total.known} ${duration(total.milliseconds / 1000)} left` : "";
    this.#line(`${this.#name(cell)}: ${parts.join(", ")}${whole}`);
  }
}

/** The principal metrics of a job; all of them if none is principal. */
function shown({ job }: LiveJob): string[] {
  const principal = job.metrics.filter(isPrincipal);
  return principal.length > 0 ? principal : job.metrics;
}

function figures(cell: LiveJob): string[] {
  const texts: string[] = [];
  for (const name of shown(cell)) {
    const known = figure(cell, name);
    if (known)
      texts.push(
        `${isFloor(cell.job) ? "noise floor " : ""}${metric(name).label} ${formatFigure(name, known)}${known.broken ? `: ${known.broken}` : ""}`,
      );
  }
  return texts;
}

/** The basis of the figures: `32 chunks`, `3 of 4 questions` where one could not be asked or has no key, `5 repetitions` of each test. */
function extent(cell: LiveJob, items: number): string {
  const counts = shown(cell).flatMap((name) => (isTally(metric(name)) ? [] : (figure(cell, name)?.n ?? 0)));
  const n = Math.max(0, ...counts);
  const { per } = metric(cell.job.metrics[0]!);
  if (per === "repetition") return counted(n, "repetition");
  const all = counted(items, oneOf(cell));
  return per === "question" && n < items ? `${n} of ${all}` : all;
}

const noFigure = ({ job }: LiveJob) =>
  job.metrics.some((name) => metric(name).per === "question") ? "no question could be asked" : "no figure";
