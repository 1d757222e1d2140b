import path from "node:path";
import { definite } from "../definite.js";
import { BenchError } from "../errors.js";

/** A file of llama-imatrix: how much each input column of a weight matters. */
export interface ImportanceMatrix {
  /** By tensor: the mean of the squares of each column's inputs, experts one after another. */
  means: Map<string, Float32Array>;
  /** Chunks of text that it was made from; 0: the file does not say. */
  chunks: number;
  /** The text. */
  dataset?: string;
}

const again = "Make it again with llama-imatrix, from the unquantized model.";

function fault(file: string, what: string, hint = again): BenchError {
  return new BenchError("imatrix", `the importance matrix ${path.basename(file)} ${what}`, { hint });
}

/** From the tensors of a GGUF file: `<tensor>.in_sum2` and, one or one per expert, `<tensor>.counts`. */
export function matrixOf(
  file: string,
  tensors: ReadonlyMap<string, Float32Array>,
  { chunks, dataset }: { chunks: number; dataset: string | undefined },
): ImportanceMatrix {
  const means = new Map<string, Float32Array>();
  for (const [name, sums] of tensors) {
    if (!name.endsWith(".in_sum2")) continue;
    const tensor = name.slice(0, -".in_sum2".length);
    const counts = tensors.get(`${tensor}.counts`);
    if (!counts?.length || sums.length % counts.length !== 0)
      throw fault(file, `has no counts that fit the sums of ${tensor}`);
    const wrong = counts.find((count) => !(count >= 0 && count < Infinity));
    if (wrong !== undefined) throw fault(file, `says that ${tensor} was reached ${wrong} times`);
    if (counts.every((count) => count === 0)) throw fault(file, `says that ${tensor} was never reached`);
    const columns = sums.length / counts.length;
    // Experts that were never reached weigh the same in all columns.
    const mean = (sum: number, i: number) => {
      const count = counts[Math.floor(i / columns)]!;
      return count > 0 ? sum / count : 1;
    };
    means.set(tensor, sums.map(mean));
  }
  return { means, chunks, ...definite({ dataset }) };
}

/**
 * The form of llama.cpp before July 2025, little-endian: int32 entries; per entry int32 length and name of the tensor, int32
 * calls, int32 values, and as many float32, sums over the calls; then, perhaps, int32 chunks, int32 length and name of the
 * text. As common/imatrix-loader.cpp of llama.cpp reads it.
 */
export function readOldMatrix(file: string, bytes: Buffer): ImportanceMatrix {
  let at = 0;
  const left = () => bytes.length - at;
  const none = () =>
    fault(file, "is neither GGUF nor the older .dat", "Name the file that llama-imatrix wrote: model.imatrix.gguf.");
  const int = () => {
    if (left() < 4) throw fault(file, "is cut off");
    at += 4;
    return bytes.readInt32LE(at - 4);
  };
  const text = (length: number) => {
    if (left() < length) throw fault(file, "is cut off");
    at += length;
    return bytes.toString("utf8", at - length, at).replace(/\0.*$/s, "");
  };
  if (bytes.length === 0) throw fault(file, "is empty");
  if (bytes.length < 4) throw none();
  const entries = int();
  if (entries < 1 || entries > 1_000_000) throw none();
  const means = new Map<string, Float32Array>();
  for (let entry = 1; entry <= entries; entry++) {
    const length = int();
    // Tensor names have at most 63 bytes; a file that claims more is of another kind.
    if (length < 1 || length > 256) throw entry === 1 ? none() : fault(file, `is damaged in entry ${entry}`);
    const name = text(length);
    if (!/^[\x21-\x7e]+$/.test(name)) throw entry === 1 ? none() : fault(file, `is damaged in entry ${entry}`);
    const calls = int();
    const count = int();
    if (count < 1) throw fault(file, `is damaged in entry ${entry}`);
    if (left() < count * 4) throw fault(file, "is cut off");
    const values = Float32Array.from({ length: count }, (_, i) => bytes.readFloatLE(at + 4 * i));
    at += count * 4;
    means.set(name, calls > 0 ? values.map((sum) => sum / Math.fround(calls)) : values);
  }
  const chunks = left() >= 4 ? int() : 0;
  const length = left() >= 4 ? int() : 0;
  const dataset = length > 0 && length <= left() ? text(length) : undefined;
  return { means, chunks, ...definite({ dataset }) };
}

/** Throws if the matrix holds impossible weights: llama.cpp would quantize by them without a word. */
export function checkMatrix(file: string, { means }: ImportanceMatrix): void {
  if (means.size === 0)
    throw fault(file, "holds no sums of squares", "Name the file that llama-imatrix wrote: model.imatrix.gguf.");
  for (const [tensor, values] of means) {
    const wrong = values.find((value) => !(value >= 0 && value < Infinity));
    if (wrong !== undefined) throw fault(file, `has ${wrong < 0 ? "a negative sum of squares" : wrong} at ${tensor}`);
    if (values.every((value) => value === 0)) throw fault(file, `has nothing but zeros at ${tensor}`);
  }
}
