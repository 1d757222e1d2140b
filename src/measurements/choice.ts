import { createHash } from "node:crypto";
import { z } from "zod";
import type { Engine } from "../backends/backend.js";
import type { ChoiceDataset, ChoiceItem } from "../datasets.js";
import type { Measured } from "../events.js";
import type { Measurement } from "./measurement.js";

const settings = z.strictObject({
  limit: z.int().min(1).optional().describe("How many questions from the start; by default all."),
  context: z
    .int()
    .min(64)
    .max(1_048_576)
    .default(512)
    .describe("Tokens per batch; a question that needs more, its options included, is unanswerable."),
});
type Settings = z.infer<typeof settings>;

/**
 * Accuracy by likelihood: the option that the model finds most likely as a continuation of the question is its answer.
 *
 * Context, delimiter and option are tokenized together, with BOS; the tokens that all options share form the prefix, which
 * is decoded once. Two scores of one decode:
 * - `acc`: mean log-probability per token of what follows the prefix, the rule of llama-perplexity's --hellaswag;
 * - `acc_norm`: log-probability of the option per character of its text, lm-eval's rule.
 * On a tie the earlier option wins, as in both.
 *
 * Questions are packed into batches in the order of the file, from all questions and not from those that are left, so
 * that a resumed job decodes the very same batches.
 */
export const choice: Measurement<Settings> = {
  name: "choice",
  rule: 1,
  settings,
  needs: ["options"],
  data: "choice",
  interleaved: false,
  lockStep: false,
  machineBound: false,
  metrics: () => ["acc", "acc_norm"],
  context: ({ context }) => ({ context, parallel: 1, rows: 512 }),

  async *measure({ engine, settings, dataset, done, progress }) {
    const { items, delimiter } = dataset as ChoiceDataset;
    const asked = items.slice(0, settings.limit);
    const capacity = engine.optionBatch(settings.context);
    progress(0, asked.length, "questions");
    for (const batch of packed(asked, engine, delimiter, capacity)) {
      progress(batch.first, asked.length, "questions");
      if (batch.questions.every(({ item }) => done.has(item.id))) continue;
      const fitting = batch.questions.filter((question) => fits(question, capacity));
      const scores = fitting.length > 0 ? await engine.scoreOptions(fitting, settings.context) : [];
      for (const question of batch.questions)
        if (!done.has(question.item.id)) yield answer(question, scores[fitting.indexOf(question)]);
    }
  },
};

interface Question {
  item: ChoiceItem;
  prefix: Int32Array;
  options: Int32Array[];
  /** To be decoded: of the prefix and of all options but their last ones. */
  tokens: number;
}

type Capacity = ReturnType<Engine["optionBatch"]>;

const fits = (question: Question, capacity: Capacity) =>
  question.tokens <= capacity.tokens && question.options.length <= capacity.options;

/** Questions in file order, as many to a batch as have room. One that is too large for any stands alone, undecoded. */
function* packed(items: ChoiceItem[], engine: Engine, delimiter: string, capacity: Capacity) {
  let questions: Question[] = [];
  let tokens = 0;
  let options = 0;
  let first = 0;
  for (const item of items) {
    const question = tokenized(item, engine, delimiter);
    const full = tokens + question.tokens > capacity.tokens || options + question.options.length > capacity.options;
    if (full && questions.length > 0) {
      yield { first, questions };
      first += questions.length;
      questions = [];
      tokens = 0;
      options = 0;
    }
    questions.push(question);
    tokens += question.tokens;
    options += question.options.length;
  }
  if (questions.length > 0) yield { first, questions };
}

function tokenized(item: ChoiceItem, engine: Engine, delimiter: string): Question {
  const whole = item.options.map((option) => engine.tokenize(item.context + delimiter + option, true));
  const shortest = Math.min(...whole.map((tokens) => tokens.length));
  // At least one token of every option is left to be scored, and one before it to predict it.
  let shared = 0;
  while (shared < shortest - 1 && whole.every((tokens) => tokens[shared] === whole[0]![shared])) shared++;
  const options = whole.map((tokens) => tokens.subarray(shared));
  const tokens = shared + options.reduce((sum, option) => sum + option.length - 1, 0);
  return { item, prefix: whole[0]!.subarray(0, shared), options, tokens };
}

/** `nll`: [option][token], absent for a question that does not fit: it is counted as wrong and said. */
function answer({ item, prefix, options }: Question, nll: Float64Array[] | undefined): Measured {
  const cluster = item.cluster === undefined ? {} : { cluster: item.cluster };
  const prompt = createHash("sha256")
    .update([item.context, ...item.options].join("\0"))
    .digest("hex")
    .slice(0, 16);
  if (!nll || prefix.length === 0)
    return {
      item: item.id,
      samples: ["acc", "acc_norm"].map((metric) => ({ metric, value: 0, weight: 1 })),
      detail: { unanswerable: true, prompt, gold: item.gold, ...cluster },
    };
  const sums = nll.map((values) => -values.reduce((sum, value) => sum + value, 0));
  const perToken = sums.map((sum, i) => sum / options[i]!.length);
  const perCharacter = sums.map((sum, i) => sum / [...item.options[i]!].length);
  const [byToken, byCharacter] = [best(perToken), best(perCharacter)];
  return {
    item: item.id,
    samples: [
      { metric: "acc", value: byToken === item.gold ? 1 : 0, weight: 1 },
      { metric: "acc_norm", value: byCharacter === item.gold ? 1 : 0, weight: 1 },
    ],
    detail: {
      prompt,
      gold: item.gold,
      prediction: byToken,
      prediction_norm: byCharacter,
      /** Sum of log-probabilities in nats, and tokens, of each option. */
      scores: sums,
      tokens: options.map((option) => option.length),
      ...cluster,
    },
  };
}

function best(scores: number[]): number {
  let first = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[first]!) first = i;
  return first;
}
