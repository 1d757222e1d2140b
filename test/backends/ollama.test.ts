import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request as forward, type RequestListener } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer, Engine, OptionQuestion, OptionScores, Options } from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import { filesOf, nameOf } from "../../dist/backends/ollama/model.js";
import { serverUrl } from "../../dist/backends/ollama/server.js";
import { randomAdapter } from "../models/random-llama.js";
import { freePort, hasOllama, OllamaHere } from "../ollama-server.js";
import {
  bench,
  eventsOf,
  qualityRows,
  sleep,
  smollm2,
  start,
  temporaryFolder,
  until,
  verdicts,
  writeRandomLlama,
} from "../support.js";

const folder = temporaryFolder();
const demo = fileURLToPath(new URL("../../datasets/demo/demo-v1-F16.gguf", import.meta.url));
const data = fileURLToPath(new URL("../../datasets", import.meta.url));

/** In the order of the questions. */
async function answersOf(options: Options, questions: OptionQuestion[]): Promise<OptionScores[]> {
  const scores = new Map<string, OptionScores>();
  const request = { done: new Set<string>(), show: questions[0]!.id, progress() {} };
  for await (const one of options.score(questions, request)) scores.set(one.id, one);
  return questions.map(({ id }) => scores.get(id)!);
}

describe("addresses and Modelfiles", () => {
  it.each([
    [undefined, undefined, "http://127.0.0.1:11434/"],
    [undefined, "0.0.0.0", "http://127.0.0.1:11434/"],
    [undefined, ":11500", "http://127.0.0.1:11500/"],
    [undefined, "box:80", "http://box/"],
    [undefined, "box", "http://box:11434/"],
    [undefined, "https://box/ollama", "https://box/ollama"],
    ["http://box:1234", "elsewhere", "http://box:1234/"],
  ])("url %s, OLLAMA_HOST %s: %s", (setting, environment, url) => {
    expect(serverUrl(setting, environment).href).toBe(url);
  });

  it("what is no address is refused", () => {
    expect(() => serverUrl(undefined, "http://")).toThrow(/OLLAMA_HOST is no address/);
    expect(() => nameOf("ollama:")).toThrow(/names no model/);
    expect(nameOf("ollama:hf.co/owner/repo:Q4_K_M")).toBe("hf.co/owner/repo:Q4_K_M");
  });

  it("files are read where they stand, and nowhere in texts of the model", () => {
    const modelfile =
      '# Modelfile\n# FROM a:latest\n\nFROM /m/blobs/sha256-1\nADAPTER /m/blobs/sha256-2\nFROM /m/p\nTEMPLATE """\nFROM me\nADAPTER none\n"""\n';
    expect(filesOf(modelfile)).toEqual({ model: "/m/blobs/sha256-1", adapters: ["/m/blobs/sha256-2"] });
  });
});

