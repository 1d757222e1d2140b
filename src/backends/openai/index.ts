import { readdir, stat } from "node:fs/promises";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { definite } from "../../definite.js";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { isFile } from "../../folders.js";
import { readAdapter } from "../../models/adapters.js";
import { librariesDigest } from "../../models/builds.js";
import { keptSha256 } from "../../models/cache.js";
import { type ModelFacts, readModelFacts } from "../../models/gguf.js";
import { type Located, locateVariant, type ModelSource, prepareVariant } from "../../models/preparation.js";
import type { SourceFolders } from "../../models/sources.js";
import type { Backend, EngineChoice, Part } from "../backend.js";
import { Client, planning } from "./client.js";
import { partsOf, ServerEngine } from "./engine.js";
import { isHere, startOf } from "./seen.js";
import { type Served, served } from "./server.js";
import { modelScheme, openaiSettingsFacts, type StartedServer, type Target, targetOf } from "./settings.js";

/** Servers that speak OpenAI's way, wherever they are: each is asked what it is, and has the parts of its kind. */
export const openai = {
  name: "openai",
  // Some server has each of them; which ones the server at hand has is asked of it.
  parts: ["likelihood", "passages", "options", "letters", "generation", "timing"],
  claims: ["likelihood", "passages", "options", "letters"],
  through: {
    backend: "llama",
    parts: ["likelihood", "passages", "windows"],
    settings: () => ({}),
    method: "in process, on the model's own file",
  },
  settingsFacts: openaiSettingsFacts,
  async version({ model, settings }) {
    const target = targetOf(model, settings);
    if (target.started) return startedVersion(target.started);
    const first = await askAll(target);
    const started = target.urls.map(startOf).sort().join(" ");
    return { ...nameOf(first), origin: target.urls.join(" "), started, gpu: false };
  },
  async locate(source, folders, settings) {
    const target = targetOf(source.model, settings);
    if (target.started) return locateStarted(source, folders, target, target.started);
    if (source.quantize || source.lora?.length)
      throw new BenchError(
        "model-unfit",
        "a server's model is as it was loaded: it can neither be quantized nor adapted from here",
        {
          hint: "start the server with that file, and take `quantize` and `lora` away",
        },
      );
    return locateServed(source.model, target);
  },
  async prepare(source, folders) {
    await prepareVariant(source, folders);
  },
  async open(variant, listener) {
    const target = targetOf(variant.model, variant.settings);
    const { started } = target;
    if (!started) return ServerEngine.open(variant, target, undefined, listener);
    const { build } = await startedVersion(started);
    const command = [await programOf(started.command[0]!), ...started.command.slice(1)];
    return ServerEngine.open(variant, { ...target, started: { ...started, command } }, build, listener);
  },
} satisfies Backend;

/** What a server says of itself, or several that are alike. */
async function askAll(target: Target): Promise<Served> {
  const { keyEnv, requestTimeout } = target.settings;
  const options = { keyEnv, requestTimeout: Math.min(requestTimeout, 60), patience: planning, waiting: () => {} };
  const [first, ...others] = await Promise.all(target.urls.map((url) => served(new Client(url, options), target)));
  if (!first) throw new Error("a server is named, or started");
  for (const [i, other] of others.entries())
    if (JSON.stringify(alike(first)) !== JSON.stringify(alike(other)))
      throw new BenchError(
        "config",
        `${target.urls[0]} and ${target.urls[i + 1]} are not alike: ${differenceOf(alike(first), alike(other))}`,
        {
          hint: "several servers of one variant must be of one version, with one model",
        },
      );
  return first;
}

/** What several servers of one variant must have in common. */
const alike = ({ kind, version, model, file, adapters, context, parameters, tensorBytes }: Served) => ({
  kind,
  version,
  model,
  file: file?.replace(/^.*[/\\]/, ""),
  adapters: adapters.map(({ path, scale }) => `${path.replace(/^.*[/\\]/, "")} ${scale}`).join(),
  context,
  parameters,
  tensorBytes,
});

