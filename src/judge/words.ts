import { metric as describe, itemsPer, type Metric } from "../metrics.js";
import type { Flips } from "../stats/bases/score.js";
import { type Comparison, certainValue, isRelative } from "../stats/comparison.js";
import { percent } from "../units.js";
import { type Different, differenceIn, isUndistinguished, type Verdict, verdict } from "./verdict.js";

/** A size of difference as a person reads it: `2.8 %`, `4.1 points`, `0.0123 nat`, `×25` when it is more than tenfold. */
export function amount(comparison: Pick<Comparison, "metric" | "scale">, size: number): string {
  return manifold(comparison, size) ? factor(size) : `${number(comparison, size)}${unitOf(comparison)}`;
}

/** From one end to the other, the unit once. */
function range(comparison: Comparison, low: number, high: number): string {
  if (manifold(comparison, high)) return `${factor(low)} … ${factor(high)}`;
  return `${number(comparison, low)} … ${number(comparison, high)}${unitOf(comparison)}`;
}

/** Per cent are for what is less than tenfold. */
const manifold = ({ scale }: Pick<Comparison, "scale">, size: number) => scale === "relative" && size >= 9;
const factor = (size: number) => (size > 1e5 ? "over ×100000" : `×${(1 + size).toFixed(size < 9 ? 1 : 0)}`);

function number({ metric, scale }: Pick<Comparison, "metric" | "scale">, size: number): string {
  if (!Number.isFinite(size)) return "?";
  const { digits, unit } = describe(metric);
  const shown = scale === "relative" || isShare(metric) ? 100 * size : size;
  const fixed = shown.toFixed(isShare(metric) ? digits - 2 : digits);
  const asIs = scale === "level" && (shown === 0 || Number(fixed) !== 0);
  const tiny = Math.abs(shown) < 1e-8;
  // A noise floor may be that small, a difference that anyone looks for is not.
  const text = asIs ? fixed : !tiny ? trimmed(shown) : unit === "nat" && shown !== 0 ? shown.toExponential(1) : "0.0";
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
  const fell = difference < 0;
  const [from, to] = fell ? [-high, -low] : [low, high];
  return `${fell ? "fell" : "rose"} by ${amount(comparison, Math.abs(difference))}${interval({ ...comparison, low: from, high: to })}`;
}

export function interval(comparison: Comparison): string {
  return Number.isFinite(comparison.low) ? ` (95 % CI ${range(comparison, comparison.low, comparison.high)})` : "";
}

/** Two figures that matter, at least one after the point. */
function trimmed(size: number): string {
  const digits = size === 0 ? 1 : Math.min(9, Math.max(1, 1 - Math.floor(Math.log10(Math.abs(size)))));
  return size.toFixed(digits);
}

export function probability(p: number): string {
  if (Number.isNaN(p)) return "= ?";
  return p < 0.001 ? "< 0.001" : `= ${p.toFixed(p < 0.1 ? 3 : 2)}`;
}

/** A comparison in words, without the names: `better by 2.8 % (95 % CI 1.9 … 3.7 %, Holm p < 0.001)`. */
export function clause(comparison: Comparison, said: Verdict = verdict(comparison)): string {
  return [flipsOf(comparison), judged(comparison, said)].filter(Boolean).join(", ");
}

/** The same as a sentence's beginning: `B beats A on PPL by 2.8 % (…)`. Undefined when there is no winner. */
export function winner(comparison: Comparison, said: Verdict, label: string, a: string, b: string): string | undefined {
  const difference = differenceIn(said);
  if (!difference || (difference.direction !== "better" && difference.direction !== "worse")) return undefined;
  const verb = difference.direction === "better" ? "beats" : "loses to";
  const flips = flipsOf(comparison);
  return `${b} ${verb} ${a} on ${label} by ${measured(comparison, difference)}${flips ? `, ${flips}` : ""}`;
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
      return `${said.place} the margin`;
  }
}

/** The same where a reader may sort and search. */
export const markInFiles = (said: Verdict, comparison?: Comparison) =>
  isUndistinguished(said) ? said.kind : mark(said, comparison);

/** A change that few subjects cannot make certain still has a size. */
function few(comparison: Comparison): string {
  const { difference, clusters, n, flips } = comparison;
  if (!flips || clusters >= n || difference === 0) return "no difference found (too few items to detect any)";
  return `${difference < 0 ? "−" : "+"}${amount(comparison, Math.abs(difference))}, not certain: ${clusters} subjects are too few to detect any`;
}

function judged(comparison: Comparison, said: Verdict): string {
  if (isIdentical(comparison)) return "identical";
  switch (said.kind) {
    case "different":
      return `${directed(comparison, said.direction)} by ${measured(comparison, said)}`;
    case "equivalent":
      return `equivalent within ${marginIn(comparison, said.margin)} (${confidence(comparison)}${pieces(comparison)})`;
    case "likely":
      return likely(comparison, said);
    case "undistinguished":
      if (!isDetectable(comparison)) return few(comparison);
      return `no difference found (would have detected ${amount(comparison, said.detectable)}${pieces(comparison)})`;
    case "unknown":
      return untold(comparison, said.needed);
    case "chance":
      return `neither is shown to be better than guessing (${percent(said.chance)}), so neither is called better`;
    case "size":
      return sized(comparison, said);
  }
}

