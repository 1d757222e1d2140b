import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { leaveSignalsToParent } from "./terminal.js";

/** What one question may take, once the process is ready. */
export interface ConfinedLimits {
  seconds: number;
  megabytes: number;
}

/** What a process says first. */
const ready = "ready";

/** What its start may take: the project's own code, which ends, but may be slow where the machine has much to do. */
const startSeconds = 60;

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
    /** A module that calls `answerParent`. */
    private readonly program: URL,
    private readonly allowed: ConfinedLimits,
    /** What each process is told first. */
    private readonly first: object = {},
  ) {}

  /** One question at a time. */
  ask(asked: Asked): Promise<Answer | NoAnswer> {
    const { seconds, megabytes } = this.allowed;
    const starting = this.#process === undefined;
    const child = this.#process ?? this.#start();
    return new Promise((resolve) => {
      let ended = false;
      const end = (answer: Answer | NoAnswer) => {
        ended = true;
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
      // An answer that came while this process itself was busy is read before the limit is seen to have passed.
      const within = (limit: number, noAnswer: string) =>
        setTimeout(() => setImmediate(() => ended || give(noAnswer)), limit * 1000);
      const limit = () => within(seconds, `does not end within ${seconds} s`);
      let timer = starting ? within(startSeconds, `could not be run (no start within ${startSeconds} s)`) : limit();
      child.ref();
      child.channel?.ref();
      child.on("message", (answer: Answer | typeof ready) => {
        if (answer !== ready) return end(answer);
        clearTimeout(timer);
        timer = limit();
      });
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

/** In such a process: answers each question. What gives no answer, as the first message, is not one. */
export function answerParent<Asked, Answer extends object>(answer: (asked: Asked) => Answer | undefined): void {
  // What never ends would outlive a parent that was killed: nothing else of its thread runs meanwhile.
  const watch = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, "SIGKILL"), 1000)`;
  new Worker(watch, { eval: true }).unref();
  leaveSignalsToParent();
  process.on("message", (asked: Asked) => {
    const given = answer(asked);
    if (given) process.send!(given);
  });
  process.send!(ready);
}
