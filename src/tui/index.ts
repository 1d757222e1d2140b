import type { ReadStream, WriteStream } from "node:tty";
import { startPlain } from "./plain.js";
import type { StopKind, View } from "./view.js";

export type { StopKind, View } from "./view.js";

export interface ViewOptions {
  stdout?: WriteStream;
  stdin?: ReadStream;
  /** Lines even on a terminal. */
  plain?: boolean;
  /** The user asked to stop. Lines take no keys: there the caller listens for SIGINT. */
  onStop(kind: StopKind): void;
}

/** The live view on a terminal, lines everywhere else: pipes, files, CI, dumb terminals, screen readers. */
export async function openView(options: ViewOptions): Promise<View> {
  const { stdout = process.stdout, stdin = process.stdin, onStop } = options;
  if (options.plain || !isLively(stdout, process.env)) return startPlain({ write: (text) => stdout.write(text) });
  // React asks once, at import, whether it is being developed; its development build is several times slower and keeps
  // a record of every render.
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production";
  try {
    const { startView } = await import("./app.js");
    return startView({ onStop, stdout, stdin });
  } finally {
    if (NODE_ENV === undefined) delete process.env.NODE_ENV;
    else process.env.NODE_ENV = NODE_ENV;
  }
}

function isLively(stdout: WriteStream, environment: NodeJS.ProcessEnv): boolean {
  const { TERM, CI, INK_SCREEN_READER } = environment;
  return stdout.isTTY === true && TERM !== "dumb" && (!CI || CI === "false") && INK_SCREEN_READER !== "true";
}
