import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import type { ChunkLikelihood, Likelihood, WindowRequest, Windows } from "./backend.js";

/** Chunks that are decoded together. */
export interface ChunkGroup {
  chunks: number[];
  /** `context` tokens for each chunk. */
  windows: Int32Array[];
}

type ChunkFacts = Required<Pick<ChunkLikelihood, "chunk" | "text" | "before" | "ids">>;

/** How a text becomes chunks: see `chunked`. */
export interface TextChunks {
  /** Tokens of a chunk. */
  context: number;
  /** How many of them at most. */
  chunks?: number | undefined;
  /** A chunk begins so many tokens after the one before it, and its last so many are scored; absent: its second half. */
  stride?: number | undefined;
  /** Special tokens that the text spells out are read as such; absent: as text. */
  special?: "parse" | undefined;
}

/** A text in chunks. */
interface Chunked {
  count: number;
  /** Of all its windows: their length, and what is scored of them. */
  cut: Pick<WindowRequest, "context" | "scoreFrom" | "asTheyAre">;
  groups: ChunkGroup[];
  /** The ids of all chunks. */
  used: Int32Array;
  /** The text that a chunk's tokens stand for; asks the engine. */
  facts(chunk: number): ChunkFacts;
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
 * With a `stride`, as with llama-perplexity's --ppl-stride, a chunk begins `stride` tokens after the one before it. Its last `stride`
 * tokens are scored, so that every token of the text but the first ones is scored once, each with context − stride tokens
 * before it or more. Its first token stays as it is, for that tool has no BOS there; each chunk is decoded by itself:
 *
 *     tokens   | t0 t1 …         … | t768 … t1023 |
 *     next           | t256 …                  … | t1024 … t1279 |
 *
 * The chunks that are decoded together shape each other's last digits, so the groups depend on the text and the settings
 * alone: a resumed job forms the same ones.
 */
export function chunked(engine: Windows, text: string, settings: TextChunks): Chunked {
  const { context, stride } = settings;
  const tokens = tokenized(engine, text, settings);
  const count = chunkCount(tokens.length, settings);
  const step = stride ?? context;
  const scoreFrom = stride === undefined ? Math.floor(context / 2) : context - 1 - stride;
  const window = (chunk: number) => tokens.subarray(chunk * step, chunk * step + context);
  const together = grouped(stride === undefined ? engine.parallel(context) : 1, count);
  const groups = together.map((chunks) => ({ chunks, windows: chunks.map(window) }));
  const before = bytesBefore(engine, tokens, (chunk) => chunk * step + scoreFrom);
  const facts = (chunk: number) => ({
    chunk,
    // The tokens that a window's rows predict: row i the token after position scoreFrom + i.
    text: engine.measureTokens(window(chunk).subarray(scoreFrom + 1, context)),
    before: before(chunk),
    ids: idsDigest(window(chunk)),
  });
  const cut = { context, scoreFrom, ...(stride === undefined ? {} : { asTheyAre: true }) };
  return { count, cut, groups, used: tokens.subarray(0, (count - 1) * step + context), facts };
}

/** A chunk whose tokens cost `nll` nats each. */
export function likelihoodOf(facts: ChunkFacts, nll: Float64Array): ChunkLikelihood {
  return { ...facts, ...meanOf(nll), nll };
}

const tokenized = (engine: Windows, text: string, { special }: Pick<TextChunks, "special">) =>
  engine.tokenize(text.replace(/\n$/, ""), true, special === "parse");

/** Chunks from the first on, so many together. */
export function grouped(together: number, count: number): number[][] {
  return Array.from({ length: Math.ceil(count / together) }, (_, group) =>
    Array.from({ length: Math.min(together, count - group * together) }, (_, i) => group * together + i),
  );
}

/** Digest of the token ids of an item. */
export function idsDigest(tokens: Int32Array): string {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return sha256(bytes).slice(0, 16);
}

/** Throws if an engine cuts the text of this name into other tokens than `used`, those of the reference. */
export function checkTokens(
  engine: Windows,
  { text, name }: { text: string; name: string },
  settings: TextChunks,
  used: Int32Array,
): void {
  const own = tokenized(engine, text, settings);
  const at = used.findIndex((token, i) => own[i] !== token);
  if (at >= 0)
    throw new BenchError(
      "other-tokenizer",
      `its tokenizer cuts ${name} into other tokens than the reference's does, from token ${at} on`,
      { hint: "compare bits per byte, which need no common tokenizer" },
    );
}

/** Bytes before the scored part of each chunk, which starts at these tokens; the first token may be BOS, which has none. */
function bytesBefore(engine: Windows, tokens: Int32Array, start: (chunk: number) => number) {
  const offsets: number[] = [];
  return (chunk: number) => {
    for (let i = offsets.length; i <= chunk; i++) {
      const from = i === 0 ? 0 : start(i - 1);
      offsets.push((offsets[i - 1] ?? 0) + engine.measureTokens(tokens.subarray(from, start(i))).bytes);
    }
    return offsets[chunk]!;
  };
}

/** How many chunks a text of so many tokens has. Throws a BenchError `text-too-short`. */
export function chunkCount(tokens: number, { context, chunks, stride }: TextChunks): number {
  if (tokens < 2 * context)
    throw new BenchError(
      "text-too-short",
      `the text has ${tokens} tokens; a context of ${context} needs at least ${2 * context}`,
      { hint: `take a longer text, or a context of at most ${Math.floor(tokens / 2)}` },
    );
  const all = stride === undefined ? Math.floor(tokens / context) : Math.ceil((tokens - context) / stride);
  return chunks === undefined ? all : Math.min(chunks, all);
}

/** Mean and mean of squares of one value per token, and how many they are. */
export function meanOf(values: ArrayLike<number>) {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! * values[i]!;
  }
  return { mean: sum / values.length, weight: values.length, square: squares / values.length };
}

/** The log-probability of a text from its windows of tokens. */
export function byWindows(engine: Windows, how: Pick<TextChunks, "stride" | "special"> = {}): Likelihood {
  return {
    async *measure(text, { done, progress, ...asked }) {
      const { stride, special } = how;
      const { count, cut, groups, facts } = chunked(engine, text, { ...asked, stride, special });
      progress(0, count);
      for (const { chunks, windows } of groups) {
        if (chunks.every((chunk) => done.has(String(chunk)))) continue;
        let decoded = 0;
        const nll = await engine.score({ ...cut, windows }, (tokens) => {
          decoded += tokens;
          progress(chunks[0]! + decoded / cut.context, count);
        });
        for (const [i, chunk] of chunks.entries())
          if (!done.has(String(chunk))) yield likelihoodOf(facts(chunk), nll[i]!);
      }
    },
  };
}
