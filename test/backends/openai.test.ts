import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type {
  Answer,
  ChunkLikelihood,
  Engine,
  GenerationRequest,
  OptionScores,
  Prompt,
} from "../../dist/backends/backend.js";
import { askedChunks } from "../../dist/backends/chunks.js";
import { findBackend } from "../../dist/backends/index.js";
import { Client, Declined } from "../../dist/backends/openai/client.js";
import { targetOf } from "../../dist/backends/openai/settings.js";
import { BenchError, describeError } from "../../dist/errors.js";
import { selfTest } from "../../dist/executors/self-test.js";
import { here, llamaServer, temporaryFolder } from "../support.js";
import { event, type FakeServer, fakeAnswer, fakeServer, logprobOf, type Twist } from "./fake-servers.js";
import { realServer } from "./real-server.js";

const folder = temporaryFolder();
const demo = join(import.meta.dirname, "../../datasets/demo/demo-v2-F16.gguf");

const openai = await findBackend("openai");

async function opened(model: string, settings: Record<string, unknown> = {}): Promise<Engine> {
  const located = await openai.locate({ model }, { baseDir: folder }, settings);
  if (located.state !== "ready") throw new Error("it is to be made first");
  const { facts, lora } = located;
  return openai.open({
    name: "v",
    backend: "openai",
    model: located.model,
    settings,
    lora,
    ...(facts ? { facts } : {}),
  });
}

async function all<One>(found: AsyncIterable<One>): Promise<One[]> {
  const list: One[] = [];
  for await (const one of found) list.push(one);
  return list;
}

/** The error of what must fail. */
async function failure(work: Promise<unknown>): Promise<BenchError> {
  const error = await work.then(
    () => undefined,
    (error) => error,
  );
  expect(error, describeError(error)).toBeInstanceOf(BenchError);
  return error;
}

const request: GenerationRequest = {
  done: new Set<string>(),
  maxTokens: 100,
  stop: [],
  temperature: 0,
  seed: 1,
  progress: () => {},
};
const answers = async (engine: Engine, prompts: Prompt[], more: Partial<GenerationRequest> = {}) =>
  (await all<Answer>(engine.generation!.answer(prompts, { ...request, ...more }))).sort((a, b) =>
    a.id < b.id ? -1 : 1,
  );

describe("which server is meant", () => {
  const target = (model: string, settings = {}) => {
    const { urls, name, kind } = targetOf(model, settings);
    return { urls, ...(name === undefined ? {} : { name }), ...(kind === undefined ? {} : { kind }) };
  };

  it.each([
    ["openai:http://127.0.0.1:8080", {}, { urls: ["http://127.0.0.1:8080"] }],
    ["openai:http://127.0.0.1:8080/v1/", {}, { urls: ["http://127.0.0.1:8080"] }],
    ["openai:https://host/api/v1#Qwen/Qwen3-8B", {}, { urls: ["https://host/api"], name: "Qwen/Qwen3-8B" }],
    ["openai:llama3:8b", { url: "http://h:1" }, { urls: ["http://h:1"], name: "llama3:8b" }],
    [
      "small",
      { url: ["http://h:1/v1", "http://i:2"], server: "vllm" },
      { urls: ["http://h:1", "http://i:2"], name: "small", kind: "vllm" },
    ],
  ])("%s", (model, settings, meant) => expect(target(model, settings)).toEqual(meant));

  it.each([
    ["openai:http://user:pw@h:1", {}, /takes no user, password or query/],
    ["openai:http://h:1/v1?key=abc", {}, /takes no user, password or query/],
    ["openai:http://h:99999", {}, /is no address/],
    [
      "openai:127.0.0.1:18732",
      {},
      /begins with http:\/\/ or https:\/\/\.\n.*rite openai:http:\/\/127\.0\.0\.1:18732\.$/,
    ],
    ["openai:ftp://h/v1", { url: "http://i:2" }, /begins with http:.*\n.*openai:http:\/\/h\/v1\.$/],
    ["openai:user:pw@h:1", {}, /begins with http:.*\n.*openai:http:\/\/HOST:PORT\/v1\.$/],
    ["openai:small", {}, /which server has it/],
    ["openai:http://h:1", { url: "http://i:2" }, /names a server, and so does a setting/],
    ["m.gguf", { server: { command: ["llama-server", "-m", "{model}"] } }, /on which port/],
  ])("%s with %j is refused", (model, settings, said) => {
    try {
      target(model, settings);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "config" });
      expect(`${(error as BenchError).message}\n${(error as BenchError).hint}`).toMatch(said);
      expect(describeError(error)).not.toMatch(/pw|abc|planted/);
    }
  });
});

