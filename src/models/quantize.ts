import { fork } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import fs from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { BenchError, type Failure, fromFailure } from "../errors.js";
import { chooseLibrary, llamaRelease } from "../llama/library.js";
import { fileTypes, type QuantizeRequest } from "../llama/quantize.js";
import { nearest } from "../yaml.js";
import { buildOf } from "./builds.js";
import { cacheDirectory, fileSha256 } from "./cache.js";
import { checkQuantizable, readModelFacts } from "./gguf.js";

const program = fileURLToPath(new URL("./quantize-process.js", import.meta.url));

export interface Quantization {
  /** As llama-quantize names it: Q4_K_M, IQ4_XS … */
  type: string;
  /** A GGUF file made by llama-imatrix. */
  imatrix?: string;
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

/** Writes `source` quantized to `output`, whole or not at all, in a process of its own. */
export async function quantizeFile(source: string, output: string, { type, imatrix }: Quantization): Promise<void> {
  await checkQuantizable(source);
  const part = `${output}.${randomUUID()}.part`;
  await mkdir(path.dirname(output), { recursive: true });
  try {
    await inProcess({
      source,
      output: part,
      type: checkType(type),
      threads: os.availableParallelism(),
      ...(imatrix ? { imatrix } : {}),
    });
    await rename(part, output);
  } finally {
    await rm(part, { force: true });
  }
}

/**
 * The quantized model in the user's cache, made when it is first asked for. Its name holds all that decides its bytes.
 * A source that is of this type already is its own quantization.
 */
export async function quantizedModel(source: string, quantization: Quantization): Promise<string> {
  const type = checkType(quantization.type);
  const facts = await readModelFacts(source);
  if (facts.quant === type) return source;
  if (facts.files.length > 1)
    throw new BenchError("quantize-failed", `${source} is a split model, which cannot be quantized here yet`, {
      hint: "merge its parts with llama-gguf-split first",
    });
  const matrix = quantization.imatrix ? await matrixSha256(quantization.imatrix) : "";
  const build = (await buildOf(chooseLibrary("cpu"))) ?? "";
  const key = createHash("sha256")
    .update([facts.sha256, type, matrix, llamaRelease, build].join(" ").trimEnd())
    .digest("hex")
    .slice(0, 16);
  const stem = path.basename(source, ".gguf").replace(/-F16$|-BF16$|-F32$/i, "");
  const output = path.join(cacheDirectory(), "quantized", key, `${stem}-${type}${matrix ? "-im" : ""}.gguf`);
  if (!fs.existsSync(output)) await quantizeFile(source, output, { ...quantization, type });
  return output;
}

function matrixSha256(file: string): Promise<string> {
  return fileSha256(file).catch((cause: Error) => {
    throw new BenchError("imatrix", `the importance matrix ${file} cannot be read: ${cause.message}`, { cause });
  });
}

function inProcess(request: QuantizeRequest): Promise<void> {
  const child = fork(program, { stdio: ["ignore", "ignore", "pipe", "ipc"], execArgv: ["--no-warnings"] });
  let log = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-65536);
  });
  return new Promise((resolve, reject) => {
    let answer: "done" | Failure | undefined;
    child.on("message", (message: "done" | Failure) => {
      answer = message;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (answer === "done") return resolve();
      const said = log
        .split("\n")
        .findLast((line) => /error|fail|abort|assert/i.test(line))
        ?.replace(/^\S+: /, "");
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
