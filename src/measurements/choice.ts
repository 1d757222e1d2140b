import { createHash } from "node:crypto";
import { z } from "zod";
import type { OptionScores } from "../backends/backend.js";
import type { ChoiceItem } from "../data/index.js";
import { definite } from "../definite.js";
import type { Measured } from "../events.js";
import type { Measurement } from "./measurement.js";

const settings = z.strictObject({
  limit: z.int().min(1).max(1_000_000_000).optional().describe("How many questions from the start; by default all."),
  context: z
    .int()
    .min(64)
    .max(1_048_576)
    .optional()
    .describe(
      "Most tokens of a question with one of its options; by default what the model was trained for. One that needs more is not asked, and counted.",
    ),
});
type ChoiceSettings = z.infer<typeof settings>;

/**
 * Accuracy by likelihood: the option that the model finds most likely as a continuation of the question is its answer. From
 * one decode:
 * - `acc`: sum of the log-probabilities of all tokens of the continuation, lm-eval's rule;
 * - `acc_norm`: the same sum per character of the option, lm-eval's rule;
 * - `acc_token`: their mean over the tokens after those that all options begin with, the rule of llama-perplexity's
 *   --hellaswag.
 * On a tie the earlier option wins, as in both.
 *
 * A question that does not fit, or whose option begins at no token, is not asked: its item says so, and no accuracy counts it.
 */
export const choice: Measurement<ChoiceSettings, "choice", "options"> = {
  name: "choice",
  settings,
  needs: () => ["options"],
  data: "choice",
  mode: { kind: "alone" },
  machineBound: false,
  rule: 2,
  metrics: () => [...metrics],

  /** A token is a byte of text at least, so the largest question's bytes bound what it needs; several fill a micro-batch. */
  cost({ limit = Infinity, context = Infinity }, data, { ubatch, trained = Infinity }) {
    const { items = [], delimiter = "", bytes = 0 } = data ?? {};
    const bytesOf = ({ context, options }: ChoiceItem) =>
      options.reduce((sum, option) => sum + Buffer.byteLength(delimiter + option), Buffer.byteLength(context) + aside);
    const largest = items.slice(0, limit).reduce((most, item) => Math.max(most, bytesOf(item)), ubatch);
    const share = Math.min(1, limit / Math.max(1, items.length));
    const held = { context: Math.min(largest, context, trained), parallel: 1, rows: ubatch };
    return { ...held, prompt: (share * bytes) / 4, generated: 0 };
  },

  async *measure({ engine, settings: { limit, context }, data: { items, delimiter }, done, progress }) {
    const asked = items.slice(0, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    const answers = engine.options.score(
      asked.map(({ id, context, options }) => ({ id, context, delimiter, options })),
      { done, context, progress: (questions) => progress(questions, asked.length, "questions") },
    );
    for await (const scores of answers) yield answered(byId.get(scores.id)!, scores);
  },
};

const metrics = ["acc", "acc_norm", "acc_token"] as const;

/** Bytes for BOS and the blank that some tokenizers put before a text. */
const aside = 8;

function answered(item: ChoiceItem, { unanswerable, options, alone }: OptionScores): Measured {
  const cluster = item.cluster === undefined ? {} : { cluster: item.cluster };
  const prompt = createHash("sha256")
    .update([item.context, ...item.options].join("\0"))
    .digest("hex")
    .slice(0, 16);
  const about = { prompt, gold: item.gold };
  if (unanswerable !== undefined)
    return {
      item: item.id,
      samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
      ...cluster,
      unanswerable,
      detail: about,
    };
  const whole = options.map(({ sum }) => sum);
  const perCharacter = whole.map((one, i) => one / [...item.options[i]!].length);
  const perToken = options.map(({ mean }) => mean);
  const predictions = [whole, perCharacter, perToken].map(best);
  return {
    item: item.id,
    samples: metrics.map((metric, i) => ({ metric, value: predictions[i] === item.gold ? 1 : 0, weight: 1 })),
    ...cluster,
    ...definite({ alone }),
    detail: {
      ...about,
      prediction: predictions[0],
      prediction_norm: predictions[1],
      prediction_token: predictions[2],
      /** Of each option: the sum of log-probabilities in nats, their mean per token of its own, and how many those are. */
      scores: whole,
      scores_token: perToken,
      tokens: options.map(({ tokens }) => tokens),
    },
  };
}

function best(scores: number[]): number {
  let first = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[first]!) first = i;
  return first;
}
