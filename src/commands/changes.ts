import { changesFrom } from "../judge/index.js";
import type { Run } from "../replay/index.js";
import type { View } from "../tui/index.js";

/** Comparing may take this share of one processor's time, so that it takes none from what is measured. */
const share = 0.01;

/** Gives a view the changes against the reference: at first, and again when more jobs are done. */
export class Comparing {
  /** Jobs that were done, in all sessions of speed, when the changes were told; −1 before that. */
  #told = -1;
  /** Milliseconds of `performance.now()` before which nothing is compared again. */
  #due = 0;

  constructor(
    readonly view: View,
    readonly run: Run,
  ) {}

  /** Call when the run and the view have something new. */
  look(): void {
    if (!this.view.compare || !this.run.plan || performance.now() < this.#due) return;
    const done = [...this.run.jobs.values()].reduce((sum, { sessions }) => sum + sessions.size, 0);
    if (done === this.#told) return;
    const before = process.cpuUsage();
    this.view.compare(changesFrom(this.run));
    const { user, system } = process.cpuUsage(before);
    this.#told = done;
    this.#due = performance.now() + (user + system) / 1000 / share;
  }
}
