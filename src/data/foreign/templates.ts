import { ConfinedProcess } from "../../confined.js";
import type { TaskRow } from "../task/rows.js";

/** Rows to be rendered by each template. `floats`: columns whose numbers are floats, also where they are whole. */
export interface ToTemplates {
  templates: readonly string[];
  rows: readonly TaskRow["cells"][];
  floats: readonly string[];
}

/** A text of each template for each row; or where it failed, row -1 while a template was read. */
export type FromTemplates = { rendered: string[][] } | { template: number; row: number; fault: string };

const program = new URL("./template-process.js", import.meta.url);

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

/** Renders the Jinja templates of a task as lm-eval does. */
export class TaskTemplates {
  readonly #process: ConfinedProcess<ToTemplates, FromTemplates>;

  constructor(allowed = limits) {
    this.#process = new ConfinedProcess(program, allowed);
  }

  /** For each row a text of each template, in their order. Throws a TemplateFault. */
  async render(asked: ToTemplates): Promise<string[][]> {
    const texts: string[][] = [];
    for (let from = 0; from < asked.rows.length; from += batch) {
      const reply = await this.#process.ask({ ...asked, rows: asked.rows.slice(from, from + batch) });
      if ("noAnswer" in reply) throw new TemplateFault(0, from, `it ${reply.noAnswer}`);
      if ("fault" in reply)
        throw new TemplateFault(reply.template, reply.row < 0 ? reply.row : from + reply.row, reply.fault);
      texts.push(...reply.rendered);
    }
    return texts;
  }

  close(): void {
    this.#process.close();
  }
}
