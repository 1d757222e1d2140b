import type { EngineFacts, EngineName } from "../backends/backend.js";
import { definite } from "../definite.js";
import { BenchError, type Failure } from "../errors.js";
import {
  type Instead,
  itemOf,
  type JobRecord,
  memoryItem,
  type SpeedSession,
  type Started,
  type StoredEvent,
  type StoredSamples,
  type TokenInText,
  type TokenPlace,
} from "../events.js";
import { metric as describe } from "../metrics.js";
import { type Share, shareName } from "../share.js";
import { AnswerColumns, type ItemSample, MetricColumn, type OptionAnswer } from "./columns.js";

export type { ItemSample, OptionAnswer } from "./columns.js";
export { missingOf, partTold } from "./missing.js";

/** Tokens in their text that a job keeps. */
const worstKept = 10;

/** One time that the command ran. */
export interface Session {
  /** Milliseconds since the epoch. */
  at: number;
  command: string[];
  outcome: "complete" | "stopped" | "cut off";
}

export interface Warning {
  message: string;
  variant?: string;
  job?: string;
  /** Whom of those that measured it is about. */
  worker?: string;
}

/** All that the events of a run say. Several sessions append to one list, and every reader asks this rather than the list. */
export interface Run {
  sessions: Session[];
  /** The last plan: its variants and jobs count, whichever session measured them. Absent before the first. */
  plan?: Started;
  /** Which shard of its plan was measured last, if it was one. */
  shard?: Share;
  /** By their number, and by part: the shards of the plan that were begun, and what each of them measures of which jobs. */
  shards: Map<number, Map<number, JobRecord[]>>;
  /** The last session of speed. */
  timing: SpeedSession;
  /** By id, those of earlier plans too. Variants that are alike but for their names have their jobs in common. */
  jobs: Map<string, JobResult>;
  /** By variant, as last opened. */
  engines: Map<string, EngineFacts>;
  warnings: Warning[];
}

/** The last plan. Throws a BenchError where there is none: nothing was measured, or the line that says what is gone. */
export function planOf({ plan, jobs }: Run): Started {
  if (plan) {
    const measured = plan.jobs.map((record) => ({ ...record, ...jobs.get(record.id)?.instead }));
    return { ...plan, jobs: measured };
  }
  if (jobs.size === 0)
    throw new BenchError("nothing-run", "This run holds no measurement yet.", {
      hint: "Start it with `gguf-bench run`.",
    });
  throw new BenchError("run-damaged", "events.jsonl has lost its line `started`, which says what was measured", {
    hint: "put the file back as it was, or run the same command again: what it measured still counts",
  });
}

/** Jobs of which what each item answered is kept, too. */
export type KeptJob = (record: JobRecord) => boolean;

/** The fold of a run's events, in order. */
export function replay(events: Iterable<StoredEvent>, kept?: KeptJob): Run {
  const fold = new Fold(kept);
  for (const event of events) fold.add(event);
  return fold.run;
}

/** `replay` for events that come one by one. */
export class Fold {
  readonly run: Run = {
    sessions: [],
    shards: new Map(),
    timing: { session: 1, again: false },
    jobs: new Map(),
    engines: new Map(),
    warnings: [],
  };
  readonly #shared = new SharedByJobs();
  readonly #kept: KeptJob | undefined;

  constructor(kept?: KeptJob) {
    this.#kept = kept;
  }

