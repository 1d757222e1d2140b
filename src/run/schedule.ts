import { z } from "zod";
import { measurementOn } from "../measurements/index.js";
import { type Job, memoryTogether, type Plan, togetherGroups } from "../plan/index.js";
import { hasShare, type JobProgress } from "../replay/index.js";
import { engineOf } from "./engines.js";

const needed = {
  /** Threads that compute, on as many cores as there are for them; absent: one for every core. */
  threads: z.int().min(0).optional(),
  /** Bytes that the engines need. */
  memory: z.number().min(0),
};
/** `jobs`: ids, in order. */
const shared = { jobs: z.array(z.string()).min(1), ...needed };

/** A piece of work as plain data: any process that has the plan can perform it. */
export const stepForm = z.discriminatedUnion("kind", [
  /** What a variant lacks before it can be measured: files that are fetched, or its quantization. */
  z.strictObject({ kind: z.literal("prepare"), variant: z.string(), work: z.enum(["fetch", "quantize"]), ...needed }),
  /** Jobs of one variant, one after another in one engine. Other steps may run beside it. */
  z.strictObject({ kind: z.literal("alone"), variant: z.string(), ...shared }),
  /** Items of several jobs in this order, while nothing else is measured. */
  z.strictObject({
    kind: z.literal("turns"),
    turns: z.array(z.strictObject({ job: z.string(), item: z.string() })),
    ...shared,
  }),
  /** Jobs that are measured with one reference in one process; `riders`: jobs that the same decode feeds. */
  z.strictObject({ kind: z.literal("together"), reference: z.string(), riders: z.array(z.string()), ...shared }),
]);
export type Step = z.infer<typeof stepForm>;

/** The jobs that a step measures, in order. */
export function jobsOf(step: Step): string[] {
  if (step.kind === "prepare") return [];
  return step.kind === "together" ? [...step.jobs, ...step.riders] : step.jobs;
}

/**
 * The steps of a plan that are left to do, in order: the preparations; then the jobs of each variant; then the jobs that take turns,
 * item by item over all variants, in the order of `roundOf`; then the jobs that are measured with a reference. A round of which one turn is missing is taken as a whole, for its others are of another moment. A
 * job waits for the preparation of its own variant; those that are measured in turns or together, for all of theirs. When a
 * preparation has completed the plan, it is scheduled again, without the jobs that have `begun`.
 */
export function* schedule(
  plan: Plan,
  done: ReadonlyMap<string, JobProgress>,
  { begun = new Set(), session = 1 }: { begun?: ReadonlySet<string>; session?: number } = {},
): Generator<Step> {
  for (const { variant, work } of plan.preparations)
    yield { kind: "prepare", variant, work, memory: 0, ...(work === "fetch" ? { threads: 0 } : {}) };

  // Variants that differ in nothing but their names have their jobs in common.
  const first = new Map(plan.jobs.toReversed().map((job) => [job.record.id, job]));
  const open = plan.jobs.filter((job) => {
    const { id, impossible } = job.record;
    if (first.get(id) !== job || impossible || begun.has(id)) return false;
    const known = done.get(id);
    return !known?.complete && !hasShare(job.record, known?.shares);
  });
  const left = besideEachOther(withoutWaiting(plan, open));
  const together = togetherGroups(left);
  const fed = new Set(together.flatMap(({ riders }) => riders));
  const grouped = (kind: string, by: (job: Job) => string) =>
    groupsOf(
      left.filter((job) => modeOf(job).kind === kind && !fed.has(job)),
      by,
    );

  for (const jobs of grouped("alone", engineOf).values())
    yield { kind: "alone", variant: jobs[0]!.record.variant, ...needs(jobs) };

  for (const jobs of grouped("turns", ({ record }) => record.measurement).values()) {
    const mode = modeOf(jobs[0]!);
    const items = mode.kind === "turns" ? mode.items(jobs[0]!.record.settings) : [];
    const isThere = (item: string) => jobs.every(({ record: { id } }) => done.get(id)?.items.has(item));
    const turns = items.flatMap((item) =>
      isThere(item) ? [] : roundOf(jobs, repetitionOf(item), session).map(({ record: { id } }) => ({ job: id, item })),
    );
    yield { kind: "turns", turns, ...needs(jobs) };
  }

  for (const { jobs, riders } of together) {
    const all = memoryTogether(jobs);
    const own = needs(jobs);
    // Models that do not fit side by side take turns in memory.
    const memory = all > plan.memoryLimit ? own.memory : all;
    const ids = riders.map(({ record }) => record.id);
    const models = all > plan.memoryLimit ? 1 : 1 + new Set(jobs.map(({ spec }) => spec)).size;
    const threads = own.threads === undefined ? {} : { threads: own.threads * models };
    yield { kind: "together", reference: jobs[0]!.record.against!, riders: ids, ...own, ...threads, memory };
  }
}

