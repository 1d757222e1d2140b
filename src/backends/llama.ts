import fs from "node:fs";
import { BenchError } from "../errors.js";
import { emptyDivergence, finite, keepDivergence } from "../kernels/rows.js";
import { cacheTypes } from "../llama/cache-types.js";
import { Context, type ContextShape, type Rows } from "../llama/context.js";
import {
  chooseLibrary,
  type Fields,
  floatsAt,
  type Library,
  type LibraryLocation,
  type LogLine,
  loadLibrary,
  type Pointer,
} from "../llama/library.js";
import { reasonIn, warningsIn } from "../llama/log.js";
import { ScoringPool } from "../llama/pool.js";
import { physicalCores, takeHighWaterMark } from "../machine.js";
import { findAdapter } from "../models/adapters.js";
import { buildOf, environmentOf } from "../models/builds.js";
import { rememberTokens } from "../models/cache.js";
import { readModelFacts } from "../models/gguf.js";
import { quantizedModel } from "../models/quantize.js";
import { resolveModel } from "../models/sources.js";
import type {
  Backend,
  Engine,
  EngineFacts,
  EngineListener,
  EngineName,
  OptionRequest,
  ScoredRow,
  SpeedTest,
  TokenCount,
  VariantSpec,
  WindowRequest,
} from "./backend.js";
import { type LlamaSettings, llamaSettings, llamaSettingsFacts } from "./llama/settings.js";

/** llama.cpp's LLAMA_MAX_SEQ. */
const mostSequences = 256;

/** Options of one batch; llama.cpp reserves a row of logits for each. */
const optionSequences = 64;

/** Bytes of text from which on tokens are kept: a whole ladder shares a tokenizer, and a megabyte takes about a second. */
const longText = 100_000;

/** llama.cpp in this process, through the library that node-llama-cpp supplies. */
export const llama: Backend = {
  name: "llama",
  capabilities: new Set(["likelihood", "options", "divergence", "prompt-timing", "generation-timing"]),
  async version(settings) {
    const location = chooseLibrary(llamaSettings.parse(settings).gpu);
    const { directory, llama: file, origin, gpu } = location;
    const release = file.match(/\.v([\d.]+)\./)?.[1];
    return {
      version: `llama.cpp ${release ? `v${release.replace(/\.$/, "")}` : sourceBuildRelease(directory)}`,
      library: `${gpu} ${origin}`,
      origin,
      gpu: gpu !== "cpu",
      ...(await traits(location)),
    };
  },
  settingsFacts: llamaSettingsFacts,
  async inspect({ model, quantize, lora = [] }, folders) {
    let { path } = await resolveModel(model, folders);
    if (quantize) {
      const imatrix =
        quantize.imatrix === undefined
          ? undefined
          : (await resolveModel(quantize.imatrix, { ...folders, expect: "matrix" })).path;
      path = await quantizedModel(path, { type: quantize.type, ...(imatrix ? { imatrix } : {}) });
    }
    const facts = await readModelFacts(path);
    return { model: path, facts, lora: await Promise.all(lora.map((one) => findAdapter(one, facts, folders))) };
  },
  async open(variant, listener) {
    return new LlamaEngine(variant, await traits(chooseLibrary(llamaSettings.parse(variant.settings).gpu)), listener);
  },
};

/** What distinguishes a build from the published one of its release, and its surroundings from none. */
async function traits(location: LibraryLocation): Promise<Pick<EngineName, "build" | "environment">> {
  const [build, environment] = [await buildOf(location), environmentOf(location)];
  return { ...(build ? { build } : {}), ...(Object.keys(environment).length > 0 ? { environment } : {}) };
}

/** A source build's files have no version in their names; llama.cpp's own versioned link beside them does. */
function sourceBuildRelease(directory: string): string {
  const linked = fs.readdirSync(directory).find((file) => /^libllama\.so\.\d+\.\d+\.\d+$/.test(file));
  return linked ? `v${linked.replace("libllama.so.", "")}` : "(source build)";
}

/** One decode call of windows: its rows of logits, the tokens that they predict, and where those stand. */
interface Block {
  rows: Rows;
  targets: number[];
  /** Undefined for a row that is not scored. */
  places: ([window: number, row: number] | undefined)[];
  /** Tokens that were decoded. */
  tokens: number;
}

