import { harmless } from "../../harmless.js";
import { isSameSize } from "../../judge/index.js";
import { bytes, percent } from "../../units.js";
import type { Facts } from "../facts.js";
import { Footnotes, floorOf, notedIn, sharedMarks, without } from "../footnotes.js";
import { shortNames } from "../names.js";
import { isUntold, type Short, type ShortCell, type ShortColumn, type ShortMark, type ShortRow } from "../short.js";
import { ownSign, whatMatters } from "../short-table.js";
import { figureIn } from "../table.js";
import { type Content, html, type Markup } from "./markup.js";
import { listOf, scrolling } from "./tables.js";

const signs: Record<ShortMark, { text: string; tone: string }> = {
  reference: { text: "reference", tone: "soft" },
  better: { text: "better", tone: "good" },
  "likely better": { text: "likely better", tone: "good" },
  "≈": { text: "≈ equal", tone: "good" },
  "?": { text: "? undecided", tone: "soft" },
  "likely worse": { text: "likely worse", tone: "maybe" },
  worse: { text: "worse", tone: "bad" },
  "much worse": { text: "much worse", tone: "bad strong" },
  none: { text: "", tone: "soft" },
};

/** Size, principal figures, their changes: it sorts by any of its heads. */
export function shortTable({ short, table }: Pick<Facts, "short" | "table">): Markup {
  const { columns, rows, reference } = short;
  const { cellMarks, headMarks, lines } = notesTo(short);
  const hasSize = rows.some(({ bytes: size }) => size !== undefined);
  const hasMark = rows.some(({ mark }) => mark !== undefined && mark !== "none");
  let index = 0;
  const head = (label: Content, { first = "ascending", text = false, side = "number" } = {}) =>
    html`<th scope="col" class="${side}" data-column="${index++}" data-first="${first}"${text ? html` data-text="yes"` : ""}><button type="button">${label}</button></th>`;
  const heads = [
    head("variant", { text: true, side: "text" }),
    ...(hasSize ? [head("size")] : []),
    ...(hasMark ? [head("quality", { side: "text" })] : []),
    ...columns.map(({ head: label, over, unit, metric }, i) =>
      head(
        [
          over === "" ? "" : html`<span class="over">${over}</span> `,
          [label, unit].filter(Boolean).join(" "),
          headMarks[i],
        ],
        {
          first: metric.better === "higher" ? "descending" : "ascending",
        },
      ),
    ),
  ];
  const against =
    reference === undefined
      ? rows.some((row) => row.against !== undefined)
        ? "Changes are told against the reference of each variant."
        : ""
      : `Changes are told against ${reference}.`;
  const matter = whatMatters(short);
  // A name stands whole in its own row.
  const { shown: others } = shortNames(
    rows.map(({ variant }) => variant.name),
    24,
    { strip: false },
  );
  const shown = (name: string) => others.get(name) ?? name;
  const body = rows.map((row, i) => rowOf(row, columns, cellMarks[i]!, { hasSize, hasMark, shown }));
  const drawn = html`<table class="sortable"><caption>${against} ${matter && `${matter.charAt(0).toUpperCase()}${matter.slice(1)}.`} The heads sort; ↓ lower is better, ↑ higher is better.</caption><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table>`;
  return html`${scrolling("The variants and their principal figures", drawn)}<div class="small soft">${listOf([...lines, ...table.notes])}</div>`;
}

/** From the best to the worst, as the column sorts. */
const order: ShortMark[] = ["reference", "better", "likely better", "≈", "?", "likely worse", "worse", "much worse"];

function rowOf(
  row: ShortRow,
  columns: ShortColumn[],
  marks: string[],
  { hasSize, hasMark, shown }: { hasSize: boolean; hasMark: boolean; shown(name: string): string },
): Markup {
  const { variant, bytes: size, saved, cells, mark = "none", beatenBy } = row;
  const { text, tone } = signs[mark];
  const place = order.indexOf(mark);
  const change =
    saved === undefined ? "" : isSameSize(saved) ? "same size" : `${saved > 0 ? "−" : "+"}${percent(Math.abs(saved))}`;
  return html`<tr><th scope="row" data-value="${variant.name}">${variant.name}${below(beatenBy === undefined ? "" : `beaten by ${shown(beatenBy)}`)}</th>${
    hasSize
      ? html`<td class="number" data-value="${size}">${size === undefined ? "" : bytes(size)}${below(change)}</td>`
      : ""
  }${
    hasMark ? html`<td class="nowrap ${tone}" data-value="${place < 0 ? "" : place}">${text}</td>` : ""
  }${cells.map((cell, i) => cellOf(cell, columns[i]!, marks[i]!))}</tr>`;
}

const below = (text: string, tone = "") =>
  text === "" ? "" : html`<span class="change${tone === "" ? "" : ` ${tone}`}">${text}</span>`;

function cellOf(short: ShortCell, column: ShortColumn, marks: string): Markup {
  const { cell, figure, error, change, mark } = short;
  const isFloor = cell.state === "measured" && cell.floor;
  const value = isFloor ? undefined : figureIn(cell)?.value;
  const unsure = mark === "?" || mark === "≈" ? ` ${mark}` : mark?.startsWith("likely") ? " likely" : "";
  const told = change === undefined ? (isUntold(short) ? "?" : "") : change + unsure;
  const own = ownSign(column, short).map((sign) => ` ${sign}`);
  return html`<td class="number" data-value="${value}">${figure}${error === undefined ? "" : html` <span class="soft">± ${error}</span>`}${own}${marks}${below(told, mark && signs[mark].tone)}</td>`;
}

/** The notes to the figures, one for each kind; a mark that all figures of a column have stands at its head. */
function notesTo({ rows, columns }: Short) {
  const footnotes = new Footnotes();
  const held = rows.map(({ variant, cells }) => {
    const told = new Set<string>();
    const [all, of] = [cells.map(({ cell }) => cell), columns.map((column) => ({ ...column, dataset: "", name: "" }))];
    return cells.map(({ cell }, i) => {
      const floor = floorOf(all, of, i, variant);
      const { notes, instead } = notedIn(cell, {
        ...{ told, ofFile: false, floor, variant: harmless(variant.name) },
        metric: columns[i]!.metric,
      });
      return { isFigure: instead === undefined, marks: notes.map((note) => footnotes.add(note)).join("") };
    });
  });
  const shared = columns.map((_, i) => sharedMarks(held.map((cells) => cells[i]!)));
  const { marks, lines } = footnotes.numbered(held.flat().map((cell) => cell.marks));
  return {
    headMarks: shared.map(marks),
    cellMarks: held.map((cells) => cells.map((cell, i) => marks(without(cell.marks, shared[i]!)))),
    lines,
  };
}
