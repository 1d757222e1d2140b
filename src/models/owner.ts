import { hostname } from "node:os";
import { sha256 } from "../digest.js";

/** Names this machine; whether a process lives can be asked only on its own. */
const host = sha256(hostname()).slice(0, 6);

/** Names this process in names of files, `a1b2c3-4711`: letters and digits, one hyphen. */
export const thisProcess = `${host}-${process.pid}`;

/** Whether a process runs, by its name; undefined for one of another machine. */
export function isRunning(owner: string): boolean | undefined {
  const [machine, pid] = owner.split("-");
  if (machine !== host) return undefined;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
