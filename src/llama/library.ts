import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { definite } from "../definite.js";
import { BenchError, messageOf } from "../errors.js";
import { type LibraryLocation, llamaRelease } from "./location.js";

const P = "void *";

const ModelParams = koffi.struct("llama_model_params", {
  devices: P,
  tensor_buft_overrides: P,
  n_gpu_layers: "int32_t",
  split_mode: "int32_t",
  load_mode: "int32_t",
  lazy_mode: "int32_t",
  main_gpu: "int32_t",
  tensor_split: P,
  progress_callback: P,
  progress_callback_user_data: P,
  kv_overrides: P,
  vocab_only: "bool",
  check_tensors: "bool",
  use_extra_bufts: "bool",
  no_host: "bool",
  no_alloc: "bool",
  load_mtp: "bool",
});

const ContextParams = koffi.struct("llama_context_params", {
  n_ctx: "uint32_t",
  n_batch: "uint32_t",
  n_ubatch: "uint32_t",
  n_seq_max: "uint32_t",
  n_rs_seq: "uint32_t",
  n_outputs_max: "uint32_t",
  n_outputs_max_per_seq: "uint32_t",
  n_threads: "int32_t",
  n_threads_batch: "int32_t",
  ctx_type: "int32_t",
  rope_scaling_type: "int32_t",
  pooling_type: "int32_t",
  attention_type: "int32_t",
  flash_attn_type: "int32_t",
  rope_freq_base: "float",
  rope_freq_scale: "float",
  yarn_ext_factor: "float",
  yarn_attn_factor: "float",
  yarn_beta_fast: "float",
  yarn_beta_slow: "float",
  yarn_orig_ctx: "uint32_t",
  defrag_thold: "float",
  cb_eval: P,
  cb_eval_user_data: P,
  type_k: "int32_t",
  type_v: "int32_t",
  abort_callback: P,
  abort_callback_data: P,
  embeddings: "bool",
  offload_kqv: "bool",
  no_perf: "bool",
  op_offload: "bool",
  swa_full: "bool",
  kv_unified: "bool",
  samplers: P,
  n_samplers: "size_t",
  ctx_other: P,
});

const Batch = koffi.struct("llama_batch", {
  n_tokens: "int32_t",
  token: P,
  embd: P,
  pos: P,
  n_seq_id: P,
  seq_id: P,
  logits: P,
});

const ThreadpoolParams = koffi.struct("ggml_threadpool_params", {
  cpumask: koffi.array("bool", 512),
  n_threads: "int",
  prio: "int",
  poll: "uint32_t",
  strict_cpu: "bool",
  paused: "bool",
});

/**
 * Default values that the C functions must return through the structs above. A field that moved, grew or changed its
 * meaning shows here, before any call could read or write the wrong bytes.
 */
const expectedDefaults = {
  model: {
    n_gpu_layers: -1,
    split_mode: 1,
    main_gpu: 0,
    vocab_only: false,
    check_tensors: false,
    use_extra_bufts: true,
    no_host: false,
    no_alloc: false,
  },
  context: {
    n_ctx: 512,
    n_batch: 2048,
    n_ubatch: 512,
    n_seq_max: 1,
    n_threads: 4,
    n_threads_batch: 4,
    rope_scaling_type: -1,
    pooling_type: -1,
    attention_type: -1,
    flash_attn_type: -1,
    rope_freq_base: 0,
    rope_freq_scale: 0,
    yarn_ext_factor: -1,
    yarn_attn_factor: -1,
    yarn_beta_fast: -1,
    yarn_beta_slow: -1,
    yarn_orig_ctx: 0,
    defrag_thold: -1,
    type_k: 1,
    type_v: 1,
    embeddings: false,
    offload_kqv: true,
    no_perf: true,
    op_offload: true,
    swa_full: true,
    kv_unified: false,
    n_samplers: 0,
  },
  sizes: { model: 80, context: 160, batch: 56 },
} as const;

/**
 * Context parameters whose default in llama.cpp's tools (`common_params` in `common/common.h`, and llama-bench) differs from the
 * library's: our figures are set beside theirs. `swa_full` gives layers with a sliding window a cache of the whole context,
 * which changes last digits and takes memory.
 */
