import { findBackend } from "../backends/index.js";
import { type Failure, toFailure } from "../errors.js";
import type { Event } from "../events.js";
import type { Plan } from "../plan/index.js";

/**
 * Fetches and quantizes the models that a plan lacks, and yields its progress. Returns by variant why some could not be made, which
 * `makePlan` takes when it makes the plan again, then with final ids. A stop ends it at once.
 */
export async function* prepare(
  { preparations }: Plan,
  signal: AbortSignal,
): AsyncGenerator<Event, Map<string, Failure>> {
  const failures = new Map<string, Failure>();
  for (const { variant, backend, source, folders } of preparations) {
    if (signal.aborted) break;
    const { prepare } = await findBackend(backend);
    try {
      yield* eventsOf((tell) =>
        prepare(source, {
          ...folders,
          signal,
          warning: (message) => tell({ type: "warning", at: Date.now(), variant, message }),
          fetching: (state) => tell({ type: "fetching", at: Date.now(), ...state }),
          quantizing: (state) => tell({ type: "quantizing", at: Date.now(), ...state }),
        }),
      );
    } catch (error) {
      if (signal.aborted) break;
      failures.set(variant, toFailure(error));
    }
  }
  return failures;
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
