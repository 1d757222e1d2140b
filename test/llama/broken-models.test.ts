import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { loadLibrary, toolDefaults } from "../../dist/llama/library.js";
import { chooseLibrary, packageFolder } from "../../dist/llama/location.js";
import type { RandomLlama } from "../models/random-llama.js";
import { string, strings, uint32, yes } from "../models/tiny-gguf.js";
import { bench, eventsOf, native, someText, temporaryFolder, verdicts, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
const env = { GGUF_BENCH_CACHE: join(folder, "cache") };

/** Perplexity and speed of each of these models: the last word on every cell, the warnings, and the exit code. */
async function measured(name: string, models: Record<string, RandomLlama>, settings: Record<string, object> = {}) {
  const variants = Object.entries(models).map(([key, options]) => {
    const model = writeRandomLlama(folder, `${name}-${key}`, options);
    return `  ${key}: ${JSON.stringify({ model, ...settings[key] })}`;
  });
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    `variants:\n${variants.join("\n")}\nmeasurements:\n  perplexity: {text: text.txt, context: 64, chunks: 8}\n` +
      "  speed: {prompt: 8, generate: 2, repetitions: 1}\n",
  );
  const out = join(folder, name);
  const { code, stdout } = await bench(["run", file, "--out", out, "--plain"], { env });
  const events = eventsOf(out);
  const warnings = events.flatMap((event) => (event.type === "warning" ? [`${event.variant}: ${event.message}`] : []));
  return { code, stdout, events, said: verdicts(events), warnings, out, file };
}

describe("the reason told is the cause", () => {
  it("of what cannot be loaded, in llama.cpp's words", async () => {
    const { code, said } = await measured("load", {
      missing: { lengths: { "blk.1.ffn_up.weight": 0 } },
      shape: { lengths: { "blk.0.attn_q.weight": 32 } },
      layers: { metadata: { "llama.block_count": uint32(3) } },
      architecture: { metadata: { "general.architecture": string("llama9"), "llama9.context_length": uint32(64) } },
      tokenizer: { metadata: { "tokenizer.ggml.pre": string("error unknown <img onerror=x>") } },
      heads: { metadata: { "llama.attention.head_count": undefined } },
      whole: {},
    });
    expect(code).toBe(2);
    const reasons = {
      missing: /: tensor 'blk\.1\.ffn_up\.weight' not found\.$/,
      shape: /tensor 'blk\.0\.attn_q\.weight' has wrong shape/,
      layers: /: tensor 'blk\.2\.attn_norm\.weight' not found\.$/,
      architecture: /unknown model architecture: 'llama9'/,
      tokenizer: /unknown pre-tokenizer type: 'error unknown/,
      heads: /has wrong shape; expected 64, 0/,
    };
    for (const [variant, reason] of Object.entries(reasons)) {
      expect(said[`${variant} perplexity`]).toMatch(/^llama\.cpp could not load [^ ]+\.gguf: /);
      expect(said[`${variant} perplexity`]).toMatch(reason);
      expect(said[`${variant} speed`]).toBe(said[`${variant} perplexity`]);
      expect(said[`${variant} perplexity`]).not.toMatch(/rope_finetuned|kv +\d|\.:|\.\./);
    }
    expect(said["whole perplexity"]).toBe("done");
  });

  it("of a context that cannot be made, with a remedy that helps", async () => {
    const { said, events } = await measured(
      "context",
      { divides: {}, off: {}, huge: {} },
      {
        divides: { cacheTypeK: "q8_0", flashAttention: "on" },
        off: { cacheTypeV: "q8_0", flashAttention: "off" },
        huge: { batch: 1_048_576, ubatch: 1_048_576 },
      },
    );
    expect(said["divides perplexity"]).toMatch(
      /^llama\.cpp could not make a context of 2048 tokens \(32 windows of 64\): K cache type q8_0 with block size 32 does not divide/,
    );
    const failure = events.find((event) => event.type === "job-failed" && event.failure.code === "context-failed");
    expect(failure?.type === "job-failed" && failure.failure.hint).toMatch(
      /whose blocks divide the heads, such as f16/,
    );
    expect(said["off perplexity"]).toBe(
      "a quantized V cache (q8_0) needs flash attention, which is off: set it to auto, or cacheTypeV to f16",
    );
    expect([said["huge perplexity"], said["huge speed"]]).toEqual(["done", "done"]);
  });

  it.each(["gpt-4o", "deepseek-v3"])("of a crash in the tokenizer (%s): the text", async (pre) => {
    const model = writeRandomLlama(folder, pre, { metadata: { "tokenizer.ggml.pre": string(pre) } });
    const file = join(folder, "run-of-letters.txt");
    writeFileSync(file, `${someText(4000)}${"Z".repeat(131_072)}${someText(4000)}`);
    const out = join(folder, `out-${pre}`);
    await bench(["run", "--model", model, "--text", file, "--chunks", "2", "--out", out, "--plain"], { env });
    const failed = eventsOf(out).find((event) => event.type === "job-failed");
    expect(failed).toMatchObject({
      failure: {
        message: expect.stringMatching(
          /crashed \(SIGSEGV\) while measuring perplexity \(tokenizing run-of-letters\.txt\)\.$/,
        ),
        hint: expect.stringContaining("overflows llama.cpp's tokenizer"),
      },
    });
  });
});

