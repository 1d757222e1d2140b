import { type Answer, contextsOf, type OptionScores } from "../backends/backend.js";
import { withoutThought } from "../chat/thought.js";
import type { ChoiceItem } from "../data/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import type { Measured, Sample } from "../events.js";
import { optionNamed } from "./letters.js";

/** How the answers to the questions of a task are scored; all metrics are those of one decode. */
export interface Scoring {
  /** The probability of all right options is scored, rather than whether the best option is one. */
  mass: boolean;
  /** All options of each question are as long as each other (letters, or what follows a gap): then all rules choose the same. */
  sameLength: boolean;
  /** All questions have the same options: what falls on them at all tells whether the model answers in their form. */
  sameOptions: boolean;
}

/** The metrics of answers by likelihood. */
export const scoredBy = ({ mass, sameLength, sameOptions }: Scoring): string[] => [
  ...(mass ? ["mc2"] : sameLength ? ["acc"] : ["acc", "acc_norm", "acc_token"]),
  ...(sameOptions ? ["answer_mass"] : []),
];

const ofItem = ({ id, cluster, gold }: ChoiceItem) => ({ item: id, ...definite({ cluster, gold }) });

/** For the eye. */
const about = (item: ChoiceItem) => ({
  prompt: sha256([...textsOf(item), ...item.options].join("\0")).slice(0, 16),
  ...definite({ right: item.right }),
});

export function textsOf(item: ChoiceItem): readonly string[] {
  return "messages" in item ? item.messages.map(({ role, content }) => `${role}\0${content}`) : contextsOf(item);
}

const counted = (metric: string): Sample => ({ metric, value: 1, weight: 1 });

/** A question that could not be asked. */
export const unasked = (item: ChoiceItem, unanswerable: string): Measured => ({
  ...ofItem(item),
  samples: [counted("unanswerable")],
  unanswerable,
  detail: about(item),
});

const rightsOf = ({ gold, right }: ChoiceItem) => right ?? (gold === undefined ? undefined : [gold]);

/** A question without a key is answered, and counted in place of being scored. */
function graded(item: ChoiceItem, score: (right: number[]) => Sample[]): Sample[] {
  const right = rightsOf(item);
  return right ? score(right) : [counted("ungraded")];
}

const rightness = (metric: string, right: number[], prediction: number | undefined): Sample => ({
  ...{ metric, value: prediction !== undefined && right.includes(prediction) ? 1 : 0, weight: 1 },
});

/**
 * The probabilities of options that continue a question.
 * - `acc`: sum of the log-probabilities of all tokens of the continuation, lm-eval's rule;
 * - `acc_norm`: the same sum per character of the option, lm-eval's rule;
 * - `acc_token`: their mean over the tokens after those that all options begin with, the rule of llama-perplexity's --hellaswag;
 * - `mc2`: probability of the right options over that of all, lm-eval's rule for TruthfulQA;
 * - `answer_mass`: probability of all.
 * On a tie the earlier option wins, as in both.
 */
export function answered(
  item: ChoiceItem,
  { unanswerable, options, alone, prompt }: OptionScores,
  { mass, sameLength, sameOptions }: Scoring,
): Measured {
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const scores = options.map(({ sum }) => sum);
  const perToken = options.map(({ mean }) => mean);
  const prediction = best(scores);
  const byLength = mass || sameLength;
  const norm = best(scores.map((one, i) => one / [...item.options[i]!].length));
  const token = best(perToken);
  return {
    ...ofItem(item),
    samples: [
      ...graded(item, (right) => [
        mass ? { metric: "mc2", value: shareOf(right, scores), weight: 1 } : rightness("acc", right, prediction),
        ...(byLength ? [] : [rightness("acc_norm", right, norm), rightness("acc_token", right, token)]),
      ]),
      ...(sameOptions ? [massOn(scores)] : []),
    ],
    prediction,
    scores,
    ...definite({ alone }),
    detail: {
      ...about(item),
      ...(byLength ? {} : { prediction_norm: norm, prediction_token: token, scores_token: perToken }),
      tokens: options.map(({ tokens }) => tokens),
      ...definite({ given: prompt }),
    },
  };
}

/**
 * The probabilities of the letters under which a question shows its options, in the `order` in which it lists them; the data's own
 * if absent. What is told is told of the options as the data have them.
 */
export function answeredByLetter(
  item: ChoiceItem,
  { unanswerable, options, prompt }: OptionScores,
  order?: readonly number[],
): Measured {
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const ofLetters = options.map(({ sum }) => sum);
  const scores = order ? order.map((_, option) => ofLetters[order.indexOf(option)]!) : ofLetters;
  const letter = best(ofLetters);
  const prediction = order?.[letter] ?? letter;
  return {
    ...ofItem(item),
    samples: [...graded(item, (right) => [rightness("acc", right, prediction)]), massOn(scores)],
    ...{ prediction, scores, ...listedIn(order) },
    detail: { ...about(item), ...definite({ given: prompt }) },
  };
}

const listedIn = (order: readonly number[] | undefined) => (order ? { order: [...order] } : {});

/** What a model wrote, and which option that names; `order` as in `answeredByLetter`. */
export function written(item: ChoiceItem, answer: Answer, order?: readonly number[]): Measured {
  const { unanswerable, text, finish, promptTokens, tokens, thinks, prompt } = answer;
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const said = withoutThought(text, thinks);
  const letter = optionNamed(said.text, item.options.length);
  const prediction = letter === undefined ? undefined : (order?.[letter] ?? letter);
  return {
    ...ofItem(item),
    samples: [
      ...graded(item, (right) => [rightness("acc", right, prediction)]),
      ...(prediction === undefined ? [counted("unparsed")] : []),
      ...(finish === "length" ? [counted("cut_off")] : []),
      ...(said.thought ? [counted("thoughts")] : []),
    ],
    ...definite({ prediction }),
    ...listedIn(order),
    detail: { ...about(item), text, finish, promptTokens, tokens, ...definite({ given: prompt }) },
  };
}

/** Of probabilities, less the largest logarithm: what is far below 1 stays a number. */
function shareOf(right: number[], scores: number[]): number {
  const most = Math.max(...scores);
  const shares = scores.map((score) => Math.exp(score - most));
  const sum = (some: number[]) => some.reduce((all, one) => all + one, 0);
  return sum(right.map((option) => shares[option]!)) / sum(shares);
}

/** A rounding above 1 is none. */
const massOn = (scores: number[]): Sample => ({
  metric: "answer_mass",
  value: Math.min(
    1,
    scores.reduce((sum, score) => sum + Math.exp(score), 0),
  ),
  weight: 1,
});

function best(scores: number[]): number {
  let first = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[first]!) first = i;
  return first;
}
