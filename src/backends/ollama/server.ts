import { type AbortableAsyncIterator, Ollama } from "ollama";
import pLimit, { type LimitFunction } from "p-limit";
import pRetry from "p-retry";
import { z } from "zod";
import { BenchError } from "../../errors.js";
import { readable } from "../../harmless.js";
import { listenerOn } from "../../machine.js";
import { patientFetch } from "./http.js";
import type { OllamaSettings } from "./settings.js";

/** What one answer may hold: text of a million tokens. */
const mostBytes = 64 * 1024 * 1024;

/** Waits of 0.5, 1, 2, 4 and 8 s: a server that is started anew is back by then. */
const retries = { retries: 5, minTimeout: 500, factor: 2 };

const forms = {
  version: z.object({ version: z.string() }),
  tags: z.object({
    models: z.array(z.object({ name: z.string(), digest: z.string(), size: z.number().optional() })).nullish(),
  }),
  show: z.object({
    modelfile: z.string().default(""),
    template: z.string().default(""),
    parameters: z.string().default(""),
    system: z.string().default(""),
    messages: z.array(z.unknown()).nullish(),
    remote_host: z.string().optional(),
    model_info: z.record(z.string(), z.unknown()).nullish(),
  }),
  ps: z.object({ models: z.array(z.object({ name: z.string(), digest: z.string() })).nullish() }),
};

const tokenForm = z.object({ token: z.string(), logprob: z.number() });

/** Durations are nanoseconds; a count or duration of 0 is left out. */
const answerForm = z.object({
  response: z.string().default(""),
  thinking: z.string().optional(),
  message: z.object({ content: z.string().default(""), thinking: z.string().optional() }).optional(),
  done: z.boolean().default(false),
  done_reason: z.string().optional(),
  load_duration: z.number().default(0),
  prompt_eval_count: z.number().default(0),
  prompt_eval_duration: z.number().default(0),
  eval_count: z.number().default(0),
  eval_duration: z.number().default(0),
  logprobs: z.array(tokenForm.extend({ top_logprobs: z.array(tokenForm).nullish() })).nullish(),
  _debug_info: z.object({ rendered_template: z.string() }).optional(),
});

export type ServerAnswer = z.output<typeof answerForm>;
export type ShownModel = z.output<typeof forms.show>;

/** Of a request, besides what `OllamaServer` adds to each. */
export interface ServerRequest {
  /** Sampling and what it ends with; the settings of the runner are added. */
  options: Record<string, unknown>;
  [key: string]: unknown;
}

/** Not those of its log, its keys, and where models are. */
const heard =
  /^(OLLAMA_(NUM_PARALLEL|KV_CACHE_TYPE|FLASH_ATTENTION|LLM_LIBRARY|CONTEXT_LENGTH|SCHED_SPREAD|GPU_OVERHEAD|NEW_ENGINE|VULKAN)|GGML_\w+|LLAMA_ARG_\w+|\w+_VISIBLE_DEVICES)$/;

/** What the server itself said is wrong. */
class ServerRefusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** A server of Ollama, and one of its models. */
export class OllamaServer {
  /** Its address, without user and password. */
  readonly address: string;
  /** Whether it runs on this machine. */
  readonly local: boolean;
  readonly limit: LimitFunction;
  readonly #client: Ollama;
  /** Ends with `close`. */
  readonly #closing = new AbortController();

