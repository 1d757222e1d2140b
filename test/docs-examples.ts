// The examples of docs/examples as a user has them: their texts, and a path on which `gguf-bench` stands.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { root, userEnvironment } from "./repository.js";
import { cli } from "./support.js";

export const examples = join(root, "docs/examples");
export const readExample = (name: string) => readFileSync(join(examples, name), "utf8");
export const version: string = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version;

/** An environment whose path begins with programs of one's own, kept in the folder. */
export function pathIn(folder: string): { env: NodeJS.ProcessEnv; program(name: string, script: string): void } {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const program = (name: string, script: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  program("gguf-bench", `exec "${process.execPath}" "${cli}" "$@"`);
  const env = userEnvironment({
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    GGUF_BENCH_CACHE: join(folder, "cache"),
  });
  return { env, program };
}
