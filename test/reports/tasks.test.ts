import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { JobRecord, Measured, StoredEvent, VariantRecord } from "../../dist/events.js";
import { verdictsFrom } from "../../dist/judge/index.js";
import { replay } from "../../dist/replay/index.js";
import { factsFrom, writeReports } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { tableFrom } from "../../dist/reports/table.js";
import { tasksFrom } from "../../dist/reports/tasks.js";
import { text } from "../../dist/reports/text.js";
import { random } from "../draws.mjs";
import { events as others } from "./fixture.js";

const sizes = { law: 40, physics: 20, sport: 60, art: 28, music: 52, zoology: 40 };
const all = Object.keys(sizes);
const groups = {
  STEM: ["physics", "zoology"],
  Other: ["law", "sport", "art", "music"],
  hard: ["physics", "astronomy"],
};

const questions = Object.entries(sizes).flatMap(([cluster, size]) =>
  Array.from({ length: size }, (_, row) => ({ item: `${cluster}/${row}`, cluster, gold: (7 * row) % 4 })),
);

type Scored = Pick<Measured, "item" | "cluster" | "gold" | "prediction" | "scores" | "samples">;

/** Answers of a model that knows a share of the keys, and favours an option by so many nats. */
function answers(seed: number, knows: number, favours: number, nats: number, keys = true): Scored[] {
  const next = random(seed);
  return questions.map(({ item, cluster, gold }) => {
    const scores = [0, 1, 2, 3].map(
      (option) => -3 + (option === favours ? nats : 0) + 0.2 * next() + (option === gold && next() < knows ? 1 : 0),
    );
    const prediction = scores.indexOf(Math.max(...scores));
    const mass = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    const sample = (metric: string, value: number) => ({ metric, value, weight: 1 });
    return {
      ...{ item, cluster, prediction, scores },
      ...(keys ? { gold } : {}),
      samples: [
        keys ? sample("acc", prediction === gold ? 1 : 0) : sample("ungraded", 1),
        sample("answer_mass", Math.min(1, mass)),
      ],
    };
  });
}

const variants = (others[0] as { variants: VariantRecord[] }).variants.slice(0, 2);
const [F16, Q2_K] = variants.map(({ name }) => name) as [string, string];

/** A run of these answers by both variants. */
function run(given: Record<string, Scored[]>, more: Partial<JobRecord> = {}): StoredEvent[] {
  const started = others[0] as Extract<StoredEvent, { type: "started" }>;
  const jobs = variants.map(
    ({ name, backend }): JobRecord => ({
      ...{ id: `ceval-${name}`, variant: name, backend, measurement: "ceval", kind: "choice", dataset: "ceval" },
      ...{ settings: {}, metrics: ["acc", "answer_mass"] },
      task: {
        ...{ chance: 0.25, split: "val", style: "ymcui", shots: 5, groups, answers: ["A", "B", "C", "D"] },
        titles: { law: "法律", music: "Music" },
      },
      ...more,
    }),
  );
  return [
    { ...started, variants, jobs, measurements: [{ name: "ceval", kind: "choice", settings: {} }] },
    ...jobs.flatMap(({ id, variant }): StoredEvent[] => [
      { type: "job-started", at: 0, job: id, done: 0 },
      ...given[variant]!.map((item): StoredEvent => ({ type: "samples", job: id, ...item })),
      { type: "job-done", at: 0, job: id, items: given[variant]!.length, seconds: 1 },
    ]),
  ];
}

const good = replay(run({ [F16]: answers(1, 0.9, 0, 0), [Q2_K]: answers(2, 0.5, 0, 0) }));
const biased = replay(run({ [F16]: answers(1, 0.6, 1, 0.95), [Q2_K]: answers(2, 0, 1, 3) }));

