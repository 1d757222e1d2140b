import { harmless } from "../harmless.js";
import type { Verdicts } from "../judge/index.js";
import { isQuality } from "../metrics.js";
import { counted } from "../units.js";
import { beaten, firstAnswers, labelOf, recommended } from "./conclusions.js";
import type { Facts } from "./facts.js";
import { widthOf } from "./names.js";
import { questionsIn, screenTable } from "./screen-table.js";
import type { Short, ShortRow } from "./short.js";
import { legendOf, whatMatters } from "./short-table.js";
import { askedOf, taskLines, titleOf } from "./task-tables.js";
import type { TaskReport } from "./tasks.js";

/** The terminal on which a run ends. Without a height all that there is to say is printed. */
export interface Terminal {
  width?: number | undefined;
  height?: number | undefined;
  /** With codes of colours in it, see `say`. */
  colours?: boolean | undefined;
  /** There is no screen: names stand whole, to be pasted. */
  whole?: boolean | undefined;
  /** Sentences on the file that is as the user wished. */
  chosen?: string[];
  /** Lines at the end. */
  closing?: string[];
}

/**
 * The end of a run: what tasks ask, the short table, its notes, and the conclusions. If that is more than the screen is high, the
 * table and the conclusions come last, so that they are what stands there, and other questions have as few answers as must be. Where
 * that is not enough, files that nobody takes have no rows: those that another beats, then those that are much worse, too. At last
 * the other questions are answered above the table.
 */
export function text(
  { table, short, verdicts, tasks }: Pick<Facts, "table" | "short" | "verdicts" | "tasks">,
  { width = 80, height = Infinity, colours = false, whole: isWhole = false, chosen = [], closing = [] }: Terminal = {},
): string {
  const { block, without, heads, notes, shown } = screenTable({ table, short }, width, { colours, whole: isWhole });
  const lines = (all: string[]) => all.map((line) => wrap(harmless(line, { length: 2000 }), width)).join("\n");
  const asked = tasks.flatMap((task) => (taskLines(task, shown).length === 0 ? askedIn(task, short) : []));
  // A task that has said what it asks has said how many questions, too.
  const questions = questionsIn(short).flatMap(({ measurement, text: told }) =>
    tasks.some((task) => task.measurement === measurement && askedIn(task, short).length > 0) ? [] : [told],
  );
  const below = lines([
    ...notes,
    ...asked,
    ...(questions.length > 0 ? [`Questions: ${questions.join(", ")}`] : []),
    ...table.notes,
    ...verdicts.notes,
  ]);
  const countOf = (task: TaskReport) => questionsIn(short).find((one) => one.measurement === task.measurement)?.count;
  const averages = tasks.map((task) => averaged(task, countOf(task), width, shown));
  const under = (isBrief: boolean, ...parts: string[]) =>
    [...parts, lines(legendOf(short, shown, { isBrief }))].filter(Boolean).join("\n");
  const figures = under(false, block);
  const taken = [...chosen, ...recommended(short, verdicts, shown)];
  const losers = beaten(short, shown);
  const files = [...taken, ...losers];
  const last = (most: number) => [lines(files), answers(verdicts, width, most), lines(closing)];
  // The line of the prompt is the screen's, too.
  const fits = (said: string) => said.split("\n").length <= height;
  const whole = joined([...averages, figures, below, ...last(Infinity)]);
  if (fits(whole)) return whole;
  const counts = [...new Set(verdicts.questions.map(({ answers: said }) => said.length))]
    .sort((a, b) => b - a)
    .filter(Boolean);
  const most = counts.find((count) => fits(joined([figures, ...last(count)])));
  const brief = lines([...files, ...firstAnswers(verdicts), ...closing]);
  if (most !== undefined) return joined([...averages, below, figures, ...last(most)]);
  // What is not in sight explains nothing: where the legend leaves no room, it is the shorter one.
  const explained = lines([whatMatters(short)].filter(Boolean));
  if (fits(joined([figures, brief]))) return joined([...averages, below, figures, brief]);
  const above = joinedLines(below, explained);
  const shorterLegend = under(true, block);
  if (fits(joined([shorterLegend, brief]))) return joined([...averages, above, shorterLegend, brief]);
  const fewer = [isBeaten, (row: ShortRow) => isBeaten(row) || row.mark === "much worse"].map((isLeftOut) => {
    const rows = short.rows.filter(isLeftOut);
    return under(true, without(new Set(rows.map(({ variant }) => variant.name))), lines(leftOut(rows, short, shown)));
  });
  const shorter = fewer.find((one) => fits(joined([one, brief])));
  if (shorter !== undefined) return joined([...averages, above, shorter, brief]);
  const briefest = lines([...taken, ...closing]);
  const shortest = fewer.find((one) => fits(joined([one, briefest])));
  if (shortest !== undefined)
    return joined([...averages, above, lines(losers), answers(verdicts, width), shortest, briefest]);
  return joined([...averages, below, under(false, block, heads), brief]);
}

