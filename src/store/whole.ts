import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { BenchError, messageOf, writeRemedy } from "../errors.js";

/** Writes a file whole or not at all, so that half a file is never taken for it. Throws a BenchError that names it. */
export function writeWhole(file: string, content: string | Uint8Array): void {
  let draft = "";
  try {
    const there = fs.statSync(file, { throwIfNoEntry: false });
    if (there && !there.isFile() && !there.isDirectory()) {
      fs.writeFileSync(file, content); // a pipe, a terminal
      return;
    }
    const target = there ? fs.realpathSync(file) : file;
    draft = `${target}.${randomBytes(6).toString("hex")}.part`;
    fs.writeFileSync(draft, content);
    fs.renameSync(draft, target);
  } catch (cause) {
    if (draft) fs.rmSync(draft, { force: true });
    throw new BenchError("disk", `${file} cannot be written: ${messageOf(cause).replace(draft, file)}`, {
      hint: `${writeRemedy(cause)}, or name another place`,
      cause,
    });
  }
}
