import { randomBytes } from "node:crypto";
import { renameSync, rmSync, statSync } from "node:fs";
import { backendOf, findBackend } from "../backends/index.js";
import { dataKinds } from "../data/index.js";
import { BenchError } from "../errors.js";
import type { Executor } from "../executors/index.js";
import type { SourceFolders } from "../models/sources.js";
import { findForm, openReference } from "../references/index.js";
import type { ReferenceHead } from "../references/reference.js";

export interface RecordOptions {
  /** A dataset's name, or the path of any UTF-8 text. */
  text: string;
  context: number;
  chunks?: number;
  out: string;
  /** llama-perplexity's own, or compact. */
  form: string;
  /** Most likely tokens that the compact form keeps of every position. */
  top?: number;
  threads?: number;
  modelsDir?: string;
  dataDir?: string;
  /** Seconds without a sign of life after which the engine is given up. */
  timeout: number;
  /** What becomes of a model that is to be downloaded. */
  downloads?: Pick<SourceFolders, "fetching" | "signal">;
}

/**
 * Writes a reference file through an engine process. It is there whole or not at all: written beside its place, and put there
 * when it is complete and on the disk.
 */
export async function recordFile(
  model: string,
  options: RecordOptions,
  executor: Executor,
  progress: (done: number, total: number) => void,
): Promise<{ head: ReferenceHead; bytes: number; peakMemory: number }> {
  const { text: name, context, chunks, out, form, top, threads, modelsDir, dataDir, timeout } = options;
  findForm(form);
  if (top !== undefined && form !== "compact")
    throw new BenchError("config", "--top is for the compact form alone", { hint: "add --form compact" });
  const backend = await findBackend(backendOf(model));
  const baseDir = process.cwd();
  const text = await dataKinds.text.resolve({ text: name }, { baseDir, ...(dataDir ? { dataDir } : {}) });
  const { model: file, facts } = await backend.inspect(
    { model },
    { baseDir, ...(modelsDir ? { modelsDir } : {}), ...options.downloads },
  );
  if (context > facts.contextLength)
    throw new BenchError(
      "config",
      `a context of ${context} tokens is asked for; the model was trained for ${facts.contextLength}`,
    );
  const settings = threads === undefined ? {} : { threads };
  const draft = `${out}.${randomBytes(4).toString("hex")}.part`;
  try {
    const engine = await executor.open(
      { name: model, model: file, backend: backend.name, settings, facts },
      { timeout },
    );
    let peakMemory = 0;
    const replies = engine.record({
      text,
      settings: { context, ...(chunks === undefined ? {} : { chunks }) },
      form,
      path: draft,
      modelSha256: facts.sha256,
      tokenizerSha256: facts.tokenizerBehaviour ?? facts.tokenizerSha256,
      textSha256: text.sha256,
      ...(top === undefined ? {} : { top }),
    });
    for await (const reply of replies) {
      if (reply.type === "progress") progress(reply.done, reply.total);
      if (reply.type === "complete") peakMemory = reply.peakMemory;
    }
    await engine.close();
    const written = openReference(draft);
    written.close();
    renameSync(draft, out);
    return { head: written.head, bytes: statSync(out).size, peakMemory };
  } catch (error) {
    // The engine may still hold the file.
    await executor.close();
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}
