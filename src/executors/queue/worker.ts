import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { VariantSpec } from "../../backends/backend.js";
import { backendNames, findBackend, hasScheme, pathSettings, settingsOf } from "../../backends/index.js";
import { type Dataset, findKind } from "../../data/index.js";
import { definite } from "../../definite.js";
import { BenchError, toFailure } from "../../errors.js";
import { several } from "../../harmless.js";
import { thisMachine } from "../../machine.js";
import { measurementOn, measurements } from "../../measurements/index.js";
import { readModelFacts } from "../../models/gguf.js";
import { bytes as inUnits } from "../../units.js";
import type { Executor, MeasureRequest, OpenedEngine, TogetherRequest } from "../executor.js";
import { kept, keyOfCancelled, keyOfDone, keyOfLetters, keyOfRun } from "./dispatch.js";
import { allowedOf, type FileSources, fetchNamed, findNamed } from "./files.js";
import {
  type Assignment,
  type Body,
  checkedBody,
  itemKey,
  itemOfKey,
  type NamedFile,
  type SentVariant,
  type WorkerReply,
  written,
} from "./messages.js";
import { receive } from "./parcels.js";
import { RedisLink, type Taken, type Taker } from "./redis.js";
import { beat, hostName, present, queuesOf, register, sayPresent, unregister, type WorkerRecord } from "./roster.js";

export interface WorkerOptions extends FileSources {
  url: string;
  version: string;
  /** Opens engines in processes of their own: this one must renew what it took. Asked again after each stop, which ends one for good. */
  executor(): Executor;
  /** Where those would be opened. */
  place: Executor["place"];
  /** Default: the host's name. */
  name?: string;
  tags?: readonly string[];
  /** Threads of engines whose variant says none. */
  threads?: number;
  /** Bytes that engines may use. */
  memory: number;
  /** Hears what it does, a sentence without its end. */
  told(sentence: string): void;
}

export interface RunningWorker {
  readonly name: string;
  /** After the item at hand; what is left of the assignment goes to others. */
  stop(): void;
  /** Without the item at hand. */
  kill(): Promise<void>;
  /** Settles when it has ended. */
  readonly ended: Promise<void>;
}

/** Milliseconds between looks into queues that were empty. */
const pause = 40;
/** Milliseconds between renewals of what was taken, far below the time that it is owned without. */
const renewal = 5000;
/** Milliseconds after which an assignment that this worker cannot take is offered again, to others in the first place. */
const offerAgain = 400;
/** Milliseconds that a run may say nothing: Redis may just have begun anew. */
const runPatience = 5000;
/** Milliseconds after which a stop no longer waits for Redis. */
const stopPatience = 8000;

/** Takes assignments from the queue until it is stopped. Throws a BenchError when Redis cannot be reached. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  let fault: string | undefined;
  const link: RedisLink = await RedisLink.open(options.url, (now) => {
    if (now !== undefined && fault === undefined) options.told(`${link.shown}: ${now}; it is tried again`);
    if (now === undefined && fault !== undefined) options.told(`${link.shown} is back`);
    fault = now;
  });
  const record = await register(link, await describe(options));
  const worker = new QueueWorker(link, record, options);
  return { name: record.name, stop: () => worker.stop(), kill: () => worker.kill(), ended: worker.run() };
}

async function describe({ name, tags = [], version, memory, threads, place }: WorkerOptions): Promise<WorkerRecord> {
  const builds: WorkerRecord["builds"] = [];
  for (const backend of backendNames) {
    const { builds: all = [], settingsFacts } = await findBackend(backend);
    for (const settings of all) {
      if (settingsFacts(settings).impossible !== undefined) continue;
      const { engine } = await place({ backend, model: "", settings });
      builds.push({ backend, settings, engine });
    }
  }
  const host = hostName();
  const all = thisMachine();
  // Speed is of the cores that are used.
  const machine = { ...all, host, cpus: Math.min(threads ?? all.cpus, all.cpus) };
  return {
    ...{ name: name ?? host, token: randomUUID(), version, tags: [...tags], machine },
    ...{ builds, memory, since: Date.now() },
  };
}

/** Milliseconds without work after which engines are closed. */
const idle = 60_000;
/** Engines, and data, that stay for what comes next. */
const mostOpen = 8;
const mostData = 4;

/** An engine that stays open for what comes next. */
interface Open {
  key: string;
  memory: number;
  engine: OpenedEngine;
}

/** Why an assignment is not this worker's to measure. */
interface Unable {
  reason: string;
  /** Whether that stays so. */
  ever: boolean;
}

