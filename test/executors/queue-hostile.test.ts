import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasRedis, killWorker, RedisHere, type StartedWorker, startWorker } from "../redis.js";
import { bench, sleep, someText, temporaryFolder } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(3000));
const file = join(folder, "small.yaml");
writeFileSync(
  file,
  `
name: small
variants:
  a: { model: "mock:seed=1" }
measurements:
  perplexity: { text: text.txt, context: 64 }
`,
);
const password = "p4ss-w0rd-of-the-queue";
const token = "hf_PlantedTokenOfSomeone";

describe.skipIf(!hasRedis)("a queue that others can write to", { timeout: 120_000 }, () => {
  const redis = new RedisHere(password);
  let worker: StartedWorker;
  beforeAll(async () => {
    await redis.start();
    const env = { HF_TOKEN: token, GGUF_BENCH_CACHE: join(folder, "cache") };
    worker = await startWorker(redis, "desk", ["--models", folder], env);
  }, 60_000);
  afterAll(async () => {
    await killWorker(worker);
    await redis.kill();
  });

  const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  const sha256 = "0".repeat(64);
  const mock = { name: "a", backend: "mock", settings: {}, model: { known: "mock:seed=1" }, lora: [] };
  const llama = { ...mock, backend: "llama" };
  const named = { sha256, bytes: 1, parts: 1, name: "a.gguf", sources: [] };
  let count = 0;
  const body = (variant: object, request?: object, more: object = {}) => ({
    assignment: {
      ...{ id: `hostile-${++count}`, run: "hostile", group: "hostile", tags: [], shown: "something" },
      opening: { variant, others: [], timeout: 10, memory: 0 },
      ...(request ? { request } : {}),
      ...more,
    },
    declined: {},
  });

  /** What became of a body: why it was refused, or what its worker wrote. */
  async function answer(sent: object): Promise<string> {
    const client = redis.client();
    const queue = new Queue(await placeQueue(client), { connection: client, prefix: "gguf-bench" });
    await client.set("gguf-bench:run:hostile", "1", "PX", 60_000);
    const id = `hostile-${count}`;
    await queue.add("assignment", sent, { jobId: id });
    for (;;) {
      const state = await queue.getJobState(id);
      if (state === "failed" || state === "completed") {
        const reason = await client.hget(`gguf-bench:${queue.name}:${id}`, "failedReason");
        const letters = await client.xrange("gguf-bench:letters:hostile", "-", "+");
        await client.del("gguf-bench:letters:hostile");
        await queue.close();
        client.disconnect();
        return reason ?? JSON.stringify(letters);
      }
      await sleep(50);
    }
  }

  async function placeQueue(client: Redis): Promise<string> {
    for (;;) {
      const [key] = await client.keys("gguf-bench:place-*:stalled-check");
      if (key) return key.split(":")[1]!;
      await sleep(50);
    }
  }

  async function data(bytes: Buffer, name = digest(bytes)): Promise<string> {
    const client = redis.client();
    await client.set(`gguf-bench:data:${name}`, gzipSync(bytes));
    client.disconnect();
    return name;
  }

  it("refuses paths, backends that open addresses, unknown kinds and what is no assignment", async () => {
    const path = { ...llama, model: { file: { ...named, name: "../../etc/passwd" } } };
    expect(await answer(body(path))).toContain("is a path, and files are named by their hash");
    expect(await answer(body({ ...llama, model: { known: "/etc/passwd" } }))).toContain(
      "names the model of a by a path",
    );
    const library = { ...llama, model: { file: named }, settings: { library: "/tmp/build" } };
    expect(await answer(body(library))).toContain("sets `library` of a, which is a path");
    const server = { ...mock, backend: "openai", model: { known: "openai:http://10.0.0.1/v1#m" } };
    expect(await answer(body(server))).toContain("is for openai, which a worker does not open");
    expect(await answer(body({ ...mock, backend: "no-such" }))).toContain("there is no backend");
    expect(await answer(body(mock, { kind: "no-such", settings: {} }))).toContain("a measurement that there is not");
    expect(await answer(body(mock, { kind: "constructor", settings: {} }))).toContain(
      "a measurement that there is not",
    );
    const settings = { context: "sixty-four" };
    const text = await data(Buffer.from(JSON.stringify({ kind: "text", name: "t", sha256, bytes: 1, text: "some" })));
    expect(await answer(body(mock, { kind: "perplexity", settings, data: { sha256: text } }))).toContain(
      "settings that are none of perplexity",
    );
    expect(await answer({ ...body(mock), path: "/etc" })).toMatch(/^the assignment is none: /i);
    expect(await answer({})).toMatch(/^the assignment is none: /i);
  });

  it("refuses what is too large, and data that are not those of their hash", async () => {
    const large = body(mock, undefined, { shown: "x".repeat(100e6) });
    expect(await answer(large)).toMatch(/the assignment has 100 MB, and 1 MB is the most/i);
    const ask = (name: string) => answer(body(mock, { kind: "perplexity", settings: {}, data: { sha256: name } }));
    expect(await ask(await data(Buffer.from('{"kind":"text"}'), "1".repeat(64)))).toContain(
      "are not those of its hash",
    );
    expect(await ask(await data(Buffer.from('{"kind":"path","path":"/etc/passwd"}')))).toContain("no known kind");
    const stored = { kind: "reference", name: "r", path: "/etc/passwd", sha256, bytes: 1, reread: true };
    expect(await ask(await data(Buffer.from(JSON.stringify(stored))))).toContain("name no file by its hash");
    expect(await ask(await data(Buffer.alloc(270 << 20)))).toContain("cannot be unpacked, or have more than 268.4 MB");
    const client = redis.client();
    await client.setrange(`gguf-bench:data:${"2".repeat(64)}`, 100e6, "x");
    expect(await ask("2".repeat(64))).toContain("have 100.0 MB, and 67.1 MB is the most");
    await client.del(`gguf-bench:data:${"2".repeat(64)}`);
    client.disconnect();
  });

  it("measures on, and neither password nor token is written anywhere", async () => {
    const out = join(folder, "out");
    const env = { HF_TOKEN: token, GGUF_BENCH_CACHE: join(folder, "cache") };
    const outcome = await bench(["run", file, "--out", out, "--queue", redis.url], { env: { ...process.env, ...env } });
    expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: "" });
    const wrong = redis.url.replace(password, "wrong-p4ss");
    const refused = await bench(["run", file, "--queue", wrong]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("the password or the user's name is wrong"),
    });

    const client = redis.client();
    const keys = await client.keys("*");
    expect(keys.length).toBeGreaterThan(5);
    const kept = await Promise.all(keys.map((key) => client.dumpBuffer(key)));
    const clients = String(await client.client("LIST"));
    client.disconnect();
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const written = files.map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    expect(written.length).toBeGreaterThan(8);
    const said = [outcome.stdout, refused.stdout, refused.stderr, worker.output.stdout, worker.output.stderr, clients];
    for (const secret of [password, "wrong-p4ss", token, Buffer.from(password).toString("base64").slice(0, 20)]) {
      const places = [...keys, ...said, ...kept, ...written].filter((one) => one?.includes(secret));
      expect(places).toEqual([]);
    }
    const { provenance } = JSON.parse(readFileSync(join(out, "events.jsonl"), "utf8").split("\n")[0]!);
    expect(provenance.command.join(" ")).toMatch(/--queue redis:\/\/127\.0\.0\.1:\d+$/);
  });

  it("the password may stand in a variable, which no list of processes shows", async () => {
    const url = redis.url.replace(`:${password}@`, "");
    const asked = await bench(["run", file, "--out", join(folder, "by-variable"), "--queue", url]);
    expect(asked).toMatchObject({ code: 1, stderr: expect.stringContaining("it asks for a password") });
    const env = { ...process.env, GGUF_BENCH_QUEUE_PASSWORD: password };
    const outcome = await bench(["run", file, "--out", join(folder, "by-variable"), "--queue", url], { env });
    expect({ code: outcome.code, stderr: outcome.stderr }).toEqual({ code: 0, stderr: "" });
  });
});
