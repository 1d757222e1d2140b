import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { contextsOf } from "../../dist/backends/backend.js";
import { quickBenchmark, readBenchmark } from "../../dist/benchmark/index.js";
import { foreignFile } from "../../dist/data/foreign/index.js";
import { JinjaTemplate } from "../../dist/data/foreign/jinja/evaluate.js";
import { pythonLiteral } from "../../dist/data/foreign/jinja/literal.js";
import { text as pythonText } from "../../dist/data/foreign/jinja/values.js";
import { TaskTemplates } from "../../dist/data/foreign/templates.js";
import { dataKinds, textOf } from "../../dist/data/index.js";
import { BenchError } from "../../dist/errors.js";
import { measurements } from "../../dist/measurements/index.js";
import { root } from "../repository.js";
import { temporaryFolder } from "../support.js";

const python = process.env.GGUF_BENCH_TEST_PYTHON ?? "python3";
const lmEval = spawnSync(python, ["-c", "import lm_eval"]).status === 0;
const folder = temporaryFolder();
let dir: string;
let count = 0;
beforeEach(() => {
  dir = join(folder, String(count++));
});

function file(name: string, content: string): string {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), content);
  return join(dir, name);
}

const rows = (name: string, ...all: object[]) => file(name, all.map((row) => `${JSON.stringify(row)}\n`).join(""));
const folders = () => ({ baseDir: dir, dataDir: join(dir, "data") });
const choice = (dataset: string, more: object = {}) => dataKinds.choice.resolve({ dataset, ...more }, folders());
const generation = (dataset: string, more: object = {}) =>
  dataKinds.generation.resolve({ dataset, ...more }, folders());

/** The sentence and the remedy of what is thrown. */
async function refusal(asked: Promise<unknown>): Promise<string> {
  const error = await asked.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BenchError)) throw new Error(`no BenchError: ${error}`);
  expect(error.message.replaceAll(dir, "").length, error.message).toBeLessThan(200);
  return `${error.message.replaceAll(`${dir}/`, "")} ${error.hint ?? ""}`;
}

const capitals = `task: capitals
dataset_path: json
dataset_kwargs: { data_files: { test: test.jsonl, dev: dev.jsonl } }
test_split: test
fewshot_split: dev
fewshot_config: { sampler: first_n }
output_type: multiple_choice
description: "Capitals.\\n\\n"
doc_to_text: "Question: {{ question.strip() }}\\nAnswer:"
doc_to_choice: options
doc_to_target: answer
metric_list: [{ metric: acc }, { metric: acc_norm }]
`;

function capitalRows(): void {
  rows(
    "test.jsonl",
    { question: " Of France?", options: ["Rome", "Paris"], answer: 1 },
    { question: "Of Italy?", options: ["Rome", "Paris", "Oslo"], answer: 0 },
  );
  rows("dev.jsonl", { question: "Of Spain?", options: ["Lima", "Madrid"], answer: 1 });
}

