import { definite } from "../definite.js";
import type { Writer } from "../terminal.js";

/** Where a command runs. `process` is such a place; a test or a program passes its own streams and variables. */
export interface Surroundings {
  /** Takes the command's answer. */
  stdout: Writer;
  /** Takes progress and everything else that is no part of the answer. */
  stderr: Writer;
  /** Where a question is answered, if it is a terminal; without one none is asked. */
  stdin?: NodeJS.ReadableStream & { isTTY?: boolean };
  env: NodeJS.ProcessEnv;
}

/** Does what was asked and returns the exit code. Throws a BenchError when the input is at fault. */
export type Command<Asked> = (asked: Asked, where: Surroundings) => Promise<number>;

/** Folders that most commands take, each with a variable that stands for it. */
export interface FolderOptions {
  /** Default: `GGUF_BENCH_DATA`, then the datasets that are shipped. */
  dataDir?: string;
  /** Default: `GGUF_BENCH_MODELS`. */
  modelsDir?: string;
}

export function foldersOf(asked: FolderOptions, { env }: Surroundings): FolderOptions {
  return definite({
    dataDir: asked.dataDir || env.GGUF_BENCH_DATA || undefined,
    modelsDir: asked.modelsDir || env.GGUF_BENCH_MODELS || undefined,
  });
}
