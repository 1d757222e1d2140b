import type { JobRecord } from "../events.js";
import { metric as describe, itemsPer } from "../metrics.js";
import { hasShare, type Run } from "./index.js";

/** Which parts of a plan a run was measured in, while others are not begun; undefined for other runs. */
function ownParts({ shard, shards }: Run): { parts: number[]; of: number } | undefined {
  if (!shard) return undefined;
  const parts = [...(shards.get(shard.of)?.keys() ?? [])].sort((a, b) => a - b);
  return parts.length < shard.of ? { parts, of: shard.of } : undefined;
}

/** `This is part 2 of 8`, of a run that is but some parts of its plan; undefined for other runs. */
export function partTold(run: Run): string | undefined {
  const own = ownParts(run);
  return own && `${own.parts.length > 1 ? "These are" : "This is"} ${inWords(own.parts, own.of)}`;
}

/**
 * What a run that was measured in shards lacks, a sentence each: the shards that nobody measured, or not to their end, and how many
 * items of which measurements. Empty for other runs, and while a shard of its own is measured.
 */
export function missingOf(run: Run): string[] {
  const { plan, jobs, shards } = run;
  if (!plan || ownParts(run) || shards.size === 0) return [];
  const open = plan.jobs.filter(({ id, impossible, variant }) => {
    const failed = plan.variants.find(({ name }) => name === variant)?.failure !== undefined;
    return impossible === undefined && !failed && jobs.get(id)?.done !== true;
  });
  if (open.length === 0) return [];
  const ids = new Set(open.map(({ id }) => id));
  const isLeft = (record: JobRecord) => ids.has(record.id) && !hasShare(record, jobs.get(record.id)?.shares);
  const told = Array.from(shards, ([of, there]) => {
    const missing = Array.from({ length: of }, (_, i) => i + 1).filter((part) => !there.has(part));
    const unfinished = [...there]
      .flatMap(([part, records]) => (records.some(isLeft) ? [part] : []))
      .sort((a, b) => a - b);
    const whole = (parts: number[], what: string) =>
      parts.length > 0 ? [`${inWords(parts, of)} ${parts.length > 1 ? "are" : "is"} ${what}`] : [];
    return [...whole(missing, "missing"), ...whole(unfinished, "not finished")];
  }).flat();
  const what = told.length > 0 ? told.join(", and ") : "parts of the run are not finished";
  return [
    `${what}: ${lacks(open, jobs)}`,
    "`gguf-bench run FILE --out` with this folder measures what is missing; `gguf-bench merge` adds a part that is done",
  ];
}

const inWords = (parts: readonly number[], of: number) =>
  `${parts.length > 1 ? "parts" : "part"} ${inRanges(parts)} of ${of}`;

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