export const toolDefaults = { swa_full: false, no_perf: false } as const;

/** A line of llama.cpp's log. The text does not name its level. */
export interface LogLine {
  level: "information" | "warning" | "error";
  text: string;
}

/** `enum ggml_log_level`; 5 continues the line before. */
const logLevels: Record<number, LogLine["level"] | undefined> = { 2: "information", 3: "warning", 4: "error" };
const continued = 5;

/** Most warnings kept of one call: llama.cpp may warn of every token of a file. */
const mostWarnings = 2000;

const LogCallback = koffi.proto("void gguf_bench_log(int level, const char *text, void *data)");

export type Pointer = bigint;
export type Fields = Record<string, unknown>;

/** The C functions in use, bound. Calls are synchronous, but for one: an engine process has nothing else to do meanwhile. */
export interface Library {
  location: LibraryLocation;
  version: string;
  modelDefaults(): Fields;
  contextDefaults(): Fields;
  /**
   * Calls `work` and collects llama.cpp's warnings and errors meanwhile, line by line, and lines of information that match
   * `wanted`.
   */
  listen<T>(work: () => T, wanted?: RegExp): { result: T; lines: LogLine[] };
  loadModel(path: string, params: Fields): Pointer | null;
  freeModel(model: Pointer): void;
  modelSize(model: Pointer): bigint;
  modelParameters(model: Pointer): bigint;
  trainedContext(model: Pointer): number;
  hasEncoder(model: Pointer): boolean;
  hasDecoder(model: Pointer): boolean;
  isDiffusion(model: Pointer): boolean;
  /** Whether its memory is a state rather than a cache of tokens: Mamba, RWKV. */
  isRecurrent(model: Pointer): boolean;
  /** The Jinja template of the model's file, or null; `name`: another than the default one. */
  chatTemplate(model: Pointer, name: string | null): string | null;
  vocab(model: Pointer): Pointer;
  vocabSize(vocab: Pointer): number;
  /** `enum llama_vocab_type`: 1 SentencePiece, 2 byte-level BPE, 3 WordPiece, 4 unigram, 5 RWKV, 6 PLaMo-2; 0 none. */
  vocabularyType(vocab: Pointer): number;
  addsBos(vocab: Pointer): boolean;
  bos(vocab: Pointer): number;
  /** −1: it has none. */
  eos(vocab: Pointer): number;
  tokenize(
    vocab: Pointer,
    text: Buffer,
    length: number,
    out: Int32Array,
    max: number,
    special: boolean,
    parse: boolean,
  ): number;
  tokenToPiece(vocab: Pointer, token: number, out: Buffer, length: number, lstrip: number, special: boolean): number;
  /** Whether a generation ends with this token: of a text, of a turn … */
  isEndOfGeneration(vocab: Pointer, token: number): boolean;
  newContext(model: Pointer, params: Fields): Pointer | null;
  freeContext(context: Pointer): void;
  memory(context: Pointer): Pointer;
  clearMemory(memory: Pointer, data: boolean): void;
  /** Empties the positions from `from` to before `to` of a sequence; −1: from its start, to its end. */
  clearSequence(memory: Pointer, sequence: number, from: number, to: number): boolean;
  /** The positions from `from` to before `to` of a sequence belong to another one, too, from now on; −1: from its start, to its end. */
  shareSequence(memory: Pointer, sequence: number, other: number, from: number, to: number): void;
  decode(context: Pointer, batch: Fields): number;
  /** The same on another thread; contexts of one model, too, may decode at the same time. */
  decodeAside(context: Pointer, batch: Fields): Promise<number>;
  synchronize(context: Pointer): void;
  logits(context: Pointer): Pointer;
  systemInfo(): string;
  devices(): string[];
  /** The file of the CPU variant in use, e.g. `libggml-cpu-haswell.so`. */
  cpuLibrary(): string;
  /** `poll`: how eagerly its threads wait for the next graph, from 0 (asleep at once) to 100; default llama.cpp's 50. */
  newThreadpool(threads: number, poll?: number): Pointer | null;
  freeThreadpool(pool: Pointer): void;
  attachThreadpool(context: Pointer, generate: Pointer, batch: Pointer): void;
  loadAdapter(model: Pointer, path: string): Pointer | null;
  freeAdapter(adapter: Pointer): void;
  setAdapters(context: Pointer, adapters: BigUint64Array, count: number, scales: Float32Array): number;
}

