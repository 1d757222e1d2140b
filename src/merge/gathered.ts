import { digestOfParts, sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { type JobRecord, memoryItem, type Started, type StoredEvent, type StoredSamples } from "../events.js";
import { isTimed } from "../replay/index.js";
import { AnswerKeys, differing, differingScore } from "../store/index.js";

/** One time that a command ran, as one of the joined runs tells it. */
export interface JoinedSession {
  /** Which of the runs it is of: digits of a digest. */
  run: string;
  folder: string;
  started: Started;
  /** What came of it but for the samples and ends of jobs whose items may come from several runs. */
  events: StoredEvent[];
}

/** An item as one of the runs has it: its event as a line of JSON, which takes a fourth of the memory. */
export interface JoinedItem {
  folder: string;
  line: string;
}

export const eventIn = ({ line }: JoinedItem): StoredSamples => JSON.parse(line);

/** The end of a job, or of a share of it. */
export type JobEnd = Extract<StoredEvent, { type: "job-done" | "share-done" | "job-failed" }>;

/** All that some runs hold, each thing once. */
export class Gathered {
  /** By their first line. */
  readonly sessions = new Map<string, JoinedSession>();
  /** By job id and item. */
  readonly items = new Map<string, Map<string, JoinedItem>>();
  /** By job id: what took most memory. */
  readonly memory = new Map<string, StoredSamples>();
  /** By job id, and then as text. */
  readonly ends = new Map<string, Map<string, JobEnd>>();
  /** By job id: a record of it, and items of all its shares. */
  readonly jobs = new Map<string, JobRecord>();
  readonly wholes = new Map<string, { items: number; folder: string }>();
  readonly #keys = new AnswerKeys();
  /** Items that were there twice, and those of them of which the last digits differ, or words of an answer. */
  twice = 0;
  close = 0;

  /**
   * Takes the events of a run in, one after another, and returns its sessions. Throws a BenchError for what cannot be true, or
   * contradicts what is there.
   */
  take(folder: string, events: Iterable<StoredEvent>): JoinedSession[] {
    let run = "";
    /** The run whose timings are there. */
    let timed = "";
    let session: JoinedSession | undefined;
    const keep = (event: StoredEvent) => session?.events.push(event);
    const keepTimed = (event: StoredEvent) => {
      keep(event);
      timed = session?.run ?? timed;
    };
    const sessions: JoinedSession[] = [];
    for (const event of events)
      switch (event.type) {
        case "started": {
          const { merged, ...started } = event;
          this.#takeJobs(folder, event.jobs);
          if (merged === true) {
            session = undefined;
            // Who goes on with what was joined goes on with its timings.
            run = timed;
          } else {
            run = merged ?? (run || sha256(JSON.stringify(started)).slice(0, 12));
            session = { run, folder, started, events: [] };
            sessions.push(session);
          }
          break;
        }
        case "planned":
          this.#takeJobs(folder, event.jobs);
          keep(event);
          break;
        case "samples":
          if (this.isTimed(event.job)) keepTimed(event);
          else if (event.item === memoryItem) this.#takeMemory(event);
          else this.#takeItem(folder, event);
          break;
        case "job-started":
          if (this.isTimed(event.job)) keepTimed(event);
          break;
        case "job-done":
        case "share-done":
        case "job-failed":
          if (this.isTimed(event.job)) keepTimed(event);
          else this.#takeEnd(folder, event);
          break;
        default:
          keep(event);
      }
    for (const one of sessions) this.#takeSession(one);
    return sessions;
  }

  isTimed(job: string): boolean {
    const record = this.jobs.get(job);
    return record !== undefined && isTimed(record);
  }

  #takeJobs(folder: string, jobs: readonly JobRecord[]): void {
    for (const record of jobs) {
      const { id, question, place, variant, measurement } = record;
      if (question === undefined || place === undefined)
        throw new BenchError("run-foreign", `${folder} was measured by version 0.1, which does not say where`, {
          hint: "measure it anew with this version, or leave the folder out",
        });
      if (digestOfParts([question, place]) !== id)
        throw new BenchError(
          "run-damaged",
          `${folder}: the id of ${measurement} of ${variant} does not follow from what it asks and where`,
          {
            hint: "the file was edited: measure that part anew, or leave the folder out",
          },
        );
      const { share: _, ...whole } = record;
      if (!this.jobs.has(id)) this.jobs.set(id, whole);
    }
  }

  #takeSession(session: JoinedSession): void {
    const key = JSON.stringify(session.started);
    const known = this.sessions.get(key);
    if (known) this.#checkTimings(known, session);
    // A copy may have been made before it was over.
    const isMore =
      !known ||
      session.events.length > known.events.length ||
      (session.events.length === known.events.length && session.run < known.run);
    if (isMore) this.sessions.set(key, session);
  }

  /** Of one session, one moment has one timing. */
  #checkTimings(known: JoinedSession, session: JoinedSession): void {
    const timings = new Map(
      known.events.flatMap((event) => (event.type === "samples" ? [[timing(event), event]] : [])),
    );
    for (const event of session.events) {
      if (event.type !== "samples") continue;
      const other = timings.get(timing(event));
      if (!other || textOf(other) === textOf(event)) continue;
      throw new BenchError(
        "run-contradiction",
        `${session.folder}: ${this.told(event.job, event.item)} is ${valuesOf(event)}, and ${valuesOf(other)} in ${known.folder}`,
        { hint: "one of the two is wrong: time that part anew, or leave one of the folders out" },
      );
    }
  }

  #takeMemory(event: StoredSamples): void {
    const known = this.memory.get(event.job);
    const text = (one: StoredSamples) => JSON.stringify(one);
    const most = ({ samples }: StoredSamples) => Math.max(...samples.map(({ value }) => value));
    if (!known || most(event) > most(known) || (most(event) === most(known) && text(event) < text(known)))
      this.memory.set(event.job, event);
  }

  #takeItem(folder: string, event: StoredSamples): void {
    const { job, item } = event;
    const of = this.items.get(job) ?? new Map<string, JoinedItem>();
    this.items.set(job, of);
    const otherKey = this.#keys.fault(event, this.jobs.get(job)?.askedSha256, folder);
    if (otherKey !== undefined) throw contradiction(`${folder}: ${this.told(job)} ${otherKey}`);
    const known = of.get(item);
    const own = { folder, line: JSON.stringify(event) };
    if (!known) {
      of.set(item, own);
      return;
    }
    this.twice++;
    const other = eventIn(known);
    const [text, knownText] = [textOf(event), textOf(other)];
    if (text === knownText) return;
    const differs = differenceBetween(event, other);
    if (differs)
      throw contradiction(
        `${folder}: ${this.told(job, item)}: ${differs.what} is ${differs.value}, and ${differs.other} in ${known.folder}`,
      );
    this.close++;
    // Whichever comes first, the same one stays.
    if (text < knownText) of.set(item, own);
  }

  #takeEnd(folder: string, event: JobEnd): void {
    const of = this.ends.get(event.job) ?? new Map<string, JobEnd>();
    this.ends.set(event.job, of);
    of.set(JSON.stringify(event), event);
    const items = event.type === "share-done" ? event.whole : event.type === "job-done" ? event.items : undefined;
    if (items === undefined) return;
    const known = this.wholes.get(event.job);
    if (known && known.items !== items)
      throw contradiction(
        `${folder}: ${this.told(event.job)} has ${items} items in all, and ${known.items} in ${known.folder}`,
      );
    this.wholes.set(event.job, known ?? { items, folder });
  }

  /** A job in words, and one of its items. */
  told(job: string, item?: string): string {
    const { measurement, variant } = this.jobs.get(job) ?? {};
    const name = measurement === undefined ? `job ${job}` : `${measurement} of ${variant} (job ${job})`;
    return item === undefined ? name : `${name}, item ${item}`;
  }
}

