import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
// Plain modules without declarations: what they export is checked here by what it does.
const load = (name: string) => import(path.join(root, "benchmarks/peers", name));
const { compared, median } = await load("pairs.mjs");
const { compareAnswers, mt19937, noiseFloor, visitingOrder } = await load("hellaswag.mjs");
const { rightAnswers } = await load("tools.mjs");
const { runProcess } = await load("process.mjs");

describe("statistics of pairs", () => {
  it("takes the median of the pairs' ratios, not the ratio of the medians", () => {
    const pairs = [
      [1, 2],
      [10, 10],
      [3, 4],
    ].map(([ours, peer]) => ({ ours: { wall: ours }, peer: { wall: peer } }));
    const figures = compared(pairs, (run: { wall: number }) => run.wall);
    expect(figures).toEqual({ ours: 3, peer: 4, median: 0.75, low: 0.5, high: 1 });
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });
});

describe("the order of HellaSwag's tasks", () => {
  it("draws what std::mt19937 draws: its 10,000th number is in the C++ standard", () => {
    const random = mt19937(5489);
    for (let i = 1; i < 10_000; i++) random();
    expect(random()).toBe(4123659995);
  });

  it("visits tasks as a program built with GCC 12 did", () => {
    expect(visitingOrder(10042, 8)).toEqual([4187, 10013, 7233, 9363, 1, 1286, 3036, 10032]);
    expect(visitingOrder(200, 8)).toEqual([83, 199, 143, 185, 0, 25, 60, 198]);
    expect([...visitingOrder(200, 200)].sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  it("reads right and wrong from the accuracies so far", () => {
    const text =
      "1\t0.00000000%\t[0.0000%, 79%]\n2\t50.00000000%\t[9%, 90%]\n3\t33.33333333%\t[6%, 79%]\n4\t50.00000000%\t[1%, 2%]";
    expect(rightAnswers(text)).toEqual([false, true, false, true]);
  });

  it("explains a difference by the noise floor only where the two best options are as close", () => {
    const ours = Array.from({ length: 50 }, (_, task) => ({ task, right: task % 3 === 0, means: [-1, -1.2, -3, -4] }));
    ours[7]!.means = [-1, -1.01, -3, -4];
    const floor = noiseFloor(
      ours,
      ours.map((answer) => ({ ...answer, means: answer.means.map((mean) => mean + 0.02) })),
    );
    expect(floor).toBeCloseTo(0.02);
    const peer = visitingOrder(50, 50).map((task: number) => (task === 7 || task === 9 ? task !== 9 : task % 3 === 0));
    const { differences, unordered } = compareAnswers(ours, peer, floor);
    expect(differences.map(({ task, explained }: { task: number; explained: boolean }) => [task, explained])).toEqual([
      [7, true],
      [9, false],
    ]);
    expect(unordered).toBeGreaterThan(2);
  });
});

describe("a run of a program", () => {
  it.skipIf(process.platform !== "linux")("sees the CPU and the memory of its children as well", async () => {
    const busy =
      "const b = Buffer.alloc(150e6, 1); const t = Date.now(); while (Date.now() - t < 700); process.exit(b[0] + 2)";
    const parent = `process.exitCode = require("child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(busy)}]).status`;
    const run = await runProcess({ command: process.execPath, args: ["-e", parent] });
    expect(run.code).toBe(3);
    expect(run.wall).toBeGreaterThan(0.7);
    expect(run.user + run.system).toBeGreaterThan(0.1);
    expect(run.peak).toBeGreaterThan(200e6);
  });
});

const models = process.env.GGUF_BENCH_MODELS ?? path.join(os.homedir(), ".cache/gguf-bench-ladder");
const data = process.env.GGUF_BENCH_DATA ?? path.join(root, "../shared/datasets");
const needed = [
  path.join(models, "smollm2-Q4_K_M.gguf"),
  path.join(os.homedir(), ".cache/bench-peers/same-library/llama-perplexity"),
  path.join(data, "wikitext-2/wiki.test.raw"),
];
const missing = needed.filter((file) => !fs.existsSync(file));

describe(`one tiny pair of real programs${missing.length > 0 ? ` (skipped: no ${missing.join(", no ")})` : ""}`, () => {
  it.skipIf(missing.length > 0)(
    "prints the same digits on both sides and keeps the raw pair",
    { timeout: 300_000 },
    async () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "peers-test-"));
      const out = path.join(folder, "peers.json");
      const flags = [
        "--quick",
        "--allow-load",
        "--only",
        "ppl:Q4_K_M",
        "--models",
        models,
        "--data-dir",
        data,
        "--out",
        out,
      ];
      const { stdout } = await promisify(execFile)(process.execPath, [
        path.join(root, "benchmarks/peers/index.mjs"),
        ...flags,
      ]);
      expect(stdout).toMatch(/ppl:Q4_K_M.*digits equal.*met/);
      const { comparisons, machine } = JSON.parse(fs.readFileSync(out, "utf8"));
      fs.rmSync(folder, { recursive: true });
      expect(machine.cpus).toBeGreaterThan(0);
      expect(comparisons).toHaveLength(1);
      const [pair] = comparisons[0].pairs;
      expect(pair.ours.read[0].ppl).toBe(pair.peer.read[0].ppl);
      // Times are a busy machine's; that they are there is all that this test may ask.
      for (const run of [pair.ours, pair.peer])
        for (const key of ["wall", "user", "peak"]) expect(run[key]).toBeGreaterThan(0);
    },
  );
});
