import { definite } from "../definite.js";
import type { Event, JobRecord, SpeedSession, StoredEvent, VariantRecord } from "../events.js";
import { harmless } from "../harmless.js";
import type { ToldChange } from "../judge/index.js";
import { metric as describe, isTally, itemsPer } from "../metrics.js";
import type { Quantizing } from "../models/quantize.js";
import type { Fetching } from "../models/sources.js";
import { hasShare, isTimed, type JobResult, type Run } from "../replay/index.js";
import { shareName } from "../share.js";
import { foreignLoad, vocabularyOf } from "../stats/series.js";
import { type Running, running } from "../stats/summary.js";
import { bytes, duration } from "../units.js";

export type Status = "waiting" | "running" | "done" | "failed" | "impossible";

/** A metric as it stands. */
export interface LiveFigure {
  value: number;
  /** Undefined while there are too few samples to know one, and for what is exact. */
  error: number | undefined;
  n: number;
  /** Why it must not be believed; `value` is NaN then. */
  broken?: string;
}

/** One job. Variants that differ in nothing but their names have it in common. */
export interface LiveJob {
  job: JobRecord;
  variant: VariantRecord;
  /** Index into `LiveState.measurements`. */
  column: number;
  status: Status;
  /** One sentence: why it failed, or why it cannot be measured. */
  reason?: string;
  hint?: string;
  accumulators: Map<string, Accumulator>;
  /** Items held, those of earlier sessions included. */
  items: number;
  /** How far the measurement is, in items, a fraction of one included; `total` is unknown until it says so. */
  done: number;
  total: number | undefined;
  unit: string;
  pace: Pace;
  /** CPU cores that other processes used at most while it was timed; 0 where they did not matter. */
  disturbed: number;
  /** Another variant was at the same measurement at the same time: they take turns. */
  inTurns: boolean;
  /** Names of the workers that measure it, on other machines. */
  where: Set<string>;
}

/** Time spent on a job, and the number of items it began with. */
export interface Pace {
  /** Items held when the session took the job up; undefined before that. */
  from: number | undefined;
  /** Milliseconds of this session that went into the job. */
  busy: number;
  /** Seconds of the session that ended the job, as the run says. */
  seconds: number | undefined;
  /** The job ended before this session began. */
  before: boolean;
  /** When it was worked on last, milliseconds since the epoch. */
  at: number;
}

interface Accumulator {
  running: Running;
  count: number;
  /** The figure for `at` samples, kept because a frame asks more often than samples come. */
  figure: LiveFigure | undefined;
  at: number;
}

/** A download, and where this session took it up: at which time (ms since the epoch), with how many bytes. */
interface Download extends Fetching {
  since: number;
  from: number;
}

/** Something to tell the user beside the matrix; repeated ones are counted instead of listed. */
export interface LiveNote {
  kind: "warning" | "failed" | "impossible" | "note";
  message: string;
  hint?: string;
  variant?: string;
  /** Measurements that it befell. */
  measurements: string[];
  count: number;
}

export interface LiveVariant {
  variant: VariantRecord;
  /** Once the engine was opened. */
  loadSeconds: number | undefined;
  /** In the order of `LiveState.measurements`; undefined where the plan has no such job. */
  cells: (LiveJob | undefined)[];
}

export interface LiveMeasurement {
  /** As in the benchmark file. */
  name: string;
  /** Those announced, then those that came unannounced (peak memory, say). */
  metrics: string[];
  /** Items of a job, learnt from the first job that knew; the same for all variants. */
  total: number | undefined;
}

export interface LiveState {
  /** The benchmark's name; empty until the run has started. */
  name: string;
  /** In the order of the jobs. */
  measurements: LiveMeasurement[];
  rows: LiveVariant[];
  cells: Map<string, LiveJob>;
  /** Results of earlier sessions, by job id. */
  kept: Map<string, JobResult>;
  /** Changes against the reference, see `changeIn`. */
  changes: Map<string, ToldChange>;
  /** The session of speed that is measured. */
  timing: SpeedSession;
  /** The download on its way. */
  fetching: Download | undefined;
  /** The quantization on its way. */
  quantizing: Quantizing | undefined;
  /** The job that gave the last sign of life. */
  current: LiveJob | undefined;
  /** Started and not ended; several where jobs take turns. */
  active: Set<LiveJob>;
  /** Jobs by status; `impossible` ones are not part of the others. */
  counts: Record<Status, number> & { before: number };
  notes: Map<string, LiveNote>;
  /** Milliseconds since the epoch: when this session started, and the latest time known. */
  startedAt: number;
  now: number;
  /** When any job last told something: the time since then belongs to the job that tells next. */
  reportedAt: number;
  outcome: "complete" | "stopped" | undefined;
}

