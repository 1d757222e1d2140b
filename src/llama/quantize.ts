import fs from "node:fs";
import path from "node:path";
import koffi from "koffi";
import { BenchError } from "../errors.js";
import { address, chooseLibrary, loadLibrary } from "./library.js";

/** File types that llama.cpp can write, by the name that llama-quantize gives them (enum llama_ftype). */
export const fileTypes: Record<string, number> = {
  F32: 0,
  F16: 1,
  BF16: 32,
  Q8_0: 7,
  Q6_K: 18,
  Q5_K_M: 17,
  Q5_K_S: 16,
  Q5_1: 9,
  Q5_0: 8,
  Q4_K_M: 15,
  Q4_K_S: 14,
  Q4_1: 3,
  Q4_0: 2,
  IQ4_NL: 25,
  IQ4_XS: 30,
  Q3_K_L: 13,
  Q3_K_M: 12,
  Q3_K_S: 11,
  IQ3_M: 27,
  IQ3_S: 26,
  IQ3_XS: 22,
  IQ3_XXS: 23,
  Q2_K: 10,
  Q2_K_S: 21,
  IQ2_M: 29,
  IQ2_S: 28,
  IQ2_XS: 20,
  IQ2_XXS: 19,
  IQ1_M: 31,
  IQ1_S: 24,
  TQ2_0: 37,
  TQ1_0: 36,
};

const P = "void *";

const QuantizeParams = koffi.struct("llama_model_quantize_params", {
  nthread: "int32_t",
  ftype: "int32_t",
  output_tensor_type: "int32_t",
  token_embedding_type: "int32_t",
  allow_requantize: "bool",
  quantize_output_tensor: "bool",
  only_copy: "bool",
  pure: "bool",
  keep_split: "bool",
  dry_run: "bool",
  imatrix: P,
  kv_overrides: P,
  tt_overrides: P,
  prune_layers: P,
  max_buf_size: "size_t",
});

const expectedDefaults = {
  nthread: 0,
  ftype: 7,
  output_tensor_type: 43, // GGML_TYPE_COUNT: by the file type
  token_embedding_type: 43,
  allow_requantize: false,
  quantize_output_tensor: true,
  only_copy: false,
  pure: false,
  keep_split: false,
};

export interface QuantizeRequest {
  source: string;
  output: string;
  type: string;
  /** A GGUF file made by llama-imatrix. */
  imatrix?: string;
  threads: number;
}

/**
 * Quantizes a model file through libllama, in this process: what llama-quantize does, byte for byte, except that
 * `quantize.imatrix.file` names the matrix's file without its folder.
 */
export function quantize({ source, output, type, imatrix, threads }: QuantizeRequest): void {
  const location = chooseLibrary("cpu");
  loadLibrary(location);
  const llama = koffi.load(path.join(location.directory, location.llama));
  const defaults = llama.func("llama_model_quantize_default_params", QuantizeParams, [])() as Record<string, unknown>;
  const wrong = Object.entries(expectedDefaults).filter(([name, want]) => defaults[name] !== want);
  if (wrong.length > 0 || koffi.sizeof(QuantizeParams) !== 64)
    throw new BenchError(
      "library-abi",
      `the library's quantize parameters are not those of this llama.cpp: ${wrong.map(([name]) => name).join(", ")}`,
    );
  const matrix = imatrix ? importanceMatrix(location, imatrix) : undefined;
  const code = llama.func("llama_model_quantize", "uint32_t", ["str", "str", koffi.pointer(QuantizeParams)])(
    source,
    output,
    {
      ...defaults,
      ftype: fileTypes[type],
      nthread: threads,
      ...(matrix ? { imatrix: address(matrix.records), kv_overrides: address(matrix.overrides) } : {}),
    },
  ) as number;
  if (code !== 0) throw new BenchError("quantize-failed", `llama.cpp could not quantize ${source} to ${type}`);
}

/**
 * Reads `<tensor>.in_sum2` and `<tensor>.counts` and gives the mean of squares per column, as llama-quantize does: a column
 * set (one per expert) that was never reached weighs 1. Everything returned must stay referenced until the call is over.
 */
