import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { dataKinds } from "../../dist/data/index.js";
import { BenchError } from "../../dist/errors.js";
import { random } from "../draws.mjs";

// Questions in the forms in which benchmarks are published.

const shared = resolve("../shared/datasets");
const parquet = resolve("test/fixtures/parquet");

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

/** The questions of a card that says this besides its name. */
function asked(more: string, said: object = {}, dataDir = dir) {
  const path = dirname(file("mine/card.yaml", `name: mine\nkind: choice\ntitle: t\nsource: s\nlicence: l\n${more}`));
  return dataKinds.choice.resolve({ dataset: path, ...said }, { baseDir: dir, dataDir });
}

async function failure(attempt: Promise<unknown>): Promise<BenchError> {
  const error = await attempt.then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  return error;
}

describe("published forms", () => {
  const hub = `options: choices\nanswer: answer\nanswerIs: index\nprompt: "{question}\\nA. {choices[0]}\\nB. {choices[1]}"\n`;

  test.each(["snappy", "gzip", "brotli", "zstd", "lz4"])(
    "Parquet with a list of choices, packed by %s",
    async (codec) => {
      file("mine/data.parquet", readFileSync(join(parquet, `choices-${codec}.parquet`)));
      const data = await asked(`file: data.parquet\nformat: parquet\n${hub}`);
      expect(data.items).toEqual([
        { id: "0", context: "1 + 1 =\nA. 1\nB. 2", options: ["1", "2", "3", "4"], gold: 1 },
        { id: "1", context: "2 + 1 =\nA. 3\nB. 4", options: ["3", "4", "5", "6"], gold: 0 },
      ]);
    },
  );

  test("a split in parts, named by the first one, is read as a whole", async () => {
    const form = `format: parquet\nsplits: { test: data/test-00000-of-00002.parquet }\nsplit: test\n${hub}`;
    const part = (i: number, codec: string) =>
      file(`mine/data/test-0000${i}-of-00002.parquet`, readFileSync(join(parquet, `choices-${codec}.parquet`)));
    part(0, "snappy");
    const error = await failure(asked(form));
    expect(error).toMatchObject({ code: "dataset-missing" });
    expect(error.message).toMatch(
      /test-00000-of-00002\.parquet is one of 2 parts, and test-00001-of-00002\.parquet is not/,
    );
    part(1, "zstd");
    const data = await asked(form);
    expect(data.items.map(({ id, gold }) => [id, gold])).toEqual([
      ["0", 1],
      ["1", 0],
      ["2", 1],
      ["3", 0],
    ]);
    // Both parts hold the same.
    expect(data.note).toBe("questions that are asked again, each counted: 2");
    // A part that is asked for by name is a file as any other.
    const second = await asked(form, { file: join(dir, "mine/data/test-00001-of-00002.parquet") });
    expect(second.items).toHaveLength(2);
    expect(second.bytes).toBeLessThan(data.bytes);
  });

  test("the same card reads JSONL and CSV by the ending of a file", async () => {
    file("mine/data.parquet", readFileSync(join(parquet, "choices-snappy.parquet")));
    file("more.jsonl", '{"question":"?","choices":["x","y"],"answer":1}\n');
    const more = await asked(`file: data.parquet\nformat: parquet\n${hub}`, { file: "more.jsonl" });
    expect(more.items).toMatchObject([{ options: ["x", "y"], gold: 1 }]);
  });

  test("ARC of the Hub: texts and labels in a map, letters or numbers", async () => {
    file("mine/data.parquet", readFileSync(join(parquet, "labels.parquet")));
    const data = await asked(
      `file: data.parquet\nformat: parquet\noptions: choices.text\nlabels: choices.label\nanswer: answerKey\nanswerIs: label\nprompt: "{question}"\n`,
    );
    expect(data.items).toEqual([
      { id: "0", context: "Which is warm?", options: ["ice", "fire", "snow"], gold: 1 },
      { id: "1", context: "Which is cold?", options: ["sun", "ice"], gold: 1 },
    ]);
    expect(data.chance).toBeCloseTo((1 / 3 + 1 / 2) / 2, 12);
  });

  test("TruthfulQA of the Hub: choices and flags in a map, scored by mass", async () => {
    file("mine/data.parquet", readFileSync(join(parquet, "flags.parquet")));
    const form = (targets: string, more = "") =>
      `file: data.parquet\nformat: parquet\noptions: ${targets}.choices\nanswer: ${targets}.labels\nanswerIs: flags\nprompt: "Q: {question}"\n${more}`;
    expect((await asked(form("mc1_targets"))).items).toEqual([
      { id: "0", context: "Q: Is ice cold?", options: ["Yes.", "No."], gold: 0, right: [0] },
    ]);
    const mass = await asked(form("mc2_targets", "score: mass\n"));
    expect(mass).toMatchObject({ score: "mass", chance: 2 / 3, items: [{ gold: 1, right: [1, 2] }] });
  });

  test("BoolQ: options of the card, a boolean answer", async () => {
    file("mine/data.parquet", readFileSync(join(parquet, "truth.parquet")));
    const form = `optionTexts: ["no", "yes"]\nanswer: answer\nanswerIs: truth\nprompt: "{passage}\\nQuestion: {question}?\\nAnswer:"\n`;
    const data = await asked(`file: data.parquet\nformat: parquet\n${form}`);
    expect(data.items.map(({ options, gold }) => [options, gold])).toEqual([
      [["no", "yes"], 1],
      [["no", "yes"], 0],
    ]);
    file("mine/data.jsonl", '{"question":"q","passage":"p","answer":"maybe"}\n');
    const error = await failure(asked(`file: data.jsonl\nformat: jsonl\n${form}`));
    expect(error.message).toMatch(/data\.jsonl:1: the answer "maybe" is neither true nor false\.$/);
  });

  test("one list of objects; texts to 0 and 1 in a map keep their order", async () => {
    file("mine/data.json", '[\n{"q":"one?","t":{"no.":0,"yes.":1,"A, then B.":0}},\n{"q":"two?","t":{"a":1,"b":1}}]\n');
    const data = await asked(`file: data.json\nformat: json\noptions: t\nprompt: "{q}"\n`);
    expect(data.items).toEqual([
      { id: "0", context: "one?", options: ["no.", "yes.", "A, then B."], gold: 1, right: [1] },
      { id: "1", context: "two?", options: ["a", "b"], gold: 0, right: [0, 1] },
    ]);
    expect(data.chance).toBeCloseTo((1 / 3 + 1) / 2, 12);
  });

  test("WinoGrande: each option fills the gap, and what follows is scored", async () => {
    const form = `format: jsonl\noptions: [option1, option2]\nanswer: answer\nanswerIs: number\ngap: _\nprompt: "{sentence}"\n`;
    const row = (subject: string, answer: number) =>
      `{"sentence":"${subject} beat _ , so he wept.","option1":"Tom","option2":"Ann","answer":"${answer}"}\n`;
    file("mine/test.jsonl", row("Bob", 2));
    file("mine/train.jsonl", row("Max", 1));
    const splits = "splits: { train: train.jsonl, test: test.jsonl }\nsplit: test\nexamples: { split: train }\n";
    const data = await asked(splits + form);
    expect(data.items).toEqual([
      { id: "0", contexts: ["Bob beat Tom", "Bob beat Ann"], options: [", so he wept.", ", so he wept."], gold: 1 },
    ]);
    expect((await asked(splits + form, { shots: 1 })).items).toMatchObject([
      { before: { text: "Max beat Tom , so he wept.\n\n" }, contexts: ["Bob beat Tom", "Bob beat Ann"] },
    ]);
    file("mine/test.jsonl", row("Bob", 2).replace("_", "him"));
    expect((await failure(asked(splits + form))).message).toMatch(
      /test\.jsonl:1: there is no gap "_" in the question\.$/,
    );
    file("mine/test.jsonl", row("Bob_", 2));
    expect((await failure(asked(splits + form))).message).toMatch(/test\.jsonl:1: the gap "_" is there twice\.$/);
    expect((await failure(asked(`${splits + form}chat: true\n`))).message).toMatch(/it cannot be a conversation\.$/);
  });

  test("HellaSwag: the filled question is cleaned as a whole, and so is each ending", async () => {
    file(
      "mine/data.jsonl",
      `${JSON.stringify({ l: "Roof", a: "[header] A man sits.", b: "[title] he WAITS  there ", e: [" go [step] on.", "stops"], y: "1" })}\n${JSON.stringify({ l: "X", a: "A.", b: "", e: ["p", "q"], y: 0 })}\n`,
    );
    const steps = `[trim, {replace: " [title]", with: ". "}, {pattern: '\\[.*?\\]', with: ""}, {replace: "  ", with: " "}]`;
    const data = await asked(
      `file: data.jsonl\nformat: jsonl\noptions: e\nanswer: y\nanswerIs: index\nprompt: "{l}: {a} {b}"\nclean: { b: [capitalize], prompt: ${steps}, options: ${steps} }\n`,
    );
    expect(data.items).toEqual([
      { id: "0", context: "Roof: A man sits.. he waits there", options: ["go on.", "stops"], gold: 1 },
      { id: "1", context: "X: A.", options: ["p", "q"], gold: 0 },
    ]);
  });
});

