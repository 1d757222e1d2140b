import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  bench,
  eventsOf,
  type Outcome,
  qualityRows,
  sleep,
  smollm2,
  someQuestions,
  someText,
  start,
  temporaryFolder,
  until,
  wikitext,
  writeMatrix,
  writeRandomLlama,
} from "./support.js";

const folder = temporaryFolder();
writeFileSync(join(folder, "text.txt"), someText(9000));
writeFileSync(join(folder, "questions.txt"), someQuestions(60));

const together = "divergence: {text: text.txt, context: 64, chunks: 12, floor: 0}";
const beside = "perplexity: {text: text.txt, context: 64, chunks: 12}";

const matrix = (name: string, variants: Record<string, string>, measured: string[]) =>
  writeMatrix(folder, name, variants, measured);

const samplesOf = (out: string) => eventsOf(out).filter((event) => event.type === "samples");
const failuresOf = (out: string) => eventsOf(out).filter((event) => event.type === "job-failed");

/** Seconds from a moment to the stored end of the last session. */
function heardAfter(out: string, asked: number): number {
  const last = eventsOf(out).at(-1)!;
  expect(last).toMatchObject({ type: "finished", outcome: "stopped" });
  return ("at" in last ? last.at - asked : Number.NaN) / 1000;
}

const sessionsOf = (out: string) => eventsOf(out).filter(({ type }) => type === "started").length;

/** Until a further session has begun, and nothing new is stored for a second. */
async function silence(out: string, sessions: number): Promise<void> {
  let [events, since] = [0, Date.now()];
  await until("an engine that says nothing more", () => {
    const { length } = eventsOf(out);
    if (length > events) [events, since] = [length, Date.now()];
    return sessionsOf(out) > sessions && Date.now() - since > 1000;
  });
}

/** As a terminal, `timeout` or a batch system signals: to the process and to all that it started. */
const sendToGroup = (pid: number, signal: NodeJS.Signals) => process.kill(-pid, signal);

