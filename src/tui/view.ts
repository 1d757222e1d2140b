import type { Event, StoredEvent } from "../events.js";
import type { ToldChange } from "../judge/index.js";
import type { Run } from "../replay/index.js";

/** Shows a run: first `resume` with what there is of it, then every event in order, at last `close`. */
export interface View {
  /** Takes the results of earlier sessions; their events do not follow. */
  resume(run: Run): void;
  handle(event: Event | StoredEvent): void;
  /** Takes the changes against the reference, all that there are. Absent where none are shown, so that nobody computes them. */
  compare?(changes: ToldChange[]): void;
  /** Gives the terminal back as it was. */
  close(): Promise<void>;
}

/** A run that another process measures, or measured. */
export interface Onlooked {
  /** The fold that takes each event of `past` before it is given, and every later one before the view is. */
  run: Run;
  /** What is there of it: its time is as the events say. */
  past: Iterable<StoredEvent>;
  /** Whether it goes on: its time is then the clock's. */
  follow: boolean;
}

/** `graceful`: end after the item at hand, or without it when it takes long; `now`: end at once. Either way the run can be continued. */
export type StopKind = "graceful" | "now";
