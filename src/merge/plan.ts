import { BenchError } from "../errors.js";
import type { JobRecord, Started, VariantRecord } from "../events.js";
import { isTimed } from "../replay/index.js";
import type { Gathered, JoinedSession } from "./gathered.js";

/** The last plan of one of the joined runs. */
export interface JoinedPlan {
  run: string;
  started: Started;
}

/** Figures that are left out, for they were measured elsewhere than those that stay. */
export interface LeftOut {
  measurement: string;
  items: number;
  /** Where they were measured, and where those that stay were. */
  place: string;
  kept: string;
  /** Timings of two runs are not joined, wherever they were taken. */
  timed: boolean;
}

/** The plans in an order of their own, whichever run was read first. */
export function plansOf(sessions: Iterable<JoinedSession>): JoinedPlan[] {
  const last = new Map<string, Started>();
  for (const { run, started, events } of sessionsInOrder(sessions)) {
    const planned = events.findLast((event) => event.type === "planned");
    last.set(run, planned ? { ...started, variants: planned.variants, jobs: planned.jobs } : started);
  }
  return Array.from(last, ([run, started]) => ({ run, started }));
}

export const sessionsInOrder = (sessions: Iterable<JoinedSession>): JoinedSession[] => {
  const key = ({ started }: JoinedSession) => JSON.stringify(started);
  return [...sessions].sort((a, b) => a.started.at - b.started.at || (key(a) < key(b) ? -1 : 1));
};

const cellOf = ({ variant, measurement }: JobRecord) => JSON.stringify([variant, measurement]);

/** Whether the models of a job could be read where it was planned: else its id is of no use elsewhere. */
const isKnown = ({ variants }: Started) => {
  const known = new Set(variants.flatMap(({ name, facts, failure }) => (facts && !failure ? [name] : [])));
  return ({ variant, against = variant }: JobRecord) => known.has(variant) && known.has(against);
};

/** Plans that are to be one: the same variants and measurements, and the same question wherever its models could be read. */
export class PlansAlike {
  #first: Started | undefined;
  /** By cell: the first job of which the models could be read, and its plan. */
  readonly #known = new Map<string, { job: JobRecord; started: Started }>();

  /** Throws a BenchError for a run of another plan than those before it. */
  check(folder: string, started: Started): void {
    this.#first ??= started;
    const other = differenceOf(this.#first, started) ?? this.#otherQuestion(started);
    if (other !== undefined)
      throw new BenchError("run-contradiction", `${folder} is of another plan: ${other}`, {
        hint: "join the parts of one benchmark file, each measured with the same version of it",
      });
  }

  #otherQuestion(started: Started): string | undefined {
    const known = isKnown(started);
    for (const job of started.jobs) {
      if (!known(job)) continue;
      const cell = JSON.stringify([cellOf(job), job.against]);
      const other = this.#known.get(cell);
      if (!other) this.#known.set(cell, { job, started });
      else {
        const differs = whatDiffers(job, other.job, other.started, started);
        // Digests of one question are the same wherever it is asked.
        if (differs ?? job.question !== other.job.question)
          return `${job.measurement} of ${job.variant} has ${differs ?? "other settings"} there`;
      }
    }
    return undefined;
  }
}

function differenceOf(a: Started, b: Started): string | undefined {
  if (a.name !== b.name) return `it is called ${b.name}, the others ${a.name}`;
  const variants = ({ variants: all }: Started) => all.map(({ name }) => name);
  const asked = ({ measurements }: Started) =>
    measurements.map(({ name, kind, settings }) => JSON.stringify([name, kind, settings]));
  const cells = ({ jobs }: Started) => jobs.map(cellOf);
  if (!same(variants(a), variants(b))) return "it has other variants";
  if (!same(asked(a), asked(b))) return "it has other measurements, or others of their settings";
  if (!same(cells(a), cells(b))) return "it measures others of the variants";
  return undefined;
}

function whatDiffers(job: JobRecord, other: JobRecord, a: Started, b: Started): string | undefined {
  if (job.askedSha256 !== other.askedSha256) return "other data";
  if (job.rule !== other.rule) return "another scoring rule, of another version,";
  const digest = ({ variants }: Started, wanted?: string) =>
    variants.find(({ name }) => name === wanted)?.facts?.sha256;
  if ([job.variant, job.against].some((name) => digest(a, name) !== digest(b, name))) return "another model file";
  return undefined;
}

const same = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((one, i) => one === b[i]);

/** Runs that measured something in one place: none contradicts the others about where a variant was measured. */
interface Cluster {
  plans: JoinedPlan[];
  /** By cell. */
  ids: Map<string, JobRecord>;
  items: number;
}

