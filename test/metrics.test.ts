import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { isMeantBy, isMetric, judgeable, leadsAmong, metric, variantMetrics } from "../dist/metrics.js";

const src = fileURLToPath(new URL("../src", import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.tsx?$/.test(name) && name !== "metrics.ts")
  .map((name) => ({ name, code: readFileSync(`${src}/${name}`, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "") }));

/** They make the values, name them in a file's format, theirs or another program's, or name measurements. */
const makers =
  /^(measurements|references|replay|scores|data\/foreign)\/|^(stats|reports)\/divergence\.ts$|^store\/|^events\.ts$|^run\/|^benchmark\/|^commands\/(run|bisect)\.ts$/;

describe("metrics own their facts", () => {
  test("only metrics.ts and the statistics read how a metric is aggregated", () => {
    const readers = files.filter(({ code }) => /\baggregation\b/.test(code)).map(({ name }) => name);
    // A key of lm-eval's files.
    expect(readers.filter((name) => !/^stats\/|^data\/foreign\//.test(name))).toEqual([]);
  });

  test("who reads a metric knows none by name", () => {
    const named = files.flatMap(({ name, code }) =>
      makers.test(name)
        ? []
        : Array.from(code.matchAll(/"([\w@]+)"/g), ([, word]) => `${name}: ${word}`).filter((line) =>
            isMetric(line.split(": ")[1]!),
          ),
    );
    // A kind of verdict, a heading, a field of a model's facts; the likelihood that statistics sum up; a program of llama.cpp.
    const others =
      /: (size|parameters|bpw)$|^stats\/(summary|estimate)\.ts: perplexity$|^backends\/llama-tools\/\S+: perplexity$/;
    expect(named.filter((line) => !others.test(line))).toEqual([]);
  });

  test("a metric is described whole by its entry", () => {
    expect(metric("kld")).toMatchObject({ per: "token", leads: true, identical: 0, margin: { size: 0.001 } });
    expect(metric("tg128")).toMatchObject({ family: "tg", per: "repetition", memoryBound: true });
    expect(metric("delta_p_p99.9")).toMatchObject({ scale: "percent", leads: false, beside: false });
    expect(variantMetrics.map(({ name }) => name)).toEqual([
      "size",
      "bpw",
      "parameters",
      "load_time",
      "peak_memory",
      "kv_cache",
    ]);
    expect([leadsAmong("acc_token", ["acc_token"]), leadsAmong("acc_token", ["acc", "acc_token"])]).toEqual([
      true,
      false,
    ]);
    expect([isMeantBy("tg", "tg128"), isMeantBy("tg", "pp512"), isMeantBy("acc", "acc")]).toEqual([true, false, true]);
    expect(judgeable()).toEqual(expect.arrayContaining(["perplexity", "kld", "acc", "size", "pp", "tg"]));
  });
});
