import pLimit from "p-limit";
import { BenchError } from "../../errors.js";
import type { Client } from "./client.js";

/** A place for one request at a time: a server, and which of its places that is. */
export interface Lane {
  client: Client;
  place: number;
}

/** Servers of one model. Whoever asks gets the one that has least to do. */
export class Fleet {
  readonly #waiting: ReturnType<typeof pLimit>;
  /** The places that nobody uses, by server. */
  readonly #free: Map<Client, number[]>;

  /** `each`: requests at a time, for each server. */
  constructor(
    clients: readonly Client[],
    readonly each: number,
  ) {
    this.#waiting = pLimit(clients.length * each);
    this.#free = new Map(clients.map((client) => [client, Array.from({ length: each }, (_, place) => place)]));
  }

  /** Requests at a time. */
  get lanes(): number {
    return this.#free.size * this.each;
  }

  /** Of several servers, one that cannot be reached is left out from then on, and the others do its work. */
  async run<Result>(work: (lane: Lane) => Promise<Result>): Promise<Result> {
    let lost: Client | undefined;
    try {
      return await this.#waiting(async () => {
        const [client, places] = [...this.#free].reduce((best, one) => (one[1].length > best[1].length ? one : best));
        const place = places.shift() ?? 0;
        try {
          return await work({ client, place });
        } catch (error) {
          if (error instanceof BenchError && error.code === "server-unreachable") lost = client;
          throw error;
        } finally {
          places.push(place);
          places.sort((a, b) => a - b);
        }
      });
    } catch (error) {
      if (!lost || (this.#free.size === 1 && this.#free.has(lost))) throw error;
      // Its other requests may have found out before.
      if (this.#free.delete(lost)) this.#waiting.concurrency = this.lanes;
      return this.run(work);
    }
  }
}
