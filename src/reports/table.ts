import type { EngineFacts } from "../backends/backend.js";
import { definite } from "../definite.js";
import type { Failure } from "../errors.js";
import { type JobRecord, notesOfData, type Started, type VariantRecord } from "../events.js";
import { harmless, several } from "../harmless.js";
import { comparability, comparedIn, type Dependences, dependencesOf } from "../judge/index.js";
import {
  countsCutOff,
  countsLeftOut,
  countsUnread,
  metric as describe,
  isChange,
  isPeak,
  isQuality,
  isTally,
  leadsAmong,
  type Metric,
  soundness,
  variantMetrics,
} from "../metrics.js";

import {
  hasShare,
  type JobResult,
  missingOf,
  partTold,
  planOf,
  type Run,
  type Session,
  timingOf,
} from "../replay/index.js";
import { constantIn, habitOf, warningsOf } from "../stats/answers.js";
import { besideChance, chanceOf } from "../stats/chance.js";
import { macroMean } from "../stats/macro.js";
import { foreignLoad, type Series, seriesFrom } from "../stats/series.js";
import { type Summary, summarize } from "../stats/summary.js";
import { counted, percent } from "../units.js";
import { workerNotes } from "./workers.js";

/** The state of one variant × measurement × metric. */
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
      /** `not shown to be above chance: 25 %`, `below chance: 25 %`. */
      guessed?: string;
      /** A speed that was timed while other processes computed. */
      disturbed?: true;
    }
  | { state: "failed"; failure: Failure }
  | { state: "impossible"; reason: string }
  /**
   * Begun or waiting; `n` items are there so far. A figure over some of the items is no figure of the whole, but of a speed, whose
   * repetitions are all of the same: `part`.
   */
  | { state: "unfinished"; n: number; part?: PartialSpeed }
  /** Nobody asked for it. */
  | { state: "absent" };

/** What there is of an unfinished speed. */
export interface PartialSpeed {
  summary: Summary;
  notes: Note[];
}

/** A note for the reader of a figure, one sentence. Sentences that differ in their numbers alone are told as one. */
export interface Note {
  text: string;
  /** Instead of a number, for what concerns many figures. */
  mark?: string;
  /** Its numbers belong together, as `the first 8 of 38`: it is not told as one with a note of other numbers. */
  exact?: true;
  /** What it is about, where the mark alone would not tell which of several notes is meant. */
  of?: NotedCells;
  /** The same with the circumstances of this one figure, for run.json. */
  detail?: string;
}

/** The cells that a note is about: a variant's, a measurement's, or one of both. */
export type NotedCells = { variant: string; measurement?: string } | { measurement: string };

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

/** Everything that reports are made of, from the run alone. */
export interface Table {
  /** The plan that counts: the last one. */
  started: Started;
  /** One per time the command ran. */
  sessions: Session[];
  /** By variant, as last opened. */
  engines: Map<string, EngineFacts>;
  columns: Column[];
  rows: Row[];
  /** Sentences about the whole run. */
  notes: string[];
}

/** The measurement under which facts of the model file stand. */
export const modelFacts = "model";

/** A cell of the plan, and what the run holds of it. Variants that are alike but for their names share a result. */
interface Planned {
  record: JobRecord;
  result: JobResult;
}

/** The grid of the last plan, whichever session measured it. */
export function tableFrom(run: Run): Table {
  const { engines, sessions } = run;
  const plan = planOf(run);
  const jobs = new Map(
    plan.jobs.map((record) => [
      cellKey(record.variant, record.measurement),
      { record, result: run.jobs.get(record.id)! },
    ]),
  );
  const series = seriesFrom(run);
  const foreign = foreignTokenizers(series);
  const broken = new Map(
    series.flatMap(({ variant, job, broken }) =>
      broken === undefined ? [] : [[cellKey(variant.name, job.measurement), broken] as const],
    ),
  );
  const dependences = dependencesOf(comparedIn(series), false);
  const columns = columnsOf(plan, jobs);
  const parts = partsOf(plan);
  const cellOf = (variant: VariantRecord, { measurement, metric }: Pick<Column, "measurement" | "metric">): Cell => {
    if (measurement === modelFacts) return factCell(variant, metric, engines);
    const several = parts.get(measurement);
    if (several) {
      const { names, bySize } = several;
      const cells = names.map((part) => ({
        cell: cellOf(variant, { measurement: part, metric }),
        record: jobs.get(cellKey(variant.name, part))?.record,
      }));
      return meanCell(cells, metric, { measurement, bySize });
    }
    return jobCell(jobs.get(cellKey(variant.name, measurement)), metric, variant, { foreign, broken, dependences });
  };
  return {
    started: plan,
    sessions,
    engines,
    columns,
    rows: plan.variants.map((variant) => ({ variant, cells: columns.map((column) => cellOf(variant, column)) })),
    notes: notesOf(plan, run, jobs),
  };
}

