import { expect, test } from "vitest";
import { errorsOf, meanOf, nullRuns, told } from "./null-reports.js";

test("a report of the demo's shape without a difference: each answer errs in 5 % at most, what it does not doubt in any, too", () => {
  const draws = 2000;
  const { answers, means, any, held, unadjusted } = errorsOf(draws, nullRuns(1, { rho: 0, own: 1 }));
  const share = (count: number) => (100 * count) / draws;
  const say = (what: string, of: number, draws_ = draws) => console.log(`      ${what}: ${told(of, draws_)}`);
  // Answers of one report share variants and texts: the error is that of independent reports, each of which has as many answers.
  say(`a false difference in an answer, mean over ${answers.size}`, meanOf(answers, draws));
  say(`  in a mean over pairs, mean over ${means.size}`, meanOf(means, draws));
  for (const [answer, count] of answers) say(`  ${answer}`, share(count));
  say("in any answer of a report", share(any));
  say("  that the report does not call less certain over all answers", share(held));
  say("in any interval without an adjustment", share(unadjusted));
  expect(answers.size).toBe(23);
  expect(meanOf(answers, draws)).toBeLessThanOrEqual(5);
  // Three standard errors above 5 %.
  for (const [answer, count] of answers) expect(share(count), answer).toBeLessThanOrEqual(6.5);
  for (const [answer, count] of means) expect(share(count), `mean of ${answer}`).toBeLessThanOrEqual(6.5);
  expect(share(held)).toBeLessThanOrEqual(6.5);
  // Draws that no adjustment need mend would prove nothing.
  expect(share(unadjusted)).toBeGreaterThan(90);
}, 1_800_000);