  constructor(
    private readonly settings: Pick<OllamaSettings, "url" | "requestTimeout" | "concurrency" | "keepAlive">,
    /** The name that the server knows. */
    readonly model: string,
    /** What its runner is started with (num_ctx …). */
    private readonly runner: Record<string, unknown> = {},
  ) {
    const url = serverUrl(settings.url, process.env.OLLAMA_HOST);
    const { username, password } = url;
    url.username = "";
    url.password = "";
    this.address = url.href.replace(/\/$/, "");
    this.local = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
    this.limit = pLimit(settings.concurrency);
    const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
    this.#client = new Ollama({
      host: this.address,
      fetch: this.#fetch,
      ...(username || password ? { headers: { authorization: `Basic ${basic}` } } : {}),
    });
  }

  /**
   * The variables that it was started with and that decide what its runner does; undefined for a server that cannot be seen from
   * here.
   */
  environment(): Record<string, string> | undefined {
    const { port, protocol } = new URL(this.address);
    const all = this.local ? listenerOn(Number(port || (protocol === "https:" ? 443 : 80)))?.environment() : undefined;
    return all && Object.fromEntries(Object.entries(all).filter(([name, value]) => heard.test(name) && value !== ""));
  }

  async version(): Promise<string> {
    return (await this.#asked("version", () => this.#client.version())).version;
  }

  async models(): Promise<{ name: string; digest: string }[]> {
    return (await this.#asked("tags", () => this.#client.list())).models ?? [];
  }

  async running(): Promise<{ name: string; digest: string }[]> {
    return (await this.#asked("ps", () => this.#client.ps())).models ?? [];
  }

  async show(): Promise<ShownModel> {
    return this.#asked("show", () => this.#client.show({ model: this.model }));
  }

  /** The whole answer to a prompt, or to a conversation. Asked again where the server or its runner goes away. */
  generate({
    options,
    ...request
  }: ServerRequest & ({ prompt: string } | { messages: readonly object[] })): Promise<ServerAnswer> {
    return this.#retried(async () => {
      const asked = { ...this.#common(options), ...request, stream: false } as never;
      const answer: object =
        "messages" in request ? await this.#client.chat(asked) : await this.#client.generate(asked);
      return read(answerForm, answer);
    });
  }

  /**
   * The answer to a prompt, or to a conversation, piece by piece; `piece` says false when it has enough, and there is no final
   * answer then. Asked again from the start where the server or its runner goes away, after `again`.
   */
  stream(
    { options, ...request }: ServerRequest & ({ prompt: string } | { messages: readonly object[] }),
    { again, piece }: { again(): void; piece(answer: ServerAnswer): boolean },
  ): Promise<ServerAnswer | undefined> {
    return this.#retried(async () => {
      again();
      const asked = { ...this.#common(options), ...request, stream: true } as never;
      const pieces: AbortableAsyncIterator<object> =
        "messages" in request ? await this.#client.chat(asked) : await this.#client.generate(asked);
      try {
        for await (const each of pieces) {
          const answer = read(answerForm, each);
          if (answer.done) return answer;
          if (piece(answer)) continue;
          pieces.abort();
          return undefined;
        }
        throw new ServerRefusal(500, "its answer has no end");
      } catch (error) {
        // The client tells of an `error` line, which may come after a good beginning, in an Error without anything else.
        throw error instanceof Error && error.constructor === Error && !("code" in error)
          ? new ServerRefusal(500, error.message)
          : error;
      }
    });
  }

  /** A conversation as the server would give it to the model; undefined where it does not show that. */
  async rendered(messages: readonly object[], think: boolean | string): Promise<string | undefined> {
    const asked = {
      ...this.#common({ num_predict: 1 }),
      messages,
      think,
      stream: false,
      _debug_render_only: true,
    };
    const answer = await this.#retried(async () => answerForm.parse(await this.#client.chat(asked as never)));
    return answer._debug_info?.rendered_template;
  }

  /** Lets the model go from the server's memory. */
  async unload(): Promise<void> {
    await this.#client.generate({ model: this.model, prompt: "", keep_alive: 0, stream: false });
  }

  /** Ends the requests on their way. */
  close(): void {
    this.limit.clearQueue();
    this.#closing.abort();
  }

  #common(options: Record<string, unknown>) {
    return {
      model: this.model,
      keep_alive: keepAliveOf(this.settings.keepAlive),
      // A prompt that does not fit is refused rather than cut, and an answer ends where the context does.
      truncate: false,
      shift: false,
      options: { ...this.runner, ...options },
    };
  }

  #fetch: typeof fetch = async (input, init) => {
    const answer = await patientFetch({ seconds: this.settings.requestTimeout, bytes: mostBytes })(input, {
      ...init,
      signal: AbortSignal.any([this.#closing.signal, ...(init?.signal ? [init.signal] : [])]),
    });
    if (answer.ok) return answer;
    const text = await answer.text();
    throw new ServerRefusal(answer.status, errorIn(text) ?? readable(text, { length: 200 }));
  };

  async #asked<Form extends keyof typeof forms>(
    form: Form,
    ask: () => Promise<unknown>,
  ): Promise<z.output<(typeof forms)[Form]>> {
    try {
      return read(forms[form], await ask()) as z.output<(typeof forms)[Form]>;
    } catch (error) {
      // Any Ollama has these, whichever models it has.
      const lacks = error instanceof ServerRefusal && [404, 405, 501].includes(error.status) && form !== "show";
      throw lacks ? this.#other(error) : this.#told(error);
    }
  }

  #other(cause: unknown): BenchError {
    return new BenchError("server-failed", `what answers at ${this.address} is no Ollama server`, {
      hint: `set \`url\`, or OLLAMA_HOST, to where \`ollama serve\` listens, or name this server as openai:${this.address}/v1`,
      cause,
    });
  }

  async #retried<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    try {
      return await pRetry(
        async () => {
          try {
            return await ask();
          } catch (error) {
            // p-retry itself would take a TypeError for a fault of the program.
            throw error instanceof TypeError ? new Error(error.message, { cause: error }) : error;
          }
        },
        { ...retries, signal: this.#closing.signal, shouldRetry: ({ error }) => passing(error) },
      );
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** An error as a sentence and a remedy. */
  #told(error: unknown): unknown {
    if (error instanceof BenchError || this.#closing.signal.aborted) return error;
    const { model, address } = this;
    const cause = error;
    if (!(error instanceof ServerRefusal)) {
      const said = reason(error);
      if (error instanceof z.ZodError || error instanceof SyntaxError) return this.#other(error);
      if (/timeout/i.test(said))
        return new BenchError(
          "server-failed",
          `Ollama at ${address} gave no answer within ${this.settings.requestTimeout} s`,
          { hint: "raise `requestTimeout` where the server is just slow", cause },
        );
      return new BenchError("server-unreachable", `no Ollama answers at ${address}: ${unreached[said] ?? said}`, {
        hint: "start it with `ollama serve`, or set `url` or OLLAMA_HOST to where it runs, and run the same command again",
        cause,
      });
    }
    if (error.status === 404)
      return new BenchError("model-missing", `Ollama at ${address} has no model ${model}`, {
        hint: `\`ollama pull ${model}\` fetches it; \`ollama list\` names those that are there`,
        cause,
      });
    if (error.status === 401 || error.status === 403)
      return new BenchError("server-refused", `Ollama at ${address} refuses the request (${error.message})`, {
        hint: "put user and password into OLLAMA_HOST, http://user:password@host:port",
        cause,
      });
    if (memory.test(error.message))
      return new BenchError("out-of-memory", `Ollama cannot load ${model}: ${error.message}`, {
        hint: "take a smaller quantization or `contextLength`, or free memory, and run the same command again",
        cause,
      });
    return new BenchError("server-failed", `Ollama at ${address} failed with ${model}: ${error.message}`, {
      hint: "its log says more (`journalctl -u ollama`, ~/.ollama/logs); the same command asks again",
      cause,
    });
  }
}

