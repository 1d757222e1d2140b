import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { BenchError } from "../dist/errors.js";
import type { Event } from "../dist/events.js";
import { readEvents, readTokens, Store } from "../dist/store.js";
import { bench, qualityRows, someText, temporaryFolder } from "./support.js";

const root = temporaryFolder();
let count = 0;
const folder = () => join(root, `run-${count++}`);

function refusal(attempt: () => unknown): BenchError {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(BenchError);
    return error as BenchError;
  }
  throw new Error("nothing was refused");
}

const samples = (job: string, item: string, nll?: number[]): Event => ({
  type: "samples",
  job,
  item,
  samples: [{ metric: "perplexity", value: 2.5, weight: 3 }],
  ...(nll ? { tokens: { nll: Float64Array.from(nll) } } : {}),
});
const done = (job: string): Event => ({ type: "job-done", at: 1, job, items: 1, seconds: 1 });

/** Opens, appends, closes. */
function session(at: string, ...events: Event[]): void {
  const store = Store.open(at);
  for (const event of events) store.append(event);
  store.close();
}

describe("events", () => {
  it("are on disk when append returns, and come back in order; progress is not kept", () => {
    const at = folder();
    const store = Store.open(at);
    store.append(samples("j", "0", [1, 2, 3]));
    store.append({ type: "progress", job: "j", done: 1, total: 2, unit: "chunks" });
    expect(readEvents(at)).toHaveLength(1);
    store.append(done("j"));
    expect(readEvents(at)).toEqual(store.events);
    store.close();
    expect(readEvents(at).map((event) => event.type)).toEqual(["samples", "job-done"]);
    expect(existsSync(join(at, "lock"))).toBe(false);
    expect(readdirSync(at).sort()).toEqual(["events.jsonl", "tokens"]);
  });

  it("say which items are there, over several sessions", () => {
    const at = folder();
    session(at, samples("j", "0"), samples("k", "a"));
    session(at, samples("j", "1"), done("j"));
    const store = Store.open(at);
    expect(store.done()).toEqual(
      new Map([
        ["j", { items: new Set(["0", "1"]), complete: true }],
        ["k", { items: new Set(["a"]), complete: false }],
      ]),
    );
    store.close();
  });

  it("a torn last line is passed over by readers and cut off by the next writer, wherever it was torn", () => {
    const whole = `${JSON.stringify(samples("j", "1"))}\n`;
    for (let length = 1; length < whole.length; length += 7) {
      const at = folder();
      session(at, samples("j", "0"));
      appendFileSync(join(at, "events.jsonl"), whole.slice(0, length));
      expect(readEvents(at)).toHaveLength(1);
      session(at, samples("j", "2"));
      expect(readEvents(at).map((event) => "item" in event && event.item)).toEqual(["0", "2"]);
    }
  });

  it("a line of garbage is an error that names it", () => {
    const at = folder();
    session(at, samples("j", "0"), samples("j", "1"));
    const file = join(at, "events.jsonl");
    const [first, second] = readFileSync(file, "utf8").split("\n");
    writeFileSync(file, `${first}\n\u0000\u0000garbage\n${second}\n`);
    for (const attempt of [() => readEvents(at), () => Store.open(at)]) {
      const error = refusal(attempt);
      expect(error.code).toBe("run-damaged");
      expect(error.message).toBe(`${file}:2 is not an event.`);
      expect(error.hint).toMatch(/--out/);
    }
    // A refusal leaves no lock behind.
    expect(existsSync(join(at, "lock"))).toBe(false);
  });

  it("a folder without a run is an error, a run without an event is not", () => {
    expect(refusal(() => readEvents(join(root, "absent"))).code).toBe("run-missing");
    const at = folder();
    session(at);
    expect(readEvents(at)).toEqual([]);
  });
});

