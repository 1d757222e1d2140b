import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import type { Event, StoredEvent } from "../../dist/events.js";
import { childExecutor, type Executor, localPlace } from "../../dist/executors/index.js";
import { physicalCores } from "../../dist/machine.js";
import { measurements } from "../../dist/measurements/index.js";
import { makePlan } from "../../dist/plan/index.js";
import { progressOf, replay } from "../../dist/replay/index.js";
import { fits, run, type Step, schedule, stepForm } from "../../dist/run/index.js";
import { figure, initialState, reduce } from "../../dist/tui/state.js";
import {
  bench,
  eventsOf,
  qualityRows,
  someQuestions,
  someText,
  start,
  temporaryFolder,
  until,
  verdicts,
  writeRandomLlama,
} from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(12_000));
writeFileSync(join(folder, "questions.txt"), someQuestions(30));
let count = 0;

/** A benchmark file of these variants of the mock; the run's folder and the arguments that run it. */
function matrix(variants: Record<string, string>, measured: string[], more = "") {
  const name = `m${count++}`;
  const file = join(folder, `${name}.yaml`);
  const rows = Object.entries(variants).map(([variant, model]) => `  ${variant}: {model: ${JSON.stringify(model)}}`);
  writeFileSync(
    file,
    `${more}\nvariants:\n${rows.join("\n")}\nmeasurements:\n${measured.map((one) => `  ${one}\n`).join("")}`,
  );
  const out = join(folder, name);
  return { file, out, args: ["run", file, "--out", out, "--plain"] };
}

const perplexity = "perplexity: {text: text.txt, context: 64}";
const hellaswag = "hellaswag: {file: questions.txt}";
const speed = "speed: {prompt: 32, generate: 8, repetitions: 3}";

/** In this process, without a store. */
async function events(
  file: string,
  options: {
    done?: Event[];
    stopAfter?: (event: Event) => boolean;
    executor?: Executor;
    parallel?: number;
  } = {},
): Promise<Event[]> {
  const plan = await makePlan(await readBenchmark(file, { measurements }), {
    command: [],
    versions: {},
    place: localPlace,
  });
  const { executor = childExecutor() } = options;
  const parallel = options.parallel === undefined ? {} : { parallel: options.parallel };
  const stop = new AbortController();
  const done = progressOf(replay((options.done ?? []) as StoredEvent[]));
  const all: Event[] = [];
  try {
    for await (const event of run(plan, { executor, done, signal: stop.signal, ...parallel })) {
      all.push(event);
      if (options.stopAfter?.(event)) {
        stop.abort();
        executor.stop();
      }
    }
  } finally {
    await executor.close();
  }
  return all;
}

const items = (all: Event[]) =>
  all.flatMap((event) =>
    event.type === "samples" && event.item !== "peak_memory" ? [`${event.job} ${event.item}`] : [],
  );

