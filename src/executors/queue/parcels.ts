import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { bytes as inUnits } from "../../units.js";
import { kept, keyOf, type RedisLink } from "./redis.js";

/** Bytes of data as they lie in Redis, and unpacked. */
const most = { packed: 64 << 20, unpacked: 256 << 20 };

const pack = promisify(gzip);
const unpack = promisify(gunzip);
const keyOfParcel = (digest: string) => keyOf("data", digest);

/** Plain data on their way, under the sha256 of their JSON: sent once, whoever needs them how often. */
export interface Parcel {
  sha256: string;
  packed: Buffer;
}

/** Throws a BenchError for data that are too large to be sent. */
export async function parcel(data: unknown, shown: string): Promise<Parcel> {
  const bytes = Buffer.from(withoutRepeats(data));
  const packed = bytes.length > most.unpacked ? undefined : await pack(bytes, { level: 1 });
  if (!packed || packed.length > most.packed)
    throw new BenchError("dataset-invalid", `${shown} is too large for a queue: ${inUnits(bytes.length)}`, {
      hint: "take a part of it (--chunks, --limit), or measure it without --queue",
    });
  return { sha256: sha256(bytes), packed };
}

/** They stay a day; who sends them sends them again where they are needed longer. */
export async function send(link: RedisLink, { sha256: digest, packed }: Parcel): Promise<void> {
  // What is there already need not go over the wire again.
  if (await link.redis.expire(keyOfParcel(digest), kept)) return;
  await link.redis.set(keyOfParcel(digest), packed, "EX", kept, "NX");
}

/** Undefined where Redis no longer has them. Throws a BenchError for what is not what its name says. */
export async function receive(link: RedisLink, digest: string): Promise<unknown> {
  const key = keyOfParcel(digest);
  const bytes = await link.redis.strlen(key);
  if (bytes === 0) return undefined;
  const refused = (why: string) => new BenchError("server-refused", `the data of the assignment ${why}`);
  if (bytes > most.packed) throw refused(`have ${inUnits(bytes)}, and ${inUnits(most.packed)} is the most`);
  const packed = await link.redis.getBuffer(key);
  if (!packed) return undefined;
  const data = await unpack(packed, { maxOutputLength: most.unpacked }).catch(() => undefined);
  if (!data) throw refused(`cannot be unpacked, or have more than ${inUnits(most.unpacked)}`);
  if (sha256(data) !== digest) throw refused("are not those of its hash");
  return withRepeats(JSON.parse(data.toString("utf8")), []);
}

/** The key of what stands in place of an object that came before: its number, in the order of their beginnings. */
const repeat = "\0";

/** JSON in which an object that several share stands once: the examples of a subject, beside a thousand questions. */
function withoutRepeats(data: unknown): string {
  const numbers = new Map<object, number>();
  return JSON.stringify(data, (_, value: unknown) => {
    if (!isRecord(value)) return value;
    const number = numbers.get(value);
    if (number !== undefined) return { [repeat]: number };
    numbers.set(value, numbers.size);
    return value;
  });
}

function withRepeats(value: unknown, known: unknown[]): unknown {
  if (Array.isArray(value)) return value.map((one) => withRepeats(one, known));
  if (!isRecord(value)) return value;
  if (typeof value[repeat] === "number") return known[value[repeat]];
  known.push(value);
  for (const [key, one] of Object.entries(value)) value[key] = withRepeats(one, known);
  return value;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
