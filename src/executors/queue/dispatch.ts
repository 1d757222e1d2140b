import { randomUUID } from "node:crypto";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { type Assignment, type Letter, read } from "./messages.js";
import { type Parcel, send } from "./parcels.js";
import { type AssignmentState, kept, keyOf, type RedisLink } from "./redis.js";
import { present, queuesOf, type WorkerRecord } from "./roster.js";

export const keyOfRun = (run: string) => keyOf("run", run);
export const keyOfLetters = (run: string) => keyOf("letters", run);
/** Set where the parts of a request need not be measured any more. */
export const keyOfCancelled = (group: string) => keyOf("cancelled", group);
/** Keys of the items of a request of which the run was told. */
export const keyOfDone = (group: string) => keyOf("done", group);

/** Milliseconds after which workers take a run that says nothing for gone. */
const silence = 8000;
/** Milliseconds between looks at workers and at what they were sent. */
const tick = 500;
/** Ticks in a row for which an assignment is unknown before it is sent anew: a letter about it may be on its way. */
const patience = 4;
/** So many workers may be lost for good over one assignment: one that comes back was slow. */
const mostLost = 5;
/** Ticks for which an assignment may wait without a worker that could take it, before that is told. */
const mostUnserved = 8;
/** Assignments that nobody has taken, looked at in a tick. */
const mostLooks = 200;
/** Ticks in a row for which a worker says nothing before it has left: it may be that Redis has just begun anew. */
const mostSilent = 4;

/** An assignment that was sent, and is not done. */
interface Sent {
  queue: string;
  assignment: Assignment;
  parcels: readonly Parcel[];
  /** Items that need not be measured. */
  done(): Iterable<string>;
  /** Resolves when there is room for more. */
  heard(letter: Letter): Promise<void>;
  refused(error: BenchError): void;
  /** Who took it. */
  by?: { worker: string; token: string };
  unknownTicks: number;
  unservedTicks: number;
  /** Tokens of workers that were gone when they had it. */
  lost: Set<string>;
}

type NewlySent = Omit<Sent, "unknownTicks" | "unservedTicks" | "lost">;

/** What happens beyond what workers say of an assignment that they measure. */
export type Dispatched =
  /** The worker that had it is gone. */
  | { what: "lost"; assignment: Assignment; worker: string }
  /** This worker cannot take it. */
  | { what: "declined"; assignment: Assignment; worker: string; reason: string }
  /** No worker is there that could take it. */
  | { what: "unserved"; assignment: Assignment }
  | { what: "joined" | "left"; worker: WorkerRecord };

/**
 * Sends the assignments of one run, hears what workers say of them, and sends again what got lost: an assignment ends when its
 * worker has said so, whatever becomes of Redis and of workers.
 */
export class Dispatcher {
  readonly run = randomUUID();
  /** The workers that are there, as of the last look. */
  workers: WorkerRecord[] = [];
  readonly #sent = new Map<string, Sent>();
  #closed = false;
  readonly #timer: NodeJS.Timeout;
  #looking = false;
  #looked = 0;
  /** Requests whose data are in Redis, as long as that keeps them. */
  readonly #prepared = new Set<string>();
  /** By token. */
  readonly #known: Map<string, { worker: WorkerRecord; silentTicks: number }>;
  readonly #told: (event: Dispatched) => void;
  readonly #failed: (error: unknown) => void;
  readonly #over = new AbortController();

  constructor(
    private readonly link: RedisLink,
    {
      workers,
      told = () => {},
      failed = () => {},
    }: {
      workers: WorkerRecord[];
      told?: (event: Dispatched) => void;
      /** Hears why nothing can be measured by it any more. */
      failed?: (error: unknown) => void;
    },
  ) {
    this.workers = workers;
    this.#known = new Map(workers.map((worker) => [worker.token, { worker, silentTicks: 0 }]));
    this.#told = told;
    this.#failed = failed;
    this.#timer = setInterval(() => void this.#look(), tick);
    this.#listen().catch(() => {}); // told by then
  }

