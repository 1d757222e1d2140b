import { definite } from "../definite.js";
import type { Measured } from "../events.js";

/** A question of a task, as far as its place in it goes. */
export interface Placed {
  id: string;
  cluster?: string;
}

/**
 * `limit` questions, in the order of the whole. Of a task in subjects, whose ids are `subject/row`, the first ones of each subject, as
 * many as is its share of all (largest remainders), and one at least where the limit is no less than the subjects: the first ones of
 * the whole would be two subjects of fifty.
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

/** By subject: how many of `limit` questions are its own. Where the limit allows it, none is left out. */
function sharesOf(items: readonly Placed[], limit: number): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { cluster } of items) sizes.set(cluster!, (sizes.get(cluster!) ?? 0) + 1);
  const shares = new Map<string, number>();
  const open = new Map(sizes);
  let [rest, size] = [limit, items.length];
  // What the small ones get above their share, the others lack, which may make one more of them a small one.
  for (let more = limit >= sizes.size; more; ) {
    const small = [...open].filter(([, own]) => (rest * own) / size < 1);
    for (const [subject, own] of small) {
      shares.set(subject, 1);
      open.delete(subject);
      rest--;
      size -= own;
    }
    more = small.length > 0;
  }
  const quotas = Array.from(open, ([subject, own]) => ({ subject, quota: (rest * own) / size }));
  for (const { subject, quota } of quotas) {
    shares.set(subject, Math.floor(quota));
    rest -= Math.floor(quota);
  }
  const byRemainder = quotas.toSorted((a, b) => (b.quota % 1) - (a.quota % 1));
  for (const { subject } of byRemainder.slice(0, rest)) shares.set(subject, shares.get(subject)! + 1);
  return shares;
}

/** Items that say of how many they are a part, if a limit makes them one. */
export async function* partOfTask(
  measured: AsyncIterable<Measured>,
  items: readonly Placed[],
  limit: number | undefined,
): AsyncGenerator<Measured> {
  const of = limit === undefined ? undefined : items.length;
  for await (const one of measured) yield { ...one, ...definite({ of }) };
}

/** What a measurement's `limit` says of itself. */
export const limitHelp =
  "How many questions: of a task in subjects the first of each, in proportion; of others the first ones. By default all.";
