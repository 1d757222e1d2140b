import type { Conversation } from "../../chat/conversation.js";
import type { Message } from "../../chat/template.js";
import { finite } from "../../kernels/rows.js";
import type { Context, ContextShape } from "../../llama/context.js";
import type { ScoringPool } from "../../llama/pool.js";
import type { OptionBatch, OptionRequest, OptionScorer } from "../options.js";
import type { LlamaChat } from "./chat.js";
import { Lines } from "./lines.js";
import type { LlamaModel } from "./model.js";
import type { Tokenizer } from "./tokenizer.js";

/** Options of one batch; llama.cpp reserves a row of logits for each. */
const optionSequences = 64;

/** Batches of options that share prefixes. */
export class LlamaOptions implements OptionScorer {
  readonly batch: OptionBatch;
  readonly #lines: Lines;
  #begun: { context: Context; start: Int32Array } | undefined;

  constructor(
    private readonly model: LlamaModel,
    tokens: Tokenizer,
    private readonly chat: LlamaChat,
  ) {
    // The tokens of a recurrent model's batch cannot belong to several sequences: it has no cache of them to share.
    const options = model.library.isRecurrent(model.pointer) ? 1 : optionSequences;
    this.batch = { tokens: model.ubatch, options };
    this.#lines = new Lines(model, tokens);
  }

  get trainedContext(): number {
    return this.model.library.trainedContext(this.model.pointer);
  }

  tokenize(text: string): Int32Array {
    return this.#lines.tokenize(text);
  }

  get chats(): boolean {
    return this.chat.some;
  }

  converse(messages: readonly Message[], endings: readonly string[]): Promise<Conversation> {
    return this.chat.read(messages, endings);
  }

  /**
   * A prefix token belongs to the sequences of all its options, an option's to its own; options of one token take none. One
   * decode call a micro-batch. What a `start` decoded stays in a sequence of its own, the last one: each batch shares it, and
   * takes its own cells away again, so that every batch finds the cache as the first one did.
   */
  async score(questions: OptionRequest[], contextLength: number, start = nothing): Promise<Float64Array[][]> {
    const ubatch = Math.min(this.model.ubatch, contextLength);
    const sequences = this.batch.options + 1;
    // llama.cpp reserves a row of logits for each sequence, and has at most as many rows as a batch, or the cache, has tokens.
    const held = Math.max(contextLength, sequences);
    const batch = Math.max(ubatch, sequences);
    const shape: ContextShape = { context: held, batch, ubatch, sequences, unified: true };
    const context = this.model.open(shape, { sequencesPerToken: sequences });
    this.#begin(context, start, ubatch);
    const decoding = new Decoding(context, this.model.scoring(), ubatch);
    const results: Float64Array[][] = [];
    let used = 0;
    for (const request of questions) {
      const own = request.options.map(({ length }) => (length > 1 ? used++ : -1));
      const owners = own.filter((sequence) => sequence >= 0);
      if (owners.length === 0) owners.push(used++);
      if (start.length > 0) for (const sequence of owners) context.shareSequence(sequences - 1, sequence);
      results.push(decoding.add(request, start.length, own, owners));
    }
    decoding.end();
    if (start.length > 0) for (let sequence = 0; sequence < used; sequence++) context.clearSequence(sequence);
    return results;
  }

  /** Decodes a start, unless the context holds it already. */
  #begin(context: Context, start: Int32Array, ubatch: number): void {
    if (start.length > 0 && this.#begun?.context === context && this.#begun.start === start) return;
    context.clear();
    const last = context.shape.sequences - 1;
    for (const [position, token] of start.entries()) {
      context.add(token, position, last, false);
      if (context.pending === ubatch || position === start.length - 1) context.decode();
    }
    this.#begun = { context, start };
  }
}

const nothing = new Int32Array(0);

/** The decode calls of one batch, and which rows predict what. */
class Decoding {
  // Row r of a decode call predicts targets[r], which goes to all of places[r]. The row of a prefix's last token predicts
  // the first token of every option and is read apart.
  #targets: number[] = [];
  #places: [values: Float64Array, at: number][][] = [];
  #forks: { row: number; firsts: number[]; places: [values: Float64Array, at: number][] }[] = [];

  constructor(
    private readonly context: Context,
    private readonly pool: ScoringPool,
    private readonly ubatch: number,
  ) {}

  /**
   * One question, its prefix at position `from`; `own`: the sequence of each option, `owners`: all of these. The values are
   * filled in by the decodes.
   */
  add({ prefix, scoreFrom, options, skip }: OptionRequest, from: number, own: number[], owners: number[]) {
    const shared = prefix.length - scoreFrom;
    const skipped = options.map((_, i) => skip?.[i] ?? 0);
    const values = options.map(({ length }, i) => new Float64Array(shared + length - skipped[i]!));
    const forked = options.flatMap((tokens, i) => (skipped[i] === 0 ? { first: tokens[0]!, values: values[i]! } : []));
    for (const [position, token] of prefix.entries()) {
      const at = position + 1 - scoreFrom;
      if (position === prefix.length - 1 && forked.length > 0) {
        const places = forked.map((one): [Float64Array, number] => [one.values, shared]);
        this.#forks.push({ row: this.#targets.length, firsts: forked.map(({ first }) => first), places });
        this.#token(token, from + position, owners, 0, []);
      } else if (at >= 0 && position < prefix.length - 1)
        this.#token(
          ...[token, from + position, owners, prefix[position + 1]!],
          values.map((one) => [one, at]),
        );
      else this.#token(token, from + position, owners);
    }
    // The last token predicts nothing that is asked for.
    for (const [i, tokens] of options.entries())
      for (let k = 0; k + 1 < tokens.length; k++) {
        const at = shared + k + 1 - skipped[i]!;
        const next = k + 1 < skipped[i]! ? undefined : tokens[k + 1]!;
        this.#token(tokens[k]!, from + prefix.length + k, [own[i]!], next, [[values[i]!, at]]);
      }
    return values;
  }

  #token(
    token: number,
    position: number,
    owners: number[],
    next?: number,
    places: [values: Float64Array, at: number][] = [],
  ): void {
    this.context.add(token, position, owners, next !== undefined);
    if (next !== undefined) {
      this.#targets.push(next);
      this.#places.push(places);
    }
    if (this.context.pending === this.ubatch) this.end();
  }

  /** Decodes what is left. */
  end(): void {
    if (this.context.pending === 0) return;
    const rows = this.context.decode();
    const scores = this.#targets.length > 0 ? this.pool.score(rows.pointer, this.#targets) : [];
    for (const [row, all] of this.#places.entries()) for (const [values, at] of all) values[at] = finite(scores[row]!);
    for (const { row, firsts, places } of this.#forks)
      for (const [i, value] of this.pool.scoreOne(rows.pointer, row, firsts).entries()) {
        const [values, at] = places[i]!;
        values[at] = finite(value);
      }
    this.#targets = [];
    this.#places = [];
    this.#forks = [];
  }
}
