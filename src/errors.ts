import { harmless } from "./harmless.js";
import { withoutSecrets } from "./secrets.js";

/** What went wrong, in a form that survives a process border, a file and a report. */
export interface Failure {
  /** Stable, for scripts: `model-missing`, `out-of-memory`, … */
  code: string;
  /** One sentence: what happened, and where. */
  message: string;
  /** What to do about it. */
  hint?: string;
  /** Of a fault of the program: where it happened. */
  stack?: string;
}

/**
 * An error that the user can mend: shown as one sentence and a remedy, without a stack.
 * Every other error is a fault of the program and shows its stack.
 * Messages quote what comes from outside: they are one line, harmless and of bounded length from here on.
 */
export class BenchError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(stopped(harmless(withoutSecrets(message))), { cause: options.cause });
    this.name = "BenchError";
    this.code = code;
    this.hint =
      options.hint && stopped(harmless(withoutSecrets(options.hint.charAt(0).toUpperCase() + options.hint.slice(1))));
  }
}

/** A sentence ends with a stop, so that a remedy can follow it. */
function stopped(sentence: string): string {
  return /[.!?…]\)?$/.test(sentence) ? sentence : `${sentence}.`;
}

/** Any thrown value as a plain record; the code of an unforeseen error is `internal`. */
export function toFailure(error: unknown): Failure {
  const stack = error instanceof Error && error.stack ? { stack: withoutSecrets(error.stack) } : {};
  if (error instanceof BenchError)
    return {
      code: error.code,
      message: error.message,
      ...(error.hint ? { hint: error.hint } : {}),
      ...(error.code === "internal" ? stack : {}),
    };
  return { code: "internal", message: harmless(withoutSecrets(String(error))), ...stack };
}

/** The way back: a failure that crossed a process border becomes an error again. */
export function fromFailure(failure: Failure): BenchError {
  const error = new BenchError(failure.code, failure.message, failure.hint ? { hint: failure.hint } : {});
  if (failure.stack) error.stack = failure.stack;
  return error;
}

/** The one place that decides what the process answers with. */
export const exitCodes = {
  allMeasured: 0,
  badInput: 1,
  someFailed: 2,
  gateFailed: 3,
  gateUndecided: 4,
  stopped: 130,
} as const;
