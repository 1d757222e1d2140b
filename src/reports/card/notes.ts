import { harmless, several } from "../../harmless.js";
import { shownIn } from "../../judge/index.js";
import type { Metric } from "../../metrics.js";
import type { Facts } from "../index.js";
import { marginIn } from "../short-table.js";
import { absence, type Row, type Table } from "../table.js";
import type { Changes } from "./change.js";
import type { Offered } from "./columns.js";

/** What the columns mean, for one who has not seen this program: a sentence each. */
export function explained(
  { verdicts }: Pick<Facts, "verdicts">,
  rows: readonly Row[],
  columns: readonly Offered[],
): string[] {
  const names = new Set(rows.map(({ variant }) => variant.name));
  const asked = verdicts.questions.filter(({ pairs }) => pairs.some(({ b }) => names.has(b)));
  const bases = [...new Set(asked.flatMap(({ base }) => base ?? []))];
  const against = bases.length > 1 ? `each one's reference (${several(bases, 4)})` : several(bases);
  const changed = against === "" ? [] : columns.filter(({ name }) => name.endsWith(".change"));
  const isLikely = changed.some(({ cell }) => rows.some((row) => cell(row).text.startsWith("(")));
  const margins = [...new Set(changed.flatMap(({ metric }) => (metric ? marginIn(metric) : [])))];
  const below = margins.length > 0 ? ` (less than ${margins.join(", ")})` : "";
  const distance = columns.find(({ metric }) => metric?.identical === 0)?.metric;
  const near = distance?.margin
    ? ` A mean below ${distance.margin.size} ${distance.unit} is too little to matter.`
    : "";
  return [
    ...(changed.length > 0
      ? [
          `Δ: against ${against}; ≈ is too little to matter${below}, ? is not shown to be there${isLikely ? ", ( ) is likely" : ""}.`,
        ]
      : []),
    ...(distance
      ? [
          `KLD: how far the predictions are from those of ${against || "the reference"}; the mean over the tokens, and what 99 % of them stay below.${near}`,
        ]
      : []),
  ];
}

/** Sentences of one kind; what is beyond them stands in table.md. */
const most = 6;

/** What is not told, and why. */
export function leftOut(
  { table, verdicts }: Pick<Facts, "table" | "verdicts">,
  rows: readonly Row[],
  columns: readonly Offered[],
  changes: Changes,
): string[] {
  const said = new Map<string, Set<string>>();
  const tell = (why: string, variant: string) => said.set(why, (said.get(why) ?? new Set()).add(variant));
  for (const row of rows) {
    const own = new Set(foreignIn(row));
    for (const { measurement, metric, name } of columns) {
      if (!metric || measurement === undefined) continue;
      const { name: variant } = row.variant;
      const why = name.endsWith(".change")
        ? changes(variant, measurement, metric.name)?.refused
        : absenceOf(table, row, measurement, metric);
      if (why !== undefined) own.add(why);
    }
    // A file that cannot be read fails in each measurement for that same reason.
    for (const why of own)
      if (![...own].some((one) => one !== why && why.endsWith(` ${one}`))) tell(why, row.variant.name);
  }
  const sentences = Array.from(said, ([why, variants]) => `${several([...variants], 4)}: ${sentence(why)}`);
  return [
    ...unreferenced(verdicts, rows),
    ...columns.flatMap((column) => alikeAtChance(column, rows, verdicts, changes)),
    ...table.notes.slice(0, most).map((note) => sentence(harmless(note))),
    ...sentences.slice(0, most),
    ...(sentences.length > most ? [`${sentences.length - most} more notes stand in table.md.`] : []),
  ];
}

/** Beside a reference that is not above chance the figures of others would read as better, where none is shown to differ from it. */
function alikeAtChance(
  { metric, measurement, name, cell }: Offered,
  rows: readonly Row[],
  { questions }: Facts["verdicts"],
  changes: Changes,
): string[] {
  if (!metric || measurement === undefined || name.endsWith(".change")) return [];
  const isFigure = (row: Row | undefined) => row !== undefined && cell(row).value !== undefined;
  return [...new Set(questions.flatMap(({ base }) => base ?? []))].flatMap((base) => {
    const own = rows.find(({ variant }) => variant.name === base);
    if (!own || isFigure(own) || !/chance/.test(cell(own).text)) return [];
    const others = rows.flatMap((row) => {
      const result = isFigure(row) ? changes(row.variant.name, measurement, metric.name) : undefined;
      return result?.verdict ? [result.verdict] : [];
    });
    return others.length > 0 && others.every((one) => shownIn(one)?.what.kind !== "different")
      ? [
          `${harmless(measurement)} ${metric.label}: no figure is shown to differ from that of ${harmless(base)}, which is not above chance.`,
        ]
      : [];
  });
}

const unreferenced = ({ questions }: Facts["verdicts"], rows: readonly Row[]) =>
  rows.length > 1 && !questions.some(({ base }) => base !== undefined)
    ? ["No variant is the reference, so that no change is told."]
    : [];

/** Figures per token of another tokenizer, which stand in no column beside the others' unless somebody asks for them. */
const foreignIn = ({ cells }: Row) =>
  cells.flatMap((cell) =>
    cell.state === "measured" && cell.foreign ? cell.notes.slice(0, 1).map(({ text }) => text) : [],
  );

function absenceOf({ columns }: Table, { cells }: Row, measurement: string, metric: Metric): string | undefined {
  const cell = cells[columns.findIndex((one) => one.measurement === measurement && one.metric === metric)];
  const why = cell && absence(cell);
  return why === undefined || metric.fact !== undefined ? why : `${measurement} ${why}`;
}

const sentence = (text: string) => (/[.!?…]$/.test(text) ? text : `${text}.`);
