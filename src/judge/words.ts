import { metric as describe, itemsPer, type Metric } from "../metrics.js";
import type { Flips } from "../stats/bases/score.js";
import { type Comparison, certainValue, isRelative } from "../stats/comparison.js";
import { percent } from "../units.js";
import {
  type Different,
  differenceIn,
  type Equivalent,
  isUndistinguished,
  shownIn,
  type Verdict,
  verdict,
} from "./verdict.js";

/** A size of difference as a person reads it: `2.8 %`, `4.1 points`, `0.0123 nat`, `×25` when it is more than tenfold. */
export function amount(comparison: Pick<Comparison, "metric" | "scale">, size: number): string {
  return manifold(comparison, size) ? factor(size) : `${number(comparison, size)}${unitOf(comparison)}`;
}

/** From one end to the other, the unit once. */
function range(comparison: Comparison, low: number, high: number): string {
  if (manifold(comparison, high)) return `${factor(low)} … ${factor(high)}`;
  return `${number(comparison, low)} … ${number(comparison, high)}${unitOf(comparison)}`;
}

/** Ten times as much, as a difference: a share of what there was. */
const tenfold = 9;
/** Per cent are for what is less than tenfold. */
const manifold = ({ scale }: Pick<Comparison, "scale">, size: number) => scale === "relative" && size >= tenfold;
const factor = (size: number) => (size > 1e5 ? "over ×100000" : `×${(1 + size).toFixed(size < tenfold ? 1 : 0)}`);

function number({ metric, scale }: Pick<Comparison, "metric" | "scale">, size: number): string {
  if (!Number.isFinite(size)) return "?";
  const { digits, unit } = describe(metric);
  const shown = scale === "relative" || isShare(metric) ? 100 * size : size;
  const fixed = shown.toFixed(isShare(metric) ? digits - 2 : digits);
  const asIs = scale === "level" && (shown === 0 || Number(fixed) !== 0);
  // A noise floor may be that small, a difference that anyone looks for is not.
  const isTiny = Math.abs(shown) < (unit === "nat" ? 1e-5 : 1e-8);
  const text = asIs ? fixed : !isTiny ? trimmed(shown) : unit === "nat" && shown !== 0 ? shown.toExponential(1) : "0.0";
  return text.replace("-", "−");
}

function unitOf({ metric, scale }: Pick<Comparison, "metric" | "scale">): string {
  const { unit } = describe(metric);
  if (scale === "relative" || (scale === "level" && isShare(metric))) return " %";
  return isShare(metric) ? " points" : unit === "1" ? "" : ` ${unit}`;
}

/** Told in per cent, and differences in points. */
export const isShare = (metric: string) => describe(metric).scale === "percent";

/** `rose by 0.3 % (95 % CI 0.1 … 0.5 %)` */
export function changed(comparison: Comparison): string {
  if (isIdentical(comparison)) return "is the same in every item";
  const { difference, low, high } = comparison;
  if (difference === 0) return `is the same on average${interval(comparison)}`;
  const fell = difference < 0;
  const [from, to] = fell ? [-high, -low] : [low, high];
  return `${fell ? "fell" : "rose"} by ${amount(comparison, Math.abs(difference))}${interval({ ...comparison, low: from, high: to })}`;
}

export function interval(comparison: Comparison): string {
  return Number.isFinite(comparison.low) ? ` (95 % CI ${range(comparison, comparison.low, comparison.high)})` : "";
}

/** Two figures that matter, at least one after the point of what is below a hundred. */
function trimmed(size: number): string {
  const digits = size === 0 ? 1 : Math.min(9, Math.max(1, 1 - Math.floor(Math.log10(Math.abs(size)))));
  if (Math.abs(size) >= 99.95) return size.toFixed(0);
  return size.toFixed(digits);
}

export function probability(p: number): string {
  if (Number.isNaN(p)) return "= ?";
  return p < 0.001 ? "< 0.001" : `= ${p.toFixed(p < 0.1 ? 3 : 2)}`;
}

