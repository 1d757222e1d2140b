import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toFailure } from "../dist/errors.js";
import { merge } from "../dist/merge/index.js";
import { hasRedis, killWorker, RedisHere, startWorker } from "./redis.js";
import {
  bench,
  eventsOf,
  llamaServer,
  type Outcome,
  qualityRows,
  someQuestions,
  someText,
  temporaryFolder,
  verdicts,
  writeRandomLlama,
} from "./support.js";

// A disk that is full or read-only, at every file that the program writes: a sentence with what, where and what to do; and with
// room again the same command gives the same tables.
const folder = temporaryFolder();
const disk = join(folder, "disk");
mkdirSync(disk);
const mount = (...options: string[]) => spawnSync("mount", [...options, disk]).status === 0;
const mounted =
  process.platform === "linux" && process.getuid?.() === 0 && mount("-t", "tmpfs", "-o", "size=24m", "tmpfs");
afterAll(() => {
  if (mounted) spawnSync("umount", ["-l", disk]);
});

const page = 4096;
const pages = (file: string) => Math.ceil(statSync(file).size / page);
const ballast = join(disk, "ballast");
/** Leaves so many pages free. */
function fill(free: number): void {
  rmSync(ballast, { force: true });
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - free * page)));
}
const makeRoom = () => rmSync(ballast, { force: true });
function clear(): void {
  mount("-o", "remount,rw");
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
}

const oneSentence = /^gguf-bench: [^\n]{1,500}\.\n {2}[^\n]+\.\n$/;
/** What was refused, and where: the outcome of a command that failed for want of a disk. */
function refusal({ code, stderr: all }: Outcome): string {
  // Less the lines of progress.
  const stderr = all.replace(/^(fetching|\S+: \d+ of) .*\n/gm, "");
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(oneSentence) });
  expect(stderr).toMatch(/ENOSPC|no space left|no room|EROFS|read-only/i);
  expect(stderr).toMatch(/make room|name another|permissions|writable|may write there/i);
  // Room is no remedy for a disk that takes nothing.
  if (/EROFS/.test(stderr)) expect(stderr).not.toMatch(/room/i);
  return stderr;
}

/** Files below a folder, by their paths in it. */
const filesIn = (root: string) =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(root, name)).isFile())
    .sort();

writeFileSync(join(folder, "text.txt"), someText(16_000));
writeFileSync(join(folder, "questions.txt"), someQuestions(30));
const file = (name: string, yaml: string) => {
  writeFileSync(join(folder, `${name}.yaml`), yaml);
  return join(folder, `${name}.yaml`);
};
const small = file(
  "small",
  `
variants:
  a: {model: "mock:seed=1", reference: true}
  b: {model: "mock:seed=1,damage=0.3"}
measurements:
  perplexity: {text: text.txt, context: 64}
  divergence: {text: text.txt, context: 64, chunks: 100, floor: 0}
  hellaswag: {file: questions.txt}
  speed: {prompt: 8, generate: 8, repetitions: 3}
`,
);
const whole = join(folder, "whole");
const run = (out: string, asked = small, options = {}) => bench(["run", asked, "--plain", "--out", out], options);

