import { execFileSync, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { uptime } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  bench,
  childrenOf,
  cli,
  eventsOf,
  qualityRows,
  sleep,
  someQuestions,
  someText,
  start,
  temporaryFolder,
  until,
  verdicts,
  writeMatrix,
  writeRandomLlama,
} from "./support.js";

// What time does that is no time of ours: a clock that is set, a process that is stopped, a machine that sleeps.
const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(40));
writeRandomLlama(folder, "random", { seed: 1 });

const perplexity = "perplexity: {text: text.txt, context: 64, chunks: 40}";
const hellaswag = "hellaswag: {file: questions.txt}";

const matrix = (name: string, variants: Record<string, string>, measured: string[]) =>
  writeMatrix(folder, name, variants, measured);

const warningsOf = (out: string) => eventsOf(out).flatMap((event) => (event.type === "warning" ? [event.message] : []));

/** Seconds that each timing took, by its own word. */
const timingsOf = (out: string) =>
  eventsOf(out).flatMap((event) =>
    event.type === "samples" && /^(pp|tg)/.test(event.item) ? [(event.detail as { seconds: number }).seconds] : [],
  );

describe.skipIf(process.platform !== "linux")("a process that is stopped and goes on (Ctrl-Z and fg)", () => {
  it("times anew what was timed meanwhile, and says so; likelihoods are as ever", { timeout: 120_000 }, async () => {
    const file = matrix("stopped", { a: "model: random.gguf, threads: 1" }, [
      perplexity,
      "speed: {prompt: 0, generate: 1200, repetitions: 5}",
    ]);
    const whole = join(folder, "undisturbed");
    expect((await bench(["run", file, "--plain", "--out", whole])).code).toBe(0);
    const out = join(folder, "stopped");
    const { child, ended } = start(["run", file, "--plain", "--timeout", "3", "--out", out], { detached: true });
    const pause = 6;
    const stop = async () => {
      process.kill(-child.pid!, "SIGSTOP");
      await sleep(pause * 1000);
      process.kill(-child.pid!, "SIGCONT");
    };
    await until("the engine", () => eventsOf(out).some(({ type }) => type === "opened"));
    await stop();
    await until("a timing", () => timingsOf(out).length > 0);
    await sleep(100);
    await stop();
    const { code, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(timingsOf(out)).toHaveLength(5);
    expect(Math.max(...timingsOf(out))).toBeLessThan(pause);
    expect(warningsOf(out)).toContain("a timing was dropped and made again: the process was stopped meanwhile");
    expect(qualityRows(out)).toEqual(qualityRows(whole));
  });

  it("tells no load time that holds the pause", async () => {
    const file = matrix("load", { a: 'model: "mock:load=3"' }, [
      "perplexity: {text: text.txt, context: 64, chunks: 4}",
    ]);
    const out = join(folder, "load");
    const { child, ended } = start(["run", file, "--plain", "--out", out], { detached: true });
    await until("an engine", () => eventsOf(out).some(({ type }) => type === "job-started"));
    await sleep(1000);
    process.kill(-child.pid!, "SIGSTOP");
    await sleep(1000);
    process.kill(-child.pid!, "SIGCONT");
    expect((await ended).code).toBe(0);
    const opened = eventsOf(out).find((event) => event.type === "opened")!;
    expect(opened.type === "opened" && "loadSeconds" in opened.engine).toBe(false);
    expect(warningsOf(out)).toContain("its load time is not told: the process was stopped meanwhile");
  });

  it("waits for a silent engine as long as it ran itself", async () => {
    const file = matrix("waits", { a: 'model: "mock:delay=1"' }, [
      "perplexity: {text: text.txt, context: 64, chunks: 40}",
    ]);
    const out = join(folder, "waits");
    const { child, ended } = start(["run", file, "--plain", "--timeout", "3", "--out", out], { detached: true });
    await until("the engine", () => eventsOf(out).some(({ type }) => type === "opened"));
    process.kill(-child.pid!, "SIGSTOP");
    await sleep(5000);
    process.kill(-child.pid!, "SIGCONT");
    const { code, stdout } = await ended;
    expect(code, stdout).toBe(0);
  });

  it("gives up an engine that alone is stopped: one failed cell, measured by the next run", async () => {
    const file = matrix("hung", { a: 'model: "mock:delay=0.3"', b: 'model: "mock:seed=2"' }, [perplexity]);
    const out = join(folder, "hung");
    const args = ["run", file, "--plain", "--parallel", "1", "--timeout", "3", "--out", out];
    const { child, ended } = start(args);
    await until("a chunk", () => eventsOf(out).some(({ type }) => type === "samples"));
    for (const engine of childrenOf(child.pid!)) process.kill(engine, "SIGSTOP");
    const { code } = await ended;
    expect(code).toBe(2);
    expect(verdicts(eventsOf(out))).toEqual({
      "a perplexity": "the engine of a gave no sign of life for 3 s while measuring perplexity.",
      "b perplexity": "done",
    });
    expect((await bench(args)).code).toBe(0);
    const whole = join(folder, "hung-whole");
    expect((await bench(["run", file, "--plain", "--out", whole])).code).toBe(0);
    expect(qualityRows(out)).toEqual(qualityRows(whole));
  });
});

/** Whether another uptime can be shown to a process: then it takes the machine to have slept. */
const showsUptime =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["-m", "mount", "--bind", "/proc/version", "/proc/uptime"]).status === 0;

