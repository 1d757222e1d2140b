// What the cards ask, held against what a second writing of the reference evaluations asks: prompts.py reads no card. Its output
// is stored, digests alone where a licence forbids to show questions.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { contextsOf } from "../../dist/backends/backend.js";
import { ChatRenderer, type Message } from "../../dist/chat/template.js";
import type { ChoiceDataset, ChoiceItem } from "../../dist/data/choice/index.js";
import { dataKinds } from "../../dist/data/index.js";
import { finish, root } from "../repository.js";
import { temporaryFolder } from "../support.js";

interface Golden {
  dataset: string;
  split: string;
  style: string;
  shots: number;
  /** Those that were written, where they are not all. */
  subjects: string[];
  items: number;
  chance: number;
  /** Of all items. */
  sha256: string;
  /** The first item of some subjects; of the file where there are none. */
  first: Record<string, { sha256: string; framed?: string; rendered?: string; text?: string }>;
}

const program = join(root, "test/data/prompts.py");
const stored: Golden[] = JSON.parse(readFileSync(join(root, "test/golden/prompts.json"), "utf8"));
const fixtures = join(root, "test/fixtures/tasks");
const shared = join(root, "../shared/datasets");
const folders = [fixtures, ...(existsSync(shared) ? [shared] : [])];
/** Where a task's data are: questions of our own beside the tests, or published ones that this machine may have. */
const folderOf = ({ dataset }: Golden) => (inFixtures.has(dataset) ? fixtures : shared);
const inFixtures = new Set(["hellaswag-lm-eval", "boolq", "openbookqa"]);

const read = ({ dataset, split, style, shots, subjects }: Golden, dataDir: string) =>
  dataKinds.choice.resolve(
    {
      dataset,
      ...(split === "" ? {} : { split }),
      ...(style === "" ? {} : { style }),
      // The card's own number of examples is none where it has no other.
      ...(shots > 0 || style !== "" ? { shots } : {}),
      ...(subjects.length > 0 ? { subjects } : {}),
    },
    { baseDir: root, dataDir },
  );

const sha = (text: string) => createHash("sha256").update(text).digest("hex");
const joined = (messages: readonly Message[]) =>
  messages.map(({ role, content }) => `${role}\x02${content}`).join("\x01");
const spoken = (item: ChoiceItem) => ("messages" in item ? joined(item.messages) : contextsOf(item).join("\x01"));
const written = ({ delimiter }: ChoiceDataset, item: ChoiceItem) =>
  [
    spoken(item),
    item.options.map((option) => delimiter + option).join("\x01"),
    (item.right ?? [item.gold]).join(","),
  ].join("\0");

/** The template of Llama 3's instruct models, with and without what it does to the ends of a turn. */
const llama3 = (trim: string) =>
  `{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content${trim} }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}`;
const renderer = (trim: string) =>
  new ChatRenderer({ text: llama3(trim), bos: "<|begin_of_text|>", eos: "<|end_of_text|>" }, "Llama 3");
const framing = renderer("");
const trimming = renderer(" | trim");
afterAll(() => {
  framing.close();
  trimming.close();
});

const label = ({ dataset, split, style, shots }: Golden) =>
  [dataset, split, style, `${shots} examples`].filter((part) => part !== "").join(", ");

describe("prompts, item by item as the reference evaluations ask them", () => {
  for (const golden of stored)
    it.skipIf(!existsSync(folderOf(golden)))(label(golden), { timeout: 60_000 }, async () => {
      const data = await read(golden, folderOf(golden));
      expect(data.items).toHaveLength(golden.items);
      expect(data.chance).toBeCloseTo(golden.chance, 10);
      for (const [subject, first] of Object.entries(golden.first)) {
        const item = data.items.find(({ id }) => id === (subject === "" ? "0" : `${subject}/0`))!;
        if ("messages" in item) {
          const framed = await framing.render(item.messages);
          if (first.text !== undefined) expect(framed).toBe(first.text);
          expect(sha(framed)).toBe(first.framed);
          expect(sha(await trimming.render(item.messages))).toBe(first.rendered);
        } else if (first.text !== undefined) expect(spoken(item)).toBe(first.text);
        expect(sha(written(data, item))).toBe(first.sha256);
      }
      expect(sha(data.items.map((item) => written(data, item)).join("\n"))).toBe(golden.sha256);
    });

  it.skipIf(!existsSync(shared))("are what the second writing gives today", { timeout: 60_000 }, async (context) => {
    const outputs = [];
    for (const folder of folders) {
      const { code, stdout } = await finish("python3", [program, folder]).catch(() => ({ code: 127, stdout: "" }));
      if (code === 127) return context.skip("there is no python3");
      expect(code).toBe(0);
      outputs.push(...(JSON.parse(stdout) as Golden[]));
    }
    expect(outputs).toEqual(stored);
  });
});

describe("Parquet files of the Hub", () => {
  const ask = (dataset: string) => dataKinds.choice.resolve({ dataset }, { baseDir: root, dataDir: fixtures });

  it("ARC: the same questions as in the Allen Institute's files", async () => {
    const [published, hub] = await Promise.all(["arc-challenge", "arc-challenge-hub"].map(ask));
    expect(hub!.items).toEqual(published!.items);
    expect(hub!.items).toMatchObject([
      { context: "Question: Which of these is a planet?\nAnswer:", options: ["the Moon", "Mars", "the Sun"], gold: 1 },
      { options: ["carbon dioxide", "iron", "salt", "sand", "gold"], gold: 0 },
    ]);
    expect(hub!.chance).toBeCloseTo((1 / 3 + 1 / 5) / 2, 12);
  });

  it("PIQA", async () => {
    expect((await ask("piqa")).items).toEqual([
      {
        id: "0",
        context: "Question: To keep bread soft overnight,\nAnswer:",
        options: ["put it into a bag and close it.", "put it into the sun and open it."],
        gold: 0,
      },
      {
        id: "1",
        context: "Question: Dry wet shoes\nAnswer:",
        options: ["by filling them with water.", "by filling them with paper."],
        gold: 1,
      },
    ]);
  });
});

