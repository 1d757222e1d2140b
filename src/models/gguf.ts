import { createHash } from "node:crypto";
import { type BigIntStats, createReadStream } from "node:fs";
import { access, open, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { GGUFParseOutput } from "@huggingface/gguf";
import { BenchError } from "../errors.js";
import { fileIdentity, recall, remember } from "./cache.js";

/** What a GGUF file says of itself, read without loading the model. */
export interface ModelFacts {
  /** Absolute paths; more than one for a split model. */
  files: string[];
  /** Of the single file; of the concatenated per-file digests for a split model. */
  sha256: string;
  /** Bytes of the files. */
  bytes: number;
  tensorBytes: number;
  parameters: number;
  /** 8 × tensorBytes / parameters. */
  bpw: number;
  /** `Q4_K_M`, `F16` …, from `general.file_type`; else the type that most weights have. */
  quant: string;
  architecture: string;
  name: string;
  /** Tokens of context the model was trained for. */
  contextLength: number;
  vocabulary: number;
  layers: number;
  /** Width of the residual stream and of the feed-forward layers, where the file says it; for the memory estimate. */
  embedding?: number;
  feedForward?: number;
  /** Bytes of KV cache per token at 16 bits. */
  kvBytesPerToken: number;
  /** sha256 of everything that makes the tokenizer: model, pre-tokenizer, tokens, merges, added-BOS rules. */
  tokenizerSha256: string;
  /** From `quantize.imatrix.*`, where the file was quantized with an importance matrix. */
  imatrix?: { file: string; dataset: string; chunks: number };
  chatTemplateSha256?: string;
}

/**
 * Facts of a model file, or of a split model given by any of its parts. The digest of a large file costs seconds, so the
 * facts are kept in the user's cache while the files stay as they are.
 *
 * Throws a BenchError: `model-missing`, `model-part-missing`, `model-not-gguf`, `model-truncated`, `model-damaged` or
 * `model-unfit` (a GGUF, but no model). Failures are not kept.
 */
export async function readModelFacts(path: string): Promise<ModelFacts> {
  const files = await splitParts(resolve(path));
  const before = await identities(files);
  const kept = await recall<ModelFacts>(files[0]!, before);
  if (kept) return kept;

  const parts: Part[] = [];
  for (const file of files) parts.push(await readPart(file));
  const digests: string[] = [];
  for (const file of files) digests.push(await fileSha256(file));
  const facts = await gather(parts, digests);
  if (JSON.stringify(await identities(files)) !== JSON.stringify(before))
    throw new BenchError("model-damaged", `${files[0]} changed while it was read.`, {
      hint: "Wait until the copy or download has ended, then run again.",
    });
  await remember(files[0]!, before, facts);
  return facts;
}

/** One file of a model: its header and where its data should end. */
interface Part {
  path: string;
  bytes: number;
  metadata: Record<string, unknown>;
  tensors: { type: number; elements: number; bytes: number }[];
}

const SPLIT = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** All files of the model that `path` is or belongs to, in order; throws where one is missing. */
async function splitParts(path: string): Promise<string[]> {
  const match = basename(path).match(SPLIT);
  if (!match) return [path];
  const [, stem, , count] = match;
  const parts = Array.from({ length: Math.min(Number(count), 9999) }, (_, index) =>
    join(dirname(path), `${stem}-${String(index + 1).padStart(5, "0")}-of-${count}.gguf`),
  );
  const missing: string[] = [];
  for (const part of parts) await access(part).catch(() => missing.push(basename(part)));
  if (missing.length === 0 && parts.length > 0) return parts;
  if (missing.length === parts.length) throw missingModel(path);
  throw new BenchError(
    "model-part-missing",
    `${join(dirname(path), stem!)} is split into ${Number(count)} files, of which ${missing.join(", ")} ` +
      `${missing.length === 1 ? "is" : "are"} missing.`,
    { hint: "Put all parts into one folder." },
  );
}

function missingModel(path: string, cause?: unknown): BenchError {
  return new BenchError("model-missing", `There is no model file ${path}.`, { hint: "Check the path.", cause });
}

async function identities(files: string[]): Promise<string[]> {
  return Promise.all(files.map(async (file) => fileIdentity(await modelStats(file))));
}

async function modelStats(path: string): Promise<BigIntStats> {
  const stats = await stat(path, { bigint: true }).catch((cause) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") throw missingModel(path, cause);
    throw unreadable(path, cause);
  });
  if (stats.isFile()) return stats;
  throw new BenchError("model-not-gguf", `${path} is ${stats.isDirectory() ? "a folder" : "no regular file"}.`, {
    hint: "Name the GGUF file itself.",
  });
}

function unreadable(path: string, cause: NodeJS.ErrnoException): BenchError {
  return new BenchError("model-missing", `${path} cannot be read (${cause.code ?? cause.message}).`, { cause });
}