describe(`a machine that sleeps${showsUptime ? "" : " (needs root and Linux)"}`, () => {
  it.skipIf(!showsUptime)("drops what was timed meanwhile, and its hours are no time of the run", async () => {
    const file = join(folder, "uptime");
    let slept = 0;
    const tell = () => `${(uptime() + slept).toFixed(2).padStart(14, "0")} 1.00\n`;
    writeFileSync(file, tell());
    const open = openSync(file, "r+");
    const clock = setInterval(() => writeSync(open, tell(), 0), 50);
    afterAll(() => {
      clearInterval(clock);
      closeSync(open);
    });
    const asked = matrix("sleeps", { a: 'model: "mock:delay=0.4"' }, [
      perplexity,
      "speed: {prompt: 8, generate: 8, repetitions: 3}",
    ]);
    const out = join(folder, "sleeps");
    const command = `mount --bind ${file} /proc/uptime && exec "$0" "$@"`;
    const line = ["-m", "bash", "-c", command, process.execPath, cli, "run", asked, "--plain", "--out", out];
    const child = spawn("unshare", line, { stdio: "ignore" });
    const ended = new Promise((resolve) => child.on("close", resolve));
    await until("a timing", () => timingsOf(out).length > 0);
    slept += 3600;
    expect(await ended).toBe(0);
    expect(warningsOf(out)).toEqual(["a timing was dropped and made again: the machine slept meanwhile"]);
    expect(timingsOf(out)).toHaveLength(6);
    const events = eventsOf(out);
    const times = events.flatMap((event) => ("at" in event ? [event.at] : []));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    // It ended an hour later by the time of day, and took a minute at most.
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(3_500_000);
    for (const event of events) if (event.type === "job-done") expect(event.seconds).toBeLessThan(60);
  });
});

const library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

describe(`the time of day, set while a run goes on${existsSync(library) ? "" : " (faketime is not here)"}`, () => {
  it.skipIf(!existsSync(library))(
    "back and forward: the same tables, and no duration of years",
    async () => {
      const file = matrix("set", { a: 'model: "mock:delay=0.2"', b: 'model: "mock:seed=2,delay=0.1"' }, [
        perplexity,
        hellaswag,
        "speed: {prompt: 8, generate: 8, repetitions: 2}",
      ]);
      const whole = join(folder, "set-whole");
      expect((await bench(["run", file, "--plain", "--out", whole])).code).toBe(0);
      const place = join(folder, "place");
      execFileSync("mkdir", [place]);
      const offset = join(folder, "offset");
      const env = {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: offset,
        FAKETIME_NO_CACHE: "1",
        FAKETIME_DONT_FAKE_MONOTONIC: "1",
        NO_FAKE_STAT: "1",
      };
      const args = ["run", file, "--plain", "--out", join(place, "reports", "set")];
      const out = join(place, "reports", "set");
      const said: string[] = [];
      for (const [at, then] of [
        ["+0", "-400d"],
        ["-400d", "+400d"],
        ["+400d", "-3650d"],
      ] as const) {
        writeFileSync(offset, at);
        const { child, ended } = start(args, { env, cwd: place });
        const before = eventsOf(out).length;
        await until("something new", () => eventsOf(out).length > before + 4);
        writeFileSync(offset, then);
        await sleep(300);
        child.kill("SIGINT");
        const { code, stdout } = await ended;
        expect([0, 130]).toContain(code);
        said.push(stdout);
      }
      writeFileSync(offset, "-30d");
      const last = await bench(args, { env, cwd: place });
      expect({ code: last.code, stderr: last.stderr }).toEqual({ code: 0, stderr: "" });
      said.push(last.stdout);
      expect(said.join("")).not.toMatch(/\d+ d \d+ h|-\d+ s|NaN|Invalid/);
      expect(qualityRows(out)).toEqual(qualityRows(whole));
      for (const event of eventsOf(out))
        if (event.type === "job-done") {
          expect(event.seconds).toBeGreaterThanOrEqual(0);
          expect(event.seconds).toBeLessThan(100);
        }
      let latest = 0;
      for (const event of eventsOf(out)) {
        if (!("at" in event)) continue;
        // Within a session time goes on; a session has the time of day at its beginning.
        if (event.type !== "started") expect(event.at).toBeGreaterThanOrEqual(latest);
        latest = event.at;
      }
      const list = await bench(["list"], { env, cwd: place });
      expect(list.code).toBe(0);
      expect(list.stdout).toMatch(/set\s+\d{4}-\d\d-\d\d \d\d:\d\d\s+complete/);
      const report = await bench(["report"], { env, cwd: place });
      expect({ code: report.code, stderr: report.stderr }).toEqual({
        code: 0,
        stderr: "reports/set, the latest run:\n",
      });
      // A question's folder is found by the question, and has the day in its name on which it was made.
      const quick = ["run", "--model", "mock:seed=1", "--text", join(folder, "text.txt"), "--context", "64", "--plain"];
      for (const at of ["-400d", "+400d"]) {
        writeFileSync(offset, at);
        expect((await bench(quick, { env, cwd: place })).code).toBe(0);
      }
      expect(readdirSync(join(place, "reports"))).toHaveLength(2);
    },
    120_000,
  );
});
