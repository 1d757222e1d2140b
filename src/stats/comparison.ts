import type { Sample } from "../events.js";
import { metric as describe } from "../metrics.js";
import { type Basis, baseOf } from "./bases/index.js";
import type { Flips } from "./bases/score.js";
import { itemsFor, type Limit, power } from "./power.js";

export { alpha, oneSided } from "./bases/basis.js";

/** The value of one item (chunk, question, repetition). */
export type Observation = Pick<Sample, "value" | "weight"> & { item: string };

/** How far B lies from A, and how sure that is. Made of plain data: it goes into files as it is. */
export interface Comparison {
  metric: string;
  /**
   * `relative`: differences are shares of A (0.02: B is 2 % above A); `absolute`: they are in the metric's unit;
   * `level`: there is no A, the difference is the figure itself.
   */
  scale: "relative" | "absolute" | "level";
  /** The two values over the items that were compared. */
  a: number;
  b: number;
  /** B less A, and its 95 % interval; NaN when there is none. */
  difference: number;
  low: number;
  high: number;
  /** Two-sided p of "there is no difference". */
  p: number;
  /** The same, adjusted within a family of comparisons, see `inFamily`; NaN when too few pieces make it part of none. */
  adjusted?: number;
  /** Adjusted p of "it is as large as the margin", in the same family. */
  adjustedEquivalence?: number;
  /** How many comparisons that family has. */
  family?: number;
  /**
   * Set when the data cannot tell anything (too few items, or an interval that reaches beyond ten times the estimate): the number of items
   * that could begin to. Then there is no interval and no p.
   */
  needed?: number;
  /** Items compared. */
  n: number;
  paired: boolean;
  /** Independent pieces that the error rests on, and consecutive items in each. */
  clusters: number;
  block: number;
  /** A speed whose difference other processes may have made, so that none of it is certain. */
  disturbed?: true;
  /** Chunks of the text hang together over longer stretches than the error sees, so that the interval may be too narrow. */
  drifts?: true;
  /**
   * The smallest difference that a two-sided test at 5 % finds with 80 % power; within a family under Holm's adjustment, with
   * all other comparisons as they are, see `inFamily`.
   */
  detectable: number;
  /** How many answers to questions changed, each way. */
  flips?: Flips;
  /** Whole sentences: what a reader of this comparison should know. */
  warnings: string[];
  basis: Basis;
}

/** Whether the error rests on whole runs as its pieces. */
export const isOfRuns = ({ basis }: Comparison) => "per" in basis && basis.per === "run";

/** Whether a part of the error is how much runs differ, which more items of one run do not tell. */
export const isBoundByRuns = ({ basis }: Comparison) => "fixed" in basis && basis.fixed?.of === "runs";

/** p of "the difference is at most `limit`": one-sided, small when the data show more than that. */
export const pAtMost = ({ basis }: Comparison, limit: number) => baseOf(basis).atMost(basis, limit);

/** p of "the difference is at least `limit`": one-sided, small when the data show less than that. */
export const pAtLeast = ({ basis }: Comparison, limit: number) => baseOf(basis).atLeast(basis, limit);

/** The value itself, when every item shows the same and nothing is left to chance. */
export const certainValue = ({ basis }: Comparison) => baseOf(basis).certain(basis);

/** The difference, or the figure, that would have failed the limit with 80 % power. NaN when there is none. */
export const detectableHarm = ({ basis }: Comparison, limit: Limit) => baseOf(basis).harm(basis, limit);

/** Items on top of those there are. */
export interface Further {
  from: number;
  /** Infinity when no affordable number may do. */
  to: number;
}

/**
 * How many more items decide: `from` as likely as not, `to` in four cases of five, see `Base.decides`. Two digits. `n`: items that
 * there are. Undefined when not even the fewest can be afforded.
 */
export function furtherItems({ basis }: Comparison, asked: Limit, n: number): Further | undefined {
  const decides = baseOf(basis).decides(basis, asked);
  const from = itemsFor(n, decides, evenly) - n;
  return from === Infinity ? undefined : { from: rounded(from), to: rounded(itemsFor(n, decides, power) - n) };
}

/** A chance that is as good as none. */
const evenly = 0.5;

/** Items of the floor and of the variant that there are, and of either that there can be. */
interface FloorItems {
  floor: number;
  n: number;
  most: number;
}

/**
 * Items of a noise floor that decide against a multiple of it in four cases of five (`isSure`), or else as likely as not; more
 * than `n` are meant of both. Undefined when no number that can be had does.
 */
export function floorItems(
  { basis }: Comparison,
  asked: Limit,
  { floor, n, most }: FloorItems,
): { needed: number; isSure: boolean } | undefined {
  const decides = baseOf(basis).decides(basis, asked);
  for (const chance of [power, evenly]) {
    const isSure = chance === power;
    const alone = itemsFor(floor, (factor) => decides(1, factor), chance);
    if (alone <= n) return { needed: Math.min(n, rounded(alone)), isSure };
    const both = rounded(itemsFor(n, (factor) => decides(factor, (factor * n) / floor), chance));
    if (both <= most && both < Infinity) return { needed: both, isSure };
  }
  return undefined;
}

/** Upwards, to two digits and at least 1. */
function rounded(items: number): number {
  const whole = Math.max(1, Math.ceil(items - 1e-9));
  const step = 10 ** Math.max(0, Math.floor(Math.log10(whole)) - 1);
  return Number.isFinite(whole) ? Math.ceil(whole / step) * step : whole;
}

/** Whether margins of this metric are shares of A rather than in its unit. */
export function isRelative(metric: string): boolean {
  return describe(metric).margin?.relative ?? false;
}

/** p of "it is as large as the margin": of the two one-sided tests, the larger. A relative margin is as far down as up on the log scale. */
export function pOfEquivalence(comparison: Comparison, margin: number): number {
  if (comparison.needed !== undefined) return Number.NaN;
  const [lower, upper] = isRelative(comparison.metric)
    ? [1 / (1 + margin) - 1, margin]
    : comparison.scale === "relative"
      ? [-margin / comparison.a, margin / comparison.a]
      : [-margin, margin];
  return Math.max(pAtLeast(comparison, upper), pAtMost(comparison, lower));
}

/** Sorts as text the way a person counts: `chunk 9` before `chunk 10`. Neighbours in a text become neighbours here. */
export function natural<One extends { item: string }>(items: One[]): One[] {
  const keys = items.map(({ item }) => naturalKey(item));
  // As a rule they come in that order.
  if (keys.every((key, i) => i === 0 || keys[i - 1]! <= key)) return [...items];
  return items
    .map((one, i) => ({ one, key: keys[i]! }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ one }) => one);
}

/** By item: the same names come again with every variant and metric. */
const naturalKeys = new Map<string, string>();
const mostKeys = 200_000;

function naturalKey(item: string): string {
  const known = naturalKeys.get(item);
  if (known !== undefined) return known;
  const key = item.replace(/\d+/g, (digits) => digits.padStart(16, "0"));
  if (naturalKeys.size >= mostKeys) naturalKeys.clear();
  naturalKeys.set(item, key);
  return key;
}
