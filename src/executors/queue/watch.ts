/** Milliseconds between looks at an assignment that is at work. */
const tick = 500;
/** Milliseconds between renewals of what was taken, far below the time that it is owned without. */
const renewal = 5000;

/** What befell an assignment while it was at work. */
export interface Watch {
  /** It is another's by now. */
  readonly lost: boolean;
  /** Nobody waits for it any more. */
  readonly cancelled: boolean;
  /** Nothing befalls it from now on. */
  end(): void;
}

export interface Watched {
  isGone(): Promise<boolean>;
  /** False once it is another's. */
  renew(): Promise<boolean>;
  /** Ends the work at hand. Never called after `end`: the work at hand is another assignment's then. */
  stop(): void;
  /** Hears why a look failed; the next one may not. */
  failed(error: unknown): void;
}

/** Keeps what was taken, and stops the work when it is lost or of no use any more. */
export function watchOver({ isGone, renew, stop, failed }: Watched): Watch {
  const found = { lost: false, cancelled: false, end };
  let renewed = performance.now();
  let [looking, over] = [false, false];
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look()
      .catch(failed)
      .finally(() => {
        looking = false;
      });
  }, tick);
  return found;

  function end(): void {
    over = true;
    clearInterval(timer);
  }

  /** An answer that comes after the end, which Redis may take seconds for, says nothing of this assignment. */
  async function look(): Promise<void> {
    const cancelled = await isGone();
    if (!cancelled) {
      if (over || performance.now() - renewed <= renewal) return;
      renewed = performance.now();
      if (await renew()) return;
    }
    if (over) return;
    found.cancelled = cancelled;
    found.lost = !cancelled;
    end();
    stop();
  }
}
