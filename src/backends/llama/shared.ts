import type { Pointer } from "../../llama/library.js";

/** A resource that engines of one process share; freed when the last of them is closed. */
export class SharedResources {
  readonly #held = new Map<string, { pointer: Pointer; users: Set<object> }>();

  borrow(user: object, key: unknown[], make: () => Pointer | null): Pointer | null {
    const name = JSON.stringify(key);
    const found = this.#held.get(name);
    const pointer = found?.pointer ?? make();
    if (!pointer) return null;
    if (found) found.users.add(user);
    else this.#held.set(name, { pointer, users: new Set([user]) });
    return pointer;
  }

  giveBack(user: object, free: (pointer: Pointer) => void): void {
    for (const [name, { pointer, users }] of this.#held) {
      if (!users.delete(user) || users.size > 0) continue;
      free(pointer);
      this.#held.delete(name);
    }
  }
}

/** Weights: a reference and its noise floor, or a model without and with a LoRA adapter, differ in their contexts alone. */
export const models = new SharedResources();

/** Seconds that it took to load each model. */
export const loadSeconds = new Map<Pointer, number>();

/**
 * Threads of llama.cpp: a pool that has nothing to do still spins for a tenth of a second, on the core that the next
 * engine, or the scoring, needs. So pools are shared, and those that do not time token by token go to sleep at once; the
 * eager ones wait as llama-bench's do.
 */
export const threadpools = new SharedResources();
