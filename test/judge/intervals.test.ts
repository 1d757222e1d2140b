import { expect, test } from "vitest";
import type { StoredEvent } from "../../dist/events.js";
import { comparedIn, comparedOver, gate, parseRule, type Result, verdictsOver } from "../../dist/judge/index.js";
import { replay } from "../../dist/replay/index.js";
import { cardOf } from "../../dist/reports/card/index.js";
import { comparisonsCsv, longCsv } from "../../dist/reports/csv.js";
import { factsFrom } from "../../dist/reports/index.js";
import { markdown } from "../../dist/reports/markdown.js";
import { type Series, seriesFrom } from "../../dist/stats/series.js";
import { recordedSeries } from "./recorded.js";

/** A recorded run whose divergence has the ln PPL ratio, too: that of its perplexities, chunk by chunk. */
function recorded(name: "demo" | "smollm2"): Series[] {
  const all = recordedSeries(name);
  return all.map((one) => {
    const { job, observations } = one;
    const own = (variant: string) =>
      all
        .find(
          (other) =>
            other.variant.name === variant && other.job.kind === "perplexity" && other.job.dataset === job.dataset,
        )
        ?.observations.get("perplexity");
    const [b, a] = [own(job.variant), job.against === undefined ? undefined : own(job.against)];
    if (!a || !b) return one;
    const ratios = b.map(({ value, ...rest }, i) => ({ ...rest, value: value - a[i]!.value }));
    const metrics = [...job.metrics, "ln_ppl_ratio"];
    const kept = new Map([
      ...job.metrics.map((metric) => [metric, observations.get(metric)!] as const),
      ["ln_ppl_ratio", ratios],
    ]);
    return { ...one, job: { ...job, metrics }, observations: kept };
  });
}

/** The events of a run that measured it. */
function eventsOf(series: Series[]): StoredEvent[] {
  const variants = [...new Map(series.map(({ variant }) => [variant.name, variant])).values()].map((variant) => ({
    ...variant,
    facts: {
      ...variant.facts!,
      ...{ files: [], sha256: variant.name, bpw: 8, contextLength: 512, vocabulary: 32000, layers: 1 },
      ...{ kvBytesPerToken: 1, tokenizerSha256: "t", vocabularySha256: "t" },
    },
  }));
  const started: StoredEvent = {
    ...{ type: "started", at: 0, name: "recorded", variants, measurements: [] },
    jobs: series.map(({ job }) => ({ ...job, datasetSha256: job.dataset })),
    provenance: {
      ...{ command: ["gguf-bench"], versions: {}, datasets: [] },
      machine: { cpu: "A", cpus: 2, memoryBytes: 1e9, os: "Linux", arch: "x64", gpus: [] },
      engine: { version: "llama.cpp b1", library: "cpu.so", origin: "" },
    },
  };
  const measured = series.flatMap(({ job, observations, clusters }): StoredEvent[] => {
    const byItem = new Map<string, { metric: string; value: number; weight: number }[]>();
    for (const metric of job.metrics)
      for (const { item, value, weight } of observations.get(metric)!)
        byItem.set(item, [...(byItem.get(item) ?? []), { metric, value, weight }]);
    const samples = Array.from(byItem, ([item, of]): StoredEvent => {
      const cluster = clusters?.get(item);
      return { ...{ type: "samples", job: job.id, item, samples: of }, ...(cluster === undefined ? {} : { cluster }) };
    });
    return [...samples, { type: "job-done", at: 1, job: job.id, items: byItem.size, seconds: 1 }];
  });
  return [started, ...measured];
}

