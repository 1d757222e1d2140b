import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Engine, Windows } from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import type { ChoiceDataset, ChoiceItem, Dataset, TextDataset } from "../../dist/data/index.js";
import type { Measured } from "../../dist/events.js";
import { measurements } from "../../dist/measurements/index.js";
import { liveRows } from "../../dist/references/live.js";
import type { Share } from "../../dist/share.js";
import { random } from "../draws.mjs";
import { here, smollm2, someText, temporaryFolder, writeRandomLlama } from "../support.js";

const mock = async (model = "mock:seed=1", settings = {}) =>
  (await findBackend("mock")).open({ name: "v", model, backend: "mock", settings });

interface Asked {
  settings?: Record<string, unknown>;
  data: Dataset;
  share?: Share;
  done?: string[];
}

async function measured(kind: string, engine: Engine, { settings = {}, data, share, done = [] }: Asked) {
  const member = measurements[kind]!;
  if (!("measure" in member)) throw new Error(`${kind} is measured together with others`);
  const items: Measured[] = [];
  const progress: [number, number][] = [];
  const asked = {
    ...{ engine, settings: member.settings.parse(settings), data, done: new Set(done), share },
    progress: (count: number, total: number) => progress.push([count, total]),
  };
  for await (const item of member.measure(asked as never)) items.push(item);
  return { items, progress };
}

type Found = Measured & { job?: string };
/** All that an item says, values by token included, in an order of its own. */
const sorted = (items: Found[]) => items.map((item) => [`${item.job}/${item.item}`, item] as const).sort(byName);
const byName = (a: readonly [string, unknown], b: readonly [string, unknown]) => (a[0] < b[0] ? -1 : 1);

const shares = (of: number): Share[] => Array.from({ length: of }, (_, i) => ({ part: i + 1, of }));

/** Asserts that the parts of 2, 3, 8 and more than there are items, joined, are the whole. Returns the items of each of `of`'s. */
async function expectWhole(
  measure: (share?: Share) => Promise<Found[]>,
  counts = [1, 2, 3, 8, 100],
): Promise<Map<number, Found[][]>> {
  const whole = await measure();
  expect(whole.length).toBeGreaterThan(3);
  const found = new Map<number, Found[][]>();
  for (const of of counts) {
    const parts: Found[][] = [];
    for (const share of shares(of)) parts.push(await measure(share));
    expect(sorted(parts.flat()).map(([name]) => name)).toEqual(sorted(whole).map(([name]) => name));
    expect(sorted(parts.flat())).toEqual(sorted(whole));
    found.set(of, parts);
  }
  return found;
}

const textData = (text: string): TextDataset => ({
  ...{ kind: "text", name: "t", path: "t", sha256: "0".repeat(64), bytes: Buffer.byteLength(text), text },
});

/** Questions in subjects of many sizes, or in none; each begins with the examples of its subject. */
function taskData(sizes: number[], { shots = 200, subjects = true } = {}): ChoiceDataset {
  const next = random(7);
  const items = sizes.flatMap((size, subject) =>
    Array.from({ length: size }, (_, row): ChoiceItem => {
      const text = `${someText(shots, subject)}\nQuestion ${row}: ${someText(20 + 100 * next(), row)}\nAnswer:`;
      return {
        ...{ id: `s${subject}/${row}`, context: text, options: ["A", "B", "C", "D"], gold: row % 4 },
        ...(subjects ? { cluster: `s${subject}` } : {}),
      };
    }),
  );
  const bytes = items.length * 300;
  return { kind: "choice", name: "q", path: "q", sha256: "", bytes, items, delimiter: " ", chance: 0.25 };
}

const many = Array.from({ length: 26 }, (_, i) => 3 + ((i * 7) % 29));

