import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { featuresIn } from "../../dist/commands/doctor.js";
import { commands, exitCodes } from "../../dist/index.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Streams and variables of a test's own; `said` is what went to each stream. */
function surroundings(env: NodeJS.ProcessEnv = {}) {
  const said = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof said) =>
    new PassThrough({ encoding: "utf8" }).on("data", (text: string) => {
      said[name] += text;
    });
  return { said, where: { stdout: stream("stdout"), stderr: stream("stderr"), env } };
}

it("a program can call every command that the command line has", () => {
  const help = execFileSync(process.execPath, [join(root, "dist/cli.js"), "--help"], { encoding: "utf8" });
  const listed = help.slice(help.indexOf("Commands:"), help.indexOf("Examples:"));
  const names = [...listed.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name).filter((name) => name !== "help");
  expect(Object.keys(commands).sort()).toEqual(names.sort());
});

it("what a command says goes to the streams it is given", async () => {
  const { said, where } = surroundings();
  expect(await commands.list({}, where)).toBe(exitCodes.allMeasured);
  expect(said.stdout).toContain("Benchmark files");
  expect(said.stderr).toBe("");
});

it("models are looked for where the variable says, unless the option says where", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gguf-bench-"));
  const { said, where } = surroundings({ GGUF_BENCH_MODELS: folder });
  const asked = { model: "none.gguf", types: ["Q8_0"] };
  await expect(commands.quantize(asked, where)).rejects.toThrow(join(folder, "none.gguf"));
  const mine = join(folder, "mine");
  await expect(commands.quantize({ ...asked, modelsDir: mine }, where)).rejects.toThrow(join(mine, "none.gguf"));
  await commands.run({ models: ["none.gguf"], measures: ["speed"], dryRun: true }, where);
  expect(said.stdout).toContain(join(folder, "none.gguf"));
});

it("doctor lists the features of a build in plain words, and those alone that are there", () => {
  expect(featuresIn("CPU : SSE3 = 1 | AVX = 1 | AVX512 = 0 | REPACK = 1 | ")).toBe("CPU: SSE3, AVX, REPACK");
  expect(featuresIn("CUDA : ARCHS = 500,520 | USE_GRAPHS = 1 | CPU : AVX2 = 1 | \n")).toBe(
    "CUDA: ARCHS 500,520, USE_GRAPHS, CPU: AVX2",
  );
});
