import { type ChildProcess, fork } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sha256 } from "../../digest.js";
import { BenchError } from "../../errors.js";
import { makeFolder } from "../../folders.js";
import { groupSeconds, takeGroupPeak } from "../../machine.js";
import { cacheDirectory } from "../../models/cache.js";
import type { FromKeeper, Kept } from "./keeper.js";
import type { StartedServer } from "./settings.js";

const program = fileURLToPath(new URL("./keeper.js", import.meta.url));

/** Milliseconds between two looks at a server that is not ready yet. */
const pause = 100;

/** A server that was started for one variant, and ends with its engine however that ends. */
export class ServerProcess {
  /** Of the process group. */
  #pid = 0;
  #end: string | undefined;
  #ready = false;
  readonly #gone: Promise<void>;

  private constructor(
    private readonly keeper: ChildProcess,
    private readonly name: string,
    /** Base address. */
    readonly base: string,
    /** Where its output is kept. */
    readonly log: string,
  ) {
    this.#gone = new Promise((resolve) => {
      keeper.on("message", (message: FromKeeper) => {
        if (message.type === "started") this.#pid = message.pid;
        if (message.type === "failed") this.#end = message.message;
        if (message.type === "ended") this.#end = message.signal ?? `exit code ${message.code}`;
      });
      keeper.on("exit", () => {
        // Whoever kept it was killed: then it is ended from here.
        if (this.#end === undefined) this.#kill();
        this.#end ??= "SIGKILL";
        resolve();
      });
    });
  }

  /** Starts a server on a free port and waits until it is ready. Throws a BenchError `server-failed`, with its log's place, when it does not get so far. */
  static async start(
    { command, health, startup }: StartedServer,
    { model, variant, doing }: { model: string; variant: string; doing(step: string): void },
  ): Promise<ServerProcess> {
    const port = await freePort();
    const filled = command.map((part) => part.replaceAll("{model}", model).replaceAll("{port}", String(port)));
    const folder = join(cacheDirectory(), "servers");
    makeFolder(folder);
    const log = join(folder, `${sha256(JSON.stringify([variant, command])).slice(0, 12)}-${process.pid}.log`);
    doing(`starting ${basename(filled[0]!)}`);
    const keeper = fork(program, [], { detached: true, stdio: ["ignore", "ignore", "ignore", "ipc"], execArgv: [] });
    const server = new ServerProcess(keeper, basename(filled[0]!), `http://127.0.0.1:${port}`, log);
    const kept: Kept = { command: filled, log };
    keeper.send(kept);
    try {
      await server.#untilReady(health, startup);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  async #untilReady(health: string, startup: number): Promise<void> {
    for (
      const late = performance.now() + startup * 1000;
      ;
      await new Promise((resolve) => setTimeout(resolve, pause))
    ) {
      const ended = await this.ended();
      if (ended) throw ended;
      const answer = await fetch(this.base + health, { redirect: "manual", signal: AbortSignal.timeout(5000) }).catch(
        () => undefined,
      );
      await answer?.body?.cancel();
      if (answer?.status === 200) break;
      if (performance.now() > late)
        throw new BenchError(
          "server-failed",
          `${this.name} was not ready after ${startup} s: ${this.base}${health} does not answer 200`,
          {
            hint: `its log is ${this.log}; raise \`startup\` if it is just slow`,
          },
        );
    }
    this.#ready = true;
  }

  /** Why it has ended, if it has. */
  async ended(): Promise<BenchError | undefined> {
    if (this.#end === undefined) return undefined;
    const hint = `its log is ${this.log}`;
    if (/^spawn/.test(this.#end))
      return new BenchError("server-failed", `${this.name} cannot be started: ${this.#end}`, {
        hint: "name a program that is here, by its path or on PATH",
      });
    const when = this.#ready ? "while it was measured" : "before it was ready";
    if (this.#end === "SIGKILL")
      return new BenchError(
        "engine-killed",
        `${this.name} was killed (SIGKILL) ${when}, most likely for want of memory`,
        {
          hint: `${hint}; the same command goes on where this ended`,
        },
      );
    const said = await lastWords(this.log);
    return new BenchError("server-failed", `${this.name} ended ${when} (${this.#end})${said ? `: ${said}` : ""}`, {
      hint,
    });
  }

  /** Of the server and all that it has started: largest resident set since the last call in bytes, and CPU seconds so far. */
  takePeak(): number | undefined {
    return takeGroupPeak(this.#pid);
  }

  seconds(): number | undefined {
    return groupSeconds(this.#pid);
  }

  async stop(): Promise<void> {
    if (this.keeper.connected) this.keeper.disconnect();
    await this.#gone;
  }

  #kill(): void {
    try {
      if (this.#pid > 0) process.kill(-this.#pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

/** Nobody else is likely to take it in the moment before the server does. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

/** The line of a log that says most: the last that speaks of an error, else the last one. */
async function lastWords(log: string): Promise<string> {
  const text = await readFile(log, "utf8").catch(() => "");
  const lines = text
    .slice(-64 * 1024)
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  return (
    lines.findLast((line) => /error|failed|unable|cannot|could not|out of memory/i.test(line)) ??
    lines.at(-1) ??
    ""
  ).slice(0, 110);
}
