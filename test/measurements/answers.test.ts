import { describe, expect, it } from "vitest";
import { type ChoiceDataset, type ChoiceItem, sameOptions } from "../../dist/data/index.js";
import { answered, answeredByLetter, type Scoring, written } from "../../dist/measurements/answers.js";
import { measurements } from "../../dist/measurements/index.js";
import { lettered } from "../../dist/measurements/letters.js";
import { limited } from "../../dist/measurements/questions.js";
import { habitOf } from "../../dist/stats/answers.js";

const plain: Scoring = { mass: false, sameLength: false, sameOptions: false };
const letters: Scoring = { mass: false, sameLength: true, sameOptions: true };
const texts: ChoiceItem = { id: "0", context: "q", options: ["no", "perhaps"], gold: 1 };
const letter: ChoiceItem = { id: "law/3", cluster: "law", context: "q", options: ["A", "B", "C", "D"], gold: 2 };
const scores = (...sums: number[]) => ({
  id: "0",
  options: sums.map((sum) => ({ sum, mean: sum / 2, tokens: 2 })),
});
const values = ({ samples }: ReturnType<typeof answered>) =>
  Object.fromEntries(samples.map(({ metric, value }) => [metric, value]));

describe("the answer to a question", () => {
  it("has a key, a prediction and the scores of all options as facts", () => {
    const measured = answered(texts, scores(-2, -3), plain);
    expect(measured).toMatchObject({ item: "0", gold: 1, prediction: 0, scores: [-2, -3] });
    expect(values(measured)).toEqual({ acc: 0, acc_norm: 1, acc_token: 0 });
    expect(measured.detail).toMatchObject({ prediction_norm: 1, prediction_token: 0 });
  });

  it("of letters is one figure, with the probability that falls on them", () => {
    const measured = answered(letter, scores(-3, -2, -1, -4), letters);
    expect(measured).toMatchObject({ cluster: "law", gold: 2, prediction: 2 });
    expect(values(measured)).toEqual({ acc: 1, answer_mass: expect.closeTo(0.5713, 4) });
    expect(values(answeredByLetter(letter, scores(-3, -2, -1, -4)))).toEqual(values(measured));
    // A rounding above 1.
    expect(values(answered(letter, scores(0.00001, -20, -20, -20), letters)).answer_mass).toBe(1);
  });

  it("on a tie is the earlier option", () => {
    expect(answered(letter, scores(-2, -1, -1, -1), letters).prediction).toBe(1);
  });

  it("may be right in several ways", () => {
    const several = { ...letter, right: [0, 3] };
    expect(values(answered(several, scores(-3, -2, -2, -1), letters)).acc).toBe(1);
    expect(values(answered(several, scores(-3, -2, -1, -2), letters)).acc).toBe(0);
  });

  it("without a key is kept and counted", () => {
    const { gold: _, ...keyless } = letter;
    const measured = answered(keyless, scores(-3, -2, -1, -4), letters);
    expect(values(measured)).toEqual({ ungraded: 1, answer_mass: expect.closeTo(0.5713, 4) });
    expect(measured.prediction).toBe(2);
    expect(measured).not.toHaveProperty("gold");
    const answer = { id: "0", text: "C", finish: "end" as const, promptTokens: 1, tokens: 1 };
    expect(values(written(keyless, answer))).toEqual({ ungraded: 1 });
  });

  it("that thinks aloud is read without its thoughts, which are counted", () => {
    const answer = { id: "0", finish: "end" as const, promptTokens: 1, tokens: 1 };
    expect(values(written(letter, { ...answer, text: "<think>A or B</think>C" }))).toEqual({ acc: 1, thoughts: 1 });
    expect(values(written(letter, { ...answer, text: "A or B</think>C", thinks: true }))).toEqual({
      acc: 1,
      thoughts: 1,
    });
    expect(values(written(letter, { ...answer, text: "<think>C" }))).toEqual({ acc: 0, unparsed: 1, thoughts: 1 });
  });

  it("that is cut off is scored as far as it goes, and counted", () => {
    const answer = { id: "0", finish: "length" as const, promptTokens: 1, tokens: 3 };
    expect(values(written(letter, { ...answer, text: "C. Bec" }))).toEqual({ acc: 1, cut_off: 1 });
    expect(values(written(letter, { ...answer, text: "The ans" }))).toEqual({ acc: 0, unparsed: 1, cut_off: 1 });
  });

  it("by mass is the share of the right options' probability, however small all are", () => {
    const mass = { mass: true, sameLength: false, sameOptions: false };
    const item = { ...texts, options: ["a", "bb", "ccc"], right: [0, 2] };
    const at = (shift: number) => values(answered(item, scores(-1 + shift, -2 + shift, -3 + shift), mass));
    const expected = (Math.exp(-1) + Math.exp(-3)) / (Math.exp(-1) + Math.exp(-2) + Math.exp(-3));
    expect(at(0)).toEqual({ mc2: expect.closeTo(expected, 12) });
    expect(at(-2000).mc2).toBeCloseTo(expected, 9);
  });
});

