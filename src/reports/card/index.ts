import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { harmless } from "../../harmless.js";
import { byNumber } from "../../units.js";
import { nearest } from "../../yaml.js";
import { Footnotes } from "../footnotes.js";
import type { Facts } from "../index.js";
import { shortNames } from "../names.js";
import { withoutFolders } from "../places.js";
import type { Row } from "../table.js";
import { besideOf } from "./beside.js";
import type { CardCell, CardRow, ModelCard } from "./card.js";
import { changesOf } from "./change.js";
import { chosen, fileOf, type Offered, offeredBy } from "./columns.js";
import { explained, leftOut } from "./notes.js";
import { provenanceOf } from "./provenance.js";
import type { Published } from "./published.js";

export type { ModelCard } from "./card.js";
export { type Published, readPublished } from "./published.js";

export interface CardWishes {
  /** Names of columns, in their order; by default the usual ones that have a figure. */
  columns?: readonly string[];
  /** The name of a column: the best comes first, a row without a figure last. By default the order of the plan. */
  sort?: string;
  /** These variants alone. */
  variants?: readonly string[];
  /** Figures of others, to stand beside those of this run. */
  published?: Published;
}

/** The table for a model card. Throws a BenchError for a name of a column or a variant that this run does not have. */
export function cardOf(facts: Facts, { columns, sort, variants, published }: CardWishes = {}): ModelCard {
  const rows = rowsOf(facts, variants);
  const offered = offeredBy(facts);
  const [first, files] = nameColumn(rows, offered);
  const isTold = (column: Offered) => rows.some((row) => column.cell(row).text !== "");
  const { shown, empty } = columns
    ? { shown: columns.includes("all") ? offered.filter(isTold) : chosen(offered, columns, "--columns"), empty: [] }
    : usualColumns(rows, offered, first);
  const isNamed = shown.some(({ name }) => name === "file" || name === "variant");
  const all = isNamed ? shown : [first, ...shown];
  const [by] = sort === undefined ? [] : chosen(offered, [sort], "--sort");
  const changes = changesOf(facts.verdicts);
  const { cells, lines } = marked(sorted(rows, by).map((row) => all.map((column) => column.cell(row))));
  return {
    ...definite({ files: isNamed ? undefined : files }),
    columns: all.map(({ name, head, align, better }) => ({ name, head, align, better })),
    rows: sorted(rows, by).map(
      (row, i): CardRow => ({
        variant: row.variant.name,
        ...definite({ file: fileOf(row), quant: row.variant.facts?.quant }),
        cells: cells[i]!,
      }),
    ),
    legend: explained(facts, rows, all),
    notes: [...lines, ...leftOut(facts, rows, [...all, ...empty], changes)].map(withoutFolders(facts.table.started)),
    ...provenanceOf(facts, rows, all),
    published: published ? besideOf(facts, rows, published, { changes, isNamed: variants !== undefined }) : [],
  };
}

function rowsOf({ table }: Facts, variants: readonly string[] | undefined): Row[] {
  if (!variants) return table.rows;
  const names = table.rows.map(({ variant }) => variant.name);
  const unknown = variants.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new BenchError("config", `--variant ${unknown}: this run has no variant of that name`, {
      hint: nearest(unknown, names),
    });
  return table.rows.filter(({ variant }) => variants.includes(variant.name));
}

/**
 * What rows are called: by their files where each has one of its own, else by the variants. What all names begin with is told once, and
 * nothing is cut: of a file that can be downloaded every letter counts.
 */
function nameColumn(rows: Row[], offered: Offered[]): [column: Offered, files: string | undefined] {
  const column = (name: string) => offered.find((one) => one.name === name)!;
  const stems = rows.map((row) => harmless(nameOfFile(row) ?? "").match(/^(.+)\.gguf$/i)?.[1]);
  const isByFile = !stems.includes(undefined) && new Set(stems).size === rows.length;
  const names = isByFile ? (stems as string[]) : rows.map(({ variant }) => harmless(variant.name));
  const { prefix } = shortNames(names, 14);
  const rest = names.every((name) => name.startsWith(prefix)) ? names.map((name) => name.slice(prefix.length)) : names;
  const told = new Map(rows.map(({ variant }, i) => [variant.name, rest[i]!]));
  const of = column(isByFile ? "file" : "variant");
  const cell = ({ variant }: Row): CardCell => ({ text: told.get(variant.name) ?? variant.name });
  const left = rest === names ? "" : prefix;
  return [{ ...of, cell }, left === "" ? undefined : isByFile ? `${left}….gguf` : `${left}…`];
}

/** A file that could not be read has the name by which it was asked for. */
const nameOfFile = (row: Row) =>
  fileOf(row) ?? (row.variant.failure ? row.variant.model.split(/[/\\]/).at(-1) : undefined);

/** The usual columns, and those of them that no row has a figure for. */
function usualColumns(rows: Row[], offered: Offered[], first: Offered): { shown: Offered[]; empty: Offered[] } {
  const quant = offered.find(({ name }) => name === "quant")!;
  const adds = rows.some((row) => {
    const own = quant.cell(row).text;
    return own !== "" && !first.cell(row).text.toLowerCase().includes(own.toLowerCase());
  });
  const usual = offered.filter(({ usual }) => usual);
  // A word in the place of a figure is told; where none could be measured, a sentence says so.
  const told = (column: Offered) =>
    rows.some((row) => {
      const { value, text } = column.cell(row);
      return value !== undefined || !["", "n/a", "unfinished"].includes(text);
    });
  return {
    shown: [...(adds ? [quant] : []), ...usual.filter(told)],
    empty: usual.filter((column) => !told(column)),
  };
}

/** Each note that a mark stands for, told once. */
function marked(rows: ReturnType<Offered["cell"]>[][]): { cells: CardCell[][]; lines: string[] } {
  const footnotes = new Footnotes();
  const held = rows.map((cells) => cells.map(({ notes = [] }) => notes.map((note) => footnotes.add(note)).join("")));
  const { marks, lines } = footnotes.numbered(held.flat());
  const cells = rows.map((row, i) =>
    row.map(({ notes: _, ...cell }, j) => (held[i]![j] === "" ? cell : { ...cell, marks: marks(held[i]![j]!) })),
  );
  return { cells, lines };
}

function sorted(rows: Row[], by: Offered | undefined): Row[] {
  if (!by) return rows;
  const sign = by.better === "higher" ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [x, y] = [by.cell(a), by.cell(b)];
    if (by.align === "left") return byNumber(x.text, y.text);
    if (x.value === undefined || y.value === undefined)
      return Number(x.value === undefined) - Number(y.value === undefined);
    return sign * (x.value - y.value);
  });
}
