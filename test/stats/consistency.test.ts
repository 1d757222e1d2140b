import { describe, expect, test } from "vitest";
import type { Result } from "../../dist/judge/results.js";
import { verdictsOver } from "../../dist/judge/verdicts.js";
import { clause, mark } from "../../dist/judge/words.js";
import { comparisonsCsv } from "../../dist/reports/csv.js";
import { markdown } from "../../dist/reports/markdown.js";
import type { Observation } from "../../dist/stats/comparison.js";
import type { Series } from "../../dist/stats/series.js";
import { normals, random } from "../draws.mjs";

/** How a metric's items are drawn: `cost` is how much worse than the reference, `spread` how unlike the items are. */
type Draw = (cost: number, spread: number, normal: () => number, next: () => number) => number;

const metrics: Record<string, { kind: string; draw: Draw; against?: true }> = {
  perplexity: { kind: "perplexity", draw: (cost, spread, normal) => Math.max(0, 2 + cost + spread * normal()) },
  bits_per_byte: { kind: "perplexity", draw: (cost, spread, normal) => Math.max(0, 0.5 + cost + spread * normal()) },
  acc: { kind: "choice", draw: (cost, _spread, _normal, next) => (next() < 0.7 - Math.min(0.6, cost) ? 1 : 0) },
  kld: {
    kind: "divergence",
    against: true,
    draw: (cost, spread, normal) => (cost + 1e-7) * Math.exp(spread * normal()),
  },
  same_top: {
    kind: "divergence",
    against: true,
    draw: (cost, spread, normal) => Math.min(1, Math.max(0, 1 - cost * Math.exp(spread * normal()))),
  },
  delta_p_rms: {
    kind: "divergence",
    against: true,
    draw: (cost, spread, normal) => cost ** 2 * Math.exp(spread * normal()),
  },
  ln_ppl_ratio: { kind: "divergence", against: true, draw: (cost, spread, normal) => cost + 0.1 * spread * normal() },
  tg128: { kind: "speed", draw: (cost, spread, normal) => 50 * Math.exp(-cost + spread * normal()) },
};

/** A run of some variants, of any size and spread. */
function drawn(seed: number) {
  const [next, normal] = [random(seed), normals(seed + 1e6)];
  const pick = <One>(...of: One[]) => of[Math.floor(next() * of.length)]!;
  const names = ["F16", ...Array.from({ length: 1 + Math.floor(6 * next()) }, (_, i) => `v${i}`)];
  const costs = new Map(names.map((name, i) => [name, i === 0 ? 0 : pick(0, 0.0005, 0.003, 0.02, 0.3)]));
  const series = Object.entries(metrics).flatMap(([metric, { kind, draw, against }]) => {
    const spread = pick(0, 0.001, 0.05, 0.3, 2);
    const n = kind === "speed" ? pick(1, 2, 3, 5, 8) : kind === "choice" ? pick(3, 20, 200) : pick(1, 2, 4, 8, 24);
    const subjects = kind === "choice" ? pick(0, 2, 7) : 0;
    // What is hard is hard for all.
    const shared = Array.from({ length: n }, () => normal());
    return names.map((name): Series => {
      const observations = shared.map((hard, i): Observation => {
        const own = pick(0, 1);
        const value = draw(costs.get(name)!, spread, () => hard + (own ? 0.3 * normal() : 0), next);
        return { item: String(i), value, weight: kind === "choice" || kind === "speed" ? 1 : 127 };
      });
      const base = against ? { against: "F16" } : {};
      return {
        variant: { name, model: "m", backend: "llama", reference: name === "F16", tags: {}, settings: {} },
        job: {
          ...{ id: `${name} ${metric}`, variant: name, backend: "llama", measurement: metric, kind, dataset: "d" },
          ...{ settings: {}, metrics: [metric], ...base },
        },
        engine: { version: "1", library: "cpu" },
        machine: { cpu: "A", cpus: 1 },
        file: "",
        observations: new Map([[metric, observations]]),
        ...(subjects > 0
          ? { clusters: new Map(observations.map(({ item }, i) => [item, `subject ${i % subjects}`])) }
          : {}),
      };
    });
  });
  const rest = names.slice(1);
  return verdictsOver(
    [
      { title: "cost", pairs: rest.map((name) => ["F16", name]) },
      { title: "each against the first", pairs: rest.slice(1).map((name) => [rest[0]!, name]) },
    ],
    (name) => series.filter(({ variant }) => variant.name === name),
    { metrics: Object.keys(metrics) },
  );
}

const reports = Array.from({ length: 150 }, (_, seed) => drawn(seed));
const all = reports.flatMap(({ questions }) =>
  questions.flatMap(({ pairs }) => pairs.flatMap(({ results }) => results)),
);

/** Which side of "no difference" the interval is on. */
const excludes = ({ comparison: one }: Result) => one!.low > 0 || one!.high < 0;

