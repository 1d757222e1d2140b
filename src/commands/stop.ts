import type { StopKind } from "../tui/index.js";

/** First request: end after the item at hand, or without it when it takes long. Second: end at once. Signals are requests; `end` takes no more of them. */
export function stopper(
  graceful: () => void,
  now: () => void,
): { signal: AbortSignal; ask(kind: StopKind): void; end(): void } {
  const controller = new AbortController();
  const ask = (kind: StopKind) => {
    const again = controller.signal.aborted;
    controller.abort();
    if (again || kind === "now") now();
    else graceful();
  };
  const onSignal = () => ask("graceful");
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const end = () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  return { signal: controller.signal, ask, end };
}

/**
 * The task's result; undefined when the user stops it. The signal does not interrupt all work (the digest of a large file,
 * say), so the wait ends without it.
 */
export async function unlessStopped<Result>(task: Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  let stop = () => {};
  const stopped = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    const result = await Promise.race([task, stopped]);
    if (!signal.aborted) return result;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
  task.catch(() => {});
  return undefined;
}
