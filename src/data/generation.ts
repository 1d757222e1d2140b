import { z } from "zod";
import type { Beginning } from "../backends/backend.js";
import type { Message } from "../chat/template.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { type ScoreRule, scoreRule, unfitFor } from "../scores/index.js";
import { type FoundDataset, findDataset, namesLike } from "./cards.js";
import type { DataFolders, DataKind, Dataset } from "./data.js";
import { foreignQuestions } from "./foreign/index.js";
import {
  checkTask,
  filledAt,
  hasNoText,
  listAt,
  type Refusal,
  readTask,
  type Style,
  type TaskItem,
  type TaskQuestion,
  type TaskReader,
  type TaskRow,
  type TaskSaid,
  taskKeys,
  taskShape,
  valueAt,
} from "./task/index.js";

/** A question that is answered with a text of the model's own. */
export interface GenerationItem {
  id: string;
  /** The prompt as a text to go on with, as a conversation, or as both: then a model that has a chat template is asked in it. */
  text?: string;
  /** What stands before `text`: that of a subject's questions begins alike, and is held once. */
  before?: Beginning;
  messages?: readonly Message[];
  /** Right answers, of which the one that fits best counts; none where the data do not say any. */
  answers: string[];
  /** All that the question could be answered with, where the data say it. */
  classes?: string[];
  /** The group of questions that hang together with it: its subject, say. */
  cluster?: string;
}

/** Questions that are answered with a text, and how that is scored. */
export interface GenerationDataset extends Dataset {
  kind: "generation";
  items: GenerationItem[];
  /** Most new tokens of an answer. */
  maxTokens: number;
  /** An answer ends before the first of these. */
  stop: string[];
  /** Of a question of more tokens than this the middle goes. */
  truncate?: number;
  /** The first is the one that the others stand beside. */
  scores: ScoreRule[];
}

const form = z
  .strictObject({
    ...taskShape,
    kind: z.literal("generation"),
    answer: z
      .string()
      .describe("The column that holds the right answer, or a list of them, of which the one that fits best counts."),
    shownAnswer: z
      .string()
      .optional()
      .describe("The column with the answer that solved examples show; by default `answer`, or its first one."),
    classes: z.string().optional().describe("The column with a list of all that questions could be answered with."),
    scores: z.array(scoreRule).min(1).describe("How answers are scored; the first rule gives the headline figure."),
    maxTokens: z.int().min(1).max(1_048_576).default(256).describe("Most tokens of an answer."),
    stop: z.array(z.string().min(1)).default([]).describe("An answer ends before the first of these."),
    truncate: z
      .int()
      .min(2)
      .optional()
      .describe(
        "Of a question that has more tokens the middle goes, before a chat template is put around it; the first half of so many stays, and the last.",
      ),
    template: z
      .literal("auto")
      .optional()
      .describe(
        "A model that has a chat template is asked in it, with the style's `system`, and any other with the text as it stands.",
      ),
  })
  .superRefine((card, context) => {
    const fault = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    checkTask(card, card.answer, fault);
    const metrics = card.scores.map(({ metric }) => metric);
    const twice = metrics.findIndex((metric, i) => metrics.indexOf(metric) < i);
    if (twice >= 0)
      fault(["scores", String(twice)], `two rules give ${metrics[twice]}: say another \`metric\` in one of them`);
  });

type GenerationCard = z.output<typeof form>;

const carded = { name: "generation", noun: "a set of questions to be answered in words", card: () => form };

export const generation: DataKind<GenerationDataset, TaskSaid> = {
  ...carded,
  keys: taskKeys,
  named: "dataset",

  async resolve(said, folders) {
    const found = await findDataset(said.dataset, carded, folders);
    if (found) return readGeneration(found, said, folders);
    const foreign = await foreignQuestions("generation", said, folders);
    if (foreign) return foreign;
    throw new BenchError("dataset-unknown", `There are no questions "${said.dataset}": no dataset of that name.`, {
      hint: await namesLike(said.dataset, "generation", folders),
    });
  },

  *shown({ items }) {
    for (const item of items) {
      const { id, messages, answers } = item;
      yield { id, text: textOf(item) ?? messages?.at(-1)?.content ?? "", answers };
    }
  },

  /** The questions stand for the file: the same ones in another form of file are the same. */
  *asked({ name: _, path: __, note: ___, bytes: ____, sha256: _____, task: ______, items, ...asked }) {
    yield asked;
    for (const item of items) {
      const { before: _, ...own } = item;
      yield { ...own, ...definite({ text: textOf(item) }) };
    }
  },
};

