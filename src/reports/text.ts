import { harmless } from "../harmless.js";
import type { Ladder, Verdicts } from "../judge/index.js";
import { counted } from "../units.js";
import { conclusionsOf, savedIn, stepText } from "./ladder.js";
import { type Grid, type GridCell, gridOf } from "./layout.js";
import { shortNames, widthOf } from "./names.js";
import type { Table } from "./table.js";
import { askedOf, taskLines, titleOf } from "./task-tables.js";
import type { TaskReport } from "./tasks.js";

const gap = "  ";

/** The screen at the end of a run: the table, its notes, and the conclusions. */
export function text(
  table: Table,
  width = 80,
  verdicts: Verdicts = { questions: [], ladders: [], notes: [] },
  tasks: TaskReport[] = [],
): string {
  const grid = gridOf(table);
  const { names, block, hidden } = fitted(grid, width);
  const shown = (name: string) => names.shown.get(name) ?? harmless(name);
  const prefix = names.prefix ? [`All names begin with ${names.prefix}`, ""] : [];
  const notes = [
    // A note to a figure that is in table.md alone stands there.
    ...grid.footnotes.filter((note) => block.includes(note.slice(0, note.indexOf(" ")))),
    ...questionsIn(grid),
    ...table.notes.map((note) => harmless(note)),
    ...(hidden > 0 ? [`${counted(hidden, "more column")}: table.md`] : []),
  ].map((note) => wrap(note, width));
  const parts = [
    [...prefix, block].join("\n"),
    notes.join("\n"),
    ...tasks.map((task) => averaged(task, width, shown)),
    answers(verdicts, width, shown),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

// ---- The table

/** Names as long as can be while the first figures stand beside each other. */
function fitted(grid: Grid, width: number) {
  const all = grid.rows.map(({ variant }) => variant.name);
  const tried = [32, 24, 18, 14].map((most) => {
    const names = shortNames(all, most);
    return { names, ...drawn(grid, width, (name) => names.shown.get(name)!) };
  });
  return tried.find(({ missed }) => missed === 0) ?? tried.at(1)!;
}

interface Chosen {
  index: number;
  error: boolean;
}

/**
 * Columns get room in the order in which a reader looks for them: the size, a figure for each measurement, then their ±, then the rest.
 * Where the first figures do not fit beside each other, those of the last measurements are left to table.md.
 */
function drawn(grid: Grid, width: number, shown: (name: string) => string) {
  const heads = grid.rows.map(({ variant }) => shown(variant.name) + (variant.reference ? " (ref)" : ""));
  const nameWidth = Math.max(widthOf("variant"), ...heads.map(widthOf));
  const blank = new Set(
    grid.columns.flatMap((_, i) => (grid.rows.every(({ cells }) => cells[i]!.text === "") ? [i] : [])),
  );
  const measures = grid.columns.map((_, index) => measured(grid, index));
  const room = width - nameWidth;
  const needed = ({ index, error }: Chosen) => gap.length + measures[index]!(error).width;
  const chosen = new Map<number, Chosen>();
  const used = () => [...chosen.values()].reduce((sum, one) => sum + needed(one), 0);
  const wish = (one: Chosen) => {
    const before = chosen.get(one.index);
    if (used() - (before ? needed(before) : 0) + needed(one) <= room) chosen.set(one.index, one);
  };
  const ranked = (test: (rank: number) => boolean) =>
    grid.columns.flatMap(({ rank }, index) => (test(rank) && !blank.has(index) ? [index] : []));
  const first = ranked((rank) => rank <= 1);
  for (const index of first) wish({ index, error: false });
  const missed = first.length - chosen.size;
  if (missed === 0) {
    for (const index of ranked((rank) => rank === 2)) wish({ index, error: false });
    for (const index of first) wish({ index, error: true });
    for (const index of ranked((rank) => rank === 2)) wish({ index, error: true });
    for (const index of ranked((rank) => rank === 3)) wish({ index, error: false });
    for (const index of ranked((rank) => rank === 4)) wish({ index, error: true });
    for (const index of ranked((rank) => rank === 5)) wish({ index, error: true });
  }
  const group = [...chosen.values()].sort((a, b) => a.index - b.index);
  const columns = group.map(({ index, error }) => measures[index]!(error));
  const line = (name: string, cells: string[]) => [name + pad(name, nameWidth), ...cells].join(gap).trimEnd();
  const over = columns.map((column) => column.head(column.over));
  const block = [
    ...(columns.some((column) => column.over !== "") ? [line("", over)] : []),
    line(
      "variant",
      columns.map((column) => column.head(column.label)),
    ),
    ...grid.rows.map(({ cells }, i) =>
      line(
        heads[i]!,
        columns.map((column, at) => column.cell(cells[group[at]!.index]!)),
      ),
    ),
  ].join("\n");
  return { block, missed, hidden: grid.columns.length - new Set([...chosen.keys(), ...blank]).size };
}

/** How a column is drawn, with or without its ±: figures end below each other, marks stand behind them. */
function measured({ columns, rows }: Grid, index: number) {
  const { label: plain, over, marks: headMarks } = columns[index]!;
  const label = plain + headMarks;
  return (error: boolean) => {
    const cells = rows.map((row) => row.cells[index]!);
    const errorWidth = error ? Math.max(0, ...cells.map((cell) => widthOf(cell.error))) : 0;
    const figure = (cell: GridCell) => {
      if (cell.error === "" || !error) return cell.text + cell.after;
      // The sign stands in one column, whatever digits come behind it.
      return `${cell.text} ± ${pad(cell.error, errorWidth)}${cell.error.slice(3)}${cell.after}`;
    };
    const figureWidth = Math.max(widthOf(label), widthOf(over), ...cells.map((cell) => widthOf(figure(cell))));
    const markWidth = Math.max(0, ...cells.map((cell) => widthOf(cell.marks)));
    const head = (text: string) => pad(text, figureWidth) + text + " ".repeat(markWidth);
    return {
      label,
      over,
      width: figureWidth + markWidth,
      head,
      cell: (cell: GridCell) => {
        const shown = figure(cell);
        return pad(shown, figureWidth) + shown + cell.marks + pad(cell.marks, markWidth);
      },
    };
  };
}

const pad = (text: string, width: number) => " ".repeat(Math.max(0, width - widthOf(text)));

/** How many questions the accuracies rest on, where the heads have no room to say it. */
function questionsIn({ columns }: Grid): string[] {
  const counts = columns.flatMap(({ rank, basis, over, label }) =>
    rank === 1 && basis !== "" ? [`${over || label.replace(/ %$/, "")} ${basis.match(/\d+/)}`] : [],
  );
  return counts.length > 0 ? [`Questions: ${counts.join(", ")}`] : [];
}

// ---- The tasks

/** What a task asks; the averages of one in subjects and of its groups, a line per variant. */
function averaged(task: TaskReport, width: number, shown: (name: string) => string): string {
  const lines = taskLines(task, shown);
  if (lines.length === 0) return askedOf({ ...task, task: task.facts }).length === 0 ? "" : wrap(titleOf(task), width);
  const nameWidth = Math.max(...lines.map(({ head }) => widthOf(head)));
  const drawn = lines.map(({ head, text: said }) => {
    const indent = nameWidth + 4;
    const wrapped = wrap(said, width - indent, indent > width / 2 ? 4 - indent : 0);
    return `  ${head}${pad(head, nameWidth)}  ${wrapped.split("\n").join(`\n${" ".repeat(indent)}`)}`;
  });
  return [wrap(titleOf(task), width), ...drawn].join("\n");
}

// ---- The answers

/** The questions that the run answers, in short, what a ladder costs first; pair by pair they stand in table.md. */
function answers(verdicts: Verdicts, width: number, shown: (name: string) => string): string {
  const ladders = verdicts.ladders.map((ladder) => drawLadder(ladder, width, shown));
  const others = verdicts.questions
    .filter((question) => question.base === undefined && question.answers.length > 0)
    .map(({ title, answers: said }) =>
      [harmless(title), ...said.map((one) => `  ${wrap(harmless(one), width - 2)}`)].join("\n"),
    );
  const notes = verdicts.notes.map((note) => wrap(harmless(note), width)).join("\n");
  return [...ladders, ...others, notes].filter((part) => part !== "").join("\n\n");
}

function drawLadder(ladder: Ladder, width: number, shown: (name: string) => string): string {
  const { title, base, steps } = ladder;
  const nameWidth = Math.max(...steps.map(({ variant }) => widthOf(shown(variant))));
  const saved = steps.map(savedIn);
  const savedWidth = Math.max(...saved.map(widthOf));
  const lines = steps.map((step, i) => {
    const head = `  ${shown(step.variant)}${pad(shown(step.variant), nameWidth)}  ${pad(saved[i]!, savedWidth)}${saved[i]!}`;
    const indent = widthOf(head) + 2;
    const said = wrap(stepText(step), width - indent, indent > width / 2 ? 4 - indent : 0);
    if (said === "") return head.trimEnd();
    return `${head}${savedWidth > 0 ? ": " : "  "}${said.split("\n").join(`\n${" ".repeat(indent)}`)}`;
  });
  const conclusions = conclusionsOf(ladder, shown).map((line) => wrap(line, width));
  return [harmless(title.replace(base, shown(base))), ...lines, ...conclusions].join("\n");
}

/** Between words, a number and its % being one; a word longer than the line stays whole, for it may be a path to copy. */
export function wrap(text: string, width: number, indent = 4): string {
  const lines = [""];
  for (const word of text.split(/ (?!%)/)) {
    const line = lines.at(-1)!;
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > width)
      lines.push(`${" ".repeat(Math.max(0, indent))}${word}`);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join("\n");
}
