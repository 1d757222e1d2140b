import { fork } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import fs from "node:fs";
import { rename, rm, rmdir, statfs } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { definite } from "../definite.js";
import { BenchError, type Failure, fromFailure, messageOf } from "../errors.js";
import { makeFolder } from "../folders.js";
import { chooseLibrary, llamaRelease } from "../llama/location.js";
import { fileTypes, type QuantizeRequest } from "../llama/quantize.js";
import { usableProcessors } from "../machine.js";
import { nearest } from "../yaml.js";
import { buildOf } from "./builds.js";
import { cacheDirectory, forgetDigest, keepDigest, keptDigest, keptSha256, otherCache } from "./cache.js";
import { checkQuantizable, type ModelFacts, readModelFacts } from "./gguf.js";
import { type Coverage, coverageNote, readCoverage } from "./importance.js";
import { UnchangedFiles } from "./unchanged.js";

const program = fileURLToPath(new URL("./quantize-process.js", import.meta.url));

export interface Quantization {
  /** As llama-quantize names it: Q4_K_M, IQ4_XS … */
  type: string;
  /** A file made by llama-imatrix. */
  imatrix?: string;
  /** A file that is quantized already is taken, too. */
  requantize?: boolean;
}

/** How far a quantization is, in tensors. */
export interface Quantizing {
  /** The file that is made. */
  name: string;
  done: number;
  total: number;
}

/** Types that llama.cpp writes alike with and without an importance matrix. */
const unweighted = new Set(["F32", "F16", "BF16", "Q8_0", "TQ1_0", "TQ2_0"]);

/** The name of a quantization beside its source: `model-Q4_K_M.gguf`, `-im` where a matrix weighs in it. */
export function quantizedName(source: string, { type, imatrix }: Quantization): string {
  const stem = path.basename(source, ".gguf").replace(/-(F16|BF16|F32)$/i, "");
  return `${stem}-${type}${imatrix && !unweighted.has(type) ? "-im" : ""}.gguf`;
}

/** The type's name as llama.cpp spells it. Throws for one that it cannot write. */
export function checkType(type: string): string {
  const known = Object.keys(fileTypes).find((name) => name === type.toUpperCase());
  if (!known)
    throw new BenchError("config", `"${type}" is no type that llama.cpp can write`, {
      hint: nearest(type, Object.keys(fileTypes)),
    });
  return known;
}

/** Bytes: less than a single tensor of a model takes. */
const leastRoom = 1 << 20;

export interface QuantizeOptions {
  quantizing?: (state: Quantizing) => void;
  signal?: AbortSignal;
  /** How the user puts the file in another place. */
  elsewhere?: string;
}

/** Writes `source` quantized to `output`, whole or not at all, in a process of its own. */
export async function quantizeFile(
  source: string,
  output: string,
  quantization: Quantization,
  { quantizing, signal, elsewhere = "name another folder with --out" }: QuantizeOptions = {},
): Promise<void> {
  const { type, imatrix, requantize = false } = quantization;
  await checkQuantizable(source, { requantize });
  await coverage(source, quantization);
  const part = `${output}.${randomUUID()}.part`;
  const made = makeFolder(path.dirname(output), elsewhere);
  try {
    const request: QuantizeRequest = {
      source,
      output: part,
      type: checkType(type),
      threads: usableProcessors(),
      requantize,
      ...(imatrix !== undefined && !unweighted.has(type) ? { imatrix } : {}),
    };
    await inProcess(request, signal, (done, total) => quantizing?.({ name: path.basename(output), done, total }));
    await rename(part, output);
  } catch (thrown) {
    const error = /iostream error/.test(messageOf(thrown)) ? await unwritable(output, elsewhere, thrown) : thrown;
    await rm(part, { force: true });
    if (made !== undefined) await removeEmpty(path.dirname(output), made);
    throw error;
  } finally {
    await rm(part, { force: true });
  }
}

/** What C++ calls an iostream error, while the half file still takes its room. */
async function unwritable(output: string, elsewhere: string, cause: unknown): Promise<BenchError> {
  const { bavail, bsize } = await statfs(path.dirname(output));
  const [why, remedy] =
    bavail * bsize < leastRoom ? ["no space left on the disk", "make room"] : ["its disk refuses it", "mend the disk"];
  return new BenchError("disk", `${output} cannot be written: ${why}`, { hint: `${remedy}, or ${elsewhere}`, cause });
}

/** Where quantizations are kept. */
export const quantizedFolder = () => path.join(cacheDirectory(), "quantized");

/** A quantization in the user's cache, whether it was made yet or not. */
export interface CachedQuantization {
  path: string;
  /** 64 hexadecimal digits: the digest of all that decides the file's bytes. */
  recipe: string;
  /** The model and the matrix whose digests are in the recipe. */
  sources: UnchangedFiles;
  /** Absent while the file is to be made. */
  facts?: ModelFacts;
  /** What the user should know of it: sentences without their ends. */
  notes: string[];
  /** It was made, but its bytes are no longer those that were written. */
  damaged: boolean;
}

/**
 * Where a quantization of a file is kept, or will be. Undefined for a source that is of this type already: it is its own
 * quantization. Throws a BenchError for a source or a matrix that it cannot be made of.
 */
