import { definite } from "../../definite.js";
import { BenchError } from "../../errors.js";
import { locateVariant, prepareVariant } from "../../models/preparation.js";
import type { Backend, Engine, Part, Settings } from "../backend.js";
import { ToolTiming } from "./bench.js";
import { findBuild, serverIn, type ToolBuild } from "./build.js";
import { ToolModel } from "./model.js";
import { rounding, ToolPerplexity } from "./perplexity.js";
import { argumentsFor, toolSettings, toolSettingsFacts } from "./settings.js";

/**
 * llama.cpp's own programs, of any build: llama-perplexity for the likelihood of texts, llama-bench for speed, llama-server for
 * questions and answers.
 */
export const llamaTools = {
  name: "llama-tools",
  parts: ["likelihood", "timing"],
  through: {
    backend: "openai",
    parts: ["options", "letters", "generation"],
    settings: serverSettings,
    method: "by llama-server of the same build",
  },
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

/** The server of the build, as a backend of servers starts it; undefined where the build has none. */
function serverSettings(own: Settings): Settings | undefined {
  const settings = toolSettings.parse(own);
  const program = settings.tools === undefined ? undefined : serverIn(settings.tools);
  if (program === undefined) return undefined;
  const command = [program, "-m", "{model}", "--port", "{port}", ...argumentsFor("server", settings)];
  return { server: { command, is: "llama-server" } };
}

/** What the programs that are there give. */
function partsOf({ perplexity, bench }: ToolBuild["programs"]): Part[] {
  return [...(perplexity ? (["likelihood"] as const) : []), ...(bench ? (["timing"] as const) : [])];
}
