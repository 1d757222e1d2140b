import { describe, expect, it } from "vitest";
import type { JobRecord, Started, StoredEvent, VariantRecord } from "../dist/events.js";
import { engineOf, progressOf, replay } from "../dist/replay/index.js";

const variant = (name: string, more: Partial<VariantRecord> = {}): VariantRecord => ({
  ...{ name, model: `${name}.gguf`, backend: "mock", reference: false, tags: {}, settings: {} },
  ...more,
});
const job = (id: string, name: string, more: Partial<JobRecord> = {}): JobRecord => ({
  ...{ id, variant: name, backend: "mock", measurement: "perplexity", kind: "perplexity", dataset: "text" },
  ...{ settings: {}, metrics: ["perplexity"] },
  ...more,
});
const started = (jobs: JobRecord[], variants: VariantRecord[], at = 1): Started => ({
  ...{ type: "started", at, name: "run", variants, jobs, measurements: [] },
  provenance: {
    command: ["gguf-bench", String(at)],
    versions: {},
    machine: { cpu: "c", cpus: 1, memoryBytes: 1, os: "o", arch: "a", gpus: [] },
    engine: { version: "v", library: "l", origin: "o" },
    datasets: [],
  },
});
const chunk = (id: string, item: string, value = 2, more: object = {}): StoredEvent => ({
  ...{ type: "samples", job: id, item, samples: [{ metric: "perplexity", value, weight: 3, square: 5 }] },
  ...more,
});
const begin = (id: string, from = 0): StoredEvent => ({ type: "job-started", at: 1, job: id, done: from });
const end = (id: string, items: number, more: object = {}): StoredEvent => ({
  ...{ type: "job-done", at: 1, job: id, items, seconds: 7 },
  ...more,
});
const failure = { code: "crash" as const, message: "it crashed" };
const fail = (id: string): StoredEvent => ({ type: "job-failed", at: 1, job: id, failure });
const memory = (id: string, models?: number): StoredEvent => ({
  ...{ type: "samples", job: id, item: "peak_memory", samples: [{ metric: "peak_memory", value: 9, weight: 1 }] },
  ...(models ? { models } : {}),
});
const one = [job("j", "a")];
const a = [variant("a")];

describe("a job", () => {
  const stateAfter = (...events: StoredEvent[]) => replay([started(one, a), ...events]).jobs.get("j")!.state;

  it("waits, runs, and is done", () => {
    expect(stateAfter()).toBe("waiting");
    expect(stateAfter(begin("j"))).toBe("running");
    expect(stateAfter(begin("j"), chunk("j", "0"), end("j", 1))).toBe("done");
  });

  it("that was cut off waits again, after a stop and after a kill", () => {
    expect(stateAfter(begin("j"), { type: "finished", at: 2, outcome: "stopped" })).toBe("waiting");
    expect(stateAfter(begin("j"), started(one, a, 2))).toBe("waiting");
  });

  it("is failed until it is tried again, and done whatever came before", () => {
    expect(stateAfter(begin("j"), fail("j"))).toBe("failed");
    expect(stateAfter(begin("j"), fail("j"), started(one, a, 2))).toBe("failed");
    expect(stateAfter(begin("j"), fail("j"), begin("j"))).toBe("running");
    expect(stateAfter(begin("j"), fail("j"), begin("j"), chunk("j", "0"), end("j", 1))).toBe("done");
  });

  it("of a variant that cannot be read is failed, one that cannot be measured impossible", () => {
    expect(replay([started(one, [variant("a", { failure })])]).jobs.get("j")).toMatchObject({
      state: "failed",
      failure,
    });
    expect(replay([started([job("j", "a", { impossible: "no timing" })], a)]).jobs.get("j")!.state).toBe("impossible");
  });

  it("some items of which are missing is not done, whatever its end says; memory is no item", () => {
    expect(stateAfter(begin("j"), chunk("j", "0"), memory("j"), end("j", 2))).toBe("waiting");
    expect(stateAfter(begin("j"), chunk("j", "0"), chunk("j", "1"), memory("j"), end("j", 2))).toBe("done");
    // Version 0.1 counted it when it went on with such a job.
    expect(stateAfter(chunk("j", "0"), memory("j"), begin("j", 2), memory("j"), end("j", 2))).toBe("done");
  });

  it("says what measured it; one of version 0.1 takes what its variant was last opened in", () => {
    const facts = { version: "1", library: "lib", loadSeconds: 1, threads: 1 };
    const opened: StoredEvent = { type: "opened", at: 1, variant: "a", engine: facts as never };
    const says = replay([
      started(one, a),
      opened,
      begin("j"),
      chunk("j", "0"),
      end("j", 1, { engine: { version: "2", library: "x" } }),
    ]);
    expect(engineOf(says, one[0]!)).toEqual({ version: "2", library: "x" });
    const silent = replay([started(one, a), begin("j"), chunk("j", "0"), end("j", 1), opened]);
    expect(engineOf(silent, one[0]!)).toEqual({ version: "1", library: "lib" });
    expect(engineOf(replay([started(one, a)]), one[0]!)).toBeUndefined();
  });
});

