import { fork } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BenchError, commands } from "../../dist/index.js";
import { cachedModels } from "../../dist/models/cached.js";
import { readModelFacts } from "../../dist/models/gguf.js";
import { estimateMemory } from "../../dist/models/memory.js";
import { HubServer, sha256Of } from "../models/hub-server.js";
import { tinyGguf } from "../models/tiny-gguf.js";
import { root } from "../repository.js";
import { bench, sleep, smollm2, start, temporaryFolder, until, writeRandomLlama } from "../support.js";

const dir = temporaryFolder();
const hub = new HubServer();
const small = readFileSync(writeRandomLlama(dir, "small", { seed: 1 }));
const demo = readFileSync(join(root, "datasets/demo/demo-v2-F16.gguf"));
/** A header of 5 MB, as those of large vocabularies are. */
const wide = tinyGguf({
  metadata: { "tokenizer.ggml.tokens": Array.from({ length: 200_000 }, (_, i) => `a long token ${i}`) },
  tensors: [{ name: "token_embd.weight", shape: [64, 500_000], type: 1, bytes: 64_000_000 }],
});

beforeAll(() => hub.start());
afterAll(() => hub.stop());
beforeEach(() => {
  process.env.GGUF_BENCH_CACHE = mkdtempSync(join(dir, "cache-"));
  process.env.HF_HOME = join(dir, "no-login");
  process.env.HF_ENDPOINT = process.env.MODELSCOPE_ENDPOINT = process.env.WISEMODEL_ENDPOINT = hub.at;
  hub.asked = [];
  hub.ails.clear();
  hub.repositories.clear();
});

async function said(
  work: (where: { stdout: PassThrough; stderr: PassThrough; env: NodeJS.ProcessEnv }) => Promise<number>,
) {
  const out = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof out) =>
    new PassThrough({ encoding: "utf8" }).on("data", (text: string) => {
      out[name] += text;
    });
  const code = await work({ stdout: stream("stdout"), stderr: stream("stderr"), env: {} });
  return { ...out, code };
}
const models = (asked: Parameters<typeof commands.models>[0]) => said((where) => commands.models(asked, where));
const fetch = (...names: string[]) => said((where) => commands.fetch({ wanted: names }, where));

describe("fetch", () => {
  it("brings models into the cache and says where they lie; again, nothing is fetched", async () => {
    hub.put("o/r", "m-Q8_0.gguf", small);
    hub.put("o/s", "m-00001-of-00002.gguf", small);
    hub.put("o/s", "m-00002-of-00002.gguf", demo);
    const first = await fetch("hf:o/r:Q8_0", "ms:o/s:m-00001-of-00002.gguf");
    expect(first.code).toBe(0);
    const [, path] = first.stdout.match(/^hf:o\/r:Q8_0 {2}0\.\d MB {2}sha256 [0-9a-f]{12}\n {2}(.*m-Q8_0\.gguf)$/m)!;
    expect(readFileSync(path!).equals(small)).toBe(true);
    expect(first.stdout).toContain(sha256Of(small).slice(0, 12));
    // All parts of a split model.
    expect(first.stdout).toMatch(/of-00002\.gguf {2}4\.\d MB/);
    expect(first.stderr).toMatch(/fetching m-Q8_0\.gguf/);
    const fetched = hub.fetched.length;
    expect((await fetch("hf:o/r:Q8_0")).stdout).toContain(path);
    expect(hub.fetched).toHaveLength(fetched);
  });

  it("as a process: another mirror is said, what no one has is one sentence", async () => {
    hub.put("o/r", "m-Q8_0.gguf", small);
    const env = { ...process.env, HF_ENDPOINT: "http://127.0.0.1:1" };
    const mirrored = await bench(["fetch", "hf:o/r:m-Q8_0.gguf", "--mirror", hub.at], { env });
    expect(mirrored.code, mirrored.stderr).toBe(0);
    expect(mirrored.stderr).toMatch(
      /^warning: hf:o\/r:m-Q8_0\.gguf could not be fetched: .* It came from 127\.0\.0\.1:\d+ instead$/m,
    );
    const none = await bench(["fetch", "hf:o/r:none.gguf"], {});
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/^gguf-bench: hf:o\/r:none\.gguf could not be fetched: .*404.*\n {2}\S.*\n$/m);
  });
});

describe("a stop of fetch", () => {
  it("keeps what has come, and the same command goes on", async () => {
    hub.put("o/r", "m.gguf", demo);
    hub.ails.set("hf", "slow");
    const { child, ended } = start(["fetch", "hf:o/r:m.gguf"], { env: process.env });
    await until("some of it came", () => hub.fetched.length > 0);
    await sleep(300);
    child.kill("SIGINT");
    const outcome = await ended;
    expect(outcome.code).toBe(130);
    expect(outcome.stderr).toContain("the same command goes on");
    hub.ails.clear();
    hub.asked = [];
    expect((await bench(["fetch", "hf:o/r:m.gguf"], {})).code).toBe(0);
    expect(hub.fetched[0]!.range).toBe("bytes=2000-");
  });
});

