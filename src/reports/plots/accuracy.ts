import { harmless } from "../../harmless.js";
import { percent } from "../../units.js";
import { drawnAs, numbered, rangeOf } from "./figures.js";
import type { Picture, Plot } from "./plot.js";
import { rowsChart } from "./rows.js";

/** The scores of a task, beside what guessing gives. */
export const accuracy: Plot = {
  section: "answer",
  pictures(facts) {
    const named = drawnAs(facts);
    const tasks = facts.tasks.flatMap(({ measurement, variants }) => {
      const told = variants.flatMap(({ variant, figure }) => (figure ? [{ variant, figure }] : []));
      return told.length > 1 ? [{ measurement, told }] : [];
    });
    return tasks.map(({ measurement, told }, i): Picture => {
      const { metric, chance } = told[0]!.figure;
      const hasRange = told.some(({ figure: { summary } }) => rangeOf(summary) !== undefined);
      return {
        name: numbered("accuracy", i),
        title: `${metric.label} in ${harmless(measurement, { length: 60 })}`,
        caption: `Share of ${told[0]!.figure.summary.n} questions${hasRange ? " with its 95 % interval" : ""}${chance === undefined ? "" : "; the dashed line is what guessing gives"}. Higher is better.`,
        chart: rowsChart(
          told.map(({ variant, figure: { summary } }) => {
            const range = rangeOf(summary);
            return {
              ...named(variant.name),
              ...{ value: 100 * summary.value, range: range && ([100 * range[0], 100 * range[1]] as const) },
            };
          }),
          {
            axis: { label: `${metric.label}, %`, grid: true, log: false },
            rules: chance === undefined ? [] : [{ at: 100 * chance, text: `chance ${percent(chance)}` }],
          },
        ),
      };
    });
  },
};