/** `cannot tell: 5 repetitions or more` */
export function untold(comparison: Comparison, needed: number): string {
  return `cannot tell: ${needed} ${itemsOf(comparison)} or more`;
}

/** Shown by the interval alone: with what keeps it from being certain. */
function likely(comparison: Comparison, { what, among }: Extract<Verdict, { kind: "likely" }>): string {
  const { adjusted = Number.NaN } = comparison;
  const doubt =
    among === undefined
      ? `not certain from ${piecesOf(comparison)}`
      : `not certain among ${among}${what.kind === "different" ? `, Holm p ${probability(adjusted)}` : ""}${pieces(comparison)}`;
  if (what.kind === "equivalent")
    return `likely within ${marginIn(comparison, what.margin)} (${confidence(comparison)}; ${doubt})`;
  const size = amount(comparison, Math.abs(comparison.difference));
  return `likely ${directed(comparison, what.direction)} by ${size} (${confidence(comparison, true)}; ${doubt})`;
}

/** `0.055 nat (95 % CI 0.030 … 0.10 nat; 8 chunks): 55 × the margin of 0.001 nat; noise floor 0.000000070 nat` */
function sized(comparison: Comparison, { place, margin, floor }: Extract<Verdict, { kind: "size" }>): string {
  const told = {
    ...comparison,
    scale: describe(comparison.metric).identical === 0 ? ("absolute" as const) : ("level" as const),
  };
  const times = distance(comparison.metric, comparison.b) / margin;
  const where = {
    within: "within the margin",
    around: "about the margin",
    beyond: `${times < 10 ? times.toFixed(1) : times.toFixed(0)} × the margin`,
  }[place];
  return `${amount(told, comparison.b)} (${confidence(told)}${pieces(comparison)}): ${where} of ${marginIn(comparison, margin)}; noise floor ${amount(told, floor)}`;
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

/** Whether a difference that anyone looks for would be detected: nobody looks for more than tenfold. */
export function isDetectable({ scale, detectable }: Comparison): boolean {
  return scale === "relative" ? detectable < 10 : Number.isFinite(detectable);
}

function directed({ metric }: Comparison, direction: string): string {
  if (describe(metric).per !== "repetition") return direction;
  return direction === "better" ? "faster" : "slower";
}

/** Size and interval of what is certain. */
function measured(comparison: Comparison, said: Different): string {
  const { difference, adjusted, family = 1, p } = comparison;
  const name = family > 1 ? "Holm p" : "p";
  const small = said.within ? "; within the margin that matters" : "";
  return `${amount(comparison, Math.abs(difference))} (${confidence(comparison, true)}, ${name} ${probability(adjusted ?? p)}${small}${pieces(comparison)})`;
}

/** The cells of a table: difference, interval, p, detectable difference, pieces that the error rests on. */
export function tabulated(comparison: Comparison): string[] {
  const { difference, low, p, adjusted = p, detectable, flips, needed, scale } = comparison;
  const known = (number: number, text: string) => (Number.isFinite(number) ? text : "");
  const changes = flips ? ` (${flips.toRight} to right, ${flips.toWrong} to wrong)` : "";
  const signed = `${difference > 0 && scale !== "level" && !manifold(comparison, difference) ? "+" : ""}${amount(comparison, difference)}`;
  return [
    known(difference, `${signed}${changes}`),
    known(low, range(comparison, low, comparison.high)),
    known(adjusted, probability(adjusted).replace(/^= /, "")),
    Number.isNaN(detectable) || needed !== undefined
      ? ""
      : isDetectable(comparison)
        ? amount(comparison, detectable)
        : "never",
    needed === undefined ? basisOf(comparison) : `${basisOf(comparison)}, take ${needed}`,
  ];
}

/** The pieces that the error rests on, unless the sentence names them already: `; 16 chunks`, `; 64 chunks in 32 blocks of 2`, `; 64 chunks in 12 documents`. */
function pieces(comparison: Comparison): string {
  const { n, clusters, paired, flips } = comparison;
  return !paired || (flips && clusters === n) ? "" : `; ${basisOf(comparison)}`;
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
  const groups = per === "question" ? "subjects" : "documents";
  return clusters < n && per !== "repetition" ? `${items} in ${counted(clusters, groups)}` : items;
}

const counted = (n: number, items: string) => `${n} ${n === 1 ? items.slice(0, -1) : items}`;

/** The items that a metric is measured on. */
export function itemsOf({ metric }: Pick<Comparison, "metric">): string {
  return itemsPer[describe(metric).per];
}

function flipsOf({ flips }: Comparison): string {
  return flips ? flipped(flips) : "";
}

/** `3 answers of 200 flipped (2 to right, 1 to wrong)` */
export function flipped({ n, toRight, toWrong }: Flips): string {
  const count = toRight + toWrong;
  if (count === 0) return `none of ${n} answers flipped`;
  return `${count} answer${count === 1 ? "" : "s"} of ${n} flipped (${toRight} to right, ${toWrong} to wrong)`;
}

/** Item by item the same number. */
export function isIdentical(comparison: Comparison): boolean {
  const { difference, flips, scale } = comparison;
  return difference === 0 && certainValue(comparison) !== undefined && flips === undefined && scale !== "level";
}
