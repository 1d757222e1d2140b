import type { Adapter, AdapterSource } from "../models/adapters.js";
import type { ModelFacts } from "../models/gguf.js";
import type { SourceFolders } from "../models/sources.js";

/**
 * What a backend can be asked for; a measurement says which of these it needs.
 * - `likelihood`: the log-probability of every token of a given text
 * - `options`: the log-probabilities of continuations of one prefix
 * - `divergence`: the distributions of two variants at every token of a given text, side by side
 * - `prompt-timing`, `generation-timing`: time of a prompt, of tokens made one by one
 */
export type Capability = "likelihood" | "options" | "divergence" | "prompt-timing" | "generation-timing";

/** Settings of a variant, as its backend's own schema has checked them. */
export type Settings = Record<string, unknown>;

/** What settings come to when defaults are filled in: all that a plan asks of them. */
export interface SettingsFacts {
  /** CPU threads; absent when the backend chooses them when it opens a model. */
  threads?: number;
  /** Tokens given to one decode call, and tokens computed at once. */
  batch: number;
  ubatch: number;
  /** Bits per value of the K and of the V cache. */
  cacheBitsK: number;
  cacheBitsV: number;
  /** The settings that decide digits, part of the identity of every job. The others decide speed alone. */
  digits: Settings;
  /** The settings of the same variant in another batch shape, for the noise floor. */
  otherShape: Settings;
  /** Why no engine can be opened with them, a sentence without its end. */
  impossible?: string;
}

/** What a backend needs to open a variant. */
export interface VariantSpec {
  name: string;
  /** A GGUF file (the first of a split one), or the name by which a server knows the model. */
  model: string;
  backend: string;
  settings: Settings;
  lora?: Adapter[];
  facts?: ModelFacts;
}

/** What an engine says while it works, besides its answers. */
export interface EngineListener {
  /** What it does from now on, as a crash is told: `tokenizing`, `making a context of 2048 tokens`. */
  doing(step: string): void;
  /** What a reader of its figures should know, a sentence without its end. */
  warning(message: string): void;
}

/** The one name of what computes: two jobs whose engines have it in common were measured by the same program. */
export interface EngineName {
  /** `llama.cpp 0.5.0` */
  version: string;
  /** The file that computes, e.g. `libggml-cpu-haswell.so`. */
  library: string;
  /** Tells builds of one version apart, where it is none of the published ones. */
  build?: string;
  /** Variables of the environment that the engine obeys, where some are set. */
  environment?: Record<string, string>;
}

/** What an opened engine says of itself; part of the provenance. */
export interface EngineFacts extends EngineName {
  devices: string[];
  /** llama.cpp's own line of CPU features and build flags. */
  system: string;
  threads: number;
  /** Bytes of all tensors. */
  tensorBytes: number;
  parameters: number;
  vocabulary: number;
  /** The context that the model was trained for, in tokens. */
  trainedContext: number;
  addsBos: boolean;
  loadSeconds: number;
}

/** Token windows scored together; each is decoded alone from position 0. */
export interface WindowRequest {
  /** Tokens per window; all windows have this length. */
  context: number;
  /** At most `engine.parallelWindows(context)` windows. */
  windows: Int32Array[];
  /** The first position whose logits predict a scored token: rows `scoreFrom … context − 2` are scored. */
  scoreFrom: number;
}

/** The logits of one scored position. */
export interface ScoredRow {
  /** Index of the window in the request, and of the position from `scoreFrom` on. */
  window: number;
  row: number;
  /** One per token of the vocabulary. */
  logits: Float32Array;
  /** The token that follows in the text. */
  token: number;
}

/** Per scored token of one window, `context − 1 − scoreFrom` each. */
export interface WindowDivergence {
  /** Nats, under the variant and under the reference. */
  nll: Float64Array;
  nllReference: Float64Array;
  /** Kullback-Leibler divergence of the variant from the reference, in nats, over the whole vocabulary. */
  kld: Float64Array;
  /** The most likely token of the variant and of the reference. */
  top: Int32Array;
  topReference: Int32Array;
}

