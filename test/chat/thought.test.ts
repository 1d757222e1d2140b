import { expect, it } from "vitest";
import { withoutThought } from "../../dist/chat/thought.js";

it.each([
  ["The answer is B.", false, "The answer is B.", false, true],
  ["<think>\nIs it A? No.\n</think>\n\nB", false, "B", true, true],
  ["\n<think>Hm.</think>B? <thinking>Hm.</thinking> C", false, "C", true, true],
  ["<think>a</think>\n<think>b</think>C", false, "C", true, true],
  // The template had begun the thought, or closed one that is empty.
  ["Is it A? No.\n</think>\n\nB", true, "B", true, true],
  ["Is it A? No.\n</think>B", false, "B", true, true],
  ["<think>\n\n</think>\n\nB", false, "B", false, true],
  ["\n</think>\nB", true, "B", false, true],
  // No answer was given.
  ["<think>Is it A or", false, "", true, false],
  ["Is it A or", true, "", true, false],
  ["", true, "", true, false],
  ["B <think>or C", false, "B", true, true],
  ["<seed:think>x</seed:think>B", false, "B", true, true],
  ["if a < b: <thinker>", false, "if a < b: <thinker>", false, true],
])("%j, begun %s: %j", (text, begun, left, thought, closed) => {
  expect(withoutThought(text, begun)).toEqual({ text: left, thought, closed });
});
