import { several } from "../../harmless.js";
import { changeOf } from "../../judge/index.js";
import { metric as describe } from "../../metrics.js";
import { macroMean } from "../../stats/macro.js";
import type { Summary } from "../../stats/summary.js";
import type { Facts } from "../index.js";
import { figureIn, type Row, type Table } from "../table.js";
import type { BesideTable } from "./card.js";
import type { Changes } from "./change.js";
import { columnsFor, type Matching, type MeasuredColumn, matchingOf, modelOf } from "./match.js";
import {
  type Published,
  type PublishedColumn,
  type PublishedRow,
  type PublishedTable,
  publishedUnits,
} from "./published.js";

/** The mark of a published figure that the measured interval excludes. */
const differs = "≠";

/** A measured row and the published one of the same name. */
interface Match {
  row: Row;
  published: PublishedRow;
  /** Whether it is the published model: only then are the figures themselves compared. */
  sameModel: boolean;
  /** The published row that changes are told against, where the measured one's reference is that row's. */
  reference: PublishedRow | undefined;
}

/**
 * Published tables of which this run measured something, each with the rows and columns that both have. `isNamed`: the user named the
 * variants of these rows.
 */
export function besideOf(
  { table, short }: Facts,
  rows: Row[],
  published: Published,
  { changes, isNamed }: { changes: Changes; isNamed: boolean },
): BesideTable[] {
  const named = isNamed ? new Set(rows.map(({ variant }) => variant.name)) : undefined;
  const models = Object.values(published.tables).flatMap(({ of, rows: named }) => [
    ...(of === undefined ? [] : [of]),
    ...named.flatMap(({ name, quant }) => (quant === undefined ? [name] : [])),
  ]);
  return Object.values(published.tables).flatMap((of) => {
    const matching = matchingOf({ rows: table.rows, reference: short.reference }, of, { models, named });
    const matches = rows.flatMap((row) => matchOf(row, of, { table, short }, { models, matching }));
    const columns = Object.entries(of.columns).flatMap(([key, column]) => columnsFor(table, key, column));
    const drawn = matches.map((match) => ({
      match,
      cells: columns.map((column) => cellOf(column, match, table, changes)),
    }));
    const isTold = (cell: Beside) => cell.measured !== "" && cell.published !== "";
    const told = columns.map((_, i) => drawn.some(({ cells }) => isTold(cells[i]!)));
    const isCompared = (cell: Beside, { sameModel }: Match) => isTold(cell) && (sameModel || cell.compared === true);
    if (!drawn.some(({ match, cells }) => cells.some((cell) => isCompared(cell, match)))) return [];
    const kept = <Item>(items: Item[]) => items.filter((_, i) => told[i]);
    const lines = drawn.filter(({ cells }) => cells.some(isTold));
    return [
      {
        title: `${of.title}: measured, and as published (${published.source.title})`,
        source: published.source,
        heads: kept(columns.map(({ head }) => head)),
        rows: lines.map(({ match, cells }) => ({
          name: match.row.variant.name,
          measured: kept(cells.map(({ measured }) => measured)),
          published: kept(cells.map((cell) => cell.published)),
        })),
        notes: [
          ...notesOf(
            of,
            matches,
            lines.some(({ cells }) => cells.some((cell) => cell.published.endsWith(differs))),
          ),
          ...matching.notes,
        ],
      },
    ];
  });
}

function matchOf(
  row: Row,
  of: PublishedTable,
  { table, short }: Pick<Facts, "table" | "short">,
  { models, matching: { pairs } }: { models: readonly string[]; matching: Matching },
): Match[] {
  const published = pairs.get(row.variant.name);
  if (!published) return [];
  const { against } = short.rows.find(({ variant }) => variant.name === row.variant.name) ?? {};
  const base = table.rows.find(({ variant }) => variant.name === against);
  const stated = of.rows.find(({ name }) => name === of.reference);
  return [
    {
      ...{ row, published },
      sameModel: of.of === undefined || modelOf(row, models) === of.of,
      reference: base && pairs.get(base.variant.name) === stated ? stated : undefined,
    },
  ];
}

