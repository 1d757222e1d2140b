import { spawn } from "node:child_process";
import { once } from "node:events";
import os from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import type { Engine, WindowRequest, Windows } from "../../dist/backends/backend.js";
import { byWindows } from "../../dist/backends/chunks.js";
import { findBackend } from "../../dist/backends/index.js";
import { mockAnswer, mockConversation, mockLaw, mockOptions } from "../../dist/backends/mock.js";
import { byTokens, type OptionRequest } from "../../dist/backends/options.js";
import type { ChoiceDataset, Dataset, TextDataset } from "../../dist/data/index.js";
import type { Measured } from "../../dist/events.js";
import { measurements } from "../../dist/measurements/index.js";
import { lettered } from "../../dist/measurements/letters.js";
import { metric } from "../../dist/metrics.js";
import { liveRows } from "../../dist/references/live.js";
import { contextOf, someQuestions, someText } from "../support.js";

const open = async (model = "mock:seed=1") =>
  (await findBackend("mock")).open({ name: "v", model, backend: "mock", settings: {} });

/** An engine that writes down what is asked of it. */
async function recorded(batch?: { tokens: number; options: number }) {
  const engine = await open();
  const scored: { windows: number[]; context: number }[] = [];
  const asked: OptionRequest[][] = [];
  const starts: (Int32Array | undefined)[] = [];
  const windows: Windows = Object.create(engine.windows!, {
    score: {
      value: (request: WindowRequest, progress?: (tokens: number) => void) => {
        scored.push({ windows: request.windows.map((window) => window[1]!), context: request.context });
        return engine.windows!.score(request, progress);
      },
    },
  });
  const scorer = mockOptions("mock:seed=1");
  const options = byTokens({
    batch: batch ?? scorer.batch,
    trainedContext: scorer.trainedContext,
    chats: scorer.chats,
    converse: (messages, endings) => scorer.converse(messages, endings),
    tokenize: (text) => scorer.tokenize(text),
    score: (questions, context, start) => {
      asked.push(questions);
      starts.push(start);
      return scorer.score(questions, context);
    },
  });
  const spy: Engine = {
    ...{ facts: engine.facts, windows, likelihood: byWindows(windows), options, timing: engine.timing! },
    ...{ peakMemory: () => 0, close: async () => {} },
  };
  return { engine: spy, scored, asked, starts };
}

interface Call {
  engine: Engine;
  settings?: Record<string, unknown>;
  dataset?: Dataset;
  done?: string[];
  only?: string[];
}

async function measure(kind: string, { engine, settings = {}, dataset, done = [], only }: Call) {
  const member = measurements[kind]!;
  const items: Measured[] = [];
  const progress: [number, number][] = [];
  if (!("measure" in member)) throw new Error(`${kind} is measured together with others`);
  const yielded = member.measure({
    engine,
    settings: member.settings.parse(settings),
    data: dataset,
    done: new Set(done),
    ...(only ? { only: new Set(only) } : {}),
    progress: (count: number, total: number) => progress.push([count, total]),
  } as never);
  for await (const item of yielded) items.push(item);
  return { items, progress };
}

const textData = (text: string): TextDataset => ({
  kind: "text",
  name: "t",
  path: "t",
  sha256: "0".repeat(64),
  bytes: Buffer.byteLength(text),
  text,
});

function questionData(count: number, change: (lines: string[]) => void = () => {}): ChoiceDataset {
  const lines = someQuestions(count).trimEnd().split("\n");
  change(lines);
  const items = Array.from({ length: count }, (_, i) => ({
    id: String(i),
    context: lines[6 * i]!,
    gold: Number(lines[6 * i + 1]),
    options: lines.slice(6 * i + 2, 6 * i + 6),
  }));
  return { kind: "choice", name: "q", path: "q", sha256: "", bytes: 1, items, delimiter: " ", chance: 0.25 };
}

const limits = { batch: 2048, ubatch: 512 };

it("a text's chunks fill the batch that the variant sets, and hold the logits of its micro-batch", () => {
  const held = (batch: number, ubatch: number) =>
    measurements.perplexity!.cost({ context: 512 }, undefined, { batch, ubatch });
  expect(held(2048, 512)).toMatchObject({ parallel: 4, rows: 512 });
  expect(held(8192, 128)).toMatchObject({ parallel: 16, rows: 128 });
});

