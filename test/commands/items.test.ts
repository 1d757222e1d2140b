import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { beforeAll, describe, expect, it } from "vitest";
import { BenchError, commands } from "../../dist/index.js";
import { bench, eventsOf, temporaryFolder } from "../support.js";

// A task of two subjects with five shots, asked of two variants; then its items from the run's folder alone.
const dir = temporaryFolder();
const data = join(dir, "data");
const out = join(dir, "run");

function subject(name: string, count: number): void {
  const row = (i: number) =>
    `What is ${i} + ${i} in ${name}?,${2 * i},${2 * i + 1},${2 * i + 2},"more, \u001b[31mred\u0007",${"ABCD"[i % 4]}`;
  for (const [split, rows] of [
    ["dev", 5],
    ["val", count],
    ["more", 3],
  ] as const) {
    if (rows === 0) continue;
    mkdirSync(join(data, "sums", split), { recursive: true });
    const lines = Array.from({ length: rows }, (_, i) => row(i + { dev: 100, val: 0, more: 200 }[split]));
    writeFileSync(join(data, "sums", split, `${name}.csv`), `question,A,B,C,D,answer\n${lines.join("\n")}\n`);
  }
}

beforeAll(async () => {
  subject("algebra", 30);
  subject("geometry", 20);
  subject("numbers", 0);
  writeFileSync(
    join(data, "sums", "card.yaml"),
    `name: sums
kind: choice
title: Sums
source: https://example.org
licence: MIT
splits: {dev: "dev/{subject}.csv", val: "val/{subject}.csv", more: "more/{subject}.csv"}
split: val
subjects:
  algebra: {title: 代数, groups: [Exact]}
  numbers: {title: 数论, groups: [Exact]}
  geometry: {title: 几何}
format: csv
heading: "Questions of {subject}.\\n\\n"
prompt: "{question}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\nAnswer:"
options: [A, B, C, D]
answer: answer
answerIs: letter
continueWith: letter
shots: 5
examples: {split: dev}
style: usual
styles:
  usual: {}
  plain: {heading: "Solve.\\n\\n"}
  chat: {chat: true, heading: "Of {subject}.\\n", continueWith: letter}
`,
  );
  const card = (name: string, rest: string) => {
    mkdirSync(join(data, name), { recursive: true });
    writeFileSync(join(data, name, "card.yaml"), `name: ${name}\ntitle: T\nsource: s\nlicence: MIT\n${rest}`);
  };
  const rows = (file: string, all: object[]) =>
    writeFileSync(file, all.map((row) => `${JSON.stringify(row)}\n`).join(""));
  card(
    "told",
    `kind: generation
splits: {first: a.jsonl, second: b.jsonl}
split: first
format: jsonl
heading: "Answer with one word.\\n\\n"
prompt: "{q}"
answer: a
maxTokens: 2
scores: [{metric: exact_match, by: exact}]
`,
  );
  for (const name of ["a", "b"])
    rows(
      join(data, "told", `${name}.jsonl`),
      [1, 2, 3].map((i) => ({ q: `Say ${name}${i}:`, a: `${name}${i}` })),
    );
  card(
    "gap",
    `kind: choice
file: gap.jsonl
format: jsonl
heading: "Which word?\\n\\n"
prompt: "{s}"
gap: _
options: [one, two]
answer: right
answerIs: number
`,
  );
  rows(join(data, "gap", "gap.jsonl"), [
    { s: "The cat sat on the _ all day.", one: "bed", two: "blanket", right: 2 },
    { s: "A dog, _ and wild, ran off.", one: "big", two: "small", right: 1 },
  ]);
  card(
    "long",
    `kind: choice
file: long.jsonl
format: jsonl
prompt: "{q}\\nA. {a}\\nB. {b}\\nC. {c}\\nD. {d}\\nAnswer:"
options: [a, b, c, d]
answer: right
answerIs: letter
continueWith: letter
`,
  );
  const words = (word: string) => `${word} `.repeat(400).trim();
  rows(join(data, "long", "long.jsonl"), [
    { q: `Once ${words("word")}: which is it?`, a: "one", b: "A", c: "three", d: words("long"), right: "C" },
  ]);
  mkdirSync(join(dir, "tasks"));
  writeFileSync(
    join(dir, "tasks", "next.yaml"),
    `task: next
dataset_path: json
dataset_kwargs: {data_files: {test: tasks/test.jsonl, train: tasks/train.jsonl}}
test_split: test
fewshot_split: train
fewshot_config: {sampler: first_n}
output_type: multiple_choice
doc_to_text: "What follows {{n}}?"
doc_to_choice: ["one", "two", "three"]
doc_to_target: "{{n}}"
`,
  );
  for (const name of ["test", "train"])
    rows(
      join(dir, "tasks", `${name}.jsonl`),
      (name === "test" ? [0, 1, 2] : [2, 1]).map((n) => ({ n })),
    );
  writeFileSync(
    join(dir, "b.yaml"),
    `variants:
  whole: {model: "mock:seed=1", reference: true}
  other: {model: "mock:seed=2"}
measurements:
  sums: {}
  written: {measurement: choice, dataset: sums, by: generation, limit: 6}
  # A limit that not all of the named subjects are reached within.
  part: {dataset: sums, split: more, shots: 0, subjects: [Exact], limit: 1}
  other-way: {dataset: sums, style: plain, shots: 2, subjects: [geometry, algebra], limit: 3}
  talk: {dataset: sums, style: chat, system: Be brief., subjects: [geometry], limit: 2}
  filed: {dataset: sums, file: data/sums/val/geometry.csv, shots: 0, limit: 2}
  foreign: {dataset: tasks/next.yaml, shots: 1, split: test, limit: 2}
  generated: {dataset: told, split: second, limit: 2}
  gap: {limit: 2}
  long: {}
`,
  );
  const { code, stderr } = await bench(["run", join(dir, "b.yaml"), "--data-dir", data, "--plain", "-o", out]);
  expect(code, stderr).toBe(0);
}, 120_000);

