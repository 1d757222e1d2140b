import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSeries } from "../../dist/baseline.js";
import { replay, timingOf } from "../../dist/replay/index.js";
import { nextTiming } from "../../dist/run/index.js";
import { compare } from "../../dist/stats/estimate.js";
import { clustersIn } from "../../dist/stats/series.js";
import { readEvents } from "../../dist/store/index.js";
import { bench, eventsOf, someText, start, temporaryFolder, until } from "../support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(12_000));

/** A benchmark of two variants of the mock with perplexity and speed; the arguments that run it, and its folder. */
function benchmark(name: string, { delay = 0, variants = ["a", "b"] } = {}) {
  const file = join(folder, `${name}.yaml`);
  const rows = variants.map((one, i) => `  ${one}: {model: "mock:seed=${i + 1},delay=${delay}"}`);
  writeFileSync(
    file,
    `variants:\n${rows.join("\n")}\nmeasurements:\n  perplexity: {text: text.txt, context: 256, chunks: 4}\n  speed: {prompt: 0, generate: 8, repetitions: 5}\n`,
  );
  const out = join(folder, name);
  return { file, out, args: ["run", file, "--out", out, "--plain"] };
}

const timed = (out: string) =>
  eventsOf(out).flatMap((event) => (event.type === "samples" && event.item.includes("tg8/") ? [event.item] : []));
const runOf = (out: string) => replay(readEvents(out));
const sessions = (out: string) => timingOf(runOf(out)).sessions;
const speedOf = (place: string, name: string) =>
  readSeries(place).find(({ variant, job }) => variant.name === name && job.kind === "speed")!;

