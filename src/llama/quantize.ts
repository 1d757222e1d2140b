import fs from "node:fs";
import path from "node:path";
import koffi from "koffi";
import { BenchError } from "../errors.js";
import { checkMatrix, type ImportanceMatrix, matrixOf, readOldMatrix } from "./imatrix.js";
import { address, binder, type Fields, loadLibrary } from "./library.js";
import { chooseLibrary } from "./location.js";

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
  /** A file made by llama-imatrix. */
  imatrix?: string;
  /** Quantizes tensors that are quantized already, which loses more than quantizing the original. */
  requantize?: boolean;
  threads: number;
}

/**
 * Quantizes a model file through libllama, in this process: what llama-quantize does, byte for byte, except that
 * `quantize.imatrix.file` names the matrix's file without its folder.
 */
export function quantize({ source, output, type, imatrix, requantize, threads }: QuantizeRequest): void {
  const location = chooseLibrary("cpu");
  loadLibrary(location);
  const bind = binder(koffi.load(path.join(location.directory, location.llama)));
  const defaults = bind<() => Fields>("llama_model_quantize_default_params", QuantizeParams, [])();
  const wrong = Object.entries(expectedDefaults).filter(([name, want]) => defaults[name] !== want);
  if (wrong.length > 0 || koffi.sizeof(QuantizeParams) !== 64)
    throw new BenchError(
      "library-abi",
      `the library's quantize parameters are not those of this llama.cpp: ${wrong.map(([name]) => name).join(", ")}`,
    );
  const matrix = imatrix ? importanceMatrix(location, imatrix) : undefined;
  const quantizeFile = bind<(source: string, output: string, parameters: Fields) => number>(
    "llama_model_quantize",
    "uint32_t",
    ["str", "str", koffi.pointer(QuantizeParams)],
  );
  const code = quantizeFile(source, output, {
    ...defaults,
    ftype: fileTypes[type],
    nthread: threads,
    allow_requantize: requantize === true,
    ...(matrix ? { imatrix: address(matrix.records), kv_overrides: address(matrix.overrides) } : {}),
  });
  if (code !== 0) throw new BenchError("quantize-failed", `llama.cpp could not quantize ${source} to ${type}`);
}

/** Everything returned must stay referenced until the call is over. */
function importanceMatrix(location: ReturnType<typeof chooseLibrary>, file: string) {
  const matrix = readMatrix(location, file);
  checkMatrix(file, matrix);
  const kept: NodeJS.ArrayBufferView[] = [];
  const entries: bigint[] = [];
  for (const [tensor, means] of matrix.means) {
    // Small arrays live inside the heap, where the collector may move them; a buffer of 4 KB and more does not.
    const data = new Float32Array(Math.max(means.length, 1024));
    data.set(means);
    const label = Buffer.alloc(4096);
    label.write(tensor);
    kept.push(data, label);
    entries.push(address(label), address(data), BigInt(means.length));
  }
  const records = new BigUint64Array(Math.max(entries.length + 3, 512)); // ended by a NULL name
  records.set(entries);
  const overrides = Buffer.concat([
    override("quantize.imatrix.file", path.basename(file)),
    ...(matrix.dataset === undefined ? [] : [override("quantize.imatrix.dataset", matrix.dataset)]),
    override("quantize.imatrix.entries_count", BigInt(entries.length / 3)),
    ...(matrix.chunks > 0 ? [override("quantize.imatrix.chunks_count", BigInt(matrix.chunks))] : []),
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

/** A GGUF file of llama-imatrix, or its older form. */
function readMatrix(location: ReturnType<typeof chooseLibrary>, file: string): ImportanceMatrix {
  const gguf = openGguf(location, file);
  if (!gguf) return readOldMatrix(file, fs.readFileSync(file));
  // A model may be large: its data are not read.
  const tensors = gguf.names.some((name) => name.endsWith(".in_sum2")) ? gguf.floats() : new Map();
  return matrixOf(file, tensors, {
    chunks: gguf.number("imatrix.chunk_count"),
    dataset: gguf.text("imatrix.datasets"),
  });
}

/** A GGUF file through ggml's own reader; undefined if that rejects it. */
function openGguf(location: ReturnType<typeof chooseLibrary>, file: string) {
  const bind = binder(koffi.load(path.join(location.directory, location.ggmlBase)));
  const InitParams = koffi.struct({ no_alloc: "bool", ctx: P });
  const context = bind<(file: string, params: object) => bigint | null>("gguf_init_from_file", P, ["str", InitParams])(
    file,
    { no_alloc: true, ctx: null },
  );
  if (!context) return undefined;
  const ofTensor = <Result>(name: string, result: string) => {
    const call = bind<(c: bigint, i: number) => Result>(name, result, [P, "int64_t"]);
    return (i: number) => call(context, i);
  };
  const ofKey = <Result>(name: string, result: string, ...more: string[]) =>
    bind<(c: bigint, key: number, ...more: number[]) => Result>(name, result, [P, "int64_t", ...more]);
  const count = Number(bind<(c: bigint) => number>("gguf_get_n_tensors", "int64_t", [P])(context));
  const names = Array.from({ length: count }, (_, i) => ofTensor<string>("gguf_get_tensor_name", "str")(i));
  const find = bind<(c: bigint, key: string) => number>("gguf_find_key", "int64_t", [P, "str"]);
  const typeOf = (key: number) => Number(ofKey<number>("gguf_get_kv_type", "int")(context, key));
  const type = { uint32: 4, string: 8, array: 9 } as const; // enum gguf_type
  return {
    names,
    /** A number of 32 bits; 0 where there is none. */
    number(name: string): number {
      const key = Number(find(context, name));
      return key >= 0 && typeOf(key) === type.uint32
        ? Number(ofKey<number>("gguf_get_val_u32", "uint32_t")(context, key))
        : 0;
    },
    /** The first text of a list. */
    text(name: string): string | undefined {
      const key = Number(find(context, name));
      if (key < 0 || typeOf(key) !== type.array) return undefined;
      const isText = Number(ofKey<number>("gguf_get_arr_type", "int")(context, key)) === type.string;
      const length = Number(ofKey<number>("gguf_get_arr_n", "size_t")(context, key));
      return isText && length > 0 ? ofKey<string>("gguf_get_arr_str", "str", "size_t")(context, key, 0) : undefined;
    },
    /** The values of all tensors of type F32. */
    floats(): Map<string, Float32Array> {
      const start = Number(bind<(c: bigint) => number>("gguf_get_data_offset", "size_t", [P])(context));
      const bytes = fs.readFileSync(file);
      const values = new Map<string, Float32Array>();
      for (const [i, name] of names.entries()) {
        const from = start + Number(ofTensor<number>("gguf_get_tensor_offset", "size_t")(i));
        const to = from + Number(ofTensor<number>("gguf_get_tensor_size", "size_t")(i));
        if (to > bytes.length)
          throw new BenchError("imatrix", `the importance matrix ${path.basename(file)} is cut off`, {
            hint: "copy or download it again",
          });
        if (Number(ofTensor<number>("gguf_get_tensor_type", "int")(i)) !== 0) continue;
        values.set(name, new Float32Array(Uint8Array.from(bytes.subarray(from, to)).buffer));
      }
      return values;
    },
  };
}