describe("servers that are none, or fail", () => {
  const answering = async (listener: RequestListener, ask: "locate" | "version" = "locate") => {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const url = `http://user:planted-secret@127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
    const backend = await findBackend("ollama");
    try {
      const model = "ollama:m";
      const asked =
        ask === "version"
          ? backend.version({ model, settings: { url } })
          : backend.locate({ model }, { baseDir: folder }, { url });
      return await asked.catch((error) => error);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  };
  const json =
    (status: number, body: unknown): RequestListener =>
    (_, response) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };

  it.each<[string, RequestListener, string, RegExp]>([
    ["a web page", (_, response) => response.end("<html>"), "server-failed", /is no Ollama server/],
    ["another API", json(200, [1]), "server-failed", /is no Ollama server/],
    ["no such model", json(404, { error: "model 'm' not found" }), "model-missing", /has no model m/],
    ["a guarded one", json(401, { error: "unauthorized" }), "server-refused", /refuses the request/],
    [
      "a redirect",
      (_, r) => r.writeHead(302, { location: "http://evil.example/x" }).end(),
      "server-unreachable",
      /sends on to evil\.example/,
    ],
    ["a model of the cloud", json(200, { modelfile: "", remote_host: "https://ollama.com" }), "model-unfit", /cloud/],
    ["one that hangs up", (request) => request.destroy(), "server-unreachable", /no Ollama answers/],
  ])("%s", async (_, listener, code, said) => {
    const error = await answering(listener);
    expect(error).toMatchObject({ code });
    expect(error.message).toMatch(said);
    expect(`${error.message} ${error.hint}`).not.toContain("planted-secret");
    expect(error.message.length).toBeLessThan(200);
  });

  it("a server that has no version is another one: which model it has is not the question", async () => {
    const other = json(404, { error: { code: 404, message: "File Not Found", type: "not_found_error" } });
    const error = await answering(other, "version");
    expect(error).toMatchObject({ code: "server-failed", message: expect.stringMatching(/is no Ollama server/) });
    expect(error.hint).toMatch(/openai:http:\/\/127\.0\.0\.1:\d+\/v1/);
  });

  it("user and password are sent as the address says", async () => {
    let said: string | undefined;
    await answering((request, response) => {
      said = request.headers.authorization;
      json(404, { error: "no" })(request, response);
    });
    expect(said).toBe(`Basic ${Buffer.from("user:planted-secret").toString("base64")}`);
  });

  it("a body without an end is no answer", async () => {
    const error = await answering((_, response) => {
      const more = () => response.write("x".repeat(1 << 20)) && setImmediate(more);
      response.on("drain", more);
      more();
    });
    expect(error.message).toMatch(/more than \d+ bytes/);
  });
});

describe.skipIf(!hasOllama)(`a real Ollama${hasOllama ? "" : " (not on this machine)"}`, () => {
  let ollama: OllamaHere;
  const env = () => ({ OLLAMA_HOST: ollama.url, GGUF_BENCH_CACHE: join(folder, "cache") });

  beforeAll(async () => {
    ollama = new OllamaHere(folder, await freePort());
    await ollama.start();
    await ollama.create("demo", `FROM ${demo}\n`);
    if (smollm2) await ollama.create("smol", `FROM ${smollm2}\n`);
  }, 120_000);
  afterAll(() => ollama?.kill());

  const located = async (model: string) =>
    (await findBackend("ollama")).locate({ model }, { baseDir: folder }, { url: ollama.url });

  it("finds the blob, and the digests of both", async () => {
    const found = await located("ollama:demo");
    expect(found).toMatchObject({
      state: "ready",
      model: "ollama:demo",
      facts: { quant: "F16", architecture: "llama" },
    });
    if (found.state !== "ready") return;
    const [file] = found.facts!.files;
    expect(file).toContain(join(folder, "models", "blobs", `sha256-${found.facts!.sha256}`));
    expect(found.parts).toContain("timing");
  });

  it.each([
    ["unknown", "ollama:nosuch", {}, /has no model nosuch/],
    ["quantized", "ollama:demo", { quantize: { type: "Q4_0" } }, /quantize/],
    ["with an adapter", "ollama:demo", { lora: [{ path: "x.gguf", scale: 1 }] }, /lora/],
  ])("%s: one sentence and a remedy", async (_, model, more, said) => {
    const backend = await findBackend("ollama");
    const error = await backend
      .locate({ model, ...more }, { baseDir: folder }, { url: ollama.url })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: "BenchError", message: expect.stringMatching(said), hint: expect.any(String) });
  });

  describe("opened", () => {
    let engine: Engine;
    const warnings: string[] = [];
    beforeAll(async () => {
      const backend = await findBackend("ollama");
      const found = await located(smollm2 ? "ollama:smol" : "ollama:demo");
      if (found.state !== "ready") throw new Error("not there");
      const settings = { url: ollama.url, threads: 1, contextLength: 1024 };
      engine = await backend.open(
        { name: "v", backend: "ollama", model: found.model, settings, facts: found.facts! },
        { doing() {}, warning: (message) => warnings.push(message) },
      );
    }, 60_000);
    afterAll(() => engine?.close());

    it("says what it was started with, as its runner shows", () => {
      expect(engine.facts.version).toMatch(/^Ollama \d/);
      expect(engine.facts.system).toMatch(/^model [0-9a-f]{12}, .*-c 1024 .*-b 512 .*-t 1/);
      expect(engine.facts.loadSeconds).toBeGreaterThan(0);
      expect(engine.peakMemory()).toBeGreaterThan(10e6);
      expect(warnings).toEqual([]);
    });

    it("times prompts that it has not seen", async () => {
      const times: number[] = [];
      for (const depth of [0, 64]) {
        const test = { prompt: 64, generate: 0, depth };
        await engine.timing!.prepare(test);
        times.push(await engine.timing!.time(test), await engine.timing!.time(test));
      }
      // A prompt that is in the cache would take a single token's time.
      expect(Math.max(...times) / Math.min(...times)).toBeLessThan(20);
    }, 60_000);

    it("times tokens one by one, whatever the model says", async () => {
      for (const depth of [0, 64]) {
        const test = { prompt: 0, generate: 24, depth };
        await engine.timing!.prepare(test);
        expect(await engine.timing!.time(test)).toBeGreaterThan(0);
      }
    }, 60_000);

    it("a test that the context cannot hold is refused", async () => {
      await expect(engine.timing!.prepare({ prompt: 2000, generate: 0, depth: 0 })).rejects.toMatchObject({
        code: "context-full",
        hint: expect.stringContaining("contextLength"),
      });
    });

    it.skipIf(!smollm2)(
      "letters: raw log-probabilities, and what is not told is said",
      async () => {
        const ask = (id: string, context: string, options = ["A", "B", "C", "D"]) => ({
          id,
          context,
          delimiter: " ",
          options,
        });
        const questions = [
          ask("plain", "Question: 2 + 2 = ?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"),
          ask("far", "The capital of France is", ["A", "B", "Q", "Z"]),
          ask("long", "word ".repeat(3000)),
          ask("words", "x", ["one", "two"]),
        ];
        const scores = new Map<string, OptionScores>();
        for await (const one of engine.letters!.score(questions, { done: new Set(), progress() {} }))
          scores.set(one.id, one);
        const plain = scores.get("plain")!;
        expect(plain.unanswerable).toBeUndefined();
        expect(plain.options).toHaveLength(4);
        for (const { sum, tokens } of plain.options) expect([sum < 0, tokens]).toEqual([true, 1]);
        expect(scores.get("far")!.unanswerable).toMatch(/20 most likely/);
        expect(scores.get("long")!.unanswerable).toMatch(/does not fit/);
        expect(scores.get("words")!.unanswerable).toMatch(/more than a letter/);
      },
      60_000,
    );

    it.skipIf(!smollm2)(
      "answers: cut before a stop string, counted, ended for a reason",
      async () => {
        const request = { done: new Set<string>(), stop: [], temperature: 0, seed: 1, progress() {} };
        const answer = async (more: object, text = "Count: 1, 2, 3, 4,") => {
          for await (const one of engine.generation!.answer([{ id: "a", text }], {
            ...request,
            maxTokens: 12,
            ...more,
          }))
            return one;
          throw new Error("no answer");
        };
        const whole = await answer({});
        expect(whole).toMatchObject({ finish: "length", tokens: 12 });
        expect(whole.text).toMatch(/5, 6/);
        expect(await answer({})).toEqual(whole);
        const cut = await answer({ stop: [" 6", "never"] });
        expect(cut).toMatchObject({
          finish: "stop",
          promptTokens: whole.promptTokens,
          text: whole.text.slice(0, whole.text.indexOf(" 6")),
        });
        expect(await answer({}, "word ".repeat(3000))).toMatchObject({
          unanswerable: expect.stringMatching(/does not fit/),
        });
      },
      120_000,
    );
  });

  describe.skipIf(!smollm2)("conversations", () => {
    const own = `{{ if ne (index .Messages 0).Role "system" }}<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
{{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
`;
    it.each<[string, string, RegExp[]]>([
      ["written by the file's template where the Modelfile has the same", own, []],
      [
        "written by the server where the Modelfile has another, and said",
        "{{ range .Messages }}[{{ .Role }}] {{ .Content }} {{ end }}",
        [/Modelfile, which is not the file's/],
      ],
    ])(
      "%s",
      async (what, template, said) => {
        await ollama.create("chat", `FROM ${smollm2}\nTEMPLATE """${template}"""\nPARAMETER stop "<|im_end|>"\n`);
        const found = await located("ollama:chat");
        if (found.state !== "ready") throw new Error("not there");
        const warnings: string[] = [];
        const settings = { url: ollama.url, threads: 1 };
        const backend = await findBackend("ollama");
        const engine = await backend.open(
          { name: "v", backend: "ollama", model: found.model, settings, facts: found.facts! },
          { doing() {}, warning: (message) => warnings.push(message) },
        );
        try {
          expect(engine.generation!.chats).toBe(true);
          const messages = [{ role: "user" as const, content: "What is the capital of France?" }];
          const request = {
            ...{ done: new Set<string>(), stop: [], temperature: 0, seed: 1, maxTokens: 24 },
            show: "c",
            progress() {},
          };
          const answers: Answer[] = [];
          for await (const one of engine.generation!.answer([{ id: "c", messages }], request)) answers.push(one);
          expect(answers).toHaveLength(1);
          expect(answers[0]!.text.length, what).toBeGreaterThan(0);
          expect(answers[0]!.prompt!.text).toContain("What is the capital of France?");
          expect(engine.letters!.chats).toBe(true);
          const question = { id: "l", delimiter: "", options: ["A", "B", "C", "D"] };
          const asked = {
            role: "user" as const,
            content: "Which is a colour?\nA. dog\nB. red\nC. of\nD. one\nAnswer:",
          };
          const closing = { ...asked, content: `${asked.content}<|im_end|>` };
          const letters = await answersOf(engine.letters!, [
            { ...question, messages: [asked] },
            { ...question, id: "hostile", messages: [closing] },
            { ...question, id: "text", context: closing.content },
          ]);
          const refused = "its text holds <|im_end|>, which Ollama takes for a special token";
          expect(letters.slice(1).map(({ unanswerable }) => unanswerable)).toEqual([refused, refused]);
          if (letters[0]!.unanswerable) expect(letters[0]!.unanswerable).toMatch(/not among the 20 most likely/);
          else expect(letters[0]!.prompt!.text).toContain(asked.content);
          if (said.length === 0) {
            // The same prompt in another build: the first words are the same, and the counts of its tokens.
            const spec = { name: "here", backend: "llama", model: smollm2!, settings: { threads: 1 } };
            const here = await (await findBackend("llama")).open(spec);
            for await (const one of here.generation!.answer([{ id: "c", messages }], request)) {
              expect(answers[0]!.promptTokens).toBe(one.promptTokens);
              expect(answers[0]!.text.slice(0, 8)).toBe(one.text.slice(0, 8));
              expect(answers[0]!.prompt!.text).toBe(one.prompt!.text);
            }
            const [own] = await answersOf(here.letters!, [{ ...question, messages: [asked] }]);
            expect(own!.prompt!.text).toBe(letters[0]!.prompt!.text);
            for (const [i, { sum }] of own!.options.entries())
              expect(Math.abs(sum - letters[0]!.options[i]!.sum), `${i}`).toBeLessThan(0.3);
            await here.close();
          }
          expect(warnings).toHaveLength(said.length);
          for (const [i, one] of said.entries()) expect(warnings[i]).toMatch(one);
        } finally {
          await engine.close();
        }
      },
      60_000,
    );
  });

  const file = (name: string, body: string) => {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, body);
    return path;
  };
  const run = (path: string, out: string, more: Record<string, string> = {}) =>
    bench(["run", path, "--out", out, "--plain", "--data-dir", data], { env: { ...env(), ...more } });

  it("speed by the server, perplexity in process on its file, as the file itself gives it", async () => {
    const path = file(
      "both",
      `variants:
  served: {model: "ollama:demo", threads: 1}
  here: {model: "${demo}", threads: 1}
measurements:
  perplexity: {text: demo-en, context: 128, chunks: 4}
  speed: {prompt: 32, generate: 8, repetitions: 1}
`,
    );
    const out = join(folder, "both");
    expect(await run(path, out)).toMatchObject({ code: 0 });
    const rows = readFileSync(join(out, "table-long.csv"), "utf8").split("\n");
    const figure = (variant: string) =>
      rows
        .filter((row) => row.startsWith(`${variant},`) && row.includes(",perplexity,"))[0]!
        .split(",")
        .slice(5, 8);
    expect(figure("served")).toEqual(figure("here"));
    expect(readFileSync(join(out, "table.md"), "utf8")).toContain("in process, on the model's own file");
    const jobs = eventsOf(out).find((event) => event.type === "started")!.jobs;
    expect(jobs.map(({ variant, kind, backend }) => [variant, kind, backend])).toContainEqual([
      "served",
      "perplexity",
      "llama",
    ]);
    expect(jobs.map(({ variant, kind, backend }) => [variant, kind, backend])).toContainEqual([
      "served",
      "speed",
      "ollama",
    ]);
  }, 120_000);

  it.skipIf(process.platform !== "linux")(
    "how the server was started is part of what measures",
    async () => {
      const backend = await findBackend("ollama");
      const opening = { model: "ollama:demo", settings: { url: ollama.url } };
      const plain = await backend.version(opening);
      expect(plain.environment).toBeUndefined();
      expect(plain.started).toBeUndefined();
      const added = { OLLAMA_KV_CACHE_TYPE: "q8_0", OLLAMA_API_KEY: "planted-secret" };
      const other = new OllamaHere(folder, await freePort(), added);
      await other.start();
      try {
        const version = await backend.version({ ...opening, settings: { url: other.url } });
        expect(version).toEqual({ ...plain, environment: { OLLAMA_KV_CACHE_TYPE: "q8_0" } });
      } finally {
        await other.kill();
      }
    },
    60_000,
  );

  it("a Modelfile's adapter is part of the model, in process too", async () => {
    const base = writeRandomLlama(folder, "base");
    const adapter = join(folder, "adapter.gguf");
    writeFileSync(adapter, randomAdapter());
    await ollama.create("adapted", `FROM ${base}\nADAPTER ${adapter}\n`);
    const path = file(
      "adapted",
      `variants:
  served: {model: "ollama:adapted", threads: 1}
  here: {model: "${base}", lora: "${adapter}", threads: 1}
  bare: {model: "${base}", threads: 1}
measurements:
  perplexity: {text: demo-en, context: 64, chunks: 4}
  speed: {prompt: 16, generate: 4, repetitions: 1}
`,
    );
    const out = join(folder, "adapted");
    expect(await run(path, out)).toMatchObject({ code: 0 });
    const rows = readFileSync(join(out, "table-long.csv"), "utf8").split("\n");
    const [served, here, bare] = ["served", "here", "bare"].map(
      (variant) => rows.find((row) => row.startsWith(`${variant},`) && row.includes(",perplexity,"))!.split(",")[5],
    );
    expect(served).toBe(here);
    expect(served).not.toBe(bare);
    expect(eventsOf(out).filter((event) => event.type === "started")[0]!.variants[0]!.settings).toMatchObject({
      lora: [{ sha256: expect.stringMatching(/^[0-9a-f]{12}$/) }],
    });
  }, 120_000);

  it("a file that cannot be read here: what needs it is not possible, and the reason says so", async () => {
    const moved = new OllamaHere(join(folder, "moved"), await freePort());
    mkdirSync(join(folder, "moved"));
    await moved.start();
    // Another machine's server, seen by way of a port that leads there.
    const relay = createServer((request, response) => {
      const asked = forward(
        `${moved.url}${request.url}`,
        { method: request.method, headers: { "content-type": "application/json" } },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on("data", (part) => parts.push(part));
          answer.on("end", () => {
            const body = Buffer.concat(parts)
              .toString()
              .replaceAll(join(folder, "moved", "models"), "/elsewhere");
            response.writeHead(answer.statusCode ?? 500, { "content-type": "application/json" }).end(body);
          });
        },
      );
      request.pipe(asked);
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    try {
      await moved.create("far", `FROM ${demo}\n`);
      const address = relay.address();
      const url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
      const path = file(
        "far",
        `variants:
  far: {model: "ollama:far", url: "${url}", threads: 1, contextLength: 256}
measurements:
  perplexity: {text: demo-en, context: 64, chunks: 4}
  speed: {prompt: 16, generate: 4, repetitions: 2}
`,
      );
      const out = join(folder, "far");
      const ended = await run(path, out);
      expect(ended).toMatchObject({ code: 0 });
      const said = verdicts(eventsOf(out));
      expect(said["far perplexity"]).toMatch(
        /gives no log-probabilities of a text, and the model's file cannot be read/,
      );
      expect(said["far speed"]).toBe("done");
      expect(ended.stdout + ended.stderr).toMatch(/OLLAMA_KV_CACHE_TYPE/);
      // Nobody sees what its processor does.
      for (const event of eventsOf(out)) if (event.type === "samples") expect(event.foreign).toBeUndefined();
    } finally {
      relay.closeAllConnections();
      relay.close();
      await moved.kill();
    }
  }, 120_000);

  it("a variant whose server is down or has no such model fails alone, and is measured when it is there", async () => {
    const port = await freePort();
    const later = new OllamaHere(join(folder, "later"), port);
    const path = file(
      "down",
      `variants:
  gone: {model: "ollama:late", url: "http://user:planted-secret@127.0.0.1:${port}", threads: 1}
  unknown: {model: "ollama:nosuch", threads: 1}
  served: {model: "ollama:demo", threads: 1}
measurements:
  perplexity: {text: demo-en, context: 128, chunks: 2}
  speed: {prompt: 16, generate: 4, repetitions: 1}
`,
    );
    const out = join(folder, "down");
    const first = await run(path, out);
    expect(first.code).toBe(2);
    const said = verdicts(eventsOf(out));
    expect(said["gone speed"]).toMatch(/no Ollama answers at http:\/\/127\.0\.0\.1:\d+: nothing listens there/);
    expect(said["unknown perplexity"]).toMatch(/has no model nosuch/);
    expect(said["served speed"]).toBe("done");
    expect(first.stdout + first.stderr).toMatch(/ollama serve/);
    expect(first.stdout + first.stderr).toMatch(/ollama pull nosuch/);
    const before = qualityRows(out).filter((row) => row.startsWith("served,"));
    mkdirSync(join(folder, "later"));
    await later.start();
    try {
      await later.create("late", `FROM ${demo}\n`);
      await ollama.create("nosuch", `FROM ${demo}\n`);
      expect(await run(path, out)).toMatchObject({ code: 0 });
    } finally {
      await later.kill();
    }
    expect(Object.values(verdicts(eventsOf(out))).every((one) => one === "done")).toBe(true);
    expect(qualityRows(out).filter((row) => row.startsWith("served,"))).toEqual(before);
    for (const name of ["events.jsonl", "table.md", "run.json"])
      expect(readFileSync(join(out, name), "utf8")).not.toContain("planted-secret");
    expect(first.stdout + first.stderr).not.toContain("planted-secret");
  }, 120_000);

  /** A run that is long enough to be disturbed. */
  const speed = (name: string, repetitions: number) =>
    file(
      name,
      `variants:
  served: {model: "ollama:demo", threads: 1}
measurements:
  speed: {prompt: 64, generate: 32, repetitions: ${repetitions}}
`,
    );
  const measured = (out: string) => eventsOf(out).filter((event) => event.type === "samples").length;

  it.each<[string, () => Promise<void>]>([
    ["evicted", () => ollama.evict("demo")],
    [
      "its runner killed",
      async () => {
        for (const pid of ollama.runners()) process.kill(pid, "SIGKILL");
      },
    ],
    [
      "the server killed and started anew",
      async () => {
        await ollama.kill();
        await ollama.start();
      },
    ],
  ])(
    "%s in the middle of a run: the run goes on",
    async (what, disturb) => {
      const out = join(folder, what);
      const started = start(["run", speed(what.replaceAll(" ", "-"), 20), "--out", out, "--plain"], { env: env() });
      await until("something is measured", () => measured(out) > 2);
      await disturb();
      await sleep(500);
      await disturb();
      expect(await started.ended).toMatchObject({ code: 0 });
      expect(measured(out)).toBe(41);
    },
    120_000,
  );

  it("the server gone for long: a sentence, and the same command goes on where it ended", async () => {
    const out = join(folder, "gone");
    const path = speed("gone-for-long", 20);
    const started = start(["run", path, "--out", out, "--plain"], { env: env() });
    await until("something is measured", () => measured(out) > 2);
    await ollama.kill();
    const ended = await started.ended;
    expect(ended.code).not.toBe(0);
    expect(ended.stdout + ended.stderr).toMatch(/no Ollama answers at .*ollama serve/s);
    const kept = measured(out);
    expect(kept).toBeGreaterThan(2);
    await ollama.start();
    expect(await bench(["run", path, "--out", out, "--plain"], { env: env() })).toMatchObject({ code: 0 });
    expect(measured(out)).toBe(41);
  }, 120_000);
});
