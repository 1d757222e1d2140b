import { definite } from "../../definite.js";
import type { Executor, OpenedEngine } from "../executor.js";
import type { Assignment } from "./messages.js";
import type { FoundVariants } from "./receiving.js";

/** Engines that stay open for what comes next. */
const mostOpen = 8;

interface Open {
  key: string;
  memory: number;
  engine: OpenedEngine;
}

/** Engines of a worker, as many as its memory allows; the one used least recently goes first. */
export class OpenEngines {
  /** In the order of use. */
  #open: Open[] = [];

  constructor(private readonly memory: number) {}

  async open(
    executor: Executor,
    { timeout, memory, scratch }: Assignment["opening"],
    { spec, others }: FoundVariants,
  ): Promise<OpenedEngine> {
    const key = JSON.stringify([spec, others, scratch]);
    this.#open = this.#open.filter(({ engine }) => engine.alive);
    const found = this.#open.find((one) => one.key === key);
    if (found) {
      this.#open = [...this.#open.filter((one) => one !== found), found];
      return found.engine;
    }
    const used = () => this.#open.reduce((sum, one) => sum + one.memory, memory);
    while (this.#open.length > 0 && (used() > this.memory || this.#open.length >= mostOpen))
      await this.#open.shift()!.engine.close();
    const engine = await executor.open(spec, { timeout, others, memory, ...definite({ scratch }) });
    this.#open.push({ key, memory, engine });
    return engine;
  }

  /** They are gone already. */
  forget(): void {
    this.#open = [];
  }

  async close(): Promise<void> {
    for (const { engine } of this.#open.splice(0)) await engine.close();
  }
}
