import type { JobRecord } from "../events.js";
import { metric as describe, itemsPer } from "../metrics.js";
import type { Run } from "./index.js";

/**
 * What a run that was measured in shards lacks, a sentence each: the shards that nobody measured, and how many items of which
 * measurements. Empty for other runs, and while a shard of its own is measured.
 */
export function missingOf({ plan, jobs, shards, shard }: Run): string[] {
  if (!plan || shard || shards.size === 0) return [];
  const open = plan.jobs.filter(({ id, impossible, variant }) => {
    const failed = plan.variants.find(({ name }) => name === variant)?.failure !== undefined;
    return impossible === undefined && !failed && jobs.get(id)?.done !== true;
  });
  if (open.length === 0) return [];
  const parts = Array.from(shards, ([of, there]) => {
    const missing = Array.from({ length: of }, (_, i) => i + 1).filter((part) => !there.has(part));
    if (missing.length === 0) return undefined;
    return `${missing.length > 1 ? "parts" : "part"} ${inRanges(missing)} of ${of} ${missing.length > 1 ? "are" : "is"} missing`;
  }).filter((told) => told !== undefined);
  const what = parts.length > 0 ? parts.join(", and ") : "parts of the run are not finished";
  return [
    `${what}: ${lacks(open, jobs)}`,
    "`gguf-bench run FILE --out` with this folder measures what is missing; `gguf-bench merge` adds a part that is done",
  ];
}

/** `1, 3–5`. */
function inRanges(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}

/** `58 of 469 chunks of perplexity (3 variants); speed`. */
function lacks(open: readonly JobRecord[], jobs: Run["jobs"]): string {
  const told = new Map<string, Set<string>>();
  for (const { id, measurement, metrics, variant } of open) {
    const { items = [], whole } = jobs.get(id) ?? {};
    const unit = itemsPer[describe(metrics[0] ?? "perplexity").per];
    const what = whole === undefined ? measurement : `${whole - items.length} of ${whole} ${unit} of ${measurement}`;
    told.set(what, (told.get(what) ?? new Set()).add(variant));
  }
  const whose = (variants: Set<string>) => (variants.size === 1 ? [...variants][0] : `${variants.size} variants`);
  return Array.from(told, ([what, variants]) => `${what} (${whose(variants)})`).join("; ");
}
