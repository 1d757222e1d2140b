import { harmless } from "../../harmless.js";
import { isDistance, type Metric } from "../../metrics.js";
import { columnsOf, drawnAs, isOfTask, isPerplexity, rangeOf, speedColumn } from "./figures.js";
import type { Picture, Plot } from "./plot.js";
import { pointsChart } from "./points.js";

const kinds: ((metric: Metric) => boolean)[] = [
  isPerplexity,
  (metric) => isDistance(metric) && metric.leads === true,
  isOfTask,
];

/** The first quality that was measured, against speed. */
export const qualityBySpeed: Plot = {
  section: "answer",
  pictures(facts) {
    const speed = speedColumn(facts);
    const quality = kinds.flatMap((fits) => columnsOf(facts, fits))[0];
    if (!speed || !quality) return [];
    const named = drawnAs(facts);
    const { metric, dataset, measurement } = quality;
    const factor = metric.scale === "percent" ? 100 : 1;
    const points = quality.figures.flatMap(({ variant, summary }) => {
      const fast = speed.figures.find((one) => one.variant === variant)?.summary;
      if (!fast) return [];
      const ys = rangeOf(summary);
      return [
        {
          ...named(variant.name),
          ...{ x: fast.value, xs: rangeOf(fast), y: factor * summary.value },
          // A perplexity's interval is that of other texts, which are as hard for all variants.
          ys: ys && factor === 100 ? ([factor * ys[0], factor * ys[1]] as const) : undefined,
        },
      ];
    });
    if (points.length < 2) return [];
    const picture: Picture = {
      name: "quality-by-speed",
      title: `${metric.label} on ${harmless(dataset || measurement, { length: 60 })} by speed`,
      caption: `Speed (${speed.metric.label})${points.some(({ xs }) => xs) ? " with its 95 % interval" : ""} against ${metric.label}. No variant on the line is beaten in both.`,
      chart: pointsChart(points, {
        x: { label: `${speed.metric.label}, ${speed.metric.unit}`, log: false },
        y: {
          label: factor === 100 ? `${metric.label}, %` : metric.label,
          grid: true,
          ...(isPerplexity(metric) ? { log: true } : {}),
        },
        better: { x: "high", y: metric.better === "higher" ? "high" : "low" },
      }),
    };
    return [picture];
  },
};
