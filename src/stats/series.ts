import type { EngineName } from "../backends/backend.js";
import { definite } from "../definite.js";
import type { JobRecord, VariantRecord } from "../events.js";
import type { Machine } from "../machine.js";
import { metric as describe, isQuality, soundness } from "../metrics.js";
import { engineOf, type JobResult, planOf, type Run } from "../replay/index.js";
import type { Observation } from "./comparison.js";
import { meanOf } from "./location.js";
import { running } from "./summary.js";

/** The values of one variant under one measurement, with all that decides whether it may be compared. */
export interface Series {
  variant: VariantRecord;
  job: JobRecord;
  /** The engine that measured it; absent if a run of version 0.1 does not say. */
  engine?: EngineName;
  machine: Pick<Machine, "cpu" | "cpus">;
  /** Name of the measured file, for it may tell more than the dataset's. */
  file: string;
  /** Empty where the job is not done. */
  observations: Observations;
  /** Items that the data have, measured or not; absent when the run does not say. */
  there?: number;
  /** Items that hang together (subjects of a task, documents of a text), where the items say so. */
  clusters?: ReadonlyMap<string, string>;
  /** By item: digests of the token ids that were scored, where they are kept. */
  ids?: ReadonlyMap<string, string>;
  /** CPU cores that other processes used while it was timed, on average; absent where it was not, or nobody saw. */
  foreign?: number;
  /** The same by session, in their order; absent in a baseline of an earlier version. */
  loads?: readonly number[];
  /** The same by repetition; absent in a baseline. */
  foreignBy?: ReadonlyMap<string, number>;
  /** Why its figures must not be believed, in one sentence without its end. */
  broken?: string;
  /** Why there is nothing, in words. */
  missing?: string;
}

/** CPU cores that others used during a repetition, from where on speed suffers visibly. */
export const foreignLoad = 0.1;

/** All series of a run, in the order of its last plan. An unfinished job has no observations: a part is not the whole. */
export function seriesFrom(run: Run): Series[] {
  if (!run.plan && run.jobs.size === 0) return [];
  const { jobs, provenance, variants } = planOf(run);
  const byName = new Map(variants.map((variant) => [variant.name, variant]));
  const series = jobs.flatMap((job) => {
    const variant = byName.get(job.variant);
    // A run folder may come from anyone.
    if (!variant) return [];
    const result = run.jobs.get(job.id)!;
    const engine = engineOf(run, job);
    const dataset = provenance.datasets.find(
      ({ name, sha256 }) => name === job.dataset && (job.datasetSha256 ?? sha256) === sha256,
    );
    const missing = missingIn(result);
    const { clusters, ids } = result;
    const foreign = result.foreign.size > 0 ? meanOf([...result.foreign.values()]) : undefined;
    const there = result.of ?? (isPart(job) ? undefined : result.items.length);
    const one: Series = {
      variant,
      job,
      ...definite({ engine }),
      machine: { cpu: provenance.machine.cpu, cpus: provenance.machine.cpus },
      file: dataset?.path.split(/[/\\]/).at(-1) ?? "",
      observations: missing === undefined ? observationsOf(result) : new Map(),
      ...definite({
        clusters,
        ids,
        foreign,
        loads: foreign === undefined ? undefined : loadsIn(result),
        foreignBy: foreign === undefined ? undefined : result.foreign,
        there,
        missing,
      }),
    };
    return [one];
  });
  return believed(series);
}

/** What the items of either hang together with: sessions of the one may be none of the other's. */
export function clustersIn({ clusters: a }: Series, { clusters: b }: Series): ReadonlyMap<string, string> | undefined {
  return a && b && a !== b ? new Map([...a, ...b]) : (a ?? b);
}
const isPart = ({ settings: { chunks, spread, limit } }: JobRecord) => (chunks ?? spread ?? limit) !== undefined;

/** By metric, one per item. */
export type Observations = Pick<ReadonlyMap<string, Observation[]>, "has" | "get" | "keys">;

/** Made when they are asked for: those of a whole run are many. */
const observationsOf = (result: JobResult): Observations => ({
  has: (metric) => result.count(metric) > 0,
  get: (metric) => (result.count(metric) > 0 ? result.samples(metric) : undefined),
  keys: () => result.metrics.values(),
});

function loadsIn({ foreign, clusters }: JobResult): number[] {
  const sessions = new Map<string, number[]>();
  for (const [item, cores] of foreign) {
    const session = clusters?.get(item) ?? "";
    sessions.set(session, [...(sessions.get(session) ?? []), cores]);
  }
  return Array.from(sessions.values(), meanOf);
}

function missingIn({ state, record, failure }: JobResult): string | undefined {
  switch (state) {
    case "done":
      return undefined;
    case "impossible":
      return `not possible: ${record!.impossible}`;
    case "failed":
      return `failed: ${failure!.message}`;
    default:
      return "unfinished";
  }
}

/**
 * Marks the figures of broken models: they are there, and mean nothing. The perplexity tells: when every one of a variant is broken,
 * so is all that it predicts; when some are, what was measured on the same data. A distance is as broken as either of its ends.
 */
export function believed(list: Series[]): Series[] {
  const judged = list.map((one) => {
    const perplexities = one.observations.get(soundness) ?? [];
    return { one, perplexities, fault: brokenModel(perplexities, vocabularyOf(one.variant)) };
  });
  const faultOf = (variant: string, dataset: string): string | undefined => {
    const told = judged.filter(({ one, perplexities }) => one.variant.name === variant && perplexities.length > 0);
    const broken = told.filter(({ fault }) => fault !== undefined);
    const same = broken.find(({ one }) => one.job.dataset === dataset);
    return (same ?? (broken.length === told.length ? broken[0] : undefined))?.fault;
  };
  return judged.map(({ one, perplexities, fault }) => {
    const { variant, job } = one;
    const broken = perplexities.length > 0 ? fault : brokenBy(job, variant.name, faultOf);
    return broken === undefined ? one : { ...one, broken };
  });
}

/** How fast a model computes says nothing of how well. */
function brokenBy(
  { metrics, dataset, against }: JobRecord,
  variant: string,
  faultOf: (variant: string, dataset: string) => string | undefined,
): string | undefined {
  if (!metrics.some((name) => isQuality(describe(name)))) return undefined;
  const own = faultOf(variant, dataset);
  if (own !== undefined || against === undefined || against === variant) return own;
  const theirs = faultOf(against, dataset);
  return theirs && `${against}, from which it is the distance, is broken: ${theirs}`;
}

/** Tokens of a vocabulary that was read from a file; a mock's is a number among others. */
export function vocabularyOf({ facts }: Pick<VariantRecord, "facts">): number | undefined {
  return facts?.vocabularySha256 === undefined ? undefined : facts.vocabulary;
}

/** Why no figure of a job with these perplexities must be believed. */
function brokenModel(
  perplexities: readonly { value: number; weight: number }[],
  vocabulary: number | undefined,
): string | undefined {
  if (perplexities.length === 0) return undefined;
  const figure = running(soundness, vocabulary);
  for (const one of perplexities) figure.add(one);
  const { broken, value, warnings } = figure.summary();
  return broken ?? (Number.isFinite(value) ? undefined : warnings[0]);
}