  add(event: StoredEvent): void {
    const { run } = this;
    switch (event.type) {
      case "started":
        run.sessions.push({ at: event.at, command: event.provenance.command, outcome: "cut off" });
        for (const job of run.jobs.values()) job.rest();
        run.timing = { session: event.session ?? 1, again: event.again ?? false };
        if (event.shard) {
          run.shard = event.shard;
          this.#planShard(event.jobs);
        } else delete run.shard;
        this.#plan(event);
        break;
      case "planned":
        if (!run.plan) break;
        // Jobs of a model that was not here yet had other ids, under which nothing is measured.
        for (const { id } of run.plan.jobs) if (run.jobs.get(id)?.untouched) run.jobs.delete(id);
        this.#plan({ ...run.plan, variants: event.variants, jobs: event.jobs });
        this.#planShard(event.jobs);
        break;
      case "opened":
        run.engines.set(event.variant, event.engine);
        break;
      case "samples":
        this.#job(event.job).take(event);
        break;
      case "job-started":
        this.#job(event.job).begin(event.done, run.timing.session);
        break;
      case "job-done":
        this.#job(event.job).end(event);
        break;
      case "share-done":
        this.#job(event.job).endShare(event);
        break;
      case "job-failed":
        this.#job(event.job).fail(event.failure, run.timing.session);
        break;
      case "warning": {
        const { message, variant, job, worker } = event;
        run.warnings.push({ message, ...definite({ variant, job, worker }) });
        break;
      }
      case "finished": {
        const session = run.sessions.at(-1);
        if (session) session.outcome = event.outcome;
        for (const job of run.jobs.values()) job.rest();
      }
    }
  }

  #planShard(jobs: JobRecord[]): void {
    const { shard, shards } = this.run;
    if (!shard) return;
    const parts = shards.get(shard.of) ?? new Map<number, JobRecord[]>();
    shards.set(shard.of, parts.set(shard.part, jobs));
  }

  #plan(started: Started): void {
    this.run.plan = started;
    const failures = new Map(started.variants.map(({ name, failure }) => [name, failure]));
    const seen = new Set<string>();
    for (const record of started.jobs) {
      if (seen.has(record.id)) continue;
      seen.add(record.id);
      this.#job(record.id).asPlanned(record, failures.get(record.variant), this.#kept?.(record));
    }
  }

  #job(id: string): JobResult {
    const job = this.run.jobs.get(id) ?? new JobResult(this.#shared);
    this.run.jobs.set(id, job);
    return job;
  }
}

export type JobState = "waiting" | "running" | "done" | "failed" | "impossible";

/**
 * The results of one job in a run. The values lie in arrays by metric, and jobs that measured the same items share the list of
 * them: of millions of samples only their values take memory.
 */
export class JobResult {
  /** As in the last plan that has it; of several variants that share it, the first one's. */
  record: JobRecord | undefined;
  /** The engine that measured it; absent if a run of version 0.1 does not say, see `engineOf`. */
  engine: EngineName | undefined;
  /** Time in the session that ended it. */
  seconds: number | undefined;
  /** Items that were there when a session last took it up. */
  from: number | undefined;
  /** By metric, in bytes, and the models that the process held at once. */
  memory: { samples: ReadonlyMap<string, number>; models: number } | undefined;
  /** By item: why the question was not asked. */
  readonly unanswerable = new Map<string, string>();
  /** By item: CPU cores that other processes used meanwhile. */
  readonly foreign = new Map<string, number>();
  /** By item: where the per-token values lie. */
  readonly tokens = new Map<string, Record<string, TokenPlace>>();
  /** By item, of a job that `replay` was asked to keep: its facts, and what else its measurement wrote down of it. */
  details: Map<string, Record<string, unknown>> | undefined;
  /** Whether options were scored one by one. */
  alone = false;
  /** The tokens that are farthest from the reference's predictions, farthest first: as many as reports name. */
  worst: (TokenInText & { item: string })[] = [];
  /** How many items its data have, of which it measures a part. */
  of: number | undefined;
  /** Present when it was measured in another way than the plan says. */
  instead: Instead | undefined;

  /** Shares of which all was measured, by name. */
  readonly shares = new Set<string>();
  /** Items of all shares, if one of them was measured. */
  whole: number | undefined;

  /** Sessions in which all of it was measured. */
  readonly sessions = new Set<number>();

  readonly #shared: SharedByJobs;
  /** By item, those of a session that measures it once more, until all of them are there. */
  readonly #later = new Map<string, StoredSamples>();
  /** In which it was last taken up. */
  #session = 1;
  #list: ItemList = { items: [] };
  /** By item, while the job is being measured: its place in the list. */
  #places: Map<string, number> | undefined;
  readonly #columns = new Map<string, MetricColumn>();
  readonly #answers = new AnswerColumns();
  #done = false;
  #sharesSeconds = 0;
  #running = false;
  #failure: Failure | undefined;
  #broken: Failure | undefined;
  #resumed = false;

