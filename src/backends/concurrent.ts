/** Results of work on all items, `most` of them at a time, as they come. The first failure ends it. */
export async function* concurrently<Item, Result>(
  items: Iterable<Item>,
  most: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running = new Map<number, Promise<{ key: number; result: Result }>>();
  let started = 0;
  const next = items[Symbol.iterator]();
  for (;;) {
    while (running.size < most) {
      const { done, value } = next.next();
      if (done) break;
      const key = started++;
      const one = work(value).then((result) => ({ key, result }));
      // Of several that fail, the first is told, by the race below.
      one.catch(() => {});
      running.set(key, one);
    }
    if (running.size === 0) return;
    const { key, result } = await Promise.race(running.values());
    running.delete(key);
    yield result;
  }
}
