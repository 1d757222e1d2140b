// The family's benchmark files, against a server that stands in for the hubs: whole, and with toys under the real names.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { HubServer } from "../models/hub-server.js";
import { randomAdapter, randomLlama } from "../models/random-llama.js";
import { root } from "../repository.js";
import { bench, eventsOf, someText, temporaryFolder, verdicts } from "../support.js";

const folder = temporaryFolder();
const family = join(root, "benchmarks/chinese-llama-3");
const names = readdirSync(family).flatMap((file) => (file.endsWith(".yaml") ? [file.replace(".yaml", "")] : []));
const hub = new HubServer();
const repositories = ["", "-instruct", "-instruct-v2", "-instruct-v3"].map((name) => `llama-3-chinese-8b${name}-gguf`);
const quants = ["f16", "q8_0", "q6_k", "q5_k", "q5_0", "q4_k", "q4_0", "q3_k", "q2_k"];
const environment = () => ({
  MODEL: "llama-3-chinese-8b-gguf",
  FULL: join(folder, "full.gguf"),
  MERGED: join(folder, "full.gguf"),
  BASE: join(folder, "full.gguf"),
  LORA: join(folder, "adapter.gguf"),
});
/** Each file opens with what it answers, and says what it takes. */
const text = (name: string) => readFileSync(join(family, `${name}.yaml`), "utf8");

beforeAll(async () => {
  await hub.start();
  for (const [index, name] of repositories.entries()) {
    for (const quant of quants)
      for (const end of quant === "f16" || quant === "q8_0" ? [""] : ["", "-im"]) {
        const toy = randomLlama({ seed: index + 1, context: 8192 });
        for (const owner of ["hfl", "ChineseAlpacaGroup"])
          hub.put(`${owner}/${name}`, `ggml-model-${quant}${end}.gguf`, toy);
      }
  }
  writeFileSync(join(folder, "full.gguf"), randomLlama({ seed: 1, context: 8192 }));
  writeFileSync(join(folder, "adapter.gguf"), randomAdapter());
  // Texts and questions of one's own under the names of the real ones.
  for (const name of ["wikitext-2", "zh-wiki"]) {
    mkdirSync(join(folder, "data", name), { recursive: true });
    // Two chunks of 8192 tokens, which are bytes here.
    writeFileSync(join(folder, "data", name, "text.txt"), someText(14_000));
    writeFileSync(
      join(folder, "data", name, "card.yaml"),
      `name: ${name}\nkind: text\ntitle: A text\nsource: made here\nlicence: MIT\nfile: text.txt\n`,
    );
  }
  // Two subjects in the places where the published files lie; the test split of C-Eval has no answers.
  const question = (i: number, split: string) => `问题 ${split} ${i}?,甲 ${i},乙,丙,丁`;
  const solved = (i: number, split: string) => `${question(i, split)},${"ABCD"[i % 4]}`;
  const put = (path: string, split: string, head: string, row: (i: number, split: string) => string, count = 6) => {
    const whole = join(folder, "data", path);
    mkdirSync(join(whole, ".."), { recursive: true });
    writeFileSync(whole, head + Array.from({ length: count }, (_, i) => `${row(i, split)}\n`).join(""));
  };
  const numbered = (row: typeof solved) => (i: number, split: string) => `${i},${row(i, split)}`;
  for (const subject of ["logic", "college_physics"]) {
    const columns = "id,question,A,B,C,D";
    const explained = (i: number, split: string) => `${i},${solved(i, split)},因为`;
    put(`ceval/dev/${subject}_dev.csv`, "dev", `${columns},answer,explanation\n`, explained);
    put(`ceval/val/${subject}_val.csv`, "val", `${columns},answer\n`, numbered(solved));
    put(`ceval/test/${subject}_test.csv`, "test", `${columns}\n`, numbered(question));
  }
  for (const subject of ["logical", "chinese_history"])
    for (const split of ["dev", "test"])
      put(`cmmlu/${split}/${subject}.csv`, split, ",Question,A,B,C,D,Answer\n", numbered(solved));
  const asked = {
    input: "谁？",
    context: "段落1: 狐狸。\n段落2: 狗。",
    answers: ["段落2"],
    all_classes: ["狐狸", "狗", "段落2"],
  };
  for (const task of "multifieldqa_zh dureader vcsum lsht lcc repobench-p passage_retrieval_zh".split(" "))
    put(`longbench/${task}.jsonl`, "", "", () => JSON.stringify(asked), 1);
  for (const subject of ["formal_logic", "college_physics"])
    for (const split of ["dev", "val", "test"]) put(`mmlu/${split}/${subject}_${split}.csv`, split, "", solved);
});
afterAll(() => hub.stop());

