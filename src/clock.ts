// Time as a run needs it: nobody sets it back, and what did not run was not slow.

import os from "node:os";

const start = { wall: performance.timeOrigin + performance.now(), awake: performance.now(), uptime: os.uptime() };

/** Seconds by which the two clocks of `asleep` may differ for want of digits. */
const blur = 2;

let slept = 0;

/** Seconds that the machine has slept (was suspended) since this process began, where the system tells: Linux. */
export function asleep(): number {
  // The first goes on while the machine sleeps, the second does not. Neither knows what the time of day is set to.
  const found = os.uptime() - start.uptime - (performance.now() - start.awake) / 1000;
  if (found >= slept + blur) slept = found;
  return slept;
}

/**
 * Milliseconds since the epoch: the time of day when this process began, and what has passed since. So it never goes back, and
 * differences are durations, whatever the time of day is set to meanwhile.
 */
export const now = (): number => Math.round(start.wall + performance.now() - start.awake + 1000 * asleep());

/** What kept a process from running. */
export type Pause = "the machine slept" | "the process was stopped";

let continued = 0;
let listens = false;

/** Tells, when asked, what has kept this process from running since: Ctrl-Z and `fg`, `kill -STOP`, a machine that slept. */
export function pausesFromNow(): () => Promise<Pause | undefined> {
  if (!listens) process.on("SIGCONT", () => continued++);
  listens = true;
  const before = { continued, asleep: asleep() };
  return async () => {
    if (asleep() > before.asleep) return "the machine slept";
    // A signal is heard when the event loop looks for it: in the turn after this one.
    for (let turn = 0; turn < 2; turn++) await new Promise((next) => setImmediate(next));
    return continued > before.continued ? "the process was stopped" : undefined;
  };
}

/**
 * Calls back after so many seconds in which this process ran, unless the function that it returns is called before. Who was
 * stopped, or slept, has not waited: what came meanwhile is still to be read.
 */
export function afterWaiting(seconds: number, over: () => void): () => void {
  // A pause falls into one of the steps, which counts as one however long it took.
  const step = Math.min(1, seconds / 10);
  let left = seconds;
  let timer: NodeJS.Timeout;
  const wait = () => {
    const next = Math.min(step, left);
    timer = setTimeout(() => {
      left -= next;
      if (left > 1e-6) wait();
      else over();
    }, next * 1000);
  };
  wait();
  return () => clearTimeout(timer);
}

/** Aborts after so many seconds of waiting, see `afterWaiting`; `done` must be called when nothing is waited for any more. */
export function waitingSignal(seconds: number): { signal: AbortSignal; done: () => void } {
  const late = new AbortController();
  const reason = new DOMException("The operation was aborted due to timeout", "TimeoutError");
  return { signal: late.signal, done: afterWaiting(seconds, () => late.abort(reason)) };
}
