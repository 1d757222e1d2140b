import { z } from "zod";
import type { QuestionContext } from "../backends/backend.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import { type FoundDataset, findDataset, namesLike } from "./cards.js";
import type { DataFolders, DataKind, Dataset } from "./data.js";
import { excerpt } from "./files.js";
import { foreignQuestions } from "./foreign/index.js";
import {
  checkTask,
  type FilledQuestion,
  filledAt,
  type HowToSolve,
  listAt,
  type Refusal,
  readTask,
  type Style,
  sixLineColumns,
  styleOf,
  type TaskItem,
  type TaskQuestion,
  type TaskReader,
  type TaskSaid,
  taskKeys,
  taskShape,
  twinOf,
  valuesAt,
} from "./task/index.js";

/** A question with options. */
export type ChoiceItem = {
  id: string;
  options: string[];
  /** Index of the right option; absent where the data do not say it. */
  gold?: number;
  /** All right ones, where several may be. */
  right?: number[];
  /** The group of questions that hang together with it: its subject, say. */
  cluster?: string;
} & QuestionContext;

/** Questions with options that continue a context. */
export interface ChoiceDataset extends Dataset {
  kind: "choice";
  /** sha256 of the questions' file; of all digests in order, where there are several files or files of examples. */
  sha256: string;
  items: ChoiceItem[];
  /** Between context and option, one blank for most. */
  delimiter: string;
  /** Accuracy of guessing. */
  chance: number;
  /** `mass`: a question's score is the share that its right options have in the probability of all. Absent: the best option's. */
  score?: "mass";
}

const answerForms = ["letter", "index", "number", "column", "text"] as const;
type AnswerForm = (typeof answerForms)[number];

const distinctNames = z
  .array(z.string())
  .refine((names) => new Set(names).size === names.length, "it names a column twice");

const ownShape = {
  kind: z.literal("choice"),
  chance: z.number().gt(0).lt(1).optional().describe("Accuracy of guessing; by default one in the number of options."),
  score: z
    .enum(["best", "mass"])
    .optional()
    .describe(
      "`mass`: the probability of all right options over that of all; by default whether the best one is right.",
    ),
};

const rowsForm = z
  .strictObject({
    ...taskShape,
    ...ownShape,
    options: z
      .union([distinctNames.min(2), z.string()])
      .optional()
      .describe(
        "The columns that hold the options, in order; or the one path to a list of them, or to a map of texts to 0 and 1.",
      ),
    optionTexts: distinctNames.min(2).optional().describe("In place of `options`: the same for every question."),
    labels: z.string().optional().describe("The path to a list of the options' labels, for `answerIs: label`."),
    answer: z.string().optional().describe("The column that says which option is right."),
    answerIs: z
      .enum([...answerForms, "label", "truth", "flags"])
      .optional()
      .describe(
        "`letter`; `index` from 0, `number` from 1; the option's `column`, `text` or `label` (one of `labels`); `truth` (true: the second option); `flags` (0 or 1 for each). Needed where it could be two of them.",
      ),
    gap: z
      .string()
      .min(1)
      .optional()
      .describe("Where each option goes into the prompt; what follows the gap is scored, and no option by itself."),
  })
  .superRefine((card, context) => {
    const fault = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    const { options, optionTexts, answer, answerIs, labels } = card;
    checkTask(card, answer, fault);
    if ((options === undefined) === (optionTexts === undefined))
      fault(["options"], options === undefined ? "it is missing" : "`optionTexts` stands in its place");
    if (answer === undefined && typeof options !== "string") fault(["answer"], "it is missing");
    if ((answerIs === "label") !== (labels !== undefined))
      fault(labels === undefined ? ["labels"] : ["answerIs"], "`labels` and `answerIs: label` go together");
  });

/** The form of llama.cpp's `--hellaswag`: what the columns are is no question. */
const sixLines = z
  .strictObject({ ...taskShape, ...ownShape, format: z.literal("hellaswag-text") })
  .omit({ prompt: true, columns: true, clean: true, styles: true, style: true })
  .transform((card): ChoiceCard => ({ ...sixLineColumns, ...card }));

export type ChoiceCard = z.output<typeof rowsForm>;

