import { describe, expect, test } from "vitest";
import type { Event, StoredEvent } from "../../dist/events.js";
import { replay } from "../../dist/replay/index.js";
import { factsFrom } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { text } from "../../dist/reports/text.js";
import { startPlain } from "../../dist/tui/plain.js";

/** A run of one job, with the peak memory that each one leaves beside its items. */
function run(
  kind: "choice" | "generation" | "speed",
  metrics: string[],
  items: Omit<Extract<Event, { type: "samples" }>, "job" | "type">[],
) {
  const variant = { name: "F16", model: "F16.gguf", backend: "llama", reference: true, tags: {}, settings: {} };
  const job = {
    id: "j",
    variant: "F16",
    backend: "llama",
    measurement: kind,
    kind,
    dataset: "",
    settings: {},
    metrics,
  };
  const provenance = {
    command: [],
    versions: {},
    machine: { cpu: "A", cpus: 2, memoryBytes: 1e9, os: "Linux", arch: "x64", gpus: [] },
    engine: { version: "llama.cpp b1", library: "cpu.so", origin: "" },
    datasets: [],
  };
  const memory = { item: "peak_memory", samples: [{ metric: "peak_memory", value: 1e8, weight: 1 }] };
  const events: Event[] = [
    {
      type: "started",
      at: 0,
      name: "one",
      variants: [variant],
      jobs: [{ ...job, rule: 2 }],
      measurements: [{ name: kind, kind, settings: {} }],
      provenance,
    },
    { type: "job-started", at: 0, job: "j", done: 0 },
    { type: "progress", job: "j", done: 0, total: items.length, unit: kind === "choice" ? "questions" : "timings" },
    ...[...items, memory].map((item): Event => ({ type: "samples", job: "j", ...item })),
    { type: "job-done", at: 0, job: "j", items: items.length, seconds: 1 },
  ];
  const stored = events.filter((event): event is Event & StoredEvent => event.type !== "progress");
  const lines: string[] = [];
  const view = startPlain({ write: (more) => lines.push(more), now: () => 0 });
  for (const event of events) view.handle(event);
  const facts = factsFrom(replay(stored), "");
  return { lines: lines.join(""), screen: text(facts, { width: 200 }), table: markdown(facts) };
}

const questions = (all: number, tooLong: number) =>
  Array.from({ length: all }, (_, question) => ({
    item: String(question),
    ...(question < tooLong
      ? { samples: [{ metric: "unanswerable", value: 1, weight: 1 }], unanswerable: "it is too long" }
      : { samples: [{ metric: "acc", value: question % 2, weight: 1 }] }),
  }));

describe("what stands beside the items is none of them", () => {
  test.each([
    [4, 1, "‡"],
    [9, 3, "‡"],
    [99, 1, "‡"],
    [100, 1, ""],
    [151, 1, ""],
  ])("of %d questions %d cannot be asked", (all, tooLong, mark) => {
    const { screen, lines } = run("choice", ["acc", "unanswerable"], questions(all, tooLong));
    expect(screen).toContain(`${tooLong} of ${all} questions could not be asked`);
    expect(screen.includes("‡")).toBe(mark !== "");
    expect(lines).toContain(`(${all - tooLong} of ${all} questions, `);
  });

  test.each([
    [10, 1, false],
    [10, 2, true],
    [4, 4, true],
    [100, 11, true],
    [100, 0, false],
  ])("of %d answers %d name no option: a mark on the accuracy is %s", (all, unparsed, marked) => {
    const answers = Array.from({ length: all }, (_, answer) => {
      const none = answer < unparsed;
      const acc = { metric: "acc", value: none ? 0 : 1, weight: 1 };
      return {
        item: String(answer),
        samples: none ? [acc, { metric: "unparsed", value: 1, weight: 1 }] : [acc],
      };
    });
    const { screen, table } = run("choice", ["acc", "unparsed"], answers);
    const note = `in ${unparsed} of ${all} answers nothing was found to score; they count as wrong`;
    for (const shown of [screen, table]) expect(new RegExp(`^§ .* in choice: ${note}`, "m").test(shown)).toBe(marked);
  });

  test.each([
    [10, 1, false],
    [10, 2, true],
  ])("of %d answers %d are cut off: a mark on the score is %s", (all, cut, marked) => {
    const answers = Array.from({ length: all }, (_, answer) => ({
      item: String(answer),
      samples: [
        { metric: "f1", value: 0.5, weight: 1 },
        ...(answer < cut ? [{ metric: "cut_off", value: 1, weight: 1 }] : []),
      ],
    }));
    const { screen, table } = run("generation", ["f1", "cut_off"], answers);
    const note = `${cut} of ${all} answers were cut off, and are scored as far as they go`;
    for (const shown of [screen, table])
      expect(new RegExp(`^‖ .* in generation: ${note}`, "m").test(shown)).toBe(marked);
  });

  test.each([1, 2, 7])("none of %d can: no figure, and the reason", (all) => {
    const { screen, lines } = run("choice", ["acc", "unanswerable"], questions(all, all));
    expect(screen).toContain("not possible: no question could be asked: it is too long");
    expect(screen).not.toContain("over the others");
    expect(lines).toMatch(/choice: no question could be asked \(0 of \d questions?, /);
  });

  test.each([1, 2, 5])("%d repetitions of two tests are as many", (repetitions) => {
    const items = ["pp512", "tg128"].flatMap((metric) =>
      Array.from({ length: repetitions }, (_, i) => ({
        item: `${metric}/${i}`,
        samples: [{ metric, value: 100 + i, weight: 1 }],
      })),
    );
    const { lines } = run("speed", ["pp512", "tg128"], items);
    expect(lines).toContain(`(${repetitions} repetition${repetitions === 1 ? "" : "s"}, `);
  });
});
