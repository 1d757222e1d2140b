import type { Observation } from "../../../dist/stats/comparison.js";

type Draw = () => number;

/** What a chunk costs more, in units of its spread, and the mean of that over all text. */
export interface World {
  truth: number;
  chunks(n: number, normal: Draw, next: Draw): number[];
}

type Two = { a: Observation[]; b: Observation[]; truth: number };
type Clusters = Map<string, string>;

export const reachable: Record<string, World>;
export const unreachable: Record<string, World>;
export function autoregression(n: number, rho: number, normal: Draw): number[];
export function observed(values: number[], weight?: number): Observation[];
export function twoVariants(world: World, n: number, normal: Draw, next: Draw): Two;
export function marked(
  documents: number,
  length: number,
  normal: Draw,
): { clusters: Clusters; values: number[]; truth: number };
export function percentage(draws: number, holds: (draw: number) => boolean): number;
export function covers(interval: { low: number; high: number }, truth: number): boolean;
