import fs from "node:fs";
import os from "node:os";
import tty, { type WriteStream } from "node:tty";
import { harmless, harmlessLines } from "./harmless.js";

/** A stream that commands write to. `isTTY`, `columns` and `rows` are known of a terminal. */
export type Writer = NodeJS.WritableStream &
  Partial<Pick<WriteStream, "isTTY" | "columns" | "rows" | "writableNeedDrain">>;

/**
 * For a process that works for another one. A terminal's Ctrl-C and its end, and what stops a batch job, reach all processes of a
 * group alike; whoever started this one decides what becomes of it.
 */
export function leaveSignalsToParent(): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
}

/** Why nothing can be written to the process's stdout any more. */
let lost: NodeJS.ErrnoException | undefined;
let whenLost: (() => void) | undefined;

/**
 * Writes a command's answer. Whatever its lines quote, no terminal obeys it; `colours`: but those of `coloured`, in text that is
 * harmless but for them.
 */
export function say(stdout: Writer, lines: string, { colours = false } = {}): void {
  if (lost && stdout === process.stdout) return;
  const parts = colours ? lines.split(colourCodes) : [lines];
  stdout.write(parts.map((part, i) => (i % 2 === 0 ? harmlessLines(part) : part)).join(""));
}

const codes = { good: "32", doubtful: "33", bad: "31", worst: "1;31" };
export type Colour = keyof typeof codes;
const colourCodes = /(\x1b\[(?:0|32|33|31|1;31)m)/;

/** The text between codes that `say` lets pass; blanks around it stay outside. */
export const coloured = (text: string, colour: Colour): string =>
  text.replace(/\S(?:.*\S)?/s, (words) => `\x1b[${codes[colour]}m${words}\x1b[0m`);

/** Whether answers have colours: on a terminal that has them, unless the user wants none (no-color.org). */
export const isColoured = ({ isTTY }: Writer, { NO_COLOR, TERM }: NodeJS.ProcessEnv): boolean =>
  isTTY === true && !NO_COLOR && TERM !== "dumb";

/** Calls back once when stdout cannot be written any more: its reader ended (`| head`), its terminal was closed, its disk is full. */
export function onLost(callback: () => void): void {
  if (tty.isatty(0)) process.stdin.on("error", lose);
  whenLost = callback;
  if (lost) callback();
}

function lose(error: NodeJS.ErrnoException): void {
  if (lost) return;
  lost = error;
  whenLost?.();
}

/**
 * Lets the process outlive a stdout that is lost: what is measured is kept and the lock removed. The end is silent when a
 * reader has seen enough (`| head`); when the output could not be written, it is a sentence and exit code 1.
 */
export function outliveReaders(): void {
  process.stdout.on("error", lose);
  process.stderr.on("error", () => {});
  const terminals = [0, 1, 2].filter((file) => tty.isatty(file));
  process.on("exit", () => {
    if (lost && lost.code !== "EPIPE" && lost.code !== "EIO") {
      process.exitCode ||= 1;
      const said = `gguf-bench: the output cannot be written: ${harmless(lost.message)}\n`;
      try {
        fs.writeSync(2, said);
      } catch {
        // Nobody is left to be told.
      }
    }
    // Node gives terminals back as it found them, and aborts where one is no longer there.
    for (const file of terminals)
      if (!tty.isatty(file)) {
        fs.closeSync(file);
        fs.openSync(os.devNull, "r+"); // takes the number that is free now
      }
  });
}