export async function locateQuantization(
  source: string,
  quantization: Quantization,
): Promise<CachedQuantization | undefined> {
  const type = checkType(quantization.type);
  const facts = await readModelFacts(source);
  if (facts.quant === type) return undefined;
  if (facts.files.length > 1)
    throw new BenchError("quantize-failed", `${source} is a split model, which cannot be quantized here yet`, {
      hint: "merge its parts with llama-gguf-split first",
    });
  const imatrix = unweighted.has(type) ? undefined : quantization.imatrix;
  const matrix = imatrix === undefined ? "" : await matrixSha256(imatrix);
  const build = (await buildOf(chooseLibrary("cpu"))) ?? "";
  const recipe = createHash("sha256")
    .update([facts.sha256, type, matrix, llamaRelease, build].join(" ").trimEnd())
    .digest("hex");
  const name = quantizedName(source, { ...quantization, type });
  const output = path.join(quantizedFolder(), recipe.slice(0, 16), name);
  const sources = new UnchangedFiles().addModel({ facts });
  if (imatrix !== undefined) sources.add(imatrix, matrix);
  const covers = await coverage(source, { type, ...definite({ imatrix }) });
  const note = covers && coverageNote(covers);
  const cached = { path: output, recipe, sources, notes: note === undefined ? [] : [note] };
  // A file without a digest is of a process that died before it had written one.
  const digest = fs.existsSync(output) ? await keptDigest(output) : undefined;
  const there = digest === undefined ? undefined : await readModelFacts(output).catch(() => undefined);
  if (there && there.sha256 === digest) {
    const weighed = there.imatrix &&
      covers && { ...there.imatrix, covers: { matrices: covers.covered, of: covers.of } };
    return { ...cached, facts: { ...there, ...definite({ imatrix: weighed }) }, damaged: false };
  }
  await checkQuantizable(source, { requantize: false });
  return { ...cached, damaged: digest !== undefined };
}

/**
 * How much of a model the matrix of a quantization weighs; undefined without one. Throws a BenchError `imatrix` for a matrix that
 * cannot be read, is of another model, or weighs nothing.
 */
export async function coverage(source: string, { type, imatrix }: Quantization): Promise<Coverage | undefined> {
  if (imatrix === undefined) return undefined;
  await matrixSha256(imatrix);
  return unweighted.has(type) ? undefined : readCoverage(imatrix, source);
}

/** Makes a quantization in the cache, and keeps its digest beside it. Throws `file-changed` when its source changed meanwhile. */
export async function makeQuantization(
  source: string,
  { path: output, sources }: CachedQuantization,
  quantization: Quantization,
  options: QuantizeOptions,
): Promise<void> {
  await forgetDigest(output);
  await quantizeFile(source, output, quantization, { ...options, elsewhere: otherCache });
  try {
    await sources.check();
    await keepDigest(output, (await readModelFacts(output)).sha256);
  } catch (error) {
    await rm(output, { force: true });
    throw error;
  }
}

/** Folders from `inner` up to `outer` that hold nothing. */
async function removeEmpty(inner: string, outer: string): Promise<void> {
  try {
    for (let folder = path.resolve(inner); folder.startsWith(path.resolve(outer)); folder = path.dirname(folder))
      await rmdir(folder);
  } catch {
    // Another file is there by now.
  }
}

function matrixSha256(file: string): Promise<string> {
  return keptSha256(file).catch((cause: Error) => {
    throw new BenchError("imatrix", `the importance matrix ${file} cannot be read: ${cause.message}`, { cause });
  });
}

function inProcess(
  request: QuantizeRequest,
  signal: AbortSignal | undefined,
  progress: (done: number, total: number) => void,
): Promise<void> {
  const child = fork(program, {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: ["--no-warnings"],
    killSignal: "SIGKILL",
    signal,
  });
  let log = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-65536);
    const [, done, total] = log.match(/.*\[ *(\d+)\/ *(\d+)\]/s) ?? [];
    if (done && total) progress(Number(done), Number(total));
  });
  return new Promise((resolve, reject) => {
    let answer: "done" | Failure | undefined;
    child.on("message", (message: "done" | Failure) => {
      answer = message;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (answer === "done") return resolve();
      // "[ 3/272] blk.0.attn_k.weight - [ 576, …] … llama_model_quantize: failed to quantize: …": a line of progress is not ended.
      const said =
        log.match(/failed to quantize: (.*)/)?.[1] ?? log.split("\n").findLast((line) => /abort|assert/i.test(line));
      if (!answer)
        return reject(
          new BenchError(
            "quantize-failed",
            `the quantization of ${request.source} to ${request.type} died (${signal ?? code})${said ? `: ${said}` : ""}`,
            {
              hint: signal === "SIGKILL" ? "free memory and run the same command again" : "",
            },
          ),
        );
      if (said?.startsWith("imatrix size"))
        return reject(
          new BenchError(
            "imatrix",
            `the importance matrix ${request.imatrix} is of another model than ${request.source}: ${said}`,
            {
              hint: "make one for this model with llama-imatrix",
            },
          ),
        );
      const { message, ...rest } = answer;
      reject(
        fromFailure({
          ...rest,
          message: said && rest.code === "quantize-failed" ? `${message.replace(/\.$/, "")}: ${said}` : message,
        }),
      );
    });
    child.send(request);
  });
}
