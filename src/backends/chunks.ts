import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { uniforms } from "../kernels/sampling.js";
import { rangeOf, type Share } from "../share.js";
import type { ChunkLikelihood, ChunkRequest, Likelihood, WindowRequest, Windows } from "./backend.js";

/** Chunks that are decoded together, by their numbers in the text. */
export interface ChunkGroup {
  chunks: number[];
  /** Those of them that are measured; the others fill up a batch, whose size decides last digits. */
  asked: number[];
  /** How many chunks are measured in the groups before this one. */
  before: number;
}

/** The group's chunks as tokens, `context` of each. */
interface CutGroup extends ChunkGroup {
  windows: Int32Array[];
}

type ChunkFacts = Required<Pick<ChunkLikelihood, "chunk" | "of" | "text" | "before" | "ids">>;

/** How a text becomes chunks: see `chunked`. */
export interface TextChunks extends ChunkExtent {
  /** Tokens of a chunk. */
  context: number;
  /** A chunk begins so many tokens after the one before it, and its last so many are scored; absent: its second half. */
  stride?: number | undefined;
  /** Special tokens that the text spells out are read as such; absent: as text. */
  special?: "parse" | undefined;
}

/** Which chunks of a text are measured: all of them, the first ones, or some from all over it. */
export type ChunkExtent = Pick<ChunkRequest, "chunks" | "spread" | "seed">;

