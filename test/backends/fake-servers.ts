import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll } from "vitest";
import { mockLaw } from "../../dist/backends/mock.js";
import type { Message } from "../../dist/chat/template.js";

/**
 * Servers that answer as their sources do, for those that cannot be had in a test: vLLM (vllm/entrypoints/openai) and LM
 * Studio (its documentation of the REST API v0). Their model is the mock's law over bytes, so every probability is known.
 */
export type FakeKind = "vllm" | "lm-studio" | "text-generation-webui";

/** What a fake does instead of its duty; it may answer an exchange by itself and return true. */
export type Twist = (
  path: string,
  body: Record<string, unknown>,
  response: ServerResponse,
  request: IncomingMessage,
) => boolean;

export interface FakeServer {
  url: string;
  /** Of each request, in order: its path, and what it was sent. */
  asked: { path: string; body: Record<string, unknown>; headers: IncomingMessage["headers"] }[];
  twist: Twist | undefined;
  close(): Promise<void>;
}

export const fakeSeed = 7;
const law = mockLaw({ seed: fakeSeed, damage: 0 });
const bos = 256;
/** The fakes' own answer to everything, a letter at a time. */
export const fakeAnswer = "The capital of France is Paris. It is large.";

export const logprobOf = (token: number) => (token === bos ? -16 * Math.LN2 : Math.log(law[token]!));

export async function fakeServer(kind: FakeKind, twist?: Twist): Promise<FakeServer> {
  const asked: FakeServer["asked"] = [];
  const http = createServer(async (request, response) => {
    const path = request.url!;
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = text ? JSON.parse(text) : {};
    asked.push({ path, body, headers: request.headers });
    if (fake.twist?.(path, body, response, request)) return;
    const said = answers[kind](path, body);
    if (said === "stream") return streamed(kind, path, body, response);
    response.writeHead(said.status ?? 200, { "content-type": "application/json" });
    response.end(JSON.stringify(said.body));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      http.closeAllConnections();
      http.close(() => resolve());
    });
  afterAll(close);
  const fake: FakeServer = { url: `http://127.0.0.1:${port}`, asked, twist, close };
  return fake;
}

/** A conversation by a template that knows no system message, and says nothing of it. */
function written({ messages, continue_final_message, chat_template_kwargs }: Record<string, unknown>): string {
  const turns = (messages as Message[]).filter(({ role }) => role !== "system");
  const text = turns.map(({ role, content }) => `[${role}]${content}`).join("\n");
  const thought = (chat_template_kwargs as Record<string, unknown>)?.enable_thinking === false ? "<think></think>" : "";
  return continue_final_message
    ? text.replace("[assistant]", `[assistant]${thought}`)
    : `${text}\n[assistant]${thought}`;
}

type Said = { status?: number; body: unknown } | "stream";

