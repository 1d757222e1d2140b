import { z } from "zod";
import { physicalCores } from "../../machine.js";
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

export const threadsOf = ({ threads }: ToolSettings): number => threads ?? physicalCores();

/**
 * The settings as a program's arguments. Only what was said, beyond what every build knows: an old one then is asked for nothing
 * that it does not have.
 */
export function argumentsFor(tool: "perplexity" | "bench" | "server", settings: ToolSettings): string[] {
  const { batch, ubatch, gpuLayers, flashAttention, cacheTypeK, cacheTypeV } = settings;
  const flash = tool === "bench" ? { on: "1", off: "0" } : { on: "on", off: "off" };
  return [
    ...["-t", `${threadsOf(settings)}`, "-b", `${batch}`, "-ub", `${Math.min(ubatch, batch)}`],
    ...(gpuLayers === undefined ? [] : ["-ngl", `${gpuLayers}`]),
    ...(flashAttention === "auto" ? [] : ["-fa", flash[flashAttention]]),
    ...(cacheTypeK === "f16" ? [] : ["-ctk", cacheTypeK]),
    ...(cacheTypeV === "f16" ? [] : ["-ctv", cacheTypeV]),
  ];
}
