import { contextsOf, type OptionQuestion, type OptionScores, type Options, type OptionsRequest } from "../backend.js";
import { asked } from "./asked.js";
import type { OllamaChat } from "./chat.js";
import { greedy } from "./sampling.js";
import { type OllamaServer, type ServerAnswer, tooLong } from "./server.js";

/** How many of the most likely tokens a server tells at most. */
const mostTold = 20;

/**
 * Options of a single letter. The server tells the log-probabilities of the 20 tokens that are most likely as the next one, as the
 * model gives them: before sampling, whatever is sampled. Sampling is constrained to the letters all the same, for a model that
 * ends its text here would else tell nothing.
 */
export class OllamaLetters implements Options {
  constructor(
    private readonly server: OllamaServer,
    private readonly context: number,
    private readonly conversations: OllamaChat,
  ) {}

  get chats(): boolean {
    return this.conversations.some;
  }

  async *score(
    questions: readonly OptionQuestion[],
    { done, show, progress }: OptionsRequest,
  ): AsyncGenerator<OptionScores> {
    const left = questions.filter(({ id }) => !done.has(id));
    let through = questions.length - left.length;
    progress(through);
    for await (const scores of asked(this.server, left, (question) => this.#score(question, show))) {
      progress(++through);
      yield scores;
    }
  }

  async #score(question: OptionQuestion, show: string | undefined): Promise<OptionScores> {
    const { id, delimiter, options } = question;
    const unanswerable = (reason: string): OptionScores => ({ id, unanswerable: reason, options: [] });
    if ("contexts" in question) return unanswerable("its options stand in contexts of their own");
    if (options.some((option) => [...option].length !== 1))
      return unanswerable("its options are more than a letter each");
    const prompt =
      "messages" in question ? { id, messages: question.messages } : { id, text: contextsOf(question)[0]! };
    const asked = await this.conversations.ask(prompt);
    if ("fault" in asked) return unanswerable(asked.fault);
    let answer: ServerAnswer;
    try {
      answer = await this.server.generate({
        ...asked.form,
        format: { type: "string", enum: options },
        logprobs: true,
        top_logprobs: mostTold,
        options: { ...greedy, num_predict: 1 },
      });
    } catch (error) {
      if (tooLong(error)) return unanswerable(`it does not fit into the server's context of ${this.context} tokens`);
      throw error;
    }
    const [first] = answer.logprobs ?? [];
    if (!first) return unanswerable("the server told no log-probabilities");
    const told = new Map((first.top_logprobs ?? []).toReversed().map(({ token, logprob }) => [token, logprob]));
    const scores = options.map((option) => told.get(delimiter + option));
    const untold = options.filter((_, i) => scores[i] === undefined);
    if (untold.length > 0)
      return unanswerable(
        `${untold.join(", ")} ${untold.length > 1 ? "are" : "is"} not among the ${mostTold} most likely tokens`,
      );
    const text = id === show ? await this.conversations.written(asked.form) : undefined;
    return {
      id,
      options: scores.map((sum) => ({ sum: sum!, mean: sum!, tokens: 1 })),
      ...(text === undefined ? {} : { prompt: { text } }),
    };
  }
}
