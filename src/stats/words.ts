import { metric as describe, isShare as isShareOf } from "../metrics.js";
import { type Comparison, type Verdict, verdict } from "./compare.js";
import type { Flips } from "./proportions.js";

/** A size of difference as a person reads it: `2.8 %`, `4.1 points`, `0.0123 nat`. */
export function amount(comparison: Pick<Comparison, "metric" | "scale">, size: number): string {
  return `${number(comparison, size)}${unitOf(comparison)}`;
}

/** From one end to the other, the unit once. */
function range(comparison: Comparison, low: number, high: number): string {
  return `${number(comparison, low)} … ${number(comparison, high)}${unitOf(comparison)}`;
}

function number({ metric, scale }: Pick<Comparison, "metric" | "scale">, size: number): string {
  if (!Number.isFinite(size)) return "?";
  const { digits } = describe(metric);
  const shown = scale === "relative" || isShare(metric) ? 100 * size : size;
  const text = scale === "level" ? shown.toFixed(isShare(metric) ? digits - 2 : digits) : trimmed(shown);
  return text.replace("-", "−");
}

function unitOf({ metric, scale }: Pick<Comparison, "metric" | "scale">): string {
  const { unit } = describe(metric);
  if (scale === "relative" || (scale === "level" && isShare(metric))) return " %";
  return isShare(metric) ? " points" : unit === "1" ? "" : ` ${unit}`;
}

/** Told in per cent, and differences in points. */
export const isShare = (metric: string) => isShareOf(describe(metric));

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

/** What a comparison says, without the names: `better by 2.8 % (95 % CI 1.9 … 3.7 %, Holm p < 0.001)`. */
export function clause(comparison: Comparison, said: Verdict = verdict(comparison)): string {
  return [flipsOf(comparison), judged(comparison, said)].filter(Boolean).join(", ");
}

/** The same as a sentence's beginning: `B beats A on PPL by 2.8 % (…)`. Undefined where there is no winner. */
export function winner(comparison: Comparison, said: Verdict, label: string, a: string, b: string): string | undefined {
  if (said.kind !== "different" || (said.direction !== "better" && said.direction !== "worse")) return undefined;
  const verb = said.direction === "better" ? "beats" : "loses to";
  const flips = flipsOf(comparison);
  return `${b} ${verb} ${a} on ${label} by ${measured(comparison, said)}${flips ? `, ${flips}` : ""}`;
}

function judged(comparison: Comparison, said: Verdict): string {
  if (isIdentical(comparison)) return "identical";
  switch (said.kind) {
    case "different":
      return `${directed(comparison, said.direction)} by ${measured(comparison, said)}`;
    case "equivalent":
      return `equivalent within ${amount(comparison, said.margin)} (95 % CI ${range(comparison, comparison.low, comparison.high)}${pieces(comparison)})`;
    case "undistinguished":
      if (!isSeeable(comparison)) return "not distinguishable (too few items to see anything)";
      return `not distinguishable (could have seen ${amount(comparison, said.detectable)}${pieces(comparison)})`;
  }
}

/** More than tenfold is no difference that anyone looks for. */
function isSeeable({ scale, detectable }: Comparison): boolean {
  return scale === "relative" ? detectable < 10 : Number.isFinite(detectable);
}

function directed({ metric }: Comparison, direction: string): string {
  if (describe(metric).aggregation !== "rate") return direction;
  return direction === "better" ? "faster" : "slower";
}

/** Size and interval, turned so that a gain and a loss both read as a positive size. */
function measured(comparison: Comparison, said: Extract<Verdict, { kind: "different" }>): string {
  const { difference, low, high, adjusted, p } = comparison;
  const down = difference < 0;
  const interval = down ? range(comparison, -high, -low) : range(comparison, low, high);
  const name = adjusted === undefined ? "p" : "Holm p";
  const small = said.within ? "; within the margin that matters" : "";
  return `${amount(comparison, Math.abs(difference))} (95 % CI ${interval}, ${name} ${probability(adjusted ?? p)}${small}${pieces(comparison)})`;
}

/** The cells of a table: difference, interval, p, what could have been seen, what it rests on. */
export function tabulated(comparison: Comparison): string[] {
  const { difference, low, high, adjusted, p, detectable, flips } = comparison;
  const known = (number: number, text: string) => (Number.isFinite(number) ? text : "");
  const changes = flips ? ` (${flips.toRight} to right, ${flips.toWrong} to wrong)` : "";
  const signed = `${difference > 0 ? "+" : ""}${amount(comparison, difference)}`;
  return [
    known(difference, `${signed}${changes}`),
    known(low, range(comparison, low, high)),
    known(adjusted ?? p, probability(adjusted ?? p).replace(/^= /, "")),
    Number.isNaN(detectable) ? "" : isSeeable(comparison) ? amount(comparison, detectable) : "never",
    basisOf(comparison),
  ];
}

/** What the error rests on, where the sentence does not say it otherwise: `; 16 chunks`, `; 64 chunks in 32 blocks of 2`, `; 64 chunks in 12 documents`. */
function pieces(comparison: Comparison): string {
  const { n, clusters, paired, flips } = comparison;
  return !paired || (flips && clusters === n) ? "" : `; ${basisOf(comparison)}`;
}

/** `16 chunks`, `64 chunks in 32 blocks of 2`, `64 chunks in 12 documents`, `200 questions` */
function basisOf({ metric, n, clusters, block, paired, flips }: Comparison): string {
  if (!paired) return "unpaired";
  if (flips) return clusters < n ? `${n} questions in ${clusters} subjects` : `${n} questions`;
  if (describe(metric).aggregation === "rate") return `${n} repetitions`;
  if (block > 1) return `${n} chunks in ${clusters} blocks of ${block}`;
  return clusters < n ? `${n} chunks in ${clusters} documents` : `${n} chunks`;
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
export function isIdentical({ basis, difference, flips }: Comparison): boolean {
  return basis.kind === "t" && difference === 0 && basis.error === 0 && flips === undefined;
}
