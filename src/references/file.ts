import fs from "node:fs";
import { BenchError, messageOf, systemCode, writeRemedy } from "../errors.js";
import { otherCache } from "../models/cache.js";

const flags = { read: "r", write: "w", temporary: "w+" };

/** A file that is read and written in parts, each at its place, never as a whole. */
export class PlacedFile {
  readonly #file: number;

  constructor(
    readonly path: string,
    private readonly mode: keyof typeof flags,
  ) {
    try {
      // Opening a pipe would wait for its other end.
      const stats = fs.statSync(path, { throwIfNoEntry: false });
      if (stats && !stats.isFile() && !stats.isDirectory()) throw new Error("it is no regular file");
      this.#file = fs.openSync(path, flags[mode]);
    } catch (cause) {
      const missing = systemCode(cause) === "ENOENT" && mode === "read";
      throw new BenchError(
        missing ? "reference-missing" : "reference-file",
        missing
          ? `there is no stored reference ${path}`
          : `${path} cannot be opened for ${mode === "read" ? "reading" : "writing"}: ${messageOf(cause)}`,
        {
          hint:
            mode === "temporary"
              ? `${writeRemedy(cause)}, or ${otherCache}`
              : missing
                ? "write it with `gguf-bench reference MODEL --text FILE --out FILE`, or with llama-perplexity --kl-divergence-base FILE"
                : "check the path and its permissions",
          cause,
        },
      );
    }
  }

  get bytes(): number {
    return fs.fstatSync(this.#file).size;
  }

  /** Fills `into` with the bytes from a place on; throws if the file is too short. */
  read(into: ArrayBufferView, position: number): void {
    const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    for (let done = 0; done < bytes.length; ) {
      const count = fs.readSync(this.#file, bytes, done, bytes.length - done, position + done);
      if (count === 0) throw damaged(this.path, `it ends after ${this.bytes} bytes`);
      done += count;
    }
  }

  write(from: ArrayBufferView, position: number): void {
    const bytes = new Uint8Array(from.buffer, from.byteOffset, from.byteLength);
    try {
      for (let done = 0; done < bytes.length; )
        done += fs.writeSync(this.#file, bytes, done, bytes.length - done, position + done);
    } catch (cause) {
      throw this.#unwritable(cause);
    }
  }

  sync(): void {
    try {
      fs.fsyncSync(this.#file);
    } catch (cause) {
      // Some disks are full only then.
      throw this.#unwritable(cause);
    }
  }

  #unwritable(cause: unknown): BenchError {
    return new BenchError("disk", `${this.path} cannot be written: ${messageOf(cause)}`, {
      hint:
        this.mode === "temporary"
          ? `${writeRemedy(cause)}, or ${otherCache}`
          : `${writeRemedy(cause)}; \`--form compact\` needs a fiftieth of the room`,
      cause,
    });
  }

  close(): void {
    fs.closeSync(this.#file);
  }
}

export function damaged(path: string, why: string): BenchError {
  return new BenchError("reference-damaged", `${path} is no whole reference file: ${why}`, {
    hint: "write it again; an interrupted llama-perplexity leaves such a file",
  });
}