describe("per-token values", () => {
  const file = (at: string) => join(at, "tokens", "j.nll.bin");

  it("are read back by their place", () => {
    const at = folder();
    session(at, samples("j", "0", [1, 2]), samples("k", "0", [9]));
    session(at, samples("j", "1", [3, 4, 5]));
    const places = readEvents(at).map((event) => event.type === "samples" && event.tokens!.nll!);
    expect(places).toEqual([
      [0, 2],
      [0, 1],
      [2, 3],
    ]);
    expect([...readTokens(at, "j", "nll", [2, 3])]).toEqual([3, 4, 5]);
    expect([...readTokens(at, "j", "nll", [1, 2])]).toEqual([2, 3]);
    expect(statSync(file(at)).size).toBe(40);
  });

  it("whose event was never written are cut off", () => {
    for (const extra of [1, 7, 8, 24, 100]) {
      const at = folder();
      session(at, samples("j", "0", [1, 2]));
      appendFileSync(file(at), Buffer.alloc(extra, 0xff));
      session(at, samples("j", "1", [3]));
      expect(statSync(file(at)).size).toBe(24);
      expect([...readTokens(at, "j", "nll", [0, 3])]).toEqual([1, 2, 3]);
    }
  });

  it("that are fewer than the events say are an error that names the file", () => {
    const at = folder();
    session(at, samples("j", "0", [1, 2]));
    truncateSync(file(at), 15);
    const store = Store.open(at);
    const error = refusal(() => store.append(samples("j", "1", [3])));
    expect(error.message).toBe(`${file(at)} is shorter than events.jsonl says.`);
    // Another job is not touched by it.
    store.append(samples("k", "0", [1]));
    store.close();
  });
});

describe("one writer", () => {
  const lockOf = (at: string, owner: object) => {
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, "lock"), JSON.stringify(owner));
  };
  const deadPid = () => spawnSync(process.execPath, ["-e", ""]).pid;

  it("a second one is refused, by name", async () => {
    const at = folder();
    const store = Store.open(at);
    const error = refusal(() => Store.open(at));
    expect(error.code).toBe("run-locked");
    expect(error.message).toContain(`another process (${process.pid} on ${hostname()}) is measuring into ${at}`);
    const said = await bench(["run", "--model", "mock:seed=1", "--measure", "speed", "--out", at]);
    expect(said.code).toBe(1);
    expect(said.stderr).toMatch(/^gguf-bench: another process .*\.\n {2}Wait for it.*\n$/);
    expect(said.stdout).toBe("");
    store.append(samples("j", "0"));
    store.close();
    expect(readEvents(at)).toHaveLength(1);
    session(at, samples("j", "1"));
  });

  it("a lock of a process that is gone is taken over", () => {
    const at = folder();
    lockOf(at, { pid: deadPid(), started: "1", host: hostname() });
    session(at, samples("j", "0"));
    expect(readdirSync(at).sort()).toEqual(["events.jsonl", "tokens"]);
  });

  it.runIf(existsSync("/proc/self/stat"))("so is one whose number another process has now", () => {
    const at = folder();
    lockOf(at, { pid: process.pid, started: "1", host: hostname() });
    session(at, samples("j", "0"));
  });

  it("and one that was never written to its end", () => {
    const at = folder();
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, "lock"), '{"pid":');
    session(at, samples("j", "0"));
  });

  it("but not one of another machine", () => {
    const at = folder();
    lockOf(at, { pid: deadPid(), started: "1", host: "elsewhere" });
    expect(refusal(() => Store.open(at)).message).toContain("on elsewhere");
  });

  it("of many that race for a stale lock exactly one wins, two hundred times", { timeout: 60_000 }, async () => {
    const rounds = 200;
    const pid = deadPid();
    const folders = Array.from({ length: rounds }, () => {
      const at = folder();
      lockOf(at, { pid, started: "1", host: hostname() });
      return at;
    });
    // Each tries one folder after the other, all at once to the millisecond, and holds what it wins until it is killed.
    const contest = `
      import { Store } from ${JSON.stringify(new URL("../dist/store.js", import.meta.url).href)};
      const [moment, ...folders] = process.argv.slice(1);
      const said = folders.map((at, round) => {
        while (Date.now() < Number(moment) + 25 * round);
        try {
          Store.open(at);
          return "won";
        } catch (error) {
          return error.code ?? String(error);
        }
      });
      console.log(said.join(" "));
      setInterval(() => {}, 1000);`;
    const moment = String(Date.now() + 1500);
    const children = Array.from({ length: 5 }, () =>
      spawn(process.execPath, ["--input-type=module", "-e", contest, moment, ...folders]),
    );
    try {
      const said = await Promise.all(
        children.map(async ({ stdout }) =>
          String(await once(stdout, "data"))
            .trim()
            .split(" "),
        ),
      );
      for (let round = 0; round < rounds; round++)
        expect(said.map((one) => one[round]).sort(), `round ${round}`).toEqual([
          "run-locked",
          "run-locked",
          "run-locked",
          "run-locked",
          "won",
        ]);
    } finally {
      for (const child of children) child.kill("SIGKILL");
    }
  });
});

