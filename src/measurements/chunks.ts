import { createHash } from "node:crypto";
import { z } from "zod";
import type { Engine } from "../backends/backend.js";
import type { Dataset, TextDataset } from "../data/index.js";
import { BenchError } from "../errors.js";
import type { Cost } from "./measurement.js";

/** Settings of what is measured on a text. */
export const chunkSettings = z.strictObject({
  context: z.int().min(8).max(1_048_576).default(512).describe("Tokens per chunk."),
  chunks: z.int().min(1).max(1_000_000_000).optional().describe("How many chunks from the start; by default all."),
});
export type ChunkSettings = z.infer<typeof chunkSettings>;

/** What the engine holds for chunks of so many tokens. */
export const heldChunks = (context: number) => ({
  context,
  parallel: Math.max(1, Math.floor(2048 / context)),
  rows: 512,
});

/** What measuring chunks of a text takes; four bytes of text make a token, roughly. */
export const chunkCost = ({ context, chunks = Infinity }: ChunkSettings, data?: Dataset): Cost => ({
  ...heldChunks(context),
  prompt: Math.min(chunks * context, (data?.bytes ?? 0) / 4),
  generated: 0,
});

/** Chunks that are decoded together. */
export interface ChunkGroup {
  chunks: number[];
  /** `context` tokens for each chunk. */
  windows: Int32Array[];
}

/**
 * A text as llama-perplexity cuts it. The text, less one final line feed, is tokenized once with BOS and cut into chunks of
 * `context` tokens that do not overlap; what is left over is not used. Every chunk is decoded alone, its first token
 * replaced by BOS, and scored in its second half, so that each scored token has at least context/2 before it:
 *
 *     tokens   | BOS t1 t2 … t255 | t256 t257 … t510  t511 |  next chunk …
 *     logits                        ↓    ↓        ↓
 *     predict                       t257 t258 …   t511        context − 1 − ⌊context/2⌋ terms
 *
 * The chunks that are decoded together shape each other's last digits, so the groups depend on the text and the settings
 * alone: a resumed job forms the same ones.
 */
export function chunked(engine: Engine, { text, documents }: TextDataset, settings: ChunkSettings) {
  const { context } = settings;
  const tokens = engine.tokenize(text.replace(/\n$/, ""), true);
  const count = chunkCount(tokens.length, settings);
  const together = engine.parallelWindows(context);
  const groups: ChunkGroup[] = [];
  for (let first = 0; first < count; first += together) {
    const chunks = Array.from({ length: Math.min(together, count - first) }, (_, i) => first + i);
    groups.push({ chunks, windows: chunks.map((chunk) => tokens.subarray(chunk * context, (chunk + 1) * context)) });
  }
  const scoreFrom = Math.floor(context / 2);
  /** The tokens that a window's rows predict: row i the token after position scoreFrom + i. */
  const scored = (window: Int32Array) => window.subarray(scoreFrom + 1, context);
  const document = documentOf(engine, tokens, settings, documents);
  const used = tokens.subarray(0, count * context);
  const facts = (chunk: number) => ({
    ids: idsDigest(tokens.subarray(chunk * context, (chunk + 1) * context)),
    ...document(chunk),
  });
  return { count, scoreFrom, groups, scored, used, facts };
}

/** Of the token ids of an item. */
export function idsDigest(tokens: Int32Array): string {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

/** Throws where an engine cuts the text into other tokens than `used`, those of the reference. */
export function checkTokens(engine: Engine, { text, name }: TextDataset, used: Int32Array): void {
  const own = engine.tokenize(text.replace(/\n$/, ""), true);
  const at = used.findIndex((token, i) => own[i] !== token);
  if (at >= 0)
    throw new BenchError(
      "other-tokenizer",
      `its tokenizer cuts ${name} into other tokens than the reference's does, from token ${at} on`,
      { hint: "compare bits per byte, which need no common tokenizer" },
    );
}

/**
 * Which document a chunk's scored part begins in, as a fact of its item: chunks of one document hang together. Nothing
 * where the text is not known to have documents.
 */
function documentOf(engine: Engine, tokens: Int32Array, { context }: ChunkSettings, documents: number[] | undefined) {
  if (!documents || documents.length < 2) return () => ({});
  const starts = documents;
  const scoreFrom = Math.floor(context / 2);
  /** Bytes before the scored part of the chunks so far; the first token may be BOS, which has none. */
  const offsets: number[] = [];
  return (chunk: number) => {
    for (let i = offsets.length; i <= chunk; i++) {
      const from = i === 0 ? 0 : (i - 1) * context + scoreFrom;
      offsets.push((offsets[i - 1] ?? 0) + engine.measureTokens(tokens.subarray(from, i * context + scoreFrom)).bytes);
    }
    const document = starts.filter((start) => start <= offsets[chunk]!).length;
    return { cluster: `document ${document}` };
  };
}

function chunkCount(tokens: number, { context, chunks }: ChunkSettings): number {
  if (tokens < 2 * context)
    throw new BenchError(
      "text-too-short",
      `the text has ${tokens} tokens; a context of ${context} needs at least ${2 * context}`,
      { hint: `take a longer text, or a context of at most ${Math.floor(tokens / 2)}` },
    );
  const all = Math.floor(tokens / context);
  return chunks === undefined ? all : Math.min(chunks, all);
}

/** Mean and mean of squares of one value per token, as a sample. */
export function tokenSample(metric: string, values: ArrayLike<number>) {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! * values[i]!;
  }
  return { metric, value: sum / values.length, weight: values.length, square: squares / values.length };
}