function notesOf(of: PublishedTable, matches: Match[], marked: boolean): string[] {
  const others = matches.filter(({ sameModel }) => !sameModel);
  const models = several([...new Set(others.map(({ row }) => row.variant.facts?.name || row.variant.name))], 4);
  const isChange = Object.values(of.columns).some(({ compare }) => compare === "change");
  return [
    `Published: ${of.of ?? "the models of these names"}; ${of.conditions}.`,
    ...(others.length > 0
      ? [`Measured: ${models}, not the published model: figures themselves are not compared.`]
      : []),
    ...(isChange ? [`(Δ): the change against ${of.reference}, which is compared where text or machine differ.`] : []),
    ...(marked
      ? [
          `${differs}: the published figure lies outside the 95 % interval that was measured, rounding allowed for. Model, text, engine or machine may differ: the two are not the same, which does not say that either is wrong.`,
        ]
      : []),
  ];
}

interface Beside {
  measured: string;
  published: string;
  /** Their changes are. */
  compared?: true;
}

function cellOf(of: MeasuredColumn, match: Match, table: Table, changes: Changes): Beside {
  const { key, column, metric, measurements } = of;
  const figure = match.published.figures[key];
  const summary = summaryOf(table, match.row, metric, measurements);
  const stated = figure?.toFixed(column.digits) ?? "";
  if (!summary) return { measured: "", published: stated };
  const measured = publishedUnits[column.unit]!.fromMetric(summary.value).toFixed(column.digits);
  if (figure === undefined) return { measured, published: "" };
  if (column.compare === "change") return changed(of, { measured, published: stated }, match, changes);
  const outside = match.sameModel && isOutside(column, figure, summary);
  return { measured, published: outside ? `${stated} ${differs}` : stated };
}

function summaryOf({ columns }: Table, { cells }: Row, metric: string, measurements: string[]): Summary | undefined {
  const found = measurements.map((measurement) => {
    const cell = cells[columns.findIndex((one) => one.measurement === measurement && one.metric.name === metric)];
    return cell?.state === "measured" && cell.guessed === undefined ? figureIn(cell) : undefined;
  });
  const [first, ...others] = found.flatMap((one) => one ?? []);
  if (!first || others.length + 1 < found.length) return undefined;
  return others.length === 0 ? first : macroMean([first, ...others]);
}

/** The ends of what a rounded figure may have been. */
const unrounded = ({ digits }: PublishedColumn, figure: number) => {
  const half = 0.5 * 10 ** -digits;
  return [figure - half, figure + half] as const;
};

/** An exact figure has no interval: then rounding alone is allowed for, on both sides. */
function isOutside(column: PublishedColumn, figure: number, { value, low = value, high = value }: Summary): boolean {
  const { fromMetric } = publishedUnits[column.unit]!;
  const [from, to] = [fromMetric(low), fromMetric(high)].sort((a, b) => a - b);
  const [least, most] = unrounded(column, figure);
  return least! > to! || most! < from!;
}

/** Both with their change against the reference. They differ where the published change, as far as it is known, lies outside the measured interval. */
function changed(
  { key, column, metric, measurements }: MeasuredColumn,
  told: Beside,
  { row, published, reference }: Match,
  changes: Changes,
): Beside {
  const result = changes(row.variant.name, measurements[0]!, metric);
  const change = result && changeOf(result);
  const [figure, base] = [published.figures[key], reference?.figures[key]];
  if (!result || change === undefined || figure === undefined || base === undefined) return told;
  const { toMetric } = publishedUnits[column.unit]!;
  const ratios = unrounded(column, figure).flatMap((x) =>
    unrounded(column, base).map((y) => toMetric(x) / toMetric(y)),
  );
  const { low, high } = result.comparison!;
  const outside = Math.min(...ratios) - 1 > high || Math.max(...ratios) - 1 < low;
  const stated = ratioText(metric, toMetric(figure) / toMetric(base));
  return {
    measured: `${told.measured} (${change})`,
    published: `${told.published} (${stated})${outside ? ` ${differs}` : ""}`,
    compared: true,
  };
}

/** As `changeOf` tells a measured one: `+3.5 %`; of speeds `×2.1`. */
function ratioText(metric: string, ratio: number): string {
  if (describe(metric).per === "repetition") return `×${twoDigits(ratio)}`;
  const sign = ratio > 1 ? "+" : ratio < 1 ? "−" : "±";
  return `${sign}${twoDigits(100 * Math.abs(ratio - 1))} %`;
}

/** Two figures that matter, of parts of a hundredth one: `0.06`, `0.9`, `14`, `136`. */
function twoDigits(number: number): string {
  const digits = number === 0 ? 0 : Math.max(0, 1 - Math.floor(Math.log10(number)));
  return number.toFixed(Math.min(number < 0.005 ? 4 : 2, digits));
}
