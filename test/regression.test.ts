// Regressions of a real model in the real engine: what was damaged is caught and named, what was not passes.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { replay } from "../dist/replay/index.js";
import { compare } from "../dist/stats/estimate.js";
import { seriesFrom } from "../dist/stats/series.js";
import { damaged } from "./models/damage.js";
import { bench, eventsOf, temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const demo = fileURLToPath(new URL("../datasets/demo/demo-v2-F16.gguf", import.meta.url));

async function run(name: string, yaml: string): Promise<string> {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, yaml);
  const out = join(folder, name);
  const { code, stderr } = await bench(["run", file, "--out", out, "--plain"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return out;
}

describe("one layer's ffn_down is scaled", () => {
  const measured = "{text: demo-en, context: 256}";
  const baseline = join(folder, "good.baseline");
  const rules = ["--baseline", baseline, "--rule", "perplexity: +0.05%", "--rule", "kld: 3x floor"];
  const changed = (name: string) =>
    run(
      name,
      `
defaults: {threads: 1}
variants:
  before: {model: ${JSON.stringify(demo)}, reference: true}
  after: {model: ${name}.gguf}
measurements:
  perplexity: ${measured}
  divergence: ${measured}
`,
    );
  /** What the gate says of `after`, a line per rule. */
  const gate = async (out: string) => {
    const junit = `${out}.xml`;
    const { code, stdout } = await bench(["gate", out, ...rules, "--junit", junit]);
    const said = stdout.split("\n").filter((line) => / {2}after: /.test(line));
    console.log(`      ${said.join("\n      ")}`);
    return { code, said, junit: readFileSync(junit, "utf8") };
  };

  beforeAll(async () => {
    copyFileSync(demo, join(folder, "copy.gguf"));
    await damaged(demo, join(folder, "ten.gguf"), "blk.0.ffn_down.weight", 1.1);
    await damaged(demo, join(folder, "one.gguf"), "blk.0.ffn_down.weight", 1.01);
    // The same names, so that each variant finds its own.
    const good = await run(
      "good",
      `
defaults: {threads: 1}
variants:
  before: {model: ${JSON.stringify(demo)}, reference: true}
  after: {model: copy.gguf}
measurements:
  perplexity: ${measured}
`,
    );
    expect((await bench(["baseline", good, "--out", baseline])).code).toBe(0);
  }, 300_000);

  it("not at all: a copy passes", { timeout: 300_000 }, async () => {
    const { code, said, junit } = await gate(await changed("copy"));
    expect(said.map((line) => line.split(" ")[0])).toEqual(["pass", "pass"]);
    expect(code).toBe(0);
    expect(junit).toContain('failures="0"');
  });

  it("by 10 %: perplexity and divergence fail", { timeout: 300_000 }, async () => {
    const { code, said, junit } = await gate(await changed("ten"));
    expect(said[0]).toMatch(/^FAIL +perplexity: \+0\.05% +after: PPL rose by .* beyond the 0\.05 % allowed/);
    expect(said[1]).toMatch(/^FAIL +kld: 3x floor +after: KLD is .* beyond 3 times the noise floor/);
    expect(code).toBe(3);
    expect(junit).toContain('failures="2"');
    expect(junit).toMatch(/<failure type="failed" message="after: PPL rose/);
  });

  it("by 1 %: divergence still fails", { timeout: 300_000 }, async () => {
    const { code, said } = await gate(await changed("one"));
    expect(said[1]).toMatch(/^FAIL +kld: 3x floor +after: KLD is .* beyond 3 times the noise floor/);
    expect(code).toBe(3);
  });
});

describe("the same model, computed in batches of another shape, on 50 texts", () => {
  const texts = 50;
  const series = async (name: string, ubatch: number) => {
    const entries = Array.from(
      { length: texts },
      (_, i) => `  text-${i}: {measurement: perplexity, text: text-${i}.txt, context: 64}`,
    );
    return run(
      name,
      `defaults: {threads: 1}\nvariants:\n  model: {model: ${JSON.stringify(demo)}, ubatch: ${ubatch}}\nmeasurements:\n${entries.join("\n")}\n`,
    );
  };

  it("is never called different beyond what chance allows", { timeout: 600_000 }, async () => {
    const prose = readFileSync(fileURLToPath(new URL("../datasets/demo-en/heldout-en.txt", import.meta.url)), "utf8");
    const length = Math.floor(prose.length / texts);
    for (let i = 0; i < texts; i++)
      writeFileSync(join(folder, `text-${i}.txt`), prose.slice(i * length, (i + 1) * length));
    const [one, other] = [await series("whole", 512), await series("parts", 16)];
    const [a, b] = [one, other].map((out) => seriesFrom(replay(eventsOf(out))));
    const found = a!.map(({ observations }, i) =>
      compare("perplexity", observations.get("perplexity")!, b![i]!.observations.get("perplexity")!),
    );
    // The shape does change the last digits, else this would show nothing.
    expect(found.filter(({ difference }) => difference !== 0).length).toBeGreaterThan(texts / 2);
    const different = found.filter(({ p }) => p < 0.05).length;
    const largest = Math.max(...found.map(({ difference }) => Math.abs(difference)));
    console.log(
      `      ${different} of ${texts} below 0.05; largest difference of PPL ${(100 * largest).toPrecision(2)} %`,
    );
    // More than 6 of 50 have a chance of 1 % if each has one of 5 %.
    expect(different).toBeLessThanOrEqual(6);

    const baseline = join(folder, "whole.baseline");
    await bench(["baseline", one, "--out", baseline]);
    // No margin at all: the whole gate errs in at most 5 %. The usual margin: every text passes.
    const strict = await bench(["gate", other, "--baseline", baseline, "--rule", "perplexity: +0%"]);
    expect(strict.stdout).not.toMatch(/^FAIL/m);
    const usual = await bench(["gate", other, "--baseline", baseline, "--rule", "perplexity: +0.5%"]);
    expect(usual.stdout.match(/^pass/gm)).toHaveLength(texts);
    expect(usual.code).toBe(0);
  });
});
