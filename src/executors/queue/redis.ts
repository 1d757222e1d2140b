import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Job, Queue, Worker } from "bullmq";
import type { ChainableCommander, Redis } from "ioredis";
import { afterWaiting } from "../../clock.js";
import { BenchError, messageOf, systemCode } from "../../errors.js";
import { harmless } from "../../harmless.js";
import { checkedAddress, shownQueue } from "./address.js";
import { connectionFault, isInterruption, isLost, refusalOf, refused } from "./refusals.js";

/** Everything that this program keeps in Redis begins so. */
const prefix = "gguf-bench";
export const keyOf = (...parts: string[]): string => [prefix, ...parts].join(":");
/** Seconds that keys of a run stay in Redis when nobody removes them. */
export const kept = 86_400;

/** Milliseconds for which a worker owns what it took; it renews that all the time. */
const lockDuration = 30_000;
/** Milliseconds between looks for what a worker owns no longer. */
const stalledInterval = 5_000;
/** Milliseconds before what Redis refused is asked once more: at first, and at most. */
const pause = { first: 100, most: 5000 };
/** Seconds without an answer after which it is told that Redis hangs, and between looks whether it does. */
const patience = 5;
const noAnswer = `no answer came within ${patience} s`;
/** Milliseconds after which a farewell no longer waits for Redis. */
const farewell = 2000;

interface Packages {
  ioredis: Pick<typeof import("ioredis"), "Redis">;
  bullmq: typeof import("bullmq");
}

