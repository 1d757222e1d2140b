import { setTimeout as sleep } from "node:timers/promises";
import { BenchError, toFailure } from "../../errors.js";
import { several } from "../../harmless.js";
import { bytes as inUnits } from "../../units.js";
import type { Executor, OpenedEngine } from "../executor.js";
import { keyOfCancelled, keyOfDone, keyOfLetters, keyOfRun } from "./dispatch.js";
import { type Assignment, type Body, checkedBody, itemKey, type WorkerReply, written } from "./messages.js";
import { OpenEngines } from "./open-engines.js";
import { ownRecord, type WorkerOptions } from "./own-record.js";
import { type FoundVariants, Receiver, type Unable } from "./receiving.js";
import { kept, RedisLink, type Taken, type Taker } from "./redis.js";
import {
  beat,
  hostName,
  hostQueue,
  present,
  queuesOf,
  register,
  sayPresent,
  unregister,
  type WorkerRecord,
} from "./roster.js";

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
/** Milliseconds between renewals of what was taken, far below the time that it is owned without. */
const renewal = 5000;
/** Milliseconds after which an assignment that this worker cannot take is offered again, to others in the first place. */
const offerAgain = 400;
/** Milliseconds that a run may say nothing: Redis may just have begun anew. */
const runPatience = 5000;
/** Milliseconds after which a stop no longer waits for Redis. */
const stopPatience = 8000;

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
    this.#receiver = new Receiver(link, { ...options, signal: this.#abort.signal });
  }

  stop(): void {
    this.#stopping = true;
    this.#abort.abort();
    this.#executor.stop();
    setTimeout(() => void this.kill(), stopPatience).unref();
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
          await sleep(wait, undefined, { signal: this.#abort.signal }).catch(() => {});
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
    if (this.#silent.has(assignment.run)) return taken.giveBack({ milliseconds: offerAgain, body });
    // What follows may take long: files are read to find out what they are, and fetched.
    const watch = this.#watch(taken, assignment);
    try {
      const prepared = await this.#prepare(assignment, body.declined[this.#record.token] !== undefined);
      if ("reason" in prepared) return await this.#decline(taken, queue, body, prepared);
      const started = performance.now();
      await this.#say(assignment, { type: "taken" });
      told(`takes ${assignment.shown}`);
      const how = await this.#measured(assignment, prepared, watch);
      if (how === "lost") return told(`gave up ${assignment.shown}: it was given to another worker`);
      if (how === "lacks-data") {
        // The run is told, and sends them: until then it is of no use to take this.
        await taken.giveBack({ milliseconds: offerAgain, body });
        return told(`waits for the data of ${assignment.shown}`);
      }
      if (how === "stopped") {
        if (!watch.cancelled) await taken.giveBack();
        await this.#say(assignment, { type: "stopped" });
        return told(`stopped ${assignment.shown}`);
      }
      await taken.done();
      told(`has done ${assignment.shown} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      if (watch.lost) return;
      if (this.#stopping) return await taken.giveBack();
      this.#receiver.forget();
      const failure = toFailure(error);
      told(`failed at ${assignment.shown}: ${failure.message}`);
      try {
        await this.#say(assignment, { type: "failed", failure });
        await taken.done();
      } catch (refusal) {
        // The queue itself still tells the run.
        await taken.refuse(`${this.#record.name}: ${toFailure(refusal).message}`);
      }
    } finally {
      watch.end();
      if (watch.lost || watch.cancelled) await this.#beginAnew();
    }
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

  /** Keeps what was taken, and stops the engine when it is lost or of no use any more. */
  #watch(taken: Taken, assignment: Assignment): Watch {
    const watch = { lost: false, cancelled: false, end: () => clearInterval(timer) };
    let renewed = performance.now();
    let looking = false;
    const stop = () => {
      clearInterval(timer);
      this.#executor.stop();
    };
    const look = async () => {
      if (await this.#isGone(assignment)) {
        watch.cancelled = true;
        stop();
      } else if (performance.now() - renewed > renewal) {
        renewed = performance.now();
        if (await taken.renew()) return;
        watch.lost = true;
        stop();
      }
    };
    const timer = setInterval(() => {
      if (looking) return;
      looking = true;
      void look()
        .catch((error) => this.link.hear(error))
        .finally(() => {
          looking = false;
        });
    }, 500);
    return watch;
  }

  async #decline(taken: Taken, queue: string, body: Body, { reason, ever }: Unable): Promise<void> {
    const { name, token } = this.#record;
    const declined = { ...body.declined, [token]: { by: name, reason: reason.slice(0, 300), ever } };
    const able = (await this.#ask(() => present(this.link))).filter((one) => queuesOf(one).includes(queue));
    if (able.every((one) => declined[one.token]?.ever)) {
      // Sorted, so that what is refused for the same reasons is told in the same words.
      const all = Object.values(declined)
        .map((one) => `${one.by} ${one.reason}`)
        .sort();
      return taken.refuse(`no worker can take ${body.assignment.shown}: ${several(all, 4)}`);
    }
    if (!body.declined[token]) {
      this.options.told(`leaves ${body.assignment.shown} to others: it ${reason}`);
      if (ever) await this.#say(body.assignment, { type: "declined", reason: reason.slice(0, 300) });
    }
    return taken.giveBack({ milliseconds: offerAgain, body: { ...body, declined } });
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
      await this.#say(assignment, { type: "opened", facts, warnings: [...warnings], others: [...others] });
      return "done";
    }
    const asked = await this.#ask(() => this.#receiver.request(assignment));
    if (!asked) {
      await this.#say(assignment, { type: "lacks-data" });
      return "lacks-data";
    }
    const items: string[] = [];
    try {
      for await (const reply of engine.measure(asked)) {
        if (watch.lost) continue;
        if (reply.type === "complete") {
          await this.#say(assignment, { ...reply, items });
          return "done";
        }
        await this.#say(assignment, reply);
        if (reply.type === "measured") items.push(itemKey(reply.job, reply.item));
      }
    } catch (error) {
      if (!watch.lost && !watch.cancelled && !this.#stopping) throw error;
    }
    return over();
  }

  /** An item is told and counted as told in one step. */
  async #say({ id, run, group }: Assignment, told: WorkerReply): Promise<void> {
    const { name, token } = this.#record;
    const letter = written({ assignment: id, worker: name, token, told });
    const key = keyOfLetters(run);
    const done = keyOfDone(group);
    const send = () =>
      this.link.transaction((steps) => {
        const all = steps.xadd(key, "*", "d", letter).expire(key, kept);
        return told.type === "measured" ? all.sadd(done, itemKey(told.job, told.item)).expire(done, kept) : all;
      });
    await this.#ask(send);
  }

  /** Once alone when it is being stopped. */
  async #ask<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    return this.link.ask(work, this.#abort.signal);
  }
}

/** How an assignment ended that was begun. */
type Ending = "done" | "stopped" | "lost" | "lacks-data";

/** What befell an assignment while it was at work. */
interface Watch {
  lost: boolean;
  cancelled: boolean;
  end(): void;
}