/**
 * Loads a library, checks its ABI and starts its backends. Once per process: `build`, where it is given, says of two folders that
 * they hold the same bytes. `quiet`: without its log on stderr.
 */
export function loadLibrary(
  location: LibraryLocation,
  { quiet = false, build }: { quiet?: boolean; build?: string | undefined } = {},
): Library {
  if (loaded) {
    const same = build !== undefined && build === loaded.build;
    if (same || loaded.library.location.directory === location.directory) return loaded.library;
    throw new BenchError("library-missing", "two builds of llama.cpp cannot be used in one process");
  }
  loaded = { library: bindLibrary(location, quiet), build };
  return loaded.library;
}

let loaded: { library: Library; build: string | undefined } | undefined;

/** A remedy for a library of another release. */
const otherBuild = ({ origin }: LibraryLocation) =>
  origin === "prebuilt"
    ? "install the versions of @node-llama-cpp's packages that package.json pins"
    : `name a build of llama.cpp ${llamaRelease}; llama.cpp's own tools of any build are measured by \`backend: llama-tools\``;

type CType = Parameters<typeof koffi.sizeof>[0];

/** Binds a library's C functions: `F` is how each is called from here. */
export const binder =
  (library: LibraryHandle) =>
  <F extends (...values: never[]) => unknown>(name: string, result: CType, parameters: CType[]): F =>
    library.func(name, result, parameters) as unknown as F;

function bindLibrary(location: LibraryLocation, quiet: boolean): Library {
  const file = (name: string) => path.join(location.directory, name);
  // koffi resolves dependencies by name; loading them first by path makes the order of folders irrelevant.
  const load = (name: string) => {
    try {
      return koffi.load(file(name));
    } catch (cause) {
      throw new BenchError("library-missing", `${file(name)} cannot be loaded: ${messageOf(cause)}`, {
        hint:
          location.origin === "prebuilt"
            ? "run `npm install` again, or build one with `gguf-bench doctor --build`"
            : otherBuild(location),
        cause,
      });
    }
  };
  const base = load(location.ggmlBase);
  // libggml of a build without loadable back ends needs this one, and would look for it where it was linked.
  for (const name of fs.readdirSync(location.directory)) if (/^(lib)?ggml-cpu\.(so|dylib|dll)$/.test(name)) load(name);
  const ggml = load(location.ggml);
  const llama = load(location.llama);
  try {
    return bound(location, { base, ggml, llama }, quiet);
  } catch (cause) {
    if (cause instanceof BenchError) throw cause;
    throw new BenchError("library-abi", `${file(location.llama)} lacks a function: ${messageOf(cause)}`, {
      hint: otherBuild(location),
      cause,
    });
  }
}

