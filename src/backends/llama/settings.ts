import { z } from "zod";
import { chatSettings } from "../../chat/settings.js";
import { definite } from "../../definite.js";
import { idleCard, missingCard } from "../../llama/location.js";
import type { Settings, SettingsFacts } from "../backend.js";
import { llamaCppFacts, llamaCppSettings } from "../llama-cpp.js";

/** The builds of the library, the default first. */
export const gpuNames = ["auto", "cpu", "cuda", "vulkan", "metal"] as const;

/** What a variant may set of llama.cpp in this process: a benchmark file's form, its JSON Schema and the flags follow from it. */
export const llamaSettings = llamaCppSettings.extend({
  ...chatSettings,
  doubleBos: z
    .boolean()
    .optional()
    .describe(
      "Put BOS before a conversation also where its chat template writes it, as scripts do that tokenize a rendered prompt once more.",
    ),
  mmap: z.boolean().default(true).describe("Map the model's file rather than read it."),
  swaFull: z
    .boolean()
    .default(false)
    .describe("Give layers with a sliding window a cache of the whole context (llama.cpp's --swa-full)."),
  gpu: z
    .enum(gpuNames)
    .default("auto")
    .describe("Which build of the library; auto: the fastest that this machine can load."),
  library: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        "A folder with a build of libllama to compute with (from this file's folder); by default the one that is shipped.",
      examples: ["builds/b1"],
    }),
});

/** Settings with all defaults filled in. */
export type LlamaSettings = z.output<typeof llamaSettings>;

export function llamaSettingsFacts(said: Settings): SettingsFacts {
  // A build is known by its bytes, wherever it lies: they are part of where a job is measured.
  const { library, ...settings } = llamaSettings.parse(said);
  // Whether a build of the user's own computes on what is asked for is its finder's to say.
  const missing = library === undefined ? missingCard(settings.gpu) : undefined;
  const facts = llamaCppFacts(said, settings);
  const { gpuLayers, mmap, gpu } = settings;
  return {
    ...facts,
    // All others are of a context, which is made anew for each variant.
    load: { gpuLayers, mmap, gpu, library },
    ...definite({
      impossible: missing ?? facts.impossible,
      caution: library === undefined && gpu === "auto" ? idleCard() : undefined,
    }),
  };
}
