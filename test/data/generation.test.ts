import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { dataKinds } from "../../dist/data/index.js";
import { BenchError } from "../../dist/errors.js";
import { scoreOf } from "../../dist/scores/index.js";
import { root } from "../repository.js";
import { bench, temporaryFolder } from "../support.js";

const dir = temporaryFolder();
const shared = join(root, "../shared/datasets");

function file(name: string, content: string): void {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), content);
}

const read = (dataset: string, more = {}, dataDir = dir) =>
  dataKinds.generation.resolve({ dataset, ...more }, { baseDir: dir, dataDir });

async function said(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  return `${error.message} ${error.hint ?? ""}`;
}

const head = (name: string, format = "jsonl") =>
  `name: ${name}\nkind: generation\ntitle: t\nsource: s\nlicence: l\nformat: ${format}\nfile: rows.${format}\n`;

test("a card of the user's own: prompts, answers, classes, rules", async () => {
  file(
    "own/card.yaml",
    `${head("own")}answer: answers
classes: all
cluster: source
prompt: "{text}\\nIt is"
truncate: 100
scores: [{ by: classification }, { by: exact, extract: { last: '\\d+' } }]
`,
  );
  file(
    "own/rows.jsonl",
    `{"text": "One.", "answers": ["a", "b"], "all": ["a", "b", "c"], "source": "x"}\n{"text": "Two.", "answers": "c", "all": ["c"], "source": "y"}\n`,
  );
  const data = await read("own");
  expect(data.items).toEqual([
    { id: "0", text: "One.\nIt is", answers: ["a", "b"], classes: ["a", "b", "c"], cluster: "x" },
    { id: "1", text: "Two.\nIt is", answers: ["c"], classes: ["c"], cluster: "y" },
  ]);
  expect(data).toMatchObject({ maxTokens: 256, stop: [], truncate: 100 });
  expect(data.scores.map(({ metric }) => metric)).toEqual(["classification", "exact_match"]);
  expect(data.note).toBeUndefined();
});

test("the card of the README, from nothing to a result", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const card = readme.match(/```yaml\n(# capitals\/card\.yaml[\s\S]*?)```/)![1]!;
  file("capitals/card.yaml", card);
  file("capitals/capitals.csv", "country,capital\nFrance,Paris\nItaly,Rome\n");
  const data = await read("capitals");
  expect(data.items.map(({ text }) => text)).toEqual([
    "Question: What is the capital of France?\nAnswer:",
    "Question: What is the capital of Italy?\nAnswer:",
  ]);
  expect(scoreOf(" paris, of course", data.items[0]!, data.scores[0]!)).toMatchObject({ value: 1, extracted: "paris" });
  const args = ["run", "mock:seed=1", "--measure", "capitals", "--data-dir", dir, "--out", join(dir, "run"), "--plain"];
  const { code, stdout, stderr } = await bench(args, { cwd: dir });
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/exact match %/);
  const rows = readFileSync(join(dir, "run", "table-long.csv"), "utf8");
  expect(rows).toMatch(/capitals,capitals,exact_match,/);
}, 60_000);

test("examples before a question, as a text and in turns", async () => {
  file(
    "few/card.yaml",
    `name: few
kind: generation
title: t
source: s
licence: l
splits: { train: train.csv, test: test.csv }
split: test
format: csv
answer: key
shownAnswer: steps
prompt: "Q: {q}\\nA:"
examples: { split: train }
scores: [{ by: exact }]
style: plain
styles:
  plain: {}
  chat: { chat: true, system: Be brief. }
  either: { chat: false, system: Be brief. }
template: auto
`,
  );
  file("few/train.csv", "q,key,steps\n1+1?,2,one and one are 2\n2+2?,4,4 it is\n");
  file("few/test.csv", "q,key,steps\n3+3?,6,six\n");
  const [before, asked] = ["Q: 1+1?\nA: one and one are 2\n\n", "Q: 3+3?\nA:"];
  const [plain] = (await read("few", { shots: 1 })).items;
  expect(plain).toEqual({
    ...{ id: "0", before: { text: before }, text: asked, answers: ["6"] },
    messages: [{ role: "user", content: before + asked }],
  });
  const [turns] = (await read("few", { shots: 2, style: "chat" })).items;
  expect(turns).toEqual({
    id: "0",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Q: 1+1?\nA:" },
      { role: "assistant", content: "one and one are 2" },
      { role: "user", content: "Q: 2+2?\nA:" },
      { role: "assistant", content: "4 it is" },
      { role: "user", content: "Q: 3+3?\nA:" },
    ],
    answers: ["6"],
  });
  const either = (await read("few", { style: "either" })).items[0]!;
  expect(either.text).toBe("Q: 3+3?\nA:");
  expect(either.messages).toEqual([
    { role: "system", content: "Be brief." },
    { role: "user", content: "Q: 3+3?\nA:" },
  ]);
  expect((await read("few")).task).toEqual({ split: "test", style: "plain", shots: 0, templated: true });
});

