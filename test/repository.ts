import { type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { cp, mkdir, symlink } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** What is not in a clone, by its path from the root or, with nothing before it, by its name anywhere. */
const leftOut = /^(\.git|dist|reports|coverage)$|(^|\/)(node_modules|build|__pycache__)$/;

/** The repository as a clone would have it, with what is changed but not committed, and the installed dependencies. */
export async function copyRepository(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await cp(root, folder, {
    recursive: true,
    filter: (source) => !leftOut.test(relative(root, source).replaceAll("\\", "/")),
  });
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
}

/** The environment of a user's shell: without what npm and the test runner put into it. */
export function userEnvironment(added: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  const own =
    /^(npm_(package|lifecycle|config_(local_prefix|prefix|global_prefix|dry_run))|VITEST|INIT_CWD$|NODE_ENV$|TEST$)/;
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name));
  return { ...Object.fromEntries(kept), NO_COLOR: "1", ...added };
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Both, in the order in which they came. */
  output: string;
}

/** Runs a program to its end, without a terminal. */
export function finish(command: string, args: string[], options: SpawnOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: userEnvironment(), ...options });
    const read = { stdout: "", stderr: "", output: "" };
    for (const stream of ["stdout", "stderr"] as const)
      child[stream]!.setEncoding("utf8").on("data", (text: string) => {
        read[stream] += text;
        read.output += text;
      });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...read }));
  });
}

/** Whether a program may be given a real-time priority here: Linux, as root. */
const mayComeFirst = spawnSync("chrt", ["--rr", "1", "true"]).status === 0;

/**
 * A command of one of llama.cpp's programs and its arguments that the scheduler lets come first, where that is allowed. A thread
 * writes what they print, and their end does not wait for it: on a busy machine the last lines are lost nearly always.
 */
export const comingFirst = (program: string, args: string[]): [command: string, args: string[]] =>
  mayComeFirst ? ["chrt", ["--rr", "1", program, ...args]] : [program, args];
