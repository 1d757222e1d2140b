import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { dataKinds, findDatasets, findKind, readDatasets } from "../../dist/data/index.js";
import { BenchError } from "../../dist/errors.js";
import { contextOf } from "../support.js";

const shared = resolve("../shared/datasets");
const there = existsSync(shared);

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

const text = (name: string) => dataKinds.text.resolve({ text: name }, { baseDir: dir, dataDir: dir });
const choice = (dataset: string, more: { file?: string } = {}) =>
  dataKinds.choice.resolve({ dataset, ...more }, { baseDir: dir, dataDir: dir });

/** A dataset by its card, of whatever kind. */
function resolveNamed({ name, kind }: { name: string; kind: string }, dataDir?: string) {
  const { keys, resolve } = findKind(kind)!;
  return resolve({ [Object.keys(keys)[0]!]: name }, { baseDir: dir, ...(dataDir ? { dataDir } : {}) });
}

async function failure(attempt: Promise<unknown>): Promise<BenchError> {
  const error = await attempt.then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(BenchError);
  return error;
}

describe("the data of the cards", () => {
  test.skipIf(!there)("are found and are the published ones", async () => {
    const found = await findDatasets({ dataDir: shared });
    expect(found.map(({ card }) => card.name)).toEqual(expect.arrayContaining(["hellaswag", "wikitext-2", "zh-wiki"]));
    for (const { card, path } of found.filter(({ path }) => path)) {
      const data = await resolveNamed(card, shared);
      // Some of the published questions have two options alike, or are asked twice.
      expect(data.note ?? "").not.toMatch(/left out|differs|instead/);
      expect(data.path).toBe(path);
      // Those of a task with a file for each subject are many.
      if (card.file) expect(card.files[card.file]).toEqual({ sha256: data.sha256, bytes: data.bytes });
    }
  });

  test.skipIf(!there)("HellaSwag is read as llama-perplexity reads it", async () => {
    const data = await dataKinds.choice.resolve({ dataset: "hellaswag" }, { baseDir: dir, dataDir: shared });
    expect(data.items).toHaveLength(10_042);
    expect(data).toMatchObject({ delimiter: " ", chance: 0.25 });
    expect(data.items[0]).toEqual({
      id: "0",
      context: "Roof shingle removal: A man is sitting on a roof. he",
      gold: 3,
      options: [
        "is using wrap to wrap a pair of skis.",
        "is ripping level tiles off.",
        "is holding a rubik's cube.",
        "starts pulling up roofing on a roof.",
      ],
    });
  });

  test("that are not here: source, licence and place", async () => {
    const found = await findDatasets();
    expect(found.find(({ card }) => card.name === "wikitext-2")).not.toHaveProperty("path");
    const error = await failure(text("wikitext-2"));
    expect(error.code).toBe("dataset-missing");
    expect(error.message).toBe("The data of wikitext-2 are not here: `gguf-bench fetch wikitext-2` gets them.");
    expect(error.hint).toMatch(/^Or get wiki\.test\.raw from https:.*\(CC BY-SA 3\.0 and GFDL\) and put it at /);
    expect(error.hint).toContain(join(dir, "wikitext-2", "wiki.test.raw"));
  });

  test("that differ from the published ones are measured, and said", async () => {
    file("wikitext-2/wiki.test.raw", "something else");
    expect((await text("wikitext-2")).note).toMatch(
      /^wiki\.test\.raw differs from the published data: sha256 \w{12}…, 14 bytes$/,
    );
  });
});

