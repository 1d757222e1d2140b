import { describe, expect, it } from "vitest";
import { metric } from "../dist/metrics.js";
import { formatFigure, formatValue } from "../dist/tui/figures.js";
import { byteScale, bytes, counted, duration, percent, readBytes, roughDuration } from "../dist/units.js";

describe("quantities for people", () => {
  it("sizes are powers of 1000, as disks and download pages count", () => {
    expect([968576, 4_219_136, 98_400_000, 94_371_840, 999_949, 45_000, 0, 4_692_669_000].map(bytes)).toEqual([
      "1.0 MB",
      "4.2 MB",
      "98.4 MB",
      "94.4 MB",
      "1.0 MB",
      "45.0 kB",
      "0.0 MB",
      "4.69 GB",
    ]);
    expect(byteScale([1e6, 2e9])).toEqual({ unit: "GB", factor: 1e-9, digits: 2 });
  });

  it("the live view shows what the tables show: one size, one scale of a share", () => {
    expect(formatValue(metric("size"), 98_400_000)).toBe("98.4 MB");
    expect(formatValue(metric("peak_memory"), 2.5e9)).toBe("2.50 GB");
    expect(formatFigure("acc", { value: 0.98333, error: 0.0083 })).toBe("98.33 ± 0.83 %");
    expect(formatFigure("same_top", { value: 0.99803, error: 0.001 })).toBe("99.803 ± 0.100 %");
    expect(formatFigure("delta_p", { value: -0.25672, error: undefined })).toBe("-25.672 %");
    expect(formatValue(metric("acc_norm"), 1, 6)).toBe("100.00");
  });

  it("durations, shares and counts", () => {
    expect([0, 34.4, 69, 7500, 273_600].map(duration)).toEqual(["0 s", "34 s", "1 min 09 s", "2 h 05 min", "3 d 4 h"]);
    expect([0.2, 89, 400, 5400].map(roughDuration)).toEqual(["1 s", "89 s", "7 min", "1.5 h"]);
    expect([percent(0.46), percent(0.0006, 2)]).toEqual(["46 %", "0.06 %"]);
    expect([counted(1, "job"), counted(2, "job"), counted(0, "entry", "entries")]).toEqual([
      "1 job",
      "2 jobs",
      "0 entries",
    ]);
  });
});

describe("a size as written", () => {
  it.each([
    ["4 GB", 4e9],
    ["800MB", 8e8],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["4g", 4e9],
    ["2 tib", 2 * 2 ** 40],
    ["1048576", 1048576],
    ["12 B", 12],
    [" 3 kB ", 3000],
  ])("%s", (text, size) => expect(readBytes(text)).toBe(size));

  it.each(["", "GB", "4 4 GB", "-1 GB", "4 XB", "1e9", "0x10", "4iB", "4 GBs"])("%s is none", (text) =>
    expect(readBytes(text)).toBeUndefined(),
  );
});
