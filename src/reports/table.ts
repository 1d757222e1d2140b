import { BenchError, type Failure } from "../errors.js";
import type { JobRecord, Sample, StoredEvent, VariantRecord } from "../events.js";
import { harmless, several } from "../harmless.js";
import { comparability } from "../judge/index.js";
import { metric as describe, type Metric } from "../metrics.js";
import { brokenModel, seriesFrom, vocabularyOf } from "../stats/series.js";
import { type Summary, summarize } from "../stats/summary.js";
import { counted } from "../units.js";

export type Started = Extract<StoredEvent, { type: "started" }>;
export type Opened = Extract<StoredEvent, { type: "opened" }>;

/** What is known of one variant × measurement × metric. */
export type Cell =
  | {
      state: "measured";
      summary: Summary;
      notes: Note[];
      /** Memory of several models at once. */
      together?: true;
      /** A figure per token, of another tokenizer than the reference's. */
      foreign?: boolean;
      /** The reference's distance from itself: the noise floor, no figure of the variant. */
      floor?: boolean;
    }
  | { state: "failed"; failure: Failure }
  | { state: "impossible"; reason: string }
  /** Begun or waiting; `n` items are there so far. A figure over some of the items is no figure of the whole. */
  | { state: "unfinished"; n: number }
  /** Nobody asked for it. */
  | { state: "absent" };

/** What a reader of a figure should know, one sentence. Sentences that differ in their numbers alone are told as one. */
export interface Note {
  text: string;
  /** Instead of a number, for what concerns many figures. */
  mark?: string;
  /** The same with the circumstances of this one figure, for run.json. */
  detail?: string;
}

export interface Column {
  /** The name in the benchmark file; `model` for facts of the file itself, empty where measurements are joined. */
  measurement: string;
  dataset: string;
  metric: Metric;
  /** Unique in the table: the metric's name, with the measurement's before it where several give that metric. */
  name: string;
}

export interface Row {
  variant: VariantRecord;
  /** One cell per column. */
  cells: Cell[];
}

/** Everything that reports are made of, from the event list alone. */
export interface Table {
  /** The plan that counts: the last one. */
  started: Started;
  /** One per time the command ran. */
  sessions: { at: number; command: string[]; outcome: "complete" | "stopped" | "cut off" }[];
  /** By variant, as last opened. */
  engines: Map<string, Opened["engine"]>;
  columns: Column[];
  rows: Row[];
  /** Sentences about the whole run. */
  notes: string[];
}

/** The measurement under which facts of the model file stand. */
export const modelFacts = "model";
/** CPU cores that others used during a repetition, from where on speed suffers visibly. */
const foreignLoad = 0.1;

type Item = {
  item: string;
  samples: Sample[];
  foreign: number;
  /** Models that the process held at once, of a peak of memory. */
  models: number;
  /** What it hangs together with: a document, a subject. */
  cluster: string | undefined;
  /** Why this question was not asked. */
  unanswerable?: string;
  /** Whether its options were scored without a shared prefix. */
  alone: boolean;
};
interface JobState {
  record: JobRecord;
  /** By item: should an item have been measured twice, the later one counts. */
  items: Map<string, Item>;
  failure: Failure | undefined;
  done: boolean;
}

/**
 * Folds the event list into the grid. Several sessions append to one list: the last `started` event says which
 * variants and jobs count, whichever session measured them.
 */
export function tableFrom(events: Iterable<StoredEvent>): Table {
  const list = [...events];
  const started = list.findLast((event) => event.type === "started");
  if (!started)
    throw new BenchError("nothing-run", "This run holds no measurement yet.", {
      hint: "Start it with `gguf-bench run`.",
    });
  const jobs = jobStates(started, list);
  const foreign = foreignTokenizers(list);
  const engines = new Map(list.flatMap((event) => (event.type === "opened" ? [[event.variant, event.engine]] : [])));
  const columns = columnsOf(started, jobs);
  return {
    started,
    sessions: sessionsOf(list),
    engines,
    columns,
    rows: started.variants.map((variant) => ({
      variant,
      cells: columns.map((column) =>
        column.measurement === modelFacts
          ? factCell(variant, column.metric.name, engines)
          : jobCell(jobs.get(cellKey(variant.name, column.measurement)), column.metric, variant, foreign),
      ),
    })),
    notes: notesOf(started, list, jobs),
  };
}

const cellKey = (variant: string, measurement: string) => JSON.stringify([variant, measurement]);