describe("what llama.cpp warns of", () => {
  it("stands beside the figures, once, also when the run is taken up again", async () => {
    const first = await measured("warned", {
      nopre: { metadata: { "tokenizer.ggml.pre": undefined } },
      special: { metadata: { "tokenizer.ggml.eos_token_id": uint32(99_999) } },
      lies: { metadata: { "general.file_type": uint32(15) } },
      nobos: { metadata: { "tokenizer.ggml.bos_token_id": undefined } },
      plain: {},
    });
    expect({ code: first.code, said: first.said }).toMatchObject({ code: 0 });
    const warnings = [
      "lies: its general.file_type says Q4_K_M, but most of its weights are F32: it is named F32 here",
      expect.stringMatching(/^nobos: it begins texts with BOS, but .*: llama\.cpp takes token 11, "."$/),
      "nopre: llama.cpp warns: missing pre-tokenizer type, using: 'default'; GENERATION QUALITY WILL BE DEGRADED!",
      "special: llama.cpp warns: bad special token: 'tokenizer.ggml.eos_token_id' = 99999, using default id 11",
    ];
    expect(first.warnings.sort()).toEqual(warnings);
    await bench(["run", first.file, "--out", first.out, "--plain"], { env });
    const table = readFileSync(join(first.out, "table.md"), "utf8");
    for (const said of [
      "missing pre-tokenizer type",
      "bad special token",
      "its general.file_type says",
      "begins texts",
    ])
      expect(table.split(said)).toHaveLength(2);
  });
});

