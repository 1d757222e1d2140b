import type { StoredSamples, TokenValues } from "../events.js";
import { metric as describe, type KeptAnswer } from "../metrics.js";

/** Relative difference by which a value may be off that is computed from others: these are kept with seven digits or more. */
const within = 1e-5;

/**
 * What in an item contradicts the rest of it, in words: a value that its own values per token do not give, or an answer that its
 * scores do not name.
 */
export function contradictionIn(
  { samples, prediction, gold, scores, detail, unanswerable }: StoredSamples,
  tokens: Record<string, TokenValues>,
): string | undefined {
  if (unanswerable !== undefined && scores !== undefined) return "it has scores, and is said not to have been asked";
  for (const { metric, value, weight, square } of samples) {
    const { byTokens, byAnswer } = describe(metric);
    const followed = byTokens?.((name) => (Object.hasOwn(tokens, name) ? tokens[name] : undefined), weight);
    if (followed && !(Math.abs(value - followed.value) <= within * followed.scale + 1e-12))
      return `${metric} is ${value}, and its values per token give ${followed.value}`;
    if (followed?.weight !== undefined && weight !== followed.weight)
      return `${metric} counts ${weight} times, and has ${followed.weight} values per token`;
    if (followed?.square !== undefined && square !== undefined && !isClose(square, followed.square))
      return `the squares of ${metric} are ${square} on average, and its values per token give ${followed.square}`;
    const right = listed(detail?.right) ?? (gold === undefined ? undefined : [gold]);
    if (!right || unanswerable !== undefined) continue;
    const answer: KeptAnswer = {
      right,
      ...(prediction === undefined ? {} : { prediction }),
      ...(scores ? { scores } : {}),
    };
    const score = byAnswer?.(answer);
    if (score !== undefined && Math.abs(value - score) > within)
      return `${metric} is ${value}, and its answer gives ${score}`;
  }
  if (prediction !== undefined && scores && scores.length > 0 && scores[prediction] !== Math.max(...scores))
    return `its answer is option ${prediction + 1}, which has not the highest of its scores`;
  return undefined;
}

const isClose = (one: number, other: number) =>
  Math.abs(one - other) <= within * Math.max(Math.abs(one), Math.abs(other));

const listed = (value: unknown): number[] | undefined =>
  Array.isArray(value) && value.every((one) => typeof one === "number") ? value : undefined;
