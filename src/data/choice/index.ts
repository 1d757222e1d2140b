import { contextsOf, type QuestionContext } from "../../backends/backend.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { type FoundDataset, findDataset, namesLike } from "../cards.js";
import type { DataFolders, DataKind, Dataset } from "../data.js";
import { excerpt } from "../files.js";
import { foreignQuestions } from "../foreign/index.js";
import {
  type FilledQuestion,
  readTask,
  type Style,
  sameOptions,
  styleOf,
  type TaskItem,
  type TaskReader,
  type TaskSaid,
  taskKeys,
  twinOf,
} from "../task/index.js";
import { type ChoiceSolution, letter, solve } from "./answers.js";
import { type ChoiceCard, choiceCard } from "./card.js";
import { tableCard, tableFile } from "./table.js";

export { sameOptions } from "../task/index.js";
export { tableFile, tableName } from "./table.js";

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
  /** The options are letters that the prompt ends before, with nothing between: each is a token of its own. */
  letters?: true;
}

const carded = {
  name: "choice",
  noun: "a set of questions with options",
  card: choiceCard,
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
    const table = await tableFile(said.dataset, folders);
    if (table !== undefined) return readChoice(await tableCard(table), { file: table, ...said }, folders);
    throw new BenchError("dataset-unknown", `There are no questions "${said.dataset}": no dataset of that name.`, {
      hint: await namesLike(said.dataset, "choice", folders),
    });
  },

  *shown({ items, delimiter }) {
    for (const { id, options, gold, right = gold === undefined ? undefined : [gold], ...question } of items)
      yield { id, ...shownQuestion(question, options, delimiter), ...definite({ right }) };
  },

  /** The questions stand for the file: the same ones in another form of file are the same. */
  *asked({ name: _, path: __, note: ___, bytes: ____, sha256: _____, task: ______, items, ...asked }) {
    yield asked;
    for (const item of items) yield wholeOf(item);
  },
};

/** A question in one piece; made anew each time, so that it need not be kept. */
function wholeOf(item: ChoiceItem): object {
  if ("messages" in item || !item.before) return item;
  const { before: _, ...own } = item;
  return "contexts" in item ? { ...own, contexts: contextsOf(item) } : { ...own, context: contextsOf(item)[0] };
}

function shownQuestion(question: QuestionContext, options: readonly string[], delimiter: string) {
  if ("messages" in question) return { text: question.messages.at(-1)?.content ?? "", options };
  const contexts = contextsOf(question);
  if ("context" in question) return { text: contexts[0]!, options };
  // Each option in its place: what they begin with alike is the question, up to the last whole word.
  const [first = "", ...others] = contexts;
  let length = 0;
  while (length < first.length && others.every((other) => other[length] === first[length])) length++;
  const start = /\s$/.test(first.slice(0, length)) ? length : first.slice(0, length).search(/\S*$/);
  const before = first.slice(0, start);
  const words = contexts.map((context) => context.slice(start));
  const [after = ""] = options;
  return options.every((option) => option === after)
    ? { text: `${before}_${delimiter}${after}`, options: words }
    : { text: `${before}_`, options: words.map((word, i) => word + delimiter + options[i]!) };
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
  const { delimiter, continueWith } = style;
  const letters = continueWith === "letter" && delimiter === "" ? ({ letters: true } as const) : {};
  const score = card.score === "mass" ? ({ score: "mass" } as const) : {};
  return {
    kind: "choice",
    ...read,
    items,
    delimiter,
    chance,
    ...score,
    ...letters,
    task: { chance, ...task, ...definite({ answers: sameOptions(items) }) },
  };
}

const readerOf = (card: ChoiceCard): TaskReader<ChoiceSolution> => ({
  key: card.answer,
  solve: (questions, how) => solve(card, questions, how),
  asks: (column) => ![card.options ?? []].flat().some((options) => isWithin(column, options)),

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

/** Whether a column of a prompt is one of options, or in the list of them: `choices[0].text` in `choices[].text`, or in `choices`. */
function isWithin(column: string, options: string): boolean {
  const any = column.replace(/\[\d+\]/g, "[]");
  return any === options || any.startsWith(`${options}[`) || any.startsWith(`${options}.`);
}

function itemOf(asked: TaskItem<ChoiceSolution>, card: ChoiceCard, style: Style): ChoiceItem {
  const { id, cluster, text, framed, solution } = asked;
  const { texts, gold, right } = solution;
  const options = continuations(texts, style);
  const rest = definite({ gold, right, cluster: cluster ?? solution.cluster });
  const [before, after] = atGap(card, asked);
  if (after !== undefined) {
    const prompts = texts.map((option) => framed(before + option));
    const asked = prompts.flatMap((prompt) => ("text" in prompt ? [prompt] : []));
    const contexts = asked.map(({ text }) => text);
    return { id, ...definite({ before: asked[0]?.before }), contexts, options: texts.map(() => after), ...rest };
  }
  const prompt = framed(text);
  if ("messages" in prompt) return { id, messages: prompt.messages, options, ...rest };
  return { id, ...definite({ before: prompt.before }), context: prompt.text, options, ...rest };
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
