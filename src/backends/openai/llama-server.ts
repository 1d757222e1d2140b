import { z } from "zod";
import { type AskedText, type ChatTokens, type Conversation, Conversations } from "../../chat/conversation.js";
import type { ChatRenderer, Message } from "../../chat/template.js";
import { BenchError } from "../../errors.js";
import type { Answer, Generation, GenerationRequest, Prompt, SpeedTest, Timing } from "../backend.js";
import { answersTo, unasked } from "../concurrent.js";
import { shortened } from "../generation.js";
import type { OptionRequest } from "../options.js";
import { type Client, Declined } from "./client.js";
import { wholeCharacters } from "./completions.js";
import type { Fleet, Lane } from "./fleet.js";

const tokenized = z.looseObject({ tokens: z.array(z.int()) });

const detokenized = z.looseObject({ content: z.string() });

const token = z.looseObject({ id: z.int(), logprob: z.number() });

const completion = z.looseObject({
  content: z.string(),
  stop_type: z.string().optional(),
  tokens_predicted: z.int().optional(),
  completion_probabilities: z.array(token.extend({ top_logprobs: z.array(token).default([]) })).optional(),
  timings: z
    .looseObject({
      cache_n: z.int().optional(),
      prompt_n: z.int(),
      prompt_ms: z.number(),
      predicted_n: z.int(),
      predicted_ms: z.number(),
    })
    .optional(),
});

/** More than any difference of two logits, so that the token is chosen; its probability is told without it. */
const overwhelming = 1e5;

/** Of so many most likely tokens the probabilities come with one answer; the more, the longer it is. */
const shortList = 64;
const longList = 4096;

/** What llama-server writes for the logarithm of a probability that is 0 in 32 bits. */
const lowest = -1e30;

/** What is learnt of a vocabulary. */
interface KnownTokens {
  /** How many tokens it puts after a text, which belong to no part of it. */
  ends: number;
  /** Some token that is a character. */
  whole: number;
  /** The token that it puts before a text, or −1. */
  bos: number;
}

/** Conversations by the template that the server has of its model. */
export class ServerChat {
  readonly #conversations: Conversations;

  constructor(
    fleet: Fleet,
    tokenizer: ServerTokenizer,
    private readonly renderer: ChatRenderer,
    warning: ChatTokens["warning"],
  ) {
    this.#conversations = new Conversations(renderer, {
      ids: (text, parse) => fleet.run(({ client }) => tokenizer.piece(client, text, parse)),
      name: (token) => fleet.run(({ client }) => tokenizer.name(client, token)),
      bos: () => fleet.run(async ({ client }) => (await tokenizer.known(client)).bos),
      warning,
    });
  }

  /** Throws a BenchError `template-failed`. */
  read(messages: readonly Message[], endings: readonly string[] = []): Promise<Conversation> {
    return this.#conversations.read(messages, endings);
  }

  close(): void {
    this.renderer.close();
  }
}

/** Text and tokens, by the server's tokenizer. */
export class ServerTokenizer {
  #known: Promise<KnownTokens> | undefined;

  /** With BOS where the model wants it, never with an end. Special tokens in the text are not parsed. */
  async tokenize(client: Client, text: string): Promise<Int32Array> {
    const tokens = await this.#ask(client, text, true, false);
    return Int32Array.from(tokens.slice(0, tokens.length - (await this.known(client)).ends));
  }

  /** A piece of a prompt, with nothing put before or after it. */
  async piece(client: Client, text: string, parse: boolean): Promise<Int32Array> {
    return Int32Array.from(text === "" ? [] : await this.#ask(client, text, false, parse));
  }

  /**
   * A text without its middle, if it has more than `limit` tokens, BOS among them: the first half of the tokens and the last half,
   * as in process.
   */
  async middleOut(client: Client, text: string, limit: number): Promise<string> {
    const tokens = await this.tokenize(client, text);
    if (tokens.length <= limit) return text;
    // The server writes BOS as a text.
    const bare = await this.#ask(client, text, false, false);
    const half = Math.floor(limit / 2);
    const written = async (part: number[]) => (await client.post("/detokenize", { tokens: part }, detokenized)).content;
    const first = await written(bare.slice(0, half - (tokens.length - bare.length)));
    const start = first.startsWith(" ") && !text.startsWith(" ") ? first.slice(1) : first;
    return start + (await written(bare.slice(bare.length - half)));
  }

  /** The text of a token. */
  async name(client: Client, token: number): Promise<string> {
    return (await client.post("/detokenize", { tokens: [token] }, detokenized)).content;
  }

  known(client: Client): Promise<KnownTokens> {
    this.#known ??= this.#knownBy(client).catch((error) => {
      this.#known = undefined;
      throw error;
    });
    return this.#known;
  }

  async #knownBy(client: Client): Promise<KnownTokens> {
    const bare = await this.#ask(client, "a", false, false);
    const whole = await this.#ask(client, "a", true, false);
    let start = 0;
    while (start + bare.length < whole.length && !bare.every((one, i) => whole[start + i] === one)) start++;
    return {
      ends: whole.length - bare.length - start,
      whole: bare.at(-1) ?? 0,
      bos: start > 0 ? (whole[0] ?? -1) : -1,
    };
  }

  async #ask(client: Client, content: string, add_special: boolean, parse_special: boolean): Promise<number[]> {
    return (await client.post("/tokenize", { content, add_special, parse_special }, tokenized)).tokens;
  }
}