const isBeaten = ({ beatenBy }: ShortRow) => beatenBy !== undefined;

/** `Left to table.md (PPL): Q3_K_M +14 %, Q2_K +38 %`: rows with their changes in the first figure of quality. */
function leftOut(rows: ShortRow[], { columns }: Short, shown: (name: string) => string): string[] {
  if (rows.length === 0) return [];
  const first = columns.findIndex(
    ({ metric }, i) => isQuality(metric) && rows.some(({ cells }) => cells[i]!.change !== undefined),
  );
  const label = first < 0 ? "" : ` (${labelOf(columns[first]!)})`;
  const told = rows.map(({ variant, cells }) => [shown(variant.name), cells[first]?.change ?? []].flat().join(" "));
  return [`Left to table.md${label}: ${told.join(", ")}`];
}

const joinedLines = (...parts: string[]) => parts.filter(Boolean).join("\n");
const joined = (parts: string[]) => `${parts.filter((part) => part !== "").join("\n\n")}\n`;

/** What a task asks, where that is more than its name: `hellaswag: 0-shot, 50 questions, guessing gives 25.0 %`. */
function askedIn(task: TaskReport, short: Short): string[] {
  if (askedOf({ ...task, task: task.facts }).length === 0) return [];
  const questions = questionsIn(short).find(({ measurement }) => measurement === task.measurement);
  return [titleOf(task, questions?.count)];
}

/** The averages of a task in subjects and of its groups, a line per variant. */
function averaged(task: TaskReport, count: string | undefined, width: number, shown: (name: string) => string): string {
  const lines = taskLines(task, shown);
  if (lines.length === 0) return "";
  const nameWidth = Math.max(...lines.map(({ head }) => widthOf(head)));
  const drawn = lines.map(({ head, text: said }) => {
    const indent = nameWidth + 4;
    const wrapped = wrap(said, width - indent, indent > width / 2 ? 4 - indent : 0);
    return `  ${head}${" ".repeat(nameWidth - widthOf(head))}  ${wrapped.split("\n").join(`\n${" ".repeat(indent)}`)}`;
  });
  return [wrap(titleOf(task, count), width), ...drawn].join("\n");
}

/** The other questions that the run answers, in short; pair by pair they stand in table.md. */
function answers({ questions }: Verdicts, width: number, most = Infinity): string {
  return questions
    .filter((question) => question.base === undefined && question.answers.length > 0)
    .map(({ title, answers: said }) => {
      const more = said.length - most;
      const told = [...said.slice(0, most), ...(more > 0 ? [`${counted(more, "more answer")}: table.md`] : [])];
      return [harmless(title), ...told.map((one) => `  ${wrap(harmless(one), width - 2)}`)].join("\n");
    })
    .join("\n\n");
}

/**
 * Between words, a number and its % being one. A word longer than the line stays whole, for it may be a path to copy, and one that the
 * indent would make too long stands without it: a terminal that breaks a path cannot open it.
 */
export function wrap(text: string, width: number, indent = 4): string {
  const lines = [""];
  for (const word of text.split(/ (?!%)/)) {
    const line = lines.at(-1)!;
    const before = Math.max(0, indent) + widthOf(word) > width ? 0 : indent;
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > width)
      lines.push(`${" ".repeat(Math.max(0, before))}${word}`);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join("\n");
}