/** A client that gives up soon. */
const clientOf = ({ url }: { url: string }, more: { requestTimeout?: number } = {}) =>
  new Client(url, {
    keyEnv: "GGUF_BENCH_TEST_KEY",
    requestTimeout: 20,
    patience: { gone: 1, busy: 3 },
    waiting: () => {},
    ...more,
  });

describe("a server that misbehaves is refused with a sentence, or asked again", () => {
  const always =
    (status: number, body: string, headers: Record<string, string> = {}): Twist =>
    (path, _, response) => {
      if (!path.includes("completions")) return false;
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
      return true;
    };
  const asking = async (twist: Twist, settings: Record<string, unknown> = {}) => {
    const fake = await fakeServer("lm-studio", twist);
    const engine = await opened(`openai:${fake.url}`, settings);
    return answers(engine, [{ id: "a", messages: [{ role: "user", content: "Hello" }] }]);
  };

  it("429 with Retry-After, then 500: both pass", async () => {
    const times: number[] = [];
    let count = 0;
    const [answer] = await asking((path, _, response) => {
      if (!path.includes("completions") || count >= 2) return false;
      times.push(performance.now());
      response.writeHead(++count === 1 ? 429 : 500, count === 1 ? { "retry-after": "1" } : {}).end('{"error":"busy"}');
      return true;
    });
    expect(answer).toMatchObject({ text: fakeAnswer, finish: "end" });
    expect(times[1]! - times[0]!).toBeGreaterThan(1000);
  });

  it("a connection that is reset in the middle of an answer: asked again, and nothing of the first part is left", async () => {
    let count = 0;
    const [answer] = await asking((path, _, response) => {
      if (!path.includes("completions") || count++ > 0) return false;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(event({ choices: [{ delta: { content: "The cap" } }] }));
      setTimeout(() => response.destroy(), 50);
      return true;
    });
    expect(answer).toMatchObject({ text: fakeAnswer });
  });

  it("an answer that is cut, with a clean end, is asked for again", async () => {
    let count = 0;
    const [answer] = await asking((path, _, response) => {
      if (!path.includes("completions") || count++ > 0) return false;
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(event({ choices: [{ delta: { content: "The cap" } }] }));
      return true;
    });
    expect(answer).toMatchObject({ text: fakeAnswer });
  });

  it.each<[string, Twist, RegExp, Record<string, unknown>?]>([
    ["no JSON", always(200, "<html>hello</html>"), /answered .* with no JSON: <html>/],
    [
      "JSON of another form",
      always(200, '{"choices":[{"text":7}]}'),
      /in another form than it should at choices\.0\.text/,
    ],
    ["400", always(400, '{"error":{"message":"no such sampler"}}'), /with 400: no such sampler/],
    ["401", always(401, '{"error":"who are you"}'), /wants a key/],
    [
      "a redirect to another host",
      always(307, "", { location: "http://203.0.113.7/v1/chat/completions" }),
      /sends on to another host, 203\.0\.113\.7/,
    ],
    ["a redirect in a circle", always(307, "", { location: "/v1/chat/completions" }), /in a circle/],
    ["a huge body, told", always(200, "{", { "content-length": "99999999999" }), /without end/],
    [
      "a huge body, untold",
      (path, _, response) => {
        if (!path.includes("completions")) return false;
        response.writeHead(200, { "content-type": "application/json" });
        const block = " ".repeat(2 ** 20);
        const more = () => {
          if (!response.destroyed) response.write(block, () => setImmediate(more));
        };
        more();
        return true;
      },
      /without end: more than 32 MiB/,
    ],
    [
      "an endless stream",
      (path, _, response) => {
        if (!path.includes("completions")) return false;
        response.writeHead(200, { "content-type": "text/event-stream" });
        const block = event({ choices: [{ delta: { content: "and ".repeat(1000) } }] }).repeat(50);
        const more = () => {
          if (!response.destroyed) response.write(block, () => setImmediate(more));
        };
        more();
        return true;
      },
      /without end: more than 32 MiB/,
    ],
    [
      "a slow stream that never ends",
      (path, _, response) => {
        if (!path.includes("completions")) return false;
        response.writeHead(200, { "content-type": "text/event-stream" });
        const timer = setInterval(() => response.write(event({ choices: [{ delta: { content: "a" } }] })), 50);
        response.on("close", () => clearInterval(timer));
        return true;
      },
      /no whole answer to .* in 1 s/,
      { requestTimeout: 1 },
    ],
    ["no answer", (path) => path.includes("completions"), /no whole answer to .* in 1 s/, { requestTimeout: 1 }],
  ])("%s", async (_, twist, said, settings) => {
    const error = await failure(asking(twist, settings));
    expect(error.message).toMatch(said);
    expect(error.message.length).toBeLessThan(200);
    expect(error.hint).toMatch(/\S/);
  });

  it("one that goes on failing: a sentence with its own words", async () => {
    const fake = await fakeServer("lm-studio", always(500, '{"error":{"message":"out of memory"}}'));
    const error = await failure(clientOf(fake).post("/v1/completions", {}, { parse: () => {} } as never));
    expect(error).toMatchObject({ code: "server-failed", message: expect.stringMatching(/with 500: out of memory/) });
  });

  it("nothing that listens; a port of something else", async () => {
    const fake = await fakeServer("vllm");
    await fake.close();
    expect(await failure(opened(`openai:${fake.url}`))).toMatchObject({
      code: "server-unreachable",
      message: `${fake.url} cannot be reached: nothing listens there.`,
    });
    const page = await fakeServer("vllm", (_, __, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end("<html>It works!</html>");
      return true;
    });
    expect(await failure(opened(`openai:${page.url}`))).toMatchObject({ message: expect.stringMatching(/no JSON/) });
  });

  it.each([
    ["http://127.0.0.1:1", /cannot be reached: its port 1 belongs to another service/, /check the port/i],
    ["http://nowhere.invalid:8080", /cannot be reached: its name is not known/, /check the address/i],
  ])("%s: never reached, so nothing crashed there", async (url, said, remedy) => {
    const error = await failure(clientOf({ url }).get("/v1/models", z.unknown()));
    expect(error).toMatchObject({ code: "server-unreachable", message: expect.stringMatching(said) });
    expect(error.hint).toMatch(remedy);
  });

  it.each([200, 404])("a server of files that answers %i: their bytes stand in no message", async (status) => {
    const fake = await fakeServer("vllm", (_, __, response) => {
      response.writeHead(status).end(Buffer.concat([Buffer.from("GGUF"), Buffer.from([3, 0, 0, 0, 255, 27, 91, 7])]));
      return true;
    });
    const { message } = await failure(clientOf(fake).get("/v1/models", z.unknown()));
    expect(message).toMatch(
      status === 200 ? /answered \/v1\/models with no JSON\.$/ : /answered \/v1\/models with 404\.$/,
    );
  });

  it("a page that says 404 is not quoted", async () => {
    const fake = await fakeServer("vllm", (_, __, response) => {
      response.writeHead(404, { "content-type": "text/html" }).end("<!DOCTYPE HTML>\n<title>Error response</title>");
      return true;
    });
    expect(await failure(clientOf(fake).get("/v1/models", z.unknown()))).toMatchObject({
      message: `${fake.url} answered /v1/models with 404.`,
      hint: "Is this the address of an OpenAI-compatible server?",
    });
  });

  it("a server's own words never show the key that it repeats", async () => {
    process.env.GGUF_BENCH_TEST_KEY = "sk-planted-in-a-test";
    const fake = await fakeServer("lm-studio", (_, __, response, { headers }) => {
      response.writeHead(400).end(JSON.stringify({ error: { message: `bad key ${headers.authorization}` } }));
      return true;
    });
    const error = await failure(clientOf(fake).get("/v1/models", { parse: () => {} } as never));
    delete process.env.GGUF_BENCH_TEST_KEY;
    expect(error).toBeInstanceOf(Declined);
    expect(error.message).toContain("bad key Bearer …");
    expect(JSON.stringify([error, error.message, error.stack])).not.toContain("planted");
  });
});