/**
 * One plan for all: of each measurement the jobs of the place where most of it was measured, for figures of two places are not
 * compared with each other. Records come from a machine that could read the model.
 */
export function chosenPlan(gathered: Gathered, plans: readonly JoinedPlan[]): { started: Started; leftOut: LeftOut[] } {
  const leftOut: LeftOut[] = [];
  const readable = ({ started: { variants } }: JoinedPlan) => variants.filter(({ facts }) => facts).length;
  // Where most models are, the reference is the one that was meant.
  const base = plans.reduce((best, one) => (readable(one) > readable(best) ? one : best));
  const chosen = new Map<string, JobRecord>();
  /** What speed was timed in, else what most was measured in. */
  let timedIn: JoinedPlan | undefined;
  let largest: Cluster | undefined;
  const timed = timedCounts(gathered);
  for (const measurement of new Set(base.started.jobs.map((job) => job.measurement))) {
    const clusters = clustersOf(gathered, timed, plans, measurement);
    const [most, ...others] = clusters.toSorted((a, b) => b.items - a.items);
    for (const [cell, record] of most!.ids) chosen.set(cell, record);
    if ([...most!.ids.values()].some(isTimed)) timedIn = most!.plans[0];
    else if (!largest || most!.items > largest.items) largest = most;
    for (const other of others)
      if (other.items > 0)
        leftOut.push({
          measurement,
          items: other.items,
          place: placeTold(other.plans[0]!),
          kept: placeTold(most!.plans[0]!),
          timed: [...most!.ids.values()].some(isTimed),
        });
  }
  const variants = base.started.variants.map((variant) =>
    variant.facts ? variant : (knownIn(plans, variant) ?? variant),
  );
  const jobs = base.started.jobs.map((record) => {
    const { share: _, ...job } = chosen.get(cellOf(record)) ?? record;
    return job;
  });
  const { shard: _, session: __, again: ___, merged: ____, ...started } = base.started;
  const at = Math.max(
    ...[...gathered.sessions.values()].flatMap(({ started, events }) => [
      started.at,
      ...events.map((event) => ("at" in event ? event.at : 0)),
    ]),
  );
  // A speed is that of its machine.
  const { provenance } = (timedIn ?? largest?.plans[0] ?? base).started;
  return { started: { ...started, at, variants, jobs, provenance, merged: true }, leftOut };
}

function knownIn(plans: readonly JoinedPlan[], { name, reference }: VariantRecord): VariantRecord | undefined {
  const found = plans.flatMap(({ started }) => started.variants.filter((one) => one.name === name && one.facts))[0];
  return found && { ...found, reference };
}

/** By run, the first one first, and by job: how many timings there are. */
export function timedCounts({ sessions }: Gathered): Map<string, Map<string, number>> {
  const counts = new Map<string, Map<string, number>>();
  for (const { run, events } of sessionsInOrder(sessions.values())) {
    const own = counts.get(run) ?? new Map<string, number>();
    counts.set(run, own);
    for (const event of events) if (event.type === "samples") own.set(event.job, (own.get(event.job) ?? 0) + 1);
  }
  return counts;
}

function clustersOf(
  { items }: Gathered,
  timed: ReturnType<typeof timedCounts>,
  plans: readonly JoinedPlan[],
  measurement: string,
): Cluster[] {
  const clusters: Cluster[] = [];
  for (const plan of plans) {
    const known = isKnown(plan.started);
    const own = plan.started.jobs.filter((job) => job.measurement === measurement);
    // Runs take turns by themselves: what two of them timed was not timed in turns.
    const takesTurns = own.some(isTimed);
    const conflicts = ({ ids }: Cluster) =>
      takesTurns || own.some((job) => known(job) && (ids.get(cellOf(job))?.place ?? job.place) !== job.place);
    let cluster = clusters.find((one) => !conflicts(one));
    if (!cluster) {
      cluster = { plans: [], ids: new Map(), items: 0 };
      clusters.push(cluster);
    }
    cluster.plans.push(plan);
    for (const job of own) {
      if (takesTurns) cluster.items += timed.get(plan.run)?.get(job.id) ?? 0;
      if (known(job) && !cluster.ids.has(cellOf(job))) {
        cluster.ids.set(cellOf(job), job);
        if (!takesTurns) cluster.items += items.get(job.id)?.size ?? 0;
      }
    }
  }
  return clusters;
}

const placeTold = ({ started: { provenance } }: JoinedPlan) =>
  `${provenance.engine.library} ${provenance.engine.version} on ${provenance.machine.cpu}`.trim();
