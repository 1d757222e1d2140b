import { basename } from "node:path";
import { BenchError } from "../../errors.js";
import { cacheTypes } from "../../llama/cache-types.js";
import { Context, type ContextShape, type Rows } from "../../llama/context.js";
import { type Fields, type Library, type LogLine, loadLibrary, type Pointer } from "../../llama/library.js";
import { chooseLibrary } from "../../llama/location.js";
import { reasonIn, warningsIn } from "../../llama/log.js";
import { ScoringPool } from "../../llama/pool.js";
import { physicalCores, usableProcessors } from "../../machine.js";
import type { Adapter } from "../../models/adapters.js";
import type { EngineFacts, EngineListener, EngineName, HeldMemory, VariantSpec } from "../backend.js";
import { type LlamaSettings, llamaSettings } from "./settings.js";
import { adapters, threadpools, type Weights, weights } from "./shared.js";

/** llama.cpp's LLAMA_MAX_SEQ. */
export const mostSequences = 256;

/** Models that were opened in this process. */
let opened = 0;

/**
 * A model that was loaded, its adapters, the context that it has now, and the threads that score: what the parts of an engine
 * share. Its weights and adapters may be those of other engines of this process.
 */
export class LlamaModel {
  readonly facts: EngineFacts;
  readonly bos: number;
  readonly library: Library;
  readonly pointer: Pointer;
  readonly vocab: Pointer;
  readonly vocabulary: number;
  /** Digests that tell tokenizers apart, if known, and builds of the library. */
  readonly tokenizer: string | undefined;
  readonly build: string;
  /** Whether the processor computes, and no graphics card. */
  readonly onProcessor: boolean;
  readonly batch: number;
  readonly ubatch: number;
  /** Decodes that the cores have room for at the same time, this model's and such of others. */
  readonly sideBySide: number;
  readonly #number = ++opened;
  readonly #settings: LlamaSettings;
  readonly #threads: number;
  readonly #adapters: { pointers: BigUint64Array; scales: Float32Array } | undefined;
  readonly #listener: EngineListener | undefined;
  readonly #weights: Weights;
  #held = 0;
  #cache = 0;
  #step: string | undefined;
  #pool: ScoringPool | undefined;
  #context: { key: string; context: Context } | undefined;

