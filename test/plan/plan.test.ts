import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { quickBenchmark, readBenchmark } from "../../dist/benchmark/index.js";
import { describePlan } from "../../dist/commands/describe.js";
import { localPlace } from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { makePlan, type Plan, type PlanOptions } from "../../dist/plan/index.js";
import { tinyGguf } from "../models/tiny-gguf.js";
import {
  bench,
  cli,
  eventsOf,
  someQuestions,
  someText,
  temporaryFolder,
  verdicts,
  writeRandomLlama,
} from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(4000));
writeFileSync(join(folder, "other.txt"), someText(4000, 99));
writeFileSync(join(folder, "questions.txt"), someQuestions(10));

const file = join(folder, "b.yaml");
const two = `
variants:
  a: {model: "mock:seed=1", reference: true, threads: 1, batch: 64}
  b: {model: "mock:seed=1,damage=0.1"}
measurements:
  perplexity: {text: text.txt, context: 64, chunks: 4}
  hellaswag: {file: questions.txt}
  speed: {repetitions: 2}
`;

async function plan(yaml: string, options: Partial<PlanOptions> = {}) {
  writeFileSync(file, yaml);
  return makePlan(await readBenchmark(file, { measurements }), {
    command: [],
    versions: {},
    place: localPlace,
    ...options,
  });
}

async function ids(yaml: string, options?: Partial<PlanOptions>): Promise<Record<string, string>> {
  const { jobs } = await plan(yaml, options);
  return Object.fromEntries(jobs.map(({ record }) => [`${record.variant}/${record.measurement}`, record.id]));
}

/** Names of the jobs whose ids differ from those of the file above. */
async function changed(yaml: string): Promise<string[]> {
  const [before, after] = [await ids(two), await ids(yaml)];
  return Object.keys(after).filter((name) => before[name] !== after[name]);
}

it("the memory that a job is thought to need follows the variant's own settings", async () => {
  const model = writeRandomLlama(folder, "settings");
  const { jobs } = await plan(`
variants:
  usual: {model: ${model}}
  batch: {model: ${model}, batch: 8192}
  small: {model: ${model}, ubatch: 64, cacheTypeK: q8_0}
measurements:
  perplexity: {text: text.txt, context: 64, chunks: 4}
`);
  const [usual, batch, small] = jobs.map(({ memory }) => memory!);
  expect(batch!.kv).toBe(4 * usual!.kv);
  expect(small!.kv).toBeCloseTo((usual!.kv * (16 + 8.5)) / 32, 6);
  expect(small!.logits).toBe(usual!.logits / 8);
  expect(small!.compute).toBeLessThan(usual!.compute);
});

