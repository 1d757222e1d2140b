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
  ] as const) {
    mkdirSync(join(data, "sums", split), { recursive: true });
    const lines = Array.from({ length: rows }, (_, i) => row(i + (split === "dev" ? 100 : 0)));
    writeFileSync(join(data, "sums", split, `${name}.csv`), `question,A,B,C,D,answer\n${lines.join("\n")}\n`);
  }
}

beforeAll(async () => {
  subject("algebra", 30);
  subject("geometry", 20);
  writeFileSync(
    join(data, "sums", "card.yaml"),
    `name: sums
kind: choice
title: Sums
source: https://example.org
licence: MIT
splits: {dev: "dev/{subject}.csv", val: "val/{subject}.csv"}
split: val
subjects:
  algebra: {title: 代数, groups: [Exact]}
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
`,
  );
  writeFileSync(
    join(dir, "b.yaml"),
    `variants:
  whole: {model: "mock:seed=1", reference: true}
  other: {model: "mock:seed=2"}
measurements:
  sums: {}
  written: {measurement: choice, dataset: sums, by: generation, limit: 6}
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
    expect(text).toMatch(/^sums · val · 5-shot: whole, other\n50 of 50 items\.\n\nalgebra\/0 \(代数\)\n/);
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
    expect(text).toMatch(/^written · sums · val · 5-shot · by generation: whole\n6 of 6 items\./);
    expect(text).toMatch(/^ {2}whole {2}([A-D]|no answer) (right|wrong)$/m);
    expect(text).toMatch(/^ {2}wrote( \(cut off\))?: \S/m);
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
    expect(text).toContain("The questions are not here, or other ones: `gguf-bench fetch sums`");
  });

  it("what is not there is one sentence", async () => {
    expect(await fault({ task: "sum" })).toMatch(/--task sum: the run has no such task\..*sums/);
    expect(await fault({ variants: ["hole"] })).toMatch(/the run has no variant "hole".*whole/);
    expect(await fault({ subjects: ["algebr"] })).toMatch(
      /--subject algebr: sums has no such subject or group.*algebra/,
    );
    expect(await fault({ flipped: ["whole"] })).toMatch(/--flipped takes the names of two variants/);
    const { task: _, ...unnamed } = { run: out, task: "" };
    const none = await bench(["items", unnamed.run]);
    expect(none.stderr).toMatch(/the run has several tasks: sums, written\.\n {2}Name one with --task\./);
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