/** By variant and measurement. Variants that are alike but for their names share a job id, and so its samples. */
function jobStates(started: Started, events: StoredEvent[]): Map<string, JobState> {
  const byId = new Map(started.jobs.map(({ id }) => [id, emptyState()]));
  for (const event of events) {
    const job = "job" in event && event.job !== undefined ? byId.get(event.job) : undefined;
    if (!job) continue;
    switch (event.type) {
      case "samples":
        job.items.set(event.item, {
          item: event.item,
          samples: event.samples,
          foreign: event.foreign ?? 0,
          models: event.models ?? 1,
          alone: event.alone === true,
          ...(event.unanswerable === undefined ? {} : { unanswerable: event.unanswerable }),
          cluster: event.cluster,
        });
        break;
      case "job-started":
        job.failure = undefined;
        break;
      case "job-failed":
        job.failure = event.failure;
        break;
      case "job-done":
        job.done = true;
        break;
    }
  }
  const broken = new Map(started.variants.map(({ name, failure }) => [name, failure]));
  return new Map(
    started.jobs.map((record) => {
      const state = byId.get(record.id)!;
      const failure = state.failure ?? broken.get(record.variant);
      return [cellKey(record.variant, record.measurement), { record, ...state, failure }];
    }),
  );
}

const emptyState = (): Omit<JobState, "record"> => ({ items: new Map(), failure: undefined, done: false });

function sessionsOf(events: StoredEvent[]): Table["sessions"] {
  const sessions: Table["sessions"] = [];
  for (const event of events) {
    if (event.type === "started")
      sessions.push({ at: event.at, command: event.provenance.command, outcome: "cut off" });
    const session = sessions.at(-1);
    if (event.type === "finished" && session) session.outcome = event.outcome;
  }
  return sessions;
}

/** Facts of the file, the measurements in the order of the plan, memory and load time last. */
function columnsOf(started: Started, jobs: Map<string, JobState>): Column[] {
  const names = new Set([
    ...started.measurements.map(({ name }) => name),
    ...started.jobs.map(({ measurement }) => measurement),
  ]);
  const measured = [...names].flatMap((measurement) => {
    const of = [...jobs.values()].filter(({ record }) => record.measurement === measurement);
    const announced = of.flatMap(({ record }) => record.metrics);
    const found = of.flatMap(({ items }) => [...items.values()].flatMap(({ samples }) => samples.map((s) => s.metric)));
    const dataset = of[0]?.record.dataset ?? "";
    return [...new Set([...announced, ...found.sort()])].map((name) => ({
      measurement,
      dataset,
      metric: describe(name),
    }));
  });
  const fact = (name: string) => ({ measurement: modelFacts, dataset: "", metric: describe(name) });
  const isMemory = ({ metric }: { metric: Metric }) => metric.name === "peak_memory";
  const all = [
    ...["size", "bpw", "parameters"].map(fact),
    ...measured.filter((column) => !isMemory(column)),
    ...measured.filter(isMemory),
    fact("load_time"),
  ];
  return all.map((column) => {
    const shared = all.filter(({ metric }) => metric.name === column.metric.name).length > 1;
    return { ...column, name: shared ? `${column.measurement}.${column.metric.name}` : column.metric.name };
  });
}

function factCell(variant: VariantRecord, name: string, engines: Table["engines"]): Cell {
  const value = {
    size: variant.facts?.bytes,
    bpw: variant.facts?.bpw,
    parameters: variant.facts?.parameters,
    load_time: engines.get(variant.name)?.loadSeconds,
  }[name];
  if (value === undefined) return variant.failure ? { state: "failed", failure: variant.failure } : { state: "absent" };
  return {
    state: "measured",
    summary: summarize(name, [{ item: variant.name, value, weight: 1 }]),
    notes: [],
  };
}

