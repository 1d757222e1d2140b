import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { Event, StoredEvent } from "../../dist/events.js";
import { replay } from "../../dist/replay/index.js";
import { startPlain } from "../../dist/tui/plain.js";
import { jobId, ladder, started, variant, wholeRun } from "./recorded.mjs";

const T = 1_700_000_000_000;

/** Plays a run on a clock of its own. */
function play(events: Iterable<[number, object]>, first: object): string {
  let now = T;
  let text = "";
  const view = startPlain({
    write: (more) => {
      text += more;
    },
    now: () => now,
  });
  view.handle(first as Event);
  for (const [pause, event] of events) {
    now += pause;
    view.handle({ ...event, at: now } as Event);
  }
  return text;
}

it("tells a run in lines", async () => {
  const broken = { code: "crash", message: "the engine process died of SIGSEGV", hint: "try fewer threads" };
  const variants = [
    ...ladder.slice(1, 4),
    variant("lost", { failure: { code: "model-missing", message: "no file models/lost.gguf" } }),
  ];
  const first = started(T, variants, {
    impossible: { [jobId("SmolLM2-135M-Q8_0", "speed")]: "ollama gives no prompt timing" },
  });
  function* events(): Generator<[number, object]> {
    yield [
      1000,
      { type: "warning", message: "another process uses 38 % of the processor", variant: "SmolLM2-135M-Q8_0" },
    ];
    for (const [pause, event] of wholeRun(variants, { pace: 4, broken: { "SmolLM2-135M-Q4_K_M": broken } }))
      if (event.job !== jobId("SmolLM2-135M-Q8_0", "speed")) yield [pause, event];
    yield [0, { type: "finished", outcome: "complete" }];
  }
  const lines = play(events(), first);
  await expect(lines).toMatchFileSnapshot("golden/plain.txt");
  const counts = [...lines.matchAll(/^\[(\d+)\/11\]/gm)].map(([, count]) => Number(count));
  expect(counts).toEqual([...counts].sort((a, b) => a - b));
  expect([counts[0], counts.at(-1)]).toEqual([0, 11]);
});

it("has no control characters and no line without its end", () => {
  const text = readFileSync(new URL("golden/plain.txt", import.meta.url), "utf8");
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  expect(text.endsWith("\n")).toBe(true);
});

it("does not retell an earlier session, and says how much of it counts", () => {
  const again = started(T, ladder.slice(0, 1));
  const earlier: [number, object][] = [...wholeRun(ladder.slice(0, 1))].slice(0, 40);
  let text = "";
  const view = startPlain({
    write: (more) => {
      text += more;
    },
    now: () => T,
  });
  // The clock went back since.
  const events = [started(T + 1e7, ladder.slice(0, 1)), ...earlier.map(([, event]) => ({ ...event, at: T + 1e7 }))];
  view.resume(replay(events as StoredEvent[]));
  expect(text).toBe("");
  view.handle(again as Event);
  expect(text).toBe("smollm2: 1 variant, 3 jobs, 1 done before\n");
});

it("says how to go on after a stop", () => {
  const text = play([[2000, { type: "finished", outcome: "stopped" }]], started(T, ladder));
  expect(text).toContain("stopped; the same command continues: 0 measured of 18 jobs in 2 s");
});

it("makes what comes from elsewhere harmless", () => {
  const text = play(
    [[0, { type: "warning", message: "bad\u001b[31m\nstack", variant: "a" }]],
    started(T, [variant("a")], { name: "x\u001b]0;title\u0007" }),
  );
  expect(text).not.toContain("\u001b");
  expect(text).toBe("x�]0;title�: 1 variant, 3 jobs\nwarning: a: bad�[31m stack\n");
});

it("tells of downloads at their start, every ten seconds and at their end", () => {
  let text = "";
  let at = T;
  const view = startPlain({
    write: (more) => {
      text += more;
    },
    now: () => at,
  });
  for (let second = 0; second <= 25; second++) {
    at = T + second * 1000;
    const fetching = { name: "m-00002-of-00003.gguf", bytes: 4e6 * second + 2e6, total: 102e6, file: 2, files: 3 };
    view.handle({ type: "fetching", at, ...fetching } as Event);
  }
  expect(text.split("\n")).toEqual([
    "fetching m-00002-of-00003.gguf (2 of 3): 2.0 MB of 102.0 MB",
    "fetching m-00002-of-00003.gguf (2 of 3): 42.0 MB of 102.0 MB, 4.0 MB/s, 15 s left",
    "fetching m-00002-of-00003.gguf (2 of 3): 82.0 MB of 102.0 MB, 4.0 MB/s, 5 s left",
    "fetching m-00002-of-00003.gguf (2 of 3): 102.0 MB of 102.0 MB, 4.0 MB/s, 0 s left",
    "",
  ]);
});

it("says on which workers a job is measured", () => {
  const job = jobId(ladder[0]!.name, "perplexity");
  const progress = { type: "progress", job, done: 3, total: 9, unit: "chunks" };
  const lines = play(
    [
      [0, { type: "job-started", job, done: 0 }],
      [20_000, { ...progress, where: "desk" }],
      [20_000, { ...progress, done: 5, where: "tower" }],
    ],
    started(T, ladder.slice(0, 1)),
  );
  expect(lines).toMatch(/3\/9 chunks.* on desk/);
  expect(lines).toMatch(/5\/9 chunks.* on desk, tower/);
});

it("tells a reason that befalls all variants once, and a reference's distance from itself as the noise floor", () => {
  const variants = ladder.slice(0, 3);
  const first = started(T, variants) as Extract<Event, { type: "started" }>;
  const failure = { code: "text-too-short", message: "the text has 8 tokens", hint: "take a longer text" };
  const failed = variants.map(({ name }): [number, object] => [
    100,
    { type: "job-failed", job: jobId(name, "perplexity"), failure },
  ]);
  const lines = play(failed, first).split("\n");
  expect(lines.filter((line) => line.includes("8 tokens"))).toHaveLength(1);
  expect(lines.filter((line) => line.endsWith(`failed, as ${variants[0]!.name} perplexity did`))).toHaveLength(2);

  const all = Array.from({ length: 40 }, (_, i): [number, object] => [
    10,
    {
      type: "samples",
      job: jobId(variants[0]!.name, "hellaswag"),
      item: String(i),
      samples: [{ metric: "acc", value: 1, weight: 1 }],
    },
  ]);
  const over = { type: "job-done", job: jobId(variants[0]!.name, "hellaswag"), items: 40, seconds: 1 };
  expect(play([...all, [100, over]], first)).toContain("hellaswag: acc 100.00 % (40 questions");

  const [{ name }] = variants as [(typeof variants)[number]];
  const jobs = first.jobs.slice(0, 1).map((job) => ({ ...job, metrics: ["kld"], against: name }));
  const job = jobs[0]!.id;
  const kld = (value: number) => ({ metric: "kld", value, weight: 255, square: value * value * 2 });
  const items = [1e-6, 2e-6].map((value, i): [number, object] => [
    100,
    { type: "samples", job, item: String(i), samples: [kld(value)] },
  ]);
  const done = { type: "job-done", job, items: 2, seconds: 1 };
  expect(play([...items, [100, done]], { ...first, jobs })).toMatch(/: noise floor KLD 1\.5e-6(?: ± \S+)? nat \(/);
});
