import { joined } from "../../chat/conversation.js";
import type { LlamaModel } from "./model.js";
import type { Tokenizer } from "./tokenizer.js";

/**
 * `enum llama_vocab_type`: SentencePiece, byte-level BPE, RWKV. What they make of a text is what they make of its two parts
 * wherever no token spans the border: the first merges pairs into tokens of the vocabulary, the third takes the longest of
 * these from left to right. The second splits a text into words before it merges: each pattern of llama.cpp ends a word
 * between a letter or a digit and a line end, and none looks back over it.
 */
const cuttable: readonly number[] = [1, 2, 5];

const ascii = "A-Za-z0-9";
const ideographs = "\u4e00-\u9fa5";
/** Before a line end, the characters after which a text may be cut; the first that no token of the vocabulary has there. */
const borders = [ascii + ideographs, ascii].map((before) => ({
  spanned: new RegExp(`[${before}\ufffd]\n`),
  border: new RegExp(`(?<=[${before}])(?=\n)`),
}));

/** Stands before a line's end in place of the text before it: some vocabularies put a blank before a text. */
const anchor = "a";

/** Characters of lines that are remembered at most. */
const mostRemembered = 1 << 22;

/**
 * Tokens of texts that have lines in common: the examples before each question of a subject, and the question before each of
 * its options. Texts are cut at line ends that no token can span, and each line is tokenized once; the tokens are those of
 * the whole.
 */
export class Lines {
  readonly #known = new Map<string, Int32Array>();
  #remembered = 0;
  #border: RegExp | false | undefined;
  #anchorTokens: number | undefined;

  constructor(
    private readonly model: LlamaModel,
    private readonly tokens: Tokenizer,
  ) {}

  /** With BOS if the model wants it, never with an end; special tokens in the text are text. */
  tokenize(text: string): Int32Array {
    if (!borders[0]!.border.test(text)) return this.tokens.tokenize(text, true);
    this.#border ??= this.#findBorder();
    const lines = this.#border ? text.split(this.#border) : [text];
    if (lines.length === 1) return this.tokens.tokenize(text, true);
    return joined(lines.map((line, i) => this.#line(line, i === 0)));
  }

  #line(line: string, first: boolean): Int32Array {
    const key = first ? `first ${line}` : anchor + line;
    const known = this.#known.get(key);
    if (known) return known;
    const found = first ? this.tokens.tokenize(line, true) : this.tokens.piece(key, false).slice(this.#anchored);
    if (this.#remembered > mostRemembered) {
      this.#known.clear();
      this.#remembered = 0;
    }
    this.#known.set(key, found);
    this.#remembered += key.length;
    return found;
  }

  get #anchored(): number {
    this.#anchorTokens ??= this.tokens.piece(anchor, false).length;
    return this.#anchorTokens;
  }

  #findBorder(): RegExp | false {
    const { library, vocab, vocabulary } = this.model;
    if (!cuttable.includes(library.vocabularyType(vocab))) return false;
    const decoder = new TextDecoder();
    const ends: string[] = [];
    for (let token = 0; token < vocabulary; token++) {
      const bytes = this.tokens.bytes(token);
      if (bytes.lastIndexOf(10) > 0) ends.push(decoder.decode(bytes));
    }
    return borders.find(({ spanned }) => !ends.some((text) => spanned.test(text)))?.border ?? false;
  }
}
