import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { findBackend } from "../../dist/backends/index.js";
import type { Benchmark } from "../../dist/benchmark/index.js";
import { localPlace } from "../../dist/executors/index.js";
import { inspect } from "../../dist/plan/variants.js";
import { bench, eventsOf, llamaServer, temporaryFolder, verdicts } from "../support.js";
import { type FakeKind, fakeServer, type Twist } from "./fake-servers.js";

const folder = temporaryFolder();
const cache = join(folder, "cache");
const demo = join(import.meta.dirname, "../../datasets/demo/demo-v2-F16.gguf");

/** Runs a benchmark of the command line against servers of this process. */
async function run(
  name: string,
  variants: Record<string, unknown>,
  measurements: Record<string, unknown>,
  env: Record<string, string> = {},
) {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, JSON.stringify({ variants, measurements }));
  const report = join(folder, "reports", name);
  const outcome = await bench(["run", file, "--out", report], {
    cwd: folder,
    env: { ...process.env, GGUF_BENCH_CACHE: cache, ...env },
  });
  const events = eventsOf(report);
  const warnings = events.flatMap((event) => (event.type === "warning" ? event.message : []));
  return { ...outcome, report, events, warnings, said: verdicts(events) };
}

/** Of whatever it is asked, log-probabilities that are drawn at random. */
const guessing: Twist = (path, body, response) => {
  const prompt = body.prompt;
  if (path !== "/v1/completions" || !Array.isArray(prompt) || body.prompt_logprobs === undefined) return false;
  const told = prompt.map((token, i) => (i === 0 ? null : { [token]: { logprob: -10 * Math.random() } }));
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ choices: [{ index: 0, text: "", logprobs: null, prompt_logprobs: told }] }));
  return true;
};

const ignoring: Twist = (path, body) => {
  if (path === "/v1/completions") for (const key of ["echo", "logprobs", "prompt_logprobs"]) delete body[key];
  return false;
};

describe("log-probabilities of a server are believed only after its self-test", { timeout: 60_000 }, () => {
  it.each<[string, Twist, RegExp]>([
    ["chance", guessing, /hardly likelier than its words in another order/],
    ["ignored-echo", ignoring, /ignores `echo` and `prompt_logprobs`/],
  ])("%s: no perplexity is told, and the reason is", async (name, twist, reason) => {
    const fake = await fakeServer("vllm", twist);
    const { code, events, warnings, said } = await run(
      name,
      { v: { model: `openai:${fake.url}` } },
      { perplexity: { text: "demo-en", context: 128, chunks: 4 } },
    );
    expect(code).toBe(1);
    expect(said).toEqual({ "v perplexity": "this engine gives no log-probabilities of a text." });
    expect(warnings.join("\n")).toMatch(reason);
    expect(events.filter(({ type }) => type === "samples")).toEqual([]);
  });

  it("chance: accuracy is measured by generation in its place, and labelled so", async () => {
    const fake = await fakeServer("vllm", guessing);
    const { code, warnings, events, report } = await run(
      "chance-options",
      { v: { model: `openai:${fake.url}` } },
      { "demo-facts-en": { limit: 10 } },
    );
    expect(warnings.join("\n")).toMatch(
      /its log-probabilities of options are not believed: it has \d+ of 20 known questions right/,
    );
    for (const event of events)
      if (event.type === "samples") expect(JSON.stringify(event)).not.toContain("scores_token");
    expect(code).toBe(0);
    const [done] = events.flatMap((event) => (event.type === "job-done" ? event : []));
    expect(done!.instead).toMatchObject({ settings: { by: "generation" }, method: "by generation" });
    expect(readFileSync(join(report, "table.md"), "utf8")).toMatch(/by generation/);
  });

  it("a server that gives none is asked by generation from the start", async () => {
    const fake = await fakeServer("lm-studio");
    const { code, events, report } = await run(
      "generation",
      { v: { model: `openai:${fake.url}` } },
      { "demo-facts-en": { limit: 10 }, perplexity: { text: "demo-en" } },
    );
    expect(code).toBe(0);
    const [started] = events.flatMap((event) => (event.type === "started" ? event : []));
    expect(started!.jobs.map(({ method, impossible }) => [method, impossible])).toEqual([
      ["by generation", undefined],
      [undefined, expect.stringMatching(/^openai gives no log-probabilities of a text/)],
    ]);
    expect(readFileSync(join(report, "table.md"), "utf8")).toMatch(/by generation/);
  });
});

