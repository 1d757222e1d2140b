import type { Benchmark, MeasurementConfig } from "../benchmark/index.js";
import { digestOf, findKind } from "../data/index.js";
import { definite } from "../definite.js";
import { BenchError, type Failure } from "../errors.js";
import type { DataRecord, Provenance, Started, VariantRecord } from "../events.js";
import { several } from "../harmless.js";
import { freeMemory } from "../machine.js";
import { addressWithoutSecrets } from "../secrets.js";
import type { Share } from "../share.js";
import { togetherGroups } from "./cost.js";
import { type AskedData, type Job, makeJob } from "./job.js";
import { chooseReference, namedReference } from "./reference.js";
import { type Selected, selection } from "./selection.js";
import { sharedOut } from "./shard.js";
import { type Inspected, type InspectOptions, inspect, type Preparation } from "./variants.js";

export { memoryTogether, togetherGroups } from "./cost.js";
export type { Job } from "./job.js";
export type { Preparation } from "./variants.js";

/** Variants × measurements, in order. */
export interface Plan {
  name: string;
  variants: VariantRecord[];
  jobs: Job[];
  /** Models to be fetched or made before a variant is measured. */
  preparations: Preparation[];
  /** The plan with a variant read anew, once its preparation was made, or why it could not be. */
  completed(variant: string, failure?: Failure): Promise<Plan>;
  measurements: Started["measurements"];
  provenance: Provenance;
  /** Bytes that engines may use. */
  memoryLimit: number;
  /** Bytes of a temporary file, see `Benchmark`. */
  scratchLimit?: number;
  timeout: number;
  /** Which shard of it is measured: the jobs say how much of each. */
  shard?: Share;
  /** Notes for the user before anything is measured, a sentence each: which variant is the reference, say. */
  notes: string[];
}

export interface PlanOptions extends Selected {
  command: string[];
  versions: Record<string, string>;
  /** Where an engine would be opened: asked of the executor that opens them. */
  place: InspectOptions["place"];
  /** The variant that all others are compared with, whatever the benchmark file says. */
  reference?: string;
  /** Measure this shard of the plan alone. */
  shard?: Share;
  /** Aborted when the user stops. */
  signal?: AbortSignal;
}

/**
 * Reads the models' headers and the data, and makes the jobs. Fetches, makes and loads nothing: what is to be fetched or
 * quantized first are the plan's preparations, which complete it. Throws for data that are not there, and the signal's reason
 * when the user stops it.
 */
export async function makePlan(benchmark: Benchmark, options: PlanOptions): Promise<Plan> {
  const wanted = selection(benchmark, options);
  const configs = namedReference(benchmark.variants, options.reference);
  const data = new Map<MeasurementConfig, AskedData>();
  for (const config of benchmark.measurements) {
    const kind = findKind(config.on);
    // Data that no variant is measured on need not be here.
    if (kind && configs.some(({ name }) => wanted(name, config))) {
      const dataset = await kind.resolve(config.data, benchmark);
      data.set(config, { dataset, sha256: digestOf(dataset) });
    }
  }

  const inspected = new Map<string, Inspected>();
  for (const config of configs) {
    const cells = benchmark.measurements.filter((measurement) => wanted(config.name, measurement));
    if (cells.length === 0) continue;
    options.signal?.throwIfAborted();
    inspected.set(config.name, { ...(await inspect(config, benchmark, options)), cells });
  }
  if (inspected.size === 0)
    throw new BenchError("config", "nothing is left to measure after --only and --exclude", {
      hint: `there are the variants ${several(benchmark.variants.map(({ name }) => name))} and the measurements ${several(benchmark.measurements.map(({ name }) => name))}`,
    });
  return assemble({ ...benchmark, variants: configs }, options, data, inspected);
}