/** By the entry of the benchmark file that names several data: its measurements, one of each. */
function partsOf({ measurements }: Started): Map<string, { names: string[]; bySize: boolean }> {
  const parts = new Map<string, { names: string[]; bySize: boolean }>();
  for (const { name, group, bySize = false } of measurements)
    if (group !== undefined) parts.set(group, { names: [...(parts.get(group)?.names ?? []), name], bySize });
  return parts;
}

/** The mean over several data; where one of them has no figure, there is none. */
function meanCell(
  parts: { cell: Cell; record: JobRecord | undefined }[],
  metric: Metric,
  { measurement, bySize }: { measurement: string; bySize: boolean },
): Cell {
  const missing = parts.find(({ cell }) => cell.state !== "measured");
  if (missing) return missing.cell;
  const found = parts.flatMap(({ cell, record }) =>
    cell.state === "measured" && !cell.floor ? [{ summary: cell.summary, record }] : [],
  );
  const [first, ...others] = found.map(({ summary }) => summary);
  if (!first || found.length < parts.length) return { state: "absent" };
  const summary = macroMean([first, ...others], { bySize });
  // What guessing gives on each counts as its figure does.
  const weights = found.map(({ summary: { n } }) => (bySize ? n / summary.n : 1 / found.length));
  const chance = found.reduce((sum, { record }, i) => {
    const own = record && chanceOf(record, metric.name);
    return sum + weights[i]! * (own ?? Number.NaN);
  }, 0);
  const guessed = Number.isNaN(chance) ? undefined : guessedIn(measurement, chance, summary);
  const how = bySize ? "each counts by its questions" : "each counts alike";
  const text = `the mean over ${found.length} sets of data, of which ${how}; the interval is for other pieces of the same data`;
  return {
    ...{ state: "measured", summary, notes: [...(guessed ? [guessed.note] : []), { text }] },
    ...definite({ guessed: guessed?.status }),
  };
}

const cellKey = (variant: string, measurement: string) => JSON.stringify([variant, measurement]);

/** Facts of the file, the measurements in the order of the plan, memory and load time last. */
function columnsOf(started: Started, jobs: Map<string, Planned>): Column[] {
  const names = new Set([
    ...started.measurements.map(({ name }) => name),
    ...started.jobs.map(({ measurement }) => measurement),
  ]);
  const parts = partsOf(started);
  const groups = new Map(
    [...parts].flatMap(([group, { names }]) => names.map((part) => [part, { group, last: names.at(-1) }])),
  );
  const single = (measurement: string) => {
    const of = [...jobs.values()].filter(({ record }) => record.measurement === measurement);
    const announced = of.flatMap(({ record }) => record.metrics);
    const found = of.flatMap(({ result }) => result.metrics);
    const dataset = of[0]?.record.dataset ?? "";
    return [...new Set([...announced, ...found.sort()])].map((name) => ({
      measurement,
      dataset,
      metric: describe(name),
    }));
  };
  const measured = [...names].flatMap((measurement) => {
    const own = single(measurement);
    const { group, last } = groups.get(measurement) ?? {};
    if (group === undefined || last !== measurement) return own;
    const what = own.some(({ metric }) => isOfQuestions(metric)) ? "tasks" : "texts";
    const dataset = `mean of ${parts.get(group)!.names.length} ${what}`;
    return [
      ...own,
      ...own.flatMap(({ metric }) => (isQuality(metric) ? [{ measurement: group, dataset, metric }] : [])),
    ];
  });
  const fact = (metric: Metric) => ({ measurement: modelFacts, dataset: "", metric });
  const all = [
    ...variantMetrics.filter((metric) => metric.fact !== undefined).map(fact),
    ...measured.filter(({ metric }) => !isPeak(metric)),
    ...measured.filter(({ metric }) => isPeak(metric)),
    ...variantMetrics.filter((metric) => metric.opened !== undefined).map(fact),
  ];
  return all.map((column) => {
    const shared = all.filter(({ metric }) => metric.name === column.metric.name).length > 1;
    return { ...column, name: shared ? `${column.measurement}.${column.metric.name}` : column.metric.name };
  });
}

