import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { contextsOf } from "../../dist/backends/backend.js";
import { quickBenchmark, readBenchmark } from "../../dist/benchmark/index.js";
import { type ChoiceDataset, dataKinds, describeTask, digestOf, readDatasets } from "../../dist/data/index.js";
import { BenchError } from "../../dist/errors.js";
import { measurements } from "../../dist/measurements/index.js";

const made: string[] = [];
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "gguf-bench-test-"));
  made.push(dir);
});

afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true });
});

function file(name: string, content: string | Buffer): string {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), content);
  return join(dir, name);
}

const choice = (dataset: string, said: object = {}, dataDir = dir) =>
  dataKinds.choice.resolve({ dataset, ...said }, { baseDir: dir, dataDir });

async function failure(attempt: Promise<unknown>): Promise<BenchError> {
  const error = await attempt.then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  // A sentence and a remedy that fit on a few lines of a terminal.
  for (const said of [error.message.replaceAll(dir, ""), error.hint ?? ""]) expect(said.length).toBeLessThan(260);
  return error;
}

const card = (more: string, name = "mine") =>
  file(`${name}/card.yaml`, `name: ${name}\nkind: choice\ntitle: t\nsource: s\nlicence: l\n${more}`);

const line = (q: string, key?: string | null) => `${JSON.stringify({ q, A: "x", B: "y", key })}\n`;

const contexts = ({ items }: ChoiceDataset) => items.map((item) => contextsOf(item)[0]);

/** A task of two subjects, with a heading, letters and examples. */
const subjects = (more = "") =>
  card(`splits: { dev: "dev/{subject}_dev.csv", val: "val/{subject}_val.csv", test: "test/{subject}_test.csv" }
split: val
subjects: { law: { title: the law, groups: [Human, Hard] }, fine_art: { groups: [Human] } }
format: csv
options: [A, B]
answer: key
answerIs: letter
heading: "About {subject}.\\n\\n"
prompt: "{q}\\nA. {A}\\nB. {B}\\nAnswer:"
delimiter: ""
continueWith: letter
examples: { split: dev }
${more}`);
const head = "q,A,B,key\n";
function twoSubjects() {
  for (const [name, topic] of [
    ["law", "Law"],
    ["fine_art", "Art"],
  ]) {
    file(`mine/dev/${name}_dev.csv`, `${head}${topic} one?,x,y,B\n${topic} two?,x,y,A\n`);
    file(`mine/val/${name}_val.csv`, `${head}${topic} three?,v,w,A\n,,,\n${topic} four?,v,w,B\n`);
    file(`mine/test/${name}_test.csv`, `q,A,B\n${topic} five?,r,s\n`);
  }
}

