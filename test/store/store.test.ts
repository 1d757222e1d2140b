import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs, {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { BenchError } from "../../dist/errors.js";
import type { Event } from "../../dist/events.js";
import { progressOf, replay } from "../../dist/replay/index.js";
import { tableFrom } from "../../dist/reports/table.js";
import { Follower, readEvents, readTokens, Store, writeWhole } from "../../dist/store/index.js";
import { events as planned } from "../reports/fixture.js";
import { bench, someText, start, temporaryFolder, until } from "../support.js";

const root = temporaryFolder();
let count = 0;
const read = (at: string) => [...readEvents(at)];
const progress = (at: string) => progressOf(replay(readEvents(at)));
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

const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;

const samples = (job: string, item: string, nll?: number[]): Event => ({
  type: "samples",
  job,
  item,
  samples: [{ metric: "perplexity", value: nll ? mean(nll) : 2.5, weight: nll?.length ?? 3 }],
  ...(nll ? { tokens: { nll: Float64Array.from(nll) } } : {}),
});
const done = (job: string, items = 1): Event => ({ type: "job-done", at: 1, job, items, seconds: 1 });

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
    expect(read(at)).toHaveLength(1);
    store.append(done("j"));
    expect(read(at)).toHaveLength(2);
    store.close();
    expect(read(at).map((event) => event.type)).toEqual(["samples", "job-done"]);
    expect(existsSync(join(at, "lock"))).toBe(false);
    expect(readdirSync(at).sort()).toEqual(["events.jsonl", "tokens"]);
  });

  it("have the facts of an item as fields, where an earlier version kept them in its detail", () => {
    const at = folder();
    const facts = { cluster: "history", foreign: 0.4, unanswerable: "it is too long", alone: true, models: 2 };
    session(at, { ...samples("j", "0"), detail: { ...facts, prompt: "p" } } as Event);
    session(at, { ...samples("j", "1"), cluster: "art", detail: { cluster: "history", models: "2" } } as Event);
    expect(read(at)).toMatchObject([facts, { cluster: "art" }]);
    expect(read(at)[1]).not.toHaveProperty("models");
  });

  it("say which items are there, over several sessions", () => {
    const at = folder();
    session(at, samples("j", "0"), samples("k", "a"));
    session(at, samples("j", "1"), done("j", 2));
    expect(progress(at)).toEqual(
      new Map([
        ["j", { items: new Set(["0", "1"]), complete: true }],
        ["k", { items: new Set(["a"]), complete: false }],
      ]),
    );
  });

  it("a torn last line is passed over by readers and cut off by the next writer, wherever it was torn", () => {
    const whole = `${JSON.stringify(samples("j", "1"))}\n`;
    for (let length = 1; length < whole.length; length += 7) {
      const at = folder();
      session(at, samples("j", "0"));
      appendFileSync(join(at, "events.jsonl"), whole.slice(0, length));
      expect(read(at)).toHaveLength(1);
      session(at, samples("j", "2"));
      expect(read(at).map((event) => "item" in event && event.item)).toEqual(["0", "2"]);
    }
  });

  it("a line of garbage is an error that names it", () => {
    const at = folder();
    session(at, samples("j", "0"), samples("j", "1"));
    const file = join(at, "events.jsonl");
    const [first, second] = readFileSync(file, "utf8").split("\n");
    writeFileSync(file, `${first}\n\u0000\u0000garbage\n${second}\n`);
    for (const attempt of [() => read(at), () => Store.open(at)]) {
      const error = refusal(attempt);
      expect(error.code).toBe("run-damaged");
      expect(error.message).toBe(`${file}:2 is not an event.`);
      expect(error.hint).toMatch(/--out/);
    }
    // A refusal leaves no lock behind.
    expect(existsSync(join(at, "lock"))).toBe(false);
  });

  it("a folder without a run is an error, a run without an event is not", () => {
    expect(refusal(() => read(join(root, "absent"))).code).toBe("run-missing");
    const at = folder();
    session(at);
    expect(read(at)).toEqual([]);
  });
});