function factCell(variant: VariantRecord, { name, fact, opened }: Metric, engines: Table["engines"]): Cell {
  const value = fact ? variant.facts?.[fact] : opened && engines.get(variant.name)?.[opened];
  if (value === undefined) return variant.failure ? { state: "failed", failure: variant.failure } : { state: "absent" };
  return {
    state: "measured",
    summary: summarize(name, [{ item: variant.name, value, weight: 1 }]),
    notes: opened ? sharedNote(engines.get(variant.name)) : [],
  };
}

function sharedNote(engine: EngineFacts | undefined): Note[] {
  const first = engine?.loadedFor;
  return first === undefined ? [] : [{ text: `loaded once with ${first}: the time is that of the weights they share` }];
}

function jobCell(
  job: Planned | undefined,
  metric: Metric,
  variant: VariantRecord,
  {
    foreign,
    broken,
    dependences,
  }: { foreign: ReturnType<typeof foreignTokenizers>; broken: Map<string, string>; dependences: Dependences },
): Cell {
  if (!job) return variant.failure ? { state: "failed", failure: variant.failure } : { state: "absent" };
  const { record, result } = job;
  if (result.state === "impossible") return { state: "impossible", reason: record.impossible! };
  if (result.state === "failed") return { state: "failed", failure: result.failure! };
  const n = result.count(metric.name);
  if (result.state !== "done") return { state: "unfinished", n, ...definite({ part: partOf(metric, result) }) };
  const unasked = unaskedNote(metric, record, result);
  if (n === 0 && unasked) return { state: "impossible", reason: unasked.text };
  if (n === 0 && !countsItems(metric, record)) return { state: "absent" };
  const { clusters, engine } = result;
  const dependence = isChange(metric) ? dependences(record.measurement, metric.name) : undefined;
  const measured = summarize(
    metric.name,
    result.samples(metric.name),
    definite({ clusters, dependence, rounding: engine?.rounding }),
  );
  const fault = metric.beside ? undefined : broken.get(cellKey(variant.name, record.measurement));
  const summary = believable(measured, fault);
  const other = metric.name === soundness ? foreign.get(cellKey(variant.name, record.measurement)) : undefined;
  const together = togetherNote(metric, result);
  const loaded = loadNote(metric, result);
  const chance = fault === undefined ? chanceOf(record, metric.name) : undefined;
  const guessed = chance === undefined ? undefined : guessedIn(record.measurement, chance, summary);
  return {
    state: "measured",
    summary,
    notes: [
      ...(other ? [other] : []),
      ...(guessed ? [guessed.note] : []),
      ...summary.warnings.map((text) => ({ text })),
      ...driftNote(summary, record),
      ...partNote(metric, record, result),
      ...(unasked ? [unasked] : []),
      ...unreadNote(metric, record, result),
      ...cutOffNote(metric, record, result),
      ...habitNotes(metric, record, result, guessed === undefined ? summary : undefined),
      ...averageNote(metric, record, result),
      ...aloneNote(metric, result),
      ...methodNote(metric, record, variant),
      ...loaded,
      ...together,
    ],
    ...(other ? { foreign: true } : {}),
    ...definite({ guessed: guessed?.status }),
    ...(together.length > 0 ? { together: true } : {}),
    ...(loaded.length > 0 ? { disturbed: true } : {}),
    ...(record.against === variant.name && !isPeak(metric) ? { floor: true } : {}),
  };
}

const isOfQuestions = (metric: Metric) => metric.per === "question" && !isTally(metric);
/** Where nothing was left out, or came of what is counted, its number is 0. */
const countsItems = (metric: Metric, { metrics }: JobRecord) =>
  metrics.includes(metric.name)
    ? isTally(metric)
    : countsLeftOut(metric) && metrics.some((name) => isOfQuestions(describe(name)));
const cellIn = ({ variant, measurement }: JobRecord): NotedCells => ({ variant, measurement });
/** From this share of the questions on, a figure is not one of the task. */
const manyUnasked = 0.01;

