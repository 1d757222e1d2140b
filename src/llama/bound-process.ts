// The beginning of a program that must not outlive the process that started it: asks the kernel for that, then becomes it.
import { writeSync } from "node:fs";
import { become, dieWithParent } from "./library.js";

const [, , file, ...args] = process.argv;
dieWithParent();
become(file!, args);
writeSync(2, `error: ${file} cannot be started on this machine\n`);
process.exitCode = 126;
