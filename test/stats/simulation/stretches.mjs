// Stretches of a text that was measured as a whole: how often their intervals hold the whole text's value.

/** All runs of `n` neighbours among `of` chunks. @param {number} of @param {number} n */
export const contiguous = (of, n) =>
  Array.from({ length: of - n + 1 }, (_, from) => Array.from({ length: n }, (_, i) => from + i));

/**
 * Whether an interval holds the whole's value: as it is, and with the part of the whole that was measured taken out of it, the
 * factor √(1 − n/N). Ends and values on the scale on which the interval is symmetric.
 * @param {{ low: number, high: number, value: number, whole: number, share: number }} of
 */
export function holds({ low, high, value, whole, share }) {
  const factor = Math.sqrt(1 - share);
  return {
    plain: low <= whole && whole <= high,
    finite: value + (low - value) * factor <= whole && whole <= value + (high - value) * factor,
  };
}