describe("a server that hangs in the middle of a run", { timeout: 120_000 }, () => {
  it.each<[string, Twist]>([
    ["accepts and never answers", () => true],
    [
      "answers half and stops",
      (_path, _body, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write('data: {"choices":[{"delta":{"content":"The cap"}}]}\n\n');
        return true;
      },
    ],
  ])("%s: one failed cell, the others are measured, and the same command goes on", async (name, hang) => {
    let answered = 0;
    const fake = await fakeServer("lm-studio", (path, ...more) =>
      path.includes("completions") && ++answered > 4 ? hang(path, ...more) : false,
    );
    const settings = { model: `openai:${fake.url}`, requestTimeout: 2, concurrency: 1 };
    const ask = () =>
      run(`hangs ${name}`, { v: settings, m: { model: "mock:seed=1" } }, { "demo-facts-en": { limit: 10 } });
    const hung = await ask();
    expect(hung.said["v demo-facts-en"]).toMatch(/gave no whole answer to \S+ in 2 s/);
    expect(hung.said["m demo-facts-en"]).toBe("done");
    expect(hung.code).toBe(2);
    fake.twist = undefined;
    const again = await ask();
    expect({ code: again.code, stderr: again.stderr }).toEqual({ code: 0, stderr: "" });
    const items = again.events.flatMap((event) => (event.type === "samples" ? `${event.job} ${event.item}` : []));
    expect(new Set(items).size).toBe(items.length);
  });
});

/** A vLLM that has a real model: its tokens and log-probabilities are those of an engine in this process. */
async function knowing(model: string): Promise<Twist> {
  const llama = await findBackend("llama");
  const engine = await llama.open({ name: "v", backend: "llama", model, settings: { threads: 1 } });
  const { windows } = engine;
  afterAll(() => engine.close());
  let last: Promise<unknown> = Promise.resolve();
  return (path, { prompt, add_special_tokens, prompt_logprobs }, response) => {
    const answer = (body: unknown) => {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
      return true;
    };
    if (path === "/tokenize")
      return answer({
        tokens: [...windows!.tokenize(String(prompt), add_special_tokens !== false)],
        max_model_len: 512,
      });
    if (path !== "/v1/completions" || !Array.isArray(prompt) || prompt_logprobs === undefined) return false;
    const request = { context: prompt.length, windows: [Int32Array.from(prompt)], scoreFrom: 0 };
    last = last.then(async () => {
      const [nll] = await windows!.score(request);
      const told = prompt.map((token, i) => (i === 0 ? null : { [token]: { logprob: -nll![i - 1]! } }));
      answer({ choices: [{ index: 0, text: "", logprobs: null, prompt_logprobs: told }] });
    });
    return true;
  };
}

describe("log-probabilities that are believed", { timeout: 60_000 }, () => {
  it("vLLM: the perplexity of a text is that of the same file in this process", async () => {
    const fake = await fakeServer("vllm", await knowing(demo));
    const { stderr, said, report } = await run(
      "believed",
      { inside: { model: demo }, v: { model: `openai:${fake.url}` } },
      { perplexity: { text: "demo-en", context: 128, chunks: 8 } },
    );
    expect(stderr).toBe("");
    expect(said).toEqual({ "inside perplexity": "done", "v perplexity": "done" });
    const rows = readFileSync(join(report, "table-long.csv"), "utf8").split("\n");
    const [inside, there] = ["inside", "v"].map((name) => {
      const row = rows.find((line) => line.startsWith(`${name},`) && line.split(",")[4] === "perplexity")!;
      return Number(row.split(",")[5]);
    });
    expect(Math.abs(there! / inside! - 1)).toBeLessThan(0.005);
  });
});

