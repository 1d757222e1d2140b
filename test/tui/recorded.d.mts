import type { Failure } from "../../dist/errors.js";
import type { Event, JobRecord, Sample, VariantRecord } from "../../dist/events.js";

type Measurement = { name: string; kind: string; settings: Record<string, unknown> };

export function variant(
  name: string,
  facts?: { mebibytes?: number; parameters?: number; bpw?: number; failure?: Failure },
): VariantRecord;
export const ladder: VariantRecord[];
export const measurements: Measurement[];
export function jobId(variantName: string, measurement: string): string;
export function job(variantName: string, measurement: Measurement, options?: { impossible?: string }): JobRecord;
export function started(
  at: number,
  variants: VariantRecord[],
  options?: { name?: string; impossible?: Record<string, string>; of?: Measurement[] },
): Extract<Event, { type: "started" }>;
export function noise(seed: number): () => number;
export function samplesOf(variantName: string, kind: string, index: number, random: () => number): Sample[];
export const unitOf: Record<string, string>;
export const itemsOf: Record<string, number>;
export function wholeRun(
  variants: VariantRecord[],
  options?: {
    seed?: number;
    pace?: number;
    broken?: Record<string, Failure>;
    of?: Measurement[];
    items?: Record<string, number>;
  },
): Generator<[number, { type: string; job?: string }]>;
