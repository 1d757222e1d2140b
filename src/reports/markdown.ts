import { harmless, several } from "../harmless.js";
import { isUndecided, marginsOf, mark, type Question, tabulated, type Verdicts } from "../judge/index.js";
import { errorsExplained } from "../metrics.js";
import { counted, bytes as inUnits } from "../units.js";
import { type Divergence, divergenceTables } from "./divergence.js";
import type { Facts } from "./facts.js";
import { intervalsOf, layoutOf } from "./layout.js";
import { bullets, draw, fenced, inert, inShell } from "./markup.js";
import { shortTable } from "./short-table.js";
import type { Table } from "./table.js";
import { askedOf, taskSections } from "./task-tables.js";
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
    `## How to read this\n\n${bullets(explanations(table))}`,
    `## Where the figures come from\n\n${bullets(provenance(table))}`,
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
  return ["## Tasks", ...parts, bullets(howAveraged)].join("\n\n");
}

const howAveraged = [
  "Micro average: right answers over all questions. Macro average: the mean of the subjects' figures, each of which counts alike. Both intervals allow for other subjects as well as for other questions; those of fewer than five subjects for other questions alone.",
  "Answers: how often each option is given, beside how often it is right. Mass: the probability that falls on these options, of all that could stand there; where it is small, the model does not answer in this form.",
  "Acc without priors: the accuracy once each option's mean log-probability over all questions is subtracted from its own (batch calibration). It is a diagnostic of a model that favours a letter, no score of the task.",
];

/** All figures of llama-perplexity's --kl-divergence. */
function diverging(divergences: Divergence[]): string {
  const tables = divergenceTables(divergences);
  if (tables.length === 0) return "";
  const parts = tables.map(({ title, table }) => `### ${inert(title)}\n\n${draw(table)}`);
  return ["## Divergence", ...parts, howDiverging].join("\n\n");
}

const howDiverging =
  "Against the reference, token by token, with llama-perplexity's formulas: its ± take the tokens as independent. Percentages are percentiles over the tokens.";

/** Which differences are real: a table per question, in which a fold holds what is not decided. */
function judged(table: Table, verdicts: Verdicts): string {
  const { questions, notes } = verdicts;
  if (questions.length === 0) return "";
  const asked = questions.map((question) =>
    [`### ${inert(question.title)}`, question.answers.map(inert).join("  \n"), ...comparisonsOf(question)]
      .filter((part) => part !== "")
      .join("\n\n"),
  );
  return ["## Verdicts", ...asked, bullets(notes.map(inert)), howJudged(table)]
    .filter((part) => part !== "")
    .join("\n\n");
}