/** What a figure over a part of the data speaks for. */
function partNote({ name, per }: Metric, record: JobRecord, { items, of, clusters }: JobResult): Note[] {
  const { metrics, settings, variant, against } = record;
  // The noise floor is no figure of the text.
  if (of === undefined || against === variant || !leadsAmong(name, metrics)) return [];
  const n = items.length;
  const { chunks, spread } = settings;
  const wanted = Number(chunks ?? spread ?? 0);
  if (wanted > of) return [{ text: `the text has ${counted(of, "chunk")}, not ${wanted}` }];
  if (n >= of) return [];
  if (spread !== undefined) return [{ text: `${n} of ${of} chunks, drawn from all over the text`, exact: true }];
  if (per === "token" || per === "text")
    return [
      {
        text: `the first ${n} of ${of} chunks: they speak for the beginning of the text; spread: ${n} speaks for all of it`,
        exact: true,
      },
    ];
  if (per !== "question") return [];
  const bySubject = clusters && [...clusters].every(([item, subject]) => item.startsWith(`${subject}/`));
  const text = bySubject ? `${n} of ${of} questions, the first of each subject` : `the first ${n} of ${of} questions`;
  return [{ text, exact: true }];
}

/** The questions that an accuracy leaves out. One reason stands for all: the others differ in their numbers. */
function unaskedNote(metric: Metric, record: JobRecord, { unanswerable, items }: JobResult): Note | undefined {
  const [first] = unanswerable.values();
  if (!isOfQuestions(metric) || first === undefined) return undefined;
  if (unanswerable.size === items.length) return { text: `no question could be asked: ${first}` };
  const share = unanswerable.size / items.length;
  const count = `${unanswerable.size} of ${items.length} questions could not be asked (the first: ${first})`;
  return share > manyUnasked
    ? { mark: "‡", text: `NOT THE WHOLE TASK: ${count}; the figure is over the others alone`, of: cellIn(record) }
    : { text: `${count}; the figure is over the others` };
}

/** From this share of the answers on, an accuracy tells of their form rather than of what the model knows. */
const manyUnread = 0.1;

/** The answers that the leading figure counts as wrong because nothing was found in them to score. */
function unreadNote(metric: Metric, record: JobRecord, result: JobResult): Note[] {
  const { metrics } = record;
  const counter = metrics.find((name) => countsUnread(describe(name)));
  // The others may read an answer in another way.
  if (counter === undefined || !isOfQuestions(metric) || !leadsAmong(metric.name, metrics)) return [];
  const [unread, all] = [result.count(counter), result.count(metric.name)];
  if (unread <= manyUnread * all) return [];
  const text = `in ${unread} of ${all} answers nothing was found to score; they count as wrong`;
  return [{ mark: "§", text, of: cellIn(record) }];
}

/** What to say of a figure that is not shown to be better than guessing. */
function guessedIn(measurement: string, chance: number, summary: Summary): { status: string; note: Note } | undefined {
  const place = besideChance(summary, chance);
  if (place === undefined) return undefined;
  const { mark, status, text } = besides[place];
  return {
    status: `${status}: ${percent(chance)}`,
    note: { mark, text: text.replace("{chance}", percent(chance)), of: { measurement } },
  };
}

const besides = {
  "not above": {
    mark: "°",
    status: "not shown to be above chance",
    text: "not shown to be better than guessing, which gives {chance}: the 95 % interval is not above it",
  },
  below: {
    mark: "↓",
    status: "below chance",
    text: "worse than guessing, which gives {chance}: the 95 % interval lies below it",
  },
};

const leads = (metric: Metric, { metrics }: JobRecord) => isOfQuestions(metric) && leadsAmong(metric.name, metrics);

/** An accuracy may come of a model that always says the same. `above`: the figure, where it is shown to be better than guessing. */
function habitNotes(metric: Metric, record: JobRecord, result: JobResult, above: Summary | undefined): Note[] {
  const habit = leads(metric, record) ? habitOf(result, record) : undefined;
  if (!habit) return [];
  const constant = constantIn(habit);
  const reached =
    above && constant && besideChance(above, constant.share) !== undefined
      ? [`not shown to be better than always answering ${constant.option}, which gives ${percent(constant.share)}`]
      : [];
  return [...warningsOf(habit), ...reached].map((text) => ({ mark: "¶", text, of: cellIn(record) }));
}

