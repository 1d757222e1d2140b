import type { TokenInText } from "../events.js";
import { type Summary, summarize } from "./summary.js";

/** The per-token values of one chunk of text against the reference, in the order of the text; nats. */
export interface ChunkTokens {
  item: string;
  /** The distance of each prediction from the reference's. */
  distance: ArrayLike<number>;
  /** Negative log-likelihoods of the tokens that follow. */
  nll: ArrayLike<number>;
  nllReference: ArrayLike<number>;
  /** Tokens of the chunk before the first one that was scored, where that is known. */
  before?: number;
  /** The document that it is of. */
  cluster?: string;
}

/** The mean distance over some of the tokens, with chunks as the pieces of its interval. */
export interface TokenGroup {
  /** From where to where, of what can be counted; its name else. */
  of: readonly [from: number, to: number] | string;
  tokens: number;
  summary: Summary;
}

/** One token that the two models see differently. */
export interface WorstToken {
  item: string;
  /** From 0, among the scored ones of its chunk. */
  place: number;
  /** Tokens of the chunk before it, where that is known. */
  before?: number;
  distance: number;
  /** Probabilities of the token that follows. */
  p: number;
  pReference: number;
  /** Absent in runs of version 0.1, and of a token that others of its chunk stand before. */
  text?: TokenInText;
}

/** Where a variant is far from its reference. */
export interface Breakdown {
  /** Of what the distances are; groups of too few tokens are left out, all of them in a short text. */
  metric: string;
  /** By tokens of the chunk before the predicted one. */
  positions: TokenGroup[];
  /** By the probability that the reference gives the token which follows. */
  confidence: TokenGroup[];
  /** By document; empty where the text is one. */
  documents: TokenGroup[];
  worst: WorstToken[];
}

const bins = 8;
const worstShown = 10;
/** A mean over fewer tokens is an anecdote. */
const fewestTokens = 10;

/** `metric`: the one whose values `distance` holds. */
export function breakdownOf(metric: string, chunks: ChunkTokens[]): Breakdown {
  const longest = Math.max(0, ...chunks.map(({ distance }) => distance.length));
  const offsets = [...new Set(chunks.map(({ before }) => before))];
  const offset = offsets.length === 1 ? offsets[0] : undefined;
  const edges = (i: number) => Math.round((i * longest) / bins);
  const start = offset ?? 0;
  return {
    metric,
    positions: groups(metric, chunks, (_, place) =>
      Math.min(bins - 1, Math.floor(((place + 0.5) * bins) / longest)),
    ).map(({ key, ...group }) => ({ ...group, of: [start + edges(key), start + edges(key + 1)] as const })),
    confidence: groups(metric, chunks, ({ nllReference }, place) =>
      Math.min(bins - 1, Math.floor(bins * Math.exp(-nllReference[place]!))),
    ).map(({ key, ...group }) => ({ ...group, of: [key / bins, (key + 1) / bins] as const })),
    documents: byDocument(metric, chunks),
    worst: worstOf(chunks),
  };
}

function byDocument(metric: string, chunks: ChunkTokens[]): TokenGroup[] {
  const names = [...new Set(chunks.flatMap(({ cluster }) => cluster ?? []))];
  if (names.length < 2) return [];
  return groups(metric, chunks, ({ cluster }) => (cluster === undefined ? -1 : names.indexOf(cluster)))
    .filter(({ key }) => key >= 0)
    .map(({ key, ...group }) => ({ ...group, of: names[key]! }));
}

/** The tokens by what `keyOf` says of them, in the order of these keys. */
function groups(
  metric: string,
  chunks: ChunkTokens[],
  keyOf: (chunk: ChunkTokens, place: number) => number,
): { key: number; tokens: number; summary: Summary }[] {
  const found = new Map<number, { item: string; sum: number; squares: number; weight: number }[]>();
  for (const chunk of chunks) {
    const own = new Map<number, { item: string; sum: number; squares: number; weight: number }>();
    for (let place = 0; place < chunk.distance.length; place++) {
      const key = keyOf(chunk, place);
      const sums = own.get(key) ?? { item: chunk.item, sum: 0, squares: 0, weight: 0 };
      const value = chunk.distance[place]!;
      sums.sum += value;
      sums.squares += value * value;
      sums.weight++;
      own.set(key, sums);
    }
    for (const [key, sums] of own) found.set(key, [...(found.get(key) ?? []), sums]);
  }
  return [...found]
    .sort(([a], [b]) => a - b)
    .map(([key, sums]) => ({ key, tokens: sums.reduce((all, { weight }) => all + weight, 0), sums }))
    .filter(({ tokens }) => tokens >= fewestTokens)
    .map(({ key, tokens, sums }) => {
      const samples = sums.map(({ item, sum, squares, weight }) => {
        return { item, value: sum / weight, square: squares / weight, weight };
      });
      return { key, tokens, summary: summarize(metric, samples) };
    });
}

function worstOf(chunks: ChunkTokens[]): WorstToken[] {
  const kept: WorstToken[] = [];
  for (const { item, distance, nll, nllReference, before } of chunks)
    for (let place = 0; place < distance.length; place++) {
      if (kept.length === worstShown && distance[place]! <= kept.at(-1)!.distance) continue;
      kept.push({
        item,
        place,
        ...(before === undefined ? {} : { before: before + place }),
        distance: distance[place]!,
        p: Math.exp(-nll[place]!),
        pReference: Math.exp(-nllReference[place]!),
      });
      kept.sort((a, b) => b.distance - a.distance);
      if (kept.length > worstShown) kept.pop();
    }
  return kept;
}
