import { BenchError } from "../errors.js";
import { type Event, type JobRecord, memoryItem, type StoredEvent } from "../events.js";
import { isTimed } from "../replay/index.js";
import { allTokens, readEvents, replaceEvents, type UnkeptEvent } from "../store/index.js";
import { byNumber } from "../units.js";
import { eventIn, Gathered } from "./gathered.js";
import { chosenPlan, type LeftOut, PlansAlike, plansOf, sessionsInOrder, timedCounts } from "./plan.js";

export type { LeftOut } from "./plan.js";

/** What became of the runs that were joined. */
export interface Merged {
  leftOut: LeftOut[];
  /** Items that were there more than once, and those of them whose last digits differ. */
  twice: number;
  close: number;
}

/**
 * Joins runs of one plan, parts of it or all, into a run's folder, with what is there already. Each item counts once. The events
 * follow from what the runs hold, whatever their order: first their sessions, with what was timed in them, then the plan of all,
 * and its items in order. Items of other places than those of the plan stay in the file, so that a run that is joined later may
 * make them those of the plan.
 *
 * Throws a BenchError for a run of another plan, an item that two runs contradict each other about, or that cannot be true.
 */
export function merge(folders: readonly string[], out: string): Merged {
  let merged: Merged | undefined;
  replaceEvents(out, (there) => {
    const gathered = new Gathered();
    const plans = new PlansAlike();
    const take = (folder: string, events: Iterable<StoredEvent>) => {
      for (const { started } of plansOf(gathered.take(folder, events))) plans.check(folder, started);
    };
    take(out, there);
    for (const folder of folders) take(folder, readEvents(folder));
    const { sessions, items } = gathered;
    const timed = [...sessions.values()].some(({ events }) => events.some(({ type }) => type === "samples"));
    if (items.size === 0 && !timed)
      throw new BenchError("nothing-run", `${folders.join(", ")}: nothing was measured there yet`, {
        hint: "measure the parts first: gguf-bench run FILE --shard 1/8 --out DIR",
      });
    checkItems(gathered);
    const { started, leftOut } = chosenPlan(gathered, plansOf(gathered.sessions.values()));
    merged = { leftOut, twice: gathered.twice, close: gathered.close };
    return eventsOf(gathered, started, out);
  });
  return merged!;
}

/** Throws for items that the data do not have: those of a measurement are the same for all variants. */
function checkItems(gathered: Gathered): void {
  const { jobs, wholes, items } = gathered;
  const alike = new Map<string, string[]>();
  for (const [id, { items: whole }] of wholes) {
    const { measurement = "", askedSha256 } = jobs.get(id) ?? {};
    const key = JSON.stringify([measurement, askedSha256, whole]);
    alike.set(key, [...(alike.get(key) ?? []), id]);
  }
  for (const ids of alike.values()) {
    const whole = wholes.get(ids[0]!)!.items;
    const all = new Set<string>();
    for (const id of ids) for (const item of items.get(id)?.keys() ?? []) all.add(item);
    if (all.size <= whole) continue;
    const holders = new Map<string, string[]>();
    for (const id of ids)
      for (const item of items.get(id)?.keys() ?? []) holders.set(item, [...(holders.get(item) ?? []), id]);
    const [item, [id]] = [...holders].reduce((rarest, one) => (one[1].length <= rarest[1].length ? one : rarest));
    throw new BenchError(
      "run-contradiction",
      `${items.get(id!)!.get(item)!.folder}: ${gathered.told(id!)} has other items than its data: ${item} may be none of them`,
      { hint: "the file was edited or damaged: measure that part anew, or leave the folder out" },
    );
  }
}

function* eventsOf(
  gathered: Gathered,
  started: Extract<Event, { type: "started" }>,
  out: string,
): Generator<UnkeptEvent> {
  const ids = new Set(started.jobs.map(({ id }) => id));
  const timed = timedRuns(gathered, started.jobs);
  for (const { run, started: own, events } of sessionsInOrder(gathered.sessions.values())) {
    yield { ...own, merged: run };
    for (const event of events)
      if (!("job" in event) || event.job === undefined || !gathered.isTimed(event.job) || timed.get(event.job) === run)
        yield event;
  }
  yield started;
  const order = [...started.jobs.map(({ id }) => id), ...[...gathered.jobs.keys()].filter((id) => !ids.has(id)).sort()];
  let isWhole = true;
  for (const id of new Set(order)) {
    const items = gathered.items.get(id);
    for (const [, item] of [...(items ?? [])].sort(([a], [b]) => byName(a, b))) {
      const event = eventIn(item);
      yield item.folder === out || !event.tokens ? event : { ...event, tokens: allTokens(item.folder, event) };
    }
    const memory = gathered.memory.get(id);
    if (memory) yield { ...memory, item: memoryItem };
    const ends = [...(gathered.ends.get(id) ?? [])].sort(
      ([a, one], [b, other]) => one.at - other.at || (a < b ? -1 : 1),
    );
    const done = ends.some(([, end]) => end.type === "job-done") || items?.size === gathered.wholes.get(id)?.items;
    for (const [, end] of ends) if (!(done && end.type === "job-failed")) yield end;
    if (
      ids.has(id) &&
      !done &&
      started.jobs.some((job) => job.id === id && job.impossible === undefined && !isTimed(job))
    )
      isWhole = false;
  }
  yield { type: "finished", at: started.at, outcome: isWhole ? "complete" : "stopped" };
}

/** By job id of what is timed: the run that has most of its measurement, for what two runs timed did not take turns. */
function timedRuns(gathered: Gathered, jobs: readonly JobRecord[]): Map<string, string> {
  const found = new Map<string, string>();
  const all = timedCounts(gathered);
  for (const measurement of new Set(jobs.filter(isTimed).map((job) => job.measurement))) {
    const own = jobs.flatMap((job) => (job.measurement === measurement ? [job.id] : []));
    const counts = Array.from(all, ([run, timed]) => ({
      run,
      count: own.reduce((sum, id) => sum + (timed.get(id) ?? 0), 0),
    }));
    const [best] = counts.sort((a, b) => b.count - a.count);
    if (best && best.count > 0) for (const id of own) found.set(id, best.run);
  }
  return found;
}

/** Those that differ in nothing but how their numbers are written have an order, too. */
const byName = (a: string, b: string) => byNumber(a, b) || (a < b ? -1 : a > b ? 1 : 0);
