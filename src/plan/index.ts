import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { Backend, EngineChoice, SettingsFacts, VariantSpec } from "../backends/backend.js";
import { findBackend } from "../backends/index.js";
import type { Benchmark, MeasurementConfig, VariantConfig } from "../benchmark/index.js";
import { type Dataset, digestOf, findKind } from "../data/index.js";
import { BenchError, type Failure, toFailure } from "../errors.js";
import type { JobRecord, Provenance, VariantRecord } from "../events.js";
import { harmless, several } from "../harmless.js";
import { freeMemory, type Machine, thisMachine, usableProcessors } from "../machine.js";
import { measurements } from "../measurements/index.js";
import type { Cost } from "../measurements/measurement.js";
import { usualName } from "../metrics.js";
import { estimateMemory, type MemoryEstimate, type ModelFacts } from "../models/gguf.js";
import type { SourceFolders } from "../models/sources.js";
import { addressWithoutSecrets } from "../secrets.js";
import { counted, bytes as inUnits, roughDuration } from "../units.js";
import { nearest } from "../yaml.js";

/** A job with all that is needed to run it. */
export interface Job extends JobRecord {
  spec: VariantSpec;
  /** Of a job that is measured together with others: what is opened beside the variant. */
  reference?: { spec: VariantSpec; memory?: MemoryEstimate };
  data?: Dataset;
  /** Absent where the model could not be read. */
  memory?: MemoryEstimate;
}

/** Variants × measurements, in order. */
export interface Plan {
  name: string;
  variants: VariantRecord[];
  jobs: Job[];
  measurements: { name: string; kind: string; settings: Record<string, unknown> }[];
  provenance: Provenance;
  /** Bytes that engines may use. */
  memoryLimit: number;
  /** Bytes of a temporary file, see `Benchmark`. */
  scratchLimit?: number;
  timeout: number;
  /** What the user should know before anything is measured, a sentence each: which variant is the reference, say. */
  notes: string[];
}

export interface PlanOptions {
  command: string[];
  versions: Record<string, string>;
  /** Patterns (`*` stands for anything) over `variant`, `measurement` or `variant/measurement`. */
  only?: string[];
  exclude?: string[];
  /** The variant that all others are compared with, whatever the benchmark file says. */
  reference?: string;
  /** What becomes of models that are to be downloaded. */
  downloads?: Pick<SourceFolders, "fetching" | "signal" | "dryRun">;
}

/**
 * Reads the models' headers and the data, and makes the jobs. Downloads what is not there yet, and loads no model. Throws for
 * data that are not there, and the signal's reason when the user stops it.
 */
export async function makePlan(benchmark: Benchmark, options: PlanOptions): Promise<Plan> {
  const machine = thisMachine();
  const data = new Map<MeasurementConfig, Asked>();
  for (const config of benchmark.measurements) {
    const kind = findKind(measurements[config.kind]!.data);
    if (kind) {
      const dataset = await kind.resolve(config.data, benchmark);
      data.set(config, { dataset, sha256: digestOf(dataset) });
    }
  }

  const wanted = selection(benchmark, options);
  const variants: VariantRecord[] = [];
  const inspected = new Map<string, Inspected>();
  let engine: Provenance["engine"] | undefined;
  const configs = namedReference(benchmark.variants, options.reference);
  for (const config of configs) {
    const cells = benchmark.measurements.filter((measurement) => wanted(config.name, measurement.name));
    if (cells.length === 0) continue;
    const backend = await findBackend(config.backend);
    const chosen = await backend.version(config.settings);
    engine ??= { version: chosen.version, library: chosen.library, origin: chosen.origin };
    options.downloads?.signal?.throwIfAborted();
    const { model, lora, record } = await inspect(config, backend, benchmark, options.downloads);
    variants.push(record);
    const spec: VariantSpec = {
      name: config.name,
      model,
      backend: config.backend,
      settings: config.settings,
      lora,
      ...(record.facts ? { facts: record.facts } : {}),
    };
    inspected.set(config.name, { spec, record, backend, chosen, cells });
  }
  const chosen = chooseReference({ ...benchmark, variants: configs }, variants);
  const jobs = [...inspected.values()].flatMap((variant) =>
    variant.cells.map((cell) => {
      const against = variant.record.against ?? chosen.reference;
      return job(cell, variant, against === undefined ? undefined : inspected.get(against), data.get(cell), machine);
    }),
  );
  if (jobs.length === 0)
    throw new BenchError("config", "nothing is left to measure after --only and --exclude", {
      hint: `there are the variants ${several(benchmark.variants.map(({ name }) => name))} and the measurements ${several(benchmark.measurements.map(({ name }) => name))}`,
    });
  return {
    name: benchmark.name,
    variants,
    jobs,
    measurements: benchmark.measurements.map(({ name, kind, settings }) => ({ name, kind, settings })),
    provenance: {
      command: options.command.map(addressWithoutSecrets),
      versions: options.versions,
      machine,
      engine: engine!,
      datasets: distinct([...data.values()].map(({ dataset }) => dataset)),
    },
    memoryLimit: benchmark.memoryLimit ?? freeMemory(),
    ...(benchmark.scratchLimit === undefined ? {} : { scratchLimit: benchmark.scratchLimit }),
    timeout: benchmark.timeout,
    notes: [...(benchmark.notes ?? []), ...chosen.notes],
  };
}