const carded = {
  name: "choice",
  noun: "a set of questions with options",
  card: (format: unknown): z.ZodType<ChoiceCard> => (format === "hellaswag-text" ? sixLines : rowsForm),
};

export const choice: DataKind<ChoiceDataset, TaskSaid> = {
  ...carded,
  keys: taskKeys,
  named: "dataset",

  async resolve(said, folders) {
    const found = await findDataset(said.dataset, carded, folders);
    if (found) return readChoice(found, said, folders);
    const foreign = await foreignQuestions("choice", said, folders);
    if (foreign) return foreign;
    throw new BenchError("dataset-unknown", `There are no questions "${said.dataset}": no dataset of that name.`, {
      hint: await namesLike(said.dataset, "choice", folders),
    });
  },

  *shown({ items }) {
    for (const { id, options, gold, right = gold === undefined ? undefined : [gold], ...question } of items)
      yield { id, text: shownText(question), options, ...definite({ right }) };
  },

  /** The questions stand for the file: the same ones in another form of file are the same. */
  *asked({ name: _, path: __, note: ___, bytes: ____, sha256: _____, task: ______, items, ...asked }) {
    yield asked;
    yield* items;
  },
};

function shownText(question: QuestionContext): string {
  if ("context" in question) return question.context;
  if ("messages" in question) return question.messages.at(-1)?.content ?? "";
  // Each option in its place: what they begin with alike is the question.
  const [first = "", ...others] = question.contexts;
  let length = 0;
  while (length < first.length && others.every((other) => other[length] === first[length])) length++;
  return `${first.slice(0, length)}_`;
}

/** The questions of a card, as an entry says them. */
export async function readChoice(
  found: FoundDataset<ChoiceCard>,
  said: TaskSaid,
  folders: DataFolders,
): Promise<ChoiceDataset> {
  const { card } = found;
  if (card.gap !== undefined && styleOf(card, said).chat)
    throw new BenchError(
      "dataset-unknown",
      `${card.name} has options in a gap of its questions: it cannot be a conversation.`,
      {
        hint: "Take a style that is a text.",
      },
    );
  const { style, items: asked, task, ...read } = await readTask(found, said, folders, readerOf(card));
  const items = asked.map((one) => itemOf(one, card, style));
  const ofItem = ({ right, options }: ChoiceItem) => (right?.length ?? 1) / options.length;
  const chance = card.chance ?? items.reduce((sum, item) => sum + ofItem(item), 0) / items.length;
  const { delimiter } = style;
  const score = card.score === "mass" ? ({ score: "mass" } as const) : {};
  return {
    kind: "choice",
    ...read,
    items,
    delimiter,
    chance,
    ...score,
    task: { chance, ...task, ...definite({ answers: sameOptions(items) }) },
  };
}

/** What is known of a question besides its text. */
interface ChoiceSolution {
  /** As they are read, and as they continue the prompt. */
  texts: string[];
  gold?: number;
  right?: number[];
  cluster?: string;
}

const readerOf = (card: ChoiceCard): TaskReader<ChoiceSolution> => ({
  key: card.answer,
  solve: (questions, how) => solve(card, questions, how),

  example(asked, { texts, gold }, style) {
    const answer = continuations(texts, style)[gold!]!;
    const [before, after] = atGap(card, asked);
    return after === undefined ? { asked: asked.text, answer } : { asked: before + texts[gold!]!, answer: after };
  },

  remarks(questions) {
    const keys = new Map<string, string>();
    let [twins, contradicted] = [0, 0];
    for (const { text, solution } of questions) {
      const { texts, gold } = solution;
      if (twinOf(texts)) twins++;
      if (gold === undefined) continue;
      const question = JSON.stringify([text, [...texts].sort()]);
      const known = keys.get(question);
      if (known !== undefined && known !== texts[gold]) contradicted++;
      keys.set(question, texts[gold]!);
    }
    return {
      "questions with two options alike": twins,
      "questions that are asked again with another answer": contradicted,
    };
  },
});

