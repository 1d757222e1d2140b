import { harmless } from "../../harmless.js";
import { metric as describe } from "../../metrics.js";
import { drawnAs, numbered } from "./figures.js";
import type { Picture, Plot } from "./plot.js";
import { rowsChart } from "./rows.js";

/** What each of several pairs says to one question, such as whether an importance matrix helps: a forest plot per figure. */
export const gains: Plot = {
  section: "answer",
  pictures(facts) {
    const named = drawnAs(facts);
    const asked = facts.verdicts.questions.filter(({ base }) => base === undefined);
    const groups = asked.flatMap(({ title, pairs }) => {
      const all = pairs.flatMap(({ a, b, results }) =>
        results.flatMap(({ label, metric, comparison }) =>
          comparison &&
          comparison.needed === undefined &&
          Number.isFinite(comparison.low) &&
          describe(metric).per !== "repetition"
            ? [{ a, b, label, metric: describe(metric), comparison }]
            : [],
        ),
      );
      const labels = [...new Set(all.map(({ label }) => label))];
      return labels.map((label) => ({ title, label, rows: all.filter((one) => one.label === label) }));
    });
    return groups
      .filter(({ rows }) => rows.length > 1)
      .map(({ title, label, rows }, i): Picture => {
        const { metric, comparison } = rows[0]!;
        const isRelative = comparison.scale === "relative";
        const isPercent = isRelative || metric.scale === "percent";
        const factor = isPercent ? 100 : 1;
        const unit = isRelative ? "%" : isPercent ? "points" : metric.unit;
        const margin = metric.margin && metric.margin.relative === isRelative ? factor * metric.margin.size : undefined;
        return {
          name: numbered("gains", i),
          title: `${harmless(title, { length: 100 })} ${harmless(label, { length: 60 })}`,
          caption: `Change of ${harmless(label, { length: 60 })} from each partner, with its 95 % interval; ${metric.better} is better.${margin === undefined ? "" : ` Within the band it does not matter (±${Number(margin.toPrecision(3))} ${unit}).`}`,
          chart: rowsChart(
            rows.map(({ b, comparison: { difference, low, high } }) => ({
              ...named(b),
              ...{ value: factor * difference, range: [factor * low, factor * high] as const },
            })),
            {
              axis: { label: `change of ${harmless(label, { length: 40 })}, ${unit}`, grid: true, log: false },
              rules: [{ at: 0, text: "no change" }],
              ...(margin === undefined ? {} : { band: [-margin, margin] as const }),
            },
          ),
        };
      });
  },
};
