import { BenchError } from "../errors.js";
import { address, type Fields, floatsAt, type Library, type LogLine, type Pointer, toolDefaults } from "./library.js";
import { cacheBytesIn, cacheLine, reasonIn } from "./log.js";

/** The shape of a context. It decides the batches and so, to the last digits, the results. */
export interface ContextShape {
  /** Tokens of KV cache in total. */
  context: number;
  batch: number;
  ubatch: number;
  /** Largest number of sequences. */
  sequences: number;
  /** True: one cache for all sequences. False: each has a part of its own, as in llama-perplexity. */
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
  /** llama.cpp's warnings while it made the context. */
  readonly lines: LogLine[];
  /** Bytes of the K and of the V cache; 0 for a model without one. */
  readonly cacheBytes: number;
  readonly #vocabulary: number;
  /** Whether it has decoded rows before: the first ones make pages of memory resident. */
  used = false;
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
    const { result: pointer, lines } = library.listen(
      () =>
        library.newContext(model, {
          ...library.contextDefaults(),
          ...toolDefaults,
          ...settings,
          n_ctx: shape.context,
          n_batch: shape.batch,
          n_ubatch: shape.ubatch,
          n_seq_max: shape.sequences,
          kv_unified: shape.unified,
        }),
      cacheLine,
    );
    if (!pointer) throw contextError(shape, lines);
    this.lines = lines;
    this.cacheBytes = lines.reduce((sum, { text }) => sum + cacheBytesIn(text), 0);
    this.#vocabulary = library.vocabSize(library.vocab(model));
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

  /** Empties the KV cache. `data`: sets its bytes to 0, too, as llama-perplexity does before each group of chunks. */
  clear(data = true): void {
    this.library.clearMemory(this.#memory, data);
  }

  /** Empties one sequence. */
  clearSequence(sequence: number): void {
    this.library.clearSequence(this.#memory, sequence, -1, -1);
  }

  /** What one sequence holds, another holds as well. */
  shareSequence(sequence: number, other: number): void {
    this.library.shareSequence(this.#memory, sequence, other, -1, -1);
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

  /** Computes the batch and empties it. `check`: throws if the logits of a row are all equal, for they say nothing of the next token. */
  decode(check = true): Rows {
    this.#fields.n_tokens = this.#count;
    return this.#decoded(this.library.decode(this.pointer, this.#fields), check);
  }

  /** The same while other contexts decode. Nothing may be asked of this one before it is through. */
  async decodeAside(): Promise<Rows> {
    this.#fields.n_tokens = this.#count;
    return this.#decoded(await this.library.decodeAside(this.pointer, this.#fields), true);
  }

  #decoded(code: number, check: boolean): Rows {
    const rows = this.#rows;
    this.#count = 0;
    this.#rows = 0;
    if (code !== 0) throw decodeError(code);
    this.library.synchronize(this.pointer);
    const decoded = { pointer: rows > 0 ? this.library.logits(this.pointer) : 0n, count: rows };
    if (check && rows > 0) this.#checkDiffer(decoded);
    // Rows of logits become resident with the first of them.
    this.used ||= rows > 0;
    return decoded;
  }

  /** The check of a row ends at its second logit, unless the model gives all tokens the same one. */
  #checkDiffer({ pointer, count }: Rows): void {
    const width = this.#vocabulary;
    const logits = floatsAt(pointer, count * width);
    for (let row = 0; row < count; row++) {
      const first = logits[row * width];
      let i = 1;
      while (i < width && logits[row * width + i] === first) i++;
      if (i === width && width > 1)
        throw new BenchError(
          "no-probabilities",
          "every token of the vocabulary has the same logit: this model gives no next-token probabilities",
          { hint: "its weights may be zeros, or it is an embedding model: name a language model" },
        );
    }
  }

  /** Checks that the last of these rows are numbers and differ. For timed decodes, during which nothing is checked. */
  checkNumbers(rows: Rows): void {
    if (rows.count === 0) return;
    this.#checkDiffer(rows);
    for (const logit of floatsAt(rows.pointer, rows.count * this.#vocabulary))
      if (Number.isNaN(logit) || logit === Number.POSITIVE_INFINITY)
        throw new BenchError("not-finite", `the model's logits are no numbers (${logit})`, {
          hint: "the file's weights may be damaged, or a value overflows: try flashAttention: off, or an f32 KV cache",
        });
  }

  free(): void {
    this.library.freeContext(this.pointer);
  }
}

/** llama.cpp's own reason, with a remedy if one is known. */
function contextError({ context, sequences, unified }: ContextShape, lines: LogLine[]): BenchError {
  const windows = unified || sequences === 1 ? "" : ` (${sequences} windows of ${Math.floor(context / sequences)})`;
  const reason = reasonIn(lines);
  const remedies: [RegExp, string][] = [
    [/flash.?att/i, "set flashAttention to auto or on, or give cacheTypeV a type that is not quantized, such as f16"],
    [/does not divide/i, "give the KV cache a type whose blocks divide the heads, such as f16"],
    [/different K .* and V/i, "give cacheTypeK and cacheTypeV the same type"],
    [/alloc|memory|^$/i, "lower the context or the batch, or use smaller types for the KV cache"],
  ];
  const hint = remedies.find(([pattern]) => pattern.test(reason))?.[1];
  return new BenchError(
    "context-failed",
    `llama.cpp could not make a context of ${context} tokens${windows}${reason ? `: ${reason}` : ""}`,
    hint === undefined ? {} : { hint },
  );
}

function decodeError(code: number): BenchError {
  if (code === 1)
    return new BenchError("context-full", "the batch found no room in the KV cache", { hint: "raise the context" });
  return new BenchError(
    "decode-failed",
    `llama_decode answered ${code}${code === -2 ? " (no memory for the computation)" : ""}`,
    {
      hint: code === -2 ? "lower the batch or the context" : "the file, or this build of llama.cpp, is at fault",
    },
  );
}