describe("a task of several subjects", () => {
  beforeEach(() => {
    subjects();
    twoSubjects();
  });

  test("has the subject and the row in ids, titles in prompts, and facts for reports", async () => {
    const data = await choice("mine");
    expect(data.items).toEqual([
      ...[
        { id: "law/0", context: "About the law.\n\nLaw three?\nA. v\nB. w\nAnswer:", gold: 0, cluster: "law" },
        { id: "law/1", context: "About the law.\n\nLaw four?\nA. v\nB. w\nAnswer:", gold: 1, cluster: "law" },
      ].map((item) => ({ ...item, options: ["A", "B"] })),
      expect.objectContaining({ id: "fine_art/0", cluster: "fine_art", gold: 0 }),
      expect.objectContaining({ id: "fine_art/1", cluster: "fine_art", gold: 1 }),
    ]);
    expect(contexts(data)[2]).toBe("About fine art.\n\nArt three?\nA. v\nB. w\nAnswer:");
    expect(data.task).toEqual({
      answers: ["A", "B"],
      chance: 0.5,
      split: "val",
      shots: 0,
      groups: { Human: ["law", "fine_art"], Hard: ["law"] },
      titles: { law: "the law", fine_art: "fine art" },
    });
    expect(data.note).toBe("rows without any text, left out: 2");
    expect(data.path).toBe(join(dir, "mine", "val", "{subject}_val.csv"));
  });

  test("takes the first examples of the same subject", async () => {
    const data = await choice("mine", { shots: 1 });
    expect(contexts(data)[0]).toBe(
      "About the law.\n\nLaw one?\nA. x\nB. y\nAnswer:B\n\nLaw three?\nA. v\nB. w\nAnswer:",
    );
    expect(contexts(data)[3]).toBe(
      "About fine art.\n\nArt one?\nA. x\nB. y\nAnswer:B\n\nArt four?\nA. v\nB. w\nAnswer:",
    );
    expect(data.task?.shots).toBe(1);
    expect(contexts(await choice("mine", { shots: 2 }))[0]).toContain("Answer:B\n\nLaw two?\nA. x\nB. y\nAnswer:A\n\n");
    const error = await failure(choice("mine", { shots: 3 }));
    expect(error.message).toMatch(/^None of 2 subjects of mine .*law_dev\.csv has 2 examples, fewer than 3\.$/);
  });

  test("is measured on subjects and groups alone", async () => {
    expect((await choice("mine", { subjects: ["fine_art"] })).items.map(({ id }) => id)).toEqual([
      "fine_art/0",
      "fine_art/1",
    ]);
    const hard = await choice("mine", { subjects: ["Hard"] });
    expect(hard.items.map(({ id }) => id)).toEqual(["law/0", "law/1"]);
    const groups = { Human: ["law"], Hard: ["law"] };
    expect(hard.task).toMatchObject({ groups, titles: { law: "the law" }, subjects: ["Hard"] });
    const error = await failure(choice("mine", { subjects: ["lew"] }));
    expect(error).toMatchObject({ code: "dataset-unknown", message: 'mine has no subject and no group "lew".' });
    expect(error.hint).toMatch(/^Did you mean `law`/);
  });

  test("may have a split without answers: items without gold, and a note", async () => {
    const data = await choice("mine", { split: "test" });
    expect(data.items[0]).toEqual({
      id: "law/0",
      context: "About the law.\n\nLaw five?\nA. r\nB. s\nAnswer:",
      options: ["A", "B"],
      cluster: "law",
    });
    expect(data.note).toBe("the split test comes without answers: no accuracy can be told");
    expect(data.task?.split).toBe("test");
    for (const name of ["law", "fine_art"]) file(`mine/test/${name}_test.csv`, `${head}five?,r,s,\nsix?,r,s, \n`);
    expect((await choice("mine", { split: "test" })).items[0]).not.toHaveProperty("gold");
    expect((await failure(choice("mine", { split: "train" }))).hint).toMatch(/dev, val, test/);
  });

  test.each<[string, () => void, RegExp]>([
    ["absent", () => rmSync(join(dir, "mine/val/law_val.csv")), /^left out, for they have no file: law$/],
    [
      "of another split, without answers",
      () => file("mine/val/law_val.csv", "q,A,B\nLaw six?,r,s\n"),
      /^law is left out: .*law_val\.csv:2: there is no column "key"$/,
    ],
    [
      "of another split, with answers",
      () => file("mine/val/law_val.csv", `${head}Law one?,x,y,B\nLaw two?,x,y,A\n`),
      /^law is left out: .*law_val\.csv is the same as .*law_dev\.csv, which is of another split$/,
    ],
    [
      "with a row of another number of cells",
      () => file("mine/val/law_val.csv", `${head}one?,x,y,B\ntwo?,x\n`),
      /^law is left out: .*law_val\.csv:3: the row has 2 cells, its head 4$/,
    ],
    [
      "without its examples",
      () => rmSync(join(dir, "mine/dev/law_dev.csv")),
      /^law is left out: there is no dev\/law_dev\.csv/,
    ],
    ["empty", () => file("mine/val/law_val.csv", ""), /^law is left out: .*law_val\.csv is empty$/],
    ["without rows", () => file("mine/val/law_val.csv", head), /^law is left out: .*law_val\.csv holds no questions$/],
    [
      "of another encoding",
      () => file("mine/val/law_val.csv", Buffer.from(head, "utf16le")),
      /^law is left out: .*law_val\.csv:1: byte 1 is 0, which no text holds$/,
    ],
    [
      "of another kind",
      () => file("mine/val/law_val.csv", Buffer.from("PAR1....PAR1")),
      /^law is left out: .*law_val\.csv is a Parquet file, not a text$/,
    ],
  ])("a subject's file that is %s leaves the others measured", async (_, spoil, note) => {
    spoil();
    const data = await choice("mine", { shots: 1 });
    expect(data.items.map(({ id }) => id)).toEqual(["fine_art/0", "fine_art/1"]);
    const notes = data.note!.split("; ").filter((one) => one.includes("left out") && !one.startsWith("rows"));
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(note);
    expect(data.task?.groups).toEqual({ Human: ["fine_art"] });
  });

  const form = (format: string) =>
    `file: q.${format}\nformat: ${format}\noptions: [A, B]\nanswer: key\nanswerIs: letter\nprompt: "{q}"\n`;

  test.each([
    ["csv", "q,A,B,key\none?,x,y,B\ntwo?,x,y, \nthree?,x,y,A\n"],
    ["jsonl", `${line("one?", "B")}${line("two?", null)}${line("three?", "A")}`],
    ["jsonl", `${line("one?", "B")}${line("two?")}${line("three?", "A")}`],
    ["json", `[${line("one?", "B")},${line("two?", "")},${line("three?", "A")}]`],
  ])("a question without a key is asked among others that have one: %s", async (format, content) => {
    card(form(format), "some");
    file(`some/q.${format}`, content);
    const data = await choice("some");
    expect(data.items.map(({ gold }) => gold)).toEqual([1, undefined, 0]);
    expect(data.note).toBe("questions without a key, asked and not graded: 1");
    expect(measurements.choice!.metrics({}, data)).toEqual(expect.arrayContaining(["acc", "ungraded"]));
  });

  test.each([
    ["csv", "q,A,B,key\none?,x,y,\ntwo?,x,y,\n"],
    ["jsonl", `${line("one?", null)}${line("two?", null)}`],
  ])("a file in which no key is filled in is asked, and gives no accuracy: %s", async (format, content) => {
    card(form(format), "some");
    file(`some/q.${format}`, content);
    const data = await choice("some");
    expect(data.items.map(({ gold }) => gold)).toEqual([undefined, undefined]);
    expect(data.note).toBe("the file comes without answers: no accuracy can be told");
    const metrics = measurements.choice!.metrics({}, data);
    expect(metrics).toContain("ungraded");
    expect(metrics).not.toContain("acc");
  });

  test("a column of answers that no row has is a mistake in the card", async () => {
    card(form("jsonl").replace("answer: key", "answer: gold"), "some");
    file("some/q.jsonl", line("one?", "B"));
    expect((await failure(choice("some"))).message).toMatch(/q\.jsonl:1: there is no column "gold"\.$/);
  });

  test("an example without a key is refused", async () => {
    file("mine/dev/law_dev.csv", `${head}one?,x,y,\ntwo?,x,y,B\n`);
    const { note } = await choice("mine", { shots: 1 });
    expect(note).toMatch(/law is left out: .*law_dev\.csv:2: column "key" is empty/);
  });

  test("of a split without answers, a file that has some is not mixed with the others", async () => {
    file("mine/test/law_test.csv", `${head}five?,r,s,A\n`);
    const data = await choice("mine", { split: "test" });
    expect(data.items).toMatchObject([{ id: "law/0", gold: 0 }]);
    expect(data.note).toBe("left out, for their files have no answers as those of the others have: fine_art");
  });

  test("a file that is another subject's is not measured twice", async () => {
    file("mine/val/fine_art_val.csv", readFileSync(join(dir, "mine/val/law_val.csv")));
    const data = await choice("mine");
    expect(data.items.map(({ cluster }) => cluster)).toEqual(["law", "law"]);
    expect(data.note).toContain("fine_art is left out: its file is the same as that of law");
  });

  test("of many subjects that cannot be asked, the first few are told", async () => {
    card(`splits: { val: "val/{subject}_val.csv" }\nformat: csv\noptions: [A, B]\nanswer: key\nprompt: "{q}"\n`);
    for (let i = 10; i < 30; i++) file(`mine/val/s${i}_val.csv`, `${head}q${i}?,x,y,${i}\n`);
    const { note, items } = await choice("mine");
    expect(items).toHaveLength(4);
    expect(note!.split("; ")).toHaveLength(7);
    expect(note).toContain("s10 is left out: val/s10_val.csv:2: the answer");
    expect(note).toMatch(/; 15 more subjects are left out$/);
  });

  test("a list of datasets tells what there is to choose", async () => {
    const found = async () => (await readDatasets({ dataDir: dir })).found.find((one) => one.card.name === "mine")!;
    expect(describeTask((await found()).card)).toBe("split val (dev, test), 0 shots");
    expect((await found()).path).toBe(join(dir, "mine/val/{subject}_val.csv"));
    subjects("shots: 5\nstyle: a\nstyles: { a: {}, b: { chat: true } }\n");
    expect(describeTask((await found()).card)).toBe("split val (dev, test), style a (b), 5 shots");
    rmSync(join(dir, "mine/val"), { recursive: true });
    expect(await found()).not.toHaveProperty("path");
  });

  test("flags and keys of an entry say which part, and how", async () => {
    const said = { split: "dev", shots: 0, style: "chat", subjects: ["law"], system: "Be brief." };
    const options = { measurements, dataDir: dir };
    const flags = await quickBenchmark({ ...options, models: ["a.gguf"], measures: ["mine"], flags: said });
    expect(flags.measurements).toMatchObject([{ name: "mine", kind: "choice", data: { dataset: "mine", ...said } }]);
    const entry = (more: object) =>
      file(
        "b.yaml",
        JSON.stringify({ variants: { a: { model: "a.gguf" } }, measurements: { law: { dataset: "mine", ...more } } }),
      );
    const { measurements: read } = await readBenchmark(entry(said), options);
    expect(read).toMatchObject([{ name: "law", kind: "choice", data: { dataset: "mine", ...said } }]);
    for (const [wrong, message] of [
      [{ subjects: "law" }, /`subjects` must be a list/],
      [{ subjects: [] }, /`subjects` must be a list of at least 1 item/],
      [{ shots: -1 }, /`shots` must be a whole number from 0 to 10000/],
      [{ split: "" }, /`split` must be text that is not empty/],
    ] as const)
      expect((await failure(readBenchmark(entry(wrong), options))).message).toMatch(message);
  });

  test("no subject at all is one error; no file at all says where it belongs", async () => {
    for (const name of ["law", "fine_art"]) file(`mine/val/${name}_val.csv`, `${head}one?,x,y,C\n`);
    const error = await failure(choice("mine"));
    expect(error.message).toMatch(
      /^None of 2 subjects of mine can be measured\. .*law_val\.csv:2: the answer "C" is no/,
    );
    rmSync(join(dir, "mine/dev"), { recursive: true });
    expect((await failure(choice("mine", { shots: 1 }))).message).toMatch(/^The examples of mine are not here: /);
    rmSync(join(dir, "mine/test"), { recursive: true });
    const other = await failure(choice("mine", { split: "test" }));
    expect(other.message).toMatch(/^The data \(test\/\{subject\}_test\.csv\) of mine are not here: /);
    rmSync(join(dir, "mine/val"), { recursive: true });
    const missing = await failure(choice("mine"));
    expect(missing.code).toBe("dataset-missing");
    expect(missing.message).toContain(join(dir, "mine", "val", "{subject}_val.csv"));
  });

  test("subjects without a card's list are those that have files", async () => {
    card(`splits: { val: "val/{subject}_val.csv" }
format: csv
options: [A, B]
answer: key
prompt: "{subject}: {q}"
`);
    file("mine/val/._law_val.csv", "left by another system");
    const data = await choice("mine");
    expect(data.items.map(({ id }) => id)).toEqual(["fine_art/0", "fine_art/1", "law/0", "law/1"]);
    expect(contexts(data)[0]).toBe("fine art: Art three?");
    expect(data.task).toMatchObject({ chance: 0.5, split: "val", shots: 0, titles: { fine_art: "fine art" } });
  });

  test("a file that no subject of the card has is said", async () => {
    file("mine/val/music_val.csv", `${head}one?,x,y,B\n`);
    expect((await choice("mine")).note).toContain("left out, for they are not on the card: music");
  });

  test("files lie where archives unpack them, and subjects may be folders", async () => {
    const data = join(dir, "data");
    for (const name of ["law", "fine_art"]) file(`data/mine/exam/2023/val/${name}_val.csv`, `${head}${name}?,v,w,A\n`);
    const found = await dataKinds.choice.resolve({ dataset: join(dir, "mine") }, { baseDir: dir, dataDir: data });
    expect(contexts(found)).toHaveLength(2);
    expect(found.path).toBe(join(data, "mine/exam/2023/val/{subject}_val.csv"));
    card(`splits: { val: "{subject}/val.csv" }\nformat: csv\noptions: [A, B]\nanswer: key\nprompt: "{q}"\n`, "folders");
    file("folders/law/val.csv", `${head}one?,x,y,B\n`);
    file("folders/empty/other.csv", "");
    expect((await choice("folders")).items).toMatchObject([{ id: "law/0", cluster: "law" }]);
  });

  test("what is measured shows its own answers to nobody", async () => {
    const error = await failure(choice("mine", { split: "dev", shots: 1 }));
    expect(error.message).toMatch(/law_dev\.csv has the examples: its questions would show their own answers\.$/);
    expect((await choice("mine", { split: "dev" })).items).toHaveLength(4);
  });

  test("another file is measured as it is, alone", async () => {
    file("other.csv", `${head}one?,x,y,B\n`);
    const data = await choice("mine", { file: "other.csv" });
    expect(data.items).toMatchObject([{ id: "0", gold: 1 }]);
    expect(data.note).toMatch(/^other\.csv was measured instead of val\/\{subject\}_val\.csv: sha256/);
    expect((await failure(choice("mine", { file: "other.csv", split: "val" }))).message).toContain("both given");
    expect((await failure(choice("mine", { file: "other.csv", shots: 1 }))).message).toContain("its examples");
  });

  test("the digest covers all that decides a prompt, and nothing else", async () => {
    const digests = new Map<string, string>();
    const asked = async (name: string, said: object = {}) => digests.set(name, digestOf(await choice("mine", said)));
    await asked("plain");
    await asked("shots", { shots: 1 });
    await asked("subjects", { subjects: ["law"] });
    await asked("split", { split: "test" });
    subjects(`clean: { q: [{ replace: "three", with: "3" }] }`);
    await asked("clean");
    subjects(`titles: { law: another title }`);
    await asked("title");
    expect(new Set(digests.values()).size).toBe(digests.size);
    card(`splits: { val: "val/{subject}_val.csv" }
subjects: { law: { title: the law }, fine_art: {} }
format: csv
options: [A, B]
answer: key
style: only
styles: { only: { heading: "About {subject}.\\n\\n", prompt: "{q}\\nA. {A}\\nB. {B}\\nAnswer:", delimiter: "", continueWith: letter } }
`);
    expect(digestOf(await choice("mine"))).toBe(digests.get("plain"));
  });
});

