// The package as others get it: packed, installed into an empty folder, run there.

import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { copyRepository, type Finished, finish, root } from "./repository.js";
import { temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const clone = join(folder, "clone");
const home = join(folder, "home");
const installed = join(home, "node_modules", "gguf-bench");
const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };

let files: string[] = [];
let tarball = "";
let install: Finished;

const unreachable = /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ENETUNREACH|ENOTCACHED/;
const npm = (args: string[], cwd = home) => finish("npm", args, { cwd });
const bench = (...args: string[]) => finish("npx", ["--no-install", "gguf-bench", ...args], { cwd: home });
/**
 * Lines of npm's that are warnings, but for what it says of the user's own configuration, and of the install
 * script of one dependency: nothing here needs it to run, and only who installs can tell npm so.
 */
const warnings = (output: string) =>
  output
    .split("\n")
    .filter((line) => /warn|deprecated/i.test(line))
    .filter((line) => !/Unknown .* config/.test(line))
    .filter((line) => !/^npm warn install-scripts( *$| 1 package | Run | {3}koffi@)/.test(line));

beforeAll(async () => {
  await copyRepository(clone);
  const packed = await finish("npm", ["pack", "--json", "--pack-destination", folder], { cwd: clone });
  expect(packed.code, packed.output).toBe(0);
  const [made] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf("[\n")));
  files = made.files.map((file: { path: string }) => file.path);
  tarball = join(folder, made.filename);
  await mkdir(home);
  await writeFile(join(home, "package.json"), JSON.stringify({ name: "home", private: true, type: "module" }));
  install = await npm(["install", "--prefer-offline", tarball]);
}, 600_000);

/** Without a registry, and nothing cached, there is nothing to test; any other failure is one. */
function needsInstall(context: TestContext): void {
  if (unreachable.test(install.output)) context.skip("no package registry can be reached");
  expect(install.code, install.output).toBe(0);
}

