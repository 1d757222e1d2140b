import { definite } from "../definite.js";
import type { JobRecord } from "../events.js";
import { metric as describe, isDistance } from "../metrics.js";
import { besideChance, chanceOf } from "../stats/chance.js";
import type { Comparison } from "../stats/comparison.js";
import { compare, level } from "../stats/estimate.js";
import { clustersIn, type Series } from "../stats/series.js";
import { comparability } from "./comparable.js";
import { asPrinted } from "./rounding.js";
import type { Verdict } from "./verdict.js";
import { distance } from "./words.js";

/** One metric of two variants, compared or refused. */
export interface Result {
  measurement: string;
  dataset: string;
  metric: string;
  /** `PPL`; with the measurement's name before it when several give that metric. */
  label: string;
  /** Absent when it was refused. */
  comparison?: Comparison;
  verdict?: Verdict;
  /** A difference that holds in its own answer, but not if the mean error over all answers that show something is to be 5 %. */
  doubted?: true;
  refused?: string;
  notes: string[];
}

/** Whether a metric of a job is compared. */
export type WantedMetric = (metric: string, job: JobRecord) => boolean;

/** All that was measured of both, compared metric by metric. */
export function resultsOf(a: Series[], b: Series[], wanted: WantedMetric, across: boolean): Result[] {
  return a.flatMap((first) => {
    const second = b.find(({ job }) => job.measurement === first.job.measurement);
    if (!second) return [];
    if (first.missing !== undefined || second.missing !== undefined) return [];
    return first.job.metrics
      .filter((name) => wanted(name, first.job) && first.observations.has(name) && second.observations.has(name))
      .flatMap((name) => measuredPair(name, first, second, across));
  });
}

function measuredPair(name: string, a: Series, b: Series, across: boolean): Result[] {
  const { refused, instead, paired, notes } = comparability(name, a, b, { across });
  const { measurement, dataset, kind } = a.job;
  const { label, per } = describe(name);
  const result = {
    measurement,
    dataset,
    metric: name,
    label: measurement === kind || per === "repetition" ? label : `${measurement} ${label}`,
  };
  const noted = ({ warnings }: Comparison) => [...notes, ...warnings.map((warning) => `${result.label}: ${warning}`)];
  if (refused !== undefined) {
    const offered = instead && a.observations.has(instead) ? measuredPair(instead, a, b, across) : [];
    return [{ ...result, refused, notes: [] }, ...offered];
  }
  const [x, y] = [a.observations.get(name)!, b.observations.get(name)!];
  const clusters = clustersIn(a, b);
  const options = clusters ? { clusters } : {};
  // The reference's distance from itself is the noise floor, measured on fewer chunks; its size is the same in all of them.
  const floor = a.job.against !== undefined && a.job.against === a.job.variant;
  if (floor && isDistance(describe(name))) {
    const found = { ...level(name, y, options), a: level(name, x).b };
    return [{ ...result, comparison: found, verdict: sizeOf(name, found), notes: noted(found) }];
  }
  const comparison = asPrinted(compare(name, x, y, { paired: paired && !floor, ...options }), a, b);
  if (comparison.n === 0)
    return [{ ...result, refused: `${result.label} is not compared: ${comparison.warnings.join(" ")}`, notes: [] }];
  const chance = chanceOf(a.job, name);
  const guessed = chance !== undefined && [x, y].every((items) => besideChance(level(name, items, options), chance));
  const verdict: Verdict | undefined = guessed ? { kind: "chance", chance } : undefined;
  return [{ ...result, comparison, ...definite({ verdict }), notes: noted(comparison) }];
}

/** The place of a distance's interval: within the margin, around it, or beyond. */
function sizeOf(name: string, { low, high, a, needed }: Comparison): Verdict {
  if (needed !== undefined) return { kind: "unknown", needed };
  const margin = describe(name).margin?.size ?? Number.NaN;
  const [from, to] = [distance(name, low), distance(name, high)].sort((one, other) => one - other);
  return { kind: "size", place: from! > margin ? "beyond" : to! < margin ? "within" : "around", margin, floor: a };
}
