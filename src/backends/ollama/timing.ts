import { BenchError } from "../../errors.js";
import type { SpeedTest, Timing } from "../backend.js";
import type { Runner } from "./runner.js";
import { greedy } from "./sampling.js";
import { type OllamaServer, repeated, type ServerAnswer } from "./server.js";

/** Words that are a token each in most vocabularies. */
const words = [
  "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but not",
  "what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her",
  "would make like him into time has look two more write go see no way could people my than first been call who its now find long down day did",
  "get come made may part",
].flatMap((line) => line.split(" "));

/** Tokens of a prompt whose answer is timed from its beginning: none may be shared with the prompt before. */
const opening = 16;

/** Requests after which a model that ends its answers early is given up. */
const mostRequests = 16;

/** A load of the model takes longer than this many seconds, and a look at one that is there less, on a machine that is not busy. */
const loading = 0.5;

/**
 * Times as the server itself takes them, of prompts that it has not seen: each begins with other words, for what a prompt has in
 * common with the one before it is not computed again, though it is counted.
 *
 * - pp: prompt_eval_count / prompt_eval_duration. After `depth` tokens: those of a longer prompt that begins with them, right
 *   after a request that computed them.
 * - tg: (eval_count − 1) / eval_duration, for the first token comes out of the prompt. An answer that ends early is followed by
 *   others until so many tokens are made.
 *
 * A request for which the model had to be loaded is asked anew.
 */
export class OllamaTiming implements Timing {
  /** Tokens of a word, on average, and those that the server puts before a prompt. */
  #tokensPerWord = 1;
  #before = 0;
  /** Whether a request since had to load the model, as far as its duration tells. */
  #loaded = false;

  constructor(
    private readonly server: OllamaServer,
    /** Tokens that the server holds. */
    private readonly context: number,
    private readonly runner: Runner | undefined,
    private readonly doing: (step: string) => void,
  ) {}

  cpuSeconds(): number | undefined {
    return this.runner?.cpuSeconds();
  }

  async prepare(test: SpeedTest): Promise<void> {
    const { prompt, generate, depth } = test;
    const needed = depth + (prompt > 0 ? prompt : Math.max(0, opening - depth) + generate) + 2;
    if (needed > this.context)
      throw new BenchError("context-full", `${needed} tokens are to be timed; the server holds ${this.context}`, {
        hint: "raise the variant's `contextLength`, up to what the model was trained for",
      });
    this.doing("learning how long words are in tokens");
    const [few, many] = [await this.#count(8), await this.#count(40)];
    this.#tokensPerWord = (many - few) / 32;
    // Where each word is a token, what is left is BOS.
    this.#before = this.#tokensPerWord === 1 ? few - 8 : 0;
    this.doing("warming up");
    await (prompt > 0 ? this.#prompt(test) : this.#generate({ ...test, generate: 1 }));
  }

  async time(test: SpeedTest): Promise<number> {
    this.doing("timing");
    for (let attempt = 0; attempt < 3; attempt++) {
      const seconds = await this.#undisturbed(test);
      if (seconds !== undefined) return seconds;
    }
    throw new BenchError(
      "server-failed",
      "the server loads the model anew for each request, which then times the load",
      {
        hint: "raise `keepAlive`, or OLLAMA_MAX_LOADED_MODELS on the server where variants take turns",
      },
    );
  }

  /** Undefined where the model was loaded meanwhile. */
  async #undisturbed(test: SpeedTest): Promise<number | undefined> {
    const before = this.runner?.pid();
    this.#loaded = false;
    const seconds = await (test.prompt > 0 ? this.#prompt(test) : this.#generate(test));
    const after = this.runner?.pid();
    const another = before === undefined && after === undefined ? this.#loaded : before !== after;
    return another ? undefined : seconds;
  }

  async #prompt({ prompt, depth }: SpeedTest): Promise<number> {
    const before = depth > 0 ? this.#text(depth) : "";
    let shared = this.#before;
    if (depth > 0) {
      const first = await this.#ask(before, 1);
      shared = first.prompt_eval_count;
    }
    const answer = await this.#ask(`${before}${this.#text(prompt)}`, 1);
    return (prompt * answer.prompt_eval_duration) / 1e9 / (answer.prompt_eval_count - shared);
  }

  async #generate({ generate, depth }: SpeedTest): Promise<number> {
    let made = 0;
    let nanoseconds = 0;
    for (let request = 0; made < generate; request++) {
      if (request === mostRequests)
        throw new BenchError(
          "server-failed",
          `the model ends its answers early: ${made} tokens in ${request} answers`,
          {
            hint: "time fewer tokens with `generate`",
          },
        );
      const answer = await this.#ask(
        `${this.#text(Math.max(depth, opening) - counting.length)}${counting}`,
        generate - made + 1,
      ).catch((error) => {
        if (repeated(error)) return undefined;
        throw error;
      });
      if (!answer) continue;
      if (answer.eval_count < 2) continue;
      made += answer.eval_count - 1;
      nanoseconds += answer.eval_duration;
    }
    return (generate * nanoseconds) / 1e9 / made;
  }

  async #count(count: number): Promise<number> {
    return (await this.#ask(randomWords(count), 1)).prompt_eval_count;
  }

  /** Random words of about so many tokens, with what the server puts before them. */
  #text(tokens: number): string {
    return randomWords(Math.max(1, Math.round((tokens - this.#before) / this.#tokensPerWord)));
  }

  async #ask(prompt: string, most: number): Promise<ServerAnswer> {
    const options = { ...greedy, num_predict: most };
    const answer = await this.server.generate({ prompt, raw: true, think: false, options });
    if (answer.load_duration / 1e9 > loading) this.#loaded = true;
    return answer;
  }
}

/** A text that models go on with for long, some of whose tokens are digits. */
const counting = " 1, 2, 3, 4, 5, 6, 7,";

function randomWords(count: number): string {
  return Array.from({ length: count }, () => ` ${words[Math.floor(Math.random() * words.length)]}`).join("");
}
