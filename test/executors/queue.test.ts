import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasRedis, killWorker, RedisHere, type StartedWorker, startWorker } from "../redis.js";
import { bench, qualityRows, someQuestions, someText, temporaryFolder } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(60));
const file = join(folder, "matrix.yaml");
writeFileSync(
  file,
  `
name: matrix
variants:
  a: { model: "mock:seed=1", reference: true }
  b: { model: "mock:seed=1,damage=0.4" }
measurements:
  perplexity: { text: text.txt, context: 64 }
  divergence: { text: text.txt, context: 64 }
  speed: { prompt: 16, generate: 8, repetitions: 2 }
`,
);

describe.skipIf(!hasRedis)("a queue", { timeout: 120_000 }, () => {
  const redis = new RedisHere("p4ss-w0rd");
  const workers: StartedWorker[] = [];
  beforeAll(async () => {
    await redis.start();
  });
  afterAll(async () => {
    for (const worker of workers) await killWorker(worker);
    await redis.kill();
  });

  it("gives the figures of one process", async () => {
    workers.push(await startWorker(redis, "desk"));
    const [here, there] = [join(folder, "here"), join(folder, "there")];
    const command = (out: string) => ["run", file, "--plain", "--out", out];
    const queued = await bench([...command(there), "--queue", redis.url]);
    expect({ code: queued.code, stderr: queued.stderr }).toEqual({ code: 0, stderr: "" });
    expect(queued.stdout).toContain("Measured by 1 worker: desk.");
    expect((await bench(command(here))).code).toBe(0);
    expect(qualityRows(there)).toEqual(qualityRows(here));
  });
});
