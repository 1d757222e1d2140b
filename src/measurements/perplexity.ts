import { type ChunkSettings, chunkCost, chunkSettings, likelihoodItem, likelihoodMetrics } from "./chunks.js";
import type { Measurement } from "./measurement.js";

/**
 * Perplexity as llama-perplexity has it: PPL = exp(mean of −ln p) over the second halves of the chunks.
 * One sample per chunk, `value` in nats per token. Bits per byte and per character are over the text of the scored tokens,
 * and so are comparable across tokenizers.
 */
export const perplexity: Measurement<ChunkSettings, "text", "likelihood"> = {
  name: "perplexity",
  rule: 1,
  settings: chunkSettings,
  needs: () => ["likelihood"],
  data: "text",
  mode: { kind: "alone" },
  likelihoods: (settings) => settings,
  machineBound: false,
  metrics: () => likelihoodMetrics,
  cost: chunkCost,

  async *measure({ engine, settings, data: { text, documents }, done, progress }) {
    const request = { ...settings, done, progress: (chunks: number, of: number) => progress(chunks, of, "chunks") };
    for await (const chunk of engine.likelihood.measure(text, request)) yield likelihoodItem(chunk, documents);
  },
};