describe.skipIf(!existsSync(shared))("subjects and groups of the published files", () => {
  const counts = async (dataset: string, split: string) => {
    const { items, task, note } = await dataKinds.choice.resolve(
      { dataset, split, shots: 0 },
      { baseDir: root, dataDir: shared },
    );
    expect(note ?? "").not.toMatch(/left out/);
    const perGroup = Object.entries(task!.groups ?? {}).map(([group, subjects]) => [
      group,
      subjects.length,
      items.filter(({ cluster }) => subjects.includes(cluster!)).length,
    ]);
    return { subjects: new Set(items.map(({ cluster }) => cluster)).size, groups: perGroup.sort() };
  };

  it("C-Eval: 52 in four groups, and the eight hard ones", async () => {
    expect(await counts("ceval", "val")).toEqual({
      subjects: 52,
      groups: [
        ["C-Eval Hard", 8, 152],
        ["Humanities", 11, 257],
        ["Other", 11, 384],
        ["STEM", 20, 430],
        ["Social Science", 10, 275],
      ],
    });
  });

  it("CMMLU: 67, each in one of five groups", async () => {
    expect(await counts("cmmlu", "test")).toEqual({
      subjects: 67,
      groups: [
        ["China specific", 15, 2572],
        ["Humanities", 11, 1962],
        ["Other", 11, 2257],
        ["STEM", 17, 2531],
        ["Social Science", 13, 2260],
      ],
    });
  });

  it("MMLU: 57, each in one of four groups", async () => {
    expect(await counts("mmlu", "test")).toEqual({
      subjects: 57,
      groups: [
        ["Humanities", 13, 4705],
        ["Other", 14, 3242],
        ["STEM", 18, 3018],
        ["Social Sciences", 12, 3077],
      ],
    });
  });
});

describe("the card that datasets/README.md shows", () => {
  const folder = temporaryFolder();
  const [, card] = readFileSync(join(root, "datasets/README.md"), "utf8").match(/```yaml\n([\s\S]*?)```/)!;
  const [, path] = card!.match(/^# (\S+)\n/)!;
  const put = (name: string, content: string) => {
    const whole = join(folder, dirname(path!), name);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, content);
  };
  put("card.yaml", card!);
  put("dev/sea.csv", "Is it [deep] blue?,yes,no,A\n");
  put("dev/ports.csv", "Who pays?,ships,gulls,A\nWho sings?,ships,gulls,B\n");
  put("test/sea.csv", "When is the  tide high?,at noon,at six,B\n");
  put("test/ports.csv", "Where do ships lie?,at the quay,on the roof,A\n");
  const ask = (said: object) =>
    dataKinds.choice.resolve({ dataset: "tides", ...said }, { baseDir: folder, dataDir: join(folder, "data") });

  it("asks by letter, with the title of the subject and an example of its own", async () => {
    const { items, delimiter, task } = await ask({});
    expect(items).toEqual([
      {
        id: "sea/0",
        cluster: "sea",
        before: { text: "Questions about the sea.\n\nIs it blue?\nA. yes\nB. no\nAnswer: A\n\n" },
        context: "When is the tide high?\nA. at noon\nB. at six\nAnswer:",
        options: ["A", "B"],
        gold: 1,
      },
      {
        id: "ports/0",
        cluster: "ports",
        before: { text: "Questions about ports.\n\nWho pays?\nA. ships\nB. gulls\nAnswer: A\n\n" },
        context: "Where do ships lie?\nA. at the quay\nB. on the roof\nAnswer:",
        options: ["A", "B"],
        gold: 0,
      },
    ]);
    expect(delimiter).toBe(" ");
    expect(task).toMatchObject({
      split: "test",
      style: "exam",
      shots: 1,
      groups: { Nature: ["sea"], Trade: ["ports"], Short: ["ports"] },
      titles: { sea: "the sea" },
    });
  });

  it("asks by text, of some subjects, without examples", async () => {
    const { items } = await ask({ style: "plain", shots: 0, subjects: ["Trade"] });
    expect(items).toEqual([
      {
        id: "ports/0",
        cluster: "ports",
        context: "Q: Where do ships lie?\nA:",
        options: ["at the quay", "on the roof"],
        gold: 0,
      },
    ]);
  });

  it("asks in a conversation", async () => {
    const { items, delimiter } = await ask({ style: "chat", subjects: ["sea"] });
    expect(items[0]).toMatchObject({
      messages: [
        { role: "system", content: "You know the coast." },
        { role: "user", content: "Questions about the sea.\n\n" },
        { role: "assistant", content: "Ask." },
        { role: "user", content: "Is it blue?\nA. yes\nB. no\nAnswer:" },
        { role: "assistant", content: "A" },
        { role: "user", content: "When is the tide high?\nA. at noon\nB. at six\nAnswer:" },
      ],
      options: ["A", "B"],
    });
    expect(delimiter).toBe("");
  });
});