function averageNote(metric: Metric, record: JobRecord, { clusters }: JobResult): Note[] {
  if (!leads(metric, record) || !record.task || !clusters) return [];
  const subjects = new Set(clusters.values()).size;
  if (subjects < 2) return [];
  return [{ text: `micro average: all questions of ${subjects} subjects alike; the macro average stands under Tasks` }];
}

/** Chunks from all over a text are a sample of it, whatever drifts there. */
function driftNote({ drifts }: Summary, { settings }: JobRecord): Note[] {
  if (!drifts || settings.spread !== undefined) return [];
  return [
    {
      text: "chunks far from each other are alike, too, so that the interval may be too narrow: take chunks from all over the text (spread: N)",
    },
  ];
}

/** The same of answers without their end. */
function cutOffNote(metric: Metric, record: JobRecord, result: JobResult): Note[] {
  const { metrics } = record;
  const counter = metrics.find((name) => countsCutOff(describe(name)));
  if (counter === undefined || !isOfQuestions(metric)) return [];
  const [cut, all] = [result.count(counter), result.count(metric.name)];
  if (cut <= manyUnread * all) return [];
  const hint = "a larger `maxTokens` lets them end";
  const text = `${cut} of ${all} answers were cut off, and are scored as far as they go: ${hint}`;
  return [{ mark: "‖", text, of: cellIn(record) }];
}

function aloneNote(metric: Metric, { alone }: JobResult): Note[] {
  if (!isOfQuestions(metric) || !alone) return [];
  return [{ text: "each option was decoded by itself: this architecture cannot share a question between them" }];
}

/** How a figure came about that was not measured in the plain way. */
function methodNote(metric: Metric, { method, backend }: JobRecord, variant: VariantRecord): Note[] {
  // Memory is the same whatever is asked of an engine; it is another one's when another backend measured.
  const plain = method === undefined || (isPeak(metric) && backend === variant.backend);
  return plain ? [] : [{ text: `measured ${method}` }];
}

/** A value that is no number is no figure, whoever computed it. */
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

function partOf(metric: Metric, result: JobResult): PartialSpeed | undefined {
  const samples = metric.per === "repetition" ? result.samples(metric.name) : [];
  return samples.length > 0 ? { summary: summarize(metric.name, samples), notes: loadNote(metric, result) } : undefined;
}

