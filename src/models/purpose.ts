/** The purpose of a GGUF file that is no language model. */
export interface OtherPurpose {
  /** Follows the file's name in a sentence: `is an embedding model (bert)`. */
  what: string;
  hint?: string;
  /** Whether llama.cpp can quantize such a file all the same. */
  weights: boolean;
}

/** Names as in llama.cpp's `LLM_ARCH_NAMES`; their graphs make no logits, or none of a next token. */
const architectures: Record<string, string> = {
  ...Object.fromEntries(
    [
      ...["bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "modern-bert", "eurobert"],
      ...["jina-bert-v2", "jina-bert-v3", "gemma-embedding", "llama-embed"],
    ].map((name) => [name, "is an embedding model"]),
  ),
  t5: "is an encoder-decoder model",
  t5encoder: "is an encoder",
  ...Object.fromEntries(["dream", "llada", "llada-moe", "rnd1"].map((name) => [name, "is a diffusion model"])),
  "wavtokenizer-dec": "is a decoder of sound",
  pockettts: "is a model of speech",
  ...Object.fromEntries(
    ["eagle3", "dflash", "gemma4-assistant"].map((name) => [name, "is a draft head of another model"]),
  ),
};

/** `pooling_type` of llama.cpp: how the vectors of all tokens become one. */
const pooling = { mean: 1, cls: 2, rank: 4 };

/**
 * What the file is, if it cannot say how likely a text's next token is; undefined for language models. An embedding model
 * that is causal and keeps its output matrix (Qwen3-Embedding) still is one: `attention.causal` and the head decide, and
 * `pooling_type` only where the head is not there.
 */
export function otherPurpose(metadata: Record<string, unknown>, tensors: string[]): OtherPurpose | undefined {
  const type = metadata["general.type"];
  const architecture = String(metadata["general.architecture"] ?? "");
  const has = (pattern: RegExp) => tensors.some((name) => pattern.test(name));
  if (type === "imatrix" || "imatrix.chunk_count" in metadata || "imatrix.datasets" in metadata)
    return { what: "is an importance matrix, not a model", hint: "Name it as `imatrix`.", weights: false };
  if (type === "adapter" || "adapter.type" in metadata || has(/\.lora_[ab]$/))
    return {
      what: "is a LoRA adapter, not a model",
      hint: "Name its base as `model`, and this file as `lora`.",
      weights: false,
    };
  if (architecture === "controlvector") return { what: "is a control vector, not a model", weights: false };
  if (type === "mmproj" || architecture === "clip" || Object.keys(metadata).some((key) => key.startsWith("clip.")))
    return { what: "is a vision projector, not a language model", weights: true };
  if (tensors.length === 0) return { what: "holds no weights, a vocabulary only", weights: false };
  const known = Object.hasOwn(architectures, architecture) ? architectures[architecture] : undefined;
  if (known) return { what: `${known} (${architecture})`, weights: true };
  const pooled = Number(metadata[`${architecture}.pooling_type`] ?? -1);
  if (pooled === pooling.rank || has(/^cls(\.|$)/)) return { what: "is a reranker or classifier", weights: true };
  if (metadata[`${architecture}.attention.causal`] === false)
    return { what: "is an embedding model (its attention is not causal)", weights: true };
  if ((pooled === pooling.mean || pooled === pooling.cls) && !has(/^output\.weight$/))
    return { what: "is an embedding model (it pools, and has no output matrix)", weights: true };
  const tokenizer = metadata["tokenizer.ggml.model"];
  if (tokenizer === "no_vocab" || tokenizer === "none") return { what: "has no tokenizer", weights: true };
  return undefined;
}