/** Header of one file, checked against the file's size: what the header promises must be there. */
async function readPart(path: string): Promise<Part> {
  const bytes = Number((await modelStats(path)).size);
  await checkStart(path, bytes);
  const { gguf } = await import("@huggingface/gguf");
  const header: GGUFParseOutput = await gguf(path, { allowLocalFile: true }).catch((cause) => {
    throw damaged(path, cause);
  });
  if (!header.littleEndian)
    throw new BenchError("model-damaged", `${path} is a big-endian GGUF, which this machine cannot load.`);
  const dataStart = Number(header.tensorDataOffset);
  const infoEnd = header.tensorInfoByteRange[1];
  if (infoEnd > bytes) throw truncated(path, `inside its header, at ${bytes} bytes`);

  const starts = header.tensorInfos.map((tensor) => Number(tensor.offset)).sort((a, b) => a - b);
  const next = new Map(starts.map((start, index) => [start, starts[index + 1] ?? bytes - dataStart]));
  let end = 0;
  const tensors = header.tensorInfos.map((tensor) => {
    const elements = tensor.shape.reduce((product, length) => product * Number(length), 1);
    const start = Number(tensor.offset);
    const block = BLOCKS[tensor.dtype];
    // A type younger than the table takes what lies before the next tensor: its size is right but for padding.
    const size = block ? (elements / block[0]) * block[1] : Math.max(0, next.get(start)! - start);
    end = Math.max(end, dataStart + start + size);
    return { type: tensor.dtype, elements, bytes: size };
  });
  if (!Number.isSafeInteger(end)) throw damaged(path, new Error("tensors of impossible size"));
  if (end > bytes) throw truncated(path, `${end - bytes} bytes before the end of its data (${bytes} of ${end})`);
  return { path, bytes, metadata: header.metadata as Record<string, unknown>, tensors };
}

/** The first 24 bytes and the counts in them, so that no reader is let loose on something else. */
async function checkStart(path: string, bytes: number): Promise<void> {
  const file = await open(path).catch((cause) => {
    throw unreadable(path, cause);
  });
  const start = Buffer.alloc(1024);
  const { bytesRead } = await file.read(start, 0, start.length, 0).finally(() => file.close());
  const head = start.subarray(0, bytesRead);
  if (head.toString("latin1", 0, 4) !== "GGUF") {
    const [what, hint] = appearance(head);
    throw new BenchError("model-not-gguf", `${path} is not a GGUF file: it seems to be ${what}.`, { hint });
  }
  if (bytes < 24) throw truncated(path, `inside its header, at ${bytes} bytes`);
  const version = head.readUInt32LE(4);
  if ((version & 0xffff) === 0)
    throw new BenchError("model-damaged", `${path} is a big-endian GGUF, which this machine cannot load.`);
  if (version !== 2 && version !== 3)
    throw new BenchError("model-damaged", `${path} has GGUF version ${version}; versions 2 and 3 can be read.`, {
      hint: version === 1 ? "Convert the model anew with a llama.cpp of today." : "The header may be damaged.",
    });
  const tensors = head.readBigUInt64LE(8);
  const keys = head.readBigUInt64LE(16);
  if (tensors > 1_000_000n || keys > 100_000n)
    throw damaged(path, new Error(`${tensors} tensors and ${keys} keys cannot be`));
  // The shortest possible entries: a tensor takes 32 bytes (name, shape, type, offset), a key 13.
  if (24n + tensors * 32n + keys * 13n > BigInt(bytes)) throw truncated(path, `inside its header, at ${bytes} bytes`);
}

/** What a file that is no GGUF looks like, and what to do about it. */
function appearance(head: Buffer): [what: string, hint: string] {
  const get = "Get the .gguf file itself.";
  const text = head.toString("utf8");
  if (head.length === 0) return ["empty", "Copy or download it again."];
  if (head.every((byte) => byte === 0)) return ["zeros only", "A download may have been cut off: fetch it again."];
  if (text.startsWith("version https://git-lfs"))
    return ["a Git LFS pointer, not the data", "Run `git lfs pull` in the repository that it comes from."];
  if (/^\s*<(!doctype|html|\?xml)/i.test(text))
    return ["a web page", "The download needed a login, or its address is that of a page: fetch the file itself."];
  if (/^(lmgg|fmgg|tjgg|algg)/.test(head.toString("latin1", 0, 4)))
    return ["a GGML file of before GGUF (2023)", "Convert the model anew."];
  if (head.length > 9 && head[8] === 0x7b && head.readBigUInt64LE(0) < 1n << 32n)
    return ["safetensors", "Convert it with llama.cpp's convert_hf_to_gguf.py."];
  if (head.toString("latin1", 0, 2) === "PK") return ["a ZIP archive or a PyTorch file", get];
  if (head[0] === 0x1f && head[1] === 0x8b) return ["compressed with gzip", "Unpack it first."];
  if (head.toString("hex", 0, 4) === "28b52ffd") return ["compressed with zstd", "Unpack it first."];
  // A character may be cut at the end of what was read.
  if (!/[\0-\x08\x0e-\x1f]/.test(text) && !text.slice(0, -4).includes("\ufffd")) return ["text", get];
  return ["some other binary file", get];
}

