import { randomUUID } from "node:crypto";
import { type Assignment, type Letter, read } from "./messages.js";
import { type Parcel, send } from "./parcels.js";
import { type AssignmentState, keyOf, type RedisLink } from "./redis.js";
import { present, queuesOf, type WorkerRecord } from "./roster.js";

export const keyOfRun = (run: string) => keyOf("run", run);
export const keyOfLetters = (run: string) => keyOf("letters", run);
/** Set where the parts of a request need not be measured any more. */
export const keyOfCancelled = (group: string) => keyOf("cancelled", group);
/** Keys of the items of a request of which the run was told. */
export const keyOfDone = (group: string) => keyOf("done", group);

/** Milliseconds after which workers take a run that says nothing for gone. */
const silence = 8000;
/** Seconds that keys of a run stay in Redis when nobody removes them. */
export const kept = 86_400;
/** Milliseconds between looks at workers and at what they were sent. */
const tick = 500;
/** Ticks in a row for which an assignment is unknown before it is sent anew: a letter about it may be on its way. */
const patience = 4;
/** So many workers may be lost over one assignment. */
const mostLost = 5;
/** Ticks for which an assignment may wait without a worker that could take it, before that is told. */
const loneliness = 8;

/** An assignment that was sent, and is not done. */
interface Sent {
  queue: string;
  assignment: Assignment;
  parcels: readonly Parcel[];
  /** Items that need not be measured. */
  done(): Iterable<string>;
  heard(letter: Letter): void;
  refused(reason: string): void;
  /** Who took it. */
  by?: { worker: string; token: string };
  strange: number;
  lost: number;
  lonely: number;
}

type NewlySent = Omit<Sent, "strange" | "lost" | "lonely">;

/** What becomes of assignments beyond what their workers say. */
export interface Dispatched {
  /** `lost`: its worker is gone, `anew`: Redis knows nothing of it, `lonely`: no worker is there that could take it. */
  what: "lost" | "anew" | "lonely";
  assignment: Assignment;
  worker?: string;
}

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
  readonly #told: (event: Dispatched) => void;

  constructor(
    private readonly link: RedisLink,
    { workers, told = () => {} }: { workers: WorkerRecord[]; told?: (event: Dispatched) => void },
  ) {
    this.workers = workers;
    this.#told = told;
    this.#timer = setInterval(() => void this.#look(), tick);
    void this.#listen();
  }

  /** Resolves when Redis has it. What is heard of it comes to `heard`, until `end`. */
  async send(sent: NewlySent, options: { first?: boolean } = {}): Promise<void> {
    this.#sent.set(sent.assignment.id, { ...sent, strange: 0, lost: 0, lonely: 0 });
    await this.#post(sent, options);
  }

  /** It is done, or of no interest any more. */
  async end(id: string): Promise<void> {
    const sent = this.#sent.get(id);
    this.#sent.delete(id);
    if (sent) await this.link.sender(sent.queue).remove(id);
  }

  /** Takes back the parts of a request: those that wait are removed, those at work end after the item at hand. */
  async cancel(group: string): Promise<void> {
    const own = [...this.#sent.values()].filter(({ assignment }) => assignment.group === group);
    await this.link.redis.set(keyOfCancelled(group), "1", "EX", kept);
    await Promise.all(own.map(({ queue, assignment }) => this.link.sender(queue).remove(assignment.id)));
  }

  /** Nobody will ask any more what of a request is done. */
  async forget(group: string): Promise<void> {
    await this.link.redis.del(keyOfDone(group));
  }

  /** Sends it anew, with what is done by now left out. */
  async again(id: string): Promise<void> {
    const sent = this.#sent.get(id);
    if (!sent) return;
    delete sent.by;
    sent.strange = 0;
    await this.link.sender(sent.queue).remove(id);
    await this.#post(sent);
    this.#told({ what: "anew", assignment: sent.assignment });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    const groups = new Set([...this.#sent.values()].map(({ assignment }) => assignment.group));
    const farewell = async () => {
      for (const group of groups) await this.cancel(group);
      await this.link.redis.del(keyOfRun(this.run), keyOfLetters(this.run));
    };
    await Promise.race([farewell().catch(() => {}), new Promise((over) => setTimeout(over, 2000))]);
  }

  async #post({ queue, assignment, parcels, done }: NewlySent, options: { first?: boolean } = {}): Promise<void> {
    await this.#prepare({ assignment, parcels, done });
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
      const found = await redis.xread("COUNT", 500, "BLOCK", 1000, "STREAMS", key, last).catch(() => undefined);
      if (found === undefined) await new Promise((over) => setTimeout(over, 100));
      for (const [, entries] of found ?? [])
        for (const [at, [, text = ""]] of entries) {
          last = at;
          const letter = read(text);
          const sent = letter && this.#sent.get(letter.assignment);
          if (!letter || !sent) continue;
          const { told, worker, token } = letter;
          if (told.type === "taken") sent.by = { worker, token };
          // One who has lost it may fail at it all the same.
          if (told.type === "failed" && sent.by?.token !== token) continue;
          if (told.type === "lacks-data") await this.#prepare(sent).catch(() => {});
          else sent.heard(letter);
        }
      if (found && last !== "0") await redis.xtrim(key, "MINID", last).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    try {
      await this.#sayPresent();
      this.workers = await present(this.link);
      const there = new Set(this.workers.map(({ token }) => token));
      const served = new Set(this.workers.flatMap(queuesOf));
      const all = [...this.#sent.values()];
      const states = await Promise.all(
        all.map(({ queue, assignment }) => this.link.sender(queue).state(assignment.id)),
      );
      for (const [i, sent] of all.entries())
        if (this.#sent.has(sent.assignment.id)) await this.#judge(sent, states[i]!, there, served);
    } catch {
      // Redis is gone for a while: what is lost with it is sent anew.
    } finally {
      this.#looking = false;
    }
  }

  async #judge(sent: Sent, state: AssignmentState, there: Set<string>, served: Set<string>): Promise<void> {
    const { queue, assignment, by } = sent;
    const { id } = assignment;
    const sender = this.link.sender(queue);
    if (state === "refused") return sent.refused((await sender.refusal(id)) ?? "it was given up");
    sent.lonely = state === "waiting" && !served.has(queue) ? sent.lonely + 1 : 0;
    if (sent.lonely === loneliness) this.#told({ what: "lonely", assignment });
    const isLost = state === "active" && by !== undefined && !there.has(by.token);
    sent.strange = state === "unknown" || state === "done" || isLost ? sent.strange + 1 : 0;
    if (sent.strange < (isLost ? 2 : patience)) return;
    sent.strange = 0;
    if (!isLost) return this.again(id);
    delete sent.by;
    this.#told({ what: "lost", assignment, worker: by.worker });
    sent.lost++;
    if (sent.lost >= mostLost)
      return sent.refused(`${assignment.shown}: ${mostLost} workers were lost while they measured it`);
    await sender.release(id, by.token);
  }
}
