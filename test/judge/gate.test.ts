import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { baselineText, readBaseline } from "../../dist/baseline.js";
import { type Check, type Gate, gate } from "../../dist/judge/gate.js";
import { parseRule } from "../../dist/judge/rules.js";
import { verdictsOver } from "../../dist/judge/verdicts.js";
import { replay } from "../../dist/replay/index.js";
import { junit } from "../../dist/reports/junit.js";
import { tableFrom } from "../../dist/reports/table.js";
import { detectableHarm } from "../../dist/stats/comparison.js";
import { compare } from "../../dist/stats/estimate.js";
import { type Series, seriesFrom } from "../../dist/stats/series.js";
import { normals } from "../draws.mjs";
import { bench, eventsOf, temporaryFolder } from "../support.js";
import { eventsOf as madeEvents } from "./ladders.js";

const folder = temporaryFolder();

/** One measured variant; `values` by metric, one per item. */
function series(variant: string, values: Record<string, number[]>, change: Partial<Series["job"]> = {}): Series {
  const metrics = Object.keys(values);
  const kind =
    metrics[0] === "acc"
      ? "choice"
      : metrics[0] === "tg128"
        ? "speed"
        : metrics[0] === "kld"
          ? "divergence"
          : "perplexity";
  return {
    variant: { name: variant, model: "m.gguf", backend: "llama", reference: false, tags: {}, settings: {} },
    job: {
      id: `${variant} ${Math.random()}`,
      variant,
      backend: "llama",
      measurement: kind,
      kind,
      dataset: "text",
      datasetSha256: "1",
      settings: { chunks: 24 },
      metrics,
      ...change,
    },
    engine: { version: "llama.cpp b1", library: "cpu.so" },
    machine: { cpu: "A", cpus: 2 },
    file: "text.txt",
    observations: new Map(
      Object.entries(values).map(([metric, list]) => [
        metric,
        list.map((value, i) => ({ item: String(i), value, weight: metric === "perplexity" ? 255 : 1 })),
      ]),
    ),
  };
}

const ask = (run: Series[], baseline: Series[], ...rules: string[]): Gate => gate(run, baseline, rules.map(parseRule));
const chunks = Array.from({ length: 24 }, (_, i) => 3 + 0.3 * Math.sin(7 * i));
const wobble = (i: number) => 0.001 * Math.sin(13 * i + 1);

test("a figure has one 95 % interval, the gate's as the table's: over parts of a text, subjects and turns", () => {
  const made = madeEvents(
    [
      { name: "a", reference: true },
      { name: "b", cost: 0.1, kld: 0.01, flips: [50, 3] },
    ],
    {
      kinds: ["perplexity", "divergence", "hellaswag", "speed"],
      chunks: 48,
      questions: 120,
    },
  );
  // Neighbours are alike, and ten parts hang together.
  const run = replay(
    made.map((event) => {
      if (event.type !== "samples" || event.job.endsWith("speed")) return event;
      const item = Number(event.item);
      const [metric] = event.samples;
      const size = metric!.metric === "acc" ? 12 : 4.8;
      const wave = metric!.metric === "acc" ? 1 : 1 + 0.2 * Math.sin(item / 4);
      const samples = event.samples.map((one) => ({
        ...one,
        value: Math.min(one.value * wave, one.metric === "same_top" ? 1 : 100),
      }));
      return { ...event, samples, cluster: `part ${Math.floor(item / size)}` };
    }),
  );
  const { columns, rows } = tableFrom(run);
  const rules = { perplexity: "20", bits_per_byte: "2", kld: "0.001", same_top: "90%", acc: "40%", tg128: "10" };
  for (const [metric, limit] of Object.entries(rules)) {
    const cell = rows[1]!.cells[columns.findIndex((column) => column.metric.name === metric)]!;
    if (cell.state !== "measured") throw new Error(`${metric} was not measured`);
    const { checks } = gate(seriesFrom(run), [], [parseRule(`${metric}: ${limit}`)]);
    const { sentence } = checks.find(({ variant }) => variant === "b")!;
    const [, low, high] = sentence.match(/95 % CI ([\d.]+) … ([\d.]+)/) ?? [];
    const shown = (end: number | undefined) =>
      Number(((limit.endsWith("%") ? 100 : 1) * end!).toFixed(low!.split(".")[1]!.length));
    expect([Number(low), Number(high)], sentence).toEqual([shown(cell.summary.low), shown(cell.summary.high)]);
  }
});

