import type { Facts } from "../facts.js";

/** A picture of a run, as data that `draw` makes an SVG of. */
export interface Picture {
  /** Of its file, without the ending. */
  name: string;
  title: string;
  /** What is drawn and how to read it, one or two sentences: also what a screen reader says. */
  caption: string;
  chart: Chart;
}

/** What may be drawn of a run. */
export interface Plot {
  /** `answer`: how good, large and fast; `where`: in which places a model is worse; `course`: how the measurement went. */
  section: "answer" | "where" | "course";
  /** As many pictures as there are data for: none, one, or one per measurement. */
  pictures(facts: Facts): Picture[];
}

/** Axes, and layers of marks over each other; sizes in pixels. */
export interface Chart {
  width: number;
  height: number;
  margins: { top: number; right: number; bottom: number; left: number };
  x: Axis;
  y: Axis;
  layers: Layer[];
}

export interface Axis {
  type: "linear" | "log" | "band";
  /** Of a band: its names from top to bottom. */
  domain: readonly (number | string)[];
  label?: string;
  /** How many numbers stand at it, about; or which. */
  ticks?: number | readonly number[];
  grid?: boolean;
}

/** Marks of one kind, one per row of data. Options are constants, or names of fields of the rows. */
export interface Layer {
  mark: "dot" | "text" | "line" | "link" | "ruleX" | "ruleY" | "tickX" | "rect";
  data: readonly Record<string, unknown>[];
  options: Record<string, unknown>;
}
