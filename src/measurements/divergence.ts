import { z } from "zod";
import type { Windows } from "../backends/backend.js";
import {
  askedChunks,
  checkTokens,
  chunked,
  countOf,
  groupsOf,
  idsDigest,
  inPart,
  likelihoodOf,
} from "../backends/chunks.js";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";
import type { Measured, TokenInText } from "../events.js";
import type { WindowComparison } from "../kernels/comparison.js";
import { openReference } from "../references/index.js";
import { scoredFrom } from "../references/reference.js";
import { storedRows } from "../references/stored.js";
import {
  chunkCost,
  chunkSettings,
  documentAt,
  extentShape,
  heldChunks,
  inParts,
  likelihoodItem,
  partOf,
  tokenSample,
} from "./chunks.js";
import type { Measurement, TogetherJob } from "./measurement.js";

const settings = inParts(
  chunkSettings.extend({
    floor: z
      .int()
      .min(0)
      .default(4)
      .describe("Chunks of the noise floor, the reference against itself in another batch shape; 0: leave it out."),
  }),
);
type DivergenceSettings = z.infer<typeof settings>;

/** Chunks are those of the file. */
const storedSettings = inParts(z.strictObject(extentShape));

/**
 * Divergence from a reference that was written to a file: llama-perplexity's own (`--kl-divergence-base`), whose figures are
 * then reproduced to every printed digit, or our compact one. Tokens and context come from the file; no text is needed.
 * The metrics are those of a live reference, and the variant's perplexity.
 */
const stored: Measurement<z.infer<typeof storedSettings>, "reference", "windows"> = {
  name: "divergence",
  rule: 1,
  settings: storedSettings,
  needs: () => ["windows"],
  data: "reference",
  mode: { kind: "alone" },
  machineBound: false,
  metrics: (_, data) => [...(data?.head.metrics ?? []), ...nextToken, "perplexity"],
  cost({ chunks, spread }, data, engine) {
    const { context, chunks: there } = data?.head ?? { context: 512, chunks: 1 };
    return {
      ...heldChunks(context, engine),
      prompt: Math.min(chunks ?? spread ?? there, there) * context,
      generated: 0,
    };
  },

  async *measure({ engine: { windows: engine }, settings, data, done, share, whole, progress, stopped }) {
    const reference = openReference(data.path);
    const { context, vocabulary, chunks: there, metrics } = reference.head;
    if (vocabulary !== engine.vocabulary)
      throw new BenchError(
        "reference-vocabulary",
        `the stored reference has a vocabulary of ${vocabulary} tokens, this model one of ${engine.vocabulary}`,
        { hint: "compare with a reference of the same tokenizer, or compare bits per byte" },
      );
    const asked = askedChunks(there, settings);
    const own = inPart(groupsOf(asked, there, engine.parallel(context), settings), share);
    const count = countOf(own);
    whole?.(asked.length);
    progress(0, count, "chunks");
    const groups = own
      .filter((group) => group.asked.some((chunk) => !done.has(String(chunk))))
      .map((group) => ({
        ...{ ...group, windows: group.chunks.map((chunk) => reference.tokens(chunk)) },
        ...{ variants: [""], reference: false },
      }));
    try {
      const compared = storedRows(reference, engine).compare({
        ...{ context, scoreFrom: scoredFrom(context), groups, stopped },
        progress: (chunks) => progress(chunks, count, "chunks"),
      });
      for await (const { group, nll, against } of compared)
        for (const chunk of group.asked) {
          if (done.has(String(chunk))) continue;
          const i = group.chunks.indexOf(chunk);
          const { samples, ...rest } = divergenceItem(chunk, against![i]!, "single", metrics);
          const window = group.windows[i]!;
          // A reference that is known in part tells no distance of single tokens.
          const worst =
            metrics[0] === "kld"
              ? worstIn(against![i]!, { engine, window, scoreFrom: scoredFrom(context) })
              : undefined;
          yield {
            ...{ ...rest, samples: [...samples, tokenSample("perplexity", nll[i]!)], ids: idsDigest(window) },
            ...definite({ worst }),
            ...partOf(settings, there),
          };
        }
    } finally {
      reference.close();
    }
  },
};

/**
 * Divergence from the reference variant: the figures of llama-perplexity's --kl-divergence, without its file of logits.
 * Each chunk is evaluated once by the reference for all variants. Log-probabilities are compared in float32 over the whole
 * vocabulary, where the file holds 16 bits of those above −16.
 *
 * With p, q the probabilities of reference and variant at a position, and t the token that follows in the text:
 * `kld` = Σ p ln(p/q), `same_top` = [argmax p = argmax q], `delta_p` = q(t) − p(t), `ln_ppl_ratio` = ln p(t) − ln q(t).
 * One sample of each per chunk; the per-token values go beside the events.
 *
 * The noise floor, the reference against itself in another batch shape, is measured on the first of the chunks alone: a thousand
 * tokens tell its size, and the reference is the slowest of all to decode.
 */
