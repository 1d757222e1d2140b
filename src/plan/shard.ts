import { measurementOn } from "../measurements/index.js";
import type { Share } from "../share.js";
import type { Job } from "./job.js";

/**
 * The jobs of a plan with what a shard of it measures of each: `share` in its record. It follows from the names in the plan and from
 * the number of shards alone, so that machines which know nothing of each other choose alike, whatever models are there:
 * - jobs that take turns go to one shard, all of a measurement;
 * - what is measured with a reference, and what the same decode may feed, is cut into ranges of chunks over all variants alike;
 * - of all other jobs each shard has as many whole variants as every one can have; the variants that are left over follow one another
 *   in a line that is cut into equal pieces.
 */
export function sharedOut(jobs: readonly Job[], shard: Share): Job[] {
  const names = (all: readonly Job[], name: "variant" | "measurement") => [
    ...new Set(all.map(({ record }) => record[name])),
  ];
  const timed = names(jobs.filter(takesTurns), "measurement");
  const apart = names(
    jobs.filter((job) => !takesTurns(job) && !isRanged(job, jobs)),
    "variant",
  );
  const shareOf = (job: Job): Share | "none" | undefined => {
    if (takesTurns(job))
      return timed.indexOf(job.record.measurement) % shard.of === shard.part - 1 ? undefined : "none";
    return isRanged(job, jobs) ? shard : shareOfVariant(apart.indexOf(job.record.variant), apart.length, shard);
  };
  return jobs.map((job) => {
    const share = shareOf(job);
    return share === undefined ? job : { ...job, record: { ...job.record, share } };
  });
}

const takesTurns = ({ record }: Job) => record.mode === "turns";

/** Whether it is cut by the chunks of a comparison. What a model lacks on one machine must not decide: the settings do. */
function isRanged({ record, data }: Job, all: readonly Job[]): boolean {
  if (record.mode === "together") return true;
  const own = measurementOn(record.kind, data?.kind);
  const chunks = "likelihoods" in own ? own.likelihoods?.(record.settings) : undefined;
  return (
    chunks !== undefined &&
    all.some(({ record: other, data }) => {
      const { mode } = measurementOn(other.kind, data?.kind);
      return mode.kind === "together" && other.askedSha256 === record.askedSha256 && mode.feeds(other.settings, chunks);
    })
  );
}

/** Of the variant of this number among `count`. */
function shareOfVariant(variant: number, count: number, { part, of }: Share): Share | "none" | undefined {
  const whole = Math.floor(count / of);
  if (variant < whole * of) return Math.floor(variant / whole) === part - 1 ? undefined : "none";
  // Each of those left over is `of` pieces long, and each shard has as many pieces of the line as they are.
  const left = count - whole * of;
  const begin = (variant - whole * of) * of;
  const first = Math.max((part - 1) * left, begin);
  const end = Math.min(part * left, begin + of);
  if (first >= end) return "none";
  if (end - first === of) return undefined;
  return { part: first - begin + 1, of, ...(end - first > 1 ? { through: end - begin } : {}) };
}
