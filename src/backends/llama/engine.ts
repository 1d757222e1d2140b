import { takeHighWaterMark } from "../../machine.js";
import type { Engine, EngineFacts, Generation, HeldMemory, Likelihood, Options, Timing, Windows } from "../backend.js";
import { byWindows } from "../chunks.js";
import { generationByTokens } from "../generation.js";
import { byTokens } from "../options.js";
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
  readonly options: Options;
  readonly letters: Options;
  readonly generation: Generation;
  readonly timing: Timing;
  readonly #generation: LlamaGeneration;

  /** `path`: of the model's file. */
  constructor(
    private readonly model: LlamaModel,
    path: string,
  ) {
    this.facts = model.facts;
    const tokens = new Tokenizer(model);
    this.windows = new LlamaWindows(model, tokens);
    this.likelihood = byWindows(this.windows);
    this.options = byTokens(new LlamaOptions(model, tokens));
    // Every token's probability is there: a letter is an option like any other.
    this.letters = this.options;
    this.#generation = new LlamaGeneration(model, tokens, path);
    this.generation = generationByTokens(this.#generation);
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
    this.#generation.close();
    return this.model.close();
  }
}
