import { type AxisAsked, axisOver, chartIn, chartWidth, Frame, ruleLayers, signs } from "./frame.js";
import { textWidth } from "./labels.js";
import { grounds, type Look } from "./palette.js";
import type { Axis, Chart, Layer } from "./plot.js";

/** One line of a picture: a name at the left, a figure and what is known of it. */
export interface RowFigure {
  /** Shown, and unlike all others. */
  text: string;
  look: Look;
  value: number;
  /** A thin bar, and a thick one within it. */
  range?: readonly [number, number] | undefined;
  core?: readonly [number, number] | undefined;
  /** Small strokes. */
  ticks?: readonly number[];
}

const rowHeight = 22;

/** Figures below each other, on one axis. `rules`: lines that they are to be held against; `band`: a range that does not matter. */
export function rowsChart(
  rows: readonly RowFigure[],
  {
    axis,
    rules = [],
    band,
  }: {
    axis: AxisAsked;
    rules?: readonly { at: number; text: string }[];
    band?: readonly [number, number];
  },
): Chart {
  const values = rows.flatMap(({ value, range = [], core = [], ticks = [] }) => [value, ...range, ...core, ...ticks]);
  const x = axisOver([...values, ...rules.map(({ at }) => at), ...(band ?? [])], axis);
  const y: Axis = { type: "band", domain: rows.map(({ text }) => text) };
  const left = Math.min(200, Math.max(...rows.map(({ text }) => textWidth(text)))) + 14;
  const top = rules.length > 0 ? 22 : 8;
  const bottom = top + rows.length * rowHeight;
  const frame = new Frame({ left, right: chartWidth - 16, top, bottom }, x, y);
  const data = rows.map(({ text, look, value, range, core }) => ({
    ...{ ...look, text, value, low: range?.[0], high: range?.[1], from: core?.[0], to: core?.[1] },
  }));
  const isHere = (key: "low" | "from") => data.some((one) => one[key] !== undefined);
  const small = rows.flatMap(({ text, look, ticks = [] }) => ticks.map((at) => ({ ...look, text, at })));
  const layers: Layer[] = [
    ...(band
      ? [
          {
            mark: "rect" as const,
            data: [{ from: band[0], to: band[1] }],
            options: { x1: "from", x2: "to", fill: grounds.band[0] },
          },
        ]
      : []),
    ...(rules.length > 0 ? ruleLayers(rules) : []),
    ...(isHere("low")
      ? [
          {
            mark: "ruleY" as const,
            data: data.filter(({ low }) => low !== undefined),
            options: { y: "text", x1: "low", x2: "high", stroke: "colour", strokeWidth: 1.5 },
          },
        ]
      : []),
    ...(isHere("from")
      ? [
          {
            mark: "ruleY" as const,
            data: data.filter(({ from }) => from !== undefined),
            options: { y: "text", x1: "from", x2: "to", stroke: "colour", strokeWidth: 5, strokeOpacity: 0.45 },
          },
        ]
      : []),
    ...(small.length > 0
      ? [{ mark: "tickX" as const, data: small, options: { x: "at", y: "text", stroke: "colour", inset: 6 } }]
      : []),
    signs(data, "value", "text"),
  ];
  return chartIn(frame, bottom + 42, layers);
}
