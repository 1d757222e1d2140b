import { harmlessJson } from "../../harmless.js";
import { soundFigures } from "./figures.js";
import type { Format, Rendered } from "./format.js";

// github-action-benchmark reads a list of { name, unit, value, range, extra }; which way is better is said by the tool's name.

export const smallerIsBetter: Format = {
  name: "customSmallerIsBetter",
  meaning: "github-action-benchmark: perplexity, divergence, size, memory",
  render: (material) => entries(material, "lower"),
};

export const biggerIsBetter: Format = {
  name: "customBiggerIsBetter",
  meaning: "github-action-benchmark: accuracy and speed",
  render: (material) => entries(material, "higher"),
};

function entries(material: Parameters<Format["render"]>[0], better: "lower" | "higher"): Rendered {
  const { figures, notes } = soundFigures(material);
  const list = figures.flatMap(({ variant, column: { name, metric, dataset }, summary }) =>
    metric.better !== better
      ? []
      : [
          {
            name: `${variant.name} ${name}`,
            unit: summary.unit === "1" ? metric.label : summary.unit,
            value: summary.value,
            ...(summary.error === undefined ? {} : { range: `± ${Number(summary.error.toPrecision(3))}` }),
            ...(dataset === "" ? {} : { extra: `${dataset}, n = ${summary.n}` }),
          },
        ],
  );
  return { content: `${harmlessJson(list, 2)}\n`, notes };
}
