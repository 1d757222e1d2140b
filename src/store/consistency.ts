import type { StoredEvent, StoredSamples } from "../events.js";
import { metric as describe } from "../metrics.js";

/** A contradiction between events of a run, each of which could be by itself. */
interface Inconsistency {
  line: number;
  reason: string;
}

/** Relative difference that two measurements of an item may have: sums in another order differ in their last digits. */
const sameWithin = 1e-3;

interface Known {
  /** Where its first sample stands. */
  line: number;
  numbers: Numbers;
  others: Set<string>;
  /** The item with the largest number. */
  last: { number: number; line: number };
  /** How many items the job has, if its end says so, and of how many they are a part. */
  items: number | undefined;
  of: number | undefined;
}

/**
 * Checks a run's events as they are read: that samples belong to a planned job and to one of its items, and that an item
 * measured twice gave the same. It keeps one bit per item, so that a run of millions needs little memory.
 */
export class Consistency {
  readonly #jobs = new Map<string, Known>();
  readonly #planned = new Map<string, number | undefined>();
  #hasPlan = false;
  /** By job: the data that it asks. */
  readonly #asked = new Map<string, string>();
  readonly #keys = new AnswerKeys();
  #otherKey: Inconsistency | undefined;
  /** By job and item: the last of several samples. */
  readonly #doubles = new Map<string, { line: number; event: StoredSamples }>();

  see(event: StoredEvent, line: number): void {
    if (event.type === "started" || event.type === "planned") {
      this.#hasPlan = true;
      for (const { id, settings, askedSha256 } of event.jobs) {
        this.#planned.set(id, sizeIn(settings) ?? this.#planned.get(id));
        if (askedSha256 !== undefined) this.#asked.set(id, askedSha256);
      }
    } else if (event.type === "job-done") {
      const job = this.#jobs.get(event.job);
      if (job) job.items = Math.max(job.items ?? 0, event.items);
    } else if (event.type === "share-done") {
      const job = this.#jobs.get(event.job);
      if (job && event.whole !== undefined) job.items = Math.max(job.items ?? 0, event.whole);
    } else if (event.type === "samples") this.#take(event, line);
  }

  #take(event: StoredSamples, line: number): void {
    const { job, item, samples } = event;
    this.#takeKey(event, line);
    // Peak memory is no item of the measurement; each session has its own.
    if (samples.length > 0 && samples.every(({ metric }) => describe(metric).per === "variant")) return;
    const known = this.#jobs.get(job) ?? {
      line,
      numbers: new Numbers(),
      others: new Set(),
      last: { number: -1, line },
      items: undefined,
      of: undefined,
    };
    this.#jobs.set(job, known);
    known.of = event.of ?? known.of;
    const number = Number(item.match(/\d+$/)?.[0] ?? -1);
    if (number > known.last.number) known.last = { number, line };
    const seen = /^\d{1,7}$/.test(item) ? known.numbers.has(number) : known.others.has(item);
    if (/^\d{1,7}$/.test(item)) known.numbers.add(number);
    else known.others.add(item);
    if (seen) this.#doubles.set(keyOf(event), { line, event });
  }

  #takeKey(event: StoredSamples, line: number): void {
    const reason = this.#keys.fault(event, this.#asked.get(event.job), "another variant");
    if (reason !== undefined) this.#otherKey ??= { line, reason };
  }

  /** The first inconsistency. `samplesAgain` reads the file's samples anew; called only if some item is there twice. */
  fault(samplesAgain: () => Iterable<{ line: number; event: StoredSamples }>): Inconsistency | undefined {
    for (const [id, { line, last, items, of }] of this.#jobs) {
      if (this.#hasPlan && !this.#planned.has(id)) return { line, reason: `is of a job that no plan has: ${id}` };
      // Of a part of the data, the items are numbered as in the whole.
      const size = Math.min(of ?? items ?? Infinity, this.#planned.get(id) ?? Infinity);
      if (last.number >= size)
        return { line: last.line, reason: `is of the item ${last.number}, but its job has ${size} of them` };
    }
    if (this.#otherKey || this.#doubles.size === 0) return this.#otherKey;
    for (const { line, event } of samplesAgain()) {
      const double = this.#doubles.get(keyOf(event));
      if (!double || line >= double.line) continue;
      const metric = differing(event, double.event);
      if (metric !== undefined)
        return { line: double.line, reason: `has another value of ${metric} for item ${event.item} than line ${line}` };
    }
    return undefined;
  }
}

/** Which options are right: all variants are asked the same questions, which have the same answers. */
export class AnswerKeys {
  /** By the digest of the data and item: the key, and who has it. */
  readonly #known = new Map<string, { key: string; by: string }>();

  /**
   * What is wrong where one before it had another key for its question. `asked`: the digest of its job's data; `by`: who has it, as
   * a later one is to say.
   */
  fault({ item, gold, detail }: StoredSamples, asked: string | undefined, by: string): string | undefined {
    const right = Array.isArray(detail?.right) ? detail.right : gold === undefined ? undefined : [gold];
    if (asked === undefined || right === undefined) return undefined;
    const place = `${asked}/${item}`;
    const key = `option ${right.map((option) => Number(option) + 1).join(", ")}`;
    const known = this.#known.get(place);
    if (!known) this.#known.set(place, { key, by });
    return known && known.key !== key
      ? `has ${key} as the answer of item ${item}, and ${known.by} has ${known.key}`
      : undefined;
  }
}

const keyOf = ({ job, item }: StoredSamples) => `${job}/${item}`;

/** How many chunks or questions a job has at most, if its settings say so. */
function sizeIn({ chunks, limit }: Record<string, unknown>): number | undefined {
  return typeof chunks === "number" ? chunks : typeof limit === "number" ? limit : undefined;
}

/** A metric in which two measurements of one item differ. Timings always do and are left out. */
export function differing(a: StoredSamples, b: StoredSamples): string | undefined {
  const found = a.samples.find(({ metric, value }) => {
    const other = b.samples.find((sample) => sample.metric === metric);
    if (!other || describe(metric).per === "repetition") return false;
    if (value === null || other.value === null) return value !== other.value;
    return Math.abs(value - other.value) > sameWithin * Math.max(1, Math.abs(value));
  });
  return found?.metric;
}

/** An option whose score differs in two measurements of one item. */
export function differingScore(a: StoredSamples, b: StoredSamples): number | undefined {
  const [own, other] = [a.scores ?? [], b.scores ?? []];
  const found = own.findIndex(
    (score, i) => !(Math.abs(score - (other[i] ?? Number.NaN)) <= sameWithin * Math.max(1, Math.abs(score))),
  );
  return found < 0 || other.length === 0 ? undefined : found;
}

/** A set of whole numbers, mostly those from 0 on: a bit each. */
class Numbers {
  #bits = new Uint8Array(32);

  has(number: number): boolean {
    return ((this.#bits[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  add(number: number): void {
    const place = number >> 3;
    if (place >= this.#bits.length) {
      const longer = new Uint8Array(2 ** Math.ceil(Math.log2(place + 1)));
      longer.set(this.#bits);
      this.#bits = longer;
    }
    this.#bits[place]! |= 1 << (number & 7);
  }
}