function truncated(path: string, where: string): BenchError {
  return new BenchError("model-truncated", `${path} is cut off ${where}.`, {
    hint: "Copy or download it again, and compare its size with the original's.",
  });
}

function damaged(path: string, cause: Error): BenchError {
  return new BenchError("model-damaged", `The header of ${path} is damaged or cut off (${cause.message}).`, {
    hint: "Copy or download it again.",
    cause,
  });
}

async function fileSha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

async function gather(parts: Part[], digests: string[]): Promise<ModelFacts> {
  const first = parts[0]!;
  const { metadata } = first;
  const path = first.path;
  checkPurpose(path, metadata);
  const tensors = parts.flatMap((part) => part.tensors);
  if (tensors.length === 0) throw unfit(path, "holds no weights, a vocabulary only");
  const declared = number(metadata["split.count"]);
  if (declared !== undefined && declared > 1 && declared !== parts.length)
    throw new BenchError(
      "model-part-missing",
      `${path} is one part of a model split into ${declared} files, but is not named as such.`,
      { hint: `Give the parts their names back: NAME-00001-of-${String(declared).padStart(5, "0")}.gguf and so on.` },
    );

  const architecture = string(metadata["general.architecture"]) ?? "";
  if (!architecture) throw unfit(path, "does not say its architecture");
  const own = (key: string) => metadata[`${architecture}.${key}`];
  const parameters = sum(tensors.map((tensor) => tensor.elements));
  const tensorBytes = sum(tensors.map((tensor) => tensor.bytes));
  const layers = number(own("block_count")) ?? 0;
  const embedding = number(own("embedding_length"));
  const feedForward = largest(own("feed_forward_length"));
  const tokens = metadata["tokenizer.ggml.tokens"];
  const template = string(metadata["tokenizer.chat_template"]);
  const imatrix = string(metadata["quantize.imatrix.file"]);
  return {
    files: parts.map((part) => part.path),
    sha256: digests.length === 1 ? digests[0]! : createHash("sha256").update(digests.join("")).digest("hex"),
    bytes: sum(parts.map((part) => part.bytes)),
    tensorBytes,
    parameters,
    bpw: (8 * tensorBytes) / parameters,
    quant: await quantName(number(metadata["general.file_type"]), tensors),
    architecture,
    name: string(metadata["general.name"]) ?? basename(path, ".gguf"),
    contextLength: number(own("context_length")) ?? 0,
    vocabulary: Array.isArray(tokens) ? tokens.length : (number(own("vocab_size")) ?? 0),
    layers,
    ...(embedding === undefined ? {} : { embedding }),
    ...(feedForward === undefined ? {} : { feedForward }),
    kvBytesPerToken: kvBytesPerToken(own, layers, embedding ?? 0),
    tokenizerSha256: tokenizerSha256(metadata),
    ...(imatrix === undefined
      ? {}
      : {
          imatrix: {
            file: imatrix,
            dataset: string(metadata["quantize.imatrix.dataset"]) ?? "",
            chunks: number(metadata["quantize.imatrix.chunks_count"]) ?? 0,
          },
        }),
    ...(template === undefined ? {} : { chatTemplateSha256: createHash("sha256").update(template).digest("hex") }),
  };
}

/** GGUF holds other things than models, too: they are named rather than loaded. */
function checkPurpose(path: string, metadata: Record<string, unknown>): void {
  const purpose = string(metadata["general.type"]);
  if (purpose === "imatrix") throw unfit(path, "is an importance matrix, not a model");
  if (purpose === "adapter")
    throw unfit(path, "is a LoRA adapter, not a model", "Name its base as `model`, and this file as `lora`.");
  if (purpose === "mmproj" || metadata["general.architecture"] === "clip")
    throw unfit(path, "is a vision projector, not a language model");
}

function unfit(path: string, what: string, hint = "Name the model's own GGUF file."): BenchError {
  return new BenchError("model-unfit", `${path} ${what}.`, { hint });
}

/**
 * K and V of all layers for one token at 16 bits: Σ over layers of heads(KV) × (key + value length) × 2 bytes.
 * An upper bound for architectures that cache less (sliding windows, latent attention).
 */
