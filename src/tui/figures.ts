import type { JobRecord } from "../events.js";
import { several } from "../harmless.js";
import { isDistance, type Metric, metric } from "../metrics.js";
import { bytes } from "../units.js";
import type { LiveFigure, LiveJob } from "./state.js";

/** Whether a person looks for this metric first; all others are shown when there is room. */
export function isPrincipal(name: string): boolean {
  return metric(name).leads === true;
}

/** Whether it measures the reference's distance from itself: the noise floor, no figure of the variant. */
export const isFloor = ({ variant, against }: JobRecord): boolean => against === variant;

/** A value of a metric for the eye: as many digits as the metric asks for, fewer where `width` is too narrow. */
export function formatValue(of: Metric, value: number, width = Number.POSITIVE_INFINITY): string {
  if (!Number.isFinite(value)) return "—";
  if (of.scale === "bytes") return bytes(value);
  if (of.scale === "count")
    return value >= 1e9 ? `${(value / 1e9).toFixed(2)} B` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : `${value}`;
  const [shown, all] = of.scale === "percent" ? [100 * value, of.digits - 2] : [value, of.digits];
  // No clock tells a speed to more than five digits.
  const most =
    of.per === "repetition" ? Math.min(all, Math.max(0, 4 - Math.floor(Math.log10(Math.abs(shown) || 1)))) : all;
  // Fewer than two digits would be left of a noise floor.
  if (isDistance(of) && shown > 0 && shown < 10 ** (1 - most) && width === Number.POSITIVE_INFINITY)
    return shown.toExponential(1);
  for (let digits = most; digits >= 0; digits--) {
    const text = shown.toFixed(digits);
    if (text.length <= width) return text;
  }
  return shown.toExponential(Math.max(0, Math.min(2, width - 6)));
}

/** All or none of some answers have no error, which does not make them exact: ± 0.00 is not told. */
export const isTold = ({ scale }: Metric, error: number | undefined): error is number =>
  error !== undefined && !(error === 0 && scale === "percent");

/** `31.0338 ± 1.5062`, without the second part while there is no error to state. */
export function formatFigure(name: string, { value, error, broken }: Omit<LiveFigure, "n">): string {
  if (broken !== undefined) return "broken";
  const of = metric(name);
  const spread = isTold(of, error) ? ` ± ${formatValue(of, error)}` : "";
  const unit =
    of.scale === "percent" ? " %" : of.unit === "1" || of.unit === "B" || of.unit === "bit" ? "" : ` ${of.unit}`;
  return formatValue(of, value) + spread + unit;
}

/** A bar of `width` characters; full only when all is done, begun as soon as anything is. */
export function bar(share: number, width: number, glyphs: { full: string; empty: string }): string {
  const clamped = Math.min(1, Math.max(0, share));
  const full = Math.floor(clamped * width + 1e-9);
  return glyphs.full.repeat(full) + glyphs.empty.repeat(Math.max(0, width - full));
}

/** One of a job's items: chunk, question, repetition. */
export function oneOf({ unit }: { unit: string }): string {
  return unit.replace(/s$/, "");
}

/** Who measures a job on other machines: `on desk, tower`; nothing where this one does. */
export const placesOf = ({ where }: LiveJob): string[] => (where.size === 0 ? [] : [`on ${several([...where], 3)}`]);
