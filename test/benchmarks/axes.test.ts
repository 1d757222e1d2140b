import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { randomAdapter } from "../models/random-llama.js";
import { bench, eventsOf, someText, temporaryFolder, writeRandomLlama } from "../support.js";

// The benchmark files whose variants share a load, with stand-ins for the models.
const folder = temporaryFolder();
const model = writeRandomLlama(folder, "base", { heads: 2 });
const merged = writeRandomLlama(folder, "merged", { heads: 2, merged: { seed: 3, scale: 1 } });
const adapter = join(folder, "adapter.gguf");
writeFileSync(adapter, randomAdapter({ seed: 3 }));
// Three chunks; files that ask for more take what is there.
const text = join(folder, "text.txt");
writeFileSync(text, someText(1_300));

async function measured(name: string, exclude: string[], env: Record<string, string>) {
  const out = join(folder, name);
  const less = exclude.flatMap((pattern) => ["--exclude", pattern]);
  const args = ["run", `benchmarks/${name}.yaml`, ...less, "--parallel", "1", "--out", out, "--plain"];
  const { code, stderr } = await bench(args, { env: { ...env, TEXT: text, GGUF_BENCH_CACHE: join(folder, "cache") } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const rows = readFileSync(join(out, "table-long.csv"), "utf8").trim().split("\n");
  const figures = new Map(
    rows.map((row) => {
      const [variant, , measurement, , metric, value] = row.split(",");
      return [`${variant} ${measurement} ${metric}`, Number(value)];
    }),
  );
  return {
    figure: (variant: string, measurement: string, metric: string) =>
      figures.get(`${variant} ${measurement} ${metric}`),
    /** By variant: whose weights it shares. */
    loads: new Map(
      eventsOf(out).flatMap((event) => (event.type === "opened" ? [[event.variant, event.engine.loadedFor]] : [])),
    ),
    table: readFileSync(join(out, "table.md"), "utf8"),
  };
}

describe("benchmarks/lora.yaml", () => {
  it("scales share the base's load; 0 is the base, 1 the merged model", async () => {
    const { figure, loads } = await measured("lora", ["speed"], { BASE: model, LORA: adapter, MERGED: merged });
    for (const scale of ["scale-0", "scale-0.5", "scale-1"]) expect(loads.get(scale)).toBe("base");
    const perplexity = (name: string) => figure(name, "perplexity", "perplexity")!;
    expect(perplexity("scale-0")).toBe(perplexity("base"));
    expect(figure("scale-0", "divergence", "kld")).toBe(0);
    expect(perplexity("scale-1") / perplexity("merged") - 1).toBeCloseTo(0, 5);
    expect(figure("merged", "divergence", "kld")).toBeLessThan(1e-9);
    const distances = ["scale-0", "scale-0.5", "scale-1"].map((name) => figure(name, "divergence", "kld")!);
    expect(distances.toSorted((a, b) => a - b)).toEqual(distances);
    expect(distances[2]).toBeGreaterThan(1e-5);
  }, 600_000);
});

describe("benchmarks/kv-cache.yaml", () => {
  it("types × flash attention from one load; the same types are no distance away", async () => {
    const { figure, loads, table } = await measured("kv-cache", ["speed", "divergence-4096"], { MODEL: model });
    const variants = ["f16", "q8_0", "q4_0"].flatMap((k) =>
      ["f16", "q8_0", "q4_0"].flatMap((v) => ["on", "off"].map((fa) => ({ k, v, fa, name: `K-${k}-V-${v}-fa-${fa}` }))),
    );
    const bits = { f16: 16, q8_0: 8.5, q4_0: 4.5 } as Record<string, number>;
    for (const { k, v, fa, name } of variants) {
      if (fa === "off" && v !== "f16") {
        expect(figure(name, "divergence", "kld")).toBeUndefined();
        continue;
      }
      expect(loads.get(name)).toBe("f16");
      // 2 layers with one head of 32 values, for K and V; four windows of 512 tokens.
      expect(figure(name, "divergence", "kv_cache")).toBe((2 * 32 * 4 * 512 * (bits[k]! + bits[v]!)) / 8);
      const kld = figure(name, "divergence", "kld")!;
      if (k === "f16" && v === "f16" && fa === "on") expect(kld).toBe(0);
      if (k === "q4_0") expect(kld).toBeGreaterThan(figure(`K-q8_0-V-${v}-fa-${fa}`, "divergence", "kld")!);
    }
    expect(table).toContain("a quantized V cache (q8_0) needs flash attention");
    expect(table).toMatch(/KV cache [kM]?B/);
  }, 600_000);
});