test.each([
  ["no rule", "", /scores/],
  ["a metric of another kind", "scores: [{ by: exact, metric: perplexity }]", /no metric of that name/],
  [
    "a share of a metric that is right or wrong",
    "scores: [{ by: f1, words: en, metric: exact_match }]",
    /scores between/,
  ],
  ["two rules of one metric", "scores: [{ by: exact }, { by: exact }]", /two rules give exact_match/],
  ["no expression", "scores: [{ by: exact, extract: { first: '(' } }]", /this is no regular expression/],
  ["an unknown scorer", "scores: [{ by: bleu }]", /Expected .*rouge_l/],
  ["no language", "scores: [{ by: f1 }]", /words/],
])("%s is refused where it stands", async (_, scores, message) => {
  file("bad/card.yaml", `${head("bad")}answer: a\nprompt: "{q}"\n${scores}\n`);
  file("bad/rows.jsonl", '{"q": "x", "a": "y"}\n');
  const told = await said(read("bad"));
  expect(told).toMatch(/bad\/card\.yaml:\d+/);
  expect(told).toMatch(message);
});

test("an answer that a rule cannot read is refused with its place", async () => {
  file(
    "bad/card.yaml",
    `${head("bad")}answer: a\nprompt: "{q}"\nscores: [{ by: retrieval, number: 'Paragraph (\\d+)' }]\n`,
  );
  file("bad/rows.jsonl", '{"q": "x", "a": "Paragraph 3"}\n{"q": "x", "a": "the third"}\n');
  expect(await said(read("bad"))).toMatch(/rows\.jsonl:2: an answer cannot be scored by retrieval: it holds no number/);
  file("bad/rows.jsonl", '{"q": "x", "a": "Paragraph 3"}\n{"q": "x", "a": []}\n');
  expect(await said(read("bad"))).toMatch(/rows\.jsonl:2: column "a" holds no answer/);
});

test.skipIf(!existsSync(join(shared, "gsm8k")))("GSM8K as lm-eval asks it", async () => {
  const data = await read("gsm8k", {}, shared);
  expect(data.note).toBeUndefined();
  expect(data.items).toHaveLength(1319);
  expect(data.items[0]!.text).toMatch(/^Question: Janet’s ducks lay 16 eggs per day\. .* market\?\nAnswer:$/);
  expect(data.items[0]!.answers[0]).toMatch(/\n#### 18$/);
  expect(data).toMatchObject({ maxTokens: 256, stop: ["Question:", "</s>", "<|im_end|>"] });
  expect(await said(read("gsm8k", { shots: 5 }, shared))).toMatch(/train\.jsonl/);
});

const longbench = join(shared, "longbench");

test.skipIf(!existsSync(longbench))("LongBench's prompts and lengths, byte for byte", async () => {
  const json = (name: string) => JSON.parse(readFileSync(join(longbench, name), "utf8"));
  const [prompts, lengths] = [json("dataset2prompt.json"), json("dataset2maxlen.json")];
  const names = Object.keys(prompts);
  expect(names).toHaveLength(21);
  const row = {
    context: "Some {input} and\n其他",
    input: "what?",
    all_classes: ["a", "b"],
    answers: ["段落3 Paragraph 3"],
  };
  for (const name of names) {
    file(`longbench/${name}.jsonl`, `${JSON.stringify(row)}\n`);
    const data = await read(`longbench_${name}`);
    const wanted = prompts[name].replace(/\{(\w+)\}/g, (_: string, key: "context" | "input") => row[key]);
    expect(data.items[0]!.text).toBe(wanted);
    expect([data.maxTokens, data.truncate]).toEqual([lengths[name], 3584]);
    const asIs = ["trec", "triviaqa", "samsum", "lsht", "lcc", "repobench-p"].includes(name);
    const messages = [
      { role: "system", content: "You are a helpful assistant. 你是一个乐于助人的助手。" },
      { role: "user", content: wanted },
    ];
    expect(data.items[0]!.messages).toEqual(asIs ? undefined : messages);
  }
  const brief = await read("longbench_vcsum", { system: "Be brief." });
  expect(brief.items[0]!.messages?.[0]).toEqual({ role: "system", content: "Be brief." });
});

test.skipIf(!existsSync(longbench)).each([
  // One question stands there twice with its text.
  ["longbench_multifieldqa_zh", "f1", "questions that are asked again, each counted: 1"],
  ["longbench_passage_retrieval_zh", "retrieval", undefined],
])("the published data of %s", async (name, metric, note) => {
  const data = await read(name, {}, shared);
  expect(data.note).toBe(note);
  expect(data.items).toHaveLength(200);
  expect(data.scores.map((rule) => rule.metric)).toEqual([metric]);
});
