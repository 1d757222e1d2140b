import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { BenchError } from "../../dist/errors.js";
import { abiProblems, loadLibrary } from "../../dist/llama/library.js";
import { chooseLibrary, findLibraries, llamaRelease } from "../../dist/llama/location.js";
import { bench, temporaryFolder } from "../support.js";

const folder = temporaryFolder();
const own = process.env.GGUF_BENCH_LIBRARY;
afterEach(() => {
  if (own === undefined) delete process.env.GGUF_BENCH_LIBRARY;
  else process.env.GGUF_BENCH_LIBRARY = own;
});

function refusal(attempt: () => unknown): BenchError {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(BenchError);
    return error as BenchError;
  }
  throw new Error("nothing was refused");
}

describe("finding the library", () => {
  it("the installed packages hold one for this machine", () => {
    const found = findLibraries();
    expect(found.length).toBeGreaterThan(0);
    for (const { llama, ggml, ggmlBase, directory } of found) {
      expect(llama).toMatch(/llama/);
      expect(ggml).not.toBe(ggmlBase);
      expect(directory).toMatch(/^([A-Z]:|\/)/);
    }
    expect(chooseLibrary("cpu").gpu).toBe("cpu");
  });

  it("a folder of the user's own is taken, and only that", () => {
    const { directory } = chooseLibrary("cpu");
    process.env.GGUF_BENCH_LIBRARY = directory;
    expect(findLibraries()).toMatchObject([{ directory, origin: "source build" }]);
  });

  it("a folder without a library is refused with a sentence", async () => {
    for (const wrong of [join(folder, "absent"), folder]) {
      process.env.GGUF_BENCH_LIBRARY = wrong;
      const error = refusal(() => findLibraries());
      expect(error.code).toBe("library-missing");
      expect(error.message).toBe(`there is no libllama in ${wrong} (GGUF_BENCH_LIBRARY).`);
      expect(error.hint).toMatch(/unset the variable/);
    }
    const said = await bench(["doctor"], { env: { GGUF_BENCH_LIBRARY: folder } });
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toMatch(/^gguf-bench: there is no libllama in .*\n {2}Name the folder/);
  });

  it("files that only look like a library are refused with a sentence", async () => {
    const fake = join(folder, "fake");
    mkdirSync(fake);
    for (const name of ["libllama.so", "libggml.so", "libggml-base.so"]) writeFileSync(join(fake, name), "no library");
    const said = await bench(["doctor"], { env: { GGUF_BENCH_LIBRARY: fake } });
    expect(said).toMatchObject({ code: 1, stdout: "" });
    expect(said.stderr).toMatch(
      /^gguf-bench: \S*libggml-base\.so cannot be loaded: .*\n {2}Name a build of llama\.cpp/,
    );
  });

  it("a device that no library here is for is refused with what there is", () => {
    const absent = (["metal", "cuda", "vulkan"] as const).find((gpu) => !findLibraries().some((l) => l.gpu === gpu))!;
    const error = refusal(() => chooseLibrary(absent));
    expect(error.message).toMatch(new RegExp(`no llama.cpp library for ${absent} .*found: .*cpu`));
  });
});

describe("the check of the C interface", () => {
  const library = loadLibrary(chooseLibrary("cpu"));

  it("passes with the library that is shipped", () => {
    expect(library.version.replace(/^v|-.*/g, "")).toBe(llamaRelease.slice(1));
    expect(abiProblems(library.modelDefaults(), library.contextDefaults())).toEqual([]);
    expect(library.systemInfo()).toMatch(/CPU/);
    expect(library.devices().join()).toMatch(/CPU/);
  });

  it("names every field whose default is another", () => {
    const model = library.modelDefaults();
    const context = library.contextDefaults();
    for (const [name, value] of Object.entries({
      n_ctx: 4096,
      n_batch: 512,
      type_k: 0,
      kv_unified: true,
      n_samplers: 3,
    }))
      expect(abiProblems(model, { ...context, [name]: value })).toEqual([`${name} is ${value}, not ${context[name]}`]);
    for (const [name, value] of Object.entries({ n_gpu_layers: 0, main_gpu: 7, vocab_only: true }))
      expect(abiProblems({ ...model, [name]: value }, context)).toEqual([`${name} is ${value}, not ${model[name]}`]);
  });

  it("sees a field that was put in or taken out", () => {
    // What a new release does: everything behind the change is read from its neighbour.
    for (const shift of [1, -1]) {
      const shifted = (fields: Record<string, unknown>) => {
        const [names, values] = [Object.keys(fields), Object.values(fields)];
        return Object.fromEntries(names.map((name, i) => [name, values[i + shift] ?? 0]));
      };
      expect(abiProblems(shifted(library.modelDefaults()), library.contextDefaults()).length).toBeGreaterThan(0);
      expect(abiProblems(library.modelDefaults(), shifted(library.contextDefaults())).length).toBeGreaterThan(3);
    }
  });
});
