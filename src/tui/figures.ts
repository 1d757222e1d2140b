import { type Metric, metric } from "../metrics.js";
import type { Figure } from "./state.js";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** What a person looks for first; every other metric of a job is shown where there is room. */
export function isPrincipal(name: string): boolean {
  return /^(perplexity|kld|acc|(pp|tg)\d.*)$/.test(name);
}

/** A value of a metric for the eye: as many digits as the metric asks for, fewer where `width` is too narrow. */
export function formatValue(of: Metric, value: number, width = Number.POSITIVE_INFINITY): string {
  if (!Number.isFinite(value)) return "—";
  if (of.unit === "B") return value >= GiB ? `${(value / GiB).toFixed(2)} GiB` : `${(value / MiB).toFixed(1)} MiB`;
  if (of.name === "parameters")
    return value >= 1e9 ? `${(value / 1e9).toFixed(2)} B` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} M` : `${value}`;
  for (let digits = of.digits; digits >= 0; digits--) {
    const text = value.toFixed(digits);
    if (text.length <= width) return text;
  }
  return value.toExponential(Math.max(0, Math.min(2, width - 6)));
}

/** `31.0338 ± 1.5062`, without the second part while there is no error to state. */
export function formatFigure(name: string, { value, error }: Pick<Figure, "value" | "error">): string {
  const of = metric(name);
  const spread = error === undefined ? "" : ` ± ${formatValue(of, error)}`;
  const unit = of.unit === "1" || of.unit === "B" || of.unit === "bit" ? "" : ` ${of.unit}`;
  return formatValue(of, value) + spread + unit;
}

/** Time for the eye: two units at most, the smaller one in whole numbers. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A bar of `width` characters; full only when all is done, begun as soon as anything is. */
export function bar(share: number, width: number, glyphs: { full: string; empty: string }): string {
  const clamped = Math.min(1, Math.max(0, share));
  const full = Math.floor(clamped * width + 1e-9);
  return glyphs.full.repeat(full) + glyphs.empty.repeat(Math.max(0, width - full));
}

/** First line only, control characters made harmless: names, messages and stacks come from files and from elsewhere. */
export function oneLine(text: string): string {
  const end = text.search(/[\r\n]/);
  return (end < 0 ? text : text.slice(0, end)).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ").trim();
}