describe("a key", { timeout: 60_000 }, () => {
  const planted = "sk-planted-0123456789abcdef";

  /** What stands in any file below a folder. */
  const everything = (place: string): string =>
    readdirSync(place, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
      .join("\n");

  it("goes to the server that is named alone, and stands in no file, message or report", async () => {
    const elsewhere = await fakeServer("lm-studio");
    const keeping = (twist?: Twist, kind: FakeKind = "vllm") => fakeServer(kind, twist);
    const servers = {
      plain: await keeping(),
      // One that repeats it, as some do.
      refusing: await keeping((path, _, response, { headers }) => {
        if (!path.includes("completions")) return false;
        response.writeHead(401, { "content-type": "application/json" });
        response.end(JSON.stringify({ error: { message: `Incorrect key ${headers.authorization}` } }));
        return true;
      }),
      broken: await keeping((path, _, response, { headers }) => {
        if (!path.includes("completions")) return false;
        response.writeHead(200, { "content-type": "application/json" }).end(`you sent ${headers.authorization}`);
        return true;
      }),
      redirecting: await keeping((path, _, response, { headers }) => {
        if (!path.includes("completions")) return false;
        response
          .writeHead(307, { location: `${elsewhere.url}/v1/completions?key=${headers.authorization?.slice(7)}` })
          .end();
        return true;
      }),
    };
    const variants = Object.fromEntries(
      Object.entries(servers).map(([name, { url }]) => [name, { model: `openai:${url}/v1`, keyEnv: "MY_SERVERS_KEY" }]),
    );
    const { stdout, stderr, events } = await run(
      "keys",
      variants,
      { perplexity: { text: "demo-en", context: 128, chunks: 2 }, "demo-facts-en": { limit: 2 } },
      { MY_SERVERS_KEY: planted },
    );
    for (const [name, { asked }] of Object.entries(servers)) {
      expect(asked.length, name).toBeGreaterThan(1);
      for (const { headers } of asked) expect(headers.authorization).toBe(`Bearer ${planted}`);
    }
    expect(elsewhere.asked).toEqual([]);
    expect(events.length).toBeGreaterThan(5);
    for (const text of [stdout, stderr, everything(folder)]) expect(text.includes(planted)).toBe(false);
  });

  it.skipIf(!llamaServer)("of a server that is started comes from the environment, too", async () => {
    const command = [llamaServer, "-m", "{model}", "--port", "{port}", "-t", "1", "-c", "512"];
    const variant = { backend: "openai", model: demo, keyEnv: "LLAMA_API_KEY", server: { command } };
    const { code, stdout, stderr } = await run(
      "started-key",
      { v: variant },
      { "demo-facts-en": { limit: 4 } },
      { LLAMA_API_KEY: planted },
    );
    expect(stderr).toBe("");
    expect(code).toBe(0);
    for (const text of [stdout, stderr, everything(folder)]) expect(text.includes(planted)).toBe(false);
  });
});

describe("a key in the command of a server is kept nowhere", () => {
  it.each([
    ["flag", ["llama-server", "--port", "{port}", "--api-key", "planted-key"], "--api-key"],
    ["joined", ["llama-server", "--port", "{port}", "--hf-token=planted-key"], "--hf-token"],
    ["variable", ["env", "LLAMA_API_KEY=planted-key", "llama-server", "--port", "{port}"], "LLAMA_API_KEY"],
  ])("%s: the file is refused before anything is written", async (name, command, key) => {
    const file = join(folder, `key-${name}.yaml`);
    const lines = command.map((word) => `      - ${JSON.stringify(word)}\n`).join("");
    const measurements = "measurements: {perplexity: {text: demo-en}}\n";
    writeFileSync(
      file,
      `variants:\n  v:\n    model: ${demo}\n    backend: openai\n    server:\n     command:\n${lines}${measurements}`,
    );
    const [report, cache] = [join(folder, "reports", name), join(folder, `cache-${name}`)];
    const env = { ...process.env, GGUF_BENCH_CACHE: cache };
    const { code, stdout, stderr } = await bench(["run", file, "--out", report], { cwd: folder, env });
    expect(code).toBe(1);
    expect(stderr).toContain(`key-${name}.yaml:${7 + command.findIndex((word) => word.startsWith(key))}:`);
    expect(stderr).toContain(`\`${key}\` in a command would stand in every report`);
    expect(stderr).toContain("keyEnv");
    expect(stdout + stderr).not.toContain("planted");
    expect([existsSync(report), existsSync(cache)]).toEqual([false, false]);
  });

  it("of a variant that fails, too, whoever wrote its settings", async () => {
    const { record } = await inspect(
      {
        ...{ name: "v", model: "missing.gguf", backend: "openai", reference: false, lora: [], tags: {} },
        settings: { server: { command: ["missing", "--port", "{port}", "--api-key", "planted-key"] } },
      },
      { baseDir: folder } as Benchmark,
      { place: localPlace },
    );
    expect(record.failure).toBeDefined();
    expect(JSON.stringify(record)).not.toContain("planted");
  });
});