export function initialState(): LiveState {
  return {
    name: "",
    measurements: [],
    rows: [],
    cells: new Map(),
    kept: new Map(),
    changes: new Map(),
    timing: { session: 1, again: false },
    fetching: undefined,
    quantizing: undefined,
    current: undefined,
    active: new Set(),
    counts: { waiting: 0, running: 0, done: 0, failed: 0, impossible: 0, before: 0 },
    notes: new Map(),
    startedAt: 0,
    now: 0,
    reportedAt: 0,
    outcome: undefined,
  };
}

/** The state of a run before it continues: what is done stays done, the rest waits. */
export function resumed({ jobs }: Run): LiveState {
  return { ...initialState(), kept: jobs };
}

/** The state with these changes in the place of earlier ones. */
export function compared(state: LiveState, changes: ToldChange[]): LiveState {
  return {
    ...state,
    changes: new Map(changes.map((one) => [changeKey(one.variant, one.measurement, one.metric), one])),
  };
}

const changeKey = (...names: [variant: string, measurement: string, metric: string]) => names.join("\n");

/** Of a variant's figure, against the reference; undefined while nothing was compared. */
export const changeIn = ({ changes }: LiveState, { job }: LiveJob, variant: string, metric: string) =>
  changes.get(changeKey(variant, job.measurement, metric));

/** Whether variants are held against this one. */
export const isReference = ({ rows, changes }: LiveState, { variant }: LiveVariant): boolean =>
  rows.length > 1 && (variant.reference || [...changes.values()].some(({ against }) => against === variant.name));

/** Notes kept for the view, the latest ones; the report keeps all. */
const keptNotes = 200;

/**
 * Folds one event into the state, in place, and gives the same state back: what the fold holds (accumulators, maps) is
 * its own, so an event costs the same whether it is the tenth or the ten-thousandth. It reads no clock: the time comes
 * in by the events' `at` and by `tick`, hence the same events and ticks always make the same state.
 */
export function reduce(state: LiveState, event: Event | StoredEvent): LiveState {
  if ("at" in event) state.now = event.type === "started" ? event.at : Math.max(state.now, event.at);
  switch (event.type) {
    case "started":
      start(state, event);
      break;
    case "planned":
      replan(state, event);
      break;
    case "fetching":
      fetching(state, event);
      break;
    case "quantizing":
      quantizing(state, event);
      break;
    case "opened":
      opened(state, event);
      break;
    case "warning":
      warned(state, event);
      break;
    case "note":
      note(state, "note", event.message, {});
      break;
    case "finished":
      state.fetching = undefined;
      state.quantizing = undefined;
      state.outcome = event.outcome;
      state.current = undefined;
      for (const cell of [...state.active]) turn(state, cell, "waiting");
      break;
    case "job-started":
    case "samples":
    case "progress":
    case "job-done":
    case "share-done":
    case "job-failed": {
      const cell = state.cells.get(event.job);
      if (cell) ofJob(state, cell, event);
    }
  }
  return state;
}

/** An event of this type. */
type Of<Type extends Event["type"]> = Extract<Event | StoredEvent, { type: Type }>;

function fetching(state: LiveState, { type: _, at, ...download }: Of<"fetching">): void {
  const before = state.fetching;
  const same =
    before !== undefined &&
    before.name === download.name &&
    before.file === download.file &&
    download.bytes >= before.bytes;
  state.quantizing = undefined;
  state.fetching = { ...download, since: same ? before.since : at, from: same ? before.from : download.bytes };
}

function quantizing(state: LiveState, { type: _, at: __, ...progress }: Of<"quantizing">): void {
  state.fetching = undefined;
  state.quantizing = progress;
}

