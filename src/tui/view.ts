import type { Event } from "../events.js";
import type { Run } from "../replay/index.js";

/** Shows a run: first `resume` with what there is of it, then every event in order, at last `close`. */
export interface View {
  /** Takes the results of earlier sessions; their events do not follow. */
  resume(run: Run): void;
  handle(event: Event): void;
  /** Gives the terminal back as it was. */
  close(): Promise<void>;
}

/** `graceful`: end after the item at hand, or without it when it takes long; `now`: end at once. Either way the run can be continued. */
export type StopKind = "graceful" | "now";
