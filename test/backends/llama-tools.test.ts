import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type Backend,
  type ChunkLikelihood,
  type Engine,
  type Likelihood,
  type Part,
  partNames,
} from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import { PerplexityReader } from "../../dist/backends/llama-tools/perplexity.js";
import { summarize } from "../../dist/stats/summary.js";
import { comingFirst, finish, root } from "../repository.js";
import { bench, llamaPerplexity, native, someText, temporaryFolder, until, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
const weight = 127;

/** What llama-perplexity would print for chunks whose tokens cost so much. */
function printed(chunks: readonly (readonly number[])[]): string[] {
  const lines = ["perplexity: calculating perplexity over 3 chunks, n_ctx=256, batch_size=2048, n_seq=8"];
  let [count, nll, squares] = [0, 0, 0];
  let [ppl, error] = [0, 0];
  for (const costs of chunks) {
    for (const cost of costs) {
      nll += cost;
      squares += cost * cost;
      count++;
    }
    const mean = nll / count;
    ppl = Math.exp(mean);
    error = Math.sqrt((squares / count - mean * mean) / (count - 1));
    lines.push(`${"0".padStart(8)}  ${ppl.toFixed(4)}  ${mean.toFixed(6)}  ${error.toFixed(6)}`);
  }
  return [...lines, "", `Final estimate: PPL = ${ppl.toFixed(4)} +/- ${(ppl * error).toFixed(5)}`];
}

const observed = ({ chunk, mean, weight, square }: ChunkLikelihood) => ({
  ...{ item: `${chunk}`, value: mean, weight },
  ...(square === undefined ? {} : { square }),
});

const read = (lines: string[]) => {
  const reader = new PerplexityReader(weight);
  return [...lines.flatMap((line) => reader.read(line)), ...reader.end()];
};

describe("what llama-perplexity prints", () => {
  const chunks = [0, 1, 2].map((chunk) => Array.from({ length: weight }, (_, i) => 2.5 + Math.sin(31 * chunk + i * i)));

  it("gives each chunk as far as the print allows, and the whole to the tool's own digits", () => {
    const lines = printed(chunks);
    const found = read(lines);
    expect(found.map(({ chunk }) => chunk)).toEqual([0, 1, 2]);
    for (const [i, { mean, weight: tokens, square }] of found.entries()) {
      const truth = chunks[i]!.reduce((sum, cost) => sum + cost, 0) / weight;
      const squares = chunks[i]!.reduce((sum, cost) => sum + cost * cost, 0) / weight;
      // A mean over i + 1 chunks, less that over i chunks, each within half a unit of the sixth digit.
      expect(Math.abs(mean - truth)).toBeLessThanOrEqual((2 * i + 1) * 5e-7 + 1e-12);
      expect(tokens).toBe(weight);
      expect(Math.abs(square! - squares)).toBeLessThan(1e-3);
    }
    const summary = summarize(
      "perplexity",
      found.map(({ mean, ...one }) => ({ ...one, item: `${one.chunk}`, value: mean })),
    );
    expect(lines.at(-1)).toBe(`Final estimate: PPL = ${summary.value.toFixed(4)} +/- ${summary.error!.toFixed(5)}`);
  });

  it("of a model that computes no numbers, says so", () => {
    const lines = ["over 2 chunks", "       0  nan  nan  nan", "     256  nan  nan  nan", ""];
    expect(read(lines).map(({ mean }) => mean)).toEqual([Number.NaN, Number.NaN]);
  });

  it("that is not whole is refused with its last complaint", () => {
    const lines = printed(chunks);
    expect(read(lines.slice(0, -1))).toHaveLength(3);
    for (const cut of [lines.slice(0, 2), lines.slice(0, 3), [], ["E perplexity : failed to decode"]])
      expect(() => read(cut), cut.join("\n")).toThrow(/ended after \d of (\d|\?) chunks without its result/);
    expect(() => read(["E perplexity : failed to decode"])).toThrow(/failed to decode/);
    expect(() =>
      read(["perplexity: you need at least 512 tokens to evaluate perplexity with a context of 256"]),
    ).toThrow(/fewer than the 512 tokens/);
  });
});

/** Programs that do what no build at hand does. */
function build(name: string, programs: Record<string, string>): string {
  const at = join(folder, name);
  mkdirSync(at);
  for (const [program, script] of Object.entries(programs)) {
    writeFileSync(join(at, program), `#!/bin/sh\n${script}\n`);
    chmodSync(join(at, program), 0o755);
  }
  return at;
}

const version = 'if [ "$1" = --version ]; then echo "version: 4711 (abc)" >&2; exit 0; fi';

describe.skipIf(process.platform === "win32")("programs that fail", () => {
  const model = writeRandomLlama(folder, "model");
  const measured = async (tools: string | undefined) => {
    const backend = await findBackend("llama-tools");
    const settings = tools === undefined ? {} : { tools, threads: 1 };
    await backend.version({ model, settings });
    const found = await backend.locate({ model }, { baseDir: folder }, settings);
    const engine = await backend.open({ name: "v", model, backend: "llama-tools", settings, ...found } as never);
    const request = { context: 64, done: new Set<string>(), progress: () => {} };
    for await (const _ of engine.likelihood!.measure(someText(2000), request));
  };

  it.each([
    ["no folder is named", undefined, /no folder of llama\.cpp's programs is named/],
    ["an empty folder", () => build("empty", {}), /neither llama-perplexity nor llama-bench in/],
    ["no such folder", () => join(folder, "absent"), /neither llama-perplexity nor llama-bench in/],
    [
      "it crashes",
      () =>
        build("crash", {
          "llama-perplexity": `${version}; echo "ggml.c:7: GGML_ASSERT(x > 0) failed" >&2; kill -SEGV $$`,
        }),
      /llama-perplexity crashed \(SIGSEGV\): ggml\.c:7: GGML_ASSERT/,
    ],
    [
      "it knows a flag not",
      () =>
        build("old", {
          "llama-perplexity": `${version}; echo "error: unknown argument: --ppl-output-type" >&2; echo "usage: x" >&2; exit 1`,
        }),
      /ended with exit code 1: unknown argument: --ppl-output-type/,
    ],
    [
      "it does not start",
      () => build("broken", { "llama-perplexity": "echo 'libllama.so: cannot open shared object file' >&2; exit 127" }),
      /exit code 127: libllama\.so: cannot open/,
    ],
    [
      "it prints without end",
      () => build("endless", { "llama-perplexity": `${version}; exec yes 0123456789012345678901234567890123456789` }),
      /printed more than/,
    ],
    [
      "it is killed",
      () => build("killed", { "llama-perplexity": `${version}; kill -KILL $$` }),
      /killed \(SIGKILL\), most likely for want of memory/,
    ],
    [
      "it says nothing",
      () => build("mute", { "llama-perplexity": `${version}; exit 0` }),
      /ended after 0 of \? chunks/,
    ],
  ] as const)("%s", async (_, tools, said) => {
    const error = await measured(typeof tools === "function" ? tools() : tools).then(
      () => undefined,
      (error) => error,
    );
    expect(error?.message).toMatch(said);
    expect(error.message.length).toBeLessThan(300);
    expect(error.code).not.toBe("internal");
  });

  it("a program that may not be run, and one for another processor", async () => {
    const locked = build("locked", { "llama-perplexity": version });
    chmodSync(join(locked, "llama-perplexity"), 0o644);
    await expect(measured(locked)).rejects.toMatchObject({ code: "program-missing" });
    const foreign = build("foreign", {});
    const head = Buffer.alloc(64);
    head.write("\x7fELF\x02\x01\x01");
    head.writeUInt16LE(0x15, 18);
    writeFileSync(join(foreign, "llama-perplexity"), head);
    await expect(measured(foreign)).rejects.toThrow(/was built for processors of the kind 21/);
  });
});

const builds = [
  { what: "built for this processor", tools: native && join(native.llamaPerplexity, "..") },
  { what: "on the libraries that are shipped", tools: llamaPerplexity && join(llamaPerplexity, "..") },
];

for (const { what, tools } of builds)
  describe.skipIf(!tools)(`llama.cpp's programs, ${what}${tools ? "" : " (not on this machine)"}`, () => {
    const settings = { tools: tools ?? "", threads: 1, batch: 256 };
    const model = join(root, "datasets/demo/demo-v2-F16.gguf");
    const text = readFileSync(join(root, "datasets/demo-en/heldout-en.txt"), "utf8");
    let backend: Backend;
    let engine: Engine;

    beforeAll(async () => {
      backend = await findBackend("llama-tools");
      const found = await backend.locate({ model }, { baseDir: folder }, settings);
      if (found.state !== "ready") throw new Error("the model is to be made first");
      engine = await backend.open({
        ...{ name: "v", model: found.model, backend: "llama-tools", settings },
        ...(found.facts ? { facts: found.facts } : {}),
      });
      expect(found.parts).toEqual(backend.parts);
    });

    const asked = async (done: string[], chunks = 5) => {
      const found: ChunkLikelihood[] = [];
      const request = { context: 256, chunks, done: new Set(done), progress: () => {} };
      for await (const one of engine.likelihood!.measure(text, request)) found.push(one);
      return found;
    };

    it("says what it can do, and which build it is, before any model is opened", async () => {
      for (const part of Object.keys(partNames) as Part[])
        expect(engine[part] !== undefined, part).toBe(backend.parts.includes(part));
      const version = await backend.version({ model, settings });
      expect(version).toMatchObject({ version: expect.stringMatching(/^llama\.cpp \d/), build: engine.facts.build });
      expect(await backend.version({ model, settings })).toEqual(version);
      expect(engine.facts).toMatchObject({ threads: 1, vocabulary: 1280, rounding: 5e-7 });
      expect(structuredClone(engine.facts)).toEqual(engine.facts);
    });

    it("perplexity and ± are the program's own line, the same whatever is done already", async () => {
      writeFileSync(join(folder, "text"), text);
      const args = ["-m", model, "-f", join(folder, "text"), "-c", "256", "--chunks", "5", "-t", "1", "-b", "256"];
      const program = join(settings.tools, "llama-perplexity");
      let said: string | undefined;
      for (let attempt = 0; said === undefined && attempt < 20; attempt++)
        said = (await finish(...comingFirst(program, args))).output.match(/Final estimate.*/)?.[0];
      const all = await asked([]);
      const { value, error } = summarize("perplexity", all.map(observed), { rounding: 5e-7 });
      expect(`Final estimate: PPL = ${value.toFixed(4)} +/- ${error!.toFixed(5)}`).toBe(said);
      expect(await asked(["0", "3"])).toEqual(all.filter(({ chunk }) => chunk !== 0 && chunk !== 3));
      expect(await asked([], 3)).toHaveLength(3);
      expect(engine.peakMemory()).toBeGreaterThan(5e6);
      expect(engine.peakMemory()).toBeUndefined();
    });

    it("speed is llama-bench's, one repetition at a time", async () => {
      for (const test of [
        { prompt: 32, generate: 0, depth: 0 },
        { prompt: 0, generate: 4, depth: 16 },
      ]) {
        await engine.timing!.prepare(test);
        const seconds = await engine.timing!.time(test);
        expect(seconds).toBeGreaterThan(0);
        expect(seconds).toBeLessThan(30);
      }
    });

    it("settings reach the programs, and what they refuse is told", async () => {
      const with_ = async (more: object) =>
        (await backend.open({ name: "v", model, backend: "llama-tools", settings: { ...settings, ...more } }))
          .likelihood!;
      const means = async (likelihood: Likelihood) => {
        const found: number[] = [];
        for await (const { mean } of likelihood.measure(text, {
          context: 64,
          // A whole batch of 256 tokens, so that a further one can be asked for and the last rows are not lost.
          chunks: 4,
          done: new Set(),
          progress() {},
        }))
          found.push(mean);
        return found;
      };
      const plain = await means(await with_({}));
      expect(await means(await with_({ cacheTypeK: "q4_0", flashAttention: "on" }))).not.toEqual(plain);
      const missing = backend.open({ name: "v", model: join(folder, "absent.gguf"), backend: "llama-tools", settings });
      await expect(missing.then((opened) => means(opened.likelihood!))).rejects.toThrow(
        /llama-perplexity ended with exit code 1/,
      );
    });
  });

it.skipIf(!llamaPerplexity)(
  "its chunks are those of the same library in process, as far as they are printed",
  async () => {
    const model = join(root, "datasets/demo/demo-v2-F16.gguf");
    const text = readFileSync(join(root, "datasets/demo-en/heldout-en.txt"), "utf8");
    const measured = async (backend: string, settings: object) => {
      const engine = await (await findBackend(backend)).open({
        name: "v",
        model,
        backend,
        settings: { threads: 1, batch: 128, ...settings },
      });
      const found: ChunkLikelihood[] = [];
      const request = { context: 128, chunks: 24, done: new Set<string>(), progress: () => {} };
      for await (const one of engine.likelihood!.measure(text, request)) found.push(one);
      await engine.close();
      return found;
    };
    const inside = await measured("llama", {});
    const printed = await measured("llama-tools", { tools: join(llamaPerplexity!, "..") });
    expect(printed.map(({ chunk, weight }) => [chunk, weight])).toEqual(
      inside.map(({ chunk, weight }) => [chunk, weight]),
    );
    expect(printed.length).toBeGreaterThan(20);
    // Two means over so many chunks, each within half a unit of the sixth digit; sums of floats differ in theirs.
    for (const [i, { mean }] of printed.entries())
      expect(Math.abs(mean - inside[i]!.mean)).toBeLessThanOrEqual((2 * i + 1) * 5e-7 + 1e-6);
  },
);

it.skipIf(!native)(
  "questions are answered by llama-server of the same build, and the table says so",
  { timeout: 120_000 },
  async () => {
    const model = join(root, "datasets/demo/demo-v2-F16.gguf");
    const tools = join(native!.llamaPerplexity, "..");
    writeFileSync(
      join(folder, "b.yaml"),
      `defaults: { threads: 1 }
variants:
  inside: { model: "${model}", reference: true }
  tools: { model: "${model}", backend: llama-tools, tools: "${tools}" }
measurements:
  perplexity: { text: demo-en, context: 256, chunks: 16 }
  demo-facts-en: { limit: 20 }
`,
    );
    const out = join(folder, "run");
    const env = { GGUF_BENCH_CACHE: join(folder, "cache") };
    const said = await bench(["run", join(folder, "b.yaml"), "--out", out, "--plain"], { env });
    expect(said.code, said.stdout + said.stderr).toBe(0);
    const table = readFileSync(join(out, "table.md"), "utf8");
    expect(table).toMatch(/measured by llama-server of the same build/);
    expect(table).toMatch(/^\| tools +\| PPL +\| +0\.0 % \| equivalent +\|/m);
    expect(table).toMatch(/a difference below 0\.00010 % is not seen/);
    // It tells no bits per byte, which is not the file's fault.
    expect(table).not.toMatch(/perplexity not measured/);
  },
);

it.skipIf(process.platform !== "linux")("a program ends with the process that started it", async () => {
  const alive = (pid: number) => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  const script = `
    import { startProgram } from ${JSON.stringify(join(root, "dist/programs.js"))};
    const child = startProgram("/bin/sleep", ["100"], process.env);
    process.stdout.write(child.pid + "\\n");
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pid = Number(
    await new Promise<string>((resolve) => parent.stdout.once("data", (text) => resolve(String(text)))),
  );
  // It has become the program.
  await until("the program runs", () => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("/bin/sleep"));
  expect(alive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await until("the program is gone", () => !alive(pid));
});