describe("the events of a run", () => {
  it("begin with the plan, end with the outcome, and every job is started, measured and done", async () => {
    const { file } = matrix({ a: "mock:seed=1", b: "mock:seed=2" }, [perplexity, hellaswag]);
    const all = await events(file);
    expect(all[0]!.type).toBe("started");
    expect(all.at(-1)).toMatchObject({ type: "finished", outcome: "complete" });
    const told = all.flatMap((event) =>
      event.type === "opened" ? [`open ${event.variant}`] : event.type.startsWith("job-") ? [event.type] : [],
    );
    const job = ["job-started", "job-done"];
    expect(told).toEqual(["job-started", "open a", "job-done", ...job, "job-started", "open b", "job-done", ...job]);
    expect(new Set(items(all)).size).toBe(items(all).length);
  });

  it("say of a server's model, whose file is measured here as another variant is, no engine that is not its own", async () => {
    const { file } = matrix({ file: "mock:seed=1", served: "mock:seed=1" }, [perplexity]);
    const read = await readBenchmark(file, { measurements });
    const plan = await makePlan(read, { command: [], versions: {}, place: localPlace });
    plan.variants[1]!.backend = "server";
    const executor = childExecutor();
    const opened: string[] = [];
    for await (const event of run(plan, { executor, done: new Map(), signal: new AbortController().signal }))
      if (event.type === "opened") opened.push(event.variant);
    await executor.close();
    expect(opened).toEqual(["file"]);
  });

  it("interleave the repetitions of speed: there and back, then the same from the middle", async () => {
    const { file } = matrix({ a: "mock:seed=1", b: "mock:seed=2", c: "mock:seed=3" }, [speed, perplexity]);
    const all = await events(file);
    const started = all[0]!;
    const variantOf = new Map(started.type === "started" ? started.jobs.map((job) => [job.id, job]) : []);
    const turns = all.flatMap((event) => {
      const job = event.type === "samples" ? variantOf.get(event.job)! : undefined;
      return job?.kind === "speed" && "item" in event && event.item !== "peak_memory"
        ? [`${job.variant} ${event.item}`]
        : [];
    });
    const round = (item: string, names: string[]) => names.map((name) => `${name} ${item}`);
    const rounds = [
      ["a", "b", "c"],
      ["c", "b", "a"],
      ["b", "c", "a"],
    ];
    expect(turns).toEqual(rounds.flatMap((names, i) => [...round(`pp32/${i}`, names), ...round(`tg8/${i}`, names)]));
    // Nothing else runs meanwhile.
    const kinds = all.flatMap((event) => (event.type === "samples" ? [variantOf.get(event.job)!.kind] : []));
    expect(kinds.lastIndexOf("perplexity")).toBeLessThan(kinds.indexOf("speed"));
    expect(all.filter((event) => event.type === "opened")).toHaveLength(3);
  });

  it("a stopped run goes on inside a job: what was measured is not measured again, and nothing is missing", async () => {
    const { file } = matrix({ a: "mock:seed=1,delay=0.05", b: "mock:seed=2" }, [perplexity, hellaswag, speed]);
    const whole = await events(file);
    for (const after of [0, 3, 40, 190, 215, 240]) {
      let seen = 0;
      const first = await events(file, { stopAfter: (event) => event.type === "samples" && seen++ === after });
      expect(first.at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
      const second = await events(file, { done: first });
      expect(second.at(-1)).toMatchObject({ outcome: "complete" });
      // A round of speed that was cut is timed anew.
      expect([...new Set([...items(first), ...items(second)])].sort()).toEqual(items(whole).sort());
    }
  });
});

describe("a matrix with variants that fail", () => {
  it("each fails alone, with a sentence; the others are measured; exit code 2", async () => {
    const { args, out } = matrix(
      {
        good: "mock:seed=1",
        crashing: "mock:seed=2,crash=2",
        broken: "mock:seed=3,broken=1",
        unknown: "mock:seeed=4",
        absent: "absent.gguf",
        last: "mock:seed=5",
      },
      [perplexity, hellaswag, speed],
    );
    const { code, stderr, stdout } = await bench(args);
    expect({ code, stderr }).toEqual({ code: 2, stderr: "" });
    const said = verdicts(eventsOf(out));
    for (const name of ["good", "last"])
      for (const measurement of ["perplexity", "hellaswag", "speed"])
        expect(said[`${name} ${measurement}`]).toBe("done");
    expect(said["crashing perplexity"]).toMatch(
      /^the engine of crashing crashed \(SIGSEGV\) while measuring perplexity\.$/,
    );
    for (const measurement of ["perplexity", "hellaswag", "speed"]) {
      expect(said[`broken ${measurement}`]).toBe("mock:seed=3,broken=1 cannot be loaded.");
      expect(said[`unknown ${measurement}`]).toMatch(/"seeed=4" is no setting of a mock model\./);
      expect(said[`absent ${measurement}`]).toMatch(/absent\.gguf/);
    }
    const table = readFileSync(join(out, "table.md"), "utf8");
    expect(table).toMatch(/crashed \(SIGSEGV\)/);
    expect(stdout).toMatch(/failed/);
    // A failed cell is tried again by the same command; what was measured is not.
    const again = await bench(args);
    expect(again.code).toBe(2);
    const jobs = eventsOf(out).filter((event) => event.type === "job-done");
    expect(jobs.filter((event) => event.job === jobs[0]!.job)).toHaveLength(1);
  });

  it("an engine that goes silent is given up, and the next job of its variant gets a new one", async () => {
    const { args, out } = matrix(
      { silent: "mock:seed=1,hang=2", good: "mock:seed=2" },
      [perplexity, "hellaswag: {file: questions.txt, limit: 2}", speed],
      "timeout: 2",
    );
    const started = Date.now();
    const { code } = await bench(args);
    expect(code).toBe(2);
    expect(Date.now() - started).toBeLessThan(60_000);
    const said = verdicts(eventsOf(out));
    expect(said["silent perplexity"]).toBe(
      "the engine of silent gave no sign of life for 2 s while measuring perplexity.",
    );
    // One batch: it never comes to the second.
    expect(said["silent hellaswag"]).toBe("done");
    expect(said["good perplexity"]).toBe("done");
    expect(said["good speed"]).toBe("done");
  });

  it("--timeout goes before the file's", async () => {
    const { args, out } = matrix({ silent: "mock:seed=1,hang=1" }, [perplexity], "timeout: 500");
    const { code, stderr } = await bench([...args, "--timeout", "1"]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(verdicts(eventsOf(out))["silent perplexity"]).toMatch(/for 1 s/);
  });

  it("a variant larger than the memory that may be used fails with the numbers", async () => {
    const { args, out } = matrix(
      { large: "mock:seed=1,bytes=9e9", small: "mock:seed=2" },
      [perplexity, speed],
      "memoryLimit: 2 GB",
    );
    const { code } = await bench(args);
    expect(code).toBe(2);
    const said = verdicts(eventsOf(out));
    expect(said["large perplexity"]).toMatch(
      /^large needs about 9\.\d+ GB of memory \(weights 9\.00? GB, .*\); 2\.00? GB may be used\.$/,
    );
    expect(said["large speed"]).toMatch(/may be used/);
    expect(said["small perplexity"]).toBe("done");
    // The flag goes before the file.
    expect((await bench([...args, "--memory-limit", "20GB"])).code).toBe(0);
  });

  it("engines that do not fit together are opened in turns", async () => {
    const { file } = matrix({ a: "mock:seed=1,bytes=6e8", b: "mock:seed=2,bytes=6e8" }, [speed], "memoryLimit: 1 GB");
    const all = await events(file);
    const opened = all.flatMap((event) => (event.type === "opened" ? [event.variant] : []));
    expect(opened.join("")).toMatch(/^(ab){2,}a?$/);
    expect(items(all)).toHaveLength(12);
  });

  it("cells that are impossible do not count as failed", async () => {
    const { args, out } = matrix({ a: "mock:seed=1" }, [
      perplexity,
      "long: {measurement: perplexity, text: text.txt, context: 5000}",
    ]);
    expect((await bench(args)).code).toBe(0);
    expect(verdicts(eventsOf(out))["a long"]).toMatch(/trained for 4096/);
    const { args: alone } = matrix({ a: "mock:seed=1" }, [
      "long: {measurement: perplexity, text: text.txt, context: 5000}",
    ]);
    expect((await bench(alone)).code).toBe(1);
  });
});

describe("lock-step", () => {
  const divergence = "divergence: {text: text.txt, context: 64, chunks: 6}";
  const ladder = {
    full: "mock:seed=1,bytes=6e8",
    a: "mock:seed=1,damage=0.1,bytes=3e8",
    b: "mock:seed=1,damage=0.2,bytes=3e8",
    c: "mock:seed=1,damage=0.3,bytes=3e8",
  };
  const withReference = (variants: Record<string, string>, more: string) => {
    const made = matrix(variants, [divergence], more);
    const text = readFileSync(made.file, "utf8");
    writeFileSync(made.file, text.replace(/(full: \{model: "[^"]*")/, "$1, reference: true"));
    return made;
  };
  /** Who was opened with the reference, process by process. */
  const watched = () => {
    const executor = childExecutor();
    const groups: string[] = [];
    const open: Executor["open"] = (variant, options) => {
      const names = [variant, ...(options.others ?? [])].map(({ name }) => name);
      groups.push(`${names.join(" ")}${options.scratch ? ", in turns" : ""}`);
      return executor.open(variant, options);
    };
    return { groups, executor: { ...executor, open } };
  };
  const measured = (all: Event[]) => {
    const [started] = all;
    const variants = new Map(started?.type === "started" ? started.jobs.map(({ id, variant }) => [id, variant]) : []);
    return all
      .flatMap((event) =>
        event.type === "samples" && event.item !== "peak_memory" ? [{ ...event, job: variants.get(event.job)! }] : [],
      )
      .map(({ job, item, samples }) => JSON.stringify([job, item, samples]))
      .sort();
  };

  it("opens all models at once where they fit, the weights that two share counted once, else one at a time", async () => {
    const [all, some] = [watched(), watched()];
    const together = await events(withReference(ladder, "memoryLimit: 2.4 GB").file, { executor: all.executor });
    const split = await events(withReference(ladder, "memoryLimit: 1 GB").file, { executor: some.executor });
    expect(all.groups).toEqual(["full full a b c"]);
    expect(some.groups).toEqual(["full full a b c, in turns"]);
    expect(measured(together)).toHaveLength(4 + 3 * 6);
    expect(measured(split)).toHaveLength(4 + 3 * 6);
  });

  it("a reference or a variant that does not fit alone is told with the numbers", async () => {
    const large = { ...ladder, b: "mock:seed=1,damage=0.2,bytes=9e8" };
    const { args, out } = withReference(large, "memoryLimit: 1 GB");
    expect((await bench(args)).code).toBe(2);
    const said = verdicts(eventsOf(out));
    expect(said["full divergence"]).toBe("done");
    expect(said["a divergence"]).toBe("done");
    expect(said["b divergence"]).toMatch(
      /^b needs about 1\.\d+ GB of memory \(weights 900(\.0)? MB, .*; 1\.00? GB may be used\.$/,
    );
    const none = withReference(ladder, "memoryLimit: 0.5 GB");
    expect((await bench(none.args)).code).toBe(1);
    expect(verdicts(eventsOf(none.out))["a divergence"]).toMatch(/^the reference full needs about 7\d\d(\.\d)? MB/);
  });

  it("one that takes the process down is the only one that fails", async () => {
    const { executor, groups } = watched();
    const crashing = { ...ladder, b: `${ladder.b},crash=1` };
    const all = await events(withReference(crashing, "").file, { executor });
    // The process that measured "full full" became "full a" and then "full b".
    expect(groups).toEqual(["full full a b c", "full full", "full c"]);
    const ends = all.flatMap((event) => (event.type === "job-done" || event.type === "job-failed" ? [event.type] : []));
    expect(ends.toSorted()).toEqual(["job-done", "job-done", "job-done", "job-failed"]);
    expect(new Set(items(all)).size).toBe(items(all).length);
  });
});

describe("lock-step and turns", () => {
  const models = { full: 1, a: 2, b: 3 };
  const variants = Object.entries(models).map(([name, seed]) => {
    const reference = name === "full" ? ", reference: true" : "";
    return `  ${name}: {model: ${JSON.stringify(writeRandomLlama(folder, name, { seed }))}, threads: 1${reference}}`;
  });
  // Four groups of eight chunks; the temporary file has room for two of them.
  const benchmark = (more: string) => {
    const file = join(folder, `turns${count++}.yaml`);
    const measured = "measurements:\n  divergence: {text: text.txt, context: 256, chunks: 30, floor: 9}\n";
    writeFileSync(file, `${more}\nvariants:\n${variants.join("\n")}\n${measured}`);
    return file;
  };
  const planned = async (file: string, content?: string) => {
    if (content !== undefined) writeFileSync(file, content);
    return makePlan(await readBenchmark(file, { measurements }), { command: [], versions: {}, place: localPlace });
  };
  const tight = async () => {
    const most = Math.max(...(await planned(benchmark(""))).jobs.map(({ memory }) => memory!.total));
    return benchmark(`memoryLimit: ${most + 1}\nscratchLimit: 2200 kB`);
  };
  const samples = (all: Event[]) => all.filter((event) => event.type === "samples" && event.item !== "peak_memory");
  const files = (out: string) => {
    const tokens = join(out, "tokens");
    return Object.fromEntries(readdirSync(tokens).map((name) => [name, readFileSync(join(tokens, name), "base64")]));
  };

  it("give the same figures and per-token values, byte for byte, and leave no file behind", async () => {
    const cache = join(folder, "cache-of-turns");
    const outs: string[] = [];
    for (const file of [benchmark(""), await tight()]) {
      const out = join(folder, `turns-${outs.push(file)}`);
      outs[outs.length - 1] = out;
      const { code, stderr } = await bench(["run", file, "--out", out, "--plain"], {
        env: { GGUF_BENCH_CACHE: cache },
      });
      expect(code, stderr).toBe(0);
    }
    expect(files(outs[1]!)).toEqual(files(outs[0]!));
    expect(qualityRows(outs[1]!)).toEqual(qualityRows(outs[0]!));
    expect(readdirSync(cache).filter((name) => name.startsWith("logits"))).toEqual([]);
  });

  it("a run that was stopped goes on with the same figures, whoever's turn it was", async () => {
    const file = await tight();
    const whole = samples(await events(file));
    expect(whole).toHaveLength(9 + 2 * 30);
    for (const after of [1, 20, 45]) {
      let seen = 0;
      const stopAfter = (event: Event) => event.type === "samples" && ++seen === after;
      const first = await events(file, { stopAfter });
      expect(first.at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
      const rest = await events(file, { done: first });
      const sorted = (all: Event[]) => all.map((event) => JSON.stringify(event)).sort();
      expect(sorted([...samples(first), ...samples(rest)])).toEqual(sorted(whole));
    }
  });

  it("a batch size of its own pairs a variant's tokens with none but the reference's same ones", async () => {
    const model = JSON.stringify(join(folder, "full.gguf"));
    const file = join(folder, "batches.yaml");
    const settings = ["batch: 200, ubatch: 100", "batch: 300"].map((own, i) => `  b${i}: {model: ${model}, ${own}}`);
    const measured = "measurements:\n  divergence: {text: text.txt, context: 256, chunks: 10, floor: 0}";
    const plain = `variants:\n  full: {model: ${model}, reference: true}\n${settings.join("\n")}\n${measured}`;
    const most = Math.max(...(await planned(file, plain)).jobs.map(({ memory }) => memory!.total));
    for (const limit of ["", `memoryLimit: ${most + 1}\n`]) {
      await planned(file, `${limit}${plain}`);
      const found = samples(await events(file)).flatMap((event) => (event.type === "samples" ? [event.samples] : []));
      expect(found).toHaveLength(2 * 10);
      for (const [kld, top] of found) {
        expect(kld).toMatchObject({ metric: "kld", value: expect.closeTo(0, 5) });
        expect(top!.value).toBeGreaterThan(0.98);
      }
    }
  });

  it("a temporary file that cannot be made is a sentence", async () => {
    const blocked = join(folder, "no-folder");
    writeFileSync(blocked, "");
    const out = join(folder, "turns-blocked");
    const { code } = await bench(["run", await tight(), "--out", out, "--plain"], {
      env: { GGUF_BENCH_CACHE: blocked },
    });
    expect(code).toBe(1);
    expect(verdicts(eventsOf(out))["a divergence"]).toMatch(/logits-\w+\.tmp cannot be opened for writing: ENOTDIR/);
  });
});

describe("every job names the engine that measured it", () => {
  const own = join(folder, "engines");
  mkdirSync(own);
  writeFileSync(join(own, "text.txt"), someText(12_000));
  const models = { full: 1, a: 2, b: 3 };
  const variants = Object.entries(models).map(([name, seed]) => {
    const reference = name === "full" ? ", reference: true" : "";
    return `  ${name}: {model: ${JSON.stringify(writeRandomLlama(own, name, { seed }))}, threads: 1${reference}}`;
  });
  const benchmark = (more = "") => {
    const file = join(own, `e${count++}.yaml`);
    writeFileSync(
      file,
      `${more}variants:\n${variants.join("\n")}\nmeasurements:\n  perplexity: {text: text.txt, context: 64, chunks: 12}\n  divergence: {text: text.txt, context: 64, chunks: 12}\n`,
    );
    return file;
  };
  const measured = async (file: string, ...only: string[]) => {
    const out = join(own, `run${count++}`);
    const patterns = only.flatMap((pattern) => ["--only", pattern]);
    const { code, stderr } = await bench(["run", file, "--out", out, "--plain", ...patterns]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return out;
  };
  const engines = (out: string) =>
    eventsOf(out).flatMap((event) => (event.type === "job-done" ? [JSON.stringify(event.engine)] : []));
  const turns = async () => {
    const plan = await makePlan(await readBenchmark(benchmark(), { measurements }), {
      command: [],
      versions: {},
      place: localPlace,
    });
    return benchmark(`memoryLimit: ${Math.max(...plan.jobs.map(({ memory }) => memory!.total)) + 1}\n`);
  };

  it("by one name, whichever job opened it: alone, side by side, in turns", async () => {
    const out = await measured(benchmark());
    const names = new Set([...engines(out), ...engines(await measured(await turns(), "*/divergence"))]);
    expect(engines(out)).toHaveLength(6);
    expect(names.size).toBe(1);
    expect(JSON.parse([...names][0]!)).toEqual({
      version: expect.stringMatching(/^llama\.cpp /),
      library: expect.stringMatching(/\S/),
    });
  });

  it("so that no verdict is refused for another engine that is none", async () => {
    for (const only of [
      ["a/perplexity", "*/divergence"],
      ["b/perplexity", "*/divergence"],
      ["full/perplexity", "a/divergence", "full/divergence"],
    ]) {
      const out = await measured(benchmark(), ...only);
      const told = readFileSync(join(out, "table.md"), "utf8") + readFileSync(join(out, "comparisons.csv"), "utf8");
      expect(told).not.toMatch(/another engine|engines differ/);
    }
    // Perplexity by itself, and as a part of comparisons side by side and in turns.
    const [alone, beside, inTurns] = [
      await measured(benchmark(), "*/perplexity"),
      await measured(benchmark()),
      await measured(await turns()),
    ];
    for (const [x, y] of [
      [alone, beside],
      [beside, inTurns],
      [inTurns, alone],
    ]) {
      const { code, stdout } = await bench(["compare", `${x}:a`, `${y}:a`]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/PPL/);
      expect(stdout).not.toMatch(/[Ee]ngines differ/);
    }
  });

  it("and says of each variant its load time, its threads and its memory", async () => {
    for (const file of [benchmark(), await turns()]) {
      const out = await measured(file, "*/divergence");
      const { variants: told } = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
      expect(told.map(({ opened }: { opened: { threads: number } }) => opened.threads)).toEqual([1, 1, 1]);
      const rows = readFileSync(join(out, "table-long.csv"), "utf8").split("\n");
      for (const name of Object.keys(models))
        for (const metric of ["load_time", "peak_memory"]) {
          const [row] = rows.filter((line) => line.startsWith(`${name},`) && line.includes(`,${metric},`));
          expect(Number(row!.split(",")[5]), `${name} ${metric}`).toBeGreaterThan(0);
        }
      // Side by side or in turns, each variant's memory is its own.
      expect(readFileSync(join(out, "table.md"), "utf8")).not.toContain("models were in memory at once");
    }
  });
});

describe("the schedule", () => {
  const text = "divergence: {text: text.txt, context: 64, chunks: 6}";
  const planned = async (variants: Record<string, string>) =>
    makePlan(await readBenchmark(matrix(variants, [speed, perplexity, text, hellaswag]).file, { measurements }), {
      ...{ command: [], versions: {}, place: localPlace },
    });

  it("is plain data that a schema checks and that names jobs by id", async () => {
    const plan = await planned({ a: "mock:seed=1", b: "mock:seed=2" });
    const steps = [...schedule(plan, new Map())];
    expect(JSON.parse(JSON.stringify(steps)).map((step: unknown) => stepForm.parse(step))).toEqual(steps);
    expect(steps.map(({ kind }) => kind)).toEqual(["alone", "alone", "turns", "together"]);
    const named = steps.flatMap((step) => (step.kind === "prepare" ? [] : step.jobs));
    expect(named.toSorted()).toEqual(plan.jobs.map(({ record }) => record.id).sort());
    expect(stepForm.safeParse({ ...steps[0], path: "/etc/passwd" }).success).toBe(false);
  });

  it("leaves out what is done; where items take turns, rounds that are whole", async () => {
    const plan = await planned({ a: "mock:seed=1", b: "mock:seed=2" });
    const [turns] = [...schedule(plan, new Map())].filter((step) => step.kind === "turns");
    const [first, second] = turns!.turns as { job: string; item: string }[];
    const progress = (...items: { job: string; item: string }[]) =>
      new Map(items.map(({ job, item }) => [job, { items: new Set([item]), complete: false }]));
    const leftAfter = (...items: { job: string; item: string }[]) =>
      [...schedule(plan, progress(...items))].flatMap((step) => (step.kind === "turns" ? step.turns : []));
    expect(first!.item).toBe(second!.item);
    expect(leftAfter(first!, second!)).toEqual(turns!.turns.slice(2));
    // The other half would be of another moment.
    expect(leftAfter(first!)).toEqual(turns!.turns);
    const all = new Map(plan.jobs.map(({ record }) => [record.id, { items: new Set<string>(), complete: true }]));
    expect([...schedule(plan, all)]).toEqual([]);
  });

  it.each([2, 3, 5])("gives each of %i variants the same mean time in two rounds, also after a stop", async (count) => {
    const names = Array.from({ length: count }, (_, i) => `v${i}`);
    const plan = await planned(Object.fromEntries(names.map((name, i) => [name, `mock:seed=${i + 1}`])));
    const turnsOf = (done: Parameters<typeof schedule>[1], session = 1) =>
      [...schedule(plan, done, { session })].flatMap((step) => (step.kind === "turns" ? step.turns : []));
    /** By job: the sum of its places in these rounds. */
    const places = (turns: { job: string; item: string }[], rounds: readonly string[]) => {
      const sums = new Map<string, number>();
      turns.forEach(({ job, item }, place) => {
        if (rounds.includes(item)) sums.set(job, (sums.get(job) ?? 0) + place);
      });
      return new Set(sums.values());
    };
    const all = turnsOf(new Map());
    expect(all).toHaveLength(count * 2 * 3);
    expect(places(all, ["tg8/0", "tg8/1"]).size).toBe(1);
    expect(places(all, ["pp32/0", "pp32/1"]).size).toBe(1);
    expect(places(all, ["pp32/0"]).size).toBe(count);
    // Two sessions of an odd number of rounds: each round of the second one goes the way of the first one's back.
    const both = [...all, ...turnsOf(new Map(), 2).map(({ job, item }) => ({ job, item: `${item} again` }))];
    for (const item of ["tg8/0", "tg8/1", "tg8/2"]) expect(places(both, [item, `${item} again`]).size).toBe(1);
    // The last of a round is not always the first of the next one.
    const first = (item: string) => all.find((turn) => turn.item === item)!.job;
    const last = (item: string) => all.findLast((turn) => turn.item === item)!.job;
    expect(first("tg8/1")).toBe(last("tg8/0"));
    expect(first("tg8/2")).not.toBe(last("tg8/1"));
    // Stopped in the middle of the second round of tg: it is taken as a whole, and goes the way that it went.
    const stopped = all.findIndex(({ item }) => item === "tg8/1") + 1;
    const done = new Map(
      plan.jobs.map(({ record: { id } }) => [
        id,
        {
          items: new Set(all.slice(0, stopped).flatMap(({ job, item }) => (job === id ? [item] : []))),
          complete: false,
        },
      ]),
    );
    expect(turnsOf(done)).toEqual(all.slice(stopped - 1));
  });

  it("lets steps run side by side as cores, memory and the user allow, and never one that takes turns", () => {
    const step = (more: Partial<Step> = {}) =>
      ({ kind: "alone", variant: "v", jobs: ["j"], threads: 1, memory: 1, ...more }) as Step;
    const turns = { kind: "turns", jobs: ["j"], turns: [], threads: 1, memory: 1 } as Step;
    const limits = { memory: 4, parallel: Infinity, cores: 4 };
    expect(fits(step(), [step(), step(), step()], limits)).toBe(true);
    expect(fits(step({ threads: 2 }), [step(), step(), step()], limits)).toBe(false);
    expect(fits(step({ memory: 2 }), [step(), step(), step()], limits)).toBe(false);
    expect(fits(step(), [step({ memory: 4, threads: 4 })], limits)).toBe(false);
    expect(fits(step(), [step(), step()], { ...limits, parallel: 2 })).toBe(false);
    const { threads: _, ...all } = step();
    expect(fits(all as Step, [step()], limits)).toBe(false);
    expect(fits(step(), [turns], limits)).toBe(false);
    expect(fits(turns, [step()], limits)).toBe(false);
    // A download takes no core and no step of the user's number, but bandwidth of what is timed; a quantization takes all cores.
    const fetched = { kind: "prepare", variant: "v", work: "fetch", threads: 0, memory: 0 } as Step;
    const quantized = { kind: "prepare", variant: "v", work: "quantize", memory: 0 } as Step;
    expect(fits(fetched, [step({ threads: 4, memory: 4 })], { ...limits, parallel: 1 })).toBe(true);
    expect(fits(step(), [fetched], { ...limits, parallel: 1 })).toBe(true);
    expect(fits(fetched, [fetched], limits)).toBe(false);
    for (const preparation of [fetched, quantized]) {
      expect(fits(turns, [preparation], limits)).toBe(false);
      expect(fits(preparation, [turns], limits)).toBe(false);
    }
    expect(fits(quantized, [step()], limits)).toBe(false);
    // Whatever fits nowhere is tried alone: the reason is said there.
    expect(fits(step({ memory: 9, threads: 9 }), [], limits)).toBe(true);
  });
});

describe.skipIf(physicalCores() < 2)("variants side by side", () => {
  const slow = { a: "mock:seed=1,delay=0.03", b: "mock:seed=2,delay=0.03", c: "mock:seed=3,delay=0.03" };
  const beside = (more = "") => matrix(slow, [perplexity, hellaswag, speed], `defaults: {threads: 1}\n${more}`);
  const variantsOf = ([started]: Event[]) =>
    new Map(started?.type === "started" ? started.jobs.map((job) => [job.id, job]) : []);
  /** The largest number of jobs that were begun and not ended at any time, by kind. */
  const atOnce = (all: Event[]) => {
    const jobs = variantsOf(all);
    const open = new Set<string>();
    let most = 0;
    for (const event of all) {
      if (event.type === "job-started" && jobs.get(event.job)!.kind !== "speed") open.add(event.job);
      if (event.type === "job-done" || event.type === "job-failed") open.delete(event.job);
      most = Math.max(most, open.size);
    }
    return most;
  };

  it("are measured with the same figures, each job's events in order, and speed while nothing else runs", async () => {
    const all = await events(beside().file);
    const one = await events(beside().file, { parallel: 1 });
    expect([atOnce(all), atOnce(one)]).toEqual([Math.min(3, physicalCores()), 1]);
    const quality = (events: Event[]) =>
      events.flatMap((event) => {
        const job = event.type === "samples" ? variantsOf(events).get(event.job)! : undefined;
        return job && job.kind !== "speed" ? [JSON.stringify({ ...event, tokens: undefined })] : [];
      });
    expect(quality(all).sort()).toEqual(quality(one).sort());
    for (const [id, { kind }] of variantsOf(all)) {
      const own = all.filter((event) => "job" in event && event.job === id && event.type !== "progress");
      const order = own.map(({ type }) => type).join(" ");
      expect(order, kind).toMatch(/^job-started( samples)+ job-done$/);
    }
    const kinds = all.flatMap((event) => (event.type === "samples" ? [variantsOf(all).get(event.job)!.kind] : []));
    expect(kinds.slice(kinds.indexOf("speed")).every((kind) => kind === "speed")).toBe(true);
  });

  it("but not more than fit into memory", async () => {
    const heavy = { a: "mock:seed=1,bytes=6e8", b: "mock:seed=2,bytes=6e8" };
    const more = "defaults: {threads: 1}\nmemoryLimit: 1 GB";
    expect(atOnce(await events(matrix(heavy, [perplexity, hellaswag], more).file))).toBe(1);
  });

  it("one that crashes fails alone, and a stopped run goes on", async () => {
    const variants = { ...slow, b: `${slow.b},crash=4` };
    const { args, out } = matrix(variants, [perplexity, hellaswag], "defaults: {threads: 1}");
    expect((await bench(args)).code).toBe(2);
    const said = verdicts(eventsOf(out));
    expect(said["b perplexity"]).toMatch(/crashed \(SIGSEGV\)/);
    for (const name of ["a perplexity", "c perplexity", "a hellaswag", "c hellaswag"]) expect(said[name]).toBe("done");
    const { file } = beside();
    const whole = await events(file);
    for (const after of [1, 60, 150]) {
      let seen = 0;
      const first = await events(file, { stopAfter: (event) => event.type === "samples" && seen++ === after });
      expect(first.at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
      const second = await events(file, { done: first });
      // A round of speed that was cut is timed anew.
      expect([...new Set([...items(first), ...items(second)])].sort()).toEqual(items(whole).sort());
    }
  });
});

describe("two variants that are one file with the same settings", () => {
  const twins = { first: "mock:seed=1", second: "mock:seed=1", other: "mock:seed=2" };

  it("are measured once, and both have their figures and their engine", async () => {
    const { args, out, file } = matrix(twins, [perplexity, hellaswag, speed]);
    expect((await bench(args)).code).toBe(0);
    const told = eventsOf(out);
    const started = told.findLast((event) => event.type === "started")!;
    for (const { id } of started.jobs) {
      const own = told.flatMap((event) => ("job" in event && event.job === id ? [event] : []));
      expect(own.filter(({ type }) => type === "job-done")).toHaveLength(1);
      const measured = own.flatMap((event) => (event.type === "samples" ? [event.item] : []));
      expect(new Set(measured).size).toBe(measured.length);
    }
    const rows = readFileSync(join(out, "table-long.csv"), "utf8").split("\n");
    const of = (name: string) =>
      rows.filter((row) => row.startsWith(`${name},`)).map((row) => row.slice(row.indexOf(",")));
    expect(of("first").length).toBeGreaterThan(6);
    expect(of("second")).toEqual(of("first"));
    expect(of("other")).not.toEqual(of("first"));
    // Nothing is left to measure.
    const again = await events(file, { done: told as Event[] });
    expect(items(again)).toEqual([]);
  });

  it("beside a reference, too", async () => {
    const { args, out } = matrix(
      { full: "mock:seed=1", ...twins, first: "mock:seed=1,damage=0.1", second: "mock:seed=1,damage=0.1" },
      ["divergence: {text: text.txt, context: 64, chunks: 6}"],
    );
    const run = await bench([...args, "--reference", "full"]);
    expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 0, stderr: "" });
    const told = eventsOf(out).flatMap((event) => (event.type === "job-done" ? [event.job] : []));
    expect(told).toHaveLength(new Set(told).size);
    expect(told).toHaveLength(3);
    const long = readFileSync(join(out, "table-long.csv"), "utf8").split("\n");
    const kld = (name: string) =>
      long.find((row) => row.startsWith(`${name},`) && row.includes(",kld,"))!.split(",")[5];
    expect(kld("second")).toBe(kld("first"));
  });

  it("in the live view, too: ± is over the items, not over them twice", async () => {
    const { file } = matrix(twins, [perplexity, hellaswag]);
    const [all, alone] = [
      await events(file),
      await events(matrix({ first: twins.first }, [perplexity, hellaswag]).file),
    ];
    const shown = (events: Event[]) => {
      const state = events.reduce(reduce, initialState());
      return [...state.cells.values()]
        .filter(({ job }) => job.variant === "first")
        .map((cell) => cell.job.metrics.map((name) => figure(cell, name)));
    };
    expect(shown(all)).toEqual(shown(alone));
  });
});

describe("a job that was cut off after its last item", () => {
  it("is ended without counting its memory as an item, and keeps what it took", async () => {
    const { file } = matrix({ a: "mock:seed=1" }, [perplexity, hellaswag, speed]);
    const whole = await events(file);
    for (const { id } of (whole[0] as Extract<Event, { type: "started" }>).jobs) {
      const at = whole.findIndex((event) => event.type === "job-done" && event.job === id);
      const rest = await events(file, { done: whole.slice(0, at) });
      const end = (all: Event[]) => all.find((event) => event.type === "job-done" && event.job === id);
      const { items: count } = end(whole) as Extract<Event, { type: "job-done" }>;
      expect(end(rest)).toMatchObject({ items: count });
      const began = rest.find((event) => event.type === "job-started" && event.job === id);
      expect(began).toMatchObject({ done: count });
    }
  });
});

describe("stopping", () => {
  const slow = { a: "mock:seed=1,delay=0.25", b: "mock:seed=2,delay=0.05" };

  it("SIGINT: after the item at hand, exit code 130, and the same command goes on", async () => {
    const { args, out } = matrix(slow, [perplexity, hellaswag]);
    const first = start(args);
    await until("a sample", () => eventsOf(out).some((event) => event.type === "samples"));
    first.child.kill("SIGINT");
    const stopped = await first.ended;
    expect({ code: stopped.code, stderr: stopped.stderr }).toEqual({ code: 130, stderr: "" });
    expect(stopped.stdout).toMatch(/the same command (goes on|continues)/);
    expect(eventsOf(out).at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
    const done = eventsOf(out).filter((event) => event.type === "job-done").length;
    expect(done).toBeLessThan(4);
    const second = await bench(args);
    expect({ code: second.code, stderr: second.stderr }).toEqual({ code: 0, stderr: "" });
    const { args: whole, out: elsewhere } = matrix(slow, [perplexity, hellaswag]);
    await bench(whole);
    expect(qualityRows(out)).toEqual(qualityRows(elsewhere));
  });

  /** Until an engine that hangs says nothing more: a stop that comes between two batches is heard there. */
  async function hanging(out: string): Promise<void> {
    let [samples, since] = [0, Date.now()];
    await until("an engine that says nothing more", () => {
      const { length } = eventsOf(out).filter((event) => event.type === "samples");
      if (length > samples) [samples, since] = [length, Date.now()];
      return samples > 0 && Date.now() - since > 1000;
    });
  }

  it("SIGINT: without the item at hand when that takes more than a few seconds", async () => {
    const { args, out } = matrix({ a: "mock:seed=1,hang=3" }, [perplexity]);
    const { child, ended } = start(args);
    await hanging(out);
    const asked = performance.now();
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
    expect(performance.now() - asked).toBeGreaterThan(2500);
    expect(performance.now() - asked).toBeLessThan(8000);
    expect(eventsOf(out).at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
  });

  it("SIGINT: inside a group of windows that variants decode beside a reference, and the run goes on", async () => {
    const slowly = (seconds: number) =>
      matrix({ full: `mock:seed=1,delay=${seconds}`, small: `mock:seed=1,damage=0.1,delay=${seconds}` }, [
        "divergence: {text: text.txt, context: 64, chunks: 6, floor: 0}",
      ]);
    const { args, out, file } = slowly(6);
    const { child, ended } = start([...args, "--reference", "full"]);
    await until("a job", () => eventsOf(out).some((event) => event.type === "job-started"));
    const asked = performance.now();
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
    expect(performance.now() - asked).toBeLessThan(5500);
    expect(eventsOf(out).filter((event) => event.type === "samples" || event.type === "job-failed")).toEqual([]);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("delay=6", "delay=0"));
    expect((await bench([...args, "--reference", "full"])).code).toBe(0);
  });

  it("a second SIGINT: at once", async () => {
    const { args, out } = matrix({ a: "mock:seed=1,hang=3" }, [perplexity]);
    const { child, ended } = start(args);
    await hanging(out);
    child.kill("SIGINT");
    const early = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 700))]);
    expect(early).toBeUndefined();
    const asked = performance.now();
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
    expect(performance.now() - asked).toBeLessThan(1500);
  });

  it("an engine does not outlive its killed parent", async () => {
    const { args, out } = matrix({ a: "mock:seed=1,hang=2" }, [perplexity]);
    const { child, ended } = start(args);
    await until("a sample", () => eventsOf(out).some((event) => event.type === "samples"));
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    expect(children.length).toBeGreaterThan(0);
    child.kill("SIGKILL");
    await ended;
    const alive = (pid: string) => {
      try {
        return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
      } catch {
        return false;
      }
    };
    await until("the engine's end", () => !children.some(alive), 20);
  });
});