describe("what is packed", () => {
  it("is what runs, its sources, the benchmark files and the demo, and nothing else", () => {
    for (const needed of ["dist/cli.js", "dist/index.d.ts", "dist/kernels/rows.wasm", "src/cli.ts", "LICENSE"])
      expect(files).toContain(needed);
    for (const needed of ["README.md", "CHANGELOG.md", "benchmarks/demo.yaml", "benchmarks/schema.json"])
      expect(files).toContain(needed);
    for (const needed of ["quantization", "lora"].map((name) => `benchmarks/chinese-llama-3/${name}.yaml`))
      expect(files).toContain(needed);
    for (const needed of [
      "datasets/wikitext-2/card.yaml",
      "datasets/demo/demo-v2-F16.gguf",
      "datasets/demo-en/card.yaml",
    ])
      expect(files).toContain(needed);
    const odd = files.filter(
      (file) => !/^(dist|src|benchmarks|datasets)\/|^(package\.json|LICENSE|README\.md|CHANGELOG\.md)$/.test(file),
    );
    expect(odd).toEqual([]);
    expect(files.filter((file) => file.includes("tsbuildinfo"))).toEqual([]);
    expect(files.filter((file) => /\.(py|sh|log)$|reports\//.test(file) && !file.startsWith("src/"))).toEqual(
      files.filter((file) => /^dist\/reports\//.test(file)),
    );
  });

  it("has no module without its source", () => {
    const orphans = files
      .filter((file) => /^dist\/.*\.js$/.test(file))
      .filter((file) => !existsSync(join(root, file.replace(/^dist/, "src").replace(/\.js$/, ".ts"))))
      .filter((file) => !existsSync(join(root, file.replace(/^dist/, "src").replace(/\.js$/, ".tsx"))));
    expect(orphans).toEqual([]);
  });

  it("is at most 16 MB", async () => {
    expect((await stat(tarball)).size).toBeLessThan(16e6);
  });
});

describe("installed into an empty folder", () => {
  it("npm has nothing to warn of", (context) => {
    needsInstall(context);
    expect(warnings(install.output)).toEqual([]);
  });

  it("npx gguf-bench --version, --help, doctor, list", async (context) => {
    needsInstall(context);
    expect(await bench("--version")).toMatchObject({ code: 0, stdout: `${version}\n` });
    const help = await bench("--help");
    expect(help).toMatchObject({ code: 0, stderr: expect.not.stringContaining("Error") });
    expect(help.stdout).toContain("gguf-bench run");
    const doctor = await bench("doctor");
    expect(doctor.code, doctor.output).toBe(0);
    expect(doctor.stdout).toMatch(/^Library +llama\.cpp \S+/m);
    expect(doctor.stdout).toContain(join("node_modules", "@node-llama-cpp"));
    // Features in plain words, without llama.cpp's own " = 1 | ".
    expect(doctor.stdout).toMatch(/^Features +CPU: [^=|]+$/m);
    const list = await bench("list");
    expect(list.code, list.output).toBe(0);
    expect(list.stdout).toMatch(/demo-en +text +at /);
  });

  it("measures a mock model and writes the tables", async (context) => {
    needsInstall(context);
    await writeFile(join(home, "note.txt"), "A text of plain words. ".repeat(40));
    const run = await bench("run", "--model", "mock:seed=1", "--text", "note.txt", "--context", "64", "--out", "mock");
    expect(run.code, run.output).toBe(0);
    for (const file of ["events.jsonl", "run.json", "table.md", "table.csv", "table-long.csv"])
      expect(existsSync(join(home, "mock", file)), file).toBe(true);
    expect(await longTable("mock", "perplexity")).toBeGreaterThan(1);
    expect(run.stdout).toContain("PPL");
  });

  it("measures a real model with the llama.cpp that came with it", async (context) => {
    needsInstall(context);
    expect(await demoPerplexity("npx", ["--no-install", "gguf-bench"], "real")).toBeLessThan(4);
  });

  it("a folder of models: one command gives the figures and the answer", async (context) => {
    needsInstall(context);
    const f16 = join(installed, "datasets/demo/demo-v2-F16.gguf");
    const made = await bench("quantize", f16, "--types", "Q8_0,Q4_K_M,Q2_K", "--out", "ladder");
    expect(made.code, made.output).toBe(0);
    await copyFile(f16, join(home, "ladder", "demo-v2-F16.gguf"));
    const run = await bench("run", "ladder", "--text", "demo-en", "--chunks", "12", "--context", "128");
    expect(run.code, run.output).toBe(0);
    expect(run.stdout).toMatch(/^reference: demo-v2-F16 \(most bits per weight\)$/m);
    // The reference comes first, so that each figure after it can be held against it.
    expect(run.stdout).toMatch(/^\[1\/4\] demo-v2-F16 perplexity: PPL \d/m);
    expect(run.stdout).toMatch(/^(Smallest file not shown to be worse than|No smaller file) /m);
  });

  it("is a library, with types", async (context) => {
    needsInstall(context);
    await writeFile(join(home, "use.ts"), use);
    const compiler = ["node_modules/typescript/bin/tsc", "--ignoreConfig", "--strict", "--exactOptionalPropertyTypes"];
    const target = ["--module", "nodenext", "--target", "es2023", "--skipLibCheck", "--types", "node"];
    const roots = ["--typeRoots", join(root, "node_modules/@types")];
    const compiled = await finish(process.execPath, [...compiler, ...target, ...roots, join(home, "use.ts")], {
      cwd: root,
    });
    expect(compiled.output).toBe("");
    const run = await finish(process.execPath, ["use.js"], { cwd: home });
    expect(run.code, run.output).toBe(0);
    const said = JSON.parse(run.stdout);
    expect(said).toMatchObject({ jobs: ["a", "b"], last: "finished", refused: "config" });
    // What is known in closed form: the undamaged law costs less than the damaged one.
    expect(said.perplexity.a).toBeGreaterThan(1);
    expect(said.perplexity.b).not.toBe(said.perplexity.a);
  });

  for (const release of [22, 24])
    it(`runs on Node ${release}`, { timeout: 600_000 }, async (context) => {
      needsInstall(context);
      const node = ["--yes", "--prefer-offline", "-p", `node@${release}`, "node"];
      const which = await finish("npx", [...node, "--version"], { cwd: home });
      if (which.code !== 0) context.skip(`node@${release} cannot be had from the registry`);
      expect(which.stdout).toMatch(new RegExp(`^v${release}\\.`));
      expect(await demoPerplexity("npx", [...node, join(installed, "dist/cli.js")], `node-${release}`)).toBeLessThan(4);
    });
});

/** A quick run of the demo model; the perplexity that it wrote. */
async function demoPerplexity(command: string, args: string[], out: string): Promise<number> {
  const model = join(installed, "datasets/demo/demo-v2-F16.gguf");
  const settings = ["--context", "128", "--chunks", "4", "--threads", "1", "--out", out];
  const run = await finish(command, [...args, "run", "--model", model, "--text", "demo-en", ...settings], {
    cwd: home,
  });
  expect(run.code, run.output).toBe(0);
  const value = await longTable(out, "perplexity");
  expect(value).toBeGreaterThan(1);
  return value;
}

async function longTable(run: string, metric: string): Promise<number> {
  const lines = (await readFile(join(home, run, "table-long.csv"), "utf8")).trim().split("\n");
  const [head, ...rows] = lines.map((line) => line.split(","));
  const row = rows.find((cells) => cells[head!.indexOf("metric")] === metric)!;
  return Number(row[head!.indexOf("value")]);
}

const use = `import {
  BenchError, childExecutor, makePlan, measurements, type Plan, quickBenchmark, run, type StoredEvent, summarize,
} from "gguf-bench";

const benchmark = await quickBenchmark({
  models: ["mock:seed=1", "mock:seed=1,damage=0.5"], measurements, flags: { text: "note.txt", context: 64 },
});
benchmark.variants.forEach((variant, index) => { variant.name = "ab"[index]!; });
const executor = childExecutor();
const plan: Plan = await makePlan(benchmark, { command: ["use.ts"], versions: {}, place: executor.place });
const events: StoredEvent[] = [];
for await (const event of run(plan, { executor, done: new Map(), signal: new AbortController().signal }))
  events.push(event as StoredEvent);
await executor.close();
const perplexity = Object.fromEntries(plan.jobs.map(({ record: job }) => {
  const samples = events.flatMap((event) => event.type === "samples" && event.job === job.id
    ? event.samples.filter(({ metric }) => metric === "perplexity").map((sample) => ({ ...sample, item: event.item }))
    : []);
  return [job.variant, summarize("perplexity", samples).value];
}));
const refused = await quickBenchmark({ models: [], measurements }).catch((error: unknown) =>
  error instanceof BenchError ? error.code : "something else");
console.log(JSON.stringify({ jobs: plan.jobs.map(({ record }) => record.variant), last: events.at(-1)?.type, perplexity, refused }));
`;
