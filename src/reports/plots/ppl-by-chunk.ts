import { harmless } from "../../harmless.js";
import { metric as describe } from "../../metrics.js";
import { natural } from "../../stats/comparison.js";
import { running } from "../../stats/summary.js";
import { drawnAs, isPerplexity, numbered } from "./figures.js";
import { linesChart } from "./lines.js";
import type { Picture, Plot } from "./plot.js";

/** More points than a line of these pixels can show. */
const mostPoints = 200;

/** How the perplexity settles from chunk to chunk, as llama-perplexity prints it. */
export const pplByChunk: Plot = {
  section: "course",
  pictures(facts) {
    const named = drawnAs(facts);
    const measured = facts.series.flatMap(({ variant, job, observations, broken }) => {
      const name = job.metrics.find((one) => isPerplexity(describe(one)));
      const items = name === undefined || broken !== undefined ? undefined : observations.get(name);
      if (name === undefined || !items || items.length < 3) return [];
      const figure = running(name);
      const course = natural([...items]).map((item, i) => {
        figure.add(item);
        return { x: i + 1, y: figure.summary().value };
      });
      return [{ ...{ variant, job, metric: describe(name) }, points: thinned(course) }];
    });
    const measurements = [...new Set(measured.map(({ job }) => job.measurement))];
    return measurements.map((measurement, i): Picture => {
      const lines = measured.filter(({ job }) => job.measurement === measurement);
      const { metric, job } = lines[0]!;
      return {
        name: numbered("ppl-by-chunk", i),
        title: `${metric.label} on ${harmless(job.dataset, { length: 60 })}, chunk by chunk`,
        caption: `${metric.label} over all chunks so far, as llama-perplexity prints it: a line that still falls or rises at its end has seen too little text.`,
        chart: linesChart(
          lines.map(({ variant, points }) => ({ ...named(variant.name), points })),
          { x: { label: "chunks" }, y: { label: metric.label, grid: true, log: true } },
        ),
      };
    });
  },
};

/** Every so manieth point, and the last one. */
function thinned<Point>(points: Point[]): Point[] {
  const step = Math.ceil(points.length / mostPoints);
  return points.filter((_, i) => i % step === 0 || i === points.length - 1);
}
