import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { EngineFacts, VariantSpec } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import { afterWaiting } from "../clock.js";
import { definite } from "../definite.js";
import { BenchError, type Failure, fromFailure } from "../errors.js";
import { physicalCores, thisMachine } from "../machine.js";
import type {
  EngineWarning,
  Executor,
  MeasureReply,
  MeasureRequest,
  OpenedEngine,
  OpenedVariant,
  OpenOptions,
  Place,
  RecordRequest,
} from "./executor.js";

export type ToEngine =
  | { type: "open"; variant: VariantSpec; others: VariantSpec[]; scratch?: { limit?: number } }
  /** A part of the questions of the request that follows: a message of all of them would take several times their memory. */
  | { type: "items"; items: unknown[]; from: number }
  | { type: "measure"; request: MeasureRequest }
  | { type: "record"; request: RecordRequest }
  | { type: "stop" }
  | { type: "close" };

export type ToParent =
  | { type: "opened"; facts: EngineFacts }
  | MeasureReply
  /** What the engine does from now on. */
  | { type: "doing"; step: string }
  | { type: "stopped" }
  | { type: "failed"; failure: Failure };

/** Questions in one message. */
const atOnce = 500;

const program = fileURLToPath(new URL("./engine-process.js", import.meta.url));

/** Engine processes run here, so this process can tell without starting one. */
export async function localPlace(variant: Pick<VariantSpec, "backend" | "model" | "settings">): Promise<Place> {
  return { engine: await (await findBackend(variant.backend)).version(variant), machine: thisMachine() };
}

/**
 * A process of its own for every variant: a native crash or the kernel's out-of-memory killer costs one job, and all
 * memory comes back.
 */
export function childExecutor(): Executor {
  const open = new Set<EngineProcess>();
  // Started while the plan is still being made; the first engine need not wait for it.
  let spare: EngineProcess | undefined = new EngineProcess();
  open.add(spare);
  let stopped = false;
  return {
    place: localPlace,
    async open(variant, options) {
      // A stop may come between two engines of one job: while the first is closed to make room, say.
      if (stopped) throw new BenchError("stopped", `the engine of ${variant.name} was not opened any more`);
      const engine = spare ?? new EngineProcess();
      spare = undefined;
      open.add(engine);
      await engine.open(variant, options);
      return engine;
    },
    stop() {
      stopped = true;
      for (const engine of open) engine.stop();
    },
    async close() {
      stopped = true;
      for (const engine of open) engine.kill();
      await Promise.all([...open].map((engine) => engine.gone));
    },
  };
}

/** Milliseconds that an engine may take for the item at hand when the user stops: a group of windows of a large model takes minutes. */
const stopPatience = 3000;

const lessMemory = "take a smaller quantization or context, or free memory, and run the same command again";

/** How much of an engine's log is kept for an error message. */
const keptLog = 64 * 1024;

class EngineProcess implements OpenedEngine {
  facts!: EngineFacts;
  warnings: EngineWarning[] = [];
  others: OpenedVariant[] = [];
  alive = true;
  readonly gone: Promise<void>;
  readonly #process: ChildProcess;
  #variant: VariantSpec | undefined;
  #timeout = Infinity;
  #step = "";
  #log = "";
  #inbox: ToParent[] = [];
  #wake: (() => void) | undefined;
  #ended: string | undefined;
  #closing = false;

