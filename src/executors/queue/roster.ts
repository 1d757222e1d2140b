import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Settings } from "../../backends/backend.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import type { Place } from "../executor.js";
import { placeDigest } from "../place.js";
import { keyOf, type RedisLink } from "./redis.js";

const text = z.string().max(500);
const machineForm = z.strictObject({
  ...{ cpu: text, cpus: z.int(), memoryBytes: z.number(), os: text, arch: text, gpus: z.array(text).max(64) },
  host: text.optional(),
});
const engineForm = z.strictObject({
  ...{ version: text, library: text, origin: text, gpu: z.boolean() },
  build: text.optional(),
  environment: z.record(text, text).optional(),
  rounding: z.number().optional(),
  started: text.optional(),
});

/** A worker as it tells of itself. */
const workerForm = z.strictObject({
  name: z.string().regex(/^[\w.-]{1,64}$/, "a name has letters, digits, dots and dashes"),
  /** Owns what the worker takes: another one under the same name has another. */
  token: z.string().max(100),
  /** The version of this program. */
  version: text,
  tags: z.array(text).max(50),
  machine: machineForm,
  /** The builds that it can compute with: by backend, and the settings that choose among them, the default first. */
  builds: z.array(z.strictObject({ backend: text, settings: z.record(text, z.unknown()), engine: engineForm })).max(50),
  /** Bytes that engines may use. */
  memory: z.number().min(0),
  since: z.number(),
});
export type WorkerRecord = z.output<typeof workerForm>;
export type WorkerBuild = WorkerRecord["builds"][number];

export const workerName = workerForm.shape.name;

/** Milliseconds after which a worker that says nothing is gone; it says something every `beat`. */
const silence = 5000;
export const beat = 1000;

/** Milliseconds for which one that says nothing may be slow, stopped or started anew, and come back. */
const remembered = 30_000;

const roster = keyOf("workers");
const keyOfWorker = (name: string) => keyOf("worker", name);
const keyOfLately = (name: string) => keyOf("lately", name);

/** The queue of what any worker of a place may take. Workers of another version score by other rules, perhaps. */
export const placeQueue = (place: Place, version: string): string =>
  `place-${placeDigest(place, false)}-${version.replace(/[^\w.-]/g, "_")}`;

/** The queue of what one worker alone may take. */
export const hostQueue = (worker: string): string => `host-${worker}`;

/** All that a worker takes from. */
export function queuesOf(worker: WorkerRecord): string[] {
  const places = worker.builds.map((build) => placeAt(worker, build));
  return [hostQueue(worker.name), ...new Set(places.map((place) => placeQueue(place!, worker.version)))];
}

/** Where a worker would open a variant; undefined where it has no build for it. */
export function placeAt(
  { builds, machine }: Pick<WorkerRecord, "builds" | "machine">,
  { backend, settings }: { backend: string; settings: Settings },
): Place | undefined {
  const own = builds.filter((one) => one.backend === backend);
  const build = own.find((one) =>
    Object.entries(one.settings).every(([key, value]) => (settings[key] ?? own[0]!.settings[key]) === value),
  );
  return build && { engine: definite(build.engine), machine: definite(machine) };
}

/**
 * Takes the name, or the next free one after it (`desk`, `desk-2` …), and keeps it while the worker says something. One that was
 * killed leaves its name to the one that is started in its place: what waits for that name goes on.
 */
export async function register(link: RedisLink, record: WorkerRecord): Promise<WorkerRecord> {
  for (let number = 1; number < 1000; number++) {
    const name = number === 1 ? record.name : `${record.name}-${number}`;
    const own = { ...record, name };
    if (!(await takes(link, own))) continue;
    await enter(link, own);
    return own;
  }
  throw new BenchError("config", `there are a thousand workers named ${record.name}`, { hint: "name it with --name" });
}

async function enter(link: RedisLink, record: WorkerRecord): Promise<void> {
  const { name } = record;
  const all = JSON.stringify(record);
  await link.transaction((steps) => steps.sadd(roster, name).set(keyOfLately(name), all, "PX", remembered));
}

/** Whether the name is free, or becomes free because its worker says nothing any more. */
async function takes({ redis }: RedisLink, record: WorkerRecord): Promise<boolean> {
  const key = keyOfWorker(record.name);
  for (let left = silence; ; await sleep(100)) {
    if ((await redis.set(key, JSON.stringify(record), "PX", silence, "NX")) !== null) return true;
    const now = await redis.pttl(key);
    if (now > left) return false;
    left = now;
  }
}

/**
 * Says that the worker is there. False where another one bears its name by now, as may be after a pause: two of one name would
 * both take what is for one alone.
 */
export async function sayPresent(link: RedisLink, record: WorkerRecord): Promise<boolean> {
  const key = keyOfWorker(record.name);
  const before = await link.redis.set(key, JSON.stringify(record), "PX", silence, "GET");
  const other = recordIn(before);
  if (other && other.token !== record.token) {
    // It says so itself within a second.
    await link.redis.set(key, JSON.stringify(other), "PX", silence);
    return false;
  }
  await enter(link, record);
  return true;
}

/** Unless another one bears its name by now, as may be after a pause. */
export async function unregister(link: RedisLink, { name, token }: WorkerRecord): Promise<void> {
  const there = recordIn(await link.redis.get(keyOfWorker(name)));
  if (there && there.token !== token) return;
  await link.transaction((steps) => steps.del(keyOfWorker(name), keyOfLately(name)).srem(roster, name));
}

/** The workers that are there, the first to come first. */
export const present = async (link: RedisLink): Promise<WorkerRecord[]> => (await enrolled(link)).present;

/** The same, with those that have said nothing for less than half a minute, and did not say that they leave. */
export const lately = async (link: RedisLink): Promise<WorkerRecord[]> => (await enrolled(link)).lately;

async function enrolled({ redis }: RedisLink): Promise<Record<"present" | "lately", WorkerRecord[]>> {
  const names = await redis.smembers(roster);
  if (names.length === 0) return { present: [], lately: [] };
  const found = await redis.mget([keyOfWorker, keyOfLately].flatMap((key) => names.map(key)));
  const [now, before] = [found.slice(0, names.length), found.slice(names.length)];
  const gone = names.filter((_, i) => before[i] === null);
  if (gone.length > 0) await redis.srem(roster, ...gone);
  const records = (texts: (string | null)[]) =>
    texts.flatMap((text) => recordIn(text) ?? []).sort((a, b) => a.since - b.since || (a.name < b.name ? -1 : 1));
  return { present: records(now), lately: records(before) };
}

function recordIn(text: string | null): WorkerRecord | undefined {
  try {
    return workerForm.safeParse(JSON.parse(text ?? "null")).data;
  } catch {
    return undefined; // another program's
  }
}

/** What a worker is called unless it is told: letters, digits, dots and dashes of the host's name. */
export const hostName = (): string =>
  hostname()
    .replace(/[^\w.-]/g, "-")
    .slice(0, 60) || "worker";