function kvBytesPerToken(own: (key: string) => unknown, layers: number, embedding: number): number {
  const heads = own("attention.head_count");
  const kvHeads = own("attention.head_count_kv") ?? heads;
  const headWidth = embedding / (largest(heads) || 1);
  const key = number(own("attention.key_length")) ?? headWidth;
  const value = number(own("attention.value_length")) ?? headWidth;
  const perLayer = Array.isArray(kvHeads) ? kvHeads.map(Number) : Array(layers).fill(number(kvHeads) ?? 0);
  return sum(perLayer) * (key + value) * 2;
}

// What decides how a plain text is cut into tokens and what is put before it; end-of-text ids and templates do not.
const TOKENIZER_KEYS = [
  "model",
  "pre",
  "tokens",
  "token_type",
  "scores",
  "merges",
  "precompiled_charsmap",
  "bos_token_id",
  "unknown_token_id",
  "add_bos_token",
  "add_eos_token",
  "add_space_prefix",
  "remove_extra_whitespaces",
];

function tokenizerSha256(metadata: Record<string, unknown>): string {
  const hash = createHash("sha256");
  for (const key of TOKENIZER_KEYS) hash.update(`${key}=${JSON.stringify(metadata[`tokenizer.ggml.${key}`])}\n`);
  return hash.digest("hex");
}

/** Elements and bytes of a block of each ggml type; a type's rows are whole blocks. */
const BLOCKS: Record<number, [elements: number, bytes: number]> = {
  0: [1, 4], // F32
  1: [1, 2], // F16
  2: [32, 18], // Q4_0
  3: [32, 20], // Q4_1
  6: [32, 22], // Q5_0
  7: [32, 24], // Q5_1
  8: [32, 34], // Q8_0
  9: [32, 36], // Q8_1
  10: [256, 84], // Q2_K
  11: [256, 110], // Q3_K
  12: [256, 144], // Q4_K
  13: [256, 176], // Q5_K
  14: [256, 210], // Q6_K
  15: [256, 292], // Q8_K
  16: [256, 66], // IQ2_XXS
  17: [256, 74], // IQ2_XS
  18: [256, 98], // IQ3_XXS
  19: [256, 50], // IQ1_S
  20: [32, 18], // IQ4_NL
  21: [256, 110], // IQ3_S
  22: [256, 82], // IQ2_S
  23: [256, 136], // IQ4_XS
  24: [1, 1], // I8
  25: [1, 2], // I16
  26: [1, 4], // I32
  27: [1, 8], // I64
  28: [1, 8], // F64
  29: [256, 56], // IQ1_M
  30: [1, 2], // BF16
  34: [256, 54], // TQ1_0
  35: [256, 66], // TQ2_0
  39: [32, 17], // MXFP4
};

async function quantName(fileType: number | undefined, tensors: Part["tensors"]): Promise<string> {
  const { GGMLFileQuantizationType, GGMLQuantizationType } = await import("@huggingface/gguf");
  const named = fileType === undefined ? undefined : GGMLFileQuantizationType[fileType];
  if (named) return named;
  const weights = new Map<number, number>();
  for (const { type, elements } of tensors) weights.set(type, (weights.get(type) ?? 0) + elements);
  const [most] = [...weights].sort((a, b) => b[1] - a[1])[0]!;
  return GGMLQuantizationType[most] ?? `type ${most}`;
}

function string(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
}

/** The largest of an array that gives one value per layer, or the value for all. */
function largest(value: unknown): number | undefined {
  return Array.isArray(value) ? value.reduce((most, each) => Math.max(most, Number(each)), 0) : number(value);
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

export interface MemoryRequest {
  /** Tokens of context per sequence. */
  context: number;
  /** Sequences decoded together, each with a context of its own. */
  parallel: number;
  /** Rows of logits that are held at once. */
  rows: number;
  /** Tokens computed at once, 512 by default. */
  ubatch?: number;
  /** Bits per value of the K and the V cache, 16 by default. */
  cacheBitsK?: number;
  cacheBitsV?: number;
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
 * What an engine process will take, in bytes, rather too much than too little:
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
  const { context, parallel, rows, ubatch = 512, cacheBitsK = 16, cacheBitsV = 16 } = request;
  const cells = parallel * Math.ceil(context / 256) * 256;
  const u = Math.min(ubatch, parallel * context);
  const weights = facts.tensorBytes;
  const kv = cells * facts.kvBytesPerToken * ((cacheBitsK + cacheBitsV) / 32);
  const width = facts.vocabulary + 2 * (facts.feedForward ?? 0) + 8 * (facts.embedding ?? 0);
  const compute = 4 * u * width + 6 * u * cells;
  const logits = rows * facts.vocabulary * 4;
  return { weights, kv, compute, logits, total: weights + kv + compute + logits + 100e6 };
}