function importanceMatrix(location: ReturnType<typeof chooseLibrary>, file: string) {
  const tensors = readTensors(location, file);
  const kept: NodeJS.ArrayBufferView[] = [];
  const entries: bigint[] = [];
  for (const [name, sums] of tensors.values) {
    if (!name.endsWith(".in_sum2")) continue;
    const tensor = name.slice(0, -".in_sum2".length);
    const counts = tensors.values.get(`${tensor}.counts`);
    if (!counts)
      throw new BenchError("imatrix", `${file} has no counts for ${tensor}`, {
        hint: "make it again with llama-imatrix",
      });
    const columns = sums.length / counts.length;
    const means = sums.map((sum, i) => {
      const count = counts[Math.floor(i / columns)]!;
      return count > 0 ? sum / count : 1;
    });
    // Small arrays live inside the heap, where the collector may move them; a buffer of 4 KB and more does not.
    const data = new Float32Array(Math.max(means.length, 1024));
    data.set(means);
    const label = Buffer.alloc(4096);
    label.write(tensor);
    kept.push(data, label);
    entries.push(address(label), address(data), BigInt(means.length));
  }
  if (entries.length === 0)
    throw new BenchError("imatrix", `${file} holds no importance matrix`, {
      hint: "name the GGUF file that llama-imatrix wrote",
    });
  const records = new BigUint64Array(Math.max(entries.length + 3, 512)); // ended by a NULL name
  records.set(entries);
  const overrides = Buffer.concat([
    override("quantize.imatrix.file", path.basename(file)),
    ...(tensors.dataset ? [override("quantize.imatrix.dataset", tensors.dataset)] : []),
    override("quantize.imatrix.entries_count", BigInt(entries.length / 3)),
    override("quantize.imatrix.chunks_count", BigInt(tensors.chunks)),
    Buffer.alloc(264), // ended by an empty key
    Buffer.alloc(4096),
  ]);
  return { records, overrides, kept };
}

/** struct llama_model_kv_override: a tag, 128 bytes of key, and 128 bytes that hold an int64 or a string. */
function override(key: string, value: string | bigint): Buffer {
  const record = Buffer.alloc(264);
  record.writeInt32LE(typeof value === "bigint" ? 0 : 3, 0);
  record.write(key, 4, 127);
  if (typeof value === "bigint") record.writeBigInt64LE(value, 136);
  else record.write(value, 136, 127);
  return record;
}

/** The float tensors of a small GGUF file, through ggml's own reader. */
function readTensors(location: ReturnType<typeof chooseLibrary>, file: string) {
  const base = koffi.load(path.join(location.directory, location.ggmlBase));
  const InitParams = koffi.struct("gguf_init_params", { no_alloc: "bool", ctx: P });
  const bind = <F>(name: string, result: unknown, parameters: unknown[]) =>
    base.func(name, result as never, parameters as never[]) as unknown as F;
  const context = bind<(file: string, params: object) => bigint | null>("gguf_init_from_file", P, ["str", InitParams])(
    file,
    {
      no_alloc: true,
      ctx: null,
    },
  );
  if (!context)
    throw new BenchError("imatrix", `${file} is not a GGUF file`, {
      hint: "name the GGUF file that llama-imatrix wrote",
    });
  const count = Number(bind<(c: bigint) => number>("gguf_get_n_tensors", "int64_t", [P])(context));
  const nameAt = bind<(c: bigint, i: number) => string>("gguf_get_tensor_name", "str", [P, "int64_t"]);
  const offsetAt = bind<(c: bigint, i: number) => number>("gguf_get_tensor_offset", "size_t", [P, "int64_t"]);
  const sizeAt = bind<(c: bigint, i: number) => number>("gguf_get_tensor_size", "size_t", [P, "int64_t"]);
  const start = Number(bind<(c: bigint) => number>("gguf_get_data_offset", "size_t", [P])(context));
  const bytes = fs.readFileSync(file);
  const values = new Map<string, Float32Array>();
  for (let i = 0; i < count; i++) {
    const from = bytes.byteOffset + start + Number(offsetAt(context, i));
    values.set(nameAt(context, i), new Float32Array(bytes.buffer.slice(from, from + Number(sizeAt(context, i)))));
  }
  const keyOf = bind<(c: bigint, key: string) => number>("gguf_find_key", "int64_t", [P, "str"]);
  const [chunks, datasets] = [
    Number(keyOf(context, "imatrix.chunk_count")),
    Number(keyOf(context, "imatrix.datasets")),
  ];
  return {
    values,
    chunks:
      chunks < 0
        ? 0
        : Number(
            bind<(c: bigint, k: number) => number>("gguf_get_val_u32", "uint32_t", [P, "int64_t"])(context, chunks),
          ),
    dataset:
      datasets < 0
        ? undefined
        : bind<(c: bigint, k: number, i: number) => string>("gguf_get_arr_str", "str", [P, "int64_t", "size_t"])(
            context,
            datasets,
            0,
          ),
  };
}