  constructor() {
    this.#process = fork(program, {
      // llama.cpp logs to stderr; a log that is read from a pipe survives a crash.
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      serialization: "advanced",
      // A crash prints its own message; the debugger that ggml would call for a backtrace is slow and may hang.
      // Models that decode side by side each take a thread of Node's pool.
      env: { UV_THREADPOOL_SIZE: String(Math.max(4, physicalCores())), ...process.env, GGML_NO_BACKTRACE: "1" },
      execArgv: ["--max-semi-space-size=2", "--no-warnings"],
    });
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-keptLog);
    });
    this.#process.on("message", (message: ToParent) => {
      this.#inbox.push(message);
      this.#wake?.();
    });
    this.gone = new Promise((resolve) => {
      const end = (how: string) => {
        this.alive = false;
        this.#ended ??= how;
        this.#wake?.();
        resolve();
      };
      // "close" comes after the log has been read to its end.
      this.#process.on("close", (code, signal) => end(signal ?? `exit code ${code}`));
      this.#process.on("error", (error) => end(error.message));
    });
  }

  async open(variant: VariantSpec, options: OpenOptions): Promise<void> {
    try {
      await this.become(variant, options);
    } catch (error) {
      this.kill();
      throw error;
    }
  }

  async become(variant: VariantSpec, { timeout, others: beside = [], scratch }: OpenOptions): Promise<void> {
    const before = this.#variant;
    this.#variant = variant;
    this.#timeout = timeout;
    this.#send({ type: "open", variant, others: beside, ...definite({ scratch }) });
    const [warnings, others]: [EngineWarning[], OpenedVariant[]] = [[], []];
    try {
      for (;;) {
        const message = await this.#receive("loading the model");
        if (message.type === "warning") warnings.push(message);
        if (message.type === "opened-variant") others.push(message);
        if (message.type !== "opened") continue;
        Object.assign(this, { facts: message.facts, warnings, others });
        return;
      }
    } catch (error) {
      this.#variant = before;
      throw error;
    }
  }

  async *measure(request: MeasureRequest): AsyncGenerator<MeasureReply> {
    const { dataset } = request;
    if (dataset && "items" in dataset && Array.isArray(dataset.items)) {
      const { items, ...rest } = dataset;
      for (let from = 0; from === 0 || from < items.length; from += atOnce)
        await this.#sent({ type: "items", items: items.slice(from, from + atOnce), from });
      yield* this.#replies({ type: "measure", request: { ...request, dataset: rest } }, `measuring ${request.kind}`);
    } else yield* this.#replies({ type: "measure", request }, `measuring ${request.kind}`);
  }

  record(request: RecordRequest): AsyncGenerator<MeasureReply> {
    return this.#replies({ type: "record", request }, `writing ${request.path}`);
  }

  async *#replies(asked: ToEngine, doing: string): AsyncGenerator<MeasureReply> {
    this.#step = "";
    this.#send(asked);
    for (;;) {
      const message = await this.#receive(doing);
      if (message.type === "stopped") return;
      if (message.type === "opened" || message.type === "doing" || message.type === "failed") continue;
      yield message;
      if (message.type === "complete") return;
    }
  }

  stop(): void {
    this.#send({ type: "stop" });
    const late = setTimeout(() => this.kill(), stopPatience);
    void this.gone.then(() => clearTimeout(late));
  }

  kill(): void {
    this.#closing = true;
    // Dead from now on, not only once the exit is reported: the next job must open a new engine.
    this.alive = false;
    this.#process.kill("SIGKILL");
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#send({ type: "close" });
    const late = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
    await this.gone;
    clearTimeout(late);
  }

  /**
   * Waits until the pipe has taken the message: what waits for it is in memory twice. An engine that does not read is found out when its
   * answer does not come.
   */
  async #sent(message: ToEngine): Promise<void> {
    if (!this.#process.connected) return;
    let cancel = () => {};
    const patience = new Promise<void>((over) => {
      cancel = afterWaiting(this.#timeout, over);
    });
    const taken = new Promise<void>((over) => this.#process.send(message, () => over()));
    await Promise.race([taken, this.gone, patience]);
    cancel();
  }

  #send(message: ToEngine): void {
    if (this.#process.connected) this.#process.send(message, () => {}); // the end of the process says more than EPIPE
  }

  async #receive(doing: string): Promise<ToParent> {
    const message = await this.#next(doing);
    if (message.type === "failed") throw fromFailure(message.failure);
    if (message.type === "doing") this.#step = message.step;
    return message;
  }

  async #next(doing: string): Promise<ToParent> {
    for (;;) {
      const message = this.#inbox.shift();
      if (message) return message;
      if (this.#ended !== undefined) throw this.#death(doing);
      let cancel = () => {};
      const timedOut = await new Promise<boolean>((resolve) => {
        this.#wake = () => resolve(false);
        cancel = afterWaiting(this.#timeout, () => resolve(true));
      });
      cancel();
      this.#wake = undefined;
      if (timedOut && this.#inbox.length === 0) {
        this.kill();
        throw new BenchError("timeout", `${this.#name} gave no sign of life for ${this.#timeout} s while ${doing}`, {
          hint: "raise `timeout` in the benchmark file if the machine is just slow",
        });
      }
    }
  }

  get #name(): string {
    return `the engine of ${this.#variant?.name ?? "?"}`;
  }

  #death(doing: string): BenchError {
    const how = this.#ended!;
    if (this.#closing) return new BenchError("stopped", `${this.#name} was stopped while ${doing}`);
    const step = this.#step === "" || this.#step === doing ? "" : ` (${this.#step})`;
    if (how === "SIGKILL")
      return new BenchError(
        "engine-killed",
        `${this.#name} was killed (SIGKILL) while ${doing}${step}, most likely for want of memory`,
        { hint: lessMemory },
      );
    const said = this.#lastWords();
    const hint = /bad_alloc|alloc\w* failed|failed to alloc|out of memory/i.test(said)
      ? lessMemory
      : this.#step.startsWith("tokenizing") && said === ""
        ? "one long run of characters without a break (base64, minified code) overflows llama.cpp's tokenizer: take such runs out of the text"
        : "the same command measures this cell again; if it crashes again, the file or this build of llama.cpp is at fault";
    return new BenchError(
      "engine-crashed",
      `${this.#name} crashed (${how}) while ${doing}${step}${said ? `: ${said}` : ""}`,
      { hint },
    );
  }

  /** The cause of a crash as it was printed: the failed assertion, what C++ threw, or else the last error of llama.cpp. */
  #lastWords(): string {
    const lines = this.#log.split("\n").map((line) => line.trim());
    const fatal = lines.findLast((line) =>
      /GGML_(ASSERT|ABORT)|^\s*what\(\):|fatal error|^terminate called/.test(line),
    );
    const error = fatal ?? lines.findLast((line) => /^[\w:~]+: (error|failed|unable|cannot|could not)\b/i.test(line));
    return (error ?? "")
      .replace(/^(\S*[/\\])?(\S+:\d+: )/, "$2")
      .replace(/[.\s]+$/, "")
      .slice(0, 200);
  }
}
