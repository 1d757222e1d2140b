import { definite } from "../../definite.js";
import type { Answer, Generation, GenerationRequest, Prompt } from "../backend.js";
import { beyondServer, unasked } from "../concurrent.js";
import { asked } from "./asked.js";
import type { OllamaChat, PromptForm } from "./chat.js";
import { plain } from "./sampling.js";
import { type OllamaServer, repeated, type ServerAnswer, type ServerRequest, tooLong } from "./server.js";

/** Answers of the server. A text goes to it as it stands. */
export class OllamaGeneration implements Generation {
  readonly truncates = false;
  readonly penalizes = false;
  constructor(
    private readonly server: OllamaServer,
    private readonly context: number,
    private readonly conversations: OllamaChat,
    private readonly warning: (message: string) => void,
  ) {}

  get chats(): boolean {
    return this.conversations.some;
  }

  async *answer(prompts: readonly Prompt[], request: GenerationRequest): AsyncGenerator<Answer> {
    const left = prompts.filter(({ id }) => !request.done.has(id));
    let through = prompts.length - left.length;
    const progress = () => request.progress(through);
    progress();
    for await (const answer of asked(this.server, left, (prompt) => this.#asked(prompt, { ...request, progress }))) {
      through++;
      progress();
      yield answer;
    }
  }

  async #asked(prompt: Prompt, request: TimedRequest): Promise<Answer> {
    const kept = beyondServer(prompt, request);
    if (kept !== undefined) return unasked(prompt.id, kept);
    const one = await this.conversations.ask(prompt);
    if ("fault" in one) return unasked(prompt.id, one.fault);
    const answer = await this.#answer(prompt.id, one.form, request);
    const text = prompt.id === request.show ? await this.conversations.written(one.form) : undefined;
    return {
      ...answer,
      ...(one.thinks ? { thinks: true } : {}),
      ...(text === undefined ? {} : { prompt: { text } }),
    };
  }

  async #answer(
    id: string,
    form: PromptForm,
    { maxTokens, stop, temperature, topK, topP, seed, progress }: TimedRequest,
  ): Promise<Answer> {
    const unanswerable = (reason: string) => unasked(id, reason);
    const { stop: none, ...sampling } = plain;
    const request: ServerRequest & PromptForm = {
      ...form,
      // The end that a Modelfile gives belongs to the template that the server itself fills in.
      options: {
        ...sampling,
        ...("messages" in form ? {} : { stop: none }),
        ...definite({ top_k: topK, top_p: topP }),
        temperature,
        seed,
        num_predict: maxTokens,
      },
    };
    let text = "";
    let pieces = 0;
    let end = -1;
    let shown = performance.now();
    try {
      const last = await this.server.stream(request, {
        again() {
          text = "";
          pieces = 0;
        },
        // The server would cut the text as well, but not say whether it did or the model had come to its end.
        piece(said) {
          const more = moreOf(text, said);
          const from = Math.max(0, text.length - Math.max(0, ...stop.map((one) => one.length - 1)));
          text += more;
          pieces++;
          if (performance.now() - shown > 1000) {
            shown = performance.now();
            progress();
          }
          end = firstOf(text, stop, from);
          return end < 0;
        },
      });
      // Of an answer that is left, the server tells no counts: a piece is a token, or those of one character.
      if (!last) {
        const promptTokens = await this.#promptTokens(request);
        return { id, text: text.slice(0, end), finish: "stop", promptTokens, tokens: pieces };
      }
      text += moreOf(text, last);
      const cut = firstOf(text, stop, 0);
      const { prompt_eval_count: promptTokens, eval_count: tokens } = last;
      const counts = { promptTokens, tokens };
      if (cut >= 0) return { id, text: text.slice(0, cut), finish: "stop", ...counts };
      if (last.done_reason !== "length") return { id, text, finish: "end", ...counts };
      if (tokens < maxTokens)
        return unanswerable(`its answer does not fit into the server's context of ${this.context} tokens`);
      return { id, text, finish: "length", ...counts };
    } catch (error) {
      if (tooLong(error)) return unanswerable(`it does not fit into the server's context of ${this.context} tokens`);
      if (!repeated(error)) throw error;
      this.warning("Ollama cuts off answers that say one token a hundred times; they count as too long");
      return { id, text, finish: "length", promptTokens: await this.#promptTokens(request), tokens: pieces };
    }
  }

  /** Of a prompt that the server still has in its cache: a single token is computed. */
  async #promptTokens({ options, ...request }: ServerRequest & PromptForm): Promise<number> {
    const one = { ...request, options: { ...options, num_predict: 1 } };
    const last = await this.server.stream(one, { again() {}, piece: () => true });
    return last?.prompt_eval_count ?? 0;
  }
}

type TimedRequest = Omit<GenerationRequest, "progress"> & { progress: () => void };

/** What goes on from a text. The server tells a thought apart from the answer; it stands here as models write it. */
function moreOf(text: string, { response, message }: ServerAnswer): string {
  const { content = response, thinking = "" } = message ?? {};
  const begun = text === "" && thinking !== "" ? "<think>" : "";
  const inside = (begun || text).startsWith("<think>") && !text.includes("</think>");
  return `${begun}${thinking}${inside && content !== "" && message ? "</think>" : ""}${content}`;
}

/** Where the first of the ends begins, at `from` or later; −1: nowhere. */
function firstOf(text: string, ends: readonly string[], from: number): number {
  const found = ends.map((one) => text.indexOf(one, from)).filter((at) => at >= 0);
  return found.length > 0 ? Math.min(...found) : -1;
}
