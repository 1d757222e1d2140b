// The program that keeps a server: starts it, and ends it and all that it started when asked to, or when whoever asked is gone.

import { spawn } from "node:child_process";
import { accessSync, constants, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { leaveSignalsToParent } from "../../terminal.js";

/** What to start, and where its output goes. */
export interface Kept {
  command: string[];
  log: string;
}

export type FromKeeper =
  | { type: "started"; pid: number }
  | { type: "failed"; message: string }
  | { type: "ended"; code: number | null; signal: NodeJS.Signals | null };

/** Bytes of a log, of which the last ones are kept: servers write some lines a request. */
const longestLog = 16e6;

/** Seconds that a server has to end by itself. */
const grace = 5;

/** The command so that the system ends it with this process, should that be killed together with whoever asked: on Linux. */
function dyingWith(command: string[]): string[] {
  const setpriv = "/usr/bin/setpriv";
  const isThere = (file: string) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  };
  const [program = ""] = command;
  // One that cannot be started says so better by itself.
  return isThere(setpriv) && isThere(program) ? [setpriv, "--pdeathsig", "KILL", ...command] : command;
}

process.once("message", ({ command: [program, ...parameters], log }: Kept) => {
  rmSync(log, { force: true });
  const file = openSync(log, "a");
  let written = 0;
  const keep = (said: Uint8Array) => {
    try {
      if (written > longestLog) {
        ftruncateSync(file);
        written = 0;
      }
      written += writeSync(file, said);
    } catch {
      // A full disk: the log says less, and the server goes on.
    }
  };
  const [first, ...others] = dyingWith([program!, ...parameters]);
  // A group of its own, so that what the server starts ends with it.
  const server = spawn(first!, others, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [server.stdout, server.stderr]) stream.on("data", keep);
  const send = (message: FromKeeper) => {
    if (process.connected) process.send!(message, () => {});
  };
  const kill = (signal: NodeJS.Signals) => {
    try {
      if (server.pid) process.kill(-server.pid, signal);
    } catch {
      // All of them have ended.
    }
  };
  const end = () => {
    kill("SIGTERM");
    setTimeout(() => kill("SIGKILL"), grace * 1000).unref();
  };
  server.on("spawn", () => send({ type: "started", pid: server.pid! }));
  server.on("error", ({ message }) => {
    send({ type: "failed", message });
    process.disconnect();
  });
  // Its own end is not that of its output, which what it has left behind may hold.
  server.on("exit", () => kill("SIGKILL"));
  server.on("close", (code, signal) => {
    send({ type: "ended", code, signal });
    if (process.connected) process.disconnect();
  });
  process.on("disconnect", end);
});
leaveSignalsToParent();