function opened(state: LiveState, { variant, engine }: Of<"opened">): void {
  // Loading a model is no pace of any measurement of that variant.
  spend(
    state,
    besides(state).filter(({ job }) => job.variant !== variant),
  );
  for (const row of state.rows) if (row.variant.name === variant) row.loadSeconds = engine.loadSeconds;
  const cell = [...state.active].find(({ job }) => job.variant === variant);
  if (cell) state.current = cell;
}

function warned(state: LiveState, event: Of<"warning">): void {
  const job = event.job === undefined ? undefined : state.cells.get(event.job)?.job;
  note(state, "warning", event.message, {
    variant: event.variant ?? job?.variant,
    measurement: job?.measurement,
  });
}

function ofJob(
  state: LiveState,
  cell: LiveJob,
  event: Of<"job-started" | "samples" | "progress" | "job-done" | "share-done" | "job-failed">,
): void {
  switch (event.type) {
    case "job-started":
      begun(state, cell, event.done);
      break;
    case "samples":
      measured(state, cell, event);
      report(state, cell);
      break;
    case "progress":
      cell.done = Math.max(event.done, cell.items);
      if (event.total > 0) learn(state, cell, event.total);
      cell.unit = event.unit;
      if (event.where !== undefined) cell.where.add(event.where);
      report(state, cell);
      break;
    case "job-done":
    case "share-done":
      report(state, cell);
      done(state, cell, event);
      break;
    case "job-failed":
      report(state, cell);
      failed(state, cell, event.failure);
  }
}

function begun(state: LiveState, cell: LiveJob, items: number): void {
  spend(state, besides(state));
  if (cell.job.mode !== "alone")
    for (const other of state.active)
      if (other.column === cell.column && other.job.mode !== "alone") other.inTurns = cell.inTurns = true;
  turn(state, cell, "running");
  cell.done = items;
  cell.pace.from = items;
  // Jobs that take turns have all started before the first of them does any work.
  state.current ??= cell;
}

function measured(state: LiveState, cell: LiveJob, { samples, cluster, of, foreign = 0 }: Of<"samples">): void {
  if (foreign > foreignLoad) {
    cell.disturbed = Math.max(cell.disturbed, foreign);
    noteDisturbed(state, cell);
  }
  const total = cell.total ?? wantedOf(cell.job, of);
  if (total !== undefined && cell.total === undefined) learn(state, cell, total);
  for (const sample of samples) {
    const accumulator = cell.accumulators.get(sample.metric) ?? newAccumulator(state, cell, sample.metric);
    accumulator.running.add({ ...sample, ...definite({ run: cluster }) });
    accumulator.count++;
  }
  // Values beside the items, such as peak memory, do not count as items.
  if (samples.some(({ metric }) => isTally(describe(metric)) || cell.job.metrics.includes(metric))) cell.items++;
  // Progress can be behind the items or ahead of them, so the larger number counts.
  cell.done = Math.max(cell.done, cell.items);
}

function newAccumulator(state: LiveState, cell: LiveJob, metric: string) {
  const row = state.rows.find(({ variant }) => variant.name === cell.job.variant);
  const accumulator = {
    running: running(metric, row && vocabularyOf(row.variant)),
    count: 0,
    figure: undefined,
    at: -1,
  };
  cell.accumulators.set(metric, accumulator);
  announce(state.measurements[cell.column]!, metric);
  return accumulator;
}

function done(state: LiveState, cell: LiveJob, { seconds, items }: Of<"job-done" | "share-done">): void {
  cell.pace.seconds = seconds;
  if (cell.total === undefined) learn(state, cell, Math.max(items, cell.items));
  cell.done = cell.total ?? cell.items;
  turn(state, cell, "done");
  const { variant, measurement } = cell.job;
  for (const name of cell.accumulators.keys()) {
    const broken = figure(cell, name)?.broken;
    if (broken !== undefined) note(state, "warning", broken, { variant, measurement });
  }
}

function failed(state: LiveState, cell: LiveJob, { message, hint }: Of<"job-failed">["failure"]): void {
  cell.reason = message;
  if (hint) cell.hint = hint;
  turn(state, cell, "failed");
  const { variant, measurement } = cell.job;
  note(state, "failed", message, { variant, measurement, hint });
}

