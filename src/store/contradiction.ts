import type { StoredSamples, TokenValues } from "../events.js";
import { countsLeftOut, countsUnread, metric as describe, type KeptAnswer } from "../metrics.js";

/** Relative difference by which a value may be off that is computed from others: these are kept with seven digits or more. */
const within = 1e-5;

/**
 * What in an item contradicts the rest of it, in words: a value that its own values per token do not give, or an answer that its
 * scores do not name. A file holds what is no number as null; it follows from values per token one of which is none.
 */
export function contradictionIn(event: StoredSamples, tokens: Record<string, TokenValues>): string | undefined {
  const { samples, prediction, scores, detail, unanswerable } = event;
  if (unanswerable !== undefined && scores !== undefined) return "it has scores, and is said not to have been asked";
  const answer = answerOf(event);
  for (const { metric, value, weight, square } of samples) {
    const described = describe(metric);
    const { byTokens, byAnswer } = described;
    if (countsLeftOut(described) && unanswerable === undefined) return `it counts as ${metric}, and does not say why`;
    if (countsUnread(described) && prediction !== undefined)
      return `it counts as ${metric}, and its answer is option ${prediction + 1}`;
    const followed = byTokens?.((name) => (Object.hasOwn(tokens, name) ? tokens[name] : undefined), weight);
    if (followed && !isWithin(value, followed.value, followed.scale))
      return `${metric} is ${value}, and its values per token give ${followed.value}`;
    if (followed?.weight !== undefined && weight !== followed.weight)
      return `${metric} counts ${weight} times, and has ${followed.weight} values per token`;
    if (followed?.square !== undefined && square !== undefined && !isClose(square, followed.square))
      return `the squares of ${metric} are ${square} on average, and its values per token give ${followed.square}`;
    const score = answer && byAnswer?.(answer);
    if (score !== undefined && Math.abs(value - score) > within)
      return `${metric} is ${value}, and its answer gives ${score}`;
  }
  if (isNotBest(prediction, scores))
    return `its answer is option ${prediction! + 1}, which has not the highest of its scores`;
  const { prediction_token: byToken, scores_token: perToken } = detail ?? {};
  if (typeof byToken === "number" && isNotBest(byToken, listed(perToken)))
    return `its answer per token is option ${byToken + 1}, which has not the highest of its scores per token`;
  return undefined;
}

/** What is kept of the answer to a question that was asked and has a key. */
function answerOf({ prediction, gold, scores, detail, unanswerable }: StoredSamples): KeptAnswer | undefined {
  const right = listed(detail?.right) ?? (gold === undefined ? undefined : [gold]);
  if (!right || unanswerable !== undefined) return undefined;
  const { prediction_norm: byLength, prediction_token: byToken } = detail ?? {};
  const known = listed(scores);
  return {
    right,
    ...(prediction === undefined ? {} : { prediction }),
    ...(typeof byLength === "number" ? { byLength } : {}),
    ...(typeof byToken === "number" ? { byToken } : {}),
    ...(known ? { scores: known } : {}),
  };
}

const isWithin = (value: number | null, followed: number, scale: number) =>
  value === null ? !Number.isFinite(followed) : Math.abs(value - followed) <= within * scale + 1e-12;

/** Squares of small values are far smaller still. */
const isClose = (square: number | null, followed: number) =>
  square === null ? !Number.isFinite(followed) : Math.abs(square - followed) <= within * followed;

const isNotBest = (option: number | undefined, scores: readonly (number | null)[] | undefined) => {
  const known = listed(scores);
  return option !== undefined && known !== undefined && known.length > 0 && known[option] !== Math.max(...known);
};

/** A list of numbers; undefined where it is none, or one of them is not a number. */
const listed = (value: unknown): number[] | undefined =>
  Array.isArray(value) && value.every((one) => typeof one === "number") ? value : undefined;
