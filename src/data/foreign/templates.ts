import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { TaskRow } from "../task/rows.js";

/** Rows to be rendered by each template. `floats`: columns whose numbers are floats, also where they are whole. */
export interface ToTemplates {
  templates: readonly string[];
  rows: readonly TaskRow["cells"][];
  floats: readonly string[];
}

/** A text of each template for each row; or where it failed, row -1 while a template was read. */
export type FromTemplates = { rendered: string[][] } | { template: number; row: number; fault: string };

const program = fileURLToPath(new URL("./template-process.js", import.meta.url));

/** For a batch of rows: a template is a program of unknown origin. */
const limits = { seconds: 30, megabytes: 512 };

/** Rows at a time: few enough for their limit of time to mean something. */
const batch = 500;

/** Why templates gave no texts: of which template and row, what happened. */
export class TemplateFault extends Error {
  constructor(
    readonly template: number,
    readonly row: number,
    fault: string,
  ) {
    super(fault);
  }
}

/**
 * Renders the Jinja templates of a task as lm-eval does, in a process of its own: one that never ends, or takes all memory, ends
 * as a sentence. A thread would not do: V8 ends the whole process when a single array takes a thread's last memory.
 */
export class TaskTemplates {
  #process: ChildProcess | undefined;

  constructor(private readonly allowed = limits) {}

  /** For each row a text of each template, in their order. Throws a TemplateFault. */
  async render(asked: ToTemplates): Promise<string[][]> {
    const texts: string[][] = [];
    for (let from = 0; from < asked.rows.length; from += batch) {
      const reply = await this.#ask({ ...asked, rows: asked.rows.slice(from, from + batch) }, from);
      if ("fault" in reply)
        throw new TemplateFault(reply.template, reply.row < 0 ? reply.row : from + reply.row, reply.fault);
      texts.push(...reply.rendered);
    }
    return texts;
  }

  close(): void {
    this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }

  #ask(asked: ToTemplates, row: number): Promise<FromTemplates> {
    const { seconds, megabytes } = this.allowed;
    const renderer = this.#process ?? this.#start();
    return new Promise((resolve) => {
      const end = (reply: FromTemplates) => {
        clearTimeout(timer);
        renderer.removeAllListeners();
        // Nobody waits for a process that has nothing to do.
        renderer.unref();
        renderer.channel?.unref();
        resolve(reply);
      };
      const give = (fault: string) => {
        this.close();
        end({ template: 0, row, fault });
      };
      const timer = setTimeout(() => give(`it does not end within ${seconds} s`), seconds * 1000);
      renderer.ref();
      renderer.channel?.ref();
      renderer.on("message", (reply: FromTemplates) => end(reply));
      renderer.on("error", (error) => give(`it could not be run (${error.message})`));
      renderer.on("exit", (code, signal) => {
        const outOfMemory = signal === "SIGABRT" || code === 134;
        give(outOfMemory ? `it takes more than ${megabytes} MB of memory` : `its process ended (${signal ?? code})`);
      });
      renderer.send(asked);
    });
  }

  #start(): ChildProcess {
    const execArgv = [`--max-old-space-size=${this.allowed.megabytes}`];
    // V8 tells at length of memory that it lacks.
    const renderer = fork(program, [], { execArgv, stdio: ["ignore", "ignore", "ignore", "ipc"] });
    this.#process = renderer;
    return renderer;
  }
}
