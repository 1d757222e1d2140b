import { several } from "../harmless.js";
import type { Run } from "../replay/index.js";

/** What a reader should know of the workers that measured a run by a queue. */
export function workerNotes(run: Run): string[] {
  return [...interruptions(run), ...loadTimes(run)];
}

/** Who went in the middle of the work, workers or their queue, and how often. */
function interruptions({ warnings }: Run): string[] {
  const times = new Map<string, number>();
  for (const { worker } of warnings) if (worker !== undefined) times.set(worker, (times.get(worker) ?? 0) + 1);
  if (times.size === 0) return [];
  const names = [...times].map(([name, count]) => (count > 1 ? `${name} (${count} times)` : name));
  return [`Gone in the middle of the work: ${several(names)}; what was lost was measured anew`];
}

/** Whose load times they are, where they are of several. */
function loadTimes({ plan, engines }: Run): string[] {
  const opened = new Map<string, string[]>();
  for (const { name } of plan?.variants ?? []) {
    const { worker, loadSeconds } = engines.get(name) ?? {};
    if (worker !== undefined && loadSeconds !== undefined) opened.set(worker, [...(opened.get(worker) ?? []), name]);
  }
  if (opened.size < 2) return [];
  const all = [...opened].map(([worker, names]) => `${several([worker])}: ${several(names)}`);
  return [`Load times are not to be compared, each is of the worker that opened the variant (${all.join("; ")})`];
}