describe("samples", () => {
  it("come back as they came, before the end of the job and after it", () => {
    const items = [
      chunk("j", "0", 1.5),
      chunk("j", "1", Number.NaN, { cluster: "one", ids: "ab" }),
      chunk("j", "2", 0),
    ];
    const expected = [1.5, Number.NaN, 0].map((value, i) => ({ item: String(i), value, weight: 3, square: 5 }));
    for (const events of [items, [...items, end("j", 3)]]) {
      const found = replay(events).jobs.get("j")!;
      expect(found.samples("perplexity")).toEqual(expected);
      expect(found.items).toEqual(["0", "1", "2"]);
      expect(found.clusters).toEqual(new Map([["1", "one"]]));
      expect(found.ids).toEqual(new Map([["1", "ab"]]));
    }
  });

  it("of unlike weights, without squares, of 0 and 1, and of some items only", () => {
    const events: StoredEvent[] = [1, 2, 1].map((weight, i) => ({
      ...{ type: "samples", job: "j", item: `q${i}` },
      samples: [
        { metric: "acc", value: i % 2, weight: 1 },
        ...(i === 1 ? [] : [{ metric: "bits_per_byte", value: i / 3, weight }]),
      ],
    }));
    for (const list of [events, [...events, end("j", 3)]]) {
      const found = replay(list).jobs.get("j")!;
      expect(found.metrics).toEqual(["acc", "bits_per_byte"]);
      expect(found.samples("acc").map(({ value }) => value)).toEqual([0, 1, 0]);
      expect(found.samples("bits_per_byte")).toEqual([
        { item: "q0", value: 0, weight: 1 },
        { item: "q2", value: 2 / 3, weight: 1 },
      ]);
      expect(found.samples("kld")).toEqual([]);
      expect(found.count("acc")).toBe(3);
    }
  });

  it("of an item that was measured twice are the later ones, with all that belongs to it", () => {
    const first = chunk("j", "0", 1, { cluster: "old", foreign: 0.5, unanswerable: "too long", ids: "x" });
    const later = chunk("j", "0", 2);
    for (const events of [
      [first, chunk("j", "1"), later, end("j", 2)],
      [first, chunk("j", "1"), end("j", 2), later],
    ]) {
      const found = replay(events).jobs.get("j")!;
      expect(
        found
          .samples("perplexity")
          .map(({ item, value }) => `${item} ${value}`)
          .sort(),
      ).toEqual(["0 2", "1 2"]);
      expect([found.clusters?.size ?? 0, found.foreign.size, found.unanswerable.size]).toEqual([0, 0, 0]);
      expect(found.done).toBe(true);
    }
  });

  it("of jobs with the same items share one list, and one that is gone on with changes its own alone", () => {
    const of = (id: string) => [chunk(id, "0", 1, { cluster: "c" }), chunk(id, "1"), end(id, 2)];
    const { jobs } = replay([...of("j"), ...of("k"), chunk("k", "2")]);
    expect(jobs.get("j")!.items).toEqual(["0", "1"]);
    expect(jobs.get("k")!.items).toEqual(["0", "1", "2"]);
    const alike = replay([...of("j"), ...of("k")]).jobs;
    expect(alike.get("j")!.items).toBe(alike.get("k")!.items);
    expect(alike.get("j")!.clusters).toBe(alike.get("k")!.clusters);
  });

  it("of memory are one more metric", () => {
    const found = replay([chunk("j", "0"), memory("j", 3), end("j", 1)]).jobs.get("j")!;
    expect(found.memory).toEqual({ samples: new Map([["peak_memory", 9]]), models: 3 });
    expect(found.metrics).toEqual(["perplexity", "peak_memory"]);
    expect(found.samples("peak_memory")).toEqual([{ item: "peak_memory", value: 9, weight: 1 }]);
  });
});

describe("a run", () => {
  it("has one session per start, cut off where nobody said how it ended", () => {
    const { sessions, plan } = replay([
      started(one, a, 1),
      { type: "finished", at: 2, outcome: "stopped" },
      started(one, a, 3),
    ]);
    expect(sessions).toEqual([
      { at: 1, command: ["gguf-bench", "1"], outcome: "stopped" },
      { at: 3, command: ["gguf-bench", "3"], outcome: "cut off" },
    ]);
    expect(plan!.at).toBe(3);
  });

  it("keeps what jobs of earlier plans gave, for a later one that asks for them again", () => {
    const both = [job("j", "a"), job("k", "b")];
    const run = replay([
      started(both, [variant("a"), variant("b")]),
      ...[chunk("j", "0"), memory("j"), end("j", 1), chunk("k", "0")],
      started([both[1]!], [variant("b")], 2),
    ]);
    expect(progressOf(run)).toEqual(
      new Map([
        ["j", { items: new Set(["0"]), complete: true, peakMemory: 9 }],
        ["k", { items: new Set(["0"]), complete: false }],
      ]),
    );
  });

  it("of no event is empty", () => {
    const timing = { session: 1, again: false };
    expect(replay([])).toEqual({
      sessions: [],
      shards: new Map(),
      jobs: new Map(),
      engines: new Map(),
      warnings: [],
      timing,
    });
  });
});
