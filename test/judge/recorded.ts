import { readFileSync } from "node:fs";
import type { JobRecord, VariantRecord } from "../../dist/events.js";
import { askedOf } from "../../dist/judge/pairs.js";
import { type Question, verdictsOver } from "../../dist/judge/verdicts.js";
import type { Observation } from "../../dist/stats/comparison.js";
import type { Series } from "../../dist/stats/series.js";

/** A line, as test/fixtures/runs/from-run.mjs writes it. */
interface Line {
  variant?: VariantRecord;
  job?: RecordedJob;
}

interface RecordedJob {
  variant: string;
  measurement: string;
  kind: string;
  dataset: string;
  against?: string;
  metric: string;
  weight: number;
  clusters?: number[];
  /** Of answers a digit each. */
  values: number[] | string;
}

/** What was measured in a real run, by item. */
export function recordedSeries(name: "demo" | "smollm2"): Series[] {
  const file = new URL(`../fixtures/runs/${name}.jsonl`, import.meta.url);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  const all = lines.map((line) => JSON.parse(line) as Line);
  const [variants, jobs] = [all.flatMap(({ variant }) => variant ?? []), all.flatMap(({ job }) => job ?? [])];
  return variants.flatMap((made) => {
    const variant: VariantRecord = { ...made, model: made.name, backend: "llama", settings: {} };
    const own = jobs.filter((job) => job.variant === variant.name);
    return [...new Set(own.map(({ measurement }) => measurement))].map((measurement): Series => {
      const of = own.filter((job) => job.measurement === measurement);
      const [{ kind, dataset, against, clusters }] = of as [(typeof of)[number]];
      const job: JobRecord = {
        id: `${variant.name} ${measurement}`,
        ...{ variant: variant.name, backend: "llama", measurement, kind, dataset, settings: {} },
        metrics: of.map(({ metric }) => metric),
        ...(against ? { against } : {}),
      };
      return {
        ...{ variant, job, machine: { cpu: "A", cpus: 2 }, file: "" },
        observations: new Map(
          of.map(({ metric, weight, values }): [string, Observation[]] => [
            metric,
            [...values].map((value, item) => ({ item: String(item), value: Number(value), weight })),
          ]),
        ),
        ...(clusters ? { clusters: new Map(clusters.map((cluster, item) => [String(item), String(cluster)])) } : {}),
      };
    });
  });
}

/** The answers to all that such a run can answer. */
export function recordedAnswers(name: "demo" | "smollm2"): Question[] {
  const series = recordedSeries(name);
  const variants = [...new Map(series.map(({ variant }) => [variant.name, variant])).values()];
  return verdictsOver(askedOf(variants), (of) => series.filter(({ variant }) => variant.name === of)).questions;
}
