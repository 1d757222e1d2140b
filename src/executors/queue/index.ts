import { setTimeout as sleep } from "node:timers/promises";
import type { VariantSpec } from "../../backends/backend.js";
import { BenchError } from "../../errors.js";
import { several } from "../../harmless.js";
import { counted } from "../../units.js";
import type { Executor } from "../executor.js";
import { shownQueue } from "./address.js";
import { fits, roleOf, type UsedPlace } from "./comparable.js";
import { type Dispatched, Dispatcher } from "./dispatch.js";
import { Happenings } from "./happenings.js";
import { keyOf, RedisLink } from "./redis.js";
import { type Queues, RemoteEngine } from "./remote-engine.js";
import { hostQueue, placeAt, placeQueue, present, type WorkerRecord } from "./roster.js";
import { checkSendable } from "./sending.js";

export { startWorker } from "./worker.js";

/** Milliseconds for which the first worker is waited for: both may be started at once. */
const firstPatience = 15_000;
/** Milliseconds after which it is told that it is waited for. */
const untilTold = 3000;
/** Requests that are measured side by side, for each worker: so that none waits for the end of another. */
const requestsPerWorker = 2;

/** So long should one part take: what is lost with a worker, beside what it costs to begin one. */
const partSeconds = 60;
/** Parts for each worker, so that the slower ones get fewer; one where all of them together take less than so many seconds. */
const partsPerWorker = 3;
const shortRequest = 5;
const mostParts = 2000;

export interface QueueOptions {
  /** `redis://[user:password@]host:port[/db]`, or `rediss://`. */
  url: string;
  /** The version of this program: workers of another are passed over. */
  version: string;
  /** Workers have all of these. */
  tags?: readonly string[];
  /** The worker that measures speed, or its host; the first one by default. */
  speedHost?: string;
  /** Hears that a worker is waited for, in a sentence without its end. */
  waiting?(sentence: string): void;
}

/**
 * Engines on other machines, by a queue in Redis: sends what is to be measured to workers. Throws a BenchError when Redis cannot be
 * reached or refuses what a queue needs, or no worker comes.
 */
export async function queueExecutor(options: QueueOptions): Promise<Executor> {
  const { url, version, tags = [], speedHost } = options;
  const happenings = new Happenings();
  const link = await RedisLink.open(url, {
    told: (sentence, isWell) => (isWell ? happenings.note(sentence) : happenings.warn(sentence, shownQueue(url))),
    meanwhile: "the run waits for it",
  });
  const wanted = { version, tags };
  const ours = (worker: WorkerRecord) => fits(worker, wanted);
  const workers = await firstWorkers(link, options).catch(async (error: unknown) => {
    await link.close();
    throw error;
  });
  const engines = new Set<RemoteEngine>();
  let stopped = false;
  /** By queue, in the order in which they were needed. */
  const places = new Map<string, UsedPlace & { host: WorkerRecord }>();
  const roleNow = (worker: WorkerRecord) => roleOf(worker, [...places.values()], wanted);

  /** Workers of which it was said that they are gone, until they have left. */
  const lost = new Set<string>();
  const declined = new Set<string>();
  const told = (event: Dispatched) => {
    switch (event.what) {
      case "lost":
        lost.add(event.worker);
        happenings.warn(`${event.worker} is gone: ${event.assignment.shown} goes to another worker`, event.worker);
        break;
      case "unserved":
        happenings.warn(`no worker is left for ${event.assignment.shown}: it is measured when one is back`);
        break;
      case "declined": {
        const message = `${event.worker} ${event.reason}, and leaves that to others`;
        if (!declined.has(message)) happenings.warn(message);
        declined.add(message);
        break;
      }
      case "joined": {
        const { name } = event.worker;
        const { measures, reason } = roleNow(event.worker);
        if (measures) happenings.note(`${name} measures from now on, too`);
        if (reason !== undefined) happenings.warn(`passed over: ${name} ${reason}`);
        break;
      }
      case "left": {
        const { name } = event.worker;
        if (!lost.delete(name) && roleNow(event.worker).measures) happenings.note(`${name} has left`);
      }
    }
  };
  const dispatcher = new Dispatcher(link, { workers, told, failed: (error) => happenings.fail(error) });

  const placeOf = async (variant: Pick<VariantSpec, "backend" | "settings">) => {
    await checkSendable(variant);
    const all = workers.filter(ours).flatMap((worker) => {
      const place = placeAt(worker, variant);
      return place ? [{ worker, place, queue: placeQueue(place, version) }] : [];
    });
    const count = (queue: string) => all.filter((one) => one.queue === queue).length;
    // Of as many workers, those that are used already, then those that came first.
    const [first] = all.toSorted(
      (a, b) => count(b.queue) - count(a.queue) || Number(places.has(b.queue)) - Number(places.has(a.queue)),
    );
    if (!first)
      throw new BenchError(
        "program-missing",
        `no worker at ${link.shown} has a build of ${variant.backend} for these settings`,
        {
          hint: "`gguf-bench doctor` says on each machine which builds it has",
        },
      );
    const own = all.filter(({ queue }) => queue === first.queue).map(({ worker }) => worker);
    const host = speedHost === undefined ? own[0]! : own.find((worker) => isHost(worker, speedHost));
    if (!host) throw noSpeedHost(speedHost!, own);
    const place = { ...first.place, machine: placeAt(host, variant)!.machine };
    if (!places.has(first.queue))
      places.set(first.queue, { queue: first.queue, backend: variant.backend, place, host });
    return place;
  };

  return {
    place: placeOf,
    get capacity() {
      return { steps: Math.max(1, requestsPerWorker * dispatcher.workers.filter(ours).length) };
    },
    memory: Math.max(...workers.filter(ours).map(({ memory }) => memory)),
    async open(variant, options) {
      const routeOf = (one: VariantSpec): Queues => {
        for (const worker of workers.filter(ours)) {
          const place = placeAt(worker, one);
          const queue = place && placeQueue(place, version);
          const found = queue && places.get(queue);
          if (found) return { any: queue, host: hostQueue(found.host.name), tags: [...tags] };
        }
        throw new BenchError("internal", `${one.name} was never given a place`);
      };
      if (stopped) throw new BenchError("stopped", `${variant.name} was not opened any more`);
      const engine: RemoteEngine = new RemoteEngine(dispatcher, routeOf, partsOf, () => engines.delete(engine));
      engines.add(engine);
      await engine.become(variant, options).catch(async (error: unknown) => {
        await engine.close();
        throw error;
      });
      return engine;
    },
    stop() {
      stopped = true;
      for (const engine of engines) engine.stop();
    },
    async close() {
      for (const engine of engines) await engine.close();
      await dispatcher.close();
      await link.close();
      happenings.end();
    },
    happenings() {
      const roles = workers.map((worker) => ({ name: worker.name, ...roleNow(worker) }));
      const used = roles.flatMap(({ name, measures }) => (measures ? [name] : []));
      if (used.length > 0) happenings.note(`measured by ${counted(used.length, "worker")}: ${several(used)}`);
      for (const { name, reason } of roles) if (reason !== undefined) happenings.warn(`passed over: ${name} ${reason}`);
      return happenings.heard();
    },
  };

  /** In how many parts a request of so many seconds is sent. */
  function partsOf(seconds = 0): number {
    const count = dispatcher.workers.filter(ours).length;
    const requests = Math.max(1, [...engines].filter(({ busy }) => busy).length);
    const each = seconds < shortRequest ? 1 : partsPerWorker;
    return Math.min(mostParts, Math.max(Math.ceil((each * count) / requests), Math.ceil(seconds / partSeconds), 1));
  }
}