describe("job ids", () => {
  it("are distinct, and the same under any order of keys", async () => {
    const before = await ids(two);
    expect(new Set(Object.values(before)).size).toBe(6);
    for (const id of Object.values(before)) expect(id).toMatch(/^[0-9a-f]{16}$/);
    const turned = `
measurements:
  speed: {repetitions: 2}
  hellaswag: {file: questions.txt}
  perplexity: {chunks: 4, context: 64, text: text.txt}
variants:
  b: {model: "mock:seed=1,damage=0.1"}
  a: {batch: 64, threads: 1, reference: true, model: "mock:seed=1"}
`;
    expect(await ids(turned)).toEqual(before);
  });

  it("are made of the question, which every machine shares, and of the place", async () => {
    const { jobs } = await plan(two);
    const elsewhere: typeof localPlace = async (variant) => {
      const { engine, machine } = await localPlace(variant);
      return { engine, machine: { ...machine, memoryBytes: 1 } };
    };
    const other = (await plan(two, { place: elsewhere })).jobs;
    expect(other.map(({ record }) => record.question)).toEqual(jobs.map(({ record }) => record.question));
    const moved = jobs.filter(({ record }, i) => record.id !== other[i]!.record.id);
    // Digits depend on the processor, speed on the whole machine.
    expect(moved.map(({ record }) => record.kind)).toEqual(["speed", "speed"]);
    const newer: typeof localPlace = async (variant) => {
      const { engine, machine } = await localPlace(variant);
      return { engine: { ...engine, version: "another" }, machine };
    };
    const all = (await plan(two, { place: newer })).jobs.map(({ record }) => record.id);
    expect(all.filter((id) => jobs.some(({ record }) => record.id === id))).toEqual([]);
  });

  it("are the same in another process", async () => {
    const before = Object.values(await ids(two));
    const said = execFileSync(process.execPath, [cli, "run", file, "--dry-run", "--json"], { encoding: "utf8" });
    expect(before.map((id) => said.includes(id.slice(0, 8)))).toEqual(before.map(() => true));
  });

  it("do not depend on names, tags, defaults written out or the reference", async () => {
    expect(await changed(two.replace("reference: true, ", ""))).toEqual([]);
    expect(await changed(two.replace('damage=0.1"', 'damage=0.1", tags: {quant: Q4}'))).toEqual([]);
    expect(await changed(two.replace("repetitions: 2", "repetitions: 2, prompt: 512, depth: 0"))).toEqual([]);
    const renamed = await ids(two.replace("  a:", "  first:"));
    expect(renamed["first/perplexity"]).toBe((await ids(two))["a/perplexity"]);
  });

  it("change with all that determines the result, and only for the jobs concerned", async () => {
    expect(await changed(two.replace("seed=1,damage", "seed=2,damage"))).toEqual([
      "b/perplexity",
      "b/hellaswag",
      "b/speed",
    ]);
    expect(await changed(two.replace("batch: 64", "batch: 128"))).toEqual(["a/perplexity", "a/hellaswag", "a/speed"]);
    expect(await changed(two.replace("context: 64", "context: 128"))).toEqual(["a/perplexity", "b/perplexity"]);
    expect(await changed(two.replace("chunks: 4", "chunks: 5"))).toEqual(["a/perplexity", "b/perplexity"]);
    expect(await changed(two.replace("text.txt", "other.txt"))).toEqual(["a/perplexity", "b/perplexity"]);
    expect(await changed(two.replace("questions.txt", "questions.txt, limit: 3"))).toEqual([
      "a/hellaswag",
      "b/hellaswag",
    ]);
  });

  it("follow the content of files, not their names", async () => {
    const model = (name: string) => `
variants: {m: {model: ${name}.gguf, threads: 1}}
measurements: {perplexity: {text: text.txt, context: 64}}
`;
    for (const [name, seed] of [
      ["one", 1],
      ["same", 1],
      ["two", 2],
    ] as const)
      writeRandomLlama(folder, name, { seed });
    const one = await ids(model("one"));
    const other = await ids(model("two"));
    expect(await ids(model("same"))).toEqual(one);
    expect(other).not.toEqual(one);
    // The same name, another content: a replaced file is another model.
    writeRandomLlama(folder, "one", { seed: 2 });
    expect(await ids(model("one"))).toEqual(other);
    writeFileSync(join(folder, "text.txt"), someText(4000, 5));
    expect(await ids(model("one"))).not.toEqual(other);
    writeFileSync(join(folder, "text.txt"), someText(4000));
  });
});

