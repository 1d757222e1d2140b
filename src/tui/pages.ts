import { harmless } from "../harmless.js";
import type { ToldChange } from "../judge/index.js";
import { isChange, itemsPer, metric } from "../metrics.js";
import { summarize } from "../stats/summary.js";
import { formatFigure, formatValue, isFloor, isPrincipal } from "./figures.js";
import type { Looking } from "./frame.js";
import { changeText, type Glyphs } from "./matrix.js";
import { changeIn, figure, type LiveState } from "./state.js";

/** What the keys do, a line each. */
export function keyLines({ onlooking }: Looking, { delta, same, guessed, disturbed }: Glyphs): string[] {
  return [
    "up, down, j, k      another row; PageUp, PageDown, Home (g), End (G)",
    "left, right, h, l   columns",
    "f                   follow the row that runs",
    "Enter               one cell of the row by itself; the arrows lead to others",
    "Esc                 back",
    onlooking ? "q, Ctrl-C           end" : "q, Ctrl-C           stop after the item at hand; twice: at once",
    "?                   these keys",
    "",
    `Changes against the reference (${delta}): ${same} too small to matter, ? not decided,`,
    `( ) likely, ${guessed} not shown to be above chance, ${disturbed} timed beside other processes`,
  ];
}

/** All that is known of one cell: its figures with their intervals, its items in order as a line of bars, the last one. */
export function cellLines(
  state: LiveState,
  { row, column }: { row: number; column: number },
  width: number,
  glyphs: Glyphs,
): string[] {
  const { variant, cells } = state.rows[row]!;
  const cell = cells[column];
  const lines = [`${harmless(variant.name)}: ${harmless(state.measurements[column]?.name ?? "")}`, ""];
  if (!cell) return [...lines, "nothing is measured here"];
  const items = `${Math.floor(cell.done)}${cell.total === undefined ? "" : `/${cell.total}`} ${cell.unit}`;
  lines.push(`${glyphs.status[cell.status]} ${cell.status}, ${items}`);
  if (isFloor(cell.job)) lines.push("the reference against itself in another batch shape: the noise floor");
  if (cell.disturbed > 0)
    lines.push(
      `other processes used up to ${cell.disturbed.toFixed(1)} CPU cores while this was timed; figures may be too low`,
    );
  if (cell.reason !== undefined) lines.push(harmless(cell.reason, { length: 200 }));
  lines.push("");
  const result = state.kept.get(cell.job.id);
  for (const name of cell.accumulators.keys()) {
    const known = figure(cell, name);
    if (!known) continue;
    const label = metric(name).label.padEnd(14);
    // A change has the interval of its comparison, which rests on other cells, too.
    const { low, high } =
      result && !isChange(metric(name))
        ? summarize(name, result.samples(name), result.clusters ? { clusters: result.clusters } : {})
        : {};
    const of = metric(name);
    const interval =
      low === undefined || high === undefined || known.broken
        ? ""
        : `   95 % ${formatValue(of, low)} to ${formatValue(of, high)}`;
    const change = changeIn(state, cell, variant.name, name);
    const against = change ? `   ${inWords(change, glyphs)}` : "";
    lines.push(`${label} ${formatFigure(name, known)}${interval}${against}`);
  }
  const leading = cell.job.metrics.find(isPrincipal) ?? cell.job.metrics[0];
  const samples =
    result && leading !== undefined ? result.samples(leading).filter(({ value }) => Number.isFinite(value)) : [];
  const last = samples.at(-1);
  if (!last || leading === undefined) return lines;
  const of = metric(leading);
  const one = (sample: typeof last) => formatValue(of, summarize(leading, [sample]).value);
  const [least, most] = [samples, samples].map((all, end) =>
    all.reduce((a, b) => ((end === 0 ? b.value < a.value : b.value > a.value) ? b : a)),
  );
  const unit = itemsPer[of.per].replace(/s$/, "");
  lines.push("", `${of.label} ${unit} by ${unit}, ${one(least!)} to ${one(most!)}:`);
  lines.push(
    sparkline(
      samples.map(({ value }) => value),
      width,
      glyphs,
    ),
  );
  const item = harmless(last.item, { length: 60 });
  // A chunk is named by its place in the text, which has more of them than are measured.
  const place = Number.isInteger(Number(item)) ? Number(item) + 1 : item;
  const which = of.per === "token" || of.per === "text" ? `number ${place} of the text` : item;
  const isAnswer = of.per === "question" && (last.value === 0 || last.value === 1);
  const what = isAnswer ? (last.value === 1 ? "right" : "wrong") : `${of.label} ${one(last)}`;
  lines.push("", `last ${unit}: ${which}, ${what}`);
  return lines;
}

/** `+0.9 % against F16, not decided` */
function inWords(change: ToldChange, glyphs: Glyphs): string {
  const { text, mark, guessed } = change;
  const against = `against ${harmless(change.against)}`;
  if (guessed) return `nothing is told ${against}: not shown to be above chance`;
  const words = {
    "?": "not decided",
    "≈": "too small to matter",
    "likely better": "likely",
    "likely worse": "likely",
    ...{ better: "", worse: "", "much worse": "", none: "" },
  }[mark];
  if (text === undefined) return `${words} ${against}`;
  return [`${changeText({ ...change, mark: "none" }, glyphs)} ${against}`, words].filter(Boolean).join(", ");
}

/** Values as bars between the least and the largest; several share a bar as their mean where there are more than `width`. */
export function sparkline(values: number[], width: number, { bars }: Glyphs): string {
  const count = Math.max(1, Math.min(width, values.length));
  const means = Array.from({ length: count }, (_, at) => {
    const part = values.slice(Math.floor((at * values.length) / count), Math.floor(((at + 1) * values.length) / count));
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const low = Math.min(...means);
  const range = Math.max(...means) - low;
  const last = bars.length - 1;
  return means
    .map((mean) => bars[range > 0 ? Math.round(((mean - low) / range) * last) : Math.floor(last / 2)])
    .join("");
}
