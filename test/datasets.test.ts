import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { type ChoiceDataset, findDatasets, resolveDataset, type TextDataset } from "../dist/datasets.js";
import { BenchError } from "../dist/errors.js";

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

const text = async (name: string) =>
  (await resolveDataset(name, { kind: "text", baseDir: dir, dataDir: dir })) as TextDataset;
const choice = async (name: string, more: { file?: string } = {}) =>
  (await resolveDataset(name, { kind: "choice", baseDir: dir, dataDir: dir, ...more })) as ChoiceDataset;

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
      const data = await resolveDataset(card.name, { kind: card.kind, baseDir: dir, dataDir: shared });
      expect(data.note).toBeUndefined();
      expect(data.path).toBe(path);
      expect(card.files[card.file]).toEqual({ sha256: data.sha256, bytes: data.bytes });
    }
  });

  test.skipIf(!there)("HellaSwag is read as llama-perplexity reads it", async () => {
    const data = (await resolveDataset("hellaswag", {
      kind: "choice",
      baseDir: dir,
      dataDir: shared,
    })) as ChoiceDataset;
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
    expect(error.hint).toMatch(/^Get wiki\.test\.raw from https:.*\(CC BY-SA 3\.0 and GFDL\) and put it at /);
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
    ["invalid", Buffer.from([0x61, 0xff, 0x62]), "is not UTF-8 text."],
    ["UTF-16", Buffer.from("\ufeffabc", "utf16le"), "is not UTF-8 but UTF-16."],
  ])("that is %s is one sentence", async (_, bytes, sentence) => {
    const path = file("x.txt", bytes);
    expect(await failure(text(path))).toMatchObject({ code: "dataset-invalid", message: `${path} ${sentence}` });
  });

  test("that is not there names the known texts; questions are no text", async () => {
    expect((await failure(text("nope"))).hint).toContain("wikitext-2, zh-wiki");
    expect((await failure(text("hellaswag"))).message).toBe("hellaswag is a choice dataset, but a text is needed.");
    expect((await failure(choice("nope"))).hint).toContain("hellaswag");
  });
});

describe("six lines a task", () => {
  const task = ["A man sits. he", "1", "runs.", "waits.", "sings.", "flies."].join("\n");

  test("another file of the same form; CR LF and empty lines at the end do not matter", async () => {
    file("few.txt", `\ufeff${`${task}\n${task}`.replaceAll("\n", "\r\n")}\r\n\r\n`);
    const data = await choice("hellaswag", { file: "few.txt" });
    expect(data.items.map(({ id, context, gold, options }) => [id, context, gold, options[3]])).toEqual([
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
    const example = "Q: first?\nA. x\nB. y\nAnswer: B\n\n";
    expect(data.items).toEqual([
      { id: "0", context: `${example}Q: one, "quoted"\nline?\nA. x\nB. y\nAnswer:`, options: ["A", "B"], gold: 0 },
      { id: "1", context: `${example}Q: two?\nA. x\nB. y\nAnswer:`, options: ["A", "B"], gold: 1 },
    ]);
    expect(data).toMatchObject({ name: "mine", delimiter: " ", chance: 0.5 });
    const before = data.sha256;
    file("mine/dev.csv", "question,A,B,answer\nanother?,x,y,B\n");
    expect((await choice("mine")).sha256).not.toBe(before);
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
      '{"q":"1+1=","one":1,"two":2,"three":3,"right":"two"}\n\n{"q":"x","one":"a","two":"b","three":"c","right":"c"}\n',
    );
    const data = await choice("./elsewhere");
    expect(data.items).toEqual([
      { id: "0", context: "1+1=", options: ["1", "2", "3"], gold: 1 },
      { id: "1", context: "x", options: ["a", "b", "c"], gold: 2 },
    ]);
  });

  test.each([
    ["a,b\n1,2\n", /test\.csv:2: there is no text in column "A"/],
    ["question,A,B,answer\nx,y,z\n", /test\.csv:2: the row has 3 cells, its head 4/],
    ["question,A,B,answer\n\nx,y,z,C\n", /test\.csv:3: the answer "C" is none of the options/],
    ['question,A,B,answer\nx,y"y,z,A\n', /test\.csv:2: a quotation mark stands where none may/],
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
    [letters.replace("kind: choice", "kind: quiz"), /card\.yaml:2:7: `kind` must be one of text, choice, not "quiz"/],
  ])("a fault in the card names the line (%#)", async (content, message) => {
    file("mine/card.yaml", content);
    const error = await failure(choice("mine"));
    expect(error.code).toBe("dataset-card");
    expect(error.message).toMatch(message);
  });
});

test("every card in the package is in a folder of its name", async () => {
  for (const { card, cardDir } of await findDatasets()) {
    expect(cardDir).toBe(resolve("datasets", card.name));
    expect(readFileSync(join(cardDir, "card.yaml"), "utf8")).toContain(card.licence);
  }
});