describe("a dataset's card is part of the job", () => {
  const card = `
kind: choice
name: shapes
title: Shapes
source: made here
licence: none
file: test.csv
format: csv
prompt: "Q: {question}\\nA:"
options: [A, B, C]
answer: right
answerIs: letter
`;
  const rows = "question,A,B,C,right,topic\nbird,fish,crow,toad,B,x\nfrog,toad,crow,fish,A,y\n";
  /** The id of the one job over a folder of data. */
  const idOf = async (files: Record<string, string>, kind = "choice") => {
    const name = `data${datasets++}`;
    mkdirSync(join(folder, name, "shapes"), { recursive: true });
    for (const [name_, content] of Object.entries(files)) writeFileSync(join(folder, name, "shapes", name_), content);
    const measured =
      kind === "choice" ? "choice: {dataset: ./NAME/shapes}" : "perplexity: {text: ./NAME/shapes, context: 64}";
    const [id] = Object.values(
      await ids(`variants: {a: {model: "mock:seed=1"}}\nmeasurements: {${measured.replace("NAME", name)}}\n`),
    );
    return id;
  };
  let datasets = 0;

  it("whatever decides what is asked makes another job; what is for people does not", async () => {
    const before = await idOf({ "card.yaml": card, "test.csv": rows });
    const edits: [from: string | RegExp, to: string][] = [
      ["Q: {question}", "{question}"],
      ["[A, B, C]", "[B, A, C]"],
      ["[A, B, C]", "[A, B]"],
      ["answer: right", "answer: right\ncontinueWith: letter"],
      ["answer: right", 'answer: right\ndelimiter: ""'],
      ["answer: right", "answer: right\ncluster: topic"],
      ["answer: right", "answer: right\nchance: 0.4"],
      ["answer: right", "answer: right\nexamples: {file: dev.csv}"],
      ["answer: right", "answer: right\nexamples: {file: dev.csv, count: 1}"],
      ["answer: right", "answer: right\nexamples: {file: dev.csv, separator: '###'}"],
    ];
    const found = new Set([before]);
    const examples = "question,A,B,C,right,topic\ncrow,toad,bird,fish,B,x\ntoad,frog,crow,bird,A,y\n";
    for (const [from, to] of edits)
      found.add(await idOf({ "card.yaml": card.replace(from, to), "test.csv": rows, "dev.csv": examples }));
    expect(found.size).toBe(edits.length + 1);
    const forPeople = card.replace("Shapes", "Forms").replace("made here", "elsewhere").replace("none", "CC0");
    expect(await idOf({ "card.yaml": forPeople, "test.csv": rows })).toBe(before);
    expect(await idOf({ "card.yaml": card.replace("name: shapes", "name: forms"), "test.csv": rows })).toBe(before);
  });

  it("so do the questions and the examples, but not the form of their file", async () => {
    const before = await idOf({ "card.yaml": card, "test.csv": rows });
    const changed = [
      rows.replace("crow,toad", "crow,toads"),
      rows.replace(",B,x", ",C,x"),
      rows.replace("frog", "Frog"),
      `${rows}newt,crow,newt,fish,B,y\n`,
    ];
    for (const content of changed) expect(await idOf({ "card.yaml": card, "test.csv": content })).not.toBe(before);
    expect(await idOf({ "card.yaml": card, "test.csv": rows.replaceAll("\n", "\r\n") })).toBe(before);
    const withExamples = card.replace("answer: right", "answer: right\nexamples: {file: dev.csv}");
    const shots = new Set<unknown>();
    for (const bird of ["crow", "newt", "rook"])
      shots.add(await idOf({ "card.yaml": withExamples, "test.csv": rows, "dev.csv": rows.replace("crow", bird) }));
    expect(shots.size).toBe(3);
  });

  it("a text's documents count as well", async () => {
    const text = "# one\nsome words\n\n== two\nmore words\n".repeat(40);
    const about = "kind: text\nname: shapes\ntitle: t\nsource: s\nlicence: l\nfile: a.txt\n";
    const found = new Set<unknown>();
    for (const documents of ["", "documents: '^# '\n", "documents: '^== '\n", "documents: '^(# |== )'\n"])
      found.add(await idOf({ "card.yaml": about + documents, "a.txt": text }, "text"));
    expect(found.size).toBe(4);
  });

  it("so is the version of a scoring rule", async () => {
    const before = await ids(two);
    const { perplexity } = measurements as unknown as Record<string, { rule: number }>;
    perplexity!.rule++;
    const after = await ids(two).finally(() => perplexity!.rule--);
    expect(Object.keys(after).filter((name) => after[name] !== before[name])).toEqual(["a/perplexity", "b/perplexity"]);
  });
});

