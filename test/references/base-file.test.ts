import { execFile, spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { simdComparer } from "../../dist/kernels/rows.js";
import { expf } from "../../dist/kernels/softmax.js";
import { findForm, openReference } from "../../dist/references/index.js";
import { rowsPerChunk } from "../../dist/references/reference.js";
import { normals } from "../draws.mjs";
import { comingFirst } from "../repository.js";
import {
  bench,
  golden,
  ladder,
  llamaPerplexity,
  native,
  someText,
  temporaryFolder,
  wikitext,
  writeRandomLlama,
} from "../support.js";

const folder = temporaryFolder();
const env = { GGUF_BENCH_CACHE: join(folder, "cache") };
const text = join(folder, "text.txt");
writeFileSync(text, `${someText(9000)}\n`);
const run = promisify(execFile);

/** What llama-perplexity --kl-divergence prints after its chunks: the name of a line, its figure and ±. */
function figuresOf(said: string): Record<string, string[]> {
  const lines = said.slice(said.indexOf("====== Perplexity")).split("\n");
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name, rest] = line.trim().match(/^(\S.*?)\s*:\s+(.*)$/) ?? [];
      return name ? [[name.replace(/\s+/g, " "), rest!.match(/-?\d+\.\d+/g)!]] : [];
    }),
  );
}

/** The same lines from our table-long.csv, written with as many digits. */
function ownFigures(out: string): Record<string, string[]> {
  const rows = readFileSync(join(out, "table-long.csv"), "utf8").trimEnd().split("\n");
  const found = new Map(
    rows
      .map((row) => row.split(","))
      .filter(([, , measurement]) => measurement === "divergence")
      .map(([, , , , metric, value, error]) => [metric!, [Number(value), error === "" ? undefined : Number(error)]]),
  );
  const line = (metric: string, digits: number, factor = 1, errorDigits = digits) =>
    found
      .get(metric)!
      .filter((figure) => figure !== undefined)
      .map((figure, i) => (figure * factor).toFixed(i === 0 ? digits : errorDigits));
  const percents = (name: string, sign: string, list: number[], digits: number, factor: number) =>
    Object.fromEntries(list.map((p) => [`${p.toFixed(1)}% ${sign}`, line(`${name}_p${p}`, digits, factor)]));
  return {
    "Mean PPL(Q)": line("perplexity_variant", 6),
    "Mean PPL(base)": line("perplexity_reference", 6),
    "Cor(ln(PPL(Q)), ln(PPL(base)))": line("ln_ppl_correlation", 2, 100),
    "Mean ln(PPL(Q)/PPL(base))": line("ln_ppl_ratio", 6),
    "Mean PPL(Q)/PPL(base)": line("ppl_ratio", 6),
    "Mean PPL(Q)-PPL(base)": line("ppl_difference", 6),
    "Mean KLD": line("kld", 6),
    "Maximum KLD": line("kld_max", 6),
    ...percents("kld", "KLD", [99.9, 99, 95, 90, 10, 5, 1, 0.1], 6, 1),
    "Median KLD": line("kld_median", 6),
    "Minimum KLD": line("kld_min", 6),
    "Mean Δp": line("delta_p", 3, 100),
    "Maximum Δp": line("delta_p_max", 3, 100),
    ...percents("delta_p", "Δp", [99.9, 99, 95, 90, 75, 25, 10, 5, 1, 0.1], 3, 100),
    "Median Δp": line("delta_p_median", 3, 100),
    "Minimum Δp": line("delta_p_min", 3, 100),
    "RMS Δp": line("delta_p_rms", 3, 100),
    "Same top p": line("same_top", 3, 100),
  };
}