/** Whether the server said that a prompt is longer than its context. */
export function tooLong(error: unknown): boolean {
  const { cause } = error instanceof BenchError ? error : { cause: undefined };
  return cause instanceof ServerRefusal && cause.status === 400 && /context|too long|exceed/i.test(cause.message);
}

/** Whether the server ended an answer that says one token for ever. */
export function repeated(error: unknown): boolean {
  return error instanceof BenchError && /token repeat limit/.test(reason(error.cause));
}

const memory = /memory|requires more/i;

const unreached: Record<string, string> = {
  ECONNREFUSED: "nothing listens there",
  ENOTFOUND: "its name is not known",
  EAI_AGAIN: "its name is not known",
};

/** Whether the same request may succeed a little later. */
function passing(error: unknown): boolean {
  if (error instanceof z.ZodError || error instanceof SyntaxError) return false;
  const said = reason(error);
  if (/token repeat limit|timeout|sends on to|has more than/i.test(said)) return false;
  if (error instanceof ServerRefusal) return (error.status >= 500 || error.status === 429) && !memory.test(said);
  return true;
}

/** The innermost cause's code or message, one line. */
function reason(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  const { code, name, message } = inner as { code?: unknown; name?: string; message?: string };
  if (name === "TimeoutError") return "timeout";
  return typeof code === "string" ? code : String(message ?? inner);
}

function read<Form extends z.ZodType>(form: Form, answer: unknown): z.output<Form> {
  return form.parse(answer);
}

function errorIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}

/** `keep_alive` is a text with a unit, or a number of seconds. */
const keepAliveOf = (said: string) => (/^-?[\d.]+$/.test(said) ? Number(said) : said);

/**
 * `http://host:port` as Ollama's own tools read OLLAMA_HOST: scheme and port may be left out, and the address on which a server
 * listens to everybody is asked as this machine. Throws a BenchError `config`.
 */
export function serverUrl(setting: string | undefined, environment: string | undefined): URL {
  const said = (setting ?? environment ?? "").trim() || "http://127.0.0.1:11434";
  const whole = /^[a-z]+:\/\//i.test(said) ? said : `http://${said.startsWith(":") ? `127.0.0.1${said}` : said}`;
  if (!URL.canParse(whole) || !/^https?:/i.test(whole))
    throw new BenchError("config", `${setting === undefined ? "OLLAMA_HOST" : "`url`"} is no address of a server`, {
      hint: "write http://127.0.0.1:11434, say",
    });
  const url = new URL(whole);
  if (!/^https?:\/\//i.test(said) && !/:\d+\/?$/.test(said)) url.port = "11434";
  if (url.hostname === "0.0.0.0" || url.hostname === "[::]") url.hostname = "127.0.0.1";
  return url;
}