function loadNote(metric: Metric, result: JobResult): Note[] {
  if (metric.per !== "repetition") return [];
  const items = result.samples(metric.name).map(({ item }) => result.foreign.get(item) ?? 0);
  const disturbed = items.filter((foreign) => foreign > foreignLoad);
  if (disturbed.length === 0) return [];
  const most = Math.max(...disturbed);
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
function foreignTokenizers(all: Series[]): Map<string, Note> {
  const series = all.filter(({ observations }) => observations.has(soundness));
  const notes = new Map<string, Note>();
  for (const measurement of new Set(series.map(({ job }) => job.measurement))) {
    const of = series.filter(({ job }) => job.measurement === measurement);
    const base = of.find(({ variant }) => variant.reference) ?? of[0]!;
    for (const one of of) {
      const { instead } = comparability(soundness, base, one);
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

function togetherNote(metric: Metric, { memory }: JobResult): Note[] {
  if (!metric.process || !memory || memory.models <= 1) return [];
  return [{ text: `${memory.models} models were in memory at once: the figure is that of all of them` }];
}

/** The end of the note on jobs that are not finished: a run that says it itself leaves it out. */
export const resuming = ": the same command continues where it stopped";

function notesOf(started: Started, run: Run, jobs: Map<string, Planned>): string[] {
  const part = partTold(run);
  const isElsewhere = ({ record, result }: Planned) => part !== undefined && hasShare(record, result.shares);
  const states = [...jobs.values()].filter((job) => !isElsewhere(job)).map(({ result }) => result.state);
  const missing = missingOf(run);
  const possible = states.filter((state) => state !== "impossible");
  const open = possible.filter((state) => state === "waiting" || state === "running");
  const variants = new Set(started.variants.map(({ name }) => name));
  const ids = new Set(started.jobs.map(({ id }) => id));
  const warned = new Map<string, Set<string>>();
  for (const { message, variant, job, worker } of run.warnings) {
    if (worker !== undefined) continue;
    if (variant !== undefined && !variants.has(variant)) continue;
    if (job !== undefined && !ids.has(job)) continue;
    const of = warned.get(message) ?? new Set();
    warned.set(message, variant === undefined ? of : of.add(variant));
  }
  const warnings = Array.from(warned, ([message, of]) => {
    if (of.size === 0) return message;
    return `${of.size > 2 && of.size === variants.size ? "All variants" : several([...of])}: ${message}`;
  });
  return [
    ...(part === undefined
      ? []
      : [`${part} of a run: its figures are whole when \`gguf-bench merge\` has joined all parts`]),
    ...missing,
    ...(open.length > 0 && missing.length === 0
      ? [
          `${open.length} of ${counted(possible.length, "job")} ${open.length === 1 ? "is" : "are"} not finished${resuming}`,
        ]
      : []),
    ...workerNotes(run),
    ...sessionNotes(run, jobs),
    ...new Set([...notesOfData(started.provenance), ...warnings]),
  ];
}

/** What a reader of speeds should know of the sessions in which they were timed. */
function sessionNotes(run: Run, jobs: Map<string, Planned>): string[] {
  const { session } = run.timing;
  const { sessions, open } = timingOf(run);
  const failed = [...jobs.values()].filter(({ result }) => result.done && result.failedIn(session));
  return [
    ...(sessions > 1
      ? [`Speed was timed in ${sessions} sessions; from three on they are the pieces of its intervals`]
      : []),
    ...(open
      ? [`Session ${session} of speed is not finished and does not count yet: the same command continues it`]
      : []),
    ...failed.map(
      ({ record, result }) =>
        `${record.variant}: ${record.measurement} failed in session ${session}, and does without it: ${result.failure!.message}`,
    ),
  ];
}

/**
 * The same table with one column of peak memory, and one of the KV cache, the largest over the measurements: what one row per
 * variant wants to say is how much memory the variant takes.
 */
export function joinMemory(table: Table): Table {
  const names = new Set(table.columns.flatMap(({ metric }) => (isPeak(metric) ? [metric.name] : [])));
  return [...names].reduce(joinColumns, table);
}

function joinColumns(table: Table, name: string): Table {
  const joins = ({ metric }: Column) => metric.name === name;
  const at = table.columns.findIndex(joins);
  const first = table.columns[at]!;
  const { metric } = first;
  const only = table.columns.filter(joins).length === 1;
  const joined: Column = only ? first : { measurement: "", dataset: "", metric, name: metric.name };
  const keep = (_: unknown, index: number) => index === at || !joins(table.columns[index]!);
  return {
    ...table,
    columns: table.columns.with(at, joined).filter(keep),
    rows: table.rows.map((row) => ({
      ...row,
      cells: row.cells.with(at, largest(row.cells.filter((_, index) => joins(table.columns[index]!)))).filter(keep),
    })),
  };
}

/** The same table without columns that say something only where variants differ, if all have the same figure. */
export function withoutAlike(table: Table): Table {
  const tells = (_: unknown, index: number) => {
    if (!table.columns[index]!.metric.whenDiffers) return true;
    const figures = table.rows.flatMap(({ cells }) => figureIn(cells[index])?.value ?? []);
    return new Set(figures).size > 1;
  };
  return {
    ...table,
    columns: table.columns.filter(tells),
    rows: table.rows.map((row) => ({ ...row, cells: row.cells.filter(tells) })),
  };
}

/** The same table without columns that repeat another of their measurement: for ASCII a character is a byte. */
export function withoutTwins(table: Table): Table {
  const figures = (at: number) => table.rows.map(({ cells }) => figureIn(cells[at])?.value);
  const repeats = (at: number, other: number) => {
    const [one, two] = [table.columns[at]!, table.columns[other]!];
    if (one.measurement !== two.measurement || one.metric.per !== "text" || two.metric.per !== "text") return false;
    const [own, theirs] = [figures(at), figures(other)];
    return own.some((value) => value !== undefined) && own.every((value, i) => value === theirs[i]);
  };
  const keep = (_: unknown, at: number) => !table.columns.some((_, other) => other < at && repeats(at, other));
  return {
    ...table,
    columns: table.columns.filter(keep),
    rows: table.rows.map((row) => ({ ...row, cells: row.cells.filter(keep) })),
  };
}

/** Cells of failed jobs beside measured ones do not hide the memory that was measured. */
function largest(cells: Cell[]): Cell {
  const measured = cells.filter((cell) => cell.state === "measured");
  // The memory that the variant took by itself says more than that beside others.
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