const cellsOf = (csv: string) =>
  csv
    .replace(/^\uFEFF/, "")
    .trimEnd()
    .split("\n")
    .map((line) =>
      Array.from(`,${line}`.matchAll(/,("(?:[^"]|"")*"|[^,]*)/g), ([, cell]) => cell!.replace(/^"|"$/g, "")),
    );

interface Told {
  place: string;
  low: number;
  high: number;
}

test.each(["demo", "smollm2"] as const)("%s: a pair has one interval for a figure, wherever it is told", (name) => {
  const facts = factsFrom(replay(eventsOf(recorded(name))), "");
  const series = seriesFrom(replay(eventsOf(recorded(name))));
  const told = new Map<string, Told[]>();
  const tell = (key: readonly string[], one: Told) => {
    if (!Number.isFinite(one.low)) return;
    const name = key.join(" ");
    told.set(name, [...(told.get(name) ?? []), one]);
  };
  const tellResults = (place: string, a: string, b: string, results: Result[]) => {
    for (const { measurement, metric, comparison } of results)
      if (comparison) tell([a, b, measurement, metric], { place, low: comparison.low, high: comparison.high });
  };
  const pairs = facts.verdicts.questions.flatMap(({ pairs }) => pairs);
  for (const { a, b, results } of pairs) {
    tellResults("verdicts", a, b, results);
    const alone = verdictsOver(
      [{ title: "", pairs: [[a, b]] }],
      (of) => series.filter(({ variant }) => variant.name === of),
      {
        beside: comparedIn(series),
      },
    );
    tellResults("compare", a, b, alone.questions[0]!.pairs[0]!.results);
    tellResults("pareto", a, b, comparedOver(series, [[a, b]])[0]!.results);
  }
  // The ln PPL ratio is the change of PPL against the reference by another name.
  const references = new Map(
    series.flatMap(({ job }) => (job.against === undefined ? [] : [[job.variant, job] as const])),
  );
  const perplexityOf = (dataset: string) =>
    series.find(({ job }) => job.kind === "perplexity" && job.dataset === dataset)!.job.measurement;
  for (const [place, csv] of [["comparisons.csv", comparisonsCsv(facts.verdicts)]] as const) {
    const [head, ...rows] = cellsOf(csv);
    for (const row of rows) {
      const at = (column: string) => row[head!.indexOf(column)]!;
      if (at("95 % CI low") === "") continue;
      const per = /^(%|points)$/.test(at("unit of difference")) ? 100 : 1;
      tell([at("a"), at("b"), at("measurement"), at("metric")], {
        ...{ place, low: Number(at("95 % CI low")) / per, high: Number(at("95 % CI high")) / per },
      });
    }
  }
  const [head, ...rows] = cellsOf(longCsv(facts.table, facts.divergences));
  for (const row of rows) {
    const at = (column: string) => row[head!.indexOf(column)]!;
    const job = references.get(at("variant"));
    if (!job || job.variant === job.against || job.measurement !== at("measurement") || at("low") === "") continue;
    const [low, high] = [Number(at("low")), Number(at("high"))];
    if (at("metric") === "ln_ppl_ratio")
      tell([job.against!, job.variant, perplexityOf(job.dataset), "perplexity"], {
        ...{ place: "table-long.csv", low: Math.expm1(low), high: Math.expm1(high) },
      });
    if (at("metric") === "kld")
      tell([job.against!, job.variant, job.measurement, "kld"], { place: "table-long.csv", low, high });
  }
  for (const { variant, cells, against } of facts.short.rows)
    for (const [i, { comparison }] of cells.entries()) {
      const { measurement, metric } = facts.short.columns[i]!;
      if (comparison) tell([against!, variant.name, measurement, metric.name], { place: "screen", ...comparison });
    }
  for (const { name: column, measurement, metric } of facts.table.columns) {
    if (metric.identical !== undefined || !/^(perplexity|acc)$/.test(metric.name)) continue;
    const card = cardOf(facts, { columns: ["variant", `${column}.change`] });
    for (const { variant, cells } of card.rows) {
      const { low, high } = cells.at(-1)!;
      const against = facts.short.rows.find((row) => row.variant.name === variant)!.against;
      if (against !== undefined && low !== undefined)
        tell([against, variant, measurement, metric.name], { place: "card", low, high: high! });
    }
  }

  const asked = [...references.values()].filter(({ variant, against }) => variant !== against);
  expect(asked.length).toBeGreaterThan(5);
  for (const rule of ["ln_ppl_ratio: 1", "kld: 1"])
    for (const { variant, measurement, metric, sentence } of gate(series, [], [parseRule(rule)]).checks) {
      const job = references.get(variant)!;
      const [, low, high] = /95 % CI ([−\d.e-]+) … ([−\d.e-]+)/
        .exec(sentence)!
        .map((text) => Number(text.replace("−", "-")));
      if (job.variant === job.against) continue;
      const isRatio = metric === "ln_ppl_ratio";
      const key = [
        job.against!,
        variant,
        isRatio ? perplexityOf(job.dataset) : measurement,
        isRatio ? "perplexity" : "kld",
      ];
      const [known] = told.get(key.join(" "))!;
      const scale = (value: number) => (isRatio ? Math.log1p(value) : value);
      // As far as it is printed.
      expect(Math.abs(low! - scale(known!.low)), sentence).toBeLessThan(0.01 * (known!.high - known!.low) + 1e-5);
      expect(Math.abs(high! - scale(known!.high)), sentence).toBeLessThan(0.01 * (known!.high - known!.low) + 1e-5);
    }
  for (const [key, of] of told) {
    const width = of[0]!.high - of[0]!.low;
    for (const { place, low, high } of of) {
      expect(Math.abs(low - of[0]!.low) / width, `${key}: ${place}`).toBeLessThan(1e-3);
      expect(Math.abs(high - of[0]!.high) / width, `${key}: ${place}`).toBeLessThan(1e-3);
    }
  }
  const places = new Set([...told.values()].flatMap((of) => of.map(({ place }) => place)));
  expect([...places].sort()).toEqual([
    "card",
    "compare",
    "comparisons.csv",
    "pareto",
    "screen",
    "table-long.csv",
    "verdicts",
  ]);
  const [q] = asked;
  expect(told.get([q!.against!, q!.variant, perplexityOf(q!.dataset), "perplexity"].join(" "))!.length).toBeGreaterThan(
    5,
  );
  expect(markdown(facts)).toContain("ln PPL ratio");
});
