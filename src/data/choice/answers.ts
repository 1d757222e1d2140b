import { definite } from "../../definite.js";
import { excerpt } from "../files.js";
import { filledAt, type HowToSolve, listAt, type Refusal, type TaskQuestion, twinOf, valuesAt } from "../task/index.js";
import { type AnswerForm, answerForms, type ChoiceCard } from "./card.js";

/** What is known of a question besides its text. */
export interface ChoiceSolution {
  /** As they are read, and as they continue the prompt. */
  texts: string[];
  gold?: number;
  right?: number[];
  cluster?: string;
}

/** The options and the key of each row. */
export function solve(
  card: ChoiceCard,
  questions: TaskQuestion[],
  { style, keyless, cleaned }: HowToSolve,
): ChoiceSolution[] {
  const options = questions.map(({ row, refused }) => cleaned(optionsOf(card, row, refused)));
  let forms = formsOf(card, questions, options, keyless);
  return questions.map(({ row, refused }, i) => {
    const texts = options[i]!;
    const right = keyless(row) ? {} : rightOptions(card, row, texts, forms, refused);
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

/** The readings under which each answer of the file is an option, where the card says none; all, where there is none. */
function formsOf(
  { answer, answerIs, options }: ChoiceCard,
  questions: TaskQuestion[],
  texts: string[][],
  keyless: HowToSolve["keyless"],
): AnswerForm[] {
  if (answerIs !== undefined || answer === undefined) return [...answerForms];
  const columns = Array.isArray(options) ? options : [];
  const fitting = answerForms.filter((form) =>
    questions.every(
      ({ row, refused }, i) =>
        keyless(row) || readAnswer(form, columns, filledAt(row, answer, refused).trim(), texts[i]!) !== undefined,
    ),
  );
  return fitting.length > 0 ? fitting : [...answerForms];
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
  const read = (all: readonly AnswerForm[]) => {
    for (const form of all) {
      const option = readAnswer(form, Array.isArray(options) ? options : [], answer, texts);
      if (option !== undefined) readings.set(form, option);
    }
  };
  read(forms);
  if (!answerIs && readings.size === 0) read(answerForms);
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
      `Say which in the card, \`answerIs: ${form}\` or \`answerIs: ${other[0]}\`; a file without a card takes letters.`,
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
export function letter(option: number): string {
  const last = String.fromCharCode(65 + (option % 26));
  return option < 26 ? last : letter(Math.floor(option / 26) - 1) + last;
}
