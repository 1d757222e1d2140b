import type { ChatSettings } from "../../chat/settings.js";
import { definite } from "../../definite.js";
import { takeHighWaterMark } from "../../machine.js";
import type { Engine, EngineFacts, Generation, HeldMemory, Likelihood, Options, Timing, Windows } from "../backend.js";
import { byWindows } from "../chunks.js";
import { generationByTokens } from "../generation.js";
import { byTokens } from "../options.js";
import { LlamaChat } from "./chat.js";
import { LlamaGeneration } from "./generation.js";
import type { LlamaModel } from "./model.js";
import { LlamaOptions } from "./options.js";
import { LlamaTiming } from "./timing.js";
import { Tokenizer } from "./tokenizer.js";
import { LlamaWindows } from "./windows.js";

/** A model in this process and what can be asked of it. */
export class LlamaEngine implements Engine {
  readonly facts: EngineFacts;
  readonly windows: Windows;
  readonly likelihood: Likelihood;
  readonly passages: Likelihood;
  readonly options: Options;
  readonly letters: Options;
  readonly generation: Generation;
  readonly timing: Timing;
  readonly #chat: LlamaChat;

  /** `path`: of the model's file. */
  constructor(
    private readonly model: LlamaModel,
    path: string,
    said: ChatSettings = {},
  ) {
    const tokens = new Tokenizer(model);
    this.#chat = new LlamaChat(model, tokens, path, said);
    this.facts = { ...model.facts, ...definite({ conversationDay: this.#chat.day }) };
    this.windows = new LlamaWindows(model, tokens);
    this.likelihood = byWindows(this.windows);
    this.passages = this.likelihood;
    this.options = byTokens(new LlamaOptions(model, tokens, this.#chat));
    // Every token's probability is there: a letter is an option like any other.
    this.letters = this.options;
    this.generation = generationByTokens(new LlamaGeneration(model, tokens, this.#chat));
    this.timing = new LlamaTiming(model);
  }

  peakMemory(): number {
    return takeHighWaterMark();
  }

  heldMemory(): HeldMemory {
    return this.model.held;
  }

  takeCacheBytes(): number {
    return this.model.takeCacheBytes();
  }

  close(): Promise<void> {
    this.#chat.close();
    return this.model.close();
  }
}
