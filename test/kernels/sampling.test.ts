import { describe, expect, it } from "vitest";
import { repetitionPenalty, tokenChooser, uniforms } from "../../dist/kernels/sampling.js";

const width = 1003;
const some = uniforms("some");
const row = () => Float32Array.from({ length: width }, () => 6 * some() - 3);

describe("a penalty on repetition", () => {
  it("divides what is above 0 and multiplies what is not, once, and leaves the row as it was", () => {
    const logits = Float32Array.of(2, -2, 0, 3, -Infinity, 1);
    const before = [...logits];
    const penalized = repetitionPenalty(6, 1.25);
    expect([...penalized(logits, new Set([0, 1, 2, 4]))]).toEqual(
      [2 / 1.25, -2.5, 0, 3, -Infinity, 1].map(Math.fround),
    );
    expect([...penalized(logits, new Set([3]))]).toEqual([2, -2, 0, 3 / 1.25, -Infinity, 1].map(Math.fround));
    expect([...logits]).toEqual(before);
  });
});

describe("the next token", () => {
  it("at temperature 0 is the most likely one, the lower id on a tie", () => {
    const choose = tokenChooser(width, 0);
    for (let i = 0; i < 50; i++) {
      const logits = row();
      const top = logits.indexOf(Math.max(...logits));
      expect(choose(logits, uniforms("x"))).toBe(top);
      logits[width - 1] = logits[top]!;
      expect(choose(logits, uniforms("x"))).toBe(top);
    }
    const same = new Float32Array(width).fill(-1);
    expect(choose(same, uniforms("x"))).toBe(0);
  });

  it.each([0.5, 1, 2])("at temperature %d is drawn by its probability", (temperature) => {
    const choose = tokenChooser(8, temperature);
    const logits = Float32Array.of(0, 1, 2, -1, -Infinity, 0.5, 0, -2);
    const weights = [...logits].map((logit) => Math.exp(logit / temperature));
    const sum = weights.reduce((a, b) => a + b, 0);
    const draws = 40_000;
    const counts = new Float64Array(8);
    const next = uniforms(`temperature ${temperature}`);
    for (let i = 0; i < draws; i++) counts[choose(logits, next)]!++;
    for (const [i, weight] of weights.entries()) {
      const p = weight / sum;
      expect(Math.abs(counts[i]! / draws - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / draws));
    }
  });

  it.each([
    { topK: 3 },
    { topK: 1 },
    { topP: 0.6 },
    { topP: 1e-9 },
    { topK: 5, topP: 0.7 },
    { topK: 400, topP: 0.999 },
    { topP: 0.9999999 },
    { topK: width },
  ])("is one of the most likely: %o", (nucleus) => {
    const { topK = width, topP = 1 } = nucleus;
    for (const spread of [0.5, 3]) {
      const logits = Float32Array.from(row(), (one) => one * spread);
      const temperature = 0.7;
      const weights = [...logits].map((logit) => Math.exp(logit / temperature));
      const kept = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b).slice(0, topK);
      const sum = (tokens: number[]) => tokens.reduce((all, token) => all + weights[token]!, 0);
      const total = sum(kept);
      while (kept.length > 1 && sum(kept.slice(0, -1)) >= topP * total) kept.pop();
      const choose = tokenChooser(width, temperature, nucleus);
      const draws = 3000;
      const counts = new Map<number, number>();
      const next = uniforms(JSON.stringify(nucleus));
      for (let i = 0; i < draws; i++) {
        const token = choose(logits, next);
        counts.set(token, (counts.get(token) ?? 0) + 1);
      }
      expect([...counts.keys()].filter((token) => !kept.includes(token))).toEqual([]);
      for (const token of kept.slice(0, 5)) {
        const p = weights[token]! / sum(kept);
        const error = 5 * Math.sqrt((p * (1 - p)) / draws) + 1e-9;
        expect(Math.abs((counts.get(token) ?? 0) / draws - p)).toBeLessThanOrEqual(error);
      }
    }
  });

  it("is there at both ends of the draw", () => {
    const choose = tokenChooser(4, 1);
    const logits = Float32Array.of(-Infinity, 0, 0, -Infinity);
    expect(choose(logits, () => 2 ** -40)).toBe(1);
    expect(choose(logits, () => 1 - 2 ** -40)).toBe(2);
    expect(choose(logits, () => 1)).toBe(2);
  });

  it("of what is no number is refused", () => {
    for (const temperature of [0, 1]) {
      const choose = tokenChooser(4, temperature);
      expect(() => choose(Float32Array.of(0, Infinity, 0, 0), () => 0.5)).toThrow(/no numbers/);
      expect(() => choose(new Float32Array(4).fill(-Infinity), () => 0.5)).toThrow(/no numbers/);
    }
  });
});