describe("the models of a server", () => {
  it("LM Studio: the one that is loaded, with its context; another by its name", async () => {
    const fake = await fakeServer("lm-studio");
    const version = await openai.version({ model: `openai:${fake.url}`, settings: {} });
    expect(version).toMatchObject({ version: "lm-studio", origin: fake.url });
    const located = await openai.locate({ model: `openai:${fake.url}` }, { baseDir: folder }, {});
    expect(located).toMatchObject({ state: "ready", parts: ["generation"] });
    await answers(await opened(`openai:${fake.url}`), [{ id: "a", text: "x" }]);
    await answers(await opened(`openai:${fake.url}/v1#large`), [{ id: "a", text: "x" }]);
    expect(fake.asked.filter(({ path }) => path === "/v1/completions").map(({ body }) => body.model)).toEqual([
      "small",
      "large",
    ]);
  });

  it("one that is not there is refused with those that are", async () => {
    const fake = await fakeServer("lm-studio");
    expect(await failure(opened(`openai:${fake.url}#huge`))).toMatchObject({
      code: "model-missing",
      message: expect.stringContaining("has no model huge"),
      hint: "It has: small, large.",
    });
  });

  it("text-generation-webui answers by what is loaded", async () => {
    const fake = await fakeServer("text-generation-webui");
    const [answer] = await answers(await opened(`openai:${fake.url}`), [{ id: "a", text: "x" }]);
    expect(answer).toMatchObject({ text: fakeAnswer });
  });

  it("a server that is not the one that `server` says is refused", async () => {
    const fake = await fakeServer("vllm");
    expect(await failure(opened(`openai:${fake.url}`, { server: "llama-server" }))).toMatchObject({
      message: expect.stringContaining("is no llama-server"),
    });
  });

  it("several servers must be alike", async () => {
    const [one, other] = [await fakeServer("vllm"), await fakeServer("lm-studio")];
    expect(await failure(opened("openai:", { url: [one.url, other.url] }))).toMatchObject({
      message: expect.stringMatching(/are not alike/),
    });
  });
});

