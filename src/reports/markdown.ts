import { harmless, several } from "../harmless.js";
import { isUndecided, markedVerdict, type Question, type Result, tabulated, type Verdicts } from "../judge/index.js";
import type { Comparison } from "../stats/comparison.js";
import { counted } from "../units.js";
import { type Divergence, divergenceTables, worstTable } from "./divergence.js";
import { explanations, howAveraged, howDiverging, howJudged, provenance } from "./explained.js";
import type { Facts } from "./facts.js";
import { intervalsOf, layoutOf } from "./layout.js";
import { bullets, draw, fenced, inert, inShell } from "./markup.js";
import { shortTable } from "./short-table.js";
import type { Table } from "./table.js";
import { taskSections } from "./task-tables.js";
import type { TaskReport } from "./tasks.js";

/** The report for people, in GitHub's Markdown: the short table and the conclusions, then everything. */
export function markdown({
  table,
  short,
  verdicts,
  divergences,
  tasks,
}: Pick<Facts, "table" | "short" | "verdicts" | "divergences" | "tasks">): string {
  const main = layoutOf(table);
  const intervals = intervalsOf(table);
  const brief = shortTable(short);
  const sections = [
    `# ${inert(table.started.name)}`,
    draw(brief),
    numbered(brief.footnotes),
    bullets(short.conclusions.map(inert)),
    "## All figures",
    draw(main),
    numbered(main.footnotes),
    bullets(table.notes.map(inert)),
    judged(table, verdicts),
    tasked(tasks),
    diverging(divergences),
    intervals.rows.length > 0 ? `## 95 % intervals\n\n${draw(intervals)}` : "",
    `## How to read this\n\n${explained(explanations(table))}`,
    `## Where the figures come from\n\n${bullets(provenance(table).map(inert))}`,
    fenced(table.started.provenance.command.map((argument) => inShell(harmless(argument))).join(" ")),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/** Each task by its groups and subjects, and how its answers are spread. */
function tasked(tasks: TaskReport[]): string {
  const sections = taskSections(tasks);
  if (sections.length === 0) return "";
  const parts = sections.map(({ title, tables }) =>
    [
      `### ${inert(title)}`,
      ...tables.flatMap(({ title: of, table, below }) => [
        ...(of === undefined ? [] : [`#### ${inert(of)}`]),
        draw(table),
        ...(below === undefined ? [] : [inert(below)]),
      ]),
    ].join("\n\n"),
  );
  return ["## Tasks", ...parts, explained(howAveraged)].join("\n\n");
}

/** All figures of llama-perplexity's --kl-divergence. */
function diverging(divergences: Divergence[]): string {
  const tables = divergenceTables(divergences);
  if (tables.length === 0) return "";
  const parts = tables.map(({ title, table }) => `### ${inert(title)}\n\n${draw(table)}`);
  const worst = worstTable(divergences);
  const where = worst
    ? [
        "### Where it hurts: the worst tokens",
        draw(worst),
        "Tokens that the variant predicts most unlike the reference; ↵ is a line end, ␣ a blank at the edge of a token.",
      ]
    : [];
  return ["## Divergence", ...parts, inert(howDiverging), ...where].join("\n\n");
}

/** Which differences are real: a table per question, in which a fold holds what is not decided. */
function judged(table: Table, verdicts: Verdicts): string {
  const { questions, notes } = verdicts;
  if (questions.length === 0) return "";
  const asked = questions.map((question) =>
    [`### ${inert(question.title)}`, question.answers.map(inert).join("  \n"), ...comparisonsOf(question)]
      .filter((part) => part !== "")
      .join("\n\n"),
  );
  return ["## Verdicts", ...asked, bullets(notes.map(inert)), explained(howJudged(table))]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** What is decided, what is not, and what was not compared and why. */
function comparisonsOf({ base, pairs }: Question): string[] {
  const rows = pairs.flatMap(({ a, b, results }) =>
    results.flatMap((result) => {
      const { label, comparison, verdict } = result;
      return comparison && verdict
        ? [
            {
              cells: [b, ...(base === undefined ? [a] : []), label, ...toldOf(result, comparison)],
              isOpen: isUndecided(verdict),
            },
          ]
        : [];
    }),
  );
  const heading = (align: "left" | "right") => (text: string) => ({ text, align, minor: false });
  const columns = [
    ...["", ...(base === undefined ? ["against"] : []), "metric"].map(heading("left")),
    ...["difference"].map(heading("right")),
    ...["verdict"].map(heading("left")),
    ...["95 % CI", "adjusted p", "detectable", "rests on"].map(heading("right")),
  ];
  const drawn = (some: typeof rows) => draw({ columns, rows: some.map(({ cells }) => cells), footnotes: [] });
  const open = rows.filter(({ isOpen }) => isOpen);
  const decided = rows.filter(({ isOpen }) => !isOpen);
  const undecided = `<details><summary>${counted(open.length, "comparison")} that ${open.length === 1 ? "shows" : "show"} neither a difference nor equivalence</summary>`;
  return [
    decided.length > 0 ? drawn(decided) : "",
    open.length > 0 ? [undecided, drawn(open), "</details>"].join("\n\n") : "",
    bullets(remarks(pairs).map((text) => inert(text))),
  ];
}

/** How much, then whether it is sure, then what it rests on. */
function toldOf(result: Result, comparison: Comparison): string[] {
  const [difference = "", ...rest] = tabulated(comparison);
  return [difference, markedVerdict(result), ...rest];
}

/** Refusals and notes, each with the variants that it is about. */
function remarks(pairs: Question["pairs"]): string[] {
  const about = new Map<string, string[]>();
  const add = (text: string, of: string) => about.set(text, [...(about.get(text) ?? []), of]);
  for (const { b, results } of pairs) {
    const told = new Set(results.flatMap(({ refused, notes }) => [refused ?? [], notes].flat()));
    for (const text of told) add(text, b);
    if (results.length === 0) add("nothing was compared.", b);
  }
  return Array.from(
    about,
    ([text, of]) => `${of.length > 1 && of.length === pairs.length ? "All" : several(of)}: ${text}`,
  );
}

/** Not a numbered list: the marks in the table are literal text. */
const numbered = (notes: string[]) => notes.map(inert).join("  \n");

/** Sentences in which code stands between backquotes. */
const explained = (lines: string[]) =>
  bullets(
    lines.map((line) =>
      line
        .split("`")
        .map((part, i) => (i % 2 === 1 ? `\`${part}\`` : inert(part)))
        .join(""),
    ),
  );
