import { definite } from "../definite.js";
import type { OptionQuestion, OptionScores, Options } from "./backend.js";
import { concurrently } from "./concurrent.js";

/** One question: options that continue a shared prefix, all in tokens; prefix and each option hold at least one. */
export interface OptionRequest {
  prefix: Int32Array;
  /** From this position of the prefix on, 1 at least, its tokens begin every option and are scored as well. */
  scoreFrom: number;
  options: Int32Array[];
}

/**
 * The most that several questions packed into one batch may hold. `options` is 1 for a model that cannot share a prefix between
 * them; a single question may hold more `tokens`.
 */
export interface OptionBatch {
  tokens: number;
  options: number;
}

/** An engine that scores options given in tokens. */
export interface OptionScorer {
  readonly batch: OptionBatch;
  /** The context that the model was trained for, in tokens; 0 if unknown. */
  readonly trainedContext: number;
  /** With BOS if the model wants it, never with an end. */
  tokenize(text: string): Int32Array;
  /**
   * Negative log-likelihoods in nats: [question][option][token], those of the prefix from `scoreFrom` on first. The
   * questions form one batch; `context`: what is held at a time, at least the tokens of every batch that is to come.
   */
  score(questions: OptionRequest[], context: number): Promise<Float64Array[][]>;
}

/** What scores the options of one question at a time, out of this process. */
interface QuestionScorer {
  /** Tokens that it holds of a question with an option; 0 if unknown. */
  readonly trainedContext: number;
  /** Questions at a time. */
  readonly parallel: number;
  /** With BOS where the model wants it, never with an end. */
  tokenize(text: string): Promise<Int32Array>;
  /** Negative log-likelihoods in nats, as those of an `OptionScorer`; Infinity for a probability that cannot be told. */
  score(question: OptionRequest): Promise<Float64Array[]>;
}

/** Questions as text, each by itself; tokens are cut as by `byTokens`. */
export function byQuestions(scorer: QuestionScorer): Options {
  const answered = async (question: OptionQuestion, room: Room): Promise<OptionScores> => {
    const texts = textsOf(question);
    if (!texts) return unasked(question.id);
    const [context, ...whole] = await Promise.all(texts.map((text) => scorer.tokenize(text)));
    const asked = cut(question.id, context!, whole, room);
    const scores = new Map<OptionRequest, Float64Array[]>();
    for (const request of requestsOf(asked)) scores.set(request, await scorer.score(request));
    const found = answer(asked, scores, room);
    const untold = found.options.findIndex(({ sum }) => !Number.isFinite(sum));
    return untold < 0
      ? found
      : {
          id: question.id,
          unanswerable: `the engine does not tell the probability of option ${untold + 1}`,
          options: [],
        };
  };
  return {
    chats: false,
    async *score(questions, { done, context = Infinity, progress }) {
      const { trainedContext, parallel } = scorer;
      const most = Math.min(context, trainedContext > 0 ? trainedContext : Infinity);
      const left = questions.filter(({ id }) => !done.has(id));
      let through = questions.length - left.length;
      progress(through);
      const room = { tokens: Infinity, options: Infinity, most };
      for await (const scores of concurrently(left, parallel, (question) => answered(question, room))) {
        progress(++through);
        yield scores;
      }
    },
  };
}

/**
 * Scores questions given as text, with an engine that scores tokens.
 *
 * Tokens are cut as lm-eval cuts them: the context by itself, with BOS and less the blanks at its end; then context,
 * delimiter and option together, of which all after the context's number of tokens continue it. Where the two merge at the
 * border, so that the whole does not begin with the context's tokens, the rest still follows the context's own.
 * llama-perplexity's --hellaswag knows no border: what all options begin with is not theirs. Where lm-eval's border merges,
 * its tokens are decoded besides.
 *
 * Questions are packed into batches in the order given, from all questions and not from those that are left, so that a
 * resumed job decodes the very same batches.
 */