describe("generated text", () => {
  it.each(["vllm", "lm-studio"] as const)(
    "%s: ends, stop strings, lengths, seed and counts; conversations and texts",
    async (kind) => {
      const fake = await fakeServer(kind);
      const engine = await opened(`openai:${fake.url}`);
      const prompts: Prompt[] = [
        { id: "a", text: "Where?" },
        { id: "b", messages: [{ role: "user", content: "Where?" }] },
      ];
      for (const answer of await answers(engine, prompts))
        expect(answer).toMatchObject({ text: fakeAnswer, finish: "end", tokens: fakeAnswer.length });
      const stopped = await answers(engine, prompts, { stop: [" large", " is"] });
      // LM Studio does not say which of its ends it was.
      for (const answer of stopped)
        expect(answer).toMatchObject({ text: "The capital of France", finish: kind === "vllm" ? "stop" : "end" });
      for (const answer of await answers(engine, prompts, { maxTokens: 5, seed: 7 }))
        expect(answer).toMatchObject({ text: "The c", finish: "length", tokens: 5 });
      const last = fake.asked.at(-1)!;
      expect(last.body).toMatchObject({ max_tokens: 5, seed: 7, temperature: 0, stream: true });
      expect(await answers(engine, prompts, { done: new Set(["a"]) })).toHaveLength(1);
      const count = fake.asked.length;
      for (const { unanswerable } of await answers(engine, prompts, { repetitionPenalty: 1.1 }))
        expect(unanswerable).toMatch(/penalty on repetition/);
      expect(fake.asked).toHaveLength(count);
    },
  );

  it("a prompt that is too long is unanswerable, and the others are answered", async () => {
    const fake = await fakeServer("vllm", (_, body, response) => {
      if (body.prompt !== "too long") return false;
      const message = "This model's maximum context length is 2048 tokens. However, you requested 5000 tokens.";
      response
        .writeHead(400, { "content-type": "application/json" })
        .end(JSON.stringify({ error: { message, type: "BadRequestError", code: 400 } }));
      return true;
    });
    const [one, other] = await answers(await opened(`openai:${fake.url}`), [
      { id: "a", text: "too long" },
      { id: "b", text: "short" },
    ]);
    expect(one).toMatchObject({ id: "a", text: "", unanswerable: expect.stringContaining("maximum context length") });
    expect(other).toMatchObject({ id: "b", text: fakeAnswer });
  });

  it("a list of servers: the work is shared, and goes on when one of them is gone", async () => {
    const servers: FakeServer[] = [await fakeServer("vllm"), await fakeServer("vllm")];
    const engine = await opened("openai:", { url: servers.map(({ url }) => url), concurrency: 2 });
    const prompts = Array.from({ length: 12 }, (_, i) => ({ id: `p${i}`, text: "x" }));
    expect(await answers(engine, prompts)).toHaveLength(12);
    const counts = servers.map(({ asked }) => asked.filter(({ path }) => path === "/v1/completions").length);
    expect(counts.reduce((a, b) => a + b)).toBe(12);
    for (const count of counts) expect(count).toBeGreaterThanOrEqual(3);
  });
});

