import type { AskedText, Conversation } from "../chat/conversation.js";
import { repetitionPenalty, type TokenChooser, tokenChooser, uniforms } from "../kernels/sampling.js";
import type { Answer, Generation, GenerationRequest, Message, Prompt } from "./backend.js";
import { unasked } from "./concurrent.js";

/**
 * Tokens of cache for the sequences side by side, and how many of these there are at most: a processor takes a third less for
 * a token of sixteen than of eight, and no less for one of thirty-two.
 */
const mostCells = 16_384;
const mostSideBySide = 16;

/**
 * How many answers of `length` tokens, prompt included, are written side by side: it depends on the longest of all prompts
 * and on nothing else, for the shape of the batches decides last digits.
 */
export function sequencesFor(length: number): number {
  const room = Math.max(1, Math.min(mostSideBySide, Math.floor(mostCells / length)));
  // Kernels compute whole tiles of four rows.
  return room < 4 ? room : room - (room % 4);
}

/** What gives the next token's logits, for several sequences side by side; a row is valid until the next call. */
export interface TokenGenerator {
  /** The context that the model was trained for, in tokens; 0 if unknown. */
  readonly trainedContext: number;
  readonly vocabulary: number;
  /** With BOS where the model wants it, never with an end. Special tokens in the text are not parsed. */
  tokenize(text: string): Int32Array;
  /** Whether the model has a template for conversations. */
  readonly chats: boolean;
  converse(messages: readonly Message[]): Promise<Conversation>;
  /** The bytes that a token adds to an answer: none for a special one. */
  bytes(token: number): Uint8Array;
  /** Whether an answer is over with it. */
  isEnd(token: number): boolean;
  /** Makes room for this many sequences of `length` tokens, and empties it. */
  open(sequences: number, length: number): void;
  /** Empties a sequence and decodes a prompt in it, alone: what its last token predicts. */
  begin(sequence: number, tokens: Int32Array): Promise<Float32Array>;
  /** Decodes one more token, at `position`, of some sequences: what each of these predicts, in their order. */
  next(added: readonly { sequence: number; token: number; position: number }[]): Promise<Float32Array[]>;
}

/** An answer that is being written. */
interface Writing {
  id: string;
  prompt: Int32Array;
  tokens: number;
  last: number;
  text: AnswerBytes;
  draw: () => number;
  /** Tokens of the prompt and the answer, where repeating them is penalized. */
  seen?: Set<number>;
}

/** A prompt in tokens, or why it is not asked. */
type CutPrompt = { id: string } & ({ tokens: Int32Array; about: AboutPrompt } | { reason: string });

/** What an answer tells of its prompt. */
type AboutPrompt = Pick<Answer, "prompt" | "thinks">;

/** Milliseconds after which messages to the process are let in. */
const patience = 100;

/**
 * Answers as text, by what gives logits.
 *
 * Prompts are taken longest first, so that those side by side are about as long, and each sequence that ends makes room for the
 * next prompt at once. A prompt is decoded alone and answers go on together, so that what one becomes does not depend on which
 * others there are or are done; draws at a temperature are by seed and prompt. What the sequences hold follows from all
 * prompts, done or not.
 */
export function generationByTokens(generator: TokenGenerator): Generation {
  return {
    chats: generator.chats,
    truncates: true,
    penalizes: true,
    async *answer(prompts, request) {
      const cut: CutPrompt[] = [];
      for (const prompt of prompts) {
        request.progress(0);
        cut.push(await inTokens(prompt, generator, request));
      }
      const left = cut.filter(({ id }) => !request.done.has(id));
      let answers = 0;
      for (const one of left)
        if ("reason" in one) {
          yield unasked(one.id, one.reason);
          request.progress(++answers);
        }
      const asked = cut.filter((one) => "tokens" in one);
      const queue = asked
        .filter(({ id }) => !request.done.has(id))
        .sort((a, b) => b.tokens.length - a.tokens.length)
        .values();
      const length = asked.reduce((most, { tokens }) => Math.max(most, tokens.length), 0) + request.maxTokens - 1;
      const writers = new Writers(generator, request, length, () => request.progress(answers));
      const about = new Map(asked.map((one) => [one.id, one.about]));
      for await (const finished of writers.write(queue)) {
        yield { ...finished, ...about.get(finished.id) };
        request.progress(++answers);
      }
    },
  };
}

async function inTokens(
  prompt: Prompt,
  generator: TokenGenerator,
  { maxTokens, truncate, show }: GenerationRequest,
): Promise<CutPrompt> {
  const { id } = prompt;
  if ("messages" in prompt && !generator.chats) return { id, reason: "the model has no chat template" };
  const asked =
    truncate === undefined ? prompt : await shortened(prompt, async (text) => middleOut(text, truncate, generator));
  const {
    text,
    ids: tokens,
    ...of
  }: AskedText = "text" in asked
    ? { text: asked.text, ids: generator.tokenize(asked.text) }
    : await generator.converse(asked.messages);
  if (of.fault !== undefined) return { id, reason: of.fault };
  if (tokens.length === 0) return { id, reason: "nothing stands before the answer" };
  // The last token of an answer is not decoded.
  const needed = tokens.length + maxTokens - 1;
  const { trainedContext } = generator;
  if (trainedContext > 0 && needed > trainedContext)
    return { id, reason: `with its answer it needs ${needed} tokens of ${trainedContext}` };
  const about = {
    ...(of.thinks ? { thinks: true } : {}),
    ...(id === show ? { prompt: { text, ids: [...tokens] } } : {}),
  };
  return { id, tokens, about };
}

