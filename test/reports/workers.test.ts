import { describe, expect, it } from "vitest";
import type { Event, StoredEvent } from "../../dist/events.js";
import { replay } from "../../dist/replay/index.js";
import { workerNotes } from "../../dist/reports/workers.js";
import { started, variant } from "../tui/recorded.mjs";

const T = 1_700_000_000_000;
const names = ["a", "b", "c"];
const opened = (name: string, worker?: string, loadSeconds = 2): Event => ({
  ...{ type: "opened", at: T, variant: name },
  engine: { version: "mock 1", library: "mock", loadSeconds, ...(worker === undefined ? {} : { worker }) },
});
const gone = (worker: string): Event => ({ type: "warning", at: T, message: `${worker} is gone: …`, worker });
const notesOf = (...events: Event[]) =>
  workerNotes(
    replay([
      started(
        T,
        names.map((name) => variant(name)),
      ),
      ...events,
    ] as StoredEvent[]),
  );

describe("notes on the workers of a queue", () => {
  it("are none where one machine measured, or one worker", () => {
    expect(notesOf(opened("a"), opened("b"), { type: "note", at: T, message: "measured by 1 worker: desk" })).toEqual(
      [],
    );
    expect(notesOf(opened("a", "desk"), opened("b", "desk"))).toEqual([]);
  });

  it("say whose the load times are where they are of several", () => {
    expect(notesOf(opened("a", "desk"), opened("b", "tower"), opened("c", "desk"))).toEqual([
      "Load times are not to be compared, each is of the worker that opened the variant (desk: a, c; tower: b)",
    ]);
  });

  it("are one line on all that went in the middle of the work", () => {
    expect(notesOf(gone("desk"), gone("redis://host:6379"), gone("desk"))).toEqual([
      "Gone in the middle of the work: desk (2 times), redis://host:6379; what was lost was measured anew",
    ]);
  });
});
