import type { ModelFacts } from "./gguf.js";

/** The shape of an engine's work. */
export interface MemoryRequest {
  /** Tokens of context per sequence. */
  context: number;
  /** Sequences decoded together, each with a context of its own. */
  parallel: number;
  /** Rows of logits that are held at once. */
  rows: number;
  /** Tokens computed at once. */
  ubatch: number;
  /** Bits per value of the K and the V cache. */
  cacheBitsK: number;
  cacheBitsV: number;
}

/** In bytes. */
export interface MemoryEstimate {
  weights: number;
  kv: number;
  compute: number;
  logits: number;
  total: number;
}

/**
 * The memory of an engine process in bytes, an estimate that is rather too high than too low:
 *
 *     weights = bytes of all tensors
 *     kv      = parallel × ⌈context / 256⌉ × 256 × KV bytes per token × mean cache bits / 16
 *     compute = 4 × u × (vocabulary + 2 × feed-forward + 8 × embedding) + 6 × u × parallel × ⌈context / 256⌉ × 256
 *               with u = min(ubatch, parallel × context): the logits of a micro-batch, its activations, its attention mask
 *     logits  = rows × vocabulary × 4
 *     total   = the sum + 100 MB for the process itself
 *
 * llama.cpp lays activations over one another, so that the compute buffer is nearer to its largest member than to this
 * sum. Weights that are repacked for the CPU leave their file pages in the page cache, which the system takes back.
 */
export function estimateMemory(facts: ModelFacts, request: MemoryRequest): MemoryEstimate {
  const { context, parallel, rows, ubatch, cacheBitsK, cacheBitsV } = request;
  const cells = parallel * Math.ceil(context / 256) * 256;
  const u = Math.min(ubatch, parallel * context);
  const weights = facts.tensorBytes;
  const kv = cells * facts.kvBytesPerToken * ((cacheBitsK + cacheBitsV) / 32);
  const width = facts.vocabulary + 2 * (facts.feedForward ?? 0) + 8 * (facts.embedding ?? 0);
  const compute = 4 * u * width + 6 * u * cells;
  const logits = rows * facts.vocabulary * 4;
  return { weights, kv, compute, logits, total: weights + kv + compute + logits + 100e6 };
}
