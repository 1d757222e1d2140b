import { findBackend } from "../backends/index.js";
import { now } from "../clock.js";
import { type Failure, toFailure } from "../errors.js";
import type { Event } from "../events.js";
import type { Preparation } from "../plan/index.js";

/** Fetches or quantizes what a variant lacks, and says how far it is. Returns why it could not be done. A stop ends it at once. */
export async function* prepare(
  { variant, backend, source, folders, work }: Preparation,
  signal: AbortSignal,
): AsyncGenerator<Event, Failure | undefined> {
  const { prepare } = await findBackend(backend);
  try {
    yield* eventsOf((tell) =>
      prepare(source, {
        ...folders,
        signal,
        fetchOnly: work === "fetch",
        fetching: (state) => tell({ type: "fetching", at: now(), ...state }),
        quantizing: (state) => tell({ type: "quantizing", at: now(), ...state }),
        warning: (message) => tell({ type: "warning", at: now(), variant, message }),
      }),
    );
    return undefined;
  } catch (error) {
    return toFailure(error);
  }
}

/** Turns the calls of `work` into events, in order; ends as the work does. */
async function* eventsOf(work: (tell: (event: Event) => void) => Promise<void>): AsyncGenerator<Event> {
  const told: Event[] = [];
  let wake = () => {};
  let over = false;
  const end = () => {
    over = true;
    wake();
  };
  const done = work((event) => {
    told.push(event);
    wake();
  });
  done.then(end, end);
  for (;;) {
    const next = told.shift();
    if (next) yield next;
    else if (over) break;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
  await done;
}
