import { z } from "zod";
import type { Engine, WindowDivergence } from "../backends/backend.js";
import type { TextDataset } from "../data/index.js";
import type { Measured } from "../events.js";
import { emptyDivergence, keepDivergence, simdComparer } from "../kernels/rows.js";
import { cacheDirectory } from "../models/cache.js";
import { LogitsFile } from "../references/logits-file.js";
import { type ChunkGroup, checkTokens, chunkCost, chunked, chunkSettings, tokenSample } from "./chunks.js";
import type { LockStepVariant, MeasureContext, Measurement } from "./measurement.js";

const settings = chunkSettings.extend({
  floor: z
    .int()
    .min(0)
    .default(4)
    .describe("Chunks of the noise floor, the reference against itself in another batch shape; 0: leave it out."),
});
type Settings = z.infer<typeof settings>;

type Item = Measured & { variant: string };

/**
 * Divergence from the reference variant: the figures of llama-perplexity's --kl-divergence, without its file of logits.
 * Each chunk is evaluated once by the reference for all variants. Log-probabilities are compared in float32 over the whole
 * vocabulary, where the file holds 16 bits of those above −16.
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
  rule: 1,
  settings,
  needs: ["divergence"],
  data: "text",
  mode: { kind: "together" },
  machineBound: false,
  metrics: () => ["kld", "same_top", "delta_p", "delta_p_rms", "ln_ppl_ratio"],
  cost: chunkCost,

  async *measure(asked) {
    yield* asked.openReference ? inTurns(asked, asked.openReference) : inLockStep(asked);
  },
};

/** Chunks of a group that the run does not hold yet. */
const missingOf =
  ({ floor }: Settings) =>
  (variant: LockStepVariant, { chunks }: ChunkGroup) =>
    chunks.filter((chunk) => !variant.done.has(String(chunk)) && !(variant.floor && chunk >= floor));

/** Reference and variants are all in memory and decode the same chunks side by side: nothing is kept. */
async function* inLockStep({
  engine,
  variants,
  settings,
  dataset,
  progress,
}: MeasureContext<Settings>): AsyncGenerator<Item> {
  const { context } = settings;
  const { count, scoreFrom, groups, used, facts } = chunked(engine, dataset as TextDataset, settings);
  const missing = missingOf(settings);
  for (const variant of variants) checkTokens(await variant.open(), dataset as TextDataset, used);
  progress(0, count, "chunks");
  for (const group of groups) {
    const { chunks, windows } = group;
    const left = variants.filter((variant) => missing(variant, group).length > 0);
    if (left.length === 0) continue;
    const engines: Engine[] = [];
    for (const variant of left) engines.push(await variant.open());
    let decoded = 0;
    const compared = await engine.diverge({ context, windows, scoreFrom }, engines, (tokens) => {
      decoded += tokens;
      progress(chunks[0]! + decoded / context, count, "chunks");
    });
    for (const [v, variant] of left.entries())
      for (const chunk of missing(variant, group)) {
        const found = compared[v]![chunks.indexOf(chunk)]!;
        yield { variant: variant.name, ...chunkDivergence(String(chunk), found), ...facts(chunk) };
      }
  }
}

/**
 * One model is in memory at a time: the reference decodes as many chunks as a temporary file has room for, then each variant
 * decodes the same chunks and is compared with the file row by row. The file holds the logits as they are, so the figures are
 * those of lock-step.
 */
async function* inTurns(
  { engine, variants, settings, dataset, progress, stopped, scratchLimit }: MeasureContext<Settings>,
  openReference: () => Promise<Engine>,
): AsyncGenerator<Item> {
  const { context } = settings;
  const { count, scoreFrom, groups, used, facts } = chunked(engine, dataset as TextDataset, settings);
  const checked = new Set<LockStepVariant>();
  const perChunk = context - 1 - scoreFrom;
  const missing = missingOf(settings);
  const isLeft = (variant: LockStepVariant) => (group: ChunkGroup) => missing(variant, group).length > 0;
  const open = groups.filter((group) => variants.some((variant) => isLeft(variant)(group)));
  // The reference's engine tells, and it is open now.
  const ofChunks = new Map(open.flatMap(({ chunks }) => chunks.map((chunk) => [chunk, facts(chunk)])));
  const { vocabulary } = engine.facts;
  const compare = simdComparer(vocabulary);
  const file = new LogitsFile(cacheDirectory(), vocabulary, scratchLimit);

  const passes = [open, ...variants.map((variant) => open.filter(isLeft(variant)))].flat();
  const all = passes.reduce((sum, { windows }) => sum + windows.length * context, 0);
  let decoded = 0;
  const tell = (tokens: number) => {
    decoded += tokens;
    progress((count * decoded) / all, count, "chunks");
  };
  progress(0, count, "chunks");
  try {
    for (const block of blocksOf(open, Math.floor(file.rows / perChunk))) {
      const place = new Map(block.flatMap(({ chunks }) => chunks).map((chunk, i) => [chunk, i * perChunk]));
      const reference = await openReference();
      for (const { chunks, windows } of block) {
        if (await stopped()) return;
        await reference.visitRows(
          { context, windows, scoreFrom },
          ({ window, row, logits }) => file.write(place.get(chunks[window]!)! + row, logits),
          tell,
        );
      }
      for (const variant of variants) {
        const left = block.filter(isLeft(variant));
        if (left.length === 0) continue;
        const own = await variant.open();
        if (!checked.has(variant)) checkTokens(own, dataset as TextDataset, used);
        checked.add(variant);
        for (const group of left) {
          const { chunks, windows } = group;
          const found = windows.map(() => emptyDivergence(perChunk));
          await own.visitRows(
            { context, windows, scoreFrom },
            ({ window, row, logits, token }) => {
              const [compared] = compare(file.read(place.get(chunks[window]!)! + row), [logits], token);
              keepDivergence(found[window]!, row, compared!);
            },
            tell,
          );
          for (const chunk of missing(variant, group))
            yield {
              variant: variant.name,
              ...chunkDivergence(String(chunk), found[chunks.indexOf(chunk)]!),
              ...ofChunks.get(chunk),
            };
        }
      }
    }
  } finally {
    file.close();
  }
}

/** Groups one after another, as many as hold so many chunks together, at least one. */
function blocksOf(groups: ChunkGroup[], most: number): ChunkGroup[][] {
  const blocks: ChunkGroup[][] = [];
  let chunks = 0;
  for (const group of groups) {
    chunks += group.chunks.length;
    if (blocks.length > 0 && chunks <= most) blocks.at(-1)!.push(group);
    else {
      blocks.push([group]);
      chunks = group.chunks.length;
    }
  }
  return blocks;
}

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