  /** Resolves when Redis has it; throws after `signal`, or when Redis refuses it. What is heard of it comes to `heard`, until `end`. */
  async send(sent: NewlySent, { first, signal }: { first?: boolean; signal?: AbortSignal } = {}): Promise<void> {
    this.#sent.set(sent.assignment.id, { ...sent, unknownTicks: 0, unservedTicks: 0, lost: new Set() });
    await this.#asked(() => this.#post(sent, definite({ first })), signal);
    this.#prepared.add(sent.assignment.group);
  }

  /** It is done, or of no interest any more. */
  async end(id: string): Promise<void> {
    const sent = this.#sent.get(id);
    this.#sent.delete(id);
    if (sent) await this.link.farewell(() => this.link.sender(sent.queue).remove(id));
  }

  /** Takes back the parts of a request: those that wait are removed, those at work end after the item at hand. */
  async cancel(group: string): Promise<void> {
    const own = [...this.#sent.values()].filter(({ assignment }) => assignment.group === group);
    await this.link.farewell(async () => {
      await this.link.redis.set(keyOfCancelled(group), "1", "EX", kept);
      await Promise.all(own.map(({ queue, assignment }) => this.link.sender(queue).remove(assignment.id)));
    });
  }

  /** Nobody will say or ask anything of these parts of a request any more. */
  async forget(group: string, ids: Iterable<string>): Promise<void> {
    for (const id of ids) this.#sent.delete(id);
    this.#prepared.delete(group);
    await this.link.farewell(() => this.link.redis.del(keyOfDone(group)));
  }

  /** Sends it anew, with what is done by now left out. */
  async again(id: string): Promise<void> {
    const sent = this.#sent.get(id);
    if (!sent) return;
    delete sent.by;
    sent.unknownTicks = 0;
    this.#prepared.delete(sent.assignment.group);
    await this.#asked(async () => {
      await this.link.sender(sent.queue).remove(id);
      await this.#post(sent);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#over.abort();
    clearInterval(this.#timer);
    const groups = new Set([...this.#sent.values()].map(({ assignment }) => assignment.group));
    await this.link.farewell(async () => {
      for (const group of groups) await this.cancel(group);
      await this.link.redis.del(keyOfRun(this.run), keyOfLetters(this.run));
    });
  }

  /** Until it is closed, or `signal`. What Redis refuses for good ends all. */
  async #asked<Answer>(work: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    const over = this.#over.signal;
    try {
      return await this.link.ask(work, signal ? AbortSignal.any([signal, over]) : over);
    } catch (error) {
      if (!over.aborted && !signal?.aborted) this.#failed(error);
      throw error;
    }
  }

  async #post({ queue, assignment, parcels, done }: NewlySent, options: { first?: boolean } = {}): Promise<void> {
    if (!this.#prepared.has(assignment.group)) await this.#prepare({ assignment, parcels, done });
    await this.link.sender(queue).add(assignment.id, { assignment, declined: {} }, options);
  }

  /** Puts into Redis what an assignment needs. */
  async #prepare({ assignment, parcels, done }: Pick<Sent, "assignment" | "parcels" | "done">): Promise<void> {
    const { redis } = this.link;
    await this.#sayPresent();
    for (const one of parcels) await send(this.link, one);
    const items = [...done()];
    const key = keyOfDone(assignment.group);
    for (let from = 0; from < items.length; from += 1000) await redis.sadd(key, ...items.slice(from, from + 1000));
    if (items.length > 0) await redis.expire(key, kept);
  }

  async #sayPresent(): Promise<void> {
    await this.link.redis.set(keyOfRun(this.run), "1", "PX", silence);
  }

  /** Letters come in the order in which a worker wrote them. */
  async #listen(): Promise<void> {
    const redis = this.link.another();
    let last = "0";
    // A Redis that begins anew may count from earlier on; a letter that is heard twice counts once.
    redis.on("close", () => {
      last = "0";
    });
    const key = keyOfLetters(this.run);
    while (!this.#closed) {
      const found = await this.#asked(() => redis.xread("COUNT", 500, "BLOCK", 1000, "STREAMS", key, last));
      for (const [, entries] of found ?? [])
        for (const [at, [, text = ""]] of entries) {
          last = at;
          const letter = read(text);
          // Meanwhile they wait in Redis.
          if (letter) await this.#hear(letter);
        }
      if (found && last !== "0") await this.link.farewell(() => redis.xtrim(key, "MINID", last));
    }
  }

