import { describe, expect, it } from "vitest";
import { tokenChooser, uniforms } from "../../dist/kernels/sampling.js";

const width = 1003;
const some = uniforms("some");
const row = () => Float32Array.from({ length: width }, () => 6 * some() - 3);

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
