/**
 * llama.cpp computes its soft-max with C's `expf`. The base file's codes and the printed figures hang on its last bit here and
 * there, so this is glibc's and ARM's algorithm (ARM optimized routines, `math/expf.c`, N = 32), which is within 0.502 units
 * in the last place: with k = round(32 x / ln 2) and r = 32 x / ln 2 − k,
 *
 *     exp(x) = 2^(k/32) · 2^(r/32) ≈ 2^(k/32) · (1 + c2 r + c1 r² + c0 r³),   in double precision, rounded once.
 *
 * For x ≤ 0, as in a soft-max; all powers 2^(k/32) that a float32 can hold stand in one table.
 */
const steps = 32;
const perStep = steps / Math.LN2;
const c0 = 0.05550361559341535 / steps ** 3;
const c1 = 0.2402284522445722 / steps ** 2;
const c2 = 0.6931471806916203 / steps;
/** Adding it rounds a double below 2^51 to the next whole number, half to even. */
const shift = 6755399441055744;
/** Below it, exp is less than half the smallest float32. */
const least = -104;
const powers = Float64Array.from({ length: Math.ceil(-least * perStep) + 2 }, (_, k) => {
  const whole = Math.floor(-k / steps);
  return 2 ** ((-k - whole * steps) / steps) * 2 ** whole;
});

/** A float32; `x` is a float32, at most a rounding error above 0. */
export function expf(x: number): number {
  if (!(x >= least)) return 0;
  if (x > 0) return Math.fround(Math.exp(x));
  const z = x * perStep;
  const k = z + shift - shift;
  const r = z - k;
  return Math.fround(((c0 * r + c1) * (r * r) + (c2 * r + 1)) * powers[-k]!);
}

interface SoftMax {
  /** Largest logit, the first token that has it, and the smallest logit. */
  maximum: number;
  top: number;
  minimum: number;
  /** Sum of exp(logit − maximum): float32 terms in a double. */
  sum: number;
}

/** The figures that llama-perplexity takes from a row of logits. */
export function softMax(logits: Float32Array): SoftMax {
  let maximum = logits[0]!;
  let minimum = maximum;
  let top = 0;
  for (let i = 1; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit > maximum) {
      maximum = logit;
      top = i;
    }
    if (logit < minimum) minimum = logit;
  }
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += expf(Math.fround(logits[i]! - maximum));
  return { maximum, top, minimum, sum };
}