function bound(
  location: LibraryLocation,
  { base, ggml, llama }: Record<"base" | "ggml" | "llama", LibraryHandle>,
  quiet: boolean,
): Library {
  const file = (name: string) => path.join(location.directory, name);

  const version = bindVersion(llama);
  if (version !== undefined && !sameRelease(version, llamaRelease))
    throw new BenchError(
      "library-version",
      `${file(location.llama)} is llama.cpp ${version}; this release of gguf-bench speaks ${llamaRelease}`,
      { hint: otherBuild(location) },
    );
  const bind = binder(llama);
  const bindGgml = binder(ggml);
  const bindBase = binder(base);
  const modelDefaults = bind<() => Fields>("llama_model_default_params", ModelParams, []);
  const contextDefaults = bind<() => Fields>("llama_context_default_params", ContextParams, []);
  const problems = abiProblems(modelDefaults(), contextDefaults());
  if (problems.length > 0)
    throw new BenchError(
      "library-abi",
      `${file(location.llama)} does not have the C interface of llama.cpp ${llamaRelease}: ${problems.slice(0, 4).join("; ")}`,
      { hint: otherBuild(location) },
    );

  const setLog = bind<(callback: unknown, data: null) => void>("llama_log_set", "void", [P, P]);
  // Any C function that takes nothing and does nothing will do as the callback.
  const silence = quiet ? base.symbol("ggml_time_init") : null;
  if (silence) setLog(silence, null);
  bindGgml<(folder: string) => void>("ggml_backend_load_all_from_path", "void", ["str"])(location.directory);
  bind<() => void>("llama_backend_init", "void", [])();
  const own = new Set(
    fs
      .readdirSync(location.directory)
      .flatMap((name) => (fs.existsSync(file(name)) ? fs.realpathSync(file(name)) : [])),
  );
  const stray = loadedFiles().find((one) => !own.has(one));
  if (stray !== undefined)
    throw new BenchError("library-unfit", `${file(location.llama)} computes with a library elsewhere, ${stray}`, {
      hint: "put all libraries of a build into one folder, or name the folder that it was linked for",
    });

  const deviceCount = bindGgml<() => number>("ggml_backend_dev_count", "size_t", []);
  const deviceAt = bindGgml<(index: number) => Pointer>("ggml_backend_dev_get", P, ["size_t"]);
  const deviceByType = bindGgml<(type: number) => Pointer>("ggml_backend_dev_by_type", P, ["int"]);
  const deviceName = bindBase<(device: Pointer) => string>("ggml_backend_dev_name", "str", [P]);
  const deviceDescription = bindBase<(device: Pointer) => string>("ggml_backend_dev_description", "str", [P]);
  const deviceRegistry = bindBase<(device: Pointer) => Pointer>("ggml_backend_dev_backend_reg", P, [P]);
  const procAddress = bindBase<(registry: Pointer, name: string) => Pointer>("ggml_backend_reg_get_proc_address", P, [
    P,
    "str",
  ]);
  const threadpoolDefaults = bindBase<(threads: number) => Fields>("ggml_threadpool_params_default", ThreadpoolParams, [
    "int",
  ]);

  // The thread pool lives in the CPU backend, which is loaded at run time: its functions come through its registry.
  const cpu = () => deviceRegistry(deviceByType(0));
  const newPool = koffi.proto("void *ggml_threadpool_new(ggml_threadpool_params *params)");
  const freePool = koffi.proto("void ggml_threadpool_free(void *pool)");

  const decode = bind<Library["decode"] & { async(...all: unknown[]): void }>("llama_decode", "int32_t", [P, Batch]);

  return {
    location,
    version: version ?? llamaRelease,
    modelDefaults,
    contextDefaults,
    listen: (work, wanted) => listen(work, wanted, setLog, silence),
    loadModel: bind("llama_model_load_from_file", P, ["str", ModelParams]),
    freeModel: bind("llama_model_free", "void", [P]),
    modelSize: (model) => BigInt(bind<(m: Pointer) => number | bigint>("llama_model_size", "uint64_t", [P])(model)),
    modelParameters: (model) =>
      BigInt(bind<(m: Pointer) => number | bigint>("llama_model_n_params", "uint64_t", [P])(model)),
    trainedContext: bind("llama_model_n_ctx_train", "int32_t", [P]),
    hasEncoder: bind("llama_model_has_encoder", "bool", [P]),
    hasDecoder: bind("llama_model_has_decoder", "bool", [P]),
    isDiffusion: bind("llama_model_is_diffusion", "bool", [P]),
    isRecurrent: bind("llama_model_is_recurrent", "bool", [P]),
    chatTemplate: bind("llama_model_chat_template", "str", [P, "str"]),
    vocab: bind("llama_model_get_vocab", P, [P]),
    vocabSize: bind("llama_vocab_n_tokens", "int32_t", [P]),
    vocabularyType: bind("llama_vocab_type", "int32_t", [P]),
    addsBos: bind("llama_vocab_get_add_bos", "bool", [P]),
    bos: bind("llama_vocab_bos", "int32_t", [P]),
    eos: bind("llama_vocab_eos", "int32_t", [P]),
    tokenize: bind("llama_tokenize", "int32_t", [P, P, "int32_t", P, "int32_t", "bool", "bool"]),
    tokenToPiece: bind("llama_token_to_piece", "int32_t", [P, "int32_t", P, "int32_t", "int32_t", "bool"]),
    isEndOfGeneration: bind("llama_vocab_is_eog", "bool", [P, "int32_t"]),
    newContext: bind("llama_init_from_model", P, [P, ContextParams]),
    freeContext: bind("llama_free", "void", [P]),
    memory: bind("llama_get_memory", P, [P]),
    clearMemory: bind("llama_memory_clear", "void", [P, "bool"]),
    clearSequence: bind("llama_memory_seq_rm", "bool", [P, "int32_t", "int32_t", "int32_t"]),
    shareSequence: bind("llama_memory_seq_cp", "void", [P, "int32_t", "int32_t", "int32_t", "int32_t"]),
    decode,
    decodeAside: (context, batch) =>
      new Promise((resolve, reject) => {
        decode.async(context, batch, (error: Error | null, code: number) => (error ? reject(error) : resolve(code)));
      }),
    synchronize: bind("llama_synchronize", "void", [P]),
    logits: bind("llama_get_logits", P, [P]),
    systemInfo: bind("llama_print_system_info", "str", []),
    devices: () =>
      Array.from({ length: Number(deviceCount()) }, (_, i) => {
        const device = deviceAt(i);
        return `${deviceName(device)}: ${deviceDescription(device).trim()}`;
      }),
    cpuLibrary: () => loadedCpuLibrary(location),
    newThreadpool: (threads, poll) => {
      const address = procAddress(cpu(), "ggml_threadpool_new");
      const parameters = { ...threadpoolDefaults(threads), ...definite({ poll }) };
      return address ? koffi.call(address, newPool, parameters) : null;
    },
    freeThreadpool: (pool) => {
      const address = procAddress(cpu(), "ggml_threadpool_free");
      if (address) koffi.call(address, freePool, pool);
    },
    attachThreadpool: bind("llama_attach_threadpool", "void", [P, P, P]),
    loadAdapter: bind("llama_adapter_lora_init", P, [P, "str"]),
    freeAdapter: bind("llama_adapter_lora_free", "void", [P]),
    setAdapters: bind("llama_set_adapters_lora", "int32_t", [P, P, "size_t", P]),
  };
}

