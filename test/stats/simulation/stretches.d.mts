export function contiguous(of: number, n: number): number[][];
export function holds(of: { low: number; high: number; value: number; whole: number; share: number }): {
  plain: boolean;
  finite: boolean;
};
