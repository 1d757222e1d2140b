import { rememberTokens } from "../../models/cache.js";
import type { TokenCount } from "../backend.js";
import type { LlamaModel } from "./model.js";

/** Tokens of texts longer than this (bytes) are cached: a ladder shares a tokenizer, and a megabyte takes about a second. */
const longText = 100_000;

/** Text to tokens, and tokens to the text that they stand for. */
export class Tokenizer {
  readonly #pieces = new Map<number, TokenCount>();
  readonly #written = new Map<number, Uint8Array>();
  #ends: number | undefined;

  constructor(private readonly model: LlamaModel) {}

  tokenize(text: string, special: boolean, parse = false): Int32Array {
    const bytes = Buffer.from(text, "utf8");
    const tokenizer = this.model.tokenizer;
    if (!tokenizer || bytes.length < longText) return this.#tokenizeNow(bytes, special, parse);
    const how = [special ? "from its beginning" : "a part", ...(parse ? ["special tokens parsed"] : [])];
    const key = [this.model.library.version, this.model.build, tokenizer, ...how];
    return rememberTokens(key, bytes, () => this.#tokenizeNow(bytes, special, parse));
  }

  /** A piece of a prompt, with nothing put before or after it. */
  piece(text: string, parse: boolean): Int32Array {
    return this.#withItsEnd(Buffer.from(text, "utf8"), false, parse);
  }

  #tokenizeNow(bytes: Buffer, special: boolean, parse: boolean): Int32Array {
    const tokens = this.#withItsEnd(bytes, special, parse);
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

  #withItsEnd(bytes: Buffer, special: boolean, parse = false): Int32Array {
    this.model.doing("tokenizing");
    // koffi passes a Buffer by address; an empty one has none.
    if (bytes.length === 0 && !special) return new Int32Array(0);
    let out = new Int32Array(bytes.length + 16);
    const source = bytes.length > 0 ? bytes : Buffer.alloc(1);
    let count = this.model.library.tokenize(this.model.vocab, source, bytes.length, out, out.length, special, parse);
    if (count < 0) {
      out = new Int32Array(-count);
      count = this.model.library.tokenize(this.model.vocab, source, bytes.length, out, out.length, special, parse);
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
    const bytes = this.bytes(token);
    // A character counts where its first byte stands, so characters that are split over tokens count once.
    return { bytes: bytes.length, characters: bytes.filter((byte) => (byte & 0xc0) !== 0x80).length };
  }

  textOf(tokens: Int32Array): string {
    return Buffer.concat(Array.from(tokens, (token) => this.bytes(token))).toString("utf8");
  }

  /** All that a token stands for, a special one too. */
  bytes(token: number): Uint8Array {
    return this.#bytesOf(token, true);
  }

  /** What a token adds to a text that is written for readers: nothing if it is a special one. */
  written(token: number): Uint8Array {
    const bytes = this.#written.get(token) ?? this.#bytesOf(token, false);
    this.#written.set(token, bytes);
    return bytes;
  }

  /** The text by which a special token goes in templates; empty where there is no such token. */
  name(token: number): string {
    return token < 0 ? "" : new TextDecoder().decode(this.#bytesOf(token, true));
  }

  #bytesOf(token: number, special: boolean): Uint8Array {
    let out = Buffer.alloc(64);
    let length = this.model.library.tokenToPiece(this.model.vocab, token, out, out.length, 0, special);
    if (length < 0) {
      out = Buffer.alloc(-length);
      length = this.model.library.tokenToPiece(this.model.vocab, token, out, out.length, 0, special);
    }
    return out.subarray(0, length);
  }
}
