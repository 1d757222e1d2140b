import type { Conversation } from "../../chat/conversation.js";
import type { Message } from "../../chat/template.js";
import type { Context, Rows } from "../../llama/context.js";
import { floatsAt } from "../../llama/library.js";
import type { TokenGenerator } from "../generation.js";
import type { LlamaChat } from "./chat.js";
import type { LlamaModel } from "./model.js";
import type { Tokenizer } from "./tokenizer.js";

/** A model's cells are padded to so many. */
const cellStep = 256;

/** Answers of one context's sequences. */
export class LlamaGeneration implements TokenGenerator {
  readonly vocabulary: number;
  #context: Context | undefined;
  #sequences = 0;

  constructor(
    private readonly model: LlamaModel,
    private readonly tokens: Tokenizer,
    private readonly chat: LlamaChat,
  ) {
    this.vocabulary = model.vocabulary;
  }

  get chats(): boolean {
    return this.chat.some;
  }

  get trainedContext(): number {
    return this.model.library.trainedContext(this.model.pointer);
  }

  tokenize(text: string): Int32Array {
    return this.tokens.tokenize(text, true);
  }

  converse(messages: readonly Message[]): Promise<Conversation> {
    return this.chat.read(messages);
  }

  bytes(token: number): Uint8Array {
    return this.tokens.written(token);
  }

  isEnd(token: number): boolean {
    return this.model.library.isEndOfGeneration(this.model.vocab, token);
  }

  /** Each sequence has its own part of the cache: where a token's cells lie depends on no neighbour. */
  open(sequences: number, length: number): void {
    // All conversations are written by now: its process has done its part.
    this.chat.close();
    const held = sequences * Math.ceil(length / cellStep) * cellStep;
    const batch = Math.max(this.model.ubatch, sequences);
    const shape = { context: held, batch, ubatch: this.model.ubatch, sequences, unified: false };
    this.#context = this.model.open(shape, { eager: true });
    this.#context.clear();
    this.#sequences = sequences;
  }

  async begin(sequence: number, tokens: Int32Array): Promise<Float32Array> {
    const context = this.#context!;
    context.clearSequence(sequence);
    const last = tokens.length - 1;
    let rows: Rows = { pointer: 0n, count: 0 };
    for (const [position, token] of tokens.entries()) {
      context.add(token, position, sequence, position === last);
      if (context.pending === this.model.ubatch || position === last) rows = this.model.decode(context);
    }
    context.checkNumbers(rows);
    return this.#rows(rows)[0]!;
  }

  /**
   * Rows of a product are computed in tiles of several, and one that is left over by itself, in another way: so a decode is
   * always of whole tiles, the sequences that have nothing to say among them. llama.cpp takes neighbours in one step only.
   */
  async next(added: readonly { sequence: number; token: number; position: number }[]): Promise<Float32Array[]> {
    const context = this.#context!;
    const tile = this.model.onProcessor ? Math.min(4, this.#sequences) : this.#sequences;
    const from = Math.floor(added[0]!.sequence / tile) * tile;
    const to = (Math.floor(added.at(-1)!.sequence / tile) + 1) * tile;
    const wanted = new Map(added.map((one) => [one.sequence, one]));
    for (let sequence = from; sequence < to; sequence++) {
      const { token, position } = wanted.get(sequence) ?? { token: 0, position: 0 };
      if (!wanted.has(sequence)) context.clearSequence(sequence);
      context.add(token, position, sequence, true);
    }
    const rows = this.#rows(context.decode());
    return added.map(({ sequence }) => rows[sequence - from]!);
  }

  #rows({ pointer, count }: Rows): Float32Array[] {
    const width = this.vocabulary;
    const logits = floatsAt(pointer, count * width);
    return Array.from({ length: count }, (_, row) => logits.subarray(row * width, (row + 1) * width));
  }
}