describe("rules are short strings", () => {
  test.each([
    ["perplexity: +0.5%", { metric: "perplexity", limit: { kind: "change", size: 0.005, relative: true } }],
    ["ppl:+0.5 %", { metric: "perplexity", limit: { kind: "change", size: 0.005, relative: true } }],
    ["acc: -2%", { metric: "acc", limit: { kind: "change", size: 0.02, relative: false } }],
    [
      "hellaswag.acc: −2%",
      { measurement: "hellaswag", metric: "acc", limit: { kind: "change", size: 0.02, relative: false } },
    ],
    ["tg: -5%", { metric: "tg", limit: { kind: "change", size: 0.05, relative: true } }],
    ["kld: 0.01", { metric: "kld", limit: { kind: "level", size: 0.01 } }],
    ["same_top: 95%", { metric: "same_top", limit: { kind: "level", size: 0.95 } }],
    ["kld: 3x floor", { metric: "kld", limit: { kind: "floor", times: 3 } }],
    ["flips: 2%", { metric: "flips", limit: { kind: "flips", size: 0.02 } }],
  ])("%s", (text, rule) => expect(parseRule(text)).toMatchObject(rule));

  test.each([
    ["perplexity", /is no rule.*METRIC: LIMIT/s],
    ["perplexty: +1%", /no metric.*Did you mean `perplexity`/s],
    ["perplexity: -1%", /lower is better.*`perplexity: \+1%`/s],
    ["tg: +5%", /higher is better.*`tg: -5%`/s],
    ["perplexity: 5%", /of what.*`perplexity: \+5%`/s],
    ["flips: +2", /`flips: 2%`/],
    ["delta_p: +1%", /neither less nor more is better/],
    ["acc: 3x floor", /noise floor/],
  ])("%s is refused with the remedy", (text, message) => {
    expect(() => parseRule(text)).toThrow(expect.objectContaining({ code: "rule" }));
    try {
      parseRule(text);
    } catch (error) {
      const { message: said, hint } = error as { message: string; hint: string };
      expect(`${said} ${hint}`).toMatch(message);
    }
  });

  test("a rule that fits nothing says what there is", () => {
    expect(() => ask([series("a", { perplexity: chunks })], [], "acc: 50%")).toThrow(/fits nothing in the run/);
  });
});

