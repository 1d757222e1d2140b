import type { Scorer } from "./score.js";
import { comparedWords, wordKeys } from "./words.js";

/** Harmonic mean of precision and recall of the words, each as often as it occurs: LongBench's `qa_f1_zh_score` and `qa_f1_score`. */
export const f1: Scorer<"f1", typeof wordKeys> = {
  by: "f1",
  metric: "f1",
  rightOrWrong: false,
  keys: wordKeys,
  score(said, { answer }, { words }) {
    const [own, right] = [said, answer].map(comparedWords[words]) as [string[], string[]];
    const left = new Map<string, number>();
    for (const word of right) left.set(word, (left.get(word) ?? 0) + 1);
    let common = 0;
    for (const word of own) {
      const count = left.get(word) ?? 0;
      if (count === 0) continue;
      left.set(word, count - 1);
      common++;
    }
    if (common === 0) return 0;
    const [precision, recall] = [common / own.length, common / right.length];
    return (2 * precision * recall) / (precision + recall);
  },
};
