import { definite } from "../definite.js";
import type { Measured } from "../events.js";
import type { Share } from "../share.js";

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

/** What a question costs to ask, in bytes. */
export interface Weight {
  /** What questions of one subject may begin with alike, which is decoded once. */
  text: string;
  /** All else, its answer included. */
  more: number;
}

interface PartContext {
  share?: Share;
  done: ReadonlySet<string>;
  whole?(items: number): void;
  progress(done: number, total: number, unit: string): void;
}

/**
 * Measures the part of the questions that a share says. An engine is given them all the same, for what it decodes together
 * follows from all of them: those of other parts count as done.
 */
export async function* inPart<One extends Placed, Context extends PartContext>(
  context: Context,
  asked: readonly One[],
  weigh: (question: One) => Weight,
  measure: (context: Context) => AsyncIterable<Measured>,
): AsyncGenerator<Measured> {
  const { share } = context;
  if (!share) return yield* measure(context);
  context.whole?.(asked.length);
  const own = partOf(asked, share, weigh);
  const others = asked.flatMap(({ id }) => (own.has(id) ? [] : [id]));
  let through = [...own].filter((id) => context.done.has(id)).length;
  const progress = () => context.progress(through, own.size, "questions");
  for await (const one of measure({ ...context, done: new Set([...context.done, ...others]), progress })) {
    through++;
    yield one;
  }
}

/**
 * The ids of the questions of a part: whole subjects, the largest ones first, each to the part that has least. Where a subject, or a
 * task without any, is more than a part's due, it is cut into stretches that are not.
 */
function partOf<One extends Placed>(
  asked: readonly One[],
  { part, of, through = part }: Share,
  weigh: (question: One) => Weight,
): Set<string> {
  const subjects = new Map<string | undefined, One[]>();
  for (const one of asked) {
    const subject = subjects.get(one.cluster) ?? [];
    subjects.set(one.cluster, subject);
    subject.push(one);
  }
  const weighed = Array.from(subjects.values(), (questions) => questionsBytes(questions, weigh));
  const due = weighed.flat().reduce((sum, { bytes }) => sum + bytes, 0) / of;
  const stretches = weighed.flatMap((questions) => inStretches(questions, due));
  const parts = Array.from({ length: of }, () => ({ bytes: 0, ids: [] as string[] }));
  for (const { ids, bytes } of stretches.toSorted((a, b) => b.bytes - a.bytes)) {
    const least = parts.reduce((one, other) => (other.bytes < one.bytes ? other : one));
    least.bytes += bytes;
    least.ids.push(...ids);
  }
  return new Set(parts.slice(part - 1, through).flatMap(({ ids }) => ids));
}

interface Portion {
  ids: string[];
  bytes: number;
}

/** Each question with its bytes, the first one with those that all begin with. */
function questionsBytes<One extends Placed>(questions: readonly One[], weigh: (question: One) => Weight) {
  const weights = questions.map((question) => ({ id: question.id, ...weigh(question) }));
  const [first] = weights;
  let alike = questions.length > 1 ? first!.text.length : 0;
  for (const { text } of weights) {
    let length = 0;
    while (length < alike && text[length] === first!.text[length]) length++;
    alike = length;
  }
  return weights.map(({ id, text, more }, i) => ({
    id,
    bytes: 1 + Buffer.byteLength(i === 0 ? text : text.slice(alike)) + more,
  }));
}

/** Questions in a row as few stretches of about the same size, none of which has much more than `due` bytes. */
function inStretches(questions: readonly { id: string; bytes: number }[], due: number): Portion[] {
  const all = questions.reduce((sum, { bytes }) => sum + bytes, 0);
  const size = all / Math.max(1, Math.ceil(all / due));
  const stretches: Portion[] = [];
  let before = 0;
  for (const { id, bytes } of questions) {
    const number = Math.floor((before + bytes / 2) / size);
    const stretch = stretches[number] ?? { ids: [], bytes: 0 };
    stretches[number] = stretch;
    stretch.ids.push(id);
    stretch.bytes += bytes;
    before += bytes;
  }
  return stretches.filter(Boolean);
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
