import type { StopKind } from "../tui/index.js";

/** First request: end after the item at hand. Second: end at once. Signals are requests; `end` takes no more of them. */
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
