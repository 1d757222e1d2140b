import { definite } from "./definite.js";
import { harmless, harmlessLines } from "./harmless.js";
import { withoutSecrets } from "./secrets.js";

/** Names of what can go wrong, for scripts: stable. A file of another version may hold others. */
export type ErrorCode =
  | "adapter-damaged"
  | "adapter-missing"
  | "adapter-unfit"
  | "baseline-damaged"
  | "baseline-missing"
  | "build-failed"
  | "config"
  | "context-failed"
  | "context-full"
  | "dataset-card"
  | "dataset-invalid"
  | "dataset-licence"
  | "dataset-missing"
  | "dataset-unknown"
  | "decode-failed"
  | "disk"
  | "engine-crashed"
  | "engine-killed"
  | "engine-lacks"
  | "file-changed"
  | "folder"
  | "imatrix"
  | "internal"
  | "library-abi"
  | "library-missing"
  | "library-unfit"
  | "library-version"
  | "load-failed"
  | "model-damaged"
  | "model-download"
  | "model-invalid"
  | "model-missing"
  | "model-not-fetched"
  | "model-not-gguf"
  | "model-part-missing"
  | "model-source"
  | "model-truncated"
  | "model-unfit"
  | "no-probabilities"
  | "not-finite"
  | "nothing-run"
  | "other-tokenizer"
  | "out-of-memory"
  | "program-failed"
  | "program-missing"
  | "quantize-failed"
  | "reference-damaged"
  | "reference-file"
  | "reference-foreign"
  | "reference-form"
  | "reference-missing"
  | "reference-vocabulary"
  | "rule"
  | "run-damaged"
  | "run-contradiction"
  | "run-foreign"
  | "run-locked"
  | "run-missing"
  | "run-moved"
  | "server-failed"
  | "server-refused"
  | "server-unreachable"
  | "stopped"
  | "template-failed"
  | "text-too-short"
  | "timeout";

/** An error in a form that survives a process border, a file and a report. */
export interface Failure {
  /** An `ErrorCode`, or one that another version knows. */
  code: string;
  /** One sentence: what happened, and where. */
  message: string;
  /** The remedy. */
  hint?: string;
  /** Where a fault of the program happened. */
  stack?: string;
}

/**
 * An error that the user can mend: shown as one sentence and a remedy, without a stack.
 * Every other error is a fault of the program and shows its stack.
 * Messages quote what comes from outside: they are one line, harmless and of bounded length from here on.
 */
export class BenchError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** What else is wrong with the same input, in the order in which it stands there. */
  readonly others: readonly BenchError[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string | undefined; cause?: unknown; others?: readonly BenchError[] } = {},
  ) {
    super(stopped(harmless(withoutSecrets(message))), { cause: options.cause });
    this.name = "BenchError";
    this.code = code;
    this.others = options.others ?? [];
    this.hint =
      options.hint && stopped(harmless(withoutSecrets(options.hint.charAt(0).toUpperCase() + options.hint.slice(1))));
  }
}

/** A sentence ends with a stop, so that a remedy can follow it. */
function stopped(sentence: string): string {
  return /[.!?…]\)?$/.test(sentence) ? sentence : `${sentence}.`;
}

/** The message of any thrown value. */
export const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

/** The operating system's name of what went wrong, such as `ENOENT`. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/** What lets a file be written that the system refused: the beginning of a remedy. */
export function writeRemedy(thrown: unknown): string {
  const code = systemCode(thrown) ?? "";
  if (/^(EROFS|EACCES|EPERM)$/.test(code)) return "make it writable";
  if (/^(ENOTDIR|EEXIST|EISDIR|ELOOP)$/.test(code)) return "move away what stands in its place";
  return code === "ENOENT" ? "make its folder" : "make room on the disk";
}

/** Any thrown value as a plain record; the code of an unforeseen error is `internal`. */
export function toFailure(error: unknown): Failure {
  const stack = error instanceof Error && error.stack ? withoutSecrets(error.stack) : undefined;
  if (!(error instanceof BenchError))
    return definite({ code: "internal", message: harmless(withoutSecrets(String(error))), stack });
  const { code, message, hint } = error;
  return definite({ code, message, hint, stack: code === "internal" ? stack : undefined });
}

/** The way back: a failure that crossed a process border becomes an error again. */
export function fromFailure(failure: Failure): BenchError {
  const error = new BenchError(failure.code as ErrorCode, failure.message, failure.hint ? { hint: failure.hint } : {});
  if (failure.stack) error.stack = failure.stack;
  return error;
}

/** Errors that are told of one input. */
const mostTold = 10;

/** An error for the screen: a sentence and a remedy for all that the user can mend, else the stack. */
export function describeError(error: unknown): string {
  const { code, message, stack } = toFailure(error);
  if (code === "internal") return harmlessLines(`gguf-bench: a fault of the program (${code}):\n${stack ?? message}\n`);
  const all = error instanceof BenchError ? [error, ...error.others] : [];
  const told = all.slice(0, mostTold).map(({ message, hint }) => `${message}${hint ? `\n  ${hint}` : ""}\n`);
  const more = all.length > mostTold ? `and ${all.length - mostTold} more.\n` : "";
  return harmlessLines(`gguf-bench: ${told.join("")}${more}`);
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