/** The variants with the one named as the reference of all others, whatever each said; unchanged when none is named. */
function namedReference(variants: VariantConfig[], named: string | undefined): VariantConfig[] {
  if (named === undefined) return variants;
  const bare = basename(named).replace(/\.gguf$/i, "");
  const one =
    variants.find(({ name, model }) => name === named || model === named) ?? variants.find(({ name }) => name === bare);
  if (!one)
    throw new BenchError("config", `--reference ${named}: no variant has that name`, {
      hint: nearest(
        named,
        variants.map(({ name }) => name),
      ),
    });
  return variants.map(({ against: _, ...variant }) => ({ ...variant, reference: variant.name === one.name }));
}

/**
 * The variant that all others are compared with: the one that the benchmark says, else the one with the most bits per
 * weight, the first of several alike. Nobody is chosen where the file says who is compared with whom, and where one
 * variant stands alone that nothing compares. A variant that is chosen is marked in its record.
 */
function chooseReference(
  { variants: all, measurements: asked }: Benchmark,
  variants: VariantRecord[],
): { reference?: string; notes: string[] } {
  const said = all.find((variant) => variant.reference);
  if (said) {
    const out = variants.some(({ name }) => name === said.name) ? "" : ", which --only or --exclude leaves out";
    return { reference: said.name, notes: all.length > 1 ? [`reference: ${said.name}${out}`] : [] };
  }
  const compares = asked.some(({ kind }) => measurements[kind]!.mode.kind === "together");
  if (variants.some(({ against }) => against !== undefined) || (variants.length < 2 && !compares)) return { notes: [] };
  const known = variants.filter(({ facts }) => facts !== undefined);
  const most = Math.max(...known.map(({ facts }) => facts!.bpw));
  const [first, ...alike] = known.filter(({ facts }) => facts!.bpw === most);
  if (!first) return { notes: ["reference: none, because no model could be read"] };
  first.reference = true;
  const unread = variants.filter(({ facts }) => facts === undefined).map(({ name }) => name);
  const why =
    variants.length === 1
      ? "the only variant"
      : alike.length === 0
        ? "most bits per weight"
        : `the first of ${alike.length + 1} with the most bits per weight; --reference NAME takes another`;
  return {
    reference: first.name,
    notes: [
      `reference: ${first.name} (${why})`,
      ...(unread.length > 0 ? [`not considered as the reference, because it cannot be read: ${several(unread)}`] : []),
    ],
  };
}

