import { rmSync } from "node:fs";
import type { Blow } from "./interruptions.js";
import { enginesOf, strike } from "./interruptions.js";
import { RedisHere, type StartedWorker, startWorker } from "./redis.js";
import { sleep } from "./support.js";

const names = ["one", "two"];

/** A Redis and two workers: each of them can be struck, and comes back. */
export class Crew {
  readonly redis = new RedisHere();
  readonly #workers = new Map<string, StartedWorker>();
  /** What is on its way back. */
  #coming: Promise<void> = Promise.resolve();
  #isOver = false;
  /** Ends of workers that nobody had struck. */
  readonly unforeseen: string[] = [];

  /** `folder`: where Redis keeps what it holds. */
  constructor(private readonly folder: string) {}

  /** What a run says that finds no Redis. */
  readonly excuses = /^gguf-bench: (redis:\/\/\S+: |no worker at |no worker listens at )[^\n]+\n( [^\n]+\n)*/;

  readonly blows: Record<string, Blow> = {
    "worker killed": (_, chance) => this.#strike(chance, "SIGKILL"),
    "worker terminated": (_, chance) => this.#strike(chance, "SIGTERM"),
    "worker stopped for seconds": (_, chance) => {
      const worker = this.#one(chance);
      // At times for longer than others take it to be there.
      if (worker) setTimeout(() => strike(worker.child.pid, "SIGCONT"), this.#rest(chance) * 12_000);
      return strike(worker?.child.pid, "SIGSTOP");
    },
    "engine of a worker killed": (_, chance) => {
      const worker = this.#one(chance);
      const engines = worker ? enginesOf(worker.child) : [];
      return strike(engines[Math.floor(this.#rest(chance) * engines.length)], "SIGKILL");
    },
    "Redis killed, its data kept": (_, chance) => this.#restart(chance, () => this.redis.kill()),
    "Redis killed, its data lost": (_, chance) =>
      this.#restart(chance, async () => {
        await this.redis.kill();
        rmSync(`${this.folder}/appendonlydir`, { recursive: true, force: true });
      }),
    "Redis shut down": (_, chance) => this.#restart(chance, () => this.redis.shutDown()),
    "Redis stopped for seconds": (_, chance) => {
      setTimeout(() => this.redis.signal("SIGCONT"), chance * 6000);
      return this.redis.signal("SIGSTOP");
    },
  };

  async start(): Promise<this> {
    await this.#startRedis();
    return this;
  }

  /** Until all are there. */
  async ready(): Promise<void> {
    await this.#coming;
    for (const name of names) await this.#begin(name);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#coming;
    for (const { child, ended } of this.#workers.values()) {
      strike(child.pid, "SIGCONT");
      strike(child.pid, "SIGKILL");
      await ended;
    }
    this.redis.signal("SIGCONT");
    await this.redis.kill();
  }

  async #startRedis(): Promise<void> {
    await this.redis.start("--appendonly", "yes", "--appendfsync", "always", "--dir", this.folder);
  }

  async #begin(name: string, tries = 5): Promise<void> {
    if (this.#isOver || this.#workers.has(name)) return;
    const started = startWorker(this.redis, name, ["--threads", "1", "--models", this.folder]);
    // One that finds no Redis ends at once.
    const worker = await (tries > 1 ? started.catch(() => undefined) : started);
    if (!worker) return this.#begin(name, tries - 1);
    this.#workers.set(name, worker);
    void worker.ended.then(({ code, signal, stderr }) => {
      if (this.#workers.get(name) === worker) this.unforeseen.push(`${name}: ${signal ?? code} ${stderr}`);
    });
  }

  #one(chance: number): StartedWorker | undefined {
    return this.#workers.get(names[Math.floor(chance * names.length)]!);
  }

  /** Another number below 1 out of the one that chose a worker. */
  #rest = (chance: number): number => (chance * names.length) % 1;

  #strike(chance: number, signal: NodeJS.Signals): boolean {
    const worker = this.#one(chance);
    if (!worker || !strike(worker.child.pid, signal)) return false;
    this.#workers.delete(worker.name);
    const name = worker.name;
    this.#later(async () => {
      await worker.ended;
      await sleep(this.#rest(chance) * 8000);
      await this.#begin(name);
    });
    return true;
  }

  #restart(chance: number, end: () => Promise<void>): boolean {
    this.#later(async () => {
      this.redis.signal("SIGCONT");
      await end();
      await sleep(chance * 4000);
      await this.#startRedis();
    });
    return true;
  }

  #later(work: () => Promise<void>): void {
    this.#coming = this.#coming.then(work);
  }
}
