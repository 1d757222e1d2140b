import { lineHeight, textWidth } from "./labels.js";
import { grounds, type Look } from "./palette.js";
import type { Axis, Chart, Layer } from "./plot.js";

/** As wide as two pictures beside each other leave room for, and legible on a phone. */
export const chartWidth = 480;

/** From values to pixels and back, as the picture will have it: what stands beside a point is placed before it is drawn. */
export class Frame {
  constructor(
    readonly box: { left: number; right: number; top: number; bottom: number },
    readonly x: Axis,
    readonly y: Axis,
  ) {}

  toX = (value: number) => along(this.x, value, this.box.left, this.box.right);
  toY = (value: number) => along(this.y, value, this.box.bottom, this.box.top);
  fromX = (pixel: number) => back(this.x, pixel, this.box.left, this.box.right);
  fromY = (pixel: number) => back(this.y, pixel, this.box.bottom, this.box.top);
}

const scaled = ({ type }: Axis, value: number) => (type === "log" ? Math.log(value) : value);
const ends = (axis: Axis) => axis.domain.map((end) => scaled(axis, Number(end))) as [number, number];

function along(axis: Axis, value: number, from: number, to: number): number {
  const [low, high] = ends(axis);
  return from + ((scaled(axis, value) - low) / (high - low)) * (to - from);
}

function back(axis: Axis, pixel: number, from: number, to: number): number {
  const [low, high] = ends(axis);
  const value = low + ((pixel - from) / (to - from)) * (high - low);
  return axis.type === "log" ? Math.exp(value) : value;
}

/** More than this from the smallest to the largest, and a linear axis would press most values into a corner. */
const wide = 8;

/** What is known of an axis before its values are. `log`: absent to let them decide; `room`: at both ends, as a share. */
export type AxisAsked = Partial<Axis> & { log?: boolean; room?: number };

/** An axis that holds all values with a little room; on a log scale where they lie far apart and none is 0. */
export function axisOver(values: readonly number[], { log, room = 0.06, ...more }: AxisAsked = {}): Axis {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  if (low > 0 && (log ?? high / low > wide)) {
    const factor = Math.max(1.1, (high / low) ** room);
    const domain = [low / factor, high * factor];
    return { type: "log", domain, ticks: logTicks(domain[0]!, domain[1]!), ...more };
  }
  const pad = (high - low || Math.abs(high) || 1) * room;
  return { type: "linear", domain: [low - pad, high + pad], ticks: 5, ...more };
}

const mostTicks = 7;

/** Powers of ten with as many numbers between them as there is room for; over less than threefold even steps. */
function logTicks(low: number, high: number): number[] {
  if (high / low < 3) return evenTicks(low, high);
  const first = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => first + i);
  const tried = [[1, 2, 3, 4, 6, 8], [1, 2, 5], [1, 3], [1]].map((steps) =>
    powers
      .flatMap((power) => steps.map((step) => Number(`${step}e${power}`)))
      .filter((tick) => tick >= low && tick <= high),
  );
  const fitting = tried.find((ticks) => ticks.length <= mostTicks);
  const decades = tried.at(-1)!;
  return fitting ?? decades.filter((_, i) => i % Math.ceil(decades.length / mostTicks) === 0);
}

function evenTicks(low: number, high: number): number[] {
  const rough = (high - low) / 5;
  const power = Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => Number(`${one}e${power}`)).find((one) => one >= rough)!;
  const from = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - from + 1 }, (_, i) =>
    Number(((from + i) * step).toPrecision(9)),
  );
}

/** Keeps a text legible over the lines that it crosses. */
export const halo = { fill: "currentColor", stroke: grounds.back[0], strokeWidth: 4, paintOrder: "stroke" };

/** One name with its sign, in the legend below a picture. */
export interface LegendEntry {
  text: string;
  look: Look;
}

/** Pixels that a legend takes below the axis. */
export function legendHeight(entries: readonly LegendEntry[]): number {
  return entries.length === 0 ? 0 : Math.ceil(entries.length / columnsOf(entries)) * (lineHeight + 2) + 6;
}

const columnsOf = (entries: readonly LegendEntry[]) =>
  Math.max(1, Math.floor((chartWidth - 20) / (Math.max(...entries.map(({ text }) => textWidth(text))) + 28)));

/** A legend whose first line stands at `top`, in pixels. `lines`: signs are pieces of lines rather than points. */
export function legendLayers(frame: Frame, entries: readonly LegendEntry[], top: number, lines = false): Layer[] {
  if (entries.length === 0) return [];
  const columns = columnsOf(entries);
  const rows = Math.ceil(entries.length / columns);
  const placed = entries.map(({ text, look }, i) => {
    const left = 14 + Math.floor(i / rows) * ((chartWidth - 20) / columns);
    const y = frame.fromY(top + (i % rows) * (lineHeight + 2));
    return {
      ...{ ...look, text, y, sign: frame.fromX(left), from: frame.fromX(left - 8), to: frame.fromX(left + 8) },
      x: frame.fromX(left + 13),
    };
  });
  return [
    ...(lines ? placed.map((one) => pieceOf(one)) : [signs(placed, "sign", "y")]),
    { mark: "text", data: placed, options: { x: "x", y: "y", text: "text", textAnchor: "start" } },
  ];
}

const pieceOf = (one: { colour: string; dash: string }): Layer => ({
  mark: "link",
  data: [one],
  options: {
    ...{ x1: "from", x2: "to", y1: "y", y2: "y", stroke: one.colour, strokeWidth: 2 },
    ...(one.dash === "none" ? {} : { strokeDasharray: one.dash }),
  },
});

/** Upright lines with their names above the frame. */
export const ruleLayers = (rules: readonly { at: number; text: string }[]): Layer[] => [
  { mark: "ruleX", data: rules, options: { x: "at", stroke: grounds.guide[0], strokeDasharray: "4 3" } },
  {
    mark: "text",
    data: rules,
    options: { x: "at", text: "text", frameAnchor: "top", dy: -12, fill: grounds.guide[0] },
  },
];

/** The signs of variants. */
export const signs = (data: Layer["data"], x: string, y: string, more: Record<string, unknown> = {}): Layer => ({
  mark: "dot",
  data,
  options: { x, y, symbol: "symbol", fill: "colour", r: 4.5, ...more },
});

/** A picture with the frame that its layers were placed in. */
export function chartIn({ box, x, y }: Frame, height: number, layers: Layer[]): Chart {
  const margins = { top: box.top, right: chartWidth - box.right, bottom: height - box.bottom, left: box.left };
  return { width: chartWidth, height, margins, x, y, layers };
}
