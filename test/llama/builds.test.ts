// Two builds of libllama as variants of one matrix, in process: `library:` and `--library`.

import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { chooseLibrary, packageFolder } from "../../dist/llama/location.js";
import { bench, eventsOf, temporaryFolder, verdicts } from "../support.js";
import { isDamageable, otherBuild } from "./damaged-build.js";

const folder = temporaryFolder();
const root = join(import.meta.dirname, "../..");
const { directory: shipped } = chooseLibrary("cpu");
const model = join(root, "datasets/demo/demo-v2-F16.gguf");
const env = { GGUF_BENCH_CACHE: join(folder, "cache") };

describe.skipIf(process.platform === "win32" || !isDamageable(shipped))("builds of libllama as variants", () => {
  beforeAll(() => {
    otherBuild(shipped, join(folder, "builds/same"), { mark: "same" });
    otherBuild(shipped, join(folder, "builds/damaged"), { factor: 1.4 });
    writeFileSync(
      join(folder, "b.yaml"),
      `name: builds
defaults: { threads: 1 }
variants:
  shipped: { model: "${model}", reference: true }
  \${build}:
    matrix: { build: [same, damaged, absent] }
    model: "${model}"
    library: builds/\${build}
measurements:
  perplexity: { text: demo-en, context: 256, chunks: 12 }
  divergence: { text: demo-en, context: 256, chunks: 2 }
  speed: { prompt: 16, generate: 0, repetitions: 3 }
`,
    );
  });

  it("one that rounds alike is identical, a damaged one is caught, an absent one is one failed variant", async () => {
    const out = join(folder, "run");
    const said = await bench(["run", join(folder, "b.yaml"), "--out", out, "--plain"], { env });
    expect(said.code, said.stdout + said.stderr).toBe(2);
    const events = eventsOf(out);
    const last = verdicts(events);
    expect(last).toMatchObject({
      "shipped perplexity": "done",
      "same perplexity": "done",
      "damaged perplexity": "done",
      "shipped divergence": "done",
      "damaged speed": "done",
    });
    expect(last["same divergence"]).toMatch(/^the reference shipped runs on another build: store it/);
    expect(last["absent perplexity"]).toMatch(/there is no libllama in \S*builds\/absent/);
    // Where each lies is no part of what is asked, which build it is part of where.
    const { jobs } = events.findLast((event) => event.type === "started")!;
    const of = (variant: string) => jobs.find((job) => job.variant === variant && job.measurement === "perplexity")!;
    expect(of("same").question).toBe(of("shipped").question);
    expect(of("same").place).not.toBe(of("shipped").place);
    const builds = events.flatMap((event) => (event.type === "opened" ? [[event.variant, event.engine.build]] : []));
    expect(Object.fromEntries(builds)).toMatchObject({
      shipped: undefined,
      same: expect.stringMatching(/^[0-9a-f]{12}$/),
      damaged: expect.stringMatching(/^[0-9a-f]{12}$/),
    });
    const table = readFileSync(join(out, "table.md"), "utf8");
    expect(table).toMatch(/^\| same +\| PPL +\| +0\.0 % \| identical +\|/m);
    expect(table).toMatch(/^\| damaged +\| PPL +\| +\+[\d.]+ % \| worse +\|/m);
    expect(table).toMatch(/Engine: .*build [0-9a-f]{12}/);
  });

  it("a moved build is the same one, and its results are kept", async () => {
    const out = join(folder, "moved");
    const run = (library: string) =>
      bench(
        [
          ...["run", model, "--text", "demo-en", "--chunks", "4", "--context", "256", "--threads", "1"],
          ...["--library", library, "--out", out, "--plain"],
        ],
        { env },
      );
    expect((await run(join(folder, "builds/same"))).stdout).toMatch(/1 measured of 1 job/);
    otherBuild(shipped, join(folder, "elsewhere"), { mark: "same" });
    expect((await run(join(folder, "elsewhere"))).stdout).toMatch(/1 measured \(1 before\) of 1 job/);
  });
});

describe("a folder that cannot be computed with is refused with a sentence", () => {
  const doctor = async (library: string) => {
    const { code, stderr } = await bench(["doctor", "--library", library], { env });
    expect(code).toBe(1);
    return stderr;
  };
  const copied = (name: string) => {
    const at = join(folder, name);
    mkdirSync(at);
    for (const file of readdirSync(shipped)) copyFileSync(join(shipped, file), join(at, file));
    return at;
  };

  it("nothing there", async () => {
    expect(await doctor(join(folder, "nowhere"))).toMatch(/^gguf-bench: there is no libllama in .*nowhere\.\n {2}Name/);
  });

  const arm = packageFolder(process.arch === "x64" ? "@node-llama-cpp/linux-arm64" : "@node-llama-cpp/linux-x64");
  it.skipIf(!arm || process.platform !== "linux")("another processor", async () => {
    const bins = join(arm!, "bins", readdirSync(join(arm!, "bins"))[0]!);
    expect(await doctor(bins)).toMatch(/was built for \w+; this program runs on \w+\.\n {2}Name a build/);
  });

  it.skipIf(process.platform !== "linux")("a function that is missing, another release", async () => {
    const patched = (name: string, from: string, to: string) => {
      const at = copied(name);
      const library = readdirSync(at).find((file) => /^libllama\.(v[\d.]+\.)?so$/.test(file))!;
      const path = join(at, library);
      const bytes = readFileSync(path);
      let [count, place] = [0, bytes.indexOf(from)];
      for (; place >= 0; place = bytes.indexOf(from, place + 1), count++) bytes.write(to, place, "latin1");
      expect(count, from).toBeGreaterThan(0);
      chmodSync(path, 0o644);
      writeFileSync(path, bytes);
      return at;
    };
    expect(await doctor(patched("lacks", "llama_model_is_diffusion\0", "llama_model_is_diffusiom\0"))).toMatch(
      /lacks a function: .*llama_model_is_diffusion/s,
    );
  });
});
