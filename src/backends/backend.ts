import type { Message } from "../chat/template.js";
import type { WindowComparison } from "../kernels/comparison.js";
import type { Adapter } from "../models/adapters.js";
import type { ModelFacts } from "../models/gguf.js";
import type { Located, ModelSource, PreparationFolders } from "../models/preparation.js";
import type { SourceFolders } from "../models/sources.js";
import type { Share } from "../share.js";

export type { Message } from "../chat/template.js";

/** Settings of a variant, as its backend's own schema has checked them. */
export type Settings = Record<string, unknown>;

/** All that a plan asks of settings, defaults filled in. */
export interface SettingsFacts {
  /** CPU threads; absent when the backend chooses them when it opens a model. */
  threads?: number;
  /** Tokens given to one decode call, and tokens computed at once. */
  batch: number;
  ubatch: number;
  /** Bits per value of the K and of the V cache. */
  cacheBitsK: number;
  cacheBitsV: number;
  /** Whether a program that runs already holds the model, so that measuring it needs no memory here. */
  elsewhere?: true;
  /** The settings that decide digits, part of the identity of every job. The others decide speed alone. */
  digits: Settings;
  /**
   * The settings that decide what is loaded: variants of one model that have them in common take turns in one engine. Absent
   * where nothing is gained by it.
   */
  load?: Settings;
  /** The settings of the same variant in another batch shape, for the noise floor. */
  otherShape: Settings;
  /** Why no engine can be opened with them, a sentence without its end. */
  impossible?: string;
  /** What the user should know before anything is measured with them, a sentence without its end. */
  caution?: string;
}

/** A variant as a backend opens it. */
export interface VariantSpec {
  name: string;
  /** A GGUF file (the first of a split one), or the name by which a server knows the model. */
  model: string;
  backend: string;
  settings: Settings;
  lora?: Adapter[];
  facts?: ModelFacts;
  /** The address that the model came from, without secrets. */
  from?: string;
}

/** Hears what an engine says while it works, besides its answers. */
export interface EngineListener {
  /** The step that begins now; named if the engine crashes in it: `tokenizing`, `making a context of 2048 tokens`. */
  doing(step: string): void;
  /** A fact that a reader of its figures should know, a sentence without its end. */
  warning(message: string): void;
}

/** The one name of the program that computes: jobs whose engines have the same name were measured by the same program. */
export interface EngineName {
  /** `llama.cpp 0.5.0` */
  version: string;
  /** The file that computes, e.g. `libggml-cpu-haswell.so`. */
  library: string;
  /** Tells builds of one version apart; absent for a published build. */
  build?: string;
  /** Environment variables that are set and that the engine obeys. */
  environment?: Record<string, string>;
  /** Nats by which a mean log-likelihood may be off, where the engine tells it in few digits; absent where it tells all. */
  rounding?: number;
}

/** Facts of an opened engine; part of the provenance. A server need not tell any of them. */
export interface EngineFacts extends EngineName {
  devices?: string[];
  /** llama.cpp's own line of CPU features and build flags. */
  system?: string;
  threads?: number;
  /** Bytes of all tensors. */
  tensorBytes?: number;
  parameters?: number;
  vocabulary?: number;
  /** The context that the model was trained for, in tokens. */
  trainedContext?: number;
  addsBos?: boolean;
  /** The day that the model's chat template is told, if it asks for the date. */
  conversationDay?: string;
  loadSeconds?: number;
  /** The worker of a queue that opened it. */
  worker?: string;
  /** The variant that the weights were loaded for, where this one shares them. */
  loadedFor?: string;
}

/** Bytes of a process that are one engine's and no other's, and those of the weights that it shares with others of the same `key`. */
export interface HeldMemory {
  own: number;
  shared: { key: unknown; bytes: number };
}