let heard: LogLine[] = [];
/** Which lines of information are kept. */
let wantedLines: RegExp | undefined;
const unfinished = { level: 0, text: "" };
let listener: unknown;

/**
 * The log calls a JS function only inside `work`: calls from other threads would wait for this thread, which is inside
 * llama.cpp meanwhile. While a model is loaded or a context is made, llama.cpp logs from the calling thread.
 */
function listen<T>(
  work: () => T,
  wanted: RegExp | undefined,
  setLog: (callback: unknown, data: null) => void,
  otherwise: unknown,
) {
  listener ??= koffi.register(hear, koffi.pointer(LogCallback));
  heard = [];
  wantedLines = wanted;
  Object.assign(unfinished, { level: 0, text: "" });
  setLog(listener, null);
  try {
    const result = work();
    endLine();
    return { result, lines: heard };
  } finally {
    setLog(otherwise, null);
  }
}

function hear(level: number, text: string | null): void {
  if (level !== continued) {
    endLine();
    unfinished.level = level;
  }
  const kept = logLevels[unfinished.level];
  if (text === null || !kept || (kept === "information" && !wantedLines)) return;
  unfinished.text += text;
  if (text.endsWith("\n")) endLine();
}

function endLine(): void {
  const level = logLevels[unfinished.level];
  const text = unfinished.text.trim();
  unfinished.text = "";
  if (!level || text === "") return;
  if (level === "information" && !wantedLines?.test(text)) return;
  if (level === "error") echo(text);
  else if (heard.length >= mostWarnings) return;
  heard.push({ level, text });
}

/** Errors go to stderr at once: after a crash the parent reads the last ones from the pipe. */
function echo(line: string): void {
  try {
    fs.writeSync(2, `${line}\n`);
  } catch {
    // A full or closed pipe: the line is lost with the process alone.
  }
}