describe("the order", () => {
  it("is the file's: variants, and for each of them the measurements", async () => {
    const { jobs } = await plan(two);
    expect(jobs.map(({ record }) => `${record.variant}/${record.measurement}`)).toEqual([
      "a/perplexity",
      "a/hellaswag",
      "a/speed",
      "b/perplexity",
      "b/hellaswag",
      "b/speed",
    ]);
  });

  it("only and exclude choose variants, measurements and cells, with stars", async () => {
    const names = async (options: Partial<PlanOptions>) => Object.keys(await ids(two, options)).join(" ");
    expect(await names({ only: ["a"] })).toBe("a/perplexity a/hellaswag a/speed");
    expect(await names({ only: ["speed"] })).toBe("a/speed b/speed");
    expect(await names({ only: ["b/hella*"] })).toBe("b/hellaswag");
    expect(await names({ only: ["*pe*"], exclude: ["a/*"] })).toBe("b/perplexity b/speed");
    expect(await names({ exclude: ["perplexity", "hellaswag"] })).toBe("a/speed b/speed");
    expect(await names({ only: ["a", "b/speed"], exclude: ["a/speed"] })).toBe("a/perplexity a/hellaswag b/speed");
  });

  it("what is left out needs no data", async () => {
    const withAbsent = `${two}  absent: { dataset: hellaswag, file: absent.txt }\n`;
    await expect(plan(withAbsent)).rejects.toMatchObject({ code: "dataset-missing" });
    expect(Object.keys(await ids(withAbsent, { exclude: ["absent"], only: ["a"] }))).toEqual([
      "a/perplexity",
      "a/hellaswag",
      "a/speed",
    ]);
  });

  it("nothing left is an error that says what there is", async () => {
    await expect(plan(two, { only: ["a"], exclude: ["*"] })).rejects.toMatchObject({
      code: "config",
      hint: expect.stringMatching(/variants a, b .*measurements perplexity, hellaswag, speed/),
    });
    // A dot is a dot.
    await expect(plan(two, { only: ["."] })).rejects.toMatchObject({ code: "config" });
  });

  it("a pattern that stands for nothing is an error that knows what was meant", async () => {
    for (const [options, hint] of [
      [{ exclude: ["speeed"] }, /^Did you mean `speed`\?/],
      [{ only: ["perplexty"] }, /^Did you mean `perplexity`\?/],
      [{ only: ["a"], exclude: ["helaswag"] }, /^Did you mean `hellaswag`\?/],
      [{ only: ["a", "swag"] }, /^Did you mean `hellaswag`\?/],
      [{ only: ["a", "c*"] }, /^Known: perplexity, hellaswag, speed, a, b\./],
      [{ exclude: ["a/sped"] }, /^Known: /],
    ] as [Partial<PlanOptions>, RegExp][]) {
      const asked = plan(two, options);
      await expect(asked).rejects.toMatchObject({ code: "config", hint: expect.stringMatching(hint) });
    }
  });

  it("ppl is perplexity, and a list may be written with commas", async () => {
    const names = async (options: Partial<PlanOptions>) => Object.keys(await ids(two, options)).join(" ");
    expect(await names({ only: ["ppl"] })).toBe("a/perplexity b/perplexity");
    expect(await names({ only: ["speed,b/ppl", "b/hellaswag"] })).toBe("a/speed b/perplexity b/hellaswag b/speed");
    // A name is a name first.
    expect(await names({ only: ["a"], exclude: ["PPL"] })).toBe("a/hellaswag a/speed");
  });

  it("ids are those of the whole file", async () => {
    const [all, some] = [await ids(two), await ids(two, { only: ["b"] })];
    for (const [name, id] of Object.entries(some)) expect(all[name]).toBe(id);
  });
});

