import type { JobRecord } from "../events.js";
import { metric as describe, isQuality } from "../metrics.js";
import type { Summary } from "./summary.js";

/** What guessing gives on a metric of a job, where its task says so. */
export function chanceOf({ task }: Pick<JobRecord, "task">, metric: string): number | undefined {
  const described = describe(metric);
  return described.per === "question" && isQuality(described) ? task?.chance : undefined;
}

/** Where a figure lies whose 95 % interval is not above chance; undefined for one that is, and says something. */
export function besideChance(
  { low, high }: Pick<Summary, "low" | "high">,
  chance: number,
): "not above" | "below" | undefined {
  if (low !== undefined && low > chance) return undefined;
  return high !== undefined && high < chance ? "below" : "not above";
}
