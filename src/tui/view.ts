import type { Event, StoredEvent } from "../events.js";

/** Something that shows a run: told every event in order, those of earlier sessions too, and closed at the end. */
export interface View {
  /** `earlier`: it happened in an earlier session and is told again, so that the view knows what is there already. */
  handle(event: Event | StoredEvent, options?: { earlier?: boolean }): void;
  /** Gives the terminal back as it was; what was not shown yet is shown first, where that makes sense. */
  close(): Promise<void>;
}

/** `graceful`: finish the item at hand and end; `now`: end at once. Either way the run can be continued. */
export type StopKind = "graceful" | "now";
