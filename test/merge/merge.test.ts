import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { VariantSpec } from "../../dist/backends/backend.js";
import { findBackend } from "../../dist/backends/index.js";
import { readBenchmark } from "../../dist/benchmark/index.js";
import type { TogetherRequest } from "../../dist/executors/executor.js";
import {
  childExecutor,
  type Executor,
  localPlace,
  type MeasureReply,
  type OpenedEngine,
  type OpenOptions,
} from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { merge } from "../../dist/merge/index.js";
import { makePlan } from "../../dist/plan/index.js";
import { liveRows } from "../../dist/references/live.js";
import { Fold, progressOf, replay } from "../../dist/replay/index.js";
import { factsFrom, writeReports } from "../../dist/reports/index.js";
import { run } from "../../dist/run/index.js";
import type { Share } from "../../dist/share.js";
import { readEvents, Store } from "../../dist/store/index.js";
import {
  bench,
  cli,
  eventsOf,
  qualityRows,
  someQuestions,
  someText,
  temporaryFolder,
  writeRandomLlama,
} from "../support.js";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
writeFileSync(at("text.txt"), someText(9000));
writeFileSync(at("questions.txt"), someQuestions(40));
writeRandomLlama(folder, "a");
writeRandomLlama(folder, "b", { seed: 2 });

const mocks = `name: apart
variants:
  full: {model: "mock:seed=1", backend: mock, reference: true, batch: 512}
  small: {model: "mock:seed=1,damage=0.1", backend: mock, batch: 512}
  tiny: {model: "mock:seed=1,damage=0.4", backend: mock, batch: 512}
`;
const real = `name: apart
variants:
  a: {model: a.gguf, reference: true, threads: 1, batch: 256}
  b: {model: b.gguf, threads: 1, batch: 256}
measurements:
  perplexity: {text: text.txt, context: 64, chunks: 20}
  divergence: {text: text.txt, context: 64, chunks: 20}
  hellaswag: {file: questions.txt, limit: 12}
`;
const asked = `measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64}
  drawn: {measurement: perplexity, text: text.txt, context: 32, spread: 50}
  hellaswag: {file: questions.txt}
  speed: {repetitions: 2, prompt: 8, generate: 4}
`;

// biome-ignore lint/suspicious/noExplicitAny: a file that someone edited holds anything
type Loose = Record<string, any>;

interface Measuring {
  shard?: Share;
  /** Another machine. */
  cpu?: string;
  executor?: Executor;
}

/** Engines in this process: a process for each takes longer than a mock model does. */
function inProcess(cpu?: string): Executor {
  return {
    async place(variant) {
      const found = await localPlace(variant);
      return cpu ? { ...found, machine: { ...found.machine, cpu } } : found;
    },
    async open(variant, options) {
      let engines = await openAll(variant, options);
      const opened: OpenedEngine = {
        ...{ facts: engines.first.facts, warnings: [], others: [], alive: true },
        async become(next, how) {
          engines = await openAll(next, how);
        },
        record: () => Promise.reject(new Error("nothing is recorded")) as never,
        close: async () => {},
        async *measure(request): AsyncGenerator<MeasureReply> {
          const member = measurements[request.kind]!;
          const whole: Record<string, number> = {};
          const asked = {
            ...{ settings: request.settings, data: request.dataset, stopped: async () => false, progress: () => {} },
            ...(request.share && {
              share: request.share,
              whole: (items: number, job = "") => {
                whole[job] = items;
              },
            }),
          };
          const taken = (all: TogetherRequest[] = []) => all.map((job) => ({ ...job, done: new Set(job.done) }));
          const { jobs, riders } = request.together ?? {};
          const items =
            "compare" in member
              ? member.compare({
                  ...{ ...asked, rows: liveRows(engines.first.windows!, engines.others) },
                  ...{ jobs: taken(jobs), riders: taken(riders) },
                })
              : member.measure({
                  ...{ ...asked, engine: engines.first, done: new Set(request.done) },
                  ...(request.only && { only: new Set(request.only) }),
                } as never);
          for await (const item of items) yield { type: "measured", ...item };
          yield { type: "complete", peakMemory: 1e6, whole };
        },
      };
      return opened;
    },
    stop() {},
    close: async () => {},
  };
}

async function openAll(variant: VariantSpec, { others = [] }: OpenOptions) {
  const open = async (one: VariantSpec) => (await findBackend(one.backend)).open(one);
  const windows = await Promise.all(others.map(async (one) => [one.name, (await open(one)).windows!] as const));
  return { first: await open(variant), others: new Map(windows) };
}