/** Differences between the structs above and what the library returns; empty when it is the library we know. */
export function abiProblems(model: Fields, context: Fields): string[] {
  const problems: string[] = [];
  const compare = (what: string, got: unknown, want: unknown) => {
    if (got !== want) problems.push(`${what} is ${got}, not ${want}`);
  };
  for (const [name, want] of Object.entries(expectedDefaults.model)) compare(name, model[name], want);
  for (const [name, want] of Object.entries(expectedDefaults.context)) compare(name, context[name], want);
  compare("sizeof llama_model_params", koffi.sizeof(ModelParams), expectedDefaults.sizes.model);
  compare("sizeof llama_context_params", koffi.sizeof(ContextParams), expectedDefaults.sizes.context);
  compare("sizeof llama_batch", koffi.sizeof(Batch), expectedDefaults.sizes.batch);
  return problems;
}

function bindVersion(llama: LibraryHandle): string | undefined {
  try {
    return binder(llama)<() => string>("llama_version", "str", [])();
  } catch {
    return undefined; // Some builds leave it out; the struct check below still stands.
  }
}

/** Builds that are no tagged release say `0.5.0-dev`; the structs are those of the number. */
const sameRelease = (a: string, b: string) => a.replace(/^v|-.*$/g, "") === b.replace(/^v|-.*$/g, "");

/** ggml picks the CPU variant itself and does not say which. */
function loadedCpuLibrary(location: LibraryLocation): string {
  const cpu = loadedFiles().find((file) => /ggml-cpu/.test(path.basename(file)));
  // Where no memory map tells, the folder's name has to do.
  return cpu === undefined ? path.basename(location.directory) : path.basename(cpu).replace(/\.so\..*$/, ".so");
}

/** The files of llama.cpp in a process, this one by default: Linux shows its memory map. Nothing elsewhere. */
export function loadedFiles(pid: number | "self" = "self"): string[] {
  try {
    const maps = fs.readFileSync(`/proc/${pid}/maps`, "utf8");
    return [
      ...new Set(Array.from(maps.matchAll(/ (\/.*\/lib(?:llama|ggml)[^/\n]*\.so[\d.]*)$/gm), ([, file]) => file!)),
    ];
  } catch {
    return [];
  }
}

/**
 * Linux: lets the kernel kill this process when its parent dies. A killed parent cannot tell its engines to stop, and an
 * engine inside a long decode would hold the model's memory until that ends.
 */
export function dieWithParent(): void {
  if (process.platform !== "linux") return;
  const setDeathSignal = 1;
  const libc = binder(koffi.load("libc.so.6"));
  const prctl = libc<(option: number, signal: number) => number>("prctl", "int", ["int", "unsigned long"]);
  prctl(setDeathSignal, os.constants.signals.SIGKILL);
}

/** Linux: this process becomes another program, with its environment. Returns where that cannot be started. */
export function become(file: string, args: readonly string[]): void {
  const libc = binder(koffi.load("libc.so.6"));
  const brokenPipe = 13;
  // Node takes no notice of it, and a program that is started inherits that: it is to end when nobody reads what it prints.
  libc<(signal: number, handler: null) => void>("signal", P, ["int", P])(brokenPipe, null);
  // Node marks its own streams to be closed then.
  const setFlags = 2;
  const fcntl = libc<(file: number, what: number, flags: number) => number>("fcntl", "int", ["int", "int", "int"]);
  for (const stream of [0, 1, 2]) fcntl(stream, setFlags, 0);
  const execv = libc<(file: string, values: (string | null)[]) => number>("execv", "int", [
    "str",
    koffi.pointer("str"),
  ]);
  execv(file, [file, ...args, null]);
}

/** A typed array's or buffer's address, for struct fields; the array must be kept referenced by the caller. */
export function address(data: NodeJS.ArrayBufferView): Pointer {
  return koffi.address(data) as Pointer;
}

/** Native memory as floats, without a copy; valid until the next decode. */
export function floatsAt(pointer: Pointer, count: number): Float32Array {
  return new Float32Array(koffi.view(pointer, count * 4));
}
