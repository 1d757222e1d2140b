import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type ScoreRule, scoreOf, scoreRule } from "../../dist/scores/index.js";
import { chineseWords } from "../../dist/scores/words.js";
import { root } from "../repository.js";
import { type Case, someCases } from "./cases.js";

/** GSM8K's in lm-eval's words. */
const exact = {
  by: "exact",
  clean: [
    { replace: ",", with: "" },
    { replace: "$", with: "" },
    { pattern: "(?s).*#### ", with: "" },
    { pattern: String.raw`\.$`, with: "" },
  ],
  ignoreCase: true,
};

const rules: Record<string, ScoreRule> = Object.fromEntries(
  Object.entries({
    strict: { ...exact, extract: { first: String.raw`#### (\-?[0-9\.\,]+)` } },
    flexible: { ...exact, metric: "exact_match_flexible", extract: { last: "(-?[$0-9.,]{2,})|(-?[0-9]+)" } },
    "f1 zh": { by: "f1", words: "zh" },
    "f1 en": { by: "f1", words: "en" },
    "rouge_l zh": { by: "rouge_l", words: "zh" },
    "rouge_l en": { by: "rouge_l", words: "en" },
    retrieval: { by: "retrieval", number: String.raw`段落(\d+)` },
    classification: { by: "classification" },
    code_similarity: { by: "code_similarity" },
  }).map(([name, said]) => [name, scoreRule.parse(said)]),
);

const ours = ({ by, said, answer, classes }: Case): number =>
  scoreOf(said, { answers: [answer], classes }, rules[by]!).value;

const python = process.env.GGUF_BENCH_TEST_PYTHON ?? "python3";
const packages = "import jieba, rouge, fuzzywuzzy, lm_eval.api.metrics, lm_eval.filters.extraction";
const hasReference = spawnSync(python, ["-c", packages]).status === 0;

interface Told {
  scores: number[];
  words: string[][];
}

function reference(cases: Case[], texts: string[] = []): Told {
  const script = join(root, "test/scores/reference.py");
  const input = JSON.stringify({ cases, texts });
  const run = spawnSync(python, [script], { input, encoding: "utf8", maxBuffer: 1e9 });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout);
}

/** Where ours is another score than the reference's, beyond the last digits of a double. */
const differing = (cases: Case[], told: number[]) =>
  cases.flatMap((one, i) =>
    Math.abs(ours(one) - told[i]!) > 1e-12 ? [{ ...one, ours: ours(one), theirs: told[i] }] : [],
  );

describe("scores of answers", () => {
  const stored = join(root, "test/scores/golden.json");
  const sample = Object.keys(rules).flatMap((by) => someCases(by, 40, 7));

  test.runIf(process.env.GGUF_BENCH_TEST_STORE)("the sample is stored anew", () => {
    expect(hasReference).toBe(true);
    writeFileSync(stored, `${JSON.stringify(reference(sample).scores)}\n`);
  });

  test("are those that lm-eval and LongBench's metrics gave for a stored sample", () => {
    expect(existsSync(stored)).toBe(true);
    expect(differing(sample, JSON.parse(readFileSync(stored, "utf8")))).toEqual([]);
  });

  const sizes = Object.keys(rules).map((by) => [by, ["strict", "flexible"].includes(by) ? 300 : 1000] as const);
  test.skipIf(!hasReference).each(sizes)(
    "%s: those of the reference, on %i cases",
    (by, count) => {
      const cases = someCases(by, count, 11);
      const { scores } = reference(cases);
      // Neither all wrong nor all right.
      const right = scores.filter((score) => score > 0).length;
      expect(right).toBeGreaterThan(count / 30);
      expect(right).toBeLessThan(count);
      expect(differing(cases, scores)).toEqual([]);
    },
    120_000,
  );
});

/** Sentences of Wikipedia and of LongBench's two Chinese tasks. */
function sentences(count: number): string[] {
  const folder = join(root, "../shared/datasets");
  const wiki = join(folder, "zh-ppl/zh-wiki-cmrc2018-dev.txt");
  const tasks = ["multifieldqa_zh", "passage_retrieval_zh"].map((name) => join(folder, `longbench/${name}.jsonl`));
  if (![wiki, ...tasks].every((path) => existsSync(path))) return [];
  const inSentences = (text: string) => text.split(/(?<=[。！？\n])/).filter((one) => one.trim().length > 5);
  const read = (path: string) => readFileSync(path, "utf8");
  const rows = tasks.flatMap((path) => read(path).trimEnd().split("\n")).map((line) => JSON.parse(line));
  const asked = rows.flatMap(({ input, answers, context }) => [
    ...[input, ...answers],
    ...inSentences(context.slice(0, 3000)).slice(0, 8),
  ]);
  return [inSentences(read(wiki)), asked].flatMap((all) => {
    const step = Math.floor(all.length / (count / 2));
    return all.filter((_, i) => i % step === 0).slice(0, count / 2);
  });
}

const real = hasReference ? sentences(1000) : [];
test.skipIf(real.length === 0)(
  "Chinese words are those of Python's jieba, in a thousand sentences",
  () => {
    const { words } = reference([], real);
    expect(real.length).toBe(1000);
    expect(real.filter((text, i) => JSON.stringify(chineseWords(text)) !== JSON.stringify(words[i]))).toEqual([]);
  },
  120_000,
);

test("Chinese words joined are the text again", () => {
  for (const text of someCases("f1 zh", 50).map(({ said }) => said)) expect(chineseWords(text).join("")).toBe(text);
});
