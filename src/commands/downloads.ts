import type { Fetching } from "../models/sources.js";
import { openView, type View } from "../tui/index.js";
import type { Surroundings } from "./command.js";

/** Reports downloads as lines on stderr, for commands whose answer goes to stdout. */
export async function downloadLines({ stderr, env }: Surroundings): Promise<(state: Fetching) => void> {
  const view = await openView({ plain: true, stdout: stderr, env, onStop: () => {} });
  return (state) => view.handle({ type: "fetching", at: Date.now(), ...state });
}

/** Shows the downloads of a task in a view of their own, which is opened when the first one begins. */
export function downloadView(open: () => Promise<View>, signal: AbortSignal) {
  let view: Promise<View> | undefined;
  const fetching = (state: Fetching) => {
    view ??= open();
    void view.then(({ handle }) => handle({ type: "fetching", at: Date.now(), ...state }));
  };
  return {
    reported: { fetching, signal },
    /** The task's result; undefined when the user stopped it. */
    during: async <Result>(task: Promise<Result>): Promise<Result | undefined> => {
      let close = () => {};
      const stopped = new Promise<undefined>((resolve) => {
        close = () => resolve(undefined);
        signal.addEventListener("abort", close, { once: true });
      });
      try {
        // The signal does not interrupt all work (the digest of a large file, say), so the wait ends without it.
        const result = await Promise.race([task, stopped]);
        if (!signal.aborted) return result;
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        signal.removeEventListener("abort", close);
        await (await view)?.close();
      }
      task.catch(() => {});
      return undefined;
    },
  };
}
