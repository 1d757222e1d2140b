import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { askedChunks } from "../../../dist/backends/chunks.js";
import type { Comparison } from "../../../dist/stats/comparison.js";
import { compare, level } from "../../../dist/stats/estimate.js";
import { contiguous, holds } from "./stretches.mjs";

/** By variant of SmolLM2-135M: of the first 200 chunks (512 tokens) of a text, what each costs and its KLD from F16; nats. */
type Measured = Record<"likelihood" | "kld", Record<string, number[]>>;

const texts = {
  "WikiText-2's test set": "wikitext-2.json",
  "paragraphs of the Chinese Wikipedia, CMRC 2018's": "zh-wiki.json",
};
const chunks = 200;
const whole = Array.from({ length: chunks }, (_, i) => i);
/** What `spread: n` measures, by seed. */
const drawn = (n: number) => Array.from({ length: 200 }, (_, seed) => askedChunks(chunks, { spread: n, seed }));

const items = (values: number[], at: number[]) => at.map((i) => ({ item: String(i), value: values[i]!, weight: 255 }));

/** A figure of some of the chunks, on the scale on which its interval is symmetric. */
type Figure = (at: number[]) => { low: number; high: number; value: number };

const onLogs = ({ low, high }: Comparison, value: number, log: (x: number) => number) => ({
  ...{ low: log(low), high: log(high), value: log(value) },
});

function figuresIn(file: string): [string, Figure][] {
  const measured: Measured = JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8"));
  return ["Q4_K_M", "Q2_K"].flatMap((variant): [string, Figure][] => [
    [
      `PPL of ${variant} against F16`,
      (at) => {
        const [a, b] = [measured.likelihood.F16!, measured.likelihood[variant]!].map((values) => items(values, at));
        const found = compare("perplexity", a!, b!);
        return onLogs(found, found.difference, Math.log1p);
      },
    ],
    [
      `KLD of ${variant}`,
      (at) => {
        const found = level("kld", items(measured.kld[variant]!, at));
        return onLogs(found, found.b, Math.log);
      },
    ],
    [
      `PPL of ${variant}`,
      (at) => {
        const found = level("perplexity", items(measured.likelihood[variant]!, at));
        return onLogs(found, found.b, Math.log);
      },
    ],
  ]);
}

function coverage(figure: Figure, samples: number[][]): { plain: number; finite: number } {
  const { value } = figure(whole);
  let [plain, finite] = [0, 0];
  for (const at of samples) {
    const held = holds({ ...figure(at), whole: value, share: at.length / chunks });
    if (held.plain) plain++;
    if (held.finite) finite++;
  }
  return { plain: (100 * plain) / samples.length, finite: (100 * finite) / samples.length };
}

describe.each(Object.entries(texts))("200 chunks of %s", (_, file) => {
  describe.each(figuresIn(file))("%s", (name, figure) => {
    test.each([16, 24, 32, 64])("%i chunks from all over the text hold the whole text's value", (n) => {
      const [row, over] = [coverage(figure, contiguous(chunks, n)), coverage(figure, drawn(n))];
      const told = ({ plain, finite }: typeof row) => `${plain.toFixed(1)} % (${finite.toFixed(1)} %)`;
      console.log(`      ${name}, ${n} chunks: in a row ${told(row)}, from all over the text ${told(over)}`);
      // Neighbours of such a sample are far apart, and the blocks that they are cut into only make it wider.
      expect(over.plain).toBeGreaterThan(93.5);
      expect(over.finite).toBeGreaterThan(93);
    });
  });
});

test("16 chunks in a row do not hold it where a text's difficulty drifts over far more than that", () => {
  const coverages = Object.values(texts).map((file) => {
    const [, figure] = figuresIn(file).find(([name]) => name === "PPL of Q4_K_M")!;
    return coverage(figure, contiguous(chunks, 16)).plain;
  });
  // Articles of many chunks, and paragraphs of different articles one after another.
  expect(coverages[0]).toBeLessThan(85);
  expect(coverages[1]).toBeGreaterThan(88);
});
