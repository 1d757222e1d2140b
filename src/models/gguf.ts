import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { GGUFParseOutput } from "@huggingface/gguf";
import { definite } from "../definite.js";
import { sha256 } from "../digest.js";
import { BenchError } from "../errors.js";
import { fileIdentity, keptSha256, recall, remember } from "./cache.js";
import { type OtherPurpose, otherPurpose } from "./purpose.js";
import { partNamed, partNames, splitName } from "./split.js";
import { assumedBos, tokenizerBehaviour, vocabularyDigest } from "./tokenizer.js";

/** Facts from the header of a GGUF file, read without loading the model. */
export interface ModelFacts {
  /** Absolute paths; more than one for a split model. */
  files: string[];
  /** Digest of the file; for a split model, of its files' digests joined. */
  sha256: string;
  /** Bytes of the files. */
  bytes: number;
  tensorBytes: number;
  parameters: number;
  /** 8 × tensorBytes / parameters. */
  bpw: number;
  /** `Q4_K_M`, `F16` …: `general.file_type` where the tensors bear it out; else the type that most weights have. */
  quant: string;
  /** Warnings for the reader of its figures, as sentences: tensors contradict the label, BOS is not named. */
  notes?: string[];
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
  /** sha256 of the tokenizer's metadata as they stand: model, pre-tokenizer, tokens, merges, added-BOS rules. */
  tokenizerSha256: string;
  /** sha256 of what these keys make llama.cpp do, and of the tokens' texts; absent in runs of earlier versions. */
  tokenizerBehaviour?: string;
  vocabularySha256?: string;
  /**
   * From `quantize.imatrix.*`, where the file was quantized with an importance matrix. `covers`: how many weight matrices of the
   * layers it has importance for, known where the quantization was made here.
   */
  imatrix?: { file: string; dataset: string; chunks: number; covers?: { matrices: number; of: number } };
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

  const parts: ModelPart[] = [];
  for (const file of files) parts.push(await readPart(file));
  const digests: string[] = [];
  for (const file of files) digests.push(await keptSha256(file));
  const facts = await gather(parts, digests);
  if (JSON.stringify(await identities(files)) !== JSON.stringify(before))
    throw new BenchError("model-damaged", `${files[0]} changed while it was read.`, {
      hint: "Wait until the copy or download has ended, then run again.",
    });
  await remember(files[0]!, before, facts);
  return facts;
}

/** One file of a model: its header and where its data should end. */
export interface ModelPart {
  path: string;
  bytes: number;
  /** Where the data of its tensors ends. */
  end: number;
  /** False where a tensor has a type whose size is not known: `end` then goes by the file's own. */
  sized: boolean;
  metadata: Record<string, unknown>;
  tensors: { name: string; type: number; shape: number[]; elements: number; bytes: number }[];
}

/**
 * All files of the model that `path` is or belongs to, in order; throws where one is missing. A number that is not of its
 * own count (part 3 of 2, 0 of 0) names no part: such a file stands for itself.
 */
async function splitParts(path: string): Promise<string[]> {
  const split = splitName(basename(path));
  if (!split || split.number < 1 || split.number > split.count) return [path];
  const folder = dirname(path);
  const there = new Set(await readdir(folder).catch(() => []));
  const names = partNames(split);
  const missing = names.filter((name) => !there.has(name));
  if (missing.length === 0) return names.map((name) => join(folder, name));
  if (missing.length === names.length) throw missingModel(path);
  const [first, second] = missing;
  const told =
    missing.length <= 2 ? [first, second].filter(Boolean).join(" and ") : `${first} and ${missing.length - 1} more`;
  throw new BenchError(
    "model-part-missing",
    `${join(folder, split.stem)} is split into ${names.length} files, of which ${told} ${missing.length === 1 ? "is" : "are"} missing.`,
    { hint: "Put all parts into one folder." },
  );
}

