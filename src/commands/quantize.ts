import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { definite } from "../definite.js";
import { exitCodes } from "../errors.js";
import { harmless } from "../harmless.js";
import { notMeasurable } from "../models/gguf.js";
import { coverageNote } from "../models/importance.js";
import { checkType, coverage, quantizedName, quantizeFile } from "../models/quantize.js";
import { isRemote, resolveModel } from "../models/sources.js";
import { say } from "../terminal.js";
import { bytes } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { downloadLines } from "./downloads.js";
import { stopper, unlessStopped } from "./stop.js";

export interface QuantizeCommand extends Pick<FolderOptions, "modelsDir"> {
  /** An unquantized model: a path, or where it is fetched from. */
  model: string;
  types: string[];
  /** An importance matrix. */
  imatrix?: string;
  /** The folder for the files; by default that of the model. */
  out?: string;
  allowRequantize?: boolean;
}

/** Makes quantizations of one model file, named after it. A file that is there already is left alone. */
export async function quantizeCommand(asked: QuantizeCommand, where: Surroundings): Promise<number> {
  const stop = stopper(
    () => {},
    () => {},
  );
  const making = make(asked, where, stop.signal);
  try {
    const code = await unlessStopped(making, stop.signal);
    if (code !== undefined) return code;
    // The file that is half written is taken away first.
    await making.catch(() => {});
    where.stderr.write("Stopped; the same command makes what is missing.\n");
    return exitCodes.stopped;
  } finally {
    stop.end();
  }
}

async function make(asked: QuantizeCommand, where: Surroundings, signal: AbortSignal): Promise<number> {
  const { model, types, imatrix, out, allowRequantize: requantize = false } = asked;
  const { stdout, stderr } = where;
  const { modelsDir } = foldersOf(asked, where);
  const folders = { baseDir: process.cwd(), ...definite({ modelsDir, signal }), ...(await downloadLines(where)) };
  const { path: source } = await resolveModel(model, folders);
  const fetched = imatrix && isRemote(imatrix);
  const matrix = fetched ? (await resolveModel(imatrix, { ...folders, expect: "matrix" })).path : imatrix;
  for (const type of types.map(checkType)) {
    const quantization = { type, requantize, ...definite({ imatrix: matrix }) };
    const folder = out ?? (isRemote(model) ? "." : path.dirname(source));
    const output = path.join(folder, quantizedName(source, quantization));
    const there = existsSync(output);
    const began = performance.now();
    if (!there) {
      // A model of several GB takes minutes.
      if (stderr.isTTY) stderr.write(harmless(`${output} …`));
      await quantizeFile(source, output, quantization, { signal }).finally(() => {
        if (stderr.isTTY) stderr.write("\r\u001b[K");
      });
    }
    const took = there ? "was there" : `${((performance.now() - began) / 1000).toFixed(1)} s`;
    say(stdout, `${output}  ${bytes(statSync(output).size)}  ${took}\n`);
    const covers = await coverage(source, quantization);
    const uncovered = covers && coverageNote(covers);
    if (uncovered) say(stderr, `${path.basename(output)}: ${uncovered}.\n`);
  }
  const note = await notMeasurable(source);
  if (note) say(stderr, `${note}\n`);
  return exitCodes.allMeasured;
}