export function byTokens(scorer: OptionScorer): Options {
  return {
    chats: false,
    async *score(questions, { done, context = Infinity, progress }) {
      const { trainedContext } = scorer;
      const room = { ...scorer.batch, most: Math.min(context, trainedContext > 0 ? trainedContext : Infinity) };
      const asked = questions.map((one) => {
        progress(0);
        const texts = textsOf(one);
        if (!texts) return { id: one.id, reason: notText, sums: none, means: none };
        const [context, ...whole] = texts.map((text) => scorer.tokenize(text));
        return cut(one.id, context!, whole, room);
      });
      const groups = [...packed(asked, room)];
      // One context for all: the scaling of some models' positions depends on its size.
      const size = Math.max(1, ...groups.flatMap(({ batches }) => batches.map(cells)));
      for (const { first, questions, batches } of groups) {
        progress(first);
        if (questions.every(({ id }) => done.has(id))) continue;
        const scores = new Map<OptionRequest, Float64Array[]>();
        for (const batch of batches) {
          const scored = await scorer.score(batch, size);
          for (const [i, request] of batch.entries()) scores.set(request, scored[i]!);
          progress(first);
        }
        for (const question of questions) if (!done.has(question.id)) yield answer(question, scores, room);
      }
    },
  };
}

interface Room extends OptionBatch {
  /** Tokens of a question with one option. */
  most: number;
}

/** A question in tokens. */
interface CutQuestion {
  id: string;
  /** Undefined for a question that is not asked, with the reason. */
  reason?: string;
  /** The continuations as lm-eval cuts them, and as llama-perplexity does; mostly the same. */
  sums: TokenForm;
  means: TokenForm;
}

/** One way to cut a question into tokens. */
interface TokenForm {
  /** Tokens that all options begin with, scored once. */
  shared: number;
  /** Options in order, in as many requests as it takes. */
  requests: OptionRequest[];
}

/** What is tokenized of a question: its context by itself, and the whole with each option. */
const textsOf = (question: OptionQuestion): string[] | undefined => {
  if (!("context" in question)) return undefined;
  const { context, delimiter, options } = question;
  return [withoutBlanks(context), ...options.map((option) => context + delimiter + option)];
};

const notText = "its options do not continue one text";
const none: TokenForm = { shared: 0, requests: [] };
const unasked = (id: string): OptionScores => ({ id, unanswerable: notText, options: [] });

function cut(id: string, context: Int32Array, whole: Int32Array[], room: Room): CutQuestion {
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
  return { id, sums, means, ...definite({ reason }) };
}

function form(
  context: Int32Array,
  options: Int32Array[],
  { options: most, most: tokens }: Room,
): TokenForm & { reason?: string } {
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

const requestsOf = ({ reason, sums, means }: CutQuestion) =>
  reason ? [] : sums === means ? sums.requests : [...sums.requests, ...means.requests];

/** Tokens to be decoded: of the prefix, and of all options but their last ones, which predict nothing that is asked for. */
const cells = (requests: OptionRequest[]) =>
  requests.reduce(
    (sum, { prefix, options }) => options.reduce((all, { length }) => all + length - 1, sum + prefix.length),
    0,
  );

const sequences = (requests: OptionRequest[]) => requests.reduce((sum, { options }) => sum + options.length, 0);

/** Questions in file order, as many to a batch as have room; one that has none in any stands alone, in several. */
function* packed(all: CutQuestion[], room: Room) {
  let questions: CutQuestion[] = [];
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

/** What `scores` holds of the question's requests. */
function answer(
  { id, reason, sums, means }: CutQuestion,
  scores: Map<OptionRequest, Float64Array[]>,
  room: Room,
): OptionScores {
  if (reason !== undefined) return { id, unanswerable: reason, options: [] };
  const ofOptions = ({ requests }: TokenForm) => requests.flatMap((request) => scores.get(request)!);
  const whole = ofOptions(sums).map(sum);
  const own = ofOptions(means).map((nll) => nll.subarray(means.shared));
  const options = own.map((nll, i) => ({ sum: whole[i]!, mean: sum(nll) / nll.length, tokens: nll.length }));
  return { id, options, ...(room.options === 1 ? { alone: true } : {}) };
}

const sum = (nll: Float64Array) => -nll.reduce((all, value) => all + value, 0);
