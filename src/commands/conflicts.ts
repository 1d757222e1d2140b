import { BenchError } from "../errors.js";

/** Options of a run that are told apart here. */
interface Choices {
  shard?: unknown;
  queue?: string;
  again?: boolean;
  tags?: string[];
  speedHost?: string;
}

/** Throws where options of a run exclude each other or do nothing; to be asked before a queue is waited for. */
export function checkOptions({ shard, queue, again, tags, speedHost }: Choices): void {
  const other = queue === undefined ? (again ? "--again" : undefined) : "--queue";
  if (shard && other)
    throw new BenchError("config", `--shard and ${other} exclude each other`, {
      hint:
        other === "--queue"
          ? "a queue shares the work out by itself: leave --shard out"
          : "join the parts with `gguf-bench merge`, and time that run once more on one machine",
    });
  const idle = tags ? "--tags" : speedHost === undefined ? undefined : "--speed-host";
  if (queue === undefined && idle !== undefined)
    throw new BenchError("config", `${idle} chooses among the workers of a queue, and there is no --queue`, {
      hint: `name the queue's Redis with --queue, or leave ${idle} out`,
    });
}