/**
 * A comparison in words, without the names; the size comes first, then whether it is sure: `2.8 % better (95 % CI 1.9 … 3.7 %, adjusted
 * p < 0.001; 32 chunks)`, `+0.3 % (95 % CI −0.2 … 0.8 %; 32 chunks): no difference shown (detectable: 0.7 %)`.
 */
export function clause(comparison: Comparison, said: Verdict = verdict(comparison)): string {
  if (isIdentical(comparison)) return "identical";
  switch (said.kind) {
    case "different":
      return `${sided(comparison, said)} (${evidence(comparison, said)})`;
    case "likely":
      return said.what.kind === "different"
        ? `likely ${sided(comparison, said.what)} (${evidence(comparison, said.what, doubt(comparison, said))})`
        : `${signed(comparison)} (${evidence(comparison)}): likely ${equal(comparison, said.what)}, ${doubt(comparison, said)}`;
    case "equivalent":
      return `${signed(comparison)} (${evidence(comparison)}): ${equal(comparison, said)}`;
    case "undistinguished":
      return `${signed(comparison)} (${evidence(comparison)}): ${unshown(comparison)}`;
    case "unknown":
      return untold(comparison, said.needed);
    case "chance":
      return `neither is shown to be better than guessing (${percent(said.chance)}), so neither is called better`;
    case "size":
      return sized(comparison, said);
  }
}

/** The same as a sentence's beginning: `B beats A on PPL by 2.8 % (…)`. Undefined when there is no winner. */
export function winner(comparison: Comparison, said: Verdict, label: string, a: string, b: string): string | undefined {
  const difference = differenceIn(said);
  if (!difference || (difference.direction !== "better" && difference.direction !== "worse")) return undefined;
  const verb = difference.direction === "better" ? "beats" : "loses to";
  const by = amount(comparison, Math.abs(comparison.difference));
  return `${b} ${verb} ${a} on ${label} by ${by}${small(difference)} (${evidence(comparison, difference)})`;
}

/** What an answer calls one direction and the other: `helps`, `harms`. */
export interface Says {
  better: string;
  worse: string;
}

/**
 * The same as an answer's opening, which a verb begins: `helps: 21 % lower on average over 6 pairs (95 % CI 20 … 22 %; pairs 0.6 … 43 %;
 * 38 chunks)`. `over`: the pairs of which it is the mean, one pair stands for itself; `most`: the one that makes most of it.
 */
export function opening(
  comparison: Comparison,
  said: Verdict,
  says: Says,
  { over = [], most }: { over?: Comparison[]; most?: string } = {},
): string {
  const shown = shownIn(said);
  if (isIdentical(comparison) || !(shown || isUndistinguished(said))) return clause(comparison, said);
  const difference = shown && differenceIn(said, shown.sure);
  const fell = comparison.difference < 0;
  const changed = `${amount(comparison, Math.abs(comparison.difference))} ${fell ? "lower" : "higher"}`;
  const by = most === undefined ? "" : `, mostly by ${most}`;
  const mean = over.length > 1 ? ` on average over ${over.length} pairs${by}` : "";
  const size = `${difference ? changed : signed(comparison)}${mean}${difference ? small(difference) : ""}`;
  const open = said.kind === "likely" ? doubt(comparison, said) : shown ? "" : detectableIn(comparison);
  const parts = [
    confidence(comparison, difference !== undefined),
    spread(comparison, over, difference !== undefined),
    open,
    ...[basisOf(comparison)].filter((piece) => !open.endsWith(piece)),
  ];
  return `${opened(comparison, said, says)}: ${size} (${parts.filter((part) => part !== "").join("; ")})`;
}

function opened(comparison: Comparison, said: Verdict, says: Says): string {
  const shown = shownIn(said);
  if (!shown) return "not sure";
  const { what, sure } = shown;
  const words =
    what.kind === "equivalent" ? equal(comparison, what) : says[what.direction === "worse" ? "worse" : "better"];
  return sure ? words : `likely ${words}`;
}