  constructor(shared: SharedByJobs) {
    this.#shared = shared;
  }

  /** Whether all of it is there. */
  get done(): boolean {
    return this.#done;
  }

  /** Whether nothing is known of it but that it was planned. */
  get untouched(): boolean {
    return this.state === "waiting" && this.items.length === 0;
  }

  get state(): JobState {
    if (this.record?.impossible !== undefined) return "impossible";
    if (this.#done) return "done";
    if (this.failure) return "failed";
    return this.#running ? "running" : "waiting";
  }

  /** Why it failed, where its variant failed too. A retry forgets the failure before it. */
  get failure(): Failure | undefined {
    return this.#failure ?? this.#broken;
  }

  /** The items of its measurement, of which the peak memory is none. */
  get items(): readonly string[] {
    return this.#list.items;
  }

  /** By item, which others it hangs together with; undefined where no item says so. */
  get clusters(): ReadonlyMap<string, string> | undefined {
    return byItem(this.#list, "cluster");
  }

  /** By item, the digest of its token ids; undefined where there are none. */
  get ids(): ReadonlyMap<string, string> | undefined {
    return byItem(this.#list, "ids");
  }

  /** Metrics of which there are samples. */
  get metrics(): string[] {
    const names = [...this.#columns.keys()];
    return [...new Set([...names, ...(this.memory?.samples.keys() ?? [])])];
  }

  /** Samples of a metric. */
  count(metric: string): number {
    return (this.#columns.get(metric)?.length ?? 0) + (this.memory?.samples.has(metric) ? 1 : 0);
  }

  /** The samples of a metric, made anew each time; empty where there are none. */
  samples(metric: string): ItemSample[] {
    const column = this.#columns.get(metric);
    const samples = column ? column.samples(this.#list.items) : [];
    const bytes = this.memory?.samples.get(metric);
    if (bytes !== undefined) samples.push({ item: memoryItem, value: bytes, weight: 1 });
    return samples;
  }

  /** Of the questions that were asked, in the order in which they came; empty where no question was, or an early version asked. */
  answers(): OptionAnswer[] {
    return this.#answers.list(this.#list.items);
  }

  asPlanned(record: JobRecord, broken: Failure | undefined, keeping = false): void {
    this.record = record;
    this.#broken = broken;
    if (keeping) this.details ??= new Map();
  }

  /** Items of one session, as the measurement names them; those of a session that is not whole yet, too. */
  itemsIn(session: number): string[] {
    const own = [...this.items, ...this.#later.keys()].map(itemOf).filter((one) => one.session === session);
    return own.map(({ item }) => item);
  }

  /** Items of all sessions. */
  get held(): number {
    return this.items.length + this.#later.size;
  }

  failedIn(session: number): boolean {
    return this.failure !== undefined && (this.#session === session || this.#broken !== undefined);
  }

  begin(from: number, session: number): void {
    this.#session = session;
    this.#failure = undefined;
    this.#running = true;
    this.from = from;
    // Version 0.1 counted the memory as an item when it went on with such a job.
    this.#resumed ||= this.memory !== undefined;
  }

  /** Should an item have been measured twice, the later one counts. */
  take(event: StoredSamples): void {
    if (event.item === memoryItem) {
      const samples = new Map(event.samples.map(({ metric, value }) => [metric, value]));
      this.memory = { samples, models: event.models ?? 1 };
      return;
    }
    // Half a session more would not be the figure of any.
    if (this.#done && this.#running) this.#later.set(event.item, event);
    else this.#keep(event);
  }

  #keep(event: StoredSamples): void {
    const item = this.#shared.text(event.item);
    const place = this.#placeOf(item);
    for (const sample of event.samples) {
      const column = this.#columns.get(sample.metric) ?? new MetricColumn();
      this.#columns.set(sample.metric, column);
      column.push(place, sample);
    }
    for (const fact of ["cluster", "ids"] as const) {
      const text = event[fact];
      if (text === undefined) continue;
      this.#list[fact] ??= [];
      this.#list[fact][place] = this.#shared.text(text);
    }
    this.#answers.put(place, event);
    if (event.unanswerable !== undefined) this.unanswerable.set(item, this.#shared.text(event.unanswerable));
    if (event.foreign !== undefined) this.foreign.set(item, event.foreign);
    if (event.tokens) this.tokens.set(item, event.tokens);
    if (event.worst) {
      const others = this.worst.filter((one) => one.item !== item);
      const all = [...others, ...event.worst.map((one) => ({ item, ...one }))];
      this.worst = all.sort((a, b) => b.distance - a.distance).slice(0, worstKept);
    }
    if (event.alone) this.alone = true;
    this.of = event.of ?? this.of;
    if (this.details) {
      const { type: _, job: __, item: ___, samples: ____, tokens: _____, detail, ...facts } = event;
      this.details.set(item, { ...detail, ...facts });
    }
  }

  /** The end of a job some items of which are missing counts as not told: the same command measures them. */
  end({ items, seconds, engine, instead }: Extract<StoredEvent, { type: "job-done" }>): void {
    this.#running = false;
    if (this.held + (this.memory && this.#resumed ? 1 : 0) < items) return;
    this.#done = true;
    this.sessions.add(this.#session);
    for (const event of this.#later.values()) this.#keep(event);
    this.#later.clear();
    this.seconds = seconds;
    if (engine) this.engine = engine;
    this.instead = instead;
    this.#places = undefined;
    this.#list = this.#shared.list(this.#list);
    for (const column of this.#columns.values()) column.seal();
    this.#answers.seal();
  }

  /** It is done as soon as the items of all shares are there. */
  endShare({ share, whole, seconds, ...rest }: Extract<StoredEvent, { type: "share-done" }>): void {
    this.#running = false;
    this.shares.add(shareName(share));
    this.#sharesSeconds += seconds;
    this.whole = whole ?? this.whole;
    if (this.whole !== undefined && this.items.length >= this.whole && !this.#done)
      this.end({ ...rest, type: "job-done", items: this.whole, seconds: this.#sharesSeconds });
  }

  fail(failure: Failure, session: number): void {
    this.#running = false;
    this.#session = session;
    this.#failure = failure;
  }

  rest(): void {
    this.#running = false;
  }

  /** The place of an item in the list, where it is put at the end when it is new; what it gave before is forgotten. */
  #placeOf(item: string): number {
    if (!this.#places) {
      // The list of a job that is done may be that of others, too.
      const { items, cluster, ids } = this.#list;
      this.#list = definite({ items: [...items], cluster: cluster?.slice(), ids: ids?.slice() });
      this.#places = new Map(this.#list.items.map((one, place) => [one, place]));
      for (const column of this.#columns.values()) column.open();
    }
    const known = this.#places.get(item);
    if (known === undefined) {
      this.#places.set(item, this.#list.items.length);
      return this.#list.items.push(item) - 1;
    }
    for (const [metric, column] of this.#columns) if (column.drop(known) === 0) this.#columns.delete(metric);
    for (const facts of [this.unanswerable, this.foreign, this.tokens]) facts.delete(item);
    delete this.#list.cluster?.[known];
    delete this.#list.ids?.[known];
    return known;
  }
}

/** The engine that measured a job; in a run of version 0.1, which does not say, the one that last opened its variant. */
export function engineOf({ jobs, engines }: Run, { id, variant }: JobRecord): EngineName | undefined {
  const engine = jobs.get(id)?.engine ?? engines.get(variant);
  if (!engine) return undefined;
  const { version, library, build, environment, rounding } = engine;
  return { version, library, ...definite({ build, environment, rounding }) };
}

/** Whether nothing is left of a job's own share: it measures none of it, or all of its share is there, by name. */
export const hasShare = ({ share }: Pick<JobRecord, "share">, there: ReadonlySet<string> | undefined): boolean =>
  share === "none" || (share !== undefined && there?.has(shareName(share)) === true);

/** Whether a job is timed, so that each session gives other figures. */
export const isTimed = ({ metrics }: Pick<JobRecord, "metrics">) =>
  metrics.some((name) => describe(name).per === "repetition");

/** How often speed was timed, and whether its last session waits to be finished. */
export function timingOf({ plan, jobs, timing }: Run): { sessions: number; open: boolean } {
  const timed = (plan?.jobs ?? []).flatMap((record) =>
    isTimed(record) && record.impossible === undefined ? (jobs.get(record.id) ?? []) : [],
  );
  return {
    sessions: new Set(timed.flatMap((job) => [...job.sessions])).size,
    open: timing.again && timed.some((job) => !isOver(job, timing)),
  };
}

/** Whether the session has nothing to time of a job any more: all of it is there, or it failed. */
export const isOver = (job: JobResult, timing: SpeedSession): boolean =>
  isWhole(job, timing) || job.failedIn(timing.session);

const isWhole = (job: JobResult, { session, again }: SpeedSession) => (again ? job.sessions.has(session) : job.done);

/** The part of a job that is there already when a run continues. */
export interface JobProgress {
  /** Of what is timed: those of the session. */
  items: ReadonlySet<string>;
  /** How many items other sessions have. */
  others?: number;
  complete: boolean;
  /** Shares of which all is there, by name. */
  shares?: ReadonlySet<string>;
  /** Bytes. */
  peakMemory?: number;
  cacheBytes?: number;
}

/** By job id: what need not be measured again. `timing`: the session of speed that is measured now. */
export function progressOf(
  { jobs }: Run,
  timing: SpeedSession = { session: 1, again: false },
): Map<string, JobProgress> {
  return new Map(
    Array.from(jobs, ([id, job]): [string, JobProgress] => {
      const { memory, done, record, shares } = job;
      const timed = record !== undefined && isTimed(record);
      const own = timed ? job.itemsIn(timing.session) : undefined;
      return [
        id,
        {
          get items() {
            return new Set(own ?? job.items);
          },
          ...(own ? { others: job.held - own.length } : {}),
          complete: timed ? isWhole(job, timing) : done,
          ...(shares.size > 0 ? { shares } : {}),
          ...definite({ peakMemory: memory?.samples.get("peak_memory"), cacheBytes: memory?.samples.get("kv_cache") }),
        },
      ];
    }),
  );
}

/** Items in the order in which they came, and by place what each says of itself. */
interface ItemList {
  items: string[];
  cluster?: (string | undefined)[];
  ids?: (string | undefined)[];
  /** The same by item, made when it is asked for. */
  maps?: { [Fact in "cluster" | "ids"]?: Map<string, string> };
}

function byItem(list: ItemList, fact: "cluster" | "ids"): ReadonlyMap<string, string> | undefined {
  const values = list[fact];
  if (!values) return undefined;
  list.maps ??= {};
  const known = list.maps[fact];
  if (known) return known;
  const map = new Map<string, string>();
  list.items.forEach((item, place) => {
    const value = values[place];
    if (value !== undefined) map.set(item, value);
  });
  list.maps[fact] = map;
  return map;
}

/** Texts and lists that the jobs of a run share. */
class SharedByJobs {
  readonly #texts = new Map<string, string>();
  readonly #lists = new Map<number, ItemList[]>();

  /** The same text, in the memory of the first one. */
  text(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    this.#texts.set(text, text);
    return text;
  }

  /** The same list, in the memory of the first one; it must not be changed any more. */
  list(list: ItemList): ItemList {
    const alike = this.#lists.get(list.items.length) ?? [];
    const known = alike.find((one) => sameList(one, list));
    if (known) return known;
    this.#lists.set(list.items.length, [...alike, list]);
    return list;
  }
}

function sameList(a: ItemList, b: ItemList): boolean {
  const same = (x: ArrayLike<unknown> | undefined, y: ArrayLike<unknown> | undefined) => {
    if (x === undefined || y === undefined || x.length !== y.length) return x === y;
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
    return true;
  };
  return same(a.items, b.items) && same(a.cluster, b.cluster) && same(a.ids, b.ids);
}