/** Token windows scored together; each is decoded alone from position 0. */
export interface WindowRequest {
  /** Tokens per window; all windows have this length. */
  context: number;
  /** At most `parallel(context)` windows. */
  windows: Int32Array[];
  /** The first position whose logits predict a scored token: rows `scoreFrom … context − 2` are scored. */
  scoreFrom: number;
  /** The windows' first tokens stay as they are; otherwise BOS stands in their place. */
  asTheyAre?: boolean;
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

export interface TokenCount {
  /** UTF-8 bytes and Unicode characters that the tokens stand for. */
  bytes: number;
  characters: number;
}

/**
 * Tokens, and rows of logits over the whole vocabulary; only an engine in this process has them. `progress` is called with the
 * number of tokens decoded since its last call.
 */
export interface Windows {
  /**
   * UTF-8 text to ids; `special`: with BOS if the model wants it, never with an end. Special tokens in the text are text, unless
   * they are parsed.
   */
  tokenize(text: string, special: boolean, parse?: boolean): Int32Array;
  /** The text that a run of tokens stands for. */
  measureTokens(tokens: Int32Array): TokenCount;
  /** That text itself; special tokens by their names, and � for a part of a character. */
  textOf(tokens: Int32Array): string;
  /** The token that the model wants first, or −1. */
  readonly bos: number;
  readonly vocabulary: number;
  /** How many windows of this length are decoded together; results depend on it, so a resumed job keeps these borders. */
  parallel(context: number): number;
  /** Negative log-likelihoods in nats, `context − 1 − scoreFrom` for each window. */
  score(request: WindowRequest, progress?: (tokens: number) => void): Promise<Float64Array[]>;
  /** Calls back with the logits of every scored position, in order within each window; they are valid during the call only. */
  visit(request: WindowRequest, visit: (row: ScoredRow) => void, progress?: (tokens: number) => void): Promise<void>;
  /**
   * Decodes the windows in this engine, as the reference, and in each of the `variants` (of the same backend, in the same
   * process), batch by batch side by side. Result: [variant][window]. The NLLs of both are those that `score` gives if their
   * batches have the same size.
   */
  compare(
    request: WindowRequest,
    variants: readonly Windows[],
    progress?: (tokens: number) => void,
  ): Promise<WindowComparison[][]>;
}

/** How a text is cut into chunks of `context` tokens, which of them are asked, and which ones need no answer. */
export interface ChunkRequest {
  context: number;
  /** So many from the start. */
  chunks?: number | undefined;
  /** So many drawn over the whole text, by this seed: see `askedChunks`. Only `passages` knows how. */
  spread?: number | undefined;
  seed?: number | undefined;
  /** Of these chunks the part that is asked, in whole batches. Only `passages` knows how. */
  share?: Share | undefined;
  done: ReadonlySet<string>;
  /** Called often, with the number of chunks that are done, of this share; and that of all shares, where it is another. */
  progress(done: number, total: number, whole?: number): void;
}

/** The likelihood of the scored tokens of one chunk. */
export interface ChunkLikelihood {
  chunk: number;
  /** How many chunks the whole text has, if the engine tells. */
  of?: number;
  /** Mean of −ln p in nats, over `weight` tokens, and mean of its square. */
  mean: number;
  weight: number;
  square?: number;
  /** Of each token, if the engine tells. */
  nll?: Float64Array;
  /** The text that the tokens stand for, and how many bytes of the whole text lie before it. */
  text?: TokenCount;
  before?: number;
  /** Digest of the ids of all the chunk's tokens. */
  ids?: string;
}

/** The log-probability of a given text. */
export interface Likelihood {
  /** Answers for every chunk that is not done, in any order; the same digits whatever is done. */
  measure(text: string, request: ChunkRequest): AsyncIterable<ChunkLikelihood>;
}

/** What a model was given before its answer, for the eye. */
export interface ShownPrompt {
  text: string;
  /** Absent where a server does not tell them. */
  ids?: number[];
}

/** Options that continue a question. */
export type OptionQuestion = {
  id: string;
  /** Stands between the context and each option. */
  delimiter: string;
  options: readonly string[];
  /** The options are letters. Where one merges with what it continues into one token, each is the last token of its own text. */
  letters?: true;
  /**
   * Questions of one group stand in a row and begin alike, with the heading and the examples of their subject: an engine that
   * can decodes once what they all begin with.
   */
  group?: string;
} & QuestionContext;

/**
 * What options continue: a text; a text of each option's own (`contexts[i]` of `options[i]`), where what follows is scored and not
 * what was filled in; or a conversation, which the engine renders by the model's chat template up to where the assistant's
 * answer begins. A text may have its heading and examples apart (`contextsOf` has the whole).
 */
export type QuestionContext =
  | { before?: Beginning; context: string }
  | { before?: Beginning; contexts: readonly string[] }
  | { messages: readonly Message[] };

/** The text that questions begin with alike: one object for all of them, so that it is held once, and sent to a process once. */
export interface Beginning {
  readonly text: string;
}

/** The texts that the options of a question continue, one for all of them or one for each; of a conversation none. */
export function contextsOf(question: QuestionContext): readonly string[] {
  if ("messages" in question) return [];
  const own = "contexts" in question ? question.contexts : [question.context];
  const { text = "" } = question.before ?? {};
  return own.map((context) => text + context);
}

export interface OptionsRequest {
  /** Ids of questions that need no answer; they are asked all the same if they share a batch with others. */
  done: ReadonlySet<string>;
  /** Most tokens of a question with one of its options; never more than the model was trained for, which is also the default. */
  context?: number | undefined;
  /** The id of the question whose prompt is told. */
  show?: string | undefined;
  /** Called often, with the number of questions that are done. */
  progress(questions: number): void;
}

export interface OptionScores {
  id: string;
  /** Why the question was not asked, a phrase; there are no options then. */
  unanswerable?: string;
  /** In the question's order. */
  options: {
    /** Sum of the log-probabilities of all tokens that continue the context (lm-eval's cut), in nats. */
    sum: number;
    /** Their mean over the `tokens` after those that all options begin with (llama-perplexity's --hellaswag). */
    mean: number;
    tokens: number;
  }[];
  /** Each option was scored by itself, because the model cannot share a question between them. */
  alone?: true;
  prompt?: ShownPrompt;
}

/** The log-probabilities of continuations of one prefix. */
export interface Options {
  /** Whether the model has a template for conversations; without one they are `unanswerable`. */
  readonly chats: boolean;
  /** Answers for every question that is not done, in any order; the same digits whatever is done. */
  score(questions: readonly OptionQuestion[], request: OptionsRequest): AsyncIterable<OptionScores>;
}

/** A text as it stands, or a conversation that the engine renders by the model's own chat template. */
export type Prompt = { id: string } & ({ text: string } | { messages: readonly Message[] });

export interface GenerationRequest {
  /** Ids of prompts that need no answer. */
  done: ReadonlySet<string>;
  /** Most new tokens of an answer. */
  maxTokens: number;
  /** An answer ends before the first of these. */
  stop: readonly string[];
  /** Of a text, or of a conversation's last message, that has more tokens than this the middle goes: both halves are as long. */
  truncate?: number;
  /** 0: the most likely token each time. */
  temperature: number;
  /** Tokens are drawn from so many of the most likely ones, and from the fewest that have this probability together; by default from all. */
  topK?: number;
  topP?: number;
  /** Above 1: tokens of the prompt and the answer are less likely again, see `repetitionPenalty` of the kernels; by default 1. */
  repetitionPenalty?: number;
  seed: number;
  /** The id of the prompt that is told. */
  show?: string | undefined;
  /** Called often, with the answers that are through. */
  progress(answers: number): void;
}

export interface Answer {
  id: string;
  /** Without the stop string. */
  text: string;
  /** What ended it: the model's own end token, a stop string, or `maxTokens`. */
  finish: "end" | "stop" | "length";
  promptTokens: number;
  tokens: number;
  /** Why the prompt was not asked, a phrase; there is no text then. */
  unanswerable?: string;
  /** The prompt ends inside a thought, which the text then begins with. */
  thinks?: boolean;
  prompt?: ShownPrompt;
}

/** Text that continues a prompt. */
export interface Generation {
  /** Whether the model has a template for conversations; without one they are `unanswerable`. */
  readonly chats: boolean;
  /** Whether it knows the tokens of a prompt and can shorten it; a prompt that would have to be is `unanswerable` without. */
  readonly truncates: boolean;
  /** Whether repetition can be penalized; where not, such prompts are `unanswerable`. */
  readonly penalizes: boolean;
  /** Answers for every prompt that is not done, in any order. */
  answer(prompts: readonly Prompt[], request: GenerationRequest): AsyncIterable<Answer>;
}

/** Exactly one of `prompt` and `generate` is above 0. */
export interface SpeedTest {
  prompt: number;
  generate: number;
  depth: number;
}

/** Time of a prompt, and of tokens made one by one. */
export interface Timing {
  /** Readies a context for tests of `prompt` or `generate` tokens after `depth` cached ones, and warms up. */
  prepare(test: SpeedTest): Promise<void>;
  /** Seconds of one repetition of the prepared test. */
  time(test: SpeedTest): Promise<number>;
  /**
   * CPU seconds used so far by the process that computes, where that is not this one: what is beyond them, other programs used.
   * Undefined for a process that cannot be seen.
   */
  cpuSeconds?(): number | undefined;
}

/** The parts that an engine may have; a measurement says which of them it needs. */
export interface Parts {
  likelihood: Likelihood;
  /** The same of chunks from all over a text, without those between them. */
  passages: Likelihood;
  options: Options;
  /**
   * Options of a single letter, by sampling that is constrained to them. A question of which an option could not be scored is
   * `unanswerable`.
   */
  letters: Options;
  generation: Generation;
  timing: Timing;
  windows: Windows;
}
export type Part = keyof Parts;

/** Each part as it is named in the reason why a cell cannot be measured. */
export const partNames: Record<Part, string> = {
  likelihood: "log-probabilities of a text",
  passages: "log-probabilities of chunks from all over a text",
  options: "log-probabilities of options",
  letters: "log-probabilities of letters",
  generation: "generated text",
  timing: "times of prompts and tokens",
  windows: "probabilities of all tokens",
};

/** An opened variant. Its parts are its abilities. One caller at a time. */
export interface Engine extends Readonly<Partial<Parts>> {
  readonly facts: EngineFacts;
  /** Largest resident set of the process since the last call, in bytes; undefined for a process that cannot be seen from here. */
  peakMemory(): number | undefined;
  /** What of the process is this engine's, if it can tell. */
  heldMemory?(): HeldMemory;
  /** Bytes of the largest KV cache since the last call, if it can tell. */
  takeCacheBytes?(): number | undefined;
  close(): Promise<void>;
}

/** The build that would be used, known without opening a model. */
export interface EngineChoice extends EngineName {
  origin: string;
  /** Of a server that runs already: what tells its own settings, which decide digits, from those of others; else its address. */
  started?: string;
  /** Whether a graphics card computes: it then decides digits, as the processor does otherwise. */
  gpu: boolean;
}

/** A model and the settings that it is opened with: all that tells a backend, or a server, which engine is meant. */
export type Opening = Pick<VariantSpec, "model" | "settings">;

export interface Backend {
  readonly name: string;
  /** The parts of every engine that it opens, unless `locate` says which ones the model at hand has. */
  readonly parts: readonly Part[];
  /** Parts that are believed only after a self-test: a server's log-probabilities may be those of something else. */
  readonly claims?: readonly Part[];
  /**
   * The parts that another backend gives on the model's own file (`facts.files[0]`) and adapters. Jobs that need them are
   * measured there, and say so.
   */
  readonly through?: {
    backend: string;
    parts: readonly Part[];
    /** What it is opened with there; undefined where it cannot be. */
    settings(own: Settings): Settings | undefined;
    /** How that is told beside figures: a phrase. */
    method: string;
  };
  /**
   * The settings that choose among its builds, the default first, by which a worker elsewhere says what it has. Absent where a
   * variant is bound to a machine: to a server that runs there, or to programs in a folder.
   */
  readonly builds?: readonly Settings[];
  /**
   * Finds and reads the model and its adapters, and changes nothing; a server is asked. Throws a BenchError that says why it
   * cannot.
   */
  locate(
    source: ModelSource,
    folders: SourceFolders,
    settings: Settings,
  ): Promise<Located & { parts?: readonly Part[] }>;
  /** Fetches and quantizes what `locate` found missing. */
  prepare(source: ModelSource, folders: PreparationFolders): Promise<void>;
  /** Which build would compute; part of job ids. Throws a BenchError when a server cannot be asked. */
  version(opening: Opening): Promise<EngineChoice>;
  settingsFacts(settings: Settings): SettingsFacts;
  /** Loads the model; throws a BenchError that says why it cannot. */
  open(variant: VariantSpec, listener?: EngineListener): Promise<Engine>;
}

/** What a variant loads: those that have it in common take turns in one engine. Undefined where nothing is gained by it. */
export function loadKey({ name, settingsFacts }: Backend, { model, settings }: VariantSpec): string | undefined {
  const { load } = settingsFacts(settings);
  return load && JSON.stringify([name, model, load]);
}

/** A backend whose engines have all the parts that it names. */
export interface BackendWith<Has extends Part> extends Backend {
  readonly parts: readonly Has[];
  open(variant: VariantSpec, listener?: EngineListener): Promise<Engine & Pick<Parts, Has>>;
}

/** Whether an engine has the parts. */
export function has<Needs extends Part>(
  engine: Engine,
  parts: readonly Needs[],
): engine is Engine & Pick<Parts, Needs> {
  return parts.every((part) => engine[part] !== undefined);
}