/**
 * From the least to the most that single pairs show, where all are on one scale. `isShown`: the headline has a direction, and a sign
 * against it would be a riddle: `pairs from 12 % higher to 43 % lower`.
 */
function spread(comparison: Comparison, over: Comparison[], isShown: boolean): string {
  const sizes = over
    .flatMap(({ scale, difference }) => (scale === comparison.scale && Number.isFinite(difference) ? [difference] : []))
    .sort((a, b) => a - b);
  if (sizes.length < 2) return "";
  const [low, high] = [sizes[0]!, sizes.at(-1)!];
  const fell = comparison.difference < 0;
  if (!isShown) return `pairs ${range(comparison, low, high)}`;
  if (low >= 0 || high <= 0) return `pairs ${fell ? range(comparison, -high, -low) : range(comparison, low, high)}`;
  const down = `${amount(comparison, -low)} lower`;
  const up = `${amount(comparison, high)} higher`;
  return fell ? `pairs from ${up} to ${down}` : `pairs from ${down} to ${up}`;
}

/** A verdict in a table's cell: `better`, `likely better`, `~`. */
export function mark(said: Verdict, comparison?: Comparison): string {
  if (comparison && isIdentical(comparison)) return "identical";
  switch (said.kind) {
    case "different":
      return said.direction;
    case "equivalent":
      return "equivalent";
    case "likely":
      return `likely ${mark(said.what)}`;
    case "undistinguished":
      return "~";
    case "unknown":
      return "cannot tell";
    case "chance":
      return "not above chance";
    case "size":
      return `${said.place === "around" ? "about" : said.place} ${comparison ? marginIn(comparison, said.margin) : "the margin"}`;
  }
}

/** The same where a reader may sort and search: of one kind one word. */
export const markInFiles = (said: Verdict, comparison?: Comparison) =>
  isUndistinguished(said) ? said.kind : said.kind === "size" ? `${said.place} the margin` : mark(said, comparison);

/** `2.8 % better`; `×26, worse` */
function sided(comparison: Comparison, difference: Different): string {
  const { direction } = difference;
  const size = Math.abs(comparison.difference);
  return `${amount(comparison, size)}${manifold(comparison, size) ? "," : ""} ${directed(comparison, direction)}${small(difference)}`;
}

const small = ({ within }: Different) => (within ? ", too little to matter" : "");

/** `+0.3 %`, of which nobody knows whether it is one. */
function signed(comparison: Comparison): string {
  const { difference } = comparison;
  const sign = manifold(comparison, difference) || difference === 0 ? "" : difference < 0 ? "−" : "+";
  return `${sign}${amount(comparison, Math.abs(difference))}`;
}

const equal = (comparison: Comparison, { margin }: Equivalent) => `equivalent within ${marginIn(comparison, margin)}`;

/** Neither a difference nor equivalence: with what would have been found, or why nothing could be. */
function unshown(comparison: Comparison): string {
  const { clusters, n, detectable, scale } = comparison;
  // Nobody takes a figure that may as well be twice as large for one without a difference.
  if (scale === "relative" && detectable >= 1 && isDetectable(comparison))
    return `cannot tell (${detectableIn(comparison)})`;
  if (isDetectable(comparison)) return `no difference shown (${detectableIn(comparison)})`;
  const few = clusters < n ? `${clusters} subjects are` : `${n} ${itemsOf(comparison)} are`;
  return `not certain, ${few} too few to detect any`;
}

function detectableIn(comparison: Comparison): string {
  return isDetectable(comparison) ? `detectable: ${amount(comparison, detectableOf(comparison))}` : "";
}

/**
 * The detectable difference on the side on which the data lie. On a log scale a fall has another size than the rise that is as
 * far away: what detects +142 % detects −59 %.
 */
export function detectableOf({ scale, detectable, difference }: Comparison): number {
  return scale === "relative" && difference < 0 ? detectable / (1 + detectable) : detectable;
}

