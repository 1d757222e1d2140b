import { definite } from "../../definite.js";
import { thisMachine } from "../../machine.js";
import type { BackendWith, EngineName, Opening } from "../backend.js";
import { OllamaEngine } from "./engine.js";
import { locateOnServer, nameOf, serverParts } from "./model.js";
import { OllamaServer } from "./server.js";
import { ollamaSettings, ollamaSettingsFacts } from "./settings.js";

/** Models of an Ollama server: what it computes is asked of it, and log-probabilities are computed here on the model's own file. */
export const ollama = {
  name: "ollama",
  parts: serverParts,
  claims: ["letters"],
  through: {
    backend: "llama",
    parts: ["likelihood", "passages", "options", "windows"],
    method: "in process, on the model's own file",
    settings: ({ threads, gpuLayers, templateKwargs, conversationDay }) =>
      definite({ threads, gpuLayers, templateKwargs, conversationDay }),
  },
  settingsFacts: ollamaSettingsFacts,
  async version(opening) {
    const { gpuLayers } = ollamaSettings.parse(opening.settings);
    const server = serverOf(opening);
    return {
      ...(await nameOfEngine(server)),
      origin: "server",
      // Another server may have been started in another way.
      ...(server.environment() ? {} : { started: server.address }),
      // Which device computes is known when the model is loaded.
      gpu: gpuLayers !== 0 && thisMachine().gpus.length > 0,
    };
  },
  locate: (source, _, settings) => locateOnServer(source, settings),
  async prepare() {},
  async open(variant, listener = { doing() {}, warning() {} }) {
    return OllamaEngine.open(variant, await nameOfEngine(serverOf(variant)), listener);
  },
} satisfies BackendWith<(typeof serverParts)[number]>;

const serverOf = ({ model, settings }: Opening) => new OllamaServer(ollamaSettings.parse(settings), nameOf(model));

async function nameOfEngine(server: OllamaServer): Promise<EngineName> {
  const environment = server.environment() ?? {};
  return {
    version: `Ollama ${await server.version()}`,
    library: server.local ? "its own runner" : `its own runner at ${server.address}`,
    ...(Object.keys(environment).length > 0 ? { environment } : {}),
  };
}
