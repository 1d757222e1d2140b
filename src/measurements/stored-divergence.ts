import { z } from "zod";
import type { ReferenceData } from "../data/index.js";
import { BenchError } from "../errors.js";
import { openReference } from "../references/index.js";
import { type RowComparison, rowsPerChunk, type StoredReference, scoredFrom } from "../references/reference.js";
import { heldChunks, idsDigest, tokenSample } from "./chunks.js";
import type { Measurement } from "./measurement.js";

const settings = z.strictObject({
  chunks: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe("How many chunks of the file from the start; by default all."),
});
type Settings = z.infer<typeof settings>;

/**
 * Divergence from a reference that was written to a file: llama-perplexity's own (`--kl-divergence-base`), whose figures are
 * then reproduced to every printed digit, or our compact one. Tokens and context come from the file; no text is needed.
 * The metrics are those of `divergence`, and the variant's perplexity.
 */
export const storedDivergence: Measurement<Settings> = {
  name: "stored-divergence",
  rule: 1,
  settings,
  needs: ["likelihood"],
  data: "reference",
  mode: { kind: "alone" },
  machineBound: false,
  metrics: (_, data) => [
    ...((data as ReferenceData | undefined)?.head.metrics ?? []),
    "same_top",
    "delta_p",
    "delta_p_rms",
    "ln_ppl_ratio",
    "perplexity",
  ],
  cost({ chunks = Infinity }, data) {
    const { context, chunks: there } = (data as ReferenceData | undefined)?.head ?? { context: 512, chunks: 1 };
    return { ...heldChunks(context), prompt: Math.min(chunks, there) * context, generated: 0 };
  },

  async *measure({ engine, settings, dataset, done, progress }) {
    const reference = openReference((dataset as ReferenceData).path);
    const { context, vocabulary, chunks } = reference.head;
    if (vocabulary !== engine.facts.vocabulary)
      throw new BenchError(
        "reference-vocabulary",
        `the stored reference has a vocabulary of ${vocabulary} tokens, this model one of ${engine.facts.vocabulary}`,
        { hint: "compare with a reference of the same tokenizer, or compare bits per byte" },
      );
    const count = Math.min(settings.chunks ?? chunks, chunks);
    const together = engine.parallelWindows(context);
    progress(0, count, "chunks");
    try {
      for (let first = 0; first < count; first += together) {
        const group = Array.from({ length: Math.min(together, count - first) }, (_, i) => first + i);
        if (group.every((chunk) => done.has(String(chunk)))) continue;
        const windows = group.map((chunk) => reference.tokens(chunk));
        const values = group.map(() => new ChunkValues(reference));
        let decoded = 0;
        await engine.visitRows(
          { context, windows, scoreFrom: scoredFrom(context) },
          ({ window, row, logits, token }) =>
            values[window]!.keep(row, reference.compare(group[window]!, row, logits, token)),
          (tokens) => {
            decoded += tokens;
            progress(first + decoded / context, count, "chunks");
          },
        );
        for (const [i, chunk] of group.entries())
          if (!done.has(String(chunk)))
            yield { item: String(chunk), ids: idsDigest(windows[i]!), ...values[i]!.measured() };
      }
    } finally {
      reference.close();
    }
  },
};

/** Per-token values of one chunk. */
class ChunkValues {
  readonly #metrics: string[];
  readonly #nll: Float64Array;
  readonly #nllReference: Float64Array;
  readonly #top: Int32Array;
  readonly #topReference: Int32Array;
  readonly #divergence: Float64Array[];

  constructor({ head }: StoredReference) {
    const rows = rowsPerChunk(head.context);
    this.#metrics = head.metrics;
    this.#nll = new Float64Array(rows);
    this.#nllReference = new Float64Array(rows);
    this.#top = new Int32Array(rows);
    this.#topReference = new Int32Array(rows);
    this.#divergence = head.metrics.map(() => new Float64Array(rows));
  }

  keep(row: number, { nll, nllReference, top, topReference, divergence }: RowComparison): void {
    this.#nll[row] = nll;
    this.#nllReference[row] = nllReference;
    this.#top[row] = top;
    this.#topReference[row] = topReference;
    for (const [i, value] of divergence.entries()) this.#divergence[i]![row] = value;
  }

  measured() {
    const nll = this.#nll;
    const expf = (x: number) => Math.fround(Math.exp(x));
    // In float32, as llama-perplexity's.
    const deltaP = Float32Array.from(nll, (cost, i) => expf(-cost) - expf(-this.#nllReference[i]!));
    const same = Array.from(this.#top, (token, i) => (token === this.#topReference[i] ? 1 : 0));
    return {
      samples: [
        ...this.#metrics.map((metric, i) => tokenSample(metric, this.#divergence[i]!)),
        tokenSample("same_top", same),
        tokenSample("delta_p", deltaP),
        tokenSample(
          "delta_p_rms",
          Array.from(deltaP, (difference) => difference * difference),
        ),
        tokenSample(
          "ln_ppl_ratio",
          nll.map((cost, i) => cost - this.#nllReference[i]!),
        ),
        tokenSample("perplexity", nll),
      ],
      tokens: {
        ...Object.fromEntries(this.#metrics.map((metric, i) => [metric, Float32Array.from(this.#divergence[i]!)])),
        delta_p: deltaP,
        nll,
        nll_reference: this.#nllReference,
        top: this.#top,
        top_reference: this.#topReference,
      },
    };
  }
}