describe("what cannot be measured", () => {
  it("a context beyond the trained one is impossible, with both numbers; the rest of the matrix stands", async () => {
    const { jobs } = await plan(two.replace("context: 64, chunks: 4", "context: 8192"));
    const records = jobs.map(({ record }) => record).filter(({ impossible }) => impossible);
    expect(records.map((job) => [job.variant, job.measurement, job.impossible])).toEqual([
      ["a", "perplexity", "a context of 8192 tokens is asked for; the model was trained for 4096"],
      ["b", "perplexity", "a context of 8192 tokens is asked for; the model was trained for 4096"],
    ]);
  });

  it("options inside of questions have no letters: by likelihood alone", async () => {
    mkdirSync(join(folder, "gap"), { recursive: true });
    writeFileSync(
      join(folder, "gap", "card.yaml"),
      `name: gap\nkind: choice\ntitle: t\nsource: s\nlicence: l\nfile: q.csv\nformat: csv\noptions: [A, B]\nanswer: key\nanswerIs: letter\ngap: _\nprompt: "{q}"\n`,
    );
    writeFileSync(join(folder, "gap", "q.csv"), "q,A,B,key\nThe _ sleeps.,cat,stone,A\nThe _ rings.,cat,bell,B\n");
    const { jobs } = await plan(`
variants: {a: {model: "mock:seed=1"}}
measurements:
  gap: {dataset: ./gap}
  letter: {dataset: ./gap, by: letter}
  written: {dataset: ./gap, by: generation}
`);
    const why =
      "its options stand inside the question, where no letter can; `by: likelihood` scores the options' texts";
    expect(Object.fromEntries(jobs.map(({ record }) => [record.measurement, record.impossible]))).toEqual({
      gap: undefined,
      letter: `no question can be asked by letter: ${why}`,
      written: `no question can be asked by generation: ${why}`,
    });
  });

  it.each([
    ["depth: [0, 999999]", 1_000_511, "depth 999999; the model was trained for 4096: without it the others"],
    ["prompt: [512, 8192, 9000]", 9000, "prompt 8192, prompt 9000; the model was trained for 4096: without them the"],
    ["depth: [0, 3900]", 4412, "pp512@d3900; the model was trained for 4096: without it the others"],
  ])("speed with %s: which number is too large is said", async (settings, context, said) => {
    const { jobs } = await plan(two.replace("repetitions: 2", settings));
    const { impossible } = jobs.find(({ record }) => record.kind === "speed")!.record;
    expect(impossible).toContain(`a context of ${context} tokens is asked for, by ${said}`);
    expect(impossible!.length).toBeLessThan(200);
  });

  it("speed of which nothing fits blames no single number", async () => {
    const { jobs } = await plan(two.replace("repetitions: 2", "depth: 999999"));
    const { impossible } = jobs.find(({ record }) => record.kind === "speed")!.record;
    expect(impossible).toBe("a context of 1000511 tokens is asked for; the model was trained for 4096");
  });

  it("a model that cannot be read is told in the plan, and the others are planned", async () => {
    const broken = two
      .replace('"mock:seed=1,damage=0.1"', "absent.gguf")
      .replace("variants:", 'variants:\n  c: {model: "mock:what=1"}');
    const { variants, jobs } = await plan(broken);
    const failures = Object.fromEntries(variants.map(({ name, failure }) => [name, failure?.code]));
    expect(failures).toEqual({ c: "model-invalid", a: undefined, b: expect.stringContaining("model") });
    expect(jobs).toHaveLength(9);
    expect(describePlan(await plan(broken))).toMatch(
      /^c +failed \[1\][\s\S]*\[1\] cannot be measured: "what=1" is no setting/m,
    );
  });

  it("data that are not there stop the plan", async () => {
    await expect(plan(two.replace("text.txt", "absent.txt"))).rejects.toMatchObject({ code: "dataset-unknown" });
  });
});

describe("the plan as text", () => {
  it("has the notes of data, each under the entries whose data they are", async () => {
    const task = (...metrics: string[]) => `task: birds
dataset_path: json
dataset_kwargs: { data_files: { test: birds.jsonl } }
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: [crow, toad]
doc_to_target: answer
metric_list: [${metrics.map((metric) => `{ metric: ${metric} }`)}]
`;
    writeFileSync(join(folder, "birds.jsonl"), '{ "question": "A bird?", "answer": 0 }\n');
    writeFileSync(join(folder, "plain.yaml"), task("acc"));
    writeFileSync(join(folder, "more.yaml"), task("acc", "f1"));
    const entries = "one: {dataset: plain.yaml}, two: {dataset: more.yaml}, three: {dataset: more.yaml, limit: 1}";
    const made = await plan(`variants: {a: {model: "mock:seed=1"}}\nmeasurements: {${entries}}\n`);
    expect(describePlan(made)).toMatch(/^two, three: not computed: f1\n/);
    const [only, ...others] = (
      await plan(`variants: {a: {model: "mock:seed=1"}}\nmeasurements: {x: {dataset: more.yaml}}\n`)
    ).provenance.datasets;
    expect([only, others]).toMatchObject([{ name: "birds", note: "not computed: f1" }, []]);
    expect(only).not.toHaveProperty("entries");
  });

  it("a row a variant with file, memory and times, and what may be used", async () => {
    const model = writeRandomLlama(folder, "shown");
    const said = describePlan(await plan(two.replace('"mock:seed=1"', model)));
    expect(said).toMatch(/^variant +file +memory +perplexity +hellaswag +speed$/m);
    expect(said).toMatch(/^a \(ref\) +[\d.]+ [kM]B +[\d.]+ MB +\d+ s +\d+ s +\d+ s$/m);
    expect(said).toMatch(/6 jobs, very roughly .* in all; engines may use \d+\.\d+ GB\n$/);
  });

  it("counts a decode once, where a comparison feeds the perplexity of its text", async () => {
    const yaml = (chunks: number) => `
variants:
  a: {model: "mock:seed=1,bytes=6e11", reference: true}
  b: {model: "mock:seed=1,damage=0.1,bytes=6e11"}
measurements:
  divergence: {text: text.txt, context: 64, chunks: 8}
  perplexity: {text: text.txt, context: 64, chunks: ${chunks}}
`;
    const estimates = async (chunks: number) =>
      (await plan(yaml(chunks))).jobs.map(({ record: { kind, estimate } }) => [kind, estimate! > 0]);
    expect(await estimates(8)).toEqual([
      ["divergence", true],
      ["perplexity", false],
      ["divergence", true],
      ["perplexity", false],
    ]);
    expect((await estimates(7)).every(([, counts]) => counts)).toBe(true);
  });

  it("says where a reference and its variants take turns in memory", async () => {
    const yaml = `
variants:
  a: {model: "mock:seed=1,bytes=6e8", reference: true}
  b: {model: "mock:seed=1,damage=0.1,bytes=3e8"}
measurements:
  divergence: {text: text.txt, context: 64, chunks: 4}
`;
    expect(describePlan(await plan(yaml))).not.toContain("turns");
    expect(describePlan(await plan(`memoryLimit: 1 GB${yaml}`))).toMatch(
      /^divergence: all models together need 1\.\d+ GB; they take turns, and the logits of a wait in a temporary file$/m,
    );
  });
});