/** Measures what is left of a benchmark, or of a shard of it, into a folder. */
async function measure(
  yaml: string,
  out: string,
  { shard, cpu, executor = inProcess(cpu) }: Measuring = {},
): Promise<void> {
  writeFileSync(at("b.yaml"), yaml);
  const fold = new Fold();
  const store = Store.open(out, (event) => fold.add(event));
  try {
    const benchmark = await readBenchmark(at("b.yaml"), { measurements });
    const { place } = executor;
    const plan = await makePlan(benchmark, { command: [], versions: {}, place, ...(shard && { shard }) });
    const how = { executor, done: progressOf(fold.run), signal: new AbortController().signal };
    for await (const event of run(plan, how)) {
      const stored = store.append(event);
      if (stored) fold.add(stored);
    }
  } finally {
    store.close();
    await executor.close();
  }
}

async function reported(out: string): Promise<string[]> {
  await writeReports(out, factsFrom(replay(readEvents(out)), out));
  return qualityRows(out);
}

const bytesOf = (out: string) => [
  readFileSync(join(out, "events.jsonl"), "utf8"),
  ...readdirSync(join(out, "tokens"))
    .sort()
    .map((name) => `${name} ${readFileSync(join(out, "tokens", name)).toString("base64")}`),
];

const parts = (of: number, prefix = "part") => Array.from({ length: of }, (_, i) => at(`${prefix}-${i + 1}`));
const notes = (out: string) => factsFrom(replay(readEvents(out)), out).table.notes;

