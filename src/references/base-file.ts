import type { RowComparison } from "../kernels/rows.js";
import { expf, softMax } from "../kernels/softmax.js";
import { damaged, PlacedFile } from "./file.js";
import {
  type ReferenceForm,
  type ReferenceHead,
  type ReferencePlan,
  type ReferenceWriter,
  rowsPerChunk,
  type StoredReference,
} from "./reference.js";

/**
 * The file that llama-perplexity writes with `--kl-divergence-base` and reads with `--kl-divergence` (llama.cpp,
 * `tools/perplexity/perplexity.cpp`), little-endian:
 *
 *     "_logits_", int32 context, vocabulary V, chunks
 *     int32 tokens[chunks · context]
 *     per scored position: float scale, float minimum, uint16 code[V], padded to an even number of uint16
 *
 * with ln p ≈ scale · code + minimum; a logit more than 16 below the largest has code 0. The arithmetic is llama.cpp's, in float32
 * wherever llama.cpp uses it, so that bytes and figures are the same.
 */
export const baseFile: ReferenceForm = {
  name: "llama",
  magic: "_logits_",
  open: (path) => new BaseFile(path),
  create: (path, plan) => new BaseFileWriter(path, plan),
};

const headBytes = 20;
const codesFrom = 4;
/** uint16 values of one row. */
const rowWidth = (vocabulary: number) => 2 * Math.floor((vocabulary + 1) / 2) + codesFrom;
const f = Math.fround;

/** Where a row begins, in bytes. */
function rowPlace({ context, vocabulary, chunks }: Pick<ReferenceHead, "context" | "vocabulary" | "chunks">) {
  const from = headBytes + 4 * context * chunks;
  const bytes = 2 * rowWidth(vocabulary);
  return (chunk: number, row: number) => from + (chunk * rowsPerChunk(context) + row) * bytes;
}

class BaseFile implements StoredReference {
  readonly head: ReferenceHead;
  readonly #file: PlacedFile;
  readonly #place: (chunk: number, row: number) => number;
  readonly #codes: Uint16Array;
  /** Scale and minimum of the row at hand. */
  readonly #scaling: Float32Array;

  constructor(path: string) {
    this.#file = new PlacedFile(path, "read");
    const numbers = new Int32Array(3);
    this.#file.read(numbers, 8);
    const [context = 0, vocabulary = 0, chunks = 0] = numbers;
    if (context < 4 || vocabulary < 2 || chunks < 1)
      throw damaged(path, `its head says context ${context}, vocabulary ${vocabulary}, ${chunks} chunks`);
    this.head = { form: "llama", context, vocabulary, chunks, metrics: ["kld"] };
    this.#place = rowPlace(this.head);
    const whole = this.#place(chunks, 0);
    const { bytes } = this.#file;
    if (bytes < whole) {
      const there = Math.max(0, Math.floor((bytes - this.#place(0, 0)) / (this.#place(1, 0) - this.#place(0, 0))));
      throw damaged(path, `${bytes} of ${whole} bytes are there, ${there} of ${chunks} chunks`);
    }
    this.#codes = new Uint16Array(rowWidth(vocabulary));
    this.#scaling = new Float32Array(this.#codes.buffer, 0, 2);
  }

  tokens(chunk: number): Int32Array {
    const tokens = new Int32Array(this.head.context);
    this.#file.read(tokens, headBytes + 4 * chunk * this.head.context);
    return tokens;
  }

  compare(chunk: number, row: number, logits: Float32Array, token: number): RowComparison {
    this.#file.read(this.#codes, this.#place(chunk, row));
    const codes = this.#codes;
    const [scale = 0, minimum = 0] = this.#scaling;
    const { maximum, top, sum } = softMax(logits);
    const logSum = f(Math.log(sum));
    const logTotal = f(maximum + logSum);
    let divergence = 0;
    let topReference = -1;
    let most = 0;
    for (let i = 0; i < logits.length; i++) {
      const logP = f(f(scale * codes[i + codesFrom]!) + minimum);
      if (i === 0 || logP > most) {
        most = logP;
        topReference = i;
      }
      if (logP > -16) divergence += f(expf(logP) * f(f(logP - logits[i]!) + logTotal));
    }
    return {
      nll: f(logTotal - logits[token]!),
      nllReference: -f(f(scale * codes[token + codesFrom]!) + minimum),
      top,
      topReference,
      divergence: [divergence],
    };
  }

  close(): void {
    this.#file.close();
  }
}

class BaseFileWriter implements ReferenceWriter {
  readonly #file: PlacedFile;
  readonly #place: (chunk: number, row: number) => number;
  readonly #codes: Uint16Array;
  readonly #scaling: Float32Array;

  constructor(path: string, { context, vocabulary, tokens }: ReferencePlan) {
    this.#file = new PlacedFile(path, "write");
    const chunks = tokens.length / context;
    this.#place = rowPlace({ context, vocabulary, chunks });
    this.#file.write(Buffer.from(baseFile.magic, "latin1"), 0);
    this.#file.write(Int32Array.of(context, vocabulary, chunks), 8);
    this.#file.write(tokens, headBytes);
    this.#codes = new Uint16Array(rowWidth(vocabulary));
    this.#scaling = new Float32Array(this.#codes.buffer, 0, 2);
  }

  add(chunk: number, row: number, logits: Float32Array): void {
    const { maximum, minimum, sum } = softMax(logits);
    const codes = this.#codes;
    const lowest = Math.max(minimum, f(maximum - 16));
    const logSum = f(Math.log(sum));
    const scale = f(f(maximum - lowest) / 65535);
    this.#scaling[0] = scale;
    this.#scaling[1] = f(f(lowest - maximum) - logSum);
    const inverse = f(1 / scale);
    for (let i = 0; i < logits.length; i++) {
      const logit = logits[i]!;
      // 1.5 · 2^23 in float32 leaves no room for a fraction: it rounds to the nearest whole number, half to even.
      codes[i + codesFrom] =
        scale !== 0 && logit > lowest ? f(f(inverse * f(logit - lowest)) + 12582912) - 12582912 : 0;
    }
    this.#file.write(codes, this.#place(chunk, row));
  }

  finish(): void {
    this.#file.sync();
    this.#file.close();
  }
}
