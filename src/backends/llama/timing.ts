import type { Context, Rows } from "../../llama/context.js";
import type { SpeedTest, Timing } from "../backend.js";
import type { LlamaModel } from "./model.js";

/** Prompts and generation, timed as llama-bench times them. */
export class LlamaTiming implements Timing {
  constructor(private readonly model: LlamaModel) {}

  #speedContext({ prompt, generate, depth }: SpeedTest): Context {
    const cells = prompt + generate + depth;
    const batch = Math.min(this.model.batch, cells); // llama.cpp's own limit
    const shape = { context: cells, batch, ubatch: Math.min(this.model.ubatch, batch), sequences: 1, unified: false };
    return this.model.open(shape, { eager: true });
  }

  async prepare(test: SpeedTest): Promise<void> {
    const context = this.#speedContext(test);
    context.clear(false);
    context.checkNumbers(test.prompt > 0 ? this.#prompt(context, test.prompt, 0) : this.#generate(context, 1, 0));
  }

  async time(test: SpeedTest): Promise<number> {
    const context = this.#speedContext(test);
    context.clear(false);
    if (test.depth > 0) this.#prompt(context, test.depth, 0);
    const started = process.hrtime.bigint();
    const rows =
      test.prompt > 0
        ? this.#prompt(context, test.prompt, test.depth)
        : this.#generate(context, test.generate, test.depth);
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    context.checkNumbers(rows);
    return seconds;
  }

  /** Random tokens, BOS first where the model has one: as llama-bench. */
  #token(position: number): number {
    return position === 0 && this.model.bos >= 0 ? this.model.bos : Math.floor(Math.random() * this.model.vocabulary);
  }

  #prompt(context: Context, count: number, from: number): Rows {
    let rows: Rows = { pointer: 0n, count: 0 };
    for (let done = 0; done < count; ) {
      const tokens = Math.min(this.model.batch, count - done);
      for (let i = 0; i < tokens; i++) {
        const position = from + done + i;
        context.add(this.#token(position), position, 0, i === tokens - 1);
      }
      rows = context.decode(false);
      done += tokens;
    }
    return rows;
  }

  #generate(context: Context, count: number, from: number): Rows {
    let rows: Rows = { pointer: 0n, count: 0 };
    for (let i = 0; i < count; i++) {
      context.add(this.#token(from + i), from + i, 0, true);
      rows = context.decode(false);
    }
    return rows;
  }
}