describe("eight parts, measured apart", () => {
  let whole: string[];
  beforeAll(async () => {
    await measure(mocks + asked, at("whole"));
    whole = await reported(at("whole"));
    for (const [i, out] of parts(8).entries()) await measure(mocks + asked, out, { shard: { part: i + 1, of: 8 } });
  }, 240_000);

  it("are the undivided run, in any order and some twice: byte for byte in the quality columns", async () => {
    const [one, two, three, four, five, six, seven, eight] = parts(8) as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const first = merge([one, two, three, four, five, six, seven, eight], at("joined"));
    expect(first).toEqual({ leftOut: [], twice: 0, close: 0 });
    expect(await reported(at("joined"))).toEqual(whole);
    const again = merge([seven, three, three, one, eight, two, six, five, four, one], at("shuffled"));
    expect(again.twice).toBeGreaterThan(50);
    expect(bytesOf(at("shuffled"))).toEqual(bytesOf(at("joined")));
    // What was joined can be joined, and added to.
    merge([six, two, eight], at("half"));
    merge([four, three, seven, one, five], at("other-half"));
    merge([at("other-half"), at("half")], at("halves"));
    expect(bytesOf(at("halves"))).toEqual(bytesOf(at("joined")));
    merge([one, five, three, four, seven], at("half"));
    expect(await reported(at("half"))).toEqual(whole);
    merge([at("half"), one], at("half-again"));
    expect(bytesOf(at("half-again"))).toEqual(bytesOf(at("joined")));
  });

  it("name one that is missing, and the run goes on with that alone", async () => {
    merge(
      parts(8).filter((_, i) => i !== 4),
      at("seven"),
    );
    const before = eventsOf(at("seven")).length;
    expect(notes(at("seven"))).toContainEqual(
      expect.stringMatching(/^part 5 of 8 is missing: \d+ of 181 chunks of perplexity \(3 variants\); /),
    );
    expect(await reported(at("seven"))).not.toEqual(whole);
    await measure(mocks + asked, at("seven"));
    expect(await reported(at("seven"))).toEqual(whole);
    const items = eventsOf(at("seven"))
      .slice(before)
      .filter((event) => event.type === "samples" && event.item !== "peak_memory");
    const fifth = eventsOf(parts(8)[4]!).filter((event) => event.type === "samples" && event.item !== "peak_memory");
    expect(items).toHaveLength(fifth.length);
    expect(notes(at("seven")).join()).not.toMatch(/missing/);
  });

  it("name one that was not measured to its end, beside one that is missing", () => {
    const cut = changed("cut", () => {});
    const lines = readFileSync(join(cut, "events.jsonl"), "utf8").trimEnd().split("\n");
    writeFileSync(join(cut, "events.jsonl"), `${lines.slice(0, Math.ceil(lines.length / 3)).join("\n")}\n`);
    merge([...parts(8).filter((_, i) => i !== 1 && i !== 4), cut], at("torn"));
    expect(notes(at("torn"))).toContainEqual(
      expect.stringMatching(/^part 5 of 8 is missing, and part 2 of 8 is not finished: \d+ of 181 chunks/),
    );
    // Without an item there is nothing to join.
    writeFileSync(join(cut, "events.jsonl"), `${lines.filter((line) => !line.includes('"samples"')).join("\n")}\n`);
    expect(() => merge([cut], at("nothing"))).toThrow(/nothing was measured there yet/);
    expect(existsSync(at("nothing"))).toBe(false);
  });

  it("measured one by one into one folder are told together, until they are all", async () => {
    const few = "measurements:\n  perplexity: {text: text.txt, context: 64}\n";
    for (const [part, told] of [
      [1, "This is part 1 of 3 of a run"],
      [3, "These are parts 1, 3 of 3 of a run"],
      [2, undefined],
    ] as const) {
      await measure(mocks + few, at("by-parts"), { shard: { part, of: 3 } });
      if (told === undefined) expect(notes(at("by-parts")).join()).not.toMatch(/part/);
      else expect(notes(at("by-parts"))[0]).toContain(told);
    }
    await measure(mocks + few, at("by-parts-whole"));
    expect(await reported(at("by-parts"))).toEqual(await reported(at("by-parts-whole")));
  });

  it("are not joined into a folder of something else", async () => {
    mkdirSync(at("home/plots"), { recursive: true });
    writeFileSync(at("home/plots/own.svg"), "own");
    for (const command of [
      ["merge", parts(8)[0]!, "--out", at("home")],
      ["run", "mock:seed=1", "--text", at("text.txt"), "--chunks", "2", "--out", at("home")],
    ]) {
      const { code, stderr } = await bench(command);
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/home holds no run, but plots, which the tables of one would replace\.\n.*--out/),
      });
    }
    expect(readdirSync(at("home"))).toEqual(["plots"]);
    expect(readFileSync(at("home/plots/own.svg"), "utf8")).toBe("own");
    const { stderr } = await bench(["merge", parts(8)[0]!, "--out", at("text.txt")]);
    expect(stderr).toMatch(/text\.txt is a file\.\n/);
  });

  it("a part says what it is, and gives no figure that is not whole", async () => {
    const run = replay(readEvents(parts(8)[1]!));
    expect(run.shard).toEqual({ part: 2, of: 8 });
    const { table } = factsFrom(run, parts(8)[1]!);
    expect(table.notes[0]).toMatch(/^This is part 2 of 8 of a run/);
    for (const { cells } of table.rows)
      for (const [i, cell] of cells.entries()) {
        const { measurement } = table.columns[i]!;
        if (measurement !== "model") expect(["unfinished", "absent"]).toContain(cell.state);
      }
    await writeReports(parts(8)[1]!, factsFrom(run, parts(8)[1]!));
    expect(JSON.parse(readFileSync(join(parts(8)[1]!, "run.json"), "utf8")).shard).toEqual({ part: 2, of: 8 });
  });

  /** A copy of a part with its events changed. */
  function changed(name: string, change: (event: Loose) => void): string {
    const copy = at(name);
    rmSync(copy, { recursive: true, force: true });
    cpSync(parts(8)[1]!, copy, { recursive: true });
    const events = eventsOf(copy) as Loose[];
    for (const event of events) change(event);
    writeFileSync(join(copy, "events.jsonl"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    return copy;
  }
  const sampleOf = (
    metric: string,
    change: (sample: { value: number; weight: number; square: number }, event: Loose) => void,
  ) => {
    let isFirst = true;
    return (event: Loose) => {
      const found = event.type === "samples" && event.samples.find((one: { metric: string }) => one.metric === metric);
      if (found && isFirst) {
        isFirst = false;
        change(found, event);
      }
    };
  };

  it.each<[string, (event: Loose) => void, RegExp]>([
    [
      "a value that its values per token contradict",
      sampleOf("perplexity", (one) => {
        one.value += 0.01;
      }),
      /perplexity is \S+, and its values per token give/,
    ],
    [
      "a small one",
      sampleOf("kld", (one) => {
        one.value *= 0.99;
      }),
      /kld is \S+, and its values per token give/,
    ],
    [
      "bits per byte",
      sampleOf("bits_per_byte", (one) => {
        one.value *= 0.99;
      }),
      /bits_per_byte is \S+, and its values per token/,
    ],
    [
      "an answer that its option contradicts",
      sampleOf("acc", (one) => {
        one.value = 1 - one.value;
      }),
      /acc is [01], and its answer gives [01]/,
    ],
    [
      "an option that has not the highest score",
      sampleOf("acc", (one, event) => {
        event.prediction = (event.prediction + 1) % 4;
        one.value = event.prediction === event.gold ? 1 : 0;
      }),
      /its answer is option \d, which has not the highest/,
    ],
    [
      "another value than another part has",
      sampleOf("perplexity", (one, event) => {
        one.value += 0.01;
        delete event.tokens;
      }),
      /item \d+: perplexity is \S+, and \S+ in .*part-2/,
    ],
    [
      "how much a value counts",
      sampleOf("perplexity", (sample) => {
        sample.weight *= 2;
      }),
      /perplexity counts \d+ times, and has \d+ values per token/,
    ],
    [
      "the squares of a value",
      sampleOf("perplexity", (sample) => {
        sample.square *= 2;
      }),
      /the squares of perplexity are /,
    ],
    [
      "a question that is said not to have been asked",
      sampleOf("acc", (_, event) => {
        event.unanswerable = "it is too long";
      }),
      /it has scores, and is said not to have been asked/,
    ],
    [
      "an item that the data do not have",
      sampleOf("acc", (_, event) => {
        event.item = "4000";
      }),
      /is of the item 4000, but its job has 40 of them/,
    ],
    [
      "an item under another name",
      sampleOf("acc", (_, event) => {
        event.item = "x";
      }),
      /has other items than its data: x may be none of them/,
    ],
    [
      "an item in the place of another",
      (event) => {
        if (event.type === "samples" && event.item === "17") event.item = "seventeen";
      },
      /has other items than its data: seventeen may be none of them/,
    ],
    [
      "a score that another part has otherwise",
      sampleOf("acc", (_, event) => {
        const worst = event.scores.indexOf(Math.min(...event.scores));
        event.scores[worst] -= 5;
        delete event.detail;
      }),
      /item \d+: the score of option \d is \S+, and \S+ in .*part-2/,
    ],
    [
      "a group that another part has not",
      sampleOf("acc", (_, event) => {
        event.cluster = "others";
      }),
      /item \d+: its group is others, and none in .*part-2/,
    ],
    [
      "the key of a question, its answer with it",
      sampleOf("acc", (one, event) => {
        one.value = 1 - one.value;
        event.gold = one.value === 1 ? event.prediction : (event.prediction + 1) % 4;
        delete event.detail;
        event.samples = event.samples.filter((sample: Loose) => sample.metric === "acc");
      }),
      /has option \d as the answer of item \d+, and \S+ has option \d/,
    ],
    [
      "the digest of a model",
      (event) => {
        if (event.jobs) event.variants[0].facts.sha256 = "0".repeat(64);
      },
      /is of another plan: perplexity of full has another model file there/,
    ],
    [
      "a job's id",
      (event) => {
        if (event.jobs) event.jobs[0].place = "0".repeat(16);
      },
      /does not follow from what it asks and where/,
    ],
    [
      "another plan",
      (event) => {
        if (event.measurements) event.measurements[0].settings.context = 32;
      },
      /is of another plan: it has other measurements/,
    ],
    [
      "another name",
      (event) => {
        if (event.measurements) event.name = "else";
      },
      /is of another plan: it is called else/,
    ],
    [
      "how many items there are",
      (event) => {
        if (event.type === "share-done" && event.whole === 181) event.whole = 180;
      },
      /has 180 items in all, and 181 in/,
    ],
  ])("refuses a part that is forged: %s", (name, change, message) => {
    const forged = changed("forged", change);
    const all = parts(8).map((part, i) => (i === 1 && !/another part|under another/.test(name) ? forged : part));
    if (all.includes(parts(8)[1]!)) all.push(forged);
    let said: unknown;
    try {
      merge(all, at("refused"));
    } catch (error) {
      said = error;
    }
    expect(said).toMatchObject({ message: expect.stringMatching(message), hint: expect.anything() });
    // Of two that disagree either may be the forged one.
    if (!/key of a question|digest of a model/.test(name)) expect((said as Error).message).toContain("forged");
    expect((said as Error).message.replaceAll(folder, "").length).toBeLessThan(200);
    expect(existsSync(at("refused"))).toBe(false);
  });

  it("refuses another timing of the same moment, whichever comes first", () => {
    const timed = parts(8).find((part) => readFileSync(join(part, "events.jsonl"), "utf8").includes('"metric":"tg'))!;
    const name = timed.split("/").at(-1)!;
    const faster = at("faster");
    cpSync(timed, faster, { recursive: true });
    const file = join(faster, "events.jsonl");
    writeFileSync(
      file,
      readFileSync(file, "utf8").replace(/("metric":"tg\w*","value":)([\d.e+-]+)/, (_, key, value) => key + 10 * value),
    );
    for (const both of [
      [timed, faster],
      [faster, timed],
    ])
      expect(() => merge(both, at("refused")), name).toThrow(/speed of .*, item tg.* is .*, and .* in /);
  });

  it("holds the old run or the new one when it is killed", { timeout: 120_000 }, async () => {
    merge(parts(8).slice(0, 4), at("killed"));
    const old = readFileSync(join(at("killed"), "events.jsonl"), "utf8");
    merge(parts(8), at("new"));
    const [expected] = bytesOf(at("new"));
    const began = Date.now();
    const whole = spawn(process.execPath, [cli, "merge", ...parts(8), "--out", at("timed")], { stdio: "ignore" });
    await new Promise((over) => whole.on("exit", over));
    const wall = Date.now() - began;
    const seen = { old: 0, new: 0 };
    for (let i = 0; i < 4; i++) {
      const killed = spawn(process.execPath, [cli, "merge", ...parts(8), "--out", at("killed")], { stdio: "ignore" });
      const over = new Promise((end) => killed.on("exit", end));
      setTimeout(() => killed.kill("SIGKILL"), (wall * (i + 1)) / 5);
      await over;
      const now = [...readEvents(at("killed"))];
      const text = readFileSync(join(at("killed"), "events.jsonl"), "utf8");
      if (text === old) seen.old++;
      else {
        // Values that a killed merge wrote lie in the files, perhaps; the events are those of all parts.
        seen.new++;
        expect(now).toHaveLength(expected!.trimEnd().split("\n").length);
      }
    }
    expect(seen.old + seen.new).toBe(4);
    merge(parts(8), at("killed"));
    expect(await reported(at("killed"))).toEqual(await reported(at("new")));
  });
});

