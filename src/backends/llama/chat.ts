import { basename } from "node:path";
import { type Conversation, Conversations } from "../../chat/conversation.js";
import type { ChatSettings } from "../../chat/settings.js";
import { ChatRenderer, type Message } from "../../chat/template.js";
import type { LlamaModel } from "./model.js";
import type { Tokenizer } from "./tokenizer.js";

/** Conversations by the template of a model's file; there are none without one. */
export class LlamaChat {
  readonly #renderer: ChatRenderer | undefined;
  readonly #conversations: Conversations | undefined;

  /** `path`: of the model's file. */
  constructor(model: LlamaModel, tokens: Tokenizer, path: string, said: ChatSettings) {
    const { library, pointer, vocab, bos } = model;
    const text = library.chatTemplate(pointer, null);
    if (!text) return;
    const name = (token: number) => tokens.name(token);
    const template = { text, bos: name(library.bos(vocab)), eos: name(library.eos(vocab)) };
    this.#renderer = new ChatRenderer(template, basename(path), said, (message) => model.warn(message));
    this.#conversations = new Conversations(this.#renderer, {
      ids: (piece, parse) => tokens.piece(piece, parse),
      name,
      bos: () => bos,
      warning: (message) => model.warn(message),
    });
  }

  get some(): boolean {
    return this.#conversations !== undefined;
  }

  /** The day that conversations are told. */
  get day(): string | undefined {
    return this.#renderer?.day;
  }

  /** Throws a BenchError `template-failed`. */
  read(messages: readonly Message[], endings: readonly string[] = []): Promise<Conversation> {
    if (!this.#conversations) throw new Error("a model without a chat template is asked no conversation");
    return this.#conversations.read(messages, endings);
  }

  /** Lets its process go; another conversation starts it again. */
  close(): void {
    this.#renderer?.close();
  }
}
