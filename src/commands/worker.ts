import { definite } from "../definite.js";
import { BenchError, exitCodes } from "../errors.js";
import { childExecutor, localPlace } from "../executors/index.js";
import { startWorker } from "../executors/queue/index.js";
import { isFolder } from "../folders.js";
import { freeMemory } from "../machine.js";
import { shippedFolder } from "../models/shipped.js";
import { say } from "../terminal.js";
import { foldersOf, type Surroundings } from "./command.js";
import { stopper } from "./stop.js";
import { versions } from "./versions.js";

export interface WorkerCommand {
  /** `redis://[user:password@]host:port[/db]`, or `rediss://`. */
  queue: string;
  /** Default: the machine's name. */
  name?: string;
  tags?: string[];
  /** Where models are looked for, with all below. Default: `GGUF_BENCH_MODELS`. */
  folders?: string[];
  /** How addresses begin that models are fetched from. */
  allowSource?: string[];
  /** Bytes that engines may use. */
  memoryLimit?: number;
  threads?: number;
}

const sources = ["https://huggingface.co/"];

/** Measures for runs on other machines until it is stopped. Returns the exit code. */
export async function workerCommand(asked: WorkerCommand, where: Surroundings): Promise<number> {
  const { stdout } = where;
  const { queue, name, tags, threads, allowSource = sources, memoryLimit = freeMemory() } = asked;
  const { modelsDir } = foldersOf({}, where);
  const folders = asked.folders ?? (modelsDir === undefined ? [] : [modelsDir]);
  for (const folder of folders)
    if (!(await isFolder(folder)))
      throw new BenchError("folder", `${folder} is no folder`, { hint: "--models names a folder of models" });
  const told = (sentence: string) => say(stdout, `${sentence}\n`);
  const worker = await startWorker({
    ...{ url: queue, version: versions()["gguf-bench"]!, folders: [...folders, shippedFolder] },
    ...{ allowed: allowSource, memory: memoryLimit },
    ...{ executor: childExecutor, place: localPlace, told },
    ...definite({ name, tags, threads }),
  });
  told(`${worker.name} waits for work; Ctrl-C ends it`);
  const stop = stopper(
    () => {
      told("ends after the item at hand; Ctrl-C once more ends it at once");
      worker.stop();
    },
    () => void worker.kill(),
  );
  try {
    await worker.ended;
  } finally {
    stop.end();
  }
  return exitCodes.allMeasured;
}