describe("models of a repository", () => {
  it.each(["hf", "ms", "wisemodel"])("%s: headers alone are read; the facts are those of the files", async (scheme) => {
    hub.put("o/r", "demo-F16.gguf", demo);
    hub.put("o/r", "wide-F16.gguf", wide);
    hub.put("o/r", "m-imatrix.gguf", small);
    hub.put("o/r", "README.md", Buffer.from("#"));
    const { stdout, code } = await models({ repository: `${scheme}:o/r`, memory: 250e6, context: 512, json: true });
    expect(code).toBe(0);
    const { models: offered } = JSON.parse(stdout);
    expect(offered.map(({ file }: { file: string }) => file)).toEqual(["demo-F16.gguf", "wide-F16.gguf"]);
    const facts = await readModelFacts(join(root, "datasets/demo/demo-v2-F16.gguf"));
    const { files: _, sha256, name, ...own } = facts;
    expect(offered[0].facts).toMatchObject(own);
    if (scheme !== "wisemodel") expect(offered[0].facts.sha256).toBe(sha256);
    const usual = { parallel: 1, rows: 1, ubatch: 512, cacheBitsK: 16, cacheBitsV: 16 };
    expect(offered[0].memory).toBe(estimateMemory(facts, { ...usual, context: 512 }).total);
    expect(offered.map(({ fits }: { fits: boolean }) => fits)).toEqual([true, false]);
    // 5 MB of 69, in three requests that double.
    const requests = hub.fetched.filter(({ url }) => url.includes("wide"));
    expect(requests.length).toBeLessThanOrEqual(3);
    const bytes = requests.map(({ range }) =>
      range!
        .match(/(\d+)-(\d+)/)!
        .slice(1)
        .map(Number),
    );
    expect(Math.max(...bytes.map(([, to]) => to!))).toBeLessThan(10e6);
    expect(await cachedModels()).toEqual([]);
    if (scheme === "wisemodel") return;
    // What the headers said is remembered by the files' digests.
    hub.asked = [];
    await models({ repository: `${scheme}:o/r`, memory: 250e6 });
    expect(hub.fetched).toEqual([]);
  });

  it("says what fits, what was made with a matrix, and what cannot be told", async () => {
    const quantized = tinyGguf({
      metadata: { "general.file_type": 1, "quantize.imatrix.file": "m.dat", "quantize.imatrix.chunks_count": 125 },
    });
    hub.put("o/r", "m-F16.gguf", demo);
    hub.put("o/r", "m-im.gguf", quantized);
    hub.put("o/r", "broken.gguf", Buffer.alloc(5000));
    const { stdout } = await models({ repository: "hf:o/r", memory: 120e6, context: 4096 });
    expect(stdout).toMatch(/^hf:o\/r: 3 models; memory of one conversation of 4096 tokens .* beside 120\.0 MB$/m);
    expect(stdout).toMatch(/^ {2}m-im\.gguf +4\.7 kB +F16 +16\.00 +yes, 125 chunks +10\d\.\d MB +yes$/m);
    expect(stdout).toMatch(/^ {2}m-F16\.gguf +4\.2 MB +F16 .* no +\d+\.\d MB +(yes|no)$/m);
    expect(stdout).toMatch(/^ {2}broken\.gguf +5\.0 kB +\? .*\?$/m);
    expect(stdout).toMatch(/^broken\.gguf: .*zeros only/m);
    expect(stdout).toMatch(/m-im\.gguf: trained for 128 tokens of context/);
    expect(stdout).toMatch(/^The largest that fits: gguf-bench fetch hf:o\/r:\S+\.gguf$/m);
  });

  it("a server without ranges, an empty repository, and what is no repository are said", async () => {
    hub.put("o/r", "m.gguf", wide);
    hub.ails.set("hf", "whole");
    const { stdout } = await models({ repository: "hf:o/r", memory: 1e9 });
    expect(stdout).toMatch(/m\.gguf: .*its server sends whole files only/);
    expect(stdout).toContain("None of them fits");
    hub.put("o/none", "README.md", Buffer.from("#"));
    await expect(models({ repository: "hf:o/none" })).rejects.toThrow("holds no GGUF model");
    await expect(models({ repository: "./folder" })).rejects.toThrow("is no repository");
    await expect(models({ memory: 1 })).rejects.toThrow("--memory has no meaning here");
    await expect(models({ repository: "hf:o/r", prune: true })).rejects.toThrow("--prune has no meaning here");
  });

  it.skipIf(!smollm2)("SmolLM2 is predicted as its file is", async () => {
    hub.put("o/r", "smollm2-Q4_1.gguf", readFileSync(smollm2!));
    const { stdout } = await models({ repository: "hf:o/r", memory: 1e9, json: true });
    const [offered] = JSON.parse(stdout).models;
    const facts = await readModelFacts(smollm2!);
    expect(offered.facts).toMatchObject({ tensorBytes: facts.tensorBytes, bpw: facts.bpw, sha256: facts.sha256 });
    expect(hub.fetched.length).toBeLessThanOrEqual(2);
  });
});

