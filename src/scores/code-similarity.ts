import { roundedToEven } from "./python.js";
import type { Scorer } from "./score.js";

/**
 * How alike the first line of code and the right one are: LongBench's `code_sim_score`, which is fuzzywuzzy's `ratio` by Python's
 * difflib in whole per cents. A line with a back quote, `#` or `//` is none of code.
 */
export const codeSimilarity: Scorer<"code_similarity", Record<never, never>> = {
  by: "code_similarity",
  metric: "code_similarity",
  rightOrWrong: false,
  keys: {},
  score(said, { answer }) {
    const lines = said.replace(/^\n+/, "").split("\n");
    const line = lines.find((one) => !/`|#|\/\//.test(one)) ?? "";
    if (line === answer) return 1;
    if (line === "" || answer === "") return 0;
    const [own, right] = [[...line], [...answer]];
    return roundedToEven(100 * ((2 * matching(own, right)) / (own.length + right.length))) / 100;
  },
};

/** In texts from this length on, characters that make up more than a hundredth of one begin no match in it. */
const longText = 200;

/** The characters that difflib's SequenceMatcher finds in common: the longest run that both have, then those before it and after it. */
function matching(a: string[], b: string[]): number {
  const places = new Map<string, number[]>();
  for (const [i, one] of b.entries()) places.set(one, [...(places.get(one) ?? []), i]);
  if (b.length >= longText)
    for (const [one, at] of places) if (at.length > Math.floor(b.length / 100) + 1) places.delete(one);
  let common = 0;
  const left: [number, number, number, number][] = [[0, a.length, 0, b.length]];
  for (let part = left.pop(); part; part = left.pop()) {
    const [aFrom, aTo, bFrom, bTo] = part;
    const { i, j, size } = longestRun(a, b, places, part);
    if (size === 0) continue;
    common += size;
    left.push([aFrom, i, bFrom, j], [i + size, aTo, j + size, bTo]);
  }
  return common;
}

/** The longest run of one part in the other, the first of several. */
function longestRun(
  a: string[],
  b: string[],
  places: Map<string, number[]>,
  [aFrom, aTo, bFrom, bTo]: [number, number, number, number],
) {
  let best = { i: aFrom, j: bFrom, size: 0 };
  let ending = new Map<number, number>();
  for (let i = aFrom; i < aTo; i++) {
    const next = new Map<number, number>();
    for (const j of places.get(a[i]!) ?? []) {
      if (j < bFrom) continue;
      if (j >= bTo) break;
      const size = (ending.get(j - 1) ?? 0) + 1;
      next.set(j, size);
      if (size > best.size) best = { i: i - size + 1, j: j - size + 1, size };
    }
    ending = next;
  }
  // Characters that are too frequent to begin a run may prolong it.
  let { i, j, size } = best;
  while (i > aFrom && j > bFrom && a[i - 1] === b[j - 1]) {
    i--;
    j--;
    size++;
  }
  while (i + size < aTo && j + size < bTo && a[i + size] === b[j + size]) size++;
  return { i, j, size };
}