const contradiction = (sentence: string) =>
  new BenchError("run-contradiction", sentence, {
    hint: "one of the two is wrong: measure that part anew, or leave one of the folders out",
  });

/** What two measurements of one item cannot both have. */
function differenceBetween(
  event: StoredSamples,
  other: StoredSamples,
): { what: string; value: unknown; other: unknown } | undefined {
  const metric = differing(other, event);
  if (metric !== undefined) {
    const value = ({ samples }: StoredSamples) => samples.find((one) => one.metric === metric)?.value;
    return { what: metric, value: value(event), other: value(other) };
  }
  const option = differingScore(event, other);
  if (option !== undefined)
    return { what: `the score of option ${option + 1}`, value: event.scores?.[option], other: other.scores?.[option] };
  for (const [what, factOf] of Object.entries(sameFacts)) {
    const [own, its] = [factOf(event), factOf(other)];
    if (JSON.stringify(own) !== JSON.stringify(its)) return { what, value: own ?? "none", other: its ?? "none" };
  }
  return undefined;
}

/** What an item is, and the option that was chosen: no digits of it are the last. */
const sameFacts: Record<string, (event: StoredSamples) => unknown> = {
  "its answer": ({ prediction }) => (prediction === undefined ? undefined : prediction + 1),
  "its key": ({ gold }) => (gold === undefined ? undefined : gold + 1),
  "what was not asked": ({ unanswerable }) => unanswerable,
  "its group": ({ cluster }) => cluster,
  "the number of its data": ({ of }) => of,
  "the digest of its tokens": ({ ids }) => ids,
  "the order of its options": ({ order }) => order,
};

const timing = ({ job, item }: StoredSamples) => JSON.stringify([job, item]);

const valuesOf = ({ samples }: StoredSamples) => samples.map(({ value }) => value).join(", ");

/** All that an item says, with digests in place of values per token: these lie elsewhere in each run. */
function textOf(event: StoredSamples): string {
  const { tokens, ...rest } = event;
  const digests = Object.entries(tokens ?? {}).map(([name, [, count, sha]]) => [name, count, sha]);
  return JSON.stringify([rest, digests]);
}