/** The fetch or quantization on its way, in words: how much of which file, how fast, how long. Empty where there is none. */
export function describePreparation({ fetching, quantizing, now }: LiveState): string {
  if (quantizing) return `quantizing ${harmless(quantizing.name)}: tensor ${quantizing.done} of ${quantizing.total}`;
  if (!fetching) return "";
  const { name, bytes: done, total, file, files, since, from } = fetching;
  const part = files > 1 ? ` (${file} of ${files})` : "";
  const seconds = (now - since) / 1000;
  const rate = seconds >= 1 ? (done - from) / seconds : 0;
  const parts = [`${bytes(done)}${total === undefined ? "" : ` of ${bytes(total)}`}`];
  if (rate > 0) parts.push(`${bytes(rate)}/s`);
  if (rate > 0 && total !== undefined) parts.push(`${duration((total - done) / rate)} left`);
  return `fetching ${harmless(name)}${part}: ${parts.join(", ")}`;
}

/** Lets the time pass without an event. */
export function tick(state: LiveState, now: number): LiveState {
  if (now > state.now) state.now = now;
  return state;
}

function start(state: LiveState, event: Extract<Event, { type: "started" }>): void {
  state.fetching = undefined;
  state.quantizing = undefined;
  const { session = 1, again = false } = event;
  const part = event.shard ? [`part ${shareName(event.shard)}`] : [];
  state.name = [event.name, ...part, ...(session > 1 ? [`session ${session} of speed`] : [])].join(", ");
  state.timing = { session, again };
  state.startedAt = event.at;
  state.reportedAt = event.at;
  state.outcome = undefined;
  state.current = undefined;
  state.active = new Set();
  state.notes = new Map();
  lay(state, event, new Map());
}

/** A model is here now: its jobs have their ids, and some may have turned out to be impossible. */
function replan(state: LiveState, event: Of<"planned">): void {
  state.fetching = undefined;
  state.quantizing = undefined;
  for (const [key, { kind }] of state.notes) if (kind === "impossible") state.notes.delete(key);
  const loaded = new Map(state.rows.map(({ variant, loadSeconds }) => [variant.name, loadSeconds]));
  const totals = new Map(state.measurements.map(({ name, total }) => [name, total]));
  lay(state, event, state.cells);
  for (const row of state.rows) row.loadSeconds = loaded.get(row.variant.name);
  for (const measurement of state.measurements) measurement.total ??= totals.get(measurement.name);
}

/** Lays out the cells of a plan; jobs that were taken up already keep theirs. */
function lay(
  state: LiveState,
  event: { variants: VariantRecord[]; jobs: JobRecord[] },
  before: ReadonlyMap<string, LiveJob>,
): void {
  state.cells = new Map();
  state.counts = { waiting: 0, running: 0, done: 0, failed: 0, impossible: 0, before: 0 };
  state.measurements = [];
  const columns = new Map<string, number>();
  for (const job of event.jobs) {
    const column = columns.get(job.measurement) ?? state.measurements.length;
    columns.set(job.measurement, column);
    state.measurements[column] ??= { name: job.measurement, metrics: [], total: undefined };
    for (const name of job.metrics) announce(state.measurements[column], name);
  }
  const rows = new Map<string, LiveVariant>();
  for (const variant of event.variants)
    rows.set(variant.name, { variant, loadSeconds: undefined, cells: state.measurements.map(() => undefined) });
  state.rows = [...rows.values()];

  for (const job of event.jobs) {
    const row = rows.get(job.variant);
    // What other shards measure is no work here.
    if (!row || job.share === "none") continue;
    const column = columns.get(job.measurement)!;
    // Variants that differ in their names alone share a cell.
    row.cells[column] =
      state.cells.get(job.id) ??
      enter(
        state,
        takenUp(before.get(job.id), job, column, row.variant) ??
          judged(state, newCell(job, column, row.variant, state)),
      );
  }
}

/** The cell of a job that was begun already, in its place of the new plan. */
function takenUp(cell: LiveJob | undefined, job: JobRecord, column: number, variant: VariantRecord) {
  return cell && cell.status !== "waiting" ? Object.assign(cell, { job, variant, column }) : undefined;
}

