import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { compareCommand } from "../../dist/commands/compare.js";
import { type Verdicts, verdictsFrom, verdictsOver } from "../../dist/judge/verdicts.js";
import { detectableOf, mark, tabulated } from "../../dist/judge/words.js";
import { replay } from "../../dist/replay/index.js";
import { cardOf } from "../../dist/reports/card/index.js";
import { comparisonsCsv } from "../../dist/reports/csv.js";
import { page } from "../../dist/reports/html/index.js";
import { factsFrom } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { seriesFrom } from "../../dist/stats/series.js";
import { bench, someText, temporaryFolder } from "../support.js";
import { eventsOf, type Made } from "./ladders.js";

const events = (variants: Made[]) => eventsOf(variants, { kinds: ["perplexity", "hellaswag"] });

const ladder: Made[] = [
  { name: "F16", reference: true, cost: 0, tags: { quant: "F16" } },
  { name: "Q4_K_M", cost: 0.05, tags: { quant: "Q4_K_M", imatrix: "false" }, flips: [1, 2] },
  { name: "Q4_K_M-im", cost: 0.022, tags: { quant: "Q4_K_M", imatrix: "true" }, flips: [0, 1] },
  { name: "Q2_K", cost: 0.3, tags: { quant: "Q2_K", imatrix: "false" }, flips: [2, 30] },
  { name: "Q2_K-im", cost: 0.18, tags: { quant: "Q2_K", imatrix: "true" }, flips: [2, 18] },
];

const sentences = (made: Made[]) =>
  Object.fromEntries(
    verdictsFrom(replay(events(made))).questions.map(({ title, pairs }) => [
      title,
      pairs.map(({ sentence }) => sentence),
    ]),
  );