/** What a size rests on: its interval, the p of a difference, and the pieces. */
function evidence(comparison: Comparison, difference?: Different, doubt?: string): string {
  const { adjusted, family = 1, p } = comparison;
  // A p that no family has adjusted is not what keeps it from being certain.
  const isTold = difference && !Number.isNaN(adjusted ?? p);
  const told = isTold ? `, ${family > 1 ? "adjusted p" : "p"} ${probability(adjusted ?? p)}` : "";
  return [
    `${confidence(comparison, difference !== undefined)}${told}`,
    ...(doubt ? [doubt] : []),
    ...pieces(comparison).filter((piece) => !doubt?.endsWith(piece)),
  ].join("; ");
}

/** `cannot tell: 5 repetitions or more` */
export function untold(comparison: Comparison, needed: number): string {
  return `cannot tell: ${needed} ${itemsOf(comparison)} or more`;
}

/** What keeps the one that the interval shows from being certain. */
function doubt(comparison: Comparison, { among }: { among?: number }): string {
  if (comparison.disturbed) return "not certain beside other processes";
  return among === undefined ? `not certain from ${piecesOf(comparison)}` : `not certain among ${among}`;
}

/** `0.055 nat (95 % CI 0.030 … 0.10 nat; 8 chunks): 55 × the margin of 0.001 nat; noise floor 7.0e-8 nat` */
function sized(comparison: Comparison, { place, margin, floor }: Extract<Verdict, { kind: "size" }>): string {
  const told = {
    ...comparison,
    scale: describe(comparison.metric).identical === 0 ? ("absolute" as const) : ("level" as const),
  };
  const where = {
    within: "within the margin",
    around: "about the margin",
    beyond: timesMargin(comparison, margin),
  }[place];
  return `${amount(told, comparison.b)} (${[confidence(told), ...pieces(comparison)].join("; ")}): ${where} of ${marginIn(comparison, margin)}; noise floor ${amount(told, floor)}`;
}

/** `9.9 × the margin` */
function timesMargin({ metric, b }: Pick<Comparison, "metric" | "b">, margin: number): string {
  const times = distance(metric, b) / margin;
  return `${times < 10 ? times.toFixed(1) : times.toFixed(0)} × the margin`;
}

/** How far from the reference: a share of same predictions lacks that much of 1. */
export function distance(metric: string, figure: number): number {
  const { identical = 0, better } = describe(metric);
  return better === "higher" ? identical - figure : figure - identical;
}

/** A margin in its own unit, whatever the scale of the comparison. */
function marginIn({ metric }: Pick<Comparison, "metric">, margin: number): string {
  return amount({ metric, scale: isRelative(metric) ? "relative" : "absolute" }, margin);
}

/** The margins of the metrics on which verdicts are given: `PPL 0.5 %, KLD 0.0010 nat`. */
export function marginsOf(metrics: readonly Metric[]): string {
  const leading = metrics.filter(({ leads }) => leads === true);
  const said = leading.flatMap(({ name, label, margin }) =>
    margin ? [`${label} ${marginIn({ metric: name }, margin.size)}`] : [],
  );
  return [...new Set(said)].join(", ");
}

/** The interval; turned so that a gain and a loss both read as a positive size. */
function confidence(comparison: Comparison, turned = false): string {
  const { difference, low, high } = comparison;
  const down = turned && difference < 0;
  return `95 % CI ${down ? range(comparison, -high, -low) : range(comparison, low, high)}`;
}

/** Only more than anyone looks for, or nothing at all. */
function undetectable({ scale, detectable, difference }: Comparison): string {
  if (scale !== "relative" || !Number.isFinite(detectable)) return "none";
  return difference < 0 ? "over 90 %" : "over ×10";
}

/** Whether a difference that anyone looks for would be detected: nobody looks for more than tenfold. */
export function isDetectable({ scale, detectable }: Comparison): boolean {
  return scale === "relative" ? detectable < tenfold : Number.isFinite(detectable);
}