describe("conversations", () => {
  const form = (more = "") => `splits: { dev: dev.csv, val: val.csv }
split: val
format: csv
options: [A, B]
answer: key
answerIs: letter
examples: { split: dev }
style: plain
heading: "Questions.\\n\\n"
prompt: "{q}"
styles:
  plain: { continueWith: letter }
  chat: { system: "Be brief.", reply: "Yes.", continueWith: letter }
  short: { chat: true, continueWith: letter }
${more}`;
  const said = (role: string, content: string) => ({ role, content });

  beforeEach(() => {
    file("mine/dev.csv", "q,A,B,key\none?,x,y,B\ntwo?,x,y,A\n");
    file("mine/val.csv", "q,A,B,key\nthree?,x,y,A\n");
  });

  test("without examples: the heading begins the question", async () => {
    const data = await asked(form(), { style: "chat" });
    expect(data.items).toEqual([
      {
        id: "0",
        messages: [said("system", "Be brief."), said("user", "Questions.\n\nthree?")],
        options: ["A", "B"],
        gold: 0,
      },
    ]);
    expect(data).toMatchObject({ delimiter: "", task: { style: "chat", shots: 0 } });
  });

  test("with examples: turns, after a heading with its reply or beginning with it", async () => {
    expect((await asked(form(), { style: "chat", shots: 2 })).items).toMatchObject([
      {
        messages: [
          said("system", "Be brief."),
          said("user", "Questions.\n\n"),
          said("assistant", "Yes."),
          said("user", "one?"),
          said("assistant", "B"),
          said("user", "two?"),
          said("assistant", "A"),
          said("user", "three?"),
        ],
      },
    ]);
    expect((await asked(form(), { style: "short", shots: 1 })).items).toMatchObject([
      { messages: [said("user", "Questions.\n\none?"), said("assistant", "B"), said("user", "three?")] },
    ]);
  });

  test("the system prompt of an entry stands in place of the style's", async () => {
    const { items } = await asked(form(), { style: "chat", system: "Be kind." });
    expect(items).toMatchObject([{ messages: [said("system", "Be kind."), said("user", "Questions.\n\nthree?")] }]);
    const none = await asked(form(), { style: "chat", system: "" });
    expect(none.items).toMatchObject([{ messages: [said("user", "Questions.\n\nthree?")] }]);
    const error = await failure(asked(form(), { system: "Be kind." }));
    expect(error.message).toBe("mine is put as a text, which has no system prompt.");
    expect((await failure(asked(form(), { style: "chats" }))).hint).toMatch(/^Did you mean `chat`/);
  });

  test.each<[string, RegExp]>([
    [form().replace("style: plain\n", ""), /`style` is missing/],
    [form().replace("style: plain", "style: other"), /`style`: there is no style "other"/],
    [form().replace('prompt: "{q}"\n', ""), /`prompt` is missing/],
    [form().replace('"{q}"', '"{q} {key}"'), /`prompt`: it shows the column of the answer/],
    [form().replace("split: val", "split: test"), /`split`: it says which split is measured: dev, val/],
    [form().replace("split: val\n", ""), /`split` is missing/],
    [form().replace("{ split: dev }", "{ split: train }"), /`split`: there is no split "train"/],
    [form().replace("{ split: dev }", "{ separator: '' }"), /`examples`: say `split` or `file`/],
    [form("file: other.csv"), /`file`: `splits` stands in its place/],
    [form('optionTexts: ["no", "yes"]'), /`options`: `optionTexts` stands in its place/],
    [form("labels: l"), /`answerIs`: `labels` and `answerIs: label` go together/],
    [form("clean: { q: [lower] }"), /`clean`|item 1|`q`/],
    [form("clean: { q: [{ pattern: '(' }] }"), /this is no regular expression/],
  ])("a fault of the card is said with its line (%#)", async (more, message) => {
    const error = await failure(asked(more));
    expect(error.code).toBe("dataset-card");
    expect(error.message).toMatch(/card\.yaml:\d+:\d+: /);
    expect(error.message).toMatch(message);
  });
});

