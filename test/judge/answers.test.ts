import { expect, test } from "vitest";
import { verdictsFrom } from "../../dist/judge/verdicts.js";
import { replay } from "../../dist/replay/index.js";
import { eventsOf, type Kind, type Made } from "./ladders.js";

/** A pair for each cost without and with an importance matrix, of a quantization of its own. */
const pairsOf = (costs: [without: number, with_: number][], more: Partial<Made>[] = []): Made[] =>
  costs.flatMap(([without, with_], i) => {
    const tags = (imatrix: string) => ({ quant: `Q${i}`, imatrix });
    return [
      { name: `Q${i}`, cost: without, tags: tags("false"), ...more[i] },
      { name: `Q${i}-im`, cost: with_, tags: tags("true"), ...more[i] },
    ];
  });

const asked = (made: Made[], kinds: Kind[] = ["perplexity"]) =>
  verdictsFrom(replay(eventsOf([{ name: "F16", cost: 0, tags: {} }, ...made], { kinds }))).questions[0]!;

test("begins with the mean over the pairs, and names all but the most common", () => {
  const { answers, pooled } = asked(
    pairsOf([
      [0.1, 0.05],
      [0.2, 0.1],
      [0.4, 0.2],
      [0.1, 0.1],
    ]),
  );
  expect(answers).toEqual([
    expect.stringMatching(
      /^PPL: helps: 8\.\d % lower on average over 4 pairs \(95 % CI 7\.\d … 8\.\d %; pairs from 0\.\d+ % higher to 17\.\d % lower; 32 chunks.*\)\. Shown by itself in 3 of 4, not sure in 1 \(Q3-im\)\.$/,
    ),
  ]);
  expect(pooled).toMatchObject([{ metric: "perplexity", label: "PPL", verdict: { kind: "different" } }]);
});

test("of one pair it is the size of that pair", () => {
  expect(asked(pairsOf([[0.2, 0.1]])).answers).toEqual([
    expect.stringMatching(/^PPL: helps: 9\.\d % lower \(95 % CI .* %; 32 chunks.*\), Q0-im against Q0\.$/),
  ]);
  expect(asked(pairsOf([[0.2, 0.1]])).pooled).toEqual([]);
});

test("pairs that are shown to differ both ways have no common answer, whatever their mean", () => {
  const { answers } = asked(
    pairsOf([
      [0.1, 0.05],
      [0.05, 0.1],
      [0.1, 0.3],
    ]),
  );
  expect(answers[0]).toMatch(
    /^PPL: no common answer: helps in 1 of 3 pairs \(Q0-im\), harms in 2; harms: \d\.\d % higher on average over 3 pairs, mostly by Q2-im \(95 % CI .*; pairs from 4\.\d % lower to 22\.\d % higher; .*\)\.$/,
  );
});

test("a mean that a single pair carries says so", () => {
  const carried = pairsOf([
    [0.4, 0.1],
    [0.1, 0.1],
    [0.1, 0.101],
    [0.05, 0.05],
  ]);
  expect(asked(carried).answers[0]).toMatch(/lower on average over 4 pairs, mostly by Q0-im \(95 % CI/);
  expect(asked(carried.slice(0, 4)).answers[0]).not.toMatch(/mostly/);
});

test("pairs of two tokenizers have counts and the reason why they have no mean", () => {
  const { answers, pooled } = asked(
    pairsOf(
      [
        [0.1, 0.05],
        [0.2, 0.1],
      ],
      [{ tokenizer: "t" }, { tokenizer: "other" }],
    ),
  );
  expect(answers[0]).toBe("PPL: helps in both pairs; no mean: the pairs are of different tokenizers.");
  expect(pooled).toMatchObject([{ refused: "no mean: the pairs are of different tokenizers" }]);
});

test("answers to questions are averaged question by question; what changes none is told with what would be detected", () => {
  const { answers } = asked(
    pairsOf(
      [
        [0, 0],
        [0, 0],
      ],
      [{ flips: [3, 3] }, {}],
    ),
    ["hellaswag"],
  );
  expect(answers[0]).toMatch(
    /^hellaswag acc: not sure: 0\.0 points on average over 2 pairs \(95 % CI −\d\.\d … \d\.\d points; pairs 0\.0 … 0\.0 points; detectable: \d\.\d points; 200 questions\)\. Shown by itself in none of 2\.$/,
  );
});
