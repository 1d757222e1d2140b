import { basename } from "node:path";
import { definite } from "../definite.js";
import { BenchError, type ErrorCode } from "../errors.js";
import { addressWithoutSecrets } from "../secrets.js";
import { keptSha256 } from "./cache.js";
import { type ModelFacts, readPart } from "./gguf.js";
import { locateModel, resolveModel, type SourceFolders } from "./sources.js";

/** A LoRA adapter as the user named it. */
export interface AdapterSource {
  path: string;
  /** The factor on its change of the weights. */
  scale: number;
}

/** A LoRA adapter that was found and read: an absolute path, and the digest of the file's bytes. */
export interface Adapter extends AdapterSource {
  sha256: string;
}

/** The path of an adapter, which is looked for where models are. Throws a BenchError `adapter-missing`. */
export function locateAdapter(asked: AdapterSource, folders: SourceFolders): ReturnType<typeof locateModel> {
  return locateModel(asked.path, folders).catch(failedAs("adapter-missing", asked));
}

/** Fetches an adapter that is not here yet. Throws a BenchError `adapter-missing`. */
export async function fetchAdapter(asked: AdapterSource, folders: SourceFolders): Promise<void> {
  await resolveModel(asked.path, folders).catch(failedAs("adapter-missing", asked));
}

function failedAs(code: ErrorCode, { path }: AdapterSource) {
  return (cause: unknown): never => {
    if (!(cause instanceof BenchError)) throw cause;
    const message = cause.message
      .replace(/^There is no model /, "there is no file ")
      .replace(/not a model file\.?$/, "not an adapter");
    throw new BenchError(code, `the LoRA adapter ${basename(addressWithoutSecrets(path))}: ${message}`, {
      ...definite({ hint: cause.hint?.replace("Name one of its models", "Name one of its files") }),
      cause,
    });
  };
}

/**
 * Reads an adapter and checks that it is one for this base. Shapes are llama.cpp's to compare when it loads both.
 *
 * Throws a BenchError: `adapter-damaged` or `adapter-unfit`.
 */
export async function readAdapter(asked: AdapterSource, path: string, base: ModelFacts): Promise<Adapter> {
  const { metadata, tensors } = await readPart(path).catch(failedAs("adapter-damaged", asked));
  const type = metadata["general.type"];
  if (type !== "adapter")
    throw new BenchError("adapter-unfit", `${path} is no LoRA adapter but ${kindOf(type)}`, {
      hint: "`model` names the base, `lora` the adapter: a file of llama.cpp's convert_lora_to_gguf.py",
    });
  const form = metadata["adapter.type"] ?? "lora";
  if (form !== "lora")
    throw new BenchError("adapter-unfit", `${path} is an adapter of the type ${form}, not LoRA`, {
      hint: "`lora` takes files of llama.cpp's convert_lora_to_gguf.py",
    });
  if (metadata["adapter.type"] !== "lora" || tensors.length === 0)
    throw new BenchError("adapter-unfit", `${path} is an adapter, but holds no LoRA weights`, {
      hint: "make it with llama.cpp's convert_lora_to_gguf.py",
    });
  const architecture = metadata["general.architecture"];
  if (architecture !== base.architecture)
    throw new BenchError(
      "adapter-unfit",
      `${path} is an adapter for the architecture ${architecture}; the model is of the architecture ${base.architecture}`,
      { hint: "name the model that it was trained on" },
    );
  return { path, scale: asked.scale, sha256: await keptSha256(path) };
}

function kindOf(type: unknown): string {
  if (type === "imatrix") return "an importance matrix";
  if (type === "mmproj") return "a vision projector";
  return type === undefined || type === "model" ? "a model" : `a file of the type ${type}`;
}