describe("per-token values", () => {
  const file = (at: string) => join(at, "tokens", "j.nll.bin");

  it("are read back by their place", () => {
    const at = folder();
    session(at, samples("j", "0", [1, 2]), samples("k", "0", [9]));
    session(at, samples("j", "1", [3, 4, 5]));
    const places = read(at).map((event) => event.type === "samples" && event.tokens!.nll!);
    const digest = expect.stringMatching(/^[0-9a-f]{12}$/);
    expect(places).toEqual([
      [0, 2, digest],
      [0, 1, digest],
      [2, 3, digest],
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

  const changes: [what: string, change: (file: string) => void, said: RegExp][] = [
    ["cut to nothing", (name) => truncateSync(name, 0), /is shorter than events\.jsonl says/],
    ["cut to a half", (name) => truncateSync(name, 20), /is shorter than events\.jsonl says/],
    ["one byte short", (name) => truncateSync(name, 39), /is shorter than events\.jsonl says/],
    ["away", (name) => rmSync(name), /is missing/],
    ["away with its folder", (name) => rmSync(join(name, ".."), { recursive: true }), /is missing/],
  ];
  it.each(changes)("that are %s are an error when the run is opened, complete or not", (_, change, said) => {
    for (const end of [[], [{ ...done("j"), items: 2 } as Event]]) {
      const at = folder();
      session(at, samples("j", "0", [1, 2]), samples("j", "1", [3, 4, 5]), ...end);
      change(file(at));
      for (const attempt of [() => read(at), () => Store.open(at)]) {
        const error = refusal(attempt);
        expect(error.code).toBe("run-damaged");
        expect(error.message).toContain(file(at));
        expect(error.message).toMatch(said);
        expect(error.hint).toMatch(/--out/);
      }
      expect(existsSync(join(at, "lock"))).toBe(false);
    }
  });

  const foreign: [what: string, values: number[]][] = [
    ["zeros", [0, 0, 0]],
    ["no numbers", [1, Number.NaN, 3]],
    ["of another run", [1.5, 2.5, 3.5]],
    ["in another order", [2, 1, 3]],
    ["huge", [1, 2, -2.7e30]],
  ];
  it.each(foreign)("that are %s are an error when they are read", (_, values) => {
    const at = folder();
    session(at, samples("j", "0", [1, 2, 3]), samples("j", "1", [4]));
    const [place, next] = read(at).map((event) => (event.type === "samples" ? event.tokens!.nll! : undefined));
    writeFileSync(file(at), Buffer.from(Float64Array.from([...values, 4]).buffer));
    const error = refusal(() => readTokens(at, "j", "nll", place!));
    expect(error.code).toBe("run-damaged");
    expect(error.message).toBe(`${file(at)} holds other values than were measured, from byte 0 on.`);
    expect([...readTokens(at, "j", "nll", next!)]).toEqual([4]);
  });

  it("of a run without digests are held to what is possible", () => {
    const at = folder();
    session(at, samples("j", "0", [1, 2, 3]));
    for (const impossible of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      writeFileSync(file(at), Buffer.from(Float64Array.from([1, impossible, 3]).buffer));
      expect(refusal(() => readTokens(at, "j", "nll", [0, 3])).code).toBe("run-damaged");
    }
    truncateSync(file(at), 17);
    expect(refusal(() => readTokens(at, "j", "nll", [0, 3])).message).toMatch(/is shorter/);
  });
});

describe("a line that is no event", () => {
  const started = (version = "9.8.7") => ({
    type: "started",
    at: 1,
    name: "n",
    variants: [{ name: "v", model: "m", backend: "mock", reference: false, tags: {}, settings: {} }],
    jobs: [
      ...[{ id: "j", variant: "v", backend: "mock", measurement: "perplexity", kind: "perplexity", dataset: "" }].map(
        (job) => ({ ...job, settings: {}, metrics: ["perplexity"] }),
      ),
    ],
    measurements: [{ name: "perplexity", kind: "perplexity", settings: {} }],
    provenance: {
      command: [],
      versions: { "gguf-bench": version },
      machine: { cpu: "c", cpus: 1, memoryBytes: 1, os: "o", arch: "a", gpus: [] },
      engine: { version: "v", library: "l", origin: "o" },
      datasets: [],
    },
  });
  const line = (change: object) => JSON.stringify({ ...samples("j", "1"), ...change });
  const sample = (change: object) => line({ samples: [{ metric: "perplexity", value: 2.5, weight: 3, ...change }] });
  const opening = (change: object) => JSON.stringify({ ...started(), ...change });
  const bad: [what: string, line: string | Buffer][] = [
    ["null", "null"],
    ["a number", "42"],
    ["a text", '"x"'],
    ["a list", "[]"],
    ["an empty line", ""],
    ["half an event", '{"type":"samples","job":"j'],
    ["NaN", '{"type":"samples","job":"j","item":"1","samples":[{"metric":"perplexity","value":NaN,"weight":1}]}'],
    ["NUL bytes", "\0\0\0\0"],
    ["no UTF-8", Buffer.from(line({ item: "é" }), "latin1")],
    ["no kind", '{"job":"j"}'],
    ["a start without all", '{"type":"started"}'],
    ["a start with jobs of no variant", opening({ variants: [] })],
    ["a start whose jobs are null", opening({ jobs: [null] })],
    ["a start without a machine", opening({ provenance: { ...started().provenance, machine: null } })],
    ["a job in another folder", line({ job: "../../etc/passwd" })],
    ["a job with a path", line({ job: "a/b" })],
    ["a start with a job in another folder", opening({ jobs: [{ ...started().jobs[0], id: ".." }] })],
    ["a value that is a text", sample({ value: "2.5" })],
    ["a value beyond numbers", sample({ value: 2.5 }).replace("2.5", "1e999")],
    ["a weight below 0", sample({ weight: -1 })],
    ["no weight", sample({ weight: null })],
    ["samples that are a map", line({ samples: {} })],
    ["an item that is a number", line({ item: 1 })],
    ["values at no place", line({ tokens: { nll: [0, -1] } })],
    ["values at a half", line({ tokens: { nll: [0.5, 1] } })],
    ["values with a path", line({ tokens: { "../nll": [0, 1] } })],
    ["detail that is a text", line({ detail: "x" })],
    ["a cluster that is a number", line({ cluster: 7 })],
    ["a foreign load that is a text", line({ foreign: "0.1" })],
    ["an end without a job", '{"type":"job-done","at":1,"items":1,"seconds":1}'],
    ["a failure without a sentence", '{"type":"job-failed","at":1,"job":"j","failure":{"code":"x"}}'],
    ["a time beyond all calendars", '{"type":"finished","at":1e300,"outcome":"complete"}'],
    ["an outcome that is none", '{"type":"finished","at":1,"outcome":"great"}'],
    ["the prototype", '{"type":"__proto__"}'],
    ["an event that is never kept", '{"type":"progress","job":"j","done":1,"total":2,"unit":"x"}'],
  ];

  const withLine = (content: string | Buffer, first = samples("j", "0") as object) => {
    const at = folder();
    mkdirSync(join(at, "tokens"), { recursive: true });
    const rest = Buffer.from(`\n${JSON.stringify(samples("j", "2"))}\n`);
    writeFileSync(
      join(at, "events.jsonl"),
      Buffer.concat([Buffer.from(`${JSON.stringify(first)}\n`), Buffer.from(content), rest]),
    );
    return at;
  };

  it.each(bad)("%s: one sentence with the place and a remedy", (_, content) => {
    const at = withLine(content);
    for (const attempt of [() => read(at), () => Store.open(at)]) {
      const error = refusal(attempt);
      expect(error.code).toBe("run-damaged");
      expect(error.message).toMatch(/^\S+events\.jsonl:2 (is|has) [^\n]{2,120}\.$/);
      expect(error.hint).toMatch(/--out/);
    }
    expect(existsSync(join(at, "lock"))).toBe(false);
  });

  it("of a later version names that version", () => {
    for (const content of [
      sample({ metric: "wer" }),
      '{"type":"job-refused","job":"j"}',
      opening({ jobs: [{ ...started().jobs[0], metrics: ["perplexity", "bleu_4"] }] }),
    ]) {
      const error = refusal(() => read(withLine(content, started("9.8.7"))));
      expect(error.code).toBe("run-foreign");
      expect(error.message).toMatch(
        /events\.jsonl:2 .*which this version does not know; gguf-bench 9\.8\.7 wrote it\.$/,
      );
      // Where nothing says which version it was, it is damage.
      expect(refusal(() => read(withLine(content))).code).toBe("run-damaged");
    }
  });

  it("is told by every command that reads a run, in one sentence", async () => {
    const at = withLine("null", started());
    for (const command of [
      ["report", at],
      ["compare", `${at}:v`, `${at}:w`],
      ["baseline", at],
      ["gate", at, "--rule", "kld: 0.01"],
    ]) {
      const { code, stdout, stderr } = await bench(command);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^gguf-bench: \S+events\.jsonl:2 is no event\.\n {2}[^\n]+\n$/);
    }
  });

  it("what is no file of events, or no folder, is told as well", async () => {
    const at = folder();
    mkdirSync(join(at, "events.jsonl"), { recursive: true });
    for (const attempt of [() => read(at), () => Store.open(at)])
      expect(refusal(attempt).message).toBe(`${join(at, "events.jsonl")} is a folder, not a file of events.`);
    const plain = join(root, "plain");
    writeFileSync(plain, "x");
    expect(refusal(() => read(plain)).message).toBe(`${plain} is a file, not a run's folder.`);
    const { code, stderr } = await bench(["report", plain]);
    expect({ code, stderr: stderr.split("\n")[0] }).toEqual({
      code: 1,
      stderr: `gguf-bench: ${plain} is a file, not a run's folder.`,
    });
  });

  it("half a million lines take seconds", { timeout: 60_000 }, () => {
    const at = folder();
    mkdirSync(join(at, "tokens"), { recursive: true });
    const one = (item: number) =>
      JSON.stringify({ ...samples("j", String(item)), detail: { prompt: "0123456789abcdef" } });
    const pieces = Array.from({ length: 50 }, (_, i) =>
      Array.from({ length: 10_000 }, (_, k) => one(10_000 * i + k)).join("\n"),
    );
    writeFileSync(join(at, "events.jsonl"), `${pieces.join("\n")}\n`);
    // CPU time: other processes do not count.
    const seconds = (work: () => void) => {
      const start = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1e6;
    };
    const bare = seconds(() => {
      for (const text of readFileSync(join(at, "events.jsonl"), "utf8").trimEnd().split("\n")) JSON.parse(text);
    });
    expect(seconds(() => expect(read(at)).toHaveLength(500_000)) - bare).toBeLessThan(4);
  });
});

describe("what is synced", () => {
  it("is synced in groups: token files first, then the events, and at once after a pause", async () => {
    const at = folder();
    const synced: string[] = [];
    const spy = vi.spyOn(fs, "fdatasyncSync").mockImplementation((file) => {
      synced.push(basename(readlinkSync(`/proc/self/fd/${file}`)));
    });
    try {
      const store = Store.open(at);
      const group = ["j.nll.bin", "events.jsonl"];
      store.append(samples("j", "0", [1]));
      expect(synced).toEqual(group);
      for (let item = 1; item < 5; item++) store.append(samples("j", String(item), [1]));
      expect(synced).toEqual(group);
      await until("the next sync", () => synced.length > 2);
      expect(synced).toEqual([...group, ...group]);
      await new Promise((resolve) => setTimeout(resolve, 60));
      store.append(done("j"));
      expect(synced).toEqual([...group, ...group, "events.jsonl"]);
      store.append(samples("j", "5", [1]));
      store.close();
      expect(synced.slice(5)).toEqual(group);
    } finally {
      spy.mockRestore();
    }
    // The first line of each group says that all before it is there.
    const lines = readFileSync(join(at, "events.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines.map((line) => line.endsWith(" ") || line === lines.at(-1))).toEqual(
      [1, 1, 0, 0, 0, 1, 1].map(Boolean),
    );
  });

  it("is told, should it fail", () => {
    const at = folder();
    const store = Store.open(at);
    const spy = vi.spyOn(fs, "fdatasyncSync").mockImplementation(() => {
      throw Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" });
    });
    try {
      for (const attempt of [() => store.append(samples("j", "0")), () => store.append(samples("j", "1"))])
        expect(refusal(attempt).message).toMatch(/events\.jsonl cannot be written: EIO/);
      expect(refusal(() => store.close()).code).toBe("disk");
    } finally {
      spy.mockRestore();
    }
  });
});

describe("a process that is killed", () => {
  it("loses nothing that append returned, in thirty kills, and the next one goes on", {
    timeout: 120_000,
  }, async () => {
    const at = folder();
    const writing = `
      import fs from "node:fs";
      import { Store } from ${JSON.stringify(new URL("../../dist/store/index.js", import.meta.url).href)};
      let item = 0;
      const store = Store.open(process.argv[1], (event) => (item = Number(event.item) + 1));
      for (;;) {
        const values = Float64Array.from({ length: 50 }, (_, i) => item + i);
        const samples = [{ metric: "perplexity", value: item + 24.5, weight: 50 }];
        store.append({ type: "samples", job: "j", item: String(item), samples, tokens: { nll: values } });
        fs.writeSync(1, item + "\\n");
        item++;
        // Now and then it pauses, so that groups are of all sizes.
        if (item % 40 === 0) await new Promise((resolve) => setTimeout(resolve, item % 80));
      }`;
    for (let kill = 0; kill < 30; kill++) {
      const child = spawn(process.execPath, ["--input-type=module", "-e", writing, at]);
      let said = "";
      child.stdout.on("data", (more) => {
        said += more;
      });
      await until("an item", () => said.includes("\n"));
      await new Promise((resolve) => setTimeout(resolve, 7 * (kill % 12)));
      child.kill("SIGKILL");
      await once(child, "close");
      const last = Number(said.trim().split("\n").at(-1));
      const items = read(at).flatMap((event) => (event.type === "samples" ? [event.item] : []));
      expect(items.length).toBeGreaterThan(last);
      expect(items).toEqual(items.map((_, i) => String(i)));
    }
    for (const event of read(at)) {
      if (event.type !== "samples") continue;
      const expected = Array.from({ length: 50 }, (_, i) => Number(event.item) + i);
      expect([...readTokens(at, "j", "nll", event.tokens!.nll!)]).toEqual(expected);
    }
  });
});

describe("a loss of power", () => {
  const items = ["0", "1", "2", "3", "4", "5"];
  const events = (at: string) => join(at, "events.jsonl");
  const tokens = (at: string) => join(at, "tokens", "j.nll.bin");
  /** Four items that were synced, two that were not, and nobody who said that it ended. */
  function cutOff(): string {
    const at = folder();
    session(at, ...items.slice(0, 3).map((item) => samples("j", item, [1, 2])));
    session(at, ...items.slice(3).map((item) => samples("j", item, [3, 4])));
    writeFileSync(join(at, "lock"), JSON.stringify({ pid: 2 ** 22 - 7, started: "1", host: hostname() }));
    return at;
  }
  /** The lines of items became holes, of as many bytes. */
  function hole(at: string, ...lost: number[]): void {
    const lines = readFileSync(events(at), "utf8").split("\n");
    for (const item of lost) lines[item] = "\0".repeat(lines[item]!.length);
    writeFileSync(events(at), lines.join("\n"));
  }
  function overwrite(at: string, item: number): void {
    const values = readFileSync(tokens(at));
    values.fill(0, item * 16, item * 16 + 16);
    writeFileSync(tokens(at), values);
  }
  const found = (at: string) => read(at).flatMap((event) => (event.type === "samples" ? [event.item] : []));

  const losses: [what: string, lose: (at: string) => void, left: number][] = [
    ["nothing", () => {}, 6],
    ["an event", (at) => hole(at, 4), 4],
    ["both events that were not synced", (at) => hole(at, 4, 5), 4],
    ["the end of the values", (at) => truncateSync(tokens(at), 5 * 16), 5],
    ["all values that were not synced", (at) => truncateSync(tokens(at), 4 * 16), 4],
    ["values in between, which are zeros now", (at) => overwrite(at, 4), 4],
    ["a piece of the last event", (at) => truncateSync(events(at), statSync(events(at)).size - 9), 5],
  ];
  it.each(losses)("of %s: what is whole is read, and the next writer goes on from there", (_, lose, left) => {
    const at = cutOff();
    lose(at);
    expect(found(at)).toEqual(items.slice(0, left));
    session(at, ...items.slice(left).map((item) => samples("j", item, [5, 6])));
    expect(found(at)).toEqual(items);
    for (const event of read(at)) if (event.type === "samples") readTokens(at, "j", "nll", event.tokens!.nll!);
    expect(statSync(tokens(at)).size).toBe(6 * 16);
  });

  it("explains no damage of what was synced, nor of a run that was ended", () => {
    for (const damage of [
      (at: string) => hole(at, 1),
      (at: string) => hole(at, 3),
      (at: string) => truncateSync(tokens(at), 3 * 16),
      (at: string) => truncateSync(tokens(at), 2 * 16),
    ]) {
      const at = cutOff();
      damage(at);
      for (const attempt of [() => read(at), () => Store.open(at)]) expect(refusal(attempt).code).toBe("run-damaged");
    }
    const at = cutOff();
    rmSync(join(at, "lock"));
    hole(at, 4);
    expect(refusal(() => read(at)).code).toBe("run-damaged");
  });
});

describe("items", () => {
  it("measured twice count once, as they were measured last", () => {
    const at = folder();
    const value = (value: number): Event => ({
      ...(samples("j", "0") as Extract<Event, { type: "samples" }>),
      samples: [{ metric: "tg128", value, weight: 1 }],
    });
    session(at, value(1), { ...value(1), item: "1" } as Event, value(2), done("j", 2));
    const job = replay(readEvents(at)).jobs.get("j")!;
    expect(job.items).toEqual(["0", "1"]);
    expect(job.samples("tg128")).toContainEqual({ item: "0", value: 2, weight: 1 });
    expect(job.count("tg128")).toBe(2);
  });

  const one = (metric: string, value: number | null, weight = 1, item = "0"): Event => ({
    type: "samples",
    job: "j",
    item,
    samples: [{ metric, value: value as number, weight }],
  });

  it.each([
    ["acc", 2],
    ["acc", 0.5],
    ["acc_norm", -1],
    ["acc_token", 1.01],
    ["same_top", 1.2, 255],
    ["delta_p", -1.5, 255],
    ["delta_p_rms", 3, 255],
    ["perplexity", -5, 255],
    ["kld", -0.3, 255],
    ["bits_per_byte", -1, 700],
    ["tg128", -4],
    ["pp512@d64", -0.5],
    ["peak_memory", -5],
    ["perplexity", 2, 0],
    ["bits_per_byte", 2, -64],
    ["kld", 0.1, 1e300],
    ["acc", 1, 7],
  ])("whose values cannot be are damage, told with the line: %s %d, weight %s", (metric, value, weight = 1) => {
    const at = folder();
    session(at, one("perplexity", 2, 3), one(metric, value, weight, "1"));
    const error = refusal(() => read(at));
    expect(error.code).toBe("run-damaged");
    expect(error.message).toMatch(/events\.jsonl:2 is no `samples` event: .*(is|weight)/);
    expect(error.message).toContain(metric);
  });

  it.each([
    ["acc", 0],
    ["acc", 1],
    ["acc", null],
    ["same_top", 1, 255],
    ["delta_p_rms", 0, 255],
    ["perplexity", -1e-7, 255],
    ["perplexity", 118.6, 63],
    ["ln_ppl_ratio", -9, 63],
    ["kld", -1e-6, 63],
    ["tg128", 8635.2],
  ] as [string, number | null, number?][])("whose values can be are read: %s %s", (metric, value, weight = 1) => {
    const at = folder();
    session(at, one(metric, value, weight));
    expect(read(at)).toHaveLength(1);
  });

  it.each([
    ["perplexity", 2, 2.5, 255],
    ["acc", 0, 1],
    ["kld", 0.1, 0.2, 127],
    ["acc_norm", 1, 0],
    ["bits_per_byte", 1, null, 400],
  ] as [string, number, number | null, number?][])(
    "that were measured twice and differ are damage: %s %s and %s",
    (metric, first, second, weight = 1) => {
      const at = folder();
      session(at, one(metric, first, weight), one(metric, first, weight, "1"), one(metric, second, weight));
      expect(refusal(() => read(at)).message).toMatch(
        new RegExp(`:3 has another value of ${metric} for item 0 than line 1`),
      );
      const same = folder();
      session(same, one(metric, first, weight), one(metric, first, weight));
      expect(read(same)).toHaveLength(2);
    },
  );

  // biome-ignore lint/suspicious/noExplicitAny: a file that someone edited holds anything
  type Change = (event: any, sample: any) => void;
  const answer = {
    ...{ prediction: 1, gold: 1, scores: [-3, -1, -2] },
    detail: { prediction_norm: 0, prediction_token: 2, scores_token: [-3, -2, -1] },
  };
  it.each<[string, Change, RegExp]>([
    ["a value", (_, one) => (one.value = 0.1), /perplexity is 0\.1, and its values per token give 2$/],
    ["how much it counts", (_, one) => (one.weight = 6), /perplexity counts 6 times, and has 3 values per token$/],
    ["its squares", (_, one) => (one.square = 9), /squares of perplexity are 9 on average, .* give 4\.6666/],
    ["no number", (_, one) => (one.value = null), /perplexity is null, and its values per token give 2$/],
    ["a square", (_, one) => (one.square *= 1.001), /squares of perplexity are 4\.67\S* on average, .* give 4\.6666/],
  ])("%s that its values per token do not give is damage, told with both", (_, change, said) => {
    const at = folder();
    const item = samples("j", "7", [1, 2, 3]) as Extract<Event, { type: "samples" }>;
    item.samples[0]!.square = 14 / 3;
    session(at, item);
    const follower = new Follower(at);
    expect([...follower.read()]).toHaveLength(1);
    const line = JSON.parse(readFileSync(join(at, "events.jsonl"), "utf8"));
    change(line, line.samples[0]);
    appendFileSync(join(at, "events.jsonl"), `${JSON.stringify(line)}\n`);
    for (const attempt of [() => read(at), () => Store.open(at), () => [...follower.read()]]) {
      const error = refusal(attempt);
      expect(error.code).toBe("run-contradiction");
      expect(error.message.replace(/\.$/, "")).toMatch(said);
      expect(error.message).toMatch(/events\.jsonl:2, job j, item 7: /);
      expect(error.hint).toMatch(/take the line out/);
    }
  });

  it.each<[string, Change, RegExp]>([
    ["whether it is right", (_, one) => (one.value = 0), /acc is 0, and its answer gives 1$/],
    ["which option it is", (event) => (event.prediction = 0), /acc is 1, and its answer gives 0$/],
    ["a score", (event) => (event.scores[2] = -0.5), /option 2, which has not the highest of its scores$/],
    ["the rule by length", (event) => (event.samples[1].value = 1), /acc_norm is 1, and its answer gives 0$/],
    ["the rule by tokens", (event) => (event.samples[2].value = 1), /acc_token is 1, and its answer gives 0$/],
    ["a score per token", (event) => (event.detail.scores_token[0] = 0), /option 3, which has not .* per token$/],
    ["that it was not asked", (event) => (event.unanswerable = "too long"), /has scores, and is said not to have been/],
    [
      "that it counts as not asked",
      (event) => (event.samples = [{ metric: "unanswerable", value: 1, weight: 1 }]),
      /counts as unanswerable, and does not say why$/,
    ],
    [
      "that it was not read",
      (event) => event.samples.push({ metric: "unparsed", value: 1, weight: 1 }),
      /counts as unparsed, and its answer is option 2$/,
    ],
  ])("%s that the answer does not give is damage", (_, change, said) => {
    const at = folder();
    const event = {
      ...(one("acc", 1) as Extract<Event, { type: "samples" }>),
      ...structuredClone(answer),
      samples: ["acc", "acc_norm", "acc_token"].map((metric, i) => ({ metric, value: i === 0 ? 1 : 0, weight: 1 })),
    };
    session(at, event);
    expect(read(at)).toHaveLength(1);
    change(event, event.samples[0]!);
    const changed = folder();
    session(changed, event);
    expect(refusal(() => read(changed)).message.replace(/\.$/, "")).toMatch(said);
  });

  it("of a broken model are no damage: what is no number follows from values that are none", () => {
    const at = folder();
    session(at, samples("j", "0", [1, Number.NaN, 3]));
    expect(read(at)).toMatchObject([{ samples: [{ metric: "perplexity", value: null }] }]);
  });

  it("of two variants with unlike keys are damage", () => {
    const [plan] = planned as [Extract<Event, { type: "started" }>];
    const [first] = plan.jobs;
    const jobs = ["j", "k"].map((id) => ({ ...first!, id, askedSha256: "a" }));
    const item = (job: string, gold: number): Event =>
      ({ ...one("acc", 1), ...{ job, gold, prediction: gold } }) as Event;
    const at = folder();
    session(at, { ...plan, jobs } as Event, item("j", 1), item("k", 1));
    expect(read(at)).toHaveLength(3);
    session(at, { ...item("k", 2), item: "1" } as Event, { ...item("j", 0), item: "1" } as Event);
    expect(refusal(() => read(at)).message).toContain(
      ":5 has option 1 as the answer of item 1, and another variant has option 3",
    );
  });

  it("of a job that no plan has are damage, and so is a run whose plan is gone", () => {
    const plan = { ...planned[0]!, jobs: [] } as Event;
    const at = folder();
    session(at, plan, samples("stray", "0"));
    expect(refusal(() => read(at)).message).toContain(":2 is of a job that no plan has: stray");
    const lost = folder();
    session(lost, samples("j", "0"), done("j"));
    const error = refusal(() => tableFrom(replay(readEvents(lost))));
    expect([error.code, error.message]).toEqual([
      "run-damaged",
      expect.stringContaining("has lost its line `started`"),
    ]);
    expect(refusal(() => tableFrom(replay([]))).code).toBe("nothing-run");
  });

  it.each(["1", "7", "99", "999999999999"])("beyond those of their job are damage: %s", (item) => {
    const at = folder();
    session(at, one("acc", 1), { ...one("acc", 1), item } as Event, done("j"));
    expect(refusal(() => read(at)).message).toContain(`:2 is of the item ${item}, but its job has 1 of them`);
  });

  it("that went missing leave their job unfinished, whatever its end says", () => {
    const end = (items: number): Event => ({ type: "job-done", at: 1, job: "j", items, seconds: 1 });
    const memory: Event = {
      type: "samples",
      job: "j",
      item: "peak_memory",
      samples: [{ metric: "peak_memory", value: 5, weight: 1 }],
    };
    const three = [samples("j", "0"), samples("j", "1"), samples("j", "2")];
    for (const gone of [0, 1, 2]) {
      const at = folder();
      session(at, ...three, memory, end(3));
      const file = join(at, "events.jsonl");
      writeFileSync(file, readFileSync(file, "utf8").split("\n").toSpliced(gone, 1).join("\n"));
      const store = Store.open(at);
      expect(progress(at).get("j")).toMatchObject({ complete: false, peakMemory: 5 });
      expect(progress(at).get("j")!.items.size).toBe(2);
      store.append(three[gone]!);
      store.append(end(3));
      store.close();
      expect(progress(at).get("j")).toMatchObject({ complete: true });
    }
    // Version 0.1 counted the memory among the items of a job that it went on with.
    const at = folder();
    session(at, ...three, memory, { type: "job-started", at: 1, job: "j", done: 4 }, memory, end(4));
    expect(replay(readEvents(at)).jobs.get("j")!.done).toBe(true);
  });
});

describe("a run of version 0.1", () => {
  const fixture = fileURLToPath(new URL("../fixtures/run-0.1.0", import.meta.url));
  const copied = () => {
    const at = folder();
    cpSync(fixture, at, { recursive: true });
    return at;
  };
  /** Variant, measurement and metric, and the value. */
  const values = (at: string) =>
    new Map(
      readFileSync(join(at, "table-long.csv"), "utf8")
        .trimEnd()
        .split("\n")
        .map((row) => row.split(","))
        .map(([variant, , measurement, , metric, value]) => [[variant, measurement, metric].join(" "), Number(value)]),
    );

  it("is read with all its figures, an accuracy under the name of its rule", async () => {
    const at = copied();
    const before = values(at);
    rmSync(join(at, "table-long.csv"));
    const { code, stderr } = await bench(["report", at]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const after = values(at);
    expect(before.size).toBeGreaterThan(80);
    for (const [name, value] of before) {
      if (Number.isNaN(value)) continue;
      const now = name.endsWith("hellaswag acc") ? name.replace("acc", "acc_token") : name;
      // Version 0.1 told the arithmetic mean of a speed.
      if (/ (pp|tg)\d/.test(name)) expect(after.get(now)! / value, now).toBeCloseTo(1, 4);
      else expect(after.get(now), now).toBeCloseTo(value, 9);
    }
    expect(after.has("full hellaswag acc")).toBe(false);
  });

  it("is continued by measuring anew, which is said in one line; what it holds stays", async () => {
    const at = copied();
    const before = readFileSync(join(at, "events.jsonl"), "utf8");
    const command = ["run", join(at, "b.yaml"), "--out", at, "--plain"];
    const first = await bench(command);
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: "" });
    const said = first.stdout.split("\n").filter((line) => line.includes("measured anew"));
    expect(said).toEqual([
      expect.stringMatching(/^8 of 8 results in \S+ are measured anew: the model, .* changed since\.$/),
    ]);
    expect(readFileSync(join(at, "events.jsonl"), "utf8").startsWith(before)).toBe(true);
    expect(values(at).get("full hellaswag acc")).toBeDefined();
    const second = await bench(command);
    expect(second.stdout).not.toContain("measured anew");
    expect(second.code).toBe(0);
  });

  it("is not compared with a later one by another rule", async () => {
    const at = copied();
    const now = folder();
    const run = await bench(["run", join(at, "b.yaml"), "--out", now, "--plain"]);
    expect(run.code).toBe(0);
    const { stdout } = await bench(["compare", at, now, "--metric", "acc_norm"]);
    expect(stdout).toMatch(/acc\w* is not compared: two versions of gguf-bench score choice by different rules/);
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
    expect(read(at)).toHaveLength(1);
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

  const stale: [what: string, put: (lock: string) => void][] = [
    ["null", (lock) => writeFileSync(lock, "null")],
    ["a list", (lock) => writeFileSync(lock, "[]")],
    ["nothing", (lock) => writeFileSync(lock, "")],
    ["the process −1", (lock) => writeFileSync(lock, JSON.stringify({ pid: -1, started: "1", host: hostname() }))],
    ["the process 0", (lock) => writeFileSync(lock, JSON.stringify({ pid: 0, started: "1", host: hostname() }))],
    ["a half process", (lock) => writeFileSync(lock, JSON.stringify({ pid: 1.5, started: "1", host: hostname() }))],
    ["a text for a process", (lock) => writeFileSync(lock, JSON.stringify({ pid: "1", started: "1", host: "h" }))],
    [
      "a start to come",
      (lock) => writeFileSync(lock, JSON.stringify({ pid: process.pid, started: "9".repeat(18), host: hostname() })),
    ],
    ["a number for a host", (lock) => writeFileSync(lock, JSON.stringify({ pid: 1, started: "1", host: 5 }))],
    ["a link to nowhere", (lock) => symlinkSync(join(lock, "nowhere"), lock)],
  ];
  it.runIf(existsSync("/proc/self/stat")).each(stale)(
    "a lock that holds %s is taken over, and so is one of its clearing",
    (_, put) => {
      for (const names of [["lock"], ["lock", "lock.clearing"]]) {
        const at = folder();
        mkdirSync(at, { recursive: true });
        for (const name of names) put(join(at, name));
        session(at, samples("j", "0"));
        expect(readdirSync(at).sort()).toEqual(["events.jsonl", "tokens"]);
      }
    },
  );

  it("a folder in its place is told, and stays", () => {
    for (const name of ["lock", "lock.clearing"]) {
      const at = folder();
      mkdirSync(join(at, name), { recursive: true });
      if (name !== "lock") lockOf(at, { pid: deadPid(), started: "1", host: hostname() });
      expect(refusal(() => Store.open(at)).message).toBe(
        `${join(at, name)} is a folder where the lock of the run should be.`,
      );
    }
  });

  it("one of another machine says how to get rid of it", () => {
    const at = folder();
    lockOf(at, { pid: 7, started: "1", host: "elsewhere" });
    expect(refusal(() => Store.open(at)).hint).toBe(
      `If nothing runs on elsewhere any more, remove ${join(at, "lock")}; else wait, or name another folder with --out.`,
    );
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
      import { Store } from ${JSON.stringify(new URL("../../dist/store/index.js", import.meta.url).href)};
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

describe("a folder that goes away while it is measured into", () => {
  const leave: [what: string, away: (at: string) => void][] = [
    ["deleted", (at) => rmSync(at, { recursive: true })],
    ["moved", (at) => renameSync(at, `${at}-moved`)],
    [
      "replaced by another",
      (at) => {
        renameSync(at, `${at}-moved`);
        session(at, samples("k", "0"));
      },
    ],
  ];
  it.each(leave)("%s: an error at the next event", (_, away) => {
    const at = folder();
    const store = Store.open(at);
    store.append(samples("j", "0", [1]));
    away(at);
    for (const event of [samples("j", "1", [2]), samples("k", "0", [3]), done("j")]) {
      const error = refusal(() => store.append(event));
      expect(error.code).toBe("run-moved");
      expect(error.message).toBe(`the run's folder ${at} was moved or deleted during the run.`);
    }
    expect(store.isInPlace()).toBe(false);
    store.close();
  });

  it("the run ends with a sentence, and makes no folder anew", async () => {
    const at = folder();
    const text = join(root, "words.txt");
    writeFileSync(text, someText(16_000));
    const model = "mock:seed=1,delay=0.1";
    const { child, ended } = start([
      "run",
      "--model",
      model,
      "--text",
      text,
      "--context",
      "64",
      "--plain",
      "--out",
      at,
    ]);
    await until(
      "a sample",
      () => existsSync(join(at, "events.jsonl")) && read(at).some(({ type }) => type === "samples"),
    );
    renameSync(at, `${at}-moved`);
    const { code, stderr } = await ended;
    expect(child.exitCode).toBe(1);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^gguf-bench: the run's folder \S+ was moved or deleted during the run\.\n {2}[^\n]+\n$/);
    expect(existsSync(at)).toBe(false);
    expect(read(`${at}-moved`).length).toBeGreaterThan(2);
  });
});

describe("a file that is written whole or not at all", () => {
  const fixture = fileURLToPath(new URL("../fixtures/run-0.1.0", import.meta.url));
  const rule = ["--rule", "kld: 0.01"];

  it("in a folder that is not there, or in the place of one: a sentence, and nothing is left", async () => {
    const at = folder();
    mkdirSync(join(at, "taken"), { recursive: true });
    for (const out of [join(at, "absent", "file"), join(at, "taken")])
      for (const command of [
        ["baseline", fixture, "--out", out],
        ["gate", fixture, ...rule, "--junit", out],
      ]) {
        const { code, stderr } = await bench(command);
        expect(code).toBe(1);
        expect(stderr).toMatch(/^gguf-bench: \S+ cannot be written: [^\n]+\n {2}[^\n]+\n$/);
        expect(stderr).not.toMatch(/\.part/);
      }
    expect(readdirSync(at)).toEqual(["taken"]);
  });

  it("takes the place of an older one, through a link too, and writes into a pipe", () => {
    const at = folder();
    mkdirSync(at);
    writeFileSync(join(at, "old"), "old");
    symlinkSync("old", join(at, "link"));
    writeWhole(join(at, "link"), "new");
    expect(readFileSync(join(at, "old"), "utf8")).toBe("new");
    expect(readdirSync(at).sort()).toEqual(["link", "old"]);
    writeWhole("/dev/null", "x");
    expect(statSync("/dev/null").isFile()).toBe(false);
  });
});

describe("a disk that will not", () => {
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