/** How windows are cut into decode calls: sequences side by side, tokens of a batch, of each window in one call. */
interface Cut {
  sequences: number;
  batch: number;
  step: number;
}

class LlamaEngine implements Engine {
  readonly facts: EngineFacts;
  readonly bos: number;
  readonly #library: Library;
  readonly #model: Pointer;
  readonly #vocab: Pointer;
  readonly #vocabulary: number;
  readonly #settings: LlamaSettings;
  readonly #threads: number;
  readonly #pieces = new Map<number, TokenCount>();
  readonly #adapters: { pointers: BigUint64Array; scales: Float32Array } | undefined;
  readonly #tokenizer: string | undefined;
  #ends: number | undefined;
  readonly #build: string;
  readonly #listener: EngineListener | undefined;
  #step: string | undefined;
  #pool: ScoringPool | undefined;
  #context: { key: string; context: Context } | undefined;

  constructor(variant: VariantSpec, named: Pick<EngineName, "build" | "environment">, listener?: EngineListener) {
    const settings = llamaSettings.parse(variant.settings);
    this.#settings = settings;
    this.#listener = listener;
    this.#build = named.build ?? "";
    const { tokenizerSha256, tokenizerBehaviour = "" } = variant.facts ?? {};
    this.#tokenizer = tokenizerSha256 && `${tokenizerSha256} ${tokenizerBehaviour}`;
    this.#threads = settings.threads ?? physicalCores();
    const library = loadLibrary(chooseLibrary(settings.gpu));
    this.#library = library;
    const started = performance.now();
    const parameters: Fields = { ...library.modelDefaults() };
    if (settings.gpuLayers !== undefined) parameters.n_gpu_layers = settings.gpuLayers;
    if (!settings.mmap) parameters.load_mode = 0;
    this.#doing("loading the model");
    const { result: model, lines } = library.listen(() =>
      models.borrow(this, [variant.model, settings.gpuLayers, settings.mmap], () => {
        const loaded = library.loadModel(variant.model, parameters);
        if (loaded) loadSeconds.set(loaded, (performance.now() - started) / 1000);
        return loaded;
      }),
    );
    const loaded = performance.now();
    if (!model)
      throw failedToLoad(variant.model, lines, {
        hint: `the file may be damaged, or newer than this llama.cpp (${library.version})`,
      });
    this.#warn(lines);
    const other = library.hasEncoder(model) || !library.hasDecoder(model) ? "has an encoder" : undefined;
    const what = other ?? (library.isDiffusion(model) ? "is a diffusion model" : undefined);
    if (what)
      throw new BenchError("model-unfit", `${variant.model} ${what}: it gives no next-token probabilities`, {
        hint: "name a language model's GGUF file",
      });
    this.#model = model;
    this.#vocab = library.vocab(model);
    this.#vocabulary = library.vocabSize(this.#vocab);
    const addsBos = library.addsBos(this.#vocab);
    this.bos = addsBos ? library.bos(this.#vocab) : -1;
    if (variant.lora?.length) this.#adapters = this.#loadAdapters(variant.lora);
    this.facts = {
      version: `llama.cpp ${library.version}`,
      library: library.cpuLibrary(),
      ...named,
      devices: library.devices(),
      system: library.systemInfo().trim(),
      threads: this.#threads,
      tensorBytes: Number(library.modelSize(model)),
      parameters: Number(library.modelParameters(model)),
      vocabulary: this.#vocabulary,
      trainedContext: library.trainedContext(model),
      addsBos,
      // Weights that another engine of this process had loaded already took it as long.
      loadSeconds: loadSeconds.get(model)! + (performance.now() - loaded) / 1000,
    };
  }

  #warn(lines: readonly LogLine[]): void {
    for (const message of warningsIn(lines)) this.#listener?.warning(message);
  }

  /** Costs nothing where it is what was done before. */
  #doing(step: string): void {
    if (step === this.#step) return;
    this.#step = step;
    this.#listener?.doing(step);
  }

  #loadAdapters(lora: { path: string; scale: number }[]) {
    const pointers = new BigUint64Array(lora.length);
    lora.forEach(({ path }, i) => {
      this.#doing(`loading the LoRA adapter ${path}`);
      const { result: adapter, lines } = this.#library.listen(() => this.#library.loadAdapter(this.#model, path));
      if (!adapter)
        throw failedToLoad(`the LoRA adapter ${path}`, lines, {
          hint: "it must be a GGUF file of convert_lora_to_gguf.py, made for this model",
        });
      this.#warn(lines);
      pointers[i] = adapter;
    });
    return { pointers, scales: Float32Array.from(lora, ({ scale }) => scale) };
  }