let count = 0;
function place() {
  const cache = join(folder, `cache-${count++}`);
  const env = {
    ...environment(),
    GGUF_BENCH_CACHE: cache,
    HF_HOME: join(folder, "no-login"),
    ...{ HF_TOKEN: "", MODEL_ENDPOINT: "", HF_ENDPOINT: hub.at, MODELSCOPE_ENDPOINT: hub.at },
  };
  return { cache, options: { cwd: folder, env } };
}
const data = ["--data-dir", join(folder, "data")];

it("they are eight", () => {
  expect(names.sort()).toEqual(
    ["ceval", "cmmlu", "editions", "imatrix", "lora", "longbench", "mmlu", "quantization"].sort(),
  );
});

describe.each(names)("%s", (name) => {
  const file = join(family, `${name}.yaml`);

  it("opens with what it answers, and says downloads, time and memory", async () => {
    const comment = text(name).slice(0, text(name).indexOf("\nname:"));
    expect(comment).toMatch(/^# yaml-language-server: \$schema=\.\.\/schema\.json\n#\n# [A-Z][^\n]*\?\n/);
    for (const said of [/Downloads: \d+(\.\d+)? GB/, /Memory: \d+ GB/, /Time: \S/]) expect(comment).toMatch(said);
    const { variants } = await readBenchmark(file, { measurements, dataDir: join(folder, "data"), env: environment() });
    // Every repository is one of the family's, on both hubs.
    for (const { model, elsewhere } of variants)
      if (model.startsWith("hf:")) {
        expect(repositories.map((one) => `hf:hfl/${one}`)).toContain(model.replace(/:[^:]*$/, ""));
        expect(elsewhere).toEqual([model.replace("hf:hfl/", "ms:ChineseAlpacaGroup/")]);
      }
  });

  it("a dry run knows all its files, and fetches none", async () => {
    const { options } = place();
    hub.asked = [];
    const { code, stdout, stderr } = await bench(["run", file, ...data, "--dry-run"], options);
    expect(code, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^to fetch: ggml-model-\S+\.gguf, \d/m);
    expect(stdout).not.toMatch(/cannot be measured|not possible/);
    expect(hub.fetched).toEqual([]);
  });

  it("runs to its tables with toys in place of the models", { timeout: 300_000 }, async () => {
    const { options } = place();
    const out = join(folder, `run-${name}`);
    // Two or three files of a ladder stand for all of it, one model for those that are asked the same.
    const some: Record<string, string[]> = {
      quantization: ["f16", "q4_k"],
      imatrix: ["f16", "q4_k*"],
      longbench: ["base"],
    };
    const few = some[name] ?? [];
    const only = few.flatMap((one) => ["--only", one]);
    const { code, stdout, stderr } = await bench(["run", file, ...data, ...only, "--plain", "--out", out], options);
    expect(code, stdout + stderr).toBe(0);
    const said = verdicts(eventsOf(out));
    expect(Object.values(said).filter((verdict) => verdict !== "done")).toEqual([]);
    const { variants } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
    const fetched = variants.filter(({ model }: { model: string }) => model.startsWith("hf:"));
    for (const { from } of fetched)
      expect(from).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/hfl\/llama-3-chinese-8b\S+\.gguf$/);
  });
});

it("without Hugging Face they come from ModelScope, which is said and recorded", async () => {
  hub.ails.set("hf", "404");
  const { options } = place();
  const out = join(folder, "run-mirrored");
  const file = join(family, "ceval.yaml");
  const run = await bench(["run", file, ...data, "--only", "base/val-0-shot", "--plain", "--out", out], options);
  hub.ails.clear();
  expect(run.code, run.stdout + run.stderr).toBe(0);
  expect(run.stdout).toMatch(/^warning: base: hf:hfl\/\S+ could not be fetched: .*404.* ms:\S+ is used instead$/m);
  const { variants } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(variants[0].from).toMatch(
    /\/models\/ChineseAlpacaGroup\/llama-3-chinese-8b-gguf\/resolve\/master\/ggml-model-q8_0\.gguf$/,
  );
});