describe("a text by path", () => {
  test("is passed on byte for byte", async () => {
    const bytes = Buffer.from("\ufeffone\r\ntwo 从前 \u{1f600}\n\n");
    const data = await text(file("some.txt", bytes));
    expect(data).toMatchObject({ kind: "text", name: "some.txt", bytes: bytes.length });
    expect(Buffer.from(data.text).equals(bytes)).toBe(true);
    expect(data.sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
    expect(data.note).toContain("byte order mark");
    expect(data.note).toContain("CR LF");
    expect((await text(file("plain.txt", "one\n"))).note).toBeUndefined();
  });

  test.each([
    ["empty", Buffer.alloc(0), "is empty."],
    ["invalid", Buffer.from([0x61, 0xff, 0x62]), ":1: byte 1 (0xff) is not UTF-8 text."],
    [
      "stray after a U+FFFD of its own",
      Buffer.concat([Buffer.from("é\n\ufffd 量\n"), Buffer.of(0x62, 0xe9, 0x0a)]),
      ":3: byte 12 (0xe9) is not UTF-8 text.",
    ],
    ["cut within a character", Buffer.from("ab\ncd量").subarray(0, -1), ":2: byte 5 (0xe9) is not UTF-8 text."],
    ["GB18030", Buffer.from([0xb4, 0xf0, 0xb0, 0xb8]), ":1: byte 0 (0xb4) is not UTF-8 text."],
    ["UTF-16 without a mark", Buffer.from("ab\ncd", "utf16le"), ":1: byte 1 is 0, which no text holds."],
    ["UTF-16", Buffer.from("\ufeffabc", "utf16le"), "is not UTF-8 but UTF-16."],
  ])("that is %s is one sentence", async (_, bytes, sentence) => {
    const path = file("x.txt", bytes);
    expect(await failure(text(path))).toMatchObject({
      code: "dataset-invalid",
      message: `${path}${sentence.startsWith(":") ? "" : " "}${sentence}`,
    });
  });

  test.skipIf(process.platform !== "linux")("that the system does not give is one sentence", async () => {
    const error = await failure(text("/proc/self/mem"));
    expect(error.message).toMatch(/^\/proc\/self\/mem cannot be read: EIO/);
    expect((await failure(choice("hellaswag", { file: "/proc/self/mem" }))).message).toContain("cannot be read");
  });

  test("that is not there names the known texts; questions are no text", async () => {
    expect((await failure(text("nope"))).hint).toContain("wikitext-2, zh-wiki");
    expect((await failure(text("hellaswag"))).message).toBe("hellaswag is a choice dataset, but a text is needed.");
    expect((await failure(choice("hellaswak"))).hint).toContain("hellaswag");
  });
});

describe("six lines a task", () => {
  const task = ["A man sits. he", "1", "runs.", "waits.", "sings.", "flies."].join("\n");

  test("another file of the same form; CR LF and empty lines at the end do not matter", async () => {
    file("few.txt", `\ufeff${`${task}\n${task}`.replaceAll("\n", "\r\n")}\r\n\r\n`);
    const data = await choice("hellaswag", { file: "few.txt" });
    expect(data.items.map((item) => [item.id, contextOf(item), item.gold, item.options[3]])).toEqual([
      ["0", "A man sits. he", 1, "flies."],
      ["1", "A man sits. he", 1, "flies."],
    ]);
    expect(data.note).toMatch(/^few\.txt was measured instead of hellaswag_val_full\.txt: sha256/);
  });

  test.each([
    [`${task}\nmore`, /has 7 lines, which is not a multiple of 6/],
    [task.replace("\n1\n", "\n4\n"), /few\.txt:2: "4" is no index from 0 to 3/],
    [task.replace("waits.", ""), /few\.txt:4: the ending is empty/],
  ])("a fault names the line (%#)", async (content, message) => {
    file("few.txt", content);
    expect((await failure(choice("hellaswag", { file: "few.txt" }))).message).toMatch(message);
  });
});

describe("a task of one's own", () => {
  const card = (more: string) =>
    `name: mine
kind: choice
title: My task
source: me
licence: CC0
file: test.csv
${more}`;
  const letters = card(`format: csv
prompt: "Q: {question}\\nA. {A}\\nB. {B}\\nAnswer:"
options: [A, B]
answer: answer
continueWith: letter
examples: { file: dev.csv, count: 1 }
`);

  test("from CSV, with letters and an example before every question", async () => {
    file("mine/card.yaml", letters);
    file("mine/dev.csv", "question,A,B,answer\nfirst?,x,y,B\nsecond?,x,y,A\n");
    file("mine/test.csv", 'id,question,A,B,answer\r\n1,"one, ""quoted""\nline?",x,"y",a\r\n\r\n2,two?,x,y,B');
    const data = await choice("mine");
    const example = { text: "Q: first?\nA. x\nB. y\nAnswer: B\n\n" };
    expect(data.items).toEqual([
      {
        id: "0",
        before: example,
        context: 'Q: one, "quoted"\nline?\nA. x\nB. y\nAnswer:',
        options: ["A", "B"],
        gold: 0,
      },
      { id: "1", before: example, context: "Q: two?\nA. x\nB. y\nAnswer:", options: ["A", "B"], gold: 1 },
    ]);
    expect(data).toMatchObject({ name: "mine", delimiter: " ", chance: 0.5 });
    const before = data.sha256;
    file("mine/dev.csv", "question,A,B,answer\nanother?,x,y,B\n");
    expect((await choice("mine")).sha256).not.toBe(before);
  });

  test.each([
    [";", "semicolons"],
    ["\t", "tabs"],
  ])("from CSV as spreadsheets with a decimal comma write it (%#)", async (sign, name) => {
    const table = (comma: string) =>
      comma
        .split("\n")
        .map((line) => line.split("|").join(sign))
        .join("\n");
    file("mine/card.yaml", letters);
    file("mine/dev.csv", "question,A,B,answer\nfirst?,x,y,B\n");
    file("mine/test.csv", table('\ufeff|||\nquestion|A|B|answer\n"one, or |?"|0,5|1,5|A\n|||\n'));
    const data = await choice("mine");
    expect(data.items).toMatchObject([{ gold: 0 }]);
    expect(data.items[0]).toHaveProperty("context", expect.stringContaining(`Q: one, or ${sign}?\nA. 0,5\nB. 1,5`));
    expect(data.note).toBe(`rows without any text, left out: 1; files whose cells are separated by ${name}: 1`);
    // Without a head line, the card's columns decide.
    file("mine/card.yaml", letters.replace("format: csv", "format: csv\ncolumns: [question, A, B, answer]"));
    file("mine/dev.csv", "first?,x,y,B\n");
    file("mine/test.csv", table("one, two?|x|y|B\n"));
    expect((await choice("mine")).items).toMatchObject([{ gold: 1 }]);
    // Commas come first.
    file("mine/test.csv", `one${sign} two?,x,y,B\n`);
    expect((await choice("mine")).note).toBeUndefined();
  });

  test("questions hang together by a column of the card", async () => {
    file("mine/card.yaml", `${letters}cluster: subject\n`);
    file("mine/dev.csv", "question,A,B,answer,subject\nfirst?,x,y,B,law\n");
    file("mine/test.csv", "question,A,B,answer,subject\none?,x,y,B,law\ntwo?,x,y,A,art\n");
    expect((await choice("mine")).items.map(({ cluster }) => cluster)).toEqual(["law", "art"]);
  });

  test("from JSONL by continuation; a folder's path will do", async () => {
    file(
      "elsewhere/card.yaml",
      card("format: jsonl\nprompt: '{q}'\noptions: [one, two, three]\nanswer: right\n").replace(
        "test.csv",
        "test.jsonl",
      ),
    );
    file(
      "elsewhere/test.jsonl",
      '{"q":"1+1=","one":1,"two":2,"three":3,"right":"two"}\n\n{"q":"x","one":"a","two":"b","three":"c","right":"three"}\n',
    );
    const data = await choice("./elsewhere");
    expect(data.items).toEqual([
      { id: "0", context: "1+1=", options: ["1", "2", "3"], gold: 1 },
      { id: "1", context: "x", options: ["a", "b", "c"], gold: 2 },
    ]);
  });

  test.each([
    ["a,b\n1,2\n", /test\.csv:2: there is no column "A"/],
    ["question,A,B,answer\nx,y,z\n", /test\.csv:2: the row has 3 cells, its head 4/],
    ["question,A,B,answer\n\nx,y,z,C\n", /test\.csv:3: the answer "C" is none of the options/],
    ['question,A,B,answer\nx,"y"y,z,A\n', /test\.csv:2: text follows the quotation mark that closes a cell/],
    ["question,A,B,answer\n", /holds no questions/],
  ])("a fault in the data names the line (%#)", async (content, message) => {
    file("mine/card.yaml", letters);
    file("mine/dev.csv", "question,A,B,answer\nfirst?,x,y,B\n");
    file("mine/test.csv", content);
    expect((await failure(choice("mine"))).message).toMatch(message);
  });

  test.each([
    [card("format: csv\nprompt: x\noptions: [A, B]\n"), /card\.yaml:1:1: `answer` is missing/],
    [letters.replace("prompt", "promt"), /card\.yaml:8:1: there is no key `promt` here/],
  ])("a fault in the card names the line (%#)", async (content, message) => {
    file("mine/card.yaml", content);
    const error = await failure(choice("mine"));
    expect(error.code).toBe("dataset-card");
    expect(error.message).toMatch(message);
  });

  test("of a kind that there is not is refused, with the line where all cards are read", async () => {
    file("mine/card.yaml", letters.replace("kind: choice", "kind: quiz"));
    expect(await failure(choice("mine"))).toMatchObject({
      code: "dataset-unknown",
      message: "mine is a quiz dataset, but a set of questions with options is needed.",
      hint: expect.stringContaining("mine/card.yaml says what it is."),
    });
    const { broken } = await readDatasets({ dataDir: dir });
    expect(broken.find(({ name }) => name === "mine")?.fault.message).toMatch(
      /card\.yaml:2:7: `kind` must be one of text, choice, .*not "quiz"/,
    );
  });
});

describe("what an answer means", () => {
  const form = (more = "") =>
    `name: mine
kind: choice
title: t
source: s
licence: l
file: test.csv
format: csv
prompt: "{q}"
options: [A, B, C, D]
answer: key
${more}`;
  const asked = async (rows: string, more = "") => {
    file("mine/card.yaml", form(more));
    file("mine/test.csv", `q,A,B,C,D,key\n${rows}\n`);
    return (await choice("mine")).items.map(({ gold }) => gold);
  };
  const numbers = "minus?,3,1,2,4,3\nplus?,2,1,4,3,2";

  test("where the card says it", async () => {
    expect(await asked(numbers, "answerIs: number")).toEqual([2, 1]);
    expect(await asked(numbers, "answerIs: index")).toEqual([3, 2]);
    expect(await asked(numbers, "answerIs: text")).toEqual([0, 0]);
    expect(await asked("x,an,a,the,some,a", "answerIs: letter")).toEqual([0]);
    expect(await asked("x,an,a,the,some,a", "answerIs: text")).toEqual([1]);
    expect(await asked("x,C,B,A,D,A", "answerIs: column")).toEqual([0]);
    expect(await asked("x,w,x,y,z,Ｂ\nx,w,x,y,z, c \nx,w,x,y,z,D")).toEqual([1, 2, 3]);
    expect(await asked("x,w,x,y,z,０\nx,w,x,y,z,3", "answerIs: index")).toEqual([0, 3]);
  });

  test("where one reading alone fits all answers of the file", async () => {
    expect(await asked("x,w,x,y,z,1\nx,w,x,y,z,0\nx,w,x,y,z,3")).toEqual([1, 0, 3]);
    expect(await asked("x,w,x,y,z,1\nx,w,x,y,z,4\nx,w,x,y,z,２")).toEqual([0, 3, 1]);
    expect(await asked("x,B,A,y,z,A\nx,w,x,y,z,C")).toEqual([0, 2]);
    expect((await failure(asked("x,w,x,y,z,1\nx,w,x,y,z,3"))).message).toMatch(/:2: the answer "1" means option B/);
  });

  test.each([
    // Numbers that are texts as well, an article that is a letter, letters in another order, a number that is also a text.
    [numbers, /test\.csv:2: the answer "3" means option D as number from 0, C as number from 1/],
    ["He bought ___ car,an,a,the,some,a", /test\.csv:2: the answer "a" means option A as letter, B as text/],
    ["q?,C,B,A,D,A", /test\.csv:2: the answer "A" means option A as letter, C as text/],
    ["q?,B,C,D,A,D", /test\.csv:2: the answer "D" means option D as letter, C as text/],
    [
      "q?,r,b,g,p,0\nq?,r,b,g,p,4",
      /test\.csv:3: the answer "4" is a number from 1, but those before were each a number from 0/,
    ],
    ["q?,r,b,g,p,E", /test\.csv:2: the answer "E" is none of the options/],
  ])("an answer of two meanings is refused with its line (%#)", async (rows, message) => {
    expect((await failure(asked(rows))).message).toMatch(message);
  });

  test("an answer that is not what the card says is refused", async () => {
    const error = await failure(asked("q?,r,b,g,p,0", "answerIs: number"));
    expect(error.message).toMatch(/test\.csv:2: the answer "0" is no number from 1 of one of the 4 options\.$/);
    expect((await failure(asked("q?,r,b,g,p,4", "answerIs: index"))).message).toMatch(/is no number from 0/);
  });

  test("a prompt that asks nothing, or shows the key, is refused", async () => {
    for (const [prompt, said] of [
      ["Answer:", /it shows no \{column\}/],
      ["{q} {key}", /it shows the column of the answer/],
      ["{key}", /it shows the column of the answer/],
    ] as const) {
      file("mine/card.yaml", form().replace(/^prompt:.*$/m, `prompt: "${prompt}"`));
      file("mine/test.csv", "q,A,B,C,D,key\nq?,r,b,g,p,A\n");
      expect((await failure(choice("mine"))).message).toMatch(said);
    }
  });

  test("the order of two columns' letters is the card's own", async () => {
    file("mine/card.yaml", form().replace("[A, B, C, D]", "[D, C, B, A]"));
    file("mine/test.csv", "q,A,B,C,D,key\nq?,r,b,g,p,A\n");
    expect((await failure(choice("mine"))).message).toMatch(/"A" means option A as letter, D as column's name/);
  });

  test("examples are held to the same", async () => {
    file("mine/card.yaml", form("examples: { file: dev.csv }"));
    file("mine/test.csv", "q,A,B,C,D,key\nq?,r,b,g,p,A\n");
    file("mine/dev.csv", "q,A,B,C,D,key\nq?,3,1,2,4,3\n");
    expect((await failure(choice("mine"))).message).toMatch(/dev\.csv:2: the answer "3" means/);
  });
});

describe("rows that are no questions", () => {
  const form = (format: string, more = "") =>
    `name: mine
kind: choice
title: t
source: s
licence: l
file: test.${format}
format: ${format}
prompt: "{q}"
options: [A, B]
answer: key
${more}`;
  const read = (format: string, content: string, more = "") => {
    file("mine/card.yaml", form(format, more));
    file(`mine/test.${format}`, content);
    return choice("mine");
  };

  test.each([
    ["csv", "q,A,B,key\none?,x,y,A\n,,,\n,,,,,,\n\u00a0,\u3000, ,\n\t\ntwo?,x,y,B\n,,,"],
    ["csv", "\ufeff,,,\r\nq,A,B,key\r\n,,,\r\none?,x,y,A\r\ntwo?,x,y,B\r\n,,,\r\n"],
    ["csv", "q,A,B,key,,\rone?,x,y,A,,\r,,,,,\rtwo?,x,y,B,,\r"],
    [
      "jsonl",
      '{"q":"one?","A":"x","B":"y","key":"A"}\n{}\n{"q":"","A":null}\n{"q":"two?","A":"x","B":"y","key":"B"}\n \n',
    ],
  ])("rows without any text are left out, and said (%#)", async (format, content) => {
    const data = await read(format, content);
    expect(data.items.map((item) => [contextOf(item), item.gold])).toEqual([
      ["one?", 0],
      ["two?", 1],
    ]);
    expect(data.note).toMatch(/^rows without any text, left out: \d$/);
  });

  test.each([
    ["csv", "q,A,B,key\n\none?,x,,A\n", /test\.csv:3: column "B" is empty/],
    ["csv", "q,A,B,key\none?,\u00a0,y,B\n", /test\.csv:2: column "A" is empty/],
    ["csv", 'q,A,B,key\n"one\r\nmore",x,y,A\ntwo?,x, x ,A\n', /test\.csv:4: the option " x " is there twice/],
    ["csv", "q,A,B,key\n ,x,y,A\n", /test\.csv:2: the question is empty/],
    ["csv", "17,,,\nq,A,B,key\n", /test\.csv:2: there is no column "A"/],
    ["csv", "q,A,B,A,key\none?,x,y,z,A\n", /test\.csv:1: column "A" is there twice/],
    ["csv", "q,key ,A,B,key\none?,A,x,y,B\n", /test\.csv:1: column "key" is there twice/],
    ["csv", 'q,A,B,key\none?,x,"y,A\ntwo?,x,y,B\n', /test\.csv:2: a quotation mark opens a cell and none closes it/],
    [
      "csv",
      'q,A,B,key\n"a\nb",x,y,A\none?,"x 5" pipe,y,A\n',
      /test\.csv:4: text follows the quotation mark that closes a cell/,
    ],
    ["csv", "q,A,B,key\none?,x,y,A,more\n", /test\.csv:2: the row has 5 cells, its head 4/],
    ["csv", "q,A,B,key\n,,,\n", /test\.csv holds no questions/],
    ["jsonl", '{"q":"1","A":"x","B":null,"key":"A"}\n', /test\.jsonl:1: column "B" holds nothing, not text/],
    ["jsonl", '{"q":"1","A":"x","B":["y"],"key":"A"}\n', /test\.jsonl:1: column "B" holds a list, not text/],
    ["jsonl", '{"q":"1","A":"x","B":{"t":"y"},"key":"A"}\n', /test\.jsonl:1: column "B" holds a map, not text/],
    ["jsonl", '{"q":"1","A":"x","key":"A"}\n', /test\.jsonl:1: there is no column "B"/],
    ["jsonl", '{"q":"1","A":1,"B":"1","key":"A"}\n', /test\.jsonl:1: the option "1" is there twice/],
    ["jsonl", '\n[{"q":"1"}]\n', /test\.jsonl is one JSON list, not an object a line/],
    ["jsonl", '{"q":"1","A":"x","B":"y","key":"A"}\n[{"q":"1"}]\n', /test\.jsonl:2: the line is not a JSON object/],
    ["jsonl", '{"q":"1","A":"x","B":"y","A":"z","key":"A"}\n', /test\.jsonl:1: column "A" is there twice/],
  ])("a fault is refused with its line (%#)", async (format, content, message) => {
    const error = await failure(read(format, content));
    expect(error).toMatchObject({ code: "dataset-invalid", message: expect.stringMatching(message) });
  });

  test("a question without words is refused, also where its prompt shows the options", async () => {
    const shown = form("csv").replace('"{q}"', '"{q} {A} {B}"');
    file("mine/card.yaml", shown);
    file("mine/test.csv", "q,A,B,key\none?,x,y,A\n ,x,y,A\n");
    expect(await failure(choice("mine"))).toMatchObject({
      message: expect.stringMatching(/test\.csv:3: the question is empty\.$/),
      hint: "Mend the row, or take it out of the file.",
    });
    // Where options are all that is shown, they are what is asked.
    file("mine/card.yaml", shown.replace("{q} ", ""));
    expect((await choice("mine")).items).toHaveLength(2);
    const listed = form("jsonl").replace('"{q}"', '"{q} {o[0]} {o[1]}"');
    file("mine/card.yaml", listed.replace("[A, B]", "o"));
    file("mine/test.jsonl", '{"q":"","o":["x","y"],"key":"x"}\n');
    expect((await failure(choice("mine"))).message).toMatch(/test\.jsonl:1: the question is empty\.$/);
  });

  test("questions that are asked again are said, with what is known of them", async () => {
    const twice = await read("csv", "q,A,B,key\none?,x,y,A\none?,x,y,A\none?,x,z,A\none?,x,y,A\n");
    expect(twice.items).toHaveLength(4);
    expect(twice.note).toBe("questions that are asked again, each counted: 2");
  });

  test("options alike stay different letters, and are said", async () => {
    const data = await read("csv", "q,A,B,key\none?,x,x,B\n", "continueWith: letter\nanswerIs: letter");
    expect(data.items).toEqual([{ id: "0", context: "one?", options: ["A", "B"], gold: 1 }]);
    expect(data.note).toBe("questions with two options alike: 1");
    expect(
      (await failure(read("csv", "q,A,B,key\none?,x,x,x\n", "continueWith: letter\nanswerIs: text"))).message,
    ).toMatch(/is there twice/);
  });

  test("numbers and booleans of JSONL are text", async () => {
    const data = await read("jsonl", '{"q":7,"A":true,"B":false,"key":false}\n');
    expect(data.items).toEqual([{ id: "0", context: "7", options: ["true", "false"], gold: 1 }]);
  });

  test("options in one list, and a CSV file without a head line", async () => {
    file("mine/card.yaml", form("jsonl", "answerIs: index").replace("[A, B]", "choices"));
    file("mine/test.jsonl", '{"q":"1","choices":["x","y","z"],"key":2}\n{"q":"2","choices":["x","y"],"key":0}\n');
    const data = await choice("mine");
    expect(data.items.map(({ options, gold }) => [options.length, gold])).toEqual([
      [3, 2],
      [2, 0],
    ]);
    expect(data.chance).toBeCloseTo((1 / 3 + 1 / 2) / 2, 12);
    file("mine/test.jsonl", '{"q":"1","choices":"x","key":2}\n');
    expect((await failure(choice("mine"))).message).toMatch(/:1: column "choices" holds text, not a list/);
    file("mine/test.jsonl", '{"q":"1","choices":["x","x"],"key":1}\n');
    expect((await failure(choice("mine"))).message).toMatch(/:1: the option "x" is there twice/);
    file("mine/test.jsonl", '{"q":"1","choices":["x",""],"key":1}\n');
    expect((await failure(choice("mine"))).message).toMatch(/:1: option 2 is empty/);
    expect((await read("csv", "one?,x,y,A\ntwo?,x,y,B\n", "columns: [q, A, B, key]")).items).toHaveLength(2);
  });

  test.each([
    ["options: [A, A]", /card\.yaml:9:\d+: `options`: it names a column twice/],
    ["options: [A]", /card\.yaml:9:\d+: `options` must be a list of at least 2 items or text, not a list/],
    ["options: 3", /card\.yaml:9:\d+: `options` must be a list or text, not 3/],
    ["options: [A, B]\nanswerIs: digit", /card\.yaml:10:\d+: `answerIs` must be one of letter, index, number/],
  ])("a card's fault is said with its line (%#)", async (line, message) => {
    file("mine/card.yaml", form("csv").replace("options: [A, B]", line));
    expect((await failure(choice("mine"))).message).toMatch(message);
  });

  test.each([
    ["c\n1\nx\n \ny\nz\n", /:4: the ending is empty/],
    ["c\n1\nx\ny\nx \nz\n", /:5: the ending is there twice/],
    ["c\n4\nx\ny\nw\nz\n", /:2: "4" is no index from 0 to 3/],
  ])("six lines (%#)", async (content, message) => {
    file(
      "h/card.yaml",
      form("csv")
        .replace("name: mine", "name: h")
        .replace(/format: csv[\s\S]*/, "format: hellaswag-text\n"),
    );
    file("h/test.csv", content);
    expect((await failure(choice("h"))).message).toMatch(message);
    file("h/test.csv", "c\r 1\rx\ry\rw\rz\r \r\r");
    expect((await choice("h")).items).toMatchObject([{ gold: 1, options: ["x", "y", "w", "z"] }]);
  });
});

describe("a bad card", () => {
  const bad = ["kind: quiz\n", "kind: [", "name: A B\nkind: text\n", "", Buffer.from([0xff, 0xfe, 0x00])];

  test.each(bad)("stops nothing but itself (%#)", async (content) => {
    file("mine/card.yaml", content);
    file("some.txt", "text\n");
    expect((await text("demo-en")).name).toBe("demo-en");
    expect((await text("./some.txt")).name).toBe("some.txt");
    const { found, broken } = await readDatasets({ dataDir: dir });
    expect(found.map(({ card }) => card.name)).toContain("hellaswag");
    expect(broken.map(({ name, fault }) => [name, fault.code])).toEqual([["mine", "dataset-card"]]);
    expect((await failure(choice("mine"))).code).toBe("dataset-card");
  });

  test("is not passed over for one of the package", async () => {
    file("demo-en/card.yaml", "kind: quiz\n");
    expect((await failure(text("demo-en"))).message).toMatch(/demo-en\/card\.yaml:1:1/);
  });

  test.each(["^(a+)+$", "^(?:a|aa)*b"])(
    "an expression that finds no end is ended: %s",
    async (documents) => {
      file(
        "slow/card.yaml",
        `name: slow\nkind: text\ntitle: t\nsource: s\nlicence: l\nfile: t.txt\ndocuments: '${documents}'\n`,
      );
      file("slow/t.txt", `one\n${"a".repeat(60)}!\n`);
      const error = await failure(text("slow"));
      expect(error.code).toBe("dataset-card");
      expect(error.message).toMatch(/The card's expression .* finds no end in .*t\.txt\.$/);
    },
    30_000,
  );
});

test("every card in the package is in a folder of its name", async () => {
  for (const { card, cardDir } of await findDatasets()) {
    expect(cardDir).toBe(resolve("datasets", card.name));
    expect(readFileSync(join(cardDir, "card.yaml"), "utf8")).toContain(card.licence);
  }
});