/** A point in a question at which tokens are predicted. */
interface Fork {
  tokens: number[];
  next: Map<number, Fork>;
}

/**
 * Options of a question, by a bias on one token at a time: llama-server tells the probability without the bias. The prompt is
 * decoded first; each point of the options then costs the decode of one token, by itself, for the server has the rest in its
 * cache. So the digits are the same whatever was asked before. `whole`: any token that is a character.
 */
export async function scoreOptions(
  { prefix, scoreFrom, options }: OptionRequest,
  { client, place }: Lane,
  { whole, vocabulary }: { whole: number; vocabulary: number },
): Promise<Float64Array[]> {
  const ask = (tokens: number[], more: object) =>
    client.post("/completion", { prompt: tokens, temperature: 0, id_slot: place, ...more }, completion);
  const start = [...prefix.subarray(0, scoreFrom)];
  const root: Fork = { tokens: start, next: new Map() };
  const texts = options.map((option) => [...prefix.subarray(scoreFrom), ...option]);
  for (const text of texts) {
    let fork = root;
    for (const one of text) {
      const next = fork.next.get(one) ?? { tokens: [...fork.tokens, one], next: new Map() };
      fork.next.set(one, next);
      fork = next;
    }
  }
  const costs = new Map<Fork, Map<number, number>>();
  const visit = async (fork: Fork): Promise<void> => {
    const wanted = [...fork.next.keys()];
    const found = new Map<number, number>();
    const choose = async (id: number, n_probs: number) => {
      const more = { n_predict: 1, n_probs, cache_prompt: true, logit_bias: [[id, overwhelming]] };
      for (const told of (await ask(fork.tokens, more)).completion_probabilities ?? [])
        for (const { id, logprob } of [...told.top_logprobs, told]) if (fork.next.has(id)) found.set(id, -logprob);
    };
    for (const one of wanted) {
      const lists = [shortList, longList, vocabulary].map((n_probs) => [whole, n_probs] as const);
      // Of a token that ends within a character nothing is told when it is chosen itself, but among the likely ones.
      for (const [id, n_probs] of [[one, wanted.length - found.size > 1 ? shortList : 1] as const, ...lists])
        if (!found.has(one)) await choose(id, n_probs);
      if (!found.has(one))
        throw new BenchError(
          "server-failed",
          `${client.base} does not tell the probability of a token that it is asked for`,
          {
            hint: "it is older than January 2025, or its logit_bias is switched off: take a newer llama-server",
          },
        );
    }
    costs.set(fork, found);
    for (const next of fork.next.values()) if (next.next.size > 0) await visit(next);
  };
  for (let attempt = 0; attempt < 3; attempt++) {
    const { losses } = client;
    await ask(start, { n_predict: 0, cache_prompt: false });
    await visit(root);
    // A server that was started anew in between had nothing in its cache.
    if (client.losses === losses) break;
  }
  return texts.map((text) => {
    let fork = root;
    return Float64Array.from(text, (one) => {
      const cost = costs.get(fork)!.get(one)!;
      fork = fork.next.get(one)!;
      return cost > -lowest ? Infinity : cost;
    });
  });
}

/** Answers of a llama-server, several at a time; `chat` is there where the model has a template. */
export function serverGeneration(
  fleet: Fleet,
  tokenizer: ServerTokenizer,
  chat: ServerChat | undefined,
  context = Infinity,
): Generation {
  // Where nothing is decoded beside it and nothing of it is cached, an answer is the same to the last digit each time.
  const alone = fleet.each === 1;
  const inTokens = async (prompt: Prompt, limit: number | undefined): Promise<AskedText> => {
    if ("messages" in prompt && !chat) return { ...nothing, fault: "the model has no chat template" };
    const inServer = <Result>(work: (client: Client) => Promise<Result>) => fleet.run(({ client }) => work(client));
    const asked =
      limit === undefined
        ? prompt
        : await shortened(prompt, (text) => inServer((client) => tokenizer.middleOut(client, text, limit)));
    if ("messages" in asked) return chat!.read(asked.messages);
    return { text: asked.text, ids: await inServer((client) => tokenizer.tokenize(client, asked.text)) };
  };
  return {
    chats: chat !== undefined,
    truncates: true,
    penalizes: true,
    answer: (prompts, request) =>
      answersTo(prompts, request, fleet.lanes, async (prompt, alive): Promise<Answer> => {
        const { text, ids, thinks, fault } = await inTokens(prompt, request.truncate);
        const reason = fault ?? reasonAgainst(ids, request, context);
        if (reason !== undefined) return unasked(prompt.id, reason);
        try {
          return {
            ...(await fleet.run(({ client }) => answerOf(prompt.id, ids, request, client, { alone, alive }))),
            ...(thinks ? { thinks } : {}),
            ...(prompt.id === request.show ? { prompt: { text, ids: [...ids] } } : {}),
          };
        } catch (error) {
          if (error instanceof Declined && /context/i.test(error.said)) return unasked(prompt.id, error.said);
          throw error;
        }
      }),
  };
}