  /** A context of this shape; the one before is freed when it has another. */
  #open(shape: ContextShape, { sequencesPerToken = 1, eager = false } = {}): Context {
    const key = JSON.stringify([shape, sequencesPerToken, eager]);
    if (this.#context?.key === key) {
      this.#doing("decoding");
      return this.#context.context;
    }
    this.#context?.context.free();
    this.#context = undefined;
    const { flashAttention, cacheTypeK, cacheTypeV, swaFull } = this.#settings;
    const fields: Fields = {
      swa_full: swaFull,
      n_threads: this.#threads,
      n_threads_batch: this.#threads,
      flash_attn_type: { auto: -1, off: 0, on: 1 }[flashAttention],
      type_k: cacheTypes[cacheTypeK].id,
      type_v: cacheTypes[cacheTypeV].id,
    };
    const threadpool = threadpools.borrow(this, [this.#threads, eager], () =>
      this.#library.newThreadpool(this.#threads, eager ? undefined : 0),
    );
    this.#doing(`making a context of ${shape.context} tokens`);
    const context = new Context(this.#library, this.#model, shape, sequencesPerToken, fields, threadpool);
    this.#warn(context.lines);
    this.#doing("decoding");
    if (this.#adapters) {
      const { pointers, scales } = this.#adapters;
      this.#library.setAdapters(context.pointer, pointers, pointers.length, scales);
    }
    this.#context = { key, context };
    return context;
  }

  /** Threads that score, with room for so many variants to compare with. */
  #scoring(variants = 0): ScoringPool {
    if (this.#pool && this.#pool.variants < variants) {
      void this.#pool.close();
      this.#pool = undefined;
    }
    // More than a few workers wait for memory, not for arithmetic.
    this.#pool ??= new ScoringPool(
      this.#vocabulary,
      Math.max(2 * this.#ubatch, mostSequences),
      Math.min(this.#threads, 8),
      variants,
    );
    return this.#pool;
  }

  get #batch(): number {
    return this.#settings.batch;
  }

  get #ubatch(): number {
    return Math.min(this.#settings.ubatch, this.#batch);
  }

  tokenize(text: string, special: boolean): Int32Array {
    const bytes = Buffer.from(text, "utf8");
    const tokenizer = this.#tokenizer;
    if (!tokenizer || bytes.length < longText) return this.#tokenizeNow(bytes, special);
    const key = [this.#library.version, this.#build, tokenizer, special ? "from its beginning" : "a part"];
    return rememberTokens(key, bytes, () => this.#tokenizeNow(bytes, special));
  }

  #tokenizeNow(bytes: Buffer, special: boolean): Int32Array {
    const tokens = this.#withItsEnd(bytes, special);
    return special && this.#appended > 0 ? tokens.slice(0, -this.#appended) : tokens;
  }

  /**
   * How many tokens the vocabulary puts after a text: EOS for some, SEP for others. They end a document, and neither an
   * option nor a text that is cut into windows is a whole one. Asked of the tokenizer itself, which knows of all.
   */
  get #appended(): number {
    if (this.#ends !== undefined) return this.#ends;
    const sample = Buffer.from("a");
    const bare = this.#withItsEnd(sample, false);
    const whole = this.#withItsEnd(sample, true);
    let start = 0;
    while (start + bare.length < whole.length && !bare.every((token, i) => whole[start + i] === token)) start++;
    this.#ends = whole.length - bare.length - start;
    return this.#ends;
  }

  #withItsEnd(bytes: Buffer, special: boolean): Int32Array {
    this.#doing("tokenizing");
    // koffi passes a Buffer by address; an empty one has none.
    if (bytes.length === 0 && !special) return new Int32Array(0);
    let out = new Int32Array(bytes.length + 16);
    const source = bytes.length > 0 ? bytes : Buffer.alloc(1);
    let count = this.#library.tokenize(this.#vocab, source, bytes.length, out, out.length, special, false);
    if (count < 0) {
      out = new Int32Array(-count);
      count = this.#library.tokenize(this.#vocab, source, bytes.length, out, out.length, special, false);
    }
    return out.slice(0, count);
  }