describe("vLLM: log-probabilities of prompts", () => {
  const text = "The quick brown fox jumps over the lazy dog, 困惑度. ".repeat(20);
  const chunks = async (engine: Engine) =>
    (
      await all<ChunkLikelihood>(
        engine.likelihood!.measure(text, { context: 128, chunks: 4, done: new Set(), progress: () => {} }),
      )
    ).sort((a, b) => a.chunk - b.chunk);

  it("likelihood of a text and options by the law that the server has, and never of the whole vocabulary", async () => {
    const fake = await fakeServer("vllm");
    const engine = await opened(`openai:${fake.url}`);
    const found = await chunks(engine);
    expect(found).toHaveLength(4);
    const tokens = [256, ...Buffer.from(text)];
    for (const { chunk, nll, weight, mean } of found) {
      const own = tokens.slice(chunk * 128 + 65, (chunk + 1) * 128).map((token) => -logprobOf(token));
      expect([...nll!]).toEqual(own);
      expect(weight).toBe(63);
      expect(mean).toBeCloseTo(own.reduce((a, b) => a + b) / 63, 12);
    }
    const questions = [{ id: "q", context: "The answer is", delimiter: " ", options: ["home", "a cat", "猫"] }];
    const [scores] = await all<OptionScores>(engine.options!.score(questions, { done: new Set(), progress: () => {} }));
    for (const [i, option] of questions[0]!.options.entries())
      expect(scores!.options[i]!.sum).toBeCloseTo(
        [...Buffer.from(` ${option}`)].reduce((sum, byte) => sum + logprobOf(byte), 0),
        9,
      );
    for (const { body } of fake.asked) expect(Number(body.prompt_logprobs ?? 0)).toBeLessThanOrEqual(1);
  });

  it("of chunks from all over a text too, and of no others", async () => {
    const fake = await fakeServer("vllm");
    const { likelihood, passages } = await opened(`openai:${fake.url}`);
    const request = { context: 64, done: new Set<string>(), progress: () => {} };
    const whole = await all<ChunkLikelihood>(likelihood!.measure(text, request));
    const before = fake.asked.length;
    const some = await all<ChunkLikelihood>(passages!.measure(text, { ...request, spread: 5 }));
    const drawn = askedChunks(whole.length, { spread: 5 });
    expect(some.map(({ chunk }) => chunk).sort((a, b) => a - b)).toEqual(drawn);
    for (const one of some) expect(one).toEqual(whole.find(({ chunk }) => chunk === one.chunk));
    expect(fake.asked.slice(before).filter(({ body }) => Array.isArray(body.prompt))).toHaveLength(5);
  });

  it("options of a conversation, which the server writes", async () => {
    const fake = await fakeServer("vllm");
    const question = {
      ...{ id: "q", delimiter: "", options: ["A", "B b"] },
      messages: [{ role: "user" as const, content: "Which?" }],
    };
    const request = { done: new Set<string>(), show: "q", progress: () => {} };
    for (const thinking of [true, false]) {
      const engine = await opened(`openai:${fake.url}`, { templateKwargs: { enable_thinking: thinking } });
      expect(engine.options!.chats).toBe(true);
      const [scores] = await all<OptionScores>(engine.options!.score([question], request));
      const text = `[user]Which?\n[assistant]${thinking ? "" : "<think></think>"}`;
      expect(scores!.prompt).toEqual({ text, ids: [...Buffer.from(text)] });
      for (const [i, option] of question.options.entries())
        expect(scores!.options[i]!.sum).toBeCloseTo(
          [...Buffer.from(option)].reduce((sum, byte) => sum + logprobOf(byte), 0),
          9,
        );
      const system = {
        ...question,
        messages: [{ role: "system" as const, content: "Be brief." }, ...question.messages],
      };
      const refused = await failure(all(engine.options!.score([system], request)));
      expect(refused).toMatchObject({
        code: "template-failed",
        message: "the chat template of model leaves out the system message without a word.",
      });
    }
  });

  it("a server that ignores `echo` is found out", async () => {
    const fake = await fakeServer("vllm", (path, body) => {
      if (path === "/v1/completions") for (const key of ["echo", "logprobs", "prompt_logprobs"]) delete body[key];
      return false;
    });
    const engine = await opened(`openai:${fake.url}`);
    expect(await failure(chunks(engine))).toMatchObject({
      code: "server-refused",
      message: expect.stringContaining("ignores `echo`"),
    });
  });
});