describe.skipIf(process.platform === "win32")("a signal that asks to stop", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "%s to the group: the item at hand is kept, nothing fails",
    async (signal) => {
      const file = matrix("slow", { a: 'model: "mock:delay=0.4"', b: 'model: "mock:seed=2,delay=0.1"' }, [
        beside,
        "hellaswag: {file: questions.txt}",
      ]);
      const out = join(folder, signal);
      const { child, ended } = start(["run", file, "--plain", "--out", out], { detached: true });
      await until("a sample", () => samplesOf(out).length > 0);
      const before = samplesOf(out).length;
      const asked = Date.now();
      sendToGroup(child.pid!, signal);
      const { code, stderr } = await ended;
      expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
      expect(heardAfter(out, asked)).toBeLessThan(3);
      expect(failuresOf(out)).toEqual([]);
      expect(samplesOf(out).length).toBeGreaterThanOrEqual(before);
      expect(existsSync(join(out, "lock"))).toBe(false);
    },
  );

  it("inside a lock-step group whose chunk takes a minute: heard within 5 s", async () => {
    const slow = matrix(
      "minute",
      { full: 'model: "mock:delay=60", reference: true', small: 'model: "mock:damage=0.1,delay=60"' },
      [together, beside],
    );
    const out = join(folder, "minute");
    const { child, ended } = start(["run", slow, "--plain", "--out", out], { detached: true });
    await until("the group", () => eventsOf(out).filter(({ type }) => type === "opened").length === 2);
    await sleep(1000);
    const asked = Date.now();
    sendToGroup(child.pid!, "SIGINT");
    expect((await ended).code).toBe(130);
    const seconds = heardAfter(out, asked);
    process.stdout.write(`a chunk of 60 s: heard after ${seconds.toFixed(1)} s\n`);
    expect(seconds).toBeLessThan(5);
    expect(failuresOf(out)).toEqual([]);
  });

  it("again and again inside a lock-step group that hangs: no chunk is lost or measured twice", async () => {
    const models = (accident: string) => ({
      full: `model: "mock:seed=1${accident}", batch: 128, reference: true`,
      small: 'model: "mock:seed=1,damage=0.1", batch: 128',
    });
    const whole = join(folder, "lock-step");
    expect(
      (await bench(["run", matrix("whole", models(""), [together, beside]), "--plain", "--out", whole])).code,
    ).toBe(0);
    // Each process decodes two groups of two chunks.
    const hanging = matrix("hanging", models(",hang=3"), [together, beside]);
    const out = join(folder, "hanging");
    const longest: number[] = [];
    let outcome: Outcome | undefined;
    for (let tries = 0; outcome?.code !== 0; tries++) {
      expect(tries).toBeLessThan(6);
      const sessions = sessionsOf(out);
      const { child, ended } = start(["run", hanging, "--plain", "--out", out], { detached: true });
      const finished = await Promise.race([ended, silence(out, sessions)]);
      if (finished) {
        outcome = finished;
        continue;
      }
      const asked = Date.now();
      sendToGroup(child.pid!, "SIGTERM");
      outcome = await ended;
      // All was measured, and the tables were being written.
      if (outcome.code === 0) break;
      expect(outcome.code).toBe(130);
      longest.push(heardAfter(out, asked));
    }
    expect(longest.length).toBeGreaterThan(1);
    expect(Math.max(...longest)).toBeLessThan(5);
    expect(failuresOf(out)).toEqual([]);
    const items = samplesOf(out).map((event) => event.type === "samples" && `${event.job} ${event.item}`);
    expect(new Set(items).size).toBe(items.length);
    expect(qualityRows(out)).toEqual(qualityRows(whole));
  }, 120_000);

  it("twice inside a lock-step group: at once", async () => {
    const slow = matrix(
      "twice",
      { full: 'model: "mock:delay=60", reference: true', small: 'model: "mock:seed=2,delay=60"' },
      [together],
    );
    const out = join(folder, "twice");
    const { child, ended } = start(["run", slow, "--plain", "--out", out], { detached: true });
    await until("the group", () => eventsOf(out).filter(({ type }) => type === "opened").length === 2);
    // Before the first chunk begins a stop is heard at once.
    await sleep(1000);
    sendToGroup(child.pid!, "SIGINT");
    await sleep(300);
    const asked = Date.now();
    sendToGroup(child.pid!, "SIGINT");
    expect((await ended).code).toBe(130);
    expect(heardAfter(out, asked)).toBeLessThan(1.5);
  });

  it("while one engine is closed to make room for the next: the next is not opened", async () => {
    // One that hangs is waited for, and the second does not fit beside it.
    const file = matrix(
      "room",
      { a: 'model: "mock:bytes=6e8,delay=0.3"', b: 'model: "mock:seed=2,bytes=6e8,delay=60"' },
      ["perplexity: {text: text.txt, context: 64, chunks: 2}"],
    );
    const out = join(folder, "room");
    const { child, ended } = start(["run", file, "--plain", "--memory-limit", "1GB", "--out", out]);
    await until("the first variant's end", () => eventsOf(out).some(({ type }) => type === "job-done"));
    const asked = Date.now();
    child.kill("SIGINT");
    expect((await ended).code).toBe(130);
    expect(heardAfter(out, asked)).toBeLessThan(5);
  });

  it("ends a quantization, and what is half written goes", async () => {
    const source = writeRandomLlama(folder, "source-F32", { seed: 5 });
    const made = join(folder, "made");
    const args = ["quantize", source, "--types", "IQ3_S,Q2_K", "--out", made];
    const { child, ended } = start(args, { detached: true });
    await until("half a file", () => existsSync(made) && readdirSync(made).some((name) => name.endsWith(".part")));
    sendToGroup(child.pid!, "SIGINT");
    const { code, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: "Stopped; the same command makes what is missing.\n" });
    expect(existsSync(made) ? readdirSync(made) : []).toEqual([]);
  });

  it.skipIf(!smollm2 || !wikitext)(
    `in a long decode of llama.cpp: within 5 s${smollm2 && wikitext ? "" : " (the model is not here)"}`,
    { timeout: 120_000 },
    async () => {
      const file = matrix(
        "decode",
        { model: `model: ${JSON.stringify(smollm2)}, threads: 1, batch: 32768, ubatch: 8192` },
        [`perplexity: {text: ${JSON.stringify(wikitext)}, context: 8192}`],
      );
      const out = join(folder, "decode");
      const { child, ended } = start(["run", file, "--plain", "--out", out], { detached: true });
      await until("the engine", () => eventsOf(out).some(({ type }) => type === "opened"), 60);
      await sleep(2000);
      const asked = Date.now();
      sendToGroup(child.pid!, "SIGTERM");
      expect((await ended).code).toBe(130);
      const seconds = heardAfter(out, asked);
      process.stdout.write(`llama.cpp inside a long decode: heard after ${seconds.toFixed(1)} s\n`);
      expect(seconds).toBeLessThan(5);
      expect(failuresOf(out)).toEqual([]);
    },
  );
});
