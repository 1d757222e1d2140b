import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { locateVariant, prepareVariant } from "../../models/preparation.js";
import type { Backend, Engine, Part } from "../backend.js";
import { ToolTiming } from "./bench.js";
import { findBuild, type ToolBuild } from "./build.js";
import { ToolModel } from "./model.js";
import { rounding, ToolPerplexity } from "./perplexity.js";
import { toolSettings, toolSettingsFacts } from "./settings.js";

/** llama.cpp's own programs, of any build: llama-perplexity for the likelihood of texts, llama-bench for speed. */
export const llamaTools = {
  name: "llama-tools",
  parts: ["likelihood", "timing"],
  settingsFacts: toolSettingsFacts,
  async version({ settings }) {
    return (await findBuild(toolSettings.parse(settings).tools)).choice;
  },
  async locate(source, folders, settings) {
    if (source.lora?.length)
      throw new BenchError("adapter-unfit", `${source.model}: llama-bench takes no LoRA adapters`, {
        hint: "measure adapters in process: take `backend: llama-tools` away",
      });
    const { programs } = await findBuild(toolSettings.parse(settings).tools);
    return { ...(await locateVariant(source, folders)), parts: partsOf(programs) };
  },
  prepare: prepareVariant,
  async open(variant, listener) {
    const build = await findBuild(toolSettings.parse(variant.settings).tools);
    const { programs, choice } = build;
    const model = new ToolModel(variant, build, listener);
    const { origin: _, gpu: __, ...name } = choice;
    const { tensorBytes, parameters, vocabulary, contextLength } = variant.facts ?? {};
    const engine: Engine = {
      facts: {
        ...name,
        rounding,
        threads: model.threads,
        ...definite({ tensorBytes, parameters, vocabulary, trainedContext: contextLength }),
      },
      ...(programs.perplexity ? { likelihood: new ToolPerplexity(model) } : {}),
      ...(programs.bench ? { timing: new ToolTiming(model) } : {}),
      peakMemory: () => model.takePeakMemory(),
      close: async () => {},
    };
    return engine;
  },
} satisfies Backend;

/** What the programs that are there give. */
function partsOf({ perplexity, bench }: ToolBuild["programs"]): Part[] {
  return [...(perplexity ? (["likelihood"] as const) : []), ...(bench ? (["timing"] as const) : [])];
}
