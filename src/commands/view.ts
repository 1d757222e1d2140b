import { now } from "../clock.js";
import { BenchError, exitCodes } from "../errors.js";
import type { StoredEvent } from "../events.js";
import { Fold } from "../replay/index.js";
import { Follower, isLocked } from "../store/index.js";
import { onLost } from "../terminal.js";
import { openOnlooker } from "../tui/index.js";
import { Comparing } from "./changes.js";
import type { Surroundings } from "./command.js";
import { runOf } from "./folder.js";

export interface ViewCommand {
  /** A run's folder; by default that of the latest run. */
  run?: string | undefined;
  /** Shows what another process measures into it, too. */
  follow?: boolean;
}

/** Milliseconds between two looks at a file that another process writes. */
const pause = 500;

/** Shows the matrix of a run until q; with `follow`, its new figures as they come. Needs no model. */
export async function viewCommand({ run, follow = false }: ViewCommand, where: Surroundings): Promise<number> {
  const { stdout, stdin = process.stdin, env } = where;
  const onlooked = new Onlooking(runOf(run, where), follow);
  let leave = () => {};
  let fail = (_: unknown) => {};
  const end = new Promise<void>((resolve, reject) => {
    leave = resolve;
    fail = reject;
  });
  const view = await openOnlooker({ stdout, stdin: stdin as NodeJS.ReadStream, env, onlooked, onLeave: leave });
  if (!view)
    throw new BenchError("config", `${follow ? "watch" : "view"} shows a run on a terminal, and here is none`, {
      hint: "anywhere else: gguf-bench report --card, gguf-bench compare, gguf-bench choose",
    });
  onLost(leave);
  const comparing = new Comparing(view, onlooked.run);
  comparing.look();
  const look = () => {
    try {
      for (const event of onlooked.since()) view.handle(event);
      comparing.look();
    } catch (error) {
      fail(error);
    }
  };
  const timer = follow ? setInterval(look, pause) : undefined;
  try {
    await end;
  } finally {
    clearInterval(timer);
    await view.close();
  }
  return exitCodes.allMeasured;
}

/** A run's folder as one sees it who does not measure into it. */
class Onlooking {
  readonly #fold = new Fold();
  readonly #follower: Follower;
  /** Sessions of which it was said how they end. */
  #told = 0;

  constructor(
    readonly folder: string,
    readonly follow: boolean,
  ) {
    this.#follower = new Follower(folder);
  }

  get run() {
    return this.#fold.run;
  }

  get past(): Iterable<StoredEvent> {
    return this.since();
  }

  /** Events since the last call, and a word where a session ends without one, or goes on unseen. */
  *since(): Generator<StoredEvent> {
    // Looked at before the events are: what the writer wrote at its end is among them.
    const isWritten = isLocked(this.folder);
    for (const event of this.#follower.read()) {
      this.#fold.add(event);
      yield event;
    }
    const { sessions } = this.run;
    if (sessions.at(-1)?.outcome !== "cut off" || this.#told === sessions.length) return;
    if (isWritten && this.follow) return;
    this.#told = sessions.length;
    const message = isWritten
      ? "it is being measured: gguf-bench watch shows what comes"
      : "the process that measured is gone: the same command goes on where it ended";
    // Of the time that they belong to.
    const at = this.follow && sessions.length > 0 ? now() : 0;
    yield { type: "warning", at, message };
    if (!isWritten) yield { type: "finished", at, outcome: "stopped" };
  }
}
