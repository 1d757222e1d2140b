import { rememberTokens } from "../../models/cache.js";
import type { TokenCount } from "../backend.js";
import type { LlamaModel } from "./model.js";

/** Tokens of texts longer than this (bytes) are cached: a ladder shares a tokenizer, and a megabyte takes about a second. */
const longText = 100_000;

/** Text to tokens, and tokens to the text that they stand for. */
export class Tokenizer {
  readonly #pieces = new Map<number, TokenCount>();
  #ends: number | undefined;

  constructor(private readonly model: LlamaModel) {}

  tokenize(text: string, special: boolean): Int32Array {
    const bytes = Buffer.from(text, "utf8");
    const tokenizer = this.model.tokenizer;
    if (!tokenizer || bytes.length < longText) return this.#tokenizeNow(bytes, special);
    const key = [this.model.library.version, this.model.build, tokenizer, special ? "from its beginning" : "a part"];
    return rememberTokens(key, bytes, () => this.#tokenizeNow(bytes, special));
  }

  #tokenizeNow(bytes: Buffer, special: boolean): Int32Array {
    const tokens = this.#withItsEnd(bytes, special);
    return special && this.#appended > 0 ? tokens.slice(0, -this.#appended) : tokens;
  }

  /**
   * How many tokens the vocabulary puts after a text: EOS for some, SEP for others. They end a document, and neither an
   * option nor a text that is cut into windows is a whole one. Asked of the tokenizer itself, which knows of all.
   */
  get #appended(): number {
    if (this.#ends !== undefined) return this.#ends;
    const sample = Buffer.from("a");
    const bare = this.#withItsEnd(sample, false);
    const whole = this.#withItsEnd(sample, true);
    let start = 0;
    while (start + bare.length < whole.length && !bare.every((token, i) => whole[start + i] === token)) start++;
    this.#ends = whole.length - bare.length - start;
    return this.#ends;
  }

  #withItsEnd(bytes: Buffer, special: boolean): Int32Array {
    this.model.doing("tokenizing");
    // koffi passes a Buffer by address; an empty one has none.
    if (bytes.length === 0 && !special) return new Int32Array(0);
    let out = new Int32Array(bytes.length + 16);
    const source = bytes.length > 0 ? bytes : Buffer.alloc(1);
    let count = this.model.library.tokenize(this.model.vocab, source, bytes.length, out, out.length, special, false);
    if (count < 0) {
      out = new Int32Array(-count);
      count = this.model.library.tokenize(this.model.vocab, source, bytes.length, out, out.length, special, false);
    }
    return out.slice(0, count);
  }

  measureTokens(tokens: Int32Array): TokenCount {
    const sum: TokenCount = { bytes: 0, characters: 0 };
    for (const token of tokens) {
      let piece = this.#pieces.get(token);
      if (!piece) {
        piece = this.#measureToken(token);
        this.#pieces.set(token, piece);
      }
      sum.bytes += piece.bytes;
      sum.characters += piece.characters;
    }
    return sum;
  }

  #measureToken(token: number): TokenCount {
    let out = Buffer.alloc(64);
    let length = this.model.library.tokenToPiece(this.model.vocab, token, out, out.length, 0, true);
    if (length < 0) {
      out = Buffer.alloc(-length);
      length = this.model.library.tokenToPiece(this.model.vocab, token, out, out.length, 0, true);
    }
    let characters = 0;
    // A character counts where its first byte stands, so characters that are split over tokens count once.
    for (let i = 0; i < length; i++) if ((out[i]! & 0xc0) !== 0x80) characters++;
    return { bytes: length, characters };
  }
}