/** That the files are the parts that their names say: llama.cpp goes by `split.count` and `split.no`. */
async function checkSplit(parts: ModelPart[]): Promise<void> {
  const [first] = parts;
  const declared = (one: ModelPart) => whole(one, "split.count", 0xffff) ?? 1;
  const count = declared(first!);
  if (parts.length === 1) {
    if (count <= 1) return;
    const { path } = first!;
    if (await goesOn(first!))
      throw new BenchError("model-part-missing", `${path} holds the parts of a split model one after another.`, {
        hint: "Joining them takes more than `cat`: llama-gguf-split --merge FIRST-PART.gguf OUT.gguf.",
      });
    throw new BenchError(
      "model-part-missing",
      `${path} is one part of a model split into ${count} files, but is not named as such.`,
      { hint: `Give the parts their names back: ${partNamed({ stem: "NAME", count }, 1)} and so on.` },
    );
  }
  for (const [index, one] of parts.entries()) {
    if (declared(one) <= 1)
      throw new BenchError("model-damaged", `${one.path} is named as a part of a split model, but is a whole one.`, {
        hint: "Give it a name without -0000N-of-0000M.",
      });
    if (declared(one) !== parts.length || (whole(one, "split.no", 0xffff) ?? 0) !== index)
      throw new BenchError(
        "model-damaged",
        `${one.path} says that it is part ${(whole(one, "split.no", 0xffff) ?? 0) + 1} of ${declared(one)}.`,
        { hint: "Give the parts their own names back, or copy them again." },
      );
  }
}

