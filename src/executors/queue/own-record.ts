import { randomUUID } from "node:crypto";
import { backendNames, findBackend } from "../../backends/index.js";
import { now } from "../../clock.js";
import { thisMachine } from "../../machine.js";
import type { Executor } from "../executor.js";
import type { FileSources } from "./files.js";
import { hostName, type WorkerRecord } from "./roster.js";

/** What a worker is and does. */
export interface WorkerOptions extends FileSources {
  url: string;
  version: string;
  /** Opens engines in processes of their own: this one must renew what it took. Asked again after each stop, which ends one for good. */
  executor(): Executor;
  /** Where those would be opened. */
  place: Executor["place"];
  /** Default: the host's name. */
  name?: string;
  tags?: readonly string[];
  /** Threads of engines whose variant says none. */
  threads?: number;
  /** Bytes that engines may use. */
  memory: number;
  /** Hears what it does, a sentence without its end. */
  told(sentence: string): void;
}

/** A worker as it tells of itself: what it may do, the machine, and the builds that it can compute with. */
export async function ownRecord({
  name,
  tags = [],
  version,
  memory,
  threads,
  place,
}: WorkerOptions): Promise<WorkerRecord> {
  const builds: WorkerRecord["builds"] = [];
  for (const backend of backendNames) {
    const { builds: all = [], settingsFacts } = await findBackend(backend);
    for (const settings of all) {
      if (settingsFacts(settings).impossible !== undefined) continue;
      const { engine } = await place({ backend, model: "", settings });
      builds.push({ backend, settings, engine });
    }
  }
  const host = hostName();
  const all = thisMachine();
  // Speed is of the cores that are used.
  const machine = { ...all, host, cpus: Math.min(threads ?? all.cpus, all.cpus) };
  return {
    ...{ name: name ?? host, token: randomUUID(), version, tags: [...tags], machine },
    ...{ builds, memory, since: now() },
  };
}
