import { definite } from "../definite.js";
import type { JobRecord } from "../events.js";
import { metric as describe, massOf, tellsOfSameOptions, withoutPriors } from "../metrics.js";
import type { JobResult, OptionAnswer } from "../replay/index.js";
import { percent } from "../units.js";
import { type Summary, summarize } from "./summary.js";

/** What a model answers to questions that all have the same options: letters, or yes and no. */
export interface AnswerHabit {
  /** Names of the options. */
  options: string[];
  /** Questions that were asked. */
  n: number;
  /** By option: how many answers it is, and how many it is right for. */
  predicted: number[];
  right: number[];
  /** Answers that name none. */
  none: number;
  /** The probability that falls on the options, of all that could stand there: mean over the questions, 0 … 1. */
  mass?: number;
  /**
   * The accuracy of the answers less what the model favours whatever is asked, see `withoutPrior`: a diagnostic. Absent where no
   * probabilities were told, or no answer has a key.
   */
  corrected?: Summary;
}

/** Undefined where nothing was answered, or the questions have options of their own. The options are letters unless the task names them. */
export function habitOf(
  result: Pick<JobResult, "answers" | "clusters" | "metrics">,
  { settings, task }: Pick<JobRecord, "settings" | "task">,
): AnswerHabit | undefined {
  const byLetter = settings.by === "letter" || settings.by === "generation";
  const answers =
    byLetter || result.metrics.some((name) => tellsOfSameOptions(describe(name))) ? result.answers().map(asListed) : [];
  if (answers.length === 0) return undefined;
  const count = answers.reduce(
    (most, { scores = [], prediction = 0, gold = 0 }) => Math.max(most, scores.length, prediction + 1, gold + 1),
    2,
  );
  // Under letters in an order of each question's own, a habit is one of letters.
  const names = answers.some(({ order }) => order) ? undefined : task?.answers;
  const options = names ?? Array.from({ length: count }, (_, option) => String.fromCharCode(65 + option));
  const counted = (of: (one: OptionAnswer) => number | undefined) =>
    options.map((_, option) => answers.filter((one) => of(one) === option).length);
  const scored = answers.filter(({ scores }) => scores?.every(Number.isFinite));
  const masses = scored.map(({ scores }) => massOf(scores!));
  const { clusters } = result;
  const rights = withoutPrior(scored).flatMap(({ item, gold, prediction }) =>
    gold === undefined ? [] : [{ item, value: prediction === gold ? 1 : 0, weight: 1 }],
  );
  return {
    options,
    n: answers.length,
    predicted: counted(({ prediction }) => prediction),
    right: counted(({ gold }) => gold),
    none: answers.filter(({ prediction }) => prediction === undefined).length,
    ...definite({
      mass: masses.length > 0 ? masses.reduce((sum, one) => sum + one, 0) / masses.length : undefined,
      corrected: rights.length > 0 ? summarize(withoutPriors, rights, definite({ clusters })) : undefined,
    }),
  };
}

/** Options by their places in the question, where it lists them in an order of its own. */
function asListed(one: OptionAnswer): OptionAnswer {
  const { item, order, prediction, gold, scores } = one;
  if (!order) return one;
  const placeOf = (option: number | undefined) => (option === undefined ? undefined : order.indexOf(option));
  return definite({
    ...{ item, order, prediction: placeOf(prediction), gold: placeOf(gold) },
    scores: scores && order.map((option) => scores[option]!),
  });
}

/**
 * The answers once each option's mean log-probability over all questions, its prior, is subtracted from its own: what the model
 * says more than it always says. After batch calibration (Zhou et al. 2024, "Batch Calibration: Rethinking Calibration for
 * In-Context Learning and Prompt Engineering"), with the mean taken of logarithms; contextual calibration (Zhao et al. 2021,
 * "Calibrate Before Use") takes the prior from an empty question. It uses no key, and all questions at once: a model that is
 * asked one question cannot do it.
 */
function withoutPrior(answers: OptionAnswer[]): OptionAnswer[] {
  const [sums, counts]: [number[], number[]] = [[], []];
  for (const { scores } of answers)
    scores!.forEach((score, option) => {
      sums[option] = (sums[option] ?? 0) + score;
      counts[option] = (counts[option] ?? 0) + 1;
    });
  return answers.map((one) => {
    const corrected = one.scores!.map((score, option) => score - sums[option]! / counts[option]!);
    return { ...one, prediction: corrected.indexOf(Math.max(...corrected)) };
  });
}

/** The answer that is right most often, and in what share of the questions: what a model gets that always gives it. Undefined without keys. */
export function constantIn({ options, right }: AnswerHabit): { option: string; share: number } | undefined {
  const keyed = right.reduce((sum, one) => sum + one, 0);
  const most = Math.max(...right);
  return keyed === 0 ? undefined : { option: options[right.indexOf(most)]!, share: most / keyed };
}

/** Below this share of the probability on the options, the model is asked in a form in which it does not answer. */
const leastMass = 0.2;

/** What a reader of the accuracy should know of how its answers came about: phrases. */
export function warningsOf(habit: AnswerHabit): string[] {
  const { options, n, mass } = habit;
  const most = favourite(habit);
  return [
    ...(most ? [`answers ${most.option} in ${percent(most.share)} of ${n} questions`] : []),
    ...(mass !== undefined && mass < leastMass
      ? [
          `${percent(mass, 1)} of the probability falls on ${options.join(", ")}: the model does not answer in this form by itself`,
        ]
      : []),
  ];
}

/** A few answers that are alike are no habit yet. */
const fewestAnswers = 10;

/** The answer that stands for more than half way from an equal share to all of them. */
function favourite({ options, predicted, n }: AnswerHabit): { option: string; share: number } | undefined {
  if (n < fewestAnswers) return undefined;
  const most = Math.max(...predicted);
  const share = most / n;
  return share >= (1 + 1 / options.length) / 2 ? { option: options[predicted.indexOf(most)]!, share } : undefined;
}