describe("the gate's answers", () => {
  const before = [series("Q4", { perplexity: chunks })];
  const worse = (by: number) => [series("Q4", { perplexity: chunks.map((nll, i) => nll + by + wobble(i)) })];

  test("harm beyond the limit fails, harm within it passes, the rest is undecided and says how many more should decide", () => {
    expect(ask(worse(0.02), before, "perplexity: +0.5%").checks[0]).toMatchObject({
      outcome: "failed",
      sentence: expect.stringMatching(
        /^Q4: PPL rose by 2\.0 % \(95 % CI .*\): beyond the 0\.5 % allowed \(p < 0\.001\)\.$/,
      ),
    });
    expect(ask(worse(0.001), before, "perplexity: +0.5%").checks[0]).toMatchObject({
      outcome: "passed",
      sentence: expect.stringMatching(/within the 0\.5 % allowed \(p < 0\.001\)/),
    });
    const open = ask(worse(0.0062), before, "perplexity: +0.5%");
    expect(open.outcome).toBe("undecided");
    expect(open.checks[0]!.sentence).toMatch(
      /undecided against the 0\.5 % allowed\. \d+ more chunks of both may decide, \d+ should; the run does not say how many the text has; a true rise of 0\.\d+ % would have failed with 80 % probability\.$/,
    );
    const { from, to } = open.checks[0]!.more!;
    expect(from).toBeGreaterThan(0);
    expect(to).toBeGreaterThan(from);
  });

  test("each sentence has fewer than 200 characters, whatever is found", () => {
    const random = normals(11);
    const names = { perplexity: "+0.5%", kld: "+10%", acc: "-2%", tg128: "-5%", bits_per_byte: "+1%" };
    const rules = [...Object.entries(names).map(([name, limit]) => `${name}: ${limit}`), "flips: 2%", "kld: 0.01"];
    for (let i = 0; i < 200; i++) {
      const n = 2 + (i % 40);
      const draw = (spread: number, middle: number) =>
        Array.from({ length: n }, () => Math.abs(middle + spread * random()));
      const measured = () => ({
        perplexity: draw(0.2, 2),
        kld: draw(0.01, 0.01),
        acc: draw(1, 0).map((one) => (one > 0.7 ? 1 : 0)),
        tg128: draw(3, 50),
        bits_per_byte: draw(0.1, 0.9),
      });
      const [run, baseline] = [[series("gemma-3-27b-it-UD-Q4_K_XL", measured())], [series("old", measured())]];
      for (const { sentence } of ask(run, baseline, ...rules).checks)
        for (const part of sentence.split(/(?<=\.) /)) expect(part.length, part).toBeLessThan(200);
    }
  });

  test("an undamaged copy passes every rule", () => {
    const metrics = { perplexity: chunks };
    const one = [series("a", metrics), series("a", { acc: [1, 0, 1, 1] }, { id: "same" })];
    const two = [series("a", metrics), series("a", { acc: [1, 0, 1, 1] }, { id: "same" })];
    const { outcome, checks } = ask(two, one, "perplexity: +0%", "flips: 1%", "acc: -1%");
    expect(outcome).toBe("passed");
    expect(checks[0]!.sentence).toBe("a: PPL is the same in every item: within the 0 % allowed.");
  });

  test("flips count both ways", () => {
    const answers = Array.from({ length: 300 }, (_, i) => i % 2);
    const flipped = answers.map((one, i) => (i < 40 ? 1 - one : one));
    const { checks } = ask([series("a", { acc: flipped })], [series("a", { acc: answers })], "flips: 5%", "acc: -3%");
    expect(checks[0]).toMatchObject({
      outcome: "failed",
      sentence: expect.stringMatching(
        /^a: 40 answers of 300 flipped \(20 to right, 20 to wrong\).*beyond the 5 % allowed/,
      ),
    });
    // The accuracy is the same to the digit.
    expect(checks[1]!.outcome).not.toBe("failed");
  });

  test("levels need no baseline; the floor is the reference's distance from itself", () => {
    const run = [
      series("F16", { kld: chunks.map((_, i) => 1e-6 * (2 + Math.sin(i))) }, { against: "F16" }),
      series("Q4", { kld: chunks.map((_, i) => 0.02 + wobble(i)) }, { against: "F16" }),
      series("copy", { kld: chunks.map((_, i) => 1e-6 * (2 + Math.cos(i))) }, { against: "F16" }),
    ];
    const { checks } = ask(run, [], "kld: 0.01", "kld: 3x floor");
    expect(checks.map(({ variant, rule, outcome }) => [variant, rule, outcome])).toEqual([
      ["F16", "kld: 0.01", "passed"],
      ["Q4", "kld: 0.01", "failed"],
      ["copy", "kld: 0.01", "passed"],
      ["Q4", "kld: 3x floor", "failed"],
      ["copy", "kld: 3x floor", "passed"],
    ]);
  });

  test("where the floor's few chunks leave it open, more chunks of the variant are not promised to decide", () => {
    const few = [1, 1.6, 0.7, 1.2].map((one) => 1e-6 * one);
    const noisy = (n: number, times: number) =>
      Array.from({ length: n }, (_, i) => times * 1e-6 * (1 + Math.sin(5 * i) / 5));
    const said = (n: number, times: number, there = 10_000) => {
      const own = { ...series("Q8", { kld: noisy(n, times) }, { against: "F16" }), there };
      const cut = { ...own, job: { ...own.job, settings: { chunks: n } } };
      return ask([series("F16", { kld: few }, { against: "F16" }), cut], [], "kld: 3x floor").checks[0]!;
    };
    for (const [n, times, there, sentence] of [
      // On any number of chunks of this text it may lie at the limit.
      [
        64,
        3.8,
        64,
        /It may lie at the limit\. The noise floor was measured on 4 chunks: on \d+ \(floor: \d+\) it could decide, or no number does\.$/,
      ],
      [64, 5, 64, /The noise floor was measured on 4 chunks: measure it on \d+ \(floor: \d+\)\.$/],
      [64, 3.4, 1000, /The noise floor was measured on 4 chunks: measure both on \d+ \(chunks: \d+, floor: \d+\)\.$/],
      [8, 4.8, 1000, /The noise floor was measured on 4 chunks: measure both on \d+ \(chunks: \d+, floor: \d+\)\.$/],
    ] as const) {
      const check = said(n, times, there);
      expect(check).toMatchObject({ outcome: "undecided", sentence: expect.stringMatching(sentence) });
      expect(check).not.toHaveProperty("more");
    }
  });

  test("nothing is promised that the data cannot give", () => {
    const open = (there: number | undefined, settings = { chunks: 24 }) => {
      const run = worse(0.0062).map((one) => ({ ...one, job: { ...one.job, settings }, ...(there ? { there } : {}) }));
      return ask(run, before, "perplexity: +0.5%").checks[0]!;
    };
    const { from, to } = open(undefined).more!;
    expect(open(24 + to).more).toEqual({ from, to });
    const needed = `${from} to ${to} more chunks of both would be needed: the whole text`;
    for (const [there, said] of [
      [
        24 + to - 1,
        `${from} more chunks of both may decide, ${to} should; the whole text has ${to - 1} more, which may not be enough`,
      ],
      [24 + from - 1, `${needed} has ${from - 1} more, not enough`],
      [24, `${needed} is measured`],
    ] as const) {
      expect(open(there)).not.toHaveProperty("more");
      expect(open(there).sentence).toContain(`${said}; a true rise`);
    }
    // Whoever did not ask for fewer has measured all.
    expect(open(undefined, {} as { chunks: number }).sentence).toContain("would be needed: the whole text is measured");
  });

  test("where the run does not say how much text there is, another measurement of it does, or the answer says that nobody knows", () => {
    const part = (more: Partial<Series>, job: Partial<Series["job"]>) => {
      const [one] = worse(0.0062);
      return { ...one!, job: { ...one!.job, askedSha256: "t", ...job }, ...more };
    };
    const asked = (...run: Series[]) => ask(run, before, "perplexity: +0.5%").checks[0]!;
    const unknown = asked(part({}, {}));
    expect(unknown.sentence).toContain("should; the run does not say how many the text has; a true rise");
    const beside = (job: Partial<Series["job"]>) =>
      part({ there: 40 }, { measurement: "divergence", metrics: ["kld"], ...job });
    const { to, from } = unknown.more!;
    expect(to).toBeGreaterThan(16);
    const told = asked(part({}, {}), beside({}));
    expect(told).not.toHaveProperty("more");
    expect(told.sentence).toContain(
      `the whole text has 16 more, ${from > 16 ? "not enough" : "which may not be enough"}`,
    );
    for (const other of [{ askedSha256: "u" }, { settings: { chunks: 24, context: 99 } }, { variant: "Q5" }])
      expect(asked(part({}, {}), beside(other)).sentence).toBe(unknown.sentence);
  });

  test("5 % of a two-sided p decides, just where the 95 % interval does; among several checks it is adjusted", () => {
    const alone = (by: number) => ask(worse(by), before, "perplexity: +0.5%").checks[0]!;
    // The least harm that fails by itself.
    let by = 0.005;
    while (alone(by).outcome !== "failed") by += 0.000005;
    const { sentence } = alone(by);
    expect(sentence).toMatch(/\(95 % CI 0\.50 … .*\(p = 0\.0(49|50)\)\.$/);
    const among = ask(
      [...worse(by), series("Q5", { perplexity: chunks.map((nll, i) => nll + 0.0062 + wobble(i)) })],
      [...before, series("Q5", { perplexity: chunks })],
      "perplexity: +0.5%",
    ).checks[0]!;
    expect(among).toMatchObject({
      outcome: "undecided",
      sentence: expect.stringMatching(
        /: likely beyond the 0\.5 % allowed, not certain among 2 tested checks \(adjusted p = 0\.(099|100?)\)\. /,
      ),
    });
  });

  test("a measurement is named where its kind is not its name; a baseline's names are told in short", () => {
    const named = (measurement: string) => ({ measurement, datasetSha256: measurement });
    const of = (name: string) => [
      series(name, { perplexity: chunks }, named("prose-en")),
      series(name, { perplexity: chunks }, named("prose-zh")),
      series(name, { acc: [1, 0, 1, 1] }, { ...named("facts"), id: "one" }),
    ];
    const rules = ["perplexity: +0%", "flips: 1%"];
    expect(
      ask(of("a"), of("a"), ...rules).checks.map(({ sentence }) => sentence.split(":").slice(0, 2).join(":")),
    ).toEqual([
      "a: prose-en PPL is the same in every item",
      "a: prose-zh PPL is the same in every item",
      "a: facts acc",
    ]);
    const others = ["b", "c", "d", "e", "f"].flatMap(of);
    expect(ask([...of("a"), ...of("b")], others, "perplexity: +0%").checks[0]!.sentence).toBe(
      "a: prose-en PPL is undecided: the baseline has no variant named a, only b, c, d and 2 more.",
    );
  });

  test("on the limit itself many are promised, or none where few items leave it wide open", () => {
    const at = (chunks: number[], spread: number) => {
      const own = chunks.map((nll, i) => nll + Math.log(1.005) + spread * wobble(i));
      const run = [series("Q4", { perplexity: own })];
      return ask(run, [series("Q4", { perplexity: chunks })], "perplexity: +0.5%").checks[0]!;
    };
    expect(at(chunks, 1).more!.to).toBeGreaterThan(20 * chunks.length);
    const { sentence, more } = at(chunks.slice(0, 9), 6);
    expect(more).toBeUndefined();
    expect(sentence).toMatch(
      /It may lie at the limit: \d+ more chunks of both could decide, or no number does; |It lies too near the limit/,
    );
  });

  test("an accuracy that neither run shows to be above chance is not judged; a fall to chance is", () => {
    const task = { chance: 0.25 };
    const answers = (right: number) => Array.from({ length: 200 }, (_, i) => ((i * 7919) % 200 < right ? 1 : 0));
    const of = (right: number) => [series("a", { acc: answers(right) }, { task })];
    const outcome = (now: number, old: number, ...rules: string[]) => ask(of(now), of(old), ...rules).checks;
    const [guessed] = outcome(40, 58, "acc: -2%");
    expect(guessed).toMatchObject({
      outcome: "undecided",
      sentence: "a: acc is undecided: neither run is shown to do better than guessing (25 %).",
    });
    expect(outcome(50, 120, "acc: -2%")[0]!.outcome).toBe("failed");
    expect(outcome(60, 55, "flips: 1%")[0]!.outcome).not.toBe("passed");
    expect(outcome(90, 55, "acc: 20%")[0]).toMatchObject({
      outcome: "passed",
      notes: ["Guessing alone gives 25 % of acc."],
    });
    const same = [series("a", { acc: answers(50) }, { task, id: "one" })];
    expect(ask(same, same, "acc: -2%").outcome).toBe("passed");
  });

  test("fewer than three repetitions, or an interval over more than tenfold, cannot tell", () => {
    const old = [series("a", { tg128: [50, 51, 49, 50, 50] })];
    for (const [values, baseline] of [
      [[50, 50.1], old],
      [[50], old],
      [[50, 5, 900], old],
      [[50, 50.1, 50.2], [series("a", { tg128: [50, 51] })]],
    ] as const) {
      const [check] = ask([series("a", { tg128: [...values] })], [...baseline], "tg: -5%").checks;
      expect(check).toMatchObject({
        outcome: "undecided",
        sentence: expect.stringMatching(/^a: tg128: cannot tell: 5 repetitions or more\./),
      });
    }
  });

  test("no flip among few questions in subjects is no proof that none would", () => {
    const answers = Array.from({ length: 100 }, (_, i) => i % 2);
    const clusters = new Map(answers.map((_, i) => [String(i), `subject ${i % 5}`]));
    const of = () => ({ ...series("a", { acc: answers }), clusters });
    for (const rule of ["acc: -1%", "flips: 1%", "acc: -2%"])
      expect(ask([of()], [of()], rule).checks[0]).toMatchObject({ outcome: "undecided" });
  });

  describe("speed of runs apart", () => {
    const once = (mean: number) => [mean, mean * 1.01, mean * 0.99, mean * 1.005, mean * 0.995];
    const one = (mean: number): Series => series("a", { tg128: once(mean) });
    /** Three runs, each with a pace of its own. */
    const three = (mean: number): Series => {
      const found = series("a", { tg128: [0.99, 1, 1.01].flatMap((pace) => once(mean * pace)) });
      const later = found.observations.get("tg128")!.slice(5);
      return { ...found, clusters: new Map(later.map(({ item }) => [item, `session ${Number(item) < 10 ? 2 : 3}`])) };
    };
    const asked = (now: Series, before: Series) => ask([now], [before], "tg: -5%").checks[0]!;

    test("three runs on each side show whether it is five per cent slower", () => {
      expect(asked(three(50.1), three(50)).outcome).toBe("passed");
      expect(asked(three(42), three(50)).outcome).toBe("failed");
      expect(asked(three(47.6), three(50)).outcome).toBe("undecided");
    });

    test("one run each fails for much, passes for little but a wide limit, and says what it assumes", () => {
      const assumed = /1 run against 1: runs of one build are assumed to differ by 5 %/;
      const told = ({ sentence, ...check }: Check) => [sentence, ...("notes" in check ? [check.notes] : [])].join(" ");
      expect(asked(one(50.1), one(50)).outcome).toBe("undecided");
      expect(asked(one(40), one(50)).outcome).toBe("failed");
      expect(ask([one(50)], [one(50)], "tg: -15%").outcome).toBe("passed");
      for (const mean of [40, 50]) expect(told(asked(one(mean), one(50)))).toMatch(assumed);
      expect(told(asked(one(50), three(50)))).toMatch(/3 runs against 1: the one is taken to scatter as the 3 do/);
    });

    test("a run that other processes disturbed decides nothing by itself", () => {
      const disturbed = { ...one(30), foreign: 1.6 };
      for (const check of [asked(disturbed, one(50)), asked(one(50), disturbed), asked(disturbed, three(50))])
        expect(check).toMatchObject({
          outcome: "undecided",
          sentence: expect.stringContaining("other processes used 1.6 of 2 CPU cores while a was timed"),
        });
      // Runs show by themselves what it does to them.
      expect(asked({ ...three(30), foreign: 1.6 }, three(50)).outcome).toBe("failed");
      expect(asked({ ...one(50), foreign: 0.05 }, one(50)).sentence).not.toContain("other processes");
    });

    test("a difference that other processes' load explains session by session is none, in the gate and in compare", () => {
      const beside = (one: Series, ...loads: number[]) => ({ ...one, foreign: loads[0]!, loads });
      const [slow, fast] = [three(42), three(50)];
      const explained = [beside(slow, 1.92, 1.96, 1.97), beside(fast, 1.84, 1.83, 1.8)] as const;
      expect(asked(...explained)).toMatchObject({
        outcome: "undecided",
        sentence:
          "a: tg128 is undecided: other processes used 1.95 CPU cores beside the slower side's sessions and 1.82 beside the other's, which may be the difference: time both in turns, in one run.",
      });
      const others: [slower: number[], faster: number[]][] = [
        [
          [1.84, 1.83, 1.8],
          [1.92, 1.96, 1.97],
        ],
        [
          [1.92, 1.82, 1.97],
          [1.84, 1.83, 1.8],
        ],
        [
          [0.09, 0.08, 0.09],
          [0.02, 0.01, 0.02],
        ],
      ];
      for (const [slower, faster] of others)
        expect(asked(beside(slow, ...slower), beside(fast, ...faster)).outcome).toBe("failed");

      const compared = (a: Series, b: Series) => {
        const { questions } = verdictsOver([{ title: "", pairs: [["a", "a"]] }], (_, side) => [side === "a" ? a : b], {
          across: true,
          metrics: ["tg128"],
        });
        return questions[0]!.pairs[0]!;
      };
      expect(compared(explained[1], explained[0]).sentence).toMatch(
        /tg128: likely 16\.0 % slower \(95 % CI .*; not certain beside other processes\)\. .*other processes used 1\.95 CPU cores beside the slower side's/,
      );
      expect(compared(fast, slow).sentence).toMatch(/^a loses to a on tg128 by 16\.0 %/);
    });

    test("another machine is refused", () => {
      const elsewhere = { ...one(50), machine: { cpu: "B", cpus: 8 } };
      expect(asked(elsewhere, one(50))).toMatchObject({
        outcome: "undecided",
        sentence: expect.stringContaining("is another machine"),
      });
    });
  });

  test("speed across runs: more repetitions of one run do not decide, more runs do", () => {
    const timed = (runs: number, mean: number) => {
      const values = Array.from({ length: 5 * runs }, (_, i) => {
        const run = Math.floor(i / 5);
        return mean * (1 + 0.02 * Math.sin(5 * run + mean) + 0.002 * Math.sin(9 * i));
      });
      const clusters = new Map(values.map((_, i) => [String(i), `run ${Math.floor(i / 5)}`]));
      return [{ ...series("a", { tg128: values }), clusters }];
    };
    const sentence = (runs: number, mean: number) =>
      ask(timed(runs, mean), timed(runs, 50), "tg: -5%").checks[0]!.sentence;
    expect(sentence(1, 47)).toContain(
      "3 runs of both or more could decide (--again); more repetitions of one run do not show how much runs differ",
    );
    expect(sentence(4, 48.5)).toMatch(/\d+ more runs? of both (may decide, \d+ should|should decide) \(--again\)/);
  });

  test("what was not measured, or cannot be compared, never passes", () => {
    const failed = [{ ...series("Q4", { perplexity: [] }), observations: new Map(), missing: "failed: no memory" }];
    expect(ask(failed, before, "perplexity: +1%").checks[0]!.sentence).toBe("Q4: PPL is undecided: failed: no memory.");
    const other = [series("Q4", { perplexity: chunks }, { datasetSha256: "2" })];
    expect(ask(other, before, "perplexity: +1%").outcome).toBe("undecided");
    const two = [...before, series("Q2", { perplexity: chunks })];
    expect(ask(two, before, "perplexity: +1%").checks[1]!.sentence).toContain("the baseline has no variant named Q2");
  });

  test("a model that computes NaN fails", () => {
    const broken = [series("Q4", { perplexity: chunks.map((nll, i) => (i === 3 ? Number.NaN : nll)) })];
    expect(ask(broken, before, "perplexity: +1%").checks[0]).toMatchObject({ outcome: "failed" });
  });

  test("one variant each is compared whatever its name", () => {
    const renamed = [{ ...series("new-build", { perplexity: chunks }) }];
    expect(ask(renamed, before, "perplexity: +1%").outcome).toBe("passed");
  });
});

describe("simulated, two thousand gates each", () => {
  const draws = 2000;
  /** Autocorrelated chunks; the new build costs `harm` nats more per token. */
  const build = (normal: () => number, harm: number) => {
    let last = normal();
    const base = Array.from({ length: 64 }, () => 3 + 0.3 * normal());
    const now = base.map((nll) => {
      last = 0.3 * last + Math.sqrt(1 - 0.09) * normal();
      return nll + harm + 0.01 * last;
    });
    return { base, now };
  };
  const failures = (seed: number, harm: number, variants: number) => {
    const normal = normals(seed);
    let count = 0;
    for (let draw = 0; draw < draws; draw++) {
      const builds = Array.from({ length: variants }, () => build(normal, harm));
      const run = builds.map(({ now }, i) => series(`v${i}`, { perplexity: now }));
      const baseline = builds.map(({ base }, i) => series(`v${i}`, { perplexity: base }));
      if (ask(run, baseline, "perplexity: +0.5%").outcome === "failed") count++;
    }
    return (100 * count) / draws;
  };

  test("the truth on the very limit: false alarms of a gate of four variants stay under 5 %", () => {
    const alarms = failures(1, Math.log(1.005), 4);
    console.log(`      false alarms on the limit: ${alarms.toFixed(1)} %`);
    expect(alarms).toBeLessThanOrEqual(5);
  });

  test("no harm at all: no alarm", () => {
    expect(failures(2, 0, 4)).toBeLessThan(0.5);
  });

  test("the stated detectable harm is missed at most once in five", () => {
    const normal = normals(3);
    let stated = 0;
    const tries = 400;
    for (let i = 0; i < tries; i++) {
      const { base, now } = build(normal, 0);
      const observed = (values: number[]) => values.map((value, item) => ({ item: String(item), value, weight: 255 }));
      const comparison = compare("perplexity", observed(base), observed(now));
      stated += detectableHarm(comparison, { limit: 0.005, rises: true, family: 1 }) / tries;
    }
    const caught = failures(4, Math.log1p(stated), 1);
    console.log(`      stated harm ${(100 * stated).toFixed(2)} %, missed in ${(100 - caught).toFixed(1)} %`);
    expect(100 - caught).toBeLessThanOrEqual(20);
  });
});

test("JUnit: counts, and every character that XML minds", () => {
  const result: Gate = {
    outcome: "failed",
    checks: [
      {
        rule: "kld: 1",
        variant: `<a> & "b"`,
        measurement: "m",
        metric: "kld",
        outcome: "failed",
        sentence: "it's\u0000 <bad>",
      },
      { rule: "acc: -1%", variant: "c", measurement: "m", metric: "acc", outcome: "undecided", sentence: "open" },
      { rule: "size: +1%", variant: "d", measurement: "model", metric: "size", outcome: "passed", sentence: "ok" },
    ],
  };
  expect(junit(result)).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="gguf-bench gate" tests="3" failures="1" errors="1">
  <testsuite name="gguf-bench gate" tests="3" failures="1" errors="1">
    <testcase classname="&lt;a&gt; &amp; &quot;b&quot;" name="kld: 1 (m kld)">
      <failure type="failed" message="it&apos;s\uFFFD &lt;bad&gt;"/>
    </testcase>
    <testcase classname="c" name="acc: -1% (m acc)">
      <error type="undecided" message="open"/>
    </testcase>
    <testcase classname="d" name="size: +1% (model size)">
      <system-out>ok</system-out>
    </testcase>
  </testsuite>
</testsuites>
`);
});

describe("from the command line, with models whose truth is known", () => {
  const text = join(folder, "text.txt");
  writeFileSync(text, Array.from({ length: 4000 }, (_, i) => `${(i * 7919) % 1000} words, ${i % 17} more. `).join(""));
  const measure = async (name: string, damage: number) => {
    const file = join(folder, `${name}.yaml`);
    writeFileSync(
      file,
      `variants:\n  model: {model: "mock:seed=1,damage=${damage}"}\nmeasurements:\n  perplexity: {text: text.txt, context: 256, chunks: 64}\n  speed: {prompt: 64, generate: 16, repetitions: 5}\n`,
    );
    const out = join(folder, name);
    expect((await bench(["run", file, "--out", out, "--plain"])).code).toBe(0);
    return out;
  };

  test("baseline, an undamaged copy, a damaged one, compare, JUnit, exit codes", async () => {
    const good = await measure("good", 0);
    const bad = await measure("bad", 0.5);
    const file = join(folder, "baseline.jsonl");
    expect((await bench(["baseline", good, "--out", file])).code).toBe(0);
    // Whoever writes it, and when: the same bytes.
    expect(baselineText(replay(eventsOf(good)))).toBe(readFileSync(file, "utf8"));
    expect(readBaseline(file)).toHaveLength(2);

    const rules = ["--baseline", file, "--rule", "perplexity: +0.5%", "--rule", "tg: -50%"];
    const copy = await bench(["gate", good, ...rules]);
    expect(copy.stdout).toMatch(/Gate: passed \(2 checks\)\.\n$/);
    expect(copy.code).toBe(0);
    const xml = join(folder, "junit.xml");
    const damaged = await bench(["gate", bad, ...rules, "--junit", xml]);
    expect(damaged.stdout).toMatch(/^FAIL {2}perplexity: \+0\.5% {2}model: PPL rose by .* beyond the 0\.5 % allowed/m);
    expect(damaged.code).toBe(3);
    expect(readFileSync(xml, "utf8")).toContain('failures="1"');
    const open = await bench(["gate", good, "--rule", "perplexity: 1000000", "--rule", "tg: 200"]);
    expect(open.code).toBe(4);

    const compared = await bench(["compare", good, bad]);
    expect(compared.stdout).toMatch(/model \(.*bad\) loses to model \(.*good\) on PPL by/);
    expect((await bench(["compare", `${good}:model`, `${bad}:none`])).stderr).toContain('has no variant named "none"');
    expect((await bench(["gate", good, ...rules.slice(2), "--baseline", join(folder, "no")])).stderr).toContain(
      "gguf-bench baseline RUN --out",
    );
  });

  test("a damaged baseline names its line", () => {
    const file = join(folder, "damaged.jsonl");
    writeFileSync(file, '{"format":"gguf-bench baseline 1"}\n["x/perplexity","0",{"perplexity":3}]\n');
    expect(() => readBaseline(file)).toThrow(
      /damaged\.jsonl:2 is no line of a baseline: "x\/perplexity" was not introduced/,
    );
    writeFileSync(file, "{}\n");
    expect(() => readBaseline(file)).toThrow(/:1 is no line/);
  });
});