describe("a model that says nothing of the next token", () => {
  it("has no figure: logits that are all equal, and logits that are no numbers", async () => {
    const { code, said } = await measured("equal", {
      zeros: { fill: { "output.weight": 0 } },
      alike: { fill: { "output_norm.weight": 0 } },
      nan: { fill: { "output.weight": Number.NaN } },
      infinite: { fill: { "blk.1.ffn_down.weight": 1e38 } },
      row: { fill: { "token_embd.weight": Number.NaN } },
    });
    expect(code).toBe(1);
    for (const measurement of ["perplexity", "speed"]) {
      for (const variant of ["zeros", "alike"])
        expect(said[`${variant} ${measurement}`]).toBe(
          "every token of the vocabulary has the same logit: this model gives no next-token probabilities.",
        );
      expect(said[`infinite ${measurement}`]).toMatch(/no numbers|the same logit/);
      for (const variant of ["nan", "row"])
        expect(said[`${variant} ${measurement}`]).toMatch(/^the model's log(-probabilitie|it)s are no numbers \(/);
    }
  });
});

describe("llama.cpp's defaults", () => {
  const library = loadLibrary(chooseLibrary("cpu"));

  it("of its tools differ from the library's in these parameters alone", ({ skip }) => {
    const own = library.contextDefaults();
    const differing = Object.entries(toolDefaults).filter(([name, value]) => own[name] !== value);
    expect(differing).toEqual(Object.entries(toolDefaults));
    const source = join(folder, "llama.cpp");
    const bundle = join(packageFolder("node-llama-cpp") ?? "", "llama", "gitRelease.bundle");
    if (!existsSync(bundle)) return skip("llama.cpp's source is not installed");
    mkdirSync(source);
    execFileSync("git", ["clone", "-q", "--bare", "--single-branch", bundle, source], { stdio: "ignore" });
    const show = (file: string) => execFileSync("git", ["-C", source, "show", `HEAD:${file}`], { encoding: "utf8" });
    const header = show("common/common.h").match(/struct common_params \{[\s\S]*?\n\};/)![0];
    const enums: Record<string, number> = {};
    for (const [, name, value] of show("include/llama.h").matchAll(/\b(LLAMA_\w+)\s*=\s*(-?\d+)/g))
      enums[name!] = Number(value);
    const value = (name: string): unknown => {
      const [, found] = header.match(new RegExp(`\\b${name}\\s*=\\s*([^;]+);`)) ?? [];
      if (found === undefined) return undefined;
      if (found === "true" || found === "false") return found === "true";
      if (found.startsWith("GGML_TYPE_")) return { F32: 0, F16: 1 }[found.slice(10)];
      return enums[found] ?? Number.parseFloat(found);
    };
    // How the tools hand them on: common_context_params_to_llama and common_model_params_to_llama.
    const names = {
      context: {
        ...Object.fromEntries(
          "n_batch n_ubatch n_outputs_max n_outputs_max_per_seq rope_scaling_type rope_freq_base rope_freq_scale yarn_ext_factor yarn_attn_factor yarn_beta_fast yarn_beta_slow yarn_orig_ctx pooling_type attention_type flash_attn_type no_perf swa_full kv_unified"
            .split(" ")
            .map((name) => [name, value(name)]),
        ),
        ...{ n_seq_max: value("n_parallel"), embeddings: value("embedding") },
        ...{ offload_kqv: !value("no_kv_offload"), op_offload: !value("no_op_offload") },
        ...{ type_k: value("cache_type_k"), type_v: value("cache_type_v") },
      },
      model: {
        ...Object.fromEntries(
          "n_gpu_layers main_gpu split_mode load_mode lazy_mode check_tensors no_host"
            .split(" ")
            .map((name) => [name, value(name)]),
        ),
        use_extra_bufts: !value("no_extra_bufts"),
      },
    };
    const differences = (theirs: Record<string, unknown>, ours: Record<string, unknown>) =>
      Object.fromEntries(Object.entries(theirs).filter(([name, found]) => found !== ours[name]));
    expect(Object.values({ ...names.context, ...names.model })).not.toContain(undefined);
    expect(differences(names.context, own)).toEqual(toolDefaults);
    expect(differences(names.model, library.modelDefaults())).toEqual({});
  });

  it("give layers with a sliding window a cache of the window; swaFull one of the whole context", async () => {
    const model = writeRandomLlama(folder, "window", { window: 512, context: 4096 });
    const file = join(folder, "window.yaml");
    writeFileSync(join(folder, "long.txt"), someText(20_000));
    writeFileSync(
      file,
      `variants:\n  a: {model: ${model}}\n  b: {model: ${model}, swaFull: true}\n  c: {model: ${model}, swaFull: false}\n` +
        "measurements:\n  perplexity: {text: long.txt, context: 2048, chunks: 2}\n",
    );
    const out = join(folder, "window-out");
    await bench(["run", file, "--out", out, "--plain"], { env });
    const started = eventsOf(out).find((event) => event.type === "started")!;
    const ids = Object.fromEntries(started.jobs.map(({ id, variant }) => [variant, id]));
    expect(ids.a).not.toBe(ids.b);
    const row = (variant: string) =>
      readFileSync(join(out, "table-long.csv"), "utf8")
        .split("\n")
        .find(
          (line) =>
            (line.startsWith(`${variant},`) && line.includes(",perplexity,perplexity")) ||
            line.startsWith(`${variant},llama,perplexity`),
        )!
        .split(",")[5];
    expect(row("a")).toBe(row("c"));
    expect(row("a")).not.toBe(row("b"));
    if (!native) return;
    const flags = ["-m", model, "-f", join(folder, "long.txt"), "-c", "2048", "--chunks", "2", "-t", "1"];
    const theirs = async (more: string[]) => {
      for (let tries = 0; tries < 8; tries++) {
        const { stdout, stderr } = await promisify(execFile)(native!.llamaPerplexity, [...flags, ...more], {
          env: { ...process.env, LD_LIBRARY_PATH: native!.libraries },
        });
        const found = `${stdout}${stderr}`.match(/Final estimate: PPL = (\S+)/)?.[1];
        if (found) return found;
      }
      return "";
    };
    const same = join(folder, "window-same");
    const theirLibrary = { ...env, GGUF_BENCH_LIBRARY: native.libraries };
    const { stdout } = await bench(["run", file, "--out", same, "--plain"], { env: theirLibrary });
    const ours = (variant: string) => stdout.match(new RegExp(`${variant} perplexity: PPL (\\S+)`))?.[1];
    expect(ours("a")).toBe(await theirs([]));
    expect(ours("b")).toBe(await theirs(["--swa-full"]));
  });
});

describe("a perplexity that is no better than guessing", () => {
  it("is marked as broken wherever it would stand, and compared with nothing", async () => {
    const { code, stdout, out } = await measured("guess", {
      // Louder and louder: surer and surer of what does not come.
      loud: { fill: { "output_norm.weight": 30 } },
      louder: { fill: { "output_norm.weight": 1e4 } },
      loudest: { fill: { "output_norm.weight": 1e30 } },
      plain: {},
    });
    expect(code).toBe(2);
    for (const variant of ["loud", "louder", "loudest"])
      expect(stdout).toMatch(
        new RegExp(`${variant} perplexity: PPL broken: a perplexity of \\S+ is no better than guessing`),
      );
    const long = readFileSync(join(out, "table-long.csv"), "utf8");
    expect(long).toMatch(/^plain,llama,perplexity,text.txt,perplexity,/m);
    expect(long).not.toMatch(/^loud\w*,llama,perplexity,text.txt,(perplexity|bits)/m);
    expect(readFileSync(join(out, "table.csv"), "utf8")).toMatch(
      /^loudest,.*no better than guessing among the 258 tokens/m,
    );
    const table = readFileSync(join(out, "table.md"), "utf8");
    expect(table).toMatch(/^\| loud .*broken/m);
    const compared = await bench(["compare", `${out}:loud`, `${out}:plain`, "--metric", "perplexity"], { env });
    expect(compared.stdout).toContain("no better than guessing");
    const gated = await bench(["gate", out, "--rule", "perplexity: < 1e9"], { env });
    expect(gated.stdout).not.toMatch(/^pass .*loud/m);
  });
});

describe("tokenizers", () => {
  const cut = (name: string, metadata: RandomLlama["metadata"]) =>
    writeRandomLlama(folder, name, metadata ? { metadata } : {});
  const alike: Record<string, RandomLlama["metadata"]> = {
    "adds-no-eos": { "tokenizer.ggml.add_eos_token": yes(false) },
    "adds-eos": { "tokenizer.ggml.add_eos_token": yes(true) },
    "unused-unknown": { "tokenizer.ggml.unknown_token_id": uint32(3) },
    "another-name": { "tokenizer.ggml.pre": string("phi-2") },
    "splits-alike-here": { "tokenizer.ggml.pre": string("mpt") },
    template: { "tokenizer.chat_template": string("{{ messages }}") },
  };
  const other: Record<string, RandomLlama["metadata"]> = {
    "no-bos": { "tokenizer.ggml.add_bos_token": yes(false) },
    "no-merge": { "tokenizer.ggml.merges": strings(["Z Z"]) },
    "another-bos": { "tokenizer.ggml.bos_token_id": uint32(7) },
  };

  it("are one where they give the same ids for this text, and are refused where they do not", async () => {
    const all = { plain: undefined, ...alike, ...other };
    const variants = Object.entries(all).map(
      ([name, metadata]) =>
        `  ${name}: {model: ${cut(`cut-${name}`, metadata)}${name === "plain" ? ", reference: true" : ""}}`,
    );
    const file = join(folder, "cut.yaml");
    const how = "{text: text.txt, context: 64, chunks: 12}";
    writeFileSync(file, `variants:\n${variants.join("\n")}\nmeasurements: {perplexity: ${how}, divergence: ${how}}\n`);
    const out = join(folder, "cut");
    await bench(["run", file, "--out", out, "--plain"], { env });
    const said = verdicts(eventsOf(out));
    for (const name of Object.keys(alike)) {
      expect([name, said[`${name} divergence`]]).toEqual([name, "done"]);
      const { stdout } = await bench(["compare", `${out}:${name}`, `${out}:plain`, "--metric", "perplexity"], { env });
      expect(stdout).not.toMatch(/tokenizers differ/);
    }
    for (const name of Object.keys(other)) {
      expect(said[`${name} divergence`]).toMatch(
        /^its tokenizer cuts text\.txt into other tokens than the reference's does, from/,
      );
      const { stdout } = await bench(["compare", `${out}:${name}`, `${out}:plain`, "--metric", "perplexity"], { env });
      expect(stdout).toMatch(/tokenizers differ/);
    }
  });
});