const answers: Record<FakeKind, (path: string, body: Record<string, unknown>) => Said> = {
  vllm(path, body) {
    if (path === "/v1/models")
      return {
        body: {
          object: "list",
          data: [
            {
              id: "fake/model",
              object: "model",
              created: 1,
              owned_by: "vllm",
              root: "fake/model",
              parent: null,
              max_model_len: 2048,
              permission: [],
            },
          ],
        },
      };
    if (path === "/version") return { body: { version: "0.11.0" } };
    if (path === "/tokenize") {
      const text = body.messages ? written(body) : String(body.prompt);
      const tokens = [...(body.add_special_tokens === false || body.messages ? [] : [bos]), ...Buffer.from(text)];
      return { body: { count: tokens.length, max_model_len: 2048, tokens, token_strs: null } };
    }
    if (path === "/detokenize") {
      const tokens = (body.tokens as number[]).filter((token) => token !== bos);
      return { body: { prompt: Buffer.from(tokens).toString() } };
    }
    if (path === "/v1/completions" && Array.isArray(body.prompt))
      return { body: echoed(body.prompt as number[], body) };
    if (path.endsWith("/completions")) return "stream";
    return { status: 404, body: { detail: "Not Found" } };
  },
  "lm-studio"(path) {
    if (path === "/v1/models")
      return {
        body: {
          object: "list",
          data: [
            { id: "small", object: "model", owned_by: "organization_owner" },
            { id: "large", object: "model", owned_by: "organization_owner" },
          ],
        },
      };
    if (path === "/api/v0/models")
      return {
        body: {
          object: "list",
          data: [
            {
              id: "small",
              object: "model",
              type: "llm",
              arch: "llama",
              compatibility_type: "gguf",
              quantization: "Q4_K_M",
              state: "loaded",
              max_context_length: 8192,
              loaded_context_length: 4096,
            },
            {
              id: "large",
              object: "model",
              type: "llm",
              arch: "llama",
              compatibility_type: "gguf",
              quantization: "Q4_K_M",
              state: "not-loaded",
              max_context_length: 8192,
            },
          ],
        },
      };
    if (path.endsWith("/completions")) return "stream";
    // It answers what it does not know with 200.
    return { body: { error: `Unexpected endpoint or method. (GET ${path})` } };
  },
  "text-generation-webui"(path) {
    if (path === "/v1/models")
      return {
        body: {
          object: "list",
          data: [
            { id: "one", object: "model", created: 0, owned_by: "user" },
            { id: "gpt-3.5-turbo", object: "model", created: 0, owned_by: "user" },
          ],
        },
      };
    if (path === "/v1/internal/model/info") return { body: { model_name: "one", lora_names: [] } };
    if (path.endsWith("/completions")) return "stream";
    return { status: 404, body: { detail: "Not Found" } };
  },
};

/** A prompt's log-probabilities as vLLM gives them, when it is asked for them. */
function echoed(prompt: number[], { echo, prompt_logprobs }: Record<string, unknown>) {
  const of = (token: number) => ({
    [token]: { logprob: logprobOf(token), rank: 1, decoded_token: String.fromCharCode(token) },
  });
  return {
    id: "cmpl-1",
    object: "text_completion",
    model: "fake/model",
    choices: [
      {
        index: 0,
        text: "",
        finish_reason: "length",
        stop_reason: null,
        logprobs: echo
          ? {
              text_offset: prompt.map((_, i) => i),
              token_logprobs: prompt.map((token, i) => (i === 0 ? null : logprobOf(token))),
              tokens: prompt.map((token) => `token_id:${token}`),
              top_logprobs: prompt.map(() => null),
            }
          : null,
        prompt_logprobs: prompt_logprobs === undefined ? null : prompt.map((token, i) => (i === 0 ? null : of(token))),
      },
    ],
    usage: { prompt_tokens: prompt.length, total_tokens: prompt.length, completion_tokens: 0 },
  };
}

/** A piece of a stream. */
export const event = (data: unknown) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

function streamed(kind: FakeKind, path: string, body: Record<string, unknown>, response: ServerResponse): void {
  const chat = path.includes("/chat/");
  const most = Number(body.max_tokens);
  const stops = [body.stop ?? []].flat() as string[];
  const at = Math.min(...stops.map((stop) => fakeAnswer.indexOf(stop)).filter((index) => index >= 0), Infinity);
  const whole = fakeAnswer.slice(0, Math.min(most, at));
  const finish = whole.length === most ? "length" : "stop";
  const stop_reason =
    kind === "vllm" && whole.length === at && finish === "stop"
      ? stops.find((stop) => fakeAnswer.indexOf(stop) === at)
      : null;
  const choice = (text: string, finish_reason: string | null) => ({
    choices: [
      {
        index: 0,
        ...(chat ? { delta: { content: text } } : { text }),
        finish_reason,
        stop_reason: finish_reason && stop_reason,
      },
    ],
  });
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const letter of whole) response.write(event(choice(letter, null)));
  response.write(event(choice("", finish)));
  const prompt_tokens = JSON.stringify(body.prompt ?? body.messages).length;
  response.write(
    event({
      choices: [],
      usage: { prompt_tokens, completion_tokens: whole.length, total_tokens: prompt_tokens + whole.length },
    }),
  );
  response.end(event("[DONE]"));
}
