import pRetry from "p-retry";
import { z } from "zod";
import { afterWaiting } from "../../clock.js";
import { definite } from "../../definite.js";
import { BenchError, type ErrorCode } from "../../errors.js";
import { readable } from "../../harmless.js";

/** Bytes of one answer, far above what is ever asked for. */
const mostBytes = 32 * 2 ** 20;

/** Seconds without a byte in the middle of an answer. */
const longestPause = 120;

/** How long a server is asked again, in seconds: one that is gone or says it failed, and one that says it is loading or busy. */
export interface Patience {
  gone: number;
  busy: number;
}

/** While something is measured: a server may be started again meanwhile. */
export const measuring: Patience = { gone: 30, busy: 600 };
/** While a plan is made: whoever waits at the screen wants to know. */
export const planning: Patience = { gone: 1, busy: 60 };

export interface ClientOptions {
  /** Name of the environment variable that holds the key. */
  keyEnv: string;
  /** Seconds of a whole answer. */
  requestTimeout: number;
  patience: Patience;
  /** Told when the server is asked again, with the reason, a phrase. */
  waiting: (why: string) => void;
  /** Why the server will not come back; asked before it is asked again. */
  ended?: () => Promise<BenchError | undefined>;
}

/** A server said no: what was asked is at fault, not the way to it. */
export class Declined extends BenchError {
  constructor(
    readonly status: number,
    /** The server's own words. */
    readonly said: string,
    message: string,
    hint?: string,
  ) {
    super("server-refused", message, definite({ hint }));
  }
}

/** It may be otherwise when it is asked again. */
class Passing extends Error {
  constructor(
    readonly kind: keyof Patience,
    readonly failure: BenchError,
    /** Seconds that the server asks for. */
    readonly after?: number,
  ) {
    super(failure.message);
  }
}

/** What puts an answer together; `whole` is undefined while its end has not come. */
export interface Pieces<Answer> {
  take(piece: unknown): void;
  whole(): Answer | undefined;
}

type Reader<Result> = (response: Response, signal: AbortSignal) => Promise<Result>;

/** One server, by HTTP. Whatever it does, what comes out is an answer of the form that was asked for, or a BenchError. */
export class Client {
  /** How often the way to it was lost, and found again or not: what it held in memory may be gone. */
  losses = 0;
  readonly #key: string | undefined;

  constructor(
    /** Without /v1, and without a slash at the end. */
    readonly base: string,
    private readonly options: ClientOptions,
  ) {
    this.#key = process.env[options.keyEnv] || undefined;
  }

  /** Undefined where the server has no such thing. */
  async find<Form extends z.ZodType>(path: string, form: Form): Promise<z.output<Form> | undefined> {
    try {
      return await this.get(path, form);
    } catch (error) {
      if (error instanceof Declined && ![401, 403].includes(error.status)) return undefined;
      if (error instanceof BenchError && error.code === "server-failed") return undefined;
      throw error;
    }
  }

  get<Form extends z.ZodType>(path: string, form: Form): Promise<z.output<Form>> {
    return this.#ask(path, undefined, (response, signal) => this.#json(path, form, response, signal));
  }

  post<Form extends z.ZodType>(path: string, body: object, form: Form): Promise<z.output<Form>> {
    return this.#ask(path, body, (response, signal) => this.#json(path, form, response, signal));
  }