describe("words and intervals say the same, in reports of every metric, size and spread", () => {
  const of = (...kinds: string[]) => all.filter(({ verdict }) => verdict && kinds.includes(verdict.kind));

  test("every kind of verdict, of every metric, is among them", () => {
    const kinds = new Set(all.map(({ verdict }) => verdict!.kind));
    expect([...kinds].sort()).toEqual(["different", "equivalent", "likely", "size", "undistinguished", "unknown"]);
    expect(new Set(all.map(({ metric }) => metric))).toEqual(new Set(Object.keys(metrics)));
  });

  test("where no difference is told, the interval holds 0; where one is told, it does not", () => {
    const silent = of("undistinguished").filter(excludes);
    expect(silent.map(({ comparison, verdict }) => clause(comparison!, verdict!))).toEqual([]);
    const loud = of("different", "likely").filter((result) => {
      const said = result.verdict!;
      const what = said.kind === "likely" ? said.what.kind : said.kind;
      return what === "different" && !excludes(result);
    });
    expect(loud.map(({ comparison, verdict }) => clause(comparison!, verdict!))).toEqual([]);
  });

  test("better and worse are the side that the whole interval is on", () => {
    for (const { comparison: one, verdict: said, metric } of of("different")) {
      if (said?.kind !== "different") continue;
      const rose = one!.low > 0;
      expect(said.direction).toBe(rose === ["acc", "same_top", "tg128"].includes(metric) ? "better" : "worse");
    }
  });

  test("where nothing can be told there is no interval, no p and no number in the CSV", () => {
    for (const { comparison: one } of of("unknown"))
      expect([one!.low, one!.high, one!.p, one!.difference]).toEqual([Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
    expect(of("unknown").map(({ comparison, verdict }) => clause(comparison!, verdict!))).toEqual(
      of("unknown").map(() => expect.stringMatching(/^cannot tell: \d+ (chunks|repetitions|questions) or more$/)),
    );
  });

  test("no interval leaves what its figure can be, and none is wider than tenfold each way", () => {
    for (const { comparison: one, metric } of of("different", "equivalent", "likely", "size", "undistinguished")) {
      expect(one!.low).toBeLessThanOrEqual(one!.high);
      if (one!.scale === "relative") {
        expect(one!.low).toBeGreaterThan(-1);
        expect((1 + one!.high) / (1 + one!.difference)).toBeLessThanOrEqual(10.000001);
      }
      if (one!.scale === "level") expect(one!.low).toBeGreaterThanOrEqual(0);
      if (one!.scale === "level" && metric === "same_top") expect(one!.high).toBeLessThanOrEqual(1);
      if (metric === "acc") expect([one!.low >= -1, one!.high <= 1]).toEqual([true, true]);
    }
  });

  test("a distance from the reference is a size: beyond, within or about the margin, as its interval lies", () => {
    for (const { comparison: one, verdict: said, metric } of of("size")) {
      if (said?.kind !== "size") continue;
      const ends = [one!.low, one!.high].map((end) => (metric === "same_top" ? 1 - end : end)).sort((a, b) => a - b);
      const place = ends[0]! > said.margin ? "beyond" : ends[1]! < said.margin ? "within" : "around";
      expect(said.place).toBe(place);
      expect(one).toMatchObject({ p: Number.NaN, scale: "level" });
      expect(one).not.toHaveProperty("adjusted");
    }
  });

  test("no sentence has 200 characters", () => {
    for (const { questions, notes } of reports) {
      const said = questions.flatMap(({ pairs, answers }) => [...answers, ...pairs.map(({ sentence }) => sentence)]);
      for (const part of [...said, ...notes].flatMap((text) => text.split(/(?<=\.) /)))
        expect(part.length, part).toBeLessThan(200);
    }
  });

  test("nothing astronomic is written", () => {
    const started = { type: "started", at: 0, name: "r", variants: [], jobs: [], measurements: [] } as const;
    const provenance = {
      ...{ command: [], versions: {}, datasets: [], engine: { version: "1", library: "l", origin: "" } },
      machine: { cpu: "A", cpus: 1, memoryBytes: 1, os: "", arch: "", gpus: [] },
    };
    const sessions = [{ at: 0, command: [], outcome: "complete" as const }];
    for (const verdicts of reports) {
      const table = { started: { ...started, variants: [], jobs: [], measurements: [], provenance }, sessions };
      const text = markdown({
        table: { ...table, engines: new Map(), columns: [], rows: [], notes: [] },
        verdicts: { ...verdicts, ladders: [] },
        ...{ short: { columns: [], rows: [], conclusions: [] }, divergences: [], tasks: [] },
      });
      expect(text).not.toMatch(/NaN|Infinity|undefined|(?<![.\d])\d{7,}|e\+\d/);
      expect(comparisonsCsv(verdicts)).not.toMatch(/NaN|Infinity|e\+\d/);
    }
  });

  test("the table's mark says the kind", () => {
    const marks = new Set(all.map(({ verdict }) => mark(verdict!)));
    expect([...marks].every((one) => one !== "")).toBe(true);
  });
});