/** One question: options that continue a shared prefix, all in tokens; prefix and each option hold at least one. */
export interface OptionRequest {
  prefix: Int32Array;
  /** From this position of the prefix on, 1 at least, its tokens begin every option and are scored as well. */
  scoreFrom: number;
  options: Int32Array[];
}

export interface TokenCount {
  /** UTF-8 bytes and Unicode characters that the tokens stand for. */
  bytes: number;
  characters: number;
}

/** An opened variant. One caller at a time. Methods of a capability that the backend lacks are never called. */
export interface Engine {
  readonly facts: EngineFacts;
  /** UTF-8 text to ids; `special`: with BOS where the model wants it, never with an end. Special tokens in the text are not parsed. */
  tokenize(text: string, special: boolean): Int32Array;
  /** What a run of tokens stands for. */
  measureTokens(tokens: Int32Array): TokenCount;
  /** The token that the model wants first, or −1. */
  readonly bos: number;

  /** How many windows of this length are decoded together; results depend on it, so a resumed job keeps these borders. */
  parallelWindows(context: number): number;
  /** Negative log-likelihoods in nats, `context − 1 − scoreFrom` for each window. */
  score(request: WindowRequest, progress?: (tokens: number) => void): Promise<Float64Array[]>;

  /** Shows the logits of every scored position, in order within each window; they are valid during the call alone. */
  visitRows(
    request: WindowRequest,
    visit: (row: ScoredRow) => void,
    progress?: (tokens: number) => void,
  ): Promise<void>;
  /**
   * Decodes the windows here, as the reference, and in each of the `variants` (engines of the same backend in the same
   * process), step by step side by side. Result: [variant][window].
   */
  diverge(
    request: WindowRequest,
    variants: Engine[],
    progress?: (tokens: number) => void,
  ): Promise<WindowDivergence[][]>;

  /**
   * Up to where several questions are packed into one batch of `scoreOptions`. `options` is a limit, 1 for a model that
   * cannot share a prefix between them; a single question may hold more `tokens`.
   */
  optionBatch(): { tokens: number; options: number };
  /**
   * Negative log-likelihoods in nats: [question][option][token], those of the prefix from `scoreFrom` on first. The
   * questions form one batch; `context`: what is held at a time, at least the tokens of every batch of the job.
   */
  scoreOptions(questions: OptionRequest[], context: number): Promise<Float64Array[][]>;

  /** Readies a context for speed tests of `prompt` or `generate` tokens after `depth` cached ones, and warms up. */
  prepareSpeed(test: SpeedTest): Promise<void>;
  /** Seconds of one repetition of the prepared test. */
  timeSpeed(test: SpeedTest): Promise<number>;

  /** Largest resident set of the process since the last call, in bytes. */
  peakMemory(): number;
  close(): Promise<void>;
}

/** Exactly one of `prompt` and `generate` is above 0. */
export interface SpeedTest {
  prompt: number;
  generate: number;
  depth: number;
}

/** Which model a variant is made of. */
export interface ModelSource {
  /** Path, URI, or the name by which a server knows it. */
  model: string;
  /** Made from the model when first asked for, and kept in the user's cache. */
  quantize?: { type: string; imatrix?: string };
  lora?: AdapterSource[];
}

/** The build that would be used, known without opening a model. */
export interface EngineChoice extends EngineName {
  origin: string;
  /** Whether a graphics card computes: which one then decides digits as the processor does. */
  gpu: boolean;
}

export interface Backend {
  readonly name: string;
  readonly capabilities: ReadonlySet<Capability>;
  /**
   * Finds the model (a download may be needed) and its adapters, and reads what they say of themselves. Throws a BenchError that
   * says why it cannot.
   */
  inspect(source: ModelSource, folders: SourceFolders): Promise<{ model: string; facts: ModelFacts; lora: Adapter[] }>;
  /** Which build would compute with these settings; part of job ids. */
  version(settings: Settings): Promise<EngineChoice>;
  settingsFacts(settings: Settings): SettingsFacts;
  /** Loads the model; throws a BenchError that says why it cannot. */
  open(variant: VariantSpec, listener?: EngineListener): Promise<Engine>;
}
