import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findForm, openReference } from "../../dist/references/index.js";
import type { ReferencePlan } from "../../dist/references/reference.js";
import { normals } from "../draws.mjs";
import { temporaryFolder } from "../support.js";

const folder = temporaryFolder();
const digest = (digit: string) => digit.repeat(64);
const context = 64;
const rows = 31;

/** A row of logits like a model's: a few likely tokens, a long tail. */
function someLogits(vocabulary: number, seed: number, spread = 3): Float32Array {
  const normal = normals(seed);
  return Float32Array.from({ length: vocabulary }, () => spread * normal());
}

const softMax = (logits: Float32Array) => {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const total = most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
  return Float64Array.from(logits, (logit) => logit - total);
};

/** The definition. */
function exactly(reference: Float32Array, variant: Float32Array): number {
  const [p, q] = [softMax(reference), softMax(variant)];
  return p.reduce((sum, log, i) => sum + Math.exp(log) * (log - q[i]!), 0);
}

function written(name: string, all: Float32Array[], plan: Partial<ReferencePlan> = {}) {
  const path = join(folder, name);
  const vocabulary = all[0]!.length;
  const chunks = Math.ceil(all.length / rows);
  const tokens = new Int32Array(chunks * context);
  const writer = findForm("compact").create(path, {
    ...{ context, vocabulary, tokens },
    ...{ modelSha256: digest("a"), tokenizerSha256: digest("b"), textSha256: digest("c") },
    ...plan,
  });
  for (const [i, logits] of all.entries()) writer.add(Math.floor(i / rows), i % rows, logits, i % vocabulary);
  // A file is whole or refused: the last chunk is filled up.
  for (let i = all.length; i < chunks * rows; i++) writer.add(chunks - 1, i % rows, all[0]!, 0);
  writer.finish();
  return { path, opened: openReference(path) };
}

/** Variants that a bracket must hold for: near, far, other, and those that hate just the tail. */
const variants: Record<string, (reference: Float32Array, seed: number) => Float32Array> = {
  itself: (reference) => reference,
  near: (reference, seed) => reference.map((logit, i) => logit + 0.05 * noise(reference.length, seed)[i]!),
  far: (reference, seed) => reference.map((logit, i) => logit + 2 * noise(reference.length, seed)[i]!),
  other: (reference, seed) => someLogits(reference.length, seed + 1000),
  flat: (reference) => reference.map(() => 0),
  "without a tail": (reference) => reference.map((logit) => (logit > 3 ? logit : logit - 40)),
  "turned round": (reference) => reference.map((logit) => -logit),
  "one token forbidden": (reference) => {
    const forbidden = reference.indexOf(reference.toSorted()[reference.length >> 1]!);
    return reference.map((logit, i) => (i === forbidden ? -90 : logit));
  },
  "wide apart": (reference) => reference.map((logit) => 20 * logit),
};

const cached = new Map<string, Float32Array>();
function noise(length: number, seed: number): Float32Array {
  const key = `${length} ${seed}`;
  if (!cached.has(key)) cached.set(key, someLogits(length, seed + 500, 1));
  return cached.get(key)!;
}

describe("the bracket", () => {
  for (const [vocabulary, top] of [
    [10, 3],
    [300, 1],
    [300, 20],
    [300, 300],
    [2000, 256],
    [70_000, 64],
  ] as const)
    it(`holds for every variant, top ${top} of ${vocabulary}`, () => {
      const count = vocabulary > 10_000 ? 3 : 31;
      const references = Array.from({ length: count }, (_, i) => someLogits(vocabulary, i, [3, 0.5, 8][i % 3]));
      const { opened } = written(`bracket-${vocabulary}-${top}`, references, { top });
      for (const [name, make] of Object.entries(variants))
        for (const [i, reference] of references.entries()) {
          const variant = make(reference, i);
          const exact = exactly(reference, variant);
          const token = i % vocabulary;
          const row = opened.compare(0, i, variant, token);
          const [estimate, low, high] = row.divergence as [number, number, number];
          const slack = 2e-6 * (1 + Math.abs(exact));
          const told = `${name}, row ${i}: ${low} ≤ ${exact} ≤ ${high}`;
          expect(low, told).toBeLessThanOrEqual(exact + slack);
          expect(high, told).toBeGreaterThanOrEqual(exact - slack);
          expect(estimate, told).toBeGreaterThanOrEqual(-slack);
          expect(row.nllReference).toBeCloseTo(-softMax(reference)[token]!, 4);
          expect(row.nll).toBeCloseTo(-softMax(variant)[token]!, 4);
          expect(row.topReference).toBe(reference.indexOf(reference.toSorted().at(-1)!));
          expect(row.top).toBe(variant.indexOf(variant.toSorted().at(-1)!));
          if (top === vocabulary) for (const one of [estimate, low, high]) expect(one).toBeCloseTo(exact, 4);
        }
      opened.close();
    });

  it("is narrower with more tokens kept", () => {
    const references = Array.from({ length: rows }, (_, i) => someLogits(2000, i));
    const widths = [8, 64, 512].map((top) => {
      const { opened } = written(`width-${top}`, references, { top });
      return references.reduce((sum, reference, i) => {
        const [, low, high] = opened.compare(0, i, variants.near!(reference, i), 0).divergence;
        return sum + high! - low!;
      }, 0);
    });
    expect(widths[1]!).toBeLessThan(widths[0]!);
    expect(widths[2]!).toBeLessThan(widths[1]!);
  });
});

it("the estimate has no bias: over many rows it comes to the exact mean, far inside the bracket", () => {
  const count = 31 * 20;
  const references = Array.from({ length: count }, (_, i) => someLogits(1000, i));
  const { opened } = written("estimate", references, { top: 16 });
  for (const name of ["near", "far"]) {
    const errors: number[] = [];
    let [exactSum, width] = [0, 0];
    for (const [i, reference] of references.entries()) {
      const variant = variants[name]!(reference, i);
      const exact = exactly(reference, variant);
      const [estimate, low, high] = opened.compare(Math.floor(i / rows), i % rows, variant, 0).divergence;
      errors.push(estimate! - exact);
      exactSum += exact;
      width += high! - low!;
    }
    const mean = errors.reduce((a, b) => a + b) / count;
    const deviation = Math.sqrt(errors.reduce((sum, error) => sum + (error - mean) ** 2, 0) / (count - 1));
    expect(Math.abs(mean), name).toBeLessThan((4 * deviation) / Math.sqrt(count));
    expect(deviation / Math.sqrt(count), name).toBeLessThan((0.05 * exactSum) / count);
    expect(deviation, name).toBeLessThan((0.2 * width) / count);
  }
});

it("takes at most 2 % of llama-perplexity's file at a vocabulary of 49,152, and says what it is", () => {
  const vocabulary = 49_152;
  const { path, opened } = written("size", [someLogits(vocabulary, 1)]);
  const full = 20 + 4 * context + rows * 2 * (vocabulary + 4);
  expect(statSync(path).size / full).toBeLessThan(0.02);
  expect(opened.head).toMatchObject({ form: "compact", context, vocabulary, chunks: 1, top: 256 });
  expect(opened.head).toMatchObject({
    modelSha256: digest("a"),
    tokenizerSha256: digest("b"),
    textSha256: digest("c"),
  });
  opened.close();
});
