import { z } from "zod";
import type { Answer, Prompt } from "../backends/backend.js";
import { sequencesFor } from "../backends/generation.js";
import { withoutThought } from "../chat/thought.js";
import { type GenerationItem, textOf } from "../data/index.js";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import type { Measured } from "../events.js";
import { type ScoreRule, scoreOf } from "../scores/index.js";
import type { MeasureContext, Measurement } from "./measurement.js";
import { inPart, limited, limitHelp, partOfTask } from "./questions.js";

const settings = z
  .strictObject({
    limit: z.int().min(1).max(1_000_000_000).optional().describe(limitHelp),
    maxTokens: z
      .int()
      .min(1)
      .max(1_048_576)
      .optional()
      .describe("Most tokens of an answer, by default what the card says; models that think first need more."),
    truncate: z
      .int()
      .min(2)
      .optional()
      .describe("Of a question of more tokens the middle goes; by default what the card says."),
    temperature: z
      .number()
      .min(0)
      .max(10)
      .optional()
      .describe("0, the default, for the most likely token each time; else tokens are drawn."),
    topK: z
      .int()
      .min(1)
      .optional()
      .describe("At a temperature: tokens are drawn from so many of the most likely ones."),
    topP: z
      .number()
      .gt(0)
      .max(1)
      .optional()
      .describe("At a temperature: tokens are drawn from the fewest that have this probability together."),
    repetitionPenalty: z
      .number()
      .gt(0)
      .max(10)
      .optional()
      .describe(
        "Above 1: tokens that stand in the prompt or the answer are less likely again, as transformers does it.",
      ),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .optional()
      .describe("At a temperature: of the draws."),
    template: z
      .enum(["model", "none"])
      .optional()
      .describe(
        "`model` asks in the model's chat template where it has one, `none` with a text to go on with; by default as the card says.",
      ),
  })
  .superRefine(({ temperature = 0, ...said }, context) => {
    for (const key of temperature > 0 ? [] : ofDraws)
      if (said[key] !== undefined)
        context.addIssue({
          ...{ code: "custom", path: [key], message: "at a temperature of 0 nothing is drawn" },
          params: { hint: `Add a \`temperature\` above 0, or leave \`${key}\` out.` },
        });
  });
type GenerationSettings = z.infer<typeof settings>;
const ofDraws = ["topK", "topP", "seed"] as const;

/**
 * Scores of what a model writes in answer to questions, by the rules of the data's card (`scoreOf`). The text is scored without
 * its thoughts. An answer of which a rule can extract nothing scores 0, and counts as `unparsed` if that is the first rule; one that
 * was cut off at `maxTokens` is scored as it stands, and counts as `cut_off`.
 *
 * A question that does not fit is not asked: its item says so, and no score counts it. One whose data hold no answer is asked, what
 * is written kept, and counted as `ungraded`.
 */
export const generation: Measurement<GenerationSettings, "generation", "generation"> = {
  name: "generation",
  settings,
  needs: () => ["generation"],
  data: "generation",
  mode: { kind: "alone" },
  machineBound: false,
  rule: 1,
  metrics(_, data) {
    const { items = [], scores = [] } = data ?? {};
    const keyless = items.filter(isKeyless).length;
    const graded = keyless < items.length || keyless === 0 ? scores.map(({ metric }) => metric) : [];
    return [...graded, ...tallies, ...(keyless > 0 ? ["ungraded"] : [])];
  },

  /** A token is a byte of text at least. */
  cost({ limit = Infinity, maxTokens, truncate: said }, data, { trained = Infinity }) {
    const { items = [], truncate = Infinity } = { ...data, ...definite({ truncate: said }) };
    const asked = limited(items, limit);
    const most = maxTokens ?? data?.maxTokens ?? 0;
    let [largest, prompt] = [aside, 0];
    for (const item of asked) {
      const [last = "", ...others] = textsOf(item).reverse();
      const around = others.reduce((sum, text) => sum + Buffer.byteLength(text), item.messages ? framed : aside);
      const bytes = Buffer.byteLength(last);
      largest = Math.max(largest, around + Math.min(bytes, truncate));
      prompt += around / 4 + Math.min(bytes / 4, truncate);
    }
    const context = Math.min(largest + most, trained);
    const parallel = sequencesFor(context);
    return { context, parallel, rows: parallel, prompt, generated: asked.length * most };
  },

  measure(context) {
    const { settings, data } = context;
    const { limit, maxTokens = data.maxTokens } = settings;
    // Prompts are decoded one by one, whatever they have in common; a token stands for four bytes of text, roughly.
    const weigh = (item: GenerationItem) => ({
      text: "",
      more: Buffer.byteLength(textsOf(item).join("")) + 4 * maxTokens,
    });
    return partOfTask(inPart(context, limited(data.items, limit), weigh, answersOf), data.items, limit);
  },
};