describe("every measurement", () => {
  for (const [name, member] of Object.entries(measurements)) {
    it(`${name}: describes itself`, () => {
      expect(member.name).toBe(name);
      const settings = member.settings.parse({});
      expect(z.toJSONSchema(member.settings, { io: "input" }).type).toBe("object");
      for (const one of member.metrics(settings)) expect(metric(one).name).toBe(one);
      const { context, parallel, rows } = member.cost(settings, undefined, limits);
      for (const count of [context, parallel, rows]) expect(count).toBeGreaterThan(0);
      expect(["alone", "turns", "together"]).toContain(member.mode.kind);
      expect(() => member.settings.parse({ contexts: 1 })).toThrow(/contexts/);
    });
  }
});

describe("perplexity", () => {
  const text = someText(3000);
  const dataset = textData(text);
  const settings = { context: 128 };

  it("cuts the text into whole chunks, the rest left out, and says one sample of each metric a chunk", async () => {
    const { items } = await measure("perplexity", { engine: await open(), settings, dataset });
    const tokens = Buffer.byteLength(text) + 1;
    expect(items.map(({ item }) => item)).toEqual(
      Array.from({ length: Math.floor(tokens / 128) }, (_, i) => String(i)),
    );
    for (const { samples, tokens: kept } of items) {
      expect(samples.map((sample) => sample.metric)).toEqual(["perplexity", "bits_per_byte", "bits_per_character"]);
      expect(kept!.nll).toHaveLength(63);
      // A token of the mock is a byte.
      expect(samples[1]!.value).toBeCloseTo(samples[0]!.value / Math.LN2, 12);
      expect(samples[1]!.weight).toBe(63);
      expect(samples[2]!.value * samples[2]!.weight).toBeCloseTo(samples[1]!.value * 63, 9);
      expect(samples[2]!.weight).toBeLessThanOrEqual(63);
    }
  });

  it("one final line feed is not measured, a second one is", async () => {
    const short = textData("x".repeat(255));
    const [plain, one, two] = await Promise.all(
      [short.text, `${"x".repeat(255)}\n`, `${"x".repeat(254)}\n\n`].map(async (data) => {
        const { items } = await measure("perplexity", { engine: await open(), settings, dataset: textData(data) });
        return items.map(({ samples }) => samples);
      }),
    );
    expect(one).toEqual(plain);
    expect(two).not.toEqual(plain);
  });

  it("forms the same groups of chunks, whatever is there already", async () => {
    const whole = await recorded();
    const all = await measure("perplexity", { engine: whole.engine, settings, dataset });
    const together = whole.engine.windows!.parallel(128);
    expect(together).toBe(16);
    const resumed = await recorded();
    const done = ["0", "3", "17"];
    const rest = await measure("perplexity", { engine: resumed.engine, settings, dataset, done });
    expect(resumed.scored).toEqual(whole.scored);
    expect(rest.items).toEqual(all.items.filter(({ item }) => !done.includes(item)));
    const last = await recorded();
    const firstGroup = Array.from({ length: together }, (_, i) => String(i));
    await measure("perplexity", { engine: last.engine, settings, dataset, done: firstGroup });
    expect(last.scored).toEqual(whole.scored.slice(1));
  });

  it("counts up to the number of chunks that were asked for", async () => {
    const { items, progress } = await measure("perplexity", {
      engine: await open(),
      settings: { context: 128, chunks: 5 },
      dataset,
    });
    expect(items).toHaveLength(5);
    expect(progress[0]).toEqual([0, 5]);
    expect(progress.at(-1)).toEqual([5, 5]);
  });

  it("says in which document a chunk's scored part begins, where the text has documents", async () => {
    const documents = Array.from({ length: 15 }, (_, i) => 200 * i);
    const ascii = { ...(textData("x".repeat(3000)) as TextDataset), documents };
    const { items } = await measure("perplexity", { engine: await open(), settings, dataset: ascii });
    // One byte a token, BOS before them; 64 tokens of a chunk go before the first that is predicted from a scored row.
    const expected = items.map((_, chunk) => `document ${Math.floor((128 * chunk + 63) / 200) + 1}`);
    expect(items.map(({ cluster }) => cluster)).toEqual(expected);
    const { items: plain } = await measure("perplexity", { engine: await open(), settings, dataset });
    expect(plain.every(({ cluster }) => cluster === undefined)).toBe(true);
  });

  it("refuses a text of less than two contexts", async () => {
    const short = measure("perplexity", { engine: await open(), dataset: textData("short"), settings });
    await expect(short).rejects.toMatchObject({ code: "text-too-short", message: expect.stringContaining("6 tokens") });
  });
});