export const divergence: Measurement<DivergenceSettings, "text", "windows"> = {
  name: "divergence",
  rule: 1,
  settings,
  needs: () => ["windows"],
  data: "text",
  also: [stored],
  mode: {
    kind: "together",
    // Perplexity, say: the likelihoods of reference and variants are part of every comparison.
    feeds: (own, other) => other.stride === undefined && alike.every((key) => own[key] === other[key]),
  },
  machineBound: false,
  metrics: () => ["kld", ...nextToken],
  cost: chunkCost,

  async *compare({ rows, jobs, riders, settings, data, share, whole, progress, stopped }) {
    const chunks = chunked(rows.reference!, data.text, settings, share);
    const { count, cut, used } = chunks;
    const floored = new Set(chunks.asked.slice(0, settings.floor));
    const missing = ({ done, floor }: TogetherJob, chunk: number) =>
      !done.has(String(chunk)) && !(floor && !floored.has(chunk));
    progress(0, count, "chunks");
    const all = [...jobs, ...riders];
    for (const { id, floor } of all) whole?.(floor ? floored.size : chunks.asked.length, id);
    const groups = chunks.groups.flatMap((group) => {
      const wanting = all.filter((job) => group.asked.some((chunk) => missing(job, chunk)));
      const variants = [...new Set(wanting.flatMap(({ variant }) => variant ?? []))];
      const reference = wanting.some(({ variant }) => variant === undefined);
      return wanting.length > 0 ? [{ ...group, variants, reference }] : [];
    });
    // Known before models take turns: the reference's engine tells.
    const facts = new Map(groups.flatMap(({ asked }) => asked).map((chunk) => [chunk, chunks.facts(chunk)]));
    const compared = rows.compare({
      ...{ ...cut, groups, stopped },
      progress: (chunks) => progress(chunks, count, "chunks"),
      check: (variant) => checkTokens(variant, data, settings, used),
    });
    for await (const { variant, engine, group, nll, against } of compared)
      for (const chunk of group.asked) {
        const i = group.chunks.indexOf(chunk);
        const asked = (job: TogetherJob) => job.variant === variant && missing(job, chunk);
        const { of, ids, before } = facts.get(chunk)!;
        for (const { id } of riders.filter(asked))
          yield { job: id, ...likelihoodItem(likelihoodOf(facts.get(chunk)!, nll[i]!), settings, data.documents) };
        for (const { id, floor } of jobs.filter(asked))
          yield {
            job: id,
            ...divergenceItem(chunk, against![i]!, "double"),
            ...(floor
              ? {}
              : { worst: worstIn(against![i]!, { engine, window: group.windows[i]!, scoreFrom: cut.scoreFrom }) }),
            ids,
            ...partOf(settings, of),
            ...documentAt(before, data.documents),
          };
      }
  },
};

/** Settings that decide which tokens are decoded together. */
const alike = ["context", "chunks", "spread", "seed", "special"] as const;

/** Metrics of the next token alone, besides those of the whole distribution. */
const nextToken = ["same_top", "delta_p", "delta_p_rms", "ln_ppl_ratio"];

/** Tokens that are told of each chunk. */
const worstTold = 3;
const charactersBefore = 40;

/** The tokens of a window whose predictions are farthest from the reference's, in their text. */
function worstIn(
  { divergence: [distances], top, topReference }: WindowComparison,
  { engine, window, scoreFrom }: { engine: Windows; window: Int32Array; scoreFrom: number },
): TokenInText[] {
  const places = Array.from(distances!.keys()).sort((a, b) => distances![b]! - distances![a]!);
  const one = (token: number) => engine.textOf(Int32Array.of(token));
  return places.slice(0, worstTold).map((place) => {
    const at = scoreFrom + 1 + place;
    // The first of these tokens may begin inside a character.
    const text = engine.textOf(window.subarray(Math.max(0, at - charactersBefore), at)).replace(/^\ufffd+/, "");
    return {
      place,
      distance: Number(distances![place]!.toPrecision(6)),
      before: [...text].slice(-charactersBefore).join(""),
      ...{ token: one(window[at]!), reference: one(topReference[place]!), variant: one(top[place]!) },
    };
  });
}

/** `precision`: of Δp, single as llama-perplexity has it. */
function divergenceItem(
  chunk: number,
  { nll, nllReference, top, topReference, divergence }: WindowComparison,
  precision: "single" | "double",
  metrics = ["kld"],
): Measured {
  const exp = (x: number) => (precision === "single" ? Math.fround(Math.exp(x)) : Math.exp(x));
  const differences = nll.map((cost, i) => exp(-cost) - exp(-nllReference[i]!));
  const deltaP = precision === "single" ? Float32Array.from(differences) : differences;
  return {
    item: String(chunk),
    samples: [
      ...metrics.map((metric, i) => tokenSample(metric, divergence[i]!)),
      tokenSample(
        "same_top",
        Array.from(top, (token, i) => (token === topReference[i] ? 1 : 0)),
      ),
      tokenSample("delta_p", deltaP),
      tokenSample(
        "delta_p_rms",
        Array.from(deltaP, (difference) => difference * difference),
      ),
      tokenSample(
        "ln_ppl_ratio",
        nll.map((cost, i) => cost - nllReference[i]!),
      ),
    ],
    tokens: {
      ...Object.fromEntries(metrics.map((metric, i) => [metric, Float32Array.from(divergence[i]!)])),
      delta_p: Float32Array.from(deltaP),
      nll,
      nll_reference: nllReference,
      top,
      top_reference: topReference,
    },
  };
}
