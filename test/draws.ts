import { random } from "../dist/stats/random.js";

export { random };

/** Standard normal numbers, the same for the same seed (Box and Muller). */
export function normals(seed: number): () => number {
  const next = random(seed);
  return () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
}
