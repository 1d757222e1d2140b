import { harmless } from "../../harmless.js";
import { columnsOf, drawnAs, isPerplexity, numbered } from "./figures.js";
import type { Picture, Plot } from "./plot.js";
import { rowsChart } from "./rows.js";

/** What each variant makes of a text, with the ± that llama-perplexity prints. */
export const pplByVariant: Plot = {
  section: "answer",
  pictures(facts) {
    const named = drawnAs(facts);
    return columnsOf(facts, isPerplexity)
      .filter(({ figures }) => figures.length > 1)
      .map(({ measurement, dataset, metric, figures }, i): Picture => {
        return {
          name: numbered("ppl-by-variant", i),
          title: `${metric.label} on ${harmless(dataset || measurement, { length: 60 })}`,
          caption: `${metric.label} of each variant and its ± as llama-perplexity prints it, which takes tokens as independent; lower is better.`,
          chart: rowsChart(
            figures.map(({ variant, summary: { value, error } }) => ({
              ...named(variant.name),
              ...{ value, range: error === undefined ? undefined : ([value - error, value + error] as const) },
            })),
            { axis: { label: metric.label, grid: true } },
          ),
        };
      });
  },
};