/** Waits for the first worker that fits, and the one that times speed. Throws a BenchError when none comes. */
async function firstWorkers(
  link: RedisLink,
  { version, tags = [], speedHost, waiting = () => {} }: QueueOptions,
): Promise<WorkerRecord[]> {
  const ours = (worker: WorkerRecord) => fits(worker, { version, tags });
  // A Redis that takes nothing is told before anything waits for it.
  await link.askOnce(() => link.redis.set(keyOf("begun"), "1", "PX", 1000));
  const began = performance.now();
  for (let isTold = false; ; await sleep(200)) {
    const workers = await link.askOnce(() => present(link));
    if (workers.some((worker) => ours(worker) && (speedHost === undefined || isHost(worker, speedHost))))
      return workers;
    const waited = performance.now() - began;
    if (waited > firstPatience)
      throw speedHost !== undefined && workers.some(ours)
        ? noSpeedHost(speedHost, workers.filter(ours))
        : noWorker(link.shown, workers, version, tags);
    if (waited > untilTold && !isTold) {
      isTold = true;
      waiting(`waits up to ${firstPatience / 1000} s for a worker at ${link.shown}`);
    }
  }
}

function noWorker(address: string, workers: WorkerRecord[], version: string, tags: readonly string[]): BenchError {
  const command = "gguf-bench worker --queue …";
  if (workers.length === 0)
    return new BenchError("server-unreachable", `no worker listens at ${address}`, {
      hint: `start one on each machine that is to measure: ${command}`,
    });
  const sameVersion = workers.filter((worker) => worker.version === version);
  const why = sameVersion.length === 0 ? `is of this version, ${version}` : `has the tags ${tags.join(", ")}`;
  const told = ({ name, version: own, tags: its }: WorkerRecord) =>
    own === version ? `${name} with ${its.length > 0 ? its.join(", ") : "no tags"}` : `${name} of version ${own}`;
  return new BenchError("server-unreachable", `no worker at ${address} ${why}`, {
    hint: `there are ${several(workers.map(told), 6)}`,
  });
}

const isHost = ({ name, machine }: WorkerRecord, asked: string | undefined) =>
  asked !== undefined && [name, machine.host].includes(asked);

function noSpeedHost(asked: string, able: WorkerRecord[]): BenchError {
  return new BenchError("config", `--speed-host ${asked}: no worker of that name can measure with the others`, {
    hint: `there are ${several(able.map(({ name }) => name))}`,
  });
}
