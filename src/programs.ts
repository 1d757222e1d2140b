import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterWaiting } from "./clock.js";
import { BenchError } from "./errors.js";
import { harmless } from "./harmless.js";
import { highWaterMark } from "./machine.js";

const starter = fileURLToPath(new URL("./llama/bound-process.js", import.meta.url));

/**
 * Starts a program without a shell, with nothing to read and its output in pipes. On Linux it ends with this process, however
 * that ends: the kernel is asked for it before the program takes the place of the process that asked.
 */
export function startProgram(file: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const [command, all] = process.platform === "linux" ? [process.execPath, [starter, file, ...args]] : [file, args];
  return spawn(command, all, { stdio: ["ignore", "pipe", "pipe"], env, windowsHide: true });
}

/** Throws a BenchError where a file cannot be run. */
export function checkProgram(file: string): void {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!stats?.isFile()) throw new BenchError("program-missing", `there is no program ${file}`);
  try {
    accessSync(file, constants.X_OK);
  } catch {
    throw new BenchError("program-missing", `${file} may not be run`, { hint: `allow it: chmod +x ${file}` });
  }
}

export interface ProgramOptions {
  env: NodeJS.ProcessEnv;
  /** Seconds after which it is killed; by default it may run for ever. */
  timeout?: number;
  /** Most bytes that it may print. */
  limit?: number;
  /** Told of the running process from time to time, while it is there. */
  look?(pid: number): void;
  /** Told of its largest resident set so far, in bytes, where the system shows it. */
  memory?(bytes: number): void;
}

/** What is kept of a log for an error message, and the longest line that is read. */
const kept = 64 * 1024;
const usualLimit = 64 << 20;

/** A line of a program's output. */
export interface ProgramLine {
  from: "stdout" | "stderr";
  text: string;
}

/**
 * Runs a program and yields its lines as they come. Throws a BenchError with the last thing that it complained of when it fails:
 * `program-failed`, or `engine-killed` where the kernel may have wanted its memory. It is killed when the caller stops early.
 */
export async function* runProgram(
  file: string,
  args: readonly string[],
  { env, timeout, limit = usualLimit, look, memory }: ProgramOptions,
): AsyncGenerator<ProgramLine> {
  checkProgram(file);
  const child = startProgram(file, args, env);
  const name = file.split(/[/\\]/).at(-1)!;
  const lines: ProgramLine[] = [];
  const log: string[] = [];
  let [logged, printed] = [0, 0];
  let wake = () => {};
  let end: { code: number | null; signal: string | null; error?: Error } | undefined;
  let broken: BenchError | undefined;

  const fail = (error: BenchError) => {
    broken ??= error;
    child.kill("SIGKILL");
  };
  const take = (from: ProgramLine["from"], text: string) => {
    lines.push({ from, text });
    log.push(text);
    for (logged += text.length; logged > kept && log.length > 1; ) logged -= log.shift()!.length;
    wake();
  };
  for (const from of ["stdout", "stderr"] as const) {
    let part = "";
    child[from]!.setEncoding("utf8").on("data", (text: string) => {
      printed += text.length;
      if (printed > limit) fail(new BenchError("program-failed", `${name} printed more than ${limit} bytes`));
      const [first, ...rest] = text.split(/\r?\n/);
      part += first;
      if (part.length > kept) part = part.slice(-kept);
      for (const next of rest) {
        take(from, part);
        part = next.slice(-kept);
      }
    });
    child[from]!.on("end", () => {
      if (part !== "") take(from, part);
    });
  }
  child.on("error", (error) => {
    end ??= { code: null, signal: null, error };
    wake();
  });
  // "close" comes when all that was printed has been read.
  child.on("close", (code, signal) => {
    end ??= { code, signal };
    wake();
  });

  const late =
    timeout === undefined
      ? undefined
      : afterWaiting(timeout, () => fail(new BenchError("timeout", `${name} did not end within ${timeout} s`)));
  // Often at first: some programs are over soon.
  let pause = 10;
  const see = () => {
    const pid = child.pid;
    if (pid === undefined || end) return;
    try {
      const bytes = highWaterMark(pid);
      if (bytes !== undefined) memory?.(bytes);
      look?.(pid);
    } catch (error) {
      if (error instanceof BenchError) fail(error);
    }
    pause = Math.min(250, pause * 1.5);
    looking = setTimeout(see, pause);
  };
  let looking = setTimeout(see, pause);

  try {
    for (;;) {
      const line = lines.shift();
      if (line) yield line;
      else if (end) break;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
    if (broken) throw broken;
    if (end.error || end.code !== 0) throw failure(name, end, log);
  } finally {
    late?.();
    clearTimeout(looking);
    if (!end) child.kill("SIGKILL");
  }
}

function failure(
  name: string,
  { code, signal, error }: { code: number | null; signal: string | null; error?: Error },
  log: readonly string[],
): BenchError {
  if (error) return new BenchError("program-failed", `${name} cannot be started: ${error.message}`);
  if (signal === "SIGKILL")
    return new BenchError("engine-killed", `${name} was killed (SIGKILL), most likely for want of memory`, {
      hint: "take a smaller quantization or context, or free memory, and run the same command again",
    });
  const said = complaint(log);
  const how = signal === null ? `ended with exit code ${code}` : `crashed (${signal})`;
  return new BenchError("program-failed", `${name} ${how}${said === "" ? "" : `: ${said}`}`);
}

const longest = 160;

/** The last thing that a program complained of; else its last line. */
export function complaint(log: readonly string[]): string {
  const lines = log.map((line) => harmless(line).trim()).filter((line) => /\p{L}/u.test(line));
  const fatal = lines.findLast((line) => /GGML_(ASSERT|ABORT)|^what\(\):|^terminate called/.test(line));
  const plain = lines.findLast((line) => /^(\S+ )*?([\w:~-]+: )?(error|fatal)\b/i.test(line));
  const error =
    fatal ??
    plain ??
    lines.findLast((line) => /\b(error|failed|unable|cannot|could not|invalid|unknown)\b/i.test(line));
  const said = (error ?? lines.at(-1) ?? "")
    .replace(/^(\S*[/\\])?(\S+:\d+: )/, "$2")
    .replace(/^error: /i, "")
    .replace(/[.\s]+$/, "");
  return said.length > longest ? `${said.slice(0, longest - 1)}…` : said;
}
