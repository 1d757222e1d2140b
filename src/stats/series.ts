import type { EngineName } from "../backends/backend.js";
import type { JobRecord, VariantRecord } from "../events.js";
import type { Machine } from "../machine.js";
import { engineOf, type JobResult, type Run } from "../replay.js";
import type { Observation } from "./comparison.js";
import { running } from "./summary.js";

/** What one variant gave under one measurement, with all that decides whether it may be compared. */
export interface Series {
  variant: VariantRecord;
  job: JobRecord;
  /** What measured it; absent where a run of version 0.1 does not say. */
  engine?: EngineName;
  machine: Pick<Machine, "cpu" | "cpus">;
  /** Name of the measured file, for it may tell more than the dataset's. */
  file: string;
  /** Empty where the job is not done. */
  observations: Observations;
  /** Items that hang together (subjects of a task, documents of a text), where the items say so. */
  clusters?: ReadonlyMap<string, string>;
  /** By item: digests of the token ids that were scored, where they are kept. */
  ids?: ReadonlyMap<string, string>;
  /** Why its figures must not be believed, in one sentence without its end. */
  broken?: string;
  /** Why there is nothing, in words. */
  missing?: string;
}

/** All series of a run, in the order of its last plan. An unfinished job has no observations: a part is not the whole. */
export function seriesFrom(run: Run): Series[] {
  if (!run.plan) return [];
  const { jobs, provenance, variants } = run.plan;
  const byName = new Map(variants.map((variant) => [variant.name, variant]));
  return jobs.flatMap((job) => {
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
    const series: Series = {
      variant,
      job,
      ...(engine ? { engine } : {}),
      machine: { cpu: provenance.machine.cpu, cpus: provenance.machine.cpus },
      file: dataset?.path.split(/[/\\]/).at(-1) ?? "",
      observations: missing === undefined ? observationsOf(result) : new Map(),
      ...(clusters ? { clusters } : {}),
      ...(ids ? { ids } : {}),
      ...(missing === undefined ? {} : { missing }),
    };
    return [believed(series)];
  });
}

/** By metric, one per item. */
export type Observations = Pick<ReadonlyMap<string, Observation[]>, "has" | "get" | "keys">;

/** Made when they are asked for: those of a whole run are many. */
const observationsOf = (result: JobResult): Observations => ({
  has: (metric) => result.count(metric) > 0,
  get: (metric) => (result.count(metric) > 0 ? result.samples(metric) : undefined),
  keys: () => result.metrics.values(),
});

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

/** Marks what a broken model gave: its figures are there, and say nothing. */
export function believed(series: Series): Series {
  const broken = brokenModel(series.observations.get("perplexity") ?? [], vocabularyOf(series.variant));
  return broken === undefined ? series : { ...series, broken };
}

/** Tokens of a vocabulary that was read from a file; a mock's is a number among others. */
export function vocabularyOf({ facts }: Pick<VariantRecord, "facts">): number | undefined {
  return facts?.vocabularySha256 === undefined ? undefined : facts.vocabulary;
}

/** Why no figure of a job must be believed: its perplexity tells, where it has one. */
export function brokenModel(
  perplexities: readonly { value: number; weight: number }[],
  vocabulary: number | undefined,
): string | undefined {
  if (perplexities.length === 0) return undefined;
  const figure = running("perplexity", vocabulary);
  for (const one of perplexities) figure.add(one);
  return figure.summary().broken;
}
