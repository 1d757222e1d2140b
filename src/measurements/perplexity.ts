import type { TextDataset } from "../data/index.js";
import { type ChunkSettings, chunkCost, chunked, chunkSettings, tokenSample } from "./chunks.js";
import type { Measurement } from "./measurement.js";

/**
 * Perplexity as llama-perplexity has it: PPL = exp(mean of −ln p) over the second halves of the chunks (see chunks.ts).
 * One sample per chunk, `value` in nats per token. Bits per byte and per character are over the text of the scored tokens,
 * and so are comparable across tokenizers.
 */
export const perplexity: Measurement<ChunkSettings> = {
  name: "perplexity",
  rule: 1,
  settings: chunkSettings,
  needs: ["likelihood"],
  data: "text",
  mode: { kind: "alone" },
  machineBound: false,
  metrics: () => ["perplexity", "bits_per_byte", "bits_per_character"],
  cost: chunkCost,

  async *measure({ engine, settings, dataset, done, progress }) {
    const { context } = settings;
    const { count, scoreFrom, groups, scored, facts } = chunked(engine, dataset as TextDataset, settings);
    progress(0, count, "chunks");
    for (const { chunks, windows } of groups) {
      if (chunks.every((chunk) => done.has(String(chunk)))) continue;
      let decoded = 0;
      const nll = await engine.score({ context, windows, scoreFrom }, (tokens) => {
        decoded += tokens;
        progress(chunks[0]! + decoded / context, count, "chunks");
      });
      for (const [i, chunk] of chunks.entries()) {
        if (done.has(String(chunk))) continue;
        const mean = tokenSample("perplexity", nll[i]!);
        const { bytes, characters } = engine.measureTokens(scored(windows[i]!));
        const bits = (mean.value * mean.weight) / Math.LN2;
        yield {
          item: String(chunk),
          samples: [
            mean,
            { metric: "bits_per_byte", value: bits / bytes, weight: bytes },
            // A chunk of a few tokens may be parts of one character, whose beginning is elsewhere.
            ...(characters > 0 ? [{ metric: "bits_per_character", value: bits / characters, weight: characters }] : []),
          ],
          tokens: { nll: nll[i]! },
          ...facts(chunk),
        };
      }
    }
  },
};