/** Both are optional: who measures on one machine alone needs neither. */
async function packages(): Promise<Packages> {
  try {
    const [ioredis, bullmq] = await Promise.all([import("ioredis"), import("bullmq")]);
    return { ioredis, bullmq };
  } catch (cause) {
    if (systemCode(cause) !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw new BenchError("program-missing", "a queue needs the packages bullmq and ioredis, which are not installed", {
      hint: "npm install bullmq ioredis, where gguf-bench is installed (npm install -g, if it is so)",
    });
  }
}

/** `done`: its worker has told all of it. */
export type AssignmentState = "waiting" | "active" | "done" | "refused" | "unknown";

/** A queue as the one who asks sees it. */
export interface Sender {
  /** An assignment that is there under this id is not added once more. `first`: before all that wait. */
  add(id: string, body: unknown, options?: { first?: boolean }): Promise<void>;
  state(id: string): Promise<AssignmentState>;
  /** Why it was refused. */
  refusal(id: string): Promise<string | undefined>;
  /** Gives back what a worker took that is gone: `token` is what it took it with. */
  release(id: string, token: string): Promise<void>;
  remove(id: string): Promise<void>;
  close(): Promise<void>;
}

/** A queue as a worker sees it. */
export interface Taker {
  take(token: string): Promise<Taken | undefined>;
  close(): Promise<void>;
}

/** What a worker took and owns, as long as it renews it. */
export interface Taken {
  body: unknown;
  /** False once it is another's. */
  renew(): Promise<boolean>;
  done(): Promise<void>;
  /** For good: `reason` is a sentence. */
  refuse(reason: string): Promise<void>;
  /** As the next one; with what it is to be from now on as the last one. */
  giveBack(body?: unknown): Promise<void>;
}

export interface LinkOptions {
  /** Hears, in a sentence without its end, what is wrong with Redis, once, and that it is well again. */
  told(sentence: string, isWell?: true): void;
  /** What happens while something is wrong, as the sentence says it. */
  meanwhile: string;
}

/** A connection to Redis. It comes back by itself after an interruption, and what was asked meanwhile waits. */
export class RedisLink {
  /** Without secrets. */
  readonly shown: string;
  readonly #senders = new Map<string, Sender>();
  readonly #takers: Taker[] = [];
  readonly #others: Redis[] = [];
  #away = false;
  /** How many wait because Redis refuses what they ask. */
  #refused = 0;
  readonly #over = new AbortController();
  readonly #heard = new Set<string>();

  private constructor(
    readonly redis: Redis,
    private readonly bullmq: Packages["bullmq"],
    url: string,
    private readonly options: LinkOptions,
  ) {
    this.shown = shownQueue(url);
    setMaxListeners(0, this.#over.signal);
    this.#watch(redis);
    void this.#listen();
  }

  /** Throws a BenchError `server-unreachable`. */
  static async open(url: string, options: LinkOptions): Promise<RedisLink> {
    const address = checkedAddress(url);
    const { ioredis, bullmq } = await packages();
    let isOpen = false;
    let fault = "";
    const redis = new ioredis.Redis(address, {
      lazyConnect: true,
      maxRetriesPerRequest: null,
      connectTimeout: 5000,
      retryStrategy: (times) => (isOpen ? Math.min(100 * times, 1000) : null),
    });
    redis.on("error", (error) => {
      fault ||= connectionFault(error);
    });
    // Something may listen there that never answers.
    const cancel = afterWaiting(patience, () => {
      fault ||= noAnswer;
      redis.disconnect();
    });
    try {
      await redis.connect();
      await redis.ping();
      isOpen = true;
      // BullMQ's copies of the connection would give up for good where their first attempt to connect fails.
      redis.options.lazyConnect = false;
    } catch (error) {
      redis.disconnect();
      throw new BenchError("server-unreachable", `${shownQueue(url)}: ${fault || connectionFault(error)}`, {
        hint: "start Redis, and check host, port and password of --queue",
      });
    } finally {
      cancel();
    }
    return new RedisLink(redis, bullmq, url, options);
  }

  /**
   * Asks until it is granted: once more after an interruption, and with growing pauses while Redis refuses it for a reason that
   * passes, which is told. `work` may be done twice. Throws a BenchError `server-refused` for what Redis refuses for good, and
   * whatever is wrong once the signal is aborted.
   */
  async ask<Answer>(work: () => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    let isRefused = false;
    const over = signal ? AbortSignal.any([signal, this.#over.signal]) : this.#over.signal;
    for (let wait = pause.first; ; wait = Math.min(2 * wait, pause.most)) {
      try {
        const answer = await this.#untilClosed(work());
        if (isRefused && --this.#refused === 0) this.options.told(`${this.shown} takes what it is sent again`, true);
        return answer;
      } catch (error) {
        const refusal = refusalOf(error);
        if (over.aborted || !(refusal ? refusal.passes : isInterruption(error))) {
          if (isRefused) this.#refused--;
          throw refusal ? refused(this.shown, refusal) : error;
        }
        if (refusal && !isRefused) {
          isRefused = true;
          if (this.#refused++ === 0) this.options.told(`${this.shown}: ${refusal.why}; ${this.options.meanwhile}`);
        }
        await sleep(wait, undefined, { signal: over }).catch(() => {});
      }
    }
  }

  /** What was asked while Redis was away is never answered by a connection that is closed before it is back. */
  #untilClosed<Answer>(work: Promise<Answer>): Promise<Answer> {
    const { signal } = this.#over;
    return new Promise((resolve, reject) => {
      const over = () => reject(new Error("Connection is closed"));
      if (signal.aborted) over();
      signal.addEventListener("abort", over, { once: true });
      void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", over));
    });
  }

  /** Asks once. Throws as `ask` does, for what passes, too. */
  async askOnce<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return this.ask(work, AbortSignal.abort());
  }

  /** Whether Redis can be asked now. */
  get isThere(): boolean {
    return this.redis.status === "ready";
  }

  /** For what need not be done, such as to clear away: a Redis that is gone is not waited for; what else is wrong is told once. */
  async farewell(work: () => Promise<unknown>): Promise<void> {
    if (!this.isThere) return;
    const asked = work().catch((error: unknown) => this.hear(error));
    await Promise.race([asked, sleep(farewell, undefined, { ref: false })]);
  }

  /** Tells once what is wrong, unless that passes, or is an assignment that is another's by now. */
  hear(error: unknown): void {
    if (this.#over.signal.aborted || isInterruption(error) || isLost(error)) return;
    const refusal = refusalOf(error);
    // Whoever asks on tells it.
    if (refusal?.passes) return;
    const said = `${this.shown}: ${refusal ? refusal.why : harmless(messageOf(error)).slice(0, 150)}`;
    if (this.#heard.has(said) || this.#heard.size > 20) return;
    this.#heard.add(said);
    this.options.told(said);
  }

  /** The commands as one step, and their answers. Throws the first error among them. */
  async transaction(commands: (steps: ChainableCommander) => ChainableCommander): Promise<unknown[]> {
    const answers = (await commands(this.redis.multi()).exec()) ?? [];
    for (const [error] of answers) if (error) throw error;
    return answers.map(([, answer]) => answer);
  }

  /** Another connection, for what blocks. */
  another(): Redis {
    const other = this.redis.duplicate({ lazyConnect: false });
    this.#watch(other);
    this.#others.push(other);
    return other;
  }

  sender(name: string): Sender {
    const there = this.#senders.get(name);
    if (there) return there;
    const queue = new this.bullmq.Queue(name, { connection: this.redis, prefix });
    queue.on("error", (error) => this.hear(error));
    const sender = senderOf(queue);
    this.#senders.set(name, sender);
    return sender;
  }

  async taker(name: string): Promise<Taker> {
    const worker = new this.bullmq.Worker(name, null, {
      ...{ connection: this.redis, prefix, autorun: false, lockDuration, stalledInterval },
      // Who asks counts the workers that were lost over it, and tells those apart that were slow.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
    });
    worker.on("error", (error) => this.hear(error));
    await worker.startStalledCheckTimer();
    const taker = takerOf(worker, this);
    this.#takers.push(taker);
    return taker;
  }

  async close(): Promise<void> {
    this.#over.abort();
    const ends = [...this.#senders.values(), ...this.#takers].map((one) => one.close().catch(() => {}));
    // A Redis that is gone answers no farewell.
    if (this.isThere) await Promise.race([Promise.all(ends), sleep(farewell, undefined, { ref: false })]);
    for (const one of [...this.#others, this.redis]) one.disconnect();
  }

  #watch(redis: Redis): void {
    redis.on("error", (error) => this.#tellAway(() => connectionFault(error)));
    redis.on("ready", () => this.#tellBack());
  }

  /** A Redis that hangs, or a network that swallows all, ends no connection. */
  async #listen(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      const cancel = afterWaiting(patience, () => this.#tellAway(() => noAnswer));
      const answer = await this.redis.ping().catch(() => undefined);
      cancel();
      if (answer !== undefined) this.#tellBack();
      await sleep(patience * 1000, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  #tellAway(why: () => string): void {
    if (this.#away || this.#over.signal.aborted) return;
    this.#away = true;
    this.options.told(`${this.shown}: ${why()}; ${this.options.meanwhile}`);
  }

  #tellBack(): void {
    if (this.#away && !this.#over.signal.aborted) this.options.told(`${this.shown} is back`, true);
    this.#away = false;
  }
}

function senderOf(queue: Queue): Sender {
  const found = async (id: string) => queue.getJob(id);
  return {
    async add(id, body, { first = false } = {}) {
      // What was done is asked for until the one who asked has heard of it.
      await queue.add("assignment", body, {
        ...{ jobId: id, lifo: first, removeOnComplete: { age: 3600 }, removeOnFail: { age: kept } },
      });
    },
    async state(id) {
      const state = await queue.getJobState(id);
      if (state === "completed") return "done";
      if (state === "failed") return "refused";
      if (state === "active" || state === "unknown") return state;
      return "waiting";
    },
    async refusal(id) {
      return (await found(id))?.failedReason;
    },
    async release(id, token) {
      await unlessLost((await found(id))?.moveToWait(token));
    },
    async remove(id) {
      await unlessLost((await found(id))?.remove());
    },
    close: () => queue.close(),
  };
}

/** It is another's, or was done or taken back meanwhile: then there is nothing to do. */
async function unlessLost(work: Promise<unknown> | undefined): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isLost(error)) return false;
    throw error;
  }
}

function takerOf(worker: Worker, link: RedisLink): Taker {
  return {
    async take(token) {
      const job: Job | undefined = await worker.getNextJob(token, { block: false });
      return job && takenOf(job, token, link);
    },
    close: () => worker.close(true),
  };
}

function takenOf(job: Job, token: string, link: RedisLink): Taken {
  const own = (work: () => Promise<unknown>) => link.ask(() => unlessLost(work()));
  return {
    body: job.data,
    renew: async () => (await job.extendLock(token, lockDuration)) === 1,
    async done() {
      await own(() => job.moveToCompleted(null, token, false));
    },
    async refuse(reason) {
      await own(() => job.moveToFailed(new Error(reason), token, false));
    },
    async giveBack(body) {
      if (body === undefined) await own(() => job.moveToWait(token));
      else if ((await own(() => job.updateData(body))) && (await own(() => job.moveToDelayed(Date.now(), token))))
        // What is delayed would wait for the clock of whoever looks next, and clocks of machines differ.
        await own(() => job.promote());
    },
  };
}
