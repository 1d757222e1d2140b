import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import type { Event } from "../../dist/events.js";
import { childExecutor, type Executor, localPlace } from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { makePlan } from "../../dist/plan/index.js";
import { run, schedule } from "../../dist/run/index.js";
import { randomAdapter } from "../models/random-llama.js";
import { someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
process.env.GGUF_BENCH_CACHE = join(folder, "cache");
writeFileSync(join(folder, "text.txt"), someText(6_000));
writeRandomLlama(folder, "base", { heads: 2 });
writeFileSync(join(folder, "style.gguf"), randomAdapter({ seed: 3 }));
writeFileSync(join(folder, "tone.gguf"), randomAdapter({ seed: 4 }));
writeFileSync(join(folder, "wide.gguf"), randomAdapter({ width: 128 }));
writeFileSync(
  join(folder, "questions.txt"),
  Array.from({ length: 6 }, (_, i) =>
    [`A question ${i} of things and`, String(i % 4), "their ends", "words", "a model", "models of it"].join("\n"),
  ).join("\n"),
);
const perplexity = "perplexity: {text: text.txt, context: 64, chunks: 12}";
const divergence = "divergence: {text: text.txt, context: 64, chunks: 6, floor: 2}";
const hellaswag = "hellaswag: {file: questions.txt}";
const speed = "speed: {prompt: 16, generate: 4, repetitions: 2, depth: [0, 40]}";
let count = 0;

async function planned(variants: Record<string, string>, measured: string[]) {
  const rows = Object.entries(variants).map(
    ([name, own]) => `  ${name}: {${/model:/.test(own) ? "" : "model: base.gguf, "}threads: 1, ${own}}`,
  );
  const file = join(folder, `${count++}.yaml`);
  writeFileSync(file, `variants:\n${rows.join("\n")}\nmeasurements:\n${measured.map((one) => `  ${one}\n`).join("")}`);
  const benchmark = await readBenchmark(file, { measurements });
  return makePlan(benchmark, { command: [], versions: {}, place: localPlace });
}

type Planned = Awaited<ReturnType<typeof planned>>;

function digest(event: object): string {
  const bytes = (_: string, value: unknown) =>
    ArrayBuffer.isView(value)
      ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")
      : value;
  return createHash("sha256").update(JSON.stringify(event, bytes)).digest("hex").slice(0, 12);
}

/** All events, which processes were started, and what each of them became. */
async function performed(plan: Planned) {
  const executor = childExecutor();
  const opened: string[] = [];
  const open: Executor["open"] = async (variant, options) => {
    const engine = await executor.open(variant, options);
    const at = opened.push(variant.name) - 1;
    const { become } = engine;
    engine.become = (next, how) => {
      opened[at] += ` ${[next, ...(how.others ?? [])].map(({ name }) => name).join("+")}`;
      return become.call(engine, next, how);
    };
    return engine;
  };
  const all: Event[] = [];
  try {
    const options = {
      executor: { ...executor, open },
      done: new Map(),
      signal: new AbortController().signal,
      parallel: 1,
    };
    for await (const event of run(plan, options)) all.push(event);
  } finally {
    await executor.close();
  }
  const variantOf = new Map(plan.jobs.map(({ record: { id, variant, kind } }) => [id, { variant, kind }]));
  const samples = all.flatMap((event) => (event.type === "samples" ? [event] : []));
  // Times differ; everything else is the same to the last bit.
  const items = samples
    .filter(({ job, item }) => item !== "peak_memory" && variantOf.get(job)!.kind !== "speed")
    .map(({ job, ...event }) => {
      const { variant, kind } = variantOf.get(job)!;
      return `${variant} ${kind} ${job} ${event.item} ${digest(event)}`;
    });
  const facts = new Map(all.flatMap((event) => (event.type === "opened" ? [[event.variant, event.engine]] : [])));
  const memory = (name: string, kind: string) =>
    Object.fromEntries(
      samples
        .filter(({ job, item }) => {
          const { variant, kind: own } = variantOf.get(job)!;
          return item === "peak_memory" && variant === name && own === kind;
        })
        .flatMap(({ samples }) => samples.map(({ metric, value }) => [metric, value])),
    );
  const failures = all.flatMap((event) => (event.type === "job-failed" ? [event.failure.message] : []));
  return { all, opened, items: items.sort(), facts, memory, failures };
}

/** Of the perplexity's items of a variant. */
const digestsOf = (items: string[], name: string) =>
  items.filter((item) => item.startsWith(`${name} perplexity `)).map((item) => item.split(" ").slice(3).join(" "));

/** Nats per token of the chunks of a variant, in order. */
function valuesOf(events: Event[], name: string): number[] {
  const [started] = events;
  const { id } = started?.type === "started" ? started.jobs.find(({ variant }) => variant === name)! : { id: "" };
  return events.flatMap((event) =>
    event.type === "samples" && event.job === id && event.item !== "peak_memory"
      ? event.samples.flatMap(({ metric, value }) => (metric === "perplexity" ? [value] : []))
      : [],
  );
}

const variants = {
  plain: "reference: true",
  half: "lora: {path: style.gguf, scale: 0.5}",
  both: "lora: [style.gguf, {path: tone.gguf, scale: -1}]",
  twice: "lora: [style.gguf, style.gguf]",
  narrow: "cacheTypeK: q4_0, cacheTypeV: q8_0",
  off: 'flashAttention: "off"',
  small: "batch: 128, ubatch: 32",
};
const names = Object.keys(variants);

describe("variants of one load are measured in one engine", () => {
  it("interleaved, each has the digits that it has in an engine of its own, byte for byte", async () => {
    const { opened, items, facts, failures } = await performed(
      await planned(variants, [perplexity, hellaswag, speed, divergence]),
    );
    expect(failures).toEqual([]);
    expect(opened).toHaveLength(1);
    const became = opened[0]!.split(" ");
    // Speed takes turns, so the engine has become each of them again and again; then all stand beside the reference.
    expect(became.length).toBeGreaterThan(2 * 4 * 6);
    expect(became.at(-1)).toBe("plain+plain+half+both+twice+narrow+off+small");
    for (const name of names) expect(facts.get(name)!.loadedFor).toBe(name === "plain" ? undefined : "plain");
    const alone: string[] = [];
    for (const [name, own] of Object.entries(variants)) {
      alone.push(...(await performed(await planned({ [name]: own }, [perplexity, hellaswag]))).items);
      const beside = { plain: variants.plain, [name]: own };
      alone.push(...(await performed(await planned(beside, [divergence]))).items);
    }
    // The reference's noise floor is measured beside each.
    expect(items).toEqual([...new Set(alone)].sort());
    // None was measured as its neighbour; smaller batches alone may change no digit.
    const perplexities = names.filter((name) => name !== "small").map((name) => digestsOf(items, name).join());
    expect(new Set(perplexities).size).toBe(names.length - 1);
  }, 300_000);

  it("a scale of 0 is the base to the last bit, and a scale of 1 a model merged by hand", async () => {
    writeRandomLlama(folder, "merged", { heads: 2, merged: { seed: 3, scale: 1 } });
    const all = {
      plain: "reference: true",
      zero: "lora: {path: style.gguf, scale: 0}",
      half: "lora: {path: style.gguf, scale: 0.5}",
      full: "lora: style.gguf",
      merged: "model: merged.gguf",
    };
    const { opened, all: events, facts } = await performed(await planned(all, [perplexity]));
    expect(opened).toEqual(["plain zero half full", "merged"]);
    expect(facts.get("merged")!.loadedFor).toBeUndefined();
    const nll = (name: string) => valuesOf(events, name);
    expect(nll("zero")).toEqual(nll("plain"));
    expect(nll("plain")).toHaveLength(12);
    const [full, merged, plain, half] = [nll("full"), nll("merged"), nll("plain"), nll("half")];
    for (const [i, value] of merged.entries()) {
      // float32 rounds B (A x) otherwise than (B A) x.
      expect(Math.abs(full[i]! - value)).toBeLessThan(1e-5 * value);
      expect(Math.abs(full[i]! - plain[i]!)).toBeGreaterThan(0.002);
      expect(Math.abs(half[i]! - plain[i]!)).toBeGreaterThan(0.0005);
    }
  });

  it("memory is that of the variant: not of those before it, nor of those beside it", async () => {
    const asked = [perplexity, divergence];
    const some = { plain: variants.plain, narrow: variants.narrow, half: variants.half };
    const { memory } = await performed(await planned(some, asked));
    for (const [name, own] of Object.entries(some)) {
      const alone = (await performed(await planned({ [name]: own }, [perplexity]))).memory(name, "perplexity");
      for (const kind of ["perplexity", "divergence"]) {
        const { peak_memory, kv_cache } = memory(name, kind);
        expect(Math.abs(peak_memory! / alone.peak_memory! - 1)).toBeLessThan(0.25);
        expect(kv_cache).toBe(alone.kv_cache);
      }
    }
    // 2 layers of 1 head of 32 values, K and V: 32 windows, each in 256 cells, llama.cpp's least.
    const values = 2 * 32 * 32 * 256;
    expect(memory("plain", "perplexity").kv_cache).toBe(2 * values * 2);
    expect(memory("narrow", "perplexity").kv_cache).toBe((values * (4.5 + 8.5)) / 8);
  });

  it("what cannot be opened in its place leaves the engine as it was", async () => {
    const all = {
      plain: "reference: true",
      unfit: "lora: wide.gguf",
      half: "lora: {path: style.gguf, scale: 0.5}",
      blocks: "cacheTypeK: q4_0, cacheTypeV: q4_0",
    };
    const { opened, failures, facts } = await performed(await planned(all, [perplexity]));
    expect(opened).toEqual(["plain unfit half blocks"]);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(/LoRA adapter .*wide\.gguf/);
    expect(facts.get("half")!.loadedFor).toBe("plain");
  });

  it("one that takes the process down costs its own cell, and the others are loaded anew", async () => {
    const file = join(folder, "crash.yaml");
    const mock = (threads: number, crash = "") => `{model: "mock:seed=1${crash}", threads: ${threads}}`;
    writeFileSync(
      file,
      `variants:\n  a: ${mock(1)}\n  b: ${mock(2)}\n  c: ${mock(2, ",crash=1")}\n  d: ${mock(3, ",crash=1")}\nmeasurements:\n  speed: {prompt: 8, generate: 4, repetitions: 2}\n`,
    );
    const plan = await makePlan(await readBenchmark(file, { measurements }), {
      command: [],
      versions: {},
      place: localPlace,
    });
    const { opened, failures, all } = await performed(plan);
    expect(failures).toHaveLength(2);
    expect(all.filter(({ type }) => type === "job-done")).toHaveLength(2);
    expect(opened.filter((names) => names.startsWith("a"))).toHaveLength(1);
  });

  it("those of one load stand next to each other in the schedule", async () => {
    writeRandomLlama(folder, "other", { seed: 2 });
    const plan = await planned(
      { a: "cacheTypeK: q8_0", x: "model: other.gguf", b: "cacheTypeK: q4_0", y: "model: other.gguf, ubatch: 64" },
      [perplexity, speed],
    );
    const steps = [...schedule(plan, new Map())];
    expect(steps.flatMap((step) => (step.kind === "alone" ? [step.variant] : []))).toEqual(["a", "b", "x", "y"]);
    const { opened } = await performed(plan);
    expect(opened).toHaveLength(2);
  });
});