describe("verdicts in words", () => {
  test("the importance matrix, a pair per quantization, found by tags", () => {
    const { "Does the importance matrix help?": pairs } = sentences(ladder);
    expect(pairs).toHaveLength(2);
    expect(pairs![0]).toMatch(
      /^Q4_K_M-im beats Q4_K_M on PPL by 2\.\d % \(95 % CI 2\.\d … \d\.\d %, adjusted p < 0\.001; 32 chunks\)\. hellaswag acc: 0\.0 points \(95 % CI −2\.3 … 2\.3 points; 2 answers of 200 flipped, 1 to right, 1 to wrong\): no difference shown \(detectable: \d\.\d points\)\.$/,
    );
  });

  test("every variant against the reference, losses of accuracy with the flips both ways", () => {
    const { "What does it cost against F16?": pairs } = sentences(ladder);
    expect(pairs).toHaveLength(4);
    expect(pairs![2]).toMatch(
      /^Q2_K loses to F16 on PPL by .*\. hellaswag acc: 14\.0 points worse \(95 % CI .*; 32 answers of 200 flipped, 2 to right, 30 to wrong\)/,
    );
  });

  test("pairs are found from the files where there are no tags", () => {
    const found = sentences([
      { name: "a", quant: "Q2_K", cost: 0 },
      { name: "b", quant: "Q2_K", cost: -0.1, imatrix: "calibration.txt" },
      { name: "c", quant: "Q4_0", cost: -0.1, imatrix: "calibration.txt" },
    ]);
    expect(Object.keys(found)).toEqual(["Does the importance matrix help?"]);
    expect(found["Does the importance matrix help?"]).toHaveLength(1);
  });

  test("versions pair the same quantization; each version has its own reference", () => {
    const found = sentences([
      { name: "v1-F16", reference: true, cost: 0, tags: { version: "v1", quant: "F16" } },
      { name: "v1-Q4", cost: 0.1, tags: { version: "v1", quant: "Q4" } },
      { name: "v2-F16", cost: -0.2, tags: { version: "v2", quant: "F16" }, against: "v2-F16" },
      { name: "v2-Q4", cost: -0.1, tags: { version: "v2", quant: "Q4" }, against: "v2-F16" },
    ]);
    expect(found["Is v2 better than v1?"]!.map((sentence) => sentence.slice(0, 27))).toEqual([
      "v2-F16 beats v1-F16 on PPL ",
      "v2-Q4 beats v1-Q4 on PPL by",
    ]);
    expect(Object.keys(found)).toEqual([
      "Is v2 better than v1?",
      "What does it cost against v1-F16?",
      "What does it cost against v2-F16?",
    ]);
  });

  test("a version without a reference of its own is held against its least quantized variant", () => {
    const found = sentences([
      { name: "v2-F16", reference: true, cost: -0.2, tags: { version: "v2" } },
      { name: "v1-Q4", quant: "Q4_0", cost: 0.1, tags: { version: "v1" }, bpw: 4.5 },
      { name: "v1-F16", cost: 0, tags: { version: "v1" }, bpw: 16 },
    ]);
    expect(found["What does it cost against v1-F16?"]).toHaveLength(1);
    expect(found["What does it cost against v2-F16?"]).toBeUndefined();
  });

  test("another tokenizer: PPL is refused, bits per byte are compared", () => {
    const { "What does it cost against a?": pairs } = sentences([
      { name: "a", reference: true, cost: 0 },
      { name: "b", cost: 0.1, tokenizer: "other" },
    ]);
    expect(pairs![0]).toMatch(/^b against a, bits\/byte: \+0\.0\d+ bit \(95 % CI .*\): no difference shown/);
    expect(pairs![0]).toContain("PPL is not compared: the tokenizers differ");
    expect(pairs![0]).toContain("compared unpaired");
  });

  test("an importance matrix that has seen the evaluation text is flagged", () => {
    const { notes } = verdictsFrom(
      replay(
        events([
          { name: "a", reference: true, cost: 0 },
          { name: "b", cost: 0.1, imatrix: "wiki.test.raw" },
        ]),
      ),
    );
    expect(notes).toEqual([expect.stringMatching(/^b: its importance matrix was made from wiki\.test\.raw, the text/)]);
  });

  test("they stand in table.md and, one row per pair and metric, in comparisons.csv", () => {
    const list = events(ladder);
    const text = markdown(factsFrom(replay(list), ""));
    expect(text).toContain(
      "## Verdicts\n\n### Does the importance matrix help?\n\nPPL: helps: 7.4 % lower on average over 2 pairs (",
    );
    // What could have been seen stands beside every difference, also where one was shown.
    const lines = text.split("\n").filter((line) => /^\| Q4_K_M-im +\| Q4_K_M +\| (PPL|hellaswag acc) +\|/.test(line));
    expect(lines.map((line) => line.split("|").map((cell) => cell.trim()))).toEqual([
      [
        "",
        "Q4_K_M-im",
        "Q4_K_M",
        "PPL",
        "−2.8 %",
        "better",
        "−3.0 … −2.5 %",
        "&lt; 0.001",
        expect.stringMatching(/^0\.3\d %$/),
        "32 chunks",
        "",
      ],
      expect.arrayContaining(["hellaswag acc", "0.0 points", "\\~", "200 questions, 1 to right, 1 to wrong"]),
    ]);
    const rows = comparisonsCsv(verdictsFrom(replay(list)))
      .trimEnd()
      .split("\n");
    expect(rows).toHaveLength(1 + 6 * 2);
    expect(rows[1]).toMatch(/^Does the importance matrix help\?,Q4_K_M,Q4_K_M-im,perplexity,wikitext-2,perplexity,/);
    expect(rows[1]).toContain(",better,");
  });

  test("what is detectable of a fall is a fall, which is nowhere 100 %, as far on the log scale as the rise", () => {
    const { comparison } = verdictsFrom(replay(events(ladder)))
      .questions.flatMap(({ pairs }) => pairs)
      .flatMap(({ results }) => results)
      .find(({ metric }) => metric === "perplexity")!;
    const [rise, fall] = [0.4, -0.4].map((difference) => ({ ...comparison!, difference, detectable: 1.42 }));
    expect(detectableOf(rise!)).toBe(1.42);
    expect(1 - detectableOf(fall!)).toBeCloseTo(1 / 2.42, 12);
    expect([rise!, fall!].map((one) => tabulated(one)[3])).toEqual(["142 %", "58.7 %"]);
    const far = [rise!, fall!].map((one) => tabulated({ ...one, detectable: 12 })[3]);
    expect(far).toEqual(["over ×10", "over 90 %"]);
  });

  test("one variant alone is compared with nothing", () => {
    const list = events([{ name: "a", cost: 0 }]);
    expect(verdictsFrom(replay(list))).toEqual({ questions: [], ladders: [], notes: [] });
    expect(markdown(factsFrom(replay(list), ""))).not.toContain("Verdicts");
  });
});

