import { metric as describe, itemsPer, type Metric } from "../metrics.js";
import type { Summary } from "../stats/summary.js";
import { byteScale, counted } from "../units.js";

/** A figure for people: `31.03` and `0.15`, in the unit that `unitOf` names. */
export interface Figure {
  figure: string;
  /** Its ±; absent where there is none. */
  error?: string;
}

/** Figures without an error have this many significant digits at most; a speed that was timed once, fewer. */
const significant = 5;
const significantOnce = 3;

/** No digit that the error makes meaningless: the error has two digits, and the figure ends where it ends. */
export function figureOf({ metric, value, error }: Pick<Summary, "metric" | "value" | "error">): Figure {
  const { scale, digits, per } = describe(metric);
  const { factor, digits: ofBytes } = byteScale([value]);
  const [times, most] = scale === "percent" ? [100, digits - 2] : scale === "bytes" ? [factor, ofBytes] : [1, digits];
  const shown = value * times;
  // None or all of a few answers: digits after the point would claim what the missing error does not.
  if (error === 0 && scale === "percent" && (value === 0 || value === 1)) return { figure: fixed(shown, 0) };
  if (error === undefined || !(error > 0) || !Number.isFinite(error)) {
    const few = error === undefined && per === "repetition" ? significantOnce : significant;
    return { figure: fixed(shown, Math.min(most, few - 1 - magnitude(shown))) };
  }
  const spread = Number((error * times).toPrecision(2));
  // Whoever divides two speeds is to find the change that is told of them.
  const fewest = per === "repetition" ? 1 - magnitude(shown) : Number.NEGATIVE_INFINITY;
  const places = Math.min(most, Math.max(fewest, 1 - magnitude(spread)));
  return { figure: fixed(shown, places), error: fixed(spread, places) };
}

/** What there is of an unfinished figure: `12 chunks`, of a speed `61.2 (n = 2)`; nothing where there is nothing. */
export function unfinishedText({ n, part }: { n: number; part?: { summary: Summary } }, { per }: Metric): string {
  if (part !== undefined && part.summary.broken === undefined) return `${figureOf(part.summary).figure} (n = ${n})`;
  return n > 0 ? counted(n, itemsPer[per].replace(/s$/, "")) : "";
}

/** The unit of `figureOf`: `%`, `tok/s`, `nat`, or nothing where the number says all. */
export function unitOf({ scale, unit }: Pick<Metric, "scale" | "unit">): string {
  if (scale === "percent") return "%";
  return unit === "1" ? "" : unit;
}

/** A number with the sign of a minus. */
export const signed = (text: string) => text.replace(/^-/, "−");

const magnitude = (number: number) => (number === 0 ? 0 : Math.floor(Math.log10(Math.abs(number))));

/** Rounded to tens or hundreds where `places` is below 0. Where rounding would leave nothing, the order of magnitude stays. */
function fixed(number: number, places: number): string {
  if (places <= 0) {
    const step = 10 ** -places;
    return signed((Math.round(number / step) * step).toFixed(0));
  }
  const text = number.toFixed(places);
  return signed(number !== 0 && Number(text) === 0 ? number.toExponential(1) : text);
}
