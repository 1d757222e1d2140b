import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import { type ChoiceDataset, type ChoiceItem, dataKinds } from "../../dist/data/index.js";
import type { Measured } from "../../dist/events.js";
import { measurements } from "../../dist/measurements/index.js";
import { root } from "../repository.js";
import { contextOf, here, smollm2, temporaryFolder, writeRandomLlama } from "../support.js";

const shared = join(root, "../shared/datasets");
const python = process.env.GGUF_BENCH_TEST_PYTHON ?? "python3";
const lmEval = spawnSync(python, ["-c", "import lm_eval"]).status === 0;
const missing = (what: boolean) => (what ? "" : " (not on this machine)");
const folder = temporaryFolder();

async function open(model: string, settings = {}): Promise<Engine> {
  const backend = await findBackend("llama");
  const found = await here(backend, { model }, folder);
  return backend.open({ name: "v", model: found.model, facts: found.facts!, backend: "llama", settings });
}

async function ask(engine: Engine, dataset: Pick<ChoiceDataset, "items" | "delimiter">, settings = {}) {
  const answers: Measured[] = [];
  const member = measurements.choice!;
  if (!("measure" in member)) throw new Error("choice is measured on one engine");
  const about = { engine, settings, data: dataset, done: new Set(), progress() {} };
  for await (const answer of member.measure(about as never)) answers.push(answer);
  return answers;
}

/** The question less the blanks at its end, whose tokens lm-eval takes for the question's. */
const tokensOf = (engine: Engine, context: string) => engine.windows!.tokenize(context.trimEnd(), true);

describe.skipIf(!smollm2 || !existsSync(shared))(
  `five examples before every question${missing(Boolean(smollm2) && existsSync(shared))}`,
  () => {
    const subjects = {
      computer_network: "计算机网络",
      discrete_mathematics: "离散数学",
      middle_school_geography: "初中地理",
      basic_medicine: "基础医学",
      high_school_physics: "高中物理",
    };
    const limit = Number(process.env.GGUF_BENCH_TEST_QUESTIONS ?? 1);
    let engine: Engine;
    beforeAll(async () => {
      engine = await open(smollm2!);
    });
    afterAll(() => engine.close());

    it("C-Eval, by a card: all are asked, and answered as the whole prompt alone is", async () => {
      const seconds = { packed: 0, alone: 0 };
      const lengths: number[] = [];
      let right = 0;
      for (const [subject, name] of Object.entries(subjects)) {
        mkdirSync(join(folder, subject), { recursive: true });
        writeFileSync(
          join(folder, subject, "card.yaml"),
          `name: ${subject.replaceAll("_", "-")}
kind: choice
title: C-Eval, ${name}
source: https://cevalbenchmark.com
licence: CC BY-NC-SA 4.0
file: ${subject}_val.csv
format: csv
heading: "以下是中国关于${name}考试的单项选择题，请选出其中的正确答案。\\n\\n"
prompt: "{question}\\nA. {A}\\nB. {B}\\nC. {C}\\nD. {D}\\n答案："
delimiter: ""
options: [A, B, C, D]
answer: answer
answerIs: letter
continueWith: letter
examples: { file: ${subject}_dev.csv, count: 5 }
`,
        );
        for (const [from, to] of [
          ["val", `${subject}_val.csv`],
          ["dev", `${subject}_dev.csv`],
        ])
          writeFileSync(join(folder, subject, to!), readFileSync(join(shared, "ceval", from!, to!)));
        const data = await dataKinds.choice.resolve({ dataset: `./${subject}` }, { baseDir: folder });
        expect(contextOf(data.items[0]!)).toMatch(/^以下是中国关于[^\n]*。\n\n[^\n]/);
        expect(contextOf(data.items[0]!).match(/答案：[A-D]\n\n/g)).toHaveLength(5);
        let started = performance.now();
        const answers = await ask(engine, data, { limit });
        seconds.packed += (performance.now() - started) / 1000;
        started = performance.now();
        for (const [i, { samples, prediction }] of answers.entries()) {
          // One token each: sum, per character and per token are the same.
          expect(samples.map(({ metric }) => metric)).toEqual(["acc", "answer_mass"]);
          const context = contextOf(data.items[i]!);
          const tokens = engine.windows!.tokenize(`${context}A`, true);
          const letters = ["A", "B", "C", "D"].map(
            (letter) => engine.windows!.tokenize(context + letter, true).at(-1)!,
          );
          lengths.push(tokens.length);
          let logits: number[] = [];
          const request = { context: tokens.length, windows: [tokens], scoreFrom: tokens.length - 2 };
          await engine.windows!.visit(request, (row) => {
            logits = letters.map((letter) => row.logits[letter]!);
          });
          const best = logits.indexOf(Math.max(...logits));
          expect(prediction).toBe(best);
          right += samples[0]!.value;
        }
        seconds.alone += (performance.now() - started) / 1000;
      }
      const n = lengths.length;
      process.stdout.write(
        `C-Eval, five-shot: ${n} questions of ${Math.min(...lengths)} to ${Math.max(...lengths)} tokens, ${right} right, none unanswerable; ${seconds.packed.toFixed(1)} s, each alone ${seconds.alone.toFixed(1)} s\n`,
      );
      expect(Math.max(...lengths)).toBeGreaterThan(512);
    }, 600_000);
  },
);

