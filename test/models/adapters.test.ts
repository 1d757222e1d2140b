import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import { describePlan } from "../../dist/commands/describe.js";
import { localPlace } from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { makePlan } from "../../dist/plan/index.js";
import { bench, eventsOf, someText, temporaryFolder, verdicts, writeRandomLlama } from "../support.js";
import { randomAdapter } from "./random-llama.js";
import { tinyGguf } from "./tiny-gguf.js";

const folder = temporaryFolder();
process.env.GGUF_BENCH_CACHE = join(folder, "cache");
writeFileSync(join(folder, "text.txt"), someText(3000));
writeRandomLlama(folder, "base");
writeRandomLlama(folder, "other", { seed: 2 });
mkdirSync(join(folder, "models"));
const adapter = (name: string, options: Parameters<typeof randomAdapter>[0] = {}) =>
  writeFileSync(join(folder, name), randomAdapter(options));
adapter("style.gguf");

let count = 0;
/** A benchmark file with this adapter beside the base; `measured` may name another measurement. */
function benchmark(lora: string, measured = "perplexity: {text: text.txt, context: 64, chunks: 4}"): string {
  const file = join(folder, `b${count++}.yaml`);
  const variants = `  base: {model: base.gguf, reference: true, threads: 1}\n  tuned: {model: base.gguf, threads: 1, lora: ${lora}}`;
  writeFileSync(file, `variants:\n${variants}\nmeasurements:\n  ${measured}\n`);
  return file;
}
const planOf = async (file: string) =>
  makePlan(await readBenchmark(file, { measurements, modelsDir: join(folder, "models") }), {
    command: [],
    place: localPlace,
    versions: {},
  });
const planned = async (lora: string, measured?: string) => {
  const benchmarkFile = await readBenchmark(benchmark(lora, measured), { measurements });
  return makePlan(
    { ...benchmarkFile, modelsDir: join(folder, "models") },
    { command: [], versions: {}, place: localPlace },
  );
};
const idOf = async (lora: string, variant = "tuned", measured?: string) =>
  (await planned(lora, measured)).jobs.find(({ record }) => record.variant === variant)!.record.id;

describe("an adapter's bytes are part of the job", () => {
  it("whatever file lies under the path, wherever the same file lies, at which scale", async () => {
    const before = await idOf("style.gguf");
    expect(await idOf("base.gguf", "base")).not.toBe(before);
    // The same bytes elsewhere are the same adapter.
    adapter("copy.gguf");
    expect(await idOf("copy.gguf")).toBe(before);
    expect(await idOf("{path: style.gguf, scale: 1}")).toBe(before);
    const changed = new Set([before]);
    for (const scale of [0.5, -1, 2]) changed.add(await idOf(`{path: style.gguf, scale: ${scale}}`));
    for (const seed of [2, 3, 4]) {
      adapter("style.gguf", { seed });
      changed.add(await idOf("style.gguf"));
    }
    adapter("style.gguf");
    changed.add(await idOf("[style.gguf, style.gguf]"));
    expect(changed.size).toBe(8);
    expect(await idOf("style.gguf")).toBe(before);
  });

  it("of the reference that a divergence is measured against as well", async () => {
    const against = async (seed: number) => {
      adapter("reference.gguf", { seed });
      const file = join(folder, `b${count++}.yaml`);
      writeFileSync(
        file,
        `variants:
  tuned: {model: base.gguf, lora: reference.gguf, reference: true}
  plain: {model: base.gguf}
measurements:
  divergence: {text: text.txt, context: 64, chunks: 2}
`,
      );
      return (await planOf(file)).jobs.find(({ record }) => record.variant === "plain")!.record.id;
    };
    expect(new Set([await against(1), await against(2), await against(3)]).size).toBe(3);
  });

  it("measured again under the same path, it gives the new adapter's figure", async () => {
    const file = benchmark("style.gguf");
    const out = join(folder, "run");
    const figures: number[][] = [];
    for (const seed of [1, 7]) {
      adapter("style.gguf", { seed });
      expect((await bench(["run", file, "--out", out, "--plain"])).code).toBe(0);
      const events = eventsOf(out);
      const started = events.findLast((event) => event.type === "started")!;
      const { id } = started.jobs.find((job) => job.variant === "tuned")!;
      figures.push(
        events.flatMap((event) =>
          event.type === "samples" && event.job === id && event.item !== "peak_memory" ? [event.samples[0]!.value] : [],
        ),
      );
    }
    adapter("style.gguf");
    expect(figures[0]).toHaveLength(4);
    expect(figures[1]).toHaveLength(4);
    for (const [i, value] of figures[0]!.entries()) expect(figures[1]![i]).not.toBeCloseTo(value, 4);
  });
});

