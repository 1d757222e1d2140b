import { setTimeout as sleep } from "node:timers/promises";
import { keyOfDone, keyOfLetters, keyOfRun } from "./dispatch.js";
import { type Assignment, itemKey, type WorkerReply, written } from "./messages.js";
import { kept, type RedisLink } from "./redis.js";
import type { WorkerRecord } from "./roster.js";

/** Letters that a run has not read, beyond which its workers wait for it. */
const mostUnread = 5000;
/** Milliseconds between looks whether it has. */
const pause = 200;

/** What a worker says of its assignments, to the runs that sent them. */
export class Letters {
  /** `signal`: aborted when the worker is to end, which then asks Redis once alone. */
  constructor(
    private readonly link: RedisLink,
    private readonly record: () => WorkerRecord,
    private readonly signal: AbortSignal,
  ) {}

  /** An item is told and counted as told in one step. */
  async say({ id, run, group }: Assignment, told: WorkerReply): Promise<void> {
    const { name, token } = this.record();
    const letter = written({ assignment: id, worker: name, token, told });
    const key = keyOfLetters(run);
    const done = keyOfDone(group);
    const send = () =>
      this.link.transaction((steps) => {
        const all = steps.xadd(key, "*", "d", letter).expire(key, kept).xlen(key);
        return told.type === "measured" ? all.sadd(done, itemKey(told.job, told.item)).expire(done, kept) : all;
      });
    const [, , unread] = await this.link.ask(send, this.signal);
    if (told.type === "measured" && Number(unread) > mostUnread) await this.#untilRead(run);
  }

  /** A run whose disk is slower than its workers is waited for: what it has not read fills the memory of Redis. */
  async #untilRead(run: string): Promise<void> {
    const { link, signal } = this;
    const look = () => Promise.all([link.redis.xlen(keyOfLetters(run)), link.redis.exists(keyOfRun(run))]);
    while (!signal.aborted) {
      await sleep(pause, undefined, { signal }).catch(() => {});
      const [unread, there] = await link.ask(look, signal);
      if (unread <= mostUnread || there === 0) return;
    }
  }
}
