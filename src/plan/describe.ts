import { notesOfData } from "../events.js";
import { harmless } from "../harmless.js";
import type { Missing } from "../models/preparation.js";
import { counted, bytes as inUnits, roughDuration } from "../units.js";
import { memoryTogether, togetherGroups } from "./cost.js";
import type { Plan } from "./index.js";

/** The plan as text, one line a job. */
export function describePlan({ jobs, variants, preparations, memoryLimit, notes, provenance }: Plan): string {
  const width = variants.reduce((most, { name }) => Math.max(most, harmless(name).length), 0);
  const failures = new Map(variants.map(({ name, failure }) => [name, failure]));
  const missing = new Map(preparations.map((one) => [one.variant, one.missing]));
  const lines = jobs.map(({ record: job, identified, memory: needed }) => {
    const failure = failures.get(job.variant);
    const what = `${identified ? job.id.slice(0, 8) : "-".repeat(8)}  ${harmless(job.variant).padEnd(width)}  ${harmless(job.measurement).padEnd(12)}`;
    if (failure)
      return `${what}  cannot be measured: ${harmless([failure.message, failure.hint ?? []].flat().join(" "))}`;
    const first = missing.get(job.variant);
    if (first) return `${what}  ${first.map(describeMissing).join("; ")}`;
    if (job.impossible) return `${what}  not possible: ${harmless(job.impossible)}`;
    const memory = needed ? inUnits(needed.total) : "?";
    const over = needed && needed.total > memoryLimit ? " (more than may be used)" : "";
    const time = job.estimate === undefined ? "" : `about ${roughDuration(job.estimate)}`;
    return `${what}  ${memory.padStart(9)}${over}  ${time}`;
  });
  const turns = togetherGroups(jobs.filter(({ record }) => !record.impossible)).flatMap(({ jobs: group }) => {
    const bytes = memoryTogether(group);
    if (bytes <= memoryLimit) return [];
    return `${harmless(group[0]!.record.measurement)}: all models together need ${inUnits(bytes)}; they take turns, and the logits of ${harmless(group[0]!.record.against!)} wait in a temporary file\n`;
  });
  const total = jobs.reduce((sum, { record }) => sum + (record.estimate ?? 0), 0);
  const known = jobs.some(({ record }) => record.estimate !== undefined);
  const ofVariants = variants.flatMap(({ name, facts }) => (facts?.notes ?? []).map((note) => `${name}: ${note}`));
  const ofMissing = preparations.flatMap(({ variant, missing }) =>
    missing.flatMap((one) => (one.kind === "quantize" ? one.notes.map((note) => `${variant}: ${note}`) : [])),
  );
  const said = [...notes, ...notesOfData(provenance), ...ofVariants, ...ofMissing]
    .map((note) => `${harmless(note)}\n`)
    .join("");
  return `${said}${lines.join("\n")}\n${turns.join("")}${counted(jobs.length, "job")}${known ? `, very roughly ${roughDuration(total)} in all` : ""}; engines may use ${inUnits(memoryLimit)}\n`;
}

function describeMissing(missing: Missing): string {
  if (missing.kind === "quantize" && missing.damaged)
    return `to be quantized anew (${missing.type}): its file in the cache is damaged`;
  if (missing.kind === "quantize") return `to be quantized first (${missing.type})`;
  const size = missing.bytes === undefined ? "" : `, ${inUnits(missing.bytes)}`;
  return `to be fetched first: ${harmless(missing.name)}${size}`;
}