/** A run that says nothing, and since when. */
type Silences = Map<string, number>;

class QueueWorker {
  readonly #takers: { name: string; taker: Taker }[] = [];
  readonly #engines: Open[] = [];
  readonly #files = new Map<string, string>();
  readonly #silent: Silences = new Map();
  #executor: Executor;
  #data: { sha256: string; data: Dataset }[] = [];
  #stopping = false;
  #idleSince = Date.now();

  constructor(
    private readonly link: RedisLink,
    private readonly record: WorkerRecord,
    private readonly options: WorkerOptions,
  ) {
    this.#executor = options.executor();
  }

  stop(): void {
    this.#stopping = true;
    this.#executor.stop();
    setTimeout(() => void this.kill(), stopPatience).unref();
  }

  async kill(): Promise<void> {
    this.#stopping = true;
    await this.#executor.close();
    await this.link.close();
  }

  async run(): Promise<void> {
    const { link, record } = this;
    const beats = setInterval(() => void sayPresent(link, record).catch(() => {}), beat);
    try {
      for (const name of queuesOf(record)) this.#takers.push({ name, taker: await link.taker(name) });
      while (!this.#stopping) {
        const next = await this.#next();
        if (next) {
          await this.#perform(next.taken, next.queue);
          this.#idleSince = Date.now();
        } else {
          if (Date.now() - this.#idleSince > idle) await this.#closeEngines();
          await sleep(pause);
        }
      }
    } catch (error) {
      // What was to be said while Redis was gone.
      if (!this.#stopping) throw error;
    } finally {
      clearInterval(beats);
      await this.#executor.close();
      await Promise.race([unregister(link, record).catch(() => {}), sleep(1000)]);
      await link.close();
    }
  }

  async #next(): Promise<{ taken: Taken; queue: string } | undefined> {
    for (const { name, taker } of this.#takers) {
      const taken = await taker.take(this.record.token).catch(() => undefined);
      if (taken) return { taken, queue: name };
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
    // From here on it may take long: files are read to find out what they are, and fetched.
    const watch = this.#watch(taken, assignment);
    try {
      const prepared = await this.#prepare(assignment, body.declined[this.record.token] !== undefined);
      if ("reason" in prepared) return await this.#decline(taken, queue, body, prepared);
      const started = performance.now();
      await this.#say(assignment, { type: "taken" });
      told(`takes ${assignment.shown}`);
      const how = await this.#measured(assignment, prepared, watch);
      if (how === "lost") return told(`gave up ${assignment.shown}: it was given to another worker`);
      if (how === "stopped") {
        if (!watch.cancelled) await taken.giveBack();
        await this.#say(assignment, { type: "stopped" });
        return told(`stopped ${assignment.shown}`);
      }
      await taken.done();
      told(`has done ${assignment.shown} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      if (watch.lost) return;
      const failure = toFailure(error);
      told(`failed at ${assignment.shown}: ${failure.message}`);
      await this.#say(assignment, { type: "failed", failure });
      await taken.done();
    } finally {
      watch.end();
      if (watch.lost || watch.cancelled) await this.#beginAnew();
    }
  }

  /** After a stop, which no engine outlives. */
  async #beginAnew(): Promise<void> {
    this.#engines.length = 0;
    await this.#executor.close();
    if (!this.#stopping) this.#executor = this.options.executor();
  }

  /** Whether nobody waits for it any more: its run is gone, or takes it back. */
  async #isGone({ run, group }: Assignment): Promise<boolean> {
    const [present, cancelled] = await this.link.redis.mget(keyOfRun(run), keyOfCancelled(group));
    if (cancelled !== null) return true;
    if (present !== null) this.#silent.delete(run);
    else if (!this.#silent.has(run)) this.#silent.set(run, Date.now());
    return Date.now() - (this.#silent.get(run) ?? Date.now()) > runPatience;
  }

  /** Keeps what was taken, and stops the engine when it is lost or of no use any more. */
  #watch(taken: Taken, assignment: Assignment): Watch {
    const watch = { lost: false, cancelled: false, end: () => clearInterval(timer) };
    let renewed = Date.now();
    let looking = false;
    const stop = () => {
      clearInterval(timer);
      this.#executor.stop();
    };
    const look = async () => {
      if (await this.#isGone(assignment)) {
        watch.cancelled = true;
        stop();
      } else if (Date.now() - renewed > renewal) {
        renewed = Date.now();
        if (await taken.renew()) return;
        watch.lost = true;
        stop();
      }
    };
    const timer = setInterval(() => {
      if (looking) return;
      looking = true;
      void look()
        .catch(() => {})
        .finally(() => {
          looking = false;
        });
    }, 500);
    return watch;
  }

  async #decline(taken: Taken, queue: string, body: Body, { reason, ever }: Unable): Promise<void> {
    const { name, token } = this.record;
    const declined = { ...body.declined, [token]: { by: name, reason: reason.slice(0, 300), ever } };
    const able = (await present(this.link)).filter((one) => queuesOf(one).includes(queue));
    if (able.every((one) => declined[one.token]?.ever)) {
      const all = Object.values(declined).map((one) => `${one.by}: ${one.reason}`);
      return taken.refuse(`no worker can take ${body.assignment.shown}: ${several(all, 4)}`);
    }
    if (!body.declined[token]) this.options.told(`leaves ${body.assignment.shown} to others: ${reason}`);
    return taken.giveBack({ milliseconds: offerAgain, body: { ...body, declined } });
  }

  /** The variants with their files found. `offered`: whether others were offered it, who may have the files already. */
  async #prepare({ tags, opening }: Assignment, offered: boolean): Promise<FoundVariants | Unable> {
    const missing = tags.filter((tag) => !this.record.tags.includes(tag));
    if (missing.length > 0) return { reason: `it has no tag ${missing.join(", ")}`, ever: true };
    const { memory } = this.options;
    if (opening.memory > memory) {
      const [needed, own] = [opening.memory, memory].map(inUnits);
      return { reason: `${needed} of memory are needed, and ${own} may be used`, ever: true };
    }
    const specs: VariantSpec[] = [];
    for (const one of [opening.variant, ...opening.others]) {
      await checkOpenable(one);
      const files = ["file" in one.model ? one.model.file : undefined, ...one.lora];
      const paths: (string | undefined)[] = [];
      for (const file of files) {
        const path = file && (await this.#pathOf(file, offered));
        if (typeof path === "object") return path;
        paths.push(path);
      }
      specs.push(await this.#spec(one, paths));
    }
    return { spec: specs[0]!, others: specs.slice(1) };
  }

  async #pathOf(file: NamedFile, offered: boolean): Promise<string | Unable> {
    const known = this.#files.get(file.sha256);
    if (known !== undefined) return known;
    let path = await findNamed(file, this.options);
    if (path === undefined) {
      const sha = `${file.name} (sha256 ${file.sha256.slice(0, 12)}…)`;
      if (allowedOf(file, this.options).length === 0)
        return { reason: `${sha} is not in its folders, and it may fetch it from nowhere`, ever: true };
      if (!offered) return { reason: `${sha} is not in its folders yet`, ever: false };
      this.options.told(`fetches ${file.name}`);
      path = await fetchNamed(file, this.options);
    }
    this.#files.set(file.sha256, path);
    return path;
  }

  async #spec(
    { name, backend, settings, model, lora }: SentVariant,
    [path, ...adapters]: (string | undefined)[],
  ): Promise<VariantSpec> {
    const { threads } = this.options;
    const takesThreads = threads !== undefined && "threads" in settingsOf(backend).shape;
    return {
      ...{ name, backend, settings: { ...(takesThreads ? { threads } : {}), ...settings } },
      ...("file" in model ? { model: path!, facts: await readModelFacts(path!) } : { model: model.known }),
      lora: lora.map(({ sha256, scale }, i) => ({ sha256, scale, path: adapters[i]! })),
    };
  }

  /** Opens the engine, or finds it open, and does what is asked. */
  async #measured(assignment: Assignment, prepared: FoundVariants, watch: Watch): Promise<"done" | "stopped" | "lost"> {
    const { request } = assignment;
    const over = () => (watch.lost ? "lost" : "stopped");
    let engine: OpenedEngine;
    try {
      engine = await this.#open(assignment, prepared);
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
    const asked = await this.#asked(assignment);
    if (!asked) {
      await this.#say(assignment, { type: "lacks-data" });
      return "stopped";
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

  async #open({ opening }: Assignment, { spec, others }: FoundVariants): Promise<OpenedEngine> {
    const { timeout, memory, scratch } = opening;
    const key = JSON.stringify([spec, others, scratch]);
    for (const one of this.#engines.filter(({ engine }) => !engine.alive))
      this.#engines.splice(this.#engines.indexOf(one), 1);
    const found = this.#engines.find((one) => one.key === key);
    if (found) {
      // The list is in the order of use.
      this.#engines.push(...this.#engines.splice(this.#engines.indexOf(found), 1));
      return found.engine;
    }
    const used = () => this.#engines.reduce((sum, one) => sum + one.memory, memory);
    while (this.#engines.length > 0 && (used() > this.options.memory || this.#engines.length >= mostOpen))
      await this.#engines.shift()!.engine.close();
    const engine = await this.#executor.open(spec, { timeout, others, memory, ...definite({ scratch }) });
    this.#engines.push({ key, memory, engine });
    return engine;
  }

  async #closeEngines(): Promise<void> {
    for (const { engine } of this.#engines.splice(0)) await engine.close();
  }

  /** The request, with its data; undefined where Redis has them no longer. Throws a BenchError for what is none. */
  async #asked({ group, request }: Assignment): Promise<MeasureRequest | undefined> {
    const { kind, settings, data, only, share, together } = request!;
    const dataset = data && (await this.#dataset(data));
    if (data && !dataset) return undefined;
    if (!Object.hasOwn(measurements, kind)) throw refused("asks for a measurement that there is not");
    const measurement = measurementOn(kind, dataset?.kind);
    const checked = measurement.settings.safeParse(settings);
    if (!checked.success) throw refused(`has settings that are none of ${kind}`);
    const done = new Map<string, string[]>();
    for (const key of await this.link.redis.smembers(keyOfDone(group))) {
      const { job, item } = itemOfKey(key);
      done.set(job, [...(done.get(job) ?? []), item]);
    }
    const withDone = (jobs: Omit<TogetherRequest, "done">[]) =>
      jobs.map((job) => ({ ...job, done: done.get(job.id) ?? [] }));
    return definite({
      ...{ kind, settings, dataset, only, share, done: done.get("") ?? [] },
      together: together && {
        jobs: withDone(together.jobs.map(definite)),
        riders: withDone(together.riders.map(definite)),
      },
    });
  }

  async #dataset({ sha256, file }: { sha256: string; file?: NamedFile | undefined }): Promise<Dataset | undefined> {
    const known = this.#data.find((one) => one.sha256 === sha256);
    if (known) return known.data;
    const received = await receive(this.link, sha256);
    if (received === undefined) return undefined;
    const found = file && (await this.#pathOf(file, true));
    if (typeof found === "object") throw new BenchError("dataset-missing", found.reason);
    const data = checkedData(received, found);
    this.#data = [...this.#data.slice(1 - mostData), { sha256, data }];
    return data;
  }

  /** An item is told and counted as told in one step. */
  async #say({ id, run, group }: Assignment, told: WorkerReply): Promise<void> {
    const { name, token } = this.record;
    const letter = written({ assignment: id, worker: name, token, told });
    const key = keyOfLetters(run);
    const steps = this.link.redis.multi().xadd(key, "*", "d", letter).expire(key, kept);
    if (told.type === "measured")
      steps.sadd(keyOfDone(group), itemKey(told.job, told.item)).expire(keyOfDone(group), kept);
    await steps.exec();
  }
}

/** What became of an assignment while it was at work. */
interface Watch {
  lost: boolean;
  cancelled: boolean;
  end(): void;
}

interface FoundVariants {
  spec: VariantSpec;
  others: VariantSpec[];
}

const refused = (why: string) => new BenchError("server-refused", `the assignment ${why}`);

/** Throws a BenchError for a variant that would open something else than a model file in the worker's folders. */
async function checkOpenable({ name, backend, settings, model }: SentVariant): Promise<void> {
  if (!(await findBackend(backend)).builds) throw refused(`is for ${backend}, which a worker does not open`);
  const path = pathSettings(backend).find((key) => key in settings);
  if (path !== undefined) throw refused(`sets \`${path}\` of ${name}, which is a path`);
  if (!settingsOf(backend).safeParse(settings).success) throw refused(`has settings that are none of ${backend}`);
  if ("known" in model && !hasScheme(backend, model.known)) throw refused(`names the model of ${name} by a path`);
}

/** Data as they were sent; the only path in them is one that this worker found. */
function checkedData(received: unknown, path = ""): Dataset {
  const { data } = dataForm.safeParse(received);
  if (!data || !findKind(data.kind)) throw refused("has data of no known kind");
  if (data.reread !== undefined && path === "") throw refused("has data that name no file by its hash");
  return { ...data, path };
}

const dataForm = z.looseObject({
  kind: z.string(),
  name: z.string(),
  sha256: z.string(),
  bytes: z.number(),
  reread: z.literal(true).exactOptional(),
  note: z.string().exactOptional(),
});
