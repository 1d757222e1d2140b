import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import { localPlace } from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { fileIdentity, keptSha256 } from "../../dist/models/cache.js";
import { makePlan } from "../../dist/plan/index.js";
import { someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
process.env.GGUF_BENCH_CACHE = join(folder, "cache");
writeFileSync(join(folder, "text.txt"), someText(3000));
writeRandomLlama(folder, "model");
const file = join(folder, "b.yaml");
writeFileSync(
  file,
  "variants: {m: {model: model.gguf}}\nmeasurements: {perplexity: {text: text.txt, context: 64}, speed: {}}\n",
);
const planned = async () =>
  makePlan(await readBenchmark(file, { measurements }), { command: [], versions: {}, place: localPlace });
const ids = async () => (await planned()).jobs.map(({ record }) => record.id);

/** A folder that looks like a build from source, of these bytes; nothing of it is loaded for a plan. */
function build(name: string, contents: Record<string, string>): string {
  const at = join(folder, name);
  mkdirSync(at);
  for (const [library, content] of Object.entries(contents)) writeFileSync(join(at, library), content);
  return at;
}
const plain = { "libllama.so": "a", "libggml.so": "b", "libggml-base.so": "c", "libggml-cpu.so": "d" };

const set: string[] = [];
const setting = (name: string, value: string) => {
  set.push(name);
  process.env[name] = value;
};
afterEach(() => {
  for (const name of set.splice(0)) delete process.env[name];
});

describe("the engine in a job's identity", () => {
  it("is the bytes of a build from source: same release, other compiler, other job", async () => {
    const found = new Set([JSON.stringify(await ids())]);
    const builds = {
      one: plain,
      patched: { ...plain, "libllama.so": "A" },
      kernels: { ...plain, "libggml-cpu.so": "D" },
      base: { ...plain, "libggml-base.so": "C" },
      more: { ...plain, "libggml-blas.so": "e" },
    };
    for (const [name, contents] of Object.entries(builds)) {
      setting("GGUF_BENCH_LIBRARY", build(name, contents));
      found.add(JSON.stringify(await ids()));
    }
    expect(found.size).toBe(6);
    // Another folder with the same bytes, and a tool beside them, is the same build.
    setting("GGUF_BENCH_LIBRARY", build("again", { ...plain, "llama-cli": "tool", "notes.txt": "" }));
    const again = await ids();
    setting("GGUF_BENCH_LIBRARY", join(folder, "one"));
    expect(await ids()).toEqual(again);
  });

  it("is the environment that llama.cpp obeys, not what its tools and logs do", async () => {
    const before = await ids();
    for (const [name, value] of [
      ["GGML_CPU_DISABLE_FUSION", "1"],
      ["LLAMA_GRAPH_REUSE_DISABLE", "1"],
      ["GGML_NO_IQ_PANEL", "1"],
    ] as const) {
      setting(name, value);
      const after = await ids();
      expect(after.some((id) => before.includes(id))).toBe(false);
      delete process.env[name];
    }
    for (const name of ["GGML_NO_BACKTRACE", "LLAMA_ARG_CTX_SIZE", "LLAMA_LOG_COLORS", "LLAMA_API_KEY", "HF_TOKEN"])
      setting(name, "1");
    expect(await ids()).toEqual(before);
  });

  it("knows threads for speed alone: they change no digit of a likelihood", async () => {
    const before = await ids();
    writeFileSync(file, readFileSync(file, "utf8").replace("model.gguf}", "model.gguf, threads: 3}"));
    const [perplexity, speed] = await ids();
    expect(perplexity).toBe(before[0]);
    expect(speed).not.toBe(before[1]);
  });
});

describe("the digest of a file", () => {
  it("is not believed where the file may have changed again within one tick of the clock", async () => {
    const path = join(folder, "file.bin");
    writeFileSync(path, "one");
    const first = await keptSha256(path);
    // What a second change within the tick looks like: other bytes under the identity that was kept.
    writeFileSync(path, "two");
    const entries = join(folder, "cache", "facts");
    const entry = readdirSync(entries)
      .map((name) => join(entries, name))
      .find((name) => readFileSync(name, "utf8").includes("file.bin"))!;
    const kept = JSON.parse(readFileSync(entry, "utf8"));
    const identities = [fileIdentity(statSync(path, { bigint: true }))];
    writeFileSync(entry, JSON.stringify({ ...kept, identities }));
    expect(await keptSha256(path)).not.toBe(first);
    // Found out long after the last change it holds.
    writeFileSync(entry, JSON.stringify({ ...kept, identities, at: Date.now() + 10_000 }));
    expect(await keptSha256(path)).toBe(first);
  });
});