  /**
   * Reads an answer that comes in pieces: server-sent events, or one JSON from a server that does not stream. One that ends
   * before it is whole is asked for again.
   */
  stream<Answer>(path: string, body: object, form: () => Pieces<Answer>): Promise<Answer> {
    return this.#ask(path, body, async (response, signal) => {
      const { take, whole } = form();
      for await (const piece of this.#pieces(path, response, signal)) take(piece);
      const answer = whole();
      if (answer === undefined) throw this.#lost("it cut its answer short");
      return answer;
    });
  }

  #ask<Result>(path: string, body: object | undefined, read: Reader<Result>): Promise<Result> {
    const { patience, waiting, ended } = this.options;
    const started = performance.now();
    return pRetry(() => this.#once(path, body, read), {
      retries: 10_000,
      minTimeout: 250,
      maxTimeout: 5000,
      factor: 2,
      async shouldRetry({ error }) {
        if (!(error instanceof Passing) || (await ended?.())) return false;
        const { kind, after = 0 } = error;
        if ((performance.now() - started) / 1000 + after > patience[kind]) return false;
        waiting(error.message);
        await new Promise((resolve) => setTimeout(resolve, after * 1000));
        return true;
      },
    }).catch(async (error) => {
      throw (await ended?.()) ?? (error instanceof Passing ? error.failure : error);
    });
  }

  async #once<Result>(path: string, body: object | undefined, read: Reader<Result>): Promise<Result> {
    const over = new AbortController();
    const { requestTimeout } = this.options;
    const cancel = afterWaiting(requestTimeout, () => {
      const message = `${this.base} gave no whole answer to ${path} in ${requestTimeout} s`;
      over.abort(new BenchError("timeout", message, { hint: "raise `requestTimeout` if the server is just slow" }));
    });
    try {
      const response = await this.#fetch(path, body, over.signal);
      if (!response.ok) throw await this.#refusal(path, response, over.signal);
      return await read(response, over.signal);
    } catch (error) {
      over.signal.throwIfAborted();
      throw this.#understood(error);
    } finally {
      cancel();
      over.abort();
    }
  }

  /** Follows where the same host sends on, a few times. */
  async #fetch(path: string, body: object | undefined, signal: AbortSignal): Promise<Response> {
    let url = new URL(this.base + path);
    for (let hop = 0; hop < 4; hop++) {
      const response = await fetch(url, {
        method: body ? "POST" : "GET",
        redirect: "manual",
        signal,
        headers: {
          accept: "application/json",
          ...(body ? { "content-type": "application/json" } : {}),
          ...(this.#key ? { authorization: `Bearer ${this.#key}` } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const to = response.headers.get("location");
      if (response.status < 300 || response.status >= 400 || to === null) return response;
      await response.body?.cancel();
      const next = new URL(to, url);
      if (next.origin !== url.origin)
        throw new BenchError("server-refused", `${this.base} sends on to another host, ${next.host}`, {
          hint: `questions and keys go to the named host alone: write ${next.origin} if that is meant`,
        });
      url = next;
    }
    throw new BenchError("server-failed", `${this.base}${path} sends on in a circle`, { hint: "check its address" });
  }

  async #refusal(path: string, response: Response, signal: AbortSignal): Promise<Error> {
    const { status } = response;
    const words = wordsIn(await this.#text(response, signal).catch(() => ""));
    const said = this.#clean(words);
    const message = `${this.base} answered ${path} with ${status}${said ? `: ${said}` : ""}`;
    if (status === 401 || status === 403) {
      const { keyEnv } = this.options;
      const hint = this.#key
        ? `the key in ${keyEnv} is not the server's`
        : `set ${keyEnv} to its key, or name another variable in \`keyEnv\``;
      return new Declined(status, said, `${this.base} wants a key (${status})`, hint);
    }
    if (status === 429 || status === 503)
      return new Passing(
        "busy",
        failed(message, "it is loading or overloaded: wait, and run the same command again"),
        afterOf(response),
      );
    if (status >= 500)
      return new Passing(
        "gone",
        failed(message, "its own log says more; the same command goes on from here"),
        afterOf(response),
      );
    const hint = status === 404 ? "is this the address of an OpenAI-compatible server?" : "its own log may say more";
    return new Declined(status, said, message, hint);
  }

  /** What `fetch` and the reading of a body throw, told for the user. */
  #understood(error: unknown): unknown {
    if (error instanceof BenchError || error instanceof Passing) return error;
    const { code, name, message } = causeOf(error);
    if (
      code === "ECONNREFUSED" ||
      code === "ECONNRESET" ||
      code === "EPIPE" ||
      code === "UND_ERR_SOCKET" ||
      nowhere.test(code) ||
      name === "TypeError"
    ) {
      this.losses++;
      const unreachable = (why: string, hint: string) =>
        new BenchError("server-unreachable", `${this.base} cannot be reached: ${why}`, { hint });
      if (code === "ENOTFOUND" || code === "EAI_AGAIN")
        return unreachable("its name is not known", "check the address");
      if (code === "ECONNREFUSED")
        return new Passing(
          "gone",
          unreachable("nothing listens there", "start the server, or check the port; then run the same command again"),
        );
      if (nowhere.test(code))
        return new Passing(
          "gone",
          unreachable(`no machine answers there (${code})`, "check the address, and the network on the way to it"),
        );
      // `fetch` itself refuses the ports of other services.
      if (message === "bad port")
        return unreachable(
          `its port ${new URL(this.base).port} belongs to another service, and is asked nothing`,
          "check the port, or start the server on another, such as 8080",
        );
      if (/^HPE_/.test(code))
        return unreachable("what listens there does not speak HTTP", "check the port, and whether it wants https://");
      if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
        return unreachable("what listens there does not speak https", "write http:// in its address");
      if (/CERT|TLS|SSL/.test(code))
        return unreachable(`its certificate is not trusted (${code})`, "name a certificate in NODE_EXTRA_CA_CERTS");
      if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT")
        return new BenchError("timeout", `${this.base} gave no sign of life for 300 s`, {
          hint: "ask it for less at a time, or free its machine",
        });
      return this.#lost(`the connection was lost${code ? ` (${code})` : ""}`);
    }
    return error;
  }

  #lost(what: string): Passing {
    const hint =
      "it may have crashed or run out of memory, and its log says why: start it again, and run the same command again";
    return new Passing("gone", new BenchError("server-unreachable", `${this.base}: ${what}`, { hint }));
  }

  async #json<Form extends z.ZodType>(
    path: string,
    form: Form,
    response: Response,
    signal: AbortSignal,
  ): Promise<z.output<Form>> {
    return this.parsed(path, form, this.#parse(path, await this.#text(response, signal)));
  }

  /** An answer in its form. */
  parsed<Form extends z.ZodType>(path: string, form: Form, answer: unknown): z.output<Form> {
    const read = form.safeParse(answer);
    if (read.success) return read.data;
    const [issue] = read.error.issues;
    const where = issue && issue.path.length > 0 ? ` at ${issue.path.join(".")}` : "";
    throw failed(
      `${this.base} answered ${path} in another form than it should${where}: ${issue?.message ?? ""}`,
      "is it the server that is meant, and not too old?",
    );
  }

  #parse(path: string, text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      const begin = this.#clean(readable(text, { length: 60 }));
      throw failed(
        `${this.base} answered ${path} with no JSON${begin ? `: ${begin}` : ""}`,
        "is this the address of an OpenAI-compatible server?",
      );
    }
  }

  async *#pieces(path: string, response: Response, signal: AbortSignal): AsyncGenerator<unknown> {
    if (!/event-stream/i.test(response.headers.get("content-type") ?? "")) {
      yield this.#parse(path, await this.#text(response, signal));
      return;
    }
    let rest = "";
    for await (const text of this.#chunks(response, signal)) {
      const lines = (rest + text).split(/\r\n|\n|\r/);
      rest = lines.pop()!;
      for (const line of lines) {
        const [, name, data] = line.match(/^(data|error): ?(.*)$/) ?? [];
        if (data === undefined) continue;
        if (data === "[DONE]") return;
        const piece = this.#parse(path, data);
        const said = this.#clean(wordsIn(data));
        if (name === "error" || (typeof piece === "object" && piece !== null && "error" in piece))
          throw new Passing(
            "gone",
            failed(
              `${this.base} broke off its answer: ${said}`,
              "its own log says more; the same command goes on from here",
            ),
          );
        yield piece;
      }
    }
  }

  async #text(response: Response, signal: AbortSignal): Promise<string> {
    let all = "";
    for await (const text of this.#chunks(response, signal)) all += text;
    return all;
  }

  async *#chunks(response: Response, signal: AbortSignal): AsyncGenerator<string> {
    const tooLong = () =>
      failed(
        `${this.base} gives an answer without end: more than ${mostBytes / 2 ** 20} MiB`,
        "it is not the server that is meant, or it is broken",
      );
    if (Number(response.headers.get("content-length")) > mostBytes) throw tooLong();
    const reader = response.body?.getReader();
    if (!reader) return;
    const decoder = new TextDecoder();
    let bytes = 0;
    try {
      for (;;) {
        const { done, value } = await withoutPause(reader.read(), () =>
          failed(`${this.base} stopped in the middle of an answer for ${longestPause} s`, "its own log may say why"),
        );
        signal.throwIfAborted();
        if (done) break;
        bytes += value.length;
        if (bytes > mostBytes) throw tooLong();
        yield decoder.decode(value, { stream: true });
      }
      const rest = decoder.decode();
      if (rest) yield rest;
    } finally {
      await reader.cancel().catch(() => {});
    }
  }

  /** A server may repeat the key that it was sent. */
  #clean(text: string): string {
    return this.#key ? text.replaceAll(this.#key, "…") : text;
  }
}

