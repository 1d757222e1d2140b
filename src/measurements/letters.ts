import type { Beginning, Message, QuestionContext } from "../backends/backend.js";
import type { ChoiceItem } from "../data/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";

/** A question as it is put to a model that answers with a letter. */
export type LetterQuestion = {
  /** Stands between the context and a letter. */
  delimiter: string;
  letters: string[];
  /** Which option stands under the first letter, the second …, where the options are listed here. */
  order?: number[];
} & ({ before?: Beginning; context: string } | { messages: readonly Message[] });

/** Options beyond these have no letter. */
const mostLetters = 26;

const letterOf = (option: number) => String.fromCharCode(65 + option);

/**
 * Where the options are letters, the prompt shows what they stand for, and is asked as it is. Else they are listed here:
 *
 *     {context}
 *
 *     A. {option 1}
 *     B. {option 2}
 *
 *     Answer:
 *
 * or, in a conversation, whose last message is the context, with `Answer with the letter of the right option alone.` in its last
 * line. Their order is drawn: where the data have the right option always first, a model that says A to everything would else be
 * right. A phrase is the reason why a question cannot be put so.
 */
export function lettered(
  item: Pick<ChoiceItem, "id" | "options"> & QuestionContext,
  delimiter: string,
  { spoken = false } = {},
): LetterQuestion | string {
  const { options } = item;
  if (options.length > mostLetters) return `it has ${options.length} options, and there are ${mostLetters} letters`;
  if ("contexts" in item) return "its options stand inside the question, where no letter can";
  const letters = options.map((_, option) => letterOf(option));
  const asItIs = options.every((option, i) => option === letters[i]);
  const order = drawnOrder(item.id, options.length);
  const inOrder = order.map((option) => options[option]!);
  if ("messages" in item) {
    if (asItIs) return { messages: item.messages, delimiter, letters };
    const last = item.messages.at(-1);
    if (!last) return "its conversation is empty";
    const content = listed(last.content, inOrder, letters, true);
    return { messages: [...item.messages.slice(0, -1), { ...last, content }], delimiter: "", letters, order };
  }
  const { before, context } = item;
  const own = definite({ before });
  if (asItIs) return { ...own, context, delimiter, letters };
  return { ...own, context: listed(context, inOrder, letters, spoken), delimiter: " ", letters, order };
}

/** The same for the same question, in whatever run and engine. */
function drawnOrder(id: string, options: number): number[] {
  const drawn = Array.from({ length: options }, (_, option) => ({ option, by: sha256(`${id}\0${option}`) }));
  return drawn.sort((a, b) => (a.by < b.by ? -1 : 1)).map(({ option }) => option);
}

function listed(context: string, options: readonly string[], letters: string[], spoken: boolean): string {
  const list = options.map((option, i) => `${letters[i]}. ${option.trim()}\n`).join("");
  const last = spoken ? "Answer with the letter of the right option alone." : "Answer:";
  return `${context.trimEnd()}\n\n${list}\n${last}`;
}

/** What may stand between `answer is` and the letter: blanks, marks of emphasis, quotes, brackets, a LaTeX box. */
const between = String.raw`[\s*_"'“‘「『(\[【《{$:]*(?:\\(?:boxed|text|textbf|mathrm)\s*\{[\s*({]*)*`;
/** Nor is a letter inside a word one of an option. */
const [before, after] = [
  String.raw`(?<![\p{Script=Latin}\p{Nd}'’])`,
  String.raw`(?![\p{Script=Latin}\p{Nd}]|['’]\p{Ll})`,
];

const statements = [
  // "The answer is (B)", "Answer: B", "the correct option is B"
  String.raw`\b(?:[Aa]nswer|ANSWER|(?:[Cc]orrect|[Rr]ight|[Bb]est) (?:option|choice))\b(?:\s+(?:is|was|would be|should be))?(?:\s+(?:option|choice))?`,
  // "答案是B", "正确答案：B", "故选B", "应选择B"
  `(?:答案(?:应该|应当|应)?(?:是|为|选|选择)?(?:选项)?|(?:故|应|应该|因此|所以)选择?(?:选项)?)`,
  String.raw`\\boxed`,
  // "A: B", where questions and answers begin with Q and A
  String.raw`^\s*(?:A:\s*)+`,
];

/**
 * The option that an answer without its thoughts names, and undefined where it names none. The rule, full-width letters as
 * half-width ones:
 * 1. the letter after the first statement of the answer: `the answer is B`, `Answer: (B)`, `the correct option is B`,
 *    `答案是B`, `答案：B`, `故选B`, `\boxed{B}`; an answer that begins `A: B` says B;
 * 2. where there is none, the first capital letter of an option that stands by itself;
 * 3. where the whole answer is one small letter, that.
 * `A` and `I` before a word in small letters are words, but for `A is`, `A because` and the like.
 */
export function optionNamed(text: string, options: number): number | undefined {
  const said = text.normalize("NFKC");
  const last = letterOf(options - 1);
  const letter = `${before}([A-${last}])${after}`;
  for (const pattern of [`(?:${statements.join("|")})${between}${letter}`, letter])
    for (const found of said.matchAll(new RegExp(pattern, "gu")))
      if (!isWord(found[1]!, said.slice(found.index + found[0].length))) return optionOf(found[1]!);
  const small = said.match(new RegExp(String.raw`^[\s\p{P}]*([a-${last.toLowerCase()}])[\s\p{P}]*$`, "u"));
  return small ? optionOf(small[1]!.toUpperCase()) : undefined;
}

const optionOf = (letter: string) => letter.charCodeAt(0) - 65;

/** An article or a pronoun, by what follows it. */
const isWord = (letter: string, rest: string) =>
  /^[AI]$/.test(letter) && /^\s+\p{Ll}/u.test(rest) && !/^\s+(?:is|was|because|since|as|and|or)\b/.test(rest);
