import { splitAtBlanks } from "./python.js";
import type { Scorer } from "./score.js";
import { chineseWords, wordKeys } from "./words.js";

/** Keeps precision and recall of 0 from a division by 0; it is part of every score. */
const tiny = 1e-8;

/**
 * ROUGE-L of the PyPI package `rouge` 1.0.1 on the level of summaries, its F1, as LongBench's `rouge_score` and, of Chinese words
 * joined by blanks, `rouge_zh_score`. Sentences end at full stops. Of each sentence of the right answer the words of its longest
 * common subsequence with each sentence of the text are taken, and each different word counts once. A text without a
 * sentence scores 0.
 */
export const rougeL: Scorer<"rouge_l", typeof wordKeys> = {
  by: "rouge_l",
  metric: "rouge_l",
  rightOrWrong: false,
  keys: wordKeys,
  score(said, { answer }, { words }) {
    const [own, right] = [said, answer].map((text) =>
      sentences(words === "zh" ? chineseWords(text).join(" ") : text),
    ) as [string[][], string[][]];
    if (own.length === 0 || right.length === 0) return 0;
    const common = new Set(right.flatMap((sentence) => own.flatMap((other) => longestCommon(sentence, other))));
    const recall = common.size / new Set(right.flat()).size;
    const precision = common.size / new Set(own.flat()).size;
    return 2 * ((precision * recall) / (precision + recall + tiny));
  },
};

/** One of blanks alone holds a single word, the empty one. */
function sentences(text: string): string[][] {
  const parts = text.split(".").filter((part) => part !== "");
  return parts.map((part) => splitAtBlanks(part).join(" ").split(" "));
}

/** The words of a longest common subsequence; of several as long, the one that the package finds. */
function longestCommon(x: string[], y: string[]): string[] {
  const width = y.length + 1;
  const lengths = new Uint32Array((x.length + 1) * width);
  for (let i = 1; i <= x.length; i++)
    for (let j = 1; j <= y.length; j++)
      lengths[i * width + j] =
        x[i - 1] === y[j - 1]
          ? lengths[(i - 1) * width + j - 1]! + 1
          : Math.max(lengths[(i - 1) * width + j]!, lengths[i * width + j - 1]!);
  const found: string[] = [];
  for (let [i, j] = [x.length, y.length]; i > 0 && j > 0; )
    if (x[i - 1] === y[j - 1]) {
      found.push(x[i - 1]!);
      i--;
      j--;
    } else if (lengths[(i - 1) * width + j]! > lengths[i * width + j - 1]!) i--;
    else j--;
  return found;
}