/** A prompt with `cut` applied to its text, or to the last message of a conversation. */
export async function shortened(prompt: Prompt, cut: (text: string) => Promise<string>): Promise<Prompt> {
  if ("text" in prompt) return { ...prompt, text: await cut(prompt.text) };
  const last = prompt.messages.at(-1);
  if (!last) return prompt;
  return { ...prompt, messages: [...prompt.messages.slice(0, -1), { ...last, content: await cut(last.content) }] };
}

/**
 * A text without its middle, if it has more than `limit` tokens, BOS among them: the first half of the tokens and the last half,
 * each as the text that it stands for, as LongBench cuts its prompts. A character of which a half begins or ends in the middle
 * is U+FFFD, as there.
 */
function middleOut(text: string, limit: number, generator: TokenGenerator): string {
  const tokens = generator.tokenize(text);
  if (tokens.length <= limit) return text;
  const half = Math.floor(limit / 2);
  const written = (part: Int32Array) =>
    Buffer.concat(Array.from(part, (token) => generator.bytes(token))).toString("utf8");
  const first = written(tokens.subarray(0, half));
  // Some tokenizers put a blank before a text, and would put another one before this.
  const start = first.startsWith(" ") && !text.startsWith(" ") ? first.slice(1) : first;
  return start + written(tokens.subarray(tokens.length - half));
}

/** The sequences of one request. */
class Writers {
  readonly #sequences: (Writing | undefined)[];
  readonly #choose: TokenChooser;
  readonly #penalized: ReturnType<typeof repetitionPenalty> | undefined;
  readonly #stops: Buffer[];
  #letIn = performance.now();

  constructor(
    private readonly generator: TokenGenerator,
    private readonly request: GenerationRequest,
    private readonly length: number,
    private readonly alive: () => void,
  ) {
    this.#sequences = Array.from({ length: sequencesFor(length) }, () => undefined);
    this.#choose = tokenChooser(generator.vocabulary, request.temperature, request);
    const { repetitionPenalty: penalty = 1 } = request;
    this.#penalized = penalty === 1 ? undefined : repetitionPenalty(generator.vocabulary, penalty);
    this.#stops = request.stop.filter(Boolean).map((stop) => Buffer.from(stop, "utf8"));
  }

  async *write(queue: Iterator<{ id: string; tokens: Int32Array }>): AsyncGenerator<Answer> {
    const sequences = this.#sequences;
    let next = queue.next();
    if (next.done) return;
    this.generator.open(sequences.length, this.length);
    for (;;) {
      for (const sequence of sequences.keys())
        while (!next.done && !sequences[sequence]) {
          const writing = this.#writing(next.value.id, next.value.tokens);
          next = queue.next();
          const finished = this.#take(writing, await this.generator.begin(sequence, writing.prompt));
          if (finished) yield finished;
          else sequences[sequence] = writing;
          await this.#pause();
        }
      const added = sequences.flatMap((writing, sequence) =>
        writing ? { sequence, token: writing.last, position: writing.prompt.length + writing.tokens - 1 } : [],
      );
      if (added.length === 0) return;
      for (const [i, logits] of (await this.generator.next(added)).entries()) {
        const { sequence } = added[i]!;
        const finished = this.#take(sequences[sequence]!, logits);
        if (!finished) continue;
        sequences[sequence] = undefined;
        yield finished;
      }
      await this.#pause();
    }
  }

  #writing(id: string, prompt: Int32Array): Writing {
    const draw = uniforms(`${this.request.seed} ${id}`);
    const seen = this.#penalized ? { seen: new Set(prompt) } : {};
    return { id, prompt, tokens: 0, last: -1, text: new AnswerBytes(this.#stops), draw, ...seen };
  }

  /** The answer, where the token that is chosen now is its last. */
  #take(writing: Writing, logits: Float32Array): Answer | undefined {
    const { seen } = writing;
    const token = this.#choose(this.#penalized && seen ? this.#penalized(logits, seen) : logits, writing.draw);
    seen?.add(token);
    writing.tokens++;
    writing.last = token;
    const { id, prompt, text, tokens } = writing;
    const answer = (finish: Answer["finish"]): Answer => ({
      ...{ id, text: text.toString(finish), finish, promptTokens: prompt.length, tokens },
    });
    if (this.generator.isEnd(token)) return answer("end");
    if (text.add(this.generator.bytes(token))) return answer("stop");
    return tokens < this.request.maxTokens ? undefined : answer("length");
  }

  /** Decoding blocks the event loop: a stop, or the parent's end, is heard between the tokens. */
  async #pause(): Promise<void> {
    if (performance.now() - this.#letIn < patience) return;
    this.alive();
    await new Promise((resolve) => setImmediate(resolve));
    this.#letIn = performance.now();
  }
}

/** The bytes of an answer, up to the first stop string. Tokens end anywhere: inside a character, and inside a stop string. */
class AnswerBytes {
  #bytes = Buffer.alloc(256);
  #length = 0;

  constructor(private readonly stops: readonly Buffer[]) {}

  /** Whether a stop string is complete with these bytes; the answer ends before it then. */
  add(bytes: Uint8Array): boolean {
    const before = this.#length;
    this.#length += bytes.length;
    if (this.#length > this.#bytes.length)
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(Math.max(this.#bytes.length, bytes.length))]);
    this.#bytes.set(bytes, before);
    const whole = this.#bytes.subarray(0, this.#length);
    const places = this.stops.flatMap((stop) => {
      const at = whole.indexOf(stop, Math.max(0, before - stop.length + 1));
      return at < 0 ? [] : at;
    });
    if (places.length === 0) return false;
    this.#length = Math.min(...places);
    return true;
  }

  /** Half a character at the end of an answer that was cut off is none. */
  toString(finish: Answer["finish"]): string {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return decoder.decode(this.#bytes.subarray(0, this.#length), { stream: finish === "length" });
  }
}
