import {
  type AxisAsked,
  axisOver,
  chartIn,
  chartWidth,
  Frame,
  halo,
  legendHeight,
  legendLayers,
  signs,
} from "./frame.js";
import { placeLabels } from "./labels.js";
import { grounds, type Look } from "./palette.js";
import type { Chart, Layer } from "./plot.js";

/** A variant by two figures. */
export interface PointFigure {
  text: string;
  look: Look;
  x: number;
  y: number;
  xs?: readonly [number, number] | undefined;
  ys?: readonly [number, number] | undefined;
  /** A second figure on the upright axis, drawn hollow. */
  second?: number | undefined;
}

/** A share that two sizes or speeds may differ by and be the same. */
const sameSize = 0.005;

/** As many names stand beside their points; more are a legend. */
const mostDirect = 12;

/**
 * Variants by two figures, with the line of those that no other beats in both. `better`: which end of each axis is.
 */
export function pointsChart(
  points: readonly PointFigure[],
  {
    x: xAsked,
    y: yAsked,
    better,
  }: {
    x: AxisAsked;
    y: AxisAsked;
    better: { x: "low" | "high"; y: "low" | "high" };
  },
): Chart {
  const x = axisOver(
    points.flatMap((one) => [one.x, ...(one.xs ?? [])]),
    { room: 0.14, ...xAsked },
  );
  const y = axisOver(
    points.flatMap((one) => [one.y, ...(one.ys ?? []), ...(one.second === undefined ? [] : [one.second])]),
    { room: 0.1, ...yAsked },
  );
  const box = { left: 74, right: chartWidth - 16, top: 12, bottom: 300 };
  const frame = new Frame(box, x, y);
  const data = points.map(({ text, look, x, y, xs, ys, second }) => ({
    ...{ ...look, text, x, y, second, left: xs?.[0], right: xs?.[1], low: ys?.[0], high: ys?.[1] },
  }));
  const pixels = points.map((one) => ({ x: frame.toX(one.x), y: frame.toY(one.y), text: one.text }));
  const strokes = points.flatMap(({ x, y, xs, ys = [y], second = y }) => {
    const [left, top] = [frame.toX(x), frame.toY(y)];
    const heights = [...ys, second].map(frame.toY);
    const upright = [left, Math.min(...heights), left, Math.max(...heights)] as const;
    return xs ? [upright, [frame.toX(xs[0]), top, frame.toX(xs[1]), top] as const] : [upright];
  });
  const frontiers = [
    frontier(
      data.map(({ x, y }) => ({ x, y })),
      better,
    ),
    frontier(
      data.flatMap(({ x, second }) => (second === undefined ? [] : [{ x, y: second }])),
      better,
    ),
  ];
  // In short pieces, for a name may stand in the corner that a slanting line leaves free.
  const slanting = frontiers.flatMap((line) => piecesOf(line.map(({ x, y }) => [frame.toX(x), frame.toY(y)] as const)));
  const places = points.length <= mostDirect ? placeLabels(pixels, box, [...strokes, ...slanting]) : undefined;
  const labels = (places ?? []).map(({ x: left, y: middle, led }, i) => {
    const { x, y } = pixels[i]!;
    const width = points[i]!.text.length * 3;
    const end = led && left + width < x ? left + 2 * width : left;
    return {
      text: points[i]!.text,
      x: frame.fromX(left),
      y: frame.fromY(middle),
      led,
      end: frame.fromX(end),
      toX: frame.fromX(x),
      toY: frame.fromY(y),
    };
  });
  const led = labels.filter((one) => one.led);
  const legend = places ? [] : points.map(({ text, look }) => ({ text, look }));
  const withSecond = data.filter(({ second }) => second !== undefined);
  const layers: Layer[] = [
    ...frontiers.flatMap((line, i): Layer[] =>
      line.length < 2
        ? []
        : [
            {
              mark: "line",
              data: line,
              options: {
                x: "x",
                y: "y",
                stroke: grounds.guide[0],
                strokeWidth: 1.2,
                ...(i > 0 ? { strokeDasharray: "3 3" } : {}),
              },
            },
          ],
    ),
    ...(withSecond.length > 0
      ? [
          {
            mark: "link" as const,
            data: withSecond,
            options: { x1: "x", x2: "x", y1: "y", y2: "second", stroke: "colour", strokeOpacity: 0.35 },
          },
        ]
      : []),
    ...(data.some(({ low }) => low !== undefined)
      ? [
          {
            mark: "ruleX" as const,
            data: data.filter(({ low }) => low !== undefined),
            options: { x: "x", y1: "low", y2: "high", stroke: "colour", strokeWidth: 1.5 },
          },
        ]
      : []),
    ...(data.some(({ left }) => left !== undefined)
      ? [
          {
            mark: "ruleY" as const,
            data: data.filter(({ left }) => left !== undefined),
            options: { y: "y", x1: "left", x2: "right", stroke: "colour", strokeWidth: 1.5 },
          },
        ]
      : []),
    ...(led.length > 0
      ? [
          {
            mark: "link" as const,
            data: led,
            options: { x1: "end", x2: "toX", y1: "y", y2: "toY", stroke: grounds.guide[0], strokeWidth: 0.7 },
          },
        ]
      : []),
    ...(withSecond.length > 0
      ? [
          {
            mark: "dot" as const,
            data: withSecond,
            options: { x: "x", y: "second", symbol: "symbol", stroke: "colour", fill: grounds.back[0], r: 3.5 },
          },
        ]
      : []),
    signs(data, "x", "y"),
    ...(labels.length > 0
      ? [
          {
            mark: "text" as const,
            data: labels,
            options: { ...{ x: "x", y: "y", text: "text", textAnchor: "start" }, ...halo },
          },
        ]
      : []),
    ...legendLayers(frame, legend, box.bottom + 58),
  ];
  return chartIn(frame, box.bottom + 42 + legendHeight(legend) + (legend.length > 0 ? 8 : 0), layers);
}

/** A line through these points, in steps of some pixels. */
function piecesOf(line: (readonly [x: number, y: number])[]): [x1: number, y1: number, x2: number, y2: number][] {
  return line.slice(1).flatMap(([x, y], i) => {
    const [fromX, fromY] = line[i]!;
    const count = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) / 6));
    const at = (step: number) => [fromX + ((x - fromX) * step) / count, fromY + ((y - fromY) * step) / count] as const;
    return Array.from({ length: count }, (_, step): [number, number, number, number] => [...at(step), ...at(step + 1)]);
  });
}

/** The points that no other is better than in both, in the order of x. */
export function frontier(
  points: readonly { x: number; y: number }[],
  better: { x: "low" | "high"; y: "low" | "high" },
): { x: number; y: number }[] {
  const gain = (end: "low" | "high", value: number) => (end === "low" ? -value : value);
  // Files of one quantization differ by a few bytes of their heads.
  const alike = (a: number, b: number) => Math.abs(a - b) < sameSize * Math.max(Math.abs(a), Math.abs(b));
  const beats = (a: { x: number; y: number }, b: { x: number; y: number }) => {
    const [dx, dy] = [
      alike(a.x, b.x) ? 0 : gain(better.x, a.x) - gain(better.x, b.x),
      gain(better.y, a.y) - gain(better.y, b.y),
    ];
    return dx >= 0 && dy >= 0 && (dx > 0 || dy > 0);
  };
  return points.filter((one) => !points.some((other) => beats(other, one))).sort((a, b) => a.x - b.x);
}