describe("divergence", () => {
  it("measures the noise floor on its own chunks alone, the others on all", async () => {
    const member = measurements.divergence!;
    if (!("compare" in member)) throw new Error("divergence compares");
    const [reference, itself, other] = await Promise.all(
      ["mock:seed=1", "mock:seed=1", "mock:seed=1,damage=0.1"].map(async (model) => (await open(model)).windows!),
    );
    const items: Record<string, string[]> = { floor: [], job: [] };
    const yielded = member.compare({
      rows: liveRows(
        reference!,
        new Map([
          ["itself", itself!],
          ["other", other!],
        ]),
      ),
      jobs: [
        { id: "floor", variant: "itself", done: new Set(), floor: true },
        { id: "job", variant: "other", done: new Set() },
      ],
      riders: [],
      settings: member.settings.parse({ context: 128, floor: 3 }),
      data: textData(someText(3000)),
      stopped: async () => false,
      progress: () => {},
    });
    for await (const { job, item } of yielded) items[job]!.push(item);
    expect(items.floor).toEqual(["0", "1", "2"]);
    expect(items.job!.length).toBeGreaterThan(20);
  });
});

describe("choice", () => {
  const settings = { context: 512 };

  it("asks every question once, packed into batches that are the same whatever is there already", async () => {
    const dataset = questionData(60);
    const whole = await recorded();
    const all = await measure("choice", { engine: whole.engine, settings, dataset });
    expect(all.items.map(({ item }) => item)).toEqual(Array.from({ length: 60 }, (_, i) => String(i)));
    expect(whole.asked.length).toBeGreaterThan(2);
    // The last token of an option predicts nothing and is not decoded.
    const size = (questions: OptionRequest[]) =>
      questions.reduce((sum, q) => sum + q.prefix.length + q.options.reduce((all, o) => all + o.length - 1, 0), 0);
    for (const batch of whole.asked) {
      expect(size(batch)).toBeLessThanOrEqual(512);
      expect(batch.reduce((sum, { options }) => sum + options.length, 0)).toBeLessThanOrEqual(64);
    }
    const resumed = await recorded();
    const rest = await measure("choice", { engine: resumed.engine, settings, dataset, done: ["1", "2", "30"] });
    expect(resumed.asked).toEqual(whole.asked);
    expect(rest.items).toEqual(all.items.filter(({ item }) => !["1", "2", "30"].includes(item)));
  });

  it("shares what all options have in common and leaves each at least one token", async () => {
    const { engine, asked } = await recorded();
    const items = [
      { id: "same start", context: "c", gold: 0, options: ["abc1", "abc2", "abc3"] },
      { id: "one begins the others", context: "c", gold: 0, options: ["ab", "abc", "abcd"] },
    ];
    const base = questionData(1);
    await measure("choice", { engine, dataset: { ...base, items } as Dataset });
    const lengths = asked.flat().map(({ prefix, options }) => [prefix.length, ...options.map((o) => o.length)]);
    // BOS, c, a blank, and the letters that all begin with; but a last letter for each. All after BOS and c is scored.
    expect(asked.flat().map(({ scoreFrom }) => scoreFrom)).toEqual([2, 2]);
    expect(lengths).toEqual([
      [6, 1, 1, 1],
      [4, 1, 2, 3],
    ]);
  });

  /** An engine with a tokenizer and a model of the test's own: `nll` by option. */
  async function rigged(tokenize: (text: string) => number[], nll: Record<string, number[]>, more: object = {}) {
    const engine = await open();
    const asked: OptionRequest[] = [];
    const options = byTokens({
      ...{ batch: { tokens: 512, options: 64 }, trainedContext: 4096 },
      ...{ chats: false, converse: () => Promise.reject(new Error("no template")) },
      tokenize: (text) => Int32Array.from(tokenize(text)),
      score: async (requests) => {
        asked.push(...requests);
        return requests.map(({ prefix, scoreFrom, options }) =>
          options.map((own, i) => {
            const length = prefix.length - scoreFrom + own.length;
            return Float64Array.from(Object.values(nll)[i]!.slice(-length));
          }),
        );
      },
    });
    const own: Engine = { facts: engine.facts, options, peakMemory: () => 0, close: async () => {} };
    const item = { id: "0", context: "c", gold: 2, options: Object.keys(nll) };
    const { items } = await measure("choice", {
      engine: own,
      dataset: { ...questionData(1), ...more, items: [item] } as Dataset,
    });
    return { answer: items[0]!, asked };
  }

  it("answers by the sum, the sum per character, the mean per token; the earlier on a tie", async () => {
    const { answer } = await rigged(
      (text) => [1, 2, ...({ a: [10, 11], b: [20, 21, 22], d: [30, 31] }[text.at(-1)!] ?? [])],
      { a: [1, 1], bb: [0.5, 0.6, 1], cccd: [1, 1] },
    );
    expect(answer).toMatchObject({
      prediction: 0,
      scores: [-2, -2.1, -2],
      detail: { prediction_norm: 2, prediction_token: 1, tokens: [2, 3, 2] },
    });
    expect(answer.samples).toEqual([
      { metric: "acc", value: 0, weight: 1 },
      { metric: "acc_norm", value: 1, weight: 1 },
      { metric: "acc_token", value: 0, weight: 1 },
    ]);
  });

  // Names: what all options begin with is in their sums, and not in their means; an option that shares nothing changes no order.
  it.each([
    {
      start: [3],
      costs: [
        [3, 1],
        [3, 1.5, 0.2],
        [3, 2],
      ],
    },
    {
      start: [0.5, 4],
      costs: [
        [0.5, 4, 1, 1],
        [0.5, 4, 1.1],
        [0.5, 4, 0.2, 2.4],
      ],
    },
    {
      start: [2, 2, 2],
      costs: [
        [2, 2, 2, 0.1],
        [2, 2, 2, 0.3, 0.1],
        [2, 2, 2, 5],
      ],
    },
  ])("tokens that all options begin with count in the sum (%#)", async ({ start, costs }) => {
    const names = ["Tx", "Tyyy", "Tzzzzzzzz"];
    const nll = Object.fromEntries(names.map((name, i) => [name, costs[i]!]));
    const tokenize = (text: string) => {
      const i = names.findIndex((name) => text.endsWith(name));
      return i < 0
        ? [1, 2]
        : [1, 2, ...start.map((_, k) => 50 + k), ...costs[i]!.slice(start.length).map((_, k) => 100 * (i + 1) + k)];
    };
    const { answer, asked } = await rigged(tokenize, nll);
    const sums = costs.map((one) => -one.reduce((a, b) => a + b));
    const best = (scores: number[]) => scores.indexOf(Math.max(...scores));
    const tail = costs.map((one) => one.slice(start.length));
    expect(asked).toHaveLength(1);
    expect(asked[0]!.prefix).toHaveLength(2 + start.length);
    expect(answer.prediction).toBe(best(sums));
    expect(answer.detail).toMatchObject({
      prediction_norm: best(sums.map((sum, i) => sum / names[i]!.length)),
      prediction_token: best(tail.map((one) => -one.reduce((a, b) => a + b) / one.length)),
    });
    for (const [i, score] of answer.scores!.entries()) expect(score).toBeCloseTo(sums[i]!, 12);
  });

  it("where an option's first token merges with the question, lm-eval's tokens are scored and llama-perplexity's besides", async () => {
    // "c " is one token; "c" alone another.
    const tokenize = (text: string) => (text === "c" ? [1, 2] : [1, 3, { a: 10, b: 20, d: 30 }[text.at(-1)!] ?? 9, 5]);
    const { asked } = await rigged(tokenize, { a: [1, 1], bb: [1, 1], cccd: [1, 1] });
    expect(asked.map(({ prefix, options }) => [[...prefix], options.map((own) => [...own])])).toEqual([
      [
        [1, 2],
        [
          [10, 5],
          [20, 5],
          [30, 5],
        ],
      ],
      [
        [1, 3],
        [
          [10, 5],
          [20, 5],
          [30, 5],
        ],
      ],
    ]);
  });

  it.each([
    [
      "merges whole",
      (text: string) => (text === "c" ? [1, 2] : [1, 3]),
      "an option merges with the question into one token",
    ],
    [
      "has nothing before it",
      (text: string) => (text === "c" ? [] : [3, text.length]),
      "nothing stands before the option",
    ],
  ])("an option that %s is not asked", async (_, tokenize, reason) => {
    const { answer, asked } = await rigged(tokenize, { a: [1], bb: [1], ccc: [1] });
    expect(asked).toEqual([]);
    expect(answer).toMatchObject({ samples: [{ metric: "unanswerable", value: 1 }], unanswerable: reason });
  });

  describe("letters that continue a question with nothing between", () => {
    const nll = { A: [3], B: [1], C: [2] };
    // "cA" and "cB" are one token each, as ":A" is in some vocabularies; a letter of its own has another.
    const merging = { c: [1, 2], cA: [1, 10], cB: [1, 11], cC: [1, 2, 22], A: [1, 7, 20], B: [1, 21], C: [1, 22] };
    const apart = { c: [1, 2], cA: [1, 2, 30], cB: [1, 2, 31], cC: [1, 2, 32] };
    const tokens = (known: Record<string, number[]>) => (text: string) => known[text]!;
    const cut = (asked: OptionRequest[]) =>
      asked.map(({ prefix, options }) => [[...prefix], ...options.map((own) => [...own])]);

    it("are each the last token of its own text where one merges with the question", async () => {
      const { answer, asked } = await rigged(tokens(merging), nll, { delimiter: "", letters: true });
      expect(cut(asked)).toEqual([[[1, 2], [20], [21], [22]]]);
      expect(answer).toMatchObject({ prediction: 1, scores: [-3, -1, -2] });
    });

    it("keep the tokens of question and letter together where none merges", async () => {
      const { asked } = await rigged(tokens(apart), nll, { delimiter: "", letters: true });
      expect(cut(asked)).toEqual([[[1, 2], [30], [31], [32]]]);
    });

    it("are cut as lm-eval cuts them in a task of lm-eval", async () => {
      const { answer } = await rigged(tokens(merging), nll, { delimiter: "" });
      expect(answer.unanswerable).toBe("an option merges with the question into one token");
    });
  });

  it("blanks at the end of a question begin its options, as in lm-eval", async () => {
    const { engine, asked } = await recorded();
    const items = ["c ", "c\n\u3000\x1f", "c\ufeff"].map((context, i) => ({
      id: `${i}`,
      context,
      gold: 0,
      options: ["1", "2"],
    }));
    await measure("choice", { engine, dataset: { ...questionData(1), items, delimiter: "" } as Dataset });
    expect(asked.flat().map(({ scoreFrom }) => scoreFrom)).toEqual([2, 2, 5]);
  });

  it("a question of any length up to the context is asked, its neighbours are not touched", async () => {
    const long = questionData(6, (lines) => {
      lines[6 * 2] = "long ".repeat(200);
      lines[6 * 3 + 4] = "long ".repeat(150);
      lines[6 * 4] = "long ".repeat(1000);
    });
    const { engine, asked } = await recorded();
    const { items } = await measure("choice", { engine, dataset: long });
    const fine = await measure("choice", { engine: await open(), dataset: questionData(6) });
    for (const i of [0, 1, 5]) expect(items[i]).toEqual(fine.items[i]);
    for (const i of [2, 3])
      expect(items[i]!.samples.map(({ metric }) => metric)).toEqual(["acc", "acc_norm", "acc_token"]);
    expect(asked.flat()).toHaveLength(5);
    // The mock says that it was trained for 4,096.
    expect(items[4]).toMatchObject({
      samples: [{ metric: "unanswerable", value: 1, weight: 1 }],
      unanswerable: expect.stringMatching(/^it needs 50\d\d tokens of 4096$/),
    });
    const bounded = await measure("choice", { engine: await open(), settings: { context: 512 }, dataset: long });
    expect(bounded.items.map((item) => "unanswerable" in item)).toEqual([false, false, true, true, true, false]);
  });

  it.each([65, 200, 1000])("%d options are scored in several batches, as each alone", async (count) => {
    // An option of one token is read off the question and takes no place in a batch.
    const options = Array.from({ length: count }, (_, i) => `option ${i}.`);
    const item = { id: "0", context: "Which?", gold: 64, options };
    const { engine, asked } = await recorded();
    const { items } = await measure("choice", { engine, dataset: { ...questionData(1), items: [item] } as Dataset });
    expect(asked.length).toBe(Math.ceil(count / 64));
    for (const [i, score] of items[0]!.scores!.entries()) {
      const dataset = { ...questionData(1), items: [{ ...item, gold: 0, options: [options[i]!, "x"] }] } as Dataset;
      if (i % 50 > 0) continue;
      const alone = await measure("choice", { engine: await open(), dataset });
      expect(alone.items[0]!.scores![0]).toBeCloseTo(score, 9);
    }
  });

  it("what a group begins with is decoded once, and a group that is done not at all", async () => {
    const heading = (subject: string) => `Questions about ${subject}, with their answers.\n`;
    const items = ["art", "law", "sea"].flatMap((cluster) =>
      Array.from({ length: 12 }, (_, i) => ({
        ...{ id: `${cluster}/${i}`, cluster, gold: 0, options: ["A", "B", "C", "D"] },
        context: `${heading(cluster)}${"very ".repeat(i)}long?`,
      })),
    );
    const dataset = { ...questionData(1), delimiter: "", items } as Dataset;
    const { engine, asked, starts } = await recorded();
    const all = await measure("choice", { engine, dataset });
    expect(all.items.map(({ item }) => item)).toEqual(items.map(({ id }) => id));
    // BOS, and what all of a group begin with but one token for each.
    expect([...new Set(starts)].map((start) => start!.length)).toEqual(
      ["art", "law", "sea"].map((subject) => 1 + heading(subject).length),
    );
    for (const [i, batch] of asked.entries())
      for (const { prefix, scoreFrom } of batch) {
        expect(scoreFrom).toBe(prefix.length);
        expect(starts[i]!.length + prefix.length).toBeLessThan(120);
      }
    const done = items.flatMap(({ id, cluster }) => (cluster === "law" || id === "sea/3" ? [id] : []));
    const resumed = await recorded();
    const rest = await measure("choice", { engine: resumed.engine, dataset, done });
    expect(rest.items).toEqual(all.items.filter(({ item }) => !done.includes(item)));
    expect(resumed.asked).toEqual(asked.filter((_, i) => starts[i] !== [...new Set(starts)][1]));
  });

  it("where each option has a context of its own, what follows it is scored, from what both begin with", async () => {
    const { engine, asked } = await recorded();
    const question = (id: string, contexts: string[], rest: string) => ({
      id,
      contexts,
      options: [rest, rest],
      delimiter: " ",
      gold: 0,
    });
    const items = [
      question("0", ["Ann told Bea that Ann", "Ann told Bea that Bea"], "won."),
      // Nothing that both begin with but BOS.
      question("1", ["It", "No"], "is so."),
      question("2", ["The cat", "The cat that"], "sat."),
    ];
    const dataset = { ...questionData(1), delimiter: " ", items } as Dataset;
    const { items: answers } = await measure("choice", { engine, dataset });
    const shape = ({ prefix, options, skip }: OptionRequest) => [
      prefix.length,
      skip,
      options.map(({ length }) => length),
    ];
    expect(asked.flat().map(shape)).toEqual([
      [19, [3, 3], [8, 8]],
      [1, [2, 2], [9, 9]],
      [8, [0, 5], [5, 10]],
    ]);
    for (const [i, { contexts, options }] of items.entries())
      for (const [k, context] of contexts.entries()) {
        const alone = {
          ...questionData(1),
          delimiter: " ",
          items: [{ id: "0", context, options: [options[k]!, "x"], gold: 0 }],
        };
        const { items: own } = await measure("choice", { engine: await open(), dataset: alone as Dataset });
        expect(answers[i]!.scores![k]).toBeCloseTo(own[0]!.scores![0]!, 9);
      }
  });

  it("an engine that cannot share a question between options scores each by itself, and the item says so", async () => {
    const { engine: alone, asked } = await recorded({ tokens: 512, options: 1 });
    const { items } = await measure("choice", { engine: alone, dataset: questionData(5) });
    const together = await measure("choice", { engine: await open(), dataset: questionData(5) });
    for (const requests of asked) expect(requests.map(({ options }) => options.length)).toEqual([1]);
    expect(items.map(({ samples }) => samples)).toEqual(together.items.map(({ samples }) => samples));
    for (const { alone } of items) expect(alone).toBe(true);
  });

  it("the plan's context bounds what is used, and never exceeds the setting or what the model was trained for", async () => {
    const dataset = questionData(40, (lines) => {
      lines[6 * 7] = "困惑 long ".repeat(150);
    });
    const { engine, asked } = await recorded();
    const { cost } = measurements.choice!;
    await measure("choice", { engine, dataset });
    const used = asked.map((questions) =>
      questions.reduce((sum, q) => sum + q.prefix.length + q.options.reduce((all, o) => all + o.length - 1, 0), 0),
    );
    expect(cost({}, dataset, { ...limits, trained: 4096 }).context).toBeGreaterThanOrEqual(Math.max(...used));
    expect(cost({}, dataset, { ...limits, trained: 4096 }).context).toBeLessThan(2 * Math.max(...used));
    expect(cost({ limit: 7 }, dataset, { ...limits, trained: 4096 }).context).toBe(512);
    expect(cost({}, dataset, { ...limits, trained: 1024 }).context).toBe(1024);
    expect(cost({ context: 600 }, dataset, { ...limits, trained: 4096 }).context).toBe(600);
  });

  const many = {
    ...{ id: "many", context: "Which?", gold: 3 },
    options: Array.from({ length: 27 }, (_, i) => `o${i}`),
  };

  it("by letter: the options stand in the question, the letters are scored", async () => {
    const { engine, asked } = await recorded();
    const dataset = { ...questionData(5), items: [...questionData(5).items, many] } as Dataset;
    const settings = { by: "letter" };
    const letters = { ...engine, letters: engine.options } as Engine;
    const { items } = await measure("choice", { engine: letters, settings, dataset });
    expect(items.map(({ item }) => item).sort()).toEqual(["0", "1", "2", "3", "4", "many"]);
    const law = mockLaw({ seed: 1, damage: 0 });
    const likeliest = [65, 66, 67, 68].sort((a, b) => law[b]! - law[a]!)[0]! - 65;
    // A blank stands before each letter, and is a token by itself here.
    const probabilities = [65, 66, 67, 68].map((letter) => law[32]! * law[letter]!);
    const mass = probabilities.reduce((sum, one) => sum + one, 0);
    for (const { item, samples, prediction, gold, scores, order, unanswerable } of items)
      if (item === "many") expect(unanswerable).toBe("it has 27 options, and there are 26 letters");
      else {
        // What is said of letters is kept of the options under them.
        expect(prediction).toBe(order![likeliest]);
        for (const [i, one] of probabilities.entries()) expect(scores![order![i]!]).toBeCloseTo(Math.log(one), 9);
        expect(samples).toEqual([
          { metric: "acc", value: gold === order![likeliest] ? 1 : 0, weight: 1 },
          { metric: "answer_mass", value: expect.closeTo(mass, 12), weight: 1 },
        ]);
      }
    const [first] = asked[0]!;
    expect(Buffer.from(first!.prefix.filter((token) => token < 256)).toString()).toMatch(
      /\n\nA\. .+\nB\. .+\nC\. .+\nD\. /,
    );
  });

  it("by generation: the text that is written is kept, and what it names is the answer", async () => {
    const engine = await open();
    const dataset = { ...questionData(40), items: [...questionData(40).items, many] } as ChoiceDataset;
    for (const template of [undefined, "none"]) {
      const settings = { by: "generation", ...(template ? { template } : {}) };
      const { items, progress } = await measure("choice", { engine, settings, dataset });
      expect(items).toHaveLength(41);
      expect(progress.at(-1)).toEqual([40, 41]);
      let [unparsed, thoughts] = [0, 0];
      for (const { item, samples, gold, order, detail } of items) {
        if (item === "many") continue;
        const { options } = dataset.items[Number(item)]!;
        const context = contextOf(dataset.items[Number(item)]!);
        const question = lettered({ id: item, context, options }, " ", { spoken: !template });
        const asked = typeof question !== "string" && "context" in question ? question.context : "";
        const prompt = template ? asked : mockConversation([{ role: "user", content: asked }]);
        const text = mockAnswer({ seed: 1, damage: 0 }, prompt);
        expect(detail).toMatchObject({ text, finish: "end" });
        const named = text.replace(/<think>.*<\/think>/, "").match(/(?<![A-Za-z])[A-D](?![A-Za-z]| good)/)?.[0];
        const right = named !== undefined && order!["ABCD".indexOf(named)] === gold;
        if (named === undefined) unparsed++;
        const thought = text.includes("<think>");
        if (thought) thoughts++;
        const tallies = [...(named ? [] : ["unparsed"]), ...(thought ? ["thoughts"] : [])];
        expect(samples).toEqual([
          { metric: "acc", value: right ? 1 : 0, weight: 1 },
          ...tallies.map((metric) => ({ metric, value: 1, weight: 1 })),
        ]);
      }
      for (const count of [unparsed, thoughts]) expect(count).toBeGreaterThan(2);
      const done = ["3", "4", "17", "many"];
      const rest = await measure("choice", { engine, settings, dataset, done });
      const all = new Map(items.map((one) => [one.item, one]));
      expect(rest.items.map(({ item }) => item).sort()).toEqual(
        [...all.keys()].filter((id) => !done.includes(id)).sort(),
      );
      for (const one of rest.items) expect(one).toEqual(all.get(one.item));
    }
  });

  it("what an engine lacks is measured in another way, and each way says what it is", () => {
    const { needs, instead, method, metrics, settings } = measurements.choice!;
    const said = settings.parse({ limit: 5, context: 512 });
    expect(needs(said)).toEqual(["options"]);
    expect(method!(said)).toBeUndefined();
    const other = instead!(said)!;
    expect(other).toEqual({ limit: 5, by: "generation" });
    expect(settings.parse(other)).toEqual(other);
    expect([needs(other), method!(other), metrics(other), instead!(other)]).toEqual([
      ...[["generation"], "by generation", ["acc", "unparsed", "cut_off", "thoughts"], undefined],
    ]);
    const letter = settings.parse({ by: "letter" });
    expect([needs(letter), method!(letter), metrics(letter)]).toEqual([
      ["letters"],
      "by letter",
      ["acc", "answer_mass"],
    ]);
    for (const wrong of [
      { maxTokens: 5 },
      { by: "letter", seed: 1 },
      { by: "generation", context: 512 },
      { by: "chance" },
    ])
      expect(() => settings.parse(wrong)).toThrow();
  });

  it("limit", async () => {
    const { items } = await measure("choice", {
      engine: await open(),
      settings: { limit: 3 },
      dataset: questionData(9),
    });
    expect(items).toHaveLength(3);
  });
});

