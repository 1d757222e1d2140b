import type { SettingsFacts } from "../backends/backend.js";
import { usableProcessors } from "../machine.js";
import type { Cost } from "../measurements/measurement.js";
import type { ModelFacts } from "../models/gguf.js";
import type { Job } from "./job.js";

/**
 * A first guess: a token costs two operations per weight, and a core of these years does some 60 thousand million of them a
 * second in a prompt; generation reads all weights once a token, at some 10 GB/s.
 */
export function seconds(
  facts: ModelFacts | undefined,
  { threads = usableProcessors() }: SettingsFacts,
  { prompt, generated }: Cost,
): number | undefined {
  if (!facts) return undefined;
  return (prompt * 2 * facts.parameters) / (60e9 * threads) + (generated * facts.tensorBytes) / 10e9;
}

/** Jobs that are measured together against one reference. */
export function lockStepGroups(jobs: Job[]): Job[][] {
  const groups = new Map<string, Job[]>();
  for (const job of jobs) {
    if (!job.reference) continue;
    const key = `${job.record.measurement} ${job.record.against}`;
    groups.set(key, [...(groups.get(key) ?? []), job]);
  }
  return [...groups.values()];
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
