import type { Conversation } from "../../chat/conversation.js";
import type { Message } from "../../chat/template.js";
import { finite } from "../../kernels/rows.js";
import type { ContextShape } from "../../llama/context.js";
import type { OptionBatch, OptionRequest, OptionScorer } from "../options.js";
import type { LlamaChat } from "./chat.js";
import type { LlamaModel } from "./model.js";
import type { Tokenizer } from "./tokenizer.js";

/** Options of one batch; llama.cpp reserves a row of logits for each. */
const optionSequences = 64;

/** Batches of options that share prefixes. */
export class LlamaOptions implements OptionScorer {
  readonly batch: OptionBatch;

  constructor(
    private readonly model: LlamaModel,
    private readonly tokens: Tokenizer,
    private readonly chat: LlamaChat,
  ) {
    // The tokens of a recurrent model's batch cannot belong to several sequences: it has no cache of them to share.
    const options = model.library.isRecurrent(model.pointer) ? 1 : optionSequences;
    this.batch = { tokens: model.ubatch, options };
  }

  get trainedContext(): number {
    return this.model.library.trainedContext(this.model.pointer);
  }

  tokenize(text: string): Int32Array {
    return this.tokens.tokenize(text, true);
  }

  get chats(): boolean {
    return this.chat.some;
  }

  converse(messages: readonly Message[], endings: readonly string[]): Promise<Conversation> {
    return this.chat.read(messages, endings);
  }

  /** A prefix token belongs to the sequences of all its options, an option's to its own. One decode call a micro-batch. */
  async score(questions: OptionRequest[], contextLength: number): Promise<Float64Array[][]> {
    const ubatch = Math.min(this.model.ubatch, contextLength);
    const { options: sequences } = this.batch;
    // llama.cpp reserves a row of logits for each sequence, and has at most as many rows as a batch, or the cache, has tokens.
    const held = Math.max(contextLength, sequences);
    const batch = Math.max(ubatch, sequences);
    const shape: ContextShape = { context: held, batch, ubatch, sequences, unified: true };
    const context = this.model.open(shape, { sequencesPerToken: sequences });
    const pool = this.model.scoring();
    const results = questions.map(({ prefix, scoreFrom, options }) =>
      options.map(({ length }) => new Float64Array(prefix.length - scoreFrom + length)),
    );
    // Row r of a decode call predicts targets[r], which goes to all of places[r]. The row of a prefix's last token predicts
    // the first token of every option and is read apart.
    let targets: number[] = [];
    let places: [values: Float64Array, at: number][][] = [];
    let forks: { row: number; question: number }[] = [];
    const decode = () => {
      const rows = context.decode();
      const scores = targets.length > 0 ? pool.score(rows.pointer, targets) : [];
      for (const [row, all] of places.entries()) for (const [values, at] of all) values[at] = finite(scores[row]!);
      for (const { row, question } of forks) {
        const { prefix, scoreFrom, options } = questions[question]!;
        const firsts = options.map((tokens) => tokens[0]!);
        for (const [i, value] of pool.scoreOne(rows.pointer, row, firsts).entries())
          results[question]![i]![prefix.length - scoreFrom] = finite(value);
      }
      targets = [];
      places = [];
      forks = [];
    };
    const add = (
      token: number,
      position: number,
      owners: number[],
      next?: number,
      all: [Float64Array, number][] = [],
    ) => {
      context.add(token, position, owners, next !== undefined);
      if (next !== undefined) {
        targets.push(next);
        places.push(all);
      }
      if (context.pending === ubatch) decode();
    };
    context.clear();
    let sequence = 0;
    for (const [question, { prefix, scoreFrom, options }] of questions.entries()) {
      const own = options.map((_, i) => sequence + i);
      sequence += options.length;
      const values = results[question]!;
      for (const [position, token] of prefix.entries()) {
        const at = position + 1 - scoreFrom;
        if (position === prefix.length - 1) {
          forks.push({ row: targets.length, question });
          add(token, position, own, 0);
        } else if (at >= 0) {
          const all = values.map((one): [Float64Array, number] => [one, at]);
          add(token, position, own, prefix[position + 1]!, all);
        } else add(token, position, own);
      }
      // The last token predicts nothing that is asked for.
      for (const [i, tokens] of options.entries())
        for (let k = 0; k + 1 < tokens.length; k++)
          add(tokens[k]!, prefix.length + k, [own[i]!], tokens[k + 1]!, [
            [values[i]!, prefix.length - scoreFrom + k + 1],
          ]);
    }
    if (context.pending > 0) decode();
    return results;
  }
}