function itemOf(asked: TaskItem<ChoiceSolution>, card: ChoiceCard, style: Style): ChoiceItem {
  const { id, cluster, text, framed, solution } = asked;
  const { texts, gold, right } = solution;
  const options = continuations(texts, style);
  const rest = definite({ gold, right, cluster: cluster ?? solution.cluster });
  const [before, after] = atGap(card, asked);
  if (after !== undefined) {
    const prompts = texts.map((option) => framed(before + option));
    const contexts = prompts.flatMap((prompt) => ("text" in prompt ? [prompt.text] : []));
    return { id, contexts, options: texts.map(() => after), ...rest };
  }
  const prompt = framed(text);
  return "text" in prompt
    ? { id, context: prompt.text, options, ...rest }
    : { id, messages: prompt.messages, options, ...rest };
}

/** Around the gap, if the card has one: what the options go after, and what follows without the blanks around it. */
function atGap({ gap }: ChoiceCard, { text, refused }: FilledQuestion): [before: string, after?: string] {
  if (gap === undefined) return [text];
  const at = text.indexOf(gap);
  if (at < 0) throw refused(`there is no gap "${excerpt(gap)}" in the question.`);
  if (text.includes(gap, at + gap.length)) throw refused(`the gap "${excerpt(gap)}" is there twice.`);
  const after = text.slice(at + gap.length).trim();
  if (after === "") throw refused(`nothing follows the gap "${excerpt(gap)}", and that is what is scored.`);
  return [text.slice(0, at), after];
}

/** What continues the question, for each option. */
const continuations = (texts: string[], { continueWith }: Style) =>
  continueWith === "letter" ? texts.map((_, option) => letter(option)) : texts;

/** The options and the key of each row. */
function solve(card: ChoiceCard, questions: TaskQuestion[], { style, keyless, cleaned }: HowToSolve): ChoiceSolution[] {
  let forms: AnswerForm[] = [...answerForms];
  return questions.map(({ row, refused }) => {
    const texts = cleaned(optionsOf(card, row, refused));
    const right = keyless ? {} : rightOptions(card, row, texts, forms, refused);
    if (right.forms) forms = right.forms;
    const twin = twinOf(texts);
    // Published benchmarks have a few; where letters are asked for, they stay different answers.
    const byText = card.answerIs === "text" || (card.answerIs === undefined && forms.every((form) => form === "text"));
    if (twin && (style.continueWith === "text" || byText))
      throw refused(`the option "${excerpt(texts[twin]!)}" is there twice.`);
    const cluster = card.cluster === undefined ? undefined : filledAt(row, card.cluster, refused);
    return definite({ texts, gold: right.gold, right: right.right, cluster });
  });
}

function optionsOf({ options, optionTexts }: ChoiceCard, row: TaskQuestion["row"], refused: Refusal): string[] {
  if (optionTexts) return optionTexts;
  if (Array.isArray(options)) return options.map((column) => filledAt(row, column, refused));
  const texts = listAt(row, options!, refused);
  if (texts.length < 2) throw refused(`column "${excerpt(options!)}" holds ${texts.length} options; 2 are needed.`);
  return texts;
}

/** The right option; all right ones, where several may be; and the readings of answers that are left, where the card says none. */
interface RightOptions {
  gold?: number;
  right?: number[];
  forms?: AnswerForm[];
}

function rightOptions(
  card: ChoiceCard,
  row: TaskQuestion["row"],
  texts: string[],
  forms: AnswerForm[],
  refused: Refusal,
): RightOptions {
  const { answer = card.options as string, answerIs, labels } = card;
  if (answerIs === "flags" || (answerIs === undefined && card.answer === undefined)) {
    const flags = valuesAt(row, answer, refused).map(truthOf);
    const right = flags.flatMap((flag, i) => (flag ? [i] : []));
    if (flags.length !== texts.length || flags.includes(undefined))
      throw refused(`column "${excerpt(answer)}" must hold 0 or 1 for each of the ${texts.length} options.`);
    if (right.length === 0) throw refused(`column "${excerpt(answer)}" calls no option right.`);
    return { gold: right[0]!, right };
  }
  const said = filledAt(row, answer, refused).trim();
  const shown = `the answer "${excerpt(said)}"`;
  if (answerIs === "truth") {
    const truth = truthOf(said);
    if (truth === undefined || texts.length !== 2)
      throw refused(`${shown} is neither true nor false.`, "The card says answerIs: truth, which takes two options.");
    return { gold: truth ? 1 : 0 };
  }
  if (answerIs === "label") {
    const all = listAt(row, labels!, refused, "label").map((label) => label.trim());
    if (all.length !== texts.length) throw refused(`it has ${all.length} labels for ${texts.length} options.`);
    const gold = all.indexOf(said);
    if (gold < 0) throw refused(`${shown} is none of the labels ${all.map((label) => excerpt(label)).join(", ")}.`);
    if (all.indexOf(said, gold + 1) > 0) throw refused(`the label "${excerpt(said)}" is there twice.`);
    return { gold };
  }
  return rightOption(card, said, texts, answerIs ? [answerIs] : forms, refused);
}