function differenceOf(one: Record<string, unknown>, other: Record<string, unknown>): string {
  const key = Object.keys(one).find((name) => one[name] !== other[name]) ?? "";
  return `${key} ${one[key]} against ${other[key]}`;
}

export const nameOf = ({ kind, version }: Served) => ({
  version: [kind, version].filter(Boolean).join(" "),
  library: kind,
});

async function locateServed(model: string, target: Target): Promise<Located & { parts: readonly Part[] }> {
  const first = await askAll(target);
  const facts = await ownFile(target, first);
  const lora = facts ? await Promise.all(first.adapters.map((one) => readAdapter(one, one.path, facts))) : [];
  // Without the file's digest, all that the server says of the model, and where it is.
  const weights = facts?.sha256 ?? sha256(JSON.stringify(["served", target.urls, alike(first)]));
  return { state: "ready", model, lora, weights, parts: partsOf(first), ...definite({ facts }) };
}

/** The facts of the file that a server on this machine has loaded, with its adapters, where they can be read and are what it says. */
async function ownFile(
  { urls }: Target,
  { file, adapters, parameters, tensorBytes }: Served,
): Promise<ModelFacts | undefined> {
  if (!urls.every(isHere) || !file || !isAbsolute(file) || !(await isFile(file))) return undefined;
  if (!(await Promise.all(adapters.map(({ path }) => isAbsolute(path) && isFile(path)))).every(Boolean))
    return undefined;
  const facts = await readModelFacts(file).catch(() => undefined);
  // A file of that name may be another one, inside a container say.
  return facts?.parameters === parameters && facts?.tensorBytes === tensorBytes ? facts : undefined;
}

async function locateStarted(
  source: ModelSource,
  folders: SourceFolders,
  { kind }: Target,
  started: StartedServer,
): Promise<Located & { parts: readonly Part[] }> {
  const parts = partsOf({ kind: kind ?? "other" });
  if (source.lora?.length)
    throw new BenchError(
      "adapter-unfit",
      "`lora` is for engines in process; a server's command loads its own adapters",
      {
        hint: 'put "--lora", FILE into the command',
      },
    );
  if (!started.command.some((part) => part.includes("{model}"))) {
    const model = source.model.replace(modelScheme, "");
    return {
      state: "ready",
      model: source.model,
      lora: [],
      weights: sha256(JSON.stringify(["started", model])),
      parts,
    };
  }
  const folder = await folderOf(source.model, folders);
  if (folder) return { state: "ready", model: folder, lora: [], weights: await digestOfFolder(folder), parts };
  return { ...(await locateVariant(source, folders)), parts };
}

/** A folder of safetensors, as transformers and vLLM load it. */
async function folderOf(model: string, { baseDir, modelsDir = baseDir }: SourceFolders): Promise<string | undefined> {
  for (const place of [resolve(baseDir, model), resolve(modelsDir, model)])
    if (await isFile(join(place, "config.json"))) return place;
  return undefined;
}

async function digestOfFolder(folder: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => /\.(json|safetensors|bin|model|txt|jinja)$/.test(name)).sort();
  const digests = await Promise.all(names.map(async (name) => `${name} ${await keptSha256(join(folder, name))}`));
  return sha256(digests.join("\n"));
}

/** A program is what its bytes are, and those of the libraries beside it. */
async function startedVersion({ command }: StartedServer): Promise<EngineChoice> {
  const program = await programOf(command[0]!);
  const folder = dirname(program);
  const libraries = await Promise.all([folder, join(folder, "..", "lib")].map(librariesDigest));
  const build = sha256([await keptSha256(program), ...libraries].join("\n")).slice(0, 12);
  const name = program.replace(/^.*[/\\]/, "");
  return { version: name, library: name, build, origin: "started for the variant", gpu: false };
}

async function programOf(name: string): Promise<string> {
  const places = /[/\\]/.test(name)
    ? [resolve(name)]
    : (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name));
  for (const place of places) if ((await stat(place).catch(() => undefined))?.isFile()) return place;
  throw new BenchError("server-failed", `there is no program ${name} to start a server with`, {
    hint: "name it by its path, or put its folder on PATH",
  });
}