describe.skipIf(!mounted)("a disk (as root on Linux)", () => {
  beforeAll(async () => {
    expect((await run(whole)).code).toBe(0);
    expect((await bench(["baseline", whole, "--out", join(folder, "whole.baseline")])).code).toBe(0);
  }, 400_000);

  it("full at each file of the measurement: lock, events, values by token", { timeout: 400_000 }, async () => {
    const named = new Set<string>();
    for (const free of [0, 1, 2, 4, 6, 14, 40]) {
      clear();
      const out = join(disk, "run");
      // The folder itself takes no room.
      fill(free);
      const said = refusal(await run(out));
      const [, path] = said.match(/(\S+) cannot be (?:written|made)/) ?? said.match(/the run's folder (\S+)/) ?? [];
      expect(path, said).toBeTruthy();
      named.add(path === out ? "lock" : relative(out, path!).replace(/\w{16}\.\w+\.bin/, "*.bin"));
      makeRoom();
      expect(await run(out)).toMatchObject({ code: 0, stderr: "" });
      expect(qualityRows(out)).toEqual(qualityRows(whole));
      for (const name of filesIn(join(whole, "tokens")))
        expect(readFileSync(join(out, "tokens", name)).equals(readFileSync(join(whole, "tokens", name)))).toBe(true);
    }
    expect([...named].sort()).toEqual(["events.jsonl", "lock", "tokens/*.bin"]);
  });

  it("full at each file of the reports: said, with the command that makes them", { timeout: 400_000 }, async () => {
    const stored = /^(events\.jsonl|tokens\/)/;
    const reports = filesIn(whole).filter((name) => !stored.test(name));
    expect(reports).toEqual(expect.arrayContaining(["report.html", "run.json", "table.md", "table-long.csv"]));
    expect(reports.some((name) => name.startsWith("plots/"))).toBe(true);
    const out = join(disk, "run");
    clear();
    for (const kept of filesIn(whole).filter((one) => stored.test(one)))
      cpSync(join(whole, kept), join(out, kept), { recursive: true });
    const named: string[] = [];
    for (let free = 0; ; ) {
      fill(free);
      const outcome = await bench(["report", out]);
      if (outcome.code === 0) break;
      const said = refusal(outcome);
      expect(said).toContain(`\`gguf-bench report ${out}\` makes the tables`);
      const name = relative(out, said.match(/(\S+) cannot be written: ENOSPC/)![1]!);
      // No half of a file is left, and no draft.
      for (const one of filesIn(out).filter((one) => !stored.test(one)))
        expect(readFileSync(join(out, one), "utf8"), one).toBe(readFileSync(join(whole, one), "utf8"));
      free += named.includes(name) ? 1 : pages(join(whole, name));
      named.push(name);
      makeRoom();
      for (const one of filesIn(out).filter((one) => !stored.test(one))) rmSync(join(out, one));
    }
    expect([...new Set(named)].sort()).toEqual(reports);
    process.stdout.write(`full at ${reports.length} files of reports, each by itself\n`);
    for (const one of reports)
      expect(readFileSync(join(out, one), "utf8"), one).toBe(readFileSync(join(whole, one), "utf8"));
  });

  it("full at each file that a command is told to write", { timeout: 400_000 }, async () => {
    const model = writeRandomLlama(folder, "near-F32", { seed: 1 });
    const to = (name: string) => join(disk, name);
    const commands: Record<string, string[]> = {
      "a.baseline": ["baseline", whole, "--out", to("a.baseline")],
      "card.md": ["report", whole, "--card", "--out", to("card.md")],
      "gate.xml": [
        "gate",
        whole,
        "--baseline",
        join(folder, "whole.baseline"),
        "--rule",
        "perplexity: +500%",
        "--junit",
        to("gate.xml"),
      ],
      "near.kld": ["reference", model, "--text", join(folder, "text.txt"), "--context", "128", "--out", to("near.kld")],
      "near.ref": [
        ...["reference", model, "--text", join(folder, "text.txt"), "--context", "128"],
        ...["--form", "compact", "--out", to("near.ref")],
      ],
      "near-Q8_0.gguf": ["quantize", model, "--types", "Q8_0", "--out", disk],
    };
    for (const [name, command] of Object.entries(commands)) {
      clear();
      const free = await bench(command);
      expect([0, 3, 4], `${name}: ${free.stderr}`).toContain(free.code);
      const bytes = readFileSync(to(name));
      clear();
      fill(0);
      const full = await bench(command);
      expect(refusal(full), name).toContain(to(name));
      expect(readdirSync(disk)).toEqual(["ballast"]);
      makeRoom();
      expect((await bench(command)).code).toBe(free.code);
      expect(readFileSync(to(name)).equals(bytes), name).toBe(true);
      if (!/baseline|kld/.test(name)) continue;
      // Read-only: what is there stays.
      expect(mount("-o", "remount,ro")).toBe(true);
      refusal(await bench(command));
      expect(mount("-o", "remount,rw")).toBe(true);
      expect(readFileSync(to(name)).equals(bytes), name).toBe(true);
    }
  });

  it("full and read-only where data are fetched to", { timeout: 400_000 }, async () => {
    clear();
    const rows = `question,A,B,answer\n${"Is it even?,yes,no,A\n".repeat(2000)}`;
    const server = createServer((_, response) => response.end(rows));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    try {
      mkdirSync(join(disk, "odd-card"));
      writeFileSync(
        join(disk, "odd-card", "card.yaml"),
        `
name: odd
kind: choice
title: Odd and even
source: https://example.org
licence: MIT
file: val/a.csv
format: csv
prompt: "{question}"
options: [A, B]
answer: answer
answerIs: letter
fetch:
  - {url: "http://127.0.0.1:${(server.address() as AddressInfo).port}/a.csv", to: val/a.csv}
`,
      );
      const fetchTo = ["fetch", "odd", "--data-dir", disk];
      const env = { GGUF_BENCH_CACHE: join(folder, "cache-of-data") };
      const left = () => readdirSync(disk).sort();
      // Full at the first file, and in the middle of it.
      for (const free of [0, 4]) {
        fill(free);
        refusal(await bench(fetchTo, { env }));
        expect(left().filter((name) => name.startsWith("."))).toEqual([]);
      }
      makeRoom();
      expect(mount("-o", "remount,ro")).toBe(true);
      refusal(await bench(fetchTo, { env }));
      expect(mount("-o", "remount,rw")).toBe(true);
      expect((await bench(fetchTo, { env })).code).toBe(0);
      expect(readFileSync(join(disk, "odd", "val", "a.csv"), "utf8")).toBe(rows);
      expect(left()).toEqual(["odd", "odd-card"]);
    } finally {
      server.close().closeAllConnections();
    }
  });

  it("read-only: a sentence for an old run as for a new one", { timeout: 400_000 }, async () => {
    clear();
    const old = join(disk, "old");
    cpSync(whole, old, { recursive: true });
    const before = filesIn(old);
    expect(mount("-o", "remount,ro")).toBe(true);
    for (const name of ["old", "new"]) refusal(await run(join(disk, name)));
    expect(refusal(await bench(["report", old]))).toContain(join(old, "table.md"));
    expect(mount("-o", "remount,rw")).toBe(true);
    expect(filesIn(old)).toEqual(before);
    expect((await run(old)).code).toBe(0);
  });

  it("full and read-only where runs are joined: the old run or the new one", { timeout: 400_000 }, async () => {
    const parts = ["1", "2"].map((part) => join(folder, `part-${part}`));
    for (const [i, part] of parts.entries())
      expect((await bench(["run", small, "--plain", "--shard", `${i + 1}/2`, "--out", part])).code).toBe(0);
    const joined = join(folder, "joined");
    merge(parts, joined);
    const out = join(disk, "joined");
    /** What is refused here, in this process: a disk with any number of pages is tried. */
    const refused = (folders: string[]): string => {
      try {
        merge(folders, out);
      } catch (error) {
        const { code, message, hint } = toFailure(error);
        expect({ code, message, hint }).toEqual({
          code: expect.stringMatching(/^(disk|folder)$/),
          message: expect.stringMatching(/^[^\n]{1,300}(ENOSPC|EROFS)[^\n]*\.$/),
          hint: expect.stringMatching(/make room|name another|may write there|writable/i),
        });
        return message;
      }
      throw new Error("a full disk was not noticed");
    };
    const bytesOf = (name: string, at = out) => readFileSync(join(at, name));
    const expectJoined = () => {
      expect(filesIn(out)).toEqual(filesIn(joined));
      for (const name of filesIn(joined)) expect(bytesOf(name).equals(bytesOf(name, joined)), name).toBe(true);
    };
    const all = filesIn(joined).reduce((sum, name) => sum + pages(join(joined, name)), 0);
    const named = new Set<string>();
    for (let free = 0; free < all; free += 1 + Math.floor(free / 6)) {
      clear();
      fill(free);
      const [, path = ""] = refused(parts).match(/(\S+) cannot be (?:written|made)/) ?? [];
      named.add(relative(out, path).replace(/\w{16}\.\w+\.bin/, "*.bin"));
      // Nothing is left that looks like a run.
      expect(existsSync(out)).toBe(false);
      makeRoom();
      merge(parts, out);
      expectJoined();
    }
    expect([...named].sort()).toEqual(["", "events.jsonl.new", "tokens/*.bin"]);
    clear();
    merge([parts[0]!], out);
    const before = bytesOf("events.jsonl");
    for (const free of [0, 1, 3, 9]) {
      fill(free);
      refused(parts);
      expect(bytesOf("events.jsonl").equals(before)).toBe(true);
      expect(filesIn(out).filter((name) => /new$|lock/.test(name))).toEqual([]);
    }
    makeRoom();
    expect(mount("-o", "remount,ro")).toBe(true);
    expect(refused(parts)).toContain("EROFS");
    expect(refusal(await bench(["merge", ...parts, "--out", out]))).toContain(out);
    expect(mount("-o", "remount,rw")).toBe(true);
    expect(bytesOf("events.jsonl").equals(before)).toBe(true);
    expect((await bench(["merge", ...parts, "--out", out])).code).toBe(0);
    expect(qualityRows(out)).toEqual(qualityRows(whole));
  });

  describe("that holds the cache", () => {
    const env = { GGUF_BENCH_CACHE: join(disk, "cache") };
    writeRandomLlama(folder, "random", { seed: 1 });
    let server: Server;
    beforeAll(async () => {
      const bytes = readFileSync(writeRandomLlama(folder, "far", { seed: 3 }));
      server = createServer((request, response) => {
        response.writeHead(200, { "content-length": bytes.length, etag: '"far"' });
        response.end(request.method === "HEAD" ? undefined : bytes);
      });
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    });
    afterAll(() => server.close().closeAllConnections());

    const twoMocks = `
memoryLimit: 1GB
variants:
  a: {model: "mock:seed=1,bytes=6e8", reference: true}
  b: {model: "mock:seed=1,damage=0.3,bytes=6e8"}
measurements:
`;
    const measured = "measurements:\n  perplexity: {text: text.txt, context: 128, chunks: 8}\n";
    /** Full, then with room: verdicts of both, and the figures those of a run with room from the start. */
    async function fullThenFree(name: string, asked: string, code: number, readOnly = false): Promise<string> {
      clear();
      const out = join(folder, `cache-${name}${readOnly ? "-ro" : ""}`);
      if (readOnly) expect(mount("-o", "remount,ro")).toBe(true);
      else fill(0);
      const refused = await run(out, asked, { env });
      if (readOnly) expect(mount("-o", "remount,rw")).toBe(true);
      expect({ code: refused.code, stderr: refused.stderr }).toEqual({ code, stderr: "" });
      const said = JSON.stringify(eventsOf(out).filter(({ type }) => type === "job-failed" || type === "planned"));
      const failed = Object.values(verdicts(eventsOf(out))).find((one) => one !== "done") ?? "";
      makeRoom();
      const free = await run(out, asked, { env });
      expect({ code: free.code, stderr: free.stderr }).toEqual({ code: 0, stderr: "" });
      const elsewhere = join(folder, `cache-${name}-whole`);
      if (!existsSync(elsewhere)) expect((await run(elsewhere, asked)).code).toBe(0);
      expect(qualityRows(out)).toEqual(qualityRows(elsewhere));
      expect(
        readdirSync(disk, { recursive: true, encoding: "utf8" }).filter((one) => /\.(part|tmp)$/.test(one)),
      ).toEqual([]);
      return failed + said;
    }

    for (const readOnly of [false, true]) {
      const state = readOnly ? "read-only" : "full";
      it(`${state}: facts and tokens that were to be kept are found out again`, { timeout: 400_000 }, async () => {
        const asked = file("kept", `variants:\n  a: {model: random.gguf, threads: 1}\n${measured}`);
        await fullThenFree("kept", asked, 0, readOnly);
      });

      it(`${state} at a quantization: one failed cell with a sentence`, { timeout: 400_000 }, async () => {
        const asked = file(
          "made",
          `defaults: {threads: 1}\nvariants:\n  a: {model: random.gguf}\n  b: {model: random.gguf, quantize: Q8_0}\n${measured}`,
        );
        const said = await fullThenFree("made", asked, 2, readOnly);
        expect(said).toMatch(/no space left|ENOSPC|EROFS|read-only/i);
        expect(said).toMatch(/GGUF_BENCH_CACHE/);
      });

      it(`${state} at a download: one failed cell with a sentence`, { timeout: 400_000 }, async () => {
        const asked = file(
          "far",
          `defaults: {threads: 1}\nvariants:\n  a: {model: random.gguf}\n  b: {model: "http://127.0.0.1:${(server.address() as AddressInfo).port}/far.gguf"}\n${measured}`,
        );
        const said = await fullThenFree("far", asked, 2, readOnly);
        expect(said).toMatch(/no room in the cache|cannot be made: EROFS|cannot be written to/);
        expect(said).toMatch(/GGUF_BENCH_CACHE/);
      });

      it(`${state} at the rows of a reference that waits there`, { timeout: 400_000 }, async () => {
        const asked = file(
          "rows",
          `${twoMocks}  perplexity: {text: text.txt, context: 64, chunks: 4}
  divergence: {text: text.txt, context: 128, chunks: 8, floor: 0}
`,
        );
        const said = await fullThenFree("rows", asked, 2, readOnly);
        expect(said).toMatch(/logits-\w+\.tmp cannot be (written|opened for writing)/);
        expect(said).toMatch(/GGUF_BENCH_CACHE/);
      });
    }

    it.skipIf(!hasRedis)("full where a worker keeps its files: another measures", { timeout: 400_000 }, async () => {
      clear();
      fill(0);
      const asked = file(
        "workers",
        `${twoMocks}  divergence: {text: text.txt, context: 128, chunks: 8, floor: 0}
`,
      );
      const redis = await new RedisHere().start();
      const workers = [await startWorker(redis, "full", [], env)];
      try {
        const out = join(folder, "workers");
        const queued = (...more: string[]) =>
          bench(["run", asked, "--plain", "--out", out, "--queue", redis.url, ...more]);
        const alone = await queued();
        expect(alone).toMatchObject({ code: 1, stderr: "" });
        expect(Object.values(verdicts(eventsOf(out))).join("\n")).toMatch(
          /^full: \S+logits-\w+\.tmp cannot be (written|opened for writing): ENOSPC/m,
        );
        workers.push(await startWorker(redis, "free"));
        expect(await queued()).toMatchObject({ code: 0, stderr: "" });
        const elsewhere = join(folder, "workers-whole");
        expect((await run(elsewhere, asked)).code).toBe(0);
        expect(qualityRows(out)).toEqual(qualityRows(elsewhere));
      } finally {
        for (const worker of workers) await killWorker(worker);
        await redis.kill();
      }
    });

    it.skipIf(!llamaServer)(
      `full at a server's log: it is measured all the same${llamaServer ? "" : " (llama-server is not here)"}`,
      { timeout: 400_000 },
      async () => {
        clear();
        mkdirSync(join(disk, "cache", "servers"), { recursive: true });
        fill(0);
        const command = JSON.stringify([llamaServer, "-m", "{model}", "--port", "{port}", "-c", "512", "-t", "1"]);
        const asked = file(
          "served",
          `variants:\n  a: {backend: openai, model: random.gguf, server: {command: ${command}}}\nmeasurements:\n  hellaswag: {file: questions.txt, limit: 4}\n`,
        );
        const out = join(folder, "served");
        const { code, stdout, stderr } = await run(out, asked, { env });
        expect(stderr + JSON.stringify(verdicts(eventsOf(out)))).toContain('"done"');
        expect(code, stdout).toBe(0);
      },
    );
  });
});