/** The text to go on with, whole; made anew each time, so that it need not be kept. */
export const textOf = ({ before, text }: Pick<GenerationItem, "before" | "text">): string | undefined =>
  text === undefined ? undefined : (before?.text ?? "") + text;

async function readGeneration(
  found: FoundDataset<GenerationCard>,
  said: TaskSaid,
  folders: DataFolders,
): Promise<GenerationDataset> {
  const { card } = found;
  const { style, items: asked, task, ...read } = await readTask(found, said, folders, readerOf(card));
  const items = asked.map((item) => itemOf(item, card, style));
  const templated = items.some(({ messages }) => messages) ? ({ templated: true } as const) : {};
  const { maxTokens, stop, truncate, scores } = card;
  return {
    ...{ kind: "generation", ...read, task: { ...task, ...templated }, items, maxTokens, stop, scores },
    ...definite({ truncate }),
  };
}

/** What is known of a question besides its text. */
interface GenerationSolution {
  answers: string[];
  /** The answer as an example shows it. */
  shown: string;
  classes?: string[];
  cluster?: string;
}

const readerOf = (card: GenerationCard): TaskReader<GenerationSolution> => ({
  key: card.answer,
  solve: (questions, { keyless }) => questions.map((question) => solutionOf(card, question, keyless(question.row))),
  example: ({ text }, { shown }) => ({ asked: text, answer: shown }),
});

function solutionOf(card: GenerationCard, { row, refused }: TaskQuestion, keyless: boolean): GenerationSolution {
  const answers = keyless ? [] : answersAt(row, card.answer, refused);
  const classes = card.classes === undefined ? undefined : classesAt(row, card.classes, refused);
  for (const rule of card.scores) {
    const reason = unfitFor({ answers, classes }, rule);
    if (reason !== undefined) throw refused(`an answer cannot be scored by ${rule.by}: ${reason}.`);
  }
  const { shownAnswer: example, cluster } = card;
  return definite({
    answers,
    classes,
    shown: example === undefined || keyless ? (answers[0] ?? "") : filledAt(row, example, refused),
    cluster: cluster === undefined ? undefined : filledAt(row, cluster, refused),
  });
}

/** One, or those of a list. */
function answersAt(row: TaskRow, column: string, refused: Refusal): string[] {
  if (!Array.isArray(valueAt(row.cells, column))) return [filledAt(row, column, refused)];
  const answers = listAt(row, column, refused, "answer");
  if (answers.length === 0) throw refused(`column "${column}" holds no answer.`);
  return answers;
}

/** LongBench writes `null` where a task has no classes. */
const classesAt = (row: TaskRow, column: string, refused: Refusal): string[] | undefined =>
  hasNoText(valueAt(row.cells, column)) ? undefined : listAt(row, column, refused, "class");

function itemOf(
  { id, cluster, text, framed, solution }: TaskItem<GenerationSolution>,
  { template }: GenerationCard,
  { system }: Style,
): GenerationItem {
  const { answers, classes } = solution;
  const prompt = framed(text);
  const both = template === "auto" && "text" in prompt;
  return definite({
    ...{ id, ...prompt, answers },
    messages: both ? conversation(system, textOf(prompt)!) : "messages" in prompt ? prompt.messages : undefined,
    classes,
    cluster: cluster ?? solution.cluster,
  });
}

/** A text as the one turn of a conversation. */
const conversation = (system: string, text: string): Message[] => [
  ...(system === "" ? [] : [{ role: "system" as const, content: system }]),
  { role: "user", content: text },
];
