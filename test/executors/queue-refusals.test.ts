import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hasRedis, killWorker, RedisHere, type StartedWorker, startWorker } from "../redis.js";
import { bench, eventsOf, someText, start, temporaryFolder, until } from "../support.js";

// What Redis refuses is told: what passes is waited for, what does not ends whoever needs it.
const folder = temporaryFolder();
const file = join(folder, "small.yaml");
writeFileSync(join(folder, "text.txt"), someText(4500));
writeFileSync(
  file,
  `
name: small
variants:
  a: { model: "mock:seed=1,delay=0.1,bytes=6e8", batch: 64 }
measurements:
  perplexity: { text: text.txt, context: 64 }
`,
);

describe.skipIf(!hasRedis)("a Redis that refuses", { timeout: 180_000 }, () => {
  const redis = new RedisHere();
  let worker: StartedWorker | undefined;
  const ask = async (command: string) => {
    const client = redis.client();
    const [name = "", ...words] = command.split(" ");
    await client.call(name, ...words);
    client.disconnect();
  };
  const run = (name: string, url = redis.url) => ["run", file, "--plain", "--out", join(folder, name), "--queue", url];
  /** The address of a user who may do all but this. */
  const without = async (command: string) => {
    await ask(`ACL SETUSER limited reset on >p4ss ~* &* +@all -${command}`);
    return redis.url.replace("redis://", "redis://limited:p4ss@");
  };
  beforeAll(async () => {
    await redis.start();
  });
  afterEach(async () => {
    if (worker) await killWorker(worker);
    worker = undefined;
    await ask("FLUSHALL");
  });
  afterAll(() => redis.kill());

  it("commands of a user ends a run and a worker, with the command in a sentence", async () => {
    const shown = redis.url;
    const atOnce = await bench(run("set", await without("set")));
    expect(atOnce).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining(`${shown}: its user may not use the command set.`),
    });
    const taking = await bench(["worker", "--queue", await without("evalsha"), "--name", "limited"]);
    expect(taking).toMatchObject({ code: 1, stderr: expect.stringContaining(`${shown}: its user may not use `) });
    worker = await startWorker(redis, "desk");
    const reading = await bench(run("xread", await without("xread")));
    expect(reading).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${shown}: its user may not use the command xread.`),
    });
    // Withdrawn while it measures.
    const address = await without("keys");
    const going = start(run("withdrawn", address));
    await until("it measures", () => eventsOf(join(folder, "withdrawn")).some(({ type }) => type === "samples"), 60);
    await without("mget");
    const ended = await going.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr.match(/its user may not use the command mget\./g)?.length).toBe(1);
    // What was measured counts, and the same command goes on.
    expect(await bench(run("withdrawn"))).toMatchObject({ code: 0, stderr: "" });
  });

  it("what others wrote in the place of its keys ends a run", async () => {
    worker = await startWorker(redis, "desk");
    const going = start(run("type"));
    await until("it measures", () => eventsOf(join(folder, "type")).some(({ type }) => type === "samples"), 60);
    const client = redis.client();
    const [letters] = await client.keys("gguf-bench:letters:*");
    await client.multi().del(letters!).set(letters!, "something else").exec();
    client.disconnect();
    const ended = await going.ended;
    expect(ended.code).toBe(1);
    // Whoever meets it first says so: the run, or its worker by a job that failed.
    expect(ended.stderr + ended.stdout).toContain("a key gguf-bench:* holds what no queue wrote there.");
    expect(worker.child.exitCode).toBe(null);
    expect(await bench(run("type"))).toMatchObject({ code: 0, stderr: "" });
  });

  it.each([
    ["memory", "its memory is full", "CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory 0"],
    ["replica", "it is a replica, which takes no writes", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"],
  ])("for a while (%s) is told once and waited for", async (name, why, wrong, well) => {
    worker = await startWorker(redis, "desk");
    const going = start(run(name));
    await until("it measures", () => eventsOf(join(folder, name)).some(({ type }) => type === "samples"), 60);
    await ask(wrong);
    const says = () => [going, worker!].map(({ output }) => output.stdout.split(`${redis.url}: ${why}; `).length - 1);
    await until("both say so", () => says().join() === "1,1");
    await ask(well);
    const { code, stderr, stdout } = await going.ended;
    expect({ code, stderr, said: says() }).toEqual({ code: 0, stderr: "", said: [1, 1] });
    expect(stdout).toContain(`warning: ${redis.url}: ${why}; the run waits for it\n`);
    expect(stdout).toContain(`${redis.url} takes what it is sent again\n`);
    const events = eventsOf(join(folder, name));
    expect(events.filter(({ type }) => type === "warning")).toMatchObject([
      { message: `${redis.url}: ${why}; the run waits for it` },
    ]);
    const table = readFileSync(join(folder, name, "table.md"), "utf8");
    expect(table).toMatch(/Gone in the middle of the work: redis:.*; what was lost was measured anew/);
    const items = events.flatMap((event) => (event.type === "samples" ? [event.item] : []));
    expect(new Set(items).size).toBe(items.length);
  });

  it("from the start is told at once", async () => {
    await ask("REPLICAOF 127.0.0.1 1");
    const expected = {
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/it is a replica, which takes no writes\.\s+Name the primary in --queue\./),
    };
    expect(await bench(run("never"))).toMatchObject(expected);
    expect(await bench(["worker", "--queue", redis.url])).toMatchObject(expected);
    await ask("REPLICAOF NO ONE");
  });
});
