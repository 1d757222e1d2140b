import { z } from "zod";
import { has } from "../backends/backend.js";
import { byWindows } from "../backends/chunks.js";
import { rangeOf } from "../share.js";
import { chunkCost, chunkSettings, inParts, likelihoodItem, likelihoodMetrics } from "./chunks.js";
import type { Measurement } from "./measurement.js";

const settings = inParts(
  chunkSettings.extend({
    stride: z
      .int()
      .min(1)
      .max(1_048_576)
      .optional()
      .describe(
        "Score every token once: chunks begin so many tokens after each other, and the last so many of each are scored, as llama-perplexity's --ppl-stride. By default chunks do not overlap, and their second halves are scored.",
      ),
  }),
).refine(({ context, stride }) => stride === undefined || stride < context, {
  path: ["stride"],
  message: "a stride must be shorter than the context.",
});
type PerplexitySettings = z.infer<typeof settings>;

/** A program that reads a text from its beginning does not stop in the middle of it. */
const plainPart = ({ spread }: PerplexitySettings) => (spread === undefined ? "likelihood" : "passages");
const isPlain = ({ stride, special }: PerplexitySettings) => stride === undefined && special === undefined;

/**
 * Perplexity as llama-perplexity has it: PPL = exp(mean of −ln p) over the second halves of the chunks, or with a `stride` over
 * every token (see `chunked`). One sample per chunk, `value` in nats per token. Bits per byte and per character are over the text of
 * the scored tokens, and so are comparable across tokenizers.
 */
export const perplexity: Measurement<PerplexitySettings, "text", "likelihood" | "passages" | "windows"> = {
  name: "perplexity",
  rule: 1,
  settings,
  // Only an engine with tokens in its hands cuts and reads a text in other ways.
  needs: (settings) => [isPlain(settings) ? plainPart(settings) : "windows"],
  data: "text",
  mode: { kind: "alone" },
  likelihoods: (settings) => settings,
  machineBound: false,
  metrics: () => likelihoodMetrics,
  cost: chunkCost,

  async *measure({ engine, settings, data: { text, documents }, done, share, whole, progress }) {
    const { context, chunks, spread, seed } = settings;
    const divides = !isPlain(settings) || has(engine, ["passages"]);
    const told = (through: number, of: number, all?: number) => {
      progress(through, of, "chunks");
      const items = divides ? all : of;
      if (items !== undefined) whole?.(items);
    };
    const request = { context, chunks, spread, seed, done, share: divides ? share : undefined, progress: told };
    // To a program that reads a text from its beginning, the whole text is one batch.
    if (!divides && rangeOf([text], share).length === 0) return;
    const plain = share && divides ? "passages" : plainPart(settings);
    const likelihood = isPlain(settings) ? engine[plain] : byWindows(engine.windows, settings);
    for await (const chunk of likelihood.measure(text, request)) yield likelihoodItem(chunk, settings, documents);
  },
};
