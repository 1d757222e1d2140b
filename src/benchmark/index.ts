export { type Arguments, sortArguments } from "./arguments.js";
export type { Benchmark, MeasurementConfig, Measurements, ReadOptions, VariantConfig } from "./benchmark.js";
export { readBenchmark } from "./file.js";
export { type Flags, flagOf, flagsOf, type QuickOptions, quickBenchmark } from "./flags.js";
export { benchmarkSchema } from "./schema.js";
export { shippedBenchmark, shippedBenchmarks } from "./shipped.js";