describe("a model that says A to everything", () => {
  // As TruthfulQA has them: the right option is the first.
  const items = Array.from({ length: 400 }, (_, i) => ({
    ...{ id: String(i), context: `q ${i}`, options: ["right", "wrong"], gold: 0 },
  }));
  const orderOf = (item: ChoiceItem) => {
    const question = lettered(item, " ");
    return typeof question === "string" ? undefined : question.order;
  };
  const answer = { id: "0", text: "A", finish: "end" as const, promptTokens: 1, tokens: 1 };
  it.each([
    ["by letter", (item: ChoiceItem) => answeredByLetter(item, scores(-0.1, -5), orderOf(item))],
    ["by generation", (item: ChoiceItem) => written(item, answer, orderOf(item))],
  ])("is right by chance, and has a habit of letters: %s", (_, measure) => {
    const measured = items.map(measure);
    const right = measured.filter((one) => values(one).acc === 1);
    expect(right.length / 400).toBeGreaterThan(0.42);
    expect(right.length / 400).toBeLessThan(0.58);
    for (const { prediction, order, samples } of measured) {
      expect(prediction).toBe(order![0]);
      expect(samples[0]!.value).toBe(prediction === 0 ? 1 : 0);
    }
    const result = { answers: () => measured, metrics: ["acc"], clusters: undefined };
    const habit = habitOf(result as never, { settings: { by: "letter" }, task: { answers: ["right", "wrong"] } });
    expect(habit).toMatchObject({
      options: ["A", "B"],
      predicted: [400, 0],
      right: [right.length, 400 - right.length],
    });
  });

  it("keeps the scores of the options as the data have them", () => {
    const measured = answeredByLetter(letter, scores(-4, -1, -2, -3), [2, 3, 1, 0]);
    expect(measured).toMatchObject({ prediction: 3, scores: [-3, -2, -4, -1], order: [2, 3, 1, 0] });
  });
});

describe("the metrics of a task", () => {
  const of = (items: ChoiceItem[], settings = {}, more = {}) =>
    measurements.choice!.metrics(settings, { items, ...more } as ChoiceDataset);
  const { gold: _, ...keyless } = letter;
  it.each<[string, string[], string[]]>([
    ["texts", of([texts, { ...texts, options: ["x", "yy"] }]), ["acc", "acc_norm", "acc_token"]],
    [
      "yes and no",
      of([
        { ...texts, options: ["no", "yes"] },
        { ...texts, options: ["no", "yes"] },
      ]),
      ["acc", "acc_norm", "acc_token", "answer_mass"],
    ],
    ["letters", of([letter, letter]), ["acc", "answer_mass"]],
    ["letters by generation", of([letter, letter], { by: "generation" }), ["acc", "unparsed", "cut_off", "thoughts"]],
    ["a gap", of([{ id: "0", contexts: ["Ann", "Bob"], options: [" left.", " left."], gold: 0 }]), ["acc"]],
    ["mass", of([texts], {}, { score: "mass" }), ["mc2"]],
    ["some keys", of([letter, keyless]), ["acc", "answer_mass", "ungraded"]],
    ["no keys", of([keyless, keyless]), ["answer_mass", "ungraded"]],
  ])("%s", (_, found, expected) => expect(found).toEqual(expected));

  it("names options that all questions share", () => {
    expect(sameOptions([{ options: ["A", "B", "C"] }, { options: ["A", "B", "C", "D"] }])).toEqual([
      "A",
      "B",
      "C",
      "D",
    ]);
    expect(sameOptions([{ options: ["no", "yes"] }, { options: ["yes", "no"] }])).toBeUndefined();
    expect(sameOptions([{ options: ["left", "left"] }, { options: ["left", "left"] }])).toBeUndefined();
    expect(sameOptions([{ options: ["x", "y"] }])).toBeUndefined();
  });
});

describe("a limit", () => {
  const sizes = { art: 20, law: 30, sport: 5, zoo: 45 };
  const items = Object.entries(sizes).flatMap(([cluster, size]) =>
    Array.from({ length: size }, (_, row) => ({ id: `${cluster}/${row}`, cluster })),
  );
  it.each([1, 3, 10, 37, 99, 100])("of %d takes of each subject its share, in order", (limit) => {
    const taken = limited(items, limit);
    expect(taken).toHaveLength(limit);
    expect(items.filter((item) => taken.includes(item))).toEqual(taken);
    for (const [subject, size] of Object.entries(sizes)) {
      const own = taken.filter(({ cluster }) => cluster === subject);
      expect(Math.abs(own.length - (limit * size) / 100)).toBeLessThan(1);
      expect(own.map(({ id }) => id)).toEqual(own.map((_, row) => `${subject}/${row}`));
    }
  });

  it.each([
    ["as many as subjects", 6, [1, 1, 1, 1, 1, 1]],
    ["one more", 7, [1, 1, 1, 1, 1, 2]],
    ["enough for all but the smallest", 20, [1, 1, 1, 1, 4, 12]],
    ["fewer than subjects", 3, [0, 0, 0, 0, 1, 2]],
  ])("of %s leaves no subject out that need not be", (_, limit, expected) => {
    const many = [2, 3, 4, 8, 20, 63].flatMap((size, subject) =>
      Array.from({ length: size }, (_, row) => ({ id: `s${subject}/${row}`, cluster: `s${subject}` })),
    );
    const taken = limited(many, limit);
    expect([0, 1, 2, 3, 4, 5].map((one) => taken.filter(({ cluster }) => cluster === `s${one}`).length)).toEqual(
      expected,
    );
  });

  it("takes the first ones where questions are not of subjects, or only named after one", () => {
    const named = items.map((item, i) => ({ ...item, id: String(i) }));
    expect(limited(named, 30)).toEqual(named.slice(0, 30));
    expect(limited(items)).toEqual(items);
  });
});
