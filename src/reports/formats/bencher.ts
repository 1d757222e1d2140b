import { harmlessJson } from "../../harmless.js";
import { soundFigures } from "./figures.js";
import type { Format } from "./format.js";

/** The longest name of a measure that Bencher takes. */
const longest = 64;

/** Bencher Metric Format: by benchmark (a variant) and measure (a metric) a value and its 95 % interval. */
export const bencher: Format = {
  name: "bencher",
  meaning: "Bencher (`bencher run --adapter json`)",
  render: (material) => {
    const { figures, notes } = soundFigures(material);
    const measuresOf = (wanted: string) =>
      figures.flatMap(({ variant, column: { name }, summary: { value, low, high } }) => {
        // A last digit may lie beyond the end that it is.
        const interval =
          low === undefined || high === undefined
            ? {}
            : { lower_value: Math.min(low, value), upper_value: Math.max(high, value) };
        return variant.name === wanted ? [[name.slice(0, longest), { value, ...interval }] as const] : [];
      });
    const measured = new Set(figures.map(({ variant }) => variant.name));
    const record = Object.fromEntries(Array.from(measured, (name) => [name, Object.fromEntries(measuresOf(name))]));
    return { content: `${harmlessJson(record, 2)}\n`, notes };
  },
};
