import type { ReadStream } from "node:tty";
import type { Writer } from "../terminal.js";
import { startPlain } from "./plain.js";
import type { Onlooked, StopKind, View } from "./view.js";

export type { StopKind, View } from "./view.js";

export interface ViewOptions {
  stdout: Writer;
  stdin?: ReadStream;
  env?: NodeJS.ProcessEnv;
  /** Lines even on a terminal. */
  plain?: boolean;
  /** The user asked to stop. Lines take no keys: there the caller listens for SIGINT. */
  onStop(kind: StopKind): void;
}

/** The live view on a terminal, lines everywhere else: pipes, files, CI, dumb terminals, screen readers. */
export async function openView(options: ViewOptions): Promise<View> {
  const { stdout, stdin = process.stdin, env = process.env, plain = false, onStop } = options;
  if (plain || !isLively(stdout, env)) return startPlain({ write: (text) => stdout.write(text) });
  return (await live()).startView({ onStop, stdout, stdin, env });
}

/** The matrix of a run that this process only looks at; undefined where there is no terminal with keys to show it on. */
export async function openOnlooker(
  options: Pick<ViewOptions, "stdout" | "stdin" | "env"> & { onlooked: Onlooked; onLeave(): void },
): Promise<View | undefined> {
  const { stdout, stdin = process.stdin, env = process.env, onlooked, onLeave } = options;
  if (!isLively(stdout, env) || !stdin.isTTY) return undefined;
  return (await live()).startView({ onStop: onLeave, onlooked, stdout, stdin, env });
}

async function live(): Promise<typeof import("./live.js")> {
  // React reads NODE_ENV once, at import. Its development build is several times slower and keeps a record of every render.
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production";
  try {
    return await import("./live.js");
  } finally {
    if (NODE_ENV === undefined) delete process.env.NODE_ENV;
    else process.env.NODE_ENV = NODE_ENV;
  }
}

function isLively(stdout: Writer, { TERM, CI, INK_SCREEN_READER }: NodeJS.ProcessEnv): boolean {
  return stdout.isTTY === true && TERM !== "dumb" && (!CI || CI === "false") && INK_SCREEN_READER !== "true";
}
