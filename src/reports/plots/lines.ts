import {
  type AxisAsked,
  axisOver,
  chartIn,
  chartWidth,
  Frame,
  legendHeight,
  legendLayers,
  ruleLayers,
} from "./frame.js";
import { spreadLabels, textWidth } from "./labels.js";
import { grounds, type Look } from "./palette.js";
import type { Chart, Layer } from "./plot.js";

/** The course of one variant. */
export interface LineFigure {
  text: string;
  look: Look;
  /** `part`: no line leads from one part to the next. */
  points: readonly { x: number; y: number; part?: number }[];
}

const mostDirect = 12;

/**
 * Lines with their names at their ends, or a legend where there is no room. `dots`: each point is a measurement of its own; `rules`: where
 * something else begins.
 */
export function linesChart(
  lines: readonly LineFigure[],
  {
    x: xAsked,
    y: yAsked,
    dots = false,
    rules = [],
  }: { x: AxisAsked; y: AxisAsked; dots?: boolean; rules?: readonly { at: number; text: string }[] },
): Chart {
  const all = lines.flatMap(({ points }) => points);
  const x = axisOver(
    all.map((one) => one.x),
    { log: false, room: 0.02, ...xAsked },
  );
  const y = axisOver(
    all.map((one) => one.y),
    yAsked,
  );
  const widest = Math.max(...lines.map(({ text }) => textWidth(text)));
  const wanted = { left: 74, right: chartWidth - widest - 22, top: rules.length > 0 ? 22 : 12, bottom: 300 };
  const ends = (frame: Frame) => lines.map(({ points }) => frame.toY(points.at(-1)!.y));
  const heights =
    lines.length <= mostDirect ? spreadLabels(ends(new Frame(wanted, x, y)), wanted.top, wanted.bottom) : undefined;
  const box = heights ? wanted : { ...wanted, right: chartWidth - 16 };
  const frame = new Frame(box, x, y);
  const legend = heights ? [] : lines.map(({ text, look }) => ({ text, look }));
  const labels = (heights ?? []).map((height, i) => {
    const { text, look, points } = lines[i]!;
    const end = points.at(-1)!;
    return {
      ...{ ...look, text, x: frame.fromX(box.right + 18), y: frame.fromY(height) },
      ...{ fromX: end.x, fromY: end.y, toX: frame.fromX(box.right + 15) },
    };
  });
  const layers: Layer[] = [
    ...(rules.length > 0 ? ruleLayers(rules) : []),
    ...lines.map(
      ({ look, points }): Layer => ({
        mark: "line",
        data: points,
        options: {
          ...{ x: "x", y: "y", z: "part", stroke: look.colour, strokeWidth: 1.6 },
          ...(look.dash === "none" ? {} : { strokeDasharray: look.dash }),
        },
      }),
    ),
    ...(dots
      ? [
          {
            mark: "dot" as const,
            data: lines.flatMap(({ look, points }) => points.map((point) => ({ ...look, ...point }))),
            options: { x: "x", y: "y", symbol: "symbol", fill: "colour", r: 3 },
          },
        ]
      : []),
    ...(labels.length > 0
      ? [
          {
            mark: "link" as const,
            data: labels,
            options: { x1: "fromX", x2: "toX", y1: "fromY", y2: "y", stroke: grounds.guide[0], strokeWidth: 0.6 },
          },
          {
            mark: "text" as const,
            data: labels,
            options: { x: "x", y: "y", text: "text", textAnchor: "start", fill: "colour" },
          },
        ]
      : []),
    ...legendLayers(frame, legend, box.bottom + 58, true),
  ];
  return chartIn(frame, box.bottom + 42 + legendHeight(legend) + (legend.length > 0 ? 8 : 0), layers);
}