describe("the reference", () => {
  const model = (name: string, type: number, bytes: number) =>
    writeFileSync(
      join(folder, `${name}.gguf`),
      tinyGguf({ tensors: [{ name: "token_embd.weight", shape: [64, 32], type, bytes }] }),
    );
  model("m-F32", 0, 8192);
  model("m-F16", 1, 4096);
  model("m-BF16", 30, 4096);
  model("m-Q8_0", 8, 2176);
  writeFileSync(join(folder, "m-bad.gguf"), "no model at all");

  const quick = async (models: string[], options: Partial<PlanOptions> & { measures?: string[] } = {}) => {
    const { measures = ["divergence"], ...rest } = options;
    const benchmark = await quickBenchmark({
      measurements,
      models: models.map((name) => join(folder, `${name}.gguf`)),
      measures,
      ...(measures.includes("speed") ? {} : { flags: { text: join(folder, "text.txt") } }),
    });
    return makePlan(benchmark, { command: [], versions: {}, place: localPlace, ...rest });
  };
  const references = ({ variants }: Plan) => variants.filter(({ reference }) => reference).map(({ name }) => name);

  it("is the variant with the most bits per weight, wherever it stands", async () => {
    for (const [models, reference] of [
      [["m-Q8_0", "m-F16"], "m-F16"],
      [["m-F16", "m-Q8_0"], "m-F16"],
      [["m-Q8_0", "m-F16", "m-F32"], "m-F32"],
    ] as const) {
      const made = await quick([...models]);
      expect(references(made)).toEqual([reference]);
      expect(made.notes).toEqual([`reference: ${reference} (most bits per weight)`]);
      expect(made.jobs.map(({ record }) => record.against)).toEqual(models.map(() => reference));
      expect(describePlan(made)).toMatch(`reference: ${reference} (most bits per weight)\n`);
    }
  });

  it("is the first of several alike; what cannot be read is not considered; both are said", async () => {
    const alike = await quick(["m-Q8_0", "m-BF16", "m-F16"]);
    expect(references(alike)).toEqual(["m-BF16"]);
    expect(alike.notes[0]).toContain("(the first of 2 with the most bits per weight; --reference NAME takes another)");
    const unread = await quick(["m-bad", "m-Q8_0", "m-F16"]);
    expect(references(unread)).toEqual(["m-F16"]);
    expect(unread.notes[1]).toBe("not considered as the reference, because it cannot be read: m-bad");
    expect((await quick(["m-bad", "absent"])).notes).toEqual(["reference: none, because no model could be read"]);
  });

  it("--reference names another, by name or by file, over what the file says", async () => {
    for (const named of ["m-Q8_0", "m-Q8_0.gguf", join(folder, "m-Q8_0.gguf")]) {
      const made = await quick(["m-F16", "m-Q8_0"], { reference: named });
      expect(references(made)).toEqual(["m-Q8_0"]);
      expect(made.notes).toEqual(["reference: m-Q8_0"]);
    }
    expect(references(await plan(two, { reference: "b" }))).toEqual(["b"]);
    await expect(quick(["m-F16", "m-Q8_0"], { reference: "m-Q8" })).rejects.toMatchObject({
      code: "config",
      hint: expect.stringMatching(/^Did you mean `m-Q8_0`\?/),
    });
  });

  it("in a benchmark file: what it says; else the same rule, but not beside pairs that it names", async () => {
    expect(references(await plan(two))).toEqual(["a"]);
    const silent = await plan(two.replace("reference: true, ", ""));
    expect(references(silent)).toEqual(["a"]);
    expect(silent.notes[0]).toMatch(/^reference: a \(the first of 2 with the most bits per weight/);
    const paired = await plan(two.replace("reference: true, ", "").replace('damage=0.1"', 'damage=0.1", reference: a'));
    expect(references(paired)).toEqual([]);
    expect(paired.variants.map(({ against }) => against)).toEqual([undefined, "a"]);
    // A reference that is left out is no reason to take another one silently.
    const left = await plan(two, { only: ["b"] });
    expect(references(left)).toEqual([]);
    expect(left.notes).toEqual(["reference: a, which --only or --exclude leaves out"]);
  });

  it("a variant alone is a reference only where something compares", async () => {
    expect(references(await quick(["m-F16"], { measures: ["speed"] }))).toEqual([]);
    expect(references(await quick(["m-F16"]))).toEqual(["m-F16"]);
  });
});

describe("models that are still to be made", () => {
  const quantized = (measured = "perplexity: {text: text.txt, context: 64}") => `
variants:
  full: {model: made.gguf}
  small: {model: made.gguf, quantize: Q8_0}
measurements: {${measured}}
`;
  writeRandomLlama(folder, "made", { seed: 7 });
  const dry = (cache: string, ...more: string[]) =>
    execFileSync(process.execPath, [cli, "run", file, "--dry-run", ...more], {
      encoding: "utf8",
      env: { ...process.env, GGUF_BENCH_CACHE: cache },
    });

  it("a dry run makes none of them and writes nothing, and knows their ids", async () => {
    const cache = join(folder, "cache-of-dry-run");
    await plan(quantized());
    const before = dry(cache, "--json");
    expect(dry(cache)).toMatch(/^small +to quantize +\?$/m);
    expect(dry(cache)).toContain("1 model to quantize first");
    expect(existsSync(cache)).toBe(false);
    const out = join(folder, "made-run");
    const options = { env: { GGUF_BENCH_CACHE: cache } };
    const { code, stdout } = await bench(["run", file, "--plain", "--out", out], options);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^quantizing made-Q8_0\.gguf: tensor \d+ of \d+$/m);
    const idsIn = (said: string) => JSON.parse(said).jobs.map(({ id }: { id: string }) => id);
    expect(idsIn(dry(cache, "--json"))).toEqual(idsIn(before));
    const jobs = eventsOf(out).flatMap((event) => (event.type === "started" ? event.jobs : []));
    expect(jobs.map(({ id }) => id)).toEqual(idsIn(before));
    // Nothing is left to be made or measured.
    const again = await bench(["run", file, "--plain", "--out", out], options);
    expect(again.stdout).not.toMatch(/quantizing|started/);
  });

  it("are chosen as the reference only once they are here", async () => {
    const none = quantized("divergence: {text: text.txt, context: 64, chunks: 4}").replace(/ {2}full.*\n/, "");
    await plan(none);
    const said = dry(join(folder, "another-cache"));
    expect(said).toMatch(/^not considered as the reference before it is here: small$/m);
    expect(said).toMatch(/^small +to quantize +\?$/m);
  });

  it("one that cannot be made fails alone", async () => {
    const out = join(folder, "unmade-run");
    await plan(
      quantized().replace(
        "measurements",
        "  bad: {model: made.gguf, quantize: Q4_K_M, imatrix: absent.gguf}\nmeasurements",
      ),
    );
    const { code } = await bench(["run", file, "--plain", "--out", out], {
      env: { GGUF_BENCH_CACHE: join(folder, "third-cache") },
    });
    expect(code).toBe(2);
    expect(verdicts(eventsOf(out))).toEqual({
      "full perplexity": "done",
      "small perplexity": "done",
      "bad perplexity": expect.stringMatching(/absent/),
    });
  });
});