describe("what else was measured changes no verdict", () => {
  const made: Made[] = [
    { name: "a", reference: true, cost: 0 },
    { name: "b", cost: 0.05, flips: [2, 10] },
    { name: "c", cost: 0.001, flips: [3, 9] },
    { name: "d", cost: -0.02, flips: [9, 3] },
  ];
  const series = seriesFrom(replay(events(made)));
  const said = (pairs: [string, string][], metrics?: string[]) => {
    const of = (name: string) => series.filter(({ variant }) => variant.name === name);
    const { questions } = verdictsOver([{ title: "", pairs }], of, metrics ? { metrics } : {});
    return questions[0]!.pairs.map(({ results }) =>
      Object.fromEntries(results.map(({ metric, comparison, verdict }) => [metric, { comparison, verdict }])),
    );
  };

  test.each(["perplexity", "acc", "bits_per_byte"])("%s alone and among all: the same figures and words", (metric) => {
    const pairs: [string, string][] = [
      ["a", "b"],
      ["a", "c"],
      ["a", "d"],
    ];
    const all = ["perplexity", "bits_per_byte", "acc", "acc_norm"];
    expect(said(pairs, [metric]).map((one) => one[metric])).toEqual(said(pairs, all).map((one) => one[metric]));
  });

  test("compare A B says of PPL what compare A B --metric perplexity says", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "text.txt"), someText(6000));
    writeFileSync(
      join(folder, "b.yaml"),
      `variants:
  a: { model: "mock:seed=1", reference: true }
  \${damage}: { matrix: { damage: [0.02, 0.1] }, model: "mock:seed=1,damage=\${damage}" }
measurements:
  perplexity: { text: text.txt, context: 64 }
  divergence: { text: text.txt, context: 64 }
  speed: { prompt: 32, generate: 8, repetitions: 5 }
`,
    );
    const run = join(folder, "run");
    expect((await bench(["run", join(folder, "b.yaml"), "--out", run])).code).toBe(0);
    for (const b of ["0.02", "0.1"]) {
      const said = async (metrics?: string[]) => {
        const stdout = new PassThrough();
        const command = { a: `${run}:a`, b: `${run}:${b}`, metrics, json: true };
        await compareCommand(command, { stdout } as unknown as Parameters<typeof compareCommand>[1]);
        return (JSON.parse(String(stdout.read())) as Verdicts).questions[0]!.pairs[0]!.results;
      };
      const [all, alone] = [await said(), await said(["perplexity"])];
      expect([all.length, alone.map(({ metric }) => metric)]).toEqual([4, ["perplexity"]]);
      expect(all.find(({ metric }) => metric === "perplexity")).toEqual(alone[0]);
      expect(alone[0]!.verdict).toBeDefined();
    }
  });

  test("a broken figure is compared with none, and the reason is said", () => {
    const broken = "its perplexity is that of chance";
    const of = (name: string) =>
      series
        .filter(({ variant, job }) => variant.name === name && job.kind === "perplexity")
        .map((one) => (name === "b" ? { ...one, broken } : one));
    for (const pairs of [[["a", "b"]], [["b", "c"]]] as [string, string][][]) {
      const [pair] = verdictsOver([{ title: "", pairs }], of).questions[0]!.pairs;
      expect(pair!.sentence).toContain("PPL is not compared: b: its perplexity is that of chance.");
    }
  });

  test("an interval without 0 that is not certain among its like is likely, and says among how many", () => {
    const found = said([
      ["a", "b"],
      ["a", "c"],
      ["a", "d"],
    ]).map(({ acc }) => acc!);
    expect(found.map(({ comparison }) => comparison!.p < 0.05)).toEqual([true, false, false]);
    expect(found.map(({ verdict }) => mark(verdict!))).toEqual(["likely worse", "~", "~"]);
    const { questions } = verdictsFrom(replay(events(made)));
    expect(questions[0]!.pairs[0]!.sentence).toMatch(
      /likely 4\.0 points worse \(95 % CI 0\.\d+ … \d\.\d points, adjusted p = 0\.06\d; not certain among 3; 12 answers/,
    );
    // By itself it is certain.
    expect(mark(said([["a", "b"]])[0]!.acc!.verdict!)).toBe("worse");
  });
});