async function inspect(
  config: VariantConfig,
  backend: Backend,
  { baseDir, modelsDir }: Benchmark,
  downloads: PlanOptions["downloads"],
) {
  const asked = config.lora.map(({ path, scale }) => ({ path: addressWithoutSecrets(path), scale }));
  const record: VariantRecord = {
    name: config.name,
    model: addressWithoutSecrets(config.model),
    backend: config.backend,
    reference: config.reference,
    ...(config.against ? { against: config.against } : {}),
    tags: config.tags,
    settings: { ...config.settings, ...(asked.length > 0 ? { lora: asked } : {}) },
  };
  try {
    const { model, facts, lora } = await backend.inspect(config, {
      baseDir,
      ...(modelsDir ? { modelsDir } : {}),
      ...downloads,
    });
    // The path as the user wrote it, and which file that was.
    const found = lora.map(({ sha256 }, i) => ({ ...asked[i], sha256: sha256.slice(0, 12) }));
    const settings = { ...record.settings, ...(found.length > 0 ? { lora: found } : {}) };
    return { model, lora, record: { ...record, settings, facts } };
  } catch (error) {
    downloads?.signal?.throwIfAborted();
    const failure = inspectionFailure(record.model, error);
    return { model: config.model, lora: [], record: { ...record, failure } };
  }
}

/** Data, and the digest of them as models are asked. */
interface Asked {
  dataset: Dataset;
  sha256: string;
}

/** What a file holds that no reader foresaw is that variant's fault alone, and told without a stack. */
function inspectionFailure(model: string, error: unknown): Failure {
  if (error instanceof BenchError) return toFailure(error);
  const [reason = ""] = String(error instanceof Error ? error.message : error).split("\n");
  return toFailure(
    new BenchError("model-damaged", `${model} cannot be inspected: ${reason.slice(0, 120)}`, {
      hint: "its header may be damaged: copy or download it again",
    }),
  );
}

/** A variant with its model found, and what is to be measured on it. */
interface Inspected {
  spec: VariantSpec;
  record: VariantRecord;
  backend: Backend;
  /** The build that computes. */
  chosen: EngineChoice;
  cells: MeasurementConfig[];
}

function job(
  config: MeasurementConfig,
  variant: Inspected,
  reference: Inspected | undefined,
  asked: Asked | undefined,
  machine: Machine,
): Job {
  const data = asked?.dataset;
  const measurement = measurements[config.kind]!;
  const { backend, record, chosen } = variant;
  const against = measurement.mode.kind === "together" ? reference : undefined;
  // The reference against itself in another batch shape: how far the same model is from itself.
  const { otherShape } = backend.settingsFacts(variant.spec.settings);
  const spec = against === variant ? { ...variant.spec, settings: otherShape } : variant.spec;
  const cost = measurement.cost(config.settings, data, record.facts?.contextLength);
  const { context, parallel, rows } = cost;
  const impossible =
    reasonAgainst(config, variant, against, context) ??
    (data && record.facts && findKind(data.kind)?.unfit?.(data, record.facts));
  const memory = ({ record, spec, backend }: Inspected) =>
    record.facts
      ? { memory: estimateMemory(record.facts, { context, parallel, rows, ...backend.settingsFacts(spec.settings) }) }
      : {};
  const { gpu, origin: _, ...engine } = chosen;
  const id = identity({
    ...computed(variant, spec, measurement.machineBound),
    backend: backend.name,
    engine,
    kind: config.kind,
    rule: measurement.rule,
    settings: config.settings,
    dataset: asked?.sha256,
    ...(against ? { against: computed(against, against.spec, measurement.machineBound) } : {}),
    // The kernels differ between processors, so the last digits do; the speed of course.
    processor: machine.cpu,
    ...(gpu ? { gpus: machine.gpus } : {}),
    ...(measurement.machineBound ? { machine } : {}),
  });
  const made: Job = {
    id,
    variant: spec.name,
    backend: backend.name,
    measurement: config.name,
    kind: config.kind,
    dataset: data?.name ?? "",
    ...(asked ? { datasetSha256: asked.dataset.sha256, askedSha256: asked.sha256 } : {}),
    rule: measurement.rule,
    settings: config.settings,
    metrics: measurement.metrics(config.settings, data),
    ...(against ? { against: against.record.name, reference: { spec: against.spec, ...memory(against) } } : {}),
    ...(impossible ? { impossible } : {}),
    spec,
    ...(data ? { data } : {}),
    ...memory({ ...variant, spec }),
  };
  const estimate = impossible ? undefined : seconds(spec.facts, backend.settingsFacts(spec.settings), cost);
  return estimate === undefined ? made : { ...made, estimate };
}

