import { setTimeout as sleep } from "node:timers/promises";
import type { VariantSpec } from "../../backends/backend.js";
import { BenchError } from "../../errors.js";
import { several } from "../../harmless.js";
import { counted } from "../../units.js";
import type { Executor, Place } from "../executor.js";
import { placeDigest } from "../place.js";
import { Dispatcher } from "./dispatch.js";
import { RedisLink } from "./redis.js";
import { type Queues, RemoteEngine } from "./remote-engine.js";
import { hostQueue, placeAt, placeQueue, present, type WorkerBuild, type WorkerRecord } from "./roster.js";
import { checkSendable } from "./sending.js";

export { startWorker, type WorkerOptions } from "./worker.js";

/** Milliseconds for which the first worker is waited for: both may be started at once. */
const firstPatience = 15_000;
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
}

/**
 * Engines on other machines, by a queue in Redis: sends what is to be measured to workers. Throws a BenchError when Redis cannot be
 * reached, or no worker comes.
 */
export async function queueExecutor({ url, version, tags = [], speedHost }: QueueOptions): Promise<Executor> {
  let notice = (_: string) => {};
  let fault: string | undefined;
  const link: RedisLink = await RedisLink.open(url, (now) => {
    if (now !== undefined && fault === undefined) notice(`${link.shown}: ${now}; the run goes on when it is back`);
    if (now === undefined && fault !== undefined) notice(`${link.shown} is back`);
    fault = now;
  });
  const ours = ({ tags: own, version: its }: WorkerRecord) => its === version && tags.every((tag) => own.includes(tag));
  const timesSpeed = (worker: WorkerRecord) => ours(worker) && isHost(worker, speedHost);
  let workers: WorkerRecord[] = [];
  for (const end = Date.now() + firstPatience; ; await sleep(200)) {
    workers = await present(link);
    if (workers.some(speedHost === undefined ? ours : timesSpeed)) break;
    if (Date.now() < end) continue;
    await link.close();
    throw workers.some(ours)
      ? noSpeedHost(speedHost!, workers.filter(ours))
      : noWorker(link.shown, workers, version, tags);
  }
  const dispatcher = new Dispatcher(link, {
    workers,
    told({ what, assignment, worker }) {
      const { shown } = assignment;
      if (what === "lost") notice(`${worker} is gone: ${shown} goes to another worker`);
      if (what === "lonely") notice(`no worker is left for ${shown}: it is measured when one is back`);
    },
  });
  const engines = new Set<RemoteEngine>();
  let stopped = false;
  /** By queue, in the order in which they were needed. */
  const places = new Map<string, { place: Place; host: WorkerRecord }>();

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
    const found = { place: { ...first.place, machine: placeAt(host, variant)!.machine }, host };
    if (!places.has(first.queue)) places.set(first.queue, found);
    return found.place;
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
    },
    tell(heard) {
      notice = heard;
    },
    notes: () => notesOn(workers, { ours, version, tags, places: [...places] }),
  };

  /** In how many parts a request of so many seconds is sent. */
  function partsOf(seconds = 0): number {
    const count = dispatcher.workers.filter(ours).length;
    const requests = Math.max(1, [...engines].filter(({ busy }) => busy).length);
    const each = seconds < shortRequest ? 1 : partsPerWorker;
    return Math.min(mostParts, Math.max(Math.ceil((each * count) / requests), Math.ceil(seconds / partSeconds), 1));
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

/** Who measures, and who is passed over and why. */
function notesOn(
  workers: WorkerRecord[],
  {
    ours,
    version,
    tags,
    places,
  }: {
    ours(worker: WorkerRecord): boolean;
    version: string;
    tags: readonly string[];
    places: [string, { place: Place; host: WorkerRecord }][];
  },
): string[] {
  const odd: string[] = [];
  const used: string[] = [];
  for (const worker of workers) {
    const missing = tags.filter((tag) => !worker.tags.includes(tag));
    if (worker.version !== version)
      odd.push(`${worker.name} runs version ${worker.version} of gguf-bench, not ${version}`);
    else if (missing.length > 0) odd.push(`${worker.name} has no tag ${missing.join(", ")}`);
    else if (ours(worker)) {
      const reasons = places.flatMap(([queue, { place }]) => reasonAgainst(worker, queue, place, version) ?? []);
      if (reasons.length < places.length) used.push(worker.name);
      if (reasons.length > 0)
        odd.push(`${worker.name} ${reasons[0]}${reasons.length < places.length ? ", for some of the variants" : ""}`);
    }
  }
  return [
    ...(used.length > 0 ? [`Measured by ${counted(used.length, "worker")}: ${several(used)}.`] : []),
    ...odd.map((one) => `Passed over: ${one}; its figures would differ in the last digits.`),
  ];
}

/** A build as people tell it from others. */
function buildName(engine: Place["engine"] | WorkerBuild["engine"] | undefined): string {
  if (!engine) return "none of this engine";
  const { version, library, build, environment = {} } = engine;
  const set = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return [`${version} (${library})`, ...(build ? [build.slice(0, 12)] : []), ...set].join(" ");
}

/** Why what this worker measures is not comparable to the digit with what the others do; undefined where it is. */
function reasonAgainst(
  worker: WorkerRecord,
  queue: string,
  { engine, machine }: Place,
  version: string,
): string | undefined {
  const own = worker.builds.map((build) => ({ engine: build.engine, machine: worker.machine }));
  if (own.some((place) => placeQueue(place as Place, version) === queue)) return undefined;
  const same = own.find(
    (place) => placeDigest({ ...place, machine } as Place, false) === placeDigest({ engine, machine }, false),
  );
  if (same) return `has another processor (${worker.machine.cpu})`;
  const other = worker.builds.find(({ engine: own }) => own.version.split(" ")[0] === engine.version.split(" ")[0]);
  return `has another build: ${buildName(other?.engine)}, not ${buildName(engine)}`;
}