/** Jobs of one load stand next to each other, at the place of the first of them. */
function besideEachOther(jobs: Job[]): Job[] {
  return [...groupsOf(jobs, ({ load }) => load).values()].flat();
}

const measurementOf = ({ record, data }: Job) => measurementOn(record.kind, data?.kind);
const modeOf = (job: Job) => measurementOf(job).mode;

/** The jobs that need wait for no preparation. */
function withoutWaiting({ preparations }: Plan, jobs: Job[]): Job[] {
  const missing = new Set(preparations.map(({ variant }) => variant));
  if (missing.size === 0) return jobs;
  const waits = ({ identified, record: { variant, against } }: Job) =>
    !identified || missing.has(variant) || (against !== undefined && missing.has(against));
  // Turns and comparisons are of all variants, and the reference may still be another one.
  const common = new Set(
    jobs.filter((job) => modeOf(job).kind !== "alone" && waits(job)).map(({ record }) => record.measurement),
  );
  const held = jobs.filter((job) => waits(job) || common.has(job.record.measurement));
  /** Whether the decode of a comparison that waits will feed a job. */
  const fed = (one: Job) => {
    const { record } = one;
    const own = measurementOf(one);
    const chunks = "likelihoods" in own ? own.likelihoods?.(record.settings) : undefined;
    return held.some((job) => {
      const mode = modeOf(job);
      const same = record.askedSha256 !== undefined && record.askedSha256 === job.record.askedSha256;
      return chunks && same && mode.kind === "together" && mode.feeds(job.record.settings, chunks);
    });
  };
  const heldJobs = new Set(held);
  return jobs.filter((job) => !heldJobs.has(job) && !fed(job));
}

function groupsOf(jobs: Job[], key: (job: Job) => string): Map<string, Job[]> {
  const groups = new Map<string, Job[]>();
  for (const job of jobs) groups.set(key(job), [...(groups.get(key(job)) ?? []), job]);
  return groups;
}

/**
 * The order of a round: two rounds go there and back, so that a machine that slows down steadily slows all variants alike; the next two
 * begin in the middle. Without that the last of one round would always be the first of the next, timed twice in the same moment:
 * then the rounds of the first and the last variant hang together, and 95 % intervals of five rounds on a machine whose pace wanders cover
 * 91 to 93 % (`test/stats/speed.test.ts`). Every second `session` begins with the way back.
 */
function roundOf(jobs: Job[], repetition: number, session: number): Job[] {
  const middle = Math.floor(repetition / 2) % 2 === 0 ? 0 : Math.floor(jobs.length / 2);
  const there = [...jobs.slice(middle), ...jobs.slice(0, middle)];
  return (repetition + session) % 2 === 1 ? there : there.toReversed();
}

/** The number of the repetition, at the end of an item's name. */
const repetitionOf = (item: string) => Number(item.match(/\d+$/)?.[0] ?? 0);

/** Threads and memory of jobs that run one at a time: the most that any of them needs. */
function needs(jobs: Job[]): { jobs: string[]; threads?: number; memory: number } {
  const threads = jobs.flatMap((job) => job.threads ?? []);
  return {
    jobs: jobs.map(({ record }) => record.id),
    // One that takes every core says no number.
    ...(threads.length < jobs.length ? {} : { threads: Math.max(...threads) }),
    memory: Math.max(...jobs.map(({ memory }) => memory?.total ?? 0)),
  };
}