describe("tasks of lm-eval", () => {
  it("become questions with options", async () => {
    capitalRows();
    file("task.yaml", capitals);
    expect(await choice("task.yaml")).toMatchObject({
      kind: "choice",
      name: "capitals",
      delimiter: " ",
      chance: (1 / 2 + 1 / 3) / 2,
      task: { split: "test", shots: 0 },
      items: [
        { id: "0", context: "Capitals.\n\nQuestion: Of France?\nAnswer:", options: ["Rome", "Paris"], gold: 1 },
        { id: "1", context: "Capitals.\n\nQuestion: Of Italy?\nAnswer:", options: ["Rome", "Paris", "Oslo"], gold: 0 },
      ],
    });
  });

  it("have the first rows of another split as examples", async () => {
    capitalRows();
    file("task.yaml", capitals);
    const { items, task } = await choice("task.yaml", { shots: 1 });
    expect(items[1]).toMatchObject({
      before: { text: "Capitals.\n\nQuestion: Of Spain?\nAnswer: Madrid\n\n" },
      context: "Question: Of Italy?\nAnswer:",
    });
    expect(task).toMatchObject({ shots: 1 });
    expect(await refusal(choice("task.yaml", { shots: 2 }))).toMatch(/1 examples, fewer than 2.*--shots 1/);
  });

  it("leave the question itself out of examples of the same split", async () => {
    capitalRows();
    file("task.yaml", capitals.replace("fewshot_split: dev", "fewshot_split: test"));
    const { items } = await choice("task.yaml", { shots: 1 });
    expect(items.map((item) => contextsOf(item)[0])).toEqual([
      expect.stringContaining("Question: Of Italy?\nAnswer: Rome\n\nQuestion: Of France?"),
      expect.stringContaining("Question: Of France?\nAnswer: Paris\n\nQuestion: Of Italy?"),
    ]);
  });

  it("include other files; a key of their own wins", async () => {
    capitalRows();
    file("_common", capitals);
    file("task.yaml", `include: _common\ntask: other\ndescription: ""\n`);
    const { name, items } = await choice("task.yaml");
    expect([name, items[0]]).toMatchObject(["other", { context: "Question: Of France?\nAnswer:" }]);
    file("round.yaml", "include: round.yaml\n");
    expect(await refusal(choice("round.yaml"))).toMatch(/round\.yaml is included by itself/);
    file("lost.yaml", "include: lost\n");
    expect(await refusal(choice("lost.yaml"))).toMatch(/^lost\.yaml:1:10: there is no file lost/);
  });

  it("are found in a folder, and in the data directory", async () => {
    capitalRows();
    file("task.yaml", capitals);
    expect((await choice(".")).name).toBe("capitals");
    rows("data/mine/test.jsonl", { question: "Of Norway?", options: ["Oslo", "Bern"], answer: 0 });
    file("data/mine/any.yaml", capitals);
    expect((await choice("mine")).items).toHaveLength(1);
    file("more.yaml", capitals);
    expect(await refusal(choice("."))).toMatch(/holds 2 files of tasks: more\.yaml, task\.yaml/);
  });

  it("of which code is a part are refused by name", async () => {
    const answers: Record<string, RegExp> = {
      "process_docs: !function utils.process":
        /`process_docs` runs Python code \(utils\.process\).*save its rows as JSONL/,
      "doc_to_text: !function utils.ask": /`doc_to_text` runs Python code \(utils\.ask\)/,
      "process_results: !function utils.score": /`process_results` runs Python code/,
      "fewshot_config: { sampler: first_n, samples: !function utils.shots }\nnum_fewshot: 2":
        /`fewshot_config` runs Python code/,
      "class: !function task.Mine": /`class` runs Python code/,
      "unsafe_code: true": /`unsafe_code`/,
      "metric_list: [{ metric: !function utils.mine }]": /none of its metrics is computed here: utils\.mine/,
      "metric_list: [{ metric: mcc }]": /none of its metrics is computed here: mcc/,
      "output_type: loglikelihood_rolling": /output type loglikelihood_rolling.*--measure perplexity/,
      "doc_to_txt: a": /there is no key `doc_to_txt` here.*`doc_to_text`/,
      "fewshot_config: { sampler: balanced }\nnum_fewshot: 1": /sampler balanced is not known/,
      "dataset_kwargs: { builder: x }": /`builder` of `dataset_kwargs` is not known here\. Known are data_files and/,
      "repeats: 5": /`repeats` of more than one/,
    };
    for (const [line, said] of Object.entries(answers)) {
      capitalRows();
      file("task.yaml", `${capitals}${line}\n`);
      expect(await refusal(choice("task.yaml")), line).toMatch(said);
    }
  });

  it("say what of them is left out", async () => {
    capitalRows();
    file("task.yaml", `${capitals}metric_list: [{ metric: acc }, { metric: f1, aggregation: !function utils.f1 }]\n`);
    expect((await choice("task.yaml")).note).toBe("not computed: f1");
    file("drawn.yaml", capitals.replace("sampler: first_n", "sampler: default"));
    expect((await choice("drawn.yaml", { shots: 1 })).note).toMatch(/^the first example, where lm-eval draws by/);
    expect((await choice("drawn.yaml")).note).toBeUndefined();
    rows("dev.jsonl", ...[0, 1].map((answer) => ({ question: `${answer}?`, options: ["x", "y"], answer })));
    expect((await choice("drawn.yaml", { shots: 2 })).note).toMatch(/^the first 2 examples, where/);
  });

  it("name the row that is wrong", async () => {
    file("task.yaml", capitals);
    rows(
      "test.jsonl",
      { question: "a", options: ["x", "y"], answer: 0 },
      { question: "b", options: ["x", "y"], answer: 2 },
    );
    expect(await refusal(choice("task.yaml"))).toMatch(
      /^test\.jsonl:2: `doc_to_target` gives 2, which is none of its 2 options\. Its options: x, y\.$/,
    );
    rows("test.jsonl", { question: "a", options: ["x", "y"], answer: 0 }, { options: ["x", "y"], answer: 0 });
    expect(await refusal(choice("task.yaml"))).toMatch(
      /`doc_to_text` fails at test\.jsonl:2: there is no column "question"/,
    );
    rows("test.jsonl", { question: "a", options: ["x", "y"], answer: -1 });
    expect(await refusal(choice("task.yaml"))).toMatch(/No question of the split "test" has its key/);
    expect((await choice("task.yaml", { split: "test" })).note).toMatch(/comes without answers/);
  });

  it("take text as YAML 1.1 does, as PyYAML", async () => {
    rows("test.jsonl", { question: "a", answer: "no" });
    file(
      "task.yaml",
      `${capitals.replace("doc_to_choice: options", 'doc_to_choice: ["yes", "no"]')}should_decontaminate: no\n`,
    );
    expect((await choice("task.yaml")).items[0]).toMatchObject({ options: ["yes", "no"], gold: 1 });
    file("task.yaml", capitals.replace("doc_to_choice: options", "doc_to_choice: [yes, no]"));
    expect(await refusal(choice("task.yaml"))).toMatch(/must be text|`doc_to_choice`/);
  });

  it("whose contexts differ and not their options have a context each", async () => {
    rows("test.jsonl", { before: "Ann thanked Eve because ", after: "was kind.", answer: "1" });
    file(
      "task.yaml",
      `${capitals
        .replace(/doc_to_text: .*/, 'doc_to_text: "{{ answer }}"')
        .replace("doc_to_choice: options", `doc_to_choice: "{{ [before ~ 'Ann', before ~ 'Eve'] }}"`)
        .replace("doc_to_target: answer", "doc_to_target: after")}`,
    );
    expect((await choice("task.yaml")).items[0]).toEqual({
      id: "0",
      contexts: ["Capitals.\n\nAnn thanked Eve because Ann", "Capitals.\n\nAnn thanked Eve because Eve"],
      options: ["was kind.", "was kind."],
      gold: 1,
    });
  });

  it("read CSV files as pandas types them", async () => {
    file("test.csv", "question,A,B,answer,share\nfirst?,x,y,1,0.5\nsecond?,p,q,0,1\n");
    file(
      "task.yaml",
      `task: csv
dataset_path: csv
dataset_kwargs: { data_files: { test: test.csv } }
test_split: test
output_type: multiple_choice
doc_to_text: "{{ question }} ({{ share }})"
doc_to_choice: "{{ [A, B] }}"
doc_to_target: answer
`,
    );
    expect((await choice("task.yaml")).items).toMatchObject([
      { context: "first? (0.5)", options: ["x", "y"], gold: 1 },
      { context: "second? (1.0)", options: ["p", "q"], gold: 0 },
    ]);
  });

  it("find a copy of the Hub's dataset by split and part, and say how to get one", async () => {
    file(
      "task.yaml",
      capitals.replace(/dataset_path[\s\S]*?dev\.jsonl } }/, "dataset_path: someone/places\ndataset_name: europe"),
    );
    expect(await refusal(choice("task.yaml"))).toMatch(
      /The data someone\/places are not here: there is no folder .*hf download someone\/places --repo-type dataset --local-dir/,
    );
    rows("data/someone/places/europe/test-00000-of-00001.jsonl", { question: "a", options: ["x", "y"], answer: 0 });
    rows("data/someone/places/europe/dev-00000-of-00001.jsonl", { question: "b", options: ["x", "y"], answer: 1 });
    rows("data/someone/places/asia/test-00000-of-00001.jsonl", { question: "c", options: ["x", "y"], answer: 0 });
    const { items } = await choice("task.yaml", { shots: 1 });
    expect(contextsOf(items[0]!)).toEqual(["Capitals.\n\nQuestion: b\nAnswer: y\n\nQuestion: a\nAnswer:"]);
    expect(await refusal(choice("task.yaml", { split: "train" }))).toMatch(/holds no file of europe, split "train"/);
  });

  it("whose part is the main one need no folder of its name", async () => {
    const of = (part: string) =>
      capitals.replace(/dataset_path[\s\S]*?dev\.jsonl } }/, `dataset_path: places\ndataset_name: ${part}`);
    rows("data/places/test.jsonl", { question: "a", options: ["x", "y"], answer: 0 });
    rows("data/places/asia/test.jsonl", { question: "b", options: ["x", "y"], answer: 0 });
    file("task.yaml", of("main"));
    expect((await choice("task.yaml")).items).toMatchObject([{ context: "Capitals.\n\nQuestion: a\nAnswer:" }]);
    file("task.yaml", of("europe"));
    expect(await refusal(choice("task.yaml"))).toMatch(
      /holds no file of europe, split "test"\. It holds asia\/test\.jsonl, test\.jsonl\. Files of europe belong in \S+places\/europe\.$/,
    );
  });

  it("that ask a question again are read, and it is said", async () => {
    const again = { question: "Of France?", options: ["Rome", "Paris"], answer: 1 };
    rows("test.jsonl", again, again, { ...again, answer: 0 });
    file("capitals.yaml", capitals);
    expect((await choice("capitals.yaml")).note).toContain("questions that are asked again, each counted: 1");
  });

  it("of a group are measured each, with what the group says of them", async () => {
    capitalRows();
    file("one.yaml", capitals.replace("task: capitals", "task: one\ntag: both"));
    file("two.yaml", capitals.replace("task: capitals", "task: two\ntag: both"));
    file("group.yaml", "group: places\ntask: [{ task: one, num_fewshot: 1 }, two]\n");
    file("tagged.yaml", "group: tagged\ntask: [both]\n");
    const found = await foreignFile("group.yaml", folders());
    expect(found).toMatchObject({
      name: "places",
      tasks: [
        { name: "one", dataset: "group.yaml#one" },
        { name: "two", dataset: "group.yaml#two" },
      ],
    });
    expect((await choice("group.yaml#one")).task).toMatchObject({ shots: 1 });
    expect((await choice("group.yaml#two")).task).toMatchObject({ shots: 0 });
    expect((await foreignFile("tagged.yaml", folders()))?.tasks.map(({ name }) => name)).toEqual(["one", "two"]);
    expect(await refusal(choice("group.yaml"))).toMatch(/has 2 tasks.*group\.yaml#one/);
    file("lost.yaml", "group: lost\ntask: [three]\n");
    expect(await refusal(choice("lost.yaml"))).toMatch(/no task, group or tag three/);
  });

  it("with two filters have two figures, whatever their names", async () => {
    rows("test.jsonl", { question: "What is 2 + 3?", answer: "5" });
    const filters = (...names: string[]) => {
      const list = names.map(
        (name) => `  - { name: ${name}, filter: [{ function: regex, regex_pattern: "(${name})" }] }`,
      );
      const head =
        "task: sums\ndataset_path: json\ndataset_kwargs: { data_files: { test: test.jsonl } }\ntest_split: test";
      file("task.yaml", `${head}\ndoc_to_text: question\ndoc_to_target: answer\nfilter_list:\n${list.join("\n")}\n`);
      return generation("task.yaml");
    };
    const figures = async (...names: string[]) => {
      const { scores, note } = await filters(...names);
      return [...scores.map((rule) => [rule.metric, rule.by === "exact" && rule.extract]), note];
    };
    const both = (strict: string, loose: string, more = "") => [
      ["exact_match", { first: `(${strict})` }],
      ["exact_match_flexible", { first: `(${loose})` }],
      `exact_match is that of the filter ${strict}; exact_match_flexible is that of the filter ${loose}${more}`,
    ];
    expect(await figures("strict", "flex")).toEqual(both("strict", "flex"));
    expect(await figures("flexible-extract", "strict-match")).toEqual(both("strict-match", "flexible-extract"));
    expect(await figures("one", "two")).toEqual(both("one", "two"));
    expect(await figures("one", "two", "flex")).toEqual(
      both("one", "flex", "; filter two is left out: two filters at most are computed"),
    );
    expect(await figures("one")).toEqual([["exact_match", { first: "(one)" }], undefined]);
  });

  it("whose answers are written become prompts with rules", async () => {
    rows("test.jsonl", { question: "What is 2 + 3?", answer: "Two and three.\n#### 5" });
    file(
      "task.yaml",
      `task: sums
dataset_path: json
dataset_kwargs: { data_files: { test: test.jsonl } }
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
gen_prefix: "Let's see:"
generation_kwargs: { until: ["Question:"], max_gen_toks: 40, do_sample: true, temperature: 0.6, top_p: 0.9 }
metric_list:
  - { metric: exact_match, ignore_case: true, regexes_to_ignore: [",", "(?s).*#### "] }
  - { metric: bleu, aggregation: bleu }
filter_list:
  - name: strict-match
    filter: [{ function: regex, regex_pattern: "#### ([0-9]+)" }, { function: take_first }]
  - name: flexible-extract
    filter: [{ function: regex, group_select: -1, regex_pattern: "[0-9]+" }, { function: take_first }]
  - name: by-hand
    filter: [{ function: multi_choice_regex }]
`,
    );
    expect(await generation("task.yaml")).toMatchObject({
      kind: "generation",
      items: [{ id: "0", text: "Question: What is 2 + 3?\nAnswer: Let's see:", answers: ["Two and three.\n#### 5"] }],
      maxTokens: 40,
      stop: ["Question:"],
      scores: [
        {
          metric: "exact_match",
          by: "exact",
          extract: { first: "#### ([0-9]+)" },
          ignoreCase: true,
          clean: [
            { pattern: ",", with: "" },
            { pattern: "(?s).*#### ", with: "" },
          ],
        },
        { metric: "exact_match_flexible", by: "exact", extract: { last: "[0-9]+" } },
      ],
      note: expect.stringMatching(
        /not computed: bleu.*strict-match.*multi_choice_regex is not built.*temperature 0\.6.*top_p/,
      ),
    });
    expect(await refusal(choice("task.yaml"))).toMatch(/the answers of sums are written, not chosen/);
  });
});

