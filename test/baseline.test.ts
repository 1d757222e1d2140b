import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { baselineText, readBaseline } from "../dist/baseline.js";
import { BenchError } from "../dist/errors.js";
import type { StoredEvent } from "../dist/events.js";
import { replay } from "../dist/replay/index.js";
import { seriesFrom } from "../dist/stats/series.js";
import { readEvents } from "../dist/store/index.js";
import { eventsOf } from "./judge/ladders.js";
import { temporaryFolder } from "./support.js";

const folder = temporaryFolder();
const lines = baselineText(replay(readEvents(fileURLToPath(new URL("fixtures/run-0.1.0", import.meta.url)))))
  .trimEnd()
  .split("\n");

describe("a line of a baseline", () => {
  const introduced = JSON.parse(lines[1]!);
  const item = lines.findIndex((line) => line.startsWith("["));
  const [key, name, values] = JSON.parse(lines[item]!);
  const bad: [what: string, at: number, line: unknown][] = [
    ["null", 1, null],
    ["without a job", 1, { ...introduced, job: undefined }],
    ["whose job has no settings", 1, { ...introduced, job: { ...introduced.job, settings: null } }],
    ["whose variant is a text", 1, { ...introduced, variant: "x" }],
    ["without a machine", 1, { ...introduced, machine: {} }],
    ["of a metric that is none", item, [key, name, { beauty: 1 }]],
    ["whose value is a text", item, [key, name, { ...values, perplexity: "2" }]],
    ["whose weight is null", item, [key, name, { perplexity: [2, null] }]],
    ["whose item is a number", item, [key, 5, values]],
  ];

  it("is read as it was written", () => {
    const file = join(folder, "whole");
    writeFileSync(file, `${lines.join("\n")}\n`);
    expect(readBaseline(file).length).toBeGreaterThan(4);
    expect(readFileSync(file, "utf8")).not.toContain("undefined");
  });

  it("keeps what other processes took beside each session of speed", () => {
    const made: StoredEvent[] = JSON.parse(
      JSON.stringify(eventsOf([{ name: "a" }], { kinds: ["speed"] })).replaceAll("a speed", "a-speed"),
    );
    const events = made.map((event) =>
      event.type === "samples"
        ? { ...event, foreign: 0.1 * Number(event.item), cluster: `session ${1 + (Number(event.item) % 3)}` }
        : event,
    );
    const file = join(folder, "loads");
    writeFileSync(file, baselineText(replay(events)));
    const [one] = readBaseline(file);
    expect(one!.loads!.map((cores) => Number(cores.toFixed(9)))).toEqual([0.3, 0.4, 0.35]);
    expect(seriesFrom(replay(events))[0]!.loads).toEqual(one!.loads);
  });

  it.each(bad)("%s is a sentence with its place", (_, at, line) => {
    const file = join(folder, "damaged");
    writeFileSync(file, lines.with(at, JSON.stringify(line)).join("\n"));
    let error: unknown;
    try {
      readBaseline(file);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(BenchError);
    expect((error as BenchError).message).toMatch(
      new RegExp(`damaged:${at + 1} is no line of a baseline: [^\\n]+\\.$`),
    );
  });
});