async function ours(model: string, base: string, out: string, more: NodeJS.ProcessEnv = {}) {
  const args = ["--measure", "divergence", "--base", base, "--threads", "1", "--plain"];
  const { code, stderr } = await bench(["run", "--model", model, ...args, "--out", out], { env: { ...env, ...more } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return ownFigures(out);
}

async function theirs(model: string, base: string, context: number) {
  const flags = ["-m", model, "-c", String(context), "-t", "1", "--kl-divergence", "--kl-divergence-base", base];
  // Its log is written by a thread that the end of the program may overtake; then it is asked again.
  const log = join(folder, "theirs.log");
  for (let tries = 0; tries < 20; tries++) {
    const file = openSync(log, "w");
    const child = spawn(...comingFirst(llamaPerplexity!, flags), { stdio: ["ignore", file, file] });
    await new Promise((resolve) => child.on("close", resolve));
    closeSync(file);
    const said = readFileSync(log, "utf8");
    if (/Same top p: .*%/.test(said)) return figuresOf(said);
  }
  throw new Error(`llama-perplexity did not print its figures, see ${log}`);
}

describe.skipIf(!llamaPerplexity)(`as llama-perplexity${llamaPerplexity ? "" : " (not on this machine)"}`, () => {
  const demo = fileURLToPath(new URL("../../datasets/demo/demo-v2-F16.gguf", import.meta.url));
  const heldOut = fileURLToPath(new URL("../../datasets/demo-en/heldout-en.txt", import.meta.url));
  const models = { random: writeRandomLlama(folder, "random"), demo };

  for (const [name, context, chunks] of [
    ["random", 128, 9],
    ["random", 1000, 2],
    ["demo", 256, 5],
  ] as const) {
    const model = models[name];
    // A text that the model knows: at a perplexity of tens of thousands the printed digits are more than float32 holds.
    const file = name === "demo" ? heldOut : text;
    it.skipIf(!existsSync(model))(`${name}, ${chunks} × ${context}: bytes and figures`, async () => {
      const stem = join(folder, `${name}-${context}`);
      const geometry = ["--chunks", String(chunks)];
      const flags = ["-m", model, "-f", file, "-c", String(context), ...geometry, "-t", "1"];
      await run(llamaPerplexity!, [...flags, "--kl-divergence-base", `${stem}.theirs`], { maxBuffer: 1 << 26 });
      const asked = ["--text", file, "--context", String(context), ...geometry, "--threads", "1"];
      const wrote = await bench(["reference", model, ...asked, "--out", `${stem}.ours`], { env });
      expect(wrote.code, wrote.stderr).toBe(0);
      expect(readFileSync(`${stem}.ours`).equals(readFileSync(`${stem}.theirs`))).toBe(true);

      const variant = await damagedBy(name, model);
      const printed = await theirs(variant, `${stem}.ours`, context);
      expect(Object.keys(printed)).toHaveLength(34);
      expect(await ours(variant, `${stem}.theirs`, `${stem}-run`)).toEqual(printed);
    });
  }

  /** A quantization of the model, or another model of the same vocabulary where it is too small to be quantized. */
  async function damagedBy(name: string, model: string): Promise<string> {
    if (name === "random") return writeRandomLlama(folder, "other", { seed: 77 });
    const { code, stderr } = await bench(["quantize", model, "--types", "Q3_K_M", "--out", folder], { env });
    expect(code, stderr).toBe(0);
    return join(folder, readdirSync(folder).find((file) => file.endsWith("Q3_K_M.gguf"))!);
  }
});

const models = (golden ? readdirSync(golden) : [])
  .flatMap((log) => log.match(/^(smollm2-.*)\.kld\.log$/)?.[1] ?? [])
  .filter((name) => existsSync(join(ladder, `${name}.gguf`)));
const reference = join(ladder, "smollm2-F16.gguf");
const lacking = !native || !wikitext || models.length === 0 || !existsSync(reference);

describe.skipIf(lacking)(`figures printed elsewhere${lacking ? " (its models or tools are not here)" : ""}`, () => {
  const base = join(folder, "smollm2-F16.base");
  /** Last digits depend on the processor: only where llama-perplexity itself prints the same, ours must. */
  let same = false;
  beforeAll(async () => {
    const geometry = ["-f", wikitext!, "-c", "512", "--chunks", "16", "-t", "2"];
    const running = (said: string) => (said.match(/\[\d+\]\d+\.\d{4}/g) ?? []).join();
    const expected = running(readFileSync(join(golden!, "smollm2-F16.ppl.log"), "utf8"));
    const asked = ["-m", reference, ...geometry, "--kl-divergence-base", base];
    const { stdout, stderr } = await run(native!.llamaPerplexity, asked, { maxBuffer: 1 << 26 });
    same = running(stdout + stderr) === expected;
  });
  for (const name of models)
    it(`${name}, 16 chunks of WikiText-2`, async ({ skip }) => {
      if (!same) skip("llama-perplexity's own last digits are others on this processor");
      const printed = figuresOf(readFileSync(join(golden!, `${name}.kld.log`), "utf8"));
      expect(Object.keys(printed)).toHaveLength(34);
      const library = { GGUF_BENCH_LIBRARY: native!.libraries };
      expect(await ours(join(ladder, `${name}.gguf`), base, join(folder, `golden-${name}`), library)).toEqual(printed);
    });
});

/**
 * What the file leaves out, row by row: log-probabilities are rounded to half a step, and tokens below e^−16 are not summed.
 * Lock-step does neither, so the two may differ by that much and no more.
 */
describe("lock-step against the file", () => {
  const vocabulary = 49_152;
  const context = 32;
  const normal = normals(11);
  const rows = Array.from({ length: rowsPerChunk(context) }, (_, row) =>
    Float32Array.from({ length: vocabulary }, () => (2 + row / 5) * normal()),
  );
  const path = join(folder, "rows.base");

  it("differs by the file's rounding and its omitted tail alone", () => {
    const digest = { modelSha256: "a".repeat(64), tokenizerSha256: "b".repeat(64), textSha256: "c".repeat(64) };
    const writer = findForm("llama").create(path, { context, vocabulary, tokens: new Int32Array(context), ...digest });
    for (const [row, logits] of rows.entries()) writer.add(0, row, logits, 0);
    writer.finish();
    const opened = openReference(path);
    const compare = simdComparer(vocabulary);
    let [seen, allowed] = [0, 0];
    for (const [row, logits] of rows.entries())
      for (const noise of [0.05, 0.3, 1]) {
        const variant = logits.map((logit) => logit + noise * normal());
        const [lockStep] = compare(logits, [variant], 0);
        const [fromFile] = opened.compare(0, row, variant, 0).divergence;
        const most = roundingOfFile(logits, variant);
        const apart = Math.abs(lockStep!.divergence[0]! - fromFile!);
        expect(apart, `row ${row}, noise ${noise}`).toBeLessThanOrEqual(most + 2e-6);
        seen = Math.max(seen, apart);
        allowed = Math.max(allowed, most);
      }
    opened.close();
    // It is no empty test: ten times what float32 alone would make.
    expect(seen).toBeGreaterThan(1e-4);
    expect(allowed).toBeLessThan(3 * seen);
  });

  /** An upper bound of the difference, in nats. */
  function roundingOfFile(reference: Float32Array, variant: Float32Array): number {
    const logs = (logits: Float32Array) => {
      const most = logits.reduce((a, b) => Math.max(a, b));
      const total = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
      return Float64Array.from(logits, (logit) => logit - total);
    };
    const [p, q] = [logs(reference), logs(variant)];
    const [most, least] = [p.reduce((a, b) => Math.max(a, b)), p.reduce((a, b) => Math.min(a, b))];
    // Half a step of the code, and what float32 adds to it.
    const half = Math.min(16, most - least) / 65535 / 2 + 2e-6;
    let [tail, kept] = [0, 0];
    for (const [i, log] of p.entries()) {
      const ratio = log - q[i]!;
      // At the very edge a token may fall to either side.
      if (log < -16 - half) tail += Math.exp(log) * ratio;
      else kept += Math.exp(log) * (Math.expm1(half) * (Math.abs(ratio) + half) + half);
      if (Math.abs(log + 16) <= half) kept += Math.exp(log) * Math.abs(ratio);
    }
    return Math.abs(tail) + kept;
  }
});

describe("a file that cannot be used", () => {
  const base = join(folder, "mock.base");
  const model = ["--model", "mock:seed=1,damage=0.5"];
  const using = (file: string) => ["run", ...model, "--measure", "divergence", "--base", file, "--plain"];

  it("is made, and then is whole", async () => {
    const { code, stdout, stderr } = await bench([
      "reference",
      "mock:seed=1",
      "--text",
      text,
      "--chunks",
      "3",
      "--out",
      base,
    ]);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/mock\.base {2}\d+\.\d MB, llama: 3 chunks of 512 tokens, vocabulary 257/);
    const opened = openReference(base);
    expect(opened.head).toMatchObject({ form: "llama", context: 512, chunks: 3, vocabulary: 257 });
    expect(opened.tokens(2)).toHaveLength(512);
    opened.close();
    expect(readdirSync(folder).filter((file) => file.endsWith(".part"))).toEqual([]);
  });

  const refused = (file: string): BenchError => {
    try {
      openReference(file).close();
    } catch (error) {
      expect(error).toBeInstanceOf(BenchError);
      return error as BenchError;
    }
    throw new Error("it was not refused");
  };

  it("missing, foreign, empty, cut off, of a senseless head: a sentence each", () => {
    const whole = readFileSync(base);
    const made = (name: string, bytes: Uint8Array) => {
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    };
    const senseless = Buffer.from(whole);
    senseless.writeInt32LE(-5, 16);
    const cases: [string, string, RegExp][] = [
      [join(folder, "nowhere"), "reference-missing", /there is no stored reference/],
      [made("foreign", Buffer.from("GGUF and more")), "reference-foreign", /holds no log-probabilities/],
      [made("empty", Buffer.alloc(0)), "reference-foreign", /holds no log-probabilities/],
      [made("short-head", whole.subarray(0, 14)), "reference-damaged", /no whole reference file/],
      [made("cut", whole.subarray(0, whole.length - 1)), "reference-damaged", /2 of 3 chunks/],
      [made("senseless", senseless), "reference-damaged", /-5 chunks/],
    ];
    for (const [file, code, said] of cases) {
      const error = refused(file);
      expect({ file, code: error.code }).toEqual({ file, code });
      expect(error.message).toMatch(said);
      expect(error.message).not.toMatch(/\n/);
      expect(error.hint).toBeTruthy();
    }
  });

  it("on the command line: the sentence and exit code 1", async () => {
    const { code, stderr } = await bench([...using(join(folder, "cut")), "--out", join(folder, "r-cut")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^gguf-bench: .*2 of 3 chunks\.?\n/);
  });

  it("of another vocabulary: not possible, with both sizes", async () => {
    const random = writeRandomLlama(folder, "random");
    const out = join(folder, "r-vocabulary");
    const args = ["--measure", "divergence", "--base", base, "--out", out, "--plain"];
    const { code } = await bench(["run", "--model", random, ...args], { env });
    expect(code).toBe(1);
    expect(readFileSync(join(out, "table.md"), "utf8")).toMatch(/a vocabulary of 257 tokens, this model one of \d+/);
  });

  it("a job is another one for another file of the same name", async () => {
    const id = async () => JSON.parse((await bench([...using(base), "--dry-run", "--json"])).stdout).jobs[0].id;
    const before = await id();
    expect(await id()).toBe(before);
    const changed = readFileSync(base);
    changed[changed.length - 1]! ^= 1;
    writeFileSync(base, changed);
    expect(await id()).not.toBe(before);
  });
});

describe("expf", () => {
  it("is the float32 nearest to exp, but for one unit in the last place now and then", () => {
    let [off, far] = [0, 0];
    for (let i = 0; i < 200_000; i++) {
      const x = Math.fround(-104 * (i / 200_000) ** 2);
      const [own, exact] = [expf(x), Math.fround(Math.exp(x))];
      if (own !== exact) off++;
      if (Math.abs(own - exact) > Math.max(exact * 2 ** -23, 2 ** -149)) far++;
    }
    expect(far).toBe(0);
    expect(off).toBeLessThan(1000);
    expect([expf(0), expf(-0), expf(-200), expf(-Infinity)]).toEqual([1, 1, 0, 0]);
  });
});