/** What computes, for the identity: the files by their bytes, whatever they are called, and the engine's settings. */
function computed({ record, backend }: Inspected, { name, model, lora = [], settings }: VariantSpec, fast: boolean) {
  const { digits, threads } = backend.settingsFacts(settings);
  return {
    // Two variants of one model may be unread for reasons of their own: an adapter, an importance matrix.
    model: record.facts?.sha256 ?? `unread ${name} ${model}`,
    lora: lora.map(({ sha256, scale }) => ({ sha256, scale })),
    variant: fast ? { ...digits, threads } : digits,
  };
}

/** Why a cell cannot be measured, in a sentence without its end; undefined where it can. */
function reasonAgainst(
  config: MeasurementConfig,
  { backend, record, spec }: Inspected,
  against: Inspected | undefined,
  context: number,
): string | undefined {
  const measurement = measurements[config.kind]!;
  const lacking = measurement.needs.filter((need) => !backend.capabilities.has(need));
  if (lacking.length > 0) return `${backend.name} gives no ${lacking.join(", no ")}`;
  const { impossible } = backend.settingsFacts(spec.settings);
  if (impossible) return impossible;
  const trained = record.facts?.contextLength ?? Number.POSITIVE_INFINITY;
  if (context > trained) return `a context of ${context} tokens is asked for; the model was trained for ${trained}`;
  if (measurement.mode.kind !== "together") return undefined;
  if (!against) return "nothing to compare with: no variant is the reference, or --only or --exclude leaves it out";
  if (against.record === record && config.settings.floor === 0) return "no noise floor is asked for";
  if (against.record.failure) return `the reference ${against.record.name} cannot be read`;
  if (against.backend !== backend)
    return `the reference runs on ${against.backend.name}, this variant on ${backend.name}`;
  const [own, other] = [record.facts, against.record.facts];
  if (own && other && otherVocabulary(own, other))
    return `its tokenizer differs from that of the reference ${against.record.name}; compare bits per byte`;
  return undefined;
}

/** Whether no text could be the same tokens in both; tokenizers of one vocabulary are held against each other on the text. */
function otherVocabulary(own: ModelFacts, other: ModelFacts): boolean {
  if (own.vocabulary !== other.vocabulary) return true;
  if (own.vocabularySha256 === undefined || other.vocabularySha256 === undefined)
    return own.tokenizerSha256 !== other.tokenizerSha256;
  return own.vocabularySha256 !== other.vocabularySha256;
}

