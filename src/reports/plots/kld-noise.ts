import { harmless } from "../../harmless.js";
import { isDistance, medianOf, tailOf } from "../../metrics.js";
import { drawnAs, numbered } from "./figures.js";
import type { Picture, Plot } from "./plot.js";
import { rowsChart } from "./rows.js";

/** The distance of variants in noise floors: how much more it is than what another batch shape of the reference makes. */
export const kldNoise: Plot = {
  section: "where",
  pictures(facts) {
    const named = drawnAs(facts);
    const columns = facts.table.columns.flatMap(({ measurement, metric }, index) => {
      if (!isDistance(metric) || metric.leads !== true) return [];
      const floors = facts.table.rows.flatMap(({ variant, cells }) => {
        const cell = cells[index]!;
        return cell.state === "measured" && cell.floor && cell.summary.value > 0
          ? [{ variant, value: cell.summary.value }]
          : [];
      });
      return floors.map((floor) => ({ measurement, metric, floor }));
    });
    const groups = columns.flatMap(({ measurement, metric, floor }) => {
      const rows = facts.divergences.flatMap(({ job, figures }) => {
        if (job.measurement !== measurement || job.against !== floor.variant.name || job.variant === job.against)
          return [];
        const figure = (name: string | undefined) => figures.find((one) => one.metric === name)?.value;
        const [mean, median, tail] = [metric.name, medianOf(metric.name), tailOf(metric.name)].map(figure);
        if (mean === undefined || median === undefined || tail === undefined || !(median > 0)) return [];
        return [
          {
            variant: job.variant,
            value: mean / floor.value,
            range: [median / floor.value, tail / floor.value] as const,
          },
        ];
      });
      return rows.length > 0 ? [{ metric, floor, rows }] : [];
    });
    return groups.map(({ metric, floor, rows }, i): Picture => {
      const from = harmless(floor.variant.name, { length: 60 });
      return {
        name: numbered("kld-noise", i),
        title: `${metric.label} in noise floors of ${from}`,
        caption: `Mean ${metric.label}, and a bar from the median token to the one that 99 % stay below, as multiples of the noise floor (${floor.value.toExponential(1)} ${metric.unit}): the distance of ${from} from itself in another batch shape.`,
        chart: rowsChart(
          rows.map(({ variant, value, range }) => ({ ...named(variant), value, range })),
          { axis: { label: "× noise floor", grid: true, log: true }, rules: [{ at: 1, text: "noise floor" }] },
        ),
      };
    });
  },
};
