import fs from "node:fs";
import { definite } from "../../definite.js";
import { chooseLibrary, type LibraryLocation, missingCard } from "../../llama/location.js";
import { buildOf, environmentOf } from "../../models/builds.js";
import { locateVariant, prepareVariant } from "../../models/preparation.js";
import type { BackendWith, EngineName, Part } from "../backend.js";
import { LlamaEngine } from "./engine.js";
import { LlamaModel } from "./model.js";
import { gpuNames, llamaSettings, llamaSettingsFacts } from "./settings.js";

/** llama.cpp in this process, through a library that node-llama-cpp publishes. */
export const llama = {
  name: "llama",
  parts: ["likelihood", "passages", "options", "letters", "generation", "timing", "windows"],
  builds: gpuNames.map((gpu) => ({ gpu })),
  settingsFacts: llamaSettingsFacts,
  async version({ settings }) {
    // Nothing is computed where the card is not there: the plan says so.
    const { gpu: wanted, library } = llamaSettings.parse(settings);
    const gone = library === undefined && missingCard(wanted) !== undefined;
    const location = chooseLibrary(gone ? "cpu" : wanted, library);
    const { directory, llama: file, origin, gpu } = location;
    const release = file.match(/\.v([\d.]+)\./)?.[1];
    return {
      version: `llama.cpp ${release ? `v${release.replace(/\.$/, "")}` : sourceBuildRelease(directory)}`,
      library: `${gpu} ${origin}`,
      origin,
      gpu: gpu !== "cpu",
      ...(await traits(location)),
    };
  },
  locate: locateVariant,
  prepare: prepareVariant,
  async open(variant, listener) {
    const { gpu, library, ...settings } = llamaSettings.parse(variant.settings);
    const model = new LlamaModel(variant, await traits(chooseLibrary(gpu, library)), listener);
    return new LlamaEngine(model, variant.model, settings);
  },
} satisfies BackendWith<Part>;

/** What distinguishes a build from the published one of its release, and its surroundings from none. */
async function traits(location: LibraryLocation): Promise<Pick<EngineName, "build" | "environment">> {
  const [build, environment] = [await buildOf(location), environmentOf(location)];
  return {
    ...definite({ build }),
    ...(Object.keys(environment).length > 0 ? { environment } : {}),
  };
}

/** A source build's files have no version in their names; llama.cpp's own versioned link beside them does. */
function sourceBuildRelease(directory: string): string {
  const linked = fs.readdirSync(directory).find((file) => /^libllama\.so\.\d+\.\d+\.\d+$/.test(file));
  return linked ? `v${linked.replace("libllama.so.", "")}` : "(source build)";
}
