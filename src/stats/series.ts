import type { EngineName } from "../backends/backend.js";
import type { JobRecord, StoredEvent, VariantRecord } from "../events.js";
import type { Machine } from "../machine.js";
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
  /** By metric, one per item; empty where the job is not done. */
  observations: Map<string, Observation[]>;
  /** Items that hang together (subjects of a task, documents of a text), where the items say so. */
  clusters?: Map<string, string>;
  /** By item: digests of the token ids that were scored, where they are kept. */
  ids?: Map<string, string>;
  /** Why its figures must not be believed, in one sentence without its end. */
  broken?: string;
  /** Why there is nothing, in words. */
  missing?: string;
}

/** All series of a run, in the order of its last plan. An unfinished job has no observations: a part is not the whole. */
export function seriesFrom(events: readonly StoredEvent[]): Series[] {
  const started = events.findLast((event) => event.type === "started");
  if (!started) return [];
  const { provenance } = started;
  const opened = new Map(events.flatMap((event) => (event.type === "opened" ? [[event.variant, event.engine]] : [])));
  const variants = new Map(started.variants.map((variant) => [variant.name, variant]));
  const found = gathered(events);
  return started.jobs.flatMap((job) => {
    const variant = variants.get(job.variant);
    // A run folder may come from anyone.
    if (!variant) return [];
    const known = found.get(job.id);
    const { items = new Map<string, Item>(), done = false, failure } = known ?? {};
    const engine = known?.engine ?? opened.get(job.variant);
    const dataset = provenance.datasets.find(
      ({ name, sha256 }) => name === job.dataset && (job.datasetSha256 ?? sha256) === sha256,
    );
    const broken = failure ?? variant.failure?.message;
    const missing = done
      ? undefined
      : job.impossible !== undefined
        ? `not possible: ${job.impossible}`
        : broken !== undefined
          ? `failed: ${broken}`
          : "unfinished";
    const clusters = clustersOf(items);
    const series: Series = {
      variant,
      job,
      ...(engine ? { engine: nameOf(engine) } : {}),
      machine: { cpu: provenance.machine.cpu, cpus: provenance.machine.cpus },
      file: dataset?.path.split(/[/\\]/).at(-1) ?? "",
      observations: done ? byMetric(items) : new Map(),
      ...(clusters ? { clusters } : {}),
      ...idsOf(items),
      ...(missing === undefined ? {} : { missing }),
    };
    return [believed(series)];
  });
}

/** Without what an engine says of the model. */
function nameOf({ version, library, build, environment }: EngineName): EngineName {
  return { version, library, ...(build ? { build } : {}), ...(environment ? { environment } : {}) };
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

type Item = Extract<StoredEvent, { type: "samples" }>;

interface Gathered {
  items: Map<string, Item>;
  done: boolean;
  failure: string | undefined;
  engine?: EngineName;
}

/** By job id. Should an item have been measured twice, the later one counts; a retry forgets the failure before it. */
function gathered(events: readonly StoredEvent[]) {
  const jobs = new Map<string, Gathered>();
  for (const event of events) {
    if (!("job" in event) || event.job === undefined) continue;
    const job: Gathered = jobs.get(event.job) ?? { items: new Map(), done: false, failure: undefined };
    jobs.set(event.job, job);
    if (event.type === "samples") job.items.set(event.item, event);
    if (event.type === "job-started") job.failure = undefined;
    if (event.type === "job-failed") job.failure = event.failure.message;
    if (event.type === "job-done") {
      job.done = true;
      if (event.engine) job.engine = event.engine;
    }
  }
  return jobs;
}

function byMetric(items: Map<string, Item>): Map<string, Observation[]> {
  const metrics = new Map<string, Observation[]>();
  for (const { item, samples } of items.values())
    for (const { metric, value, weight } of samples) {
      const list = metrics.get(metric) ?? [];
      // A file holds NaN as null.
      list.push({ item, value: value ?? Number.NaN, weight });
      metrics.set(metric, list);
    }
  return metrics;
}

function idsOf(items: Map<string, Item>): Pick<Series, "ids"> {
  const ids = new Map<string, string>();
  for (const { item, ids: digest } of items.values()) if (digest !== undefined) ids.set(item, digest);
  return ids.size > 0 ? { ids } : {};
}

function clustersOf(items: Map<string, Item>): Map<string, string> | undefined {
  const clusters = new Map<string, string>();
  for (const { item, cluster } of items.values()) if (cluster !== undefined) clusters.set(item, cluster);
  return clusters.size > 0 ? clusters : undefined;
}