/** A card's keys, a line each. */
const lines = (card: object) =>
  Object.entries(card)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
    .join("");

describe("what a file is not", () => {
  const form = (name: string, format: string, more = "options: [A, B]\nanswer: key\n") =>
    `file: ${name}\nformat: ${format}\nprompt: "{q}"\n${more}`;
  const row = '{"q":"?","A":"x","B":"y","key":"A"}';

  test.each<[string, string, string | Buffer, RegExp, RegExp]>([
    ["a list as JSONL", "x.jsonl", `[${row}]`, /x\.jsonl is one JSON list, not an object a line\.$/, /format: json/],
    ["a list on many lines as JSONL", "x.jsonl", `[\n  ${row}\n]`, /x\.jsonl is one JSON list/, /format: json/],
    ["an object a line as JSON", "x.json", `${row}\n${row}`, /x\.json is not JSON: /, /format: jsonl/],
    ["one object as JSON", "x.json", row, /x\.json is JSON, but no list of objects\.$/, /format: jsonl/],
    ["a map with a list as JSON", "x.json", `{\n"data": [${row}]\n}`, /no list of objects/, /jq '\.KEY' FILE/],
    ["cut JSON", "x.json", `[${row},`, /x\.json is not JSON: /, /Mend it/],
    ["numbers as JSON", "x.json", "[1, 2]", /x\.json, item 1: it is not a JSON object\.$/, /by name/],
    ["an empty list", "x.json", "[]", /x\.json holds no questions\.$/, /^$/],
    ["a key twice, deep inside", "x.json", `[{"q":{"a":1,"a":2}}]`, /column "a" is there twice/, /^$/],
    ["Parquet as CSV", "x.csv", "PAR1xxxxPAR1", /x\.csv is a Parquet file, not a text\.$/, /format: parquet/],
    ["a zip archive", "x.csv", "PK\x03\x04xxx", /x\.csv is a zip archive, not a text\.$/, /Unpack/],
    ["a gzip archive", "x.csv", Buffer.from("1f8b0800", "hex"), /x\.csv is a gzip archive/, /Unpack/],
    ["CSV as Parquet", "x.parquet", "q,A,B,key\n", /x\.parquet is no whole Parquet file\.$/, /format:/],
    ["cut Parquet", "x.parquet", readFileSync(join(parquet, "labels.parquet")).subarray(0, 900), /no whole/, /anew/],
    ["bars", "x.csv", "q|A|B|key\n?|x|y|A\n", /there is no column "A"/, /by commas, semicolons or tabs/],
    ["numbers for texts in a map", "x.jsonl", '{"q":"?","A":{"12":1,"x":0}}', /holds a map, not text/, /^$/],
  ])("%s is a sentence", async (_, name, content, message, hint) => {
    file(`mine/${name}`, content);
    const error = await failure(asked(form(name, name.split(".")[1]!)));
    expect(error.code).toBe("dataset-invalid");
    expect(error.message).toMatch(message);
    expect(error.hint ?? "").toMatch(hint);
    expect(error.message.replace(dir, "").length).toBeLessThan(200);
  });

  test("spoilt Parquet never ends the program", async () => {
    const whole = readFileSync(join(parquet, "labels.parquet"));
    const spoilt = Buffer.from(whole);
    for (let at = 4; at < whole.length - 4; at += 7) {
      spoilt[at]! ^= 0xff;
      file("mine/x.parquet", spoilt);
      const end = await asked(
        form(
          "x.parquet",
          "parquet",
          "options: choices.text\nlabels: choices.label\nanswer: answerKey\nanswerIs: label\n",
        ).replace("{q}", "{question}"),
      ).catch((error) => error);
      if (end instanceof Error) expect(end).toBeInstanceOf(BenchError);
      spoilt[at]! ^= 0xff;
    }
  }, 60_000);

  test.each<[string, string, RegExp]>([
    [
      "options: o\nanswer: a\nanswerIs: flags",
      '{"q":"?","o":["x","y"],"a":[0]}',
      /must hold 0 or 1 for each of the 2 options/,
    ],
    ["options: o\nanswer: a\nanswerIs: flags", '{"q":"?","o":["x","y"],"a":[0,2]}', /must hold 0 or 1 for each/],
    ["options: o\nanswer: a\nanswerIs: flags", '{"q":"?","o":["x","y"],"a":[0,0]}', /column "a" calls no option right/],
    ["options: o", '{"q":"?","o":["x","y"]}', /column "o" must hold 0 or 1/],
    ["options: o", '{"q":"?","o":{"x":1}}', /column "o" holds 1 options; 2 are needed/],
    ["options: o", '{"q":"?","o":{"12":1,"x":0}}', /is a map with the key "12": JSON readers put numbers first/],
    ["options: o.p\nanswer: a", '{"q":"?","o":{"r":["x","y"]},"a":"A"}', /there is no column "o\.p"/],
    ["options: o[].t\nanswer: a", '{"q":"?","o":[{"t":"x"},{"u":"y"}],"a":"A"}', /option 2 of "o\[\]\.t" is not there/],
    ["options: o[].t\nanswer: a", '{"q":"?","o":[{"t":"x"},{"t":["y"]}],"a":"A"}', /column "o\[\]\.t" holds a list/],
    [
      "options: o\nlabels: l\nanswer: a\nanswerIs: label",
      '{"q":"?","o":["x","y"],"l":["A"],"a":"A"}',
      /it has 1 labels for 2 options/,
    ],
    [
      "options: o\nlabels: l\nanswer: a\nanswerIs: label",
      '{"q":"?","o":["x","y"],"l":["A","A"],"a":"A"}',
      /the label "A" is there twice/,
    ],
    [
      "options: o\nlabels: l\nanswer: a\nanswerIs: label",
      '{"q":"?","o":["x","y"],"l":["A","B"],"a":"C"}',
      /the answer "C" is none of the labels A, B/,
    ],
    ["optionTexts: [a, b, c]\nanswer: a\nanswerIs: truth", '{"q":"?","a":true}', /is neither true nor false/],
  ])("answers that do not fit are refused with their line (%#)", async (more, content, message) => {
    file("mine/x.jsonl", `${content}\n`);
    const error = await failure(asked(form("x.jsonl", "jsonl", `${more}\n`)));
    expect(error.message).toMatch(/x\.jsonl:1: /);
    expect(error.message).toMatch(message);
  });

  test("odd cells under odd cards are read whole, or refused in a sentence", async () => {
    const next = random(15);
    const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)]!;
    const odd: unknown[] = [
      "",
      " ",
      null,
      0,
      1,
      2,
      true,
      "A",
      "x",
      [],
      ["x"],
      [["x"]],
      {},
      { x: 1 },
      { "1": 1, "0": 0 },
    ];
    odd.push(1e300, 2 ** 60, "__proto__", "中\u0000", "$&{q}", [{ t: null }, {}], { text: ["a"], label: "A" });
    const paths = [
      "q",
      "o",
      "a",
      "o.text",
      "o[].t",
      "o[0]",
      "o.",
      "..",
      "[]",
      "[",
      "o[99999999999]",
      "__proto__",
      "toString",
    ];
    const row = (form: number, key: number) => {
      const right = pick([0, 1]);
      const options = [["x", "y"], { x: right, y: 1 - right }, { text: ["x", "y"] }, [{ t: "x" }, { t: "y" }]][form];
      const answer = [right, "AB"[right], ["x", "y"][right], [1 - right, right], right === 1][key];
      const cells: Record<string, unknown> = { q: pick(["one?", "two? _ is"]), o: options, l: ["A", "B"], a: answer };
      if (next() < 0.1) cells[pick(Object.keys(cells))] = pick(odd);
      return cells;
    };
    let read = 0;
    for (let i = 0; i < 200; i++) {
      const format = pick(["jsonl", "json"]);
      const [form, key] = [pick([0, 1, 2, 3]), pick([0, 1, 2, 3, 4])];
      const rows = Array.from({ length: 1 + Math.floor(3 * next()) }, () => row(form, key));
      file(
        `mine/x.${format}`,
        format === "json" ? JSON.stringify(rows) : rows.map((one) => JSON.stringify(one)).join("\n"),
      );
      const path = (usual: string) => (next() < 0.9 ? usual : pick(paths));
      const maybe = (share: number, more: object) => (next() < share ? more : {});
      const more = {
        ...{ file: `x.${format}`, format, prompt: next() < 0.8 ? "{q}" : pick(["{o[0]} {q}", "{__proto__}", "{}"]) },
        ...(next() < 0.2 ? { optionTexts: ["x", "y"] } : { options: path(["o", "o", "o.text", "o[].t"][form]!) }),
        ...maybe(0.9, { answer: path("a") }),
        ...maybe(0.8, { answerIs: ["index", "letter", "text", "flags", "truth"][key] }),
        ...maybe(0.1, { answerIs: "label", labels: path("l") }),
        ...maybe(0.1, { gap: "_" }),
        ...maybe(0.1, { cluster: path("q") }),
        ...maybe(0.2, { clean: { [path("q")]: ["trim", { pattern: ".*?", with: "$&" }], options: ["capitalize"] } }),
        ...maybe(0.3, { continueWith: "letter" }),
        ...maybe(0.2, { chat: true }),
      };
      const end = await asked(lines(more)).catch((error) => error);
      if (end instanceof Error) expect(end, `${end.stack}`).toBeInstanceOf(BenchError);
      else {
        read++;
        for (const { options, gold } of end.items) {
          expect(options.every((option: string) => option.trim() !== "")).toBe(true);
          expect(options[gold!]).toBeDefined();
        }
      }
    }
    expect(read).toBeGreaterThan(20);
  }, 60_000);

  test("an expression that finds no end is ended", async () => {
    file("mine/x.jsonl", `${row.replace("?", `${"a".repeat(60)}!`)}\n`);
    const more = "options: [A, B]\nanswer: key\nclean: { q: [{ pattern: '^(a+)+$' }] }\n";
    const error = await failure(asked(form("x.jsonl", "jsonl", more)));
    expect(error.code).toBe("dataset-card");
    expect(error.message).toMatch(/The card's expression .* finds no end in .*x\.jsonl\.$/);
  }, 30_000);
});

