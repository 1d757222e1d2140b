import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/** What one question may take. */
export interface ConfinedLimits {
  seconds: number;
  megabytes: number;
}

/** Why there is no answer, after a subject: `does not end within 10 s`. */
export interface NoAnswer {
  noAnswer: string;
}

/**
 * Code of unknown origin, such as a template, in a process of its own with a limit of time and memory: what never ends, or
 * takes all memory, ends as a sentence, and the next question is asked of a new process. A thread would not do: V8 ends the whole
 * process when a single array takes a thread's last memory.
 */
export class ConfinedProcess<Asked extends object, Answer extends object> {
  #process: ChildProcess | undefined;

  constructor(
    /** The module that answers every message but the first with one. */
    private readonly program: URL,
    private readonly allowed: ConfinedLimits,
    /** What each process is told first. */
    private readonly first: object = {},
  ) {}

  /** One question at a time. */
  ask(asked: Asked): Promise<Answer | NoAnswer> {
    const { seconds, megabytes } = this.allowed;
    const child = this.#process ?? this.#start();
    return new Promise((resolve) => {
      const end = (answer: Answer | NoAnswer) => {
        clearTimeout(timer);
        child.removeAllListeners();
        // Nobody waits for a process that has nothing to do.
        child.unref();
        child.channel?.unref();
        resolve(answer);
      };
      const give = (noAnswer: string) => {
        this.close();
        end({ noAnswer });
      };
      const timer = setTimeout(() => give(`does not end within ${seconds} s`), seconds * 1000);
      child.ref();
      child.channel?.ref();
      child.on("message", (answer: Answer) => end(answer));
      child.on("error", (error) => give(`could not be run (${error.message})`));
      child.on("exit", (code, signal) => {
        const outOfMemory = signal === "SIGABRT" || code === 134;
        give(outOfMemory ? `takes more than ${megabytes} MB of memory` : `ended its process (${signal ?? code})`);
      });
      child.send(asked);
    });
  }

  close(): void {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }

  #start(): ChildProcess {
    const execArgv = [`--max-old-space-size=${this.allowed.megabytes}`];
    // V8 tells at length of memory that it lacks.
    const child = fork(fileURLToPath(this.program), [], { execArgv, stdio: ["ignore", "ignore", "ignore", "ipc"] });
    child.send(this.first);
    this.#process = child;
    return child;
  }
}

/** In such a process: what never ends would outlive a parent that was killed, for nothing else of its thread runs meanwhile. */
export function endWithParent(): void {
  const watch = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, "SIGKILL"), 1000)`;
  new Worker(watch, { eval: true }).unref();
}
