import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutMiddle, shortNames, widthOf } from "../../dist/reports/names.js";

const shownOf = (names: string[], width: number) => {
  const { prefix, shown } = shortNames(names, width);
  return { prefix, texts: names.map((name) => shown.get(name)!) };
};

describe("names where room is short", () => {
  test("what all begin with is told once, as whole words", () => {
    expect(shownOf(["Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Meta-Llama-3.1-8B-Instruct-Q4_K_S.gguf"], 20)).toEqual({
      prefix: "Meta-Llama-3.1-8B-Instruct-",
      texts: ["Q4_K_M.gguf", "Q4_K_S.gguf"],
    });
    expect(shownOf(["F16", "Q8_0"], 20)).toEqual({ prefix: "", texts: ["F16", "Q8_0"] });
  });

  test.each([
    ["the end", ["a-long-model-name-of-one-Q4_K_M", "b-long-model-name-of-one-Q4_K_S"]],
    ["the middle", ["model-of-many-Q4_K_M-and-a-long-remainder", "model-of-many-Q4_K_S-and-a-long-remainder"]],
    [
      "one is the beginning of the other",
      ["a-name-that-is-long-enough-to-be-cut", "a-name-that-is-long-enough-to-be-cut-im"],
    ],
    ["Chinese", ["一个非常非常长的模型名称甲量化版本", "一个非常非常长的模型名称乙量化版本"]],
    ["invisible characters", ["name\u200b", "name\u2060", "name"]],
    [
      "two hidden places",
      [
        "x".repeat(30) + "1" + "y".repeat(30) + "2" + "z".repeat(30),
        "x".repeat(30) + "1" + "y".repeat(30) + "3" + "z".repeat(30),
        "x".repeat(30) + "2" + "y".repeat(30) + "2" + "z".repeat(30),
      ],
    ],
  ])("two different names never look alike: %s", (_, names) => {
    for (const width of [12, 16, 20, 32]) {
      const { texts } = shownOf(names, width);
      expect(new Set(texts).size).toBe(names.length);
      for (const text of texts) expect(widthOf(text)).toBeLessThanOrEqual(width);
    }
  });

  test("whatever the names and the width", () => {
    const part = fc.constantFrom("Llama", "-", "Q4_K_M", "Q4_K_S", "模型", "é", "x", ".", " ", "im", "8B");
    const name = fc.array(part, { minLength: 1, maxLength: 14 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(
        fc.uniqueArray(name, { minLength: 1, maxLength: 16 }),
        fc.integer({ min: 8, max: 40 }),
        (names, width) => {
          const { texts } = shownOf(names, width);
          expect(new Set(texts).size).toBe(names.length);
          for (const text of texts) expect(widthOf(text)).toBeLessThanOrEqual(width);
        },
      ),
      { numRuns: 300, seed: 1 },
    );
  });

  test("wide characters count as two cells, and a letter keeps its accent", () => {
    expect(widthOf(cutMiddle("模型模型模型", 7))).toBeLessThanOrEqual(7);
    expect(cutMiddle("e\u0301e\u0301e\u0301e\u0301e\u0301", 3)).toBe("e\u0301…e\u0301");
  });
});