/** What is decided, what is not, and what was not compared and why. */
function comparisonsOf({ base, pairs }: Question): string[] {
  const rows = pairs.flatMap(({ a, b, results }) =>
    results.flatMap(({ label, comparison, verdict }) =>
      comparison && verdict
        ? [
            {
              cells: [
                b,
                ...(base === undefined ? [a] : []),
                label,
                mark(verdict, comparison),
                ...tabulated(comparison),
              ],
              isOpen: isUndecided(verdict),
            },
          ]
        : [],
    ),
  );
  const left = ["", ...(base === undefined ? ["against"] : []), "metric", "verdict"];
  const right = ["difference", "95 % CI", "Holm p", "detectable", "rests on"];
  const columns = [
    ...left.map((text) => ({ text, align: "left" as const, minor: false })),
    ...right.map((text) => ({ text, align: "right" as const, minor: false })),
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

/** How to read the verdicts; the margins are those of the metrics that are there. */
function howJudged({ columns }: Table): string {
  const margins = marginsOf(columns.map(({ metric }) => metric));
  return bullets([
    "Comparisons are paired when both variants have the same chunks, questions or turns.",
    "95 % CI: the interval of the difference. Its unit is a piece of text (a chunk, or a block of neighbours when their autocorrelation says that they hang together), a question or a subject of questions, a repetition.",
    "On average: the mean over the pairs of an answer, of their differences item by item (PPL, KLD: of the logarithms). Its interval is that of other text, or other questions, for just these pairs.",
    "Better, worse: certain also among the comparisons of one answer (one question, one metric), of which the mean counts as much as all pairs together. The chance of a single false one among them is at most 5 % (Holm p), whatever else was measured.",
    "Likely: the interval shows it by itself; among so many comparisons, or from so few pieces, it is not certain.",
    "`~`: the data show neither a difference nor equivalence. Detectable: the smallest difference that this report would have flagged with 80 % probability, given its number of comparisons.",
    `Equivalent: shown to be smaller than the margin that matters${margins === "" ? "" : ` (${inert(margins)})`}.`,
    "A distance from the reference (KLD) is a size, told in margins; it is not tested. The noise floor is the reference's distance from itself.",
    "Cannot tell: too few items for any interval, or an interval over more than a factor of ten.",
  ]);
}

/** Not a numbered list: the marks in the table are literal text. */
const numbered = (notes: string[]) => notes.map(inert).join("  \n");

/** The meaning of ± and intervals, for the kinds of figures that are there. */
function explanations({ columns }: Table): string[] {
  return [
    ...errorsExplained(columns.map(({ metric }) => metric)),
    "1 MB = 1,000,000 bytes; BPW: bits per weight. table-long.csv holds bytes, shares from 0 to 1, and all digits.",
  ];
}

function provenance({ started, engines, sessions }: Table): string[] {
  const { engine, machine, datasets, versions } = started.provenance;
  const opened = [...engines.values()];
  const unique = (values: (string | number)[]) => [...new Set(values)].join(", ");
  const names = new Set(started.jobs.map(({ measurement }) => measurement));
  return [
    `Engine: ${inert(engines.size > 0 ? enginesIn(engines) : `${engine.version} (${engine.library})`)}`,
    `Machine: ${inert([machine.cpu, ...machine.gpus].join(", "))}, ${machine.cpus} CPUs, ${inUnits(machine.memoryBytes)} memory, ${inert(`${machine.os} ${machine.arch}`)}${opened.length > 0 ? `; threads: ${unique(opened.flatMap(({ threads }) => threads ?? "unknown"))}` : ""}`,
    ...Array.from(names, (name) => {
      const job = started.jobs.find(({ measurement }) => measurement === name)!;
      return `${inert(name)}: ${inert([job.dataset, ...askedOf(job)].filter(Boolean).join(", "))}`;
    }),
    ...new Set(
      datasets.map(({ name, sha256, bytes }) => `Data: ${inert(name)}, ${bytes} bytes, sha256 ${sha256.slice(0, 12)}…`),
    ),
    ...started.variants.flatMap(({ name, facts }) =>
      facts
        ? [
            `Model: ${inert(name)}, ${inert(`${facts.architecture} ${facts.quant}`)}, sha256 ${facts.sha256.slice(0, 12)}…`,
          ]
        : [],
    ),
    `${Object.entries(versions)
      .map(([name, version]) => inert(`${name} ${version}`))
      .join(
        ", ",
      )}; ${new Date(sessions[0]!.at).toISOString().slice(0, 10)}${sessions.length > 1 ? `, in ${sessions.length} sessions` : ""}`,
  ];
}

/** What computed; where that is not one for all, for whom. */
function enginesIn(engines: Table["engines"]): string {
  const users = new Map<string, string[]>();
  for (const [variant, { version, library, build }] of engines) {
    const name = `${version} (${build === undefined ? library : `${library}, build ${build}`})`;
    users.set(name, [...(users.get(name) ?? []), variant]);
  }
  const told = ([name, variants]: [string, string[]]) => (users.size === 1 ? name : `${name} for ${several(variants)}`);
  return [...users].map(told).join("; ");
}
