import type { Conversation } from "../chat/conversation.js";
import { definite } from "../definite.js";
import {
  contextsOf,
  type Message,
  type OptionQuestion,
  type OptionScores,
  type Options,
  type ShownPrompt,
} from "./backend.js";
import { concurrently } from "./concurrent.js";
import { Packing } from "./option-batches.js";
import {
  type CutQuestion,
  cells,
  cut,
  cutApart,
  joined,
  merges,
  type OptionBatch,
  type OptionRequest,
  type Room,
  requestsOf,
  unasked,
  withoutSkips,
} from "./option-cut.js";

export type { OptionBatch, OptionRequest } from "./option-cut.js";

/** What makes tokens of questions. */
interface QuestionReader {
  /** Whether the model has a template for conversations; `converse` is called with one alone. */
  readonly chats: boolean;
  /** A conversation, and the same with each of the endings. */
  converse(messages: readonly Message[], endings: readonly string[]): Promise<Conversation>;
  /** With BOS if the model wants it, never with an end. Special tokens in the text are text. */
  tokenize(text: string): Int32Array | Promise<Int32Array>;
}

/** An engine that scores options given in tokens. */
export interface OptionScorer extends QuestionReader {
  readonly batch: OptionBatch;
  /** The context that the model was trained for, in tokens; 0 if unknown. */
  readonly trainedContext: number;
  /**
   * Negative log-likelihoods in nats: [question][option][token], those of the prefix from `scoreFrom` on first. The
   * questions form one batch; `context`: what is held at a time, at least the tokens of every batch that is to come. `start`:
   * what stands before every prefix; the same array in each batch that shares it, so that it is decoded once.
   */
  score(questions: OptionRequest[], context: number, start?: Int32Array): Promise<Float64Array[][]>;
}

/** What scores the options of one question at a time, out of this process. */
interface QuestionScorer extends QuestionReader {
  /** Tokens that it holds of a question with an option; 0 if unknown. */
  readonly trainedContext: number;
  /** Questions at a time. */
  readonly parallel: number;
  /** Negative log-likelihoods in nats, as those of an `OptionScorer`; Infinity for a probability that cannot be told. */
  score(question: Omit<OptionRequest, "skip">): Promise<Float64Array[]>;
}

