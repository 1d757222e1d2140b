import { setTimeout as sleep } from "node:timers/promises";
import { afterWaiting } from "../../clock.js";
import { type Address, downloadError, Interrupted, type Transfer } from "./address.js";

/** A server that sends less in `patience` than a modem did is given up. */
const leastBytes = 16_384;
const defaultPatience = 60_000;
const defaultPause = 500;
/** Tries in a row that bring nothing new, and tries at all. */
const idleTries = 5;
const mostTries = 100;

/**
 * Tries until it works: a few times in a row without anything new, and while bytes come. Both a silent and an
 * ever-interrupted server come to an end. `attempt` tells each byte that came, and whether it was new.
 */
export async function persist<Result>(
  address: Address,
  { signal, patience = defaultPatience, pause = defaultPause, tries: most = idleTries }: Transfer,
  attempt: (signal: AbortSignal, heard: (bytes: number, fresh?: boolean) => void) => Promise<Result>,
): Promise<Result> {
  const silence = new AbortController();
  const either = signal ? AbortSignal.any([signal, silence.signal]) : silence.signal;
  const giveUp = () => silence.abort();
  let cancel = afterWaiting(patience / 1000, giveUp);
  let since = 0;
  let idle = 0;
  let ever = false;
  const heard = (bytes: number, fresh = true) => {
    since += bytes;
    ever = true;
    if (fresh) idle = 0;
    if (since < leastBytes) return;
    since = 0;
    cancel();
    cancel = afterWaiting(patience / 1000, giveUp);
  };
  const silent = (last?: Interrupted) =>
    last
      ? downloadError(address, last.message, last.hint)
      : downloadError(
          address,
          `its server ${since > 0 ? "sent next to nothing" : "was silent"} for ${Math.round(patience / 1000)} s`,
          "Run the same command again later: what has come is kept.",
        );
  let last: Interrupted | undefined;
  try {
    for (let tries = 1; ; tries++) {
      idle++;
      try {
        return await attempt(either, heard);
      } catch (error) {
        signal?.throwIfAborted();
        if (silence.signal.aborted) throw silent();
        if (!(error instanceof Interrupted)) throw error;
        last = error;
      }
      if (idle >= most || tries >= mostTries || (last.unheard && !ever)) throw silent(last);
      const wait = Math.max(last.wait ?? 0, pause * 3 ** (idle - 1));
      if (last.wait !== undefined && last.wait > patience)
        throw downloadError(
          address,
          `${last.message} and asks to wait for ${Math.ceil(last.wait / 1000)} s`,
          last.hint,
        );
      await sleep(wait, undefined, { signal: either }).catch(() => {
        signal?.throwIfAborted();
        throw silent(last);
      });
    }
  } finally {
    cancel();
  }
}
