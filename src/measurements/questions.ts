/** A question of a task, as far as its place in it goes. */
export interface Placed {
  id: string;
  cluster?: string;
}

/**
 * `limit` questions, in the order of the whole. Of a task in subjects, whose ids are `subject/row`, the first ones of each subject, as
 * many as is its share of all (largest remainders): the first ones of the whole would be two subjects of fifty.
 */
export function limited<One extends Placed>(items: readonly One[], limit = Infinity): readonly One[] {
  if (limit >= items.length) return items;
  if (!items.every(({ id, cluster }) => cluster !== undefined && id.startsWith(`${cluster}/`)))
    return items.slice(0, limit);
  const left = sharesOf(items, limit);
  return items.filter(({ cluster }) => {
    const open = left.get(cluster!)!;
    left.set(cluster!, open - 1);
    return open > 0;
  });
}

/** By subject: how many of `limit` questions are its own. */
function sharesOf(items: readonly Placed[], limit: number): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { cluster } of items) sizes.set(cluster!, (sizes.get(cluster!) ?? 0) + 1);
  const quotas = Array.from(sizes, ([subject, size]) => ({ subject, quota: (limit * size) / items.length }));
  const shares = new Map(quotas.map(({ subject, quota }) => [subject, Math.floor(quota)]));
  const rest = limit - quotas.reduce((sum, { quota }) => sum + Math.floor(quota), 0);
  const byRemainder = quotas.toSorted((a, b) => (b.quota % 1) - (a.quota % 1));
  for (const { subject } of byRemainder.slice(0, rest)) shares.set(subject, shares.get(subject)! + 1);
  return shares;
}