describe("data files of a task", () => {
  const task = (path: string) => capitals.replace("test: test.jsonl", `test: ${path}`);
  const row = { question: "a", options: ["x", "y"], answer: 0 };

  it("lie beside it, in the working directory, or in the data directory", async () => {
    const name = `rows-${count}.jsonl`;
    file("tasks/task.yaml", task(name));
    const before = process.cwd();
    const found = async () => (await choice("tasks/task.yaml")).items[0];
    expect(await refusal(choice("tasks/task.yaml"))).toMatch(
      /^\S*task\.yaml names the file rows-\d+\.jsonl, which is not there\. Looked for: \S*tasks\/rows-/,
    );
    rows(`data/${name}`, { ...row, question: "of the data directory" });
    expect(await found()).toMatchObject({ context: expect.stringContaining("of the data directory") });
    rows(`elsewhere/${name}`, { ...row, question: "of the working directory" });
    try {
      process.chdir(join(dir, "elsewhere"));
      expect(await found()).toMatchObject({ context: expect.stringContaining("of the working directory") });
    } finally {
      process.chdir(before);
    }
    rows(`tasks/${name}`, { ...row, question: "beside it" });
    expect(await found()).toMatchObject({ context: expect.stringContaining("beside it") });
  });

  it("give way to another file", async () => {
    capitalRows();
    file("task.yaml", capitals);
    rows("other.jsonl", { ...row, question: "of another file" });
    const { items } = await choice("task.yaml", { file: "other.jsonl", shots: 1 });
    expect(items).toMatchObject([{ context: expect.stringMatching(/of another file\nAnswer:$/) }]);
  });
});

