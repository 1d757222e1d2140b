import { z } from "zod";
import type { WindowDivergence } from "../backends/backend.js";
import type { TextDataset } from "../datasets.js";
import type { Measured } from "../events.js";
import { chunked, chunkGeometry, chunkSettings, tokenSample } from "./chunks.js";
import type { LockStepVariant, Measurement } from "./measurement.js";

const settings = chunkSettings.extend({
  floor: z
    .int()
    .min(0)
    .default(4)
    .describe("Chunks of the noise floor, the reference against itself in another batch shape; 0: leave it out."),
});
type Settings = z.infer<typeof settings>;

/**
 * Divergence from the reference variant: the figures of llama-perplexity's --kl-divergence, without its file of logits.
 * Reference and variants decode the same chunks in lock-step in one process; each chunk is evaluated once by the reference
 * for all variants. Log-probabilities are compared in float32 over the whole vocabulary, where the file holds 16 bits of
 * those above −16.
 *
 * With p, q the probabilities of reference and variant at a position, and t the token that follows in the text:
 * `kld` = Σ p ln(p/q), `same_top` = [argmax p = argmax q], `delta_p` = q(t) − p(t), `ln_ppl_ratio` = ln p(t) − ln q(t).
 * One sample of each per chunk; the per-token values go beside the events.
 *
 * The noise floor, the reference against itself in another batch shape, is measured on the first chunks alone: a thousand
 * tokens tell its size, and the reference is the slowest of all to decode.
 */
export const divergence: Measurement<Settings> = {
  name: "divergence",
  settings,
  needs: ["divergence"],
  data: "text",
  interleaved: false,
  lockStep: true,
  machineBound: false,
  metrics: () => ["kld", "same_top", "delta_p", "delta_p_rms", "ln_ppl_ratio"],
  context: chunkGeometry,

  async *measure({ engine, variants, settings, dataset, progress }) {
    const { context } = settings;
    const { count, scoreFrom, groups, detail } = chunked(engine, dataset as TextDataset, settings);
    progress(0, count, "chunks");
    for (const { chunks, windows } of groups) {
      const missing = ({ done, floor }: LockStepVariant) =>
        chunks.filter((chunk) => !done.has(String(chunk)) && !(floor && chunk >= settings.floor));
      const left = variants.filter((variant) => missing(variant).length > 0);
      if (left.length === 0) continue;
      let decoded = 0;
      const compared = await engine.diverge(
        { context, windows, scoreFrom },
        left.map((variant) => variant.engine),
        (tokens) => {
          decoded += tokens;
          progress(chunks[0]! + decoded / context, count, "chunks");
        },
      );
      for (const [v, variant] of left.entries())
        for (const chunk of missing(variant)) {
          const found = compared[v]![chunks.indexOf(chunk)]!;
          yield { variant: variant.name, ...chunkDivergence(String(chunk), found), ...detail(chunk) };
        }
    }
  },
};

function chunkDivergence(item: string, { nll, nllReference, kld, top, topReference }: WindowDivergence): Measured {
  const deltaP = nll.map((cost, i) => Math.exp(-cost) - Math.exp(-nllReference[i]!));
  const squares = tokenSample(
    "delta_p_rms",
    deltaP.map((difference) => difference * difference),
  );
  return {
    item,
    samples: [
      tokenSample("kld", kld),
      tokenSample(
        "same_top",
        Array.from(top, (token, i) => (token === topReference[i] ? 1 : 0)),
      ),
      tokenSample("delta_p", deltaP),
      squares,
      tokenSample(
        "ln_ppl_ratio",
        nll.map((cost, i) => cost - nllReference[i]!),
      ),
    ],
    tokens: {
      kld: Float32Array.from(kld),
      delta_p: Float32Array.from(deltaP),
      nll,
      nll_reference: nllReference,
      top,
      top_reference: topReference,
    },
  };
}
