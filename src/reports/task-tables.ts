import type { JobRecord } from "../events.js";
import { harmless, several } from "../harmless.js";
import { metric as describe, withoutPriors } from "../metrics.js";
import type { Summary } from "../stats/summary.js";
import { percent } from "../units.js";
import type { Heading, Layout } from "./layout.js";
import type { TaskFigure, TaskReport, TaskResult } from "./tasks.js";

/** A heading and what stands below it, not escaped yet. */
export interface TaskSection {
  title: string;
  tables: { title?: string; table: Layout; below?: string }[];
}

/** A task in tables: its groups, how answers are spread over letters, its subjects. Empty for one that the main table tells whole. */
export function taskSections(tasks: TaskReport[]): TaskSection[] {
  return tasks.flatMap((task) => {
    const tables = [...averages(task), ...habits(task), ...subjects(task)];
    return tables.length > 0 ? [{ title: titleOf(task), tables }] : [];
  });
}

/**
 * `law: ceval, split val, 5-shot, style ymcui, subjects law, limit 20, guessing gives 25.0 %`; `questions`: how many were answered, told
 * instead of a limit of that number.
 */
export function titleOf({ measurement, dataset, variants, facts, settings }: TaskReport, questions?: string): string {
  const chance = variants.find(({ figure }) => figure?.chance !== undefined)?.figure?.chance;
  const told = [
    ...(dataset === measurement ? [] : [dataset]),
    ...askedOf({ task: facts, settings }).filter((phrase) => phrase !== `limit ${questions}`),
    ...(questions === undefined ? [] : [`${questions} ${questions === "1" ? "question" : "questions"}`]),
    ...(chance === undefined ? [] : [`guessing gives ${percent(chance, 1)}`]),
  ].join(", ");
  return harmless(told === "" ? measurement : `${measurement}: ${told}`);
}

/** What is asked of the data, and how: phrases. */
export function askedOf({ task = {}, settings }: Pick<JobRecord, "task" | "settings">): string[] {
  const { split, shots, style, subjects } = task;
  return [
    ...(split === undefined ? [] : [`split ${split}`]),
    ...(shots === undefined ? [] : [`${shots}-shot`]),
    ...(style === undefined ? [] : [`style ${style}`]),
    ...(subjects === undefined ? [] : [`subjects ${several(subjects)}`]),
    ...Object.entries(settings).map(
      ([key, value]) => `${key} ${typeof value === "string" ? value : JSON.stringify(value)}`,
    ),
  ];
}

const left = (text: string): Heading => ({ text, align: "left", minor: false });
const right = (text: string): Heading => ({ text, align: "right", minor: false });

type Told = TaskResult & { figure: TaskFigure };
const withParts = ({ variants }: TaskReport) => variants.filter((one): one is Told => one.figure?.parts !== undefined);
/** The variant that answered most: its questions are those of the rows. */
const fullest = (told: readonly Told[]) =>
  told.reduce<Told | undefined>(
    (most, one) => (one.figure.summary.n > (most?.figure.summary.n ?? 0) ? one : most),
    undefined,
  );
/** Where a variant answered other questions than its row says: how many. */
const ofOthers = (summary: Summary | undefined, n: number) => (summary && summary.n !== n ? `, n ${summary.n}` : "");

const digitsOf = ({ metric }: Summary) => Math.max(0, describe(metric).digits - 2);
const number = (summary: Summary) => (100 * summary.value).toFixed(digitsOf(summary));

/** `45.31 (42.63 … 48.01)` */
function figure(summary: Summary | undefined): string {
  if (!summary) return "";
  const { low, high } = summary;
  const end = (value: number) => (100 * value).toFixed(digitsOf(summary));
  return low === undefined || high === undefined ? number(summary) : `${number(summary)} (${end(low)} … ${end(high)})`;
}

