import { createHash } from "node:crypto";
import { z } from "zod";
import type { Engine, OptionRequest } from "../backends/backend.js";
import type { ChoiceDataset, ChoiceItem } from "../data/index.js";
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
type Settings = z.infer<typeof settings>;

/**
 * Accuracy by likelihood: the option that the model finds most likely as a continuation of the question is its answer.
 *
 * Tokens are cut as lm-eval cuts them: the context by itself, with BOS and less the blanks at its end; then context,
 * delimiter and option together, of which all after the context's number of tokens continue it. Where the two merge at the
 * border, so that the whole does not begin with the context's tokens, the rest still follows the context's own. From one
 * decode:
 * - `acc`: sum of the log-probabilities of all tokens of the continuation, lm-eval's rule;
 * - `acc_norm`: the same sum per character of the option, lm-eval's rule;
 * - `acc_token`: their mean over the tokens after those that all options begin with, the rule of llama-perplexity's
 *   --hellaswag. It knows no border: where lm-eval's merges, its own tokens are decoded besides.
 * On a tie the earlier option wins, as in both.
 *
 * A question that does not fit, or whose option begins at no token, is not asked: its item says so, and no accuracy counts it.
 *
 * Questions are packed into batches in the order of the file, from all questions and not from those that are left, so
 * that a resumed job decodes the very same batches.
 */
export const choice: Measurement<Settings> = {
  name: "choice",
  settings,
  needs: ["options"],
  data: "choice",
  mode: { kind: "alone" },
  machineBound: false,
  rule: 2,
  metrics: () => [...metrics],

  /** A token is a byte of text at least, so the largest question's bytes bound what it needs. */
  cost({ limit = Infinity, context = Infinity }, data, trained = Infinity) {
    const { items = [], delimiter = "", bytes = 0 } = (data ?? {}) as Partial<ChoiceDataset>;
    const bytesOf = ({ context, options }: ChoiceItem) =>
      options.reduce((sum, option) => sum + Buffer.byteLength(delimiter + option), Buffer.byteLength(context) + aside);
    const largest = items.slice(0, limit).reduce((most, item) => Math.max(most, bytesOf(item)), usual);
    const share = Math.min(1, limit / Math.max(1, items.length));
    const held = { context: Math.min(largest, context, trained), parallel: 1, rows: usual };
    return { ...held, prompt: (share * bytes) / 4, generated: 0 };
  },

  async *measure({ engine, settings, dataset, done, progress }) {
    const { items, delimiter } = dataset as ChoiceDataset;
    const asked = items.slice(0, settings.limit);
    const { trainedContext } = engine.facts;
    const most = Math.min(settings.context ?? Infinity, trainedContext > 0 ? trainedContext : Infinity);
    const room = { ...engine.optionBatch(), most };
    const questions = asked.map((item) => {
      progress(0, asked.length, "questions");
      return question(item, engine, delimiter, room);
    });
    const groups = [...packed(questions, room)];
    // One context for the whole job: the scaling of some models' positions depends on its size.
    const size = Math.max(1, ...groups.flatMap(({ batches }) => batches.map(cells)));
    for (const { first, questions, batches } of groups) {
      progress(first, asked.length, "questions");
      if (questions.every(({ item }) => done.has(item.id))) continue;
      const scores = new Map<OptionRequest, Float64Array[]>();
      for (const batch of batches) {
        const scored = await engine.scoreOptions(batch, size);
        for (const [i, request] of batch.entries()) scores.set(request, scored[i]!);
        progress(first, asked.length, "questions");
      }
      for (const question of questions) if (!done.has(question.item.id)) yield answer(question, scores, room);
    }
  },
};

const metrics = ["acc", "acc_norm", "acc_token"] as const;

/** Tokens that a batch of several questions holds at most, as the context that is made for them at least. */
const usual = 512;
/** Bytes for BOS and the blank that some tokenizers put before a text. */
const aside = 8;

interface Room extends ReturnType<Engine["optionBatch"]> {
  /** Tokens of a question with one option. */
  most: number;
}

interface Question {
  item: ChoiceItem;
  /** Undefined for a question that is not asked, with the reason. */
  reason?: string;
  /** The continuations as lm-eval cuts them, and as llama-perplexity does; mostly the same. */
  sums: Form;
  means: Form;
}

/** One way to cut a question into tokens. */
interface Form {
  /** Tokens that all options begin with, scored once. */
  shared: number;
  /** Options in order, in as many requests as it takes. */
  requests: OptionRequest[];
}

function question(item: ChoiceItem, engine: Engine, delimiter: string, room: Room): Question {
  const context = engine.tokenize(withoutBlanks(item.context), true);
  const whole = item.options.map((option) => engine.tokenize(item.context + delimiter + option, true));
  const merged = whole.some((tokens) => !startsWith(tokens, context));
  const sums = form(
    context,
    whole.map((tokens) => tokens.slice(context.length)),
    room,
  );
  const common = commonStart(whole);
  const means = merged
    ? form(
        whole[0]!.slice(0, common),
        whole.map((tokens) => tokens.slice(common)),
        room,
      )
    : sums;
  const reason = sums.reason ?? means.reason;
  return { item, sums, means, ...(reason ? { reason } : {}) };
}

