import { basename } from "node:path";
import { BenchError, type ErrorCode } from "../errors.js";
import { addressWithoutSecrets } from "../secrets.js";
import { fileSha256 } from "./cache.js";
import { type ModelFacts, readPart } from "./gguf.js";
import { resolveModel, type SourceFolders } from "./sources.js";

/** A LoRA adapter as the user named it. */
export interface AdapterSource {
  path: string;
  /** What its change of the weights is multiplied with. */
  scale: number;
}

/** A LoRA adapter that was found and read: an absolute path, and the digest of the file's bytes. */
export interface Adapter extends AdapterSource {
  sha256: string;
}

/**
 * Finds an adapter where models are looked for, and checks that it is one for this base. Shapes are llama.cpp's to compare
 * when it loads both.
 *
 * Throws a BenchError: `adapter-missing`, `adapter-damaged` or `adapter-unfit`.
 */
export async function findAdapter(asked: AdapterSource, base: ModelFacts, folders: SourceFolders): Promise<Adapter> {
  const named = basename(addressWithoutSecrets(asked.path));
  const told = (code: ErrorCode) => (cause: unknown) => {
    if (!(cause instanceof BenchError) || cause.code === "model-not-fetched") throw cause;
    throw new BenchError(code, `the LoRA adapter ${named}: ${cause.message}`, {
      ...(cause.hint ? { hint: cause.hint } : {}),
      cause,
    });
  };
  const { path } = await resolveModel(asked.path, folders).catch(told("adapter-missing"));
  const { metadata, tensors } = await readPart(path).catch(told("adapter-damaged"));
  const type = metadata["general.type"];
  if (type !== "adapter")
    throw new BenchError("adapter-unfit", `${path} is no LoRA adapter but ${kindOf(type)}`, {
      hint: "`model` names the base, `lora` the adapter: a file of llama.cpp's convert_lora_to_gguf.py",
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
  return { path, scale: asked.scale, sha256: await fileSha256(path) };
}

function kindOf(type: unknown): string {
  if (type === "imatrix") return "an importance matrix";
  if (type === "mmproj") return "a vision projector";
  return type === undefined || type === "model" ? "a model" : `a file of the type ${type}`;
}
