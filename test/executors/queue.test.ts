import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
  afterAll(async () => {
    await endAll();
    await redis.kill();
  });

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
    expect(outcome.stdout).toContain("Measured by 2 workers: desk, tower.");
    expect(outcome.stdout).toMatch(
      /Passed over: odd has another build: llama\.cpp \S+ \(.*\) GGML_OTHER_KERNELS=1, not /,
    );
    expect(ok(await bench(run(file, here)))).toEqual({ code: 0, stderr: "" });
    expect(qualityRows(there)).toEqual(qualityRows(here));
    expect(twice(there)).toEqual([]);
    // Speed is timed on one of them, which is said.
    const timed = (await Promise.all(workers.map(async ({ output }) => output.stdout))).map(
      (said) => said.match(/has done speed/g)?.length ?? 0,
    );
    expect(timed).toEqual([0, 8, 0]);
    const [started] = eventsOf(there);
    expect(started).toMatchObject({ provenance: { machine: { host: expect.any(String) } } });
    await endAll();
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
    expect(ok(await bench(run(file, here)))).toEqual({ code: 0, stderr: "" });
    expect(qualityRows(there)).toEqual(qualityRows(here));
    expect(twice(there)).toEqual([]);
    await endAll();
  });
});