describe.skipIf(!lmEval || !smollm2 || !existsSync(shared))(
  `lm-eval's own functions${missing(lmEval && Boolean(smollm2) && existsSync(shared))}`,
  () => {
    const sameStart = ({ options }: ChoiceItem) => new Set(options.map((option) => option.split(" ")[0])).size === 1;

    async function questions(): Promise<ChoiceItem[]> {
      const arc = ["ARC-Easy-Test.jsonl", "ARC-Challenge-Test.jsonl"].flatMap((name) =>
        readFileSync(join(shared, "arc", name), "utf8")
          .trim()
          .split("\n")
          .map((line, i): ChoiceItem => {
            const { question, answerKey } = JSON.parse(line);
            const choices = question.choices as { text: string; label: string }[];
            return {
              id: `${name} ${i}`,
              context: `Question: ${question.stem}\nAnswer:`,
              options: choices.map(({ text }) => text),
              gold: choices.findIndex(({ label }) => label === answerKey),
            };
          }),
      );
      const hellaswag = await dataKinds.choice.resolve({ dataset: "hellaswag" }, { baseDir: folder, dataDir: shared });
      return [arc, hellaswag.items].flatMap((items) => items.filter(sameStart).slice(0, 150));
    }

    // Random weights are fast, and as good for a rule; a trained model's tokens merge as people's do.
    it.each([
      ["random weights", 300, () => writeRandomLlama(folder, "random"), 0.02],
      // A quantized model rounds its activations in another way where the batch has another shape.
      ["SmolLM2-135M", Number(process.env.GGUF_BENCH_TEST_QUESTIONS ?? 20), () => smollm2!, 0.35],
    ])(
      "give the same acc and acc_norm where options begin alike, from the same tokens: %s, %d questions",
      async (model, count, path, noise) => {
        const engine = await open(path());
        const all = await questions();
        const items = all.filter((_, i) => i % (all.length / count) === 0);
        expect(items).toHaveLength(count);
        const delimiter = " ";
        const answers = await ask(engine, { items, delimiter });
        const texts = items.flatMap((item) => [
          contextOf(item).trimEnd(),
          ...item.options.map((o) => contextOf(item) + delimiter + o),
        ]);
        const input = {
          tokens: Object.fromEntries(texts.map((text) => [text, [...engine.windows!.tokenize(text, true)]])),
          questions: items.map((item, i) => ({ ...item, delimiter, scores: answers[i]!.scores })),
        };
        const script = join(root, "test/measurements/lm-eval.py");
        const run = spawnSync(python, [script], { input: JSON.stringify(input), encoding: "utf8", maxBuffer: 1e9 });
        expect(run.stderr.match(/Error.*/)?.[0]).toBeUndefined();
        const theirs = JSON.parse(run.stdout) as [number, number, [number[], number[]][]][];
        for (const [i, [acc, accNorm]] of theirs.entries())
          expect(
            answers[i]!.samples.slice(0, 2).map(({ value }) => value),
            items[i]!.id,
          ).toEqual([acc, accNorm]);
        // Their cut of whole and context, and each option's sum from its prompt decoded alone.
        let worst = 0;
        for (let i = 0; i < items.length; i += Math.ceil(items.length / 5))
          for (const [o, [before, after]] of theirs[i]![2].entries()) {
            expect(before).toEqual([...tokensOf(engine, contextOf(items[i]!))]);
            const window = Int32Array.from([...before, ...after]);
            const [nll] = await engine.windows!.score({
              context: window.length,
              windows: [window],
              scoreFrom: before.length - 1,
            });
            const sum = -nll!.reduce((all, value) => all + value, 0);
            worst = Math.max(worst, Math.abs(sum - answers[i]!.scores![o]!) / after.length);
          }
        const share = (at: number) => (100 * theirs.reduce((all, one) => all + (one[at] as number), 0)) / count;
        process.stdout.write(
          `lm-eval on ${count} questions, ${model}: acc ${share(0).toFixed(2)} %, acc_norm ${share(1).toFixed(2)} %, the same answers; sums differ by ${worst.toExponential(1)} nats per token from prompts alone\n`,
        );
        expect(worst).toBeLessThan(noise);
        await engine.close();
      },
      600_000,
    );
  },
);

describe("few and short questions", () => {
  const items = (questions: number, options: number): ChoiceItem[] =>
    Array.from({ length: questions }, (_, i) => ({
      id: String(i + 1),
      context: `Q${i}`,
      options: Array.from({ length: options }, (_, k) => `${k}`.repeat(1 + (k % 2))),
      gold: 0,
    }));

  for (const settings of [{}, { ubatch: 16 }, { batch: 8, ubatch: 8 }, { threads: 1 }])
    it(`are scored as among many others: ${JSON.stringify(settings)}`, async () => {
      const engine = await open(writeRandomLlama(folder, "few"), settings);
      const scores = async (questions: number, options: number) =>
        (await ask(engine, { items: items(questions, options), delimiter: " " })).map(({ scores }) => scores!);
      for (const options of [1, 2, 3, 4, 5]) {
        const many = await scores(30, options);
        for (const questions of [1, 2, 3, 4])
          for (const [i, own] of (await scores(questions, options)).entries())
            for (const [k, score] of own.entries()) expect(score).toBeCloseTo(many[i]![k]!, 2);
      }
      await engine.close();
    });
});