/** Whole and groups, with intervals. */
function averages(task: TaskReport): TaskSection["tables"] {
  const told = withParts(task);
  const first = fullest(told);
  if (!first) return [];
  const { label } = first.figure.metric;
  const { groups, subjects } = first.figure.parts!;
  const row = (name: string, n: number, of: (figure: TaskFigure) => Summary | undefined) => [
    harmless(name),
    String(n),
    ...told.map((one) => figure(of(one.figure)) + ofOthers(of(one.figure), n)),
  ];
  const table: Layout = {
    columns: [left(`${label} %`), right("n"), ...told.map(({ variant }) => right(harmless(variant.name)))],
    rows: [
      row("micro average", first.figure.summary.n, ({ summary }) => summary),
      row(`macro average of ${subjects.length} subjects`, first.figure.summary.n, ({ parts }) => parts!.macro),
      ...groups.map(({ name, summary }) =>
        row(name, summary.n, ({ parts }) => parts!.groups.find((group) => group.name === name)?.summary),
      ),
    ],
    footnotes: [],
  };
  return [{ table }];
}

/** `college physics` is how prompts write `college_physics`. */
const isSame = (title: string, name: string) => title.toLowerCase() === name.replaceAll("_", " ").toLowerCase();

/** One row per subject, figures alone: twenty questions give an interval of forty points. */
function subjects(task: TaskReport): TaskSection["tables"] {
  const told = withParts(task);
  const first = fullest(told);
  if (!first) return [];
  const { titles = {} } = task.facts;
  const rows = first.figure.parts!.subjects.map(({ name, summary }) => [
    harmless(titles[name] === undefined || isSame(titles[name], name) ? name : `${name} ${titles[name]}`),
    String(summary.n),
    ...told.map(({ figure }) => {
      const own = figure.parts!.subjects.find((subject) => subject.name === name);
      return own ? number(own.summary) + ofOthers(own.summary, summary.n) : "";
    }),
  ]);
  const widths = told.flatMap(({ figure }) =>
    figure.parts!.subjects.map(({ summary: { low = 0, high = 1 } }) => 50 * (high - low)),
  );
  const table: Layout = {
    columns: [left("subject"), right("n"), ...told.map(({ variant }) => right(harmless(variant.name)))],
    rows,
    footnotes: [],
  };
  const [least, most] = [Math.min(...widths), Math.max(...widths)].map((width) => width.toFixed(0));
  const below = `95 % intervals of single subjects are ±${least} to ±${most} points wide: see tasks.csv.`;
  return [{ title: "Subjects", table, below }];
}

/** How the answers are spread over options that are the same for all questions, and what that makes of the accuracy. */
function habits({ variants }: TaskReport): TaskSection["tables"] {
  const told = variants.filter(({ habit }) => habit !== undefined);
  const [first] = told;
  if (!first) return [];
  const options = told.map(({ habit }) => habit!.options).reduce((a, b) => (b.length > a.length ? b : a));
  const shares = (counts: number[], all: number) => {
    return options.map((_, i) => (all > 0 ? ((100 * (counts[i] ?? 0)) / all).toFixed(1) : ""));
  };
  const graded = told.find(({ habit }) => habit!.right.some((count) => count > 0));
  const table: Layout = {
    columns: [
      left("answers"),
      ...options.map((option) => right(`${harmless(option)} %`)),
      right("none"),
      right("mass %"),
      right(`${describe(withoutPriors).label} %`),
    ],
    rows: [
      ...(graded
        ? [
            [
              "(right answers)",
              ...shares(
                graded.habit!.right,
                graded.habit!.right.reduce((sum, one) => sum + one, 0),
              ),
              "",
              "",
              "",
            ],
          ]
        : []),
      ...told.map(({ variant, habit }) => [
        harmless(variant.name),
        ...shares(habit!.predicted, habit!.n),
        String(habit!.none),
        habit!.mass === undefined ? "" : (100 * habit!.mass).toFixed(1),
        figure(habit!.corrected),
      ]),
    ],
    footnotes: [],
  };
  return [{ title: "Answers", table }];
}

/** `v  micro 45.31, macro 46.02; STEM 40.12, Humanities 50.00`, a line per variant. */
export function taskLines(task: TaskReport, shown: (name: string) => string): { head: string; text: string }[] {
  return withParts(task).map(({ variant, figure }) => {
    const { macro, groups } = figure.parts!;
    const short = ({ value }: Summary) => (100 * value).toFixed(1);
    const averages = `micro ${short(figure.summary)}, macro ${short(macro)}`;
    const parts = groups.map(({ name, summary }) => `${harmless(name)} ${short(summary)}`).join(", ");
    return { head: shown(variant.name), text: parts === "" ? averages : `${averages}; ${parts}` };
  });
}