/** A job's cell before it begins, with all that an earlier session kept. */
function newCell(
  job: JobRecord,
  column: number,
  variant: VariantRecord,
  { kept: earlier, timing }: LiveState,
): LiveJob {
  const kept = earlier.get(job.id);
  const timedAgain = kept !== undefined && isTimed(job) && timing.again;
  const isDone = timedAgain ? kept.sessions.has(timing.session) : hasShare(job, kept?.shares) || (kept?.done ?? false);
  const items = (timedAgain ? kept.itemsIn(timing.session).length : kept?.items.length) ?? 0;
  return {
    job,
    variant,
    column,
    status: "waiting",
    accumulators: new Map(kept?.metrics.map((name) => [name, accumulated(name, variant, kept)])),
    items,
    done: items,
    total: isDone ? items : wantedOf(job, kept?.of),
    unit: unitOf(job),
    pace: {
      from: isDone ? kept?.from : undefined,
      busy: 0,
      seconds: kept?.seconds,
      before: isDone,
      at: 0,
    },
    disturbed: Math.max(0, ...[...(kept?.foreign.values() ?? [])].filter((cores) => cores > foreignLoad)),
    inTurns: false,
    where: new Set(),
  };
}

/** `chunks`, `questions`, `repetitions`: what the measurement itself calls its items once it tells of them. */
function unitOf({ metrics: [name] }: JobRecord): string {
  return name === undefined ? "items" : itemsPer[describe(name).per];
}

/** How many items a job is to have, where its data have `of` and its settings ask for a part of them. */
function wantedOf(
  { settings: { limit, chunks, spread }, share }: JobRecord,
  of: number | undefined,
): number | undefined {
  const wanted = Number(limit ?? chunks ?? spread ?? 0);
  return of === undefined || share !== undefined || !(wanted > 0) ? undefined : Math.min(of, wanted);
}

/** The cell with the status that the plan or an earlier session gives it. */
function judged(state: LiveState, cell: LiveJob): LiveJob {
  const { job, variant } = cell;
  const { failure } = variant;
  const about = { variant: job.variant, measurement: job.measurement };
  if (job.impossible !== undefined) {
    cell.status = "impossible";
    cell.reason = job.impossible;
    note(state, "impossible", job.impossible, about);
  } else if (failure) {
    cell.status = "failed";
    cell.reason = failure.message;
    if (failure.hint) cell.hint = failure.hint;
    note(state, "failed", failure.message, { ...about, hint: failure.hint });
  } else if (cell.pace.before) cell.status = "done";
  return cell;
}

function enter(state: LiveState, cell: LiveJob): LiveJob {
  state.counts[cell.status]++;
  if (cell.status === "done" && cell.pace.before) state.counts.before++;
  state.cells.set(cell.job.id, cell);
  const measurement = state.measurements[cell.column]!;
  for (const name of cell.accumulators.keys()) announce(measurement, name);
  if (cell.total !== undefined) measurement.total = cell.total;
  if (cell.disturbed > 0) noteDisturbed(state, cell);
  return cell;
}

function accumulated(name: string, variant: VariantRecord, kept: JobResult): Accumulator {
  const sums = running(name, vocabularyOf(variant));
  for (const sample of kept.samples(name))
    sums.add({ ...sample, ...definite({ run: kept.clusters?.get(sample.item) }) });
  return { running: sums, count: kept.count(name), figure: undefined, at: -1 };
}

function announce({ metrics }: LiveMeasurement, name: string): void {
  if (!metrics.includes(name)) metrics.push(name);
}

function learn(state: LiveState, cell: LiveJob, total: number): void {
  cell.total = total;
  state.measurements[cell.column]!.total = total;
}

/**
 * The wall time since the last report is the work of the job that reports: true in sequence and in turns. What one decode gives to several
 * variants is reported at one moment, and the work of all of them.
 */
function report(state: LiveState, cell: LiveJob): void {
  const worker = feederOf(state, cell) ?? cell;
  const sharing = worker.job.mode === "together" ? togetherWith(state, worker) : besides(state);
  spend(state, sharing.includes(worker) ? sharing : [worker]);
  if (worker.status === "running") state.current = worker;
}

/** Jobs that run side by side share the wall time equally, so that the times of all add up to that of the run. */
function spend(state: LiveState, cells: LiveJob[]): void {
  const spent = Math.max(0, state.now - state.reportedAt);
  for (const { pace } of cells) {
    pace.busy += spent / cells.length;
    pace.at = state.now;
  }
  state.reportedAt = state.now;
}

/** Jobs that run side by side, each by itself. */
export const besides = (state: LiveState) =>
  [...state.active].filter((cell) => cell.job.mode === "alone" && feederOf(state, cell) === undefined);

