import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, hostname, loadavg } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hasRedis, killWorker, RedisHere, type StartedWorker, startWorker } from "../redis.js";
import {
  bench,
  eventsOf,
  type Outcome,
  qualityRows,
  sleep,
  someQuestions,
  someText,
  start,
  temporaryFolder,
  until,
  writeRandomLlama,
} from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(60));
for (const seed of [1, 2]) writeRandomLlama(folder, `random-${seed}`, { seed });

function matrix(name: string, body: string): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, `name: ${name}\n${body}`);
  return file;
}

const ok = ({ code, stderr }: Outcome) => ({ code, stderr });

/** Items that the run holds more than once. */
function twice(out: string): string[] {
  const items = eventsOf(out).flatMap((event) => (event.type === "samples" ? [`${event.job} ${event.item}`] : []));
  return items.filter((item, i) => items.indexOf(item) !== i);
}

describe.skipIf(!hasRedis)("a queue", { timeout: 300_000 }, () => {
  const redis = new RedisHere("p4ss-w0rd");
  let workers: StartedWorker[] = [];
  const begin = async (name: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) => {
    const worker = await startWorker(redis, name, ["--models", folder, "--threads", "1", ...args], env);
    workers.push(worker);
    return worker;
  };
  const endAll = async () => {
    for (const worker of workers) await killWorker(worker);
    workers = [];
    const client = redis.client();
    await client.flushall();
    client.disconnect();
  };
  const run = (file: string, out: string, ...more: string[]) => ["run", file, "--plain", "--out", out, ...more];
  const queued = (file: string, out: string, ...more: string[]) => run(file, out, "--queue", redis.url, ...more);

  beforeAll(async () => {
    await redis.start();
  });
  afterEach(endAll);
  afterAll(() => redis.kill());

  it("gives the figures of one process, and passes over a worker with another build", async () => {
    const file = matrix(
      "builds",
      `
defaults: {threads: 1}
variants:
  a: {model: random-1.gguf, reference: true}
  b: {model: random-2.gguf}
measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64}
  hellaswag: {file: questions.txt}
  speed: {prompt: 16, generate: 8, repetitions: 2}
`,
    );
    await begin("odd", [], { GGML_OTHER_KERNELS: "1" });
    await begin("desk");
    await begin("tower");
    const [here, there] = [join(folder, "builds-here"), join(folder, "builds-there")];
    const outcome = await bench(queued(file, there));
    expect(ok(outcome)).toEqual({ code: 0, stderr: "" });
    expect(outcome.stdout).toContain("measured by 2 workers: desk, tower\n");
    expect(outcome.stdout).toMatch(
      /warning: passed over: odd has another build: llama\.cpp \S+ \(.*\) GGML_OTHER_KERNELS=1, not /,
    );
    expect(ok(await bench(run(file, here)))).toEqual({ code: 0, stderr: "" });
    expect(qualityRows(there)).toEqual(qualityRows(here));
    expect(readFileSync(join(there, "table.md"), "utf8")).toContain(`Machine: ${hostname()}, `);
    expect(twice(there)).toEqual([]);
    // Speed is timed on one of them, which is said.
    const timed = (await Promise.all(workers.map(async ({ output }) => output.stdout))).map(
      (said) => said.match(/has done speed/g)?.length ?? 0,
    );
    expect(timed).toEqual([0, 8, 0]);
    expect(eventsOf(there)).toContainEqual(
      expect.objectContaining({
        type: "warning",
        message: expect.stringMatching(/^passed over: odd has another build/),
      }),
    );
    // Each variant has a load time, with the worker that opened it.
    const opened = eventsOf(there).flatMap((event) => (event.type === "opened" ? [event] : []));
    expect(new Set(opened.map(({ variant }) => variant))).toEqual(new Set(["a", "b"]));
    for (const { engine } of opened) {
      expect(["desk", "tower"]).toContain(engine.worker);
      expect(engine.loadSeconds).toBeGreaterThan(0);
    }
    const [started] = eventsOf(there);
    expect(started).toMatchObject({ provenance: { machine: { host: expect.any(String) } } });
  });

  it("survives a killed worker and a Redis that starts anew, and counts nothing twice", async () => {
    const file = matrix(
      "survives",
      `
variants:
  a: {model: "mock:seed=1,delay=0.05,bytes=6e8", batch: 64, reference: true}
  b: {model: "mock:seed=1,damage=0.4,delay=0.05,bytes=6e8", batch: 64}
measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 128}
  hellaswag: {file: questions.txt}
`,
    );
    const [here, there] = [join(folder, "survives-here"), join(folder, "survives-there")];
    await begin("one");
    await begin("two");
    await begin("three");
    const going = start(queued(file, there));
    const holds = ({ output: { stdout } }: StartedWorker) => {
      const [, last] = stdout.match(/takes ((?:perplexity|divergence) of [^\n]*)\n$/) ?? [];
      return last;
    };
    await until("a worker is in the middle of a part", () => workers.some(holds), 60);
    const killed = workers.find(holds)!;
    const part = holds(killed)!;
    await sleep(300);
    await killWorker(killed);
    const at = performance.now();
    const takes = `takes ${part}\n`;
    await until("another has taken it over", () =>
      workers.some((worker) => worker !== killed && worker.output.stdout.includes(takes)),
    );
    const seconds = (performance.now() - at) / 1000;
    console.info(`taken over ${seconds.toFixed(1)} s after kill -9`);
    expect(seconds).toBeLessThan(20);
    await redis.kill();
    await sleep(1000);
    await redis.start();
    expect(ok(await going.ended)).toEqual({ code: 0, stderr: "" });
    const told = eventsOf(there).flatMap((event) =>
      event.type === "warning" || event.type === "note" ? [event.message] : [],
    );
    expect(told).toContain(`${killed.name} is gone: ${part} goes to another worker`);
    expect(told.join("\n")).toMatch(/redis:\S+: .*; the run waits for it\n(.*\n)*redis:\S+ is back/);
    expect(ok(await bench(run(file, here)))).toEqual({ code: 0, stderr: "" });
    expect(qualityRows(there)).toEqual(qualityRows(here));
    expect(twice(there)).toEqual([]);
  });

  it("four workers are four times as fast", async () => {
    writeFileSync(join(folder, "long.txt"), "x".repeat(64 * 96 - 1));
    const file = matrix(
      "scale",
      `
variants:
  a: {model: "mock:seed=1,delay=0.25,bytes=2e9", batch: 64}
measurements:
  perplexity: {text: long.txt, context: 64}
`,
    );
    const seconds: Record<number, number> = {};
    for (const count of [1, 2, 4]) {
      while (workers.length < count) await begin(`w${workers.length + 1}`);
      const out = join(folder, `scale-${count}`);
      expect(ok(await bench(queued(file, out)))).toEqual({ code: 0, stderr: "" });
      const done = eventsOf(out).find((event) => event.type === "job-done")!;
      seconds[count] = done.seconds;
      expect(done.items).toBe(96);
    }
    const efficiency = (count: number) => seconds[1]! / (count * seconds[count]!);
    // A part costs what its worker takes beyond the delays of its batches.
    const each = (count: number) => (count * seconds[count]! - 24) / (3 * count);
    // Where the cores have other work, all that is no delay waits for them.
    const least = loadavg()[0]! > 2 * availableParallelism() ? 0.7 : 0.9;
    for (const count of [2, 4])
      console.info(
        `${count} workers: ${seconds[count]!.toFixed(2)} s of ${seconds[1]!.toFixed(2)} s, efficiency ${efficiency(count).toFixed(3)}, ${each(count).toFixed(3)} s for each part`,
      );
    expect(efficiency(2)).toBeGreaterThan(least);
    expect(efficiency(4)).toBeGreaterThan(least);
  });

  it("a stopped run takes its parts back, a killed one leaves none, and the same command goes on", async () => {
    const file = matrix(
      "stops",
      `
variants:
  a: {model: "mock:seed=1,delay=0.2,bytes=6e8", batch: 64}
measurements:
  perplexity: {text: text.txt, context: 256}
`,
    );
    const [here, there] = [join(folder, "stops-here"), join(folder, "stops-there")];
    await begin("one");
    await begin("two");
    const measuring = () => workers.some(({ output }) => /takes perplexity[^\n]*\n$/.test(output.stdout));
    const first = start(queued(file, there));
    await until("it is measured", () => eventsOf(there).filter(({ type }) => type === "samples").length > 3, 60);
    first.child.kill("SIGINT");
    expect((await first.ended).code).toBe(130);
    await until("the workers are free", () => !measuring());
    expect(await waitingIn(redis)).toEqual([]);
    const afterStop = eventsOf(there).filter(({ type }) => type === "samples").length;

    const second = start(queued(file, there));
    await until(
      "it goes on",
      () => eventsOf(there).filter(({ type }) => type === "samples").length > afterStop + 3,
      60,
    );
    await killWorker(second);
    await until("the workers are free", () => !measuring(), 30);
    await until("nothing waits", () => workers.every(({ output }) => !/takes[^\n]*\n$/.test(output.stdout)), 30);

    expect(ok(await bench(queued(file, there)))).toEqual({ code: 0, stderr: "" });
    expect(ok(await bench(run(file, here)))).toEqual({ code: 0, stderr: "" });
    expect(qualityRows(there)).toEqual(qualityRows(here));
    expect(twice(there)).toEqual([]);
  });

  it("Ctrl-C ends a worker after the item at hand, and the rest goes to another", async () => {
    const file = matrix(
      "leaves",
      `
variants:
  a: {model: "mock:seed=1,delay=0.2,bytes=6e8", batch: 64}
measurements:
  perplexity: {text: text.txt, context: 256}
`,
    );
    const out = join(folder, "leaves");
    const one = await begin("one");
    const going = start(queued(file, out));
    await until("one measures", () => /takes perplexity/.test(one.output.stdout), 60);
    const two = await begin("two");
    one.child.kill("SIGINT");
    const ended = await one.ended;
    expect(ok(ended)).toEqual({ code: 0, stderr: "" });
    const [, part] = ended.stdout.match(/stopped (perplexity of a, \d\/3)\n$/) ?? [];
    expect(part).toBeDefined();
    expect(ok(await going.ended)).toEqual({ code: 0, stderr: "" });
    expect(two.output.stdout).toContain(`has done ${part}`);
    const notes = eventsOf(out).flatMap((event) => (event.type === "note" ? [event.message] : []));
    expect(notes).toEqual(["measured by 1 worker: one", "two measures from now on, too", "one has left"]);
    expect(twice(out)).toEqual([]);
  });
});

/** Assignments that wait in any queue. */
async function waitingIn(redis: RedisHere): Promise<string[]> {
  const client = redis.client();
  const lists = await client.keys("gguf-bench:place-*:wait");
  const waiting = (await Promise.all(lists.map((key) => client.lrange(key, 0, -1)))).flat();
  client.disconnect();
  return waiting;
}