  constructor(variant: VariantSpec, named: Pick<EngineName, "build" | "environment">, listener?: EngineListener) {
    const settings = llamaSettings.parse(variant.settings);
    this.#settings = settings;
    this.batch = settings.batch;
    this.ubatch = Math.min(settings.ubatch, settings.batch);
    this.#listener = listener;
    this.build = named.build ?? "";
    const { tokenizerSha256, tokenizerBehaviour = "" } = variant.facts ?? {};
    this.tokenizer = tokenizerSha256 && `${tokenizerSha256} ${tokenizerBehaviour}`;
    this.#threads = settings.threads ?? physicalCores();
    const location = chooseLibrary(settings.gpu, settings.library);
    this.doing(`loading the library in ${location.directory}`);
    const library = loadLibrary(location, named);
    this.library = library;
    this.onProcessor = location.gpu === "cpu";
    // A graphics card computes one graph after another.
    this.sideBySide = this.onProcessor ? Math.max(1, Math.floor(physicalCores() / this.#threads)) : 1;
    this.doing("loading the model");
    this.#weights = this.#borrowWeights(variant);
    const { pointer: model, lines, variant: first, seconds } = this.#weights;
    const loaded = performance.now();
    this.#warnOf(lines);
    const processors = usableProcessors();
    if (this.#threads > processors)
      listener?.warning(`${this.#threads} threads share ${processors} processors: its speed is not this machine's`);
    if ((settings.gpuLayers ?? 0) > 0 && location.gpu === "cpu")
      listener?.warning(`gpuLayers: ${settings.gpuLayers} is asked for, and the processor computes all layers`);
    const other = library.hasEncoder(model) || !library.hasDecoder(model) ? "has an encoder" : undefined;
    const what = other ?? (library.isDiffusion(model) ? "is a diffusion model" : undefined);
    if (what)
      throw new BenchError("model-unfit", `${variant.model} ${what}: it gives no next-token probabilities`, {
        hint: "name a language model's GGUF file",
      });
    this.pointer = model;
    this.vocab = library.vocab(model);
    this.vocabulary = library.vocabSize(this.vocab);
    const addsBos = library.addsBos(this.vocab);
    this.bos = addsBos ? library.bos(this.vocab) : -1;
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
      vocabulary: this.vocabulary,
      trainedContext: library.trainedContext(model),
      addsBos,
      // Weights that another engine of this process had loaded already took it as long.
      loadSeconds: seconds + (performance.now() - loaded) / 1000,
      ...(first === variant.name ? {} : { loadedFor: first }),
    };
  }

  /** Bytes of the process that came with the weights, and with the context and the decodes of this engine. */
  get held(): HeldMemory {
    const { pointer, bytes } = this.#weights;
    return { shared: { key: pointer, bytes: Math.max(0, bytes) }, own: Math.max(0, this.#held) };
  }

  /** Bytes of the largest KV cache that was asked for since the last call: one that an earlier job left behind is not this one's. */
  takeCacheBytes(): number {
    const bytes = this.#cache;
    this.#cache = 0;
    return bytes;
  }

  #borrowWeights({ model, name }: VariantSpec): Weights {
    const { library } = this;
    const { gpuLayers, mmap } = this.#settings;
    let heard: readonly LogLine[] = [];
    const found = weights.borrow(this, [model, gpuLayers, mmap], () => {
      const parameters: Fields = { ...library.modelDefaults() };
      if (gpuLayers !== undefined) parameters.n_gpu_layers = gpuLayers;
      if (!mmap) parameters.load_mode = 0;
      const [started, before] = [performance.now(), process.memoryUsage.rss()];
      const { result: pointer, lines } = library.listen(() => library.loadModel(model, parameters));
      heard = lines;
      const seconds = (performance.now() - started) / 1000;
      return pointer === null
        ? null
        : { pointer, variant: name, seconds, bytes: process.memoryUsage.rss() - before, lines };
    });
    if (found) return found;
    throw failedToLoad(model, heard, {
      hint: `the file may be damaged, or newer than this llama.cpp (${library.version})`,
    });
  }

  #counted<Result>(work: () => Result): Result {
    const before = process.memoryUsage.rss();
    const result = work();
    this.#held += process.memoryUsage.rss() - before;
    return result;
  }

  /** Pages of weights and buffers become resident when a decode first touches them. */
  decode(context: Context): Rows {
    return this.#counted(() => context.decode());
  }

  #warnOf(lines: readonly LogLine[]): void {
    for (const message of warningsIn(lines)) this.warn(message);
  }

  /** Tells the listener a fact that a reader of the figures should know. */
  warn(message: string): void {
    this.#listener?.warning(message);
  }

  /** Tells the listener of a step, unless it is the one before. */
  doing(step: string): void {
    if (step === this.#step) return;
    this.#step = step;
    this.#listener?.doing(step);
  }

  #loadAdapters(lora: Adapter[]) {
    const before = new Map<string, number>();
    const pointers = lora.map(({ path, sha256 }) => {
      this.doing(`loading the LoRA adapter ${path}`);
      // llama.cpp adds what is named twice once, unless it was loaded twice.
      const nth = before.get(sha256) ?? 0;
      before.set(sha256, nth + 1);
      let heard: readonly LogLine[] = [];
      const adapter = adapters.borrow(this, [String(this.pointer), sha256, nth], () => {
        const { result, lines } = this.library.listen(() =>
          this.#counted(() => this.library.loadAdapter(this.pointer, path)),
        );
        heard = lines;
        return result;
      });
      if (!adapter)
        throw failedToLoad(`the LoRA adapter ${basename(path)}`, heard, {
          hint: "take one that was made for this base model",
        });
      this.#warnOf(heard);
      return adapter;
    });
    return { pointers: BigUint64Array.from(pointers), scales: Float32Array.from(lora, ({ scale }) => scale) };
  }

  /** A context of this shape; the one before is freed when it has another. */
  open(shape: ContextShape, { sequencesPerToken = 1, eager = false } = {}): Context {
    const key = JSON.stringify([shape, sequencesPerToken, eager]);
    if (this.#context?.key === key) {
      this.doing("decoding");
      this.#cache = Math.max(this.#cache, this.#context.context.cacheBytes);
      return this.#context.context;
    }
    this.#counted(() => this.#context?.context.free());
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
    // Threads of a pool compute one graph at a time.
    const own = this.sideBySide > 1 && !eager ? this.#number : 0;
    const threadpool = threadpools.borrow(this, [this.#threads, eager, own], () =>
      this.library.newThreadpool(this.#threads, eager ? undefined : 0),
    );
    this.doing(`making a context of ${shape.context} tokens`);
    const context = this.#counted(
      () => new Context(this.library, this.pointer, shape, sequencesPerToken, fields, threadpool),
    );
    this.#warnOf(context.lines);
    this.doing("decoding");
    if (this.#adapters) {
      const { pointers, scales } = this.#adapters;
      this.library.setAdapters(context.pointer, pointers, pointers.length, scales);
    }
    this.#context = { key, context };
    this.#cache = Math.max(this.#cache, context.cacheBytes);
    return context;
  }

  /** Threads that score, with room for so many variants to compare with; as many as decode where `sideBySide` models do. */
  scoring(variants = 0, sideBySide = 1): ScoringPool {
    if (this.#pool && this.#pool.variants < variants) {
      void this.#pool.close();
      this.#pool = undefined;
    }
    // More than a few workers wait for memory, not for arithmetic.
    this.#pool ??= new ScoringPool(
      this.vocabulary,
      Math.max(2 * this.ubatch, mostSequences),
      Math.min(this.#threads * sideBySide, 8),
      variants,
    );
    return this.#pool;
  }

  async close(): Promise<void> {
    await this.#pool?.close();
    this.#context?.context.free();
    adapters.giveBack(this, (adapter) => this.library.freeAdapter(adapter));
    weights.giveBack(this, ({ pointer }) => this.library.freeModel(pointer));
    threadpools.giveBack(this, (threadpool) => this.library.freeThreadpool(threadpool));
  }
}

/** llama.cpp gives its reason in its log only. */
function failedToLoad(what: string, lines: readonly LogLine[], options: { hint: string }): BenchError {
  const reason = reasonIn(lines);
  return new BenchError("load-failed", `llama.cpp could not load ${what}${reason ? `: ${reason}` : ""}`, options);
}
