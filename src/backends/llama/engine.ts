import { takeHighWaterMark } from "../../machine.js";
import type { Engine, EngineFacts, HeldMemory, Likelihood, Options, Timing, Windows } from "../backend.js";
import { byWindows } from "../chunks.js";
import { byTokens } from "../options.js";
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
  readonly timing: Timing;

  constructor(private readonly model: LlamaModel) {
    this.facts = model.facts;
    const tokens = new Tokenizer(model);
    this.windows = new LlamaWindows(model, tokens);
    this.likelihood = byWindows(this.windows);
    this.options = byTokens(new LlamaOptions(model, tokens));
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
    return this.model.close();
  }
}