function form(
  context: Int32Array,
  options: Int32Array[],
  { options: most, most: tokens }: Room,
): Form & { reason?: string } {
  if (context.length === 0) return { shared: 0, requests: [], reason: "nothing stands before the option" };
  if (options.some(({ length }) => length === 0))
    return { shared: 0, requests: [], reason: "an option merges with the question into one token" };
  const needed = context.length + Math.max(...options.map(({ length }) => length)) - 1;
  if (needed > tokens) return { shared: 0, requests: [], reason: `it needs ${needed} tokens of ${tokens}` };
  const shared = commonStart(options);
  const prefix = Int32Array.from([...context, ...options[0]!.subarray(0, shared)]);
  const requests: OptionRequest[] = [];
  let size = Infinity;
  for (const option of options) {
    const own = option.slice(shared);
    const last = requests.at(-1);
    if (last && last.options.length < most && size + own.length - 1 <= tokens) last.options.push(own);
    else {
      requests.push({ prefix, scoreFrom: context.length, options: [own] });
      size = prefix.length;
    }
    size += own.length - 1;
  }
  return { shared, requests };
}

/** Tokens that all begin with; at least one of each is left, and one before it to predict it. */
function commonStart(all: Int32Array[]): number {
  const shortest = Math.min(...all.map(({ length }) => length));
  let shared = 0;
  while (shared < shortest - 1 && all.every((tokens) => tokens[shared] === all[0]![shared])) shared++;
  return shared;
}

const startsWith = (tokens: Int32Array, start: Int32Array) =>
  tokens.length >= start.length && start.every((token, i) => tokens[i] === token);

/** Less the blanks at the end, which begin the option in lm-eval (Python's `rstrip`). */
function withoutBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && /[\s\x1c-\x1f\x85]/.test(text[end - 1]!) && text[end - 1] !== "\ufeff") end--;
  return text.slice(0, end);
}

const requestsOf = ({ reason, sums, means }: Question) =>
  reason ? [] : sums === means ? sums.requests : [...sums.requests, ...means.requests];

/** Tokens to be decoded: of the prefix, and of all options but their last ones, which predict nothing that is asked for. */
const cells = (requests: OptionRequest[]) =>
  requests.reduce(
    (sum, { prefix, options }) => options.reduce((all, { length }) => all + length - 1, sum + prefix.length),
    0,
  );

const sequences = (requests: OptionRequest[]) => requests.reduce((sum, { options }) => sum + options.length, 0);

/** Questions in file order, as many to a batch as have room; one that has none in any stands alone, in several. */
function* packed(all: Question[], room: Room) {
  let questions: Question[] = [];
  let batch: OptionRequest[] = [];
  let first = 0;
  const fits = (requests: OptionRequest[]) =>
    cells(requests) <= Math.min(room.tokens, room.most) && sequences(requests) <= room.options;
  const flush = function* (batches: OptionRequest[][]) {
    if (questions.length > 0) yield { first, questions, batches: batches.filter(({ length }) => length > 0) };
    first += questions.length;
    questions = [];
    batch = [];
  };
  for (const question of all) {
    const requests = requestsOf(question);
    if (!fits([...batch, ...requests])) yield* flush([batch]);
    questions.push(question);
    batch.push(...requests);
    if (!fits(batch)) yield* flush(requests.map((request) => [request]));
  }
  yield* flush([batch]);
}

/** What `scores` holds of the question's requests, as one item. */
function answer(
  { item, reason, sums, means }: Question,
  scores: Map<OptionRequest, Float64Array[]>,
  room: Room,
): Measured {
  const cluster = item.cluster === undefined ? {} : { cluster: item.cluster };
  const prompt = createHash("sha256")
    .update([item.context, ...item.options].join("\0"))
    .digest("hex")
    .slice(0, 16);
  const about = { prompt, gold: item.gold };
  if (reason !== undefined)
    return {
      item: item.id,
      samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
      ...cluster,
      unanswerable: reason,
      detail: about,
    };
  const ofOptions = ({ requests }: Form) => requests.flatMap((request) => scores.get(request)!);
  const whole = ofOptions(sums).map(sum);
  const perCharacter = whole.map((one, i) => one / [...item.options[i]!].length);
  const own = ofOptions(means).map((nll) => nll.subarray(means.shared));
  const perToken = own.map((nll) => sum(nll) / nll.length);
  const predictions = [whole, perCharacter, perToken].map(best);
  return {
    item: item.id,
    samples: metrics.map((metric, i) => ({ metric, value: predictions[i] === item.gold ? 1 : 0, weight: 1 })),
    ...cluster,
    ...(room.options === 1 ? { alone: true } : {}),
    detail: {
      ...about,
      prediction: predictions[0],
      prediction_norm: predictions[1],
      prediction_token: predictions[2],
      /** Of each option: the sum of log-probabilities in nats, their mean per token of its own, and how many those are. */
      scores: whole,
      scores_token: perToken,
      tokens: own.map(({ length }) => length),
    },
  };
}

const sum = (nll: Float64Array) => -nll.reduce((all, value) => all + value, 0);

function best(scores: number[]): number {
  let first = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[first]!) first = i;
  return first;
}