describe("in benchmarks", () => {
  const quick = (measure: string) => quickBenchmark({ models: ["m.gguf"], measures: [measure], measurements });

  it("are named by their files, and a group is a measurement of each", async () => {
    capitalRows();
    const one = file("one.yaml", capitals.replace("task: capitals", "task: one"));
    file("two.yaml", capitals.replace("task: capitals", "task: two"));
    const group = file("group.yaml", "group: places\ntask: [one, two]\n");
    file("m.gguf", "");
    file(
      "b.yaml",
      "variants: { v: { model: m.gguf } }\nmeasurements:\n  mine: { dataset: one.yaml, shots: 1 }\n  all: { dataset: group.yaml }\n",
    );
    const { measurements: read } = await readBenchmark(join(dir, "b.yaml"), { measurements });
    expect(read).toMatchObject([
      { name: "mine", kind: "choice", data: { dataset: "one.yaml", shots: 1 } },
      { name: "all-one", group: "all", data: { dataset: "group.yaml#one" } },
      { name: "all-two", group: "all", data: { dataset: "group.yaml#two" } },
    ]);
    expect((await quick(one)).measurements).toMatchObject([{ name: "one", kind: "choice", data: { dataset: one } }]);
    expect((await quick(group)).measurements).toMatchObject([{ name: "places-one" }, { name: "places-two" }]);
    expect((await quick(group)).measurements[0]).not.toHaveProperty("bySize");
    // As lm-eval has it: a mean that is asked for weighs by size, unless it says otherwise.
    const asked = (more: string) =>
      file("group.yaml", `group: places\ntask: [one, two]\naggregate_metric_list: [{ metric: acc${more} }]\n`);
    asked("");
    expect((await quick(group)).measurements).toMatchObject([{ bySize: true }, { bySize: true }]);
    asked(", weight_by_size: false");
    expect((await quick(group)).measurements[1]).not.toHaveProperty("bySize");
    expect((await choice("group.yaml#two")).path).toBe(join(dir, "group.yaml#two"));
  });

  it("say what they are not", async () => {
    capitalRows();
    const one = file("one.yaml", capitals);
    expect(await refusal(readBenchmark(one, { measurements }))).toMatch(/no key `task` here.*--measure FILE/);
    expect(await refusal(quick(join(dir, "lost.yaml")))).toMatch(/there is no file .*lost\.yaml of tasks/);
    file(
      "two.yaml",
      capitals
        .replace("task: capitals", "task: two")
        .replace("multiple_choice", "generate_until")
        .replace(/metric_list.*/, ""),
    );
    const group = file("group.yaml", "group: places\ntask: [capitals, two]\n");
    const mixed = await refusal(quick(group));
    expect(mixed).toContain(`Name the tasks one by one: \`--measure ${group}#two\`.`);
  });
});

