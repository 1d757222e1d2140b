import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { beforeAll, describe, expect, test } from "vitest";
import { replay } from "../../dist/replay/index.js";
import { type Facts, factsFrom } from "../../dist/reports/index.js";
import { draw } from "../../dist/reports/plots/draw.js";
import { picturesOf } from "../../dist/reports/plots/index.js";
import { lineHeight, placeLabels, spreadLabels, textWidth } from "../../dist/reports/plots/labels.js";
import { colours, grounds, looksOf } from "../../dist/reports/plots/palette.js";
import type { Chart, Layer, Picture } from "../../dist/reports/plots/plot.js";
import { frontier } from "../../dist/reports/plots/points.js";
import { random } from "../draws.mjs";
import { temporaryFolder } from "../support.js";
import { events } from "./fixture.js";
import { hostileNames, ladderRun } from "./ladder-run.js";

let run: string;
let facts: Facts;
let pictures: Picture[];
let rows: Record<string, string>[];
beforeAll(async () => {
  ({ run, facts } = await ladderRun(temporaryFolder()));
  pictures = picturesOf(facts);
  rows = parse(readFileSync(join(run, "table-long.csv"), "utf8"), { columns: true });
});

const called = (name: string) => pictures.find((one) => one.name === name)!;
const layersOf = ({ chart }: Picture, mark: Layer["mark"]) => chart.layers.filter((layer) => layer.mark === mark);
/** A figure of the table, as scripts read it. */
const csv = (variant: string, measurement: string, metric: string, field = "value") =>
  Number(
    rows.find((row) => row.variant === variant && row.measurement === measurement && row.metric === metric)![field],
  );
const svg = (name: string) => readFileSync(join(run, "plots", `${name}.svg`), "utf8");
/** Places of the signs in a picture's file, in pixels. */
const places = (source: string) =>
  Array.from(source.matchAll(/translate\((-?[\d.]+), ?(-?[\d.]+)\)/g), ([, x, y]) => [Number(x), Number(y)] as const);

/** A value's pixel, from the picture's own axis and margins alone. */
function pixel({ width, height, margins, x, y }: Chart, side: "x" | "y", value: number): number {
  const axis = side === "x" ? x : y;
  const [low, high, at] = [...axis.domain.map(Number), value].map((one) => (axis.type === "log" ? Math.log(one) : one));
  const share = (at! - low!) / (high! - low!);
  return side === "x"
    ? margins.left + share * (width - margins.left - margins.right)
    : height - margins.bottom - share * (height - margins.top - margins.bottom);
}

