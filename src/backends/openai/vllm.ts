import { basename } from "node:path";
import { z } from "zod";
import { type Conversation, opensThought } from "../../chat/conversation.js";
import { checkWhole, type Message } from "../../chat/template.js";
import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { rangeOf } from "../../share.js";
import type { Likelihood } from "../backend.js";
import { chunksOf, idsDigest, meanOf } from "../chunks.js";
import { concurrently } from "../concurrent.js";
import type { OptionRequest } from "../options.js";
import { type Client, Declined } from "./client.js";
import type { Fleet } from "./fleet.js";

const detokenized = z.looseObject({ prompt: z.string() });
const tokenized = z.looseObject({ tokens: z.array(z.int()) });

const probability = z.number().nullable();

const scored = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        /** vLLM's own: of each token of the prompt, by id. */
        prompt_logprobs: z.array(z.record(z.string(), z.looseObject({ logprob: probability })).nullable()).nullish(),
        /** OpenAI's older form, in which `echo` puts the prompt before the answer. */
        logprobs: z.looseObject({ token_logprobs: z.array(probability), tokens: z.array(z.string()) }).nullish(),
      }),
    )
    .min(1),
});

/** What vLLM writes for a probability that is 0. */
const lowest = -9999;

/** What gives the log-probabilities of a prompt. */
export class PromptScorer {
  constructor(private readonly model: string) {}

  /** With BOS where the model wants it. */
  async tokenize(client: Client, text: string, special = true): Promise<Int32Array> {
    const body = { model: this.model, prompt: text, add_special_tokens: special };
    return Int32Array.from((await client.post("/tokenize", body, tokenized)).tokens);
  }

  /**
   * A conversation as the server writes it, by the model's template; `variables` are the template's. Special tokens are parsed
   * wherever they stand, and the day is the server's own. Throws a BenchError `template-failed`.
   */
  async converse(
    client: Client,
    messages: readonly Message[],
    endings: readonly string[],
    variables: Record<string, unknown> | undefined,
  ): Promise<Conversation> {
    const ask = async (turns: readonly Message[], how: object) => {
      const body = { model: this.model, messages: turns, ...how, ...definite({ chat_template_kwargs: variables }) };
      return Int32Array.from((await client.post("/tokenize", body, tokenized)).tokens);
    };
    const ids = await ask(messages, { add_generation_prompt: true });
    const { prompt: text } = await client.post("/detokenize", { model: this.model, tokens: [...ids] }, detokenized);
    checkWhole(text, messages, basename(this.model));
    const whole: Int32Array[] = [];
    for (const content of endings) {
      const going = { add_generation_prompt: false, continue_final_message: true };
      const answered = await ask([...messages, { role: "assistant", content }], going).catch((error) => {
        if (error instanceof Declined) return new Int32Array(0);
        throw error;
      });
      // A template may write an answer that stands there in another way than where one begins.
      const isWhole = answered.length > ids.length && ids.every((id, i) => id === answered[i]);
      whole.push(isWhole ? answered : Int32Array.from([...ids, ...(await this.tokenize(client, content, false))]));
    }
    return { text, ids, whole, thinks: opensThought.test(text) };
  }

  /**
   * −ln p in nats of every token but the first, of which it is NaN. Asks for the tokens of the prompt alone, never for the
   * whole vocabulary. Throws a BenchError when the server answers without them.
   */
  async costs(client: Client, tokens: Int32Array): Promise<Float64Array> {
    const asked = { echo: true, logprobs: 1, prompt_logprobs: 1, max_tokens: 0, return_tokens_as_token_ids: true };
    const body = { model: this.model, prompt: [...tokens], temperature: 0, ...asked };
    const { choices } = await client.post("/v1/completions", body, scored);
    const { prompt_logprobs: own, logprobs: echoed } = choices[0]!;
    const ids = echoed?.tokens.map((token) => Number(token.match(/^token_id:(\d+)$/)?.[1]));
    const told = own ? own.map((one, i) => one?.[String(tokens[i])]?.logprob) : echoed?.token_logprobs;
    const others = !own && ids?.some((id, i) => !Number.isNaN(id) && id !== tokens[i]);
    if (!told || told.length !== tokens.length || others)
      throw ignored(client, `it gives ${told?.length ?? 0} log-probabilities for ${tokens.length} tokens`);
    return Float64Array.from(told, (one, i) => {
      if (i === 0) return Number.NaN;
      if (one === null || one === undefined) throw ignored(client, `it gives none for token ${i}`);
      return one <= lowest ? Infinity : -one;
    });
  }

  /** Of one question; each option is a prompt by itself. */
  async score({ prefix, scoreFrom, options }: OptionRequest, client: Client): Promise<Float64Array[]> {
    const all: Float64Array[] = [];
    for (const option of options)
      all.push((await this.costs(client, Int32Array.from([...prefix, ...option]))).subarray(scoreFrom));
    return all;
  }
}

const ignored = ({ base }: Client, how: string) =>
  new BenchError("server-refused", `${base} ignores \`echo\` and \`prompt_logprobs\`: ${how}`, {
    hint: "its likelihoods cannot be had: let it generate, or measure the model's file in process",
  });

/** Texts in chunks, each a prompt of its own. */
export function promptLikelihood(fleet: Fleet, scorer: PromptScorer): Likelihood {
  return {
    async *measure(text, { done, progress, share, ...cut }) {
      const { context } = cut;
      const [tokens, [bos]] = await fleet.run(async ({ client }) => [
        await scorer.tokenize(client, text.replace(/\n$/, "")),
        await scorer.tokenize(client, ""),
      ]);
      const chunks = chunksOf(tokens.length, cut);
      const { of } = chunks;
      const all = rangeOf(chunks.asked, share);
      const scoreFrom = Math.floor(context / 2);
      const asked = all.filter((chunk) => !done.has(String(chunk)));
      let through = all.length - asked.length;
      progress(through, all.length, chunks.asked.length);
      const scoredChunks = concurrently(asked, fleet.lanes, (chunk) =>
        fleet.run(async ({ client }) => {
          const window = tokens.slice(chunk * context, (chunk + 1) * context);
          const ids = idsDigest(window);
          if (bos !== undefined) window[0] = bos;
          const nll = (await scorer.costs(client, window)).slice(scoreFrom + 1);
          if (!nll.every(Number.isFinite))
            throw new BenchError("not-finite", `${client.base} gives a token of the text the probability 0`, {
              hint: "its log may say why",
            });
          return { chunk, of, nll, ids, ...meanOf(nll) };
        }),
      );
      for await (const one of scoredChunks) {
        progress(++through, all.length);
        yield one;
      }
    },
  };
}