const togetherWith = ({ active }: LiveState, { column }: LiveJob) =>
  [...active].filter((cell) => cell.column === column && cell.job.mode === "together");

/** Whether the plan has the decode of a comparison feed it, so that it costs no time of its own. */
const isFed = ({ job }: LiveJob) => job.mode === "alone" && job.estimate === 0;

/** The running comparison of the same variant whose decode feeds a job. */
export function feederOf({ active }: LiveState, cell: LiveJob): LiveJob | undefined {
  if (!isFed(cell)) return undefined;
  const { variant, askedSha256 } = cell.job;
  return [...active].find(
    ({ job }) => job.mode === "together" && job.variant === variant && job.askedSha256 === askedSha256,
  );
}

/** Whether its time is another job's: it is fed now, or will be. */
export const costsNothing = (state: LiveState, cell: LiveJob): boolean =>
  isFed(cell) && (cell.status !== "running" || feederOf(state, cell) !== undefined);

function turn(state: LiveState, cell: LiveJob, status: Status): void {
  state.counts[cell.status]--;
  state.counts[status]++;
  cell.status = status;
  if (status === "running") {
    state.active.add(cell);
    return;
  }
  state.active.delete(cell);
  if (state.current === cell) state.current = undefined;
}

function note(
  state: LiveState,
  kind: LiveNote["kind"],
  message: string,
  about: { variant?: string | undefined; measurement?: string | undefined; hint?: string | undefined },
): void {
  // The reason why a cell is impossible lies in the backend, so one line stands for all variants.
  const key = `${kind}\n${kind === "impossible" ? "" : (about.variant ?? "")}\n${message}`;
  const known = state.notes.get(key);
  if (known) {
    // A variant that cannot be read fails once in the plan and once more when its turn comes.
    if (kind === "failed" && about.measurement !== undefined && known.measurements.includes(about.measurement)) return;
    known.count++;
    if (known.variant !== about.variant) delete known.variant;
    if (about.measurement !== undefined && !known.measurements.includes(about.measurement))
      known.measurements.push(about.measurement);
    return;
  }
  const fresh: LiveNote = { kind, message, count: 1, measurements: [] };
  if (about.variant !== undefined) fresh.variant = about.variant;
  if (about.measurement !== undefined) fresh.measurements.push(about.measurement);
  if (about.hint !== undefined) fresh.hint = about.hint;
  state.notes.set(key, fresh);
  if (state.notes.size > keptNotes) state.notes.delete(state.notes.keys().next().value!);
}

/** Once, however many repetitions of however many variants it concerns. */
function noteDisturbed(state: LiveState, { job: { measurement } }: LiveJob): void {
  const message = "other processes computed while this was timed; figures may be too low";
  const isTold = [...state.notes.values()].some(
    (one) => one.message === message && one.measurements.includes(measurement),
  );
  if (!isTold) note(state, "note", message, { measurement });
}

/** A metric from the samples so far; undefined if there are none. */
export function figure(cell: LiveJob, name: string): LiveFigure | undefined {
  const accumulator = cell.accumulators.get(name);
  if (!accumulator) return undefined;
  if (accumulator.at !== accumulator.count) {
    const { value, error, broken } = accumulator.running.summary();
    const n = accumulator.count;
    accumulator.figure =
      broken === undefined ? { value, error, n } : { value: Number.NaN, error: undefined, n, broken };
    accumulator.at = accumulator.count;
  }
  return accumulator.figure;
}

/** Share of the job that is done, 0 … 1; undefined while its length is unknown. */
export function share(state: LiveState, cell: LiveJob): number | undefined {
  if (cell.status === "done") return 1;
  const total = cell.total ?? state.measurements[cell.column]!.total;
  return total === undefined ? undefined : Math.min(1, cell.done / total);
}

/** Share of the whole run: what is done of each job that can be measured, every job counted alike. */
export function totalShare(state: LiveState): number {
  let jobs = 0;
  let sum = 0;
  for (const cell of state.cells.values()) {
    if (cell.status === "impossible") continue;
    jobs++;
    sum += cell.status === "failed" ? 1 : (share(state, cell) ?? 0);
  }
  return jobs === 0 ? 0 : sum / jobs;
}
