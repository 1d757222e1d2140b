import { describe, expect, test } from "vitest";
import { replay } from "../../dist/replay/index.js";
import { chosenFrom, recommendedIn, type Wishes } from "../../dist/reports/choice.js";
import { factsFrom } from "../../dist/reports/index.js";
import { eventsOf, type Made, type MadeRun } from "../judge/ladders.js";

const f16 = { name: "F16", bytes: 270e6, reference: true, speed: 40 };
const q8 = { name: "Q8_0", bytes: 145e6, cost: 0.0002, speed: 60 };
const q5 = { name: "Q5_K_M", bytes: 112e6, cost: 0.006, speed: 70 };
const q4 = { name: "Q4_K_M", bytes: 105e6, cost: 0.03, speed: 80 };
const q3 = { name: "Q3_K_M", bytes: 93e6, cost: 0.1, speed: 85 };
const q2 = { name: "Q2_K", bytes: 88e6, cost: 0.4, speed: 90 };
const all = [f16, q8, q5, q4, q3, q2];

const facts = (variants: Made[], run: Partial<MadeRun> = {}) =>
  factsFrom(replay(eventsOf(variants, { kinds: ["perplexity", "speed"], spread: 0.1, ...run })), "");
const chosen = (wishes: Wishes, variants: Made[] = all, run: Partial<MadeRun> = {}) =>
  chosenFrom(facts(variants, run), wishes);