function jobCell(
  job: JobState | undefined,
  metric: Metric,
  variant: VariantRecord,
  foreign: ReturnType<typeof foreignTokenizers>,
): Cell {
  if (job?.record.impossible !== undefined) return { state: "impossible", reason: job.record.impossible };
  const items = [...(job?.items.values() ?? [])].filter(({ samples }) => samples.some((s) => s.metric === metric.name));
  if (job?.done) {
    const unasked = unaskedNote(metric, [...job.items.values()]);
    const together = togetherNote(metric, items);
    if (items.length === 0 && unasked) return { state: "impossible", reason: unasked.text };
    if (items.length === 0 && !countsUnasked(metric, job)) return { state: "absent" };
    const samples = items.flatMap(({ item, samples }) =>
      samples.filter((sample) => sample.metric === metric.name).map((sample) => ({ ...sample, item })),
    );
    const clusters = new Map(
      items.flatMap(({ item, cluster }) => (cluster === undefined ? [] : [[item, cluster] as const])),
    );
    const measured = summarize(metric.name, samples, clusters.size > 0 ? { clusters } : {});
    const summary = believable(measured, metric.name === "peak_memory" ? undefined : brokenJob(job, variant));
    const { measurement, against } = job.record;
    const other = metric.name === "perplexity" ? foreign.get(cellKey(variant.name, measurement)) : undefined;
    return {
      state: "measured",
      summary,
      notes: [
        ...(other ? [other] : []),
        ...summary.warnings.map((text) => ({ text })),
        ...(unasked ? [unasked] : []),
        ...aloneNote(metric, items),
        ...loadNote(metric, items),
        ...together,
      ],
      ...(other ? { foreign: true } : {}),
      ...(together.length > 0 ? { together: true } : {}),
      ...(against === variant.name && metric.name !== "peak_memory" ? { floor: true } : {}),
    };
  }
  const failure = job ? job.failure : variant.failure;
  if (failure) return { state: "failed", failure };
  return job ? { state: "unfinished", n: items.length } : { state: "absent" };
}

const isAccuracy = ({ name }: Metric) => name.startsWith("acc");
/** Of no question is said that it was asked: their number is 0. */
const countsUnasked = ({ name }: Metric, { record }: JobState) => name === "unanswerable" && record.kind === "choice";
/** From this share of the questions on, a figure is not one of the task. */
const manyUnasked = 0.01;

/** What an accuracy does not cover. The longest reason stands for all: the others differ in their numbers. */
function unaskedNote(metric: Metric, items: Item[]): Note | undefined {
  const reasons = items.flatMap(({ unanswerable }) => unanswerable ?? []);
  if (!isAccuracy(metric) || reasons.length === 0) return undefined;
  if (reasons.length === items.length) return { text: `no question could be asked: ${reasons[0]}` };
  const share = reasons.length / items.length;
  const count = `${reasons.length} of ${items.length} questions could not be asked (the first: ${reasons[0]})`;
  return share > manyUnasked
    ? { mark: "‡", text: `NOT THE WHOLE TASK: ${count}; the figure is over the others alone` }
    : { text: `${count}; the figure is over the others` };
}

function aloneNote(metric: Metric, items: Item[]): Note[] {
  if (!isAccuracy(metric) || !items.some(({ alone }) => alone)) return [];
  return [{ text: "each option was decoded by itself: this architecture cannot share a question between them" }];
}

/** Why a job's figures must not be believed, all of them: what tells is its perplexity. */
function brokenJob({ items }: JobState, variant: VariantRecord): string | undefined {
  const samples = [...items.values()].flatMap((item) => item.samples);
  return brokenModel(
    samples.filter(({ metric }) => metric === "perplexity"),
    vocabularyOf(variant),
  );
}

/** What is no number is no figure, whoever computed it. */
function believable(summary: Summary, broken?: string): Summary {
  if (broken !== undefined) return { ...summary, broken, warnings: [] };
  if (summary.broken !== undefined || Number.isFinite(summary.value)) return summary;
  const [why = "it is not a number", ...warnings] = summary.warnings;
  return { ...summary, broken: why, warnings };
}

/** The figure of a cell that has one to believe. */
export function figureIn(cell: Cell | undefined): Summary | undefined {
  return cell?.state === "measured" && cell.summary.broken === undefined ? cell.summary : undefined;
}

function loadNote(metric: Metric, items: Item[]): Note[] {
  if (metric.aggregation !== "rate") return [];
  const disturbed = items.filter(({ foreign }) => foreign > foreignLoad);
  if (disturbed.length === 0) return [];
  const most = Math.max(...disturbed.map(({ foreign }) => foreign));
  const cores = most.toFixed(1);
  return [
    {
      mark: "†",
      text: `other processes used ${cores} CPU cores while this was timed; figures may be too low`,
      detail: `other processes used up to ${cores} CPU cores during ${disturbed.length} of ${counted(items.length, "repetition")}: the figure may be too low`,
    },
  ];
}

/**
 * By variant and measurement: what to say of a perplexity whose tokens are not the reference's (or the first variant's, where
 * there is no reference), with the bits per byte that can be compared.
 */
