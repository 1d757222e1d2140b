import type { Place } from "../executor.js";
import { placeDigest } from "../place.js";
import { placeAt, placeQueue, type WorkerBuild, type WorkerRecord } from "./roster.js";

/** What a run asks of those that measure it. */
export interface Demands {
  /** The version of this program. */
  version: string;
  /** A worker has all of these. */
  tags: readonly string[];
}

/** Where variants of a backend are measured. */
export interface UsedPlace {
  queue: string;
  backend: string;
  place: Place;
}

/** Whether a worker may measure at all. */
export const fits = (worker: WorkerRecord, wanted: Demands): boolean => unfit(worker, wanted) === undefined;

function unfit({ version, tags }: WorkerRecord, wanted: Demands): string | undefined {
  if (version !== wanted.version) return `runs version ${version} of gguf-bench, not ${wanted.version}`;
  const missing = wanted.tags.filter((tag) => !tags.includes(tag));
  return missing.length > 0 ? `has no tag ${missing.join(", ")}` : undefined;
}

/** Whether a worker measures some of the places, and why it is passed over at others; a phrase. */
export function roleOf(
  worker: WorkerRecord,
  places: readonly UsedPlace[],
  wanted: Demands,
): { measures: boolean; reason: string | undefined } {
  const reason = unfit(worker, wanted);
  if (reason !== undefined) return { measures: false, reason };
  const reasons = places.flatMap((place) => reasonAgainst(worker, place, wanted.version) ?? []);
  const measures = reasons.length < places.length;
  const [first] = reasons;
  if (first === undefined) return { measures, reason: undefined };
  const some = measures ? ", for some of the variants" : "";
  return { measures, reason: `${first}${some}; its figures would differ in the last digits` };
}

/** A build as people tell it from others. */
function buildName(engine: WorkerBuild["engine"] | undefined): string {
  if (!engine) return "none of this engine";
  const { version, library, build, environment = {} } = engine;
  const set = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return [`${version} (${library})`, ...(build ? [build.slice(0, 12)] : []), ...set].join(" ");
}

/** Why what this worker measures is not comparable to the digit with what the others do; undefined where it is. */
function reasonAgainst(
  worker: WorkerRecord,
  { queue, backend, place }: UsedPlace,
  version: string,
): string | undefined {
  const own = worker.builds.flatMap((build) => placeAt(worker, build) ?? []);
  if (own.some((one) => placeQueue(one, version) === queue)) return undefined;
  const { engine, machine } = place;
  const same = own.some((one) => placeDigest({ ...one, machine }, false) === placeDigest({ engine, machine }, false));
  if (same) return `has another processor (${worker.machine.cpu})`;
  const other = worker.builds.find((build) => build.backend === backend);
  return `has another build: ${buildName(other?.engine)}, not ${buildName(engine)}`;
}
