import { z } from "zod";
import type { Engine } from "../backends/backend.js";
import type { TextDataset } from "../datasets.js";
import { BenchError } from "../errors.js";
import type { Measurement } from "./measurement.js";

const settings = z.strictObject({
  context: z.int().min(8).max(1_048_576).default(512).describe("Tokens per chunk."),
  chunks: z.int().min(1).optional().describe("How many chunks from the start; by default all."),
});
type Settings = z.infer<typeof settings>;

/**
 * Perplexity as llama-perplexity has it. The text, less one final line feed, is tokenized once with BOS and cut into
 * chunks of `context` tokens that do not overlap; what is left over is not used. Every chunk is decoded alone, its first
 * token replaced by BOS, and scored in its second half, so that each scored token has at least context/2 before it:
 *
 *     tokens   | BOS t1 t2 … t255 | t256 t257 … t510  t511 |  next chunk …
 *     logits                        ↓    ↓        ↓
 *     predict                       t257 t258 …   t511        context/2 − 1 terms
 *
 * PPL = exp(mean of −ln p). One sample per chunk, `value` in nats per token. Bits per byte and per character are over the
 * text of the scored tokens, and so are comparable across tokenizers.
 */
export const perplexity: Measurement<Settings> = {
  name: "perplexity",
  settings,
  needs: ["likelihood"],
  data: "text",
  interleaved: false,
  machineBound: false,
  metrics: () => ["perplexity", "bits_per_byte", "bits_per_character"],
  context: ({ context }) => ({ context, parallel: Math.max(1, Math.floor(2048 / context)), rows: 512 }),

  async *measure({ engine, settings, dataset, done, progress }) {
    const { context } = settings;
    const tokens = engine.tokenize((dataset as TextDataset).text.replace(/\n$/, ""), true);
    const chunks = chunkCount(tokens.length, settings, engine);
    const scoreFrom = Math.floor(context / 2);
    const together = engine.parallelWindows(context);
    progress(0, chunks, "chunks");
    // The chunks that are decoded together shape each other's last digits, so a resumed job forms the same groups.
    for (let first = 0; first < chunks; first += together) {
      const group = Array.from({ length: Math.min(together, chunks - first) }, (_, i) => first + i);
      const wanted = group.filter((chunk) => !done.has(String(chunk)));
      if (wanted.length === 0) continue;
      const windows = group.map((chunk) => tokens.subarray(chunk * context, (chunk + 1) * context));
      let decoded = 0;
      const nll = await engine.score({ context, windows, scoreFrom }, (count) => {
        decoded += count;
        progress(first + decoded / context, chunks, "chunks");
      });
      for (const chunk of wanted) {
        const values = nll[chunk - first]!;
        // Row i predicts the token after position scoreFrom + i.
        const scored = windows[chunk - first]!.subarray(scoreFrom + 1, context);
        yield { item: String(chunk), samples: chunkSamples(values, scored, engine), tokens: { nll: values } };
      }
    }
  },
};

function chunkCount(tokens: number, { context, chunks }: Settings, engine: Engine): number {
  if (tokens < 2 * context)
    throw new BenchError(
      "text-too-short",
      `the text has ${tokens} tokens; a context of ${context} needs at least ${2 * context}`,
      {
        hint: `take a longer text, or a context of at most ${Math.floor(tokens / 2)}`,
      },
    );
  if (context > engine.facts.trainedContext)
    throw new BenchError(
      "context-too-long",
      `the model was trained for ${engine.facts.trainedContext} tokens of context; ${context} are asked for`,
      { hint: `lower the context to ${engine.facts.trainedContext} or less` },
    );
  const all = Math.floor(tokens / context);
  return chunks === undefined ? all : Math.min(chunks, all);
}

function chunkSamples(nll: Float64Array, scored: Int32Array, engine: Engine) {
  let sum = 0;
  let squares = 0;
  for (const value of nll) {
    sum += value;
    squares += value * value;
  }
  const { bytes, characters } = engine.measureTokens(scored);
  const bits = sum / Math.LN2;
  return [
    { metric: "perplexity", value: sum / nll.length, weight: nll.length, square: squares / nll.length },
    { metric: "bits_per_byte", value: bits / bytes, weight: bytes },
    { metric: "bits_per_character", value: bits / characters, weight: characters },
  ];
}