describe("speed", () => {
  const settings = { prompt: 64, generate: 16, repetitions: 3 };

  it("times each test as often as asked, prompt before generation", async () => {
    const { items } = await measure("speed", { engine: await open("mock:seed=1,rate=100"), settings });
    expect(items.map(({ item }) => item)).toEqual(["pp64/0", "pp64/1", "pp64/2", "tg16/0", "tg16/1", "tg16/2"]);
    for (const { samples, foreign } of items) {
      expect(samples).toHaveLength(1);
      expect(samples[0]!.value).toBeGreaterThan(samples[0]!.metric === "pp64" ? 900 : 90);
      expect(samples[0]!.value).toBeLessThan(samples[0]!.metric === "pp64" ? 1100 : 110);
      expect(foreign).toBeGreaterThanOrEqual(0);
    }
  });

  it("says what other processes took, and nothing where a repetition is too short for the clock of CPU time", async () => {
    const others = spawn(process.execPath, ["-e", "process.stdout.write('on'); for (;;) ;"]);
    try {
      await once(others.stdout, "data");
      const engine = await open("mock:seed=1,rate=100");
      const foreign = async (milliseconds: number, repetitions: number) => {
        engine.timing!.time = () => sleep(milliseconds, milliseconds / 1000);
        const { items } = await measure("speed", { engine, settings: { ...settings, prompt: 0, repetitions } });
        return items.map(({ foreign }) => foreign!);
      };
      expect(Math.max(...(await foreign(400, 3)))).toBeGreaterThan(0.3);
      // The clock ticks on √n of n cores while a repetition of 1 ms runs: how long that takes on a busy machine plays no part.
      const cores = os.cpus();
      const ticking = Math.round(Math.sqrt(cores.length));
      let ticks = 0;
      vi.spyOn(os, "cpus").mockImplementation(() => {
        const user = 10 * ticks++;
        return cores.map((core, i) =>
          i < ticking ? { ...core, times: { ...core.times, user: core.times.user + user } } : core,
        );
      });
      expect(await foreign(1, 3)).toEqual([0, 0, 0]);
      expect(ticks).toBe(6);
    } finally {
      vi.restoreAllMocks();
      others.kill();
    }
  });

  it("items of the plan are those that are measured; turns and what is done are heeded", async () => {
    const member = measurements.speed!;
    const { mode } = member;
    const planned = mode.kind === "turns" ? mode.items(member.settings.parse(settings)) : [];
    expect([...planned].sort()).toEqual(["pp64/0", "pp64/1", "pp64/2", "tg16/0", "tg16/1", "tg16/2"]);
    const { items } = await measure("speed", { engine: await open(), settings, only: ["tg16/1"] });
    expect(items.map(({ item }) => item)).toEqual(["tg16/1"]);
    const rest = await measure("speed", { engine: await open(), settings, done: planned.slice(0, 4) });
    expect(rest.items.map(({ item }) => item).sort()).toEqual([...planned.slice(4)].sort());
  });

  it("0 leaves a test out; a depth is in the metric's name", () => {
    const member = measurements.speed!;
    expect(member.metrics(member.settings.parse({ prompt: 0 }))).toEqual(["tg128"]);
    expect(member.metrics(member.settings.parse({ generate: 0, depth: 64 }))).toEqual(["pp512@d64"]);
  });
});
