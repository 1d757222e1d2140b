import { setTimeout as sleep } from "node:timers/promises";
import { BenchError, type Failure, toFailure } from "../../errors.js";
import { several } from "../../harmless.js";
import { bytes as inUnits } from "../../units.js";
import type { Executor, OpenedEngine } from "../executor.js";
import { keyOfCancelled, keyOfRun } from "./dispatch.js";
import { Letters } from "./letters.js";
import { type Assignment, type Body, checkedBody, itemKey, type LeftToOthers } from "./messages.js";
import { OpenEngines } from "./open-engines.js";
import { ownRecord, type WorkerOptions } from "./own-record.js";
import { type FoundVariants, Receiver, type Unable } from "./receiving.js";
import { RedisLink, type Taken, type Taker } from "./redis.js";
import {
  beat,
  hostName,
  hostQueue,
  lately,
  queuesOf,
  register,
  sayPresent,
  unregister,
  type WorkerRecord,
} from "./roster.js";
import { type Watch, watchOver } from "./watch.js";

export interface RunningWorker {
  /** At first: it takes another one when it loses this one in a pause. */
  readonly name: string;
  /** After the item at hand; what is left of the assignment goes to others. */
  stop(): void;
  /** Without the item at hand. */
  kill(): Promise<void>;
  /** Settles when it has ended. Rejects with a BenchError when Redis refuses for good what a worker needs. */
  readonly ended: Promise<void>;
}

/** Milliseconds between looks into queues that were empty: just after work, and at most. */
const pause = { least: 40, most: 500 };
/** Milliseconds for which an assignment that this worker cannot take is left to others, and before the next one is taken then. */
const left = { for: 400, pause: 100 };
/** Characters of the reason why a worker leaves something to others. */
const mostReason = 300;
/** Milliseconds that a run may say nothing: Redis may just have begun anew. */
const runPatience = 5000;
/** Milliseconds after which a stop no longer waits for Redis, and for one that is gone. */
const stopPatience = { there: 8000, gone: 1500 };

/** Takes assignments from the queue until it is stopped. Throws a BenchError when Redis cannot be reached, or refuses it. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const link = await RedisLink.open(options.url, { told: options.told, meanwhile: "it is tried again" });
  const own = await ownRecord(options);
  const record = await link
    .askOnce(() => register(link, own))
    .catch(async (error: unknown) => {
      await link.close();
      throw error;
    });
  const worker = new QueueWorker(link, record, options);
  return { name: record.name, stop: () => worker.stop(), kill: () => worker.kill(), ended: worker.run() };
}

/** Milliseconds without work after which engines are closed. */
const idle = 60_000;
/** A run that says nothing, and since when, by `performance.now()`. */
type Silences = Map<string, number>;

class QueueWorker {
  readonly #takers: { name: string; taker: Taker }[] = [];
  readonly #engines: OpenEngines;
  readonly #receiver: Receiver;
  readonly #abort = new AbortController();
  readonly #silent: Silences = new Map();
  /** By assignment: until when it is left to others, by `performance.now()`. */
  readonly #left = new Map<string, number>();
  readonly #letters: Letters;
  #executor: Executor;
  #stopping = false;
  #idleSince = performance.now();
  readonly #wanted: string;
  #record: WorkerRecord;

  constructor(
    private readonly link: RedisLink,
    record: WorkerRecord,
    private readonly options: WorkerOptions,
  ) {
    this.#record = record;
    this.#wanted = options.name ?? hostName();
    this.#executor = options.executor();
    this.#engines = new OpenEngines(options.memory);
    this.#letters = new Letters(link, () => this.#record, this.#abort.signal);
    this.#receiver = new Receiver(link, { ...options, signal: this.#abort.signal });
  }

  stop(): void {
    this.#stopping = true;
    this.#abort.abort();
    this.#executor.stop();
    setTimeout(() => void this.kill(), stopPatience[this.link.isThere ? "there" : "gone"]).unref();
  }

  async kill(): Promise<void> {
    this.#stopping = true;
    await this.#executor.close();
    await this.link.close();
  }