/** 1 and 0, true and false, yes and no. */
function truthOf(value: unknown): boolean | undefined {
  const said = String(value).trim().toLowerCase();
  return ["1", "true", "yes"].includes(said) ? true : ["0", "false", "no"].includes(said) ? false : undefined;
}

/**
 * The option that an answer means, and the readings under which all answers so far mean one. An answer that two of them take
 * to different options is refused: a guess for each row anew turned keys from 1 into keys from 0 without a word.
 */
function rightOption(
  { answerIs, options }: ChoiceCard,
  answer: string,
  texts: string[],
  forms: AnswerForm[],
  refused: Refusal,
): RightOptions {
  const readings = new Map<AnswerForm, number>();
  for (const form of answerIs ? forms : answerForms) {
    const option = readAnswer(form, Array.isArray(options) ? options : [], answer, texts);
    if (option !== undefined) readings.set(form, option);
  }
  const [first] = readings;
  const shown = `the answer "${excerpt(answer)}"`;
  if (!first)
    throw answerIs
      ? refused(
          `${shown} is no ${meanings[forms[0]!]}${counted.has(forms[0]!) ? ` of one of the ${texts.length} options` : ""}.`,
          `The card says answerIs: ${answerIs}.`,
        )
      : refused(
          `${shown} is none of the options.`,
          "An answer is an option's letter, its number, its column's name or its text.",
        );
  const [form, gold] = first;
  const other = [...readings].find(([, option]) => option !== gold);
  if (other)
    throw refused(
      `${shown} means option ${letter(gold)} as ${meanings[form]}, ${letter(other[1])} as ${meanings[other[0]]}.`,
      `Say which in the card: \`answerIs: ${form}\` or \`answerIs: ${other[0]}\`.`,
    );
  const left = forms.filter((one) => readings.has(one));
  if (left.length === 0)
    throw refused(
      `${shown} is a ${meanings[form]}, but those before were each a ${meanings[forms[0]!]}.`,
      `Say which in the card: \`answerIs:\` ${answerForms.join(", ")}.`,
    );
  return { gold, forms: left };
}

/** Readings that end with the last option. */
const counted = new Set<AnswerForm>(["letter", "index", "number"]);

const meanings: Record<AnswerForm, string> = {
  letter: "letter",
  index: "number from 0",
  number: "number from 1",
  column: "column's name",
  text: "text of an option",
};

function readAnswer(form: AnswerForm, columns: string[], answer: string, texts: string[]): number | undefined {
  const counted = (from: number) => (/^\d{1,4}$/.test(plain) ? Number(plain) - from : -1);
  // Full-width letters and digits are the same ones.
  const plain = answer.normalize("NFKC");
  const found = {
    letter: () => texts.findIndex((_, option) => letter(option) === plain.toUpperCase()),
    index: () => counted(0),
    number: () => counted(1),
    column: () => columns.findIndex((column) => column.trim() === answer),
    text: () => texts.findIndex((text) => text.trim() === answer),
  }[form]();
  return found >= 0 && found < texts.length ? found : undefined;
}

/** A … Z, AA … : as spreadsheets name columns. */
function letter(option: number): string {
  const last = String.fromCharCode(65 + (option % 26));
  return option < 26 ? last : letter(Math.floor(option / 26) - 1) + last;
}

/** The options that all questions have: letters, or yes and no; one that has fewer has the first of them. Undefined where they differ. */
export function sameOptions(items: readonly Pick<ChoiceItem, "options">[]): string[] | undefined {
  const longest = items.reduce<string[]>((most, { options }) => (options.length > most.length ? options : most), []);
  const same = items.every(({ options }) => options.every((option, i) => option === longest[i]));
  return same && items.length > 1 && new Set(longest).size === longest.length ? longest : undefined;
}
