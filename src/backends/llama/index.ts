import fs from "node:fs";
import { chooseLibrary, type LibraryLocation } from "../../llama/library.js";
import { findAdapter } from "../../models/adapters.js";
import { buildOf, environmentOf } from "../../models/builds.js";
import { readModelFacts } from "../../models/gguf.js";
import { quantizedModel } from "../../models/quantize.js";
import { resolveModel } from "../../models/sources.js";
import type { BackendWith, EngineName, Part } from "../backend.js";
import { LlamaEngine } from "./engine.js";
import { LlamaModel } from "./model.js";
import { llamaSettings, llamaSettingsFacts } from "./settings.js";

/** llama.cpp in this process, through the library that node-llama-cpp supplies. */
export const llama = {
  name: "llama",
  parts: ["likelihood", "options", "timing", "windows"],
  settingsFacts: llamaSettingsFacts,
  async version(settings) {
    const location = chooseLibrary(llamaSettings.parse(settings).gpu);
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
  async inspect({ model, quantize, lora = [] }, folders) {
    let { path } = await resolveModel(model, folders);
    if (quantize) {
      const imatrix =
        quantize.imatrix === undefined
          ? undefined
          : (await resolveModel(quantize.imatrix, { ...folders, expect: "matrix" })).path;
      path = await quantizedModel(path, { type: quantize.type, ...(imatrix ? { imatrix } : {}) });
    }
    const facts = await readModelFacts(path);
    return { model: path, facts, lora: await Promise.all(lora.map((one) => findAdapter(one, facts, folders))) };
  },
  async open(variant, listener) {
    return new LlamaEngine(
      new LlamaModel(variant, await traits(chooseLibrary(llamaSettings.parse(variant.settings).gpu)), listener),
    );
  },
} satisfies BackendWith<Part>;

/** What distinguishes a build from the published one of its release, and its surroundings from none. */
async function traits(location: LibraryLocation): Promise<Pick<EngineName, "build" | "environment">> {
  const [build, environment] = [await buildOf(location), environmentOf(location)];
  return { ...(build ? { build } : {}), ...(Object.keys(environment).length > 0 ? { environment } : {}) };
}

/** A source build's files have no version in their names; llama.cpp's own versioned link beside them does. */
function sourceBuildRelease(directory: string): string {
  const linked = fs.readdirSync(directory).find((file) => /^libllama\.so\.\d+\.\d+\.\d+$/.test(file));
  return linked ? `v${linked.replace("libllama.so.", "")}` : "(source build)";
}