/** Whether another GGUF begins where the data of this one ends. */
async function goesOn({ path, end }: ModelPart): Promise<boolean> {
  const file = await open(path);
  // The data of a part may be padded to its alignment.
  const next = Buffer.alloc(4096);
  const { bytesRead } = await file.read(next, 0, next.length, end).finally(() => file.close());
  return next.subarray(0, bytesRead).includes("GGUF");
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
export async function readPart(path: string): Promise<ModelPart> {
  const bytes = Number((await modelStats(path)).size);
  const file = await open(path).catch((cause) => {
    throw unreadable(path, cause);
  });
  const start = Buffer.alloc(firstBytes);
  const { bytesRead } = await file.read(start, 0, start.length, 0).finally(() => file.close());
  checkStart(path, bytes, start.subarray(0, bytesRead));
  const { gguf } = await import("@huggingface/gguf");
  const header: GGUFParseOutput = await gguf(path, { allowLocalFile: true }).catch((cause) => {
    throw damaged(path, cause);
  });
  return partOf(path, bytes, header);
}

const firstBytes = 1024;

/**
 * Header of a file that lies elsewhere. `read` gives its bytes from `from` up to `to`, or up to its end; it is asked for
 * pieces of 2 MB, in order, and for no more of the file than the header and what follows it in the last piece.
 */
export async function readPartOf(
  name: string,
  bytes: number,
  read: (from: number, to: number) => Promise<Buffer>,
): Promise<ModelPart> {
  checkStart(name, bytes, await read(0, Math.min(firstBytes, bytes)));
  const { gguf } = await import("@huggingface/gguf");
  let fault: unknown;
  const answer = async (_: unknown, init?: RequestInit) => {
    const [, from, last] = new Headers(init?.headers).get("range")!.match(/^bytes=(\d+)-(\d+)$/)!;
    const data = await read(Number(from), Math.min(Number(last) + 1, bytes)).catch((error) => {
      fault = error;
      throw error;
    });
    return new Response(new Uint8Array(data), { headers: { "content-range": `bytes ${from}-${last}/${bytes}` } });
  };
  const header: GGUFParseOutput = await gguf("https://elsewhere/", { fetch: answer }).catch((cause) => {
    throw fault ?? damaged(name, cause);
  });
  return partOf(name, bytes, header);
}

function partOf(path: string, bytes: number, header: GGUFParseOutput): ModelPart {
  if (!header.littleEndian)
    throw new BenchError("model-damaged", `${path} is a big-endian GGUF, which this machine cannot load.`);
  const dataStart = Number(header.tensorDataOffset);
  const infoEnd = header.tensorInfoByteRange[1];
  if (infoEnd > bytes) throw truncated(path, `inside its header, at ${bytes} bytes`);

  const starts = header.tensorInfos.map((tensor) => Number(tensor.offset)).sort((a, b) => a - b);
  const next = new Map(starts.map((start, index) => [start, starts[index + 1] ?? bytes - dataStart]));
  let end = 0;
  const tensors = header.tensorInfos.map((tensor) => {
    const shape = tensor.shape.map(Number);
    const elements = shape.reduce((product, length) => product * length, 1);
    const start = Number(tensor.offset);
    const block = BLOCKS[tensor.dtype];
    // A type younger than the table takes what lies before the next tensor: its size is right but for padding.
    const size = block ? (elements / block[0]) * block[1] : Math.max(0, next.get(start)! - start);
    end = Math.max(end, dataStart + start + size);
    return { name: tensor.name, type: tensor.dtype, shape, elements, bytes: size };
  });
  if (!Number.isSafeInteger(end)) throw damaged(path, new Error("tensors of impossible size"));
  const sized = header.tensorInfos.every(({ dtype }) => BLOCKS[dtype]);
  if (end > bytes)
    throw truncated(
      path,
      `${end - bytes} bytes before the end of its data (${bytes} of ${end})`,
      sized ? end : undefined,
    );
  return { path, bytes, end, sized, metadata: header.metadata as Record<string, unknown>, tensors };
}

/** The first 24 bytes and the counts in them, so that no reader is let loose on something else. */
function checkStart(path: string, bytes: number, head: Buffer): void {
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

/** A guess at what a file is that is no GGUF, with the remedy. */
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

/** The cause of `model-truncated` where the header is whole: where the data would end, in bytes. */
export class CutOff extends Error {
  constructor(readonly end: number) {
    super(`${end} bytes`);
  }
}

function truncated(path: string, where: string, end?: number): BenchError {
  return new BenchError("model-truncated", `${path} is cut off ${where}.`, {
    ...(end === undefined ? {} : { cause: new CutOff(end) }),
    hint: "Copy or download it again, and compare its size with the original's.",
  });
}

function damaged(path: string, cause: Error): BenchError {
  return new BenchError("model-damaged", `The header of ${path} is damaged or cut off (${cause.message}).`, {
    hint: "Copy or download it again.",
    cause,
  });
}

/** Facts of a model by the headers of all its files; `digests` are those of their bytes. Throws as `readModelFacts` does. */
export async function gather(parts: ModelPart[], digests: string[]): Promise<ModelFacts> {
  const first = parts[0]!;
  const { metadata, path } = first;
  await checkSplit(parts);
  const tensors = parts.flatMap((part) => part.tensors);
  const other = purposeOf(parts);
  if (other) throw unfit(path, `${other.what}: it gives no next-token probabilities`, other.hint);

  const architecture = string(metadata["general.architecture"]) ?? "";
  if (!architecture) throw unfit(path, "does not say its architecture");
  const own = (key: string, most = 2 ** 31) => whole(first, `${architecture}.${key}`, most);
  const contextLength = own("context_length");
  if (!contextLength)
    throw unfit(
      path,
      `does not say ${architecture}.context_length, as all language models that llama.cpp knows do`,
      `If "${architecture}" is a new architecture, it needs a newer llama.cpp; else convert the model anew.`,
    );
  const parameters = sum(tensors.map((tensor) => tensor.elements));
  const tensorBytes = sum(tensors.map((tensor) => tensor.bytes));
  const embedding = own("embedding_length");
  const feedForward = largest(first, `${architecture}.feed_forward_length`);
  const tokens = metadata["tokenizer.ggml.tokens"];
  const template = string(metadata["tokenizer.chat_template"]);
  const { quant, contradicted } = await label(number(metadata["general.file_type"]), tensors);
  const notes = [contradicted, assumedBos(metadata)].filter((note) => note !== undefined);
  return {
    files: parts.map((part) => part.path),
    sha256: digests.length === 1 ? digests[0]! : sha256(digests.join("")),
    bytes: sum(parts.map((part) => part.bytes)),
    tensorBytes,
    parameters,
    bpw: (8 * tensorBytes) / parameters,
    quant,
    ...(notes.length > 0 ? { notes } : {}),
    architecture,
    name: string(metadata["general.name"]) ?? basename(path, ".gguf"),
    contextLength,
    vocabulary: Array.isArray(tokens) ? tokens.length : (own("vocab_size") ?? 0),
    layers: own("block_count", 10_000) ?? 0,
    ...definite({ embedding, feedForward }),
    kvBytesPerToken: kvBytesPerToken(first, architecture),
    tokenizerSha256: tokenizerSha256(metadata),
    tokenizerBehaviour: tokenizerBehaviour(metadata),
    vocabularySha256: vocabularyDigest(metadata),
    ...definite({
      imatrix: matrixOf(metadata),
      chatTemplateSha256: template === undefined ? undefined : sha256(template),
    }),
  };
}

/** The importance matrix that a file was quantized with. */
function matrixOf(metadata: Record<string, unknown>): ModelFacts["imatrix"] {
  const file = string(metadata["quantize.imatrix.file"]);
  if (file === undefined) return undefined;
  return {
    file,
    dataset: string(metadata["quantize.imatrix.dataset"]) ?? "",
    chunks: number(metadata["quantize.imatrix.chunks_count"]) ?? 0,
  };
}

/** GGUF holds other things than language models, too: they are named rather than loaded. */
function purposeOf(parts: ModelPart[]): OtherPurpose | undefined {
  const names = parts.flatMap(({ tensors }) => tensors.map(({ name }) => name));
  return otherPurpose(parts[0]!.metadata, names);
}

/** One sentence about a file that can be quantized and yet is no language model; undefined for a language model. */
export async function notMeasurable(path: string): Promise<string | undefined> {
  const parts: ModelPart[] = [];
  for (const file of await splitParts(resolve(path))) parts.push(await readPart(file));
  const other = purposeOf(parts);
  return (
    other && `${path} ${other.what}: it can be quantized, but not measured, for it gives no next-token probabilities.`
  );
}

/**
 * Throws a BenchError for a file that llama.cpp cannot quantize, or only a second time, which costs more than it should: that it
 * can where the user asks for it. Embedding models and projectors it can.
 */
export async function checkQuantizable(path: string, { requantize = false } = {}): Promise<void> {
  const parts: ModelPart[] = [];
  for (const file of await splitParts(resolve(path))) parts.push(await readPart(file));
  await checkSplit(parts);
  const other = purposeOf(parts);
  if (other && !other.weights) throw unfit(path, `${other.what}: it cannot be quantized`, other.hint);
  const tensors = parts.flatMap((part) => part.tensors);
  // Models published in MXFP4 have no wider original; a type that is not known is left to llama.cpp.
  if (requantize || tensors.every(({ type }) => type === 39 || (BLOCKS[type]?.[0] ?? 1) === 1)) return;
  const { quant } = await label(undefined, tensors);
  throw unfit(
    path,
    `is quantized already (most of its weights are ${quant})`,
    "Give the F16, BF16 or F32 file that it was made from; `quantize --allow-requantize` takes it all the same and loses twice.",
  );
}

function unfit(path: string, what: string, hint = "Name a language model's GGUF file."): BenchError {
  return new BenchError("model-unfit", `${path} ${what}.`, { hint });
}

/** A count that the header says, undefined where it does not. Throws for what no model can have. */
function whole({ path, metadata }: ModelPart, key: string, most: number): number | undefined {
  return count(path, key, metadata[key], most);
}

function count(path: string, key: string, value: unknown, most: number): number | undefined {
  if (value === undefined) return undefined;
  const found = number(value);
  if (found !== undefined && Number.isInteger(found) && found >= 0 && found <= most) return found;
  const shown = found ?? (Array.isArray(value) ? "a list" : `a ${typeof value}`);
  throw new BenchError("model-damaged", `${path} says ${key} = ${shown}, which no model can have.`, {
    hint: "Copy or download it again, or convert the model anew.",
  });
}

/** Reads a key that holds one value for all layers, or a list with one per layer. */
function perLayer({ path, metadata }: ModelPart, key: string): number | number[] | undefined {
  const value = metadata[key];
  if (!Array.isArray(value)) return count(path, key, value, 2 ** 31);
  return value.map((one) => count(path, key, one, 2 ** 31)!);
}

/** The largest of an array that gives one value per layer, or the value for all. */
function largest(part: ModelPart, key: string): number | undefined {
  const value = perLayer(part, key);
  return Array.isArray(value) ? value.reduce((most, each) => Math.max(most, each), 0) : value;
}

/**
 * K and V of all layers for one token at 16 bits: Σ over layers of heads(KV) × (key + value length) × 2 bytes.
 * An upper bound for architectures that cache less (sliding windows, latent attention).
 */
function kvBytesPerToken(part: ModelPart, architecture: string): number {
  const own = (key: string) => whole(part, `${architecture}.${key}`, 2 ** 31);
  const heads = `${architecture}.attention.head_count`;
  const kvHeads = perLayer(part, `${heads}_kv`) ?? perLayer(part, heads) ?? 0;
  const headWidth = (own("embedding_length") ?? 0) / (largest(part, heads) || 1);
  const key = own("attention.key_length") ?? headWidth;
  const value = own("attention.value_length") ?? headWidth;
  const all = Array.isArray(kvHeads) ? sum(kvHeads) : (own("block_count") ?? 0) * kvHeads;
  return all * (key + value) * 2;
}

// The keys that decide how a plain text is cut into tokens and what is put before it; end-of-text ids and templates do not.
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
  // JSON has no form for 64-bit integers.
  const json = (value: unknown) => JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${one}` : one));
  for (const key of TOKENIZER_KEYS) hash.update(`${key}=${json(metadata[`tokenizer.ggml.${key}`])}\n`);
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

/** The type that llama.cpp takes instead when rows are no whole blocks of a type (`tensor_type_fallback`). */
const fallbacks: Record<string, string> = {
  ...{ Q2_K: "Q4_0", Q3_K: "Q4_0", Q4_K: "Q5_0", Q5_K: "Q5_1", Q6_K: "Q8_0", TQ1_0: "Q4_0", TQ2_0: "Q4_0" },
  ...Object.fromEntries(
    ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"].map((type) => [type, "IQ4_NL"]),
  ),
};
/** Labels whose base type has another name (`llama_ftype_get_default_type`). */
const bases: Record<string, string> = {
  ...{ IQ2_S: "IQ2_XS", IQ2_M: "IQ2_S", IQ3_XS: "IQ3_S", IQ3_M: "IQ3_S", MXFP4_MOE: "MXFP4" },
};

/**
 * The name of the quantization. A `general.file_type` counts while its type, or the one that llama.cpp takes where that one
 * does not fit, has a twentieth of the weights: mixtures give most of their tensors other types.
 */
async function label(
  fileType: number | undefined,
  tensors: ModelPart["tensors"],
): Promise<{ quant: string; contradicted?: string }> {
  const { GGMLFileQuantizationType, GGMLQuantizationType } = await import("@huggingface/gguf");
  const named = fileType === undefined ? undefined : GGMLFileQuantizationType[fileType];
  const weights = new Map<string, number>();
  for (const { type, elements } of tensors) {
    const name = GGMLQuantizationType[type] ?? `type ${type}`;
    weights.set(name, (weights.get(name) ?? 0) + elements);
  }
  const [most] = [...weights].sort((a, b) => b[1] - a[1])[0]!;
  if (!named) return { quant: most };
  const base = bases[named] ?? named.replace(/^(Q\d_K)_(S|M|L|XL)$/, "$1");
  const share = (type: string | undefined) => (type === undefined ? 0 : (weights.get(type) ?? 0));
  const borne = share(base) + share(fallbacks[base]);
  // A type younger than the table of names cannot be held against the label.
  if (borne >= sum([...weights.values()]) / 20 || ![...weights.keys()].every(known)) return { quant: named };
  return {
    quant: most,
    contradicted: `its general.file_type says ${named}, but most of its weights are ${most}: it is named ${most} here`,
  };
}

const known = (type: string) => !type.startsWith("type ");

function string(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
