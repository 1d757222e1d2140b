import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { finish } from "./repository.js";
import { sleep } from "./support.js";

const peers = process.env.BENCH_PEERS ?? join(homedir(), ".cache", "bench-peers");
const binary = join(peers, "bin", "ollama");

/** Whether this machine has a real Ollama. */
export const hasOllama = existsSync(binary);

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

/** A real Ollama with models of its own, on a port of its own. */
export class OllamaHere {
  #server: ChildProcess | undefined;
  #log = "";

  constructor(
    private readonly folder: string,
    readonly port: number,
    private readonly added: Record<string, string> = {},
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get #env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      ...{ OLLAMA_HOST: `127.0.0.1:${this.port}`, OLLAMA_MODELS: join(this.folder, "models"), HOME: this.folder },
      ...{ OLLAMA_NO_CLOUD: "1", ...this.added },
    };
  }

  async start(): Promise<void> {
    // In a group of its own: its runner goes with it.
    this.#server = spawn(binary, ["serve"], { env: this.#env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of ["stdout", "stderr"] as const)
      this.#server[stream]!.setEncoding("utf8").on("data", (text: string) => {
        this.#log = (this.#log + text).slice(-20_000);
      });
    for (let tries = 0; tries < 300; tries++) {
      if (
        await fetch(`${this.url}/api/version`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        return;
      await sleep(100);
    }
    throw new Error(`Ollama did not start:\n${this.#log}`);
  }

  /** At once, with its runner. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server?.pid || server.exitCode !== null) return;
    const gone = new Promise((resolve) => server.once("close", resolve));
    process.kill(-server.pid, "SIGKILL");
    await gone;
  }

  async create(name: string, modelfile: string): Promise<void> {
    const file = join(this.folder, `Modelfile.${name}`);
    writeFileSync(file, modelfile);
    const { code, output } = await finish(binary, ["create", name, "-f", file], { env: this.#env });
    if (code !== 0) throw new Error(output);
  }

  /** The processes that compute. */
  runners(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => parentOf(pid) === this.#server?.pid);
  }

  /** Another client lets a model go. */
  async evict(model: string): Promise<void> {
    await fetch(`${this.url}/api/generate`, { method: "POST", body: JSON.stringify({ model, keep_alive: 0 }) });
  }
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")[1]);
  } catch {
    return undefined;
  }
}