describe("figures, from the CSV again", () => {
  const plain = ["Q8_0", "Q4_K_M", "Q2_K", "Q2_K-im"];

  test("distance by size: means, intervals and the 99 % percentile, in the data and where the signs stand", () => {
    const picture = called("kld-by-size");
    const data = layersOf(picture, "dot").at(-1)!.data;
    expect(data.length).toBe(7);
    const drawn = places(svg("kld-by-size"));
    for (const name of plain) {
      const [value, low, high] = ["value", "low", "high"].map((field) => csv(name, "divergence", "kld", field));
      const [x, second] = [csv(name, "model", "size") / 1e6, csv(name, "divergence", "kld_p99")];
      expect(data).toContainEqual(expect.objectContaining({ text: name, x, y: value, low, high, second }));
      for (const y of [value!, second]) {
        const expected = [pixel(picture.chart, "x", x), pixel(picture.chart, "y", y)];
        const nearest = Math.min(...drawn.map(([left, top]) => Math.hypot(left - expected[0]!, top - expected[1]!)));
        expect(nearest).toBeLessThan(0.05);
      }
    }
  });

  test("the line of those that no other beats", () => {
    const line = layersOf(called("kld-by-size"), "line")[0]!.data.map(({ x }) => x);
    const all = facts.table.rows.slice(1).map(({ variant: { name, facts: of } }) => {
      const row = facts.short.rows.find(({ variant }) => variant.name === name)!;
      const cell = row.cells[facts.short.columns.findIndex(({ metric }) => metric.name === "kld")]!.cell;
      return { x: of!.bytes / 1e6, y: cell.state === "measured" ? cell.summary.value : Number.NaN };
    });
    const unbeaten = all.filter((a) => !all.some((b) => b.y < a.y && b.x < a.x * 1.005));
    expect(line).toEqual(unbeaten.map(({ x }) => x).sort((a, b) => a - b));
  });

  test("PPL and its ±", () => {
    const picture = called("ppl-by-variant");
    const data = layersOf(picture, "dot")[0]!.data;
    expect(data.map(({ text }) => text)).toEqual(picture.chart.y.domain);
    for (const name of ["F16", ...plain]) {
      const [value, error] = ["value", "error"].map((field) => csv(name, "perplexity", "perplexity", field));
      expect(data).toContainEqual(
        expect.objectContaining({ text: name, value, low: value! - error!, high: value! + error! }),
      );
      const at = pixel(picture.chart, "x", value!);
      expect(Math.min(...places(svg("ppl-by-variant")).map(([x]) => Math.abs(x - at)))).toBeLessThan(0.05);
    }
  });

  test("accuracy, its interval, and chance", () => {
    const picture = called("accuracy");
    const tasks: Record<string, string>[] = parse(readFileSync(join(run, "tasks.csv"), "utf8"), { columns: true });
    const data = layersOf(picture, "dot")[0]!.data;
    for (const name of ["F16", ...plain]) {
      const row = tasks.find(({ variant, part }) => variant === name && part === "micro")!;
      const [value, low, high] = [row.value, row.low, row.high].map((text) => 100 * Number(text));
      expect(data).toContainEqual(expect.objectContaining({ text: name, value, low, high }));
      expect(layersOf(picture, "ruleX")[0]!.data).toEqual([{ at: 100 * Number(row.chance), text: "chance 25 %" }]);
    }
  });

  test("PPL chunk by chunk ends at the PPL of the whole", () => {
    const lines = layersOf(called("ppl-by-chunk"), "line");
    const ends = lines.map(({ data }) => data.at(-1)!.y);
    for (const name of ["F16", ...plain])
      expect(ends.some((end) => Math.abs(Number(end) - csv(name, "perplexity", "perplexity")) < 1e-9)).toBe(true);
  });

  test("repetitions of later sessions stand apart from the first ones", () => {
    const series = facts.series.map((one) => {
      const again = (name: string) =>
        one.observations.get(name)?.flatMap((item) => [item, { ...item, item: `session 2/${item.item}` }]);
      return one.job.measurement === "speed" ? { ...one, observations: { ...one.observations, get: again } } : one;
    });
    const picture = picturesOf({ ...facts, series }).find(({ name }) => name === "speed-in-order")!;
    expect(layersOf(picture, "ruleX")[0]!.data).toEqual([{ at: 5.5, text: "session 2" }]);
    const [{ data } = { data: [] }] = layersOf(picture, "line");
    expect(data.map(({ x, part }) => [x, part])).toEqual(Array.from({ length: 10 }, (_, i) => [i + 1, i < 5 ? 1 : 2]));
    expect(data.slice(0, 5).map(({ y }) => y)).toEqual(data.slice(5).map(({ y }) => y));
    expect(layersOf(called("speed-in-order"), "ruleX")).toEqual([]);
  });

  test("distances by position are those of all tokens together", () => {
    for (const { job, where, figures, tokens } of facts.divergences) {
      if (job.against === job.variant) continue;
      const all = where!.positions.reduce((sum, group) => sum + group.tokens, 0);
      const mean = where!.positions.reduce((sum, group) => sum + group.tokens * group.summary.value, 0) / all;
      expect(all).toBe(tokens);
      expect(mean).toBeCloseTo(figures.find(({ metric }) => metric === "kld")!.value, 9);
      expect(where!.worst[0]!.distance).toBe(figures.find(({ metric }) => metric === "kld_max")!.value);
    }
  });
});