  async #hear(letter: Letter): Promise<void> {
    const sent = this.#sent.get(letter.assignment);
    if (!sent) return;
    const { assignment } = sent;
    const { told, worker, token } = letter;
    if (told.type === "taken") sent.by = { worker, token };
    // One who has lost it may fail at it all the same.
    if (told.type === "failed" && sent.by?.token !== token) return;
    if (told.type === "declined") {
      if (sent.by?.token === token) delete sent.by;
      this.#told({ what: "declined", assignment, worker, reason: told.reason });
    }
    if (told.type === "lacks-data") void this.#asked(() => this.#prepare(sent)).catch(() => {}); // told by then
    await sent.heard(letter);
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    await this.#asked(() => this.#lookOnce()).catch(() => {}); // told by then
    this.#looking = false;
  }

  /** What is lost with a Redis that was gone for a while is sent anew. */
  async #lookOnce(): Promise<void> {
    await this.#sayPresent();
    this.workers = await present(this.link);
    this.#meet(this.workers);
    const there = new Set(this.workers.map(({ token }) => token));
    const served = new Set(this.workers.flatMap(queuesOf));
    const all = this.#next();
    const states = await Promise.all(all.map(({ queue, assignment }) => this.link.sender(queue).state(assignment.id)));
    for (const [i, sent] of all.entries())
      if (this.#sent.has(sent.assignment.id)) await this.#judge(sent, states[i]!, there, served);
  }

  /** The assignments to look at: those at work, and in their turn some of those that wait. */
  #next(): Sent[] {
    const all = [...this.#sent.values()];
    const waiting = all.filter(({ by }) => !by);
    const from = this.#looked < waiting.length ? this.#looked : 0;
    this.#looked = from + mostLooks;
    return [...all.filter(({ by }) => by), ...waiting.slice(from, from + mostLooks)];
  }

  /** Tells who has come and who has left. */
  #meet(there: WorkerRecord[]): void {
    for (const known of this.#known.values()) known.silentTicks++;
    for (const worker of there) {
      const known = this.#known.get(worker.token);
      if (known) known.silentTicks = 0;
      else {
        this.#known.set(worker.token, { worker, silentTicks: 0 });
        this.#told({ what: "joined", worker });
      }
    }
    for (const [token, { worker, silentTicks }] of this.#known)
      if (silentTicks >= mostSilent) {
        this.#known.delete(token);
        this.#told({ what: "left", worker });
      }
  }

  async #judge(sent: Sent, state: AssignmentState, there: Set<string>, served: Set<string>): Promise<void> {
    const { queue, assignment, by } = sent;
    const { id } = assignment;
    const sender = this.link.sender(queue);
    if (state === "refused") return sent.refused(declinedByAll((await sender.refusal(id)) ?? "it was given up"));
    sent.unservedTicks = state === "waiting" && !served.has(queue) ? sent.unservedTicks + 1 : 0;
    if (sent.unservedTicks === mostUnserved) this.#told({ what: "unserved", assignment });
    const isLost = state === "active" && by !== undefined && !there.has(by.token);
    sent.unknownTicks = state === "unknown" || state === "done" || isLost ? sent.unknownTicks + 1 : 0;
    if (sent.unknownTicks < (isLost ? 2 : patience)) return;
    sent.unknownTicks = 0;
    if (!isLost) return this.again(id);
    delete sent.by;
    this.#told({ what: "lost", assignment, worker: by.worker });
    sent.lost.add(by.token);
    if ([...sent.lost].filter((token) => !there.has(token)).length >= mostLost)
      return sent.refused(
        new BenchError("engine-crashed", `${assignment.shown}: ${mostLost} workers were lost while they measured it`, {
          hint: "the model may need more memory than they have: see their --memory-limit",
        }),
      );
    await sender.release(id, by.token);
  }
}

const declinedByAll = (reason: string): BenchError =>
  new BenchError("server-refused", reason, {
    hint: "a worker takes files from the folders of its --models by their bytes, or from addresses that its --allow-source allows",
  });
