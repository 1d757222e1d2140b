import { randomBytes } from "node:crypto";
import { renameSync, rmSync, statSync } from "node:fs";
import { backendOf, findBackend, withPaths } from "../backends/index.js";
import { dataKinds } from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { childExecutor, type Executor } from "../executors/index.js";
import { harmless } from "../harmless.js";
import type { SourceFolders } from "../models/sources.js";
import { findForm, openReference } from "../references/index.js";
import type { ReferenceHead } from "../references/reference.js";
import { say, type Writer } from "../terminal.js";
import { bytes } from "../units.js";
import { type FolderOptions, foldersOf, type Surroundings } from "./command.js";
import { downloadLines } from "./downloads.js";
import { stopper } from "./stop.js";

export interface ReferenceCommand extends FolderOptions {
  model: string;
  /** A dataset's name, or the path of any UTF-8 text. */
  text: string;
  /** Tokens per chunk; by default 512. */
  context?: number;
  chunks?: number;
  /** Refused: neither form of file has numbers for its chunks. */
  spread?: number;
  out: string;
  /** `llama`, as llama-perplexity writes it (the default), or `compact`. */
  form?: string;
  /** Number of most likely tokens that the compact form keeps of every position. */
  top?: number;
  threads?: number;
  /** A folder with a build of libllama to compute with. */
  library?: string;
  /** Seconds without a sign of life after which the engine is given up; by default 600. */
  timeout?: number;
}

type Downloads = Pick<SourceFolders, "fetching" | "warning" | "signal">;

/** Writes the distributions of a model over a text to a file, for `--measure divergence --base FILE`. */
export async function referenceCommand(said: ReferenceCommand, where: Surroundings): Promise<number> {
  const { stdout, stderr } = where;
  const asked = { ...said, ...foldersOf(said, where) };
  const executor = childExecutor();
  const stop = stopper(
    () => void executor.close(),
    () => void executor.close(),
  );
  try {
    const downloads = { ...(await downloadLines(where)), signal: stop.signal };
    const progress = progressLines(asked.out, stderr);
    const { head, bytes: size, peakMemory } = await recordFile(asked, executor, downloads, progress.tell);
    progress.end();
    const { form, context, chunks, vocabulary, top } = head;
    const kept = top ? `${form}, top ${top}` : form;
    say(
      stdout,
      `${asked.out}  ${bytes(size)}, ${kept}: ${chunks} chunks of ${context} tokens, vocabulary ${vocabulary}; peak memory ${bytes(peakMemory)}\n`,
    );
    return exitCodes.allMeasured;
  } catch (error) {
    if (stop.signal.aborted) return exitCodes.stopped;
    throw error;
  } finally {
    stop.end();
    await executor.close();
  }
}

/** Progress in one line that is written over on a terminal, else in a line for every tenth. */
function progressLines(name: string, stderr: Writer) {
  const [before, after] = stderr.isTTY ? ["\r", ""] : ["", "\n"];
  let last = -1;
  return {
    tell(done: number, total: number) {
      const percent = Math.floor((100 * done) / total);
      const step = stderr.isTTY ? percent : Math.floor(percent / 10);
      if (step === last) return;
      last = step;
      stderr.write(`${before}${harmless(name)}: ${Math.floor(done)} of ${total} chunks, ${percent} %${after}`);
    },
    end() {
      if (stderr.isTTY) stderr.write("\n");
    },
  };
}

/**
 * Writes a reference file through an engine process. The file appears only when it is complete and on the disk; until then
 * it has another name.
 */
async function recordFile(
  asked: ReferenceCommand,
  executor: Executor,
  downloads: Downloads,
  progress: (done: number, total: number) => void,
): Promise<{ head: ReferenceHead; bytes: number; peakMemory: number }> {
  const { model, text: name, chunks, out, top, threads, library, modelsDir, dataDir } = asked;
  const { context = 512, form = "llama", timeout = 600 } = asked;
  findForm(form);
  if (asked.spread !== undefined)
    throw new BenchError(
      "config",
      "a stored reference holds a text's chunks from the first on, so it takes no --spread",
      {
        hint: "store more of them with --chunks; `run --measure divergence --base FILE --spread N` draws among those",
      },
    );
  if (top !== undefined && form !== "compact")
    throw new BenchError("config", "--top is for the compact form alone", { hint: "add --form compact" });
  const backend = await findBackend(backendOf(model));
  const baseDir = process.cwd();
  const text = await dataKinds.text.resolve({ text: name }, { baseDir, ...definite({ dataDir }) });
  const folders = { baseDir, ...definite({ modelsDir }), ...downloads };
  const settings = withPaths(backend.name, definite({ threads, library }), baseDir);
  await backend.prepare({ model }, folders);
  const located = await backend.locate({ model }, folders, settings);
  if (located.state === "missing")
    throw new BenchError("model-not-fetched", `${model} is not here any more: it was removed or changed meanwhile`);
  const { model: file, facts } = located;
  if (!facts || !backend.parts.includes("windows"))
    throw new BenchError("config", `${model} is not measured in this process, so no reference can be made of it`, {
      hint: "give the path of its GGUF file",
    });
  if (context > facts.contextLength)
    throw new BenchError(
      "config",
      `a context of ${context} tokens is asked for; the model was trained for ${facts.contextLength}`,
    );
  const draft = `${out}.${randomBytes(4).toString("hex")}.part`;
  try {
    const engine = await executor.open(
      { name: model, model: file, backend: backend.name, settings, facts },
      { timeout },
    );
    let peakMemory = 0;
    const replies = engine.record({
      text,
      settings: { context, ...definite({ chunks }) },
      form,
      path: draft,
      modelSha256: facts.sha256,
      tokenizerSha256: facts.tokenizerBehaviour ?? facts.tokenizerSha256,
      textSha256: text.sha256,
      ...definite({ top }),
    });
    for await (const reply of replies) {
      if (reply.type === "progress") progress(reply.done, reply.total);
      if (reply.type === "complete") peakMemory = reply.peakMemory ?? 0;
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
