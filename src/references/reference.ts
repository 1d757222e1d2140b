import type { RowComparison } from "../kernels/rows.js";

/** The head of a stored reference. */
export interface ReferenceHead {
  /** The member of the family that wrote it. */
  form: string;
  /** Tokens per chunk, size of the vocabulary, chunks. */
  context: number;
  vocabulary: number;
  chunks: number;
  /** sha256 of the model, its tokenizer and the text, if the form keeps them; 64 hexadecimal digits each. */
  modelSha256?: string;
  tokenizerSha256?: string;
  textSha256?: string;
  /** How many of the most likely tokens are kept of every position; absent if all are. */
  top?: number;
  /** Metrics that a comparison with it gives, besides those of the next token alone. */
  metrics: string[];
}

/** An opened file: one row per scored position, chunk by chunk. Rows may be asked for in any order. */
export interface StoredReference {
  readonly head: ReferenceHead;
  /** The tokens of a chunk, as the text gave them. */
  tokens(chunk: number): Int32Array;
  /** `logits`: the variant's at this row; `token`: the one that follows. */
  compare(chunk: number, row: number, logits: Float32Array, token: number): RowComparison;
  close(): void;
}

/** A file being written. Rows may come in any order. */
export interface ReferenceWriter {
  add(chunk: number, row: number, logits: Float32Array, token: number): void;
  /** Writes through to the disk. */
  finish(): void;
}

/** The contents of a file to be written. */
export interface ReferencePlan {
  context: number;
  vocabulary: number;
  /** `context` tokens of each chunk, one after another. */
  tokens: Int32Array;
  modelSha256: string;
  tokenizerSha256: string;
  textSha256: string;
  /** How many of the most likely tokens to keep of every position, if the form does not keep all. */
  top?: number;
}

/** A form of file in which the distributions of a reference are kept. */
export interface ReferenceForm {
  readonly name: string;
  /** The first 8 bytes, ASCII. */
  readonly magic: string;
  /** Throws a BenchError if the file is damaged. */
  open(path: string): StoredReference;
  create(path: string, plan: ReferencePlan): ReferenceWriter;
}

/** The first position whose logits are kept, and how many rows a chunk has: llama-perplexity's second halves. */
export const scoredFrom = (context: number) => Math.floor(context / 2);
export const rowsPerChunk = (context: number) => context - 1 - scoredFrom(context);
