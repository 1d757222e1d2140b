import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { watchOver } from "../../dist/executors/queue/watch.js";
import { enginesOf, strike } from "../interruptions.js";
import { hasRedis, killWorker, RedisHere, SlowWay, type StartedWorker, startWorker } from "../redis.js";
import { bench, eventsOf, qualityRows, sleep, someText, start, temporaryFolder, until } from "../support.js";

// What hangs is told and goes elsewhere; what is slow is waited for, and fails nothing.
const faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(4500));

/** A benchmark file of one mock. */
function matrix(name: string, model: string, more = ""): string {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(
    file,
    `${more}\nvariants:\n  a: { model: "mock:seed=1,${model}", batch: 64 }\nmeasurements:\n  perplexity: { text: text.txt, context: 64 }\n`,
  );
  return file;
}

describe("a watch over an assignment", () => {
  it("stops nothing after its end, whatever Redis answers late", async () => {
    let stops = 0;
    let answer = (_: boolean) => {};
    const asked = () =>
      new Promise<boolean>((resolve) => {
        answer = resolve;
      });
    const watched = { stop: () => void stops++, failed: () => {} };
    const gone = watchOver({ ...watched, isGone: asked, renew: async () => true });
    await sleep(600);
    gone.end();
    answer(true);
    await sleep(1);
    expect({ stops, cancelled: gone.cancelled, lost: gone.lost }).toEqual({ stops: 0, cancelled: false, lost: false });
    // Done while it is renewed: then there is nothing to renew.
    const done = watchOver({ ...watched, isGone: async () => false, renew: asked });
    await sleep(5700);
    done.end();
    answer(false);
    await sleep(1);
    expect({ stops, cancelled: done.cancelled, lost: done.lost }).toEqual({ stops: 0, cancelled: false, lost: false });
  }, 10_000);

  it("stops what is lost, once", async () => {
    let stops = 0;
    const watch = watchOver({
      ...{ isGone: async () => true, renew: async () => true },
      ...{ stop: () => void stops++, failed: () => {} },
    });
    await sleep(1700);
    expect({ stops, cancelled: watch.cancelled }).toEqual({ stops: 1, cancelled: true });
  });
});