/** Stable under the order of keys. */
function identity(parts: unknown): string {
  const canonical = JSON.stringify(parts, (_, value) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash("sha256").update(canonical).digest("hex").slice(0, 16);
}

/** Throws a BenchError with code `config` for a pattern that stands for nothing: it is a slip of the pen. */
function selection(
  { variants, measurements }: Benchmark,
  { only = [], exclude = [] }: PlanOptions,
): (variant: string, measurement: string) => boolean {
  const read = (flag: string, pattern: string): Pattern[] => {
    const meant = [[pattern], pattern.split(",").map((part) => part.trim().replace(/[^/]+$/, usualName))].map((each) =>
      each.map(matcher),
    );
    const stands = (matches: Pattern) =>
      variants.some(({ name }) => measurements.some((measurement) => matches(name, measurement.name)));
    const found = meant.find((each) => each.every(stands));
    if (found) return found;
    throw new BenchError("config", `--${flag} ${pattern}: there is no variant and no measurement of that name`, {
      hint: nearest(
        pattern,
        [...measurements, ...variants].map(({ name }) => name),
      ),
    });
  };
  const taken = only.flatMap((pattern) => read("only", pattern));
  const left = exclude.flatMap((pattern) => read("exclude", pattern));
  return (variant, measurement) =>
    (taken.length === 0 || taken.some((matches) => matches(variant, measurement))) &&
    !left.some((matches) => matches(variant, measurement));
}

type Pattern = (variant: string, measurement: string) => boolean;

/** `*` stands for anything; the pattern is of a variant, of a measurement, or of `variant/measurement`. */
function matcher(pattern: string): Pattern {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const test = new RegExp(`^${parts.join(".*")}$`, "s");
  return (variant, measurement) => [variant, measurement, `${variant}/${measurement}`].some((name) => test.test(name));
}

function distinct(datasets: Dataset[]): Provenance["datasets"] {
  const seen = new Map<string, Provenance["datasets"][number]>();
  for (const { name, path, sha256, bytes, note } of datasets)
    seen.set(`${name} ${sha256}`, { name, path, sha256, bytes, ...(note ? { note } : {}) });
  return [...seen.values()];
}

/** Jobs that are measured together against one reference. */
export function lockStepGroups(jobs: Job[]): Job[][] {
  const groups = new Map<string, Job[]>();
  for (const job of jobs) {
    if (!job.reference) continue;
    const key = `${job.measurement} ${job.against}`;
    groups.set(key, [...(groups.get(key) ?? []), job]);
  }
  return [...groups.values()];
}

/** Bytes of a reference and all jobs beside it; weights that two have in common are there once. */
export function memoryTogether(jobs: Job[]): number {
  const { reference } = jobs[0]!;
  const models = new Set([reference!.spec.model]);
  return jobs.reduce((sum, { memory, spec }) => {
    const shared = models.has(spec.model) ? (memory?.weights ?? 0) : 0;
    models.add(spec.model);
    return sum + (memory?.total ?? 0) - shared;
  }, reference!.memory?.total ?? 0);
}

/** The plan as text, one line a job. */
export function describePlan({ jobs, variants, memoryLimit, notes }: Plan): string {
  const width = variants.reduce((most, { name }) => Math.max(most, harmless(name).length), 0);
  const failures = new Map(variants.map(({ name, failure }) => [name, failure]));
  const lines = jobs.map((job) => {
    const failure = failures.get(job.variant);
    const what = `${job.id.slice(0, 8)}  ${harmless(job.variant).padEnd(width)}  ${harmless(job.measurement).padEnd(12)}`;
    if (failure?.code === "model-not-fetched") return `${what}  ${harmless(failure.message)}`;
    if (failure)
      return `${what}  cannot be measured: ${harmless([failure.message, failure.hint ?? []].flat().join(" "))}`;
    if (job.impossible) return `${what}  not possible: ${harmless(job.impossible)}`;
    const memory = job.memory ? inUnits(job.memory.total) : "?";
    const over = job.memory && job.memory.total > memoryLimit ? " (more than may be used)" : "";
    return `${what}  ${memory.padStart(9)}${over}  ${about(job)}`;
  });
  const turns = lockStepGroups(jobs.filter(({ impossible }) => !impossible)).flatMap((group) => {
    const bytes = memoryTogether(group);
    if (bytes <= memoryLimit) return [];
    return `${harmless(group[0]!.measurement)}: all models together need ${inUnits(bytes)}; they take turns, and the logits of ${harmless(group[0]!.against!)} wait in a temporary file\n`;
  });
  const total = jobs.reduce((sum, { estimate }) => sum + (estimate ?? 0), 0);
  const known = jobs.some(({ estimate }) => estimate !== undefined);
  const said = notes.map((note) => `${harmless(note)}\n`).join("");
  return `${said}${lines.join("\n")}\n${turns.join("")}${counted(jobs.length, "job")}${known ? `, very roughly ${roughDuration(total)} in all` : ""}; engines may use ${inUnits(memoryLimit)}\n`;
}

const about = ({ estimate: time }: Job) => {
  return time === undefined ? "" : `about ${roughDuration(time)}`;
};

/**
 * A first guess: a token costs two operations per weight, and a core of these years does some 60 thousand million of them a
 * second in a prompt; generation reads all weights once a token, at some 10 GB/s.
 */
function seconds(
  facts: ModelFacts | undefined,
  { threads = usableProcessors() }: SettingsFacts,
  { prompt, generated }: Cost,
): number | undefined {
  if (!facts) return undefined;
  return (prompt * 2 * facts.parameters) / (60e9 * threads) + (generated * facts.tensorBytes) / 10e9;
}
