import type { EngineName } from "../backends/backend.js";
import type { JobRecord, Machine, StoredEvent, VariantRecord } from "../events.js";
import type { Observation } from "./compare.js";

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
      ...(missing === undefined ? {} : { missing }),
    };
    return [series];
  });
}

/** Without what an engine says of the model. */
function nameOf({ version, library, build, environment }: EngineName): EngineName {
  return { version, library, ...(build ? { build } : {}), ...(environment ? { environment } : {}) };
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

/** `cluster` in an item's detail says which items hang together. */
function clustersOf(items: Map<string, Item>): Map<string, string> | undefined {
  const clusters = new Map<string, string>();
  for (const { item, detail } of items.values())
    if (typeof detail?.cluster === "string") clusters.set(item, detail.cluster);
  return clusters.size > 0 ? clusters : undefined;
}
