import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  bench,
  childrenOf,
  eventsOf,
  llamaServer,
  type Outcome,
  qualityRows,
  sleep,
  start,
  temporaryFolder,
  until,
  verdicts,
} from "../support.js";
import { freePort, realServer } from "./real-server.js";

const folder = temporaryFolder();
const demo = join(import.meta.dirname, "../../datasets/demo/demo-v2-F16.gguf");
const cache = join(folder, "cache");

/** Processes of whose command line this is a part. */
function processesWith(part: string): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((id) => {
      try {
        return readFileSync(`/proc/${id}/cmdline`, "utf8").includes(part) ? Number(id) : [];
      } catch {
        return [];
      }
    });
}

const markers: string[] = [];
afterAll(() => {
  for (const pid of markers.flatMap(processesWith)) process.kill(pid, "SIGKILL");
});

/** A benchmark file, and what its server's command line holds alone. */
function benchmark(name: string, variant: Record<string, unknown>, measurements: Record<string, unknown>) {
  const file = join(folder, `${name}.yaml`);
  writeFileSync(file, JSON.stringify({ variants: { server: variant }, measurements }));
  const options = { env: { ...process.env, GGUF_BENCH_CACHE: cache }, cwd: folder };
  const args = ["run", file, "--out", join(folder, "reports", name)];
  return { args, options, report: join(folder, "reports", name), run: (): Promise<Outcome> => bench(args, options) };
}

/** A variant whose server is started for it. */
function startedServer(
  name: string,
  more: { args?: string[]; server?: Record<string, unknown>; program?: string } = {},
) {
  const marker = `marker-${name}-${process.pid}`;
  markers.push(marker);
  const { args = [], server = {}, program = llamaServer } = more;
  const command = [program, "-m", "{model}", "--port", "{port}", "-t", "1", "-c", "512", "--alias", marker, ...args];
  return { marker, variant: { backend: "openai", model: demo, server: { command, ...server } } };
}

const questions = { "demo-facts-en": {} };

