import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { harmless } from "../../harmless.js";
import {
  alsoCalled,
  metric as describe,
  isDistance,
  isMeantBy,
  isPeak,
  isTally,
  type Metric,
  soundness,
  usualName,
} from "../../metrics.js";
import type { Summary } from "../../stats/summary.js";
import { byteScale } from "../../units.js";
import { nearest } from "../../yaml.js";
import { figureOf, unitOf } from "../digits.js";
import type { Divergence } from "../divergence.js";
import type { Facts } from "../index.js";
import { leadsOf } from "../leads.js";
import { type Cell, type Column, figureIn, joinMemory, modelFacts, type Note, type Row, type Table } from "../table.js";
import type { CardCell, CardColumn } from "./card.js";
import { type Changes, changeCell, changesOf, unitOfChange } from "./change.js";

/** A column that a card can have. */
export interface Offered extends CardColumn {
  /** Other names and kinds that mean it. */
  isMeant(asked: string): boolean;
  cell(row: Row): CardCell & { notes?: Note[] };
  /** Whether a card shows it when nobody says which columns. */
  usual?: boolean;
  metric?: Metric;
  measurement?: string;
}

/** The name of the measured file; of a split model its first part. */
export const fileOf = ({ variant }: Pick<Row, "variant">): string | undefined =>
  variant.facts?.files[0]?.split(/[/\\]/).at(-1);

/** All columns that a card of this run can have, in the order of a card: files, quality, tasks, speed, the rest. */
export function offeredBy({ table, verdicts, divergences }: Facts): Offered[] {
  const joined = joinMemory(table);
  const leads = leadsOf(joined);
  const changes = changesOf(verdicts);
  const figures = joined.columns.map((column, index) => {
    const { lead, second } = { lead: undefined, second: undefined, ...leads.get(column.measurement) };
    const { metric } = column;
    const isSecond = index === second && metric.per === "repetition";
    return figureColumn(joined, column, index, metric.onCard === true || index === lead || isSecond);
  });
  const more = percentiles(divergences, joined);
  const isPartOf = (one: Offered, of: Offered) =>
    one.measurement === of.measurement && one.metric!.name.startsWith(`${of.metric!.name}_`);
  const measured = figures.flatMap((one) => [
    ...[one, ...changeColumn(one, changes, joined.rows)],
    ...more.filter((part) => isPartOf(part, one)),
  ]);
  const all = [...new Set([...measured, ...more])];
  const of = (fits: (metric: Metric) => boolean) => all.filter(({ metric }) => metric !== undefined && fits(metric));
  const main = (metric: Metric) => !isPeak(metric) && !isTally(metric) && !metric.beside;
  const order = [
    of((metric) => metric.fact !== undefined),
    of((metric) => main(metric) && (metric.per === "token" || metric.per === "text")),
    of((metric) => main(metric) && metric.per === "question"),
    of((metric) => main(metric) && metric.per === "repetition"),
  ].flat();
  return [
    textColumn("variant", ({ variant }) => variant.name),
    textColumn("file", fileOf),
    textColumn("quant", ({ variant }) => variant.facts?.quant),
    textColumn("backend", ({ variant }) => variant.backend),
    ...new Set([...order, ...all]),
  ];
}

function textColumn(name: string, of: (row: Row) => string | undefined): Offered {
  return {
    ...{ name, head: name, align: "left", better: "neither" },
    isMeant: (asked) => asked === name,
    cell: (row) => ({ text: of(row) ?? "" }),
  };
}

const arrows = { lower: "↓", higher: "↑", neither: "" };

/** The measurement's name stands before a metric that several give, and before an accuracy, which is one of something. */
function headOf({ metric, measurement, name }: Pick<Column, "metric" | "measurement" | "name">, unit: string): string {
  const over = name !== metric.name || metric.per === "question" ? harmless(measurement) : "";
  const better = metric.fact === undefined ? arrows[metric.better] : "";
  return [over, metric.label, metric.fact === "bpw" ? "" : unit, better].filter(Boolean).join(" ");
}

function figureColumn(table: Table, column: Column, index: number, usual: boolean): Offered {
  const { metric, measurement, name } = column;
  const isBytes = metric.scale === "bytes";
  // One unit for the whole column.
  const bytes = byteScale(table.rows.flatMap(({ cells }) => figureIn(cells[index])?.value ?? []));
  const shown = (summary: Summary) =>
    isBytes
      ? { figure: (summary.value * bytes.factor).toFixed(bytes.digits) }
      : isDistance(metric)
        ? // Cards have no room for every error: the digits tell of it.
          { figure: figureOf(summary).figure }
        : figureOf(summary);
  return {
    ...{ name, metric, measurement, usual, better: metric.better, align: "right" },
    head: headOf(column, isBytes ? bytes.unit : unitOf(metric)),
    isMeant: (asked) =>
      asked === name || isMeantBy(asked, metric.name) || (usual && asked === measurement && measurement !== modelFacts),
    cell: ({ cells }) => {
      const cell = cells[index]!;
      // A file that cannot be read fails in what was to be measured, and has no facts.
      return metric.fact !== undefined && cell.state === "failed" ? { text: "" } : figureCell(cell, shown);
    },
  };
}