describe("--again", () => {
  test("times speed once more in the same folder, as often as it is asked, and measures nothing else", async () => {
    const { out, args } = benchmark("often");
    expect((await bench(args)).code).toBe(0);
    const quality = eventsOf(out).filter(({ type }) => type === "samples").length - 10;
    for (const session of [2, 3]) {
      const { code, stdout } = await bench([...args, "--again"]);
      expect(code).toBe(0);
      expect(stdout).toMatch(new RegExp(`^often, session ${session} of speed: 2 variants, 4 jobs, 2 done before`, "m"));
      expect(sessions(out)).toBe(session);
      expect(timed(out)).toHaveLength(10 * session);
    }
    const samples = eventsOf(out).filter(({ type }) => type === "samples");
    // The peak of memory is told by every session.
    const again = samples.filter((event) => event.type === "samples" && event.item === "peak_memory").length;
    expect(samples.length - 30 - again).toBeLessThanOrEqual(quality);
    const one = speedOf(out, "a");
    expect(one.observations.get("tg8")).toHaveLength(15);
    expect(new Set(one.clusters!.values())).toEqual(new Set(["session 2", "session 3"]));
    expect(readFileSync(join(out, "table.md"), "utf8")).toContain("Speed was timed in 3 sessions");
    // A baseline keeps them, and compares with a run of its own.
    const file = join(folder, "often.baseline");
    expect((await bench(["baseline", out, "--out", file])).code).toBe(0);
    const kept = speedOf(file, "a");
    expect(kept.clusters).toEqual(one.clusters);
    const [x, y] = [kept.observations.get("tg8")!, one.observations.get("tg8")!];
    const found = compare("tg8", x, y, { paired: false, clusters: clustersIn(kept, one)! });
    expect(found).toMatchObject({ clusters: 3, basis: { per: "run" } });
    expect((await bench(["gate", out, "--baseline", file, "--rule", "tg: -60%"])).stdout).toMatch(/3 runs against 3/);
    // The same command without it has nothing to do.
    expect((await bench(args)).code).toBe(0);
    expect(timed(out)).toHaveLength(30);
  });

  test("a kill and the same command make one session, and its half counts for nothing before", async () => {
    const { out, args } = benchmark("killed", { delay: 0.02 });
    expect((await bench(args)).code).toBe(0);
    const before = speedOf(out, "a").observations.get("tg8")!;
    const { child, ended } = start([...args, "--again"]);
    await until("some of the second session", () => timed(out).length >= 13);
    child.kill("SIGKILL");
    await ended;
    const half = timed(out).length;
    expect(half).toBeLessThan(20);
    expect(speedOf(out, "a").observations.get("tg8")).toEqual(before);
    expect(timingOf(runOf(out))).toEqual({ sessions: 1, open: true });
    expect((await bench(["report", out])).code).toBe(0);
    expect(readFileSync(join(out, "table.md"), "utf8")).toContain("Session 2 of speed is not finished");
    const dry = await bench([...args, "--again", "--dry-run"]);
    expect(dry.stdout).toMatch(/Session 2 of speed in .*killed times speed once more: 2 jobs/);
    expect((await bench([...args, "--again"])).code).toBe(0);
    expect(timingOf(runOf(out))).toEqual({ sessions: 2, open: false });
    expect(speedOf(out, "a").observations.get("tg8")).toHaveLength(10);
    // One round at most was timed anew.
    expect(timed(out).length).toBeLessThanOrEqual(20 + 1);
    const next = await bench([...args, "--again", "--dry-run"]);
    expect(next.stdout).toMatch(/Session 3 of speed/);
  });

  test("a session that was begun goes on without it, too; one of the first is no second", async () => {
    const { out, args } = benchmark("first", { delay: 0.02 });
    const { child, ended } = start(args);
    await until("some of the first session", () => timed(out).length >= 3);
    child.kill("SIGKILL");
    await ended;
    const { code, stdout } = await bench([...args, "--again"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^first: 2 variants/m);
    expect(sessions(out)).toBe(1);
    expect(timed(out).every((item) => item.startsWith("tg8/"))).toBe(true);
  });

  test("a variant that comes later is timed in a session of its own, and not held against the others in turns", async () => {
    const { out, args } = benchmark("later");
    expect((await bench(args)).code).toBe(0);
    benchmark("later", { variants: ["a", "b", "c"] });
    expect((await bench(args)).code).toBe(0);
    const [a, c] = [speedOf(out, "a"), speedOf(out, "c")];
    expect(c.observations.get("tg8")!.map(({ item }) => item)).toContain("session 2/tg8/0");
    const found = compare("tg8", a.observations.get("tg8")!, c.observations.get("tg8")!, {
      clusters: clustersIn(a, c)!,
    });
    expect(found.paired).toBe(false);
    expect(found.warnings[0]).toMatch(/1 run against 1: runs of one build are assumed to differ/);
    // Timed once more, all three take turns.
    expect((await bench([...args, "--again"])).code).toBe(0);
    const [x, z] = [speedOf(out, "a"), speedOf(out, "c")];
    const turns = compare("tg8", x.observations.get("tg8")!, z.observations.get("tg8")!, {
      clusters: clustersIn(x, z)!,
    });
    expect(turns).toMatchObject({ paired: true, n: 5 });
  });

  test.each([
    ["no run", ["--again"], /nowhere holds no run yet that could be timed once more/],
    ["no run, asked for its plan", ["--again", "--dry-run"], /nowhere holds no run yet that could be timed once more/],
  ])("%s is one sentence, and leaves no folder", async (_, more, sentence) => {
    const { args } = benchmark("nowhere");
    const { code, stderr } = await bench([...args, ...more]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
    expect(existsSync(join(folder, "nowhere"))).toBe(false);
  });

  test("a run without speed is one sentence", async () => {
    const out = join(folder, "quality");
    const args = ["run", "mock:seed=1", "--text", join(folder, "text.txt"), "-c", "256", "--chunks", "4", "--out", out];
    expect((await bench([...args, "--plain"])).code).toBe(0);
    const { code, stderr } = await bench([...args, "--plain", "--again"]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/--again times speed once more, and nothing is timed here/),
    ]);
  });

  test("list says in how many sessions", async () => {
    const { file } = benchmark("listed");
    const args = ["run", file, "--plain"];
    expect((await bench(args, { cwd: folder })).code).toBe(0);
    expect((await bench([...args, "--again"], { cwd: folder })).code).toBe(0);
    expect((await bench(["list"], { cwd: folder })).stdout).toMatch(/listed .* complete, speed in 2 sessions/);
  });
});

