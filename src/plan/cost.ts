import { measurementOn } from "../measurements/index.js";
import type { Job } from "./job.js";

/** Jobs that are measured together against one reference, and jobs of other measurements that the same decode feeds. */
export interface TogetherGroup {
  jobs: Job[];
  riders: Job[];
}

export function togetherGroups(all: Job[]): TogetherGroup[] {
  const groups = new Map<string, TogetherGroup>();
  for (const job of all) {
    if (!job.reference) continue;
    const key = `${job.record.measurement} ${job.record.against}`;
    const { jobs = [] } = groups.get(key) ?? {};
    groups.set(key, { jobs: [...jobs, job], riders: [] });
  }
  const fed = new Set<Job>();
  for (const group of groups.values()) {
    group.riders = all.filter((job) => !fed.has(job) && feeds(group.jobs, job));
    for (const job of group.riders) fed.add(job);
  }
  return [...groups.values()];
}

/**
 * Whether the comparison of these jobs with their reference decodes all that another job asks for, with the same digits: the
 * reference or one of the variants, in batches of the same shape.
 */
function feeds(jobs: Job[], { record, shape, spec, data }: Job): boolean {
  const first = jobs[0]!;
  const { mode } = measurementOn(first.record.kind, first.data?.kind);
  const own = measurementOn(record.kind, data?.kind);
  const chunks = "likelihoods" in own ? own.likelihoods?.(record.settings) : undefined;
  if (mode.kind !== "together" || !chunks || !mode.feeds(first.record.settings, chunks)) return false;
  if (record.askedSha256 === undefined || record.askedSha256 !== first.record.askedSha256) return false;
  const reference = first.reference!;
  const decodes = [reference.spec, ...jobs.map((job) => job.spec)].includes(spec);
  return decodes && shape.batch === reference.shape.batch && shape.ubatch === reference.shape.ubatch;
}

/** Bytes of a reference and all jobs beside it; weights that two have in common are there once. */
export function memoryTogether(jobs: Job[]): number {
  const { reference } = jobs[0]!;
  const models = new Set([reference!.spec.model]);
  return jobs.reduce((sum, { memory, spec }) => {
    const shared = models.has(spec.model) ? (memory?.weights ?? 0) : 0;
    models.add(spec.model);
    return sum + (memory?.total ?? 0) - shared;
  }, reference!.memory?.total ?? 0);
}