describe("which file to take", () => {
  test("the best that is small enough, and what it is better than", () => {
    expect(chosen({ maxSize: 100e6 })).toEqual({
      outcome: "found",
      variant: "Q3_K_M",
      sentences: [
        expect.stringMatching(
          /^Best of the files at most 100\.0 MB: Q3_K_M \(93\.0 MB, 66 % smaller, PPL \+1\d %, tg128 2\.1× faster\)\.$/,
        ),
        "By PPL it is shown to be better than Q2_K.",
      ],
    });
    expect(chosen({ maxSize: 90e6 })).toMatchObject({
      variant: "Q2_K",
      sentences: [/Q2_K/, "No other file is."].map((one) =>
        typeof one === "string" ? one : expect.stringMatching(one),
      ),
    });
  });

  test("a better that is not shown is said", () => {
    const { sentences, outcome } = chosen({ maxSize: 100e6 }, [f16, { ...q3, cost: 0.1 }, { ...q2, cost: 0.1001 }], {
      spread: 0.5,
    });
    expect(outcome).toBe("found");
    expect(sentences[1]).toMatch(/^By PPL it is not shown to be better than (Q2_K|Q3_K_M)\.$/);
  });

  test("fast enough; nothing fits", () => {
    expect(chosen({ minSpeed: 75 })).toMatchObject({ outcome: "found", variant: "Q4_K_M" });
    expect(chosen({ minSpeed: 75, maxSize: 100e6 })).toMatchObject({ variant: "Q3_K_M" });
    expect(chosen({ maxSize: 10e6 })).toEqual({
      outcome: "none",
      sentences: ["No file is at most 10.0 MB: the smallest is Q2_K (88.0 MB)."],
    });
    expect(chosen({ minSpeed: 500 })).toMatchObject({
      outcome: "none",
      sentences: [
        expect.stringMatching(/^No file is at 500 tok\/s or more: the fastest is Q2_K \(9\d(\.\d+)? tok\/s\)\.$/),
      ],
    });
  });

  test("a speed whose interval holds the limit is not decided, and what disturbed the timing is said", () => {
    const noisy = facts([f16, q4, q2]);
    const speed = noisy.short.columns.findIndex(({ metric }) => metric.per === "repetition");
    for (const [i, low, high] of [
      [1, 70, 95],
      [2, 86, 99],
    ] as const) {
      const { cell } = noisy.short.rows[i]!.cells[speed]!;
      if (cell.state !== "measured") throw new Error("a speed is there");
      Object.assign(cell.summary, { low, high });
      cell.notes = [{ mark: "†", text: `other processes used 1.${i} CPU cores while this was timed` }];
    }
    const { sentences, variant, outcome } = chosenFrom(noisy, { minSpeed: 75 });
    expect([outcome, variant]).toEqual(["found", "Q2_K"]);
    expect(sentences[1]).toBe("No other file is shown to be.");
    expect(sentences.slice(-2)).toEqual([
      "Whether these make 75 tok/s is not decided (95 % interval): Q4_K_M (70 … 95).",
      "Speeds: other processes used 1.1 and 1.2 CPU cores while this was timed.",
    ]);
    expect(chosenFrom(noisy, { minSpeed: 98 }).outcome).toBe("undecided");
    const perhaps = chosenFrom(noisy, { minSpeed: 88, maxSize: 95e6 });
    expect(perhaps).toMatchObject({ outcome: "undecided", variant: "Q2_K" });
    expect(perhaps.sentences[0]).toMatch(/^Best of the files at most 95\.0 MB and perhaps at 88 tok\/s or more: Q2_K /);
    expect(chosenFrom(noisy, { minSpeed: 98, maxSize: 80e6 }).outcome).toBe("none");
    expect(chosenFrom(noisy, { minSpeed: 120 }).outcome).toBe("none");
  });

  test("the smallest that is shown to lose less than the margin", () => {
    expect(chosen({ margin: 0.01 })).toMatchObject({ outcome: "found", variant: "Q5_K_M" });
    expect(chosen({ margin: 0.05 })).toMatchObject({ outcome: "found", variant: "Q4_K_M" });
    expect(chosen({ margin: 0.05, minSpeed: 75 })).toMatchObject({ variant: "Q4_K_M" });
    expect(chosen({ margin: 0.01, maxSize: 100e6 })).toEqual({
      outcome: "none",
      sentences: ["No file at most 100.0 MB is shown to lose less than 1 %."],
    });
    const unsure = chosen({ margin: 0.01 }, [f16, { ...q4, cost: 0.008 }], { chunks: 3, spread: 5 });
    expect(unsure.outcome).toBe("undecided");
    expect(unsure.sentences[1]).toBe("Not decided, the data allow both: Q4_K_M.");
  });

  test("the loss that the interval allows is printed below the limit that it is below", () => {
    const found = facts([f16, q8]);
    const column = found.short.columns.findIndex(({ metric }) => metric.label === "PPL");
    Object.assign(found.short.rows[1]!.cells[column]!.comparison!, { low: -0.0012, high: 0.0009996 });
    const { sentences, variant } = chosenFrom(found, { margin: 0.001 });
    expect(variant).toBe("Q8_0");
    expect(sentences[0]).toMatch(/^Smallest file shown to lose less than 0\.1 %: Q8_0 /);
    expect(sentences[1]).toBe("Its 95 % intervals allow: PPL +0.09996 %.");
    expect(chosenFrom(found, { margin: 0.0005 }).sentences[0]).toBe("No file is shown to lose less than 0.05 %.");
  });

  test("by answers that are guessed no file is the best", () => {
    const events = eventsOf([f16, { ...q4, flips: [3, 4] }], { kinds: ["hellaswag"] }).map((event) =>
      event.type === "started"
        ? { ...event, jobs: event.jobs.map((job) => ({ ...job, task: { chance: 0.5 } })) }
        : event,
    );
    expect(chosenFrom(factsFrom(replay(events), ""), {})).toEqual({
      outcome: "undecided",
      sentences: ["It cannot be told which file to take: by hellaswag acc none is shown to be better than guessing."],
    });
  });

  test("what is better than several others names them", () => {
    expect(chosen({ maxSize: 120e6 }).sentences[1]).toBe("By PPL it is shown to be better than Q4_K_M, Q3_K_M, Q2_K.");
  });

  test("where each smaller file is worse or cannot be told, it is said which, and what failed", () => {
    const { outcome, sentences } = recommendedIn(facts([f16, { ...q3, end: "failed" }, q2]));
    expect(outcome).toBe("undecided");
    expect(sentences).toEqual([
      "No smaller file can be recommended; shown to be worse: Q2_K.",
      expect.stringMatching(/^Those that lose least for their size: Q2_K \(/),
      "Left out, because a figure is missing: Q3_K_M (failed).",
    ]);
  });

  test("a distance is told with its unit, and once why it decides nothing", () => {
    const kinds = ["perplexity", "divergence"] as const;
    const { sentences } = recommendedIn(facts([f16, { ...q8, kld: 0.004 }, { ...q5, kld: 0.009 }], { kinds }));
    expect(sentences.join(" ").match(/KLD 0\.00\d+ nat/g)).toHaveLength(2);
    expect(sentences.filter((line) => line.includes("beyond"))).toEqual([
      "KLD beyond 0.001 nat: predictions changed; whether for the worse, PPL says.",
    ]);
    expect(sentences.join(" ")).not.toContain("× the margin");
  });

  test("of two files of one size the one that is better, and in what", () => {
    const other = { ...f16, name: "other", reference: false };
    const run = { kinds: ["perplexity", "hellaswag"], questions: 400 } as const;
    const better = recommendedIn(facts([f16, { ...other, cost: -0.1, flips: [80, 0] }], run));
    expect(better).toMatchObject({ outcome: "found", variant: "other" });
    expect(better.sentences[0]).toMatch(
      /^other against F16: better in PPL \(−\d.*\) and hellaswag acc \(\+20 points\)\.$/,
    );
    const unsure = recommendedIn(
      facts([f16, { ...other, cost: 0.001, flips: [80, 0] }], { ...run, chunks: 4, spread: 90 }),
    );
    expect(unsure.outcome).toBe("undecided");
    expect(unsure.sentences[0]).toMatch(
      /^other against F16: better in hellaswag acc \(\+20 points\); not decided in PPL \(.* %\)\.$/,
    );
    const many = ["a", "b", "c", "d"].map((name, i) => ({ ...other, name, cost: 0.05 * i }));
    expect(recommendedIn(facts([f16, ...many])).sentences[0]).toBe(
      "Against F16: worse: b, c, d; too little to matter: a.",
    );
  });

  test("a file whose figure is missing is never chosen, and said to be left out", () => {
    for (const end of ["failed", "unfinished", "not a number"] as const) {
      const { variant, sentences } = chosen({ maxSize: 100e6 }, [f16, { ...q3, end }, q2]);
      expect(variant).toBe("Q2_K");
      const lack = { failed: "failed", unfinished: "not finished", "not a number": "broken" }[end];
      expect(sentences.at(-1)).toBe(`Left out, because a figure is missing: Q3_K_M (${lack}).`);
    }
  });

  test("a wish about what was not measured is refused", () => {
    expect(() => chosen({ minSpeed: 5 }, all, { kinds: ["perplexity"] })).toThrow("this run has no speed");
    expect(() => chosen({ maxSize: 1e9 }, all, { kinds: ["speed"] })).toThrow("No quality was measured");
    expect(() => chosen({ margin: 0.01 }, [{ ...f16, reference: false }, q8])).toThrow(
      "nothing was compared with a reference",
    );
  });

  test("without a wish, what the run itself concludes", () => {
    expect(recommendedIn(facts(all))).toMatchObject({ outcome: "found", variant: "Q8_0" });
    expect(recommendedIn(facts([f16, q2]))).toMatchObject({ outcome: "none" });
    expect(recommendedIn(facts([f16, { ...q4, cost: 0.05 }], { chunks: 3, spread: 3 }))).toMatchObject({
      outcome: "undecided",
    });
    expect(recommendedIn(facts([{ ...f16, reference: false }, q8]))).toMatchObject({ outcome: "found" });
  });
});