describe("what is the same under two names", () => {
  const made: Made[] = [{ name: "a", reference: true, cost: 0, flips: [2, 5] }];
  const series = seriesFrom(replay(events(made)));
  const results = (pairs: [string, string][]) =>
    verdictsOver([{ title: "", pairs }], () => series, { metrics: ["perplexity", "acc"] });

  test("a variant against itself is identical in every figure, accuracy too", () => {
    const { questions, notes } = results([["a", "a"]]);
    const found = questions[0]!.pairs[0]!.results;
    expect(found.map(({ metric }) => metric)).toEqual(["perplexity", "acc"]);
    for (const { comparison, verdict } of found) {
      expect(mark(verdict!, comparison!)).toBe("identical");
      expect([comparison!.difference, comparison!.low, comparison!.high]).toEqual([0, 0, 0]);
    }
    expect(notes).toEqual([]);
  });

  test("one file under a second name is told once", () => {
    expect(results([["a", "b"]]).notes).toContain("b is the same file as a.");
  });

  test("other answers of the same model are no proof that nothing changed", () => {
    const [own] = series.filter(({ job }) => job.kind === "choice");
    const other = eventsOf([{ name: "b", reference: true, cost: 0, flips: [2, 5] }], { kinds: ["hellaswag"] });
    const [twin] = seriesFrom(replay(other));
    const { questions } = verdictsOver([{ title: "", pairs: [["a", "b"]] }], (name) => [name === "a" ? own! : twin!], {
      metrics: ["acc"],
    });
    const { comparison, verdict } = questions[0]!.pairs[0]!.results[0]!;
    expect(comparison!.difference).toBe(0);
    expect(mark(verdict!, comparison!)).not.toBe("identical");
    expect(comparison!.high).toBeGreaterThan(0);
  });
});

describe("a speed beside other processes", () => {
  const f16: Made = { name: "F16", reference: true, bytes: 9e7, tags: { quant: "F16" } };
  const q8: Made = { name: "Q8_0", bytes: 5e7, speed: 75, cost: 0.0001, tags: { quant: "Q8_0" } };
  const made = eventsOf([f16, q8], { kinds: ["perplexity", "speed"] });
  const beside = (cores: number, sessions = 1) =>
    factsFrom(
      replay(
        made.map((event) => {
          if (event.type !== "samples" || event.job !== "Q8_0 speed") return event;
          return { ...event, foreign: cores, cluster: `session ${Number(event.item) % sessions}` };
        }),
      ),
      "",
    );
  const said = (facts: ReturnType<typeof beside>) => ({
    table: /Q8_0 +\| tg128 +\| +[^|]* \| ([^|]*?) +\|/.exec(markdown(facts))![1],
    conclusion: /tg128 [^,)]*/.exec(facts.short.conclusions.join(" "))![0],
    card: cardOf(facts, { columns: ["tg128.change"] }).rows[1]!.cells.at(-1)!.text,
    page: /tg128<\/th><\/tr><tr[^>]*><th scope="row">Q8_0<\/th><td class="number">[^<]*<\/td><td class="[^"]*">([^<]*)</.exec(
      page(facts, []),
    )![1],
  });

  test("is likely another at most, wherever it is told", () => {
    expect(said(beside(0))).toEqual({
      ...{
        table: "better",
        conclusion: "tg128 1.5× faster",
        card: expect.stringMatching(/^×1\.5\d*$/),
        page: "better",
      },
    });
    expect(said(beside(0.9))).toEqual({
      table: "likely better †",
      conclusion: "tg128 likely 1.5× faster on a busy machine",
      card: expect.stringMatching(/^\(×1\.5\d*\)$/),
      page: "likely better †",
    });
    const facts = beside(0.9);
    expect(cardOf(facts, { columns: ["tg128.change"] }).legend.join(" ")).toContain("( ) is likely.");
    expect(facts.verdicts.questions[0]!.pairs[0]!.sentence).toMatch(
      /tg128: likely [\d.]+ % faster \(95 % CI [^;]*; not certain beside other processes; 8 repetitions\)/,
    );
  });

  test("three sessions show what others did, and little is marked alone", () => {
    expect(said(beside(0.9, 3)).table).toBe("better †");
    expect(said(beside(0.9, 2)).table).toBe("likely better †");
    expect(said(beside(0.09)).table).toBe("better");
  });
});
