import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readBenchmark } from "../../dist/benchmark/index.js";
import type { Event, StoredEvent } from "../../dist/events.js";
import { childExecutor, type Executor, localPlace } from "../../dist/executors/index.js";
import { measurements } from "../../dist/measurements/index.js";
import { makePlan } from "../../dist/plan/index.js";
import { progressOf, replay } from "../../dist/replay/index.js";
import { run } from "../../dist/run/index.js";
import { someText, temporaryFolder, writeRandomLlama } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(12_000));
const text = "text: text.txt, context: 256, chunks: 20";
let count = 0;

const llama = (name: string, seed: number) => ({
  model: writeRandomLlama(folder, name, { seed }),
  settings: "threads: 1",
});
const models = { full: llama("full", 1), a: llama("a", 2), b: llama("b", 3) };

function planned(
  measured: Record<string, string>,
  {
    variants = models,
    more = "",
  }: { variants?: Record<string, { model: string; settings: string }>; more?: string } = {},
) {
  const rows = Object.entries(variants).map(([name, { model, settings }]) => {
    const reference = name === "full" ? ", reference: true" : "";
    return `  ${name}: {model: ${JSON.stringify(model)}, ${settings}${reference}}`;
  });
  const asked = Object.entries(measured).map(([name, own]) => `  ${name}: {${own}}`);
  const file = join(folder, `${count++}.yaml`);
  writeFileSync(file, `${more}\nvariants:\n${rows.join("\n")}\nmeasurements:\n${asked.join("\n")}\n`);
  return readBenchmark(file, { measurements }).then((benchmark) =>
    makePlan(benchmark, { command: [], versions: {}, place: localPlace }),
  );
}

type Planned = Awaited<ReturnType<typeof planned>>;

function digest(event: Event): string {
  const bytes = (_: string, value: unknown) =>
    ArrayBuffer.isView(value)
      ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64")
      : value;
  return createHash("sha256").update(JSON.stringify(event, bytes)).digest("hex").slice(0, 12);
}

/** All events, and who was opened with whom. */
async function performed(
  plan: Planned,
  { done = [], stopAfter = Infinity }: { done?: Event[]; stopAfter?: number } = {},
) {
  const executor = childExecutor();
  const opened: string[] = [];
  const open: Executor["open"] = (variant, options) => {
    opened.push([variant, ...(options.others ?? [])].map(({ name }) => name).join(" "));
    return executor.open(variant, options);
  };
  const stop = new AbortController();
  const all: Event[] = [];
  let seen = 0;
  try {
    const options = {
      executor: { ...executor, open },
      done: progressOf(replay(done as StoredEvent[])),
      signal: stop.signal,
    };
    for await (const event of run(plan, options)) {
      all.push(event);
      if (event.type === "samples" && ++seen >= stopAfter) {
        stop.abort();
        executor.stop();
      }
    }
  } finally {
    await executor.close();
  }
  // A digest of all that an item holds, per-token values too.
  const items = all
    .flatMap((event) => (event.type === "samples" && event.item !== "peak_memory" ? [event] : []))
    .map((event) => `${event.job} ${event.item} ${digest(event)}`)
    .sort();
  return { all, opened, items };
}

const both = { perplexity: text, divergence: `${text}, floor: 3` };

