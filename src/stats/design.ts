/** How much less the items of a few groups tell than as many independent ones. */
export interface Design {
  /** Items over this are what the groups are worth. */
  effect: number;
  groups: number;
  /** Degrees of freedom of the t distribution used instead of the normal one; absent when the items count as independent. */
  freedom?: number;
}

/**
 * The design effect of values in groups (subjects of a task): the variance of their sum with the groups as pieces, over
 * that of independent items. With group sums s, sizes k, shares h = k/n, mean m:
 *
 *     V = G/(G−1) · Σ(s − m·k)² / (1 − Σh²),   V₀ = Σ(v − m)²,   freedom = 1/Σh² − 1
 *     effect = min(max(1, V/V₀), n·Σh²)
 *
 * n·Σh² is the effect of groups whose items are all the same: with one item in each group it is 1, and the items are independent.
 * So they are where all values but one are alike, for a single right answer says no more of groups than none does.
 *
 * Counts over the effect then go into a method for independent items, in the spirit of Eliasziw & Donner (1991) and
 * Obuchowski (1998): unlike a variance of groups alone it allows for events that no group has shown.
 */
export function designOf(values: ArrayLike<number>, groupOf: (index: number) => string): Design {
  const n = values.length;
  const groups = new Map<string, { sum: number; size: number }>();
  const counts = new Map<number, number>();
  let [sum, squares] = [0, 0];
  for (let i = 0; i < n; i++) {
    const group = groups.get(groupOf(i)) ?? { sum: 0, size: 0 };
    groups.set(groupOf(i), group);
    group.sum += values[i]!;
    group.size++;
    counts.set(values[i]!, (counts.get(values[i]!) ?? 0) + 1);
    sum += values[i]!;
    squares += values[i]! ** 2;
  }
  const mean = sum / n;
  let [spread, shares] = [0, 0];
  for (const group of groups.values()) {
    spread += (group.sum - mean * group.size) ** 2;
    shares += (group.size / n) ** 2;
  }
  const independent = squares - n * mean * mean;
  const between = ((groups.size / (groups.size - 1)) * spread) / (1 - shares);
  const isTold = groups.size > 1 && independent > 1e-9 && Math.max(...counts.values()) < n - 1;
  const effect = isTold ? Math.min(between / independent, n * shares) : 1;
  if (effect <= 1 + 1e-9) return { effect: 1, groups: groups.size };
  return { effect, groups: groups.size, freedom: Math.max(1, 1 / shares - 1) };
}
