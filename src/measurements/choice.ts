import { z } from "zod";
import { contextsOf, type Prompt, type QuestionContext } from "../backends/backend.js";
import { sequencesFor } from "../backends/generation.js";
import { type ChoiceDataset, type ChoiceItem, sameOptions } from "../data/index.js";
import { definite } from "../definite.js";
import type { Measured } from "../events.js";
import { metric as describe, isQuality } from "../metrics.js";
import { answered, answeredByLetter, type Scoring, scoredBy, textsOf, unasked, written } from "./answers.js";
import { type LetterQuestion, lettered } from "./letters.js";
import type { MeasureContext, Measurement } from "./measurement.js";
import { inPart, limited, limitHelp, partOfTask } from "./questions.js";

const ways = ["likelihood", "letter", "generation"] as const;
type Way = (typeof ways)[number];

/** What an answer takes at most, where nothing else is said. */
const defaultMaxTokens = 64;

const settings = z
  .strictObject({
    limit: z.int().min(1).max(1_000_000_000).optional().describe(limitHelp),
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
  .superRefine((said, { addIssue }) => {
    const key = ofGeneration.find((one) => said[one] !== undefined);
    if (said.by === "generation" || key === undefined) return;
    const hint = `Say \`by: generation\` too, or leave \`${key}\` out.`;
    addIssue({ code: "custom", path: [key], message: "it needs `by: generation`", params: { hint } });
  });
type ChoiceSettings = z.infer<typeof settings>;
const ofGeneration = ["maxTokens", "temperature", "seed", "template"] as const;

type ChoicePart = "options" | "letters" | "generation";
const partOf: Record<Way, ChoicePart> = { likelihood: "options", letter: "letters", generation: "generation" };
const wayOf = ({ by = "likelihood" }: Pick<ChoiceSettings, "by">): Way => by;

/**
 * Accuracy on questions with options.
 *
 * By likelihood: the option that the model finds most likely as a continuation of the question is its answer (`answered`). A
 * task of letters is asked so, too: one row of logits a question, in which its letters' tokens stand.
 *
 * By letter and by generation the question shows the options, each under a letter, in a drawn order (`lettered`); the answer is
 * the most likely letter, or the one that is found in the text that the model writes (`optionNamed`). A text without one is
 * wrong, and counted as `unparsed`.
 *
 * A question that does not fit, or whose option begins at no token, is not asked: its item says so, and no accuracy counts it.
 * One whose data hold no key is asked, its answer kept, and counted as `ungraded`.
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
  rule: 3,

  metrics(settings, data) {
    const { items = [] } = data ?? {};
    const keyless = items.filter(isKeyless).length;
    const all = metricsOf[wayOf(settings)](data);
    return [
      ...all.filter((name) => keyless === 0 || keyless < items.length || !isGraded(name)),
      ...(keyless > 0 ? ["ungraded"] : []),
    ];
  },

  /** A token is a byte of text at least, so the largest question's bytes bound what it needs; several fill a micro-batch. */
  cost(
    { limit = Infinity, context = Infinity, by, maxTokens = defaultMaxTokens },
    data,
    { ubatch, trained = Infinity },
  ) {
    const { items = [], delimiter = "", bytes = 0 } = data ?? {};
    const bytesOf = (item: ChoiceItem) => contextBytes(item) + aside + optionBytes(item, { delimiter });
    const asked = limited(items, limit);
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

  unfit(settings, { items, delimiter }) {
    const way = wayOf(settings);
    if (way === "likelihood") return undefined;
    let reason: LetterQuestion | string = "";
    for (const item of items) {
      reason = lettered(item, delimiter);
      if (typeof reason !== "string") return undefined;
    }
    return `no question can be asked by ${way}: ${reason}; \`by: likelihood\` scores the options' texts`;
  },

  measure(context) {
    const { settings, data } = context;
    const { limit, maxTokens = defaultMaxTokens } = settings;
    const way = wayOf(settings);
    const answer = way === "generation" ? maxTokens * bytesPerToken : 0;
    const weigh = (item: ChoiceItem) => ({ text: textsOf(item).join(""), more: optionBytes(item, data) + answer });
    return partOfTask(inPart(context, limited(data.items, limit), weigh, measureBy[way]), data.items, limit);
  },
};

const isKeyless = ({ gold, right }: ChoiceItem) => gold === undefined && right === undefined;
/** Whether it needs a key. */
const isGraded = (metric: string) => isQuality(describe(metric));

/** The metrics of each way. */
const metricsOf: Record<Way, (data: ChoiceDataset | undefined) => string[]> = {
  likelihood: (data) => scoredBy(scoringOf(data)),
  letter: () => ["acc", "answer_mass"],
  generation: () => ["acc", "unparsed", "cut_off", "thoughts"],
};

function scoringOf({ items, score }: Pick<ChoiceDataset, "items" | "score"> = { items: [] }): Scoring {
  const alike = ({ options }: ChoiceItem) => new Set(options.map((option) => [...option].length)).size === 1;
  const short = ({ options }: ChoiceItem) =>
    options.every((option) => [...option].length === 1 || option === options[0]);
  return {
    mass: score === "mass",
    sameLength: items.length > 0 && items.every((item) => alike(item) && short(item)),
    sameOptions: sameOptions(items) !== undefined,
  };
}

type ChoiceContext = MeasureContext<ChoiceSettings, "choice", ChoicePart>;

const measureBy: Record<Way, (context: ChoiceContext) => AsyncGenerator<Measured>> = {
  async *likelihood({ engine, settings: { limit, context }, data, done, progress }) {
    const { items, delimiter } = data;
    const scoring = scoringOf(data);
    const asked = limited(items, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    const answers = engine.options.score(
      asked.map((item) => ({
        ...{ ...contextOf(item, data), id: item.id, options: item.options, delimiter },
        ...definite({ letters: data.letters }),
      })),
      { done, context, show: asked[0]?.id, progress: (questions) => progress(questions, asked.length, "questions") },
    );
    for await (const scores of answers) yield answered(byId.get(scores.id)!, scores, scoring);
  },

  async *letter({ engine, settings: { limit, context }, data: { items, delimiter }, done, progress }) {
    const asked = limited(items, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    const orders = new Map<string, number[]>();
    const questions = asked.flatMap((item) => {
      const question = lettered(item, delimiter);
      if (typeof question === "string") return [];
      const { letters, order, ...put } = question;
      if (order) orders.set(item.id, order);
      // An empty delimiter lets a letter merge with the prompt.
      const own = put.delimiter === "" ? ({ letters: true } as const) : {};
      return [{ ...put, ...own, id: item.id, options: letters, ...definite({ group: item.cluster }) }];
    });
    yield* withoutLetters(asked, delimiter, done);
    const answers = engine.letters.score(questions, {
      ...{
        done,
        context,
        show: questions[0]?.id,
        progress: (count: number) => progress(count, asked.length, "questions"),
      },
    });
    for await (const scores of answers) yield answeredByLetter(byId.get(scores.id)!, scores, orders.get(scores.id));
  },

  async *generation({ engine, settings, data: { items, delimiter }, done, progress }) {
    const { limit, maxTokens = defaultMaxTokens, temperature = 0, seed = 0, template = "model" } = settings;
    const asked = limited(items, limit);
    const byId = new Map(asked.map((item) => [item.id, item]));
    const spoken = template === "model" && engine.generation.chats;
    const orders = new Map<string, number[]>();
    const prompts = asked.flatMap((item): Prompt[] => {
      const question = lettered(item, delimiter, { spoken });
      if (typeof question === "string") return [];
      if (question.order) orders.set(item.id, question.order);
      if ("messages" in question) return [{ id: item.id, messages: question.messages }];
      const text = contextsOf(question)[0]!.trimEnd();
      return [spoken ? { id: item.id, messages: [{ role: "user", content: text }] } : { id: item.id, text }];
    });
    yield* withoutLetters(asked, delimiter, done);
    const answers = engine.generation.answer(prompts, {
      ...{ done, maxTokens, stop: [], temperature, seed, show: prompts[0]?.id },
      progress: (count) => progress(count, asked.length, "questions"),
    });
    for await (const answer of answers) yield written(byId.get(answer.id)!, answer, orders.get(answer.id));
  },
};

/** Bytes for BOS and the blank that some tokenizers put before a text. */
const aside = 8;

/** Of text, roughly. */
const bytesPerToken = 4;

const optionBytes = ({ options }: ChoiceItem, { delimiter }: Pick<ChoiceDataset, "delimiter">) =>
  options.reduce((sum, option) => sum + Buffer.byteLength(delimiter + option), 0);

const contextBytes = (item: ChoiceItem) => textsOf(item).reduce((sum, text) => sum + Buffer.byteLength(text), 0);

/** Questions of a task without subjects begin alike where examples stand before them. */
function contextOf(item: ChoiceItem, { name, task }: ChoiceDataset): QuestionContext & { group?: string } {
  const group = definite({ group: item.cluster ?? (task?.shots ? name : undefined) });
  if ("messages" in item) return { messages: item.messages, ...group };
  const own = definite({ before: item.before });
  return "contexts" in item
    ? { ...own, contexts: item.contexts, ...group }
    : { ...own, context: item.context, ...group };
}

/** The questions that cannot be put with letters. */
function* withoutLetters(
  asked: readonly ChoiceItem[],
  delimiter: string,
  done: ReadonlySet<string>,
): Generator<Measured> {
  for (const item of asked) {
    const reason = done.has(item.id) ? undefined : lettered(item, delimiter);
    if (typeof reason === "string") yield unasked(item, reason);
  }
}
