import { metric as describe, isDistance, isLikelihood } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import type { Result } from "./results.js";
import { differenceIn, isAtChance, isUndistinguished, shownIn } from "./verdict.js";
import { isIdentical } from "./words.js";

/** From here on a loss is "much": ten times what begins to matter (5 % of PPL, 10 points of accuracy). */
const much = 10;
/** Nobody takes a file whose predictions are this far from the reference's for one without loss, whatever PPL could show. Nat. */
export const farDistance = 0.05;
export const isOfSpeed = ({ metric }: Result) => describe(metric).per === "repetition";
export const isOfDistance = ({ metric }: Result) => isDistance(describe(metric));
export const isOfLikelihood = ({ metric }: Result) => isLikelihood(describe(metric));
export const isShare = (metric: string) => describe(metric).scale === "percent";

/** The state of one comparison, see `LadderStep`. */
export type Reading = "better" | "equal" | "open" | "unknown" | "probably worse" | "worse" | "much worse";

/** One comparison as a state and in words. */
export function reading(result: Result): { state: Reading; phrase: string | undefined } {
  const { comparison, verdict, label } = result;
  const one = comparison!;
  if (isOfSpeed(result)) return { state: "equal", phrase: pace(result) };
  if (isOfDistance(result))
    return { state: "equal", phrase: Number.isFinite(one.b) ? `${label} ${significant(one.b)}` : undefined };
  if (isAtChance(verdict!)) return { state: "unknown", phrase: `${label}: neither shown to be above chance` };
  if (isIdentical(one)) return { state: "equal", phrase: `${label} identical` };
  const shown = shownIn(verdict!);
  const changed = `${label} ${signed(one)}`;
  const unsure = `${changed} (not sure: ${span(one)})`;
  const bound = `±${size(one, Math.max(Math.abs(relative(one, one.low)), Math.abs(relative(one, one.high))), true)}`;
  const difference = shown && differenceIn(verdict!, shown.sure);
  if (shown && !difference) return { state: "equal", phrase: `${label} equivalent (${bound})` };
  if (difference?.within) return { state: "equal", phrase: `${changed}, too little to matter` };
  if (difference) {
    const probably = !shown.sure;
    if (difference.direction === "better")
      return probably ? { state: "open", phrase: unsure } : { state: "better", phrase: changed };
    if (probably) return { state: "probably worse", phrase: `${changed} (probably: ${span(one)})` };
    return {
      state: isMuch(one) ? "much worse" : "worse",
      phrase: changed,
    };
  }
  const margin = marginOf(one) ?? 0;
  const detectable = one.scale === "relative" || isShare(one.metric) ? one.detectable : one.detectable / one.a;
  if (isUndistinguished(verdict!) && detectable <= much * margin) return { state: "open", phrase: unsure };
  const { clusters, n, flips } = one;
  // Few subjects are no sign that little changed: the size is said in any case.
  if (flips && clusters < n && one.difference !== 0)
    return { state: "unknown", phrase: `${changed}, too few subjects to be sure: ${clusters}` };
  return { state: "unknown", phrase: `${label}: too little measured to tell` };
}

/** A result with what a ladder reads in it. */
export type Read = Result & ReturnType<typeof reading>;

/**
 * What a comparison says of B, as one word for a table. `≈`: shown to be too little to matter; `?`: not decided; `none`: a distance
 * or a change that is neither good nor bad.
 */
export type Mark = "better" | "likely better" | "≈" | "?" | "likely worse" | "worse" | "much worse" | "none";

export function markOf(result: Result): Mark {
  const { comparison, verdict: said } = result;
  if (!comparison || !said) return "none";
  if (isOfDistance(result)) {
    if (said.kind !== "size") return "?";
    if (said.place === "within") return "≈";
    return comparison.b > farDistance ? "worse" : "none";
  }
  if (isAtChance(said)) return "?";
  if (isIdentical(comparison)) return "≈";
  const shown = shownIn(said);
  if (!shown) return "?";
  const { what, sure } = shown;
  if (what.kind === "equivalent" || (what.within && !isOfSpeed(result))) return "≈";
  switch (what.direction) {
    case "better":
      return sure ? "better" : "likely better";
    case "worse":
      if (!sure) return "likely worse";
      return !isOfSpeed(result) && isMuch(comparison) ? "much worse" : "worse";
    default:
      return "none";
  }
}

