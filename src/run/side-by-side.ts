/** Something that a task yielded; the callback lets it go on. */
interface Said<Value> {
  value: Value;
  heard: () => void;
}

/**
 * Performs tasks side by side, and yields what they yield as it comes. `next` gives the task to begin beside those that run, if there is
 * one; it is asked whenever a task yielded or has ended. A task goes on when the caller asks for more, so that the caller has dealt
 * with each event before its task does anything else. After a stop no further task begins. If one throws, all end. What comes from
 * `beside` is yielded, too, as long as a task runs.
 */
export async function* sideBySide<Task, Value>(
  next: (running: readonly Task[]) => Task | undefined,
  perform: (task: Task) => AsyncGenerator<Value>,
  signal: AbortSignal,
  beside?: AsyncIterable<Value>,
): AsyncGenerator<Value> {
  const running = new Map<Task, AsyncGenerator<Value>>();
  const said: Said<Value>[] = [];
  let thrown: { error: unknown } | undefined;
  let wake = () => {};

  const hear = async (work: AsyncIterable<Value>) => {
    try {
      for await (const value of work)
        await new Promise<void>((heard) => {
          said.push({ value, heard });
          wake();
        });
    } catch (error) {
      thrown ??= { error };
    }
  };
  const begin = async (task: Task) => {
    const work = perform(task);
    running.set(task, work);
    await hear(work);
    running.delete(task);
    wake();
  };

  try {
    if (beside) void hear(beside).then(() => wake());
    for (;;) {
      if (thrown) throw thrown.error;
      for (let task = signal.aborted ? undefined : next([...running.keys()]); task; task = next([...running.keys()]))
        void begin(task);
      const first = said.shift();
      if (first) {
        yield first.value;
        first.heard();
      } else if (running.size === 0) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    for (const work of running.values()) work.return(undefined).catch(() => {});
  }
}