describe("a disk that will not", () => {
  const disk = join(root, "disk");
  mkdirSync(disk);
  const mount = (...options: string[]) => spawnSync("mount", [...options, disk]).status === 0;
  const mounted = process.getuid?.() === 0 && mount("-t", "tmpfs", "-o", "size=96k", "tmpfs");
  afterAll(() => {
    if (mounted) execFileSync("umount", ["-l", disk]);
  });
  const text = join(root, "text.txt");
  writeFileSync(text, someText(16_000));
  const command = (out: string) => [
    "run",
    "--model",
    "mock:seed=1",
    "--text",
    text,
    "--context",
    "64",
    "--plain",
    "--out",
    out,
  ];
  const oneSentence = /^gguf-bench: [^\n]+\.\n {2}[^\n]+\.\n$/;

  it.runIf(mounted)("full: a sentence, exit code 1, and after making room the same command completes", async () => {
    const out = join(disk, "run");
    const full = await bench(command(out));
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(oneSentence);
    expect(full.stderr).toMatch(/no space left.*\n.*same command/is);
    const kept = readEvents(out).filter((event) => event.type === "samples").length;
    expect(kept).toBeGreaterThan(3);
    // Still no room: the same again, and nothing lost.
    expect((await bench(command(out))).code).toBe(1);
    expect(readEvents(out).filter((event) => event.type === "samples").length).toBeGreaterThanOrEqual(kept);
    expect(mount("-o", "remount,size=16m")).toBe(true);
    const after = await bench(command(out));
    expect(after).toMatchObject({ code: 0, stderr: "" });
    const elsewhere = folder();
    await bench(command(elsewhere));
    expect(qualityRows(out)).toEqual(qualityRows(elsewhere));
    for (const name of readdirSync(join(elsewhere, "tokens")))
      expect(readFileSync(join(out, "tokens", name))).toEqual(readFileSync(join(elsewhere, "tokens", name)));
  });

  it.runIf(mounted)("read-only: a sentence and exit code 1, for an old run as for a new one", async () => {
    mkdirSync(join(disk, "old", "tokens"), { recursive: true });
    expect(mount("-o", "remount,ro")).toBe(true);
    for (const name of ["old", "new"]) {
      const said = await bench(command(join(disk, name)));
      expect(said.code).toBe(1);
      expect(said.stderr).toMatch(oneSentence);
      expect(said.stderr).toMatch(/cannot be (made|written to)/);
    }
    expect(mount("-o", "remount,rw")).toBe(true);
  });

  it.skipIf(process.getuid?.() === 0)("no right to write: a sentence and exit code 1", async () => {
    const at = folder();
    mkdirSync(at);
    chmodSync(at, 0o555);
    const said = await bench(command(join(at, "run")));
    expect(said.code).toBe(1);
    expect(said.stderr).toMatch(oneSentence);
  });

  it("a file where the folder should be", async () => {
    const at = folder();
    writeFileSync(at, "");
    const said = await bench(command(at));
    expect(said.code).toBe(1);
    expect(said.stderr).toMatch(oneSentence);
  });
});