const failed = (message: string, hint: string, code: ErrorCode = "server-failed") =>
  new BenchError(code, message, { hint });

/** Codes of connections that never came about. */
const nowhere = /^(EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|EADDRNOTAVAIL|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/;

/** The cause that Node names beneath `fetch failed`: its code where it has one, and the innermost message. */
function causeOf(error: unknown): { code: string; name: string; message: string } {
  const name = error instanceof Error ? error.name : "";
  const seen: Error[] = [];
  for (let one: unknown = error; one instanceof Error && !seen.includes(one); one = one.cause) {
    seen.push(one);
    // Of a name with several addresses, each has its own error.
    const [first = one]: unknown[] = one instanceof AggregateError ? one.errors : [];
    if (first instanceof Error && "code" in first && typeof first.code === "string")
      return { code: first.code, name, message: first.message };
  }
  return { code: "", name, message: seen.at(-1)?.message ?? "" };
}

const words = z.union([z.string(), z.looseObject({ message: z.string() }).transform(({ message }) => message)]);
/** Errors as llama-server, vLLM, FastAPI and LM Studio tell them. */
const errorForm = z.union([
  z.looseObject({ error: words }).transform(({ error }) => error),
  z.looseObject({ detail: words }).transform(({ detail }) => detail),
  words,
]);

/** The message within an error's JSON; else the text, where that is no page. */
function wordsIn(text: string): string {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    // Plain text, or a page.
  }
  const read = errorForm.safeParse(said);
  if (!read.success && /^\s*</.test(text)) return "";
  return readable(read.success ? read.data : text, { length: 110 });
}

/** Seconds until the server wants to be asked again: a number, or a date. */
function afterOf(response: Response): number | undefined {
  const said = response.headers.get("retry-after");
  if (said === null) return undefined;
  const seconds = /^\d+$/.test(said.trim()) ? Number(said) : (Date.parse(said) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

async function withoutPause<Result>(work: Promise<Result>, late: () => Error): Promise<Result> {
  let cancel = () => {};
  const pause = new Promise<never>((_, reject) => {
    cancel = afterWaiting(longestPause, () => reject(late()));
  });
  try {
    return await Promise.race([work, pause]);
  } finally {
    cancel();
  }
}
