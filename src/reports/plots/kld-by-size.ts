import { harmless } from "../../harmless.js";
import { isDistance, tailOf } from "../../metrics.js";
import { columnsOf, drawnAs, numbered, rangeOf } from "./figures.js";
import type { Picture, Plot } from "./plot.js";
import { pointsChart } from "./points.js";

/** How far each file is from its reference, against its size; one picture per reference. */
export const kldBySize: Plot = {
  section: "answer",
  pictures(facts) {
    const named = drawnAs(facts);
    const groups = columnsOf(facts, (metric) => isDistance(metric) && metric.leads === true).flatMap((column) => {
      const sized = column.figures.flatMap(({ variant, summary }) => {
        const bytes = variant.facts?.bytes;
        const of = facts.divergences.find(
          ({ job }) => job.variant === variant.name && job.measurement === column.measurement,
        );
        const against = of?.job.against;
        const tail = of?.figures.find(({ metric }) => metric === tailOf(column.metric.name))?.value;
        return bytes === undefined || !(summary.value > 0) ? [] : [{ variant, summary, bytes, against, tail }];
      });
      const references = [...new Set(sized.map(({ against }) => against))];
      return references.map((against) => ({
        ...column,
        against,
        sized: sized.filter((one) => one.against === against),
      }));
    });
    return groups
      .filter(({ sized }) => sized.length > 1)
      .map(({ measurement, metric, against, sized }, i): Picture => {
        const from = against === undefined ? "its reference" : harmless(against, { length: 60 });
        const hasRange = sized.some(({ summary }) => rangeOf(summary) !== undefined);
        const hasTail = sized.some(({ tail }) => tail !== undefined && tail > 0);
        return {
          name: numbered("kld-by-size", i),
          title: `${metric.label} from ${from} by size${measurement === "divergence" ? "" : ` (${harmless(measurement, { length: 60 })})`}`,
          caption: `Mean ${metric.label}${hasRange ? " with its 95 % interval" : ""}${hasTail ? ", and hollow the value that 99 % of the tokens stay below" : ""}. No file on the line is beaten in both size and distance.`,
          chart: pointsChart(
            sized.map(({ variant, summary, bytes, tail }) => ({
              ...named(variant.name),
              ...{
                x: bytes / 1e6,
                y: summary.value,
                ys: rangeOf(summary),
                second: tail !== undefined && tail > 0 ? tail : undefined,
              },
            })),
            {
              x: { label: "size, MB", log: false },
              y: { label: `${metric.label}, ${metric.unit}`, log: true, grid: true },
              better: { x: "low", y: "low" },
            },
          ),
        };
      });
  },
};