describe("the next session", () => {
  const job = (id: string, variant = id) => ({ id, variant, measurement: "speed", metrics: ["tg8"], mode: "turns" });
  const planOf = (...ids: string[]) => ({ jobs: ids.map((id) => ({ record: job(id), identified: true })) }) as never;
  const started = (ids: string[], session?: number, again?: boolean) =>
    ({
      ...{ type: "started", at: 1, name: "x", variants: [], measurements: [], jobs: ids.map((id) => job(id)) },
      ...{ provenance: { command: [] }, ...(session ? { session, again } : {}) },
    }) as never;
  const begun = (id: string) => ({ type: "job-started", at: 1, job: id, done: 0 }) as never;
  const sample = (id: string, item: string) =>
    ({ type: "samples", job: id, item, samples: [{ metric: "tg8", value: 1, weight: 1 }] }) as never;
  const whole = (id: string, items: number) => ({ type: "job-done", at: 1, job: id, items, seconds: 1 }) as never;
  const failed = (id: string) =>
    ({ type: "job-failed", at: 1, job: id, failure: { code: "x", message: "y" } }) as never;
  const first = [started(["a", "b"]), ...["a", "b"].flatMap((id) => [begun(id), sample(id, "tg8/0"), whole(id, 1)])];

  test("is the first where nothing was timed, the last where it is not finished, else another", () => {
    expect(nextTiming(replay([]), planOf("a"), true)).toEqual({ session: 1, again: false });
    expect(nextTiming(replay(first), planOf("a", "b"), true)).toEqual({ session: 2, again: true });
    expect(nextTiming(replay(first), planOf("a", "b"))).toEqual({ session: 1, again: false });
    const second = [...first, started(["a", "b"], 2, true), begun("a"), begun("b"), sample("a", "session 2/tg8/0")];
    for (const again of [true, false])
      expect(nextTiming(replay(second), planOf("a", "b"), again)).toEqual({ session: 2, again: true });
    const half = [...second, whole("a", 2)];
    expect(nextTiming(replay(half), planOf("a", "b"), true)).toEqual({ session: 2, again: true });
    // What failed, or is not asked for any more, holds nothing up.
    expect(nextTiming(replay([...half, failed("b")]), planOf("a", "b"), true)).toEqual({ session: 3, again: true });
    expect(nextTiming(replay(half), planOf("a"), true)).toEqual({ session: 3, again: true });
    // A failure is tried again by itself.
    const lone = [started(["a", "b"]), begun("a"), sample("a", "tg8/0"), whole("a", 1), begun("b"), failed("b")];
    expect(nextTiming(replay(lone), planOf("a", "b"))).toEqual({ session: 2, again: false });
    // All of them failed before one was whole: nothing is there that the rest could not take turns with.
    const gone = (session: number) =>
      ["a", "b"].flatMap((id) => [
        begun(id),
        sample(id, session > 1 ? `session ${session}/tg8/0` : "tg8/0"),
        failed(id),
      ]);
    for (const again of [true, false]) {
      expect(nextTiming(replay([started(["a", "b"]), ...gone(1)]), planOf("a", "b"), again)).toEqual({
        session: 1,
        again: false,
      });
      const second = replay([...first, started(["a", "b"], 2, true), ...gone(2)]);
      expect(nextTiming(second, planOf("a", "b"), again)).toEqual({ session: 2, again: true });
    }
  });
});