describe.skipIf(!llamaServer || process.platform !== "linux")(
  `a server that is started for a variant${llamaServer ? "" : " (no llama-server on this machine)"}`,
  { timeout: 120_000 },
  () => {
    it("is measured, its memory seen, and gone afterwards", async () => {
      const { marker, variant } = startedServer("plain");
      const { run, report } = benchmark("plain", variant, {
        "demo-facts-en": { limit: 20 },
        speed: { prompt: 16, generate: 4, repetitions: 1 },
        perplexity: { text: "demo-en", chunks: 2 },
      });
      const { code, stderr } = await run();
      expect(stderr).toBe("");
      expect(code).toBe(0);
      const events = eventsOf(report);
      expect(Object.values(verdicts(events))).toEqual(["done", "done", "done"]);
      const memory = events.flatMap((event) =>
        event.type === "samples" ? event.samples.filter(({ metric }) => metric === "peak_memory") : [],
      );
      expect(memory.length).toBe(3);
      for (const { value } of memory) expect(value).toBeGreaterThan(4e6);
      expect(processesWith(marker)).toEqual([]);
    });

    it("kill -9 of the command line, of its engine, or of all at once ends the server; the same command goes on", async () => {
      const { marker, variant } = startedServer("killed");
      const { args, options, run, report } = benchmark("killed", variant, questions);
      for (const victim of ["command line", "engine", "rest at once"]) {
        const { child, ended } = start(args, options);
        await until("the server is there", () => processesWith(marker).length > 0);
        const before = eventsOf(report).filter(({ type }) => type === "samples").length;
        await until(
          "a question is answered",
          () => eventsOf(report).filter(({ type }) => type === "samples").length > before,
        );
        if (victim === "command line") child.kill("SIGKILL");
        else if (victim === "engine") for (const pid of childrenOf(child.pid!)) process.kill(pid, "SIGKILL");
        else for (const pid of descendantsOf(child.pid!).filter(isNode)) process.kill(pid, "SIGKILL");
        await ended;
        await until(`the server is gone after a kill of the ${victim}`, () => processesWith(marker).length === 0);
      }
      expect((await run()).code).toBe(0);
      const answered = eventsOf(report).flatMap((event) => (event.type === "samples" ? event.item : []));
      expect(answered.length).toBe(new Set(answered).size);
    });

    it("kill -9 of the server fails the cell with a sentence that names its log; the same command measures it", async () => {
      const { marker, variant } = startedServer("server-killed");
      const { args, options, run, report } = benchmark("server-killed", variant, questions);
      const { ended } = start(args, options);
      await until("a question is answered", () => eventsOf(report).some(({ type }) => type === "samples"));
      for (const pid of processesWith(marker))
        if (readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("llama")) process.kill(pid, "SIGKILL");
      expect((await ended).code).toBe(1);
      const [failed] = eventsOf(report).flatMap((event) => (event.type === "job-failed" ? event.failure : []));
      expect(failed).toMatchObject({
        code: "engine-killed",
        message: "llama-server was killed (SIGKILL) while it was measured, most likely for want of memory.",
        hint: expect.stringMatching(/^Its log is \S+\.log; the same command goes on where this ended\.$/),
      });
      expect(/print_timing/.test(readFileSync(failed!.hint!.match(/\S+\.log/)![0], "utf8"))).toBe(true);
      expect((await run()).code).toBe(0);
      expect(Object.values(verdicts(eventsOf(report)))).toEqual(["done"]);
    });

    it.each<[string, Parameters<typeof startedServer>[1], RegExp]>([
      [
        "an argument that it does not know",
        { args: ["--no-such-flag"] },
        /^llama-server ended before it was ready \(exit code 1\): .*no-such-flag/,
      ],
      [
        "a context that no memory holds",
        { args: ["-c", "2000000000", "--no-mmap"] },
        /^llama-server (ended|was killed)/,
      ],
      [
        "a health check that never answers",
        { server: { health: "/no-such", startup: 1 } },
        /^llama-server was not ready after 1 s/,
      ],
      [
        "a program that is not there",
        { program: "/nowhere/llama-server" },
        /^there is no program \/nowhere\/llama-server/i,
      ],
      [
        "a program that is none",
        { program: demo, server: { is: "llama-server" } },
        /cannot be started: spawn .* EACCES/,
      ],
    ])("%s: a sentence", async (name, more, said) => {
      const { marker, variant } = startedServer(name.replaceAll(" ", "-"), more);
      const { run, report } = benchmark(name.replaceAll(" ", "-"), variant, questions);
      expect((await run()).code).toBe(1);
      const [failed] = eventsOf(report).flatMap((event) => (event.type === "job-failed" ? event.failure : []));
      expect(failed!.message).toMatch(said);
      expect(failed!.message.length).toBeLessThan(200);
      expect(failed!.hint).toMatch(/\S/);
      expect(processesWith(marker)).toEqual([]);
    });
  },
);

/** A process and all below it, the lowest first. */
const descendantsOf = (pid: number): number[] => [...childrenOf(pid).flatMap(descendantsOf), pid];

const isNode = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(process.execPath);

describe.skipIf(!llamaServer)(
  `a llama-server of the user's${llamaServer ? "" : " (not on this machine)"}`,
  { timeout: 120_000 },
  () => {
    it("killed in the middle of a run and started again: the run waits, and its table is that of a quiet run", async () => {
      const port = await freePort();
      const first = await realServer(demo, { port });
      const variant = { model: `openai:${first.url}/v1` };
      const quiet = benchmark("quiet", variant, questions);
      expect((await quiet.run()).code).toBe(0);
      const { args, options, report } = benchmark("restarted", variant, questions);
      const { ended } = start(args, options);
      await until("a question is answered", () => eventsOf(report).some(({ type }) => type === "samples"));
      await first.kill();
      await sleep(1500);
      const second = await realServer(demo, { port });
      expect((await ended).code).toBe(0);
      expect(qualityRows(report)).toEqual(qualityRows(quiet.report));
      await second.kill();
    });

    it("down: a sentence at once; back: the same command gives the same table", async () => {
      const port = await freePort();
      const {
        args: _,
        run,
        report,
      } = benchmark("down", { model: `openai:http://127.0.0.1:${port}` }, { "demo-facts-en": { limit: 10 } });
      const down = await run();
      expect(down.code).toBe(1);
      expect(down.stdout + down.stderr).toMatch(/cannot be reached: nothing listens there/);
      // Slow to start: it answers 503 while it loads.
      const server = await realServer(demo, { port, wait: false });
      await sleep(150);
      const up = await run();
      expect(up.code, up.stderr).toBe(0);
      expect(Object.values(verdicts(eventsOf(report)))).toEqual(["done"]);
      await server.kill();
    });
  },
);