/** The change of B against A: `+0.9 %`, `−2.1 points`, `×2.1`. Undefined where nothing can be told, and of a distance, which is a change itself. */
export function changeOf(result: Result): string | undefined {
  const { comparison, verdict: said } = result;
  if (!comparison || !said || isOfDistance(result) || isAtChance(said)) return undefined;
  if (comparison.needed !== undefined || !Number.isFinite(comparison.difference)) return undefined;
  if (!isOfSpeed(result)) return signed(comparison);
  const ratio = comparison.b / comparison.a;
  return Number.isFinite(ratio) && ratio > 0 ? `×${two(ratio)}` : undefined;
}

/** How much of a loss the 95 % interval allows, as a share (PPL, bits per byte) or in shares of the questions. */
export function lossAtMost(one: Comparison): number {
  const [low, high] = [relative(one, one.low), relative(one, one.high)];
  const loss = describe(one.metric).better === "higher" ? -low : high;
  return Number.isNaN(loss) ? Infinity : loss;
}

const isMuch = (one: Comparison) => loss(one) >= much * (marginOf(one) ?? Infinity);

function loss(one: Comparison): number {
  const change = relative(one, one.difference);
  return describe(one.metric).better === "higher" ? -change : change;
}

/** Bits per byte are compared in bits, and told in per cent as PPL is. */
function relative({ metric, scale, a }: Comparison, change: number): number {
  return scale === "relative" || isShare(metric) ? change : change / a;
}

/** The margin on the scale of `relative`. */
function marginOf({ metric, a }: Comparison): number | undefined {
  const { margin } = describe(metric);
  return margin && (margin.relative || isShare(metric) ? margin.size : margin.size / a);
}

/** `0.001 nat` */
export function marginText({ metric }: Result): string {
  const { margin, unit } = describe(metric);
  return `${margin?.size} ${unit}`;
}

const signed = (one: Comparison) => {
  const change = relative(one, one.difference);
  return `${change < 0 ? "−" : change > 0 ? "+" : "±"}${size(one, Math.abs(change), true)}`;
};

/** `0.9 %`, `1.2 points`; `told`: already a share. */
export function size(one: Comparison, amount: number, told = false): string {
  const share = told ? amount : Math.abs(relative(one, amount));
  return isShare(one.metric) ? `${two(100 * share)} points` : `${two(100 * share)} %`;
}

function span(one: Comparison): string {
  const [low, high] = [relative(one, one.low), relative(one, one.high)].map((x) => two(100 * x).replace("-", "−"));
  return `${low} … ${high} ${isShare(one.metric) ? "points" : "%"}`;
}

/** Two figures that matter, of parts of a hundredth one: `0.06`, `0.9`, `14`, `136`. */
function two(number: number): string {
  const digits = number === 0 ? 0 : Math.max(0, 1 - Math.floor(Math.log10(Math.abs(number))));
  return number.toFixed(Math.min(Math.abs(number) < 0.005 ? 4 : 2, digits));
}

const significant = (number: number) =>
  number <= 0 ? "0" : number < 1e-4 ? number.toExponential(1) : Number(number.toPrecision(2)).toString();

/** `tg128 1.8× faster`, where a difference is shown and larger than 5 %. */
function pace({ comparison, verdict, label }: Result): string | undefined {
  const { a, b } = comparison!;
  const ratio = b / a;
  if (!differenceIn(verdict!) || !(ratio > 1.05 || ratio < 0.95)) return undefined;
  return ratio > 1 ? `${label} ${two(ratio)}× faster` : `${label} ${two(1 / ratio)}× slower`;
}
