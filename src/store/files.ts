import fs from "node:fs";
import { BenchError, messageOf, writeRemedy } from "../errors.js";

export const damage = "put the file back as it was, or measure into another folder with --out";

export function writeAll(file: number, data: Buffer): void {
  for (let done = 0; done < data.length; ) done += fs.writeSync(file, data, done);
}

export function cutBack(file: number, bytes: number): void {
  try {
    fs.ftruncateSync(file, bytes);
  } catch {
    // The disk fails altogether. A reader passes over a torn line.
  }
}

export function unwritable(file: string, cause: unknown): BenchError {
  return new BenchError("disk", `${file} cannot be written: ${messageOf(cause)}`, {
    hint: `${writeRemedy(cause)} and run the same command again; nothing that was measured is lost`,
    cause,
  });
}
