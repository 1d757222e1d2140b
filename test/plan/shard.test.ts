import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import { localPlace } from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { makePlan } from "../../dist/plan/index.js";
import type { Share } from "../../dist/share.js";
import { someQuestions, someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(3000));
writeFileSync(join(folder, "other.txt"), someText(3000, 5));
writeFileSync(join(folder, "questions.txt"), someQuestions(8));

const asked = `measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64}
  apart: {measurement: perplexity, text: other.txt, context: 64}
  hellaswag: {file: questions.txt}
  speed: {repetitions: 1}
  speed-long: {measurement: speed, repetitions: 1, prompt: 32}
`;

async function planned(variants: string[], shard?: Share) {
  const file = join(folder, "b.yaml");
  writeFileSync(file, `variants:\n${variants.map((one) => `  ${one}\n`).join("")}${asked}`);
  const benchmark = await readBenchmark(file, { measurements });
  return makePlan(benchmark, { command: [], versions: {}, place: localPlace, ...(shard && { shard }) });
}

const mocks = (count: number) =>
  Array.from({ length: count }, (_, i) => `v${i}: {model: "mock:seed=1,damage=0.${i}", backend: mock}`);

/** By variant and measurement: the parts of `of` that a shard measures of it. */
function partsOf({ jobs }: Awaited<ReturnType<typeof planned>>, of: number): Map<string, number[]> {
  return new Map(
    jobs.map(({ record: { variant, measurement, share } }) => {
      const { part = 1, through = part } =
        share === undefined ? { through: of } : share === "none" ? { part: 1, through: 0 } : share;
      return [`${variant} ${measurement}`, Array.from({ length: through - part + 1 }, (_, i) => part + i)];
    }),
  );
}

describe("the shards of a plan", () => {
  it("are the plan: every part of every job is in one of them, and each has as much to do", async () => {
    for (const [variants, of] of [
      [1, 1],
      [1, 3],
      [2, 8],
      [3, 2],
      [3, 8],
      [5, 4],
      [8, 4],
      [9, 8],
    ] as const) {
      const shards = [];
      for (let part = 1; part <= of; part++) shards.push(partsOf(await planned(mocks(variants), { part, of }), of));
      const whole = Array.from({ length: of }, (_, i) => i + 1);
      for (const job of shards[0]!.keys())
        expect(shards.flatMap((one) => one.get(job)!).sort((a, b) => a - b)).toEqual(whole);
      for (const one of shards) {
        const sum = (name: string) =>
          [...one].reduce((all, [job, parts]) => all + (job.endsWith(` ${name}`) ? parts.length : 0), 0);
        for (const name of ["perplexity", "divergence", "apart", "hellaswag"]) expect(sum(name)).toBe(variants);
        // Variants that are loaded: those that are whole here, and two at most of which there is a part.
        const loaded = [...one].filter(([job, parts]) => job.endsWith(" apart") && parts.length > 0);
        expect(loaded.length).toBeLessThanOrEqual(Math.floor(variants / of) + 2);
        for (const name of ["speed", "speed-long"]) expect([0, variants * of]).toContain(sum(name));
      }
    }
  });

  it("are the same on a machine where a model, or the reference, is missing", async () => {
    const [first, second, third] = ["a", "b", "c"].map((name, i) => writeRandomLlama(folder, name, { seed: i }));
    const rows = ["a", "b", "c"].map((name) => `${name}: {model: ${name}.gguf}`);
    const there: Map<string, number[]>[] = [];
    for (let part = 1; part <= 4; part++) there.push(partsOf(await planned(rows, { part, of: 4 }), 4));
    for (const missing of [first!, third!, second!]) {
      rmSync(missing);
      for (let part = 1; part <= 4; part++)
        expect(partsOf(await planned(rows, { part, of: 4 }), 4)).toEqual(there[part - 1]);
    }
  });

  it("prepare no model of which they measure nothing", async () => {
    const rows = ["a", "b"].map((name) => `${name}: {model: "hf:someone/${name}/model.gguf"}`);
    const { preparations, jobs } = await planned(rows, { part: 1, of: 2 });
    const wanted = jobs.filter(({ record }) => record.share !== "none").map(({ record }) => record.variant);
    for (const { variant } of preparations) expect(wanted).toContain(variant);
  });
});