describe("what is drawn", () => {
  test("is what there are data for", () => {
    const few = picturesOf(factsFrom(replay(events), "")).map(({ name }) => name);
    expect(few).toEqual([
      "ppl-by-variant",
      "ppl-by-variant-2",
      "quality-by-speed",
      "ppl-by-chunk",
      "speed-in-order",
      "speed-in-order-2",
    ]);
    expect(pictures.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["kld-by-size", "kld-by-position", "ppl-by-chunk", "speed-in-order"]),
    );
    expect(readdirSync(join(run, "plots")).sort()).toEqual(pictures.map(({ name }) => `${name}.svg`).sort());
  });

  test("holds no markup, no script, no style attribute and no address, whatever variants are named", () => {
    for (const { name } of pictures) {
      const source = svg(name);
      expect(source).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" role="img" aria-label="[^"]+"/);
      expect(source.replace(/http:\/\/www\.w3\.org\/2000\/svg/g, "")).not.toMatch(
        /<script|<img|<foreignObject|https?:|url\(/i,
      );
      for (const tag of source.match(/<[a-z][^>]*>/gi)!)
        expect(tag.replace(/"[^"]*"/g, '""')).not.toMatch(/\s(style|href|on\w+)=/i);
      for (const hostile of hostileNames) expect(source).not.toContain(hostile);
      expect(source).not.toMatch(/NaN|Infinity|undefined/);
    }
  });

  test("says in its file what it shows, above and below it", () => {
    for (const { name, title, caption } of pictures) {
      const texts = Array.from(svg(name).matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text).join(" ");
      for (const word of `${title} ${caption}`.match(/[A-Za-z]{3,}/g)!) expect(texts, name).toContain(word);
      const [, left, top, width, height] = /^<svg[^>]* viewBox="(\S+) (\S+) (\S+) (\S+)"/.exec(svg(name))!.map(Number);
      expect([left, width]).toEqual([0, 480]);
      for (const [, y] of svg(name).matchAll(/<text x="12" y="(\S+)" text-anchor="start"/g)) {
        expect(Number(y)).toBeGreaterThan(top!);
        expect(Number(y)).toBeLessThan(top! + height!);
      }
    }
  });

  test("promises an interval where one is drawn alone", () => {
    const at = facts.table.columns.findIndex(({ metric }) => metric.name === "kld");
    const summaries = facts.table.rows.flatMap(({ cells }) => {
      const cell = cells[at]!;
      return cell.state === "measured" ? [cell.summary] : [];
    });
    const before = summaries.map(({ low, high }) => ({ low, high }));
    expect(called("kld-by-size").caption).toContain("95 % interval");
    for (const summary of summaries) Object.assign(summary, { low: undefined, high: undefined });
    expect(picturesOf(facts).find(({ name }) => name === "kld-by-size")!.caption).not.toContain("95 % interval");
    for (const [i, summary] of summaries.entries()) Object.assign(summary, before[i]);
  });

  test("has one notation for the numbers of an axis", async () => {
    const chart = (ticks: number[]): Chart => ({
      ...called("kld-by-size").chart,
      y: { type: "log", domain: [ticks[0]!, ticks.at(-1)!], ticks },
      layers: [],
    });
    const told = async (ticks: number[]) => {
      const [drawn] = await draw([{ name: "x", title: "x", caption: "x", chart: chart(ticks) }]);
      return Array.from(drawn!.inline.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, text]) => text);
    };
    expect(await told([1e-4, 1e-3, 0.05])).toEqual(expect.arrayContaining(["0.0001", "0.001", "0.05"]));
    expect(await told([1e-7, 1e-3, 0.5])).toEqual(expect.arrayContaining(["1e−7", "1e−3", "5e−1"]));
  });

  test("shows a variant in one colour everywhere", () => {
    const seen = new Map<unknown, Set<unknown>>();
    for (const { chart } of pictures)
      for (const { data } of chart.layers)
        for (const { text, colour } of data)
          if (text !== undefined && colour !== undefined) seen.set(text, (seen.get(text) ?? new Set()).add(colour));
    expect(seen.size).toBe(8);
    for (const of of seen.values()) expect(of.size).toBe(1);
  });

  test("names up to twelve variants where they are, more in a legend below", async () => {
    const variants = facts.table.rows.map(({ variant }) => variant);
    const many = Array.from({ length: 20 }, (_, i) => ({ ...variants[i % 8]!, name: `variant number ${i}` }));
    const wide = {
      ...{ ...facts, divergences: [], tasks: [], verdicts: { ...facts.verdicts, questions: [] } },
      series: facts.series.flatMap((one) =>
        one.job.measurement === "perplexity"
          ? many.slice(0, variants.indexOf(one.variant) === 0 ? 20 : 0).map((variant) => ({ ...one, variant }))
          : [],
      ),
      table: { ...facts.table, rows: many.map((variant, i) => ({ ...facts.table.rows[i % 8]!, variant })) },
    };
    const picture = picturesOf(wide).find(({ name }) => name === "ppl-by-chunk")!;
    expect(picture.chart.height).toBeGreaterThan(called("ppl-by-chunk").chart.height);
    const [drawn] = await draw([picture]);
    const texts = Array.from(
      drawn!.file.matchAll(/translate\(([\d.]+), ?([\d.]+)\)"[^>]*>variant number/g),
      ([, x, y]) => ({
        left: Number(x),
        right: Number(x) + textWidth("variant number 19"),
        y: Number(y),
      }),
    );
    expect(texts.length).toBe(20);
    for (const [i, a] of texts.entries()) {
      expect(a.right).toBeLessThanOrEqual(picture.chart.width);
      expect(a.y).toBeLessThan(picture.chart.height);
      for (const b of texts.slice(i + 1))
        expect(Math.abs(a.y - b.y) >= lineHeight || a.right <= b.left || b.right <= a.left).toBe(true);
    }
  });
});