/** A text in chunks. */
interface Chunked {
  /** The chunks that are asked of the whole text, in order. */
  asked: number[];
  /** How many of them are measured, in this part. */
  count: number;
  /** Of all its windows: their length, and what is scored of them. */
  cut: Pick<WindowRequest, "context" | "scoreFrom" | "asTheyAre">;
  groups: CutGroup[];
  /** The ids up to the end of the last chunk that is measured. */
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
 * alone: a resumed job forms the same ones, and chunks from all over the text stand in batches as large as in a run over all of it.
 */
export function chunked(engine: Windows, text: string, settings: TextChunks, share?: Share): Chunked {
  const { context, stride } = settings;
  const tokens = tokenized(engine, text, settings);
  const { of, asked } = chunksOf(tokens.length, settings);
  const step = stride ?? context;
  const scoreFrom = stride === undefined ? Math.floor(context / 2) : context - 1 - stride;
  const window = (chunk: number) => tokens.subarray(chunk * step, chunk * step + context);
  const together = stride === undefined ? engine.parallel(context) : 1;
  const groups = inPart(groupsOf(asked, of, together, settings), share).map((group) => ({
    ...group,
    windows: group.chunks.map(window),
  }));
  const before = bytesBefore(engine, tokens, (chunk) => chunk * step + scoreFrom);
  const facts = (chunk: number) => ({
    chunk,
    of,
    // The tokens that a window's rows predict: row i the token after position scoreFrom + i.
    text: engine.measureTokens(window(chunk).subarray(scoreFrom + 1, context)),
    before: before(chunk),
    ids: idsDigest(window(chunk)),
  });
  const cut = { context, scoreFrom, ...(stride === undefined ? {} : { asTheyAre: true }) };
  const used = tokens.subarray(0, asked.at(-1)! * step + context);
  return { asked, count: countOf(groups), cut, groups, used, facts };
}

/** A chunk whose tokens cost `nll` nats each. */
export function likelihoodOf(facts: ChunkFacts, nll: Float64Array): ChunkLikelihood {
  return { ...facts, ...meanOf(nll), nll };
}

const tokenized = (engine: Windows, text: string, { special }: Pick<TextChunks, "special">) =>
  engine.tokenize(text.replace(/\n$/, ""), true, special === "parse");

/** The chunks that are asked of the `of` chunks of a text, in order: all, the first ones, or by `spread` some from all over it. */
export function askedChunks(of: number, { chunks, spread, seed = 0 }: ChunkExtent): number[] {
  if (spread !== undefined && spread < of) return drawn(of, spread, seed).sort((a, b) => a - b);
  return Array.from({ length: Math.min(chunks ?? of, of) }, (_, chunk) => chunk);
}

/**
 * The first `count` of the `of` chunks of a text in an order by the seed of which every beginning lies all over the text, so that who
 * measures more of it measures what is there already, too. These numbers alone decide, so all variants of one tokenizer are measured on
 * the same chunks.
 *
 * The order is van der Corput's sequence in base 2 with nested uniform scrambling: Owen (1995), "Randomly permuted
 * (t,m,s)-nets and (t,s)-sequences", Monte Carlo and Quasi-Monte Carlo Methods in Scientific Computing, Lecture Notes in Statistics
 * 106. Its first 2^k points are one, uniform, in each of 2^k equal stretches. The next 2^k lie, one for each of those and in turn, in
 * the other half of its stretch. A chunk that two points lie in counts once.
 */
function drawn(of: number, count: number, seed: number): number[] {
  const next = uniforms(`spread ${seed}`);
  const points = [next()];
  const chunks = new Set([Math.floor(points[0]! * of)]);
  for (let half = 1; chunks.size < count; half *= 2)
    for (let i = 0; i < half && chunks.size < count; i++) {
      const own = Math.floor(points[i]! * 2 * half);
      const other = own % 2 === 0 ? own + 1 : own - 1;
      const point = (other + next()) / (2 * half);
      points.push(point);
      chunks.add(Math.floor(point * of));
    }
  return [...chunks];
}

/**
 * Chunks that are decoded together, so many of them. The first ones of a text are decoded as llama-perplexity decodes them, the last
 * group perhaps a smaller one. Chunks from all over it stand in groups of the size that they have in a run over the whole text,
 * where all groups but the last are full: others fill up what is missing.
 */
export function groupsOf(
  asked: readonly number[],
  of: number,
  together: number,
  { spread }: ChunkExtent,
): ChunkGroup[] {
  if (spread === undefined || asked.length === of) return inGroups(asked, together).map(withBefore(asked));
  const full = of - (of % together);
  const [early, late] = [asked.filter((chunk) => chunk < full), asked.filter((chunk) => chunk >= full)];
  const drawn = new Set(early);
  const filling: number[] = [];
  for (let chunk = 0; (early.length + filling.length) % together > 0; chunk++)
    if (!drawn.has(chunk)) filling.push(chunk);
  const rest = late.length === 0 ? [] : [Array.from({ length: of - full }, (_, i) => full + i)];
  return [...inGroups([...early, ...filling], together), ...rest].map(withBefore(asked));
}

/** The groups of this part, as if there were no others. */
export function inPart(groups: readonly ChunkGroup[], share: Share | undefined): ChunkGroup[] {
  const own = rangeOf(groups, share);
  const [first] = own;
  return own.map((group) => ({ ...group, before: group.before - first!.before }));
}

/** How many chunks of the groups are measured. */
export const countOf = (groups: readonly ChunkGroup[]): number =>
  groups.reduce((sum, { asked }) => sum + asked.length, 0);

const inGroups = (chunks: readonly number[], together: number): number[][] =>
  Array.from({ length: Math.ceil(chunks.length / together) }, (_, group) =>
    chunks.slice(group * together, (group + 1) * together),
  );

/** Adds to the groups, called for one after another, what is asked of them. */
function withBefore(asked: readonly number[]): (chunks: number[]) => ChunkGroup {
  const wanted = new Set(asked);
  let through = 0;
  return (chunks) => {
    const own = chunks.filter((chunk) => wanted.has(chunk));
    through += own.length;
    return { chunks, asked: own, before: through - own.length };
  };
}

/** Chunks that are measured, in part or whole, when so many tokens of a group are decoded. */
export const throughGroup = ({ chunks, asked, before }: ChunkGroup, decoded: number, context: number): number =>
  before + (asked.length * decoded) / (chunks.length * context);

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

/** Tokens of the shortest chunks that may be asked for. */
export const leastContext = 8;

/** How many chunks a text of so many tokens has, and which of them are asked. Throws a BenchError `text-too-short`. */
export function chunksOf(tokens: number, { context, stride, ...extent }: TextChunks): { of: number; asked: number[] } {
  if (tokens < 2 * context)
    throw new BenchError(
      "text-too-short",
      `the text has ${tokens} tokens; a context of ${context} needs at least ${2 * context}`,
      {
        hint:
          tokens < 2 * leastContext
            ? "take a longer text"
            : `take a longer text, or a context of at most ${Math.floor(tokens / 2)}`,
      },
    );
  const of = stride === undefined ? Math.floor(tokens / context) : Math.ceil((tokens - context) / stride);
  return { of, asked: askedChunks(of, extent) };
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
    async *measure(text, { done, progress, share, ...asked }) {
      const { stride, special } = how;
      const { asked: whole, count, cut, groups, facts } = chunked(engine, text, { ...asked, stride, special }, share);
      progress(0, count, whole.length);
      for (const group of groups) {
        const left = group.asked.filter((chunk) => !done.has(String(chunk)));
        if (left.length === 0) continue;
        let decoded = 0;
        const nll = await engine.score({ ...cut, windows: group.windows }, (tokens) => {
          decoded += tokens;
          progress(throughGroup(group, decoded, cut.context), count);
        });
        for (const chunk of left) yield likelihoodOf(facts(chunk), nll[group.chunks.indexOf(chunk)]!);
      }
    },
  };
}
