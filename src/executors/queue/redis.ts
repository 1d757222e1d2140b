import type { Job, Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { BenchError, systemCode } from "../../errors.js";
import { addressWithoutSecrets } from "../../secrets.js";
import { checkedAddress, shownQueue } from "./address.js";

/** Everything that this program keeps in Redis begins so. */
const prefix = "gguf-bench";
export const keyOf = (...parts: string[]): string => [prefix, ...parts].join(":");

/** Milliseconds for which a worker owns what it took; it renews that all the time. */
const lockDuration = 30_000;
/** Milliseconds between looks for what a worker owns no longer. */
const stalledInterval = 5_000;
/** So many workers may die over one assignment before it is given up. */
const mostDeaths = 10;

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
  id: string;
  body: unknown;
  /** False once it is another's. */
  renew(): Promise<boolean>;
  done(): Promise<void>;
  /** For good: `reason` is a sentence. */
  refuse(reason: string): Promise<void>;
  giveBack(after?: { milliseconds: number; body: unknown }): Promise<void>;
}

/** A connection to Redis. It comes back by itself after an interruption, and what was asked meanwhile waits. */
export class RedisLink {
  /** Without secrets. */
  readonly shown: string;
  readonly #senders = new Map<string, Sender>();
  readonly #takers: Taker[] = [];
  readonly #others: Redis[] = [];

  private constructor(
    readonly redis: Redis,
    private readonly bullmq: Packages["bullmq"],
    url: string,
    private readonly heard: (fault: string | undefined) => void,
  ) {
    this.shown = shownQueue(url);
    this.#watch(redis);
  }

  /** `heard` is told a fault of the connection, in a phrase, and nothing when it is there again. Throws a BenchError `server-unreachable`. */
  static async open(url: string, heard: (fault: string | undefined) => void): Promise<RedisLink> {
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
      fault ||= faultOf(error);
    });
    try {
      await redis.connect();
      await redis.ping();
      isOpen = true;
    } catch (error) {
      redis.disconnect();
      throw new BenchError("server-unreachable", `${shownQueue(url)}: ${fault || faultOf(error)}`, {
        hint: "start Redis, and check host, port and password of --queue",
      });
    }
    return new RedisLink(redis, bullmq, url, heard);
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
    queue.on("error", () => {}); // heard by the connection
    const sender = senderOf(queue);
    this.#senders.set(name, sender);
    return sender;
  }

  async taker(name: string): Promise<Taker> {
    const worker = new this.bullmq.Worker(name, null, {
      ...{ connection: this.redis, prefix, autorun: false, lockDuration, stalledInterval },
      maxStalledCount: mostDeaths,
    });
    worker.on("error", () => {});
    await worker.startStalledCheckTimer();
    const taker = takerOf(worker);
    this.#takers.push(taker);
    return taker;
  }

  async close(): Promise<void> {
    const ends = [...this.#senders.values(), ...this.#takers].map((one) => one.close().catch(() => {}));
    // A Redis that is gone answers no farewell.
    await Promise.race([Promise.all(ends), new Promise((over) => setTimeout(over, 2000))]);
    for (const one of [...this.#others, this.redis]) one.disconnect();
  }

  #watch(redis: Redis): void {
    redis.on("error", (error) => this.heard(faultOf(error)));
    redis.on("ready", () => this.heard(undefined));
  }
}

/** What an error of the connection says, in a phrase; nothing of what was sent. */
function faultOf(error: unknown): string {
  const code = systemCode(error);
  if (code === "ECONNREFUSED") return "nothing listens there";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "there is no such host";
  if (code === "ETIMEDOUT") return "no answer came within 5 s";
  const said = error instanceof Error ? error.message : "";
  if (/WRONGPASS|invalid password/i.test(said)) return "the password or the user's name is wrong";
  if (/NOAUTH/.test(said)) return "it asks for a password";
  if (/self.signed|certificate|altnames/i.test(said))
    return "its certificate is not trusted (NODE_EXTRA_CA_CERTS names a file of more that are)";
  return `the connection failed (${code ?? addressWithoutSecrets(said.split("\n")[0]!.slice(0, 80))})`;
}

function senderOf(queue: Queue): Sender {
  const found = async (id: string) => queue.getJob(id);
  return {
    async add(id, body, { first = false } = {}) {
      // What was done is asked for until the one who asked has heard of it.
      await queue.add("assignment", body, {
        ...{ jobId: id, lifo: first, removeOnComplete: { age: 3600 }, removeOnFail: { age: 86_400 } },
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
      const reason = (await found(id))?.failedReason;
      return reason?.includes("stalled") ? `${mostDeaths} workers were lost while they measured it` : reason;
    },
    async release(id, token) {
      await (await found(id))?.moveToWait(token).catch(() => {}); // it is another's, or was done
    },
    async remove(id) {
      await (await found(id))?.remove().catch(() => {}); // a worker owns it
    },
    close: () => queue.close(),
  };
}

function takerOf(worker: Worker): Taker {
  return {
    async take(token) {
      const job: Job | undefined = await worker.getNextJob(token, { block: false });
      return job && takenOf(job, token);
    },
    close: () => worker.close(true),
  };
}

function takenOf(job: Job, token: string): Taken {
  return {
    id: job.id ?? "",
    body: job.data,
    renew: async () => (await job.extendLock(token, lockDuration).catch(() => 0)) === 1,
    async done() {
      await job.moveToCompleted(null, token, false).catch(() => {}); // it was taken back meanwhile
    },
    async refuse(reason) {
      await job.moveToFailed(new Error(reason), token, false).catch(() => {});
    },
    async giveBack(after) {
      if (after) {
        await job.updateData(after.body).catch(() => {});
        await job.moveToDelayed(Date.now() + after.milliseconds, token).catch(() => {});
      } else await job.moveToWait(token).catch(() => {});
    },
  };
}
