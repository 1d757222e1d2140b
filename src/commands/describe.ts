import { definite } from "../definite.js";
import { notesOfData, type VariantRecord } from "../events.js";
import { harmless, harmlessJson } from "../harmless.js";
import type { Missing } from "../models/preparation.js";
import { type Job, memoryTogether, type Plan, togetherGroups } from "../plan/index.js";
import { fractionOf, shareName } from "../share.js";
import { counted, bytes as inUnits, roughDuration } from "../units.js";
import { columns } from "./columns.js";

/** The plan as text: a row per variant with its file and memory, a column per measurement with its time, and what is to be made first. */
export function describePlan(plan: Plan): string {
  const { variants, preparations, memoryLimit, notes } = plan;
  const jobs = plan.jobs.filter(({ record }) => record.share !== "none");
  const reasons = new Reasons();
  const missing = new Map(preparations.map((one) => [one.variant, one.missing]));
  const measurements = [...new Set(jobs.map(({ record }) => record.measurement))];
  const rows = variants.map((variant) => {
    const own = jobs.filter(({ record }) => record.variant === variant.name);
    const first = missing.get(variant.name);
    const cells = measurements.map((name) => {
      const job = own.find(({ record }) => record.measurement === name);
      const share = job?.record.share;
      const part = share && share !== "none" ? ` (part ${shareName(share)})` : "";
      return job ? timeCell(job, variant, first !== undefined, reasons) + part : "";
    });
    const mark = variant.reference ? " (ref)" : "";
    return [`${harmless(variant.name)}${mark}`, fileCell(variant, first), memoryCell(own, plan, reasons), ...cells];
  });
  const head = ["variant", "file", "memory", ...measurements.map((name) => harmless(name))];
  const turns = togetherGroups(jobs.filter(({ record }) => !record.impossible)).flatMap(({ jobs: group }) => {
    const bytes = memoryTogether(group);
    if (bytes <= memoryLimit) return [];
    return `${harmless(group[0]!.record.measurement)}: all models together need ${inUnits(bytes)}; they take turns, and the logits of ${harmless(group[0]!.record.against!)} wait in a temporary file`;
  });
  const lines = [
    ...(plan.shard ? [`part ${shareName(plan.shard)} of the plan; what others measure has no time here`] : []),
    ...said(plan, notes).map((note) => harmless(note)),
    ...columns([head, ...rows]).map((line) => line.slice(2)),
    ...reasons.lines(),
    ...fetched(preparations.flatMap((one) => one.missing)),
    ...turns,
    total({ ...plan, jobs }),
  ];
  return `${lines.join("\n")}\n`;
}

/** The same for programs: what of a plan is known before anything is measured. */
export function planAsJson({ jobs, variants, preparations, memoryLimit, notes }: Plan): string {
  const missing = new Map(preparations.map((one) => [one.variant, one.missing]));
  const plan = {
    notes,
    variants: variants.map(({ name, reference, facts, failure }) => ({
      ...{ name, reference },
      ...definite({ bytes: facts?.bytes, failure, missing: missing.get(name) }),
    })),
    jobs: jobs.map(({ record: { id, variant, measurement, impossible, estimate, share }, identified, memory }) => ({
      // What is still to be fetched decides the id.
      ...(identified ? { id } : {}),
      ...{ variant, measurement },
      ...definite({ impossible, seconds: estimate && estimate * fractionOf(share), memory: memory?.total, share }),
    })),
    memoryLimit,
  };
  return `${harmlessJson(plan, 2)}\n`;
}

/** Reasons by their numbers; the same one has the same number. */
class Reasons {
  readonly #texts: string[] = [];

  mark(text: string): string {
    if (!this.#texts.includes(text)) this.#texts.push(text);
    return `[${this.#texts.indexOf(text) + 1}]`;
  }

  lines(): string[] {
    return this.#texts.map((text, i) => `[${i + 1}] ${harmless(text, { length: 1000 })}`);
  }
}

function timeCell(
  { record: { impossible, estimate, share } }: Job,
  { failure }: VariantRecord,
  waits: boolean,
  reasons: Reasons,
): string {
  if (failure)
    return `failed ${reasons.mark(`cannot be measured: ${[failure.message, failure.hint ?? []].flat().join(" ")}`)}`;
  // What is to be made first may turn out to be possible.
  if (waits) return "?";
  if (impossible !== undefined) return `n/a ${reasons.mark(`not possible: ${impossible}`)}`;
  return estimate === undefined ? "?" : roughDuration(estimate * fractionOf(share));
}

function fileCell({ facts, failure }: VariantRecord, missing: Missing[] | undefined): string {
  if (failure) return "";
  if (!missing) return facts ? inUnits(facts.bytes) : "?";
  return missing
    .map((one) => {
      if (one.kind === "fetch") return one.bytes === undefined ? "to fetch" : `${inUnits(one.bytes)} to fetch`;
      return one.damaged ? "to quantize anew" : "to quantize";
    })
    .join(", ");
}

/** The most that one of its jobs needs. */
function memoryCell(jobs: Job[], { memoryLimit }: Plan, reasons: Reasons): string {
  const needed = jobs.flatMap(({ record, memory }) => (record.impossible === undefined && memory ? memory.total : []));
  if (needed.length === 0) return "";
  const most = Math.max(...needed);
  return most > memoryLimit ? `${inUnits(most)} ${reasons.mark("more than may be used")}` : inUnits(most);
}

/** Each file that is to be fetched, once. */
function fetched(missing: Missing[]): string[] {
  const files = new Map(
    missing.flatMap((one) => (one.kind === "fetch" ? [[harmless(one.name, { length: 200 }), one.bytes] as const] : [])),
  );
  return Array.from(files, ([name, bytes]) => `to fetch: ${name}${bytes === undefined ? "" : `, ${inUnits(bytes)}`}`);
}

function total({ jobs, preparations, memoryLimit }: Plan): string {
  const estimates = jobs.flatMap(({ record }) => record.estimate ?? []);
  const seconds = jobs.reduce((sum, { record: { estimate = 0, share } }) => sum + estimate * fractionOf(share), 0);
  const files = new Map(
    preparations.flatMap(({ missing }) =>
      missing.flatMap((one) => (one.kind === "fetch" ? [[one.name, one.bytes ?? 0] as const] : [])),
    ),
  );
  const bytes = [...files.values()].reduce((sum, one) => sum + one, 0);
  const made = preparations.filter(({ missing }) => missing.some(({ kind }) => kind === "quantize")).length;
  const parts = [
    `${counted(jobs.length, "job")}${estimates.length > 0 ? `, very roughly ${roughDuration(seconds)} in all` : ""}`,
    ...(files.size > 0 ? [`${bytes > 0 ? `${inUnits(bytes)} in ` : ""}${counted(files.size, "file")} to fetch`] : []),
    ...(made > 0 ? [`${counted(made, "model")} to quantize first`] : []),
    `engines may use ${inUnits(memoryLimit)}`,
  ];
  return parts.join("; ");
}

function said({ variants, preparations, provenance }: Plan, notes: string[]): string[] {
  const ofVariants = variants.flatMap(({ name, facts }) => (facts?.notes ?? []).map((note) => `${name}: ${note}`));
  const ofMissing = preparations.flatMap(({ variant, missing }) =>
    missing.flatMap((one) => (one.kind === "quantize" ? one.notes.map((note) => `${variant}: ${note}`) : [])),
  );
  return [...notes, ...notesOfData(provenance), ...ofVariants, ...ofMissing];
}
