import { describe, expect, it } from "vitest";
import { withoutThought } from "../../dist/chat/thought.js";
import { type LetterQuestion, lettered, optionNamed } from "../../dist/measurements/letters.js";

const textOf = (question: LetterQuestion | string) =>
  typeof question !== "string" && "context" in question ? question.context : undefined;

describe("a question that is answered with a letter", () => {
  it("stands as its card has it where the options are letters", () => {
    const item = { id: "0", context: "Q\nA. 猫\nB. 狗\n答案：", options: ["A", "B"] };
    expect(lettered(item, "")).toEqual({ context: item.context, delimiter: "", letters: ["A", "B"] });
  });

  // Of two options, "3" has the order of the data and "0" the other one.
  it("lists other options under letters, in an order of its own", () => {
    expect(lettered({ id: "3", context: "She ran \n", options: [" home.", "away."] }, " ")).toEqual({
      context: "She ran\n\nA. home.\nB. away.\n\nAnswer:",
      ...{ delimiter: " ", letters: ["A", "B"], order: [0, 1] },
    });
    const spoken = lettered({ id: "0", context: "q", options: ["x", "y"] }, " ", { spoken: true });
    expect(textOf(spoken)).toBe("q\n\nA. y\nB. x\n\nAnswer with the letter of the right option alone.");
    expect(spoken).toMatchObject({ order: [1, 0] });
    expect(textOf(lettered({ id: "3", context: "q", options: ["B", "A"] }, ""))).toContain("A. B\nB. A\n");
  });

  it("has each option under each letter about as often as under any other", () => {
    for (const options of [2, 4, 7]) {
      const counts = Array.from({ length: options }, () => new Array<number>(options).fill(0));
      for (let i = 0; i < 2000; i++) {
        const item = { id: `law/${i}`, context: "q", options: Array.from({ length: options }, (_, o) => `o${o}`) };
        const question = lettered(item, " ");
        if (typeof question === "string") throw new Error(question);
        expect([...question.order!].sort()).toEqual(item.options.map((_, o) => o));
        for (const [place, option] of question.order!.entries()) counts[option]![place]!++;
      }
      const share = 1 / options;
      const most = 5 * Math.sqrt(2000 * share * (1 - share));
      for (const count of counts.flat()) expect(Math.abs(count - 2000 * share)).toBeLessThan(most);
    }
  });

  it("stands in the last message of a conversation", () => {
    const before = { role: "system" as const, content: "s" };
    const asIs = {
      id: "0",
      messages: [before, { role: "user" as const, content: "q\nA. x\nB. y\n答案：" }],
      options: ["A", "B"],
    };
    expect(lettered(asIs, "")).toEqual({ messages: asIs.messages, delimiter: "", letters: ["A", "B"] });
    const texts = { id: "0", messages: [before, { role: "user" as const, content: "q" }], options: ["x", "y"] };
    expect(lettered(texts, " ")).toEqual({
      messages: [
        before,
        { role: "user", content: "q\n\nA. y\nB. x\n\nAnswer with the letter of the right option alone." },
      ],
      ...{ delimiter: "", letters: ["A", "B"], order: [1, 0] },
    });
    const gap = { id: "0", contexts: ["Ann", "Bob"], options: [" left.", " left."] };
    expect(lettered(gap, "")).toBe("its options stand inside the question, where no letter can");
  });
});

describe("the option that an answer names", () => {
  const named: [answer: string, option: string | undefined][] = [
    ["B", "B"],
    [" B", "B"],
    ["B.", "B"],
    ["B) because", "B"],
    ["(B)", "B"],
    ["**B**", "B"],
    ["b", "B"],
    [" (c).", "C"],
    ["Ｂ", "B"],
    ["（Ｂ）", "B"],
    ["选B", "B"],
    ["选项B是正确的", "B"],
    ["A. Paris", "A"],
    ["The answer is C.", "C"],
    ["The correct answer is: (C) Paris", "C"],
    ["the best option is **D**", "D"],
    ["ANSWER: D", "D"],
    ["Answer:\n\nB", "B"],
    ["答案：D", "D"],
    ["正确答案是（D）。", "D"],
    ["答案应为 C", "C"],
    ["A 和 B 都不对，所以答案是C。", "C"],
    ["选项A错误，B错误，故选D。", "D"],
    ["Option A is wrong. The correct answer is option B.", "B"],
    ["We compute \\boxed{C}", "C"],
    ["A is too small, so the answer is $\\boxed{\\text{D}}$", "D"],
    ["<think>A? No, the answer is A… or B.</think>\n\nC", "C"],
    ["…the answer is A.</think>D", "D"],
    ["<think>The answer is A", undefined],
    ["A cat sat on the mat.", undefined],
    ["A cat sat, hence B.", "B"],
    ["Answer: A man is running. Or C", "C"],
    ["A: B", "B"],
    ["A: (C) Paris", "C"],
    ["A: A: D", "D"],
    ["A: Ben Brook", "A"],
    ["A because it is", "A"],
    ["A is right", "A"],
    ["I don't know.", undefined],
    ["E", undefined],
    ["ABC", undefined],
    ["DNA", undefined],
    ["A's", undefined],
    ["Él", undefined],
    ["", undefined],
    ["答案不明", undefined],
    ["It's D-Day", "D"],
  ];
  it.each(named)("%j: %s", (answer, option) => {
    const found = optionNamed(withoutThought(answer).text, 4);
    expect(found === undefined ? undefined : "ABCD"[found]).toBe(option);
  });

  it("is one of those that there are", () => {
    expect(optionNamed("C", 2)).toBeUndefined();
    expect(optionNamed("C, no, B", 2)).toBe(1);
    expect(optionNamed("I", 9)).toBe(8);
    expect(optionNamed("I think so", 9)).toBeUndefined();
  });
});
