import { z } from "zod";
import type { ChunkLikelihood } from "../backends/backend.js";
import { type ChunkExtent, leastContext, meanOf } from "../backends/chunks.js";
import type { TextDataset } from "../data/index.js";
import { definite } from "../definite.js";
import type { Measured, Sample } from "../events.js";
import type { Cost, EngineLimits } from "./measurement.js";

/** Which chunks are measured; for `inParts`. */
export const extentShape = {
  chunks: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe("The first so many chunks alone, as llama-perplexity's --chunks; by default all."),
  spread: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe("So many chunks from all over the text, drawn; more of them hold all that fewer hold. By default all."),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .optional()
    .describe("Of the draw of `spread`; 0 by default."),
};

/** Settings of what is measured on a text; for `inParts`. */
export const chunkSettings = z.strictObject({
  context: z.int().min(leastContext).max(1_048_576).default(512).describe("Tokens per chunk."),
  ...extentShape,
  special: z
    .literal("parse")
    .optional()
    .describe("parse: special tokens that the text spells out, such as <|im_start|>, are read as such, not as text."),
});
export type ChunkSettings = z.infer<typeof chunkSettings>;

/** Settings with an extent that says one thing; a draw has its seed, which is recorded. */
export const inParts = <Settings extends z.ZodObject<typeof extentShape>>(settings: Settings) =>
  settings
    .refine(({ chunks, spread }) => chunks === undefined || spread === undefined, {
      path: ["spread"],
      message: "it excludes `chunks`: keep `chunks` for the first ones, or `spread` for some from all over the text",
    })
    .refine(({ spread, seed }) => seed === undefined || spread !== undefined, {
      path: ["seed"],
      message: "it is that of `spread`, which is missing",
    })
    .overwrite((said) => (said.spread === undefined ? said : { ...said, seed: said.seed ?? 0 }));

/** Sequences that llama.cpp decodes side by side at most, its LLAMA_MAX_SEQ. */
const mostParallel = 256;

/** Tokens, sequences and rows that an engine holds for chunks of so many tokens: as many as fit into a batch, and the logits of a micro-batch. */
export function heldChunks(context: number, { batch, ubatch }: EngineLimits) {
  const parallel = Math.min(Math.max(1, Math.floor(batch / context)), mostParallel);
  return { context, parallel, rows: Math.min(ubatch, parallel * context) };
}

/** The cost of measuring chunks of a text; four bytes of text make a token, roughly. */
export const chunkCost = (
  { context, chunks, spread, stride }: ChunkSettings & { stride?: number | undefined },
  data: TextDataset | undefined,
  engine: EngineLimits,
): Cost => ({
  ...(stride === undefined
    ? heldChunks(context, engine)
    : { context, parallel: 1, rows: Math.min(engine.ubatch, context) }),
  prompt: Math.min(chunks ?? spread ?? Infinity, (data?.bytes ?? 0) / 4 / (stride ?? context)) * context,
  generated: 0,
});

/** The metrics of `likelihoodItem`. */
export const likelihoodMetrics = ["perplexity", "bits_per_byte", "bits_per_character"];

/** What an item says of the data of which a part is measured. */
export const partOf = ({ chunks, spread }: ChunkExtent, of: number | undefined): Pick<Measured, "of"> =>
  (chunks ?? spread) === undefined ? {} : definite({ of });

/** The perplexity of a chunk's scored tokens as an item, with bits per byte and per character if the engine tells of those. */
export function likelihoodItem(
  { chunk, of, mean, weight, square, nll, text, before, ids }: ChunkLikelihood,
  extent: ChunkExtent,
  documents?: number[],
): Measured {
  const bits = (mean * weight) / Math.LN2;
  const samples: Sample[] = [{ metric: "perplexity", value: mean, weight, ...definite({ square }) }];
  if (text) samples.push({ metric: "bits_per_byte", value: bits / text.bytes, weight: text.bytes });
  // A chunk of a few tokens may be parts of one character, whose beginning is elsewhere.
  if (text && text.characters > 0)
    samples.push({ metric: "bits_per_character", value: bits / text.characters, weight: text.characters });
  return {
    item: String(chunk),
    samples,
    ...(nll ? { tokens: { nll } } : {}),
    ...definite({ ids }),
    ...partOf(extent, of),
    ...documentAt(before, documents),
  };
}

/** Which document a chunk's scored part begins in: chunks of one document hang together. Nothing if the text has none. */
export function documentAt(before: number | undefined, documents: number[] | undefined): { cluster?: string } {
  if (before === undefined || !documents || documents.length < 2) return {};
  return { cluster: `document ${documents.filter((start) => start <= before).length}` };
}

/** Mean and mean of squares of one value per token, as a sample. */
export function tokenSample(metric: string, values: ArrayLike<number>): Sample {
  const { mean, weight, square } = meanOf(values);
  return { metric, value: mean, weight, square };
}
