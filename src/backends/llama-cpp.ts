import { z } from "zod";
import { definite } from "../definite.js";
import { cacheTypeNames, cacheTypes } from "../llama/cache-types.js";
import type { Settings, SettingsFacts } from "./backend.js";

/** Tokens of a batch, far above what any machine computes at once. */
const MAX_BATCH = 1_048_576;

/** What may be set of llama.cpp, in this process and in programs of its own, each with llama.cpp's own default. */
export const llamaCppSettings = z.strictObject({
  threads: z
    .int()
    .min(1)
    .max(1024)
    .optional()
    .meta({ description: "CPU threads; by default the physical cores.", examples: [4] }),
  gpuLayers: z
    .int()
    .min(-1)
    .max(100_000)
    .optional()
    .meta({ description: "Layers on the GPU; -1: all that the build supports.", examples: [-1] }),
  batch: z.int().min(1).max(MAX_BATCH).default(2048).describe("Tokens given to one decode call (llama.cpp's n_batch)."),
  ubatch: z.int().min(1).max(MAX_BATCH).default(512).describe("Tokens computed at once (llama.cpp's n_ubatch)."),
  flashAttention: z
    .enum(["auto", "on", "off"])
    .default("auto")
    .describe('Flash attention; quote "on" and "off" for editors of YAML 1.1.'),
  cacheTypeK: z.enum(cacheTypeNames).default("f16").describe("Type of the K cache."),
  cacheTypeV: z.enum(cacheTypeNames).default("f16").describe("Type of the V cache."),
});

/** What settings come to: `said` as they were given, and with the defaults; `digits` decide figures. */
export function llamaCppFacts(
  said: Settings,
  { threads, ...digits }: z.output<typeof llamaCppSettings>,
): SettingsFacts {
  const { batch, ubatch, cacheTypeK, cacheTypeV, flashAttention } = digits;
  const impossible =
    flashAttention === "off" && /q/.test(cacheTypeV)
      ? `a quantized V cache (${cacheTypeV}) needs flash attention, which is off: set it to auto, or cacheTypeV to f16`
      : undefined;
  return definite({
    threads,
    batch,
    ubatch,
    cacheBitsK: cacheTypes[cacheTypeK].bits,
    cacheBitsV: cacheTypes[cacheTypeV].bits,
    // Threads share out the rows of a product and change none of its digits.
    digits,
    // Attention then works on other tiles and adds the same numbers in another order. Half of the micro-batch would not do:
    // kernels cut 128 and 64 tokens of a sequence into the same tiles.
    otherShape: { ...said, ubatch: Math.max(1, Math.floor(ubatch / 16)) },
    impossible,
  });
}
