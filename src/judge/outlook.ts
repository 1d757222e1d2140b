import { definite } from "../definite.js";
import {
  type Comparison,
  detectableHarm,
  type Further,
  floorItems,
  furtherItems,
  isBoundByRuns,
  isOfRuns,
} from "../stats/comparison.js";
import type { Limit } from "../stats/power.js";
import type { LimitTest } from "./limits.js";
import { amount } from "./words.js";

/** What would decide a check that is undecided. */
export interface Outlook {
  sentence: string;
  /** Items on top of those there are. Absent when no number can be promised. */
  more?: Further;
}

/** `family`: how many checks Holm's adjustment is over. */
export function outlook(test: LimitTest, family: number): Outlook {
  const { comparison, limit, rises, size } = test;
  const asked = { limit, rises, family, ...definite({ size }) };
  const supply = supplyOf(test);
  const more = furtherItems(comparison, asked, supply.n);
  const byRuns = ofRuns(test);
  const isPromised =
    byRuns === undefined && more !== undefined && more.to <= Math.min(Number.MAX_VALUE, supply.left ?? Infinity);
  const remedy = byRuns ?? (isPromised ? undefined : ofFloor(test, asked)) ?? inItems(more, supply);
  return { sentence: `${remedy}${harmSeen(comparison, asked)}.`, ...definite({ more: isPromised ? more : undefined }) };
}

/** The pieces that more of would decide: items of the data, or whole runs. */
interface Supply {
  name: string;
  n: number;
  /** How many more there are: Infinity when as many as one likes; absent when that is not known. */
  left?: number;
  /** What has them: a text, a task. */
  source: string;
  /** The baseline needs as many. */
  both: boolean;
  /** How they are had. */
  how: string;
}

function supplyOf({ comparison, items, source, n, left, both = false }: LimitTest): Supply {
  if (isOfRuns(comparison))
    return { name: "runs", n: comparison.clusters, source, left: Infinity, both: true, how: " (--again)" };
  return { name: items, n, source, both, how: "", ...definite({ left }) };
}

/** `60 more chunks may decide, 400 should`, `About 3 more runs of both should decide (--again)`, or why no such thing can be promised. */
function inItems(more: Further | undefined, { name, source, left, both, how }: Supply): string {
  if (more === undefined) return `It lies too near the limit for any affordable number of ${name} to decide`;
  const { from, to } = more;
  const counted = (count: number) => `more ${count === 1 ? name.slice(0, -1) : name}${both ? " of both" : ""}`;
  const short = left === 0 ? `the whole ${source} is measured` : `the whole ${source} has ${left} more, not enough`;
  const unknown = `; the run does not say how many the ${source} has`;
  if (to === Infinity) {
    const rest = left === undefined ? unknown : left < from ? `; ${short}` : "";
    return `It may lie at the limit: ${from} ${counted(from)} could decide, or no number does${how}${rest}`;
  }
  const range = from === to ? `About ${to}` : `${from} to ${to}`;
  if (left !== undefined && left < from) return `${range} ${counted(to)} would be needed: ${short}`;
  const rest =
    left === undefined ? unknown : left < to ? `; the whole ${source} has ${left} more, which may not be enough` : "";
  const promised =
    from === to ? `About ${to} ${counted(to)} should decide` : `${from} ${counted(from)} may decide, ${to} should`;
  return `${promised}${how}${rest}`;
}

/** The floor's part of the error, which more items of the variant do not make smaller. */
function ofFloor({ comparison, floorOf, n, items, left }: LimitTest, asked: Limit): string | undefined {
  if (floorOf === undefined || floorOf >= n) return undefined;
  const measured = `The noise floor was measured on ${floorOf} ${items}`;
  const found = floorItems(comparison, asked, { floor: floorOf, n, most: left === undefined ? Infinity : n + left });
  // Then the floor is not what keeps it open.
  if (found === undefined) return undefined;
  const { needed, isSure } = found;
  const how = needed <= n ? `(floor: ${needed})` : `(chunks: ${needed}, floor: ${needed})`;
  if (!isSure) {
    const on = needed <= n ? `on ${needed}` : `both on ${needed}`;
    return `It may lie at the limit. ${measured}: ${on} ${how} it could decide, or no number does`;
  }
  return needed <= n ? `${measured}: measure it on ${needed} ${how}` : `${measured}: measure both on ${needed} ${how}`;
}

/** How much runs differ is a part of the error, which repetitions of one run do not show. */
function ofRuns({ comparison, items }: LimitTest): string | undefined {
  if (!isBoundByRuns(comparison)) return undefined;
  return `3 runs of both or more could decide (--again); more ${items} of one run do not show how much runs differ`;
}

function harmSeen(comparison: Comparison, asked: Limit): string {
  const harm = detectableHarm(comparison, asked);
  if (!Number.isFinite(harm) || asked.limit === 0) return "";
  const what = comparison.scale === "level" ? "value" : harm < 0 ? "fall" : "rise";
  return `; a true ${what} of ${amount(comparison, Math.abs(harm))} would have failed with 80 % probability`;
}