describe("eval.yaml of the Hub", () => {
  const hub = (more: string) => `name: Places
evaluation_framework: inspect-ai
tasks:
  - id: places
    split: test
    field_spec: { input: question, target: answer, choices: options }
    solvers: [{ name: multiple_choice }]
    scorers: [{ name: choice }]
${more}`;

  it("asks in a conversation, and reads the letter", async () => {
    rows("test.jsonl", { question: "Of France?", options: ["Rome", "Paris"], answer: 1 });
    file("eval.yaml", hub(""));
    const data = await generation("eval.yaml");
    expect(data.items).toEqual([
      {
        id: "0",
        messages: [
          {
            role: "user",
            content:
              "Answer the following multiple choice question. The entire content of your response should be of the following format: 'ANSWER: $LETTER' (without quotes) where LETTER is one of A,B.\n\nOf France?\n\nA) Rome\nB) Paris",
          },
        ],
        answers: ["B"],
      },
    ]);
    expect(data.scores).toMatchObject([{ by: "exact", extract: { last: expect.stringContaining("ANSWER") } }]);
    expect(data.task).toEqual({ split: "test", shots: 0, chance: 0.5 });
    expect((await choice("eval.yaml")).items).toMatchObject([
      { context: "Of France?", options: ["Rome", "Paris"], gold: 1 },
    ]);
  });

  it("reads the data in its own folder, and none of another dataset in the data directory", async () => {
    for (const name of ["data/one", "data/other"])
      rows(`${name}/test.jsonl`, { question: `${name}?`, options: ["x", "y"], answer: 1 });
    file("data/one/eval.yaml", hub(""));
    expect((await choice("data/one/eval.yaml")).items).toMatchObject([{ context: "data/one?" }]);
    rmSync(join(dir, "data/one/test.jsonl"));
    expect(await refusal(choice("data/one/eval.yaml"))).toMatch(/one holds no data beside eval\.yaml/);
  });

  it("fills templates in, and refuses what runs code", async () => {
    rows("test.jsonl", { question: "Why?", answer: "because" });
    const task = (solvers: string, scorers: string) =>
      file(
        "eval.yaml",
        `evaluation_framework: inspect-ai
tasks:
  - field_spec: { input: question, target: answer }
    solvers: [${solvers}]
    scorers: [${scorers}]
`,
      );
    task(
      '{ name: system_message, args: { template: "Be {kind}." } }, { name: prompt_template, args: { template: "{{Q}} {prompt}" } }, { name: generate }',
      '{ name: pattern, args: { pattern: "so (\\\\w+)" } }',
    );
    const { items, scores } = await generation(".");
    expect(items[0]!.messages).toEqual([
      { role: "system", content: "Be {kind}." },
      { role: "user", content: "{Q} Why?" },
    ]);
    expect(scores).toMatchObject([{ extract: { first: "(?i)so (\\w+)" }, ignoreCase: true }]);
    task("{ name: use_tools }", "{ name: choice }");
    expect(await refusal(generation("."))).toMatch(/the solver use_tools runs code/);
    task("{ name: generate }", "{ name: model_graded_qa }");
    expect(await refusal(generation("."))).toMatch(/none of its scorers is computed here: model_graded_qa/);
    file("eval.yaml", "evaluation_framework: math-arena\ntasks: [{ id: x }]\n");
    expect(await refusal(generation("."))).toMatch(/tasks of math-arena are not data alone/);
  });
});

