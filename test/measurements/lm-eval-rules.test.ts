import { spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ChoiceItem, dataKinds } from "../../dist/data/index.js";
import type { Measured } from "../../dist/events.js";
import { measurements } from "../../dist/measurements/index.js";
import { scoreOf } from "../../dist/scores/index.js";
import { random } from "../draws.mjs";
import { root } from "../repository.js";
import { temporaryFolder } from "../support.js";

const python = process.env.GGUF_BENCH_TEST_PYTHON ?? "python3";
const found = spawnSync(python, ["-c", "import lm_eval.tasks as t; print(list(t.__path__)[0])"], { encoding: "utf8" });
const tasks = found.status === 0 ? found.stdout.trim() : "";
const folder = temporaryFolder();
const cases = 300;

function rules(input: object) {
  const script = join(root, "test/measurements/lm-eval-rules.py");
  const run = spawnSync(python, [script], { input: JSON.stringify(input), encoding: "utf8", maxBuffer: 1e9 });
  expect(run.status, run.stderr).toBe(0);
  return JSON.parse(run.stdout);
}

/** Our measurement of questions whose options have these sums of log-probabilities. */
async function measured(items: ChoiceItem[], sums: number[][], more: object = {}): Promise<Measured[]> {
  const member = measurements.choice!;
  if (!("measure" in member)) throw new Error("choice is measured on one engine");
  const options = {
    chats: false,
    async *score(questions: { id: string }[]) {
      for (const { id } of questions) {
        const own = sums[Number(id)]!.map((sum) => ({ sum, mean: sum, tokens: 1 }));
        yield { id, options: own };
      }
    },
  };
  const data = { kind: "choice", name: "random", items, delimiter: " ", chance: 0.5, ...more };
  const about = { engine: { options }, settings: {}, data, done: new Set(), progress() {} };
  const all: Measured[] = [];
  for await (const one of member.measure(about as never)) all.push(one);
  return all;
}

const value = ({ samples }: Measured, metric: string) => samples.find((one) => one.metric === metric)?.value;

describe.skipIf(tasks === "")(`lm-eval's rules over the same numbers${tasks ? "" : " (not on this machine)"}`, () => {
  const draw = random(15);
  const int = (below: number) => Math.floor(draw() * below);
  const letters = [..."aé中🙂 x"];
  const option = () => Array.from({ length: 1 + int(12) }, () => letters[int(letters.length)]).join("");
  // Ties are frequent.
  const sum = () => -(int(2) ? int(8) / 2 : 20 * draw());

  it(`acc and acc_norm, ${cases} questions, of which some have several right options`, async () => {
    const items: ChoiceItem[] = [];
    const sums: number[][] = [];
    for (let i = 0; i < cases; i++) {
      const options = Array.from({ length: 2 + int(5) }, option);
      const right = options.flatMap((_, at) => (draw() < 0.4 ? [at] : []));
      const several = i % 3 === 0 && right.length > 0;
      items.push({
        id: String(i),
        context: "q",
        options,
        gold: several ? right[0]! : int(options.length),
        ...(several ? { right } : {}),
      });
      sums.push(options.map(sum));
    }
    const theirs = rules({
      options: items.map(({ options, gold, right }, i) => ({ options, gold: right ?? gold, scores: sums[i] })),
    }).options as [number, number][];
    const ours = await measured(items, sums);
    expect(ours.map((one) => [value(one, "acc"), value(one, "acc_norm")])).toEqual(theirs);
    expect(new Set(theirs.map(String)).size).toBe(4);
  });

  it(`mc2, ${cases} questions`, async () => {
    const items: ChoiceItem[] = [];
    const sums: number[][] = [];
    for (let i = 0; i < cases; i++) {
      const options = Array.from({ length: 2 + int(9) }, (_, at) => `${at} ${option()}`);
      const drawn = options.flatMap((_, at) => (draw() < 0.5 ? [at] : []));
      const right = drawn.length > 0 ? drawn : [0];
      items.push({ id: String(i), context: "q", options, gold: right[0]!, right });
      sums.push(options.map(() => -60 * draw()));
    }
    const theirs = rules({
      mass: items.map(({ options, right }, i) => ({
        labels: options.map((_, at) => Number(right!.includes(at))),
        scores: sums[i],
      })),
    }).mass as number[];
    const ours = await measured(items, sums, { score: "mass" });
    for (const [i, one] of ours.entries()) expect(value(one, "mc2")).toBeCloseTo(theirs[i]!, 12);
  });

  const written = [
    "gsm8k/gsm8k.yaml",
    "gsm8k/gsm8k-cot.yaml",
    "bbh/cot_fewshot/date_understanding.yaml",
    "mgsm/direct/mgsm_direct_en.yaml",
  ];
  it.each(written.filter((task) => existsSync(join(tasks, task))))(
    `exact_match by the filters of %s, ${cases} texts`,
    async (task) => {
      const path = join(tasks, task);
      writeFileSync(
        join(folder, "rows.jsonl"),
        `${JSON.stringify({ question: "q", answer: "a", input: "i", target: "t", answer_number: 1 })}\n`,
      );
      const files = Object.fromEntries(["test", "train", "validation"].map((split) => [split, "rows.jsonl"]));
      const data = {
        include: path,
        dataset_path: "json",
        dataset_name: null,
        dataset_kwargs: { data_files: files },
        num_fewshot: 0,
      };
      writeFileSync(join(folder, "task.yaml"), JSON.stringify(data));
      const read = await dataKinds.generation.resolve({ dataset: "task.yaml", shots: 0 }, { baseDir: folder });
      const parts = [
        "#### ",
        "12",
        "-3.5",
        "1,234",
        "$7",
        ".",
        " so ",
        "The answer is ",
        "the answer is (B).",
        "\n",
        "(B)",
        "yes",
        "#",
        "(A)",
        " 12 ",
      ];
      const text = () =>
        Array.from({ length: 1 + int(6) }, () => parts[int(parts.length)]).join("") +
        (int(4) ? "" : "\nthe answer is (B).");
      const texts = Array.from({ length: cases }, () => ({
        task: path,
        text: text(),
        answer: int(3) ? ["12", "-3.5", "1,234", "$7", "(B)"][int(5)]! : text(),
      }));
      const theirs = rules({ texts }).texts as Record<string, number | null>[];
      const ways = Object.keys(theirs[0]!);
      for (const [i, { text, answer }] of texts.entries())
        for (const rule of read.scores) {
          const flexible = ways.find((way) => way.startsWith("flexible"));
          const way =
            rule.metric === "exact_match_flexible" ? flexible : (ways.find((one) => one !== flexible) ?? flexible);
          expect([rule.metric, text, answer, scoreOf(text, { answers: [answer] }, rule).value]).toEqual([
            rule.metric,
            text,
            answer,
            theirs[i]![way!],
          ]);
        }
      const right = theirs.flatMap((one) => Object.values(one)).filter((one) => one === 1).length;
      expect(right).toBeGreaterThan(0);
      process.stdout.write(`${task}: ${read.scores.length} rules, ${right} of ${theirs.length * ways.length} right\n`);
    },
  );
});
