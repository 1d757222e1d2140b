import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type Answer,
  type Backend,
  type Engine,
  type GenerationRequest,
  type Message,
  type Options,
  type Part,
  type Prompt,
  partNames,
  type Timing,
  type VariantSpec,
  type Windows,
} from "../../dist/backends/backend.js";
import { byWindows, chunked, likelihoodOf } from "../../dist/backends/chunks.js";
import { backendNames, findBackend } from "../../dist/backends/index.js";
import { LlamaChat } from "../../dist/backends/llama/chat.js";
import { LlamaModel } from "../../dist/backends/llama/model.js";
import { LlamaOptions } from "../../dist/backends/llama/options.js";
import { Tokenizer } from "../../dist/backends/llama/tokenizer.js";
import { mockAnswer, mockConversation, mockLaw, mockOptions } from "../../dist/backends/mock.js";
import type { OptionRequest, OptionScorer } from "../../dist/backends/options.js";
import { definite } from "../../dist/definite.js";
import { BenchError } from "../../dist/errors.js";
import { fakeServer } from "../backends/fake-servers.js";
import { realServer } from "../backends/real-server.js";
import { here, llamaServer, smollm2, someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
const demo = join(import.meta.dirname, "../../datasets/demo/demo-v2-F16.gguf");

/** What to open of each member of the family; a new one comes with an example here. */
interface Example {
  backend: string;
  what: string;
  /** Undefined where this machine has no such model; a server is started first. */
  model: string | (() => Promise<string>) | undefined;
  settings?: Record<string, unknown>;
  /** The parts that its engines have, where they are not all of the backend's. */
  parts?: readonly Part[];
  /** It says the same whatever it is asked. */
  parrot?: true;
  other?: string;
  unknown: string;
  /**
   * How far the log-probability of an option may lie from that of the same tokens in a window, nats per token: another
   * batch shape takes other kernels, and a quantized model rounds its activations in another way. 0: exactly alike.
   */
  noise: number;
}

const examples: Example[] = [
  {
    backend: "mock",
    what: "a law",
    model: "mock:seed=3",
    other: "mock:seed=3,damage=0.2",
    unknown: "mock:sed=3",
    noise: 0,
  },
  {
    backend: "llama",
    what: "random weights",
    model: writeRandomLlama(folder, "random"),
    other: writeRandomLlama(folder, "other", { seed: 2 }),
    unknown: join(folder, "absent.gguf"),
    noise: 0.02,
  },
  { backend: "llama", what: "SmolLM2-135M Q4_1", model: smollm2, unknown: join(folder, "absent.gguf"), noise: 0.35 },
  {
    backend: "openai",
    what: "a real llama-server",
    model: llamaServer && (async () => `openai:${(await realServer(demo)).url}/v1`),
    // One at a time: beside others a batch has another shape each time.
    settings: { concurrency: 1 },
    parts: ["options", "letters", "generation", "timing"],
    unknown: "openai:http://127.0.0.1:1",
    noise: 0.02,
  },
  {
    backend: "openai",
    what: "a fake of vLLM",
    model: async () => `openai:${(await fakeServer("vllm")).url}`,
    settings: {},
    parts: ["likelihood", "passages", "options", "letters", "generation"],
    parrot: true,
    unknown: "openai:http://127.0.0.1:1",
    noise: 0,
  },
  {
    backend: "openai",
    what: "a fake of LM Studio",
    model: async () => `openai:${(await fakeServer("lm-studio")).url}`,
    settings: {},
    parts: ["generation"],
    parrot: true,
    unknown: "openai:http://127.0.0.1:1",
    noise: 0,
  },
];

/** Those that give no windows are held to it elsewhere. */
const elsewhere: Record<string, string> = {
  "llama-tools": "test/backends/llama-tools.test.ts",
  ollama: "test/contracts/servers.test.ts",
};

it("every backend is held to the contract", () => {
  const held = [...examples.map(({ backend }) => backend), ...Object.keys(elsewhere)];
  expect([...new Set(held)].sort()).toEqual([...backendNames].sort());
});

it.each(["eos", "sep", "eos and sep"])("what a vocabulary appends, %s, is no part of a text", async (end) => {
  const backend = await findBackend("llama");
  const opened = (path: string) => backend.open({ name: "v", model: path, backend: "llama", settings: { threads: 1 } });
  const engines = [
    await opened(writeRandomLlama(folder, "no end")),
    await opened(writeRandomLlama(folder, `ends with ${end}`, { end })),
  ];
  const [plain, ending] = engines.map((engine) => engine.windows!) as [Windows, Windows];
  for (const text of ["", "a", "The answer is", "答案：", " t", "<s>"]) {
    expect(ending.tokenize(text, true), text).toEqual(plain.tokenize(text, true));
    expect(ending.tokenize(text, false), text).toEqual(plain.tokenize(text, false));
  }
  for (const engine of engines) await engine.close();
});

it("a backend that does not exist is refused with those that do", async () => {
  await expect(findBackend("nemo")).rejects.toMatchObject({ code: "config", hint: expect.stringContaining("mock") });
  await expect(findBackend("constructor")).rejects.toBeInstanceOf(BenchError);
});

/** What scores options in tokens, by backend; a backend of servers has none. */
const scorers: Record<string, (spec: VariantSpec) => { scorer: OptionScorer; close(): Promise<void> }> = {
  mock: ({ model }) => ({ scorer: mockOptions(model), close: async () => {} }),
  llama: (spec) => {
    const model = new LlamaModel(spec, {});
    const tokens = new Tokenizer(model);
    const chat = new LlamaChat(model, tokens, spec.model, {});
    return { scorer: new LlamaOptions(model, tokens, chat), close: () => model.close() };
  },
};
const english = "The quick brown fox jumps over the lazy dog.\n\nIt's 3.14, isn't it?";
const chinese = "困惑度衡量语言模型对文本的预测能力。";
const emoji = "🦙🧮 naïve café 👩‍👩‍👧";

for (const {
  backend: name,
  what,
  model: said,
  other,
  unknown,
  noise,
  settings = { threads: 1 },
  parts,
  parrot,
} of examples)
  describe.skipIf(!said)(`${name}, ${what}${said ? "" : " (not on this machine)"}`, () => {
    let backend: Backend;
    let opened: Engine;
    let engine: Windows;
    let scorer: OptionScorer;
    let timing: Timing;
    let spec: VariantSpec;
    const closing: (() => Promise<void>)[] = [];
    const context = 64;
    const scoreFrom = context / 2;
    let model: string;
    /** Tests of a part that not all engines have. */
    const itHas = (part: Part) => it.runIf(parts === undefined || parts.includes(part));

    const inspected = async (path: string): Promise<VariantSpec> => {
      const found = await here(backend, { model: path }, folder, settings);
      if (parts) expect(found.parts).toEqual(parts);
      return { name: "v", model: found.model, ...definite({ facts: found.facts }), backend: name, settings };
    };

    beforeAll(async () => {
      backend = await findBackend(name);
      model = typeof said === "function" ? await said() : said!;
      spec = await inspected(model);
      opened = await backend.open(spec);
      engine = opened.windows!;
      timing = opened.timing!;
      closing.push(() => opened.close());
      const options = scorers[name]?.(spec);
      if (!options) return;
      scorer = options.scorer;
      closing.push(options.close);
    });
    afterAll(async () => {
      for (const close of closing) await close();
    });

    /** Windows of one text, as many as are asked for. */
    const windows = (count: number, seed = 1) => {
      const tokens = engine.tokenize(someText(count * context * 8, seed), true);
      return Array.from({ length: count }, (_, i) => tokens.slice(i * context, (i + 1) * context));
    };

    it("says what it can do, and which version it is, before any model is opened", async () => {
      expect(backend.name).toBe(name);
      expect(backend.parts.length).toBeGreaterThan(0);
      for (const part of Object.keys(partNames) as (keyof typeof partNames)[])
        expect(opened[part] !== undefined, part).toBe((parts ?? backend.parts).includes(part));
      for (const part of parts ?? []) expect(backend.parts).toContain(part);
      const version = await backend.version({ model, settings });
      for (const text of [version.version, version.library, version.origin]) expect(text).toMatch(/\S/);
      expect(await backend.version({ model, settings })).toEqual(version);
    });

    itHas("windows")("tells all facts of the file and of the engine", () => {
      const facts = spec.facts!;
      expect(facts.sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(facts.bytes).toBeGreaterThanOrEqual(facts.tensorBytes);
      expect(facts.bpw).toBeCloseTo((8 * facts.tensorBytes) / facts.parameters, 6);
      for (const text of [facts.architecture, facts.quant]) expect(text).toMatch(/\S/);
      const told = opened.facts;
      expect(told.parameters).toBe(facts.parameters);
      expect(told.tensorBytes).toBe(facts.tensorBytes);
      expect(told.vocabulary).toBe(facts.vocabulary);
      expect(engine.vocabulary).toBe(facts.vocabulary);
      expect(told.trainedContext).toBe(facts.contextLength);
      expect(scorer.trainedContext).toBe(facts.contextLength);
      expect(told.threads).toBe(1);
      expect(told.loadSeconds).toBeGreaterThanOrEqual(0);
      expect(told.addsBos).toBe(engine.bos >= 0);
      for (const text of [told.version, told.library]) expect(text).toMatch(/\S/);
      expect(structuredClone(told)).toEqual(told); // crosses a process border whole
    });

    itHas("windows")("tokens stand for the text's bytes and characters", () => {
      for (const text of [english, chinese, emoji, english + chinese + emoji, " ", "\n", "a"]) {
        const tokens = engine.tokenize(text, false);
        const characters = [...text].length;
        expect(engine.measureTokens(tokens), JSON.stringify(text)).toEqual({
          bytes: Buffer.byteLength(text),
          characters,
        });
        expect(engine.textOf(tokens)).toBe(text);
        // Counted token by token, characters that are split over tokens count once.
        const single = [...tokens].map((token) => engine.measureTokens(Int32Array.of(token)));
        expect(single.reduce((sum, one) => sum + one.characters, 0)).toBe(characters);
        expect([...engine.tokenize(text, true)]).toEqual(engine.bos >= 0 ? [engine.bos, ...tokens] : [...tokens]);
      }
      expect(engine.tokenize("", false)).toHaveLength(0);
      expect(engine.tokenize("", true).length).toBeLessThanOrEqual(2);
    });

    itHas("windows")("special tokens in a text are text", () => {
      expect([...engine.tokenize("<s></s><|im_start|>", false)]).not.toContain(engine.bos);
    });

    itHas("windows")(
      "scores each window's tail: finite, not negative, the same bits twice and in any order of calls",
      async () => {
        const together = Math.min(3, engine.parallel(context));
        const [one, two] = [windows(together), windows(together, 2)];
        const first = await engine.score({ context, windows: one, scoreFrom });
        expect(first).toHaveLength(together);
        for (const values of first) {
          expect(values).toHaveLength(context - 1 - scoreFrom);
          for (const value of values) expect(Number.isFinite(value) && value >= 0).toBe(true);
        }
        const second = await engine.score({ context, windows: two, scoreFrom });
        expect(second).not.toEqual(first);
        expect(await engine.score({ context, windows: one, scoreFrom })).toEqual(first);
        expect(await engine.score({ context, windows: two, scoreFrom })).toEqual(second);
        // Something else in between: another context, other batches.
        await engine.score({ context: 32, windows: [two[0]!.slice(0, 32)], scoreFrom: 8 });
        expect(await engine.score({ context, windows: one, scoreFrom })).toEqual(first);
      },
    );

    itHas("windows")("tells its progress in tokens", async () => {
      const counted: number[] = [];
      const together = Math.min(2, engine.parallel(context));
      await engine.score({ context, windows: windows(together), scoreFrom }, (tokens) => counted.push(tokens));
      expect(counted.reduce((sum, tokens) => sum + tokens, 0)).toBe(together * context);
    });

    itHas("windows")(
      "options agree with windows of the same tokens, up to the noise of another batch shape",
      async () => {
        const tokens = engine.tokenize(someText(600, 5), true).slice(0, context);
        const [whole] = await engine.score({ context, windows: [tokens], scoreFrom: 19 });
        const request: OptionRequest = {
          prefix: tokens.slice(0, 22),
          scoreFrom: 20,
          options: [tokens.slice(22, 40), tokens.slice(22, 30)],
        };
        const [scored] = await scorer.score([request], 256);
        let worst = 0;
        for (const [o, length] of [20, 10].entries()) {
          expect(scored![o]).toHaveLength(length);
          for (let i = 0; i < length; i++) worst = Math.max(worst, Math.abs(scored![o]![i]! - whole![i]!));
        }
        process.stdout.write(`noise floor of ${name}, ${what}: ${worst.toExponential(2)} nats per token\n`);
        expect(worst).toBeLessThanOrEqual(noise);
      },
    );

    itHas("windows")("options of one token, alone and in a crowd", async () => {
      const prefix = engine.tokenize("The answer is", true);
      const scoreFrom = prefix.length;
      const letters = ["A", "B", "C", "D"].map((letter) => engine.tokenize(letter, false).slice(0, 1));
      const [alone] = await scorer.score([{ prefix, scoreFrom, options: letters }], 256);
      expect(alone!.map((values) => values.length)).toEqual([1, 1, 1, 1]);
      const { tokens, options } = scorer.batch;
      const count = Math.min(4, Math.floor(options / 4), Math.floor(tokens / (prefix.length + 4)));
      const crowd = await scorer.score(
        Array.from({ length: count }, () => ({ prefix, scoreFrom, options: letters })),
        256,
      );
      for (const question of crowd)
        for (const [i, values] of question.entries())
          expect(Math.abs(values[0]! - alone![i]![0]!)).toBeLessThanOrEqual(noise);
      expect(await scorer.score([{ prefix, scoreFrom, options: letters }], 256)).toEqual([alone]);
      expect(await scorer.score([{ prefix, scoreFrom, options: [letters[2]!] }], 256)).toHaveLength(1);
    });

    itHas("windows")(
      "a question of several micro-batches agrees with its windows, whatever the size of the context",
      async () => {
        const tokens = engine.tokenize(someText(6000, 7), true).slice(0, 700);
        const request = {
          prefix: tokens.slice(0, 530),
          scoreFrom: 520,
          options: [tokens.slice(530), tokens.slice(530, 533)],
        };
        const [whole] = await engine.score({ context: 700, windows: [tokens], scoreFrom: 519 });
        const [scored] = await scorer.score([request], 701);
        expect(scored!.map(({ length }) => length)).toEqual([180, 13]);
        const mean = scored![0]!.reduce((sum, value, i) => sum + Math.abs(value - whole![i]!), 0) / 180;
        expect(mean).toBeLessThanOrEqual(noise);
        for (let i = 0; i < 13; i++) expect(Math.abs(scored![1]![i]! - whole![i]!)).toBeLessThanOrEqual(noise);
        expect(await scorer.score([request], 2048)).toEqual([scored]);
      },
    );

    itHas("windows")("a start that batches share is decoded once, and each batch is as the first one", async () => {
      if (scorer.batch.options === 1) return;
      const text = engine.tokenize(someText(4000, 8), true);
      const start = text.slice(0, 90);
      const asked = (shift: number): OptionRequest => ({
        prefix: text.slice(100 + shift, 112 + shift),
        scoreFrom: 11,
        options: [text.slice(120, 126 + shift), text.slice(130, 131), text.slice(140, 144)],
        // Of the last one, two tokens are its own context.
        ...(shift % 2 ? { skip: [0, 0, 2] } : {}),
      });
      const whole = (request: OptionRequest): OptionRequest => ({
        ...request,
        prefix: Int32Array.from([...start, ...request.prefix]),
        scoreFrom: start.length + request.scoreFrom,
      });
      const batches = [0, 1, 2].map((b) => [0, 1, 2].map((q) => asked(3 * b + q)));
      const first: Float64Array[][][] = [];
      for (const batch of batches) first.push(await scorer.score(batch, 512, start));
      const differences: number[] = [];
      for (const [b, batch] of batches.entries())
        for (const [q, request] of batch.entries()) {
          const [alone] = await scorer.score([whole(request)], 512);
          for (const [o, values] of alone!.entries()) {
            expect(first[b]![q]![o]).toHaveLength(values.length);
            for (const [i, value] of values.entries()) differences.push(Math.abs(first[b]![q]![o]![i]! - value));
          }
        }
      expect(differences.reduce((sum, one) => sum + one, 0) / differences.length).toBeLessThanOrEqual(noise / 2);
      expect(Math.max(...differences)).toBeLessThanOrEqual(3 * noise);
      // After others, or first of all: the same digits.
      expect(await scorer.score(batches[2]!, 512, start.slice())).toEqual(first[2]);
    });

    itHas("windows")("a full batch of options, of mixed lengths", async () => {
      const text = engine.tokenize(someText(2000, 9), false);
      const { options: room } = scorer.batch;
      const questions = Array.from({ length: Math.floor(room / 4) }, (_, q) => ({
        prefix: text.slice(q, q + 3 + (q % 3)),
        scoreFrom: 3 + (q % 3),
        options: [1, 2, 4, 3].map((length, o) => text.slice(100 + 8 * q + o, 100 + 8 * q + o + length)),
      }));
      const scored = await scorer.score(questions, 512);
      expect(scored.map((options) => options.map((values) => values.length))).toEqual(
        questions.map(() => [1, 2, 4, 3]),
      );
      for (const value of scored.flat().flatMap((values) => [...values]))
        expect(Number.isFinite(value) && value >= 0).toBe(true);
      expect(await scorer.score(questions, 512)).toEqual(scored);
    });

    itHas("timing")("times prompts and generation", async () => {
      for (const test of [
        { prompt: 16, generate: 0, depth: 0 },
        { prompt: 0, generate: 4, depth: 0 },
        { prompt: 8, generate: 0, depth: 16 },
      ]) {
        await timing.prepare(test);
        expect(await timing.time(test)).toBeGreaterThan(0);
      }
      // A server's own memory may not be seen.
      expect(opened.peakMemory() ?? 1).toBeGreaterThan(0);
    });

    itHas("windows")("divergence: none from itself, closed under the reference's own scores", async () => {
      const engines = [await backend.open(spec), await backend.open(await inspected(other ?? model))];
      try {
        const request = { context, windows: windows(1), scoreFrom };
        const [nll] = await engine.score(request);
        const [self, far] = (
          await engine.compare(
            request,
            engines.map(({ windows }) => windows!),
          )
        ).map((windows) => windows[0]!);
        expect(self!.nllReference).toEqual(nll);
        expect(self!.nll).toEqual(nll);
        expect(self!.top).toEqual(self!.topReference);
        for (const value of self!.divergence[0]!) expect(Math.abs(value)).toBeLessThan(1e-6);
        expect(far!.nllReference).toEqual(nll);
        if (other) for (const value of far!.divergence[0]!) expect(value).toBeGreaterThan(0);
      } finally {
        for (const one of engines) await one.close();
      }
    });

    itHas("windows")("the likelihood of a text is that of its windows, whatever is done already", async () => {
      const text = someText(3000, 4);
      const cut = chunked(engine, text, { context });
      const asked = async (done: string[], chunks?: number) => {
        const found = [];
        const request = { context, chunks, done: new Set(done), progress: () => {} };
        for await (const one of opened.likelihood!.measure(text, request)) found.push(one);
        return found.sort((a, b) => a.chunk - b.chunk);
      };
      const all = await asked([]);
      expect(all.map(({ chunk }) => chunk)).toEqual(Array.from({ length: cut.count }, (_, i) => i));
      for (const { chunks, windows } of cut.groups) {
        const scored = await engine.score({ context, windows, scoreFrom });
        for (const [i, chunk] of chunks.entries())
          expect(all[chunk]).toEqual(likelihoodOf(cut.facts(chunk), scored[i]!));
      }
      expect(await asked(["0", "2"])).toEqual(all.filter(({ chunk }) => chunk !== 0 && chunk !== 2));
      expect(await asked([], 3)).toHaveLength(3);
    });

    itHas("windows")(
      "with a stride every token but the first ones is scored once, whatever is done already",
      async () => {
        const text = someText(700, 4);
        const stride = 24;
        const tokens = engine.tokenize(text, true);
        const asked = async (done: string[], chunks?: number) => {
          const found = [];
          const request = { context, chunks, done: new Set(done), progress: () => {} };
          for await (const one of byWindows(engine, { stride }).measure(text, request)) found.push(one);
          return found;
        };
        const all = await asked([]);
        expect(all).toHaveLength(Math.ceil((tokens.length - context) / stride));
        for (const [i, { chunk, weight, nll }] of all.entries()) {
          expect([chunk, weight, nll!.length]).toEqual([i, stride, stride]);
          // Each token has what stands before it in its own chunk, which BOS does not replace.
          const window = tokens.slice(i * stride, i * stride + context);
          const request = { context, windows: [window], scoreFrom: context - 1 - stride, asTheyAre: true };
          if (i < 3) expect(nll).toEqual((await engine.score(request))[0]);
        }
        const scored = all.map((one) => one.text!.bytes).reduce((sum, bytes) => sum + bytes, 0);
        const first = context - stride;
        expect(scored).toBe(engine.measureTokens(tokens.slice(first, first + all.length * stride)).bytes);
        expect(await asked(["0", "2"])).toEqual(all.filter(({ chunk }) => chunk !== 0 && chunk !== 2));
        expect(await asked([], 3)).toEqual(all.slice(0, 3));
      },
    );

    itHas("options")(
      "questions are answered by what they say, each once, the same digits whatever is done already",
      async () => {
        const questions = Array.from({ length: 12 }, (_, q) => ({
          id: `q${q}`,
          context: someText(60 + 10 * q, q),
          delimiter: " ",
          options: ["home", "a longer answer", "猫", `${q}`],
        }));
        const asked = async (done: string[], given = questions) => {
          const found = [];
          const request = { done: new Set(done), progress: () => {} };
          for await (const one of opened.options!.score(given, request)) found.push(one);
          return found.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
        };
        const all = await asked([]);
        expect(all.map(({ id }) => id)).toEqual(questions.map(({ id }) => id));
        expect(await asked(["q0", "q5"])).toEqual(all.filter(({ id }) => id !== "q0" && id !== "q5"));
        for (const { options } of all) {
          expect(options).toHaveLength(4);
          for (const { sum, mean, tokens } of options) {
            expect(tokens).toBeGreaterThan(0);
            expect(sum).toBeLessThanOrEqual(0);
            // Tokens that all options begin with count in the sum alone.
            expect(sum).toBeLessThanOrEqual(mean * tokens + 1e-9);
          }
        }
        const [lost] = await asked([], [{ id: "q0", context: "", delimiter: "", options: ["", "a"] }]);
        expect(lost).toMatchObject({ unanswerable: expect.stringMatching(/\S/), options: [] });
      },
    );

    itHas("letters")("letters are options like others", async () => {
      const questions = ["Which? A or B:", "答案："].map((context, i) => ({
        ...{ id: `${i}`, context, delimiter: "", options: ["A", "B", "C", "D"] },
      }));
      const asked = async (part: Options) => {
        const found = [];
        for await (const one of part.score(questions, { done: new Set(), progress() {} })) found.push(one);
        return found;
      };
      const letters = await asked(opened.letters!);
      expect(letters.map(({ options }) => options.length)).toEqual([4, 4]);
      if (opened.options) expect(letters).toEqual(await asked(opened.options));
    });

    describe.skipIf(parrot)("writes answers", () => {
      // More prompts than are written at once; a model that says something says less of it.
      const most = what.startsWith("SmolLM2") ? 10 : 24;
      const prompts: Prompt[] = Array.from({ length: 19 }, (_, i) => ({
        ...{ id: `p${i}`, text: someText(20 + 4 * ((i * 5) % 19), i + 1) },
      }));
      const ordered = (answers: Answer[]) => answers.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
      const ask = async (given: readonly Prompt[], said: Partial<GenerationRequest> = {}) => {
        const answers: Answer[] = [];
        const request = { done: new Set<string>(), maxTokens: most, stop: [], temperature: 0, seed: 1, progress() {} };
        for await (const one of opened.generation!.answer(given, { ...request, ...said })) answers.push(one);
        return ordered(answers);
      };
      let all: Answer[];

      it("to every prompt once, and tells what they are made of", async () => {
        const progress: number[] = [];
        all = await ask(prompts, { progress: (count) => progress.push(count) });
        expect(all.map(({ id }) => id)).toEqual(prompts.map(({ id }) => id));
        for (const { finish, tokens, promptTokens, text, unanswerable } of all) {
          expect(unanswerable).toBeUndefined();
          expect(["end", "length"]).toContain(finish);
          expect(tokens).toBeGreaterThan(0);
          expect(tokens).toBeLessThanOrEqual(most);
          if (finish === "length") expect(tokens).toBe(most);
          expect(promptTokens).toBeGreaterThan(0);
          expect(typeof text).toBe("string");
        }
        if (opened.windows)
          expect(all.map(({ promptTokens }) => promptTokens)).toEqual(
            prompts.map((prompt) => engine.tokenize("text" in prompt ? prompt.text : "", true).length),
          );
        expect(progress).toEqual([...progress].sort((a, b) => a - b));
        expect(progress.at(-1)).toBe(prompts.length);
      });

      it("the same ones twice, in any order of prompts, and whatever is done already", async () => {
        expect(await ask(prompts)).toEqual(all);
        expect(await ask([...prompts].reverse())).toEqual(all);
        const done = new Set(["p0", "p3", "p4", "p7", "p9", "p10", "p11", "p12", "p15", "p16", "p18"]);
        expect(await ask(prompts, { done })).toEqual(all.filter(({ id }) => !done.has(id)));
        expect(await ask(prompts, { done: new Set(prompts.map(({ id }) => id)) })).toEqual([]);
        expect(await ask([])).toEqual([]);
      });

      it("drawn at a temperature: by seed and prompt, not by neighbours", async () => {
        const drawn = await ask(prompts, { temperature: 1, seed: 7 });
        const texts = drawn.map(({ text }) => text);
        expect(texts).not.toEqual(all.map(({ text }) => text));
        expect(await ask([...prompts].reverse(), { temperature: 1, seed: 7 })).toEqual(drawn);
        const done = new Set(["p1", "p2", "p8"]);
        expect(await ask(prompts, { temperature: 1, seed: 7, done })).toEqual(drawn.filter(({ id }) => !done.has(id)));
        expect((await ask(prompts, { temperature: 1, seed: 8 })).map(({ text }) => text)).not.toEqual(texts);
      });

      it("with a penalty on repetition, or says that it cannot", async () => {
        const { penalizes } = opened.generation!;
        const penalized = await ask(prompts, { repetitionPenalty: 5 });
        const free = await ask(prompts, { repetitionPenalty: 1 });
        if (!penalizes) {
          for (const { unanswerable } of penalized) expect(unanswerable).toMatch(/penalty on repetition/);
          return;
        }
        // The mock's law leaves no doubt about the next token.
        if (what !== "a law") expect(penalized.map(({ text }) => text)).not.toEqual(free.map(({ text }) => text));
        expect(free).toEqual(await ask(prompts));
        const done = new Set(["p1", "p2", "p8"]);
        const left = await ask(prompts, { repetitionPenalty: 5, done });
        expect(left).toEqual(penalized.filter(({ id }) => !done.has(id)));
      });

      it("that end before the first stop string", async () => {
        for (const from of all.slice(0, 2)) {
          const characters = [...from.text];
          if (characters.length < 4 || from.text.includes("\ufffd")) continue;
          const middle = Math.floor(characters.length / 2);
          const stop = characters.slice(middle, middle + 2).join("");
          const [answer] = await ask([prompts.find(({ id }) => id === from.id)!], { stop: ["never comes 🦙🦙", stop] });
          expect(answer).toMatchObject({ text: from.text.slice(0, from.text.indexOf(stop)), finish: "stop" });
          expect(answer!.tokens).toBeLessThanOrEqual(from.tokens);
        }
      });

      it("that are cut off at the last whole character", async () => {
        for (const maxTokens of [1, 6])
          for (const [i, { text, finish, tokens }] of (await ask(prompts, { maxTokens })).entries()) {
            const whole = all[i]!;
            if (finish === "length") expect(tokens).toBe(maxTokens);
            if (!whole.text.includes("\ufffd"))
              expect(whole.text.startsWith(text), `${text} in ${whole.text}`).toBe(true);
          }
      });

      it("to what fits the model's context alone", async () => {
        const context = spec.facts!.contextLength;
        const long: Prompt = { id: "p1", text: "word ".repeat(context + 1) };
        const [first, second] = await ask([prompts[0]!, long]);
        expect(first!.unanswerable).toBeUndefined();
        expect(second).toMatchObject({ text: "", tokens: 0, unanswerable: expect.stringMatching(/ tokens of \d+/) });
        const [none] = await ask([prompts[0]!], { maxTokens: context });
        expect(none!.unanswerable).toMatch(/ tokens of /);
      });

      it("to the beginning and the end of a prompt that is too long", async () => {
        const around = (middle: number) => {
          const text = someText(300, 1) + someText(900, middle) + someText(300, 2);
          return [
            { id: "p0", text },
            { id: "p1", messages: [{ role: "user" as const, content: text }] },
          ];
        };
        const truncate = 40;
        const [text, conversation] = await ask(around(3), { truncate });
        const { chats, truncates } = opened.generation!;
        if (!truncates) {
          expect(text!.unanswerable).toMatch(/^its middle would have to go beyond 40 tokens/);
          const [short] = await ask([{ id: "p0", text: "A cat is" }], { truncate });
          expect(short!.unanswerable).toBeUndefined();
          return;
        }
        // Where the halves meet, a few tokens may become others.
        expect(Math.abs(text!.promptTokens - truncate)).toBeLessThanOrEqual(4);
        expect(text!.unanswerable).toBeUndefined();
        expect(await ask(around(4), { truncate })).toEqual([text, conversation]);
        if (chats) expect(conversation!.promptTokens).toBeGreaterThan(text!.promptTokens);
        const [whole] = await ask([prompts[0]!]);
        expect(await ask([prompts[0]!], { truncate: whole!.promptTokens })).toEqual([whole]);
      });

      it("to conversations by the model's own template, where it has one", async () => {
        const messages: Message[] = [{ role: "user", content: "Is a cat an animal? Answer with yes or no." }];
        const [plain] = await ask([{ id: "p0", text: messages[0]!.content }]);
        const [said] = await ask([{ id: "p0", messages }]);
        if (opened.generation!.chats) expect(said!.promptTokens).toBeGreaterThan(plain!.promptTokens);
        else expect(said!.unanswerable).toBe("the model has no chat template");
      });
    });

    it("an unknown model is refused with a sentence", async () => {
      const attempt = here(backend, { model: unknown }, folder, settings).then(async ({ model }) => {
        await backend.open({ ...spec, model });
      });
      const error = await attempt.then(
        () => undefined,
        (error) => error,
      );
      expect(error).toBeInstanceOf(BenchError);
      expect(error.message).toMatch(/^\S.*\.$/s);
      expect(error.code).not.toBe("internal");
    });
  });

describe("the mock's answers", () => {
  it("are known", async () => {
    const mock = await findBackend("mock");
    const engine = await mock.open({ name: "m", model: "mock:seed=4", backend: "mock", settings: {} });
    const prompts = Array.from({ length: 40 }, (_, i) => ({ id: `${i}`, text: `Question ${i}: 猫 or 狗?` }));
    const request = { done: new Set<string>(), maxTokens: 64, stop: [], temperature: 0, seed: 0, progress() {} };
    const said = new Set<string>();
    for await (const { id, text, finish, tokens } of engine.generation!.answer(prompts, request)) {
      expect(text).toBe(mockAnswer({ seed: 4, damage: 0 }, prompts[Number(id)]!.text));
      expect(finish).toBe("end");
      expect(tokens).toBe(Buffer.byteLength(text) + 1);
      said.add(text);
    }
    expect(said.size).toBeGreaterThan(10);
    const messages: Message[] = [{ role: "user", content: "A or B?" }];
    for await (const { text } of engine.generation!.answer([{ id: "0", messages }], request))
      expect(text).toBe(mockAnswer({ seed: 4, damage: 0 }, mockConversation(messages)));
    const texts = (damage: number) => prompts.map(({ text }) => mockAnswer({ seed: 4, damage }, text));
    const changed = texts(0).filter((text, i) => text !== texts(0.3)[i]).length;
    expect(changed).toBeGreaterThan(2);
    expect(changed).toBeLessThan(20);
  });
});

describe("the mock's laws", () => {
  const open = async (model: string) => {
    const mock = await findBackend("mock");
    return mock.open({ name: model, model, backend: "mock", settings: {} });
  };

  it("perplexity in closed form, from the counts of bytes", async () => {
    const engine = (await open("mock:seed=5,damage=0.4")).windows!;
    const text = someText(3000, 11);
    const window = engine.tokenize(text, true).slice(0, 1024);
    const [nll] = await engine.score({ context: 1024, windows: [window], scoreFrom: 0 });
    const counts = new Float64Array(256);
    for (const byte of Buffer.from(text).subarray(0, 1023)) counts[byte]!++;
    const law = mockLaw({ seed: 5, damage: 0.4 });
    const truth = counts.reduce((sum, count, byte) => sum - count * Math.log(law[byte]!), 0) / 1023;
    const mean = nll!.reduce((a, b) => a + b, 0) / nll!.length;
    expect(Math.exp(mean)).toBeCloseTo(Math.exp(truth), 9);
  });

  it("a law is a law, its damage grows, and the divergence has a closed form", async () => {
    const truth = mockLaw({ seed: 1, damage: 0 });
    expect(truth.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    const divergence = (damage: number) => {
      const law = mockLaw({ seed: 1, damage });
      return truth.reduce((sum, p, byte) => sum + p * Math.log(p / law[byte]!), 0);
    };
    const ladder = [0, 0.05, 0.2, 0.8].map(divergence);
    expect(ladder[0]).toBe(0);
    expect(ladder).toEqual([...ladder].sort((a, b) => a - b));
    // For small noise half its variance: KLD of a tilt is damage²/2 · Var, here Var ≈ 1.
    expect(ladder[1]! / (0.05 ** 2 / 2)).toBeGreaterThan(0.7);
    expect(ladder[1]! / (0.05 ** 2 / 2)).toBeLessThan(1.3);

    const reference = (await open("mock:seed=1")).windows!;
    const variant = (await open("mock:seed=1,damage=0.2")).windows!;
    const window = reference.tokenize(someText(200), true).slice(0, 64);
    const [only] = await reference.compare({ context: 64, windows: [window], scoreFrom: 32 }, [variant]);
    for (const value of only![0]!.divergence[0]!) expect(value).toBeCloseTo(ladder[2]!, 12);
  });

  it("settings that are none are refused", async () => {
    writeFileSync(join(folder, "none"), "");
    for (const model of ["mock:what=1", "mock:seed=x", "mock:seed"])
      await expect(open(model)).rejects.toMatchObject({
        code: "model-invalid",
        hint: expect.stringContaining("damage"),
      });
  });
});