describe("the parts of a job are the undivided one", () => {
  const text = textData(someText(12_000));
  for (const [what, settings] of Object.entries({
    "from the start": { context: 128 },
    "the first ones": { context: 128, chunks: 37 },
    "all over the text": { context: 128, spread: 29 },
    "with a stride": { context: 128, stride: 64 },
  }))
    it(`perplexity, ${what}, in whole batches`, async () => {
      const engine = await mock("mock:seed=1", { batch: 512 });
      const parts = await expectWhole(async (share) => {
        const { items, progress } = await measured("perplexity", engine, {
          settings,
          data: text,
          ...(share && { share }),
        });
        if (items.length > 0) expect(progress.at(-1)).toEqual([items.length, items.length]);
        return items;
      });
      const sizes = parts.get(3)!.map(({ length }) => length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(8);
      // Four chunks fit a batch, and none of those from the start is in two parts.
      const firsts = parts.get(8)!.flatMap(([first]) => (first ? Number(first.item) : []));
      if (what === "from the start") expect(firsts.every((chunk) => chunk % 4 === 0)).toBe(true);
    });

  it("the whole text is one batch to a program that reads it from its beginning", async () => {
    const { facts, likelihood } = await mock();
    const reader: Engine = { facts, likelihood: likelihood!, peakMemory: () => 0, close: async () => {} };
    const parts = await expectWhole(
      async (share) =>
        (await measured("perplexity", reader, { settings: { context: 128 }, data: text, ...(share && { share }) }))
          .items,
    );
    expect(parts.get(8)!.filter(({ length }) => length > 0)).toHaveLength(1);
  });

  for (const settings of [
    { context: 128, floor: 7 },
    { context: 128, floor: 7, spread: 41 },
  ])
    it(`divergence and what it feeds, over all jobs alike: ${JSON.stringify(settings)}`, async () => {
      const compare = async (share?: Share) => compared(await mocks(), settings, text, share);
      const parts = await expectWhole(compare);
      const chunksOf = (items: Found[], job: string) => items.flatMap((one) => (one.job === job ? one.item : []));
      for (const part of parts.get(8)!) expect(chunksOf(part, "rider")).toEqual(chunksOf(part, "job"));
      expect(parts.get(8)!.flatMap((part) => chunksOf(part, "floor"))).toHaveLength(7);
    });

  for (const [what, data, settings] of [
    ["in subjects", taskData(many), {}],
    ["in subjects, some of each", taskData(many), { limit: 100 }],
    ["in one subject of all", taskData([90]), {}],
    ["in none", taskData([90], { shots: 1, subjects: false }), {}],
    ["in none, by letter", taskData([60], { subjects: false }), { by: "letter" }],
    ["by generation", taskData([30, 9, 21]), { by: "generation", maxTokens: 20 }],
  ] as const)
    it(`questions ${what}`, async () => {
      const engine = await mock();
      const parts = await expectWhole(async (share) => {
        const { items, progress } = await measured("choice", engine, { settings, data, ...(share && { share }) });
        if (share && items.length > 0) expect(progress.at(-1)![1]).toBe(items.length);
        return items;
      });
      for (const of of [2, 3, 8]) {
        const sizes = parts.get(of)!.map(({ length }) => length);
        expect(Math.max(...sizes)).toBeLessThan(1.5 * Math.min(...sizes) + 4);
      }
      // None of 26 subjects is more than a third.
      if (data.items.length > 200)
        for (const part of parts.get(3)!)
          for (const subject of new Set(part.map(({ cluster }) => cluster)))
            expect(part.filter(({ cluster }) => cluster === subject)).toHaveLength(
              part.length > 0 && "limit" in settings
                ? parts.get(1)![0]!.filter(({ cluster }) => cluster === subject).length
                : data.items.filter(({ cluster }) => cluster === subject).length,
            );
    });

  it("goes on after a stop, within its part", async () => {
    const engine = await mock("mock:seed=1", { batch: 512 });
    const data = taskData(many);
    const share = { part: 2, of: 3 };
    for (const [kind, asked] of [
      ["perplexity", { data: text, settings: { context: 128 }, share }],
      ["choice", { data, share }],
    ] as const) {
      const { items } = await measured(kind, engine, asked);
      const done = items.flatMap(({ item }, i) => (i % 3 === 0 ? item : []));
      const { items: rest, progress } = await measured(kind, engine, { ...asked, done });
      expect(rest).toEqual(items.filter(({ item }) => !done.includes(item)));
      expect(progress.at(-1)![1]).toBe(items.length);
    }
  });
});

const mocks = async () => ({
  reference: (await mock("mock:seed=1", { batch: 512 })).windows!,
  itself: (await mock("mock:seed=1", { batch: 256 })).windows!,
  other: (await mock("mock:seed=1,damage=0.1", { batch: 512 })).windows!,
});

/** The noise floor, a variant, and the perplexity that the same decode feeds. */
async function compared(
  { reference, itself, other }: Record<"reference" | "itself" | "other", Windows>,
  settings: Record<string, unknown>,
  data: TextDataset,
  share?: Share,
): Promise<Found[]> {
  const member = measurements.divergence!;
  if (!("compare" in member)) throw new Error("divergence compares");
  const variants = new Map([
    ["itself", itself],
    ["other", other],
  ]);
  const items: Found[] = [];
  const yielded = member.compare({
    rows: liveRows(reference, variants),
    jobs: [
      { id: "floor", variant: "itself", done: new Set(), floor: true },
      { id: "job", variant: "other", done: new Set() },
    ],
    riders: [{ id: "rider", variant: "other", done: new Set() }],
    settings: member.settings.parse(settings),
    ...{ data, stopped: async () => false, progress: () => {} },
    ...(share && { share }),
  });
  for await (const item of yielded) items.push(item);
  return items;
}

/** Real engines of a model in two batch shapes, with as much to do as it is worth. */
async function engines(model: string, settings = { threads: 1 }) {
  const backend = await findBackend("llama");
  const found = await here(backend, { model }, join(model, ".."));
  const open = (ubatch: number) =>
    backend.open({ name: "v", model: found.model, backend: "llama", settings: { ...settings, batch: 128, ubatch } });
  const [engine, itself, other] = await Promise.all([open(128), open(64), open(128)]);
  const close = async () => {
    for (const one of [engine, itself, other]) await one!.close();
  };
  return { engine: engine!, itself: itself!, other: other!, close };
}

describe("with llama.cpp the parts are the undivided job, byte for byte", () => {
  const folder = temporaryFolder();

  it("of a random model: perplexity, divergence, options, and answers", { timeout: 120_000 }, async () => {
    const { engine, itself, other, close } = await engines(writeRandomLlama(folder, "tiny"));
    try {
      const data = textData(someText(2000));
      const settings = { context: 64 };
      const task = taskData([9, 2, 6, 5], { shots: 60 });
      const one = (kind: string, asked: Asked) => async (share?: Share) =>
        (await measured(kind, engine, { ...asked, ...(share && { share }) })).items;
      await expectWhole(one("perplexity", { settings, data }), [2, 3, 8, 40]);
      const rows = { reference: engine.windows!, itself: itself.windows!, other: other.windows! };
      await expectWhole((share) => compared(rows, { ...settings, floor: 2 }, data, share), [2, 3, 8, 40]);
      await expectWhole(one("choice", { data: task }), [2, 3, 8, 40]);
      const written = { by: "generation", maxTokens: 6 };
      await expectWhole(one("choice", { data: task, settings: written }), [2, 3, 8, 40]);
    } finally {
      await close();
    }
  });

  it.skipIf(!smollm2)("of a real one: perplexity and options", { timeout: 240_000 }, async () => {
    const { engine, close } = await engines(smollm2!);
    try {
      const one = (kind: string, asked: Asked) => async (share?: Share) =>
        (await measured(kind, engine, { ...asked, ...(share && { share }) })).items;
      await expectWhole(one("perplexity", { settings: { context: 64 }, data: textData(someText(1000)) }), [3]);
      await expectWhole(one("choice", { data: taskData([3, 2, 2], { shots: 60 }) }), [3]);
    } finally {
      await close();
    }
  });
});