describe("templates", () => {
  const render = (template: string, row: object = {}) =>
    new JinjaTemplate(template, (all, pattern, instead) => all.replace(new RegExp(pattern, "g"), instead)).render(
      row as Record<string, unknown>,
    );

  it("are Jinja's with Python's values", () => {
    const cases: [template: string, row: object, out: string][] = [
      [
        "{{ a }}\n",
        { a: ["it's", 'a "b"', 1, null, true, { x: 1.5 }] },
        `["it's", 'a "b"', 1, None, True, {'x': 1.5}]\n`,
      ],
      ["{% if a %}\nyes\n{% endif %}\n", { a: 1 }, "\nyes\n\n"],
      ["{{ a.index('y') }} {{ 'xyz'[a | length:] }}", { a: ["x", "y"] }, "1 z"],
      ["{{ a == 1 }} {{ '1' == 1 }} {{ 1 == 1.0 }} {{ [1] == [1] }}", { a: "1" }, "False False True True"],
      ["{{ 'hELLO wORLD'.capitalize() }} {{ ' a\u00a0'.strip() }}|", {}, "Hello world a|"],
      [
        "{% for c in a %}{{ loop.index0 }}{{ c }}{{ ', ' if not loop.last else '.' }}{% endfor %}",
        { a: ["x", "y"] },
        "0x, 1y.",
      ],
      ["{% set x = a.split(',') %}{{ x[-1] }} {{ x | join('+') }} {{ x[::-1] }}", { a: "p,q" }, "q p+q ['q', 'p']"],
      ["{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ -7 % 3 }} {{ 'ab' * 2 }}", {}, "3 -4 3.5 2 abab"],
      ["{{ '🙂x'[0] }} {{ '🙂x' | length }} {{ a | regex_replace('[0-9]', '#') }}", { a: "a1b2" }, "🙂 2 a#b#"],
      ["{{ a.items }} {{ a['items'] }}", { a: { items: 3 } }, "FAIL"],
    ];
    for (const [template, row, out] of cases)
      if (out === "FAIL") expect(() => render(template, row), template).toThrow();
      else expect(render(template, row), template).toBe(out);
  });

  it("refuse what they do not know, rather than to write nothing", () => {
    for (const template of [
      "{{ b }}",
      "{{ a.b }}",
      "{{ a | tojsonx }}",
      "{{ a + 1 }}",
      "{{ a if false }}",
      "{{ 1 < 2 < 3 }}",
    ])
      expect(() => render(template, { a: "x" }), template).toThrow();
    expect(render("{{ b is defined }} {{ b | default('-') }}")).toBe("False -");
  });

  it("read what Python writes", () => {
    for (const text of [
      `["it's", 'a "b"\\n', '\\u4e2d\\x41']`,
      "(1, -2.5, None, True)",
      "{'a': [1,], 'b': ()}",
      "('x')",
      "'a' 'b'",
    ])
      expect(() => pythonLiteral(text)).not.toThrow();
    expect(pythonText(pythonLiteral(`["it's", 'a "b"\\n']`))).toBe(`["it's", 'a "b"\\n']`);
    for (const text of ["[a]", "[1", "f(1)", "['a\nb']", "01", ""]) expect(() => pythonLiteral(text), text).toThrow();
  });

  it("end, also those that would not, and those that take all memory", async () => {
    const endless = `{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}`;
    const greedy = `{% set ns = namespace(a=['x' * 1000]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}`;
    for (const [template, said] of [
      [endless, /does not end within 1 s/],
      [greedy, /takes more than 64 MB of memory|does not end/],
    ] as const) {
      const templates = new TaskTemplates({ seconds: 1, megabytes: 64 });
      await expect(templates.render({ templates: [template], rows: [{}], floats: [] })).rejects.toThrow(said);
      templates.close();
    }
  });
});

