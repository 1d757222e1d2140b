import { describe, expect, test } from "vitest";
import type { Result } from "../../dist/judge/results.js";
import { differenceIn, shownIn } from "../../dist/judge/verdict.js";
import { clause, mark, tabulated } from "../../dist/judge/words.js";
import { recordedAnswers } from "./recorded.js";

/** What is said of a comparison, in the words of each place. */
const saidOf = ({ comparison, verdict }: Result) =>
  [clause(comparison!, verdict!), mark(verdict!, comparison!), ...tabulated(comparison!)].join(" | ");

describe.each(["demo", "smollm2"] as const)("the report of %s", (name) => {
  const questions = recordedAnswers(name);
  const all = questions.flatMap(({ pairs, pooled }) => [...pairs.flatMap(({ results }) => results), ...pooled]);
  const compared = all.filter(({ comparison }) => comparison !== undefined);
  const excludes0 = ({ comparison }: Result) => comparison!.low > 0 || comparison!.high < 0;

  test("says nowhere that there is no difference beside an interval without 0, nor the contrary", () => {
    expect(compared.length).toBeGreaterThan(30);
    const tested = compared.filter(({ comparison }) => comparison!.scale !== "level");
    for (const one of tested) {
      const said = saidOf(one);
      if (excludes0(one)) {
        expect(shownIn(one.verdict!), said).toBeDefined();
        expect(said).not.toMatch(/no difference|not sure|cannot tell|too few|~/);
      } else expect(said).not.toMatch(/better|worse|faster|slower/);
      expect(one.comparison!.p < 0.05, said).toBe(excludes0(one));
    }
    // A test of words on data without any such line would prove nothing.
    expect(tested.filter((one) => one.comparison!.adjusted! >= 0.05 && excludes0(one)).length).toBeGreaterThan(
      name === "demo" ? 2 : -1,
    );
  });

  test("has sentences that a person can read: one number of each kind, the size before its certainty", () => {
    for (const { answers, pairs } of questions)
      for (const said of [...answers, ...pairs.map(({ sentence }) => sentence)]) {
        expect(said).not.toMatch(/NaN|undefined|Infinity|\bnull\b| {2}|\(;|; ;|;\)|−−|\+−/);
        for (const [, , inside] of said.matchAll(/(^|[^(])\(([^()]*)\)/g)) {
          const parts = inside!.split("; ");
          expect(new Set(parts).size, said).toBe(parts.length);
        }
      }
  });
});

describe("the demo", () => {
  const questions = recordedAnswers("demo");
  const [matrix] = questions;
  const all = questions.flatMap(({ pairs }) => pairs.flatMap(({ results }) => results));

  test("most of what single intervals show is certain, and nothing of it is lost without a word", () => {
    // Three repetitions are too few for anything, whatever else is measured.
    const isSpeed = ({ metric }: Result) => /^(pp|tg)\d/.test(metric);
    const single = all.filter((one) => !isSpeed(one) && one.comparison!.p < 0.05);
    const certain = single.filter(({ verdict }) => differenceIn(verdict!) !== undefined);
    const sizes = all.filter(({ comparison }) => comparison!.scale === "level");
    console.log(
      `      of ${single.length} that the interval shows ${certain.length} are certain; ${sizes.length} sizes`,
    );
    // Each distance from the reference is a size that its interval places.
    expect(sizes).toHaveLength(14);
    expect(certain.length + sizes.length).toBeGreaterThanOrEqual(81);
    for (const { verdict } of single) expect(shownIn(verdict!)).toBeDefined();
  });

  test("says by how much the importance matrix helps: as in an independent computation", () => {
    const mean = Object.fromEntries(matrix!.pooled.map(({ label, comparison }) => [label, comparison!]));
    // Made in Python for 0.1.0's run of the same models: log −0.2425 ± 0.0060, −0.2370 ± 0.0117, −0.91 ± 0.12, +3.0 points.
    const log = (label: string) => Math.log1p(mean[label]!.difference);
    expect(log("prose-en PPL")).toBeCloseTo(-0.2425, 3);
    expect(log("prose-zh PPL")).toBeCloseTo(-0.237, 2);
    expect(log("KLD")).toBeCloseTo(-0.91, 1);
    expect(mean["facts-zh acc"]!.difference).toBeCloseTo(0.03, 2);
    expect(matrix!.answers).toHaveLength(5);
    for (const answer of matrix!.answers)
      expect(answer).toMatch(/: helps: \d+(\.\d+)? (%|points) (lower|higher) on average over 6 pairs/);
  });
});
