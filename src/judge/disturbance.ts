import { metric as describe } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import { meanOf } from "../stats/location.js";
import { foreignLoad, type Series } from "../stats/series.js";
import { assumedSpread, fewestRuns, runsIn } from "../stats/speed.js";

// Other processes beside a speed: when they may be the whole of a difference.

/** Whether others took more of a machine than speeds bear: the share by which runs are assumed to differ. */
const isMuch = (cores: number, { machine }: Series) => cores > Math.max(foreignLoad, assumedSpread * machine.cpus);

/** Whether other processes took much of the machine while a speed was timed, in fewer runs than would show what they did to it. */
export const isDisturbed = (name: string, one: Series): boolean =>
  describe(name).per === "repetition" &&
  isMuch(one.foreign ?? 0, one) &&
  runsIn(one.observations.get(name) ?? [], one.clusters) < fewestRuns;

/**
 * Why the difference of two speeds that were timed apart may be that of other processes, as a sentence: beside each session of the slower
 * side they took more than beside any of the faster one. Sessions that differ so by chance are one case in ten.
 */
export function loadApart(name: string, { paired, difference }: Comparison, a: Series, b: Series): string | undefined {
  if (describe(name).per !== "repetition" || paired || !(Math.abs(difference) > 0)) return undefined;
  const [slower, faster] = difference < 0 === (describe(name).better === "higher") ? [b, a] : [a, b];
  const [more, less] = [loadsOf(slower), loadsOf(faster)];
  if (more.length === 0 || less.length === 0 || !isMuch(meanOf(more), slower)) return undefined;
  if (Math.min(...more) <= Math.max(...less)) return undefined;
  const [one, other] = [more, less].map((cores) => meanOf(cores).toFixed(2));
  return `other processes used ${one} CPU cores beside the slower side's sessions and ${other} beside the other's, which may be the difference: time both in turns, in one run.`;
}

/** CPU cores session by session; a baseline of an earlier version knows their mean alone, and some machines tell nothing. */
const loadsOf = ({ loads, foreign }: Series) => loads ?? (foreign === undefined ? [] : [foreign]);
