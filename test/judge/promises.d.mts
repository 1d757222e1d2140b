export interface Cell {
  name: string;
  rule: string;
  /** Items that are measured first: chunks, questions, runs. */
  n: number;
  place: string;
  /** The truth, as a share of the way from no harm to the limit, or how it is drawn. */
  share: number | ((uniform: () => number) => number);
}
export const cells: Cell[];
export interface Kept {
  draws: number;
  undecided: number;
  promised: number;
  kept: number;
  anew: number;
  middle: number;
  floors: number;
}
export function promises(cell: Cell, draws: number, options?: { seed?: number; brief?: boolean }): Kept;
/** How often the harm that a gate says it would have seen is seen, in per cent; `variants` that are asked the same rule. */
export function harmSeen(cell: Cell, draws: number, variants: number, seed?: number): { size: number; seen: number };