/** The plan of variants as they are now. */
function assemble(
  benchmark: Benchmark,
  options: PlanOptions,
  data: ReadonlyMap<MeasurementConfig, AskedData>,
  inspected: ReadonlyMap<string, Inspected>,
): Plan {
  // The choice of the reference marks a record, and may fall on another one when more are known.
  const all = [...inspected.values()].map((one) => ({ ...one, record: { ...one.record } }));
  const byName = new Map(all.map((one) => [one.record.name, one]));
  const variants = all.map(({ record }) => record);
  const waiting = all.flatMap(({ preparation }) => preparation?.variant ?? []);
  const chosen = chooseReference(benchmark, variants, waiting);
  const { shard } = options;
  const every = all.flatMap((variant) =>
    variant.cells.map((cell) => {
      const against = variant.record.against ?? chosen.reference;
      const reference = against === undefined ? undefined : byName.get(against);
      const job = makeJob(cell, variant, reference, data.get(cell));
      const settled = !job.reference || variant.record.against !== undefined || chosen.final;
      return { ...job, identified: job.identified && settled };
    }),
  );
  const jobs = shard ? sharedOut(every, shard) : every;
  // The decode of a comparison takes no longer for what it feeds.
  const possible = jobs.filter(({ record }) => record.impossible === undefined);
  for (const { riders } of togetherGroups(possible)) for (const { record } of riders) record.estimate &&= 0;
  const { engine, machine } = all[0]!.routes[0].place;
  const { version, library, origin } = engine;
  return {
    name: benchmark.titled?.(variants.map(({ name }) => name)) ?? benchmark.name,
    variants,
    jobs,
    preparations: all.flatMap(({ preparation }) =>
      preparation && isWanted(preparation.variant, jobs) ? preparation : [],
    ),
    async completed(name, failure) {
      const { preparation, cells } = inspected.get(name)!;
      const config = benchmark.variants.find((one) => one.name === name)!;
      const prepared = { work: preparation!.work, ...definite({ failure }) };
      const found = await inspect(config, benchmark, { ...options, prepared });
      return assemble(benchmark, options, data, new Map(inspected).set(name, { ...found, cells }));
    },
    measurements: benchmark.measurements.map(({ name, group, bySize, kind, settings, data }) => ({
      name,
      ...definite({ group, bySize }),
      kind,
      settings,
      ...(Object.keys(data).length > 0 ? { data } : {}),
    })),
    provenance: {
      command: options.command.map(addressWithoutSecrets),
      versions: options.versions,
      machine,
      engine: { version, library, origin },
      datasets: distinct(data),
      folders: { baseDir: benchmark.baseDir, ...definite({ dataDir: benchmark.dataDir }) },
      ...definite({ published: benchmark.published }),
    },
    memoryLimit: benchmark.memoryLimit ?? freeMemory(),
    ...definite({ scratchLimit: benchmark.scratchLimit }),
    timeout: benchmark.timeout,
    ...definite({ shard }),
    notes: [...(benchmark.notes ?? []), ...chosen.notes, ...cautions(all)],
  };
}

/** What backends say of the settings, each sentence once. */
const cautions = (variants: Inspected[]): string[] => [
  ...new Set(variants.flatMap(({ routes: [{ backend, spec }] }) => backend.settingsFacts(spec.settings).caution ?? [])),
];

/** Whether one of the jobs measures something of it. */
const isWanted = (variant: string, jobs: readonly Job[]) =>
  jobs.some(({ record }) => record.share !== "none" && (record.variant === variant || record.against === variant));

/** Each data once; those of one name that have other notes apart, with the measurements on them. */
function distinct(data: ReadonlyMap<MeasurementConfig, AskedData>): DataRecord[] {
  const all = Array.from(data, ([{ name: entry }, { dataset }]) => ({ entry, ...dataset }));
  const seen = new Map<string, DataRecord>();
  for (const { entry, name, path, sha256, bytes, note } of all) {
    const differ = all.some((other) => other.name === name && other.note !== note);
    const key = JSON.stringify([name, sha256, differ && note]);
    const entries = differ ? [...(seen.get(key)?.entries ?? []), entry] : undefined;
    seen.set(key, { name, path, sha256, bytes, ...definite({ note, entries }) });
  }
  return [...seen.values()];
}