test("a test split of C-Eval's size with five examples takes tens of megabytes", () => {
  const name = (i: number) => `s${String(i).padStart(2, "0")}`;
  const row = (subject: number, i: number, key: string) =>
    `第${subject}.${i}题：${"下列说法中正确的是哪一项".repeat(8)},甲${i},乙${i},丙${i},丁${i}${key}\n`;
  for (let i = 0; i < 52; i++) {
    file(`big/dev/${name(i)}_dev.csv`, `q,A,B,C,D,key\n${[1, 2, 3, 4, 5].map((j) => row(i, j, ",B")).join("")}`);
    const rows = Array.from({ length: i < 18 ? 238 : 237 }, (_, j) => row(i, j, ""));
    file(`big/test/${name(i)}_test.csv`, `q,A,B,C,D\n${rows.join("")}`);
  }
  const prompt = `heading: "关于{subject}。\\n\\n"\nprompt: "{q}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\n答案："\ncontinueWith: letter`;
  card(
    `splits: { dev: "dev/{subject}_dev.csv", test: "test/{subject}_test.csv" }\nsplit: dev\nformat: csv\noptions: [A, B, C, D]\nanswer: key\nexamples: { split: dev }\nstyle: text\nstyles: { text: {}, chat: { chat: true } }\n${prompt}\n`,
    "big",
  );
  const index = new URL("../../dist/data/index.js", import.meta.url);
  for (const [style, most] of [
    ["text", 20],
    ["chat", 25],
  ] as const) {
    const program = `const { dataKinds, digestOf } = await import(${JSON.stringify(index.href)});
const megabytes = () => { gc(); gc(); return process.memoryUsage().heapUsed / 1e6; };
const before = megabytes();
const said = { dataset: "big", split: "test", shots: 5, style: "${style}" };
const data = await dataKinds.choice.resolve(said, { baseDir: ".", dataDir: ${JSON.stringify(dir)} });
digestOf(data);
console.log(JSON.stringify([data.items.length, megabytes() - before]));`;
    const said = execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", program], {
      encoding: "utf8",
    });
    const [items, taken] = JSON.parse(said);
    expect(items).toBe(12_342);
    expect(taken).toBeLessThan(most);
  }
}, 60_000);