type AnswerContext = MeasureContext<GenerationSettings, "generation", "generation">;

async function* answersOf({ engine, settings, data, done, progress }: AnswerContext): AsyncGenerator<Measured> {
  const { limit, temperature = 0, topK, topP, repetitionPenalty, seed = 0 } = settings;
  const { maxTokens = data.maxTokens, truncate = data.truncate } = settings;
  const asked = limited(data.items, limit);
  const byId = new Map(asked.map((item) => [item.id, item]));
  const { chats } = engine.generation;
  const prompts: Prompt[] = [];
  for (const item of asked) {
    const prompt = promptOf(item, settings, chats);
    if (prompt) prompts.push(prompt);
    else if (!done.has(item.id)) yield unasked(item, "it is a conversation, and `template: none` wants a text");
  }
  const answers = engine.generation.answer(prompts, {
    ...{ done, maxTokens, stop: data.stop, temperature, seed },
    ...definite({ truncate, topK, topP, repetitionPenalty, show: asked[0]?.id }),
    progress: (count) => progress(count, asked.length, "questions"),
  });
  for await (const answer of answers) yield written(byId.get(answer.id)!, answer, data.scores);
}

const isKeyless = ({ answers }: GenerationItem) => answers.length === 0;

const tallies = ["unparsed", "cut_off", "thoughts"];

/** Bytes for BOS and the blank that some tokenizers put before a text; and for what a chat template puts around one. */
const aside = 8;
const framed = 512;

const textsOf = (item: GenerationItem): string[] => item.messages?.map(({ content }) => content) ?? [textOf(item)!];

/** Undefined for a conversation that is wanted as a text. */
function promptOf(item: GenerationItem, { template }: GenerationSettings, chats: boolean): Prompt | undefined {
  const { id, messages } = item;
  const text = textOf(item);
  if (template === "none") return text === undefined ? undefined : { id, text };
  if (text === undefined) return { id, messages: messages! };
  if (!chats) return { id, text };
  if (messages) return { id, messages };
  return template === "model" ? { id, messages: [{ role: "user", content: text }] } : { id, text };
}

const ofItem = ({ id, cluster }: GenerationItem) => ({ item: id, ...definite({ cluster }) });

/** For the eye. */
const about = (item: GenerationItem) => ({
  prompt: sha256(textOf(item) ?? item.messages!.map(({ role, content }) => `${role}\0${content}`).join("\0")).slice(
    0,
    16,
  ),
  gold: item.answers,
});

const tally = (metric: string) => ({ metric, value: 1, weight: 1 });

const unasked = (item: GenerationItem, unanswerable: string): Measured => ({
  ...ofItem(item),
  samples: [tally("unanswerable")],
  unanswerable,
  detail: about(item),
});

/** What a model wrote, and what it is worth by each rule. */
function written(item: GenerationItem, answer: Answer, rules: readonly ScoreRule[]): Measured {
  const { unanswerable, text, finish, promptTokens, tokens, thinks, prompt } = answer;
  if (unanswerable !== undefined) return unasked(item, unanswerable);
  const said = withoutThought(text, thinks);
  const scored = isKeyless(item) ? [] : rules.map((rule) => scoreOf(said.text, item, rule));
  const isRead = said.closed && scored[0]?.extracted !== undefined;
  return {
    ...ofItem(item),
    samples: [
      ...scored.map(({ metric, value }) => ({ metric, value, weight: 1 })),
      ...(scored.length > 0 && !isRead ? [tally("unparsed")] : []),
      ...(isKeyless(item) ? [tally("ungraded")] : []),
      ...(finish === "length" ? [tally("cut_off")] : []),
      ...(said.thought ? [tally("thoughts")] : []),
    ],
    detail: {
      ...about(item),
      ...{ text, finish, promptTokens, tokens },
      extracted: Object.fromEntries(scored.map(({ metric, extracted }) => [metric, extracted ?? null])),
      ...definite({ given: prompt }),
    },
  };
}
