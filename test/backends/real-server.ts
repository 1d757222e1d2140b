import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { afterAll } from "vitest";
import { llamaServer, sleep } from "../support.js";

/** Real llama-server's of this test file; they end with it. */
const running = new Set<ChildProcess>();
afterAll(() => {
  for (const one of running) one.kill("SIGKILL");
});

export interface RealServer {
  url: string;
  process: ChildProcess;
  /** Ends it as a crash or the kernel would. */
  kill(): Promise<void>;
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" ? address!.port : 0));
    });
  });
}

/** Starts a llama-server, and waits until it has loaded its model unless that is not wanted. */
export async function realServer(
  model: string,
  options: { port?: number; args?: string[]; wait?: boolean } = {},
): Promise<RealServer> {
  const { port = await freePort(), args = [], wait = true } = options;
  const given = ["-m", model, "--port", String(port), "-t", "1", "-c", "1024", ...args];
  const process = spawn(llamaServer!, given, { stdio: "ignore" });
  running.add(process);
  const gone = new Promise<void>((resolve) => process.on("exit", () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  while (wait && !(await fetch(`${url}/health`).catch(() => undefined))?.ok) await sleep(50);
  return {
    url,
    process,
    async kill() {
      process.kill("SIGKILL");
      await gone;
    },
  };
}