const nothing = { text: "", ids: new Int32Array(0) };

/** Why so many tokens cannot be asked, a phrase. */
function reasonAgainst(tokens: Int32Array, { maxTokens }: GenerationRequest, context: number): string | undefined {
  // The last token of an answer is not decoded.
  const needed = tokens.length + maxTokens - 1;
  if (tokens.length === 0) return "nothing stands before the answer";
  return needed > context ? `with its answer it needs ${needed} tokens of ${context}` : undefined;
}

function answerOf(
  id: string,
  tokens: Int32Array,
  { maxTokens, stop, temperature, topK = 0, topP = 1, repetitionPenalty = 1, seed }: GenerationRequest,
  client: Client,
  { alone, alive }: { alone: boolean; alive(): void },
): Promise<Answer> {
  const sampling =
    temperature === 0
      ? { temperature }
      : { temperature, top_k: topK, top_p: topP, samplers: ["penalties", "temperature", "top_k", "top_p"] };
  // Over the whole prompt and answer: some versions refuse −1, which stands for all.
  const penalty =
    repetitionPenalty === 1 ? {} : { repeat_penalty: repetitionPenalty, repeat_last_n: tokens.length + maxTokens };
  const body = {
    prompt: [...tokens],
    n_predict: maxTokens,
    stop,
    seed,
    stream: true,
    cache_prompt: !alone,
    ...sampling,
    ...penalty,
  };
  return client.stream("/completion", body, () => {
    let text = "";
    let last: z.output<typeof completion> | undefined;
    return {
      take(piece) {
        alive();
        last = client.parsed("/completion", completion, piece);
        text += last.content;
      },
      whole() {
        const { stop_type = "none", tokens_predicted = 0 } = last ?? {};
        if (stop_type === "none") return undefined;
        const finish = stop_type === "eos" ? "end" : stop_type === "word" ? "stop" : "length";
        return {
          id,
          text: finish === "length" ? wholeCharacters(text) : text,
          finish,
          promptTokens: tokens.length,
          tokens: tokens_predicted,
        };
      },
    };
  });
}

/** Times as llama-server itself takes them: of the decode of a prompt that it has not seen, and of tokens one by one after it. */
export class LlamaServerTiming implements Timing {
  #counted = 0;

  constructor(
    private readonly client: Client,
    private readonly vocabulary: number,
    private readonly context: number,
    /** CPU seconds that the server has used, where it can be seen. */
    readonly cpuSeconds: () => number | undefined,
  ) {}

  async prepare(test: SpeedTest): Promise<void> {
    const needed = test.depth + test.prompt + test.generate + 1;
    if (needed > this.context)
      throw new BenchError(
        "context-full",
        `${this.client.base} holds ${this.context} tokens a slot; ${needed} are asked for`,
        {
          hint: "start it with a larger -c, or measure at a smaller depth",
        },
      );
    await this.time({ ...test, prompt: Math.min(test.prompt, 16), generate: Math.min(test.generate, 1) });
  }

  /** n tokens one by one are n decodes: the first token of n + 1 comes out of the prompt's. */
  async time({ prompt, generate, depth }: SpeedTest): Promise<number> {
    const deep = this.#random(depth);
    if (depth > 0) await this.#complete({ prompt: deep, n_predict: 0, cache_prompt: false });
    const tokens = prompt > 0 ? [...deep, ...this.#random(prompt)] : depth > 0 ? deep : this.#random(1);
    const timings = await this.#complete({
      prompt: tokens,
      n_predict: prompt > 0 ? 1 : generate + 1,
      cache_prompt: depth > 0,
      ignore_eos: true,
    });
    const [timed, wanted, milliseconds] =
      prompt > 0
        ? [timings.prompt_n, prompt, timings.prompt_ms]
        : [timings.predicted_n - 1, generate, timings.predicted_ms];
    if (timed !== wanted)
      throw new BenchError(
        "server-failed",
        `${this.client.base} timed ${timed} tokens where ${wanted} were asked for`,
        {
          hint: "its cache may not reach back so far: measure at depth 0",
        },
      );
    return milliseconds / 1000;
  }

  async #complete(body: object): Promise<NonNullable<z.output<typeof completion>["timings"]>> {
    const answer = await this.client.post("/completion", { temperature: 0, id_slot: 0, ...body }, completion);
    if (answer.timings) return answer.timings;
    throw new BenchError("server-failed", `${this.client.base} tells no timings`, {
      hint: "it is too old to be timed",
    });
  }

  /** No two prompts begin alike, so that nothing of one is in the cache for another. */
  #random(count: number): number[] {
    const first = ++this.#counted % this.vocabulary;
    return Array.from({ length: count }, (_, i) => (i === 0 ? first : Math.floor(Math.random() * this.vocabulary)));
  }
}