describe("one decode feeds perplexity and divergence of one text", () => {
  it("no other engine is opened, and every item is what it is alone, bit by bit", async () => {
    const together = await performed(await planned(both));
    expect(together.opened).toEqual(["full full a b"]);
    const alone = await Promise.all(
      Object.entries(both).map(async ([name, own]) => performed(await planned({ [name]: own }))),
    );
    expect(alone[0]!.opened.toSorted()).toEqual(["a", "b", "full"]);
    expect(together.items).toEqual(alone.flatMap(({ items }) => items).sort());
    expect(together.items).toHaveLength(3 * 20 + 3 + 2 * 20);
    for (const { id } of (await planned(both)).jobs.map(({ record }) => record))
      expect(together.all.filter((event) => event.type === "job-done" && event.job === id)).toHaveLength(1);
  });

  it("each variant's memory is told as if the others were not there", async () => {
    const peaks = ({ all }: { all: Event[] }) =>
      new Map(
        all.flatMap((event) => {
          if (event.type !== "samples" || event.item !== "peak_memory") return [];
          expect(event.models).toBeUndefined();
          return [[event.job, event.samples[0]!.value]];
        }),
      );
    const large = Object.fromEntries(
      ["full", "a", "b"].map((name, seed) => [
        name,
        { model: writeRandomLlama(folder, `large-${name}`, { seed, hidden: 30_000 }), settings: "threads: 1" },
      ]),
    );
    const few = text.replace("20", "4");
    const asked = { perplexity: few, divergence: `${few}, floor: 3` };
    const together = peaks(await performed(await planned(asked, { variants: large })));
    const alone = peaks(await performed(await planned({ perplexity: few }, { variants: large })));
    expect(alone.size).toBe(3);
    // Two others hold 440 MB of weights and of what they compute with; what is compared takes some tens besides.
    for (const [job, bytes] of alone) expect(Math.abs(together.get(job)! - bytes)).toBeLessThan(150e6);
  });

  it("the same while models take turns in memory", async () => {
    const plan = await planned(both);
    const most = Math.max(...plan.jobs.map(({ memory }) => memory!.total));
    const turns = await performed(await planned(both, { more: `memoryLimit: ${most + 1}\nscratchLimit: 2200 kB` }));
    expect(turns.opened).toEqual(["full full a b"]);
    expect(turns.items).toEqual((await performed(plan)).items);
  });

  it("a run that was stopped goes on with the same items", async () => {
    const plan = await planned(both);
    const whole = (await performed(plan)).items;
    for (const stopAfter of [1, 20, 21, 60]) {
      const first = await performed(plan, { stopAfter });
      expect(first.all.at(-1)).toMatchObject({ type: "finished", outcome: "stopped" });
      const rest = await performed(plan, { done: first.all });
      expect([...first.items, ...rest.items].sort()).toEqual(whole);
    }
    // Only one of the two is left.
    const half = await performed(await planned({ divergence: both.divergence }));
    const rest = await performed(plan, { done: half.all });
    expect(rest.opened.toSorted()).toEqual(["a", "b", "full"]);
    expect([...half.items, ...rest.items].sort()).toEqual(whole);
  });

  it.each([
    ["another context", { perplexity: "text: text.txt, context: 128, chunks: 20" }, {}],
    ["other chunks", { perplexity: "text: text.txt, context: 256, chunks: 19" }, {}],
    ["batches of another shape", {}, { a: { ...models.a, settings: "threads: 1, ubatch: 128" } }],
  ])("not with %s", async (_, measured, variants) => {
    const plan = await planned({ ...both, ...measured }, { variants: { ...models, ...variants } });
    const { opened, items } = await performed(plan);
    expect(opened.filter((names) => names === "a")).toHaveLength(1);
    expect(opened.filter((names) => names === "b")).toHaveLength(Object.keys(measured).length);
    const alone = await performed(
      await planned({ perplexity: text, ...measured }, { variants: { ...models, ...variants } }),
    );
    expect(items).toEqual(expect.arrayContaining(alone.items));
  });

  it("what one model takes down is measured alone, and only its own cells fail", async () => {
    const mock = (name: string) => ({ model: `mock:${name}`, settings: "threads: 1" });
    const variants = { full: mock("seed=1"), a: mock("seed=1,damage=0.1"), b: mock("seed=1,damage=0.2,crash=1") };
    const { all, opened } = await performed(await planned(both, { variants }));
    expect(opened[0]).toBe("full full a b");
    const [started] = all;
    const names = new Map(
      started?.type === "started" ? started.jobs.map(({ id, variant, kind }) => [id, `${variant} ${kind}`]) : [],
    );
    const ended = (type: string) =>
      all.flatMap((event) => (event.type === type && "job" in event ? [names.get(event.job!)!] : [])).sort();
    expect(ended("job-failed")).toEqual(["b divergence", "b perplexity"]);
    expect(ended("job-done")).toEqual(["a divergence", "a perplexity", "full divergence", "full perplexity"]);
  });
});