describe.skipIf(!lmEval)(`against lm-eval itself${lmEval ? "" : " (not on this machine)"}`, () => {
  const tasks = Number(process.env.GGUF_BENCH_TEST_TASKS ?? 40);

  it(`${tasks} of its tasks over invented rows: prompts, options and answers byte for byte`, async () => {
    const made = join(folder, "lm-eval");
    mkdirSync(made);
    const script = join(root, "test/data/lm-eval-tasks.py");
    const run = spawnSync(python, [script, made, String(tasks), "3"], { encoding: "utf8" });
    expect(run.status, run.stderr).toBe(0);
    let [documents, refused] = [0, 0];
    for (const name of readdirSync(made)) {
      const here = join(made, name);
      const { path, kind, shots, documents: wanted } = JSON.parse(readFileSync(join(here, "expected.json"), "utf8"));
      const said = { dataset: join(here, "task.yaml"), shots };
      const where = { baseDir: here };
      try {
        if (kind === "multiple_choice") {
          const { items, delimiter } = await dataKinds.choice.resolve(said, where);
          const found = items.map((item) => ({
            arguments: item.options.map((option, i) => [
              contextsOf(item)[i] ?? contextsOf(item)[0],
              delimiter + option,
            ]),
            right: item.right?.toSorted() ?? [item.gold],
          }));
          expect(found, path).toEqual(
            wanted.map((one: { arguments: string[]; right: number[] }) => ({
              arguments: one.arguments,
              right: one.right,
            })),
          );
        } else {
          const { items } = await dataKinds.generation.resolve(said, where);
          expect(
            items.map((item) => ({ text: textOf(item), answers: item.answers })),
            path,
          ).toEqual(
            wanted.map((one: { arguments: string[][]; answers: string[] }) => ({
              text: one.arguments[0]![0],
              answers: one.answers,
            })),
          );
        }
        documents += wanted.length;
      } catch (fault) {
        if (!(fault instanceof BenchError)) throw fault;
        refused++;
      }
    }
    process.stdout.write(`lm-eval: ${documents} rows of ${tasks - refused} tasks alike, ${refused} tasks refused\n`);
    expect(refused).toBeLessThan(tasks / 10);
  }, 300_000);
});
