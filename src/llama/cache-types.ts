/**
 * The types that a KV cache can have: ggml's number, which is part of the file format and so never changes, and the bits that a
 * value takes, its share of the block's scale included.
 */
export const cacheTypes = {
  f16: { id: 1, bits: 16 },
  f32: { id: 0, bits: 32 },
  bf16: { id: 30, bits: 16 },
  q8_0: { id: 8, bits: 8.5 },
  q5_1: { id: 7, bits: 6 },
  q5_0: { id: 6, bits: 5.5 },
  q4_1: { id: 3, bits: 5 },
  q4_0: { id: 2, bits: 4.5 },
  iq4_nl: { id: 20, bits: 4.5 },
} as const;

export type CacheType = keyof typeof cacheTypes;

export const cacheTypeNames = Object.keys(cacheTypes) as CacheType[];
