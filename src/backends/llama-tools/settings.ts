import { z } from "zod";
import type { Settings, SettingsFacts } from "../backend.js";
import { llamaCppFacts, llamaCppSettings } from "../llama-cpp.js";

/** What a variant may set of llama.cpp's own programs: what all of them take, whatever their build. */
export const toolSettings = llamaCppSettings.extend({
  tools: z
    .string()
    .min(1)
    .optional()
    .meta({
      description:
        "A folder with llama.cpp's own programs, llama-perplexity and llama-bench, of any build (from this file's folder).",
      examples: ["builds/b1"],
    }),
});

/** Settings with all defaults filled in. */
export type ToolSettings = z.output<typeof toolSettings>;

export function toolSettingsFacts(said: Settings): SettingsFacts {
  // A build is known by its bytes, wherever it lies: they are part of where a job is measured.
  const { tools: _, ...settings } = toolSettings.parse(said);
  return llamaCppFacts(said, settings);
}
