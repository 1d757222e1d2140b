import type { Event } from "../events.js";
import type { Run } from "../replay.js";

/** Something that shows a run: told what there is of it, then every event in order, and closed at the end. */
export interface View {
  /** What earlier sessions left. Nothing of it is told again. */
  resume(run: Run): void;
  handle(event: Event): void;
  /** Gives the terminal back as it was; what was not shown yet is shown first, where that makes sense. */
  close(): Promise<void>;
}

/** `graceful`: finish the item at hand and end; `now`: end at once. Either way the run can be continued. */
export type StopKind = "graceful" | "now";
