// Tokens that decide how questions by letter are scored, in the vocabulary of Llama 3: node-llama-cpp ships llama.cpp's sources, and
// these hold vocabularies without a model.

import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { LlamaModel } from "../../dist/backends/llama/model.js";
import { Tokenizer } from "../../dist/backends/llama/tokenizer.js";
import { type Library, loadLibrary, type Pointer } from "../../dist/llama/library.js";
import { chooseLibrary, packageFolder } from "../../dist/llama/location.js";
import { temporaryFolder } from "../support.js";

const bundle = join(packageFolder("node-llama-cpp") ?? "", "llama", "gitRelease.bundle");
const folder = temporaryFolder();

interface Vocabulary {
  tokenizer: Tokenizer;
  /** Texts, and the tokens that the model's own tokenizer makes of them. */
  samples: { text: string; tokens: number[] }[];
}

function vocabulary(name: string): Vocabulary {
  const file = (ending: string) =>
    execFileSync("git", ["-C", join(folder, "source"), "show", `HEAD:models/ggml-vocab-${name}.gguf${ending}`], {
      maxBuffer: 1 << 26,
    });
  const path = join(folder, `${name}.gguf`);
  writeFileSync(path, file(""));
  const library: Library = loadLibrary(chooseLibrary("cpu"));
  const { result } = library.listen(() => library.loadModel(path, { ...library.modelDefaults(), vocab_only: true }));
  const pointer = result as Pointer;
  const vocab = library.vocab(pointer);
  // All that a tokenizer asks of a model; none can be opened that has no weights.
  const model = { library, pointer, vocab, bos: library.bos(vocab), doing: () => {} } as unknown as LlamaModel;
  const texts = file(".inp").toString("utf8").split("\n__ggml_vocab_test__\n");
  const tokens = file(".out").toString("utf8").split("\n");
  return {
    tokenizer: new Tokenizer(model),
    samples: texts.map((text, i) => ({
      text,
      tokens: (tokens[i] ?? "").trim().split(/\s+/).filter(Boolean).map(Number),
    })),
  };
}

describe.skipIf(!existsSync(bundle))("the vocabulary of Llama 3", () => {
  let llama3: Vocabulary;
  beforeAll(() => {
    execFileSync("git", ["clone", "-q", "--bare", "--single-branch", bundle, join(folder, "source")], {
      stdio: "ignore",
    });
    llama3 = vocabulary("llama-bpe");
  }, 60_000);
  const ids = (text: string) => [...llama3.tokenizer.tokenize(text, false)];

  it("a letter is one token; after a blank another one, after a full-width colon the same", () => {
    expect(["A", "B", "C", "D"].map(ids)).toEqual([[32], [33], [34], [35]]);
    expect([" A", " B"].map(ids)).toEqual([[362], [426]]);
    expect(ids("：A")).toEqual([5232, 32]);
    expect(ids("：D")).toEqual([5232, 35]);
  });

  it("what stands before the letter keeps its tokens when the letter follows", () => {
    expect(ids("答案：")).toEqual([126427, 5232]);
    expect(ids("答案：C")).toEqual([126427, 5232, 34]);
    expect(ids("Answer:")).toEqual([16533, 25]);
    expect(ids("Answer: B")).toEqual([16533, 25, 426]);
    expect(ids("\nA.")).toEqual([198, 32, 13]);
  });

  it("BOS goes before a text, and special tokens are parsed where that is asked for alone", () => {
    expect([...llama3.tokenizer.tokenize("A", true)]).toEqual([128000, 32]);
    expect([...llama3.tokenizer.tokenize("<|eot_id|>", false, true)]).toEqual([128009]);
    expect(ids("<|eot_id|>").length).toBeGreaterThan(1);
  });

  it("llama.cpp's own samples have the tokens of the model's first tokenizer", () => {
    const { tokenizer, samples } = llama3;
    expect(samples.length).toBeGreaterThan(40);
    for (const { text, tokens } of samples) expect([...tokenizer.tokenize(text, false)], text).toEqual(tokens);
  });
});