function directed({ metric }: Comparison, direction: string): string {
  if (describe(metric).per !== "repetition") return direction;
  return direction === "better" ? "faster" : "slower";
}

/**
 * The cells of a table: difference, interval, p, detectable difference, pieces that the error rests on. Two speeds stand beside their
 * quotient whether or not anything can be told of it.
 */
export function tabulated(comparison: Comparison): string[] {
  const isOfTwo = comparison.needed !== undefined && describe(comparison.metric).per === "repetition";
  const difference = isOfTwo ? comparison.b / comparison.a - 1 : comparison.difference;
  const { low, p, adjusted = p, detectable, flips, needed, scale } = comparison;
  const known = (number: number, text: string) => (Number.isFinite(number) ? text : "");
  const changes = flips ? `, ${flips.toRight} to right, ${flips.toWrong} to wrong` : "";
  const signed = `${difference > 0 && scale !== "level" && !manifold(comparison, difference) ? "+" : ""}${amount(comparison, difference)}`;
  return [
    known(difference, signed),
    known(low, range(comparison, low, comparison.high)),
    known(adjusted, probability(adjusted).replace(/^= /, "")),
    Number.isNaN(detectable) || needed !== undefined
      ? ""
      : isDetectable(comparison)
        ? amount(comparison, detectableOf(comparison))
        : undetectable(comparison),
    `${basisOf(comparison)}${changes}${needed === undefined ? "" : `, take ${needed}`}`,
  ];
}

/** The pieces that the error rests on, for answers those that changed: `16 chunks`, `3 answers of 200 flipped, 2 to right, 1 to wrong`. */
function pieces(comparison: Comparison): string[] {
  const { n, clusters, paired, flips } = comparison;
  const isNamed = !paired || (flips && clusters === n);
  const changed = flips ? [flippedOf(flips), ...(flips.toRight + flips.toWrong > 0 ? [waysOf(flips)] : [])] : [];
  return [...(flips ? [changed.join(", ")] : []), ...(isNamed ? [] : [basisOf(comparison)])];
}

/** `16 chunks`, `64 chunks in 32 blocks of 2`, `64 chunks in 12 documents`, `200 questions` */
function basisOf(comparison: Comparison): string {
  return comparison.paired ? piecesOf(comparison) : "unpaired";
}

function piecesOf(comparison: Comparison): string {
  const { metric, n, clusters, block } = comparison;
  const items = counted(n, itemsOf(comparison));
  if (block > 1) return `${items} in ${clusters} blocks of ${block}`;
  const { per } = describe(metric);
  const groups = per === "question" ? "subjects" : per === "repetition" ? "sessions" : "documents";
  return clusters < n ? `${items} in ${counted(clusters, groups)}` : items;
}

const counted = (n: number, items: string) => `${n} ${n === 1 ? items.slice(0, -1) : items}`;

/** The items that a metric is measured on. */
export function itemsOf({ metric }: Pick<Comparison, "metric">): string {
  return itemsPer[describe(metric).per];
}

/** `3 answers of 200 flipped (2 to right, 1 to wrong)` */
export function flipped(flips: Flips): string {
  const { toRight, toWrong } = flips;
  return `${flippedOf(flips)}${toRight + toWrong > 0 ? ` (${waysOf(flips)})` : ""}`;
}

function flippedOf({ n, toRight, toWrong }: Flips): string {
  const count = toRight + toWrong;
  return count === 0 ? `none of ${n} answers flipped` : `${count} answer${count === 1 ? "" : "s"} of ${n} flipped`;
}

const waysOf = ({ toRight, toWrong }: Flips) => `${toRight} to right, ${toWrong} to wrong`;

/** Item by item the same number. */
export function isIdentical(comparison: Comparison): boolean {
  const { difference, scale } = comparison;
  return difference === 0 && certainValue(comparison) !== undefined && scale !== "level";
}
