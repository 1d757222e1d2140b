import { z } from "zod";
import type { Answer, OptionScores, Prompt } from "../backends/backend.js";
import { sequencesFor } from "../backends/generation.js";
import type { ChoiceItem } from "../data/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import type { Measured } from "../events.js";
import { lettered, mostLetters, optionNamed } from "./letters.js";
import type { MeasureContext, Measurement } from "./measurement.js";

const ways = ["likelihood", "letter", "generation"] as const;
type Way = (typeof ways)[number];

/** What an answer takes at most, where nothing else is said. */
const defaultMaxTokens = 64;

const settings = z
  .strictObject({
    limit: z.int().min(1).max(1_000_000_000).optional().describe("How many questions from the start; by default all."),
    by: z
      .enum(ways)
      .optional()
      .describe(
        "How a model answers: by the `likelihood` of each option (the default), by that of each option's `letter`, or by a `generation` in which its letter is looked for.",
      ),
    context: z
      .int()
      .min(64)
      .max(1_048_576)
      .optional()
      .describe(
        "Most tokens of a question with one of its options; by default what the model was trained for. One that needs more is not asked, and counted.",
      ),
    maxTokens: z
      .int()
      .min(1)
      .max(1_048_576)
      .optional()
      .describe(
        `By generation: most tokens of an answer, ${defaultMaxTokens} by default; models that think first need more.`,
      ),
    temperature: z
      .number()
      .min(0)
      .max(10)
      .optional()
      .describe("By generation: 0, the default, for the most likely token each time; else tokens are drawn."),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .optional()
      .describe("By generation at a temperature: of the draws."),
    template: z
      .enum(["model", "none"])
      .optional()
      .describe(
        "By generation: `model`, the default, asks in the model's chat template where it has one; `none` as a text to go on with.",
      ),
  })
  .refine(({ by, context }) => by !== "generation" || context === undefined, {
    path: ["context"],
    message: "it bounds a question with an option; by generation, an answer has `maxTokens`",
  })
  .refine((said) => said.by === "generation" || ofGeneration.every((key) => said[key] === undefined), {
    path: ["by"],
    message: "maxTokens, temperature, seed and template need `by: generation`",
  });
type ChoiceSettings = z.infer<typeof settings>;
const ofGeneration = ["maxTokens", "temperature", "seed", "template"] as const;

type ChoicePart = "options" | "letters" | "generation";
const partOf: Record<Way, ChoicePart> = { likelihood: "options", letter: "letters", generation: "generation" };
const wayOf = ({ by = "likelihood" }: Pick<ChoiceSettings, "by">): Way => by;

/**
 * Accuracy on questions with options.
 *
 * By likelihood: the option that the model finds most likely as a continuation of the question is its answer. From one decode:
 * - `acc`: sum of the log-probabilities of all tokens of the continuation, lm-eval's rule;
 * - `acc_norm`: the same sum per character of the option, lm-eval's rule;
 * - `acc_token`: their mean over the tokens after those that all options begin with, the rule of llama-perplexity's
 *   --hellaswag.
 * On a tie the earlier option wins, as in both.
 *
 * By letter and by generation the question shows the options, each under a letter (`lettered`); the answer is the most likely
 * letter, or the one that is found in the text that the model writes (`optionNamed`). A text without one is wrong, and counted
 * as `unparsed`.
 *
 * A question that does not fit, or whose option begins at no token, is not asked: its item says so, and no accuracy counts it.
 */
export const choice: Measurement<ChoiceSettings, "choice", ChoicePart> = {
  name: "choice",
  settings,
  needs: (settings) => [partOf[wayOf(settings)]],
  /** Whatever writes text can be asked. */
  instead: ({ context: _, ...settings }) =>
    wayOf(settings) === "generation" ? undefined : { ...settings, by: "generation" },
  method: (settings) => {
    const way = wayOf(settings);
    return way === "likelihood" ? undefined : `by ${way}`;
  },
  data: "choice",
  mode: { kind: "alone" },
  machineBound: false,
  rule: 2,
  metrics: (settings) => [...metrics[wayOf(settings)]],

  /** A token is a byte of text at least, so the largest question's bytes bound what it needs; several fill a micro-batch. */
  cost(
    { limit = Infinity, context = Infinity, by, maxTokens = defaultMaxTokens },
    data,
    { ubatch, trained = Infinity },
  ) {
    const { items = [], delimiter = "", bytes = 0 } = data ?? {};
    const bytesOf = (item: ChoiceItem) =>
      item.options.reduce((sum, option) => sum + Buffer.byteLength(delimiter + option), contextBytes(item) + aside);
    const asked = items.slice(0, limit);
    const largest = asked.reduce((most, item) => Math.max(most, bytesOf(item)), 0);
    const share = Math.min(1, limit / Math.max(1, items.length));
    const prompt = (share * bytes) / 4;
    if (by === "generation") {
      const held = Math.min(largest + maxTokens, trained);
      const parallel = sequencesFor(held);
      return { context: held, parallel, rows: parallel, prompt, generated: asked.length * maxTokens };
    }
    const held = { context: Math.min(Math.max(largest, ubatch), context, trained), parallel: 1, rows: ubatch };
    return { ...held, prompt, generated: 0 };
  },

  measure: (context) => measureBy[wayOf(context.settings)](context),
};

