import { metric as describe } from "../../metrics.js";
import { drawnAs, numbered } from "./figures.js";
import { linesChart } from "./lines.js";
import type { Picture, Plot } from "./plot.js";

/** The repetitions of a test of speed as they came: what warms up, throttles or is disturbed shows. */
export const speedInOrder: Plot = {
  section: "course",
  pictures(facts) {
    const named = drawnAs(facts);
    const measured = facts.series.flatMap(({ variant, job, observations, broken }) => {
      if (broken !== undefined) return [];
      return [...observations.keys()].flatMap((name) => {
        const metric = describe(name);
        const items = metric.per === "repetition" ? observations.get(name) : undefined;
        if (!items || items.length < 3) return [];
        return [
          {
            variant,
            metric,
            measurement: job.measurement,
            points: items.map(({ value }, i) => ({ x: i + 1, y: value })),
          },
        ];
      });
    });
    const keys = [...new Set(measured.map(({ metric, measurement }) => JSON.stringify([measurement, metric.name])))];
    return keys.map((key, i): Picture => {
      const lines = measured.filter(({ metric, measurement }) => JSON.stringify([measurement, metric.name]) === key);
      const { metric } = lines[0]!;
      return {
        name: numbered("speed-in-order", i),
        title: `${metric.label}, repetition by repetition`,
        caption:
          "Tokens a second in the order of measuring: level lines are a calm machine; a slope is one that warms up or throttles.",
        chart: linesChart(
          lines.map(({ variant, points }) => ({ ...named(variant.name), points })),
          {
            x: { label: "repetition", ticks: lines[0]!.points.map(({ x }) => x).slice(0, 12), room: 0.05 },
            y: { label: metric.unit, grid: true },
            dots: true,
          },
        ),
      };
    });
  },
};