describe("labels", () => {
  const frame = { left: 74, right: 464, top: 12, bottom: 300 };

  test("stand clear of an interval through the place beside their point, near by", () => {
    const frame = { left: 0, right: 400, top: 0, bottom: 300 };
    // Two intervals that cross at the point, and slanting lines at both sides of it.
    const lines = [
      [200, 0, 200, 300],
      [0, 150, 400, 150],
      [150, 130, 150, 170],
      [250, 130, 250, 170],
    ] as const;
    const [place] = placeLabels([{ x: 200, y: 150, text: "model-Q4_K_M" }], frame, lines)!;
    const box = {
      left: place!.x,
      right: place!.x + textWidth("model-Q4_K_M"),
      top: place!.y - 7,
      bottom: place!.y + 7,
    };
    for (const [x1, y1, x2, y2] of lines)
      expect(box.right < Math.min(x1, x2) || box.left > Math.max(x1, x2) || box.bottom < y1 || box.top > y2).toBe(true);
    expect(Math.abs(place!.y - 150)).toBeLessThan(60);
  });

  test("of up to twelve points, however close, lie over no other and over no point", () => {
    const next = random(11);
    let placed = 0;
    for (let trial = 0; trial < 300; trial++) {
      const [width, height] = [20 + next() * 350, 20 + next() * 260];
      const points = Array.from({ length: 1 + Math.floor(next() * 12) }, (_, i) => ({
        x: 80 + next() * width,
        y: 18 + next() * height,
        text: `Q${i}_K_M${next() < 0.5 ? "-im" : ""}`,
      }));
      const found = placeLabels(points, frame);
      if (!found) continue;
      placed++;
      const boxes = found.map(({ x, y }, i) => {
        return { left: x, right: x + textWidth(points[i]!.text), top: y - lineHeight / 2, bottom: y + lineHeight / 2 };
      });
      const isApart = boxes.every((a, i) =>
        boxes
          .slice(i + 1)
          .every((b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top),
      );
      const isInside = boxes.every(
        (a) => a.left >= frame.left && a.right <= frame.right && a.top >= frame.top && a.bottom <= frame.bottom,
      );
      const isClear = boxes.every((a) =>
        points.every(({ x, y }) => !(x > a.left && x < a.right && y > a.top && y < a.bottom)),
      );
      expect({ isApart, isInside, isClear }).toEqual({ isApart: true, isInside: true, isClear: true });
    }
    expect(placed).toBeGreaterThan(285);
  });

  test("at the ends of lines keep their order and their distance", () => {
    const next = random(12);
    for (let trial = 0; trial < 300; trial++) {
      const heights = Array.from({ length: 1 + Math.floor(next() * 12) }, () => 12 + next() * next() * 288);
      const placed = spreadLabels(heights, 12, 300)!;
      const order = heights.map((_, i) => i).sort((a, b) => heights[a]! - heights[b]!);
      const down = order.map((at) => placed[at]!);
      const gaps = down.slice(1).map((y, i) => y - down[i]!);
      expect(Math.min(...gaps, lineHeight)).toBeGreaterThan(lineHeight - 1e-9);
      expect(down.every((y) => y > 12 - 1e-9 && y < 300 + 1e-9)).toBe(true);
    }
    expect(
      spreadLabels(
        Array.from({ length: 30 }, () => 5),
        12,
        300,
      ),
    ).toBe(undefined);
  });
});

describe("colours", () => {
  const channels = (colour: string) =>
    [1, 3, 5]
      .map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255)
      .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  const luminance = (colour: string) => {
    const [r, g, b] = channels(colour);
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const contrast = (a: string, b: string) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high! + 0.05) / (low! + 0.05);
  };
  /** Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB. */
  const sights: Record<string, number[][]> = {
    usual: [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
    protanopia: [
      [0.152286, 1.052583, -0.204868],
      [0.114503, 0.786281, 0.099216],
      [-0.003882, -0.048116, 1.051998],
    ],
    deuteranopia: [
      [0.367322, 0.860646, -0.227968],
      [0.280085, 0.672501, 0.047413],
      [-0.01182, 0.04294, 0.968881],
    ],
  };
  /** CIELAB, D65. */
  const lab = (colour: string, sight: number[][]) => {
    const seen = sight.map((row) =>
      Math.min(
        1,
        Math.max(
          0,
          channels(colour).reduce((sum, one, i) => sum + one * row[i]!, 0),
        ),
      ),
    );
    const [x, y, z] = [
      [0.4124, 0.3576, 0.1805],
      [0.2126, 0.7152, 0.0722],
      [0.0193, 0.1192, 0.9505],
    ].map((row) => row.reduce((sum, weight, i) => sum + weight * seen[i]!, 0));
    const f = (t: number) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
    const [fx, fy, fz] = [f(x! / 0.95047), f(y!), f(z! / 1.08883)];
    return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
  };

  test.each([0, 1])("of ground %d stand out from it, and from each other for eyes without red or green", (ground) => {
    for (const pair of colours) expect(contrast(pair[ground]!, grounds.back[ground]!)).toBeGreaterThan(3);
    for (const [name, sight] of Object.entries(sights))
      for (const [i, a] of colours.entries())
        for (const b of colours.slice(i + 1)) {
          const [one, other] = [lab(a[ground]!, sight), lab(b[ground]!, sight)];
          expect(
            Math.hypot(...one.map((value, at) => value - other[at]!)),
            `${name}: ${a[ground]} ${b[ground]}`,
          ).toBeGreaterThan(15);
        }
  });

  test("and shapes together tell more variants apart than colours alone", () => {
    const variants = facts.table.rows.map(({ variant }) => variant);
    const many = Array.from({ length: 40 }, (_, i) => ({ ...variants[0]!, name: `v${i}` }));
    expect(new Set(Array.from(looksOf(many).values(), ({ colour, symbol }) => colour + symbol)).size).toBe(40);
  });
});

test("files that differ by the bytes of a head count as of one size", () => {
  const points = [
    { x: 1, y: 5 },
    { x: 1.001, y: 2 },
    { x: 3, y: 1 },
    { x: 4, y: 1.5 },
  ];
  expect(frontier(points, { x: "low", y: "low" })).toEqual([
    { x: 1.001, y: 2 },
    { x: 3, y: 1 },
  ]);
});

test("the library that draws is loaded when there is something to draw, not before", () => {
  const source = readFileSync(new URL("../../dist/reports/plots/draw.js", import.meta.url), "utf8");
  expect(source).not.toMatch(/^import .*(@observablehq\/plot|linkedom)/m);
  expect(source).toContain('import("@observablehq/plot")');
});