const metrics: Record<Way, readonly string[]> = {
  likelihood: ["acc", "acc_norm", "acc_token"],
  letter: ["acc"],
  generation: ["acc", "unparsed"],
};

type ChoiceContext = MeasureContext<ChoiceSettings, "choice", ChoicePart>;

const measureBy: Record<Way, (context: ChoiceContext) => AsyncGenerator<Measured>> = {
  async *likelihood({ engine, settings: { limit, context }, data: { items, delimiter }, done, progress }) {
    const asked = items.slice(0, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    const answers = engine.options.score(
      asked.map((item) => ({ ...item, delimiter, ...definite({ group: item.cluster }) })),
      { done, context, progress: (questions) => progress(questions, asked.length, "questions") },
    );
    for await (const scores of answers) yield answered(byId.get(scores.id)!, scores);
  },

  async *letter({ engine, settings: { limit, context }, data: { items, delimiter }, done, progress }) {
    const asked = items.slice(0, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    yield* withoutLetters(asked, done);
    const questions = asked.filter(isLettered).map((item) => {
      const { letters, ...question } = lettered(item, delimiter);
      return { id: item.id, ...question, options: letters };
    });
    const answers = engine.letters.score(questions, {
      ...{ done, context, progress: (count: number) => progress(count, asked.length, "questions") },
    });
    for await (const { id, unanswerable, options } of answers) {
      const item = byId.get(id)!;
      if (unanswerable !== undefined) yield unasked(item, unanswerable);
      else {
        const scores = options.map(({ sum }) => sum);
        yield {
          ...ofItem(item),
          samples: [rightness(item, best(scores))],
          detail: { ...about(item), prediction: best(scores), scores },
        };
      }
    }
  },

  async *generation({ engine, settings, data: { items, delimiter }, done, progress }) {
    const { limit, maxTokens = defaultMaxTokens, temperature = 0, seed = 0, template = "model" } = settings;
    const asked = items.slice(0, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    yield* withoutLetters(asked, done);
    const { chats } = engine.generation;
    const prompts = asked.filter(isLettered).map((item): Prompt => {
      const spoken = template === "model" && chats;
      const text = lettered(item, delimiter, { spoken }).context.trimEnd();
      return spoken ? { id: item.id, messages: [{ role: "user", content: text }] } : { id: item.id, text };
    });
    const answers = engine.generation.answer(prompts, {
      ...{ done, maxTokens, stop: [], temperature, seed },
      progress: (count) => progress(count, asked.length, "questions"),
    });
    for await (const answer of answers) yield written(byId.get(answer.id)!, answer);
  },
};

/** Bytes for BOS and the blank that some tokenizers put before a text. */
const aside = 8;

const ofItem = ({ id, cluster }: ChoiceItem) => ({ item: id, ...definite({ cluster }) });

/** For the eye. */
const about = (item: ChoiceItem) => ({
  prompt: sha256([...textsOf(item), ...item.options].join("\0")).slice(0, 16),
  ...definite({ gold: item.gold }),
});

function textsOf(item: ChoiceItem): readonly string[] {
  if ("context" in item) return [item.context];
  return "contexts" in item ? item.contexts : item.messages.map(({ role, content }) => `${role}\0${content}`);
}

const contextBytes = (item: ChoiceItem) => textsOf(item).reduce((sum, text) => sum + Buffer.byteLength(text), 0);

const unasked = (item: ChoiceItem, unanswerable: string): Measured => ({
  ...ofItem(item),
  samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
  unanswerable,
  detail: about(item),
});

const isLettered = (item: ChoiceItem): item is ChoiceItem & { context: string } =>
  "context" in item && item.options.length <= mostLetters;

function* withoutLetters(asked: readonly ChoiceItem[], done: ReadonlySet<string>): Generator<Measured> {
  for (const item of asked)
    if (!isLettered(item) && !done.has(item.id))
      yield unasked(
        item,
        "context" in item
          ? `it has ${item.options.length} options, and there are ${mostLetters} letters`
          : "it is no text with letters after it",
      );
}

const rightness = ({ gold }: ChoiceItem, prediction: number | undefined, metric = "acc") => ({
  ...{ metric, value: prediction === gold ? 1 : 0, weight: 1 },
});

function answered(item: ChoiceItem, { unanswerable, options, alone }: OptionScores): Measured {
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const whole = options.map(({ sum }) => sum);
  const perCharacter = whole.map((one, i) => one / [...item.options[i]!].length);
  const perToken = options.map(({ mean }) => mean);
  const predictions = [whole, perCharacter, perToken].map(best);
  return {
    ...ofItem(item),
    samples: metrics.likelihood.map((metric, i) => rightness(item, predictions[i], metric)),
    ...definite({ alone }),
    detail: {
      ...about(item),
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

/** What a model wrote, and which option that names. */
function written(item: ChoiceItem, { unanswerable, text, finish, promptTokens, tokens }: Answer): Measured {
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const prediction = optionNamed(text, item.options.length);
  const unparsed = { metric: "unparsed", value: 1, weight: 1 };
  return {
    ...ofItem(item),
    samples: [rightness(item, prediction), ...(prediction === undefined ? [unparsed] : [])],
    detail: { ...about(item), ...definite({ prediction }), text, finish, promptTokens, tokens },
  };
}

function best(scores: number[]): number {
  let first = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[first]!) first = i;
  return first;
}