function foreignTokenizers(events: StoredEvent[]): Map<string, Note> {
  const series = seriesFrom(events).filter(({ observations }) => observations.has("perplexity"));
  const notes = new Map<string, Note>();
  for (const measurement of new Set(series.map(({ job }) => job.measurement))) {
    const of = series.filter(({ job }) => job.measurement === measurement);
    const base = of.find(({ variant }) => variant.reference) ?? of[0]!;
    for (const one of of) {
      const { instead } = comparability("perplexity", base, one);
      if (instead === undefined) continue;
      const [own, theirs] = [one, base].map(({ observations }) => {
        const found = observations.get(instead);
        return found ? summarize(instead, found).value.toFixed(describe(instead).digits - 1) : "?";
      });
      notes.set(cellKey(one.variant.name, measurement), {
        text: `other tokenizer than that of ${base.variant.name}: compare ${describe(instead).label} (${own}, there ${theirs})`,
      });
    }
  }
  return notes;
}

function togetherNote(metric: Metric, items: Item[]): Note[] {
  const [one] = items;
  if (metric.name !== "peak_memory" || !one || one.models <= 1) return [];
  return [{ text: `${one.models} models were in memory at once: the figure is that of all of them` }];
}

function notesOf(started: Started, events: StoredEvent[], jobs: Map<string, JobState>): string[] {
  const possible = [...jobs.values()].filter(({ record }) => record.impossible === undefined);
  const open = possible.filter(({ done, failure }) => !done && !failure);
  const variants = new Set(started.variants.map(({ name }) => name));
  const ids = new Set(started.jobs.map(({ id }) => id));
  const warned = new Map<string, Set<string>>();
  for (const event of events) {
    if (event.type !== "warning") continue;
    if (event.variant !== undefined && !variants.has(event.variant)) continue;
    if (event.job !== undefined && !ids.has(event.job)) continue;
    const of = warned.get(event.message) ?? new Set();
    warned.set(event.message, event.variant === undefined ? of : of.add(event.variant));
  }
  const warnings = Array.from(warned, ([message, of]) => {
    if (of.size === 0) return message;
    return `${of.size > 2 && of.size === variants.size ? "All variants" : several([...of])}: ${message}`;
  });
  return [
    ...(open.length > 0
      ? [
          `${open.length} of ${counted(possible.length, "job")} ${open.length === 1 ? "is" : "are"} not finished: the same command continues where it stopped`,
        ]
      : []),
    ...new Set([
      ...started.provenance.datasets.flatMap(({ name, note }) => (note === undefined ? [] : [`${name}: ${note}`])),
      ...warnings,
    ]),
  ];
}

/**
 * The same table with one column of peak memory, the largest over the measurements: what one row per variant wants to
 * say is how much memory the variant takes.
 */
export function joinMemory(table: Table): Table {
  const isMemory = ({ metric }: Column) => metric.name === "peak_memory";
  const at = table.columns.findIndex(isMemory);
  if (at < 0) return table;
  const only = table.columns.filter(isMemory).length === 1;
  const joined: Column = only
    ? table.columns[at]!
    : { measurement: "", dataset: "", metric: describe("peak_memory"), name: "peak_memory" };
  const keep = (_: unknown, index: number) => index === at || !isMemory(table.columns[index]!);
  return {
    ...table,
    columns: table.columns.with(at, joined).filter(keep),
    rows: table.rows.map((row) => ({
      ...row,
      cells: row.cells.with(at, largest(row.cells.filter((_, index) => isMemory(table.columns[index]!)))).filter(keep),
    })),
  };
}

/** Cells of failed jobs beside measured ones do not hide the memory that was measured. */
function largest(cells: Cell[]): Cell {
  const measured = cells.filter((cell) => cell.state === "measured");
  // What the variant took by itself says more than what it took beside others.
  const [most] = measured.toSorted(
    (a, b) => Number(a.together ?? false) - Number(b.together ?? false) || b.summary.value - a.summary.value,
  );
  return most ?? cells[0] ?? { state: "absent" };
}

/** Why a cell has no figure, in words on one line; undefined for cells that have one or need none. */
export function absence(cell: Cell): string | undefined {
  switch (cell.state) {
    case "failed":
      return `failed: ${harmless(cell.failure.message)}`;
    case "impossible":
      return `not possible: ${harmless(cell.reason)}`;
    case "measured":
      return cell.summary.broken === undefined ? undefined : `broken: ${harmless(cell.summary.broken)}`;
    case "unfinished":
      return `unfinished: ${counted(cell.n, "item")} so far`;
    default:
      return undefined;
  }
}