function figureCell(
  cell: Cell,
  shown: (summary: Summary) => { figure: string; error?: string },
): ReturnType<Offered["cell"]> {
  if (cell.state === "failed") return { text: "failed" };
  if (cell.state === "impossible") return { text: "n/a" };
  if (cell.state === "unfinished") return { text: cell.n > 0 ? "unfinished" : "" };
  if (cell.state === "absent" || cell.floor) return { text: "" };
  const { summary, guessed } = cell;
  if (summary.broken !== undefined) return { text: "broken" };
  const notes = cell.notes.filter(({ mark }) => mark !== undefined);
  if (guessed !== undefined) return { text: guessed.startsWith("below") ? "below chance" : "not above chance", notes };
  const { value, error, low, high, n, unit } = summary;
  if (isUnsteady(summary)) return { text: "unsteady", notes: [...notes, unsteady] };
  const { figure, error: plusMinus } = shown(summary);
  return { text: figure, ...definite({ plusMinus, end: endOf(summary), value, error, low, high, n, unit }), notes };
}

/** A speed whose repetitions scatter by half of it and more is no figure for others. */
const isUnsteady = ({ metric, value, error = 0 }: Summary) =>
  describe(metric).per === "repetition" && error >= 0.5 * value;
const unsteady: Note = {
  mark: "‡",
  text: "the repetitions scatter by half of the speed or more: time it again on a quiet machine",
};

/** Of all or none of some answers, which have no ±: where the 95 % interval ends. */
function endOf({ metric, value, error, low, high }: Summary): string | undefined {
  if (error !== 0 || describe(metric).scale !== "percent") return undefined;
  if (value === 1 && low !== undefined) return `≥ ${Math.floor(100 * low)}`;
  return value === 0 && high !== undefined ? `≤ ${Math.ceil(100 * high)}` : undefined;
}

/** The change of a figure against the reference's; none where nothing was compared. */
function changeColumn(of: Offered, changes: Changes, rows: readonly Row[]): Offered[] {
  const { name, metric, measurement } = of;
  if (!metric || measurement === undefined) return [];
  const result = ({ variant }: Row) => changes(variant.name, measurement, metric.name);
  if (!rows.some((row) => changeCell(result(row)).value !== undefined)) return [];
  return [
    {
      name: `${name}.change`,
      head: `${name === metric.name ? "" : `${harmless(measurement)} `}Δ ${unitOfChange(metric.name)}`,
      align: "right",
      better: metric.better,
      ...{ metric, measurement, usual: metric.name === soundness },
      isMeant: (asked) =>
        asked === `${name}.change` ||
        (asked === "change" && metric.name === soundness) ||
        (asked.endsWith(".change") && of.isMeant(asked.slice(0, -".change".length))),
      cell: (row) => changeCell(result(row)),
    },
  ];
}

/** What the per-token values say of a divergence that its samples do not: percentiles, mainly. */
function percentiles(divergences: Divergence[], { rows, columns }: Table): Offered[] {
  const names = new Set(rows.map(({ variant }) => variant.name));
  const own = divergences.filter(({ job }) => job.against !== job.variant && names.has(job.variant));
  const measurements = [...new Set(own.map(({ job }) => job.measurement))];
  return measurements.flatMap((measurement) => {
    const of = own.filter(({ job }) => job.measurement === measurement);
    const metrics = [...new Set(of.flatMap(({ figures }) => figures.map(({ metric }) => metric)))];
    const there = columns.flatMap((column) => (column.measurement === measurement ? [column.metric.name] : []));
    return metrics
      .filter((metric) => !there.includes(metric))
      .map((metric): Offered => {
        const described = describe(metric);
        const name = measurements.length > 1 ? `${measurement}.${metric}` : metric;
        return {
          ...{ name, metric: described, measurement, better: described.better, align: "right" },
          usual: described.onCard === true,
          head: headOf({ metric: described, measurement, name: name === metric ? metric : name }, unitOf(described)),
          isMeant: (asked) => asked === name || asked === metric,
          cell: ({ variant }) => {
            const found = of.find(({ job }) => job.variant === variant.name);
            const figure = found?.figures.find((one) => one.metric === metric);
            if (!found || !figure) return { text: "" };
            const { value, error } = figure;
            const text = (described.scale === "percent" ? 100 * value : value).toPrecision(3).replace("-", "−");
            return { text, ...definite({ value, error, n: found.n, unit: described.unit }) };
          },
        };
      });
  });
}

/** The columns that a list of names means, each once, in its order. Throws a BenchError for a name that means none. */
export function chosen(offered: Offered[], names: readonly string[], option: string): Offered[] {
  const found = names.flatMap((name) => {
    const usual = name
      .split(".")
      .map(usualName)
      .join(".")
      .replace(/(^|\.)delta$/i, "$1change");
    const meant = [usual, usual.toLowerCase()].map((asked) => offered.filter((one) => one.isMeant(asked)));
    const found = meant.find(({ length }) => length > 0);
    if (found) return found;
    throw new BenchError("config", `${option} ${name}: this run has no column of that name`, {
      hint: `${nearest(name, [...new Set(offered.flatMap((one) => [one.name, ...alsoCalled(one.name)]))])} --columns all shows every one.`,
    });
  });
  return [...new Set(found)];
}
