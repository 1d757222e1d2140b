import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { BenchError } from "../errors.js";
import { isFile } from "../folders.js";
import { several } from "../harmless.js";

/** A model as Ollama keeps it on disk: paths of its blobs. */
export interface OllamaModel {
  /** The GGUF file. */
  model: string;
  /** 64 hexadecimal digits: the file's sha256, by which Ollama names it. */
  sha256: string;
  /** LoRA adapters of its Modelfile. */
  adapters: string[];
  /** Text of its Modelfile's TEMPLATE, in Go's template language. */
  template?: string;
}

const media = (kind: string) => `application/vnd.ollama.image.${kind}`;

const manifestForm = z.looseObject({
  layers: z.array(
    z.looseObject({ mediaType: z.string(), digest: z.string().regex(/^sha256[:-][0-9a-f]{64}$/), size: z.number() }),
  ),
});

const usual = { host: "registry.ollama.ai", namespace: "library", tag: "latest" };

/** `OLLAMA_MODELS`, else where a user's Ollama and the service of its Linux installer keep models. */
function stores(env: NodeJS.ProcessEnv): string[] {
  if (env.OLLAMA_MODELS) return [env.OLLAMA_MODELS];
  return [join(homedir(), ".ollama", "models"), "/usr/share/ollama/.ollama/models"];
}

/**
 * What Ollama keeps under `[host/][namespace/]name[:tag]`, read from its files: no server needs to run. Throws a BenchError
 * `model-missing` for a name that it does not have, or whose files are gone.
 */
export async function ollamaModel(name: string, env: NodeJS.ProcessEnv = process.env): Promise<OllamaModel> {
  const path = manifestPath(name);
  for (const store of stores(env)) {
    const manifest = await withoutCase(join(store, "manifests"), path);
    const text = manifest && (await readFile(manifest, "utf8").catch((cause) => refused(name, cause)));
    if (text !== undefined) return readManifest(name, store, text);
  }
  const there = (await Promise.all(stores(env).map(namesIn))).flat();
  throw new BenchError("model-missing", `Ollama has no model ${name} in ${stores(env).join(" or ")}.`, {
    hint:
      there.length > 0
        ? `There: ${several(there)}.`
        : `\`ollama pull ${name}\` fetches it; OLLAMA_MODELS says where Ollama keeps models, if elsewhere.`,
  });
}

/** The path below a folder, its names compared as Ollama does; undefined if there is none. */
async function withoutCase(folder: string, names: readonly string[]): Promise<string | undefined> {
  let path = folder;
  for (const name of names) {
    const there = await readdir(path).catch((cause) => (cause.code === "EACCES" ? refused(folder, cause) : []));
    const found = there.find((one) => one === name) ?? there.find((one) => one.toLowerCase() === name.toLowerCase());
    if (found === undefined) return undefined;
    path = join(path, found);
  }
  return path;
}

function refused(what: string, cause: NodeJS.ErrnoException): never {
  throw new BenchError("model-missing", `Ollama's files of ${what} cannot be read (${cause.code ?? cause.message})`, {
    hint: "Run as a user who may read them, or copy them: OLLAMA_MODELS says where.",
    cause,
  });
}

function manifestPath(name: string): string[] {
  const [, given, tag = usual.tag] = name.match(/^(.*?[^/:])(?::([^/:]+))?$/) ?? [];
  const parts = given?.split("/") ?? [];
  const safe = [...parts, tag].every((part) => /^[\w][\w.:-]*$/.test(part));
  if (!safe || parts.length < 1 || parts.length > 3)
    throw new BenchError("model-source", `"ollama:${name}" is no name of a model.`, {
      hint: "Write ollama:NAME or ollama:NAME:TAG, as `ollama list` shows it.",
    });
  const [model, namespace = usual.namespace, host = usual.host] = parts.toReversed();
  return [host, namespace, model!, tag];
}

async function readManifest(name: string, store: string, text: string): Promise<OllamaModel> {
  const { success, data } = manifestForm.safeParse(parsed(text));
  if (!success)
    throw new BenchError("model-damaged", `Ollama's manifest of ${name} in ${store} cannot be read`, {
      hint: `\`ollama pull ${name}\` writes it anew.`,
    });
  const blobs = (kind: string) =>
    data.layers
      .filter(({ mediaType }) => mediaType.split(";")[0] === media(kind))
      .map(({ digest }) => join(store, "blobs", digest.replace(":", "-")));
  const [model, ...more] = blobs("model");
  if (model === undefined || more.length > 0)
    throw new BenchError(
      "model-unfit",
      `${name} is not kept as one GGUF file by Ollama${model === undefined ? "" : ` but as ${more.length + 1}`}`,
      { hint: "Name a GGUF file of the model instead." },
    );
  const adapters = blobs("adapter");
  for (const blob of [model, ...adapters])
    if (!(await isFile(blob)))
      throw new BenchError("model-missing", `Ollama's file of ${name} is gone: ${blob}`, {
        hint: `\`ollama pull ${name}\` fetches it again.`,
      });
  const [template] = blobs("template");
  const written = template === undefined ? undefined : await readFile(template, "utf8").catch(() => undefined);
  return { model, sha256: model.slice(-64), adapters, ...(written === undefined ? {} : { template: written }) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Names of a store's models, as `ollama list` shows them. */
async function namesIn(store: string): Promise<string[]> {
  const root = join(store, "manifests");
  const files = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return files
    .filter((file) => file.isFile())
    .map((file) =>
      join(file.parentPath, file.name)
        .slice(root.length + 1)
        .split(/[/\\]/),
    )
    .filter((parts) => parts.length === 4)
    .map(([host, namespace, model, tag]) => {
      const place =
        host !== usual.host ? `${host}/${namespace}/` : namespace !== usual.namespace ? `${namespace}/` : "";
      return `${place}${model}:${tag}`;
    })
    .sort();
}