async function items(asked: Partial<Parameters<typeof commands.items>[0]>, width = 80) {
  let said = "";
  const stdout = Object.assign(
    new PassThrough({ encoding: "utf8" }).on("data", (text: string) => {
      said += text;
    }),
    { columns: width },
  );
  const env = {};
  await commands.items({ run: out, task: "sums", dataDir: data, ...asked }, { stdout, stderr: new PassThrough(), env });
  return said;
}
const json = async (asked: Partial<Parameters<typeof commands.items>[0]>) =>
  JSON.parse(await items({ json: true, limit: 1000, ...asked }));
const fault = async (asked: Partial<Parameters<typeof commands.items>[0]>) => {
  const error = await items(asked).catch((error) => error);
  expect(error).toBeInstanceOf(BenchError);
  return `${error.message} ${error.hint}`;
};
/** Whether each item was right, by the samples that are stored. */
function rightness(variant: string): Map<string, boolean> {
  const events = eventsOf(out);
  const started = events.find((event) => event.type === "started")!;
  const job = started.jobs.find((one) => one.variant === variant && one.measurement === "sums")!;
  return new Map(
    events.flatMap((event) => {
      const acc =
        event.type === "samples" && event.job === job.id && event.samples.find(({ metric }) => metric === "acc");
      return acc && event.type === "samples" ? [[event.item, acc.value === 1] as const] : [];
    }),
  );
}

