import { metric as describe, isDistance, isLikelihood } from "../metrics.js";
import type { Comparison } from "../stats/comparison.js";
import type { Result } from "./results.js";
import { differenceIn, isAtChance, isUndistinguished, shownIn } from "./verdict.js";
import { isIdentical, mark } from "./words.js";

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

/** What a ladder reads in one comparison. */
export function reading(result: Result): { state: Reading } {
  const { comparison, verdict } = result;
  const one = comparison!;
  if (isOfSpeed(result) || isOfDistance(result) || isIdentical(one)) return { state: "equal" };
  if (isAtChance(verdict!)) return { state: "unknown" };
  const shown = shownIn(verdict!);
  const difference = shown && differenceIn(verdict!, shown.sure);
  if (shown && (!difference || difference.within)) return { state: "equal" };
  if (difference?.direction === "better") return { state: shown?.sure ? "better" : "open" };
  if (difference) return { state: !shown?.sure ? "probably worse" : isMuch(one) ? "much worse" : "worse" };
  const margin = marginOf(one) ?? 0;
  const detectable = one.scale === "relative" || isShare(one.metric) ? one.detectable : one.detectable / one.a;
  return { state: isUndistinguished(verdict!) && detectable <= much * margin ? "open" : "unknown" };
}

/** A result with what a ladder reads in it. */
export type Read = Result & ReturnType<typeof reading>;

/** The verdict in a table's cell, with `†` for a speed beside which others computed, and `*` for a difference that is less certain among all answers. */
export const markedVerdict = ({ verdict, comparison, foreign, doubted }: Result): string =>
  [verdict ? mark(verdict, comparison) : "", foreign === undefined ? "" : "†", doubted ? "*" : ""]
    .filter(Boolean)
    .join(" ");

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

/**
 * The change of B against A: `+0.9 %`, `−2.1 points`, `×2.1`. Undefined where nothing can be told, and of a distance, which is a change
 * itself. Two speeds stand there whether or not anything can be told of them, and so does their quotient.
 */
export function changeOf(result: Result): string | undefined {
  const { comparison, verdict: said } = result;
  if (!comparison || !said || isOfDistance(result) || isAtChance(said)) return undefined;
  if (!isOfSpeed(result)) return Number.isFinite(comparison.difference) ? signed(comparison) : undefined;
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

/** The least loss that the 95 % interval allows. */
export function lossAtLeast(one: Comparison): number {
  const [low, high] = [relative(one, one.low), relative(one, one.high)];
  const least = describe(one.metric).better === "higher" ? -high : low;
  return Number.isNaN(least) ? -Infinity : least;
}

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

/** Two figures that matter, of parts of a hundredth one: `0.06`, `0.9`, `14`, `136`. */
function two(number: number): string {
  const digits = number === 0 ? 0 : Math.max(0, 1 - Math.floor(Math.log10(Math.abs(number))));
  return number.toFixed(Math.min(Math.abs(number) < 0.005 ? 4 : 2, digits));
}
