import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../folders.js";
import { PlacedFile } from "./file.js";

/** Share of the free disk that the file may take. */
const mostOfFree = 0.5;

/**
 * Rows of logits, as they are, in a temporary file: the model that computes them and the one that is compared with it are not
 * in memory at the same time. Rows that fit stay in the system's page cache.
 */
export class LogitsFile {
  readonly #file: PlacedFile;
  readonly #row: Float32Array;
  readonly #path: string;
  /** Rows that it may hold, at least one. */
  readonly rows: number;

  /** `limit`: bytes that it may take. */
  constructor(folder: string, vocabulary: number, limit = 4e9) {
    try {
      makeFolder(folder);
    } catch {
      // Opening the file below fails with the reason.
    }
    this.#path = join(folder, `logits-${randomBytes(6).toString("hex")}.tmp`);
    this.#file = new PlacedFile(this.#path, "temporary");
    this.#remove(); // Where the system allows it, a file without a name goes with the process, however that ends.
    this.#row = new Float32Array(vocabulary);
    const { bavail, bsize } = fs.statfsSync(folder);
    this.rows = Math.max(1, Math.floor(Math.min(limit, mostOfFree * bavail * bsize) / this.#row.byteLength));
  }

  write(row: number, logits: Float32Array): void {
    this.#file.write(logits, row * this.#row.byteLength);
  }

  /** Valid until the next call. */
  read(row: number): Float32Array {
    this.#file.read(this.#row, row * this.#row.byteLength);
    return this.#row;
  }

  close(): void {
    this.#file.close();
    this.#remove();
  }

  #remove(): void {
    try {
      fs.rmSync(this.#path, { force: true });
    } catch {
      // Windows cannot remove an open file; `close` tries again.
    }
  }
}
