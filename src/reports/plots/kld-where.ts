import { harmless } from "../../harmless.js";
import { metric as describe } from "../../metrics.js";
import type { TokenGroup } from "../../stats/breakdown.js";
import type { Divergence } from "../divergence.js";
import { drawnAs, numbered, rangeOf } from "./figures.js";
import { linesChart } from "./lines.js";
import type { Picture, Plot } from "./plot.js";
import { rowsChart } from "./rows.js";

interface Grouping {
  name: string;
  title: string;
  caption: string;
  label: string;
  groups(divergence: Divergence): TokenGroup[];
}

const ways: Grouping[] = [
  {
    name: "kld-by-position",
    title: "by position",
    caption: "The mean over the tokens that have so many others of their chunk before them.",
    label: "tokens before it",
    groups: ({ where }) => where?.positions ?? [],
  },
  {
    name: "kld-by-confidence",
    title: "by confidence",
    caption:
      "The mean over the tokens to which the reference gives such a probability: where it is small, nobody could know.",
    label: "probability that the reference gives the token",
    groups: ({ where }) => where?.confidence ?? [],
  },
];

/** Where in the text variants are far from their reference. */
export const kldWhere: Plot = {
  section: "where",
  pictures(facts) {
    const named = drawnAs(facts);
    const told = facts.divergences.filter(({ job, where }) => where !== undefined && job.against !== job.variant);
    const sets = [...new Map(told.map(({ job }) => [JSON.stringify([job.measurement, job.against]), job])).values()];
    const of = (measurement: string, against: string | undefined) =>
      told.filter(({ job }) => job.measurement === measurement && job.against === against);
    const lines = ways.flatMap((way) =>
      sets.flatMap(({ measurement, against, dataset }, i): Picture[] => {
        const drawn = of(measurement, against).flatMap((one) => {
          const points = way
            .groups(one)
            .flatMap(({ of: range, summary }) =>
              typeof range === "string" || !(summary.value > 0)
                ? []
                : [{ x: (range[0] + range[1]) / 2, y: summary.value }],
            );
          return points.length > 2 ? [{ ...named(one.job.variant), points }] : [];
        });
        if (drawn.length === 0) return [];
        const { label, unit } = describe(metricOf(told[0]!));
        return [
          {
            name: numbered(way.name, i),
            title: `${label} from ${harmless(against ?? "the reference", { length: 60 })} ${way.title}`,
            caption: `${way.caption} ${harmless(dataset, { length: 60 })}.`,
            chart: linesChart(drawn, {
              x: { label: way.label },
              y: { label: `${label}, ${unit}`, grid: true, log: true },
              dots: true,
            }),
          },
        ];
      }),
    );
    const documents = sets.flatMap(({ measurement, against, dataset }, i): Picture[] => {
      const drawn = of(measurement, against);
      const names = [...new Set(drawn.flatMap(({ where }) => where!.documents.map(({ of: name }) => String(name))))];
      // The variant that is farthest tells which documents are hard; the others stand in the same order.
      const farthest = drawn.toSorted((a, b) => meanIn(b) - meanIn(a))[0];
      if (!farthest || names.length < 2 || names.length > mostDocuments) return [];
      const { label, unit } = describe(metricOf(farthest));
      const hasRange = farthest.where!.documents.some(({ summary }) => rangeOf(summary) !== undefined);
      return [
        {
          name: numbered("kld-by-document", i),
          title: `${label} from ${harmless(against ?? "the reference", { length: 60 })} by document: ${named(farthest.job.variant).text}`,
          caption: `The mean over the tokens of each document of ${harmless(dataset, { length: 60 })}${hasRange ? ", with its 95 % interval" : ""}, for the variant that is farthest.`,
          chart: rowsChart(
            farthest.where!.documents.map(({ of: name, summary }) => ({
              ...{
                text: String(name),
                look: named(farthest.job.variant).look,
                value: summary.value,
                range: rangeOf(summary),
              },
            })),
            { axis: { label: `${label}, ${unit}`, grid: true } },
          ),
        },
      ];
    });
    return [...lines, ...documents];
  },
};

/** More than these would be a picture longer than a page. */
const mostDocuments = 40;
const meanIn = ({ where }: Divergence) =>
  where!.documents.reduce((sum, { summary, tokens }) => sum + summary.value * tokens, 0);
const metricOf = ({ where }: Divergence) => where!.metric;