  measureTokens(tokens: Int32Array): TokenCount {
    const sum: TokenCount = { bytes: 0, characters: 0 };
    for (const token of tokens) {
      let piece = this.#pieces.get(token);
      if (!piece) {
        piece = this.#measureToken(token);
        this.#pieces.set(token, piece);
      }
      sum.bytes += piece.bytes;
      sum.characters += piece.characters;
    }
    return sum;
  }

  #measureToken(token: number): TokenCount {
    let out = Buffer.alloc(64);
    let length = this.#library.tokenToPiece(this.#vocab, token, out, out.length, 0, true);
    if (length < 0) {
      out = Buffer.alloc(-length);
      length = this.#library.tokenToPiece(this.#vocab, token, out, out.length, 0, true);
    }
    let characters = 0;
    // A character counts where its first byte stands, so characters that are split over tokens count once.
    for (let i = 0; i < length; i++) if ((out[i]! & 0xc0) !== 0x80) characters++;
    return { bytes: length, characters };
  }

  parallelWindows(context: number): number {
    return Math.min(Math.max(1, Math.floor(this.#batch / context)), mostSequences);
  }

  async score(request: WindowRequest, progress?: (tokens: number) => void): Promise<Float64Array[]> {
    const { context: length, windows, scoreFrom } = request;
    const results = windows.map(() => new Float64Array(length - 1 - scoreFrom));
    for (const block of this.#blocks(request)) {
      if (block.targets.length > 0) {
        const scores = this.#scoring().score(block.rows.pointer, block.targets);
        for (const [i, place] of block.places.entries()) if (place) results[place[0]]![place[1]] = finite(scores[i]!);
      }
      progress?.(block.tokens);
    }
    return results;
  }

  async visitRows(request: WindowRequest, visit: (row: ScoredRow) => void, progress?: (tokens: number) => void) {
    const width = this.#vocabulary;
    for (const { rows, places, targets, tokens } of this.#blocks(request)) {
      const logits = rows.count > 0 ? floatsAt(rows.pointer, rows.count * width) : undefined;
      for (const [i, place] of places.entries())
        if (place)
          visit({
            window: place[0],
            row: place[1],
            logits: logits!.subarray(i * width, (i + 1) * width),
            token: targets[i]!,
          });
      progress?.(tokens);
    }
  }

  async diverge(request: WindowRequest, variants: Engine[], progress?: (tokens: number) => void) {
    const { context: length, windows, scoreFrom } = request;
    const scored = length - 1 - scoreFrom;
    const results = variants.map(() => windows.map(() => emptyDivergence(scored)));
    // Another batch size of a variant must not cut the windows elsewhere: row i is the same token in all.
    const cut = this.#cut(request);
    const others = (variants as LlamaEngine[]).map((variant) => variant.#blocks(request, cut));
    for (const { rows, targets, places, tokens } of this.#blocks(request, cut)) {
      const decoded = others.map((other) => (other.next().value as Block).rows.pointer);
      if (targets.length > 0) {
        const compared = this.#scoring(variants.length).compare(rows.pointer, decoded, targets);
        for (const [v, result] of results.entries())
          for (const [i, place] of places.entries()) {
            if (place) keepDivergence(result[place[0]]!, place[1], compared[v]![i]!);
          }
      }
      progress?.(tokens);
    }
    return results;
  }

  #cut({ context, windows }: WindowRequest): Cut {
    const sequences = Math.max(this.parallelWindows(context), windows.length);
    const batch = Math.min(this.#batch, sequences * context);
    return { sequences, batch, step: Math.max(1, Math.floor(this.#ubatch / windows.length)) };
  }

  /**
   * llama-perplexity's geometry: as many windows side by side as fit a batch, each a sequence of its own with its own part
   * of the cache. llama.cpp splits such a batch of 2048 tokens into micro-batches of ⌊n_ubatch / windows⌋ tokens of every
   * window; here each of those is a decode call of its own. The computation is the same to the last bit, but the logits
   * of only one micro-batch are held at a time: 512 × vocabulary, whatever the context.
   */
  *#blocks(request: WindowRequest, { sequences, batch, step }: Cut = this.#cut(request)): Generator<Block> {
    const { context: length, windows, scoreFrom } = request;
    const shape = {
      context: sequences * length,
      batch,
      ubatch: Math.min(this.#ubatch, batch),
      sequences,
      unified: false,
    };
    const context = this.#open(shape);
    context.clear();
    for (let batchStart = 0; batchStart < length; batchStart += batch) {
      const batchEnd = Math.min(batchStart + batch, length);
      for (let from = batchStart; from < batchEnd; from += step) {
        const to = Math.min(from + step, batchEnd);
        const targets: number[] = [];
        const places: Block["places"] = [];
        for (const [sequence, window] of windows.entries())
          for (let position = from; position < to; position++) {
            const token = position === 0 && this.bos >= 0 ? this.bos : window[position]!;
            // The last position's logits predict nothing of this window. llama-perplexity computes them all the same, and
            // the rows of one product shape each other's last digits: they are computed here too, and left out of `places`.
            const wanted = position >= scoreFrom;
            context.add(token, position, sequence, wanted);
            if (!wanted) continue;
            targets.push(position + 1 < length ? window[position + 1]! : 0);
            places.push(position + 1 < length ? [sequence, position - scoreFrom] : undefined);
          }
        yield { rows: context.decode(), targets, places, tokens: (to - from) * windows.length };
      }
    }
  }

  optionBatch() {
    // The tokens of a recurrent model's batch cannot belong to several sequences: it has no cache of them to share.
    return { tokens: this.#ubatch, options: this.#library.isRecurrent(this.#model) ? 1 : optionSequences };
  }

  /** A prefix token belongs to the sequences of all its options, an option's to its own. One decode call a micro-batch. */
  async scoreOptions(questions: OptionRequest[], contextLength: number): Promise<Float64Array[][]> {
    const ubatch = Math.min(this.#ubatch, contextLength);
    const { options: sequences } = this.optionBatch();
    // llama.cpp reserves a row of logits for each sequence, and has at most as many rows as a batch, or the cache, has tokens.
    const [held, batch] = [contextLength, ubatch].map((tokens) => Math.max(tokens, sequences)) as [number, number];
    const shape: ContextShape = { context: held, batch, ubatch, sequences, unified: true };
    const context = this.#open(shape, { sequencesPerToken: sequences });
    const pool = this.#scoring();
    const results = questions.map(({ prefix, scoreFrom, options }) =>
      options.map(({ length }) => new Float64Array(prefix.length - scoreFrom + length)),
    );
    // Row r of a decode call predicts targets[r], which goes to all of places[r]. The row of a prefix's last token predicts
    // the first token of every option and is read apart.
    let targets: number[] = [];
    let places: [values: Float64Array, at: number][][] = [];
    let forks: { row: number; question: number }[] = [];
    const decode = () => {
      const rows = context.decode();
      const scores = targets.length > 0 ? pool.score(rows.pointer, targets) : [];
      for (const [row, all] of places.entries()) for (const [values, at] of all) values[at] = finite(scores[row]!);
      for (const { row, question } of forks) {
        const { prefix, scoreFrom, options } = questions[question]!;
        const firsts = options.map((tokens) => tokens[0]!);
        for (const [i, value] of pool.scoreOne(rows.pointer, row, firsts).entries())
          results[question]![i]![prefix.length - scoreFrom] = finite(value);
      }
      targets = [];
      places = [];
      forks = [];
    };
    const add = (
      token: number,
      position: number,
      owners: number[],
      next?: number,
      all: [Float64Array, number][] = [],
    ) => {
      context.add(token, position, owners, next !== undefined);
      if (next !== undefined) {
        targets.push(next);
        places.push(all);
      }
      if (context.pending === ubatch) decode();
    };
    context.clear();
    let sequence = 0;
    for (const [question, { prefix, scoreFrom, options }] of questions.entries()) {
      const own = options.map((_, i) => sequence + i);
      sequence += options.length;
      const values = results[question]!;
      for (const [position, token] of prefix.entries()) {
        const at = position + 1 - scoreFrom;
        if (position === prefix.length - 1) {
          forks.push({ row: targets.length, question });
          add(token, position, own, 0);
        } else if (at >= 0) {
          const all = values.map((one): [Float64Array, number] => [one, at]);
          add(token, position, own, prefix[position + 1]!, all);
        } else add(token, position, own);
      }
      // The last token predicts nothing that is asked for.
      for (const [i, tokens] of options.entries())
        for (let k = 0; k + 1 < tokens.length; k++)
          add(tokens[k]!, prefix.length + k, [own[i]!], tokens[k + 1]!, [
            [values[i]!, prefix.length - scoreFrom + k + 1],
          ]);
    }
    if (context.pending > 0) decode();
    return results;
  }

  #speedContext({ prompt, generate, depth }: SpeedTest): Context {
    const cells = prompt + generate + depth;
    const batch = Math.min(this.#batch, cells); // llama.cpp's own limit
    const shape = { context: cells, batch, ubatch: Math.min(this.#ubatch, batch), sequences: 1, unified: false };
    return this.#open(shape, { eager: true });
  }

  async prepareSpeed(test: SpeedTest): Promise<void> {
    const context = this.#speedContext(test);
    context.clear(false);
    context.checkNumbers(test.prompt > 0 ? this.#prompt(context, test.prompt, 0) : this.#generate(context, 1, 0));
  }

  async timeSpeed(test: SpeedTest): Promise<number> {
    const context = this.#speedContext(test);
    context.clear(false);
    if (test.depth > 0) this.#prompt(context, test.depth, 0);
    const started = process.hrtime.bigint();
    const rows =
      test.prompt > 0
        ? this.#prompt(context, test.prompt, test.depth)
        : this.#generate(context, test.generate, test.depth);
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    context.checkNumbers(rows);
    return seconds;
  }

  /** Random tokens, BOS first where the model has one: as llama-bench. */
  #token(position: number): number {
    return position === 0 && this.bos >= 0 ? this.bos : Math.floor(Math.random() * this.#vocabulary);
  }

  #prompt(context: Context, count: number, from: number): Rows {
    let rows: Rows = { pointer: 0n, count: 0 };
    for (let done = 0; done < count; ) {
      const tokens = Math.min(this.#batch, count - done);
      for (let i = 0; i < tokens; i++) {
        const position = from + done + i;
        context.add(this.#token(position), position, 0, i === tokens - 1);
      }
      rows = context.decode(false);
      done += tokens;
    }
    return rows;
  }

  #generate(context: Context, count: number, from: number): Rows {
    let rows: Rows = { pointer: 0n, count: 0 };
    for (let i = 0; i < count; i++) {
      context.add(this.#token(from + i), from + i, 0, true);
      rows = context.decode(false);
    }
    return rows;
  }

  peakMemory(): number {
    return takeHighWaterMark();
  }

  async close(): Promise<void> {
    await this.#pool?.close();
    this.#context?.context.free();
    models.giveBack(this, (model) => this.#library.freeModel(model));
    threadpools.giveBack(this, (threadpool) => this.#library.freeThreadpool(threadpool));
  }
}

/** llama.cpp gives its reason in its log only. */
function failedToLoad(what: string, lines: readonly LogLine[], options: { hint: string }): BenchError {
  const reason = reasonIn(lines);
  return new BenchError("load-failed", `llama.cpp could not load ${what}${reason ? `: ${reason}` : ""}`, options);
}

/** What engines of one process have in common; freed when the last of them is closed. */
class Shared {
  readonly #held = new Map<string, { pointer: Pointer; users: Set<LlamaEngine> }>();

  borrow(user: LlamaEngine, key: unknown[], make: () => Pointer | null): Pointer | null {
    const name = JSON.stringify(key);
    const found = this.#held.get(name);
    const pointer = found?.pointer ?? make();
    if (!pointer) return null;
    if (found) found.users.add(user);
    else this.#held.set(name, { pointer, users: new Set([user]) });
    return pointer;
  }

  giveBack(user: LlamaEngine, free: (pointer: Pointer) => void): void {
    for (const [name, { pointer, users }] of this.#held) {
      if (!users.delete(user) || users.size > 0) continue;
      free(pointer);
      this.#held.delete(name);
    }
  }
}

/** Weights: a reference and its noise floor, or a model without and with a LoRA adapter, differ in their contexts alone. */
const models = new Shared();

/** Seconds that it took to load each model. */
const loadSeconds = new Map<Pointer, number>();

/**
 * Threads of llama.cpp: a pool that has nothing to do still spins for a tenth of a second, on the core that the next
 * engine, or the scoring, needs. So pools are shared, and those that do not time token by token go to sleep at once; the
 * eager ones wait as llama-bench's do.
 */
const threadpools = new Shared();