describe("figures of unlike places", () => {
  const few = "measurements:\n  perplexity: {text: text.txt, context: 64}\n  hellaswag: {file: questions.txt}\n";

  it("are not mixed: the place where most was measured stays, whatever the order", async () => {
    const of = 4;
    for (let part = 1; part <= of; part++)
      await measure(mocks + few, at(`mixed-${part}`), {
        shard: { part, of },
        ...(part === 3 ? { cpu: "Another Processor" } : {}),
      });
    const { leftOut } = merge(parts(of, "mixed"), at("mixed"));
    expect(leftOut.map(({ measurement }) => measurement)).toEqual(expect.arrayContaining(["hellaswag"]));
    for (const { place } of leftOut) expect(place).toContain("Another Processor");
    merge(parts(of, "mixed").reverse(), at("mixed-reversed"));
    expect(bytesOf(at("mixed-reversed"))).toEqual(bytesOf(at("mixed")));
    const table = factsFrom(replay(readEvents(at("mixed"))), at("mixed")).table;
    expect(table.notes.join()).toMatch(/of 40 questions of hellaswag/);
    // Nothing is lost: where the other place has more, in the end, it is that which stays.
    for (let part = 1; part <= of; part++)
      await measure(mocks + few, at("elsewhere"), { shard: { part, of }, cpu: "Another Processor" });
    merge([at("mixed"), at("elsewhere")], at("other"));
    merge([at("elsewhere"), ...parts(of, "mixed")], at("other-again"));
    expect(bytesOf(at("other"))).toEqual(bytesOf(at("other-again")));
    const { plan, jobs } = replay(readEvents(at("other")));
    expect(plan!.jobs.every(({ id }) => jobs.get(id)!.done)).toBe(true);
    expect(plan!.provenance.machine.cpu).toBe("Another Processor");
  }, 120_000);
});

it("with llama.cpp two parts are the undivided run, values per token included", async () => {
  await measure(real, at("real"), { executor: childExecutor() });
  for (const [i, out] of parts(2, "real").entries())
    await measure(real, out, { shard: { part: i + 1, of: 2 }, executor: childExecutor() });
  merge(parts(2, "real").reverse(), at("real-joined"));
  expect(await reported(at("real-joined"))).toEqual(await reported(at("real")));
  expect(bytesOf(at("real-joined")).slice(1)).toEqual(bytesOf(at("real")).slice(1));
}, 240_000);
