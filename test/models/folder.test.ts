import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sortArguments } from "../../dist/benchmark/index.js";
import { namedModels } from "../../dist/models/folder.js";
import { temporaryFolder } from "../support.js";
import { tinyGguf } from "./tiny-gguf.js";

const folder = temporaryFolder();
const models = join(folder, "models");
mkdirSync(join(models, "inner"), { recursive: true });
mkdirSync(join(folder, "empty"));
const at = (...parts: string[]) => join(models, ...parts);
for (const name of ["m-Q2_K.gguf", "m-Q10.gguf", "s-00001-of-00002.gguf", "s-00002-of-00002.gguf", "inner/x.gguf"])
  writeFileSync(at(name), tinyGguf());
writeFileSync(at("upper.GGUF"), tinyGguf());
writeFileSync(at("notes.txt"), "not a model");
writeFileSync(at("sha256-0123"), tinyGguf());
const companions: Record<string, Record<string, string>> = {
  "imatrix.gguf": { "general.type": "imatrix" },
  "lora.gguf": { "general.architecture": "llama", "general.type": "adapter" },
  "old-lora.gguf": { "general.architecture": "llama", "adapter.type": "lora" },
  "mmproj.gguf": { "general.architecture": "clip" },
};
for (const [name, metadata] of Object.entries(companions))
  writeFileSync(at(name), tinyGguf({ architecture: false, metadata }));

const whole = ["m-Q2_K.gguf", "m-Q10.gguf", "s-00001-of-00002.gguf", "upper.GGUF"].map((name) => at(name));

describe("a folder stands for its models", () => {
  test("split models once, companions left out and said", async () => {
    const named = await namedModels([models]);
    expect(named.models).toEqual(whole);
    expect(named.notes).toHaveLength(4);
    for (const [name, what] of [
      ["imatrix.gguf", "an importance matrix"],
      ["mmproj.gguf", "a vision projector"],
      ["lora.gguf", "an adapter (it goes into a benchmark file: `lora:`)"],
      ["old-lora.gguf", "an adapter (it goes into a benchmark file: `lora:`)"],
    ])
      expect(named.notes).toContain(`left out: ${at(name!)}, ${what}`);
    // What a shell makes of *.gguf, and the pattern where no shell unfolds it.
    const files = [...whole, at("s-00002-of-00002.gguf"), ...Object.keys(companions).map((name) => at(name))];
    expect((await namedModels(files)).models).toEqual(whole);
    expect((await namedModels([at("m-*.gguf"), at("s-0000?-of-00002.gguf")])).models).toEqual(whole.slice(0, 3));
  });

  test("found in the models' folder, too", async () => {
    expect((await namedModels(["models"], { modelsDir: folder })).models).toEqual(whole);
    expect((await namedModels(["m-Q*.gguf", "m-Q2_K.gguf"], { modelsDir: models })).models).toEqual([
      ...whole.slice(0, 2),
      "m-Q2_K.gguf",
    ]);
  });

  test("without a model it is an error that knows the next step", async () => {
    for (const [named, message, hint] of [
      [join(folder, "empty"), /holds no \.gguf file\.$/, /a folder of them/],
      [folder, /holds no \.gguf file\.$/, /Name the folder itself: .*models\.$/],
      [at("x*.gguf"), /No model file is like .*x\*\.gguf\.$/, /./],
    ] as const)
      await expect(namedModels([named])).rejects.toMatchObject({
        code: "config",
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      });
  });

  test("a companion named alone stays: what it is, is said where models are read", async () => {
    expect(await namedModels([at("mmproj.gguf")])).toEqual({ models: [at("mmproj.gguf")], notes: [] });
  });
});

describe("arguments of run", () => {
  test("are sorted by ending and content", async () => {
    const named = [
      at("m-Q2_K.gguf"),
      at("sha256-0123"),
      at("m-Q10"),
      at("s"),
      models,
      "hf:owner/repo:Q4_K_M",
      "mock:seed=1",
    ];
    expect(await sortArguments(named)).toEqual({ models: named });
    for (const file of ["b.yaml", "b.yml", "B.JSON"]) expect(await sortArguments([file])).toEqual({ file, models: [] });
    expect(await sortArguments(["m-Q2_K"], { modelsDir: models })).toEqual({ models: ["m-Q2_K"] });
  });

  test.each([
    [["b.yaml", "a.gguf"], "b.yaml is a benchmark file, a.gguf a model: run takes one or the other."],
    [["a.yaml", "b.yaml"], "run takes one benchmark file, not 2: a.yaml, b.yaml."],
    [["b.yaml", "extra"], "There is no file extra."],
    [[at("notes.txt")], `${at("notes.txt")} is neither a model nor a benchmark file.`],
    [["nowhere"], "There is no file nowhere."],
  ])("that make no sense (%#)", async (named, message) => {
    await expect(sortArguments(named)).rejects.toMatchObject({ code: "config", message });
  });

  test("a file of another kind is told what it is good for", async () => {
    for (const [name, hint] of [
      ["notes.txt", /--text .*notes\.txt/],
      ["quiz.csv", /Questions are given with --measure/],
      ["f16.kld", /--base .*f16\.kld/],
      ["picture.png", /takes one benchmark file/],
    ] as const) {
      writeFileSync(at(name), "neither");
      await expect(sortArguments([at(name)])).rejects.toMatchObject({ hint: expect.stringMatching(hint) });
    }
  });
});
