import type { VariantRecord } from "../../events.js";
import { harmless } from "../../harmless.js";
import { isLikelihood, isTally, leadsAmong, type Metric } from "../../metrics.js";
import type { Summary } from "../../stats/summary.js";
import type { Facts } from "../facts.js";
import { shortNames } from "../names.js";
import { figureIn } from "../table.js";
import { type Look, looksOf } from "./palette.js";

/** A column of the table, as far as its figures are to be believed. */
export interface FigureColumn {
  measurement: string;
  dataset: string;
  metric: Metric;
  figures: { variant: VariantRecord; summary: Summary }[];
}

/** The columns of a kind in the order of the table; the noise floor is no figure of its variant, and tokenizers are not mixed. */
export function columnsOf({ table }: Pick<Facts, "table">, fits: (metric: Metric) => boolean): FigureColumn[] {
  return table.columns.flatMap(({ measurement, dataset, metric }, index) => {
    if (!fits(metric)) return [];
    const figures = table.rows.flatMap(({ variant, cells }) => {
      const cell = cells[index]!;
      const summary = figureIn(cell);
      if (cell.state !== "measured" || !summary || cell.floor || cell.foreign) return [];
      return [{ variant, summary }];
    });
    return figures.length > 0 ? [{ measurement, dataset, metric, figures }] : [];
  });
}

/** The leading figures of tasks, shares of all questions. */
export const isOfTask = (metric: Metric) =>
  metric.per === "question" && !metric.beside && !isTally(metric) && leadsAmong(metric.name, [metric.name]);

/** What a text costs by itself. */
export const isPerplexity = (metric: Metric) => isLikelihood(metric) && metric.leads === true;

/** Tokens a second, of generating rather than of reading where both were measured. */
export function speedColumn(facts: Pick<Facts, "table">): FigureColumn | undefined {
  const speeds = columnsOf(facts, (metric) => metric.per === "repetition");
  const most = Math.max(...speeds.map(({ figures }) => figures.length));
  return speeds
    .filter(({ figures }) => figures.length === most && most > 1)
    .sort((a, b) => b.metric.prominence - a.metric.prominence)[0];
}

/** Names and signs of the variants, the same in all pictures of a run. */
export function drawnAs({ table }: Pick<Facts, "table">, width = 22): (name: string) => { text: string; look: Look } {
  const variants = table.rows.map(({ variant }) => variant);
  const looks = looksOf(variants);
  const { shown } = shortNames(
    variants.map(({ name }) => name),
    width,
  );
  return (name) => ({ text: shown.get(name) ?? harmless(name), look: looks.get(name)! });
}

/** Both ends of a summary's 95 % interval, where it has one. */
export const rangeOf = ({ low, high }: Summary): [number, number] | undefined =>
  low === undefined || high === undefined ? undefined : [low, high];

/** `kld-by-size`, `kld-by-size-2` … */
export const numbered = (name: string, i: number) => (i === 0 ? name : `${name}-${i + 1}`);