describe("a task of several subjects", () => {
  const [task] = tasksFrom(good);

  test("has a micro and a macro average, and groups of their own subjects", () => {
    const { figure } = task!.variants[0]!;
    const rights = (subjects: string[]) =>
      answers(1, 0.9, 0, 0)
        .filter(({ cluster }) => subjects.includes(cluster!))
        .map(({ samples }) => samples[0]!.value);
    const share = (subjects: string[]) => rights(subjects).reduce((sum, one) => sum + one, 0) / rights(subjects).length;
    expect(figure!.summary).toMatchObject({ n: 240, value: share(all) });
    expect(figure!.parts!.macro.value).toBeCloseTo(all.reduce((sum, one) => sum + share([one]), 0) / 6, 12);
    const { groups: found, subjects } = figure!.parts!;
    expect(found.map(({ name, subjects, summary: { n } }) => [name, subjects, n])).toEqual([
      ["STEM", 2, 60],
      ["Other", 4, 180],
      ["hard", 1, 20],
    ]);
    expect(found[1]!.summary.value).toBeCloseTo(share(groups.Other), 12);
    expect(subjects.map(({ name, summary: { n } }) => [name, n])).toEqual(Object.entries(sizes));
    for (const { low, high, value } of [
      figure!.summary,
      figure!.parts!.macro,
      ...found.map(({ summary }) => summary),
    ]) {
      expect(low).toBeLessThan(value);
      expect(high).toBeGreaterThan(value);
    }
  });

  test("says of a variant that answered fewer questions how many it answered", () => {
    const [whole, part] = [answers(1, 0.9, 0, 0), answers(2, 0.5, 0, 0).filter(({ item }) => item !== "law/0")];
    const report = markdown(factsFrom(replay(run({ [F16]: part, [Q2_K]: whole })), ""));
    expect(report).toMatch(/\| micro average +\| 240 \| .*, n 239 \| +\d+\.\d\d \([^,]*\) \|/);
    expect(report).toMatch(/\| law 法律 +\| +40 \| +\d+\.\d\d, n 39 \| +\d+\.\d\d \|/);
    expect(report).toMatch(/\| music +\| +52 \| +\d+\.\d\d \| +\d+\.\d\d \|/);
  });

  test("stands in Markdown, in the terminal and in a CSV file of its own", async () => {
    const report = markdown(factsFrom(good, ""));
    expect(report).toContain("### ceval: split val, 5-shot, style ymcui, guessing gives 25.0 %");
    expect(report).toMatch(/\| micro average +\| +240 \|/);
    expect(report).toMatch(/\| macro average of 6 subjects +\| +240 \|/);
    expect(report).toMatch(/\| hard +\| +20 \| +\d+\.\d\d \(\d+\.\d\d … \d+\.\d\d\)/);
    expect(report).toMatch(/\| law 法律 +\| +40 \|/);
    // A title that only writes the name as prompts do is not told beside it.
    expect(report).toMatch(/\| music +\| +52 \|/);
    expect(report).toContain("micro average: all questions of 6 subjects alike");
    const screen = text(factsFrom(good, ""));
    expect(screen).toMatch(
      /ceval: split val, 5-shot, style ymcui, 240 questions, guessing gives 25\.0 %\n {2}F16 {3}micro \d+\.\d, macro \d+\.\d; STEM/,
    );
    for (const line of screen.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    const folder = mkdtempSync(join(tmpdir(), "gguf-bench-tasks-"));
    await writeReports(folder, factsFrom(good, folder));
    const [head, ...rows] = readFileSync(join(folder, "tasks.csv"), "utf8").trim().split("\n");
    expect(head).toBe(
      "variant,backend,measurement,dataset,split,style,shots,subjects,limit,part,name,metric,value,error,low,high,n,chance,place",
    );
    const own = rows.filter((row) => row.startsWith("F16,"));
    for (const row of rows) expect(row.split(",")).toHaveLength(head!.split(",").length);
    const parts = own.map((row) => row.split(",").slice(9, 12).join(" "));
    expect(parts).toEqual([
      ..."micro  acc|macro  acc|group STEM acc|group Other acc|group hard acc".split("|"),
      ...all.map((subject) => `subject ${subject} acc`),
      "micro  acc_corrected",
      ..."answer A share|answer B share|answer C share|answer D share".split("|"),
    ]);
    expect(own[0]).toMatch(/,240,0\.25,above$/);
  });
});

test("what is asked of the data stands wherever figures do", async () => {
  const task = { chance: 0.25, split: "val", style: "chat", shots: 0, subjects: ["law", "STEM"] };
  const some = run(
    { [F16]: answers(1, 0.9, 0, 0), [Q2_K]: answers(2, 0.5, 0, 0) },
    { measurement: "in-chat", task, settings: { limit: 240 } },
  );
  const asked = "in-chat: ceval, split val, 0-shot, style chat, subjects law, STEM, limit 240";
  const told = (events: StoredEvent[]) => {
    const facts = factsFrom(replay(events), "");
    return { report: markdown(facts), screen: text(facts, { width: 200 }) };
  };
  const { report, screen } = told(some);
  expect(report).toContain(`### ${asked}, guessing gives 25.0 %`);
  expect(report).toContain(`- ${asked}\n`);
  const counted = asked.replace("limit 240", "240 questions");
  expect(screen).toContain(`${counted}, guessing gives 25.0 %\n  F16   micro`);
  // Questions of one subject have no averages.
  const single = some.map((event) => (event.type === "samples" ? { ...event, cluster: "law" } : event));
  expect(told(single).screen).toContain(`\n${counted}, guessing gives 25.0 %\n`);
  const folder = mkdtempSync(join(tmpdir(), "gguf-bench-tasks-"));
  await writeReports(folder, factsFrom(replay(some), folder));
  expect(readFileSync(join(folder, "tasks.csv"), "utf8")).toMatch(
    /^F16,[^,]*,in-chat,ceval,val,chat,0,law; STEM,240,micro,/m,
  );
});

describe("a figure that is not above chance", () => {
  test("is marked in the table, in both forms for people, and in the status", () => {
    const facts = factsFrom(biased, "");
    const of = facts.table;
    const [first, second] = of.rows.map(({ cells }) => cells[of.columns.findIndex(({ name }) => name === "acc")]);
    expect(first).not.toHaveProperty("guessed");
    expect(second).toMatchObject({ guessed: "not shown to be above chance: 25 %" });
    const said = "better than guessing, which gives 25 %: the 95 % interval is not above it";
    expect(markdown(facts)).toContain(`° ceval: not shown to be ${said}`);
    const screen = text(facts, { width: 200 });
    expect(screen.replace(/\s+/g, " ")).toContain(`° ceval: not shown to be ${said}`);
    expect(screen).toMatch(/Q2_K .* °/);
  });

  test("is not compared with another such: neither is called better, and no file is recommended", () => {
    const pair = (run: typeof good) => verdictsFrom(run).questions[0]!.pairs[0]!;
    const both = replay(run({ [F16]: answers(1, 0, 1, 3), [Q2_K]: answers(2, 0, 2, 3) }));
    expect(pair(both).results[0]!.verdict).toEqual({ kind: "chance", chance: 0.25 });
    expect(pair(both).sentence).toContain(
      "neither is shown to be better than guessing (25 %), so neither is called better",
    );
    const [ladder] = verdictsFrom(both).ladders;
    expect(ladder).not.toHaveProperty("near");
    expect(ladder).not.toHaveProperty("smallest");
    expect(pair(biased).results[0]!.verdict).toMatchObject({ kind: "different", direction: "worse" });
  });

  test("is told with the chance of its own column, and in a way that fits answers without a fault", () => {
    const few = (gold: number) => answers(1, 1, 0, 0).slice(gold, gold + 2);
    const right = (all: Scored[]) => all.map((one) => ({ ...one, samples: [{ metric: "acc", value: 1, weight: 1 }] }));
    const of = (measurement: string, chance: number) =>
      run({ [F16]: right(few(0)), [Q2_K]: right(few(2)) }, { measurement, task: { chance } });
    const [first, second] = [of("four", 0.25), of("two", 0.5)] as const;
    const [plan] = first as [Extract<StoredEvent, { type: "started" }>];
    const [other] = second as [Extract<StoredEvent, { type: "started" }>];
    const renamed = (id: string) => `two-${id}`;
    const jobs = [...plan.jobs, ...other.jobs.map((job) => ({ ...job, id: renamed(job.id) }))];
    const measurements = ["four", "two"].map((name) => ({ name, kind: "choice", settings: {} }));
    const events = [
      { ...plan, jobs, measurements },
      ...first.slice(1),
      ...second.slice(1).map((event) => ({ ...event, job: renamed((event as { job: string }).job) }) as StoredEvent),
    ];
    const report = markdown(factsFrom(replay(events), ""));
    expect(report).toContain("° four: not shown to be better than guessing, which gives 25 %");
    expect(report).toContain("° two: not shown to be better than guessing, which gives 50 %");
    expect(report).not.toContain("at chance");
  });

  test("says so too where it lies below, and nothing where chance is not known", () => {
    const wrong = answers(1, 0, 1, 3).map((one) => ({
      ...one,
      samples: [{ metric: "acc", value: 0, weight: 1 }, one.samples[1]!],
    }));
    const below = replay(run({ [F16]: wrong, [Q2_K]: wrong }));
    expect(markdown(factsFrom(below, ""))).toContain("↓ ceval: worse than guessing, which gives 25 %");
    expect(markdown(factsFrom(below, ""))).not.toContain("°");
    const unknown = replay(run({ [F16]: wrong, [Q2_K]: wrong }, { task: {} }));
    expect(markdown(factsFrom(unknown, "")).split("## Verdicts")[0]).not.toMatch(/chance|guessing/);
  });
});

describe("answers by letter", () => {
  test("of which a few are alike are no habit yet, and shares are of all that were asked", () => {
    const told = (count: number) => {
      const some = answers(1, 0, 1, 3).slice(0, count);
      const unread = some.map(({ prediction, ...one }, i) => (i % 4 === 0 ? one : { ...one, prediction: prediction! }));
      const found = replay(run({ [F16]: some, [Q2_K]: unread }));
      return markdown(factsFrom(found, ""));
    };
    expect(told(40)).toContain("¶ Q2_K in ceval: answers B in 75 % of 40 questions");
    expect(told(40)).toMatch(/\| Q2_K +\| +0\.0 \| +75\.0 \| +0\.0 \| +0\.0 \| +10 \|/);
    expect(told(2)).not.toContain("¶");
  });

  test("that are nearly all one are told beside the accuracy", () => {
    const report = markdown(factsFrom(biased, ""));
    expect(report).toContain("¶ F16 in ceval: answers B in 68 % of 240 questions");
    expect(report).toContain("¶ Q2_K in ceval: answers B in 100 % of 240 questions");
    expect(report).toMatch(/\| \(right answers\) +(\| +25\.0 ){4}\|/);
    expect(report).toMatch(/\| Q2_K +\| +0\.0 \| +100\.0 \| +0\.0 \| +0\.0 \| +0 \|/);
    expect(markdown(factsFrom(good, ""))).not.toContain("¶");
  });

  test("that are hardly more often right than the commonest key are held against it", () => {
    // 70 % of the keys are A. It knows a tenth of them, and gives A for most of the others: better than one in four, and no more.
    const next = random(5);
    const keyed = answers(4, 0, 0, 0).map((one) => ({ ...one, gold: next() < 0.7 ? 0 : 1 + Math.floor(3 * next()) }));
    const told = (knows: number) =>
      markdown(
        factsFrom(
          replay(
            run({
              [F16]: keyed.map((one) => {
                const prediction = next() < knows ? one.gold : next() < 0.6 ? 0 : 1 + Math.floor(3 * next());
                const value = prediction === one.gold ? 1 : 0;
                return { ...one, prediction, samples: [{ metric: "acc", value, weight: 1 }, one.samples[1]!] };
              }),
              [Q2_K]: answers(2, 0.5, 0, 0),
            }),
          ),
          "",
        ),
      );
    const warning = /¶ F16 in ceval: not shown to be better than always answering A, which gives \d\d %/;
    expect(told(0.2)).toMatch(warning);
    expect(told(0.2)).not.toMatch(/[°↓] ceval/);
    expect(told(0.9)).not.toMatch(warning);
  });

  test("less their priors show what the model knows", () => {
    const [F16, Q2_K] = tasksFrom(biased)[0]!.variants;
    // It knows 60 % of the keys by one nat, and favours B by one and a half.
    expect(F16!.figure!.summary.value).toBeLessThan(0.66);
    expect(F16!.habit!.corrected!.value).toBeGreaterThan(0.65);
    // It knows nothing.
    const { low, high } = Q2_K!.habit!.corrected!;
    expect(low).toBeLessThan(0.25);
    expect(high).toBeGreaterThan(0.25);
  });

  test("with little probability on them are no answers by letter", () => {
    const quiet = answers(1, 0.9, 0, 0).map((one) => ({ ...one, scores: one.scores!.map((score) => score - 5) }));
    const of = replay(run({ [F16]: quiet, [Q2_K]: quiet }));
    expect(markdown(factsFrom(of, ""))).toMatch(
      /¶ F16, Q2_K in ceval: 0\.\d % of the probability falls on A, B, C, D: the model does not answer in this form/,
    );
  });
});

test("a few answers without keys among others are no file to be sent in", async () => {
  const [keyed, keyless] = [answers(1, 0.9, 0, 0), answers(1, 0.9, 0, 0, false)];
  const some = [...keyed.slice(1), keyless[0]!];
  const mixed = replay(run({ [F16]: some, [Q2_K]: some }, { metrics: ["acc", "answer_mass", "ungraded"] }));
  const folder = mkdtempSync(join(tmpdir(), "gguf-bench-tasks-"));
  const paths = await writeReports(folder, factsFrom(mixed, folder));
  expect(paths.filter((path) => path.includes("submission"))).toEqual([]);
  expect(tasksFrom(mixed)[0]!.variants[0]!.figure!.summary.n).toBe(keyed.length - 1);
  rmSync(folder, { recursive: true });
});

test("answers without keys are a file to be sent in, and no accuracy", async () => {
  const keyless = replay(
    run(
      { [F16]: answers(1, 0.9, 0, 0, false), [Q2_K]: answers(2, 0.5, 0, 0, false) },
      { metrics: ["answer_mass", "ungraded"] },
    ),
  );
  const folder = mkdtempSync(join(tmpdir(), "gguf-bench-tasks-"));
  const paths = await writeReports(folder, factsFrom(keyless, folder));
  expect(paths).toContain(join(folder, "submission-ceval-F16.json"));
  const sent = JSON.parse(readFileSync(join(folder, "submission-ceval-F16.json"), "utf8"));
  expect(Object.keys(sent)).toEqual(all);
  expect(Object.keys(sent.physics)).toEqual(Array.from({ length: 20 }, (_, row) => String(row)));
  const given = answers(1, 0.9, 0, 0, false);
  expect(sent.sport["3"]).toBe("ABCD"[given.find(({ item }) => item === "sport/3")!.prediction!]);
  const of = tableFrom(keyless);
  expect(of.columns.map(({ name }) => name)).toContain("ungraded");
  expect(of.columns.map(({ name }) => name)).not.toContain("acc");
  expect(tasksFrom(keyless)[0]!.variants[0]).not.toHaveProperty("figure");
  await writeReports(folder, factsFrom(good, folder));
  expect(factsFrom(good, folder).submissions.size).toBe(0);
});