  async run(): Promise<void> {
    const { link } = this;
    const beats = setInterval(() => void this.#beat().catch((error) => link.hear(error)), beat);
    let wait = pause.least;
    try {
      for (const name of queuesOf(this.#record)) this.#takers.push({ name, taker: await link.taker(name) });
      while (!this.#stopping) {
        const next = await this.#next();
        if (next) {
          await this.#perform(next.taken, next.queue);
          this.#idleSince = performance.now();
          wait = pause.least;
        } else {
          if (performance.now() - this.#idleSince > idle) await this.#engines.close();
          await this.#pause(wait);
          wait = Math.min(1.2 * wait, pause.most);
        }
      }
    } catch (error) {
      // What was to be said while Redis was gone.
      if (!this.#stopping) throw error;
    } finally {
      clearInterval(beats);
      await this.#executor.close();
      await link.farewell(() => unregister(link, this.#record));
      await link.close();
    }
  }

  /** Says that it is there. Who was stopped or slept for long may find another one under its name. */
  async #beat(): Promise<void> {
    const { name } = this.#record;
    if (this.#stopping || (await sayPresent(this.link, this.#record))) return;
    if (this.#record.name !== name) return;
    this.#record = await register(this.link, { ...this.#record, name: this.#wanted });
    const queue = hostQueue(this.#record.name);
    this.#takers[0] = { name: queue, taker: await this.link.taker(queue) };
    this.options.told(`another worker is called ${name} by now: this one is ${this.#record.name}`);
  }

  async #next(): Promise<{ taken: Taken; queue: string } | undefined> {
    for (const { name, taker } of this.#takers)
      try {
        const taken = await this.#ask(() => taker.take(this.#record.token));
        if (taken) return { taken, queue: name };
      } catch (error) {
        if (error instanceof BenchError) throw error;
        // What others wrote there is no assignment.
        this.link.hear(error);
      }
    return undefined;
  }

  async #perform(taken: Taken, queue: string): Promise<void> {
    const { told } = this.options;
    let body: Body;
    try {
      body = checkedBody(taken.body);
    } catch (error) {
      const { message } = toFailure(error);
      told(`refused an assignment: ${message}`);
      return taken.refuse(message);
    }
    const { assignment } = body;
    if (await this.#isGone(assignment)) return taken.done();
    if ((this.#left.get(assignment.id) ?? 0) > performance.now()) {
      await taken.giveBack(body);
      return this.#pause(left.pause);
    }
    this.#left.delete(assignment.id);
    if (this.#silent.has(assignment.run)) return this.#leave(taken, body);
    const before = body.declined[this.#record.token];
    if (before?.failed) return this.#decline(taken, queue, body, before);
    // What follows may take long: files are read to find out what they are, and fetched.
    const watch = this.#watch(taken, assignment);
    try {
      const prepared = await this.#prepare(assignment, before !== undefined);
      if ("reason" in prepared) return await this.#decline(taken, queue, body, prepared);
      const started = performance.now();
      await this.#letters.say(assignment, { type: "taken" });
      told(`takes ${assignment.shown}`);
      const how = await this.#measured(assignment, prepared, watch);
      if (how === "lost") return told(`gave up ${assignment.shown}: it was given to another worker`);
      if (how === "lacks-data") {
        // The run is told, and sends them: until then it is of no use to take this.
        await this.#leave(taken, body);
        return told(`waits for the data of ${assignment.shown}`);
      }
      if (how === "stopped") {
        // A run that said nothing, and goes on all the same, sends it anew.
        await (watch.cancelled ? taken.done() : taken.giveBack());
        await this.#letters.say(assignment, { type: "stopped" });
        return told(`stopped ${assignment.shown}`);
      }
      await taken.done();
      told(`has done ${assignment.shown} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      if (watch.lost) return;
      if (watch.cancelled) return await taken.done();
      if (this.#stopping) return await taken.giveBack();
      this.#receiver.forget();
      await this.#fail(taken, queue, body, toFailure(error));
    } finally {
      watch.end();
      if (watch.lost || watch.cancelled) await this.#beginAnew();
    }
  }

  /** To others in the first place. */
  async #leave(taken: Taken, body: Body): Promise<void> {
    const now = performance.now();
    for (const [id, until] of this.#left) if (until < now) this.#left.delete(id);
    this.#left.set(body.assignment.id, now + left.for);
    await taken.giveBack(body);
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#abort.signal }).catch(() => {});
  }

  /** After a stop, which no engine outlives. */
  async #beginAnew(): Promise<void> {
    this.#engines.forget();
    await this.#executor.close();
    if (!this.#stopping) this.#executor = this.options.executor();
  }

  /** Whether nobody waits for it any more: its run is gone, or takes it back. */
  async #isGone({ run, group }: Assignment): Promise<boolean> {
    const [present, cancelled] = await this.#ask(() => this.link.redis.mget(keyOfRun(run), keyOfCancelled(group)));
    if (cancelled !== null) return true;
    const at = performance.now();
    const since = this.#silent.get(run) ?? at;
    const isOver = present === null && at - since > runPatience;
    if (present === null && !isOver) this.#silent.set(run, since);
    else this.#silent.delete(run);
    return isOver;
  }

  /** Renews what was taken, and stops the engine when that is lost or of no use any more. */
  #watch(taken: Taken, assignment: Assignment): Watch {
    return watchOver({
      isGone: () => this.#isGone(assignment),
      renew: () => taken.renew(),
      stop: () => this.#executor.stop(),
      failed: (error) => this.link.hear(error),
    });
  }

  async #decline(taken: Taken, queue: string, body: Body, unable: Unable): Promise<void> {
    const isNew = !body.declined[this.#record.token];
    const next = this.#declinedBy(body, unable);
    if (!(await this.#isLeft(queue, next))) {
      // Sorted, so that what is refused for the same reasons is told in the same words.
      const all = Object.values(next.declined)
        .map((one) => `${one.by} ${one.reason}`)
        .sort();
      return taken.refuse(`no worker can take ${body.assignment.shown}: ${several(all, 4)}`);
    }
    if (isNew) {
      this.options.told(`leaves ${body.assignment.shown} to others: it ${unable.reason}`);
      if (unable.ever) await this.#letters.say(body.assignment, { type: "declined", reason: unable.reason });
    }
    return this.#leave(taken, next);
  }

  /** What failed here, an engine that hangs or was killed for want of memory, is for another worker to try; what failed twice has failed. */
  async #fail(taken: Taken, queue: string, body: Body, failure: Failure): Promise<void> {
    const { assignment, declined } = body;
    this.options.told(`failed at ${assignment.shown}: ${failure.message}`);
    const reason = `failed at ${assignment.shown} (${failure.message.replace(/\.$/, "")})`.slice(0, mostReason);
    const next = this.#declinedBy(body, { reason, ever: true, failed: true });
    const isFirst = Object.values(declined).every(({ failed }) => !failed);
    try {
      if (isFirst && (await this.#isLeft(queue, next))) {
        await this.#letters.say(assignment, { type: "declined", reason });
        return await this.#leave(taken, next);
      }
      await this.#letters.say(assignment, { type: "failed", failure });
      await taken.done();
    } catch (refusal) {
      // The queue itself still tells the run.
      await taken.refuse(`${this.#record.name}: ${toFailure(refusal).message}`);
    }
  }

  #declinedBy({ assignment, declined }: Body, { reason, ...how }: Omit<LeftToOthers, "by">): Body {
    const { name: by, token } = this.#record;
    return { assignment, declined: { ...declined, [token]: { by, reason: reason.slice(0, mostReason), ...how } } };
  }

  /** Whether a worker may still take it, be it one that has said nothing for a while, or this one when others were asked. */
  async #isLeft(queue: string, { declined }: Body): Promise<boolean> {
    const able = (await this.#ask(() => lately(this.link))).filter((one) => queuesOf(one).includes(queue));
    return [this.#record, ...able].some(({ token }) => !declined[token]?.ever);
  }

  /** The variants with their files found. `offered`: whether others were offered it, who may have the files already. */
  async #prepare({ tags, opening }: Assignment, offered: boolean): Promise<FoundVariants | Unable> {
    const missing = tags.filter((tag) => !this.#record.tags.includes(tag));
    if (missing.length > 0) return { reason: `has no tag ${missing.join(", ")}`, ever: true };
    const { memory } = this.options;
    if (opening.memory > memory) {
      const [needed, own] = [opening.memory, memory].map(inUnits);
      return { reason: `may use ${own} of memory, and ${needed} are needed`, ever: true };
    }
    return this.#receiver.variants(opening, offered);
  }

  /** Opens the engine, or finds it open, and does what is asked. */
  async #measured(assignment: Assignment, prepared: FoundVariants, watch: Watch): Promise<Ending> {
    const { request } = assignment;
    const over = () => (watch.lost ? "lost" : "stopped");
    let engine: OpenedEngine;
    try {
      engine = await this.#engines.open(this.#executor, assignment.opening, prepared);
    } catch (error) {
      // A stop ends an engine that loads its model.
      if (watch.lost || watch.cancelled || this.#stopping) return over();
      throw error;
    }
    if (!request) {
      const { facts, warnings, others } = engine;
      await this.#letters.say(assignment, { type: "opened", facts, warnings: [...warnings], others: [...others] });
      return "done";
    }
    const asked = await this.#ask(() => this.#receiver.request(assignment));
    if (!asked) {
      await this.#letters.say(assignment, { type: "lacks-data" });
      return "lacks-data";
    }
    const items: string[] = [];
    try {
      for await (const reply of engine.measure(asked)) {
        if (watch.lost) continue;
        if (reply.type === "complete") {
          await this.#letters.say(assignment, { ...reply, items });
          return "done";
        }
        await this.#letters.say(assignment, reply);
        if (reply.type === "measured") items.push(itemKey(reply.job, reply.item));
      }
    } catch (error) {
      if (!watch.lost && !watch.cancelled && !this.#stopping) throw error;
    }
    return over();
  }

  /** Once alone when it is being stopped. */
  async #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return this.link.ask(work, this.#abort.signal);
  }
}

/** How an assignment ended that was begun. */
type Ending = "done" | "stopped" | "lost" | "lacks-data";