describe("items of a run", () => {
  it("side by side: what was asked, what each variant answered, and how sure it was", async () => {
    const text = await items({ limit: 2, variants: ["whole", "other"] });
    expect(text).toMatch(/^sums · val · 5-shot · usual: whole, other\n50 of 50 items\.\n\nalgebra\/0 \(代数\)\n/);
    expect(text).toContain("  What is 0 + 0 in algebra?\n  A. 0\n");
    // Not the examples, which stood before every question.
    expect(text).not.toContain("100 + 100");
    expect(text).toMatch(/^ {2}right: A$/m);
    expect(text).toMatch(
      /^ {2}whole {2}[A-D] (right|wrong) {2}\d+ % of the probability; {2}A \d+ % {2}B \d+ % {2}C \d+ % {2}D \d+ %$/m,
    );
    expect(text).toMatch(/\n2 of 50 shown; the next: --skip 2\n$/);
    expect(text.split("\n").every((line) => line.length <= 80)).toBe(true);
    // Nothing of a question makes a terminal obey.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    expect((await items({ limit: 2, skip: 2 })).split("\n")[3]).toBe("algebra/2 (代数)");
  });

  it("the words that go into a gap, and what follows it", async () => {
    const text = await items({ task: "gap", variants: ["whole"] });
    // "bed" and "blanket" begin alike.
    expect(text).toMatch(/\n0\n {2}The cat sat on the _ all day\.\n {2}A {2}bed\n {2}B {2}blanket\n {2}right: B\n/);
    expect(text).toMatch(/\n1\n {2}A dog, _ and wild, ran off\.\n {2}A {2}big\n {2}B {2}small\n {2}right: A\n/);
  });

  it("of a question that is too long the middle, of its options none", async () => {
    const text = await items({ task: "long", variants: ["whole"] }, 60);
    const [, item = ""] = text.split("\n\n");
    const lines = item.split("\n");
    expect(lines.slice(0, 2)).toEqual(["0", "  Once word word word word word word word word word word"]);
    expect(lines[12]).toMatch(/word: which is it\?$/);
    expect(lines.slice(1, 13).filter((line) => line === "  …")).toHaveLength(1);
    expect(lines.slice(13, 16)).toEqual(["  A. one", "  B. A", "  C. three"]);
    expect(lines[16]).toMatch(/^ {2}D\. long long/);
    expect(lines.slice(16, 21)).toContain("  …");
    expect(lines.slice(20, 22)).toEqual(["  Answer:", "  right: C"]);
  });

  it("the first prompt as it was given, with its tokens", async () => {
    const text = await items({ limit: 1, variants: ["other"], prompt: true });
    expect(text).toMatch(/\n {2}The first prompt as other was given it, [\d,]+ tokens, 256 81 /);
    expect(text).toContain("100 + 100");
    const { given } = await json({ variants: ["other"] });
    expect(given.variant).toBe("other");
    // Bytes are the mock's tokens; BOS stands before them.
    expect(Buffer.from(given.ids.slice(1)).toString()).toBe(given.text);
  });

  it("flips are those that the samples tell", async () => {
    const [from, to] = [rightness("whole"), rightness("other")];
    const toWrong = [...from].filter(([item, right]) => right && !to.get(item)).map(([item]) => item);
    const toRight = [...from].filter(([item, right]) => !right && to.get(item)).map(([item]) => item);
    expect(toWrong.length).toBeGreaterThan(0);
    expect(toRight.length).toBeGreaterThan(0);
    const { flips, items: flipped } = await json({ flipped: ["whole", "other"] });
    expect(flips).toMatchObject({
      from: "whole",
      to: "other",
      of: 50,
      toWrong: toWrong.length,
      toRight: toRight.length,
    });
    expect(flipped.map(({ item }: { item: string }) => item).sort()).toEqual([...toWrong, ...toRight].sort());
    const lost = await json({ flipped: ["whole", "other"], wrong: true });
    expect(lost.items.map(({ item }: { item: string }) => item).sort()).toEqual(toWrong.sort());
    expect(await items({ flipped: ["whole", "other"], limit: 1 })).toContain(
      `${toWrong.length + toRight.length} of 50 answers flipped: ${toWrong.length} became wrong, ${toRight.length} right (from whole to other).`,
    );
    expect((await json({ flipped: ["whole", "whole"] })).items).toEqual([]);
  });

  it("of a subject by its name, title or group; wrong ones of a variant", async () => {
    const ids = async (asked: Parameters<typeof json>[0]) =>
      (await json(asked)).items.map(({ item }: { item: string }) => item);
    const algebra = Array.from({ length: 30 }, (_, i) => `algebra/${i}`);
    for (const name of ["algebra", "代数", "Exact"]) expect(await ids({ subjects: [name] }), name).toEqual(algebra);
    expect(await ids({ subjects: ["几何", "algebra"] })).toHaveLength(50);
    const wrong = [...rightness("other")].filter(([, right]) => !right).map(([item]) => item);
    expect(await ids({ variants: ["other"], wrong: true })).toEqual(wrong);
  });

  it("as JSON: question, options, key, scores and confidence, whole", async () => {
    const { items: all, of, task } = await json({ variants: ["whole"] });
    expect({ of, shots: task.shots, count: all.length }).toEqual({ of: 50, shots: 5, count: 50 });
    const { question, answers, subject, prompt } = all[3];
    expect(question).toMatchObject({ id: "algebra/3", options: ["A", "B", "C", "D"], right: [3] });
    expect(question.text).toContain("What is 3 + 3 in algebra?");
    expect(subject).toBe("代数");
    expect(prompt).toMatch(/^[0-9a-f]{16}$/);
    const [{ scores, prediction, confidence, right }] = answers;
    const shares = scores.map((score: number) => Math.exp(score));
    const sum = shares.reduce((all: number, one: number) => all + one, 0);
    expect(confidence).toBeCloseTo(shares[prediction] / sum, 10);
    expect(right).toBe(prediction === 3);
  });

  it("that were written: the text, what was found in it, and what was not", async () => {
    const text = await items({ task: "written", limit: 3, variants: ["whole"] });
    expect(text).toMatch(/^written · sums · val · 5-shot · usual · by generation: whole\n6 of 6 items\./);
    expect(text).toMatch(/^ {2}whole {2}([A-D]|no answer) (right|wrong)$/m);
    expect(text).toMatch(/^ {2}wrote( \(cut off\))?: \S/m);
    // The longest questions were answered first.
    const ids = (await json({ task: "written" })).items.map(({ item }: { item: string }) => item);
    expect(ids).toHaveLength(6);
    expect(ids).toEqual([...ids].sort());
  });

  it("without the data: the prompt's digest, and where the questions come from; other data are not taken for them", async () => {
    const file = join(data, "sums", "val", "algebra.csv");
    const before = readFileSync(file, "utf8");
    writeFileSync(file, before.replace("0 + 0", "one and one"));
    expect(await items({ limit: 1 })).not.toContain("one and one");
    writeFileSync(file, before);
    renameSync(data, `${data}-away`);
    const text = await items({ limit: 1, dataDir: "/nowhere" });
    renameSync(`${data}-away`, data);
    expect(text).toMatch(/^ {2}prompt [0-9a-f]{16}…\n {2}right: A$/m);
    expect(text).toContain(`The questions of sums are not here: they were read from ${join(data, "sums")}`);
    expect(text).not.toContain("gguf-bench fetch");
  });

  it("beside every way to ask for them, whatever of it was reached", async () => {
    for (const task of ["part", "other-way", "talk", "filed", "foreign", "generated", "gap"]) {
      const { items: all } = await json({ task });
      expect(all.length, task).toBeGreaterThan(0);
      for (const { item, question } of all) expect(question, `${task} ${item}`).toBeDefined();
    }
    // From elsewhere, too: where the data lay is kept with the run.
    const { stdout } = await bench(["items", out, "--task", "foreign", "--limit", "1"], { cwd: data });
    expect(stdout).toContain("What follows 0?");
  });

  it("what is not there is one sentence", async () => {
    expect(await fault({ task: "sum" })).toMatch(/--task sum: the run has no such task\..*sums/);
    expect(await fault({ variants: ["hole"] })).toMatch(/the run has no variant "hole".*whole/);
    expect(await fault({ subjects: ["algebr"] })).toMatch(
      /--subject algebr: sums has no such subject or group.*algebra.* `gguf-bench list sums` tells all/,
    );
    expect(await fault({ flipped: ["whole"] })).toMatch(/--flipped takes the names of two variants/);
    const { task: _, ...unnamed } = { run: out, task: "" };
    const none = await bench(["items", unnamed.run]);
    expect(none.stderr).toMatch(/the run has several tasks: sums, written, part, .*\n {2}Name one with --task\./);
    const command = await bench([
      "items",
      out,
      "--task",
      "sums",
      "--flipped",
      "whole",
      "other",
      "--limit",
      "1",
      "--data-dir",
      data,
    ]);
    expect(command.stdout).toMatch(/answers flipped/);
  });
});
