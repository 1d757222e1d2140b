import { type Answer, contextsOf, type OptionScores } from "../backends/backend.js";
import { withoutThought } from "../chat/thought.js";
import type { ChoiceItem } from "../data/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import type { Measured, Sample } from "../events.js";
import { metric as describe, type KeptAnswer } from "../metrics.js";
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
export const scoredBy = (scoring: Scoring): string[] => [
  ...rulesOf(scoring),
  ...(scoring.sameOptions ? ["answer_mass"] : []),
];

/** Those of them that take a key. */
const rulesOf = ({ mass, sameLength }: Scoring): string[] =>
  mass ? ["mc2"] : sameLength ? ["acc"] : ["acc", "acc_norm", "acc_token"];

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

/** By the rule that the metric itself says, so that whoever checks a stored answer finds the same. */
const scored = (metric: string, answer: KeptAnswer): Sample => ({
  ...{ metric, value: describe(metric).byAnswer!(answer)!, weight: 1 },
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
  scoring: Scoring,
): Measured {
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const scores = options.map(({ sum }) => sum);
  const perToken = options.map(({ mean }) => mean);
  const prediction = best(scores);
  const byLength = scoring.mass || scoring.sameLength;
  const norm = best(scores.map((one, i) => one / [...item.options[i]!].length));
  const token = best(perToken);
  const answer = { prediction, byLength: norm, byToken: token, scores };
  return {
    ...ofItem(item),
    samples: [
      ...graded(item, (right) => rulesOf(scoring).map((metric) => scored(metric, { ...answer, right }))),
      ...(scoring.sameOptions ? [massOn(scores)] : []),
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
    samples: [...graded(item, (right) => [scored("acc", { prediction, right })]), massOn(scores)],
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
      ...graded(item, (right) => [scored("acc", { right, ...definite({ prediction }) })]),
      ...(prediction === undefined ? [counted("unparsed")] : []),
      ...(finish === "length" ? [counted("cut_off")] : []),
      ...(said.thought ? [counted("thoughts")] : []),
    ],
    ...definite({ prediction }),
    ...listedIn(order),
    detail: { ...about(item), text, finish, promptTokens, tokens, ...definite({ given: prompt }) },
  };
}

const massOn = (scores: number[]): Sample => scored("answer_mass", { scores, right: [] });

function best(scores: number[]): number {
  let first = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[first]!) first = i;
  return first;
}