describe("models of the cache", () => {
  const days = 86_400_000;
  beforeEach(async () => {
    hub.put("o/r", "a.gguf", small);
    hub.put("o/r", "b.gguf", demo);
    await fetch("hf:o/r:a.gguf", "hf:o/r:b.gguf");
    const [a] = (await cachedModels()).filter(({ name }) => name === "a.gguf");
    const old = new Date(Date.now() - 40 * days);
    utimesSync(a!.path, old, old);
  });

  it("are listed with size, last use, digest and origin", async () => {
    const { stdout } = await models({});
    expect(stdout).toMatch(/^2 models in the cache, \d\.\d MB$/m);
    expect(stdout).toMatch(/^ {2}b\.gguf +4\.\d MB +fetched +\d+ s ago +[0-9a-f]{12} +http\S+b\.gguf$/m);
    expect(stdout).toMatch(/^ {2}a\.gguf .* 40 d \d+ h ago /m);
    const listed = JSON.parse((await models({ json: true })).stdout);
    expect(listed.map(({ sha256 }: { sha256: string }) => sha256)).toEqual([sha256Of(small), sha256Of(demo)]);
  });

  it("go by age or by size, least recently used first, and only with --yes", async () => {
    const dry = await models({ prune: true, unusedFor: 30 });
    expect(dry.stdout).toMatch(
      /^would be removed: 1 model, [\s\S]*a\.gguf[\s\S]*Nothing is removed yet: --yes does it\.\n$/,
    );
    expect(await cachedModels()).toHaveLength(2);
    expect((await models({ prune: true, keep: 4.5e6 })).stdout).toMatch(/^would be removed: 1 model,[\s\S]*a\.gguf/);
    const done = await models({ prune: true, unusedFor: 30, yes: true });
    expect(done.stdout).toMatch(/^removed: 1 model/);
    expect((await cachedModels()).map(({ name }) => name)).toEqual(["b.gguf"]);
    await expect(models({ prune: true })).rejects.toBeInstanceOf(BenchError);
    await expect(models({ yes: true })).rejects.toThrow("--yes has no meaning here");
  });

  it("stay while a process has them in use", async () => {
    const [a, b] = await cachedModels();
    // One process planned to use it, another has it open: as a server of another program would.
    const script = join(dir, "holds.mjs");
    writeFileSync(
      script,
      `import { openSync } from "node:fs";
       import { locateVariant } from ${JSON.stringify(join(root, "dist/models/preparation.js"))};
       if (process.argv[2] === "open") openSync(process.argv[3]);
       else await locateVariant({ model: process.argv[3] }, { baseDir: "/" });
       process.send("ready");
       setInterval(() => {}, 1000);`,
    );
    const holders = [fork(script, ["plan", "hf:o/r:a.gguf"]), fork(script, ["open", b!.path])];
    let ready = 0;
    for (const holder of holders) holder.on("message", () => ready++);
    try {
      await until("both hold a model", () => ready === 2);
      utimesSync(a!.path, new Date(0), new Date(0));
      const { stdout } = await models({ prune: true, unusedFor: 0, yes: true });
      expect(stdout).toMatch(/^removed: 0 models/);
      expect(stdout).toMatch(new RegExp(`^stays: a\\.gguf, in use by process ${holders[0]!.pid}$`, "m"));
      if (existsSync("/proc/self/maps"))
        expect(stdout).toMatch(new RegExp(`^stays: b\\.gguf, open in process ${holders[1]!.pid}$`, "m"));
      expect(existsSync(a!.path) && existsSync(b!.path)).toBe(true);
    } finally {
      for (const holder of holders) holder.kill();
    }
    await until("they are gone", () => holders.every(({ exitCode, signalCode }) => exitCode ?? signalCode));
    expect((await models({ prune: true, unusedFor: 0, yes: true })).stdout).toMatch(/^removed: 2 models/);
    expect(existsSync(dirname(a!.path))).toBe(false);
  });

  it("quantizations are among them, with the digest that measuring found; one being made stays", async () => {
    const folder = join(process.env.GGUF_BENCH_CACHE!, "quantized", "0123");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, "m-Q8_0.gguf");
    writeFileSync(path, small);
    const old = new Date(Date.now() - days);
    utimesSync(path, old, old);
    expect((await models({})).stdout).toMatch(/^ {2}m-Q8_0\.gguf +\d+\.\d MB +made here +1 d 0 h|24 h 00 min ago +- /m);
    writeFileSync(`${path}.6b6f.part`, "");
    expect((await models({ prune: true, unusedFor: 0, yes: true })).stdout).toMatch(
      /^stays: m-Q8_0\.gguf, being made$/m,
    );
  });

  it("what an interrupted download left is listed as partial, and may go", async () => {
    const { folder, name } = (await cachedModels())[0]!;
    mkdirSync(`${folder}-x`);
    writeFileSync(join(`${folder}-x`, `${name}.0-0-12345678.part`), Buffer.alloc(3000));
    const { stdout } = await models({});
    expect(stdout).toMatch(/^ {2}a\.gguf +3\.0 kB +partial/m);
    expect((await models({ prune: true, keep: 1, yes: true })).stdout).toMatch(/^removed: 3 models/);
  });
});
