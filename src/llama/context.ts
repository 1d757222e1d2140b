import { BenchError } from "../errors.js";
import { address, type Fields, type Library, type Pointer } from "./library.js";

/** The shape of a context: what decides the batches and so, to the last digits, the results. */
export interface ContextShape {
  /** Tokens of KV cache in total. */
  context: number;
  batch: number;
  ubatch: number;
  /** Largest number of sequences. */
  sequences: number;
  /** One cache for all sequences; false: a part of the cache for each, as llama-perplexity has it. */
  unified: boolean;
}

/** Logits of the tokens that were added with `output`, one row each, in the order of adding. Valid until the next decode. */
export interface Rows {
  pointer: Pointer;
  count: number;
}

/** A llama_context with its batch in JS memory. */
export class Context {
  readonly pointer: Pointer;
  readonly #memory: Pointer;
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;
  readonly #sequenceCounts: Int32Array;
  readonly #sequences: Int32Array;
  readonly #sequencePointers: BigUint64Array;
  readonly #outputs: Int8Array;
  readonly #fields: Fields;
  #count = 0;
  #rows = 0;

  constructor(
    private readonly library: Library,
    model: Pointer,
    readonly shape: ContextShape,
    /** How many sequences one token may belong to. */
    private readonly sequencesPerToken: number,
    settings: Fields,
    threadpool: Pointer | null,
  ) {
    const pointer = library.newContext(model, {
      ...library.contextDefaults(),
      ...settings,
      n_ctx: shape.context,
      n_batch: shape.batch,
      n_ubatch: shape.ubatch,
      n_seq_max: shape.sequences,
      kv_unified: shape.unified,
    });
    if (!pointer)
      throw new BenchError("context-failed", `llama.cpp could not make a context of ${shape.context} tokens`, {
        hint: "lower the context, or use smaller types for the KV cache",
      });
    this.pointer = pointer;
    this.#memory = library.memory(pointer);
    if (threadpool) library.attachThreadpool(pointer, threadpool, threadpool);

    // V8 never moves a backing store of this size, so the addresses stay good as long as the arrays are referenced.
    const room = Math.max(shape.batch, 64);
    this.#tokens = new Int32Array(room);
    this.#positions = new Int32Array(room);
    this.#sequenceCounts = new Int32Array(room);
    this.#sequences = new Int32Array(room * sequencesPerToken);
    this.#sequencePointers = new BigUint64Array(room + 1);
    this.#outputs = new Int8Array(room);
    const first = address(this.#sequences);
    for (let i = 0; i < room; i++) this.#sequencePointers[i] = first + BigInt(4 * sequencesPerToken * i);
    this.#fields = {
      n_tokens: 0,
      token: address(this.#tokens),
      embd: null,
      pos: address(this.#positions),
      n_seq_id: address(this.#sequenceCounts),
      seq_id: address(this.#sequencePointers),
      logits: address(this.#outputs),
    };
  }

  /** Tokens waiting in the batch. */
  get pending(): number {
    return this.#count;
  }

  /** Empties the KV cache; `data`: its bytes too, as llama-perplexity does before each group of chunks. */
  clear(data = true): void {
    this.library.clearMemory(this.#memory, data);
  }

  /** Drops what lies at or after a position of a sequence. */
  truncate(sequence: number, from: number): void {
    this.library.removeSequence(this.#memory, sequence, from, -1);
  }

  add(token: number, position: number, sequence: number | readonly number[], output: boolean): void {
    const i = this.#count++;
    this.#tokens[i] = token;
    this.#positions[i] = position;
    this.#outputs[i] = output ? 1 : 0;
    if (output) this.#rows++;
    if (typeof sequence === "number") {
      this.#sequenceCounts[i] = 1;
      this.#sequences[i * this.sequencesPerToken] = sequence;
    } else {
      this.#sequenceCounts[i] = sequence.length;
      this.#sequences.set(sequence, i * this.sequencesPerToken);
    }
  }

  /** Computes the batch and empties it. */
  decode(): Rows {
    this.#fields.n_tokens = this.#count;
    const code = this.library.decode(this.pointer, this.#fields);
    const rows = this.#rows;
    this.#count = 0;
    this.#rows = 0;
    if (code !== 0) throw decodeError(code);
    this.library.synchronize(this.pointer);
    return { pointer: rows > 0 ? this.library.logits(this.pointer) : 0n, count: rows };
  }

  free(): void {
    this.library.freeContext(this.pointer);
  }
}

function decodeError(code: number): BenchError {
  if (code === 1)
    return new BenchError("context-full", "the batch found no room in the KV cache", { hint: "raise the context" });
  return new BenchError(
    "decode-failed",
    `llama_decode answered ${code}${code === -2 ? " (no memory for the computation)" : ""}`,
    {
      hint: code === -2 ? "lower the batch or the context" : "see the last lines of the engine's log",
    },
  );
}
