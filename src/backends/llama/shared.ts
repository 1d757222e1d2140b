import type { LogLine, Pointer } from "../../llama/library.js";

/** What engines of one process have in common; freed when the last of them is closed. */
class SharedResources<Resource> {
  readonly #held = new Map<string, { resource: Resource; users: Set<object> }>();

  /** Returns null where `make` does. */
  borrow(user: object, key: unknown[], make: () => Resource | null): Resource | null {
    const name = JSON.stringify(key);
    const found = this.#held.get(name);
    const resource = found?.resource ?? make();
    if (resource === null) return null;
    if (found) found.users.add(user);
    else this.#held.set(name, { resource, users: new Set([user]) });
    return resource;
  }

  giveBack(user: object, free: (resource: Resource) => void): void {
    for (const [name, { resource, users }] of this.#held) {
      if (!users.delete(user) || users.size > 0) continue;
      free(resource);
      this.#held.delete(name);
    }
  }
}

/** A model's weights in memory. */
export interface Weights {
  pointer: Pointer;
  /** The variant that they were loaded for, and how long that took. */
  variant: string;
  seconds: number;
  /** By which the process grew meanwhile. */
  bytes: number;
  /** What llama.cpp said of them. */
  lines: readonly LogLine[];
}

/** Variants of one model differ in their contexts and adapters alone: a reference and its noise floor, types of KV cache. */
export const weights = new SharedResources<Weights>();

/** Adapters of weights that are in memory; a scale belongs to a context. */
export const adapters = new SharedResources<Pointer>();

/**
 * Threads of llama.cpp: a pool that has nothing to do still spins for a tenth of a second, on the core that the next
 * engine, or the scoring, needs. So pools are shared, and those that do not time token by token go to sleep at once; the
 * eager ones wait as llama-bench's do.
 */
export const threadpools = new SharedResources<Pointer>();
