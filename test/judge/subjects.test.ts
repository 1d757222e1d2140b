import { expect, test } from "vitest";
import { reading } from "../../dist/judge/reading.js";
import { verdict } from "../../dist/judge/verdict.js";
import { clause } from "../../dist/judge/words.js";
import { compare } from "../../dist/stats/estimate.js";

test.each([
  [200, 93, 2],
  [100, 40, 2],
  [60, 25, 3],
])(
  "%d answers, %d of them wrong now, in %d subjects: the size is said, and why it is not certain",
  (n, wrong, subjects) => {
    const answers = (flipped: number) =>
      Array.from({ length: n }, (_, i) => ({ item: String(i), value: i < flipped ? 0 : 1, weight: 1 }));
    const clusters = new Map(answers(0).map(({ item }, i) => [item, `s${i < n / 2 ? 0 : 1 + (i % (subjects - 1))}`]));
    const comparison = compare("acc", answers(0), answers(wrong), { clusters });
    const said = verdict(comparison, 0.01);
    expect(
      reading({ measurement: "m", dataset: "", metric: "acc", label: "acc", comparison, verdict: said, notes: [] })
        .state,
    ).toBe("unknown");
    const points = (100 * wrong) / n;
    const size = new RegExp(`−${Math.floor(points / 10)}\\d(\\.\\d+)? points`);
    expect(clause(comparison, said)).toMatch(size);
    expect(clause(comparison, said)).toContain(`${subjects} subjects are too few`);
  },
);