/** Questions as text, each by itself; tokens are cut as by `byTokens`. */
export function byQuestions(scorer: QuestionScorer): Options {
  const answered = async (question: OptionQuestion, room: Room, show?: string): Promise<OptionScores> => {
    const [asked, prompt] = await inTokens(question, scorer, room);
    const scores = new Map<OptionRequest, Float64Array[]>();
    for (const request of requestsOf(asked)) {
      const found: Float64Array[] = [];
      for (const one of withoutSkips(request)) found.push(...(await scorer.score(one)));
      scores.set(request, found);
    }
    const found = { ...answer(asked, scores, room), ...(question.id === show ? definite({ prompt: prompt?.() }) : {}) };
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
    chats: scorer.chats,
    async *score(questions, { done, context = Infinity, show, progress }) {
      const { trainedContext, parallel } = scorer;
      const most = Math.min(context, trainedContext > 0 ? trainedContext : Infinity);
      const left = questions.filter(({ id }) => !done.has(id));
      let through = questions.length - left.length;
      progress(through);
      const room = { tokens: Infinity, options: Infinity, most };
      for await (const scores of concurrently(left, parallel, (question) => answered(question, room, show))) {
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
 * its tokens are decoded besides. Where each option has a context of its own, what all begin with is decoded once, and the mean
 * is that of all scored tokens.
 *
 * Letters (`OptionQuestion.letters`) that merge at the border (`:A` after `Answer:`) are the last tokens of their own texts instead,
 * after the context's own, which is where the scripts of exams in letters look for them.
 *
 * Questions are packed into batches in the order given, from all questions and not from those that are left, so that a
 * resumed job decodes the very same batches. What a group of questions begins with is decoded once; one that is wholly done
 * is not decoded.
 */
export function byTokens(scorer: OptionScorer): Options {
  return {
    chats: scorer.chats,
    async *score(questions, { done, context = Infinity, show, progress }) {
      const { trainedContext } = scorer;
      const room = { ...scorer.batch, most: Math.min(context, trainedContext > 0 ? trainedContext : Infinity) };
      const packing = new Packing(room);
      let shown: ShownPrompt | undefined;
      for (const one of questions) {
        progress(0);
        const [asked, prompt] = await inTokens(one, scorer, room);
        if (one.id === show) shown = prompt?.();
        packing.add(asked, one.group);
      }
      const packed = packing.end();
      // One context for all: the scaling of some models' positions depends on its size.
      const size = packed.reduce(
        (most, { start, batches }) => Math.max(most, ...batches.map((batch) => start.length + cells(batch))),
        1,
      );
      let first = 0;
      for (const { start, questions, batches } of packed) {
        progress(first);
        if (questions.some(({ id }) => !done.has(id))) {
          const scores = new Map<OptionRequest, Float64Array[]>();
          for (const batch of batches) {
            const scored = await scorer.score(batch, size, start);
            for (const [i, request] of batch.entries()) scores.set(request, scored[i]!);
            progress(first);
          }
          for (const question of questions)
            if (!done.has(question.id))
              yield {
                ...answer(question, scores, room),
                ...(question.id === show ? definite({ prompt: shown }) : {}),
              };
        }
        first += questions.length;
      }
    },
  };
}

/** The question in tokens, or why it is not asked; and its prompt, for the eye. */
async function inTokens(
  question: OptionQuestion,
  reader: QuestionReader,
  room: Room,
): Promise<[CutQuestion, (() => ShownPrompt)?]> {
  const { id, delimiter, options } = question;
  const endings = options.map((option) => delimiter + option);
  if ("messages" in question) {
    if (!reader.chats) return [unasked(id, "the model has no chat template")];
    const { text, ids, whole, fault } = await reader.converse(question.messages, endings);
    if (fault !== undefined) return [unasked(id, fault)];
    return [cut(id, ids, await lettersApart(question, ids, whole, reader), room), () => ({ text, ids: [...ids] })];
  }
  const contexts = contextsOf(question);
  const texts = [...contexts.map(withoutBlanks), ...endings.map((ending, i) => (contexts[i] ?? contexts[0]!) + ending)];
  const tokens = await Promise.all(texts.map((text) => reader.tokenize(text)));
  const [before, whole] = [tokens.slice(0, contexts.length), tokens.slice(contexts.length)];
  const asked =
    "contexts" in question
      ? cutApart(id, before, whole, room)
      : cut(id, before[0]!, await lettersApart(question, before[0]!, whole, reader), room);
  return [asked, () => ({ text: texts[0]!, ids: [...before[0]!] })];
}

/** The whole with each option; where letters merge with what they continue, that with each letter's own token. */
async function lettersApart(
  { letters, options }: OptionQuestion,
  context: Int32Array,
  whole: Int32Array[],
  reader: QuestionReader,
): Promise<Int32Array[]> {
  if (!letters || !merges(context, whole)) return whole;
  const own = await Promise.all(options.map((option) => reader.tokenize(option)));
  return own.map((tokens) => joined(context, tokens.subarray(-1)));
}

/** What `scores` holds of the question's requests. */
function answer(
  { id, reason, sums, means }: CutQuestion,
  scores: Map<OptionRequest, Float64Array[]>,
  room: Room,
): OptionScores {
  if (reason !== undefined) return { id, unanswerable: reason, options: [] };
  const ofOptions = ({ requests }: CutQuestion["sums"]) => requests.flatMap((request) => scores.get(request)!);
  const whole = ofOptions(sums).map(sum);
  const own = ofOptions(means).map((nll) => nll.subarray(means.shared));
  const options = own.map((nll, i) => ({ sum: whole[i]!, mean: sum(nll) / nll.length, tokens: nll.length }));
  return { id, options, ...(room.options === 1 && sums.requests.length > 1 ? { alone: true } : {}) };
}

/** Less the blanks at the end, which begin the option in lm-eval (Python's `rstrip`). */
function withoutBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && /[\s\x1c-\x1f\x85]/.test(text[end - 1]!) && text[end - 1] !== "\ufeff") end--;
  return text.slice(0, end);
}

const sum = (nll: Float64Array) => -nll.reduce((all, value) => all + value, 0);
