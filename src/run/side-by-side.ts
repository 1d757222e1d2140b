/** Something that a task yielded; the callback lets it go on. */
interface Said<Value> {
  value: Value;
  heard: () => void;
}

/**
 * Performs tasks in order, each as soon as it fits beside those that run, and yields what they say as it comes. A task goes on
 * when the caller asks for more, so that the caller has dealt with each event before its task does anything else. After a stop
 * no further task begins. If one throws, all end.
 */
export async function* sideBySide<Task, Value>(
  tasks: readonly Task[],
  perform: (task: Task) => AsyncGenerator<Value>,
  { fits, signal }: { fits: (task: Task, running: Task[]) => boolean; signal: AbortSignal },
): AsyncGenerator<Value> {
  const waiting = [...tasks];
  const running = new Map<Task, AsyncGenerator<Value>>();
  const said: Said<Value>[] = [];
  let thrown: { error: unknown } | undefined;
  let wake = () => {};

  const begin = async (task: Task) => {
    const work = perform(task);
    running.set(task, work);
    try {
      for await (const value of work)
        await new Promise<void>((heard) => {
          said.push({ value, heard });
          wake();
        });
    } catch (error) {
      thrown ??= { error };
    }
    running.delete(task);
    wake();
  };

  try {
    for (;;) {
      if (thrown) throw thrown.error;
      while (waiting.length > 0 && !signal.aborted && fits(waiting[0]!, [...running.keys()]))
        void begin(waiting.shift()!);
      const next = said.shift();
      if (next) {
        yield next.value;
        next.heard();
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