describe("an adapter is looked for", () => {
  it("from the benchmark file's folder, then in the models' folder, not from the working directory", async () => {
    expect((await planned("style.gguf")).variants[1]!.failure).toBeUndefined();
    writeFileSync(join(folder, "models", "kept.gguf"), randomAdapter({ seed: 5 }));
    const { variants, jobs } = await planned("kept.gguf");
    expect(variants[1]!.failure).toBeUndefined();
    expect(jobs[1]!.spec.lora).toMatchObject([{ path: join(folder, "models", "kept.gguf"), scale: 1 }]);
    expect((await planned("kept")).variants[1]!.failure).toBeUndefined();
  });

  it("one that cannot be used is one sentence before anything is loaded, and the base is measured", async () => {
    writeFileSync(join(folder, "matrix.gguf"), tinyGguf({ metadata: { "general.type": "imatrix" } }));
    adapter("qwen.gguf", { architecture: "qwen2" });
    writeFileSync(join(folder, "cut.gguf"), randomAdapter().subarray(0, 2000));
    writeFileSync(join(folder, "words.gguf"), "these are words, no weights\n".repeat(50));
    const said: [lora: string, sentence: RegExp][] = [
      ["absent.gguf", /^the LoRA adapter absent\.gguf: there is no file /],
      ["other.gguf", /other\.gguf is no LoRA adapter but a model\.$/],
      ["matrix.gguf", /matrix\.gguf is no LoRA adapter but an importance matrix\.$/],
      ["qwen.gguf", /an adapter for the architecture qwen2; the model is of the architecture llama\.$/],
      ["cut.gguf", /^the LoRA adapter cut\.gguf: .* is cut off/],
      ["words.gguf", /^the LoRA adapter words\.gguf: .* it seems to be text\.$/],
      ["models", /^the LoRA adapter models: .* is a folder/],
    ];
    for (const [lora, sentence] of said) {
      const plan = await planned(lora);
      expect(plan.variants[0]!.failure).toBeUndefined();
      const failure = plan.variants[1]!.failure!;
      expect(failure.message, lora).toMatch(sentence);
      expect(failure.hint, lora).toBeTruthy();
      expect(describePlan(plan)).toContain(failure.message);
    }
  });

  it("one of a base of another width fails alone, with llama.cpp's reason, told once", async () => {
    adapter("wide.gguf", { width: 128 });
    const out = join(folder, "wide");
    const measured =
      "perplexity: {text: text.txt, context: 64, chunks: 4}\n  speed: {prompt: 8, generate: 2, repetitions: 1}";
    const { code, stdout, stderr } = await bench(["run", benchmark("wide.gguf", measured), "--out", out, "--plain"]);
    expect(code).toBe(2);
    const lines = (stdout + stderr).split("\n").filter((line) => / tuned \w+: failed/.test(line));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain("could not load the LoRA adapter wide.gguf: tensor ");
    expect(lines[0]!.length).toBeLessThan(200);
    expect(lines[1]).toMatch(/ tuned speed: failed, as perplexity did$/);
    expect(verdicts(eventsOf(out))["base perplexity"]).toBe("done");
    // The cause, with one full stop: not the first line of the log that has some word in it.
    expect(verdicts(eventsOf(out))["tuned perplexity"]).toMatch(
      /could not load the LoRA adapter \S*wide\.gguf: tensor '\S+' has incorrect shape[^.]*\.?$/,
    );
  });

  it("a mock model takes none", async () => {
    const file = join(folder, "mock.yaml");
    writeFileSync(
      file,
      'variants: {a: {model: "mock:seed=1", lora: style.gguf}}\nmeasurements: {perplexity: {text: text.txt, context: 64}}\n',
    );
    expect((await planOf(file)).variants[0]!.failure!.message).toMatch(/no weights that an adapter could change/);
  });
});