describe.skipIf(!llamaServer)(`a real llama-server${llamaServer ? "" : " (not on this machine)"}`, () => {
  it("has its model's file, options, generated text and times", async () => {
    const server = await realServer(demo);
    const model = `openai:${server.url}/v1`;
    const located = await openai.locate({ model }, { baseDir: folder }, {});
    expect(located).toMatchObject({
      state: "ready",
      model,
      parts: ["options", "letters", "generation", "timing"],
      facts: { files: [demo] },
    });
    const engine = await opened(model);
    const inside = await findBackend("llama");
    const own = await inside.open({
      name: "v",
      backend: "llama",
      settings: { threads: 1 },
      model: (await here(inside, { model: demo }, folder)).model,
    });
    const questions = Array.from({ length: 4 }, (_, i) => ({
      id: `q${i}`,
      context: `Question ${i}: Who lives in the red house?\nAnswer:`,
      delimiter: " ",
      options: ["Anna", "a man of the north", "Anna and Ben", "猫"],
    }));
    const scored = async (one: Engine) =>
      (await all<OptionScores>(one.options!.score(questions, { done: new Set(), progress: () => {} }))).sort((a, b) =>
        a.id < b.id ? -1 : 1,
      );
    const [there, here_] = [await scored(engine), await scored(own)];
    for (const [i, { options }] of there.entries())
      for (const [o, { sum, mean, tokens }] of options.entries()) {
        const other = here_[i]!.options[o]!;
        expect(tokens).toBe(other.tokens);
        expect(Math.abs(sum - other.sum)).toBeLessThan(0.02 * tokens);
        expect(Math.abs(mean - other.mean)).toBeLessThan(0.02);
      }
    expect(await scored(engine)).toEqual(there);
    const prompts: Prompt[] = [
      { id: "a", text: "Anna lives in" },
      { id: "b", text: "x".repeat(4000) },
    ];
    const [answer, long] = await answers(engine, prompts, { maxTokens: 8 });
    expect(answer).toMatchObject({ id: "a", tokens: 8, finish: "length" });
    expect(answer!.text).toMatch(/\S/);
    expect(long).toMatchObject({ id: "b", unanswerable: expect.stringMatching(/needs \d+ tokens of 512/) });
    expect(await answers(engine, prompts, { maxTokens: 8 })).toEqual([answer, long]);
    // Over the prompt, too, and as in process: "Anna lives in" alone forbids little.
    const repeating: Prompt[] = ["Anna lives in", "Ben lives in the red house. Anna lives in the"].map((text, i) => ({
      ...{ id: `${i}`, text },
    }));
    const texts = async (one: Engine, repetitionPenalty: number) =>
      (await answers(one, repeating, { maxTokens: 24, repetitionPenalty })).map(({ text }) => text);
    const penalized = await texts(engine, 1.3);
    expect(penalized).not.toEqual(await texts(engine, 1));
    expect(penalized).toEqual(await texts(own, 1.3));
    for (const test of [
      { prompt: 64, generate: 0, depth: 0 },
      { prompt: 0, generate: 8, depth: 0 },
      { prompt: 16, generate: 0, depth: 32 },
      { prompt: 0, generate: 4, depth: 32 },
    ]) {
      await engine.timing!.prepare(test);
      expect(await engine.timing!.time(test)).toBeGreaterThan(0);
    }
    expect(engine.timing!.cpuSeconds!()).toBeGreaterThan(0);
    expect(engine.peakMemory()).toBeGreaterThan(4e6);
    await own.close();
    await engine.close();
    await server.kill();
  });

  it.skipIf(process.platform !== "linux")(
    "two servers of one file that were started otherwise are two, whatever their ports",
    async () => {
      const servers = [
        await realServer(demo),
        await realServer(demo, { args: ["--api-key", "planted"] }),
        await realServer(demo, { args: ["-ctk", "q8_0"] }),
      ];
      process.env.GGUF_BENCH_TEST_KEY = "planted";
      const settings = { keyEnv: "GGUF_BENCH_TEST_KEY" };
      const [plain, keyed, quantized] = await Promise.all(
        servers.map(({ url }) => openai.version({ model: `openai:${url}`, settings })),
      );
      delete process.env.GGUF_BENCH_TEST_KEY;
      expect(plain!.started).toMatch(/^[0-9a-f]{12}$/);
      expect(keyed!.started).toBe(plain!.started);
      expect(quantized!.started).not.toBe(plain!.started);
      for (const server of servers) await server.kill();
    },
  );
});

const own = process.env.GGUF_BENCH_TEST_SERVER;
const how = "GGUF_BENCH_TEST_SERVER=openai:http://HOST:PORT/v1#MODEL names one: vLLM, LM Studio, transformers serve";

describe.skipIf(!own)(`a server of your own${own ? "" : ` (${how})`}`, { timeout: 600_000 }, () => {
  it("writes answers of the length that is asked for, and what it claims is believed", async () => {
    const engine = await opened(own!);
    const prompts: Prompt[] = [
      { id: "a", text: "Once upon a time, there was a" },
      { id: "b", messages: [{ role: "user", content: "What is the capital of France?" }] },
    ];
    const [text, said] = await answers(engine, prompts, { maxTokens: 16 });
    for (const { text: answer, tokens } of [text!, said!]) {
      expect(answer).toMatch(/\S/);
      expect(tokens).toBeGreaterThan(0);
      expect(tokens).toBeLessThanOrEqual(16);
    }
    expect(await answers(engine, [prompts[0]!], { maxTokens: 3 })).toMatchObject([{ finish: "length" }]);
    for (const part of openai.claims ?? [])
      if (engine[part]) expect(await selfTest(engine, part), part).toBe(undefined);
    await engine.close();
  });
});
