// The library's face: `commands` is the whole command line; below it are the parts that it is made of.
export type { Backend, Engine, EngineFacts, Part, Settings, VariantSpec } from "./backends/backend.js";
export { findBackend } from "./backends/index.js";
export { baselineText, readBaseline } from "./baseline.js";
export { type Benchmark, benchmarkSchema, quickBenchmark, readBenchmark } from "./benchmark/index.js";
export * from "./commands/index.js";
export { type Dataset, dataKinds, findDatasets } from "./data/index.js";
export { BenchError, type ErrorCode, exitCodes, type Failure } from "./errors.js";
export type { Event, JobRecord, Measured, Provenance, Sample, StoredEvent, VariantRecord } from "./events.js";
export { childExecutor, type Executor, localPlace, type Place } from "./executors/index.js";
export {
  type Check,
  type Comparability,
  comparability,
  type Gate,
  gate,
  type Pair,
  parseRule,
  type Question,
  type Rule,
  type Verdict,
  type Verdicts,
  verdict,
  verdictsFrom,
} from "./judge/index.js";
export { measurements } from "./measurements/index.js";
export type { Measurement } from "./measurements/measurement.js";
export { type Metric, metric } from "./metrics.js";
export { type ModelFacts, readModelFacts } from "./models/gguf.js";
export { estimateMemory } from "./models/memory.js";
export { type Job, makePlan, type Plan } from "./plan/index.js";
export { Fold, type JobResult, type Run, replay } from "./replay/index.js";
export { type Facts, factsFrom, writeReports } from "./reports/index.js";
export { junit } from "./reports/junit.js";
export { type Cell, type Table, tableFrom } from "./reports/table.js";
export { run } from "./run/index.js";
export type { Comparison, Observation } from "./stats/comparison.js";
export { compare } from "./stats/estimate.js";
export { holm } from "./stats/family.js";
export { type Series, seriesFrom } from "./stats/series.js";
export { running, type Summary, summarize } from "./stats/summary.js";
export { readEvents, readTokens, Store } from "./store/index.js";
export { openView, type View } from "./tui/index.js";
