import { expressionForm, matchesOf } from "../expressions.js";
import type { Scorer, Truth } from "./score.js";

const keys = {
  number: expressionForm.describe(
    String.raw`What finds the number in the right answer, in its brackets: \`段落(\d+)\`.`,
  ),
};

const numberOf = ({ answer }: Truth, { number }: { number: string }): string | undefined => {
  const [match] = matchesOf(number, answer, { key: "number", text: "a right answer" });
  return match && (match.groups[0] ?? match.found);
};

/** The share of all numbers in the text that are the right one: LongBench's `retrieval_score`, `retrieval_zh_score` and `count_score`. */
export const retrieval: Scorer<"retrieval", typeof keys> = {
  by: "retrieval",
  metric: "retrieval",
  rightOrWrong: false,
  keys,
  unfit: (truth, rule) =>
    numberOf(truth, rule) === undefined ? `it holds no number for \`${rule.number}\`` : undefined,
  score(said, truth, rule) {
    const right = numberOf(truth, rule);
    const numbers = said.match(/\p{Nd}+/gu) ?? [];
    return numbers.length === 0 ? 0 : numbers.filter((one) => one === right).length / numbers.length;
  },
};