describe.skipIf(!existsSync(shared))("the real files", () => {
  const letters = (question: string, more: string) => `format: csv
options: [A, B, C, D]
answerIs: letter
prompt: "{${question}}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\nAnswer:"
continueWith: letter
${more}`;
  const count = async (more: string, said: object = {}) => (await asked(more, said, shared)).items.length;

  test("C-Eval, CMMLU and MMLU: every subject, every question", async () => {
    const ceval = `folder: ceval\nsplits: { dev: "dev/{subject}_dev.csv", val: "val/{subject}_val.csv" }\nsplit: val\nexamples: { split: dev }\n${letters("question", "answer: answer\n")}`;
    const val = await asked(ceval, { shots: 5 }, shared);
    expect(val.items).toHaveLength(1_346);
    expect(new Set(val.items.map(({ cluster }) => cluster)).size).toBe(52);
    expect(val.note).not.toContain("left out");
    expect(await count(ceval, { split: "dev" })).toBe(260);
    const cmmlu = `folder: cmmlu\nsplits: { dev: "dev/{subject}.csv", test: "test/{subject}.csv" }\nsplit: test\n${letters("Question", "answer: Answer\n")}`;
    const test = await asked(cmmlu, {}, shared);
    expect(test.items).toHaveLength(11_582);
    expect(new Set(test.items.map(({ cluster }) => cluster)).size).toBe(67);
    expect(await count(cmmlu, { split: "dev" })).toBe(335);
    const mmlu = `folder: mmlu\nsplits: { dev: "dev/{subject}_dev.csv", val: "val/{subject}_val.csv", test: "test/{subject}_test.csv" }\nsplit: test\ncolumns: [question, A, B, C, D, answer]\n${letters("question", "answer: answer\n")}`;
    expect([await count(mmlu), await count(mmlu, { split: "val" }), await count(mmlu, { split: "dev" })]).toEqual([
      14_042, 1_531, 285,
    ]);
  }, 60_000);

  test("ARC, WinoGrande, TruthfulQA", async () => {
    const arc = `folder: arc\nsplits: { dev: ARC-Challenge-Dev.jsonl, test: ARC-Challenge-Test.jsonl, easy: ARC-Easy-Test.jsonl }\nsplit: test\nformat: jsonl\noptions: "question.choices[].text"\nlabels: "question.choices[].label"\nanswer: answerKey\nanswerIs: label\nprompt: "Question: {question.stem}\\nAnswer:"\n`;
    expect([await count(arc), await count(arc, { split: "dev" }), await count(arc, { split: "easy" })]).toEqual([
      1_172, 299, 2_376,
    ]);
    const winogrande = `folder: winogrande\nfile: dev.jsonl\nformat: jsonl\noptions: [option1, option2]\nanswer: answer\nanswerIs: number\ngap: _\nprompt: "{sentence}"\n`;
    expect(await count(winogrande)).toBe(1_267);
    const truthfulqa = `folder: truthfulqa\nfile: mc_task.json\nformat: json\noptions: mc2_targets\nscore: mass\nprompt: "Q: {question}\\nA:"\n`;
    // The file lies in a folder of its own, as its repository has it.
    const { items } = await asked(truthfulqa, {}, shared);
    expect(items).toHaveLength(817);
    expect(Math.max(...items.map(({ right }) => right!.length))).toBeGreaterThan(1);
  }, 60_000);
});
