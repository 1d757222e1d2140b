import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Redis } from "ioredis";
import { freePort } from "./ollama-server.js";
import { type Started, sleep, start, until } from "./support.js";

/** Whether this machine has a real Redis. */
export const hasRedis = (() => {
  try {
    return execFileSync("redis-server", ["--version"], { encoding: "utf8" }).includes("Redis server");
  } catch {
    return false;
  }
})();

/** A real Redis on a port of its own, which keeps nothing: what it held is gone when it is started again. */
export class RedisHere {
  #server: ChildProcess | undefined;
  #port = 0;

  constructor(readonly password = "") {}

  get url(): string {
    return `redis://${this.password && `:${this.password}@`}127.0.0.1:${this.#port}`;
  }

  async start(...more: string[]): Promise<this> {
    this.#port ||= await freePort();
    const secret = this.password === "" ? [] : ["--requirepass", this.password];
    const args = ["--port", String(this.#port), "--save", "", "--appendonly", "no", ...secret, ...more];
    this.#server = spawn("redis-server", args, { stdio: "ignore" });
    for (let tries = 0; ; tries++) {
      const client = this.client();
      const answer = await client.ping().catch(() => undefined);
      client.disconnect();
      if (answer === "PONG") return this;
      if (tries > 200) throw new Error("redis-server does not answer");
      await sleep(50);
    }
  }

  client(): Redis {
    const client = new Redis(this.url, { maxRetriesPerRequest: 1, retryStrategy: () => null });
    client.on("error", () => {});
    return client;
  }

  /** kill −9. */
  async kill(): Promise<void> {
    await this.#gone(async () => this.signal("SIGKILL"));
  }

  async shutDown(): Promise<void> {
    const client = this.client();
    await this.#gone(() => client.call("SHUTDOWN", "NOSAVE").catch(() => {}));
    client.disconnect();
  }

  signal(signal: NodeJS.Signals): boolean {
    return this.#server?.kill(signal) ?? false;
  }

  async #gone(end: () => Promise<unknown>): Promise<void> {
    const server = this.#server;
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const gone = new Promise((resolve) => server.once("exit", resolve));
    await end();
    await gone;
  }
}

export interface StartedWorker extends Started {
  name: string;
}

/** A worker that waits for work. */
export async function startWorker(
  { url }: { url: string },
  name: string,
  args: string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<StartedWorker> {
  const worker = start(["worker", "--queue", url, "--name", name, ...args], { env: { ...process.env, ...env } });
  await until(`${name} waits`, () => worker.output.stdout.includes("waits for work") || worker.child.exitCode !== null);
  if (worker.child.exitCode !== null) throw new Error(worker.output.stderr);
  return { ...worker, name };
}

/** kill −9 of a worker, which takes its engines with it. */
export async function killWorker({ child, ended }: Started): Promise<void> {
  child.kill("SIGKILL");
  await ended;
}

/** A way to a Redis that takes so many milliseconds there, and so many back. */
export class SlowWay {
  readonly #server = createServer();
  readonly #sockets = new Set<Socket>();

  constructor(private readonly redis: RedisHere) {}

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(milliseconds: number): Promise<this> {
    this.#server.on("connection", (client) => {
      const server = connect(Number(new URL(this.redis.url).port), "127.0.0.1");
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.on("error", () => {});
        from.on("data", (bytes) => setTimeout(() => to.write(bytes), milliseconds));
        from.on("close", () => setTimeout(() => to.destroy(), milliseconds));
      }
    });
    await new Promise<void>((listening) => this.#server.listen(0, "127.0.0.1", listening));
    return this;
  }

  async end(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
