import { access, constants } from "node:fs/promises";
import { definite } from "../../definite.js";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { readAdapter } from "../../models/adapters.js";
import { readModelFacts } from "../../models/gguf.js";
import type { Located, ModelSource } from "../../models/preparation.js";
import type { Part, Settings } from "../backend.js";
import { OllamaServer, type ShownModel } from "./server.js";
import { ollamaSettings } from "./settings.js";

/** Parts that the server itself gives. */
export const serverParts = ["timing", "generation", "letters"] as const satisfies readonly Part[];

/** The name that the server knows, of `ollama:NAME[:TAG]`. */
export function nameOf(model: string): string {
  const name = model.replace(/^ollama:(\/\/)?/i, "");
  if (name === "" || /\s/.test(name))
    throw new BenchError("model-source", `"${model}" names no model of Ollama`, {
      hint: "write ollama:NAME or ollama:NAME:TAG",
    });
  return name;
}

/** What a Modelfile, as /api/show writes it, says of files; texts of the model come after these lines. */
export function filesOf(modelfile: string): { model: string | undefined; adapters: string[] } {
  const [head = ""] = modelfile.split(/^(?:TEMPLATE|SYSTEM|PARAMETER|LICENSE|MESSAGE|RENDERER|PARSER)\b/m);
  const paths = (word: string) =>
    [...head.matchAll(new RegExp(`^${word} (.+)$`, "gm"))].map(([, path]) => path!.trim().replace(/^"(.*)"$/, "$1"));
  return { model: paths("FROM")[0], adapters: paths("ADAPTER") };
}

/**
 * What the server knows of a model, and its file where that can be read on this machine. Asks, and fetches nothing. Throws a
 * BenchError: `server-unreachable`, `model-missing`, `config` …
 */
export async function locateOnServer(
  { model, quantize, lora = [] }: ModelSource,
  said: Settings,
): Promise<Located & { parts: readonly Part[] }> {
  if (quantize)
    throw new BenchError("config", `${model} is served by Ollama as it is: \`quantize\` has no meaning for it`, {
      hint: "take `quantize` away, or quantize a file and `ollama create` a model from it",
    });
  if (lora.length > 0)
    throw new BenchError("adapter-unfit", `${model} is served by Ollama: \`lora\` has no meaning for it`, {
      hint: "make a model with the adapter: ADAPTER in a Modelfile, and `ollama create`",
    });
  const server = new OllamaServer(ollamaSettings.parse(said), nameOf(model));
  const shown = await server.show();
  if (shown.remote_host)
    throw new BenchError("model-unfit", `${model} runs in Ollama's cloud and not on the server itself`, {
      hint: "name a model that the server holds; `ollama list` shows their sizes",
    });
  const files = filesOf(shown.modelfile);
  const facts = server.local && (await isReadable(files.model)) ? await readModelFacts(files.model!) : undefined;
  const lost = { path: "", scale: 1 };
  const adapters = facts
    ? await Promise.all(files.adapters.map((path) => readAdapter({ ...lost, path }, path, facts)))
    : [];
  return {
    state: "ready",
    model,
    ...definite({ facts }),
    lora: adapters,
    weights: sha256(JSON.stringify([facts?.sha256 ?? files.model ?? "", files.adapters, ...saidBy(shown)])),
    parts: serverParts,
  };
}

/** What a Modelfile says besides its files and changes answers. */
const saidBy = ({ template, parameters, system, messages }: ShownModel) => [
  template,
  parameters,
  system,
  messages ?? [],
];

async function isReadable(path: string | undefined): Promise<boolean> {
  if (path === undefined) return false;
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
