import { z } from "zod";
import { byWindows } from "../backends/chunks.js";
import { chunkCost, chunkSettings, likelihoodItem, likelihoodMetrics } from "./chunks.js";
import type { Measurement } from "./measurement.js";

const settings = chunkSettings
  .extend({
    stride: z
      .int()
      .min(1)
      .max(1_048_576)
      .optional()
      .describe(
        "Score every token once: chunks begin so many tokens after each other, and the last so many of each are scored, as llama-perplexity's --ppl-stride. By default chunks do not overlap, and their second halves are scored.",
      ),
  })
  .refine(({ context, stride }) => stride === undefined || stride < context, {
    path: ["stride"],
    message: "a stride must be shorter than the context.",
  });
type PerplexitySettings = z.infer<typeof settings>;

const isPlain = ({ stride, special }: PerplexitySettings) => stride === undefined && special === undefined;

/**
 * Perplexity as llama-perplexity has it: PPL = exp(mean of −ln p) over the second halves of the chunks, or with a `stride` over
 * every token (see `chunked`). One sample per chunk, `value` in nats per token. Bits per byte and per character are over the text of
 * the scored tokens, and so are comparable across tokenizers.
 */
export const perplexity: Measurement<PerplexitySettings, "text", "likelihood" | "windows"> = {
  name: "perplexity",
  rule: 1,
  settings,
  // Only an engine with tokens in its hands cuts and reads a text in other ways.
  needs: (settings) => (isPlain(settings) ? ["likelihood"] : ["windows"]),
  data: "text",
  mode: { kind: "alone" },
  likelihoods: (settings) => settings,
  machineBound: false,
  metrics: () => likelihoodMetrics,
  cost: chunkCost,

  async *measure({ engine, settings, data: { text, documents }, done, progress }) {
    const { context, chunks: most } = settings;
    const told = (chunks: number, of: number) => progress(chunks, of, "chunks");
    const likelihood = isPlain(settings) ? engine.likelihood : byWindows(engine.windows, settings);
    for await (const chunk of likelihood.measure(text, { context, chunks: most, done, progress: told }))
      yield likelihoodItem(chunk, documents);
  },
};