describe.skipIf(!hasRedis)("a queue where something hangs or is slow", { timeout: 180_000 }, () => {
  const redis = new RedisHere();
  let workers: StartedWorker[] = [];
  const begin = async (name: string, args: string[] = [], at: { url: string } = redis) => {
    const worker = await startWorker(at, name, ["--models", folder, "--threads", "1", ...args]);
    workers.push(worker);
    return worker;
  };
  const queued = (file: string, out: string, ...more: string[]) => [
    ...["run", file, "--plain", "--out", join(folder, out), "--queue", redis.url],
    ...more,
  ];
  const items = (out: string) =>
    eventsOf(join(folder, out)).flatMap((one) => (one.type === "samples" ? [one.item] : []));
  const warnings = (out: string) =>
    eventsOf(join(folder, out)).flatMap((one) => (one.type === "warning" ? [one.message] : []));
  const failures = (out: string) =>
    eventsOf(join(folder, out)).flatMap((one) => (one.type === "job-failed" ? [one.failure] : []));
  const measuring = (out: string, count = 0) => until("it is measured", () => items(out).length > count, 60);
  /** All of them once, with the figures of a run without a queue. */
  async function expectWhole(out: string): Promise<void> {
    // What a batch takes changes no figure of a mock.
    const plain = join(folder, "plain");
    const command = ["run", matrix("plain", "bytes=6e8"), "--plain", "--out", plain];
    if (!existsSync(plain)) expect(await bench(command)).toMatchObject({ code: 0, stderr: "" });
    expect(qualityRows(join(folder, out))).toEqual(qualityRows(plain));
    expect(new Set(items(out)).size).toBe(items(out).length);
    expect(failures(out)).toEqual([]);
  }
  beforeAll(async () => {
    await redis.start();
  });
  afterEach(async () => {
    for (const worker of workers) await killWorker(worker);
    workers = [];
    const client = redis.client();
    await client.flushall();
    client.disconnect();
  });
  afterAll(() => redis.kill());

  it("an engine that hangs is told after `timeout`, and another worker measures what it had", async () => {
    const file = matrix("hung", "delay=0.3,bytes=6e8", "timeout: 5");
    const [one] = [await begin("one"), await begin("two")];
    const going = start(queued(file, "hung"));
    await measuring("hung");
    await until("one measures", () => /takes perplexity[^\n]*\n$/.test(one.output.stdout), 60);
    const [engine] = enginesOf(one.child);
    expect(strike(engine, "SIGSTOP")).toBe(true);
    const at = performance.now();
    const told =
      /one failed at (perplexity of a, \d\/\d) \(the engine of a gave no sign of life for 5 s while measuring perplexity\), and leaves that to others/;
    await until("it is told", () => told.test(going.output.stdout), 30);
    const seconds = (performance.now() - at) / 1000;
    console.info(`a hung engine: told after ${seconds.toFixed(1)} s with a limit of 5 s`);
    expect(seconds).toBeLessThan(20);
    expect(await going.ended).toMatchObject({ code: 0, stderr: "" });
    const [, part] = warnings("hung").join("\n").match(told) ?? [];
    expect(workers[1]!.output.stdout).toContain(`has done ${part}`);
    await expectWhole("hung");
  });

  it("what hangs on two workers fails as it does without a queue, and the rest is measured", async () => {
    const file = join(folder, "hangs.yaml");
    writeFileSync(
      file,
      `timeout: 5
variants:
  a: { model: "mock:seed=1,hang=3", batch: 64 }
  b: { model: "mock:seed=2", batch: 64 }
measurements:
  perplexity: { text: text.txt, context: 64, chunks: 40 }
`,
    );
    for (const name of ["one", "two", "three"]) await begin(name);
    expect(await bench(queued(file, "hangs"))).toMatchObject({ code: 2 });
    const plain = join(folder, "hangs-plain");
    expect(await bench(["run", file, "--plain", "--out", plain])).toMatchObject({ code: 2 });
    const failed = eventsOf(plain).flatMap((one) => (one.type === "job-failed" ? [one.failure] : []));
    const onWorkers = failures("hangs").map((one) => ({
      ...one,
      message: one.message.replace(/^(one|two|three): /, ""),
    }));
    expect(onWorkers).toEqual(failed);
    expect(failed).toMatchObject([{ code: "timeout" }]);
    expect(eventsOf(join(folder, "hangs")).filter(({ type }) => type === "job-done").length).toBe(1);
  });

  it.each([
    ["says nothing", "no answer came within 5 s", () => {}],
    [
      "speaks HTTP",
      "what listens there is no Redis",
      (socket: Socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
  ])("what listens there and %s is told, by a run and a worker", async (name, fault, answer) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      answer(socket);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const commands = [
      ["run", matrix("nobody", "seed=1"), "--plain", "--out", join(folder, name), "--queue", url],
      ["worker", "--queue", url],
    ];
    for (const outcome of await Promise.all(commands.map((command) => bench(command))))
      expect(outcome).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(`${url}: ${fault}.`) });
    server.close();
  });

  it("a Redis that is gone keeps neither a run nor a worker that is to end", async () => {
    const file = matrix("gone", "delay=0.1,bytes=6e8");
    const workers = [await begin("busy"), await begin("idle", ["--tags", "other"])];
    const going = start(queued(file, "gone"));
    await measuring("gone");
    await redis.kill();
    await sleep(1500);
    const at = performance.now();
    for (const { child } of [going, ...workers]) child.kill("SIGTERM");
    const codes = await Promise.all([going, ...workers].map(async ({ ended }) => (await ended).code));
    const seconds = (performance.now() - at) / 1000;
    console.info(`without a Redis a run and its workers ended ${seconds.toFixed(1)} s after SIGTERM`);
    expect(codes).toEqual([130, 0, 0]);
    expect(seconds).toBeLessThan(20);
    await redis.start();
    await begin("next");
    expect(await bench(queued(file, "gone"))).toMatchObject({ code: 0, stderr: "" });
    await expectWhole("gone");
  });

  it("a Redis that hangs is told, and waited for", async () => {
    const file = matrix("redis", "delay=0.1,bytes=6e8");
    const worker = await begin("one");
    const going = start(queued(file, "redis"));
    await measuring("redis");
    redis.signal("SIGSTOP");
    const told = `${redis.url}: no answer came within 5 s; `;
    await until("both say so", () => [going, worker].every(({ output }) => output.stdout.includes(told)), 30);
    redis.signal("SIGCONT");
    expect(await going.ended).toMatchObject({ code: 0, stderr: "" });
    expect(going.output.stdout).toContain(`${redis.url} is back\n`);
    await expectWhole("redis");
  });

  it("a worker that says nothing for seconds is still the one who can take it", async () => {
    const file = matrix("silent", "delay=0.1,bytes=6e8");
    const able = await begin("able", ["--tags", "gpu"]);
    const other = await begin("other");
    const going = start(queued(file, "silent", "--tags", "gpu"));
    await measuring("silent");
    strike(able.child.pid, "SIGSTOP");
    await until("the other leaves it to others", () => /leaves perplexity/.test(other.output.stdout), 60);
    await sleep(2000);
    strike(able.child.pid, "SIGCONT");
    expect(await going.ended).toMatchObject({ code: 0, stderr: "" });
    await expectWhole("silent");
  });

  it.skipIf(!existsSync(faketime))(
    `what a worker leaves to others waits for no clock${existsSync(faketime) ? "" : " (faketime is not here)"}`,
    async () => {
      const file = matrix("clocks", "delay=0.1,bytes=6e8");
      const able = await begin("able", ["--tags", "gpu"]);
      const going = start(queued(file, "clocks", "--tags", "gpu"));
      await measuring("clocks");
      strike(able.child.pid, "SIGSTOP");
      const ahead = await startWorker(redis, "ahead", [], { LD_PRELOAD: faketime, FAKETIME: "+2h" });
      await until("the other leaves it to others", () => /leaves perplexity/.test(ahead.output.stdout), 60);
      await killWorker(ahead);
      strike(able.child.pid, "SIGCONT");
      expect(await going.ended).toMatchObject({ code: 0, stderr: "" });
      await expectWhole("clocks");
    },
  );

  it("a network of half a second there and back fails nothing", async () => {
    const file = matrix("far", "delay=0.02,bytes=6e8");
    const way = await new SlowWay(redis).start(250);
    for (const name of ["one", "two", "three", "four"]) await begin(name, [], way);
    const outcome = await bench(queued(file, "far"));
    await way.end();
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    await expectWhole("far");
    expect(readFileSync(join(folder, "far", "events.jsonl"), "utf8")).not.toContain("is gone");
  });
});
